# pragma version 0.4.3
"""
@title Fields: numbers out of a block of a model's file (spec/arithmetic.md, ARI-11)
@license Apache-2.0
@notice What src/steelyard/engines/canonical/fields.py reads one by one. Whole numbers are unpacked 32 at once, one byte each, as `dots`
    takes them; one alone is cut out of its 32.
"""

import binary32
import formats

WORD: constant(uint256) = 2**32 - 1
MAX_PADDED: constant(uint256) = 1184  # a leaf's 1,152 bytes at most, and 32
ONES: constant(uint256) = max_value(uint256) // 255  # 1 in each byte
NIBBLES: constant(uint256) = ONES * 15
HALF: constant(uint256) = 2**128 - 1  # the 16 bytes behind the first 16
REPEAT: constant(uint256) = 2**56 + 2**48 + 2**40 + 2**32 + 2**24 + 2**16 + 2**8 + 1  # one byte eight times
BITS: constant(uint256) = (max_value(uint256) // (2**64 - 1)) * 72624976668147840  # 0x0102040810204080, four times


@pure
@internal
def read(code: uint256, raw: Bytes[MAX_PADDED], lane: uint256, width: uint256) -> uint256:
    """
    Element `lane` of a field, a word of 32 bits; or a vector of 16 or 32 of them, of whole numbers only, `lane` a multiple of it.
    `raw`: a block, then 32 bytes more.
    """
    if (formats.REAL >> code) & 1 == 1:
        return binary32.canonical(self._real(code, raw, lane))
    vector: uint256 = self._whole(code, raw, lane >> 5)
    if width == 32:
        return vector
    if width == 16:
        return (vector << ((lane & 16) << 3)) & ~HALF
    byte: uint256 = (vector >> unsafe_sub(248, (lane & 31) << 3)) & 255
    return unsafe_sub(byte ^ 128, 128) & WORD


# ---------------------------------------------------------------- whole numbers


@pure
@internal
def _whole(code: uint256, raw: Bytes[MAX_PADDED], part: uint256) -> uint256:
    """
    Elements 32·part to 32·part + 31.
    """
    if code == formats.Q8_0_Q:
        return extract32(raw, 2, output_type=uint256)
    if code == formats.Q4_0_Q:
        return self._less(self._nibbles(raw, 2), 8)
    if code == formats.Q4_1_Q:
        return self._nibbles(raw, 4)
    if code == formats.Q5_0_Q:
        return self._less(self._nibbles(raw, 6) | self._fifths(raw, 2), 16)
    if code == formats.Q5_1_Q:
        return self._nibbles(raw, 8) | self._fifths(raw, 4)
    if code == formats.Q6_K_SC:
        return extract32(raw, 192, output_type=uint256) & ~HALF
    if code == formats.Q6_K_Q:
        half: uint256 = part >> 2
        quarter: uint256 = part & 3
        low: uint256 = extract32(raw, (half << 6) + ((quarter & 1) << 5), output_type=uint256)
        high: uint256 = extract32(raw, 128 + (half << 5), output_type=uint256)
        low = (low >> ((quarter >> 1) << 2)) & NIBBLES
        return self._less(low | (((high >> (quarter << 1)) & (ONES * 3)) << 4), 32)
    # low halves of 32 bytes, then their high halves; two of these parts a 32 bytes
    at: uint256 = (part >> 1) << 5
    cut: uint256 = (part & 1) << 2
    if code == formats.Q4_K_Q:
        return (extract32(raw, at + 16, output_type=uint256) >> cut) & NIBBLES
    # Q5_K's: as Q4_K, with fifth bits before the nibbles: bit j of byte i belongs to element i of part j
    fifths: uint256 = ((extract32(raw, 16, output_type=uint256) >> part) & ONES) << 4
    return ((extract32(raw, at + 48, output_type=uint256) >> cut) & NIBBLES) | fifths


@pure
@internal
def _nibbles(raw: Bytes[MAX_PADDED], at: uint256) -> uint256:
    """
    Low halves of 16 bytes, then their high halves.
    """
    both: uint256 = extract32(raw, at, output_type=uint256)
    return (both & NIBBLES & ~HALF) | ((both >> 132) & (NIBBLES & HALF))


@pure
@internal
def _fifths(raw: Bytes[MAX_PADDED], at: uint256) -> uint256:
    """
    32 bits, the first byte's lowest first, each to the value 16 of its own byte.
    """
    bits: uint256 = extract32(raw, at, output_type=uint256)
    lanes: uint256 = ((bits >> 248) << 192) | (((bits >> 240) & 255) << 128) | (((bits >> 232) & 255) << 64) | ((bits >> 224) & 255)
    # each byte eight times, of which each keeps its own bit; what is not zero then carries into the highest bit
    return ((unsafe_add(unsafe_mul(lanes, REPEAT) & BITS, ONES * 127) >> 7) & ONES) << 4


@pure
@internal
def _less(vector: uint256, number: uint256) -> uint256:
    """
    Bytes below 128, each less a number up to 128. Nothing is borrowed, since 128 is added first.
    """
    return unsafe_add(vector, unsafe_mul(ONES, unsafe_sub(128, number))) ^ (ONES << 7)


# ---------------------------------------------------------------- binary32


@pure
@internal
def _real(code: uint256, raw: Bytes[MAX_PADDED], lane: uint256) -> uint256:
    """
    One number; any NaN's bits.
    """
    head: uint256 = extract32(raw, 0, output_type=uint256)
    if code == formats.F32 or code == formats.BF16:
        low: uint256 = self._sixteen(head)
        if code == formats.BF16:
            return low << 16
        return (self._sixteen(head << 16) << 16) | low
    if code == formats.Q4_1_M or code == formats.Q5_1_M:
        return self._half(self._sixteen(head << 16))
    if code == formats.Q6_K_D:
        return self._half(self._sixteen(extract32(raw, 208, output_type=uint256)))
    if code == formats.Q4_K_E or code == formats.Q5_K_E:
        return binary32.mul(self._half(self._sixteen(head)), self._six(head, lane, 0))
    if code == formats.Q4_K_G or code == formats.Q5_K_G:
        return binary32.mul(self._half(self._sixteen(head << 16)), self._six(head, lane, 1))
    return self._half(self._sixteen(head))  # F16, and every `d` that is first in its block


@pure
@internal
def _sixteen(word: uint256) -> uint256:
    """
    The first two bytes, little-endian.
    """
    return (word >> 248) | ((word >> 232) & 65280)


@pure
@internal
def _six(head: uint256, lane: uint256, minimum: uint256) -> uint256:
    """
    Q4_K's scale or minimum of sub-block `lane`: six bits, of the last four sub-blocks two of them in the first four's bytes.
    """
    four: uint256 = (lane & 3) << 3
    low: uint256 = (head >> unsafe_sub(unsafe_sub(216, minimum << 5), four)) & 255  # byte 4 + lane, or 8 + lane
    if lane < 4:
        return binary32.from_whole(low & 63)
    mixed: uint256 = (head >> unsafe_sub(152, four)) >> (minimum << 2)  # byte 12 + lane
    return binary32.from_whole((mixed & 15) | ((low >> 6) << 4))


@pure
@internal
def _half(half: uint256) -> uint256:
    """
    A binary16 number, exactly.
    """
    sign: uint256 = (half & 32768) << 16
    exponent: uint256 = (half >> 10) & 31
    fraction: uint256 = half & 1023
    if exponent == 31:
        return sign | binary32.INFINITY | (fraction << 13)
    if exponent != 0:
        return sign | (unsafe_add(exponent, 112) << 23) | (fraction << 13)
    if fraction == 0:
        return sign
    return sign | unsafe_sub(binary32.from_whole(fraction), 24 * 2**23)  # fraction · 2**-24
