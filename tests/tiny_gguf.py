"""A GGUF file of a few kilobytes, written by gguf-py: a byte-level vocabulary, two control ids, a chat template."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize

from steelyard.engines.text import byte_letters

START, END = "<|im_start|>", "<|im_end|>"
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġ hello", "1 2"]
TEMPLATE = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokens() -> list[str]:
    """Controls first, then the 256 bytes, then what the merges make."""
    return [START, END, *byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]


def write(path: Path, template: str = TEMPLATE, pre: str = "smollm", seed: int = 0) -> Path:
    """A file with the metadata of a small llama, a Q8_0 embedding, a Q4_1 matrix and an F32 vector."""
    names = tokens()
    kinds = [TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(names) - 2)
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(3)
    writer.add_context_length(512)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(1)
    writer.add_chat_template(template)
    for name, shape, kind in (
        ("token_embd.weight", (len(names), 64), GGMLQuantizationType.Q8_0),
        ("blk.0.ffn_up.weight", (48, 64), GGMLQuantizationType.Q4_1),
        ("output_norm.weight", (64,), GGMLQuantizationType.F32),
    ):
        values = rng.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
