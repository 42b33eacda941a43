"""The operands of a last step: every node of small models of every family; openings altered, or of something else."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from openings import IDS, NO_ID, PLACE, STEPS, Bare, Opened, Step, made, opened

import tiny_llama
from steelyard.engines.ir.encoding import CODES, word

PLACES = (0, 20, 22)
"""Positions that are stepped: alone, the first that a window of 20 does not see whole, the last."""
MODELS = tiny_llama.FAMILIES | tiny_llama.VARIANTS | {"every format": tiny_llama.MIXED}


@pytest.fixture(scope="module")
def world() -> Bare:
    return Bare()


@pytest.fixture(scope="module", params=MODELS)
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(MODELS[request.param], tmp_path_factory.mktemp("model")) as made_:
        yield made_


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(tiny_llama.FAMILIES["llama"], tmp_path_factory.mktemp("model")) as made_:
        yield made_


# -- real models ---------------------------------------------------------------------------------------------------


def test_gam_20_every_node_of_a_model_is_stepped_from_openings_to_what_the_run_holds(world: Bare, each: Opened):
    for position in PLACES:
        for step, node in zip(each.some(position, position), each.nodes, strict=True):
            assert world.answer(step) == step.expected, (node.name, position, step.element, step.turn)


def test_gra_13_a_nodes_leaf_tells_its_elements_turns_and_chains(world: Bare, each: Opened):
    for position in PLACES:
        for node, leaf in zip(each.nodes, each.covered.nodes, strict=True):
            told = (
                node.elements(position),
                node.turns(position),
                node.lanes if node.fold else 0,
                node.start,
                CODES[node.join] if node.join else 0,
            )
            assert world.contract.describe(leaf, position) == told, node.name


def test_gra_7_sixteen_chains_are_joined_to_the_element(world: Bare, each: Opened):
    position, joined = PLACES[-1], 0
    for node in each.nodes:
        if node.lanes == 16:
            value = each.trace.value(position, node.name)
            chains = each.trace.partial(position, node.name, len(value) - 1, node.turns(position))
            assert world.contract.join(CODES[node.join], chains.tobytes()) == word(value[-1]), node.name
            joined += 1
    assert joined > 2


@pytest.mark.parametrize("name", CODES)
def test_gra_7_only_what_makes_one_number_of_two_of_its_kind_joins(world: Bare, name: str):
    joins = {"add": 16.0, "sub": 0.0, "mul": 1.0, "div": 1.0, "larger": 1.0}
    wholes = {"iadd": 16, "imul": 1, "iand": 1, "ilarger": 1, "iless": 0, "iequal": 0}
    found = world.asked(
        world.contract.join, CODES[name], np.ones(16, np.float32 if name in joins else np.int32).tobytes()
    )
    if name in joins:
        assert found == word(np.array([joins[name]], np.float32))
    elif name in wholes:
        assert found in (wholes[name], 1)  # less and equal of zeros and ones
    else:
        assert found == "operands.join"


def test_gra_7_chains_are_sixteen_words(world: Bare):
    for size in (0, 60, 63):
        assert world.asked(world.contract.join, CODES["add"], bytes(size)) == "operands.join"
    assert world.asked(world.contract.join, len(CODES), bytes(64)) == "operands.join"


# -- openings that were altered ------------------------------------------------------------------------------------


def flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


PATH, EITHER = {"operands.path"}, {"operands.path", "operands.range"}
Wrong = Iterator[tuple[str, Step, set[str]]]
"""What is altered, the step with it, and by which rules it may be refused."""


def altered(step: Step, which: int) -> Wrong:
    """One opening altered."""
    data = step.openings[which].data
    yield "data", step.opening(which, data=flipped(data)), PATH
    yield "data, at the end", step.opening(which, data=data[:-1] + bytes([data[-1] ^ 128])), PATH
    yield "data longer", step.opening(which, data=data + bytes(4)), EITHER
    yield "data shorter", step.opening(which, data=data[:-4]), PATH
    yield "no data", step.opening(which, data=b""), PATH
    for name in ("path", "node_path", "position_path"):
        yield from detours(step, which, name)
    yield from miscounted(step, which)


def detours(step: Step, which: int, name: str) -> Wrong:
    """One of its paths altered."""
    there: tuple[bytes, ...] = getattr(step.openings[which], name)
    yield f"{name} longer", step.opening(which, **{name: (*there, bytes(32))}), PATH
    for at in range(len(there)):
        yield f"{name} of {at}", step.opening(which, **{name: there[:at]}), PATH
        other = (*there[:at], flipped(there[at]), *there[at + 1 :])
        yield f"{name} at {at}", step.opening(which, **{name: other}), PATH
    if len(set(there)) > 1:
        yield f"{name} turned", step.opening(which, **{name: there[::-1]}), PATH


def miscounted(step: Step, which: int) -> Wrong:
    """Roots and counts altered, of what this opening is under."""
    opening, run = step.openings[which], step.run
    if opening.count:
        for count in {0, 1, opening.count - 1, opening.count + 1, 2 * opening.count, 2**32 + 1, 2**256 - 1}:
            if count != opening.count:
                yield f"count {count}", step.opening(which, count=count), EITHER
    roots = {"run_root": "positions"} if opening.position_path else {"position_leaf": "nodes"}
    if not opening.node_path:
        roots = {} if opening.count else {"model_root": "model_leaves"}
    for root, count in roots.items():
        yield root, step.but(**{root: flipped(getattr(run, root))}), PATH
        for other in (0, getattr(run, count) - 1, getattr(run, count) + 1, 2**64):
            yield f"{count} {other}", step.but(**{count: other}), EITHER


@pytest.mark.parametrize("name", STEPS)
def test_gam_20_an_opening_that_was_altered_is_refused(world: Bare, run: Opened, name: str):
    step = made(run, name)
    assert world.answer(step) == step.expected
    tried = 0
    for which in range(len(step.openings)):
        for how, wrong, rules in altered(step, which):
            assert world.answer(wrong) in rules, (which, how)
            tried += 1
    assert tried > 20


# -- openings of something else ------------------------------------------------------------------------------------


def leaves_at(run: Opened, place: tuple[Any, ...]) -> int:
    """Of the tree that holds a place."""
    if len(place) == 1:
        return run.covered.tree.count
    return len((run.values[place[0]][place[1]] if len(place) == 3 else run.tables[place[0]]).leaves)


def others(run: Opened, step: Step) -> Iterator[tuple[str, Step]]:
    """Openings that are valid, but not what the step takes."""
    trace, node = run.trace, run.nodes[step.run.node]
    for which, operand in enumerate(trace.operands(PLACE, node.name, step.element, step.turn)):
        use, place = step.uses[which], run.place(operand)
        *before, leaf = place
        count = leaves_at(run, place)
        for other in {(leaf + 1) % count, leaf ^ 1, leaf - 1} - {leaf}:
            if 4 * (len(place) == 1) <= other < count:
                yield "another leaf", put(run, step, use, (*before, other))
        if len(place) == 3:
            for position in {0, PLACE - 1, PLACE, PLACE + 1} - {place[0]}:
                if leaf < len(run.values[position][place[1]].leaves):
                    yield "another position", put(run, step, use, (position, *place[1:]))
            for index in (place[1] - 1, place[1] + 1, step.run.node):
                if leaf < len(run.values[place[0]][index].leaves):
                    yield "another node", put(run, step, use, (place[0], index, leaf))
        if len(place) == 2:
            other_table = next((name for name in run.tables if name != place[0]), place[0])
            yield "another table", put(run, step, use, (other_table, leaf))


def put(run: Opened, step: Step, use: int, place: tuple[Any, ...]) -> Step:
    """The step with an opening of that place."""
    found = list(step.openings)
    found[use] = run.open(*place, here=PLACE)
    return replace(step, openings=tuple(found))


@pytest.mark.parametrize("name", STEPS)
def test_gam_20_a_valid_opening_of_something_else_is_refused(world: Bare, run: Opened, name: str):
    step, tried = made(run, name), 0
    for how, wrong in others(run, step):
        assert wrong.openings != step.openings, how
        assert world.answer(wrong) in ("operands.path", "operands.range"), how
        tried += 1
    assert tried > 1


@pytest.mark.parametrize("name", STEPS)
def test_gam_20_another_step_is_not_served_by_these_openings(world: Bare, run: Opened, name: str):
    """Element, turn or position changed: the operands lie in the same leaves and the word is that step's, or no."""
    step = made(run, name)
    node, index = run.nodes[step.run.node], step.run.node
    chance = np.random.default_rng(3)
    for _ in range(12):
        element, turn = (int(chance.integers(n)) for n in (node.elements(PLACE), node.turns(PLACE)))
        right = run.step(PLACE, index, element, turn)
        found = world.answer(replace(right, openings=step.openings, uses=step.uses))
        if {o.data for o in right.openings} == {o.data for o in step.openings}:
            assert found == right.expected
        else:
            assert found in ("operands.path", "operands.range")
    if any(opening.node_path for opening in step.openings):
        before = run.step(PLACE - 1, index, 0, 0).run.position_leaf
        found = world.answer(step.but(position=PLACE - 1, position_leaf=before))
        assert found in ("operands.path", "operands.order", "operands.turn", "operands.element")


def test_gam_22_uses_name_every_opening_in_order(world: Bare, run: Opened):
    step = made(run, "a matrix")
    assert step.uses == (0, 0, 0, 1, 2, 3)
    spare = (*step.openings, step.openings[0])
    wrong = [
        step.but(uses=()),
        step.but(uses=step.uses[:-1]),
        step.but(uses=(*step.uses, 3)),
        step.but(uses=(0, 0, 0, 1, 2, 4)),
        step.but(uses=(0, 0, 0, 2, 1, 3), openings=tuple(step.openings[i] for i in (0, 2, 1, 3))),
        step.but(openings=step.openings[:-1]),
        step.but(openings=()),
        step.but(openings=spare),
    ]
    assert [world.answer(one) for one in wrong] == ["operands.uses"] * len(wrong)
    assert (
        world.answer(step.but(uses=(0, 1, 2, 3, 4, 5), openings=(*step.openings[:1] * 3, *step.openings[1:])))
        == step.expected
    )


def test_gam_22_an_opening_serves_one_place(world: Bare, run: Opened):
    step = made(run, "a matrix")
    for uses in ((0, 0, 0, 0, 1, 2), (0, 0, 0, 1, 1, 2), (0, 0, 0, 1, 2, 2)):
        kept = tuple(dict.fromkeys(step.openings[step.uses[uses.index(use)]] for use in dict.fromkeys(uses)))
        assert world.answer(step.but(uses=uses, openings=kept)) == "operands.place"


def test_gam_20_element_turn_and_position_are_the_nodes(world: Bare, run: Opened):
    step = made(run, "a matrix")
    node = run.nodes[step.run.node]
    for element in (node.elements(PLACE), 2**256 - 1):
        assert world.answer(step.but(element=element)) == "operands.element"
    for turn in (node.turns(PLACE), 2**256 - 1):
        assert world.answer(step.but(turn=turn)) == "operands.turn"
    for position in (2**32, 2**256 - 1):
        assert world.answer(step.but(position=position)) == "operands.node"


def test_gam_20_a_row_by_id_needs_the_id(world: Bare, run: Opened):
    step = made(run, "a row of the embedding")
    for unit in (NO_ID, 2**32, 2**256 - 1):
        assert world.answer(step.but(id=unit)) == "operands.id"
    for unit in range(100):
        if unit // 8 != IDS[PLACE] // 8:  # a leaf of 1,024 weights holds eight rows
            assert world.answer(step.but(id=unit)) == "operands.path", unit
    assert world.answer(step.but(id=2**32 - 2)) == "operands.range"
