# pragma version 0.4.3
"""
@title Dots: exact sums of products of whole numbers from -128 to 127
@license Apache-2.0
@notice A vector is one word: element j is byte j, first byte first, two's complement; 16 elements are followed by 16 zeros.
@custom:invariant |dot| <= 32·128·128 = 2**19
"""

WORD: constant(uint256) = 2**32 - 1
ONES: constant(uint256) = max_value(uint256) // 255  # 1 in each byte; below, in each lane of so many bits
LANES_OF_16: constant(uint256) = max_value(uint256) // (2**16 - 1)
LANES_OF_32: constant(uint256) = max_value(uint256) // (2**32 - 1)
LANES_OF_64: constant(uint256) = max_value(uint256) // (2**64 - 1)
LANES_OF_128: constant(uint256) = max_value(uint256) // (2**128 - 1)
BYTES: constant(uint256) = LANES_OF_32 * 255
EVENS: constant(uint256) = LANES_OF_16 * 255
FOURS: constant(uint256) = LANES_OF_64 * (2**32 - 1)
EIGHTS: constant(uint256) = LANES_OF_128 * (2**64 - 1)


@pure
@internal
def dot(a: uint256, b: uint256) -> uint256:
    """
    The sum of products of two vectors, as a whole number of 32 bits, two's complement.
    """
    # With 128 added to each, elements are 0 … 255. In lanes of 32 bits one multiplication of eight by eight, the latter
    # turned round, gives in its highest lane the sum of the eight products; no lane overflows: 8·255·255 < 2**20.
    x: uint256 = a ^ (ONES << 7)
    y: uint256 = b ^ (ONES << 7)
    both: uint256 = unsafe_add(
        unsafe_add(x & EVENS, (x >> 8) & EVENS), unsafe_add(y & EVENS, (y >> 8) & EVENS)
    )
    both = unsafe_mul(both, LANES_OF_16) >> 240  # the sum of all 64 elements, at most 64·255 < 2**16
    y = (y >> 128) | (y << 128)
    y = ((y >> 64) & EIGHTS) | ((y & EIGHTS) << 64)
    y = ((y >> 32) & FOURS) | ((y & FOURS) << 32)
    total: uint256 = unsafe_mul(x & BYTES, y & BYTES) >> 224
    total = unsafe_add(total, unsafe_mul((x >> 8) & BYTES, (y >> 8) & BYTES) >> 224)
    total = unsafe_add(total, unsafe_mul((x >> 16) & BYTES, (y >> 16) & BYTES) >> 224)
    total = unsafe_add(total, unsafe_mul((x >> 24) & BYTES, (y >> 24) & BYTES) >> 224)
    # (x - 128)(y - 128) = xy - 128(x + y) + 128·128, 32 times
    return unsafe_sub(unsafe_add(total, 524288), both << 7) & WORD


@pure
@internal
def pack(leaf: uint256[4]) -> uint256:
    """
    The vector of 32 whole numbers of 32 bits, little-endian, as a leaf of a node's tree holds them (GRA-14); reverts "dots.range" if
    one is not from -128 to 127.
    """
    packed: uint256 = 0
    for lanes: uint256 in leaf:
        # REFUSE
        # a lane's first byte is the number, and the other three must repeat its sign
        high: uint256 = (lanes >> 31) & LANES_OF_32
        assert lanes & (LANES_OF_32 * (2**24 - 1)) == unsafe_mul(high, 2**24 - 1), "dots.range"
        # COMPUTE
        low: uint256 = (lanes >> 24) & BYTES
        low = (low | (low >> 24)) & (LANES_OF_64 * (2**16 - 1))
        low = (low | (low >> 48)) & (LANES_OF_128 * (2**32 - 1))
        packed = (packed << 64) | ((low | (low >> 96)) & (2**64 - 1))
    return packed
