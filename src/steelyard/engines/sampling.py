"""Rule P3 by kernels: which id comes next, for rows of logits at once (spec/sampler.md, SMP-1 to SMP-11).

`draws` is the same in plain numpy, a row at a time: its rules, and which ids are left in, are taken from there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.base import NOTHING
from steelyard.engines.canonical import picking
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.draws import (
    ONE_BITS,
    Draw,
    Floats,
    Likelihoods,
    bits,
    greatest,
    keep_top_k,
    keep_top_p,
    real,
    whole_sum,
)

MAX_POSITION: Final = 2**32


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
        inputs: Floats = aligned((LANES,), np.float32)
        inputs.fill(whole_sum(self.exponentials(row, ONE_BITS)))
        out: Floats = aligned((LANES,), np.float32)
        self._call("logarithm", {picking.LOGITS: address(inputs), picking.OUT: address(out)}, 1)
        return Likelihoods(row, greatest(row), out[0])

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
            picking.MAXIMUM: bits(float(greatest(logits))),
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
