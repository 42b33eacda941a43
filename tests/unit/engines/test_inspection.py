"""What is said of a file is what its dimensions come to, also of files that are not served."""

from pathlib import Path

import pytest

import tiny_llama
from odd_gguf import Tensor, honest
from steelyard.engines import gguf_head, inspection
from steelyard.engines.canonical import memory, shape
from steelyard.engines.canonical import model as models
from steelyard.protocol.errors import Refused

MATRICES = 64 * 64 * 2 + 64 * 32 * 2 + 64 * 32 * 3
"""Weights of the honest file's layer: q and output, k and v, gate, up and down."""


def test_an_honest_file_is_served_and_its_numbers_are_those_of_its_dimensions(tmp_path: Path) -> None:
    path = honest().write(tmp_path / "model.gguf")
    found = inspection.inspect(path, 10)
    assert found.unsupported == ()
    assert (found.architecture, found.context_length, found.context, found.chat_template) == ("llama", 64, 10, True)
    assert (found.layers, found.width, found.heads, found.key_heads, found.vocabulary) == (1, 64, 2, 1, 259)
    assert found.parameters == MATRICES + 259 * 64 + 3 * 64
    assert found.tensors == (inspection.Kind("f32", 11, found.parameters, found.parameters * 4, True),)
    attention = 2 * (32 + 32)  # of a position: two heads' scores and sums
    assert found.macs_per_token.decode == MATRICES + 259 * 64 + attention * 10
    assert found.macs_per_token.prefill == MATRICES + attention * 11 // 2
    head = gguf_head.read(path)
    need = memory.need(head, shape.read(head), 128, 2, 128 * 2 * 32 * 4)
    told = (found.memory.weights, found.memory.keys_values, found.memory.buffers, found.memory.scratch)
    assert told == (need.weights, need.keys_values, need.buffers, need.scratch)


def test_everything_that_speaks_against_a_file_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = honest()
    said = {"general.architecture": "mamba", "tokenizer.ggml.pre": "x", "tokenizer.ggml.eos_token_id": 999}
    file.fields = [(name, said.get(name, value)) for name, value in file.fields]
    file.tensors[1].kind = 1
    file.tensors[2].at -= 160
    file.tensors.append(Tensor("blk.0.ssm.weight", [256], 0, 39))
    path = file.write(tmp_path / "model.gguf")
    monkeypatch.setattr(memory, "available", lambda: 1000)
    found = inspection.inspect(path)
    assert [one.rule for one in found.unsupported] == [
        "model.architecture", "model.tensor-type", "model.tensor-overlap", "model.tensor-overlap", "model.tokenizer",
        "gguf.tokenizer", "model.memory",
    ]  # fmt: skip
    assert [(kind.type, kind.tensors, kind.bytes) for kind in found.tensors][1:] == [
        ("ggml type 39", 1, None),
        ("f16", 1, 128),
    ]
    assert found.layers is None
    assert found.memory.buffers is None
    with pytest.raises(Refused, match=r"model\.architecture"):
        inspection.model_root(path, lambda _done, _total: None)


def test_each_part_of_a_graph_that_is_not_computed_is_listed_and_the_first_is_what_loading_refuses(
    tmp_path: Path,
) -> None:
    file = honest()
    said: dict[str, object] = {
        "llama.expert_count": 8,
        "llama.attention.causal": False,
        "llama.logit_scale": 2.0,
        "split.count": 3,
        "llama.attention.head_count": 3,
        "llama.block_count": 0,
        "llama.feed_forward_length": 33,
        "llama.attention.layer_norm_rms_epsilon": 2.0,
        "llama.rope.scaling.type": "yarn",
    }
    file.fields = [(name, value) for name, value in file.fields if name not in said] + list(said.items())
    file.tensors[1].kind = 39
    file.tensors[2].kind = 39
    path = file.write(tmp_path / "model.gguf")
    found = inspection.inspect(path).unsupported
    assert [one.rule.removeprefix("model.") for one in found] == [
        "architecture", "architecture", "field", "split", "dimension", "dimension", "dimension", "dimension",
        "rope-scaling", "tensor-type",
    ]  # fmt: skip
    for one, word in zip(found[4:9], ("head of 32", "block_count", "feed_forward", "epsilon", "yarn"), strict=True):
        assert word in one.detail
    assert found[-1].detail.endswith("; 1 more like it")
    with pytest.raises(Refused, match=r"model\.architecture: experts"):
        shape.read(gguf_head.read(path))


def test_each_way_in_which_tensors_are_not_the_graphs_is_listed(tmp_path: Path) -> None:
    file = honest()
    names = [tensor.name for tensor in file.tensors]
    norm, query, key = (file.tensors[names.index(f"blk.0.attn_{n}.weight")] for n in ("norm", "q", "k"))
    norm.kind, query.shape = 1, [32, 64]
    key.name = "blk.0.attn_x.weight"
    path = file.write(tmp_path / "model.gguf")
    assert [(one.rule, one.detail) for one in inspection.inspect(path).unsupported] == [
        ("model.tensor-missing", "1 of 11, first blk.0.attn_k.weight"),
        ("model.tensor-unknown", "1 besides 11, first blk.0.attn_x.weight"),
        ("model.tensor-shape", "blk.0.attn_q.weight is (32, 64), must be (64, 64)"),
        ("model.tensor-type", "blk.0.attn_norm.weight is f16, computed: f32"),
    ]


def test_experts_count_as_often_as_they_are_used(tmp_path: Path) -> None:
    file = honest()
    file.fields += [("llama.expert_count", 8), ("llama.expert_used_count", 2)]
    before = inspection.inspect(file.write(tmp_path / "model.gguf")).macs_per_token
    file.place("blk.0.ffn_up_exps.weight", 64, 32, 8)
    after = inspection.inspect(file.write(tmp_path / "model.gguf")).macs_per_token
    assert after.decode - before.decode == after.prefill - before.prefill == 64 * 32 * 2


def test_the_model_root_is_the_loaded_models_and_hashing_shows_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "LEAVES_BETWEEN_REPORTS", 10)
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny())
    steps: list[tuple[int, int]] = []
    found = inspection.model_root(path, lambda done, total: steps.append((done, total)))
    assert found == models.open_file(path, tmp_path).packed.root
    assert steps == sorted(steps)
    assert len(steps) > 3
    assert {total for _, total in steps} == {path.stat().st_size}


@pytest.mark.parametrize("context", [0, -1, 2**31])
def test_a_context_that_is_none_is_refused(tmp_path: Path, context: int) -> None:
    with pytest.raises(Refused, match=rf"model\.context: {context} positions"):
        inspection.inspect(honest().write(tmp_path / "model.gguf"), context)
