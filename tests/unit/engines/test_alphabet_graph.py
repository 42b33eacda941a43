"""The toy's graph is what its engine computes, bit for bit, and it has what disputes meet."""

from collections.abc import Sequence

import numpy as np
import pytest

from steelyard.engines import alphabet_graph
from steelyard.engines.alphabet_graph import CLOSERS, CONTEXT, END, GRAPH, LETTERS, LOGITS, VOCABULARY, language
from steelyard.engines.alphabet_run import Run
from steelyard.engines.ir import leaves
from steelyard.engines.ir.evaluated import Evaluated
from steelyard.protocol import merkle

IDS = [*b"hello", 0, 255, END, *b" and on it goes, past 16 turns and past one leaf of 32 positions."]
HONEST, LIE = language(), language(b"a lie")


def spoken(position: int) -> alphabet_graph.Language:
    return HONEST if position < 5 else LIE


def evaluated(ids: Sequence[int], mixed: bool = False) -> Evaluated:
    return Evaluated(GRAPH, ids, lambda source, at, index: (spoken(at) if mixed else HONEST).tables[source][index])


def bits(array: np.ndarray) -> list[int]:
    found: list[int] = np.ascontiguousarray(array).reshape(-1).view(np.uint32).tolist()
    return found


@pytest.mark.parametrize("node", [node.name for node in GRAPH.nodes])
@pytest.mark.parametrize("mixed", [False, True], ids=["honest", "lying from 5 on"])
def test_every_node_of_the_run_is_the_graphs(node: str, mixed: bool) -> None:
    run, slow = Run(len(IDS), spoken if mixed else lambda _: HONEST), evaluated(IDS, mixed)
    for position, unit in enumerate(IDS):
        run.take([unit])
        if position in (0, 1, 5, 16, 33, len(IDS) - 1):
            found, expected = run.values()[node], slow.value(position, node)
            assert found.dtype == expected.dtype
            assert bits(found) == bits(expected), position


def test_a_run_over_any_ids_ends_in_the_graphs_logits() -> None:
    chance = np.random.default_rng(4)
    for size in (2, 17, 300):
        ids = chance.integers(0, VOCABULARY, size).tolist()
        run = Run(size, lambda _: HONEST)
        run.take(ids)
        assert bits(run.values()[LOGITS]) == bits(evaluated(ids).value(size - 1, LOGITS))


def test_every_load_lies_inside_its_source() -> None:
    GRAPH.check({name: len(table) for name, table in HONEST.tables.items()}, CONTEXT - 1, VOCABULARY)


def test_the_graph_has_everything_that_a_dispute_meets() -> None:
    views = [view for node in GRAPH.nodes for view in node.loads]
    operations = {instruction.operation for node in GRAPH.nodes for instruction in node.body}
    assert {node.lanes for node in GRAPH.nodes if node.fold} == {1, 16}
    assert {view.width for view in views} == {1, 32}
    assert any(view.by_id for view in views)
    assert {view.source in GRAPH.inputs for view in views if view.width > 1} == {True, False}
    assert sum(view.position_axis is not None for view in views) == 3
    assert operations >= {"axis", "position", "imul", "iadd", "iand", "iless", "dot", "exp", "sqrt", "div", "fma"}
    assert any(extent.slope for node in GRAPH.nodes for extent in node.space)
    assert any(not node.body for node in GRAPH.nodes)
    assert min(GRAPH.by_name[name].elements(0) for name in ("state", "logits")) > leaves.WORDS_PER_LEAF


def test_a_state_follows_every_id_and_their_order() -> None:
    def state(ids: Sequence[int]) -> list[int]:
        run = Run(len(ids), lambda _: HONEST)
        run.take(ids)
        return bits(run.values()["state"])

    known = state(IDS)
    swapped = [IDS[1], IDS[0], *IDS[2:]]
    others = [swapped, IDS[1:], *([*IDS[:at], IDS[at] ^ 1, *IDS[at + 1 :]] for at in (0, 9, len(IDS) - 1))]
    for other in others:
        found = state(other)
        assert sum(a != b for a, b in zip(known, found, strict=True)) > 50


def test_letters_have_scores_the_end_comes_now_and_then_and_nothing_else_speaks() -> None:
    run = Run(2000, lambda _: HONEST)
    silent = [unit for unit in range(END) if unit not in LETTERS + CLOSERS]
    stops = 0
    for at in range(2000):
        run.take([LETTERS[at * at % 29]])
        logits = run.values()[LOGITS]
        stopped = logits[END] > 40
        assert -9 < logits[list(LETTERS)].min() <= logits[list(LETTERS)].max() < 9
        assert logits[silent].max() < -50
        assert stopped or logits[END] < -50
        assert all((20 < logits[unit] < 45) if stopped else logits[unit] < -50 for unit in CLOSERS)
        stops += stopped
    assert 50 < stops < 120  # of 2,000, one in 24


@pytest.mark.parametrize(("odds", "stops"), [(0, 0), (1, 100)])
def test_a_dialect_may_never_end_or_end_at_once(odds: int, stops: int) -> None:
    spoken = language(odds=odds)
    run = Run(100, lambda _: spoken)
    found = 0
    for at in range(100):
        run.take([97 + at % 26])
        found += int(run.values()[LOGITS][END] > 40)
    assert found == stops
    assert spoken.tree.root != HONEST.tree.root


def test_the_model_root_covers_name_facts_graph_and_tables() -> None:
    parts = [b"steelyard/alphabet/2", b"none", HONEST.facts.raw()]
    assert HONEST.tree.root == merkle.root([merkle.leaf_hash(part) for part in parts])
    assert HONEST.facts.graph_root == merkle.root([merkle.leaf_hash(node) for node in HONEST.nodes])
    places = {leaves.decode(node).sources[name] for node in HONEST.nodes for name in leaves.decode(node).sources}
    tables = {tree.root for tree in HONEST.trees.values()}
    assert {place.root for place in places if isinstance(place, leaves.TableAt)} == tables
    assert HONEST.facts.ends == (END,)
    assert (HONEST.facts.width, HONEST.facts.vocabulary, HONEST.facts.positions) == (64, VOCABULARY, CONTEXT)
    assert max(map(len, HONEST.nodes)) <= leaves.MAX_NODE
