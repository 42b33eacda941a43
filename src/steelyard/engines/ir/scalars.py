"""Scalar operations, each one fixed, over numpy arrays: slow, exact, and independent of every kernel (spec/ir.md).

binary32 arrays are IEEE by numpy's own + - * / and square root; a fused multiply-add, which numpy lacks, is formed in
binary64 by rounding to odd (Boldo and Melquiond, IEEE TC 57(4), 2008): the product is exact there, and 53 bits rounded
to odd then rounded to 24 are the exact sum rounded once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F32, I32 = np.float32, np.int32
NAN_BITS: Final = np.uint32(0x7FC00000)


@dataclass(frozen=True, slots=True)
class Operation:
    """Kinds of its arguments and of its result (`f`, `i`, `v` = a vector of whole numbers), and what it does."""

    takes: str
    gives: str
    do: Callable[..., Any]


def fma(a: Array, b: Array, c: Array) -> Array:
    """a·b + c, one rounding."""
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = c.astype(np.float64)
    total = product + addend
    back = total - product
    error = (product - (total - back)) + (addend - back)
    bits = total.view(np.int64)
    even = (bits & 1) == 0
    inexact = (error != 0) & np.isfinite(total)
    outward = (error > 0) == (total > 0)  # towards greater magnitude; else the last bit of the one below is odd
    bits = np.where(inexact & even, np.where(outward, bits + 1, bits - 1), bits)
    return bits.view(np.float64).astype(F32)


def _hexes(*texts: str) -> tuple[np.float32, ...]:
    return tuple(F32(float.fromhex(text)) for text in texts)


def _singles(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(map(F32, numbers))


MAGIC: Final = F32(12582912.0)  # 1.5 * 2**23: adding it rounds |x| < 2**22 to a whole number, ties to even
LOG2E, LN2_HIGH, LN2_LOW = _hexes("0x1.715476p+0", "0x1.62e400p-1", "0x1.7f7d1cp-20")
EXP: Final = _hexes(
    *("0x1.a01a02p-13", "0x1.6c16c2p-10", "0x1.111112p-7", "0x1.555556p-5", "0x1.555556p-3", "0x1p-1", "0x1p0", "0x1p0")
)
LOG: Final = _hexes(
    *("0x1.2043760p-4", "-0x1.d7a3700p-4", "0x1.de4a340p-4", "-0x1.fcba9e0p-4", "0x1.23d37e0p-3"),
    *("-0x1.555ca00p-3", "0x1.999d580p-3", "-0x1.fffff80p-3", "0x1.5555540p-2"),
)
SQRT_HALF_BITS: Final = 0x3F3504F3
TANH: Final = _singles(  # Cephes tanhf
    -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1
)
ERF: Final = _singles(  # Cephes ndtrf: erf x = x·P(x²) for |x| <= 1
    *(7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2),
    *(1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710e0),
)
ERFC_NEAR: Final = _singles(  # erfc x = e^(-x²)/x · P(1/x²), 1 < x < 2
    *(2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1),
    *(6.210004621745983e-1, -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1),
)
ERFC_FAR: Final = _singles(  # the same from 2 on
    *(-1.047766399936249e1, 1.297719955372516e1, -7.495518717768503e0, 2.921019019210786e0),
    *(-1.015265279202700e0, 4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1),
)


def horner(x: Array, coefficients: tuple[np.float32, ...]) -> Array:
    """A polynomial, highest power first, one fma a coefficient."""
    p = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        p = fma(p, x, np.full_like(x, coefficient))
    return p


def exp(x: Array) -> Array:
    """ARI-20."""
    low = x < F32(-87)
    x = np.where(x > F32(88), F32(88), x)
    shifted = x * LOG2E + MAGIC
    n = shifted - MAGIC
    r = fma(n, np.full_like(x, -LN2_HIGH), x)
    r = fma(n, np.full_like(x, -LN2_LOW), r)
    power = (shifted.view(I32) - I32(0x4B400000) + I32(127)) << 23
    return np.where(low, F32(0), horner(r, EXP) * power.view(F32))


def log(x: Array) -> Array:
    """ARI-21: a normal x above 0."""
    word = _bits(x)
    exponent = (word - I32(SQRT_HALF_BITS)) >> 23
    return log_of((word - (exponent << 23)).view(F32) - F32(1), exponent.astype(F32))


def log_of(f: Array, e: Array) -> Array:
    """ln(2^e·(1 + f)), the sum of ARI-21: f from √½ - 1 to √2 - 1, whole numbers e given as floats."""
    square = f * f
    y = (f * square) * horner(f, LOG)
    y = fma(e, np.full_like(f, LN2_LOW), y)
    y = fma(square, np.full_like(f, -0.5), y)
    return fma(e, np.full_like(f, LN2_HIGH), f + y)


def _round(x: Array) -> Array:
    """Beyond 2**22, where no kernel's result is used, the same bits on every machine nevertheless."""
    return _bits(x + MAGIC) - I32(0x4B400000)


def _signed(size: Array, like: Array) -> Array:
    """`size` with the sign of `like`."""
    return np.where(np.signbit(like), -size, size)


def tanh(x: Array) -> Array:
    """GRA-11: an odd polynomial below 0.625, 1 - 2/(e^2|x| + 1) above."""
    size = np.abs(x)
    square = size * size
    near = fma(horner(square, TANH) * square, size, size)
    far = F32(1) - F32(2) / (exp(size + size) + F32(1))
    return _signed(np.where(size < F32(0.625), near, far), x)


def erf(x: Array) -> Array:
    """GRA-12: an odd polynomial up to 1, 1 - erfc above."""
    size = np.abs(x)
    square = size * size
    near = size * horner(square, ERF)
    inverse = F32(1) / size
    step = inverse * inverse
    tail = np.where(size < F32(2), horner(step, ERFC_NEAR), horner(step, ERFC_FAR))
    far = F32(1) - (exp(-square) * inverse) * tail
    return _signed(np.where(size <= F32(1), near, far), x)


def _bits(x: Array) -> Array:
    """The word of a number; of any NaN 0x7FC00000."""
    return np.where(np.isnan(x), I32(NAN_BITS), np.ascontiguousarray(x).view(I32))


def _choose(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(condition, yes, no)


def _flag(condition: Array) -> Array:
    return condition.astype(I32)


def _dot(a: Array, b: Array) -> Array:
    """Exact: at most 32 · 255 · 128 in magnitude fits."""
    products: Array = np.einsum("...i,...i->...", a.astype(I32), b.astype(I32))
    return products.astype(I32)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "add": Operation("ff", "f", np.add),
    "sub": Operation("ff", "f", np.subtract),
    "mul": Operation("ff", "f", np.multiply),
    "div": Operation("ff", "f", np.divide),
    "fma": Operation("fff", "f", fma),
    "sqrt": Operation("f", "f", np.sqrt),
    "neg": Operation("f", "f", np.negative),
    "abs": Operation("f", "f", np.abs),
    "larger": Operation("ff", "f", lambda a, b: _choose(a > b, a, b)),
    "exp": Operation("f", "f", exp),
    "log": Operation("f", "f", log),
    "tanh": Operation("f", "f", tanh),
    "erf": Operation("f", "f", erf),
    "less": Operation("ff", "i", lambda a, b: _flag(a < b)),
    "select": Operation("iff", "f", _choose),
    "float": Operation("i", "f", lambda a: a.astype(F32)),
    "round": Operation("f", "i", _round),
    "bits": Operation("f", "i", _bits),
    "real": Operation("i", "f", lambda a: np.ascontiguousarray(a).view(F32)),
    "iadd": Operation("ii", "i", np.add),
    "imul": Operation("ii", "i", np.multiply),
    "iand": Operation("ii", "i", np.bitwise_and),
    "ilarger": Operation("ii", "i", np.maximum),
    "iless": Operation("ii", "i", lambda a, b: _flag(a < b)),
    "iequal": Operation("ii", "i", lambda a, b: _flag(a == b)),
    "iselect": Operation("iii", "i", _choose),
    "dot": Operation("vv", "i", _dot),
}
"""Whole numbers wrap at 32 bits (two's complement). The order gives their codes (`encoding.CODES`), so another order is
another version of the graph."""
