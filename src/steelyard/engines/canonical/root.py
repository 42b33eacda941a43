"""The model root (rule P4): a Merkle tree over everything that decides an answer's bits.

Leaves, in order: arithmetic version; key-value cache type; graph; chat template; then the file from its first byte to
its last. A leaf of the file is 1,024 weights of one tensor's blocks, or 1,024 bytes of plain numbers or of what lies
outside tensors (the last of each may be shorter), so no leaf splits a block. The tokenizer is inside the file's
metadata, hence under the root.
"""

from collections.abc import Iterator
from typing import Final

from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head
from steelyard.protocol import merkle
from steelyard.protocol.errors import Malformed

ARITHMETIC: Final = "steelyard/arithmetic/1"
KEY_VALUES: Final = "kv/f32"
WEIGHTS_PER_LEAF: Final = 1024
BYTES_PER_LEAF: Final = 1024
TEMPLATE: Final = "tokenizer.chat_template"


def graph(shape: Shape) -> str:
    """The computation in words and dimensions, one line a node; `ARITHMETIC` fixes what each word means."""
    s = shape
    head = f"width {s.width} inner {s.inner} heads {s.heads}/{s.key_heads} of {s.head_dim} vocabulary {s.vocabulary}"
    lines = [
        f"llama layers {s.layers} {head}",
        f"epsilon {s.epsilon.hex()} rope-base {s.rope_base.hex()} scale 1/sqrt({s.head_dim}) positions {s.context}",
        "x = row(token_embd, id)",
        "each layer:",
        "  q, k, v = dot(attn_q | attn_k | attn_v, quantise(norm(x, attn_norm)))",
        "  q, k = rotate(q, position), rotate(k, position)",
        "  x = x + dot(attn_output, quantise(attention(q, keys, values)))",
        "  g, u = dot(ffn_gate | ffn_up, quantise(norm(x, ffn_norm)))",
        "  x = x + dot(ffn_down, quantise(silu(g) * u))",
        "state = norm(x, output_norm)",
        f"logits = dot({'token_embd' if s.tied else 'output'}, quantise(state))",
    ]
    return "\n".join(lines) + "\n"


def spans(head: Head) -> Iterator[tuple[int, int]]:
    """(first byte, end) of every leaf of the file, in order. Raises Malformed("model.tensor-overlap")."""
    at = 0
    for tensor in sorted(head.tensors, key=lambda t: t.at):
        if tensor.at < at or tensor.size is None:
            raise Malformed("model.tensor-overlap", f"{tensor.name[:60]} begins at {tensor.at}, before {at}")
        yield from _cut(at, tensor.at, BYTES_PER_LEAF)
        at = tensor.at + tensor.size
        _, elements, size = KINDS[tensor.kind]
        yield from _cut(tensor.at, at, BYTES_PER_LEAF if elements == 1 else WEIGHTS_PER_LEAF // elements * size)
    yield from _cut(at, head.file_size, BYTES_PER_LEAF)


def _cut(begin: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    for at in range(begin, end, most):
        yield at, min(at + most, end)


def leaves(head: Head, shape: Shape, data: memoryview) -> Iterator[bytes]:
    """Leaf hashes, 32 bytes each. `data` is the whole file."""
    template = head.fields.get(TEMPLATE, "")
    for text in (ARITHMETIC, KEY_VALUES, graph(shape), str(template)):
        yield merkle.leaf_hash(text.encode())
    for begin, end in spans(head):
        yield merkle.leaf_hash(bytes(data[begin:end]))


def model_root(head: Head, shape: Shape, data: memoryview) -> bytes:
    """32 bytes."""
    return merkle.root(list(leaves(head, shape, data)))
