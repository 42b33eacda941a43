"""Nodes that were forged, as a contract reads them: loads that point elsewhere, extreme numbers, hostile bytes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from large_step import climb
from openings import NO_ID, PLACE, STEPS, Bare, Opened, Opening, Run, Step, made, opened
from sources import Mutant

import tiny_llama
from nodes_as_bytes import ACCEPTED, REFUSED, nodes, spoiled
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS, blocks_per_leaf
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import leaves
from steelyard.engines.ir.encoding import CODES
from steelyard.engines.ir.graph import Affine
from steelyard.engines.ir.leaves import FileAt, Leaf, NodeAt, TableAt
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

VECTORS = Path(__file__).parents[2] / "vectors" / "nodes"
Change = Callable[[Leaf], Leaf]
MOST = 2**32
"""Elements of a node, turns of its fold."""


@pytest.fixture(scope="module")
def world() -> Bare:
    return Bare()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(tiny_llama.FAMILIES["llama"], tmp_path_factory.mktemp("model")) as made_:
        yield made_


# -- loads that point elsewhere ------------------------------------------------------------------------------------


def forged(step: Step, change: Change) -> Step:
    """The step of another leaf."""
    leaf = change(leaves.decode(step.node))
    return step.but(node=leaves.written(leaf.node, leaf.sources))


def load(which: int, source: leaves.Source | None = None, **changes: Any) -> Change:
    """One load changed, and where it is committed."""

    def change(leaf: Leaf) -> Leaf:
        views, name = list(leaf.node.loads), leaf.node.loads[which].source
        views[which] = replace(views[which], **changes)
        sources = {**leaf.sources, name: source} if source else leaf.sources
        return Leaf(replace(leaf.node, loads=tuple(views)), sources)

    return change


def moved(which: int, by: int) -> Change:
    """One load so many elements further on, and of a slope that changes nothing."""

    def change(leaf: Leaf) -> Leaf:
        offset = leaf.node.loads[which].offset
        return load(which, offset=Affine(offset.constant + by - PLACE * offset.slope, offset.slope))(leaf)

    return change


def field(which: int, kind: str, name: str) -> Change:
    """One load of a file as another field."""
    return load(which, FileAt(FIELD_CODES.index((kind, name)), 9))


def axes(count: int, extent: Affine) -> Change:
    """A map of so many axes, none of which moves a load."""

    def change(leaf: Leaf) -> Leaf:
        views = tuple(replace(view, strides=(0,) * count) for view in leaf.node.loads)
        return Leaf(replace(leaf.node, loads=views, space=(extent,) * count), leaf.sources)

    return change


HERE = "blk.0.k.biased"
FORGED: dict[str, tuple[str, Change, str]] = {
    "an element before the first": ("a bias", moved(0, -6), "range"),
    "the leaf of index + 2**depth": ("a bias", moved(0, 32 * 2), "range"),
    "a file's leaf of index + 2**depth": ("a bias", moved(1, 256 * 2**9), "range"),
    "a table's leaf of index + 2**depth": ("tables", moved(2, 32 * 2**8), "range"),
    "far before": ("a bias", load(0, offset=Affine(-(2**63), -(2**31))), "range"),
    "far behind": ("a bias", load(0, offset=Affine(2**63 - 1, 2**31 - 1)), "range"),
    "far behind in a file": ("a bias", load(1, offset=Affine(2**63 - 1, 2**31 - 1)), "range"),
    "a row before the first": ("a row of the embedding", load(0, by_id=-(2**31)), "range"),
    "a row far behind": ("a row of the embedding", load(0, by_id=2**31 - 1), "range"),
    "a node's vector that begins late": ("a matrix", moved(3, 1), "straddle"),
    "a file's vector that begins late": ("a matrix", moved(0, 1), "straddle"),
    "a file's vector from the middle": ("a matrix", moved(0, 16), "straddle"),
    "a narrow field as a wide vector": ("a matrix", field(0, "q6_k", "sc"), "straddle"),
    "scales as a vector": ("a matrix", field(0, "q4_1", "d"), "format"),
    "whole numbers as scales": ("a matrix", field(1, "q4_1", "q"), "format"),
    "a code of no field": ("a matrix", load(0, FileAt(len(FIELD_CODES), 9)), "format"),
    "the last code": ("a matrix", load(0, FileAt(255, 9)), "format"),
    "the last node": ("a bias", load(0, NodeAt(2**16 - 1)), "order"),
    "a node that is not there, of an earlier position": ("other positions", load(1, NodeAt(2**16 - 1)), "range"),
    "another tensor": ("a bias", load(1, FileAt(0, 9)), "path"),
    "no tensor": ("a bias", load(1, FileAt(0, 2**32 - 1)), "range"),
    "another table": ("tables", load(2, TableAt(bytes(32))), "path"),
    "a table for a node": ("a bias", load(0, TableAt(bytes(32))), "path"),
    "a file for a node": ("a bias", load(0, FileAt(0, 9)), "path"),
    "a file for a table": ("tables", load(2, FileAt(0, 9)), "path"),
    "elements without number": ("a bias", axes(8, Affine(2**31 - 1, 2**31 - 1)), "node"),
    "elements that would be few modulo 2**256": ("a bias", axes(8, Affine(2**30, 3 * 2**28)), "node"),
    "elements just too many": ("a bias", axes(2, Affine(2**16 + 1)), "node"),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_gam_22_a_load_that_points_elsewhere_is_refused(world: Bare, run: Opened, how: str):
    name, change, rule = FORGED[how]
    assert world.answer(forged(made(run, name), change)) == f"operands.{rule}"


def test_gam_20_a_load_is_of_a_node_before(world: Bare, run: Opened):
    step = made(run, "a bias")
    source = leaves.decode(step.node).sources["0"]
    assert isinstance(source, NodeAt)
    for own, answer in ((source.index + 1, step.expected), (source.index, "operands.order"), (0, "operands.order")):
        assert world.answer(replace(step, run=replace(step.run, node=own))) == answer
    for index in (step.run.node, step.run.node + 1):
        assert world.answer(forged(step, load(0, NodeAt(index)))) == "operands.order"


def later(run: Opened) -> Step:
    """A dot with the position behind this one: the axis over positions was made longer by one."""
    step = made(run, "a dot with this position")
    longer = forged(
        step, lambda leaf: Leaf(replace(leaf.node, space=(Affine(2, 1), *leaf.node.space[1:])), leaf.sources)
    )
    assert longer.node != step.node
    return replace(longer, element=step.element + 4)


def test_gam_20_a_load_is_of_a_position_up_to_this_one(world: Bare, run: Opened):
    step = later(run)
    assert world.answer(replace(step, element=step.element - 4)) == step.expected
    assert world.answer(step) == "operands.order"
    there = (PLACE + 1, *run.place(run.trace.operands(PLACE, "blk.1.attn.dots", step.element - 4, 0)[1])[1:])
    assert world.answer(replace(step, openings=(step.openings[0], run.open(*there, here=PLACE)))) == "operands.order"


def crooked(run: Opened, levels: int) -> Step:
    """A table whose root an author made by a path of so many levels: its tree is none, but its seal is right."""
    step = made(run, "tables")
    which = step.uses[2]
    opening = step.openings[which]
    path = (opening.path * 2)[:levels]
    leaf = run.place(run.trace.operands(PLACE, "blk.1.q.turned", step.element, 0)[2])[1]
    root = climb(opening.count, leaf, merkle.leaf_hash(opening.data), path)
    return forged(step, load(2, TableAt(root))).opening(which, path=path)


def test_gam_20_a_table_has_no_second_leaf_in_one_place(world: Bare, run: Opened):
    step = made(run, "tables")
    levels = len(step.openings[step.uses[2]].path)
    assert levels > 1
    assert world.answer(crooked(run, levels)) == made(run, "tables").expected
    for other in {0, levels - 1, levels + 1, 2 * levels} - {levels}:
        assert world.answer(crooked(run, other)) == "operands.path", other


def test_gam_22_most_elements(world: Bare, run: Opened):
    step = forged(made(run, "a bias"), axes(2, Affine(2**16)))
    assert world.contract.describe(step.node, PLACE)[0] == MOST
    assert world.answer(replace(step, element=MOST)) == "operands.element"
    assert world.answer(replace(step, element=MOST - 1)) != "operands.element"


# -- hostile leaves ------------------------------------------------------------------------------------------------


def told(raw: bytes, position: int) -> tuple[int, ...] | str:
    """What Python reads of a leaf: what `describe` tells, or the rule that refuses."""
    try:
        node = leaves.decode(raw).node
    except Refused as refusal:
        return refusal.rule
    if max(node.elements(position), node.turns(position)) > MOST:
        return "operands.node"
    lanes, join = (node.lanes if node.fold else 0), (CODES[node.join] if node.join else 0)
    return node.elements(position), node.turns(position), lanes, node.start, join


def compared(world: Bare, raw: bytes, position: int) -> None:
    """The contract refuses what Python refuses, but for what lies in the body's operations, which Step reads."""
    expected, found = told(raw, position), world.asked(world.contract.describe, raw, position)
    if isinstance(expected, tuple) or expected == "operands.node":
        assert found == expected
    elif expected == "leaf.body" or expected.startswith("body."):
        assert found == "operands.node" or isinstance(found, tuple)
    else:
        assert found == "operands.node"


@given(spoiled(), st.integers(0, 2**32 - 1) | st.integers(0, 100))
def test_gra_13_hostile_leaves_are_refused_by_the_contract_as_in_python(world: Bare, raw: bytes, position: int):
    if len(raw) <= leaves.MAX_NODE:  # the ABI's own bound
        compared(world, raw, position)


@pytest.mark.parametrize("how", [*ACCEPTED, *REFUSED])
def test_gra_13_a_malformed_leaf_is_refused_by_the_contract(world: Bare, how: str):
    raw = ACCEPTED[how] if how in ACCEPTED else REFUSED[how][0]
    if len(raw) <= leaves.MAX_NODE:
        compared(world, raw, 7)
    else:
        assert world.asked(world.contract.describe, raw, 7) == ""


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_vector_of_a_node_is_read_by_the_contract_or_refused(world: Bare, path: Path):
    case = json.loads(path.read_text())
    compared(world, bytes.fromhex((case["input"]["leaf"] if "refused" in case else case["result"])[2:]), 5)


def place(leaf: Leaf, position: int, indices: list[int], unit: int, own: int) -> str:
    """Why the first load of a leaf cannot be opened by a tree of one leaf of four bytes, by Python's account."""
    view = leaf.node.loads[0]
    index = view.offset.at(position) + sum(s * i for s, i in zip(view.strides, indices, strict=True))
    if view.by_id:
        if unit == NO_ID:
            return "id"
        index += view.by_id * unit
    if index < 0:
        return "range"
    source = leaf.sources[view.source]
    if isinstance(source, FileAt):
        return in_file(source, leaf.node.load_kinds[0], index, view.width)
    if index % 32 + view.width > 32:
        return "straddle"
    if isinstance(source, NodeAt):
        there = position if view.position_axis is None else indices[view.position_axis]
        if there > position or (there == position and source.index >= own):
            return "order"
    return "path" if index < 32 else "range"


def in_file(source: FileAt, kind: str, index: int, width: int) -> str:
    """The same of a load of a file."""
    if source.code >= len(FIELD_CODES):
        return "format"
    form, name = FIELD_CODES[source.code]
    if (kind == "f") == (name in ("q", "sc")):
        return "format"
    each = FIELDS[form][name].each
    if width > each or index % each % width:
        return "straddle"
    number = next(number for number, (known, _, _) in KINDS.items() if known == form)
    return "path" if source.first_leaf + index // each // blocks_per_leaf(number) == 0 else "range"


@given(nodes().filter(lambda raw: len(raw) <= leaves.MAX_NODE), st.data())
def test_gam_20_the_element_of_a_load_is_the_one_that_python_finds(world: Bare, raw: bytes, data: st.DataObject):
    """Numbers of all sizes: nothing wraps."""
    position = data.draw(st.integers(0, 3) | st.integers(0, 2**32 - 1))
    expected = told(raw, position)
    if isinstance(expected, str):
        assert (
            world.asked(world.contract.describe, raw, position) in ("operands.node", expected)
            or expected == "leaf.body"
        )
        return
    leaf = leaves.decode(raw)
    element, turn = (data.draw(st.integers(0, most - 1)) for most in expected[:2])
    extents = leaf.node.extents(position)
    space, inner = extents[: len(leaf.node.space)], extents[len(leaf.node.space) :]
    indices = [int(i) for i in (*np.unravel_index(element, space), *np.unravel_index(turn, inner))]
    unit, own = data.draw(st.sampled_from([0, 1, 2**32 - 2, NO_ID])), data.draw(st.sampled_from([0, 300, 2**16]))
    here = Run(bytes(32), 1, bytes(32), 2**32, position, bytes(32), 2**16, own, unit)
    count = len(leaf.node.loads)
    step = Step(here, raw, element, turn, 0, (0,) * count, (Opening(bytes(4), 1, ()),) * bool(count), 0)
    found = world.answer(step)
    if count:
        assert found == f"operands.{place(leaf, position, indices, unit, own)}"
    else:
        assert isinstance(found, int) or found == "body.axis"


# -- mutants -------------------------------------------------------------------------------------------------------


MUTANTS = {
    "any element": ('assert element < found.elements, "operands.element"', "assert True"),
    "any turn": ('assert turn < found.turns, "operands.turn"', "assert True"),
    "openings that nobody uses": ('assert len(opened) == len(openings), "operands.uses"', "assert True"),
    "an opening for two places": ('assert opened[use] == name, "operands.place"', "assert True"),
    "any path": ('assert top == root and unused == 0, "operands.path"', "assert unused == 0"),
    "paths that nobody needs": ("assert top == root and unused == 0", "assert top == root"),
    "index + 2**depth": ('assert index < count, "operands.range"', "assert True"),
    "paths of any length": ('assert trees.fits(count, index, len(path)), "operands.path"', "assert True"),
    "a row of any id": ('assert run.id < WORD, "operands.id"', "assert True"),
    "any code": ("assert place.code < formats.COUNT and real ==", "assert real =="),
    "vectors that begin anywhere": ("and place.lane % place.width == 0", ""),
    "vectors across leaves": ('assert place.lane + place.width <= 32, "operands.straddle"', "assert True"),
    "later positions": ("place.position < run.position or (", "place.position > run.position or ("),
    "nodes behind": ("and source >> 240 < run.node)", ")"),
    "elements without number": (" and max(found.elements, found.turns) < TOO_MANY", ""),
    "any join": ("fits = fits and self._joined(found.join) == kind", "fits = fits"),
    "axes as one likes": ("(axis < axes and tag == FROM_NODE)", "tag == FROM_NODE"),
}  # fmt: skip


def story(world: Bare, run: Opened) -> list[Any]:
    """Answers that differ if a rule is missing."""
    told_ = [world.answer(forged(made(run, name), change)) for name, change, _ in FORGED.values()]
    told_ += [
        world.asked(world.contract.describe, raw, 7)
        for raw in (*ACCEPTED.values(), *(raw for raw, _ in REFUSED.values()))
    ]
    for name in STEPS:
        step = made(run, name)
        told_ += [world.answer(one) for one in broken(step)]
    told_ += [world.answer(later(run)), world.answer(crooked(run, 1))]
    return told_


def broken(step: Step) -> Iterator[Step]:
    """A step, right and wrong in the ways that no forged leaf needs."""
    yield step
    yield step.but(element=2**31)
    yield step.but(turn=2**31)
    yield step.but(openings=(*step.openings, step.openings[0]))
    yield step.but(id=NO_ID)
    if len(set(step.uses)) > 1:
        yield step.but(uses=(0,) * len(step.uses), openings=step.openings[:1])
    for which, opening in enumerate(step.openings):
        yield step.opening(which, data=bytes(len(opening.data)))
        yield step.opening(which, path=opening.path[:-1])
        yield step.opening(which, path=(*opening.path, bytes(32)))
        yield step.opening(which, position_path=(*opening.position_path, bytes(32)))


@pytest.fixture(scope="module")
def expected(world: Bare, run: Opened) -> list[Any]:
    return story(world, run)


@pytest.mark.parametrize("how", MUTANTS)
def test_a_contract_that_is_less_strict_does_not_go_unnoticed(run: Opened, expected: list[Any], how: str):
    assert story(Bare(Mutant("Operands", *MUTANTS[how])), run) != expected
