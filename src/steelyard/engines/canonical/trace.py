"""A run that can be asked for anything it computed: any node's value, root, partial sum or opening, at any position.

Nothing is stored but keys and values, as in the run itself. A position that is asked for is computed once more with
the kernels, one call at a time, and what the calls leave in memory is copied; whatever lies between two calls is then
computed from that by `ir.evaluate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import fields, sequence
from steelyard.engines.canonical.lowering import Call
from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import Node
from steelyard.engines.ir.leaves import WORDS_PER_LEAF, cut
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

Array = NDArray[Any]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Opening:
    """One leaf of a node's value at a position, with the way to that value's root."""

    leaf: bytes
    """Up to 32 elements, 4 bytes each, little-endian."""
    index: int
    """Which leaf."""
    count: int
    """Leaves of the value."""
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """What one turn of a node's loops loads for one element."""

    source: str
    """A node, or an input: `tensor`, `tensor#field`, a table."""
    position: int | None
    """Of the node's value; None for an input."""
    index: int
    """First element."""
    values: Array
    """One, or as many as the view is wide: float32 or int32."""


@dataclass
class Trace:
    """One run over `ids` by teacher forcing.

    Args:
        model: used by this trace alone.
        ids: prompt and answer.
    """

    model: Model
    ids: Sequence[int]
    _pages: list[NDArray[np.uint8]] = field(default_factory=list)
    _known: dict[str, Array] = field(default_factory=dict)
    """Whole values at `_at`."""
    _past: dict[str, Array] = field(default_factory=dict)
    """Keys or values at all positions, [positions][elements]."""
    _at: int = -1

    def __post_init__(self) -> None:
        page, count = self.model.recipe.page, len(self.ids)
        shape = self.model.file.shape
        if not 0 < count <= shape.context:
            raise Refused("trace.length", f"{count} ids, 1 to {shape.context}")
        if not 0 <= min(self.ids) <= max(self.ids) < shape.vocabulary:
            raise Refused("order.unit-out-of-range", f"{min(self.ids)} to {max(self.ids)}, below {shape.vocabulary}")
        self._pages = [aligned((self.model.page_bytes,), np.uint8) for _ in range(-(-count // page))]
        self._table = np.array([address(place) for place in self._pages], np.int64)
        self.graph = self.model.file.lowered.graph
        self._tensors = {tensor.name: tensor for tensor in self.model.file.head.tensors}
        for begin in range(0, count, self.model.tokens):
            self.model.step(self._feed(begin, min(begin + self.model.tokens, count)))

    def _feed(self, begin: int, end: int, wanted: bool = False) -> Feed:
        count = end - begin
        tables = [address(self._table)] * count
        return Feed(list(self.ids[begin:end]), list(range(begin, end)), tables, [0] if wanted else [])

    def close(self) -> None:
        """Ends the model's threads."""
        self.model.close()

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what can be asked -----------------------------------------------------------------------------------------

    def value(self, position: int, name: str) -> Array:
        """All elements of a node, in order: float32 or int32. Raises Refused: `trace.position`, `trace.node`."""
        node = self._node(position, name)
        if name not in self._known:
            self._known[name] = evaluate.value(node, position, self)
        return self._known[name]

    def root(self, position: int, name: str) -> bytes:
        """Merkle root over the leaves of a node's value, 32 bytes. Raises as `value`."""
        return merkle.root([merkle.leaf_hash(leaf) for leaf in self._leaves(position, name)])

    def position_root(self, position: int) -> bytes:
        """Merkle root over the roots of all nodes, in the graph's order. 32 bytes."""
        return merkle.root([merkle.leaf_hash(self.root(position, node.name)) for node in self.graph.nodes])

    def leaf(self, position: int, mask: bytes | None = None) -> bytes:
        """Evidence of the id at a position: by the state of the position before, which chose it, and under the mask, if
        it had one (ARI-40). 32 bytes. Raises Refused("trace.position") for the first id, which nothing chose."""
        self._require(position - 1)
        states, logits = self.model.step(self._feed(position - 1, position, wanted=True))
        logit = float(logits[0, self.ids[position]])
        return sequence.leaf(sequence.evidence(states[0], logit), logit, mask)

    def open(self, position: int, name: str, element: int) -> Opening:
        """The leaf that holds an element. Raises as `value`, and Refused("merkle.index")."""
        leaves = self._leaves(position, name)
        index = element // WORDS_PER_LEAF
        path = merkle.prove([merkle.leaf_hash(leaf) for leaf in leaves], index)
        return Opening(leaves[index], index, len(leaves), path)

    def partial(self, position: int, name: str, element: int, steps: int) -> Array:
        """The accumulator of one element's fold after `steps` turns: one number, or the 16 chains.

        Raises as `value`, and Refused: `ir.element`, `ir.steps`, `trace.map` for a node without a fold."""
        node = self._node(position, name)
        if not node.fold:
            raise Refused("trace.map", f"{name} is a map: it has no partial sums")
        return evaluate.value(node, position, self, np.array([element]), steps).reshape(-1)

    def operands(self, position: int, name: str, element: int, step: int = 0) -> list[Operand]:
        """What turn `step` of an element's loops loads, in the order of the node's views. Raises as `partial`."""
        node = self._node(position, name)
        total, turns = node.elements(position), node.turns(position)
        if not 0 <= element < total or not 0 <= step < turns:
            raise Refused("ir.element", f"element {element} of {total}, turn {step} of {turns} of {name}")
        extents = node.extents(position)
        inner = extents[len(node.space) :]
        indices = [*np.unravel_index(element, extents[: len(node.space)]), *np.unravel_index(step, inner)]
        axes = [np.array([index]) for index in indices]
        found = []
        for view in node.loads:
            first = evaluate.where(view, position, axes, 1, self.ids[position])
            at = position if view.position_axis is None else int(axes[view.position_axis][0])
            index = first[0] + np.arange(view.width)
            given = None if view.source in self.graph.inputs else at
            found.append(Operand(view.source, given, int(first[0]), self.gather(view.source, at, index)))
        return found

    # -- where operands come from ----------------------------------------------------------------------------------

    def id(self, position: int) -> int:
        """See `evaluate.Values`."""
        return self.ids[position]

    def gather(self, source: str, position: int | Whole, index: Whole) -> Array:
        """See `evaluate.Values`."""
        if source in self.graph.by_name:
            if isinstance(position, int) and position == self._at:
                return evaluate.canonical(self.value(position, source)[index])
            return evaluate.canonical(self._history(source)[position, index])
        name, _, part = source.partition("#")
        if name not in self._tensors:
            table: Array = self.model.file.packed.parts[name].view(np.float32)
            return table[index]
        tensor = self._tensors[name]
        kind, _, size = KINDS[tensor.kind]
        return evaluate.canonical(fields.read(self.model.file.data, tensor.at, kind, size, part, index))

    def _history(self, source: str) -> Array:
        """Keys or values of a layer at every position, out of the pages."""
        if source not in self._past:
            page, shape = self.model.recipe.page, self.model.file.shape
            layer, values = self.model.file.lowered.cached[source]
            part = page * shape.key_width
            begin = (2 * layer + values) * part
            raw = np.stack([place.view(np.float32)[begin : begin + part] for place in self._pages])
            if values:
                rows = raw.reshape(-1, shape.key_heads, page, shape.head_dim).transpose(0, 2, 1, 3)
            else:
                rows = raw.reshape(-1, shape.key_heads, shape.head_dim, page).transpose(0, 3, 1, 2)
            self._past[source] = rows.reshape(-1, shape.key_width)[: len(self.ids)]
        return self._past[source]

    def _node(self, position: int, name: str) -> Node:
        self._require(position)
        if name not in self.graph.by_name:
            raise Refused("trace.node", f"{name[:60]!r} is none of the graph's {len(self.graph.nodes)} nodes")
        if position != self._at:
            self._known, self._at = {}, position
            self.model.observe(self._feed(position, position + 1, wanted=True), self._see)
        return self.graph.by_name[name]

    def _require(self, position: int) -> None:
        if not 0 <= position < len(self.ids):
            raise Refused("trace.position", f"position {position} of {len(self.ids)}")

    def _see(self, call: Call, row: Array) -> None:
        """What a call left in the token's row of the place that it writes."""
        at = 0
        for name in call.gives:
            size = self.graph.by_name[name].elements(self._at)
            self._known[name] = evaluate.canonical(row[at : at + size].copy())
            at += size

    def _leaves(self, position: int, name: str) -> list[bytes]:
        return cut(self.value(position, name).view(np.uint32).astype("<u4").tobytes())
