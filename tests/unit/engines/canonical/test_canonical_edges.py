"""The corners of spec/arithmetic.md that a model's ordinary numbers do not reach."""

import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import canonical_reference as slow
import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.canonical import matmul, native, root, rope, rowwise, shape
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.canonical.recipe import Dot
from steelyard.engines.canonical.sequence import evidence, leaf
from steelyard.protocol import merkle
from steelyard.protocol.hashing import sha256

TILE = 8


class Bare:
    """Single kernels on arrays."""

    def __init__(self, kernels: native.Native, pool: Pool) -> None:
        self._native, self._pool = kernels, pool

    def call(self, kernel: str, arguments: dict[int, int], chunks: int) -> None:
        code = aligned((1, OP_SLOTS), np.int64)
        code[0, KERNEL], code[0, CHUNKS] = self._native.address[kernel], chunks
        for slot, value in arguments.items():
            code[0, ARGS + slot] = value
        self._pool.run(code)

    def quantise(self, row: np.ndarray) -> list[np.ndarray]:
        """Quants [block][32], then scales, d·S, -8·S and -128·S per block, of one row."""
        blocks = len(row) // 32
        x = aligned(row.shape, np.float32)
        x[:] = row
        quants = aligned((blocks, TILE, 32), np.int8)
        outs = [aligned((blocks, TILE), kind) for kind in (np.float32, np.float32, np.int32, np.int32)]
        slots = (rowwise.QUANTS, rowwise.SCALES, rowwise.SUMS, rowwise.LESS8, rowwise.LESS128)
        arguments = dict(zip(slots, map(address, [quants, *outs]), strict=True))
        self.call("quantise", arguments | {rowwise.LENGTH: len(row), rowwise.X: address(x)}, 1)
        return [quants[:, 0], *(out[:, 0] for out in outs)]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    kernels = native.load(native.recipe_here(32, 1), cache=tmp_path_factory.mktemp("kernels"))
    pool = Pool(kernels, 1, 1, 64)
    yield Bare(kernels, pool)
    pool.close()


def test_ari_10_blocks_that_cannot_be_scaled(bare: Bare) -> None:
    chance = np.random.default_rng(3)
    row = chance.standard_normal((7, 32)).astype(np.float32)
    row[0, 5], row[1, 31], row[2, 0] = np.nan, np.inf, -np.inf
    row[3] = np.float32(2.0**-101)
    row[4] = 0
    row[5] = np.float32(2.0**-100)
    row[6] = np.float32(3e38)
    quants, scales, sums, less8, less128 = bare.quantise(row.reshape(-1))
    assert list(scales[:3].view(np.uint32)) == [0x7FC00000] * 3
    assert list(scales[3:5].view(np.uint32)) == [0, 0]
    assert not quants[:5].any()
    assert (quants[5:] == 127).all()
    assert np.isnan(sums[:3]).all()
    assert list(less8) == [0] * 5 + [-8 * 32 * 127] * 2
    assert list(less128) == [0] * 5 + [-128 * 32 * 127] * 2


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


@pytest.mark.parametrize("dot", ["plain", native.recipe_here(32, 1).dot])
def test_ari_2_the_greatest_sums_are_exact(dot: Dot, tmp_path: Path) -> None:
    """Weights -128 and 127 against activations of one sign: no instruction may saturate."""
    kernels = native.load(replace(native.recipe_here(32, 1), dot=dot), cache=tmp_path)
    pool = Pool(kernels, 1, 1, 64)
    here = Bare(kernels, pool)
    made = here.quantise(np.full(32, 1.0, np.float32))
    arrays = [aligned((1, TILE, 32), np.int8), *(aligned((1, TILE), a.dtype) for a in made[1:])]
    for array, part in zip(arrays, made, strict=True):
        array[:, 0] = part
    weights = aligned((512 + 32,), np.uint8)
    rows = [-128, 127] * 8
    weights[:512].reshape(8, 16, 4)[:] = (np.array(rows) + 128).astype(np.uint8)[None, :, None]
    weights[512:] = np.full(16, 1.0, np.float16).view(np.uint8)
    out = aligned((1, 16), np.float32)
    slots = (matmul.QUANTS, matmul.SCALES, matmul.SUMS, matmul.LESS8, matmul.LESS128)
    arguments = dict(zip(slots, map(address, arrays), strict=True)) | {
        matmul.WEIGHTS: address(weights),
        matmul.BLOCKS: 1,
        matmul.OUT: address(out),
        matmul.STRIDE: 16,
        matmul.TOKENS: 1,
        matmul.GROUPS: 1,
        matmul.GRAIN: 1,
    }
    here.call("q8_0", arguments, 1)
    scale = np.float32(1) / np.float32(127)
    assert list(out[0]) == [slow.fma(scale, np.float32(32 * 127 * row), np.float32(0)) for row in rows]
    pool.close()


def test_ari_5_nan_in_evidence_has_one_form() -> None:
    odd = np.array([0xFFC00001, 0x7F800001, 0x3F800000], np.uint32).view(np.float32)
    assert evidence(odd) == struct.pack("<3I", 0x7FC00000, 0x7FC00000, 0x3F800000)


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
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny())
    head = gguf_head.read(path)
    size = shape.read(head)
    raw = path.read_bytes()
    spans = list(root.spans(head))
    assert spans[0][0] == 0
    assert spans[-1][1] == len(raw)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    starts = {begin for begin, _ in spans}
    for tensor in head.tensors:
        _, _, block = gguf_head.KINDS[tensor.kind]
        inside = [begin for begin in starts if tensor.at <= begin < tensor.at + (tensor.size or 0)]
        assert tensor.at in inside
        assert all((begin - tensor.at) % block == 0 for begin in inside)
    texts = (b"steelyard/arithmetic/1", b"kv/f32", root.graph(size).encode(), b"{{ messages }}")
    leaves = [merkle.leaf_hash(part) for part in (*texts, *(raw[begin:end] for begin, end in spans))]
    assert root.model_root(head, size, memoryview(raw)) == merkle.root(leaves)


def test_ari_42_at_most_8192_positions_are_served(tmp_path: Path) -> None:
    for context, served in ((300, 300), (10**6, 8192)):
        path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny(context=context))
        found = shape.read(gguf_head.read(path))
        assert found.context == served
        assert f"positions {served}\n" in root.graph(found)
