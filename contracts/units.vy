# pragma version 0.4.3
"""
@title Units: the salted root over a prompt's or an answer's units (rule P1)
@license Apache-2.0
@notice The same bytes as `steelyard.protocol.roots.units_root`. A module of Orders, which sees all units, not one leaf.
"""

import trees

MAX_BYTES: constant(uint256) = 8192  # = 2,048 units of 4 bytes, little-endian
LEAF_BYTES: constant(uint256) = 256  # = 64 units
MAX_LEAVES: constant(uint256) = 32  # = 8,192 // 256
IPAD: constant(bytes32) = 0x3636363636363636363636363636363636363636363636363636363636363636
OPAD: constant(bytes32) = 0x5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c


@pure
@internal
def _prf(key: bytes32, index: uint256) -> bytes32:
    """
    HMAC-SHA256(key, "steelyard/units" || index as 8 bytes). The key fills half of a 64-byte block.
    """
    word: bytes8 = convert(convert(index, uint64), bytes8)
    inner: bytes32 = convert(convert(key, uint256) ^ convert(IPAD, uint256), bytes32)
    outer: bytes32 = convert(convert(key, uint256) ^ convert(OPAD, uint256), bytes32)
    return sha256(concat(outer, OPAD, sha256(concat(inner, IPAD, b"steelyard/units", word))))


@pure
@internal
def _root(raw: Bytes[MAX_BYTES], salt: bytes32) -> bytes32:
    # REFUSE
    assert len(raw) % 4 == 0, "units.length"
    # COMPUTE
    count: uint256 = (len(raw) + LEAF_BYTES - 1) // LEAF_BYTES
    layer: bytes32[MAX_LEAVES] = empty(bytes32[MAX_LEAVES])
    for i: uint256 in range(count, bound=MAX_LEAVES):
        chunk: Bytes[MAX_BYTES] = slice(raw, i * LEAF_BYTES, min(LEAF_BYTES, len(raw) - i * LEAF_BYTES))
        layer[i] = sha256(concat(b"\x00", self._prf(salt, i), chunk))
    width: uint256 = 1
    for _: uint256 in range(5):
        if width < count:
            width *= 2
    # invariant: layer[:width] is a complete layer of the tree, whose bottom was padded with zeros
    for _: uint256 in range(5):
        if width == 1:
            break
        width //= 2
        for i: uint256 in range(width, bound=MAX_LEAVES):
            layer[i] = trees.node(layer[2 * i], layer[2 * i + 1])
    return trees.seal(len(raw) // 4, trees.seal(count, layer[0]))
