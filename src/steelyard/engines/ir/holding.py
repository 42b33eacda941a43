"""One side's run of a dispute, for any graph: the trees of every position, the words, sums and openings under them.

The game that asks for them owns the port (`verification/holding.py`); nodes are named by their index in the graph,
words are 4 bytes, little-endian.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import Graph, View
from steelyard.engines.ir.leaves import WORDS_PER_LEAF, FileAt, NodeAt, Source, TableAt, cut
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import FACTS, Facts


class Run(evaluate.Values, Protocol):
    """What is held: every value of a graph at every position."""

    @property
    def graph(self) -> Graph: ...

    def value(self, position: int, name: str) -> NDArray[Any]:
        """All elements of a node, in order: float32 or int32."""
        ...

    def leaves(self) -> Iterable[Sequence[bytes]]:
        """Leaf hashes of each position's tree (GRA-14), one a node; the first position's first."""
        ...


class Covered(Protocol):
    """What the model root covers."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """Where every source of the graph's views is committed."""
        ...

    @property
    def nodes(self) -> Sequence[bytes]:
        """The graph's leaves (GRA-13)."""
        ...

    @property
    def graph(self) -> merkle.Tree:
        """Over them."""
        ...

    @property
    def facts(self) -> Facts: ...

    @property
    def tree(self) -> merkle.Tree:
        """The model root's."""
        ...

    @property
    def tables(self) -> Mapping[str, NDArray[np.uint8]]:
        """Name -> words."""
        ...

    def leaf_of(self, field: FileAt, element: int) -> int:
        """Index, in the model root's tree, of the leaf with an element of a field of the file."""
        ...

    def file_leaf(self, index: int) -> bytes:
        """The leaf at an index."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """What one load of a step takes: where it is committed, and the opening up to its own tree's root."""

    tag: int
    """As in a node's leaf: 0 a node's value, 1 the model's file, 2 a table."""
    leaf: int
    """Index in the value's, the model root's or the table's tree."""
    data: bytes
    """That leaf."""
    path: tuple[bytes, ...]
    """To the value's, the model's or the table's root."""
    count: int = 0
    """Leaves of the value's or the table's tree."""
    position: int = 0
    """Of the node's value."""
    node: int = 0
    root: bytes = b""
    """The table's."""
    by_id: bool = False
    """True if the id at the step's position says which element."""


class GraphHolding:
    """A run of the disputed positions, its trees computed when it is made: 32 bytes a node and position are kept."""

    def __init__(self, run: Run, model: Covered) -> None:
        self._run, self._model, self._graph = run, model, run.graph
        self._nodes: list[bytes] = []
        self._positions: list[bytes] = []
        for leaves in run.leaves():
            self._nodes.append(b"".join(leaves))
            self._positions.append(merkle.leaf_hash(merkle.root(leaves)))

    def first(self, count: int) -> "GraphHolding":
        """The run of the first `count` positions, which are computed already."""
        found = copy(self)
        found._nodes, found._positions = self._nodes[:count], self._positions[:count]
        return found

    def root(self) -> bytes:
        """Of the run, 32 bytes."""
        return merkle.root(self._positions)

    def positions(self) -> Sequence[bytes]:
        """Leaf hashes of the run's tree, one a position."""
        return self._positions

    def nodes(self, position: int) -> Sequence[bytes]:
        """Leaf hashes of a position's tree, one a node. Raises Refused("trace.position")."""
        self._require(position, 0)
        joined = self._nodes[position]
        return [joined[at : at + 32] for at in range(0, len(joined), 32)]

    def value(self, position: int, node: int) -> bytes:
        """All words of a node's value. Raises Refused: `trace.position`, `trace.node`."""
        self._require(position, node)
        return _raw(self._run.value(position, self._graph.nodes[node].name))

    def chains(self, position: int, node: int, element: int) -> bytes:
        """The 16 words of an element's chains after all turns. Raises as `value`, and Refused("ir.element")."""
        self._require(position, node)
        return _raw(self._sum(position, node, element, self._graph.nodes[node].turns(position)))

    def chain_turns(self, position: int, node: int, chain: int) -> int:
        """How many turns of an element's fold belong to one of its chains (GRA-7)."""
        here = self._graph.nodes[node]
        return max(0, -(-(here.turns(position) - chain) // here.lanes))

    def sums(self, position: int, node: int, element: int, chain: int, turns: Sequence[int]) -> list[int]:
        """Words of one chain's accumulator, each after so many turns of the chain itself; a fold without chains has
        chain 0 alone. Raises as `chains`, and Refused("ir.steps")."""
        self._require(position, node)
        lanes = self._graph.nodes[node].lanes
        steps = [chain + lanes * (turn - 1) + 1 if turn else 0 for turn in turns]
        return [int(self._sum(position, node, element, step).view(np.uint32)[chain]) for step in steps]

    def _sum(self, position: int, node: int, element: int, steps: int) -> NDArray[Any]:
        """One accumulator a chain."""
        return evaluate.value(self._graph.nodes[node], position, self._run, np.array([element]), steps).reshape(-1)

    def loads(self, position: int, node: int, element: int, turn: int = 0) -> list[Load]:
        """What a turn of the element's whole fold loads, in the order of the node's views; a map has turn 0. Raises as
        `chains`."""
        self._require(position, node)
        here = self._graph.nodes[node]
        axes = evaluate.indices(here, position, element, turn)
        return [self._load(view, position, axes) for view in here.loads]

    def _load(self, view: View, position: int, axes: list[NDArray[np.int64]]) -> Load:
        unit = self._run.id(position) if view.by_id else 0
        first = int(evaluate.where(view, position, axes, 1, unit)[0])
        match self._model.sources[view.source]:
            case NodeAt(index):
                at = position if view.position_axis is None else int(axes[view.position_axis][0])
                return opened(Load(0, first // WORDS_PER_LEAF, b"", (), 0, at, index), self.value(at, index))
            case FileAt() as field:
                leaf = self._model.leaf_of(field, first)
                data, path = self._model.file_leaf(leaf), self._model.tree.prove(leaf)
                return Load(1, leaf, data, path, by_id=view.by_id != 0)
            case TableAt(root):
                table = Load(2, first // WORDS_PER_LEAF, b"", (), root=root, by_id=view.by_id != 0)
                return opened(table, self._model.tables[view.source].tobytes())

    def node_leaf(self, node: int) -> bytes:
        """The node's leaf under the graph's root. Raises Refused("trace.node")."""
        self._require(0, node)
        return self._model.nodes[node]

    def node_path(self, node: int) -> tuple[bytes, ...]:
        """From it to the graph's root. Raises Refused("merkle.index")."""
        return self._model.graph.prove(node)

    def facts(self) -> bytes:
        """The facts' leaf."""
        return self._model.facts.raw()

    def facts_path(self) -> tuple[bytes, ...]:
        """From it to the model root."""
        return self._model.tree.prove(FACTS)

    def model_leaves(self) -> int:
        """Leaves of the model root's tree."""
        return self._model.tree.count

    def _require(self, position: int, node: int) -> None:
        if not 0 <= position < len(self._nodes):
            raise Refused("trace.position", f"position {position} of {len(self._nodes)}")
        if not 0 <= node < len(self._graph.nodes):
            raise Refused("trace.node", f"node {node} of {len(self._graph.nodes)}")


def _raw(words: NDArray[Any]) -> bytes:
    return words.view(np.uint32).astype("<u4").tobytes()


def hashed(value: bytes) -> list[bytes]:
    """Leaf hashes of a value's tree (GRA-14)."""
    return [merkle.leaf_hash(leaf) for leaf in cut(value)]


def opened(load: Load, value: bytes) -> Load:
    """The load with its leaf of a node's value, or of a table."""
    data, leaves = cut(value)[load.leaf], hashed(value)
    return replace(load, data=data, path=merkle.prove(leaves, load.leaf), count=len(leaves))
