"""A graph's nodes, element by element: what any element is, after any number of a fold's steps.

Slow and exact, beside the kernels that compute the same at speed. Only what is asked for is computed: one element of a
matrix product loads one row.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.ir.graph import CONSTANTS, POSITION, Instruction, Node, View
from steelyard.engines.ir.scalars import F32, I32, NAN_BITS, OPERATIONS
from steelyard.protocol.errors import Refused

Array = NDArray[Any]
Whole = NDArray[np.int64]
KINDS: Final = {"f": F32, "i": I32}
LOADED_AT_ONCE: Final = 2**16
"""Bounds the memory for operands: so many of each view, which may be 32 words wide."""


class Values(Protocol):
    """Where operands come from: earlier nodes, other positions, weights."""

    def id(self, position: int) -> int:
        """The unit given at a position."""
        ...

    def gather(self, source: str, position: int | Whole, index: Whole) -> Array:
        """Elements of `source`, which is a node's value at `position` (or at one position for each index), or an
        input, which has none. float32 or int32, of the shape of `index`."""
        ...


def value(node: Node, position: int, values: Values, elements: Whole | None = None, steps: int | None = None) -> Array:
    """The elements asked for (all, in order, if None): float32 or int32, one-dimensional.

    `steps`: only so many turns of the fold's loops; with 16 chains the answer is then the chains themselves,
    [elements][16], before the tree. Raises Refused("ir.element"), Refused("ir.steps")."""
    total = node.elements(position)
    wanted = np.arange(total, dtype=np.int64) if elements is None else np.asarray(elements, np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < total:
        raise Refused("ir.element", f"{wanted.min()} to {wanted.max()} of {total} elements of {node.name}")
    extents = [extent.at(position) for extent in node.space]
    axes = list(np.unravel_index(wanted, extents)) if extents else []
    with np.errstate(all="ignore"):
        if not node.fold:
            return canonical(_body(node, position, axes, _loads(node, position, axes, values), None))
        turns = node.turns(position)
        if steps is not None and not 0 <= steps <= turns:
            raise Refused("ir.steps", f"{steps} of {turns} turns of {node.name}")
        return canonical(_fold(node, position, axes, values, len(wanted), steps))


def _fold(node: Node, position: int, axes: list[Whole], values: Values, count: int, steps: int | None) -> Array:
    """Invariant: chain i has taken the turns below `first` that are i mod lanes, in order. Operands of many turns are
    loaded at once; then one turn of each chain is taken at a time."""
    lanes, turns = node.lanes, node.turns(position) if steps is None else steps
    extents = node.extents(position)[len(node.space) :]
    chains = np.full((lanes, count), np.array(node.start, np.uint32).view(KINDS[node.kind]))
    at_once = lanes * max(1, LOADED_AT_ONCE // (lanes * max(1, count)))
    for begin in range(0, turns, at_once):
        some = np.arange(begin, min(begin + at_once, turns))
        inner = [np.repeat(index, count) for index in np.unravel_index(some, extents)]
        here = [*(np.tile(axis, len(some)) for axis in axes), *inner]
        loads = _loads(node, position, here, values)
        for first in range(0, len(some), lanes):
            taken = min(lanes, len(some) - first)
            rows = slice(first * count, (first + taken) * count)
            before = chains[:taken].reshape(-1)
            after = _body(node, position, [axis[rows] for axis in here], [load[rows] for load in loads], before)
            chains[:taken] = after.reshape(taken, count)
    if steps is not None and lanes > 1:
        return np.ascontiguousarray(chains.T)
    while len(chains) > 1:
        half = len(chains) // 2
        chains = OPERATIONS[node.join].do(chains[:half], chains[half:])
    found: Array = chains[0]
    return found


def indices(node: Node, position: int, element: int, turn: int = 0) -> list[Whole]:
    """The index along each axis of the space, then of the fold, at one turn of an element's loops, [1] each. Raises
    Refused("ir.element")."""
    total, turns = node.elements(position), node.turns(position)
    if not 0 <= element < total or not 0 <= turn < turns:
        raise Refused("ir.element", f"element {element} of {total}, turn {turn} of {turns} of {node.name}")
    extents = node.extents(position)
    space, fold = extents[: len(node.space)], extents[len(node.space) :]
    return [np.array([index]) for index in (*np.unravel_index(element, space), *np.unravel_index(turn, fold))]


def where(view: View, position: int, axes: list[Whole], count: int, unit: int) -> Whole:
    """Index of the element that each output element loads, [count]; for a vector load the first of its block."""
    index = np.full(count, view.offset.at(position) + view.by_id * unit, np.int64)
    for stride, axis in zip(view.strides, axes, strict=True):
        index += stride * axis
    return index


def _loads(node: Node, position: int, axes: list[Whole], values: Values) -> list[Array]:
    count = len(axes[0]) if axes else 1
    found = []
    for view in node.loads:
        index = where(view, position, axes, count, values.id(position) if view.by_id else 0)
        at: int | Whole = position if view.position_axis is None else axes[view.position_axis]
        if view.width > 1:
            index = index[:, None] + np.arange(view.width)
            at = at if isinstance(at, int) else at[:, None]
        found.append(values.gather(view.source, at, index))
    return found


def _body(node: Node, position: int, axes: list[Whole], loads: list[Array], accumulator: Array | None) -> Array:
    return run(node.body, loads if accumulator is None else [*loads, accumulator], position, axes)


def run(body: Sequence[Instruction], given: list[Array], position: int, axes: Sequence[Array]) -> Array:
    """A body's last register, [count].

    `given`: the registers before its own, [count] each; `axes`: the index along each axis, [count] each."""
    registers, count = list(given), len(axes[0]) if axes else 1
    for instruction in body:
        name, arguments = instruction.operation, instruction.arguments
        if name in CONSTANTS:
            word = np.array(instruction.word, np.uint32)
            registers.append(np.full(count, word.view(KINDS[CONSTANTS[name]])))
        elif name == "axis":
            registers.append(axes[arguments[0]].astype(I32))
        elif name == POSITION:
            registers.append(np.full(count, position, I32))
        else:
            registers.append(OPERATIONS[name].do(*(registers[a] for a in arguments)))
    found: Array = registers[-1]
    return found


def canonical(array: Array) -> Array:
    """Any NaN as 0x7FC00000 (spec GRA-4)."""
    if array.dtype == I32:
        return array
    found: Array = np.where(np.isnan(array), NAN_BITS.view(F32), array)
    return found
