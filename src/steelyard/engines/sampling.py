"""Rule P3: which id comes next, fixed by logits, seed and position alone (spec/sampler.md, SMP-1 to SMP-11).

token = argmax over the allowed ids of z/T + Gumbel(Philox(seed, position, id)), the lowest id on ties; T = 0 is the
plain argmax. Allowed = what a grammar's mask holds, of that top-k, then top-p over what it kept, in exact whole
numbers. Logprobs (LGP-1, LGP-2) come from the same weights. The arithmetic is that of `engines.canonical`; its kernels
do the work.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.base import NOTHING
from steelyard.engines.canonical import picking
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.program import address, aligned
from steelyard.protocol.errors import Refused

Floats = NDArray[np.float32]
WEIGHT_BITS: Final = 32
ONE_BITS: Final = 0x3F800000
MAX_POSITION: Final = 2**32


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
        top = top[np.argsort(-_ordered(self.logits[top]), kind="stable")]
        numbers = self._bits(self.logits[top])
        pairs = (number for pair in zip(top, numbers, strict=True) for number in pair)
        return (int(self._bits(self.logits[unit : unit + 1])[0]), *map(int, pairs))

    def _bits(self, some: Floats) -> NDArray[np.uint32]:
        with np.errstate(invalid="ignore"):  # of infinite logits; not a number either way
            found = (some - self.greatest) - self.total
        return np.where(np.isnan(found), np.float32(np.nan), found).view(np.uint32)


def _ordered(logits: Floats) -> Floats:
    return np.where(np.isnan(logits), np.float32(-np.inf), logits)


def keep_top_k(logits: Floats, k: int) -> NDArray[np.int64]:
    """Ids of the k greatest logits, the lower id first among equals; ascending. NaN counts as minus infinity."""
    if k == 0 or k >= len(logits):
        return np.arange(len(logits))
    ordered = _ordered(logits)
    threshold = np.partition(ordered, len(ordered) - k)[len(ordered) - k]
    above = np.flatnonzero(ordered > threshold)
    equal = np.flatnonzero(ordered == threshold)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))


def keep_top_p(logits: Floats, exponentials: Floats, p: float) -> NDArray[np.int64]:
    """Indices of the shortest run, greatest logit first (the lower index among equals), whose weights reach p of all.

    Weights are floor(e·2³²), so every sum is exact; p is a binary32 number, so p·W is compared exactly. Ascending."""
    whole = _weights(exponentials)
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


def _weights(exponentials: Floats) -> NDArray[np.uint64]:
    """floor(e·2³²), 0 for NaN."""
    wide = exponentials.astype(np.float64)
    wide[np.isnan(wide)] = 0
    return (wide * 2.0**WEIGHT_BITS).astype(np.uint64)


def _greatest(logits: Floats) -> np.float32:
    """Of those that are numbers; minus infinity if none is."""
    found: np.float32 = np.fmax.reduce(logits)
    return np.float32(-np.inf) if np.isnan(found) else found


class Sampler:
    """Chooses ids for rows of logits. `run` executes operations (`Pool.run`). One thread at a time.

    Args:
        vocabulary: ids are 0 … vocabulary-1; a row of logits is at least that, rounded up to a multiple of 64.
    """

    def __init__(self, native: Native, run: Callable[[NDArray[np.int64]], None], vocabulary: int) -> None:
        self._native, self._run, self._vocabulary = native, run, vocabulary
        self._padded = -(-vocabulary // picking.AT_ONCE) * picking.AT_ONCE
        self._masked: Floats = aligned((1, self._padded), np.float32)

    def pick(
        self,
        logits: Floats,
        draws: Sequence[Draw],
        positions: Sequence[int],
        masks: Mapping[int, bytes] | None = None,
    ) -> list[int]:
        """The id for each row, NOTHING where a mask has no bit; `positions` are indices in prompt and answer together,
        `masks` those of rows under a grammar (`grammars.Masks.at`)."""
        masks = masks or {}
        free = any(row not in masks and not draw.filters for row, draw in enumerate(draws))
        picks = self._plain(logits, draws, positions) if free else [NOTHING] * len(draws)
        for row, draw in enumerate(draws):
            mask = masks.get(row)
            if mask is not None and not mask.strip(b"\0"):
                picks[row] = NOTHING
            elif draw.filters or mask is not None:
                self._mask(logits[row], draw, mask)
                picks[row] = self._plain(self._masked, [draw], [positions[row]])[0]
        return picks

    def likelihoods(self, logits: Floats) -> Likelihoods:
        """Of one row of logits (LGP-1)."""
        row = logits[: self._vocabulary]
        total = _weights(self.exponentials(row, ONE_BITS)).sum(dtype=np.uint64)
        inputs: Floats = aligned((LANES,), np.float32)
        inputs.fill(total.astype(np.float32) * np.float32(2.0**-WEIGHT_BITS))
        out: Floats = aligned((LANES,), np.float32)
        self._call("logarithm", {picking.LOGITS: address(inputs), picking.OUT: address(out)}, 1)
        return Likelihoods(row, _greatest(row), out[0])

    def _plain(self, logits: Floats, draws: Sequence[Draw], positions: Sequence[int]) -> list[int]:
        assert logits.flags.c_contiguous
        assert logits.shape[1] >= self._padded
        assert not positions or max(positions) < MAX_POSITION
        table = aligned((len(draws), 4), np.uint64)
        table[:, 0] = [draw.temperature for draw in draws]
        table[:, 1] = [draw.seed for draw in draws]
        table[:, 2] = positions
        picks = aligned((len(draws),), np.int64)
        arguments = {
            picking.LOGITS: address(logits),
            picking.STRIDE: logits.shape[1],
            picking.COUNT: self._vocabulary,
            picking.DRAWS: address(table),
            picking.PICKS: address(picks),
        }
        self._call("pick", arguments, len(draws))
        return [int(pick) for pick in picks]

    def _mask(self, logits: Floats, draw: Draw, mask: bytes | None) -> None:
        """Into `_masked`: the allowed ids' logits, minus infinity elsewhere."""
        row = logits[: self._vocabulary]
        if mask is not None:
            bit_set = np.unpackbits(np.frombuffer(mask, np.uint8), count=self._vocabulary, bitorder="little")
            row = np.where(bit_set, row, np.float32(-np.inf))
        self._masked.fill(-np.inf)
        if not draw.filters:
            self._masked[0, : self._vocabulary] = row
            return
        allowed = keep_top_k(row, draw.top_k)
        if draw.top_p != ONE_BITS:
            some = row[allowed]
            kept = keep_top_p(some, self.exponentials(some, draw.temperature), real(draw.top_p))
            allowed = allowed[kept]
        self._masked[0, allowed] = row[allowed]

    def exponentials(self, logits: Floats, temperature: int) -> Floats:
        """e^((z - max)/T), binary32, max over what is no NaN."""
        padded: Floats = aligned((-(-len(logits) // 16) * 16,), np.float32)
        padded[: len(logits)] = logits
        out: Floats = aligned(padded.shape, np.float32)
        arguments = {
            picking.LOGITS: address(padded),
            picking.COUNT: len(padded),
            picking.OUT: address(out),
            picking.MAXIMUM: bits(float(_greatest(logits))),
            picking.TEMPERATURE: temperature,
        }
        self._call("weigh", arguments, 1)
        return out[: len(logits)]

    def _call(self, kernel: str, arguments: dict[int, int], chunks: int) -> None:
        code = aligned((1, OP_SLOTS), np.int64)
        code[0, KERNEL], code[0, CHUNKS] = self._native.address[kernel], chunks
        for slot, value in arguments.items():
            code[0, ARGS + slot] = value
        self._run(code)
