"""Rule P3 by the book: which id comes next, in plain numpy (spec/sampler.md, SMP-1 to SMP-11).

token = argmax over the allowed ids of z/T + Gumbel(Philox(seed, position, id)), the lowest id on ties; T = 0 is the
plain argmax. Allowed = what a grammar's mask holds, of that top-k, then top-p over what it kept, in exact whole
numbers. Logprobs (LGP-1, LGP-2) come from the same weights. exp and log are the graph's (`ir.scalars`). The kernels of
`sampling` do the same at speed.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.base import NOTHING
from steelyard.engines.ir import scalars
from steelyard.protocol.errors import Refused

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
WEIGHT_BITS: Final = 32
ONE_BITS: Final = 0x3F800000
MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)  # Philox4x32-10: Salmon et al., SC'11; Random123's constants
KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)
ROUNDS: Final = 10
WORD: Final = 2**32 - 1
SPREAD: Final = 27.0
"""More than any two Gumbel draws differ: they lie between -ln(33 ln 2) = -3.13 and 33 ln 2 = 22.87."""


_MULTIPLIERS: Final = np.array(MULTIPLIERS, np.uint64)[:, None]
_HALF, _WORD = np.uint64(32), np.uint64(WORD)


@dataclass(frozen=True, slots=True)
class Draw:
    """How one run's ids are chosen."""

    temperature: int
    """binary32 bits of T; 0 is the plain argmax."""
    top_p: int
    """binary32 bits of p in (0, 1]."""
    top_k: int
    """0 keeps all."""
    seed: int
    """64 bits."""

    def __post_init__(self) -> None:
        t, p = real(self.temperature), real(self.top_p)
        if not 0.0 <= t < math.inf or self.temperature >> 31:
            raise Refused("order.parameter", f"temperature {t}, must be a number from 0 on")
        if not 0.0 < p <= 1.0:
            raise Refused("order.parameter", f"top_p {p}, must be above 0, at most 1")
        if not 0 <= self.top_k < 2**31:
            raise Refused("order.parameter", f"top_k {self.top_k}, must be 0 to {2**31 - 1}")
        if not 0 <= self.seed < 2**64:
            raise Refused("order.parameter", f"seed {self.seed}, must be 0 to {2**64 - 1}")

    @property
    def filters(self) -> bool:
        """True if some id may be left out. At T = 0 the greatest logit is always allowed, so nothing changes."""
        return self.temperature != 0 and (self.top_k != 0 or self.top_p != ONE_BITS)


def real(bits: int) -> float:
    """The binary32 number with these bits. Raises Refused("order.parameter") unless they are 32."""
    if not 0 <= bits < 2**32:
        raise Refused("order.parameter", f"{bits} is no binary32")
    number: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return number


def bits(number: float) -> int:
    """binary32 bits of the nearest binary32 number."""
    found: int = struct.unpack("<I", struct.pack("<f", number))[0]
    return found


# -- the draw ----------------------------------------------------------------------------------------------------------


def random(seed: int, position: int, ids: Ids) -> NDArray[np.uint32]:
    """The word of each id, [ids]: Philox4x32-10 (SMP-3)."""
    even, odd = np.zeros((2, 2, len(ids)), np.uint64)  # words 0 and 2 of each counter, words 1 and 3
    even[0], odd[0] = ids >> 2, position
    keys = [((seed & WORD) + at * KEY_STEPS[0], (seed >> 32) + at * KEY_STEPS[1]) for at in range(ROUNDS)]
    for key in np.array(keys, dtype=np.uint64)[:, :, None] & _WORD:
        product = (even * _MULTIPLIERS)[::-1]
        even, odd = product >> _HALF ^ odd ^ key, product & _WORD
    low, high = np.where(ids & 1, odd, even)
    found: NDArray[np.uint32] = np.where(ids & 2, high, low).astype(np.uint32)
    return found


def gumbel(words: NDArray[np.uint32]) -> Floats:
    """-ln(-ln u) with u = 1 - (word + ½)/2³², through ln(1 - a) where a < ¼ and ln u elsewhere (SMP-4)."""
    small = words < 2**30
    part = np.where(small, words, ~words).astype(np.float32)
    a = part * np.float32(2.0**-32) + np.float32(2.0**-33)
    waiting = -np.where(small, scalars.log_of(np.where(small, -a, np.float32(0)), np.zeros_like(a)), scalars.log(a))
    found: Floats = -scalars.log(waiting)
    return found


def scores(logits: Floats, temperature: int, seed: int, position: int, ids: Ids) -> Floats:
    """fl(fl(z/T) + G) of some ids, [ids] (SMP-4); T > 0. `logits`: of these ids."""
    with np.errstate(all="ignore"):
        found: Floats = logits / np.float32(real(temperature)) + gumbel(random(seed, position, ids))
    return found


def pick(logits: Floats, draw: Draw, position: int, mask: bytes | None = None) -> int:
    """The id for a row of logits, NOTHING where a mask has no bit. `position`: the index that the id will have in
    prompt and answer together; `mask`: of a grammar (`grammars.Masks.at`)."""
    row = logits
    if mask is not None:
        allowed = np.unpackbits(np.frombuffer(mask, np.uint8), count=len(row), bitorder="little")
        if not allowed.any():
            return NOTHING
        row = np.where(allowed, row, np.float32(-np.inf))
    kept = keep(row, draw) if draw.filters else np.arange(len(row))
    z = ordered(row[kept])
    if draw.temperature == 0:
        return int(kept[z.argmax()]) if z.max() > -np.inf else 0
    some = _contenders(z, draw, position, kept)
    if len(some) == 1 < len(kept):  # if it had no score above minus infinity, all would contend
        return int(kept[some[0]])
    found = scores(z[some], draw.temperature, draw.seed, position, kept[some])
    return int(kept[some[found.argmax()]]) if found.max() > -np.inf else 0


def _contenders(z: Floats, draw: Draw, position: int, ids: Ids) -> Ids:
    """Indices of those that may have the greatest score, ascending; often one. SMP-4's score is some ten operations
    away from the real number z/T + G, which binary64 tells well enough to leave out whoever is clearly below."""
    with np.errstate(all="ignore"):
        base = (z / np.float32(real(draw.temperature))).astype(np.float64)
        near = np.flatnonzero(~(base < base.max() - SPREAD))
        uniform = (random(draw.seed, position, ids[near]) + 0.5) * 2.0**-32
        likely = base[near] - np.log(-np.log1p(-uniform))
        best = likely.max()
        found: Ids = near[~(likely < best - (abs(best) * 2.0**-20 + 1e-3))]  # errors: 2^-24 of it, and 1e-5 of G
    return found


# -- what is allowed ---------------------------------------------------------------------------------------------------


def keep(logits: Floats, draw: Draw) -> Ids:
    """Ids that top-k and then top-p keep, ascending (SMP-7 to SMP-9)."""
    kept = keep_top_k(logits, draw.top_k)
    if draw.top_p == ONE_BITS:
        return kept
    some = logits[kept]
    return kept[keep_top_p(some, exponentials(some, draw.temperature), real(draw.top_p))]


def ordered(logits: Floats) -> Floats:
    """NaN counts as minus infinity."""
    found: Floats = np.where(np.isnan(logits), np.float32(-np.inf), logits)
    return found


def keep_top_k(logits: Floats, k: int) -> Ids:
    """Ids of the k greatest logits, the lower id first among equals; ascending. NaN counts as minus infinity."""
    if k == 0 or k >= len(logits):
        return np.arange(len(logits))
    known = ordered(logits)
    threshold = np.partition(known, len(known) - k)[len(known) - k]
    above = np.flatnonzero(known > threshold)
    equal = np.flatnonzero(known == threshold)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))


def keep_top_p(logits: Floats, exponentials: Floats, p: float) -> Ids:
    """Indices of the shortest run, greatest logit first (the lower index among equals), whose weights reach p of all.

    Weights are floor(e·2³²), so every sum is exact; p is a binary32 number, so p·W is compared exactly. Ascending."""
    whole = weights(exponentials)
    total = int(whole.sum(dtype=np.uint64))
    mantissa, exponent = p.as_integer_ratio()
    # An id lighter than (1-p)·W/n is outside: all of those together weigh less than (1-p)·W.
    light = (exponent - mantissa) * total // (exponent * len(whole))
    some = np.flatnonzero(whole >= np.uint64(light))
    ranked = some[np.argsort(-logits[some], kind="stable")]  # stable: the lower index first among equals
    reached = np.cumsum(whole[ranked], dtype=np.uint64)
    needed = -(-mantissa * total // exponent)  # the least whole number that is >= p·W
    count = int(np.searchsorted(reached, np.uint64(needed))) + 1
    return np.sort(ranked[:count])


def weights(exponentials: Floats) -> NDArray[np.uint64]:
    """floor(e·2³²), 0 for NaN."""
    wide = exponentials.astype(np.float64)
    wide[np.isnan(wide)] = 0
    return (wide * 2.0**WEIGHT_BITS).astype(np.uint64)


def greatest(logits: Floats) -> np.float32:
    """Of those that are numbers; minus infinity if none is."""
    found: np.float32 = np.fmax.reduce(logits)
    return np.float32(-np.inf) if np.isnan(found) else found


def exponentials(logits: Floats, temperature: int) -> Floats:
    """e^((z - max)/T), max over what is no NaN."""
    with np.errstate(all="ignore"):
        found: Floats = scalars.exp((logits - greatest(logits)) / np.float32(real(temperature)))
    return found


# -- log-probabilities -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """Log-probabilities of one row of logits: of the model's own, before temperature, filters and grammar (LGP-1)."""

    logits: Floats
    greatest: np.float32
    total: np.float32
    """ln of the sum of e^(z - greatest)."""

    def row(self, unit: int, likeliest: int) -> tuple[int, ...]:
        """Bits of the unit's, then id and bits of each of the likeliest, the lower id first among equals (LGP-2)."""
        top = keep_top_k(self.logits, likeliest) if likeliest else np.zeros(0, np.int64)
        top = top[np.argsort(-ordered(self.logits[top]), kind="stable")]
        numbers = self._bits(self.logits[top])
        pairs = (number for pair in zip(top, numbers, strict=True) for number in pair)
        return (int(self._bits(self.logits[unit : unit + 1])[0]), *map(int, pairs))

    def _bits(self, some: Floats) -> NDArray[np.uint32]:
        with np.errstate(invalid="ignore"):  # of infinite logits; not a number either way
            found = (some - self.greatest) - self.total
        return np.where(np.isnan(found), np.float32(np.nan), found).view(np.uint32)


def likelihoods(logits: Floats) -> Likelihoods:
    """Of one row of logits (LGP-1)."""
    total = whole_sum(exponentials(logits, ONE_BITS))
    with np.errstate(all="ignore"):
        logarithm: Any = scalars.log(np.array([total]))
    return Likelihoods(logits, greatest(logits), logarithm[0])


def whole_sum(exponentials: Floats) -> np.float32:
    """fl(W)·2⁻³², W the exact sum of the weights."""
    found: np.float32 = weights(exponentials).sum(dtype=np.uint64).astype(np.float32) * np.float32(2.0**-WEIGHT_BITS)
    return found
