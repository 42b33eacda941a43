"""A language model as a graph (spec/ir.md, spec/arithmetic.md), and as the kernels that compute the same.

Each method below adds nodes and the one call that realises them, so that the definition and the program cannot drift
apart unseen: tests hold every value of every node to what the kernels leave in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import pi, prod, sqrt
from typing import Final

from steelyard.engines.canonical.blocks import WEIGHTS, Part
from steelyard.engines.canonical.bounds import LOWEST, TINY, TINY_BITS
from steelyard.engines.canonical.fields import FIELDS
from steelyard.engines.canonical.formats import BLOCK, FORMATS
from steelyard.engines.canonical.rope import TABLES
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head
from steelyard.engines.ir.graph import SO_FAR, Affine, Body, Graph, Register, View

STATE, LOGITS = "output_norm", "logits"
"""Nodes that evidence is made of."""
LANES: Final = 16
INFINITY_BITS: Final = 0x7F800000
NAN, INFINITY = float("nan"), float("inf")
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
    cached: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Nodes that later positions read -> their layer, and 0 for keys, 1 for values."""

    def model(self) -> None:
        """The whole step."""
        s = self.shape
        x = self._embed()
        for layer in range(s.layers):
            x = self._layer(layer, x)
        state = self._norm(STATE, x, "output_norm.weight", "states", wanted=True)
        output = "token_embd.weight" if s.tied else "output.weight"
        name = f"{LOGITS}.raw" if s.logit_cap else LOGITS
        raw = self._matrix(name, output, state, (s.width, s.vocabulary))
        self.calls.append(Call("dot", "states", "logits", (raw,), (output,), wanted=True))
        if s.logit_cap:
            logits = self.graph.map(LOGITS, [s.vocabulary], [View(raw, (1,))], _cap(s.logit_cap))
            self.calls.append(Call("cap", "logits", "logits", (logits,), wanted=True))

    def _layer(self, layer: int, x: str) -> str:
        s, at = self.shape, f"blk.{layer}."
        y = self._norm(f"{at}attn_norm", x, f"{at}attn_norm.weight", "normed")
        q, k, v = self._queries(layer, y)
        q, k = self._rotate(layer, "q", q, s.heads), self._rotate(layer, "k", k, s.key_heads)
        v = self.graph.map(f"{at}v.snapped", [s.key_width], [View(v, (1,))], _snap)
        self.cached |= {k: (layer, 0), v: (layer, 1)}
        self.calls.append(Call("rotate", "qkv", "qkv", (q, k, v), layer=layer))
        mixed = self._attention(layer, q, k, v)
        self.calls.append(Call("attention", "qkv", "mixed", (mixed,), layer=layer))
        self._quantised(mixed, s.query_width)
        self.calls.append(Call("quantise", "mixed", "mixed", ()))
        x = self._add(f"{at}attn_output", f"{at}post_attention_norm", mixed, x, "mixed")
        y = self._norm(f"{at}ffn_norm", x, f"{at}ffn_norm.weight", "normed")
        tensors = tuple(f"{at}ffn_{n}.weight" for n in ("gate", "up"))
        gate, up = (self._matrix(t.removesuffix(".weight"), t, y, (s.width, s.inner)) for t in tensors)
        self.calls.append(Call("dot", "normed", "gated", (gate, up), tensors))
        inner = self._gate(f"{at}ffn", gate, up)
        return self._add(f"{at}ffn_down", f"{at}post_ffw_norm", inner, x, "inner")

    def _queries(self, layer: int, y: str) -> tuple[str, str, str]:
        """Queries, keys and values, with what a family adds to them before they are turned."""
        s, at = self.shape, f"blk.{layer}."
        widths = {"q": s.query_width, "k": s.key_width, "v": s.key_width}
        tensors = tuple(f"{at}attn_{n}.weight" for n in widths)
        found = {
            n: self._matrix(at + n, tensor, y, (s.width, rows))
            for (n, rows), tensor in zip(widths.items(), tensors, strict=True)
        }
        self.calls.append(Call("dot", "normed", "qkv", tuple(found.values()), tensors))
        if s.biased:
            biases = [self._vector(f"{at}attn_{n}.bias") for n in widths]
            for (n, rows), bias in zip(widths.items(), biases, strict=True):
                views = [View(found[n], (1,)), View(bias, (1,))]
                found[n] = self.graph.map(f"{at}{n}.biased", [rows], views, lambda _, a, b: a + b)
            self.calls.append(Call("bias", "qkv", "qkv", tuple(found.values()), tuple(biases)))
        if s.family.head_norms:
            weights = [self._vector(f"{at}attn_{n}_norm.weight") for n in "qk"]
            for n, weight in zip("qk", weights, strict=True):
                found[n] = self._normed(f"{at}{n}.normed", found[n], weight, widths[n] // s.head_dim, s.head_dim)
            self.calls.append(Call("head_norm", "qkv", "qkv", (found["q"], found["k"]), tuple(weights)))
        return found["q"], found["k"], found["v"]

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _embed(self) -> str:
        """ARI-13. The rows are looked up without a kernel; their place is `x`."""
        s, tensor = self.shape, "token_embd.weight"
        kind = self.kinds[tensor]
        if kind not in WEIGHTS:
            view = View(self._vector(tensor), (1,), by_id=s.width)
            return self._scaled(self.graph.map("embedding", [s.width], [view], lambda _, w: w))
        blocks, views = s.width // BLOCK, []
        for part in WEIGHTS[kind].parts:
            if not part.first:
                strides = (part.each, part.each // 2, 1 if part.each == BLOCK else 0)
                views.append(View(self._field(tensor, part), strides, by_id=blocks * part.each))
        return self._scaled(self.graph.map("embedding", [blocks, 2, BLOCK // 2], views, WEIGHTS[kind].alone))

    def _scaled(self, row: str) -> str:
        """ARI-35."""
        width = self.shape.width
        if not self.shape.family.gemma:
            return row
        return self.graph.map("embedding.scaled", [width], [View(row, (1,))], lambda _, a: a * sqrt(width))

    def _vector(self, tensor: str) -> str:
        """A tensor of numbers as an input."""
        self.graph.inputs[tensor] = "f"
        return tensor

    def _field(self, tensor: str, part: Part) -> str:
        """The graph's input for a field of a tensor."""
        source = f"{tensor}#{part.field}"
        self.graph.inputs[source] = "i" if part.field in ("q", "sc") else "f"
        return source

    def _norm(self, name: str, x: str, weight: str, place: str, wanted: bool = False) -> str:
        """ARI-30, then ARI-10."""
        y = self._normed(name, x, self._vector(weight), 1, self.shape.width)
        self._quantised(y, self.shape.width)
        self.calls.append(Call("norm", "x", place, (y,), (weight,), wanted=wanted))
        return y

    def _normed(self, name: str, x: str, weight: str, rows: int, width: int) -> str:
        """ARI-30 of each of `rows` rows of x, with the same weights."""
        g, epsilon = self.graph, self.shape.epsilon

        def inverse(b: Body, total: Register) -> Register:
            return b.real(1.0) / b.do("sqrt", total / float(width) + epsilon)

        row = View(x, (width, 1))
        squares = g.fold(f"{name}.squares", [rows], width, [row], lambda b, acc, a: b.do("fma", a, a, acc), lanes=LANES)
        r = g.map(f"{name}.inverse", [rows], [View(squares, (1,))], inverse)
        views = [row, View(r, (1, 0)), View(weight, (0, 1))]
        return g.map(name, [rows, width], views, lambda b, a, r, w: _snap(b, a * r * w))

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
            views = [View(self._vector(tensor), (columns, 1)), View(x, (0, 1))]
            turn = _snapped_turn if FORMATS[kind].least else _turn
            return g.fold(name, [rows], columns, views, turn)
        blocks, views, activations = columns // BLOCK, [], []
        for part in WEIGHTS[kind].parts:
            strides = (blocks * part.each, part.each)
            views.append(View(self._field(tensor, part), strides, Affine(part.first), width=part.width))
            if part.width > 1:
                activations.append(View(f"{x}.q", (0, BLOCK), Affine(part.first), width=part.width))
        views += [*activations, View(f"{x}.d", (0, 1)), View(f"{x}.ds", (0, 1))]
        return g.fold(name, [rows], blocks, views, WEIGHTS[kind].turn)

    def _add(self, name: str, norm: str, source: str, x: str, place: str) -> str:
        """A matrix's result, normed in families that do, on top of x."""
        s, tensor = self.shape, f"{name}.weight"
        columns = s.query_width if place == "mixed" else s.inner
        added = self._matrix(name, tensor, source, (columns, s.width))
        normed = s.family.post_norms
        self.calls.append(Call("dot", place, "normed" if normed else "x", (added,), (tensor,), residual=not normed))
        if normed:
            added = self._normed(norm, added, self._vector(f"{norm}.weight"), 1, s.width)
        views = [View(x, (1,)), View(added, (1,))]
        total = self.graph.map(f"{name}.sum", [s.width], views, lambda _, a, b: a + b)
        if normed:
            self.calls.append(Call("post", "normed", "x", (total,), (f"{norm}.weight",)))
        return total

    def _rotate(self, layer: int, which: str, x: str, heads: int) -> str:
        """ARI-31: pairs of each head."""
        head, half = self.shape.head_dim, self.shape.head_dim // 2
        cosines, sines = map(self._vector, TABLES[self.shape.turn(layer)])
        halves = self.shape.family.halves
        member, other = (1, -half) if halves else (2, -1)  # elements to the next pair, to the other of a pair
        space, which_member = ([heads, 2, half], 1) if halves else ([heads, half, 2], 2)

        def strides(pair: int, one: int, whole: int) -> tuple[int, ...]:
            return (whole, one, pair) if halves else (whole, pair, one)

        views = [
            View(x, strides(member, -other, head)),
            View(x, strides(member, other, head), Affine(-other)),
            View(cosines, strides(1, 0, 0), Affine(0, half)),
            View(sines, strides(1, 0, 0), Affine(0, half)),
        ]

        def write(b: Body, a: Register, partner: Register, c: Register, s: Register) -> Register:
            first = b.do("iequal", b.axis(which_member), b.whole(0))
            return _snap(b, b.do("fma", a, c, partner * b.do("select", first, b.do("neg", s), s)))

        return self.graph.map(f"blk.{layer}.{which}.turned", space, views, write)

    def _attention(self, layer: int, q: str, k: str, v: str) -> str:
        """ARI-32. Axes: position, key head, query head beside it; so strides do not depend on the position."""
        s, g, name = self.shape, self.graph, f"blk.{layer}.attn"
        head, group, keys = s.head_dim, s.heads // s.key_heads, s.key_heads
        all_heads = (s.heads, group, 1)  # strides of a node over [position, key head, beside it]
        window = s.window if s.local(layer) else 0

        def seen(b: Body, axis: int) -> Register:
            """1 where the position along an axis is in the window."""
            return b.do("iless", b.position(), b.do("iadd", b.axis(axis), b.whole(window)))

        def score(b: Body, a: Register) -> Register:
            a = _snap(b, a * s.scale)
            if s.score_cap:
                a = _cap(s.score_cap)(b, a)
            return b.do("select", seen(b, 0), a, b.real(-INFINITY)) if window else a

        def mix(b: Body, acc: Register, w: Register, a: Register) -> Register:
            total = b.do("fma", w, a, acc)
            return b.do("select", seen(b, 3), total, acc) if window else total

        views = [View(q, (0, group * head, head, 1)), View(k, (0, head, 0, 1), position_axis=0)]
        space: list[int | Affine] = [SO_FAR, keys, group]
        dots = g.fold(f"{name}.dots", space, head, views, lambda b, acc, a, c: b.do("fma", a, c, acc))
        scores = g.map(f"{name}.scores", space, [View(dots, all_heads)], score)
        row = View(scores, (group, 1, s.heads))
        top = g.fold(f"{name}.greatest", space[1:], SO_FAR, [row], lambda b, acc, a: b.do("larger", a, acc), -INFINITY)
        views = [View(scores, all_heads), View(top, (0, group, 1))]
        weights = g.map(f"{name}.weights", space, views, _softmax)
        row = View(weights, (group, 1, s.heads))
        total = g.fold(f"{name}.total", space[1:], SO_FAR, [row], lambda _, acc, a: acc + a, lanes=LANES)
        views = [View(weights, (group, 1, 0, s.heads)), View(v, (head, 0, 1, 0), position_axis=3)]
        space = [keys, group, head]
        mixed = g.fold(f"{name}.mixed", space, SO_FAR, views, mix)
        views = [View(mixed, (group * head, head, 1)), View(total, (group, 1, 0))]
        return g.map(name, space, views, lambda b, a, c: _snap(b, a / c))

    def _gate(self, name: str, gate: str, up: str) -> str:
        """ARI-33, then ARI-10."""
        width, kernel = self.shape.inner, "gelu" if self.shape.family.gemma else "silu"
        activation = _gelu if self.shape.family.gemma else _silu
        views = [View(gate, (1,)), View(up, (1,))]
        inner = self.graph.map(f"{name}.inner", [width], views, lambda b, g, u: _snap(b, activation(b, g) * u))
        self._quantised(inner, width)
        self.calls.append(Call(kernel, "gated", "inner", (inner,)))
        return inner


def _silu(b: Body, g: Register) -> Register:
    return g / (b.do("exp", b.do("neg", g)) + 1.0)


def _gelu(b: Body, g: Register) -> Register:
    cubic = b.do("fma", g * g, b.real(0.044715), b.real(1.0))
    return g * 0.5 * (b.do("tanh", g * sqrt(2 / pi) * cubic) + 1.0)


def _cap(most: float) -> Callable[[Body, Register], Register]:
    return lambda b, a: b.do("tanh", _snap(b, a / most)) * most


def _snap(b: Body, a: Register) -> Register:
    """ARI-6."""
    return b.do("select", b.do("less", b.do("abs", a), b.real(TINY)), b.real(0.0), a)


def _turn(b: Body, acc: Register, w: Register, a: Register) -> Register:
    return b.do("fma", w, a, acc)


def _snapped_turn(b: Body, acc: Register, w: Register, a: Register) -> Register:
    return _turn(b, acc, _snap(b, w), a)


def _softmax(b: Body, a: Register, top: Register) -> Register:
    below = a - top
    return b.do("select", b.do("less", below, b.real(LOWEST)), b.real(0.0), b.do("exp", below))


def sizes(lowered: Lowering, head: Head) -> dict[str, int]:
    """Elements of each of the graph's inputs: what `Graph.check` needs."""
    shape, found = lowered.shape, {}
    tensors = {tensor.name: tensor for tensor in head.tensors}
    for source in lowered.graph.inputs:
        name, _, part = source.partition("#")
        if name in tensors:
            kind, block, _ = KINDS[tensors[name].kind]
            found[source] = prod(tensors[name].shape) // block * FIELDS[kind][part].each
        else:
            found[source] = shape.context * shape.head_dim // 2
    return found


def lower(shape: Shape, kinds: Mapping[str, str]) -> Lowering:
    """Graph and calls of a model of this shape; `kinds`: tensor name -> block format."""
    made = Lowering(shape, kinds)
    made.model()
    return made
