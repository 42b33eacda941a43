"""Hashes and trees computed many at a time are those of `protocol.merkle`."""

import hashlib

import numpy as np
import pytest

from steelyard.engines.canonical import forest
from steelyard.engines.ir.leaves import cut
from steelyard.protocol import merkle

CHANCE = np.random.default_rng(5)
SIZES = (1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 7 * 32, 32 * 32, 32 * 33 + 1, 5000)


def words(*shape: int) -> forest.Words:
    return CHANCE.integers(0, 2**32, shape, np.uint32)


@pytest.mark.parametrize("length", range(forest.MOST_WORDS + 1))
def test_a_message_of_any_length_has_its_hash(length: int) -> None:
    for prefix, count in ((b"\x00", 1), (b"\x01", 16), (b"\xff", 35)):
        messages = words(count, length)
        expected = [hashlib.sha256(prefix + row.astype(">u4").tobytes()).digest() for row in messages]
        assert forest.raw(forest.digests(prefix, messages)) == expected


def test_trees_of_all_sizes_side_by_side_have_their_roots() -> None:
    values = [words(size) for size in CHANCE.permutation(SIZES * 2)]
    expected = [
        merkle.root([merkle.leaf_hash(leaf) for leaf in cut(value.astype("<u4").tobytes())]) for value in values
    ]
    assert forest.raw(forest.value_roots(values)) == expected
    assert [forest.raw(forest.value_roots([value]))[0] for value in values] == expected


def test_a_tree_over_any_number_of_leaves_has_its_root() -> None:
    counts = [*range(1, 70), 1]
    leaves = words(sum(counts), 8)
    hashes = iter(forest.raw(leaves))
    expected = [merkle.root([next(hashes) for _ in range(count)]) for count in counts]
    assert forest.raw(forest.roots(leaves, counts)) == expected
