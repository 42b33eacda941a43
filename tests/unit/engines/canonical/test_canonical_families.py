"""Families of graphs: the same bits however their work is cut, and what each refuses. That they are right: the traces
(`test_canonical_trace.py`) hold kernels to graphs, `tests/peers/test_llamacpp_families.py` graphs to llama.cpp."""

import re
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.base import Job
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native, rope, shape
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.ir import evaluate
from steelyard.protocol.errors import Malformed, Refused

SHARP = 0x3F800000
PROMPT = tuple(int(unit) for unit in np.random.default_rng(3).integers(0, 100, 50))
JOB = Job(PROMPT, len(PROMPT), 12, SHARP, SHARP, 0, 77)


@pytest.mark.parametrize("name", tiny_llama.FAMILIES)
def test_kernels_that_are_compiled_are_those_that_are_called(name: str, tmp_path: Path) -> None:
    file = models.open_file(tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES[name]), tmp_path)
    recipe = models.recipe_of(file.head, file.shape)
    calls = file.lowered.calls
    assert {*(recipe.rows or ())} == {call.kernel for call in calls} - {"dot", "attention"}
    dots = {tensor for call in calls if call.kernel == "dot" for tensor in call.tensors}
    assert {*recipe.kinds} == {file.lowered.kinds[tensor] for tensor in dots | {"token_embd.weight"}}


@pytest.mark.parametrize("name", tiny_llama.FAMILIES)
def test_a_familys_evidence_does_not_depend_on_how_the_work_is_cut(name: str, tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES[name])
    read = models.open_file(path, tmp_path).shape
    here = native.recipe_here(read.head_dim, read.heads // read.key_heads)
    here = replace(here, halves=read.family.halves, capped=bool(read.score_cap))
    found = []
    for cut in (
        {"threads": 1, "tokens": 8, "prefill": 1},
        {"threads": 2, "recipe": replace(here, page=16, tiles=(3, 8))},
        {"threads": 3, "grain": 1, "recipe": replace(here, dot="plain", page=48)},
    ):
        engine = CanonicalEngine(path, "tiny", cache=tmp_path, **cut)
        steps = list(engine.generate(JOB))
        found.append((steps, engine.replay(JOB, [step.id for step in steps])))
        engine.close()
    assert found[0] == found[1] == found[2]
    steps, replay = found[0]
    assert list(replay.leaves) == [step.leaf for step in steps]


@pytest.mark.parametrize(
    ("rule", "families", "line"),
    [
        ("ARI-35", ("gemma", "gemma2", "gemma3"), r"^embedding\.scaled f"),
        ("ARI-36", ("llama", "qwen2"), r"^blk\.0\.v\.biased f \[64\]: blk\.0\.v\[0; 1\], .*: add 0 1$"),
        ("ARI-37", ("qwen3", "gemma3"), r"^blk\.1\.k\.normed f \[2 (64|32)\]"),
        ("ARI-38", ("gemma2", "gemma3"), r"^blk\.0\.ffn_down\.sum f \[96\]: .*, blk\.0\.post_ffw_norm\["),
        ("ARI-39", ("gemma2",), r"^logits f \[100\]: .*div 0 1; .*select 5 6 2; tanh 7; .*mul 8 9$"),
        ("ARI-43", ("gemma2", "gemma3"), r"^blk\.0\.attn\.mixed .*whole 00000014; .*iless .*select"),
    ],
)
def test_a_rule_is_a_line_in_the_graphs_of_its_families_alone(
    rule: str, families: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    assert rule in (Path(__file__).parents[4] / "spec" / "arithmetic.md").read_text()
    for name, tiny in tiny_llama.FAMILIES.items():
        lowered = models.open_file(tiny_llama.write(tmp_path / "tiny.gguf", tiny), tmp_path).lowered
        assert any(re.search(line, str(node)) for node in lowered.graph.nodes) == (name in families), name


def test_ari_22_divisors_divide_the_angles() -> None:
    plain, halved = (rope.first(10000.0, 32, divisors) for divisors in ((), (2.0,) * 16))
    turned = rope.tables(10000.0, 32, 3, (2.0,) * 16)[0]
    assert [c for c, _ in halved] != [c for c, _ in plain]
    assert np.allclose(turned[2], rope.tables(10000.0, 32, 2)[0][1], atol=1e-7)


def test_layers_with_a_window_are_all_but_the_last_of_each_few(tmp_path: Path) -> None:
    """ARI-43."""
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES["gemma3"])
    found = shape.read(gguf_head.read(path))
    assert [found.local(layer) for layer in range(7)] == [True] * 5 + [False, True]
    assert [found.turn(layer) for layer in range(7)] == [1] * 5 + [0, 1]
    assert [turn.base for turn in found.turns] == [10000.0, 10000.0]
    assert (found.turns[0].factor, found.turns[1].factor) == (8.0, 1.0)


def test_ari_43_a_file_may_have_other_windows_or_none(tmp_path: Path) -> None:
    cut, none = (
        shape.read(gguf_head.read(tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.VARIANTS[name])))
        for name in ("gemma3, fewer windows, their base, a cap", "gemma3, no windows")
    )
    assert [cut.local(layer) for layer in range(7)] == [True, True, False, True, True, False, True]
    assert (cut.turns[1].base, cut.turns[1].factor, cut.logit_cap) == (500.0, 1.0, 5.0)
    assert [(none.local(layer), none.turn(layer)) for layer in range(2)] == [(False, 0)] * 2
    assert (len(none.turns), none.logit_cap) == (1, 0.0)


@pytest.mark.parametrize(
    ("fields", "factor"),
    [
        ({}, 1.0),
        ({"rope.scaling.factor": 4.0}, 4.0),
        ({"rope.scale_linear": 4.0}, 4.0),
        ({"rope.scale_linear": 4.0, "rope.scaling.factor": 2.0}, 2.0),
        ({"rope.scale_linear": 4.0, "rope.scaling.factor": 2.0, "rope.scaling.type": "none"}, 1.0),
    ],
)
def test_ari_44_a_linear_factor_needs_no_type(fields: dict[str, object], factor: float, tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny(fields=fields))
    assert [turn.factor for turn in shape.read(gguf_head.read(path)).turns] == [factor]


def test_a_window_hides_values_that_are_no_numbers(tmp_path: Path) -> None:
    """ARI-43: an infinite value that has left the window changes nothing, where it would not if 0·∞ were added."""
    tiny = tiny_llama.FAMILIES["gemma2"].but(layers=1, kind="f32", outer="f32")
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    raw = bytearray(path.read_bytes())
    embedding = next(t for t in gguf_head.read(path).tensors if t.name == "token_embd.weight")
    row = embedding.at + 4 * tiny.width * 7
    raw[row : row + 4] = np.float32(3e38).tobytes()  # id 7: its norm overflows
    path.write_bytes(raw)
    engine = CanonicalEngine(path, "tiny", cache=tmp_path)
    ids = [7] + [3] * (tiny.window + 4)
    states = engine.replay(Job((7,), 1, 40, 0, SHARP, 0, 0), ids[1:]).states
    engine.close()
    rows = np.frombuffer(states, "<f4").reshape(-1, tiny.width)
    assert np.isnan(rows[0]).all()
    assert np.isfinite(rows[tiny.window + 1]).all()


@pytest.mark.parametrize(
    ("name", "changes", "rule"),
    [
        ("llama", {"scaling": 0.5}, r"model\.dimension: rope\.scaling\.factor is 0\.5"),
        ("llama 3", {"divisors": (0.5,) * 16}, r"model\.rope-scaling.*0\.5"),
        ("llama 3", {"divisors": (1.0,) * 15}, r"model\.tensor-shape.*rope_freqs"),
        ("qwen2", {"biases": False}, r"model\.tensor-missing: 6 of"),
        ("qwen3", {"head": 48}, r"model\.dimension: head of 48"),
        ("gemma3", {"fields": {"rope.dimension_count_swa": 16}}, r"model\.dimension: .* 32 turned, 16 in a window"),
        ("gemma3", {"fields": {"attention.sliding_window_pattern": [True, False]}}, r"gguf\.field.*whole number"),
        ("gemma2", {"fields": {"final_logit_softcapping": 0.0}}, r"model\.dimension: final_logit_softcapping is 0\.0"),
        ("llama", {"fields": {"rope.scaling.attn_factor": 2.0}}, r"model\.rope-scaling: .* times 2\.0"),
        ("llama", {"fields": {"attention.causal": False}}, r"model\.architecture: .*later positions"),
        ("gemma", {"architecture": "gemma9"}, r"model\.architecture: 'gemma9', known: llama, qwen2"),
    ],
)
def test_what_a_family_does_not_compute_is_refused_by_name(
    name: str, changes: dict[str, object], rule: str, tmp_path: Path
) -> None:
    """ARI-45."""
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES[name].but(**changes))
    with pytest.raises((Refused, Malformed), match=rule):
        models.open_file(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("llama", "attention.scale", 0.5, "0.5"),
        ("llama", "logit_scale", 4.0, "4.0"),
        ("llama", "attention.causal", True, ""),
    ],
)
def test_a_field_that_makes_another_graph_is_refused_unless_it_says_what_is_computed(
    name: str, key: str, value: object, told: str, tmp_path: Path
) -> None:
    head = gguf_head.read(tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES[name]))
    head = replace(head, fields=dict(head.fields) | {f"{head.text('general.architecture')}.{key}": value})
    if not told:
        shape.read(head)
        return
    with pytest.raises(Refused, match=rf"model\.field: {re.escape(key)} is {told}: not computed in {name}"):
        shape.read(head)


def test_a_window_beyond_all_positions_hides_none(tmp_path: Path) -> None:
    """Position + window is a 32-bit word in the graph (ARI-43), and would wrap."""
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES["gemma2"].but(window=2**31 - 1))
    with Trace(models.load(models.open_file(path, tmp_path), 1), PROMPT) as trace:
        trace.value(49, "logits")
        for name in trace._known.keys() | trace._loops.keys():
            expected = evaluate.value(trace.graph.by_name[name], 49, trace)
            assert trace.value(49, name).tobytes() == expected.tobytes(), name


def test_scalings_that_are_not_computed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_llama.write(path, tiny_llama.Tiny(scaling=2.0))
    raw = path.read_bytes().replace(b"linear", b"yarn  ")
    path.write_bytes(raw)
    with pytest.raises(Refused, match=r"model\.rope-scaling: 'yarn  '"):
        models.open_file(path, tmp_path)
    assert gguf.RopeScalingType.YARN.value == "yarn"
