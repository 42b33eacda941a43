"""A small llama-architecture GGUF of random weights, written by gguf-py: for tests of the canonical engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from steelyard.engines.text import byte_letters

KINDS = {
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q4_1": gguf.GGMLQuantizationType.Q4_1,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q5_0": gguf.GGMLQuantizationType.Q5_0,
    "q5_1": gguf.GGMLQuantizationType.Q5_1,
    "q2_k": gguf.GGMLQuantizationType.Q2_K,
    "q4_k": gguf.GGMLQuantizationType.Q4_K,
    "q5_k": gguf.GGMLQuantizationType.Q5_K,
    "q6_k": gguf.GGMLQuantizationType.Q6_K,
}
SCALES = {
    "q2_k": {80: 1 / 30, 82: 1 / 30},
    "q4_k": {0: 1 / 300, 2: 7.5 / 300},
    "q5_k": {0: 1 / 600, 2: 15.5 / 600},
    "q6_k": {208: 1 / 1400},
}
"""Where the binary16 scales lie in a super-block, and what makes weights about 1 of any bytes elsewhere."""


def random_blocks(chance: np.random.Generator, kind: str, rows: int, columns: int, size: float) -> np.ndarray:
    """Super-blocks of any bytes with weights of about `size`: gguf-py reads such types, but cannot write them."""
    elements, count = gguf.GGML_QUANT_SIZES[KINDS[kind]]
    raw = chance.integers(0, 256, (rows, columns // elements, count), np.uint8)
    for at, unit in SCALES[kind].items():
        d = chance.uniform(0.5, 1.5, raw.shape[:2]) * size * unit
        raw[..., at : at + 2] = d.astype("<f2")[..., None].view(np.uint8)
    return raw.reshape(rows, -1)


@dataclass(frozen=True)
class Tiny:
    """Dimensions; every one unlike the others, so that a mix-up shows."""

    layers: int = 2
    width: int = 64
    inner: int = 96
    heads: int = 2
    key_heads: int = 1
    vocabulary: int = 100
    context: int = 300
    kind: str | tuple[str, ...] = "q4_1"
    """Of the layers' matrices; several take turns."""
    size: float = 0.3
    """About that of the layers' weights."""
    outer: str = "q8_0"
    norms: str = "f32"
    seed: int = 1
    architecture: str = "llama"
    leave_out: str = ""
    untied: bool = False
    head: int = 0
    """Numbers in a head; 0: width / heads."""
    biases: bool = False
    divisors: tuple[float, ...] = ()
    scaling: float = 0.0
    base: float = 10000.0
    epsilon: float = 1e-5
    window: int = 20
    """Positions that a layer with a window sees, in families that have such layers; 0: the file does not say."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of its architecture besides: names without the architecture's."""
    tokenizer: Callable[[gguf.GGUFWriter], object] | None = None
    """Writes a tokenizer of `vocabulary` tokens."""
    vocabulary_kind: str = ""
    """`none` for llama.cpp, which will not load a file that says nothing of its vocabulary."""
    words: bool = False
    """With a vocabulary of text: three control ids, of which <end> ends, all bytes but 0xF1, pairs of letters."""

    def but(self, **changes: object) -> "Tiny":
        return replace(self, **changes)  # type: ignore[arg-type]  # a test's own keywords


MIXED = Tiny(
    width=256,
    heads=8,
    key_heads=2,
    inner=512,
    kind=("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k", "f32", "f16", "bf16"),
    outer="q6_k",
)
"""Every type that is computed, in rows that are multiples of 256."""


FAMILIES = {
    "llama": Tiny(width=128, heads=4, key_heads=2, biases=True, scaling=4.0),
    "llama 3": Tiny(width=128, heads=4, key_heads=2, divisors=tuple(1 + i / 2 for i in range(16))),
    "qwen2": Tiny(architecture="qwen2", width=128, heads=4, key_heads=2, biases=True, untied=True),
    "qwen3": Tiny(architecture="qwen3", width=96, heads=4, key_heads=2, head=64),
    "gemma": Tiny(architecture="gemma", width=96, heads=3, key_heads=1, head=64),
    "gemma2": Tiny(architecture="gemma2", layers=3, width=96, heads=4, key_heads=2, head=32),
    "gemma3": Tiny(architecture="gemma3", layers=7, width=96, heads=4, key_heads=2, head=32, scaling=8.0),
}
"""One of each family of graphs."""
VARIANTS = {
    "llama, a factor without a type": FAMILIES["llama"].but(scaling=0.0, fields={"rope.scaling.factor": 4.0}),
    "llama, a factor by its old name": FAMILIES["llama"].but(scaling=0.0, fields={"rope.scale_linear": 4.0}),
    "gemma2, more windows": FAMILIES["gemma2"].but(fields={"attention.sliding_window_pattern": 3}),
    "gemma3, fewer windows, their base, a cap": FAMILIES["gemma3"].but(
        fields={"attention.sliding_window_pattern": 3, "rope.freq_base_swa": 500.0, "final_logit_softcapping": 5.0}
    ),
    "gemma3, no windows": FAMILIES["gemma3"].but(window=0, layers=2),
}
"""What a file of a family may say otherwise."""
WINDOW = FAMILIES["gemma2"].window


def _dimensions(writer: gguf.GGUFWriter, tiny: Tiny) -> None:
    """Fields that only some families have."""
    if tiny.head:
        writer.add_key_length(tiny.head)
        writer.add_value_length(tiny.head)
    if tiny.architecture in ("gemma2", "gemma3") and tiny.window:
        writer.add_sliding_window(tiny.window)
    if tiny.architecture == "gemma2":
        writer.add_attn_logit_softcapping(3.0)
        writer.add_final_logit_softcapping(5.0)
    if tiny.scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(tiny.scaling)
    for name, value in tiny.fields.items():
        kind = gguf.GGUFValueType.UINT32 if type(value) is int else gguf.GGUFValueType.get_type(value)
        writer.add_key_value(f"{tiny.architecture}.{name}", value, kind)
    if tiny.tokenizer is not None:
        tiny.tokenizer(writer)
    if tiny.vocabulary_kind:
        writer.add_tokenizer_model(tiny.vocabulary_kind)
        writer.add_vocab_size(tiny.vocabulary)


def _text(writer: gguf.GGUFWriter, tiny: Tiny) -> None:
    """A chat template, unless the test writes a tokenizer of its own; and `Tiny.words`."""
    if tiny.tokenizer is None:
        writer.add_chat_template("{{ messages }}")
    if not tiny.words:
        return
    letters = [letter for byte, letter in enumerate(byte_letters()) if byte != 0xF1]
    pairs = [a + b for a in "{abc" for b in 'abc"'][: tiny.vocabulary - 258]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<a>", "<b>", "<end>", *letters, *pairs])
    writer.add_token_types([3, 3, 3, *[1] * (255 + len(pairs))])
    writer.add_token_merges([f"{pair[0]} {pair[1]}" for pair in pairs])


def write(path: Path, tiny: Tiny) -> Path:
    """Writes the file, returns its path."""
    chance = np.random.default_rng(tiny.seed)
    writer = gguf.GGUFWriter(path, tiny.architecture)
    _dimensions(writer, tiny)
    writer.add_block_count(tiny.layers)
    writer.add_context_length(tiny.context)
    writer.add_embedding_length(tiny.width)
    writer.add_feed_forward_length(tiny.inner)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.key_heads)
    writer.add_rope_freq_base(tiny.base)
    writer.add_layer_norm_rms_eps(tiny.epsilon)
    writer.add_eos_token_id(min(2, tiny.vocabulary - 1))
    _text(writer, tiny)

    def matrix(name: str, columns: int, rows: int, kind: str, size: float = tiny.size) -> None:
        if name == tiny.leave_out:
            return
        if kind in SCALES:
            raw = random_blocks(chance, kind, rows, columns, size)
        else:
            numbers = (chance.standard_normal((rows, columns)) * size).astype(np.float32)
            raw = gguf.quants.quantize(numbers, KINDS[kind])
        writer.add_tensor(name, raw, raw_dtype=KINDS[kind])

    def norm(name: str, size: int = tiny.width, base: float = 1.0) -> None:
        numbers = (base + chance.standard_normal(size) * 0.1).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(numbers, KINDS[tiny.norms]), raw_dtype=KINDS[tiny.norms])

    matrix("token_embd.weight", tiny.width, tiny.vocabulary, tiny.outer, 1.0)
    if tiny.untied:
        matrix("output.weight", tiny.width, tiny.vocabulary, tiny.outer)
    head = tiny.head or tiny.width // tiny.heads
    queries, keys = head * tiny.heads, head * tiny.key_heads
    if tiny.divisors:
        writer.add_tensor("rope_freqs.weight", np.array(tiny.divisors, np.float32))
    kinds = cycle((tiny.kind,) if isinstance(tiny.kind, str) else tiny.kind)
    for layer in range(tiny.layers):
        at = f"blk.{layer}."
        norm(f"{at}attn_norm.weight")
        norm(f"{at}ffn_norm.weight")
        if tiny.architecture in ("gemma2", "gemma3"):
            norm(f"{at}post_attention_norm.weight")
            norm(f"{at}post_ffw_norm.weight")
        if tiny.architecture in ("qwen3", "gemma3"):
            norm(f"{at}attn_q_norm.weight", head)
            norm(f"{at}attn_k_norm.weight", head)
        for which, size in zip("qkv", (queries, keys, keys), strict=True) if tiny.biases else ():
            norm(f"{at}attn_{which}.bias", size, 0.0)
        matrix(f"{at}attn_q.weight", tiny.width, queries, next(kinds))
        matrix(f"{at}attn_k.weight", tiny.width, keys, next(kinds))
        matrix(f"{at}attn_v.weight", tiny.width, keys, next(kinds))
        matrix(f"{at}attn_output.weight", queries, tiny.width, next(kinds))
        matrix(f"{at}ffn_gate.weight", tiny.width, tiny.inner, next(kinds))
        matrix(f"{at}ffn_up.weight", tiny.width, tiny.inner, next(kinds))
        matrix(f"{at}ffn_down.weight", tiny.inner, tiny.width, next(kinds))
    norm("output_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
