"""A run of any graph by the book: every value when it is asked for, by `ir.evaluate`, and kept from then on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import Graph
from steelyard.engines.ir.leaves import cut
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

Array = NDArray[Any]
Whole = NDArray[np.int64]
Inputs = Callable[[str, int, Whole], Array]
"""(source, the position that loads, indices) -> elements of an input, as `evaluate.Values.gather`. Who computes
honestly does not look at the position."""


@dataclass
class Evaluated:
    """`evaluate.Values` of the run over `ids`, and its trees' leaves."""

    graph: Graph
    ids: Sequence[int]
    inputs: Inputs
    _known: dict[tuple[int, str], Array] = field(default_factory=dict)
    _past: dict[str, list[Array]] = field(default_factory=dict)

    def id(self, position: int) -> int:
        """See `Values`."""
        return self.ids[position]

    def value(self, position: int, name: str) -> Array:
        """All elements of a node, in order: float32 or int32. Raises Refused: `trace.position`, `trace.node`."""
        if not 0 <= position < len(self.ids):
            raise Refused("trace.position", f"position {position} of {len(self.ids)}")
        if name not in self.graph.by_name:
            raise Refused("trace.node", f"{name[:60]!r} is none of the graph's {len(self.graph.nodes)} nodes")
        if (position, name) not in self._known:
            self._known[position, name] = evaluate.value(self.graph.by_name[name], position, self)
        return self._known[position, name]

    def gather(self, source: str, position: int | Whole, index: Whole) -> Array:
        """See `Values`."""
        if isinstance(position, int):
            here = source in self.graph.by_name
            return self.value(position, source)[index] if here else self.inputs(source, position, index)
        past = self._past.setdefault(source, [])
        past += [self.value(at, source) for at in range(len(past), int(position.max()) + 1)]
        found: Array = np.stack(past)[position, index]
        return found

    def leaves(self) -> Iterator[list[bytes]]:
        """Leaf hashes of each position's tree (GRA-14), one a node; the first position's first."""
        for position in range(len(self.ids)):
            values = (self.value(position, node.name) for node in self.graph.nodes)
            yield [merkle.leaf_hash(_root(value.view(np.uint32).astype("<u4").tobytes())) for value in values]


def _root(raw: bytes) -> bytes:
    return merkle.root([merkle.leaf_hash(leaf) for leaf in cut(raw)])
