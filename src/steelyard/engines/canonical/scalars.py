"""Canonical scalar functions, lane by lane (spec/arithmetic.md): IEEE operations only, the same on every CPU."""

from typing import Any, Final

from llvmlite import ir

from steelyard.engines.canonical.bounds import TINY
from steelyard.engines.canonical.emit import I32, Kit, Value, lanes

MAGIC: Final = 12582912.0  # 1.5 * 2**23: adding it rounds to a whole number, nearest even, if |x| < 2**22
MAGIC_BITS: Final = 0x4B400000
LOG2E: Final = float.fromhex("0x1.715476p+0")
LN2_HIGH: Final = float.fromhex("0x1.62e400p-1")  # 16 bits, so that n * LN2_HIGH is exact for |n| < 2**8
LN2_LOW: Final = float.fromhex("0x1.7f7d1cp-20")
EXP_LOW, EXP_HIGH = -87.0, 88.0
EXP_COEFFICIENTS: Final = tuple(  # Taylor's 1/k! rounded to binary32, k = 7 … 2
    float.fromhex(c)
    for c in ("0x1.a01a02p-13", "0x1.6c16c2p-10", "0x1.111112p-7", "0x1.555556p-5", "0x1.555556p-3", "0x1p-1")
)
LOG_COEFFICIENTS: Final = tuple(  # ln(1+f) = f - f²/2 + f³·P(f); P's coefficients, highest power first (Cephes logf)
    float.fromhex(c)
    for c in (
        "0x1.2043760p-4",
        "-0x1.d7a3700p-4",
        "0x1.de4a340p-4",
        "-0x1.fcba9e0p-4",
        "0x1.23d37e0p-3",
        "-0x1.555ca00p-3",
        "0x1.999d580p-3",
        "-0x1.fffff80p-3",
        "0x1.5555540p-2",
    )
)
TANH_NEAR: Final = 0.625
TANH_COEFFICIENTS: Final = tuple(  # tanh x = x + x³·P(x²) (Cephes tanhf), rounded to binary32
    float.fromhex(c) for c in ("-0x1.75e1d4p-8", "0x1.52269cp-6", "-0x1.b83c5ap-5", "0x1.110726p-3", "-0x1.555532p-2")
)
SQRT_HALF_BITS: Final = 0x3F3504F3


def words(x: Value) -> Any:
    """The type of x's bits: scalar or lanes."""
    return lanes(I32) if isinstance(x.kind, ir.VectorType) else I32


def exp(kit: Kit, x: Value, lowest: float = EXP_LOW) -> Value:
    """e^x; 0 below `lowest`, which is at least -87, e^88 above 88, NaN for NaN."""
    low = x.compare("<", lowest)
    x = low.choose(x.like(lowest), x)  # else what is not taken could be subnormal on its way
    x = x.compare(">", EXP_HIGH).choose(kit.const(x.kind, EXP_HIGH), x)
    shifted = x * LOG2E + MAGIC
    n = shifted - MAGIC
    r = kit.fma(n, kit.const(x.kind, -LN2_HIGH), x)
    r = kit.fma(n, kit.const(x.kind, -LN2_LOW), r)
    p = kit.const(x.kind, EXP_COEFFICIENTS[0])
    for coefficient in (*EXP_COEFFICIENTS[1:], 1.0, 1.0):
        p = kit.fma(p, r, kit.const(x.kind, coefficient))
    scale = ((shifted.bits(words(x)) - MAGIC_BITS + 127) << 23).bits(x.kind)
    return low.choose(kit.const(x.kind, 0.0), p * scale)


def tanh(kit: Kit, x: Value) -> Value:
    """GRA-11."""
    bits = x.bits(words(x))
    size = magnitude(x)
    square = size * size
    p = kit.const(x.kind, TANH_COEFFICIENTS[0])
    for coefficient in TANH_COEFFICIENTS[1:]:
        p = kit.fma(p, square, kit.const(x.kind, coefficient))
    near = kit.fma(p * square, size, size)
    far = kit.const(x.kind, 1.0) - kit.const(x.kind, 2.0) / (exp(kit, size + size) + 1.0)
    found = size.compare("<", TANH_NEAR).choose(near, far)
    return (found.bits(words(x)) ^ (bits & 0x80000000)).bits(x.kind)


def log1p_core(kit: Kit, f: Value, e: Value) -> Value:
    """ln(2^e·(1+f)) for f in [√½-1, √2-1] and a whole number e given as a float."""
    p = kit.const(f.kind, LOG_COEFFICIENTS[0])
    for coefficient in LOG_COEFFICIENTS[1:]:
        p = kit.fma(p, f, kit.const(f.kind, coefficient))
    square = f * f
    y = (f * square) * p
    y = kit.fma(e, kit.const(f.kind, LN2_LOW), y)
    y = kit.fma(square, kit.const(f.kind, -0.5), y)
    return kit.fma(e, kit.const(f.kind, LN2_HIGH), f + y)


def log(kit: Kit, x: Value) -> Value:
    """ln x for a positive normal x."""
    whole = lanes(I32)
    offset = x.bits(whole) - SQRT_HALF_BITS
    e = offset.kit.builder.ashr(offset.raw, kit.const(whole, 23).raw)
    exponent = Value(kit, e)
    mantissa = (x.bits(whole) - (exponent << 23)).bits(x.kind)
    return log1p_core(kit, mantissa - 1.0, exponent.to_float())


def round_even(x: Value) -> Value:
    """x, |x| < 2²², as the nearest whole number (i32), ties to even."""
    return (x + MAGIC).bits(lanes(I32)) - MAGIC_BITS


def magnitude(x: Value) -> Value:
    """|x|."""
    return (x.bits(words(x)) & 0x7FFFFFFF).bits(x.kind)


def snap(x: Value) -> Value:
    """ARI-6: +0 for a magnitude below 2**-40."""
    return magnitude(x).compare("<", TINY).choose(x.like(0.0), x)


def larger(a: Value, b: Value) -> Value:
    """a if a > b, else b."""
    return a.compare(">", b).choose(a, b)
