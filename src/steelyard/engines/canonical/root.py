"""The model root (rule P4): a Merkle tree over everything that decides an answer's bits.

Leaves, in order: arithmetic version; key-value cache type; the graph's own root; chat template; then the file from its
first byte to its last. A leaf of the file is 1,024 weights of one tensor's blocks, or 1,024 bytes of plain numbers
or of what lies outside tensors (the last of each may be shorter), so no leaf splits a block.
"""

from collections.abc import Iterator
from typing import Final

from steelyard.engines.canonical.lowering import Lowering
from steelyard.engines.gguf_head import KINDS, Head
from steelyard.protocol import merkle
from steelyard.protocol.errors import Malformed

ARITHMETIC: Final = "steelyard/arithmetic/3"
KEY_VALUES: Final = "kv/f32"
WEIGHTS_PER_LEAF: Final = 1024
BYTES_PER_LEAF: Final = 1024
TEMPLATE: Final = "tokenizer.chat_template"


def graph(lowered: Lowering) -> list[str]:
    """The computation, one line a node (spec/ir.md), behind one line that says what the tables are."""
    s = lowered.shape
    tables = [f"base {t.base.hex()} over {t.factor.hex()} {t.factors}".rstrip() for t in s.turns]
    head = f"positions {s.context} vocabulary {s.vocabulary} rope of {s.head_dim}: {', '.join(tables)}"
    return [head, *map(str, lowered.graph.nodes)]


def graph_root(lowered: Lowering) -> bytes:
    """Merkle root over the graph's lines, so that a node can be opened alone. 32 bytes."""
    return merkle.root([merkle.leaf_hash(line.encode()) for line in graph(lowered)])


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


def leaves(head: Head, lowered: Lowering, data: memoryview) -> Iterator[bytes]:
    """Leaf hashes, 32 bytes each. `data` is the whole file."""
    template = str(head.fields.get(TEMPLATE, ""))
    for part in (ARITHMETIC.encode(), KEY_VALUES.encode(), graph_root(lowered), template.encode()):
        yield merkle.leaf_hash(part)
    for begin, end in spans(head):
        yield merkle.leaf_hash(bytes(data[begin:end]))


def model_root(head: Head, lowered: Lowering, data: memoryview) -> bytes:
    """32 bytes."""
    return merkle.root(list(leaves(head, lowered, data)))
