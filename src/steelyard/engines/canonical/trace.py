"""A run that can be asked for anything it computed: any node's value, root, partial sum or opening, at any position.

Nothing is stored but keys and values, as in the run itself. Positions that are asked for are computed once more with
the kernels, one call at a time, and what the calls leave in memory is copied; whatever lies between two calls is then
computed from that by `loops`, and a partial sum by `ir.evaluate`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines import base
from steelyard.engines.canonical import fields, forest, loops, sequence
from steelyard.engines.canonical.lowering import Call
from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import Node
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

Array = NDArray[Any]
Whole = NDArray[np.int64]
WORDS_AT_ONCE: Final = 2**23
"""So many values are held while all positions are hashed: some 32 MiB."""
NODES_AT_ONCE: Final = 180
"""Whose values are hashed together: some layers', so that copies of them stay small."""


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
    """Values at the positions of `_window`, [positions][at least the elements that a value has at the last one]."""
    _past: dict[str, Array] = field(default_factory=dict)
    """Keys or values at all positions, [positions][elements]."""
    _window: range = range(0)

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
        self._loops = loops.of(self.graph)
        self._tensors = {tensor.name: tensor for tensor in self.model.file.head.tensors}
        for begin in range(0, count, self.model.tokens):
            self.model.step(self._feed(begin, min(begin + self.model.tokens, count)))

    def _feed(self, begin: int, end: int, wanted: bool = False) -> Feed:
        count = end - begin
        tables = [address(self._table)] * count
        return Feed(list(self.ids[begin:end]), list(range(begin, end)), tables, list(range(count)) if wanted else [])

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
        if name in self.model.file.lowered.cached and position not in self._window:
            self._require(position)
            past: Array = self._history(name)[position]
            return past
        node = self._node(position, name)
        return self._rows(name)[position - self._window.start, : node.elements(position)]

    def root(self, position: int, name: str) -> bytes:
        """Merkle root over the leaves of a node's value, 32 bytes. Raises as `value`."""
        return forest.raw(forest.value_roots([self.value(position, name)]))[0]

    def position_root(self, position: int) -> bytes:
        """Merkle root over the roots of all nodes, in the graph's order. 32 bytes. Raises Refused("trace.position")."""
        self._require(position)
        return merkle.root(self._leaves(range(position, position + 1))[0])

    def leaves(self) -> Iterator[list[bytes]]:
        """Leaf hashes of each position's tree, one a node; the first position's first. Memory for values of some
        positions at a time is taken and given back."""
        count = len(self.ids)
        words = sum(node.elements(count - 1) for node in self.graph.nodes)
        at_once = max(1, min(self.model.tokens, WORDS_AT_ONCE // words))
        for begin in range(0, count, at_once):
            yield from self._leaves(range(begin, min(begin + at_once, count)))
        self._known, self._window = {}, range(0)

    def _leaves(self, window: range) -> list[list[bytes]]:
        if window != self._window:
            self._observe(window)
        found: list[list[bytes]] = [[] for _ in window]
        for begin in range(0, len(self.graph.nodes), NODES_AT_ONCE):
            values: list[Array] = []
            for node in self.graph.nodes[begin : begin + NODES_AT_ONCE]:
                rows = self._rows(node.name)
                grows = node.elements(window[0]) < rows.shape[1]
                values += [row[: node.elements(at)] for row, at in zip(rows, window, strict=True)] if grows else [*rows]
            roots = forest.value_roots(values)
            leaves = forest.raw(forest.digests(merkle.LEAF, roots))
            for index, mine in enumerate(found):
                mine += leaves[index :: len(window)]
        return found

    def leaf(self, position: int, mask: bytes | None = None) -> bytes:
        """Evidence of the id at a position: by the state of the position before, which chose it, and under the mask, if
        it had one (ARI-40). 32 bytes. Raises Refused("trace.position") for the first id, which nothing chose."""
        self._require(position - 1)
        states, logits = self.model.step(self._feed(position - 1, position, wanted=True))
        logit = float(logits[0, self.ids[position]])
        return base.leaf(sequence.evidence(states[0], logit), logit, mask)

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
        axes = evaluate.indices(node, position, element, step)
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
            if isinstance(position, int):
                return self.value(position, source)[index]
            found: Array = self._history(source)[position, index]
            return found
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
            flat = rows.reshape(-1, shape.key_width)[: len(self.ids)]
            self._past[source] = np.ascontiguousarray(evaluate.canonical(flat))
        return self._past[source]

    def _node(self, position: int, name: str) -> Node:
        self._require(position)
        if name not in self.graph.by_name:
            raise Refused("trace.node", f"{name[:60]!r} is none of the graph's {len(self.graph.nodes)} nodes")
        if position not in self._window:
            self._observe(range(position, position + 1))
        return self.graph.by_name[name]

    def _observe(self, window: range) -> None:
        """Makes values those at these positions."""
        self._known, self._window = {}, window
        self.model.observe(self._feed(window.start, window.stop, wanted=True), self._see)

    def _require(self, position: int) -> None:
        if not 0 <= position < len(self.ids):
            raise Refused("trace.position", f"position {position} of {len(self.ids)}")

    def _see(self, call: Call, rows: Array) -> None:
        """What a call left in the tokens' rows of the place that it writes."""
        at = 0
        for name in call.gives:
            size = self.graph.by_name[name].elements(0)
            self._known[name] = np.ascontiguousarray(evaluate.canonical(rows[:, at : at + size]))
            at += size

    def _rows(self, name: str) -> Array:
        """A node's values in the window."""
        if name not in self._known:
            node, window = self.graph.by_name[name], self._window
            if name in self._loops:
                sources = [
                    self._rows(view.source) if view.position_axis is None else self._history(view.source)
                    for view in node.loads
                ]
                made = np.zeros((len(window), node.elements(window[-1])), evaluate.KINDS[node.kind])
                self._loops[name].run(window.start, made, sources)
            else:
                made = np.stack([evaluate.value(node, position, self) for position in window])
            self._known[name] = made
        return self._known[name]
