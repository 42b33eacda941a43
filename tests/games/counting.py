"""A tiny model of whole numbers, as a graph of maps and folds, and runs of it that can lie at any single turn.

It has what a game can meet: two rounds of nodes and of turns, several leaves, extents that grow, 16 chains (some
without a turn), an operand of an earlier position, of the file by id, of a table, and two loads from one leaf.
Evaluated in Python's own integers: some milliseconds a position.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

from steelyard.engines.ir import leaves
from steelyard.engines.ir.graph import SO_FAR, Affine, Graph, Node, View
from steelyard.engines.ir.leaves import FileAt, NodeAt, TableAt
from steelyard.protocol import merkle
from steelyard.protocol.facts import Facts
from steelyard.protocol.hashing import ZERO32, sha256

VOCABULARY, WIDTH, WORDS = 70, 33, 2**32
FILE_WORDS = 256  # in a leaf of the file
FIRST_LEAF = 4
Spoil = Callable[[int, int, int, int, int], int]
"""(position, node, element, turn, word) -> the word that a liar has there; a chain without a turn has its own number
for one."""


def _graph() -> Graph:
    g = Graph(inputs={"letters": "i", "weights": "i"})

    def plus(b, acc, *given):  # type: ignore[no-untyped-def]
        for one in given:
            acc = b.do("iadd", acc, one)
        return acc

    def times(b, acc, w, a):  # type: ignore[no-untyped-def]
        return b.do("iadd", acc, b.do("imul", w, a))

    g.map("embed", [40], [View("letters", (1,), by_id=40)], lambda b, a: plus(b, a, b.axis(0)))
    twice = [View("embed", (1,)), View("embed", (0,))]
    g.map("mixed", [40], twice, lambda b, a, c: plus(b, b.do("imul", a, b.whole(3)), c, b.position()))
    past = View("mixed", (7, 0), position_axis=1)
    g.fold("seen", [3], SO_FAR, [past], lambda b, acc, a: plus(b, b.do("imul", acc, b.whole(31)), a), start=5)
    here = View("mixed", (0, 0, 1))
    g.fold("dotted", [2], [5, 30], [View("weights", (150, 30, 1)), here], times, start=0)
    g.fold("chained", [2], 37, [View("weights", (37, 1)), View("mixed", (0, 1))], times, start=3, lanes=16, join="iadd")
    g.fold("short", [2], 5, [View("mixed", (5, 1))], plus, start=9, lanes=16, join="iadd")
    g.map("wide", [Affine(80, 10)], [View("seen", (0,))], lambda b, a: b.do("imul", a, b.axis(0)))
    previous = "dotted"
    for number in range(60):
        step = View(previous, (0,))
        previous = g.map(
            f"carry.{number}", [1], [step], lambda b, a, n=number: plus(b, b.do("imul", a, b.whole(5)), b.whole(n))
        )
    state = [View("mixed", (1,)), View(previous, (0,)), View("chained", (0,)), View("short", (0,)), View("wide", (2,))]
    g.map("state", [WIDTH], state, plus)
    logits = [View("state", (0,)), View("wide", (1,)), View("weights", (2,))]
    g.map("logits", [VOCABULARY], logits, lambda b, a, c, w: plus(b, b.do("imul", a, b.axis(0)), c, w))
    return g


GRAPH = _graph()
NODES = {node.name: index for index, node in enumerate(GRAPH.nodes)}
_chance = random.Random(7)
INPUTS = {name: [_chance.randrange(WORDS) for _ in range(size)] for name, size in (("letters", 2800), ("weights", 300))}


def raw(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


FILE = [raw(INPUTS["letters"][at : at + FILE_WORDS]) for at in range(0, len(INPUTS["letters"]), FILE_WORDS)]
TABLE = leaves.cut(raw(INPUTS["weights"]))
TABLE_TREE = merkle.Tree([merkle.leaf_hash(leaf) for leaf in TABLE])
SOURCES = {name: NodeAt(index) for name, index in NODES.items()} | {
    "letters": FileAt(0, FIRST_LEAF),
    "weights": TableAt(TABLE_TREE.root),
}
NODE_LEAVES = [leaves.written(node, SOURCES) for node in GRAPH.nodes]
GRAPH_TREE = merkle.Tree([merkle.leaf_hash(leaf) for leaf in NODE_LEAVES])
END = 0
FACTS = Facts(GRAPH_TREE.root, len(NODE_LEAVES), NODES["state"], NODES["logits"], WIDTH, VOCABULARY, 4096, (END,)).raw()
MODEL_TREE = merkle.Tree([merkle.leaf_hash(leaf) for leaf in (b"counting", b"none", FACTS, b"", *FILE)])
MODEL_ROOT = MODEL_TREE.root

OPERATIONS: dict[str, Callable[..., int]] = {"iadd": lambda a, b: (a + b) % WORDS, "imul": lambda a, b: a * b % WORDS}


def unravel(number: int, extents: Sequence[int]) -> list[int]:
    found = []
    for extent in reversed(extents):
        number, index = divmod(number, extent)
        found.append(index)
    return found[::-1]


@cache
def axes_of(position: int, index: int, element: int, turn: int) -> list[int]:
    """Indices along a node's axes, the space's first."""
    node = GRAPH.nodes[index]
    extents = node.extents(position)
    return unravel(element, extents[: len(node.space)]) + unravel(turn, extents[len(node.space) :])


@cache
def places(position: int, index: int, element: int, turn: int, unit: int) -> list[tuple[View, int, int]]:
    """Of each load of a turn the position of its source, and which element."""
    axes, found = axes_of(position, index, element, turn), []
    for view in GRAPH.nodes[index].loads:
        first = view.offset.at(position) + view.by_id * unit
        at = position if view.position_axis is None else axes[view.position_axis]
        found.append((view, at, first + sum(stride * axis for stride, axis in zip(view.strides, axes, strict=True))))
    return found


@dataclass(frozen=True)
class Load:
    """`verification.holding.Load`."""

    tag: int
    position: int
    node: int
    leaf: int
    count: int
    root: bytes
    data: bytes
    path: tuple[bytes, ...]
    by_id: bool


class Counting:
    """`verification.holding.Holding` over the model: a run of so many ids, each of which may be spoiled.

    Args:
        known: runs with the same values before a (position, node), so that they are not computed again."""

    def __init__(
        self, ids: Sequence[int], spoil: Spoil | None = None, known: "Sequence[tuple[Counting, tuple[int, int]]]" = ()
    ) -> None:
        self.ids, self.spoil, self.known = tuple(ids), spoil, known
        self._values: dict[tuple[int, int], list[int]] = {}
        self._roots: dict[tuple[int, int], bytes] = {}
        for position in range(len(ids)):
            for index in range(len(GRAPH.nodes)):
                self._compute(position, index)

    def _compute(self, position: int, index: int) -> None:
        at = position, index
        for run, before in self.known:
            if at < before:
                self._values[at], self._roots[at] = run._values[at], run._roots[at]
                return
        node = GRAPH.nodes[index]
        elements = range(node.elements(position))
        self._values[at] = [self._join(node, self._chains(position, index, element)) for element in elements]
        value = [merkle.leaf_hash(leaf) for leaf in leaves.cut(self.value(position, index))]
        self._roots[at] = merkle.root(value)

    def _join(self, node: Node, chains: list[int]) -> int:
        while len(chains) > 1:
            half = len(chains) // 2
            chains = [OPERATIONS[node.join](chains[i], chains[i + half]) for i in range(half)]
        return chains[0]

    def _chains(self, position: int, index: int, element: int) -> list[int]:
        node = GRAPH.nodes[index]
        chains = [node.start] * node.lanes
        turns = node.turns(position)
        for lane in range(turns, node.lanes):  # chains without a turn: only a liar's is not the start
            chains[lane] = self.spoil(position, index, element, lane, node.start) if self.spoil else node.start
        for turn in range(turns):
            lane = turn % node.lanes
            chains[lane] = self._turn(position, index, element, turn, chains[lane])
        return chains

    def _turn(self, position: int, index: int, element: int, turn: int, accumulator: int) -> int:
        node = GRAPH.nodes[index]
        axes = axes_of(position, index, element, turn)
        registers = [self._operand(*place) for place in self._places(position, index, element, turn)]
        registers += [accumulator] if node.fold else []
        for instruction in node.body:
            name, arguments = instruction.operation, instruction.arguments
            if name == "whole":
                registers.append(instruction.word)
            elif name == "axis":
                registers.append(axes[arguments[0]])
            elif name == "position":
                registers.append(position)
            else:
                registers.append(OPERATIONS[name](*(registers[a] for a in arguments)))
        word = registers[-1]
        return self.spoil(position, index, element, turn, word) if self.spoil else word

    def _places(self, position: int, index: int, element: int, turn: int) -> list[tuple[View, int, int]]:
        unit = self.ids[position] if any(view.by_id for view in GRAPH.nodes[index].loads) else 0
        return places(position, index, element, turn, unit)

    def _operand(self, view: View, at: int, index: int) -> int:
        return INPUTS[view.source][index] if view.source in INPUTS else self._values[at, NODES[view.source]][index]

    # -- the port --------------------------------------------------------------------------------------------------

    def root(self) -> bytes:
        return merkle.root(self.positions())

    def positions(self) -> list[bytes]:
        return [merkle.leaf_hash(merkle.root(self.nodes(position))) for position in range(len(self.ids))]

    def nodes(self, position: int) -> list[bytes]:
        return [merkle.leaf_hash(self._roots[position, index]) for index in range(len(GRAPH.nodes))]

    def value(self, position: int, node: int) -> bytes:
        return raw(self._values[position, node])

    def chains(self, position: int, node: int, element: int) -> bytes:
        return raw(self._chains(position, node, element))

    def sums(self, position: int, node: int, element: int, chain: int, turns: Sequence[int]) -> list[int]:
        lanes, word, found = GRAPH.nodes[node].lanes, GRAPH.nodes[node].start, {0: GRAPH.nodes[node].start}
        for number in range(max(turns, default=0)):
            word = found[number + 1] = self._turn(position, node, element, chain + lanes * number, word)
        return [found[number] for number in turns]

    def loads(self, position: int, node: int, element: int, turn: int) -> list[Load]:
        return [self._load(*place) for place in self._places(position, node, element, turn)]

    def _load(self, view: View, position: int, index: int) -> Load:
        by_id = view.by_id != 0
        if view.source == "letters":
            leaf = index // FILE_WORDS
            path = MODEL_TREE.prove(FIRST_LEAF + leaf)
            return Load(1, 0, 0, FIRST_LEAF + leaf, 0, b"", FILE[leaf], path, by_id)
        leaf = index // leaves.WORDS_PER_LEAF
        if view.source == "weights":
            return Load(2, 0, 0, leaf, len(TABLE), TABLE_TREE.root, TABLE[leaf], TABLE_TREE.prove(leaf), by_id)
        node = NODES[view.source]
        value = leaves.cut(self.value(position, node))
        path = merkle.prove([merkle.leaf_hash(one) for one in value], leaf)
        return Load(0, position, node, leaf, len(value), b"", value[leaf], path, by_id)

    def node_leaf(self, node: int) -> bytes:
        return NODE_LEAVES[node]

    def node_path(self, node: int) -> tuple[bytes, ...]:
        return GRAPH_TREE.prove(node)

    def facts(self) -> bytes:
        return FACTS

    def facts_path(self) -> tuple[bytes, ...]:
        return MODEL_TREE.prove(2)

    def model_leaves(self) -> int:
        return MODEL_TREE.count

    # -- what an engine says ---------------------------------------------------------------------------------------

    def logits(self, position: int) -> list[int]:
        """Signed."""
        return [(word ^ 1 << 31) - (1 << 31) for word in self._values[position, NODES["logits"]]]

    def picks(self, position: int) -> int:
        """The id that the plain argmax chooses at the end of a position."""
        logits = self.logits(position)
        return logits.index(max(logits))

    def evidence(self, position: int, unit: int) -> bytes:
        """Of an id that a position chose (ARI-40)."""
        logit = self._values[position, NODES["logits"]][unit]
        return sha256(self.value(position, NODES["state"]), raw([logit]), ZERO32)


@cache
def honest(ids: tuple[int, ...]) -> Counting:
    """The run of these ids."""
    return Counting(ids, None, [(honest(ids[:-1]), (len(ids) - 1, 0))] if ids else [])


def spoiled(spoil: Spoil, first: tuple[int, int]) -> Callable[[tuple[int, ...]], Counting]:
    """Runs of a liar that does not lie before (position, node) `first`, each made once."""

    @cache
    def run(ids: tuple[int, ...]) -> Counting:
        before = [(run(ids[:-1]), (len(ids) - 1, 0)), (honest(ids), first)] if ids else []
        return Counting(ids, spoil, before)

    return run


def turns(position: int) -> Iterator[tuple[int, int, int]]:
    """Every (node, element, turn) of a position."""
    for index, node in enumerate(GRAPH.nodes):
        for number in range(node.elements(position) * prod(extent.at(position) for extent in node.fold)):
            yield index, *divmod(number, node.turns(position))
