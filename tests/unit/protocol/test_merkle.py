"""protocol/merkle against spec/records.md, MRK-1 to MRK-6, and against a tree written down plainly."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

HASHES = st.binary(min_size=32, max_size=32)
UP_TO = 70  # past 64, so that seven levels and every kind of padding occur


def leaves_of(count: int) -> list[bytes]:
    return [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(count)]


def plain_top(leaves: list[bytes]) -> bytes:
    """The definition, recursively, with hashlib alone."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return hashlib.sha256(b"\x01" + plain_top(leaves[:half]) + plain_top(leaves[half:])).digest()


def plain_root(leaves: list[bytes]) -> bytes:
    width = 1
    while width < len(leaves):
        width *= 2
    padded = leaves + [bytes(32)] * (width - len(leaves))
    return hashlib.sha256(b"\x02" + len(leaves).to_bytes(8, "big") + plain_top(padded)).digest()


@pytest.mark.parametrize("count", range(UP_TO + 1))
def test_a_root_is_what_the_definition_says(count: int) -> None:
    """MRK-1, MRK-2, MRK-3."""
    assert merkle.root(leaves_of(count)) == plain_root(leaves_of(count))


def test_a_leaf_is_hashed_behind_its_own_prefix() -> None:
    """MRK-1."""
    assert merkle.leaf_hash(b"abc") == hashlib.sha256(b"\x00abc").digest()


@pytest.mark.parametrize("count", range(UP_TO + 1))
def test_an_appending_tree_has_the_root_of_the_list_so_far(count: int) -> None:
    """MRK-6."""
    tree = merkle.Appending()
    for leaf in leaves_of(count):
        tree.append(leaf)
    assert (tree.count, tree.root()) == (count, merkle.root(leaves_of(count)))


@pytest.mark.parametrize("count", range(1, UP_TO + 1))
def test_every_leaf_verifies_at_its_index_and_at_no_other(count: int) -> None:
    leaves = leaves_of(count)
    root = merkle.root(leaves)
    for index in range(count):
        path = merkle.prove(leaves, index)
        verified = [at for at in range(2 * count + 2) if merkle.verify(root, count, at, leaves[index], path)]
        assert verified == [index]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65])
def test_an_index_beyond_the_leaves_never_verifies(count: int) -> None:
    """MRK-4: index + 2**depth would walk the same path."""
    leaves = leaves_of(count)
    root, path = merkle.root(leaves), merkle.prove(leaves, 0)
    for index in (1 << len(path), 1 << 32, 1 << 64, -1, -count):
        assert not merkle.verify(root, count, index, leaves[0], path)


@pytest.mark.parametrize("index", [-1, 3, 4, 1 << 40])
def test_a_path_to_a_leaf_that_is_not_there_is_refused(index: int) -> None:
    """MRK-4."""
    with pytest.raises(Refused, match=r"merkle\.index: index -?\d+ of 3"):
        merkle.prove(leaves_of(3), index)


def test_the_padding_is_never_a_leaf() -> None:
    """MRK-2: a tree of three leaves has a fourth place, which is nobody's."""
    leaves = leaves_of(3)
    top = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert not merkle.verify(merkle.root(leaves), 3, 3, bytes(32), (leaves[2], top))
    assert merkle.root(leaves) != merkle.root([*leaves, bytes(32)])


@given(st.lists(HASHES, max_size=UP_TO), st.lists(HASHES, max_size=UP_TO))
def test_different_lists_have_different_roots(one: list[bytes], other: list[bytes]) -> None:
    """MRK-3."""
    assert (merkle.root(one) == merkle.root(other)) == (one == other)


def test_another_count_over_the_same_top_is_another_root() -> None:
    """MRK-3: the number of answers cannot be read differently."""
    leaves = leaves_of(4)
    path = merkle.prove(leaves, 2)
    for count in (3, 5, 6, 7, 8):
        assert not merkle.verify(merkle.root(leaves), count, 2, leaves[2], path)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 70])
def test_a_path_of_another_length_is_refused(count: int) -> None:
    """MRK-5."""
    leaves = leaves_of(count)
    root, path = merkle.root(leaves), merkle.prove(leaves, 0)
    assert len(path) == merkle.depth_of(count)
    assert not merkle.verify(root, count, 0, leaves[0], (*path, bytes(32)))
    assert not merkle.verify(root, count, 0, leaves[0], (*path, path[0] if path else leaves[0]))
    if path:
        assert not merkle.verify(root, count, 0, leaves[0], path[:-1])


def test_no_tree_is_deeper_than_32() -> None:
    """MRK-5."""
    path = (bytes(32),) * 33
    top = bytes(32)
    for sibling in path:
        top = hashlib.sha256(b"\x01" + top + sibling).digest()
    assert not merkle.verify(merkle.seal(1 << 33, top), 1 << 33, 0, bytes(32), path)


def test_a_node_does_not_pass_for_a_leaf() -> None:
    """MRK-1: the half of a tree of four is no tree of two."""
    leaves = leaves_of(4)
    nodes = [hashlib.sha256(b"\x01" + leaves[i] + leaves[i + 1]).digest() for i in (0, 2)]
    assert merkle.root(nodes) != merkle.root(leaves)
    assert not merkle.verify(merkle.root(leaves), 4, 0, nodes[0], (nodes[1],))
    assert merkle.leaf_hash(leaves[0] + leaves[1]) != nodes[0]


@given(st.lists(HASHES, min_size=1, max_size=UP_TO), st.data())
def test_one_wrong_bit_anywhere_is_seen(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.prove(leaves, index)
    parts = [merkle.root(leaves), leaves[index], *path]
    which = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    parts[which] = (int.from_bytes(parts[which], "big") ^ 1 << bit).to_bytes(32, "big")
    assert not merkle.verify(parts[0], len(leaves), index, parts[1], parts[2:])
