"""SHA-256 Merkle trees with domain prefixes, bound counts and bound indices (spec/records.md, MRK-1 to MRK-6).

leaf = SHA-256(0x00 ‖ data);  node = SHA-256(0x01 ‖ left ‖ right);  root = SHA-256(0x02 ‖ count as 8 bytes ‖ top).
The leaf layer is padded with 32 zero bytes (which no leaf hashes to) up to the next power of two, so the depth
follows from the count, and the count is part of the root: neither can be chosen by whoever opens a leaf.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import ZERO32, sha256

LEAF, NODE, ROOT = b"\x00", b"\x01", b"\x02"
MAX_DEPTH = 32  # 2**32 leaves: more than any answer, file or channel of ours


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data), 32 bytes."""
    return sha256(LEAF, data)


def depth_of(count: int) -> int:
    """Levels between leaf and top for `count` leaves: 0 for 0 or 1 leaf."""
    return max(count - 1, 0).bit_length()


def seal(count: int, top: bytes) -> bytes:
    """Root that binds how many leaves there are, 32 bytes."""
    return sha256(ROOT, count.to_bytes(8, "big"), top)


def _layers(leaves: Sequence[bytes]) -> list[list[bytes]]:
    width = 1 << depth_of(len(leaves))
    layer = list(leaves) + [ZERO32] * (width - len(leaves))
    layers = [layer]
    while len(layer) > 1:
        layer = [sha256(NODE, layer[i], layer[i + 1]) for i in range(0, len(layer), 2)]
        layers.append(layer)
    return layers


class Tree:
    """A tree that is opened more than once: all its layers are kept, `layers[d][i]` being node i of those d levels
    above the padded leaves.

    Args:
        leaves: their hashes, 32 bytes each (`leaf_hash`)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.count = len(leaves)
        self.layers = _layers(leaves)

    @property
    def root(self) -> bytes:
        """32 bytes. No leaves: the top is 32 zero bytes."""
        return seal(self.count, self.layers[-1][0])

    def prove(self, index: int) -> tuple[bytes, ...]:
        """Siblings from the leaf upwards, `depth_of(count)` of them. Raises Refused("merkle.index")."""
        if not 0 <= index < self.count:
            raise Refused("merkle.index", f"index {index} of {self.count} leaves")
        return tuple(layer[index >> level ^ 1] for level, layer in enumerate(self.layers[:-1]))


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes (each 32 bytes, see `leaf_hash`), 32 bytes. No leaves: the top is 32 zero bytes."""
    return Tree(leaves).root


def prove(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """As `Tree.prove`."""
    return Tree(leaves).prove(index)


def verify(expected_root: bytes, count: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    """True if `leaf` (a leaf hash) stands at `index` of the `count` leaves under `expected_root`."""
    if not 0 <= index < count or len(path) != depth_of(count) or len(path) > MAX_DEPTH:
        return False
    return seal(count, climb(index, leaf, path)) == expected_root


def climb(index: int, node: bytes, path: Sequence[bytes]) -> bytes:
    """The node (32 bytes) that stands len(path) levels above node `index` of its layer, by the siblings on the way."""
    for sibling in path:
        node = sha256(NODE, sibling, node) if index & 1 else sha256(NODE, node, sibling)
        index >>= 1
    return node


@dataclass
class Appending:
    """An append-only tree: every root that it had is over a prefix of what it holds now.

    Invariant: `frontier[d]` is the top of the last complete subtree of depth d whenever bit d of `count` is set.
    """

    count: int = 0
    frontier: list[bytes] = field(default_factory=list)
    """One hash (32 bytes) per level, level 0 first."""

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash (32 bytes)."""
        level, index = 0, self.count
        while index & 1:
            leaf = sha256(NODE, self.frontier[level], leaf)
            index >>= 1
            level += 1
        self.frontier[level : level + 1] = [leaf]
        self.count += 1

    def root(self) -> bytes:
        """The same bytes as `root(leaves)` over all that was appended."""
        depth = depth_of(self.count)
        if self.count == 0:
            return seal(0, ZERO32)
        if self.count == 1 << depth:
            return seal(self.count, self.frontier[depth])
        top = pad = ZERO32
        for level in range(depth):
            top = sha256(NODE, self.frontier[level], top) if self.count >> level & 1 else sha256(NODE, top, pad)
            pad = sha256(NODE, pad, pad)
        return seal(self.count, top)
