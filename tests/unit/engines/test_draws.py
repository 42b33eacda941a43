"""Rule P3 in plain numpy against the exact reference, the published vectors and the kernels."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import canonical_reference as slow
from steelyard.engines import draws
from steelyard.engines.base import NOTHING
from steelyard.engines.canonical import native
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.draws import ONE_BITS, Draw, bits
from steelyard.engines.sampling import Sampler

VECTORS = Path(__file__).parents[3] / "vectors" / "draws"
VOCABULARY = 257
PADDED = 320
ENDS_OF_WORDS = (0, 1, 2**20, 2**30 - 1, 2**30, 2**31, 2**32 - 2, 2**32 - 1)
temperatures = st.sampled_from([0.0, 2.0**-149, 1e-9, 0.05, 0.7, 1.0, 1.9, 50.0, 1e30])


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampler]:
    kernels = native.load(replace(native.recipe_here(32, 1), kinds=()), cache=tmp_path_factory.mktemp("kernels"))
    pool = Pool(kernels, 1, 1, 64)
    yield Sampler(kernels, pool.run, VOCABULARY)
    pool.close()


def row(seed: int, kind: int = 0) -> np.ndarray:
    """[1][320]: usual logits, few distinct ones, or some that are no numbers."""
    chance = np.random.default_rng(seed)
    made = np.full((1, PADDED), -np.inf, np.float32)
    made[0, :VOCABULARY] = chance.standard_normal(VOCABULARY) * 4
    if kind == 1:
        made = np.round(made / 4)
    if kind == 2:
        made[0, chance.integers(0, VOCABULARY, 40)] = chance.choice([np.nan, np.inf, -np.inf, -0.0, 1e38], 40)
    return made


def test_smp_3_the_words_are_the_published_ones_and_the_references() -> None:
    """Random123's known answer for a counter and a key of zeros; all ids of a vocabulary by the reference."""
    assert list(draws.random(0, 0, np.arange(4))) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    for seed, position in ((2**64 - 1, 2**32 - 1), (5 << 32, 7)):
        found = draws.random(seed, position, np.arange(VOCABULARY))
        assert list(found) == [slow.philox(seed, position, unit) for unit in range(VOCABULARY)]


def test_smp_4_gumbel_and_score_are_the_references_bit_for_bit() -> None:
    words = np.concatenate([ENDS_OF_WORDS, np.random.default_rng(1).integers(0, 2**32, 300)]).astype(np.uint32)
    expected = np.array([slow.gumbel(int(word)) for word in words])
    assert np.array_equal(draws.gumbel(words).view(np.uint32), expected.view(np.uint32))
    z, t = np.array([1.5, -3.25], np.float32), np.float32(0.7)
    found = draws.scores(z, bits(float(t)), 11, 4, np.array([6, 200]))
    noise = [slow.gumbel(slow.philox(11, 4, unit)) for unit in (6, 200)]
    assert list(found) == [z[0] / t + noise[0], z[1] / t + noise[1]]


def test_two_draws_never_differ_by_more_than_the_spread() -> None:
    found = draws.gumbel(np.array(ENDS_OF_WORDS, np.uint32))
    assert draws.SPREAD - 1.1 < found.max() - found.min() < draws.SPREAD - 0.9


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_the_vectors_ids_are_drawn(path: Path) -> None:
    case = json.loads(path.read_text())
    told = case["input"]
    logits = np.array([int(word, 16) for word in told["logits"]], np.uint32).view(np.float32)
    draw = Draw(int(told["temperature"], 16), ONE_BITS, 0, int(told["seed"]))
    assert draws.pick(logits, draw, int(told["position"])) == case["result"]


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    temperatures,
    st.sampled_from([1.0, 0.9, 0.3, 2.0**-20]),
    st.sampled_from([0, 1, 5, 256]),
    st.integers(0, 2),
    st.sampled_from(["free", "some", "few", "none"]),
)
def test_smp_1_to_smp_11_the_id_is_the_kernels(  # SMP-1 to SMP-11
    sampler: Sampler, seed: int, position: int, temperature: float, top_p: float, top_k: int, kind: int, bound: str
) -> None:
    logits = row(seed % 1000, kind)
    draw = Draw(bits(temperature), bits(top_p), top_k, seed)
    share = {"free": 1.0, "some": 0.5, "few": 0.02, "none": 0.0}[bound]
    allowed = np.random.default_rng(seed % 999).random(VOCABULARY) < share
    mask = None if bound == "free" else np.packbits(allowed, bitorder="little").tobytes()
    (expected,) = sampler.pick(logits, [draw], [position], {} if mask is None else {0: mask})
    assert draws.pick(logits[0, :VOCABULARY], draw, position, mask) == expected
    assert (expected == NOTHING) == (mask is not None and not any(mask))


@pytest.mark.parametrize("tie", [1e30, np.inf])
def test_smp_5_contenders_that_tie_give_the_lowest_id(tie: float) -> None:
    logits = row(3)[0, :VOCABULARY]
    logits[[190, 60, 61]] = tie
    assert {draws.pick(logits, Draw(ONE_BITS, ONE_BITS, 0, seed), seed) for seed in range(20)} == {60}


@pytest.mark.parametrize("near", [False, True], ids=["usual logits", "scores that tie but for their last bits"])
def test_the_winner_is_among_the_contenders(near: bool) -> None:
    every = np.arange(VOCABULARY)
    for seed in range(200):
        noise = draws.gumbel(draws.random(seed, 5, every))
        logits = (np.float32(30) - noise).astype(np.float32) if near else row(seed)[0, :VOCABULARY] * np.float32(2)
        found = draws.pick(logits, Draw(ONE_BITS, ONE_BITS, 0, seed), 5)
        assert found == draws.scores(logits, ONE_BITS, seed, 5, every).argmax()


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_lgp_1_log_probabilities_are_the_kernels(sampler: Sampler, kind: int) -> None:
    for seed in range(20):
        logits = row(seed, kind)[0]
        for unit in (0, 100, 256):
            expected = sampler.likelihoods(logits).row(unit, 5)
            assert draws.likelihoods(logits[:VOCABULARY]).row(unit, 5) == expected
