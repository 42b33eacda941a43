"""A GGUF file as a list of fields and tensors, so that a test can make it say anything; then its bytes."""

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.engines.text import byte_letters

WIDTH, INNER = 64, 32
U32, F32, BOOL, STRING, ARRAY, U64, F64 = 4, 6, 7, 8, 9, 10, 12


class Double(float):
    """A field in binary64."""


LAYER = (
    ("attn_norm", WIDTH), ("ffn_norm", WIDTH), ("attn_q", WIDTH, WIDTH), ("attn_k", WIDTH, 32),
    ("attn_v", WIDTH, 32), ("attn_output", WIDTH, WIDTH), ("ffn_gate", WIDTH, INNER), ("ffn_up", WIDTH, INNER),
    ("ffn_down", INNER, WIDTH),
)  # fmt: skip


@dataclass
class Tensor:
    name: str
    shape: list[int]
    at: int
    kind: int = 0


@dataclass
class File:
    """What a file says, before it is bytes."""

    fields: list[tuple[str, object]]
    tensors: list[Tensor] = field(default_factory=list)
    size: int = 0

    def place(self, name: str, *shape: int) -> None:
        self.tensors.append(Tensor(name, list(shape), self.size))
        self.size += math.prod(shape) * 4

    def write(self, path: Path, cut: int = 0) -> Path:
        raw = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.fields))
        for key, value in self.fields:
            raw += text(key) + typed(value)
        for tensor in self.tensors:
            dimensions = b"".join(struct.pack("<Q", n % 2**64) for n in tensor.shape)
            raw += text(tensor.name) + struct.pack("<I", len(tensor.shape)) + dimensions
            raw += struct.pack("<IQ", tensor.kind, tensor.at % 2**64)
        raw += bytes(-len(raw) % 32)
        path.write_bytes((raw + bytes(self.size))[: len(raw) + self.size - cut])
        return path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def typed(value: object, inside: bool = False) -> bytes:
    """A value with its type in front; inside an array without."""
    if isinstance(value, bool):
        kind, raw = BOOL, struct.pack("<?", value)
    elif isinstance(value, int):
        kind, raw = U64, struct.pack("<Q", value % 2**64)
    elif isinstance(value, Double):
        kind, raw = F64, struct.pack("<d", value)
    elif isinstance(value, float):
        kind, raw = F32, struct.pack("<f", value)
    elif isinstance(value, str):
        kind, raw = STRING, text(value)
    else:
        assert isinstance(value, list)
        inner = struct.unpack("<I", typed(value[0])[:4])[0] if value else U32
        kind = ARRAY
        raw = struct.pack("<IQ", inner, len(value)) + b"".join(typed(one, inside=True) for one in value)
    return raw if inside else struct.pack("<I", kind) + raw


def honest() -> File:
    """A model of one layer, of zeros, with its tokenizer."""
    tokens = ["<s>", "</s>", *byte_letters(), "he"]
    file = File(
        [
            ("general.architecture", "llama"),
            ("llama.block_count", 1),
            ("llama.context_length", 64),
            ("llama.embedding_length", WIDTH),
            ("llama.feed_forward_length", INNER),
            ("llama.attention.head_count", 2),
            ("llama.attention.head_count_kv", 1),
            ("llama.attention.key_length", 32),
            ("llama.rope.dimension_count", 32),
            ("llama.rope.freq_base", 10000.0),
            ("llama.attention.layer_norm_rms_epsilon", 1e-5),
            ("tokenizer.ggml.model", "gpt2"),
            ("tokenizer.ggml.pre", "gpt-2"),
            ("tokenizer.ggml.tokens", tokens),
            ("tokenizer.ggml.token_type", [3, 3] + [1] * (len(tokens) - 2)),
            ("tokenizer.ggml.merges", ["h e"]),
            ("tokenizer.ggml.bos_token_id", 0),
            ("tokenizer.ggml.eos_token_id", 1),
            ("tokenizer.ggml.add_bos_token", True),
            ("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}"),
        ]
    )
    file.place("token_embd.weight", WIDTH, len(tokens))
    for name, *shape in LAYER:
        file.place(f"blk.0.{name}.weight", *shape)
    file.place("output_norm.weight", WIDTH)
    return file
