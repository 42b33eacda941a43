"""Continuous batching: one thread advances every run a step together.

A step takes one token of each run that generates, then prompt tokens of the others, first come first served, up to the
model's room; so prompts never starve answers. What shares a step with what changes no bit (spec/arithmetic.md).
"""

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.canonical.sequence import InFlight, Row
from steelyard.engines.sampling import Sampler
from steelyard.protocol.errors import Refused, Unavailable

MAX_RUNS: Final = 64
PREFILL_BESIDE_ANSWERS: Final = 32
"""Most prompt tokens in a step that also advances answers."""


class Scheduler:
    """Owns the model from its own thread.

    Args:
        room: bytes that keys and values of all runs together may take.
    """

    def __init__(self, model: Model, room: int, prefill: int = PREFILL_BESIDE_ANSWERS) -> None:
        self._model, self._prefill = model, prefill
        self._sampler = Sampler(model.native, model.pool.run, model.file.shape.vocabulary)
        self._free_pages = room // model.page_bytes
        self._spare: list[NDArray[np.uint8]] = []
        self._runs: list[InFlight] = []
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name="steelyard-scheduler")
        self._thread.start()

    def add(self, run: InFlight) -> None:
        """Admits a run. Raises Unavailable: `engine.busy`, `engine.closed`."""
        needed = -(-run.most // self._model.recipe.page)
        with self._change:
            while not self._fits(needed):
                self._change.wait()
            self._free_pages -= needed
            run.table = np.zeros(needed, np.int64)
            self._runs.append(run)
            self._change.notify_all()

    def _fits(self, needed: int) -> bool:
        """False if there will be room as soon as a cancelled run has left; raises if that will not help."""
        if self._closing or not self._thread.is_alive():
            raise Unavailable("engine.closed", "the engine is closed")
        if len(self._runs) < MAX_RUNS and needed <= self._free_pages:
            return True
        if not any(run.cancelled for run in self._runs):
            told = f"{len(self._runs)} runs of {MAX_RUNS}; needs {needed} pages, {self._free_pages} free"
            raise Unavailable("engine.busy", told)
        return False

    def cancel(self, run: InFlight) -> None:
        """The run ends silently before its next step."""
        with self._change:
            run.cancelled = True
            self._change.notify_all()

    def close(self) -> None:
        """Ends all runs with Unavailable("engine.closed"), then the threads."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()

    def _loop(self) -> None:
        error = Unavailable("engine.failed", "the engine's thread ended; see the log of this node")
        try:
            while runs := self._wait():
                self._step(runs)
            error = Unavailable("engine.closed", "the engine was closed while this run was in flight")
        except Refused as refusal:  # flush-to-zero: no run may be computed in this process
            error = Unavailable(refusal.rule, refusal.detail)
        finally:
            with self._change:
                self._closing = True
                runs = self._runs[:]
            for run in runs:
                self._drop(run)
                run.sink.fail(error)
            self._model.close()

    def _wait(self) -> list[InFlight]:
        """The runs to advance now; none when closing."""
        with self._change:
            while True:
                if self._closing:
                    return []
                gone = [run for run in self._runs if run.cancelled]
                for run in gone:
                    self._drop(run)
                if self._runs:
                    return self._runs[:]
                self._change.wait()

    def _drop(self, run: InFlight) -> None:
        with self._change:
            self._runs.remove(run)
            self._free_pages += len(run.table)
            self._spare += run.pages
            run.pages = []
            self._change.notify_all()

    def _share(self, runs: list[InFlight]) -> list[tuple[InFlight, int]]:
        """How many tokens of each run go into this step."""
        left = self._model.tokens
        answering = [run for run in runs if len(run.ids) - run.filled == 1][:left]
        left -= len(answering)
        if answering:
            left = min(left, self._prefill)
        shares = [(run, 1) for run in answering]
        for run in runs:
            waiting = len(run.ids) - run.filled
            if waiting > 1 and left:
                count = min(waiting, left)
                shares.append((run, count))
                left -= count
        return shares

    def _step(self, runs: list[InFlight]) -> None:
        feed = Feed([], [], [], [])
        rows: list[tuple[InFlight, int]] = []
        shares = self._share(runs)
        for run, count in shares:
            end = run.filled + count
            self._provide(run, end)
            for position in range(max(run.filled, run.first_wanted - 1), end):
                feed.wanted.append(len(feed.ids) + position - run.filled)
                rows.append((run, position + 1))
            feed.ids += run.ids[run.filled : end]
            feed.positions += range(run.filled, end)
            feed.tables += [address(run.table)] * count
        states, logits = self._model.step(feed)
        for run, count in shares:
            run.filled += count
        masks = {at: run.masks.at(run.ids, position) for at, (run, position) in enumerate(rows) if run.masks}
        draws, positions = [run.draw for run, _ in rows], [position for _, position in rows]
        picks = self._sampler.pick(logits, draws, positions, masks) if rows else []
        over: set[InFlight] = set()
        for at, (run, position) in enumerate(rows):
            if run not in over:
                likely = self._sampler.likelihoods(logits[at]) if run.logprobs else None
                if run.sink.row(run, Row(position, picks[at], states[at], logits[at], masks.get(at), likely)):
                    over.add(run)
        for run in over:
            self._drop(run)
            run.sink.finish()

    def _provide(self, run: InFlight, end: int) -> None:
        """Pages for positions below `end`."""
        while len(run.pages) * self._model.recipe.page < end:
            page = self._spare.pop() if self._spare else aligned((self._model.page_bytes,), np.uint8)
            run.table[len(run.pages)] = address(page)
            run.pages.append(page)
