"""Continuous batching: one thread advances every run a step together.

A step takes one token of each run that generates, then prompt tokens of the others in equal shares, up to the model's
room; whoever was served longest ago comes first. So prompts never starve answers, nor a long prompt a short one: of R
runs each advances within ⌈R / m⌉ steps, m being the most prompt tokens beside answers, unless another one is computing
what it will find. What shares a step with what changes no bit (spec/arithmetic.md).

A run for which there is no room waits. Runs are all alike here: the port says nothing of who asks, so how many places
one buyer may take is for the node before the engine (rule M1).
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.pages import Pages
from steelyard.engines.canonical.program import Floats, address
from steelyard.engines.canonical.sequence import InFlight, Row
from steelyard.engines.draws import Draw, Likelihoods
from steelyard.protocol.errors import Refused, Unavailable

MAX_RUNS: Final = 64
MAX_WAITING: Final = 256
MAX_OVERTAKEN: Final = 8
"""So many later runs may begin before one that waits for more room than they need."""
PREFILL_BESIDE_ANSWERS: Final = 32
"""Most prompt tokens in a step that also advances answers."""


class Stepping(Protocol):
    """What a scheduler needs of a model."""

    tokens: int
    """Most tokens in one step, above `MAX_RUNS`, or a step may leave answers out."""

    def step(self, feed: Feed) -> tuple[Floats, Floats]:
        """(states, logits) of the wanted rows."""
        ...

    def close(self) -> None: ...


class Picking(Protocol):
    """Rule P3."""

    def pick(
        self, logits: Floats, draws: Sequence[Draw], positions: Sequence[int], masks: Mapping[int, bytes]
    ) -> list[int]: ...

    def likelihoods(self, logits: Floats) -> Likelihoods: ...


class Scheduler:
    """Owns model and pages; only its own thread computes.

    Args:
        prefill: most prompt tokens in a step that also advances answers.
    """

    def __init__(self, model: Stepping, sampler: Picking, pages: Pages, prefill: int = PREFILL_BESIDE_ANSWERS) -> None:
        self._model, self._sampler, self._pages, self._prefill = model, sampler, pages, prefill
        self._runs: list[InFlight] = []
        """Those that are computed, the one that was served longest ago first."""
        self._waiting: list[InFlight] = []
        """Those that wait for room, in the order in which they came."""
        self._abandoned: deque[InFlight] = deque()
        self._prompted = self._reused = 0
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name="steelyard-scheduler")
        self._thread.start()

    def add(self, run: InFlight) -> None:
        """Begins a run, or lets it wait for room. Raises Unavailable: `engine.busy`, `engine.closed`."""
        assert self._pages.needed(run.most) <= self._pages.total
        with self._change:
            if self._closing or not self._thread.is_alive():
                raise Unavailable("engine.closed", "the engine is closed")
            if len(self._waiting) >= MAX_WAITING:
                told = f"{len(self._runs)} runs of {MAX_RUNS}, {len(self._waiting)} waiting of {MAX_WAITING}"
                pages = f"{self._pages.unclaimed} of {self._pages.total} free"
                raise Unavailable("engine.busy", f"{told}; needs {self._pages.needed(run.most)} pages, {pages}")
            self._waiting.append(run)
            self._admit()

    def cancel(self, run: InFlight) -> None:
        """The run ends, and what it holds or waits for is free at once. Nothing if it is over."""
        with self._change:
            if run in self._waiting:
                self._waiting.remove(run)
            elif run in self._runs:
                self._drop(run)
            else:
                return
            run.cancelled = True
            self._admit()
        run.sink.finish()

    def abandon(self, run: InFlight) -> None:
        """As `cancel`, before the next step and without the lock, which a finalizer's own thread may hold."""
        self._abandoned.append(run)

    def close(self) -> None:
        """Ends all runs with Unavailable("engine.closed"), then the threads."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()

    def measures(self) -> Mapping[str, int]:
        """What there is now, and so far the units of prompts of answers: all, and those whose keys another run had."""
        with self._change:
            return {
                "runs": len(self._runs),
                "waiting": len(self._waiting),
                "pages": self._pages.total,
                "pages_unclaimed": self._pages.unclaimed,
                "prompt_units": self._prompted,
                "prompt_units_reused": self._reused,
            }

    def _admit(self) -> None:
        """Who came first begins first, but where there is no room for one, a later one may begin."""
        passed: list[InFlight] = []
        for run in self._waiting[:]:
            if len(self._runs) == MAX_RUNS or any(other.overtaken == MAX_OVERTAKEN for other in passed):
                break
            lease = self._pages.take(run.ids, run.most, run.first_wanted - 1, run.shares)
            if lease is None:
                passed.append(run)
                continue
            run.lease, run.filled = lease, lease.known * self._pages.positions
            self._prompted += len(run.ids) * run.shares
            self._reused += run.filled
            self._waiting.remove(run)
            self._runs.append(run)
            for other in passed:
                other.overtaken += 1
        self._change.notify_all()

    def _drop(self, run: InFlight) -> None:
        self._runs.remove(run)
        self._pages.release(run.lease)

    def _loop(self) -> None:
        error = Unavailable("engine.failed", "the engine's thread ended; see the log of this node")
        try:
            while chosen := self._choose():
                self._step(chosen)
            error = Unavailable("engine.closed", "the engine was closed while this run was in flight")
        except Refused as refusal:  # flush-to-zero: no run may be computed in this process
            error = Unavailable(refusal.rule, refusal.detail)
        finally:
            with self._change:
                self._closing = True
                ended = self._runs + self._waiting
                for run in self._runs[:]:
                    self._drop(run)
                self._waiting.clear()
            for run in ended:
                run.sink.fail(error)
            self._model.close()

    def _choose(self) -> list[tuple[InFlight, int]]:
        """Runs to advance now, with pages for so many tokens of each; waits for some; none when closing."""
        while self._abandoned:
            self.cancel(self._abandoned.popleft())
        with self._change:
            while not self._runs and not self._closing:
                self._change.wait()
            if self._closing:
                return []
            chosen = shares(self._apart(), self._model.tokens, self._prefill)
            assert chosen, "whoever is furthest does not wait"
            served = {run for run, _ in chosen}
            self._runs = [run for run in self._runs if run not in served] + [run for run, _ in chosen]
            for run, count in chosen:
                self._pages.provide(run.lease, run.filled + count)
            return chosen

    def _apart(self) -> list[InFlight]:
        """Runs that need not wait for another one: where several prompts have the same page before them (`n` answers to
        one prompt), the one that is furthest in it computes it, and the others wait to find it."""
        keys: dict[InFlight, bytes | None] = {}
        furthest: dict[bytes | None, InFlight] = {}
        for run in self._runs:
            before, reusable = run.filled, run.first_wanted - 1
            run.filled = max(before, self._pages.extend(run.lease, run.ids, reusable))
            self._reused += run.filled - before
            key = keys[run] = self._pages.next_key(run.lease, run.ids, reusable)
            if key not in furthest or run.filled > furthest[key].filled:
                furthest[key] = run
        return [run for run, key in keys.items() if key is None or furthest[key] is run]

    def _step(self, chosen: list[tuple[InFlight, int]]) -> None:
        feed = Feed([], [], [], [])
        rows: list[tuple[InFlight, int]] = []
        for run, count in chosen:
            end = run.filled + count
            for position in range(max(run.filled, run.first_wanted - 1), end):
                feed.wanted.append(len(feed.ids) + position - run.filled)
                rows.append((run, position + 1))
            feed.ids += run.ids[run.filled : end]
            feed.positions += range(run.filled, end)
            feed.tables += [address(run.lease.table)] * count
        states, logits = self._model.step(feed)
        masks = {at: run.masks.at(run.ids, position) for at, (run, position) in enumerate(rows) if run.masks}
        draws, positions = [run.draw for run, _ in rows], [position for _, position in rows]
        picks = self._sampler.pick(logits, draws, positions, masks) if rows else []
        over: set[InFlight] = set()
        for at, (run, position) in enumerate(rows):
            if run not in over:
                likely = self._sampler.likelihoods(logits[at]) if run.logprobs else None
                if run.sink.row(run, Row(position, picks[at], states[at], logits[at], masks.get(at), likely)):
                    over.add(run)
        self._settle(chosen, over)

    def _settle(self, chosen: list[tuple[InFlight, int]], over: set[InFlight]) -> None:
        """What a step changes in its runs; those that were cancelled meanwhile hold nothing any more."""
        with self._change:
            for run, count in chosen:
                run.filled += count
                self._pages.publish(run.lease, run.ids, run.filled)
            ended = [run for run in over if not run.cancelled]
            for run in ended:
                self._drop(run)
            if ended:
                self._admit()
        for run in ended:
            run.sink.finish()


def shares(runs: Sequence[InFlight], tokens: int, prefill: int) -> list[tuple[InFlight, int]]:
    """How many tokens of each run, longest waiting first, go into a step of at most `tokens`: one of each that answers,
    and of prompts equally many, what one does not need going to the others, at most `prefill` beside answers."""
    answering = [run for run in runs if len(run.ids) - run.filled == 1][: tokens - 1]
    room = tokens - len(answering)
    if answering:
        room = min(room, prefill)
    prompts = [run for run in runs if len(run.ids) - run.filled > 1][:room]
    prompts.sort(key=lambda run: len(run.ids) - run.filled)
    shared = [(run, 1) for run in answering]
    for index, run in enumerate(prompts):  # invariant: room for at least one token of each that is left
        count = min(len(run.ids) - run.filled, room // (len(prompts) - index))
        shared.append((run, count))
        room -= count
    return shared
