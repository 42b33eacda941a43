"""The corners of spec/arithmetic.md that a model's ordinary numbers do not reach."""

import math
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import canonical_reference as slow
import tiny_llama
from bare_kernels import KIND_OF, Bare
from steelyard.engines import gguf_head
from steelyard.engines.base import leaf
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native, root, rope
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.sequence import evidence
from steelyard.protocol import merkle
from steelyard.protocol.hashing import sha256


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    kernels = native.load(native.recipe_here(32, 1), cache=tmp_path_factory.mktemp("kernels"))
    made = Bare(kernels)
    yield made
    made.close()


def test_ari_10_blocks_that_cannot_be_scaled(bare: Bare) -> None:
    chance = np.random.default_rng(3)
    row = chance.standard_normal((7, 32)).astype(np.float32)
    row[0, 5], row[1, 31], row[2, 0] = np.nan, np.inf, -np.inf
    row[3] = np.float32(2.0**-41)
    row[4] = 0
    row[5] = np.float32(2.0**-40)
    row[6] = np.float32(3e38)
    quants, scales, sums, less8, less128, less32 = bare.quantise(row.reshape(-1))
    assert list(scales[:3].view(np.uint32)) == [0x7FC00000] * 3
    assert list(scales[3:5].view(np.uint32)) == [0, 0]
    assert not quants[:5].any()
    assert (quants[5:] == 127).all()
    assert np.isnan(sums[:3]).all()
    assert list(less8) == [0] * 5 + [-8 * 32 * 127] * 2
    assert list(less128) == [0] * 5 + [-128 * 32 * 127] * 2
    assert [list(pair) for pair in less32] == [[0, 0]] * 5 + [[-32 * 16 * 127] * 2] * 2


def test_ari_10_rounding_is_the_references_down_to_ties(bare: Bare) -> None:
    chance = np.random.default_rng(4)
    row = np.concatenate(
        [chance.standard_normal((200, 32)) * 10.0 ** chance.integers(-20, 20, (200, 1)), np.zeros((1, 32))]
    )
    row = row.astype(np.float32)
    row[200, :6] = [127, 0.5, 1.5, 2.5, -0.5, -1.5]  # ties to even: 0, 2, 2, 0, -2
    quants, scales, sums, *_ = bare.quantise(row.reshape(-1))
    assert list(quants[200, :6]) == [127, 0, 2, 2, 0, -2]
    for index, block in enumerate(row):
        d, numbers = slow.quantise(list(block))
        assert scales[index].tobytes() == d.tobytes()
        assert list(quants[index]) == numbers
        assert sums[index] == d * np.float32(sum(numbers))


def test_ari_5_nan_in_evidence_has_one_form() -> None:
    odd = np.array([0xFFC00001, 0x7F800001, 0x3F800000], np.uint32).view(np.float32)
    assert evidence(odd) == struct.pack("<3I", 0x7FC00000, 0x7FC00000, 0x3F800000)


@pytest.mark.parametrize("kind", tuple(FORMATS))
def test_ari_5_one_nan_in_a_state_makes_each_of_its_logits_nan(bare: Bare, kind: str) -> None:
    """So `evidence` need not look at states whose logit is a number. Weights are zeros: not even 0·NaN hides it."""
    _, elements, size = gguf_head.KINDS[KIND_OF[kind]]
    row = np.ones((1, 256), np.float32)
    row[0, 40] = np.nan
    assert np.isnan(bare.matrix(kind, np.zeros((16, 256 // elements * size), np.uint8), row)).all()


def test_ari_22_tables_are_the_references_and_close_to_the_truth() -> None:
    cosines, sines = rope.tables(100000.0, 32, 700)
    for position in (0, 1, 2, 699):
        turns = slow.turns(100000.0, 32, position)
        assert [(c, s) for c, s in zip(cosines[position], sines[position], strict=True)] == turns
        for i, (c, s) in enumerate(turns):
            angle = position * 100000.0 ** (-2 * i / 32)
            assert (float(c), float(s)) == pytest.approx((math.cos(angle), math.sin(angle)), abs=1e-7)


def test_ari_40_a_leaf_binds_state_logit_and_mask() -> None:
    beginning = b"state" + struct.pack("<f", 1.5)
    assert leaf(b"state", 1.5, None) == sha256(beginning + bytes(32))
    assert leaf(b"state", 1.5, b"\x06\0") == sha256(beginning + sha256(b"\x06\0"))


def test_ari_41_the_roots_leaves_cover_the_file_and_split_no_block(tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.MIXED)
    head = gguf_head.read(path)
    raw = path.read_bytes()
    spans = list(root.spans(head))
    assert spans[0][0] == 0
    assert spans[-1][1] == len(raw)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    starts = {begin for begin, _ in spans}
    for tensor in head.tensors:
        kind, elements, block = gguf_head.KINDS[tensor.kind]
        most = {"f32": 256, "f16": 512, "bf16": 512}.get(kind, 1024) // elements * block
        inside = sorted(begin for begin in starts if tensor.at <= begin < tensor.at + (tensor.size or 0))
        assert inside == list(range(tensor.at, tensor.at + (tensor.size or 0), most))
    covered = models.open_file(path, tmp_path).covered()
    texts = (b"steelyard/arithmetic/3", b"kv/f32", covered.facts.raw(), b"{{ messages }}")
    leaves = [merkle.leaf_hash(part) for part in (*texts, *(raw[begin:end] for begin, end in spans))]
    assert covered.root() == merkle.root(leaves)


def test_ari_42_at_most_8192_positions_are_served(tmp_path: Path) -> None:
    for context, served in ((300, 300), (10**6, 8192)):
        path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny(context=context))
        found = models.open_file(path, tmp_path)
        assert found.shape.context == served
        assert found.covered().facts.positions == served
