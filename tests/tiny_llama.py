"""A small llama-architecture GGUF of random weights, written by gguf-py: for tests of the canonical engine."""

from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

from steelyard.engines.text import byte_letters

KINDS = {
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q4_1": gguf.GGMLQuantizationType.Q4_1,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
}


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
    kind: str = "q4_1"
    outer: str = "q8_0"
    seed: int = 1
    architecture: str = "llama"
    leave_out: str = ""
    untied: bool = False
    words: bool = False
    """With a vocabulary of text: three control ids, of which <end> ends, all bytes but 0xF1, pairs of letters."""

    def but(self, **changes: object) -> "Tiny":
        return replace(self, **changes)  # type: ignore[arg-type]  # a test's own keywords


def write(path: Path, tiny: Tiny) -> Path:
    """Writes the file, returns its path."""
    chance = np.random.default_rng(tiny.seed)
    writer = gguf.GGUFWriter(path, tiny.architecture)
    writer.add_block_count(tiny.layers)
    writer.add_context_length(tiny.context)
    writer.add_embedding_length(tiny.width)
    writer.add_feed_forward_length(tiny.inner)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.key_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")

    if tiny.words:
        letters = [letter for byte, letter in enumerate(byte_letters()) if byte != 0xF1]
        pairs = [a + b for a in "{abc" for b in 'abc"'][: tiny.vocabulary - 258]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(["<a>", "<b>", "<end>", *letters, *pairs])
        writer.add_token_types([3, 3, 3, *[1] * (255 + len(pairs))])
        writer.add_token_merges([f"{pair[0]} {pair[1]}" for pair in pairs])

    def matrix(name: str, columns: int, rows: int, kind: str, size: float = 0.3) -> None:
        if name == tiny.leave_out:
            return
        numbers = (chance.standard_normal((rows, columns)) * size).astype(np.float32)
        raw = gguf.quants.quantize(numbers, KINDS[kind])
        writer.add_tensor(name, raw, raw_dtype=KINDS[kind])

    def norm(name: str) -> None:
        writer.add_tensor(name, (1 + chance.standard_normal(tiny.width) * 0.1).astype(np.float32))

    matrix("token_embd.weight", tiny.width, tiny.vocabulary, tiny.outer, 1.0)
    if tiny.untied:
        matrix("output.weight", tiny.width, tiny.vocabulary, tiny.outer)
    keys = tiny.width // tiny.heads * tiny.key_heads
    for layer in range(tiny.layers):
        at = f"blk.{layer}."
        norm(f"{at}attn_norm.weight")
        norm(f"{at}ffn_norm.weight")
        matrix(f"{at}attn_q.weight", tiny.width, tiny.width, tiny.kind)
        matrix(f"{at}attn_k.weight", tiny.width, keys, tiny.kind)
        matrix(f"{at}attn_v.weight", tiny.width, keys, tiny.kind)
        matrix(f"{at}attn_output.weight", tiny.width, tiny.width, tiny.kind)
        matrix(f"{at}ffn_gate.weight", tiny.width, tiny.inner, tiny.kind)
        matrix(f"{at}ffn_up.weight", tiny.width, tiny.inner, tiny.kind)
        matrix(f"{at}ffn_down.weight", tiny.inner, tiny.width, tiny.kind)
    norm("output_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
