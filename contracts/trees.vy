# pragma version 0.4.3
"""
@title Trees
@notice SHA-256 Merkle trees, the same bytes as src/steelyard/protocol/merkle.py: leaf = sha256(0x00 ‖ data), node = sha256(0x01 ‖
    left ‖ right), root = sha256(0x02 ‖ count as 8 bytes ‖ top); the leaf layer is padded with zeros to a power of two.
@custom:security The index is asserted to be below the count, and the path to have the depth that the count implies: without
    that, index + 2**depth would verify as index does.
"""

MAX_DEPTH: constant(uint256) = 32


@internal
@pure
def leaf(data: bytes32) -> bytes32:
    """
    @dev Leaf hash of 32 bytes of data.
    """
    return sha256(concat(x"00", data))


@internal
@pure
def node(left: bytes32, right: bytes32) -> bytes32:
    """
    @dev Inner node.
    """
    return sha256(concat(x"01", left, right))


@internal
@pure
def seal(count: uint256, top: bytes32) -> bytes32:
    """
    @dev Root that binds the count.
    """
    return sha256(concat(x"02", convert(convert(count, uint64), bytes8), top))


@internal
@pure
def depth(count: uint256) -> uint256:
    """
    @dev Levels between leaf and top.
    """
    levels: uint256 = 0
    for i: uint256 in range(MAX_DEPTH):
        if (1 << levels) >= count:
            break
        levels += 1
    return levels


@internal
@pure
def fits(count: uint256, index: uint256, levels: uint256) -> bool:
    """
    @dev True if a leaf stands at `index` of `count` leaves, and paths to their root have so many levels.
    """
    return index < count and count <= (1 << MAX_DEPTH) and levels == self.depth(count)


@internal
@pure
def climb(count: uint256, index: uint256, leaf_hash: bytes32, path: DynArray[bytes32, MAX_DEPTH]) -> bytes32:
    """
    @dev The root under which leaf_hash stands at `index` of `count` leaves, if this is its path. To be asked only if it `fits`.
    """
    top: bytes32 = leaf_hash
    at: uint256 = index
    for sibling: bytes32 in path:
        if at % 2 == 1:
            top = self.node(sibling, top)
        else:
            top = self.node(top, sibling)
        at = at // 2
    return self.seal(count, top)


@internal
@pure
def verify(root: bytes32, count: uint256, index: uint256, leaf_hash: bytes32, path: DynArray[bytes32, MAX_DEPTH]) -> bool:
    """
    @dev True if leaf_hash stands at `index` of `count` leaves under root.
    """
    return self.fits(count, index, len(path)) and self.climb(count, index, leaf_hash, path) == root
