# pragma version 0.4.3
"""
@title Functions: exp, log, tanh, erf as fixed sequences of binary32 operations
@license Apache-2.0
@notice The specification's, step by step: ARI-20, ARI-21, GRA-11, GRA-12. What it leaves open (log of what is no normal number above 0)
    is what the same steps give.
"""

import binary32
import operations

SIGN: constant(uint256) = 2**31
MAGNITUDE: constant(uint256) = 2**31 - 1
WORD: constant(uint256) = 2**32 - 1
INFINITY: constant(uint256) = 2139095040  # 0x7F800000
NAN: constant(uint256) = 2143289344  # 0x7FC00000
MAGIC: constant(uint256) = 1262485504  # 0x4B400000 = 1.5·2**23
ONE: constant(uint256) = 1065353216
TWO: constant(uint256) = 1073741824
MINUS_HALF: constant(uint256) = 3204448256
LOWEST: constant(uint256) = 3266183168  # -87
HIGHEST: constant(uint256) = 1118830592  # 88
NEAR_TANH: constant(uint256) = 1059061760  # 0.625


@pure
@internal
def _horner(x: uint256, first: uint256, others: uint256, count: uint256) -> uint256:
    """
    A polynomial, highest power first, one fma a coefficient; `others`: one in each 32 bits, the lowest first.
    """
    p: uint256 = first
    left: uint256 = others
    for _: uint256 in range(count, bound=8):
        p = binary32.fma(p, x, left & WORD)
        left >>= 32
    return p


@pure
@internal
def exp(a: uint256) -> uint256:
    if a & MAGNITUDE > INFINITY:
        return NAN
    if a > LOWEST:  # of two negative numbers the lesser has the greater word
        return 0
    x: uint256 = a
    if a < SIGN:
        x = min(a, HIGHEST)
    shifted: uint256 = binary32.add(binary32.mul(x, operations.LOG2E), MAGIC)
    n: uint256 = binary32.sub(shifted, MAGIC)
    r: uint256 = binary32.fma(n, operations.LN2_HIGH ^ SIGN, x)
    r = binary32.fma(n, operations.LN2_LOW ^ SIGN, r)
    p: uint256 = self._horner(r, operations.EXP_FIRST, operations.EXP_OTHERS, operations.EXP_COUNT)
    return binary32.mul(p, unsafe_sub(unsafe_add(shifted, 127), MAGIC) << 23)  # the exponent field is 1 … 254


@pure
@internal
def logarithm(a: uint256) -> uint256:
    x: uint256 = binary32.canonical(a)
    offset: uint256 = unsafe_sub(x, operations.SQRT_HALF) & WORD
    exponent: uint256 = offset >> 23
    f: uint256 = binary32.sub(unsafe_sub(x, exponent << 23) & WORD, ONE)
    if offset >= SIGN:
        exponent |= 4294966784  # = 2**32 - 2**9: a negative whole number
    return self.logarithm_of(f, binary32.from_whole(exponent))


@pure
@internal
def logarithm_of(f: uint256, e: uint256) -> uint256:
    """
    ln(2**e·(1 + f)) for a whole number e given as a float: ARI-21's sum.
    """
    square: uint256 = binary32.mul(f, f)
    p: uint256 = self._horner(f, operations.LOG_FIRST, operations.LOG_OTHERS, operations.LOG_COUNT)
    y: uint256 = binary32.mul(binary32.mul(f, square), p)
    y = binary32.fma(e, operations.LN2_LOW, y)
    y = binary32.fma(square, MINUS_HALF, y)
    return binary32.fma(e, operations.LN2_HIGH, binary32.add(f, y))


@pure
@internal
def tanh(x: uint256) -> uint256:
    sign: uint256 = x & SIGN
    size: uint256 = x & MAGNITUDE
    if size > INFINITY:
        return NAN
    if size < NEAR_TANH:
        square: uint256 = binary32.mul(size, size)
        p: uint256 = self._horner(square, operations.TANH_FIRST, operations.TANH_OTHERS, operations.TANH_COUNT)
        return sign | binary32.fma(binary32.mul(p, square), size, size)
    power: uint256 = self.exp(binary32.add(size, size))
    return sign | binary32.sub(ONE, binary32.div(TWO, binary32.add(power, ONE)))


@pure
@internal
def erf(x: uint256) -> uint256:
    sign: uint256 = x & SIGN
    size: uint256 = x & MAGNITUDE
    if size > INFINITY:
        return NAN
    square: uint256 = binary32.mul(size, size)
    if size <= ONE:
        p: uint256 = self._horner(square, operations.ERF_FIRST, operations.ERF_OTHERS, operations.ERF_COUNT)
        return sign | binary32.mul(size, p)
    inverse: uint256 = binary32.div(ONE, size)
    s: uint256 = binary32.mul(inverse, inverse)
    tail: uint256 = 0
    if size < TWO:
        tail = self._horner(s, operations.ERFC_NEAR_FIRST, operations.ERFC_NEAR_OTHERS, operations.ERFC_NEAR_COUNT)
    else:
        tail = self._horner(s, operations.ERFC_FAR_FIRST, operations.ERFC_FAR_OTHERS, operations.ERFC_FAR_COUNT)
    tail = binary32.mul(binary32.mul(self.exp(square ^ SIGN), inverse), tail)
    return sign | binary32.sub(ONE, tail)
