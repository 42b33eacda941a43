"""Every format, matrix by matrix: the same bits however built, the reference's at the extremes, gguf-py's numbers."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import gguf
import numpy as np
import pytest

import canonical_reference as slow
import tiny_llama
from bare_kernels import KIND_OF, Bare
from steelyard.engines.canonical import native, packing
from steelyard.engines.canonical.formats import FORMATS, dequantise
from steelyard.engines.canonical.recipe import Recipe
from steelyard.engines.gguf_head import Tensor

COLUMNS, ROWS, TOKENS = 512, 40, 13  # two super-blocks; groups and tiles that are not full
HERE = native.recipe_here(32, 1)
BLOCKS = [kind for kind, form in FORMATS.items() if not form.plain]


def weights(kind: str, size: float = 1.0) -> np.ndarray:
    """[rows][bytes], as in a file."""
    chance = np.random.default_rng(len(kind))
    if kind in tiny_llama.SCALES:
        return tiny_llama.random_blocks(chance, kind, ROWS, COLUMNS, size)
    numbers = (chance.standard_normal((ROWS, COLUMNS)) * size).astype(np.float32)
    return gguf.quants.quantize(numbers, tiny_llama.KINDS[kind]).view(np.uint8).reshape(ROWS, -1)


def activations() -> np.ndarray:
    chance = np.random.default_rng(2)
    rows = chance.standard_normal((TOKENS, COLUMNS)) * 10.0 ** chance.integers(-3, 3, (TOKENS, 1))
    return rows.astype(np.float32)


def reference(kind: str, raw: np.ndarray) -> slow.Matrix:
    shape = (COLUMNS, len(raw))
    return slow.Matrix(SimpleNamespace(tensor_type=tiny_llama.KINDS[kind], shape=shape, data=raw))  # type: ignore[arg-type]


def builds() -> Iterator[tuple[str, Recipe]]:
    """(processor, recipe) for all that this processor can run, the slowest first."""
    has = native.host()[2]
    yield "x86-64" if "sse2" in has else "", Recipe(32, 1, half=False, tiles=(8,))
    if "avx2" in has:
        yield "haswell", Recipe(32, 1, tiles=(3, 5, 8))
    if "avx512bw" in has:
        yield "skylake-avx512", Recipe(32, 1, tiles=(1, 8))
    if {"avx512vnni", "avx512vl"} <= has:
        yield "", Recipe(32, 1, dot="vnni256")
    yield "", HERE


BUILDS = list(builds())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Bare]]:
    """One per build."""
    cache = tmp_path_factory.mktemp("kernels")
    bare = [Bare(native.load(recipe, cpu, "+sse2" if cpu else "", cache)) for cpu, recipe in BUILDS]
    yield bare
    for one in bare:
        one.close()


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """Adds blocks in two chains."""
    bare = Bare(native.load(replace(HERE, reassociated=True), cache=tmp_path_factory.mktemp("wrong")))
    yield bare
    bare.close()


@pytest.mark.parametrize("kind", FORMATS)
def test_products_do_not_depend_on_the_build_the_tile_or_the_grain(made: list[Bare], kind: str) -> None:
    raw, x = weights(kind), activations()
    truth = np.concatenate([made[0].matrix(kind, raw, x[t : t + 1]) for t in range(TOKENS)])
    assert len(np.unique(truth)) > ROWS * TOKENS // 2
    for grain, bare in enumerate(made, 1):
        assert bare.matrix(kind, raw, x, grain).tobytes() == truth.tobytes(), BUILDS[grain - 1]


@pytest.mark.parametrize("kind", FORMATS)
def test_packing_a_few_groups_at_a_time_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, found = weights(kind), set()
    tensor = Tensor("m", KIND_OF[kind], (COLUMNS, ROWS), 0, raw.size)
    for groups in (64, 2, 1):
        monkeypatch.setattr(packing, "GROUPS_AT_ONCE", groups)
        found.add(packing.pack(tensor, raw.reshape(-1)).tobytes())
    assert {len(packed) for packed in found} == {packing.packed_size(tensor)}
    assert len(found) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_reassociated_sum_is_seen_in_blocks(made: list[Bare], wrong: Bare, kind: str) -> None:
    """Otherwise the test above would prove nothing. (Plain numbers have no such build.)"""
    raw, x = weights(kind), activations()
    assert (wrong.matrix(kind, raw, x).tobytes() == made[0].matrix(kind, raw, x).tobytes()) == FORMATS[kind].plain


@pytest.mark.parametrize("kind", FORMATS)
def test_products_are_the_references_for_numbers_of_any_size(made: list[Bare], kind: str) -> None:
    """ARI-11, ARI-12: zero, subnormal and huge scales among the blocks, tiny plain weights, subnormal activations."""
    raw, x = weights(kind)[:16], activations()[:2]
    if kind in BLOCKS:
        form, size = FORMATS[kind], gguf.GGML_QUANT_SIZES[tiny_llama.KINDS[kind]][1]
        at = 208 if kind == "q6_k" else 0
        table = raw.reshape(16, -1, size)
        for row, bits in enumerate((0x0000, 0x8000, 0x0001, 0x03FF, 0x7BFF, 0xFBFF, 0x8001)):
            table[row, ::2, at : at + 2] = np.array([bits], "<u2").view(np.uint8)
            if form.scales == 2:
                table[15 - row, 1::2, 2:4] = np.array([bits], "<u2").view(np.uint8)
    elif kind != "f16":
        size = FORMATS[kind].packed
        words = np.array([0x2B800000, 0x2B7FFFFF, 0xAB800001, 0xAB7F0000, 1, 0x80000001], np.uint32)
        table = raw.reshape(16, -1, size)
        table[:, ::3] = (
            np.resize(words >> (32 - 8 * size), table[:, ::3].shape[:2])[..., None].astype(f"<u{size}").view(np.uint8)
        )
    x[1, :64] = 2.0**-130
    x[1, 64:96] = 2.0**-99
    found, matrix = made[-1].matrix(kind, raw, x), reference(kind, raw)
    for token in range(2):
        assert found[token].tobytes() == np.array(matrix.dot(list(x[token])), np.float32).tobytes()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_ari_11_every_number_of_16_bits_is_taken_exactly(made: list[Bare], kind: str) -> None:
    raw = np.arange(2**16, dtype="<u2").reshape(-1, 32)
    numbers = dequantise(kind, raw.view(np.uint8)).reshape(-1, 32)
    finite = np.isfinite(numbers).all(axis=1)
    assert finite.sum() in (2 * 31 * 32, 2 * 255 * 4)
    if kind == "bf16":
        numbers[abs(numbers) < 2.0**-40] = 0
    for bare, build in zip(made, BUILDS, strict=True):
        found = bare.matrix(kind, raw[finite].view(np.uint8), np.eye(32, dtype=np.float32))
        assert (numbers[finite] == found.T).all(), build


@pytest.mark.parametrize("kind", BLOCKS)
def test_ari_2_the_greatest_sums_are_exact(made: list[Bare], kind: str) -> None:
    """All weights (and their factors) least or greatest, activations of one sign: no instruction may saturate."""
    size = gguf.GGML_QUANT_SIZES[tiny_llama.KINDS[kind]][1]
    raw = np.zeros((16, COLUMNS // FORMATS[kind].span, size), np.uint8)
    raw[1::2] = 0xFF
    if kind == "q8_0":
        raw[::2], raw[1::2] = 0x80, 0x7F
    if kind == "q6_k":
        for rows, factor in ((slice(0, 8), 0x80), (slice(8, 16), 0x7F)):
            raw[rows, :, 192:208] = factor
    one = np.ones(1, "<f2").view(np.uint8)
    for at in tiny_llama.SCALES.get(kind, {0: 1, 2: 1} if FORMATS[kind].scales == 2 else {0: 1}):
        raw[..., at : at + 2] = one
    raw = raw.reshape(16, -1)
    matrix = reference(kind, raw)
    for x in (np.full((1, COLUMNS), 127, np.float32), np.full((1, COLUMNS), -127, np.float32)):
        truth = np.array(matrix.dot(list(x[0])), np.float32)
        assert abs(truth).max() >= COLUMNS * 127 * 7
        for bare, build in zip(made, BUILDS, strict=True):
            assert bare.matrix(kind, raw, x)[0].tobytes() == truth.tobytes(), build


@pytest.mark.parametrize("kind", FORMATS)
def test_ari_13_an_embeddings_row_is_what_gguf_py_makes_of_it(kind: str) -> None:
    """Written by others, and the same to the last bit."""
    raw = weights(kind)
    blocks = raw.reshape(ROWS, -1, gguf.GGML_QUANT_SIZES[tiny_llama.KINDS[kind]][1])
    theirs = gguf.quants.dequantize(raw, tiny_llama.KINDS[kind])
    ours = dequantise(kind, blocks).reshape(ROWS, COLUMNS)
    assert ours.tobytes() == theirs.astype(np.float32).tobytes()
    for row in range(3):
        assert ours[row].tobytes() == np.array(reference(kind, raw[: row + 1]).embed(row), np.float32).tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_products_are_close_to_exact_products_of_gguf_pys_numbers(made: list[Bare], kind: str) -> None:
    """Tolerance: half a step of each activation's quantisation and 1/100 for rounding; of plain numbers 2^-24 each."""
    raw, x = weights(kind), activations()
    w = gguf.quants.dequantize(raw, tiny_llama.KINDS[kind]).astype(np.float64)
    truth = x.astype(np.float64) @ w.T
    steps = np.repeat(abs(x).reshape(TOKENS, -1, 32).max(2) / 127, 32, axis=1)
    allowed = (abs(x) * COLUMNS * 2.0**-24 if FORMATS[kind].plain else 0.51 * steps) @ abs(w.T)
    assert (abs(made[-1].matrix(kind, raw, x) - truth) <= allowed).all()
