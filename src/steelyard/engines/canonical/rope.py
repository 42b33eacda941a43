"""Tables of cosines and sines, from whole numbers only (spec/arithmetic.md, ARI-22).

The angle of pair i is base^(-2i/d), over a divisor where the file has them. Its cosine and sine, as fixed-point numbers
with 64 fraction bits, come from a decimal of 60 digits; the next position's follow by the addition theorem, rounded
down at each step. So a table's entry can be checked from the one before it by four products.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from typing import Final

import numpy as np
from numpy.typing import NDArray

TABLES: Final = (("rope.cosines", "rope.sines"), ("rope.local.cosines", "rope.local.sines"))
"""Names of the tables of each of a shape's turns."""
FRACTION: Final = 64
ONE: Final = 1 << FRACTION
DIGITS: Final = 60
TERMS: Final = 30  # of the sine's and the cosine's series: 1/60! is far below 10**-60 for angles up to 1


def first(base: float, head_dim: int, divisors: Sequence[float] = ()) -> list[tuple[int, int]]:
    """(cosine, sine) of each pair's angle, floor of the number times 2**64. `divisors`: of the angles, 1 if none."""
    with localcontext(Context(prec=DIGITS)):
        logarithm = Decimal(base).ln()
        angles = [(logarithm * Decimal(-2 * i) / Decimal(head_dim)).exp() for i in range(head_dim // 2)]
        angles = [a / Decimal(d) for a, d in zip(angles, divisors or [1.0] * len(angles), strict=True)]
        return [(_fixed(_series(a, 0)), _fixed(_series(a, 1))) for a in angles]


def _series(angle: Decimal, power: int) -> Decimal:
    """Taylor's series of the cosine (power 0) or the sine (power 1)."""
    term = angle if power else Decimal(1)
    total = Decimal(0)
    for k in range(power, power + 2 * TERMS, 2):
        total += term
        term = -term * angle * angle / Decimal((k + 1) * (k + 2))
    return total


def _fixed(number: Decimal) -> int:
    return int((number * ONE).to_integral_value(rounding="ROUND_FLOOR"))


def tables(
    base: float, head_dim: int, positions: int, divisors: Sequence[float] = ()
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines, float32 [positions][head_dim/2]: fixed-point to the nearest double, then nearest single."""
    start = first(base, head_dim, divisors)
    step_cos = np.array([c for c, _ in start], dtype=object)
    step_sin = np.array([s for _, s in start], dtype=object)
    cosine = np.array([ONE] * len(start), dtype=object)
    sine = np.array([0] * len(start), dtype=object)
    cosines = np.empty((positions, len(start)), dtype=np.float64)
    sines = np.empty_like(cosines)
    for position in range(positions):
        cosines[position] = cosine
        sines[position] = sine
        cosine, sine = (
            (cosine * step_cos - sine * step_sin) >> FRACTION,
            (sine * step_cos + cosine * step_sin) >> FRACTION,
        )
    return (cosines / ONE).astype(np.float32), (sines / ONE).astype(np.float32)
