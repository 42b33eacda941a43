"""Sums over a vocabulary against the sampler: whom they keep, who is picked by them, and one id's share of them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import canonical_reference as slow
from steelyard.engines import draws, sieves
from steelyard.engines.draws import ONE_BITS, Draw, bits
from steelyard.protocol.games import NOTHING
from steelyard.protocol.moves import Sieve

SIZES = (1, 2, 31, 33, 70, 257)
TEMPERATURES = tuple(map(bits, (2.0**-149, 1e-9, 0.05, 0.7, 1.0, 1.9, 50.0, 1e30)))
SHARES = (1, bits(1e-6), bits(0.1), bits(0.5), bits(0.9), ONE_BITS - 1, ONE_BITS)
STRANGE = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e38, -1e38, 1e-45], np.float32)


def rows(count: int) -> Iterator[tuple[np.random.Generator, np.ndarray, Draw]]:
    """Usual logits; few distinct ones; some that are no numbers; nothing else; all equal: under any filter."""
    for number in range(count):
        chance = np.random.default_rng(number)
        size, kind = int(chance.choice(SIZES)), number % 6
        z = (chance.standard_normal(size) * 4).astype(np.float32)
        if kind == 1:
            z = np.round(z / 4) * np.float32(1)
        elif kind == 2:
            z[chance.integers(0, size, -(-size // 4))] = chance.choice(STRANGE, -(-size // 4))
        elif kind == 3:
            z = chance.choice(STRANGE, size)
        elif kind == 4:
            z = np.full(size, chance.choice(STRANGE), np.float32)
        elif kind == 5:
            z = np.where(chance.random(size) < 0.5, np.float32(0), np.float32(-0.0)) - (chance.random(size) < 0.1)
        k = int(chance.choice([0, 1, 2, size // 2, size - 1, size, size + 3]))
        temperature, p = int(chance.choice(TEMPERATURES)), int(chance.choice(SHARES))
        yield chance, z.astype(np.float32), Draw(temperature, p, k, int(chance.integers(0, 2**63)))


def sieve_of(z: np.ndarray, draw: Draw, unit: int, rival: int) -> Sieve:
    raw = z.tobytes()
    return sieves.sieve_of(raw, draw.temperature, unit, rival, *marks(z, draw))


def marks(z: np.ndarray, draw: Draw) -> tuple[int, int]:
    return sieves.marks(z.tobytes(), draw.temperature, draw.top_k, draw.top_p)


def total(z: np.ndarray, sieve: Sieve) -> int:
    (found,) = sieves.tallies(z.tobytes(), sieve, [len(z)])
    return found


def test_what_the_sums_keep_is_what_the_sampler_keeps() -> None:
    """GAM-5 as SMP-7 to SMP-9. Of a row without a number above minus infinity nothing can be picked anyway."""
    cases = 0
    for chance, z, draw in rows(1200):
        if not (z > -np.inf).any():
            continue
        kept = set(map(int, draws.keep(z, draw)))
        for unit, rival in chance.integers(0, len(z), (8, 2)).tolist():
            sieve = sieve_of(z, draw, unit, rival)
            sums = total(z, sieve)
            assert sieves.fits(sieve, sums, draw.top_k)
            assert sieves.keeps(sieve, sums, draw.top_p) == (unit in kept, rival in kept), (z, draw, unit, rival)
            cases += 1
    assert cases > 6000


def test_honest_sums_refute_every_id_but_the_one_that_is_picked() -> None:
    """GAM-5: it beats all others, and none beats it."""
    cases = 0
    for chance, z, draw in rows(500):
        position = int(chance.integers(0, 4096))
        picked = draws.pick(z, draw, position)
        for other in {0, len(z) - 1, *chance.integers(0, len(z), 4).tolist()}:
            wrong, right = sieve_of(z, draw, other, picked), sieve_of(z, draw, picked, other)
            lost = sieves.beaten(wrong, total(z, wrong), draw.top_p, draw.seed, position)
            assert lost == (other != picked), (z, draw, other, picked)
            assert not sieves.beaten(right, total(z, right), draw.top_p, draw.seed, position), (z, draw, other, picked)
            cases += 1
    assert cases > 2000


def by_hand(z: np.ndarray, sieve: Sieve, one: int) -> int:
    """GAM-5 word by word."""

    def before(other: int) -> bool:
        number, than = (np.float32(-np.inf) if np.isnan(z[i]) else z[i] for i in (one, other))
        return bool(number > than) or (bool(number == than) and one < other)

    found = 0
    if sieve.lowest != NOTHING and before(sieve.lowest):
        found += 1 << 32
    if sieve.greatest == NOTHING:
        return found
    if before(sieve.greatest):
        return found + 1
    if sieve.lowest != NOTHING and one != sieve.lowest and not before(sieve.lowest):
        return found
    with np.errstate(all="ignore"):
        x = (z[one] - z[sieve.greatest]) / np.float32(draws.real(sieve.temperature))
    e = np.float32(np.nan) if np.isnan(x) else slow.exp(x)
    weight = 0 if np.isnan(e) else int(np.floor(float(e) * 2.0**32))
    return found + weight * (2**192 + 2**64 * before(sieve.unit) + 2**128 * before(sieve.rival))


def test_a_share_is_what_the_book_says_whoever_is_named() -> None:
    """GAM-5: a liar may name any two ids."""
    cases = 0
    for chance, z, draw in rows(600):
        unit, rival, lowest, greatest = chance.integers(0, len(z), 4).tolist()
        sieve = sieve_of(z, draw, unit, rival)
        named = (lowest if sieve.lowest != NOTHING else NOTHING, greatest if sieve.greatest != NOTHING else NOTHING)
        for two in (named, marks(z, draw)):
            sieve = sieves.sieve_of(z.tobytes(), draw.temperature, unit, rival, *two)
            for one in {0, len(z) - 1, *two, *chance.integers(0, len(z), 4).tolist()} - {NOTHING}:
                word = int(z.view(np.uint32)[one])
                assert sieves.share(sieve, one, word) == by_hand(z, sieve, one), (z, draw, sieve, one)
                cases += 1
    assert cases > 4000


def test_sums_are_of_shares() -> None:
    """GAM-5, GAM-6: between two numbers of ids lie the shares of these."""
    for chance, z, draw in rows(300):
        unit, rival, lowest, greatest = chance.integers(0, len(z), 4).tolist()
        sieve = sieves.sieve_of(z.tobytes(), draw.temperature, unit, rival, lowest, greatest)
        words = z.view(np.uint32)
        after = sorted({0, len(z), *chance.integers(0, len(z) + 1, 5).tolist()})
        sums = sieves.tallies(z.tobytes(), sieve, after)
        assert sums[0] == 0
        shares = [sieves.share(sieve, one, int(words[one])) for one in range(len(z))]
        for (low, high), (before, then) in zip(pairwise(after), pairwise(sums), strict=True):
            assert then - before == sum(shares[low:high])


def test_a_filter_that_leaves_nothing_out_names_nobody() -> None:
    """GAM-5: at T = 0, with k = 0 or all ids, at p = 1."""
    z = np.array([1, 3, 2, 3, np.nan], np.float32)
    half = bits(0.5)
    assert marks(z, Draw(ONE_BITS, half, 2, 0)) == (3, 1)
    assert marks(z, Draw(ONE_BITS, ONE_BITS, 4, 0)) == (0, NOTHING)
    for k in (0, 5, 9):
        assert marks(z, Draw(ONE_BITS, half, k, 0)) == (NOTHING, 1)
    assert marks(z, Draw(0, half, 2, 0)) == (NOTHING, NOTHING)
    sieve = sieve_of(z, Draw(ONE_BITS, ONE_BITS, 0, 0), 0, 1)
    assert (sieve.lowest, sieve.lowest_z, sieve.greatest, sieve.greatest_z) == (NOTHING,) * 4
    assert total(z, sieve) == 0


@pytest.mark.parametrize("change", [1, -1, 1 << 31, 1 << 32, -(1 << 32), 1 << 63])
def test_sums_that_have_another_count_before_a_mark_do_not_fit(change: int) -> None:
    """GAM-5."""
    z = np.array([1, 3, 2, 3, np.nan], np.float32)
    for draw in (Draw(ONE_BITS, bits(0.5), 2, 0), Draw(ONE_BITS, bits(0.5), 0, 0), Draw(ONE_BITS, ONE_BITS, 2, 0)):
        sieve = sieve_of(z, draw, 0, 1)
        assert sieves.fits(sieve, total(z, sieve), draw.top_k)
        assert not sieves.fits(sieve, total(z, sieve) + change, draw.top_k)


def test_weights_are_compared_exactly() -> None:
    """SMP-8: at p·W an id is left out, one below it is kept; p's bits are the fraction that they say."""
    z = np.array([0, -1, -1], np.float32)
    for p, whole in ((bits(0.5), 2**33), (bits(0.1), 2**60 - 2**40), (1, 2**63)):
        exact = draws.real(p) * whole  # of a binary32 and 60 bits, so by hand
        number, parts = draws.real(p).as_integer_ratio()
        most = -(-number * whole // parts)  # the least that is not below
        assert abs(most - exact) <= max(1.0, exact * 2.0**-50)
        sieve = sieves.sieve_of(z.tobytes(), ONE_BITS, 1, 2, NOTHING, 0)
        for before, kept in ((most, False), (most - 1, True)):
            assert sieves.keeps(sieve, (whole << 192) + (before << 64), p)[0] == kept
        assert sieves.keeps(replace(sieve, unit=0), (whole << 192) + (most << 64), p)[0]
