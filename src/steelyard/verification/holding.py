"""What one side of a game holds: its own run of the disputed positions, to be asked for any part of it.

The reader owns this port; engines that can be disputed implement it. Words are 32 bits; as bytes 4 each, little-endian.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


class Load(Protocol):
    """What one load of a step takes: where it is committed, and the opening from there up to its own tree's root."""

    @property
    def tag(self) -> int:
        """0 a node's value, 1 the model's file, 2 a table."""
        ...

    @property
    def position(self) -> int:
        """Of the node's value; 0 for others."""
        ...

    @property
    def node(self) -> int:
        """Which node; 0 for others."""
        ...

    @property
    def leaf(self) -> int:
        """Index of the leaf in the value's, the table's or the model root's tree."""
        ...

    @property
    def count(self) -> int:
        """Leaves of the value's or the table's tree."""
        ...

    @property
    def root(self) -> bytes:
        """The table's; empty for others."""
        ...

    @property
    def data(self) -> bytes:
        """The leaf."""
        ...

    @property
    def path(self) -> tuple[bytes, ...]:
        """To the value's, the table's or the model's root."""
        ...

    @property
    def by_id(self) -> bool:
        """True if the id at the step's position says which element."""
        ...


class Holding(Protocol):
    """A run of exactly the disputed positions. Nodes are named by their index in the graph."""

    def root(self) -> bytes:
        """Of the run, 32 bytes."""
        ...

    def positions(self) -> Sequence[bytes]:
        """Leaf hashes of the run's tree, one a position."""
        ...

    def nodes(self, position: int) -> Sequence[bytes]:
        """Leaf hashes of a position's tree, one a node."""
        ...

    def value(self, position: int, node: int) -> bytes:
        """All words of a node's value."""
        ...

    def chains(self, position: int, node: int, element: int) -> bytes:
        """The 16 words of an element's chains after all turns, before they are joined."""
        ...

    def sums(self, position: int, node: int, element: int, chain: int, turns: Sequence[int]) -> Sequence[int]:
        """Words of one chain's accumulator, each after so many turns of the chain itself. A fold without chains has
        chain 0 only."""
        ...

    def loads(self, position: int, node: int, element: int, turn: int) -> Sequence[Load]:
        """What turn `turn` of the element's whole fold loads, in the order of the node's views; a map has turn 0."""
        ...

    def node_leaf(self, node: int) -> bytes:
        """The node's leaf under the graph's root (GRA-13)."""
        ...

    def node_path(self, node: int) -> tuple[bytes, ...]: ...

    def facts(self) -> bytes:
        """Leaf 2 of the model root (ARI-46)."""
        ...

    def facts_path(self) -> tuple[bytes, ...]: ...

    def model_leaves(self) -> int:
        """Leaves of the model root's tree."""
        ...


Hold = Callable[[int], Holding]
"""One's run of the first so many positions of prompt and answer: a game says how many."""


@runtime_checkable
class Holds(Protocol):
    """An engine whose runs can be disputed."""

    def holding(self, ids: Sequence[int], answer_from: int) -> AbstractContextManager[Holding]:
        """Its run over prompt and answer, of which the answer begins at `answer_from`: computed once more, and held for
        as long as the context lasts, beside the runs in flight. Raises as `Engine.replay`."""
        ...
