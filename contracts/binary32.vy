# pragma version 0.4.3
"""
@title binary32: IEEE 754 numbers of 32 bits, in words of 256
@license Apache-2.0
@notice Rounded to nearest even, subnormals kept, every NaN given back is 0x7FC00000 (spec/arithmetic.md, ARI-1; spec/ir.md, GRA-8).
    A number is its word. Each operation forms the exact result as a whole number times a power of two, or that with a last
    bit that says "and something", and `_round` is the only place that rounds.
@custom:invariant a result is below 2**32 if the arguments are
"""

SIGN: constant(uint256) = 2**31
MAGNITUDE: constant(uint256) = 2**31 - 1
WORD: constant(uint256) = 2**32 - 1
ONE: constant(uint256) = 1  # with a type
HIDDEN: constant(uint256) = 2**23
FRACTION: constant(uint256) = 2**23 - 1
INFINITY: constant(uint256) = 2139095040  # 0x7F800000
NAN: constant(uint256) = 2143289344  # 0x7FC00000
MAGIC: constant(uint256) = 1262485504  # 0x4B400000 = 1.5·2**23: adding it rounds to a whole number
ORIGIN: constant(uint256) = 400  # below, (m, e) is the number m·2**(e - ORIGIN): so no exponent on the way is negative
UNIT: constant(uint256) = 250  # = ORIGIN - 150: a number of exponent field E is its significand·2**(E - 150)
LENGTHS: constant(uint256) = 4919131752702878224  # 0x4444444433332210: bits in 0 … 15


# ---------------------------------------------------------------- rounding, and exact sums


@pure
@internal
def _round(sign: uint256, m: uint256, e: uint256) -> uint256:
    """
    (m, e) to the nearest number; 0 < m < 2**161, 0 < e. Every shift below is less than 2**8, since e > 90 for the smallest numbers.
    """
    top: uint256 = m
    length: uint256 = 0
    if top >= 2**128:
        top >>= 128
        length = 128
    if top >= 2**64:
        top >>= 64
        length = unsafe_add(length, 64)
    if top >= 2**32:
        top >>= 32
        length = unsafe_add(length, 32)
    if top >= 2**16:
        top >>= 16
        length = unsafe_add(length, 16)
    if top >= 2**8:
        top >>= 8
        length = unsafe_add(length, 8)
    if top >= 2**4:
        top >>= 4
        length = unsafe_add(length, 4)
    length = unsafe_add(length, (LENGTHS >> (top << 2)) & 15)
    # the lowest bit kept is worth 2**low in (m, e)'s terms: 24 bits are kept, fewer below the least normal number
    low: uint256 = max(unsafe_add(e, length), 275)  # = 24 + UNIT + 1, so the exponent field is low - 274
    field: uint256 = unsafe_sub(low, 275)  # less one, which the hidden bit adds again
    low = unsafe_sub(low, 24)
    if low > e:
        cut: uint256 = unsafe_sub(low, e)
        kept: uint256 = unsafe_add(unsafe_add(m, (m >> cut) & 1), unsafe_sub(ONE << unsafe_sub(cut, 1), 1)) >> cut
        return sign | min(unsafe_add(field << 23, kept), INFINITY)
    return sign | min(unsafe_add(field << 23, m << unsafe_sub(e, low)), INFINITY)


@pure
@internal
def _sum(s1: uint256, m1: uint256, e1: uint256, s2: uint256, m2: uint256, e2: uint256) -> uint256:
    """
    The sum of two signed (m, e), m1 < 2**48 and m2 < 2**24, rounded once. Exact zeros are +0, but for -0 + -0.
    """
    if m1 == 0:
        if m2 == 0:
            return s1 & s2
        return self._round(s2, m2, e2)
    if m2 == 0:
        return self._round(s1, m1, e1)
    a: uint256 = m1
    b: uint256 = m2
    e: uint256 = e1
    # Aligned exactly up to 110 bits. Beyond, the second is below 2**-87 of the first's unit, and any number between 0 and
    # 2**-60 of it rounds alike, so one stands for all; or the first is below 2**-63 of the unit of 24 bits that it cannot move.
    if e1 > e2:
        if unsafe_sub(e1, e2) > 110:
            a <<= 60
            b = 1
            e = unsafe_sub(e1, 60)
        else:
            a <<= unsafe_sub(e1, e2)
            e = e2
    elif unsafe_sub(e2, e1) > 110:
        return self._round(s2, m2, e2)
    else:
        b <<= unsafe_sub(e2, e1)
    if s1 == s2:
        return self._round(s1, unsafe_add(a, b), e)
    if a > b:
        return self._round(s1, unsafe_sub(a, b), e)
    if b > a:
        return self._round(s2, unsafe_sub(b, a), e)
    return 0


@pure
@internal
def _sticky(sign: uint256, m: uint256, exact: bool, e: uint256) -> uint256:
    """
    (m, e) or a little more, rounded; m >= 2**24, so that the bit behind it is below every half.
    """
    return self._round(sign, (m << 1) | convert(not exact, uint256), unsafe_sub(e, 1))


# ---------------------------------------------------------------- add sub mul div sqrt fma


@pure
@internal
def fma(a: uint256, b: uint256, c: uint256) -> uint256:
    ea: uint256 = (a >> 23) & 255
    eb: uint256 = (b >> 23) & 255
    ec: uint256 = (c >> 23) & 255
    if max(max(ea, eb), ec) == 255:
        return self._fma_beyond(a, b, c)
    ma: uint256 = a & FRACTION
    mb: uint256 = b & FRACTION
    mc: uint256 = c & FRACTION
    if ea == 0:
        ea = 1
    else:
        ma |= HIDDEN
    if eb == 0:
        eb = 1
    else:
        mb |= HIDDEN
    if ec == 0:
        ec = 1
    else:
        mc |= HIDDEN
    e: uint256 = unsafe_add(unsafe_add(ea, eb), 100)  # = 2·UNIT - ORIGIN
    return self._sum((a ^ b) & SIGN, unsafe_mul(ma, mb), e, c & SIGN, mc, unsafe_add(ec, UNIT))


@pure
@internal
def _fma_beyond(a: uint256, b: uint256, c: uint256) -> uint256:
    """
    At least one is infinite or NaN.
    """
    x: uint256 = a & MAGNITUDE
    y: uint256 = b & MAGNITUDE
    z: uint256 = c & MAGNITUDE
    if max(max(x, y), z) > INFINITY:
        return NAN
    if max(x, y) < INFINITY:
        return c
    if min(x, y) == 0 or (z == INFINITY and ((a ^ b ^ c) & SIGN) != 0):
        return NAN
    return ((a ^ b) & SIGN) | INFINITY


@pure
@internal
def add(a: uint256, b: uint256) -> uint256:
    ea: uint256 = (a >> 23) & 255
    eb: uint256 = (b >> 23) & 255
    if max(ea, eb) == 255:
        return self._fma_beyond(a, 1065353216, b)  # 1.0
    ma: uint256 = a & FRACTION
    mb: uint256 = b & FRACTION
    if ea == 0:
        ea = 1
    else:
        ma |= HIDDEN
    if eb == 0:
        eb = 1
    else:
        mb |= HIDDEN
    return self._sum(a & SIGN, ma, unsafe_add(ea, UNIT), b & SIGN, mb, unsafe_add(eb, UNIT))


@pure
@internal
def sub(a: uint256, b: uint256) -> uint256:
    return self.add(a, b ^ SIGN)


@pure
@internal
def mul(a: uint256, b: uint256) -> uint256:
    ea: uint256 = (a >> 23) & 255
    eb: uint256 = (b >> 23) & 255
    if max(ea, eb) == 255:
        return self._fma_beyond(a, b, 0)
    ma: uint256 = a & FRACTION
    mb: uint256 = b & FRACTION
    if ea == 0:
        ea = 1
    else:
        ma |= HIDDEN
    if eb == 0:
        eb = 1
    else:
        mb |= HIDDEN
    m: uint256 = unsafe_mul(ma, mb)
    if m == 0:
        return (a ^ b) & SIGN
    return self._round((a ^ b) & SIGN, m, unsafe_add(unsafe_add(ea, eb), 100))  # = 2·UNIT - ORIGIN


@pure
@internal
def div(a: uint256, b: uint256) -> uint256:
    sign: uint256 = (a ^ b) & SIGN
    x: uint256 = a & MAGNITUDE
    y: uint256 = b & MAGNITUDE
    if max(x, y) > INFINITY or (x == y and (x == 0 or x == INFINITY)):
        return NAN
    if x == INFINITY or y == 0:
        return sign | INFINITY
    if x == 0 or y == INFINITY:
        return sign
    ea: uint256 = x >> 23
    eb: uint256 = y >> 23
    ma: uint256 = a & FRACTION
    mb: uint256 = b & FRACTION
    if ea == 0:
        ea = 1
    else:
        ma |= HIDDEN
    if eb == 0:
        eb = 1
    else:
        mb |= HIDDEN
    ma <<= 48  # the quotient is at least 2**48 / 2**24
    quotient: uint256 = unsafe_div(ma, mb)
    exact: bool = unsafe_mul(quotient, mb) == ma
    return self._sticky(sign, quotient, exact, unsafe_sub(unsafe_add(ea, 352), eb))  # = ORIGIN - 48


@pure
@internal
def sqrt(a: uint256) -> uint256:
    x: uint256 = a & MAGNITUDE
    if x == 0:
        return a
    if x > INFINITY or a >= SIGN:
        return NAN
    if x == INFINITY:
        return a
    e: uint256 = x >> 23
    m: uint256 = a & FRACTION
    if e == 0:
        e = 1
    else:
        m |= HIDDEN
    if e & 1 == 1:
        m <<= 1
    m <<= 50  # the root is at least 2**25
    root: uint256 = isqrt(m)
    return self._sticky(0, root, unsafe_mul(root, root) == m, unsafe_add(e >> 1, 300))  # = ORIGIN - 150 / 2 - 50 / 2


# ---------------------------------------------------------------- signs, comparisons, conversions


@pure
@internal
def canonical(a: uint256) -> uint256:
    """
    The word itself; of any NaN 0x7FC00000.
    """
    if a & MAGNITUDE > INFINITY:
        return NAN
    return a


@pure
@internal
def less(a: uint256, b: uint256) -> bool:
    """
    a < b; False beside a NaN.
    """
    if max(a & MAGNITUDE, b & MAGNITUDE) > INFINITY or (a | b) & MAGNITUDE == 0:
        return False
    if (a ^ b) & SIGN != 0:
        return a > b  # the negative word is the greater
    if a >= SIGN:
        return a > b
    return a < b


@pure
@internal
def from_whole(i: uint256) -> uint256:
    """
    The number nearest to a whole number of 32 bits, two's complement.
    """
    if i == 0:
        return 0
    if i >= SIGN:
        return self._round(SIGN, unsafe_sub(2**32, i), ORIGIN)
    return self._round(0, i, ORIGIN)


@pure
@internal
def from_natural(i: uint256, k: uint256) -> uint256:
    """
    The number nearest to i·2**-k; i < 2**32, k < 64.
    """
    if i == 0:
        return 0
    return self._round(0, i, unsafe_sub(ORIGIN, k))


@pure
@internal
def to_whole(a: uint256) -> uint256:
    """
    The whole number nearest to a magnitude below 2**22, ties to even; of others, what the bits of a + 1.5·2**23 give.
    """
    return unsafe_sub(self.add(a, MAGIC), MAGIC) & WORD
