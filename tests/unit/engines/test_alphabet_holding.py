"""The toy's run as a dispute holds it: trees, chains, sums and operands, each under the roots; and a liar around it."""

from collections.abc import Sequence

import numpy as np
import pytest

from steelyard.engines.alphabet import Alphabet
from steelyard.engines.alphabet_graph import GRAPH
from steelyard.engines.base import Job, leaf
from steelyard.engines.ir import encoding, evaluate
from steelyard.engines.ir.facts import FACTS, Facts
from steelyard.engines.ir.holding import GraphHolding, Load, hashed
from steelyard.engines.ir.patched import Patched
from steelyard.protocol import merkle

JOB = Job((*b"weigh it", 0, 256, *b" again and again, more than 32"), 40, 6, 0, 0x3F800000, 0, 7)
ENGINE = Alphabet()
STEPS = list(ENGINE.generate(JOB))
IDS = [step.id for step in STEPS]
NODES = {node.name: index for index, node in enumerate(GRAPH.nodes)}
PLACES = (0, 3, 20, len(JOB.prompt) + len(IDS) - 1)


def held(engine: Alphabet) -> GraphHolding:
    return GraphHolding(engine.trace(JOB, IDS), engine.language)


HELD = held(ENGINE)


def words(raw: bytes) -> list[int]:
    return [int(word) for word in np.frombuffer(raw, "<u4")]


def differences(one: Sequence[bytes], other: Sequence[bytes]) -> list[int]:
    return [index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]


def operands(loads: list[Load], name: str, position: int, element: int, turn: int) -> list[int]:
    """What a contract takes out of the opened leaves."""
    node, unit = GRAPH.by_name[name], [*JOB.prompt, *IDS][position]
    axes, found = evaluate.indices(node, position, element, turn), []
    for view, load in zip(node.loads, loads, strict=True):
        first = int(evaluate.where(view, position, axes, 1, unit)[0]) % 32
        some = np.frombuffer(load.data, "<i4")[first : first + view.width]
        found.append(encoding.word(some))
    return found


def test_every_value_chain_and_position_hangs_under_the_runs_root() -> None:
    assert HELD.root() == merkle.root(HELD.positions())
    for position in PLACES:
        roots = [merkle.root(hashed(HELD.value(position, node))) for node in range(len(NODES))]
        assert HELD.nodes(position) == [merkle.leaf_hash(root) for root in roots]
        assert HELD.positions()[position] == merkle.leaf_hash(merkle.root(HELD.nodes(position)))


def test_facts_and_nodes_open_under_the_model_root() -> None:
    root, facts = ENGINE.card.model_root, Facts.read(HELD.facts())
    assert merkle.verify(root, HELD.model_leaves(), FACTS, merkle.leaf_hash(HELD.facts()), HELD.facts_path())
    for node in range(facts.nodes):
        leaf_hash = merkle.leaf_hash(HELD.node_leaf(node))
        assert merkle.verify(facts.graph_root, facts.nodes, node, leaf_hash, HELD.node_path(node))


@pytest.mark.parametrize("lie_from", [None, 2])
def test_signed_evidence_is_of_the_held_state_and_logit(lie_from: int | None) -> None:
    engine = Alphabet(lie_from=lie_from)
    run = held(engine)
    facts = Facts.read(run.facts())
    for unit, signed in enumerate(engine.replay(JOB, IDS).leaves):
        position = len(JOB.prompt) + unit - 1
        logits = np.frombuffer(run.value(position, facts.logits), "<f4")
        assert signed == leaf(run.value(position, facts.state), float(logits[IDS[unit]]))


@pytest.mark.parametrize("name", NODES)
def test_a_step_over_the_opened_operands_gives_the_next_sum_or_the_element(name: str) -> None:
    """Every load opens under its own tree's root, and what a contract computes from the leaves is what is held."""
    node, index, chance = GRAPH.by_name[name], NODES[name], np.random.default_rng(3)
    body = encoding.body(node)
    for position in PLACES:
        element = int(chance.integers(node.elements(position)))
        for turn in {0, node.turns(position) - 1, int(chance.integers(node.turns(position)))}:
            loads = HELD.loads(position, index, element, turn)
            for load in loads:
                root = load.root or merkle.root(hashed(HELD.value(load.position, load.node)))
                assert merkle.verify(root, load.count, load.leaf, merkle.leaf_hash(load.data), load.path)
            given = operands(loads, name, position, element, turn)
            axes = [int(axis[0]) for axis in evaluate.indices(node, position, element, turn)]
            expected = words(HELD.value(position, index))[element]
            if node.fold:
                chain, own = turn % node.lanes, turn // node.lanes
                before, expected = HELD.sums(position, index, element, chain, [own, own + 1])
                given.append(before)
            assert encoding.step(body, given, axes, position) == expected


@pytest.mark.parametrize("name", [node.name for node in GRAPH.nodes if node.fold])
def test_sums_lead_to_the_chains_and_the_chains_to_the_element(name: str) -> None:
    node, index = GRAPH.by_name[name], NODES[name]
    for position in PLACES:
        last, lanes = words(HELD.value(position, index))[-1], range(node.lanes)
        ends = [HELD.chain_turns(position, index, chain) for chain in lanes]
        element = node.elements(position) - 1
        sums = [HELD.sums(position, index, element, chain, [0, ends[chain]]) for chain in lanes]
        assert {start for start, _ in sums} == {node.start}
        assert sum(ends) == node.turns(position)
        if node.lanes == 16:
            assert words(HELD.chains(position, index, element)) == [end for _, end in sums]
            assert encoding.step(encoding.tree(node), [end for _, end in sums]) == last
        else:
            assert sums[0][1] == last


def test_the_id_chooses_the_row_of_the_embedding() -> None:
    (load,) = HELD.loads(9, NODES["embedding"], 5)
    assert (load.tag, load.by_id, load.leaf) == (2, True, 256)


def test_a_liars_trees_agree_with_its_lie_and_with_nothing_else() -> None:
    at = (20, NODES["mixed"], 7)
    liar = Patched(HELD, {at: 5}, {(*at, 4, 1): 9})
    assert differences(liar.positions(), HELD.positions()) == [20]
    assert differences(liar.nodes(20), HELD.nodes(20)) == [at[1]]
    assert words(liar.value(*at[:2]))[7] == 5
    assert liar.root() == merkle.root(liar.positions()) != HELD.root()
    root = merkle.root(hashed(liar.value(*at[:2])))
    assert liar.nodes(20)[at[1]] == merkle.leaf_hash(root)
    assert liar.sums(*at, 4, [0, 1, 2]) == [0, 9, HELD.sums(*at, 4, [2])[0]]
