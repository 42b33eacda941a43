"""A run asked for anything it computed. Kernels and graph are two programs of one definition: every value agrees."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny_llama
from steelyard.engines.base import Job
from steelyard.engines.canonical import lowering
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import trace as traces
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.leaves import cut
from steelyard.engines.ir.scalars import F32, fma
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

TINY = tiny_llama.Tiny(width=128, heads=4, key_heads=2, inner=160, vocabulary=100)
IDS = [int(unit) for unit in np.random.default_rng(3).integers(0, 100, 140)]  # more than a page of 128
PLACES = (0, 5, 127, 128, 139)


@pytest.fixture(scope="module", params=[*sorted(FORMATS), *tiny_llama.FAMILIES])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    """A run of each format and of each family of graphs."""
    folder = tmp_path_factory.mktemp("model")
    name: str = request.param
    if name in FORMATS:
        wide = TINY.but(width=256, heads=8, key_heads=4, inner=512) if FORMATS[name].span == 256 else TINY
        tiny = wide.but(kind=name, outer=name, untied=name == "q8_0")
    else:
        tiny = tiny_llama.FAMILIES[name]
    model = models.load(models.open_file(tiny_llama.write(folder / "tiny.gguf", tiny), folder), 2, tokens=16)
    yield Trace(model, IDS)
    model.close()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    folder = tmp_path_factory.mktemp("model")
    model = models.load(models.open_file(tiny_llama.write(folder / "tiny.gguf", TINY), folder), 1)
    yield Trace(model, IDS)
    model.close()


@pytest.mark.parametrize("position", PLACES)
def test_what_kernels_leave_in_memory_is_what_the_graph_says(trace: Trace, position: int) -> None:
    trace.value(position, "logits")
    left = {name: rows[0] for name, rows in trace._known.items()}
    assert len(left) >= 2 + 13 * trace.model.file.shape.layers
    for name, found in left.items():
        expected = evaluate.value(trace.graph.by_name[name], position, trace)
        assert found.tobytes() == expected.tobytes(), name


def test_a_whole_position_computed_by_the_graph_alone_gives_the_logits(one: Trace) -> None:
    """No kernel's value below: the evaluator's own, from the id up; keys and values of earlier positions are given."""
    one.value(139, "logits")
    left = dict(one._known)
    one._known.clear()
    for node in one.graph.nodes:
        one._known[node.name] = evaluate.value(node, 139, one)[None]
    for name, found in left.items():
        assert one._known[name].tobytes() == found.tobytes(), name


def test_what_lies_between_two_kernels_is_what_the_graph_says_at_several_positions_at_once(trace: Trace) -> None:
    """Two pages of keys; a window of a layer begins within."""
    trace._leaves(range(120, 134))
    for position in (120, 127, 128, 133):
        for name in trace._loops.keys() - {"logits"}:
            expected = evaluate.value(trace.graph.by_name[name], position, trace)
            assert trace.value(position, name).tobytes() == expected.tobytes(), (position, name)
    assert trace._window == range(120, 134)


def test_every_load_of_the_graph_lies_inside_its_source(trace: Trace) -> None:
    file = trace.model.file
    sizes = lowering.sizes(file.lowered, file.head)
    assert sizes.keys() == file.lowered.graph.inputs.keys()
    trace.graph.check(sizes, file.shape.context - 1, file.shape.vocabulary)


def test_partial_sums_lead_to_the_element(trace: Trace) -> None:
    for name, element in (("blk.1.ffn_down", 50), ("blk.0.attn.mixed", 33), ("blk.1.attn_norm.squares", 0)):
        node = trace.graph.by_name[name]
        turns = node.turns(139)
        sums = [trace.partial(139, name, element, steps) for steps in range(turns + 1)]
        assert all(chains.shape == (node.lanes,) for chains in sums)
        assert not sums[0].any()
        whole = sums[-1]
        while len(whole) > 1:
            whole = whole[: len(whole) // 2] + whole[len(whole) // 2 :]
        assert whole[0] == trace.value(139, name)[element]


def test_a_step_of_a_dispute_is_its_operands_and_the_partial_sum_before_it(one: Trace) -> None:
    before, after = (one.partial(130, "blk.1.ffn_up", 7, steps) for steps in (2, 3))
    q, d, m, xq, xd, xds = one.operands(130, "blk.1.ffn_up", 7, step=2)
    assert [operand.source for operand in (q, d, m)] == [f"blk.1.ffn_up.weight#{part}" for part in "qdm"]
    assert (xq.source, xq.position, xq.index) == ("blk.1.ffn_norm.q", 130, 64)
    assert d.index == 7 * 4 + 2
    dot = F32(int(q.values @ xq.values))
    step = fma(m.values, xds.values, fma(d.values * xd.values, np.array([dot]), before))
    assert step == after


def test_operands_of_attention_lie_at_other_positions(one: Trace) -> None:
    query, key = one.operands(130, "blk.0.attn.dots", element=19 * 4 + 3, step=5)
    assert (query.source, query.position, query.index) == ("blk.0.q.turned", 130, 3 * 32 + 5)
    assert (key.source, key.position, key.index) == ("blk.0.k.turned", 19, 32 + 5)
    there = one.value(19, "blk.0.k.turned")[key.index]
    assert there == key.values[0]


def test_gra_14_roots_are_those_of_their_position(one: Trace) -> None:
    roots = [one.position_root(position) for position in (3, 4, 3)]
    assert roots[0] == roots[2] != roots[1]
    leaves = [merkle.leaf_hash(one.root(3, node.name)) for node in one.graph.nodes]
    assert roots[0] == merkle.root(leaves)
    for name in ("blk.0.ffn.inner", "blk.1.attn.scores", "output_norm.inverse"):
        raw = one.value(3, name).view(np.uint32).astype("<u4").tobytes()
        assert one.root(3, name) == merkle.root([merkle.leaf_hash(leaf) for leaf in cut(raw)])


@pytest.mark.parametrize("words", [2**23, 30_000, 1])
def test_positions_have_the_same_trees_however_many_are_computed_at_once(
    one: Trace, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WORDS_AT_ONCE", words)
    found = list(one.leaves())
    assert len(found) == len(IDS)
    for position in PLACES:
        assert merkle.root(found[position]) == one.position_root(position)


def test_evidence_of_a_trace_is_the_runs(tmp_path: Path) -> None:
    engine = CanonicalEngine(tiny_llama.write(tmp_path / "tiny.gguf", TINY), "tiny", threads=1, cache=tmp_path)
    job = Job(tuple(IDS[:9]), 9, 12, 0x3F800000, 0x3F800000, 0, 5)
    steps = list(engine.generate(job))
    with engine.trace(job, [step.id for step in steps]) as trace:
        assert [trace.leaf(9 + i) for i in range(len(steps))] == [step.leaf for step in steps]
    engine.close()


def test_what_a_trace_does_not_have_is_refused_with_its_numbers(one: Trace) -> None:
    for ask, rule in (
        (lambda: one.value(140, "logits"), r"trace\.position: position 140 of 140"),
        (lambda: one.value(0, "blk.2.q"), r"trace\.node: 'blk\.2\.q'"),
        (lambda: one.partial(0, "blk.0.attn", 0, 0), r"trace\.map"),
        (lambda: one.partial(0, "blk.0.q", 128, 0), r"ir\.element: 128 to 128 of 128"),
        (lambda: one.partial(0, "blk.0.q", 0, 5), r"ir\.steps: 5 of 4"),
        (lambda: one.operands(0, "blk.0.q", 0, 4), r"ir\.element.*turn 4 of 4"),
        (lambda: one.position_root(140), r"trace\.position"),
        (lambda: one.value(140, "blk.0.k.turned"), r"trace\.position"),
        (lambda: one.leaf(0), r"trace\.position"),
        (lambda: Trace(one.model, []), r"trace\.length: 0 ids"),
        (lambda: Trace(one.model, [100]), r"order\.unit-out-of-range"),
    ):
        with pytest.raises(Refused, match=rule):
            ask()
