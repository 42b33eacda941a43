"""Each family's graph against transformers', in binary32, on the same random weights.

The file is ours (`tiny_llama`), the model is made from transformers' own configuration of the family, and the file's
tensors are put into it: what converters do when they write a GGUF file, backwards. Nothing is quantised on either
side, so what is left between two right graphs is the order of sums.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import tiny_llama
from teacher_forced import Ours
from tiny_llama import Tiny

NEEDED = "no torch or no transformers here (scripts/setup peers installs them, 1.0 GB or more)"
torch = pytest.importorskip("torch", reason=NEEDED)
transformers = pytest.importorskip("transformers", reason=NEEDED)

ODD = {
    "llama, heads wider than width / heads, group of 4": Tiny(width=96, heads=4, head=64, biases=True, vocabulary=77),
    "llama, one layer, group of 7": Tiny(width=224, heads=7, layers=1, vocabulary=101, untied=True, epsilon=0.1),
    "llama 3, group of 1": Tiny(width=64, heads=2, key_heads=2, divisors=(1.0,) * 16, base=5e5, untied=True),
    "qwen2, group of 7": Tiny(
        architecture="qwen2", width=224, heads=7, biases=True, base=1e6, vocabulary=33, epsilon=0.1
    ),
    "qwen3, group of 1": Tiny(architecture="qwen3", width=160, heads=5, key_heads=5, head=96, scaling=2.0, epsilon=0.1),
    "gemma, one layer": Tiny(architecture="gemma", width=64, heads=4, head=256, layers=1, vocabulary=15, epsilon=0.1),
    "gemma2, 46 layers": Tiny(architecture="gemma2", layers=46, width=96, heads=2, head=32, inner=64),
    "gemma3, 62 layers": Tiny(architecture="gemma3", layers=62, width=96, heads=2, head=64, inner=64, base=1e6),
    "gemma3, group of 1": Tiny(
        architecture="gemma3", layers=13, width=96, heads=3, key_heads=3, head=32, base=1e6, epsilon=0.1
    ),
}
"""What `tiny_llama.FAMILIES` has not: other groups, heads, vocabularies, bases; the counts of layers at which the
score's scale is another one."""
CASES = tiny_llama.FAMILIES | tiny_llama.VARIANTS | ODD
COUNT = 60
"""Ids: more than a window, and than a tile of tokens."""
MOST = 2e-5
"""Of the logits' deviation; measured: at most 4.8e-6. Weights are small for this (`size`): sharp attention magnifies
roundings. GELU by the error function instead of the tanh shows as 1.5e-4, a window too wide by one as 2e-1."""


def turns(tiny: Tiny) -> dict[str, Any]:
    """Configuration of the rotation."""
    far: dict[str, Any] = {"rope_type": "default", "rope_theta": tiny.base}
    factor = tiny.scaling or tiny.fields.get("rope.scaling.factor") or tiny.fields.get("rope.scale_linear")
    if tiny.divisors:
        of_llama3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        far |= {"rope_type": "llama3", "factor": 8.0} | of_llama3
    elif factor:
        far |= {"rope_type": "linear", "factor": factor}
    if tiny.architecture == "gemma3":
        near = {"rope_type": "default", "rope_theta": tiny.fields.get("rope.freq_base_swa", 10000.0)}
        return {"full_attention": far, "sliding_attention": near}
    return far


def of_gemma(tiny: Tiny, head: int) -> dict[str, Any]:
    """What only gemma2's and gemma3's configurations say."""
    usual, whole = {"gemma2": (2, 46), "gemma3": (6, 62)}[tiny.architecture]
    every = tiny.fields.get("attention.sliding_window_pattern", usual) if tiny.window else 1
    told: dict[str, Any] = {
        "sliding_window": tiny.window or 4096,
        "layer_types": [
            "full_attention" if layer % every == every - 1 else "sliding_attention" for layer in range(tiny.layers)
        ],
        "query_pre_attn_scalar": tiny.width // tiny.heads if tiny.layers == whole else head,
        "final_logit_softcapping": tiny.fields.get("final_logit_softcapping"),
    }
    if tiny.architecture == "gemma2":
        told |= {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}
    return told


def untrained(tiny: Tiny) -> Any:
    """transformers' model of these dimensions."""
    head = tiny.head or tiny.width // tiny.heads
    told: dict[str, Any] = {
        "vocab_size": tiny.vocabulary,
        "hidden_size": tiny.width,
        "intermediate_size": tiny.inner,
        "num_hidden_layers": tiny.layers,
        "num_attention_heads": tiny.heads,
        "num_key_value_heads": tiny.key_heads,
        "max_position_embeddings": tiny.context,
        "rms_norm_eps": tiny.epsilon,
        "tie_word_embeddings": not tiny.untied,
        "rope_parameters": turns(tiny),
        "pad_token_id": None,
    }
    if tiny.head:
        told["head_dim"] = head
    if tiny.architecture == "llama":
        told["attention_bias"] = tiny.biases
    if tiny.architecture in ("gemma2", "gemma3"):
        told |= of_gemma(tiny, head)
    kind = {"gemma3": "gemma3_text"}.get(tiny.architecture, tiny.architecture)
    config = transformers.AutoConfig.for_model(kind, **told)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)


def divisors(model: Any, tiny: Tiny) -> tuple[float, ...]:
    """What the model divides each pair's angle by, besides the base's power."""
    here = model.model.rotary_emb.inv_freq
    plain = 1.0 / tiny.base ** (torch.arange(len(here)).float() / len(here))
    return tuple(float(d) for d in plain / here)


PLACES = {
    "token_embd": "model.embed_tokens",
    "output": "lm_head",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def place(name: str, architecture: str) -> str:
    """A tensor's name in transformers."""
    *at, what, kind = name.split(".")
    if what == "ffn_norm":
        four = architecture in ("gemma2", "gemma3")  # norms in a layer
        there = "pre_feedforward_layernorm" if four else "post_attention_layernorm"
    else:
        there = PLACES[what]
    return ".".join(["model.layers", at[1], there, kind] if at else [there, kind])


def unturned(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a head with pairs i and i + half of it, from pairs 2i and 2i + 1."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def weights(file: Path, tiny: Tiny) -> dict[str, Any]:
    """The file's tensors as transformers keeps them."""
    found = {}
    for tensor in gguf.GGUFReader(file).tensors:
        name, numbers = tensor.name, np.array(tensor.data)
        if name == "rope_freqs.weight":
            continue
        if tiny.architecture == "llama" and (".attn_q." in name or ".attn_k." in name):
            numbers = unturned(numbers, tiny.heads if ".attn_q." in name else tiny.key_heads)
        if tiny.architecture.startswith("gemma") and name.endswith("norm.weight"):
            numbers = numbers - np.float32(1)
        found[place(name, tiny.architecture)] = torch.from_numpy(numbers)
    if tiny.architecture == "llama" and tiny.biases:  # there one more, which our files may not have
        for layer in range(tiny.layers):
            found[f"model.layers.{layer}.self_attn.o_proj.bias"] = torch.zeros(tiny.width)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_familys_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    tiny = CASES[name].but(kind="f32", outer="f32", size=0.1)
    model = untrained(tiny)
    if tiny.divisors:
        tiny = tiny.but(divisors=divisors(model, tiny))
    file = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    missing, unknown = model.load_state_dict(weights(file, tiny), strict=False)
    assert (missing, unknown) == ([] if tiny.untied else ["lm_head.weight"], [])
    ids = [int(unit) for unit in np.random.default_rng(3).integers(0, tiny.vocabulary, COUNT)]
    ours = Ours(file, tmp_path)
    mine = ours.logits(ids)
    ours.close()
    with torch.no_grad():
        theirs = model.eval()(torch.tensor([ids])).logits[0].numpy()

    assert (mine.argmax(1) == theirs.argmax(1)).all()
    assert np.abs(mine - theirs).max() <= MOST * theirs.std()
