"""Top-k and top-p as sums over a vocabulary that can be narrowed to one id's share (spec/games.md, GAM-5 to GAM-7).

Nobody shows a contract 50,000 logits. Whoever is named the last that top-k keeps and the first of all, and whatever is
said to stand before the two ids that are compared, adds up over the ids; where a sum is wrong, some id's share is.
Logits are rows of binary32, little-endian, as a game has them; the order is (z descending, id ascending), NaN counting
as minus infinity.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines import draws
from steelyard.engines.draws import Floats, Ids
from steelyard.engines.ir import scalars
from steelyard.protocol import games, merkle
from steelyard.protocol.games import NOTHING
from steelyard.protocol.moves import Sieve

BEFORE_GREATEST: Final = 0  # counts, 32 bits; of a share one bit
BEFORE_LOWEST: Final = 32
BEFORE_UNIT: Final = 64  # weights, 64 bits: less than 2**32 ids of at most 2**32 each
BEFORE_RIVAL: Final = 128
WHOLE: Final = 192
FIELD: Final = 2**64
AT_ONCE: Final = 2**13  # exponentials: what is in between stays in a cache
LIGHT: Final = np.float32(-23.0)  # e**-23 < 2**-33, so floor(e·2³²) is 0


def marks(logits: bytes, temperature: int, top_k: int, top_p: int) -> tuple[int, int]:
    """The lowest and the greatest id; NOTHING instead of one whose filter has no say. Bits as in `draws.Draw`."""
    z = _numbers(logits)
    top_k_says, top_p_says = games.says(temperature, top_k, top_p, len(z))
    lowest = NOTHING
    if top_k_says:
        kept = draws.keep_top_k(z, top_k)[::-1]  # so that of equals the last stands first
        lowest = int(kept[z[kept].argmin()])
    return lowest, int(z.argmax()) if top_p_says else NOTHING


def sieve_of(logits: bytes, temperature: int, unit: int, rival: int, lowest: int, greatest: int) -> Sieve:
    """What shares follow from, the logits' words read where the ids stand."""
    words = np.frombuffer(logits, "<u4")
    ids = unit, rival, lowest, greatest
    named = [number for one in ids for number in (one, NOTHING if one == NOTHING else int(words[one]))]
    return Sieve(merkle.root(games.value_leaves(logits)), len(words), temperature, *named)


def tallies(logits: bytes, sieve: Sieve, after: Sequence[int]) -> list[int]:
    """The sums over the ids below each number in `after`, 256 bits each."""
    z, found = _numbers(logits), [0] * len(after)
    for shift, field in _fields(z, np.arange(len(z)), sieve):
        sums = np.zeros(len(z) + 1, np.uint64)
        np.cumsum(field, dtype=np.uint64, out=sums[1:])
        found = [before + (int(sums[at]) << shift) for before, at in zip(found, after, strict=True)]
    return found


def share(sieve: Sieve, one: int, z: int) -> int:
    """What one id adds to the sums. `z`: binary32 bits."""
    fields = _fields(_numbers(z.to_bytes(4, "little")), np.array([one]), sieve)
    return sum(int(field[0]) << shift for shift, field in fields)


def fits(sieve: Sieve, sums: int, top_k: int) -> bool:
    """True if by these sums the greatest is the first of all, and the lowest the last of `top_k`."""
    before_lowest = 0 if sieve.lowest == NOTHING else top_k - 1
    return sums % FIELD == before_lowest << BEFORE_LOWEST


def beaten(sieve: Sieve, sums: int, top_p: int, seed: int, position: int) -> bool:
    """True if, what these sums say to be left out counting as minus infinity, the rule would pick the rival rather
    than the unit (SMP-4, SMP-5). `top_p`: binary32 bits; `position` as in `draws.pick`."""
    z = np.array([_number(sieve.unit_z), _number(sieve.rival_z)])
    z = np.where(keeps(sieve, sums, top_p), z, np.float32(-np.inf))
    unit, rival = draws.scores(z, sieve.temperature, seed, position, np.array([sieve.unit, sieve.rival]))
    return bool(rival > unit) or (bool(rival == unit) and sieve.rival < sieve.unit)


def keeps(sieve: Sieve, sums: int, top_p: int) -> tuple[bool, bool]:
    """Whether by these sums the unit is kept, and whether the rival is."""
    unit, rival, whole = (sums >> BEFORE_UNIT) % FIELD, (sums >> BEFORE_RIVAL) % FIELD, sums >> WHOLE
    return (
        _kept(sieve, sieve.unit, sieve.unit_z, unit, whole, top_p),
        _kept(sieve, sieve.rival, sieve.rival_z, rival, whole, top_p),
    )


def _kept(sieve: Sieve, one: int, z: int, before: int, whole: int, top_p: int) -> bool:
    """`before`: the weight of what stands before the id, of `whole`. Compared exactly: p is a fraction."""
    if sieve.lowest not in (NOTHING, one) and not _stands_before(_number(z), one, sieve.lowest_z, sieve.lowest):
        return False
    p, parts = draws.real(top_p).as_integer_ratio()
    return sieve.greatest in (NOTHING, one) or before * parts < p * whole


def _fields(z: Floats, ids: Ids, sieve: Sieve) -> list[tuple[int, NDArray[Any]]]:
    """Of these ids each part of their shares, with the bit that it begins at: whole numbers, [ids]."""
    greatest, lowest = sieve.greatest != NOTHING, sieve.lowest != NOTHING
    before_greatest = _stands_before(z, ids, sieve.greatest_z, sieve.greatest) & greatest
    before_lowest = _stands_before(z, ids, sieve.lowest_z, sieve.lowest) & lowest
    found: list[tuple[int, NDArray[Any]]] = [(BEFORE_GREATEST, before_greatest), (BEFORE_LOWEST, before_lowest)]
    if not greatest:
        return found
    heavy = ~before_greatest & (before_lowest | (ids == sieve.lowest) | (not lowest))
    weight = np.zeros(len(z), np.uint64)
    with np.errstate(all="ignore"):
        x = (z - _number(sieve.greatest_z)) / np.float32(draws.real(sieve.temperature))
        some = np.flatnonzero(heavy & (x > LIGHT))  # no NaN is
        for first in range(0, len(some), AT_ONCE):
            ids_here = some[first : first + AT_ONCE]
            weight[ids_here] = draws.weights(scalars.exp(x[ids_here]))
    before_unit = weight * _stands_before(z, ids, sieve.unit_z, sieve.unit)
    before_rival = weight * _stands_before(z, ids, sieve.rival_z, sieve.rival)
    return [*found, (BEFORE_UNIT, before_unit), (BEFORE_RIVAL, before_rival), (WHOLE, weight)]


def _stands_before(z: Any, ids: Any, other_z: int, other: int) -> Any:
    number = _number(other_z)
    return (z > number) | ((z == number) & (ids < other))


def _number(word: int) -> np.float32:
    return np.float32(_numbers(word.to_bytes(4, "little"))[0])


def _numbers(logits: bytes) -> Floats:
    return draws.ordered(np.frombuffer(logits, "<f4"))
