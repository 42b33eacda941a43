"""A llama-architecture model as a graph (spec/ir.md, spec/arithmetic.md), and as the kernels that compute the same.

Each method below adds nodes and the one call that realises them, so that the definition and the program cannot drift
apart unseen: tests hold every value of every node to what the kernels leave in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Final

from steelyard.engines.canonical.fields import FIELDS
from steelyard.engines.canonical.formats import BLOCK
from steelyard.engines.canonical.rope import COSINES, SINES
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head
from steelyard.engines.ir.graph import SO_FAR, Affine, Body, Graph, Register, View

STATE, LOGITS = "output_norm", "logits"
"""Nodes that evidence is made of."""
LANES: Final = 16
INFINITY_BITS: Final = 0x7F800000
NAN: Final = float("nan")
TINY_BITS: Final = 0x0D800000  # 2**-100: a block whose numbers are all below it becomes zeros
GREATEST: Final = 127.0


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel, over places of the program's memory (fields of `program.Buffers`)."""

    kernel: str
    reads: str
    writes: str
    gives: tuple[str, ...]
    """Nodes whose values then stand one behind the other in a token's row of `writes`."""
    tensors: tuple[str, ...] = ()
    layer: int = 0
    residual: bool = False
    """A matrix adds to what stands there: `gives` is what it adds."""
    wanted: bool = False
    """Only for tokens whose successor's logits are wanted."""


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a format's blocks, as one turn over 32 weights loads it."""

    field: str
    """Of `fields.FIELDS`."""
    each: int = 1
    """Elements for 32 weights."""
    width: int = 1
    first: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """How a block format's weights meet quantised activations (ARI-12), and what they are alone (ARI-13)."""

    parts: tuple[Part, ...]
    turn: Callable[..., Register]
    """(body, accumulator, parts …, q … of the activations, d, ds) -> accumulator."""
    alone: Callable[..., Register]
    """(body, parts without a repeated field) -> the weight."""


def _scaled(b: Body, acc: Register, q: Register, d: Register, xq: Register, xd: Register, _: Register) -> Register:
    return b.do("fma", d * xd, b.do("float", b.do("dot", q, xq)), acc)


def _shifted(
    b: Body, acc: Register, q: Register, d: Register, m: Register, xq: Register, xd: Register, xds: Register
) -> Register:
    return b.do("fma", m, xds, _scaled(b, acc, q, d, xq, xd, xds))


def _lowered(
    b: Body, acc: Register, q: Register, e: Register, g: Register, xq: Register, xd: Register, xds: Register
) -> Register:
    return _shifted(b, acc, q, e, b.do("neg", g), xq, xd, xds)


def _halves(b: Body, acc: Register, *loads: Register) -> Register:
    q0, q1, sc0, sc1, d, x0, x1, xd, _ = loads
    first, second = (b.do("imul", sc, b.do("dot", q, x)) for q, sc, x in ((q0, sc0, x0), (q1, sc1, x1)))
    return b.do("fma", d * xd, b.do("float", b.do("iadd", first, second)), acc)


def _times(b: Body, q: Register, d: Register) -> Register:
    return d * b.do("float", q)


def _plus(b: Body, q: Register, d: Register, m: Register) -> Register:
    return d * b.do("float", q) + m


def _minus(b: Body, q: Register, e: Register, g: Register) -> Register:
    return e * b.do("float", q) - g


def _twice(b: Body, q: Register, sc: Register, d: Register) -> Register:
    return d * b.do("float", sc) * b.do("float", q)


_Q, _D = Part("q", BLOCK, BLOCK), Part("d")
_SINGLE = Weights((_Q, _D), _scaled, _times)
_DOUBLE = Weights((_Q, _D, Part("m")), _shifted, _plus)
_SIXTEENS = (Part("q", BLOCK, 16), Part("q", BLOCK, 16, 16), Part("sc", 2), Part("sc", 2, first=1), _D)
WEIGHTS: Final[Mapping[str, Weights]] = {
    "q4_0": _SINGLE,
    "q4_1": _DOUBLE,
    "q5_0": _SINGLE,
    "q5_1": _DOUBLE,
    "q8_0": _SINGLE,
    "q4_k": Weights((_Q, Part("e"), Part("g")), _lowered, _minus),
    "q6_k": Weights(_SIXTEENS, _halves, _twice),
}
"""Block formats; every other kind is a plain chain over binary32 weights and activations."""


@dataclass
class Lowering:
    """Writes the graph and the calls of one model.

    Args:
        shape: its dimensions.
        kinds: tensor name -> block format.
    """

    shape: Shape
    kinds: Mapping[str, str]
    graph: Graph = field(default_factory=Graph)
    calls: list[Call] = field(default_factory=list)

    def model(self) -> None:
        """The whole step."""
        s, g = self.shape, self.graph
        g.inputs |= {COSINES: "f", SINES: "f"}
        x = self._embed()
        for layer in range(s.layers):
            x = self._layer(layer, x)
        state = self._norm(STATE, x, "output_norm.weight", "states", wanted=True)
        output = "token_embd.weight" if s.tied else "output.weight"
        logits = self._matrix(LOGITS, output, state, (s.width, s.vocabulary))
        self.calls.append(Call("dot", "states", "logits", (logits,), (output,), wanted=True))

    def _layer(self, layer: int, x: str) -> str:
        s, at = self.shape, f"blk.{layer}."
        y = self._norm(f"{at}attn_norm", x, f"{at}attn_norm.weight", "normed")
        sizes = (s.query_width, s.key_width, s.key_width)
        tensors = tuple(f"{at}attn_{n}.weight" for n in "qkv")
        q, k, v = (
            self._matrix(f"{at}{name}", tensor, y, (s.width, rows))
            for name, tensor, rows in zip("qkv", tensors, sizes, strict=True)
        )
        self.calls.append(Call("dot", "normed", "qkv", (q, k, v), tensors))
        q, k = self._rotate(f"{at}q.turned", q, s.heads), self._rotate(f"{at}k.turned", k, s.key_heads)
        self.calls.append(Call("rotate", "qkv", "qkv", (q, k), layer=layer))
        mixed = self._attention(f"{at}attn", q, k, v)
        self.calls.append(Call("attention", "qkv", "mixed", (mixed,), layer=layer))
        self._quantised(mixed, s.query_width)
        self.calls.append(Call("quantise", "mixed", "mixed", ()))
        x = self._add(f"{at}attn_output", mixed, (s.query_width, s.width), x, "mixed")
        y = self._norm(f"{at}ffn_norm", x, f"{at}ffn_norm.weight", "normed")
        tensors = tuple(f"{at}ffn_{n}.weight" for n in ("gate", "up"))
        gate, up = (self._matrix(t.removesuffix(".weight"), t, y, (s.width, s.inner)) for t in tensors)
        self.calls.append(Call("dot", "normed", "gated", (gate, up), tensors))
        inner = self._gate(f"{at}ffn", gate, up)
        return self._add(f"{at}ffn_down", inner, (s.inner, s.width), x, "inner")

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _embed(self) -> str:
        """ARI-13. The rows are looked up without a kernel; their place is `x`."""
        s, tensor = self.shape, "token_embd.weight"
        kind = self.kinds[tensor]
        if kind not in WEIGHTS:
            self.graph.inputs[tensor] = "f"
            return self.graph.map("embedding", [s.width], [View(tensor, (1,), by_id=s.width)], lambda _, w: w)
        blocks, views = s.width // BLOCK, []
        for part in WEIGHTS[kind].parts:
            if not part.first:
                strides = (part.each, part.each // 2, 1 if part.each == BLOCK else 0)
                views.append(View(self._field(tensor, part), strides, by_id=blocks * part.each))
        return self.graph.map("embedding", [blocks, 2, BLOCK // 2], views, WEIGHTS[kind].alone)

    def _field(self, tensor: str, part: Part) -> str:
        """The graph's input for a field of a tensor."""
        source = f"{tensor}#{part.field}"
        self.graph.inputs[source] = "i" if part.field in ("q", "sc") else "f"
        return source

    def _norm(self, name: str, x: str, weight: str, place: str, wanted: bool = False) -> str:
        """ARI-30, then ARI-10."""
        g, width, epsilon = self.graph, self.shape.width, self.shape.epsilon
        g.inputs[weight] = "f"
        row = View(x, (1,))
        squares = g.fold(f"{name}.squares", [], width, [row], lambda b, acc, a: b.do("fma", a, a, acc), lanes=LANES)

        def inverse(b: Body, total: Register) -> Register:
            return b.real(1.0) / b.do("sqrt", total / float(width) + epsilon)

        r = g.map(f"{name}.inverse", [], [View(squares, ())], inverse)
        views = [row, View(r, (0,)), View(weight, (1,))]
        y = g.map(name, [width], views, lambda _, a, b, w: a * b * w)
        self._quantised(y, width)
        self.calls.append(Call("norm", "x", place, (y,), (weight,), wanted=wanted))
        return y

    def _quantised(self, x: str, width: int) -> None:
        """ARI-10: `x.q` whole numbers, `x.d` scales, `x.ds` scales times sums, one of each a block."""
        g, blocks = self.graph, width // BLOCK

        def bits(b: Body, acc: Register, a: Register) -> Register:
            return b.do("ilarger", acc, b.do("iand", b.do("bits", a), b.whole(0x7FFFFFFF)))

        def usable(b: Body, top: Register) -> Register:
            return b.do("iand", b.do("iless", top, b.whole(INFINITY_BITS)), b.do("iless", b.whole(TINY_BITS - 1), top))

        def scale(b: Body, top: Register) -> Register:
            finite = b.do("select", usable(b, top), b.do("real", top) / GREATEST, b.real(0.0))
            return b.do("select", b.do("iless", top, b.whole(INFINITY_BITS)), finite, b.real(NAN))

        def number(b: Body, a: Register, top: Register) -> Register:
            inverse = b.real(GREATEST) / b.do("real", top)
            return b.do("iselect", usable(b, top), b.do("round", a * inverse), b.whole(0))

        def weighted(b: Body, d: Register, total: Register) -> Register:
            return d * b.do("float", total)

        top = g.fold(f"{x}.top", [blocks], BLOCK, [View(x, (BLOCK, 1))], bits, start=0)
        d = g.map(f"{x}.d", [blocks], [View(top, (1,))], scale)
        q = g.map(f"{x}.q", [blocks, BLOCK], [View(x, (BLOCK, 1)), View(top, (1, 0))], number)
        view = View(q, (BLOCK, 1))
        total = g.fold(f"{x}.s", [blocks], BLOCK, [view], lambda b, acc, a: b.do("iadd", acc, a), start=0)
        g.map(f"{x}.ds", [blocks], [View(d, (1,)), View(total, (1,))], weighted)

    def _matrix(self, name: str, tensor: str, x: str, size: tuple[int, int]) -> str:
        """ARI-12: `size` is (columns, rows)."""
        g, (columns, rows), kind = self.graph, size, self.kinds[tensor]
        if kind not in WEIGHTS:
            g.inputs[tensor] = "f"
            views = [View(tensor, (columns, 1)), View(x, (0, 1))]
            return g.fold(name, [rows], columns, views, lambda b, acc, w, a: b.do("fma", w, a, acc))
        blocks, views, activations = columns // BLOCK, [], []
        for part in WEIGHTS[kind].parts:
            strides = (blocks * part.each, part.each)
            views.append(View(self._field(tensor, part), strides, Affine(part.first), width=part.width))
            if part.width > 1:
                activations.append(View(f"{x}.q", (0, BLOCK), Affine(part.first), width=part.width))
        views += [*activations, View(f"{x}.d", (0, 1)), View(f"{x}.ds", (0, 1))]
        return g.fold(name, [rows], blocks, views, WEIGHTS[kind].turn)

    def _add(self, name: str, source: str, size: tuple[int, int], x: str, place: str) -> str:
        """A matrix's result on top of x."""
        tensor = f"{name}.weight"
        product = self._matrix(f"{name}", tensor, source, size)
        total = self.graph.map(f"{name}.sum", [size[1]], [View(x, (1,)), View(product, (1,))], lambda _, a, b: a + b)
        self.calls.append(Call("dot", place, "x", (product,), (tensor,), residual=True))
        return total

    def _rotate(self, name: str, x: str, heads: int) -> str:
        """ARI-31: pairs (2i, 2i+1) of each head."""
        head, half = self.shape.head_dim, self.shape.head_dim // 2
        views = [
            View(x, (head, 2, 1)),
            View(x, (head, 2, -1), Affine(1)),
            View(COSINES, (0, 1, 0), Affine(0, half)),
            View(SINES, (0, 1, 0), Affine(0, half)),
        ]

        def write(b: Body, a: Register, other: Register, c: Register, s: Register) -> Register:
            first = b.do("iequal", b.axis(2), b.whole(0))
            return b.do("fma", a, c, other * b.do("select", first, b.do("neg", s), s))

        return self.graph.map(name, [heads, half, 2], views, write)

    def _attention(self, name: str, q: str, k: str, v: str) -> str:
        """ARI-32. Axes: position, key head, query head beside it; so strides do not depend on the position."""
        s, g = self.shape, self.graph
        head, group, keys = s.head_dim, s.heads // s.key_heads, s.key_heads
        all_heads = (s.heads, group, 1)  # strides of a node over [position, key head, beside it]
        scale = 1.0 / sqrt(head)
        views = [View(q, (0, group * head, head, 1)), View(k, (0, head, 0, 1), position_axis=0)]
        space: list[int | Affine] = [SO_FAR, keys, group]
        dots = g.fold(f"{name}.dots", space, head, views, lambda b, acc, a, c: b.do("fma", a, c, acc))
        scores = g.map(f"{name}.scores", space, [View(dots, all_heads)], lambda _, a: a * scale)
        row = View(scores, (group, 1, s.heads))
        least = -float("inf")
        top = g.fold(f"{name}.greatest", space[1:], SO_FAR, [row], lambda b, acc, a: b.do("larger", a, acc), least)
        views = [View(scores, all_heads), View(top, (0, group, 1))]
        weights = g.map(f"{name}.weights", space, views, lambda b, a, m: b.do("exp", a - m))
        row = View(weights, (group, 1, s.heads))
        total = g.fold(f"{name}.total", space[1:], SO_FAR, [row], lambda _, acc, a: acc + a, lanes=LANES)
        views = [View(weights, (group, 1, 0, s.heads)), View(v, (head, 0, 1, 0), position_axis=3)]
        space = [keys, group, head]
        mixed = g.fold(f"{name}.mixed", space, SO_FAR, views, lambda b, acc, w, a: b.do("fma", w, a, acc))
        views = [View(mixed, (group * head, head, 1)), View(total, (group, 1, 0))]
        return g.map(name, space, views, lambda _, a, b: a / b)

    def _gate(self, name: str, gate: str, up: str) -> str:
        """ARI-33, then ARI-10."""
        width = self.shape.inner

        def write(b: Body, g: Register, u: Register) -> Register:
            return g / (b.do("exp", b.do("neg", g)) + 1.0) * u

        inner = self.graph.map(f"{name}.inner", [width], [View(gate, (1,)), View(up, (1,))], write)
        self._quantised(inner, width)
        self.calls.append(Call("gate", "gated", "inner", (inner,)))
        return inner


def sizes(lowered: Lowering, head: Head) -> dict[str, int]:
    """Elements of each of the graph's inputs: what `Graph.check` needs."""
    shape, found = lowered.shape, {}
    tensors = {tensor.name: tensor for tensor in head.tensors}
    for source in lowered.graph.inputs:
        name, _, part = source.partition("#")
        if name in tensors:
            kind, block, _ = KINDS[tensors[name].kind]
            found[source] = prod(tensors[name].shape) // block * FIELDS[kind][part].each
        elif name in (COSINES, SINES):
            found[source] = shape.context * shape.head_dim // 2
    return found


def lower(shape: Shape, kinds: Mapping[str, str]) -> Lowering:
    """Graph and calls of a model of this shape; `kinds`: tensor name -> block format."""
    made = Lowering(shape, kinds)
    made.model()
    return made
