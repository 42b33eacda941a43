"""A run of seven small nodes that no model computes: trees, sums and a contract that steps them, for tests of the game.

A node's turn is an affine function of where it is, so that a run is known at once and a lie stays where it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from steelyard.protocol import merkle

U32 = 2**32 - 1


@dataclass(frozen=True)
class Shape:
    """What a node's leaf says in this model."""

    elements: int
    turns: int
    lanes: int
    start: int = 0
    by_id: bool = False

    @property
    def leaf(self) -> bytes:
        numbers = (self.elements, self.turns, self.lanes, self.start, int(self.by_id))
        return b"".join(number.to_bytes(4, "big") for number in numbers)


NODES = (
    Shape(70, 1, 0),
    Shape(33, 100, 1, start=5),
    Shape(3, 40, 16, start=6),
    Shape(40, 3, 1),
    Shape(100, 1, 0, by_id=True),
    Shape(2, 0, 1, start=9),
    Shape(2, 5, 16, start=8),
)
STATE, LOGITS = 3, 4
WIDTH, VOCABULARY, POSITIONS = 40, 100, 200
ENDS = (7, 50)
BEST = VOCABULARY - 1
"""The id with the greatest logit, everywhere."""
GRAPH = [merkle.leaf_hash(shape.leaf) for shape in NODES]
NUMBERS = (len(NODES), STATE, LOGITS, WIDTH, VOCABULARY, POSITIONS)
FACTS = merkle.root(GRAPH) + b"".join(n.to_bytes(4, "big") for n in NUMBERS) + bytes([len(ENDS)])
FACTS += b"".join(end.to_bytes(4, "big") for end in ENDS)
MODEL = [merkle.leaf_hash(leaf) for leaf in (b"arithmetic", b"kv", FACTS, b"template", b"file")]
MODEL_ROOT = merkle.root(MODEL)

OPERANDS = """
# pragma version 0.4.3
from interfaces import IOperands

implements: IOperands

U32: constant(uint256) = 2**32 - 1


@pure
@internal
def _number(node: Bytes[1024], i: uint256) -> uint256:
    return convert(slice(node, 4 * i, 4), uint256)


@pure
@external
def describe(node: Bytes[1024], position: uint256) -> (uint256, uint256, uint256, uint256, uint256):
    return self._number(node, 0), self._number(node, 1), self._number(node, 2), self._number(node, 3), 19


@view
@external
def join(operation: uint256, chains: Bytes[64]) -> uint256:
    assert operation == 19
    total: uint256 = 0
    for i: uint256 in range(16):
        w: uint256 = convert(slice(chains, 4 * i, 4), uint256)
        total += (w & 255) << 24 | (w & 65280) << 8 | (w >> 8) & 65280 | w >> 24
    return total & U32


@view
@external
def compute(
    run: IOperands.Run,
    node: Bytes[1024],
    element: uint256,
    turn: uint256,
    accumulator: uint256,
    uses: DynArray[uint8, 16],
    openings: DynArray[IOperands.Opening, 16],
) -> uint256:
    assert element < self._number(node, 0) and turn < self._number(node, 1), "operands.turn"
    id: uint256 = 0
    if self._number(node, 4) == 1:
        assert run.id != U32, "operands.id"
        id = run.id
    # what is opened is not asked for here, but the roots that it would be opened under are
    assert convert(run.model_root, uint256) & run.model_leaves > 0 or run.model_leaves == 5, "operands.path"
    old: uint256 = accumulator if self._number(node, 2) > 0 else 0
    return (old * 31 + run.position * 7 + run.node * 13 + element * 17 + turn * 3 + id + 1) & U32
"""


@dataclass(frozen=True)
class Lie:
    """A wrong number: what is added to the sum after a turn of the whole fold, at one place of a run."""

    position: int
    node: int
    element: int
    turn: int = 0
    by: int = 1


@cache
def sums(
    position: int, node: int, element: int, chain: int, unit: int, lies: frozenset[Lie] = frozenset()
) -> tuple[int, ...]:
    """The accumulator before the first turn of a chain and after each; of a map before and after its only one."""
    shape = NODES[node]
    turns = range(chain, shape.turns, 16) if shape.lanes == 16 else range(shape.turns)
    found = [shape.start]
    extra = unit if shape.by_id else 0
    for turn in turns:
        old = found[-1] if shape.lanes else 0
        new = old * 31 + position * 7 + node * 13 + element * 17 + turn * 3 + extra + 1
        new += sum(lie.by for lie in lies if lie.turn == turn)
        found.append(new & U32)
    return tuple(found)


@cache
def value(position: int, node: int, unit: int, lies: frozenset[Lie]) -> tuple[int, ...]:
    """A node's words at a position, whose unit is given."""
    words = []
    for element in range(NODES[node].elements):
        here = frozenset(lie for lie in lies if lie.element == element)
        chains = 16 if NODES[node].lanes == 16 else 1
        words.append(sum(sums(position, node, element, chain, unit, here)[-1] for chain in range(chains)) & U32)
        told = sum(lie.by for lie in here if lie.turn not in range(NODES[node].turns))
        words[-1] = (words[-1] + told) & U32
    return tuple(words)


def packed(words: Sequence[int]) -> bytes:
    """Little-endian, 4 bytes each."""
    return b"".join(word.to_bytes(4, "little") for word in words)


@cache
def leaves(position: int, node: int, unit: int, lies: frozenset[Lie]) -> tuple[bytes, ...]:
    """Leaf hashes of a value."""
    raw = packed(value(position, node, unit, lies))
    return tuple(merkle.leaf_hash(raw[at : at + 128]) for at in range(0, len(raw), 128))


@cache
def node_leaves(position: int, unit: int, lies: frozenset[Lie]) -> tuple[bytes, ...]:
    """Leaf hashes of a position's tree."""
    of = [frozenset(lie for lie in lies if lie.node == node) for node in range(len(NODES))]
    return tuple(merkle.leaf_hash(merkle.root(leaves(position, node, unit, of[node]))) for node in range(len(NODES)))


@dataclass(frozen=True)
class Run:
    """The run over the first positions of a text, as one side holds it."""

    units: tuple[int, ...]
    """One a position."""
    lies: frozenset[Lie] = frozenset()

    def at(self, position: int, node: int | None = None) -> frozenset[Lie]:
        """The lies of a position, or of a node of it."""
        return frozenset(lie for lie in self.lies if lie.position == position and node in (None, lie.node))

    def value(self, position: int, node: int) -> tuple[int, ...]:
        return value(position, node, self.units[position], self.at(position, node))

    def leaves(self, position: int, node: int) -> tuple[bytes, ...]:
        return leaves(position, node, self.units[position], self.at(position, node))

    def nodes(self, position: int) -> tuple[bytes, ...]:
        return node_leaves(position, self.units[position], self.at(position))

    def positions(self) -> tuple[bytes, ...]:
        return positions(self)

    def sums(self, position: int, node: int, element: int, chain: int = 0) -> tuple[int, ...]:
        """Of the element's fold, or one chain of it."""
        lies = frozenset(lie for lie in self.at(position, node) if lie.element == element)
        return sums(position, node, element, chain, self.units[position], lies)

    def chains(self, position: int, node: int, element: int) -> list[int]:
        """All 16 at their ends."""
        found = [self.sums(position, node, element, chain)[-1] for chain in range(16)]
        # a lie in a turn that there is not is told of the last chain
        found[15] += self.value(position, node)[element] - sum(found)
        found[15] &= U32
        return found


@cache
def positions(run: Run) -> tuple[bytes, ...]:
    """Leaf hashes of a run's tree."""
    return tuple(merkle.leaf_hash(merkle.root(run.nodes(position))) for position in range(len(run.units)))


def layer(hashes: Sequence[bytes], levels: int) -> list[bytes]:
    """The layer that stands so many levels above the leaves."""
    return list(merkle._layers(hashes)[levels])
