"""Block formats in a graph: how weights meet quantised activations (ARI-12), and what a weight is alone (ARI-13)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from steelyard.engines.canonical.formats import BLOCK
from steelyard.engines.ir.graph import Body, Register


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
_LOWERED = Weights((_Q, Part("e"), Part("g")), _lowered, _minus)
WEIGHTS: Final[Mapping[str, Weights]] = {
    "q4_0": _SINGLE,
    "q4_1": _DOUBLE,
    "q5_0": _SINGLE,
    "q5_1": _DOUBLE,
    "q8_0": _SINGLE,
    "q4_k": _LOWERED,
    "q5_k": _LOWERED,
    "q6_k": Weights(_SIXTEENS, _halves, _twice),
}
"""Block formats; every other kind is a plain chain over binary32 weights and activations."""
