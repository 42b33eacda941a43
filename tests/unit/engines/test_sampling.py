"""Rule P3 (spec/sampler.md): each MUST by its id."""

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import canonical_reference as slow
from steelyard.engines.base import NOTHING
from steelyard.engines.canonical import native
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.draws import ONE_BITS, Draw, bits, keep_top_k, keep_top_p, real
from steelyard.engines.sampling import Sampler
from steelyard.protocol.errors import Refused

VOCABULARY = 200
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampler]:
    recipe = replace(native.recipe_here(32, 1), kinds=())
    kernels = native.load(recipe, cache=tmp_path_factory.mktemp("kernels"))
    pool = Pool(kernels, 2, 1, 64)
    yield Sampler(kernels, pool.run, VOCABULARY)
    pool.close()


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Logits [count][256]; what lies behind the vocabulary is greater than all."""
    made = np.full((count, 256), 1e9, np.float32)
    made[:, :VOCABULARY] = np.random.default_rng(seed).standard_normal((count, VOCABULARY)) * 4
    return made


def draw(temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0, seed: int = 7) -> Draw:
    return Draw(bits(temperature), bits(top_p), top_k, seed)


def test_smp_1_at_zero_temperature_the_greatest_logit_wins_and_the_lowest_id_on_ties(sampler: Sampler) -> None:
    logits = rows(3)
    logits[1, [190, 7, 100]] = 99
    logits[2, :VOCABULARY] = -0.0
    logits[2, 150] = 0.0
    assert sampler.pick(logits, [draw(0.0)] * 3, [1, 2, 3]) == [int(logits[0, :VOCABULARY].argmax()), 7, 0]


def test_smp_2_nan_never_wins(sampler: Sampler) -> None:
    logits = rows(3)
    logits[0, 3] = NAN
    logits[1, :VOCABULARY] = NAN
    logits[1, 9] = -5
    logits[2, :VOCABULARY] = NAN
    for temperature in (0.0, 1.0):
        picks = sampler.pick(logits, [draw(temperature)] * 3, [1, 2, 3])
        assert picks[0] != 3
        assert picks[1:] == [9, 0]


def test_smp_3_philox_gives_the_published_words() -> None:
    """Random123's known answers for philox4x32-10."""
    ones = 0xFFFFFFFF
    assert slow.rounds([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert slow.rounds([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    counter, key = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]
    assert slow.rounds(counter, key) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.7, 1.0, 1.9, 50.0]))
def test_smp_4_the_draw_is_the_references(sampler: Sampler, seed: int, position: int, temperature: float) -> None:
    logits = rows(1, seed % 1000)
    expected = slow.pick(logits[0, :VOCABULARY], np.float32(temperature), seed, position)
    assert sampler.pick(logits, [draw(temperature, seed=seed)], [position]) == [expected]


def test_smp_5_the_lowest_id_wins_among_equal_scores(sampler: Sampler) -> None:
    logits = rows(1)
    logits[0, [190, 60, 61]] = 1e30  # so great that the noise is rounded away
    for seed in range(20):
        assert sampler.pick(logits, [draw(seed=seed)], [seed]) == [60]


def test_smp_4_gumbel_is_accurate_at_both_ends() -> None:
    for word in (0, 1, 2**20, 2**30 - 1, 2**30, 2**31, 2**32 - 2, 2**32 - 1):
        exact = -math.log(-math.log1p(-(word + 0.5) / 2**32))
        assert float(slow.gumbel(word)) == pytest.approx(exact, rel=3e-6, abs=3e-7)


def test_ids_come_as_often_as_their_probability_says(sampler: Sampler) -> None:
    logits = np.full((400, 256), -np.inf, np.float32)
    logits[:, :4] = np.log([0.5, 0.25, 0.15, 0.1])
    counts = np.zeros(4)
    for seed in range(25):
        picks = sampler.pick(logits, [draw(seed=seed)] * 400, range(400))
        counts += np.bincount(picks, minlength=4)
    expected = np.array([5000, 2500, 1500, 1000])
    assert ((counts - expected) ** 2 / expected).sum() < 21.1  # chi-square, 3 degrees, one in 10,000


def test_smp_7_top_k_keeps_the_lowest_ids_among_equals() -> None:
    logits = np.array([1, 3, 2, 3, 2, 2, NAN], np.float32)
    assert list(keep_top_k(logits, 3)) == [1, 2, 3]
    assert list(keep_top_k(logits, 0)) == list(range(7))
    assert list(keep_top_k(logits, 99)) == list(range(7))


def nucleus(logits: np.ndarray, exponentials: np.ndarray, p: float) -> list[int]:
    """SMP-8 word for word."""
    weights = [int(Fraction(float(e)) * 2**32) for e in exponentials]
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    total, kept = 0, []
    for index in order:
        kept.append(index)
        total += weights[index]
        if total >= Fraction(p) * sum(weights):
            break
    return sorted(kept)


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60),
    st.floats(2.0**-20, 1.0, width=32),
    st.sampled_from([0.3, 1.0, 4.0]),
)
def test_smp_8_top_p_keeps_the_shortest_run_that_reaches_p(
    sampler: Sampler, numbers: list[float], p: float, temperature: float
) -> None:
    logits = np.array(numbers, np.float32)
    exponentials = sampler.exponentials(logits, bits(temperature))
    assert list(keep_top_p(logits, exponentials, p)) == nucleus(logits, exponentials, p)


def test_smp_9_top_k_comes_before_top_p(sampler: Sampler) -> None:
    logits = np.full((1, 256), -np.inf, np.float32)
    logits[0, :4] = np.log([0.4, 0.3, 0.2, 0.1])
    # Of the two greatest alone, the first has 4/7 of the weight: p = .5 leaves it alone. Of all four it has .4 only.
    seen = {sampler.pick(logits, [draw(1.0, 0.5, 2, seed)], [0])[0] for seed in range(64)}
    assert seen == {0}
    assert {sampler.pick(logits, [draw(1.0, 0.5, 0, seed)], [0])[0] for seed in range(64)} == {0, 1}


def test_a_filtered_draw_is_the_unfiltered_one_among_what_was_kept(sampler: Sampler) -> None:
    logits = rows(1, 5)
    row = logits[0, :VOCABULARY]
    for seed in range(20):
        got = sampler.pick(logits, [draw(1.3, 0.8, 30, seed)], [seed])
        kept = keep_top_k(row, 30)
        exponentials = sampler.exponentials(row[kept], bits(1.3))
        kept = kept[keep_top_p(row[kept], exponentials, real(bits(0.8)))]
        masked = np.full(VOCABULARY, -np.inf, np.float32)
        masked[kept] = row[kept]
        assert got == [slow.pick(masked, np.float32(1.3), seed, seed)]


def bit_mask(*allowed: int) -> bytes:
    return sum(1 << unit for unit in allowed).to_bytes(VOCABULARY // 8, "little")


@pytest.mark.parametrize(("temperature", "top_p", "top_k"), [(0.0, 0.5, 3), (1.0, 1.0, 0), (1.3, 0.8, 4)])
def test_smp_11_a_mask_leaves_nothing_else_before_top_k_and_top_p(
    sampler: Sampler, temperature: float, top_p: float, top_k: int
) -> None:
    logits = rows(3, 9)
    few = (3, 8, 64, 90, 199)
    masked = np.full((3, 256), -np.inf, np.float32)
    masked[:, few] = logits[:, few]
    for seed in range(12):
        draws = [draw(temperature, top_p, top_k, seed)] * 3
        plain, kept = sampler.pick(logits, draws, [4, 5, 6]), sampler.pick(masked, draws, [4, 5, 6])
        found = sampler.pick(logits, draws, [4, 5, 6], {0: bit_mask(*few), 2: bit_mask(*few)})
        assert found == [kept[0], plain[1], kept[2]]
        assert sampler.pick(logits, draws, [4, 5, 6], {1: bit_mask()})[1] == NOTHING
        assert sampler.pick(logits, draws, [4, 5, 6], {1: bit_mask(77)})[1] == 77


def slow_logprob(row: np.ndarray, unit: int) -> int:
    """LGP-1 by the book."""
    greatest = max(z for z in row if not math.isnan(z))
    weights = [0 if math.isnan(z) else int(Fraction(float(slow.exp(z - greatest))) * 2**32) for z in row]
    found = (row[unit] - greatest) - slow.log(np.float32(np.uint64(sum(weights))) * np.float32(2.0**-32))
    return 0x7FC00000 if math.isnan(found) else bits(float(found))


@pytest.mark.parametrize("seed", range(4))
def test_lgp_1_a_log_probability_is_the_references_and_close_to_the_truth(sampler: Sampler, seed: int) -> None:
    logits = rows(1, seed)[0]
    logits[5] = NAN if seed == 3 else logits[5]
    row = logits[:VOCABULARY]
    total = math.log(sum(math.exp(float(z)) for z in row if not math.isnan(z)))
    for unit in (0, 5, 150, int(np.nanargmax(row))):
        (found,) = sampler.likelihoods(logits).row(unit, 0)
        assert found == slow_logprob(row, unit)
        if not math.isnan(row[unit]):
            assert real(found) == pytest.approx(float(row[unit]) - total, abs=4e-6)


def test_lgp_1_infinite_logits_are_no_numbers_and_break_nothing(sampler: Sampler) -> None:
    for fill in (INF, -INF, NAN):
        logits = np.full(256, fill, np.float32)
        assert sampler.likelihoods(logits).row(0, 2) == (0x7FC00000, 0, 0x7FC00000, 1, 0x7FC00000)


def test_lgp_2_a_row_has_the_likeliest_in_order_the_lower_id_first(sampler: Sampler) -> None:
    logits = np.full(256, 1.0, np.float32)
    logits[[9, 4, 70]] = (3.0, 3.0, 5.0)
    logits[2] = NAN
    row = sampler.likelihoods(logits).row(9, 5)
    assert row[1::2] == (70, 4, 9, 0, 1)
    assert row[0] == row[6] == slow_logprob(logits[:VOCABULARY], 9)
    assert sampler.likelihoods(logits).row(2, 0) == (0x7FC00000,)


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k", "seed"),
    [
        (bits(NAN), ONE_BITS, 0, 0),
        (bits(-1.0), ONE_BITS, 0, 0),
        (bits(-0.0), ONE_BITS, 0, 0),
        (bits(INF), ONE_BITS, 0, 0),
        (2**32, ONE_BITS, 0, 0),
        (-1, ONE_BITS, 0, 0),
        (0, 0, 0, 0),
        (0, bits(1.5), 0, 0),
        (0, bits(NAN), 0, 0),
        (0, ONE_BITS, -1, 0),
        (0, ONE_BITS, 2**31, 0),
        (0, ONE_BITS, 0, -1),
        (0, ONE_BITS, 0, 2**64),
    ],
)
def test_smp_10_parameters_out_of_range_are_refused(temperature: int, top_p: int, top_k: int, seed: int) -> None:
    with pytest.raises(Refused) as refusal:
        Draw(temperature, top_p, top_k, seed)
    assert refusal.value.rule == "order.parameter"


@given(st.floats(-86.875, 0, width=32))
def test_exp_is_the_references_and_close_to_the_truth(sampler: Sampler, x: float) -> None:
    found = sampler.exponentials(np.array([0, x], np.float32), ONE_BITS)[1]
    assert found == slow.exp(np.float32(x))
    assert float(found) == pytest.approx(math.exp(x), rel=3e-7)


def test_a_spoiled_kernel_file_is_built_again(tmp_path: Path) -> None:
    """A spoiled object file in the kernel cache is built again, not run."""
    recipe = replace(native.recipe_here(32, 1), kinds=())
    native.load(recipe, cache=tmp_path)
    (place,) = tmp_path.glob("*.o")
    raw = bytearray(place.read_bytes())
    raw[len(raw) // 2] ^= 1
    place.write_bytes(raw)
    native.load(recipe, cache=tmp_path)
    assert bytes(raw) != place.read_bytes()
