"""Who is served when, with a toy behind the scheduler whose every output depends on all ids in the run's pages."""

import ctypes
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.base import leaf
from steelyard.engines.canonical import scheduler as schedulers
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.pages import Pages
from steelyard.engines.canonical.program import Floats
from steelyard.engines.canonical.scheduler import Scheduler, shares
from steelyard.engines.canonical.sequence import Generating, InFlight
from steelyard.engines.draws import Draw, Likelihoods
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import sha256

POSITIONS, VOCABULARY, PREFILL = 4, 5, 3
DRAW = Draw(0, 0x3F800000, 0, 0)


def toy(ids: Sequence[int]) -> tuple[bytes, list[float]]:
    """State and logits behind these ids."""
    digest = sha256(struct.pack(f"<{len(ids)}I", *ids))
    return struct.pack("<f", digest[0]), [float(byte) for byte in digest[1 : 1 + VOCABULARY]]


def expected(prompt: Sequence[int], most: int) -> list[tuple[int, bytes]]:
    """The answer of a run that is alone and keeps nothing."""
    ids, found = list(prompt), []
    for _ in range(most):
        state, logits = toy(ids)
        pick = int(np.argmax(logits))
        found.append((pick, leaf(state, logits[pick])))
        ids.append(pick)
    return found


class Toy:
    """A model whose keys are the ids themselves, in the pages. The first step waits for `begin`."""

    def __init__(self, tokens: int = 16) -> None:
        self.tokens = tokens
        self.begin, self.closed = threading.Event(), False
        self.served: list[dict[int, int]] = []
        """For each step, table -> tokens."""
        self.meanwhile: Callable[[int], None] = lambda step: None

    def step(self, feed: Feed) -> tuple[Floats, Floats]:
        assert self.begin.wait(60)
        assert 0 < len(feed.ids) <= self.tokens
        self.meanwhile(len(self.served))
        rows = []
        for unit, position, table in zip(feed.ids, feed.positions, feed.tables, strict=True):
            pages = (ctypes.c_int64 * (position // POSITIONS + 1)).from_address(table)
            at = [pages[p // POSITIONS] + p % POSITIONS * 4 for p in range(position + 1)]
            ctypes.c_uint32.from_address(at[-1]).value = unit
            rows.append(toy([ctypes.c_uint32.from_address(place).value for place in at]))
        self.served.append({table: feed.tables.count(table) for table in feed.tables})
        states = [np.frombuffer(rows[row][0], np.float32) for row in feed.wanted]
        return np.array(states, np.float32), np.array([rows[row][1] for row in feed.wanted], np.float32)

    def pick(
        self, logits: Floats, draws: Sequence[Draw], positions: Sequence[int], masks: Mapping[int, bytes]
    ) -> list[int]:
        assert len(logits) == len(draws) == len(positions)
        assert not masks
        return [int(row) for row in np.argmax(logits, axis=1)]

    def likelihoods(self, logits: Floats) -> Likelihoods:
        raise NotImplementedError  # no run of these tests wants logprobs

    def close(self) -> None:
        self.closed = True


@dataclass
class Desk:
    """A scheduler over the toy."""

    total: int
    caching: bool = True
    model: Toy = field(default_factory=Toy)

    def __post_init__(self) -> None:
        self.pages = Pages(self.total, POSITIONS * 4, POSITIONS, self.caching)
        self.scheduler = Scheduler(self.model, self.model, self.pages, PREFILL)

    def ask(self, prompt: Sequence[int], most: int = 1) -> InFlight:
        sink = Generating(tuple(prompt), most, frozenset())
        run = InFlight(list(prompt), len(prompt), DRAW, len(prompt) + most, sink)
        self.scheduler.add(run)
        return run

    def end(self) -> None:
        self.model.begin.set()
        self.scheduler.close()
        assert self.model.closed
        assert self.pages.unclaimed == self.total


def answer(run: InFlight) -> list[tuple[int, bytes]]:
    """Waits for the run's end. Raises what ended it."""
    assert isinstance(run.sink, Generating)
    found = []
    while (step := run.sink.steps.get(timeout=60)) is not None:
        if isinstance(step, SteelyardError):
            raise step
        found.append((step.id, step.leaf))
    return found


prompts = st.tuples(
    st.sampled_from([[], [1, 2, 3, 4], [1, 2, 3, 4, 0, 0, 0, 0]]), st.lists(st.integers(0, 1), min_size=1, max_size=9)
).map(lambda parts: parts[0] + parts[1])
wishes = st.lists(st.tuples(prompts, st.integers(1, 5), st.none() | st.integers(0, 12)), min_size=1, max_size=9)


@given(wishes, st.integers(6, 14) | st.just(50), st.booleans())
def test_whatever_is_shared_queued_or_cancelled_every_run_gets_its_own_answer(
    wanted: list[tuple[list[int], int, int | None]], total: int, caching: bool
) -> None:
    """And none waits long for its next step, and all pages come back."""
    desk = Desk(total, caching)
    runs = [desk.ask(prompt, most) for prompt, most, _ in wanted]

    def stop(now: int) -> None:
        for run, (_, _, step) in zip(runs, wanted, strict=True):
            if step == now:
                desk.scheduler.cancel(run)

    desk.model.meanwhile = stop
    begun = {run for run in runs if run.lease.table.size}
    desk.model.begin.set()
    for run, (prompt, most, _) in zip(runs, wanted, strict=True):
        found = answer(run)
        assert found == expected(prompt, most)[: len(found)]
        assert run.cancelled or len(found) == most
    desk.end()
    for run in runs:
        place = run.lease.table.ctypes.data
        steps = [index for index, served in enumerate(desk.model.served) if place in served]
        waited = [after - before for before, after in pairwise([0, *steps] if run in begun else steps)]
        bound = -(-len(runs) // PREFILL) * (POSITIONS if caching else 1)  # who waits for a page waits for all of it
        assert not waited or max(waited) <= bound


work = st.lists(st.sampled_from([1, 1, 2, 5, 30]), min_size=1, max_size=20)


@given(work, st.integers(2, 12), st.integers(1, 12))
def test_shares_are_equal_but_for_what_a_prompt_does_not_need(left: list[int], tokens: int, prefill: int) -> None:
    runs = [InFlight([0] * count, 1, DRAW, count, Generating((), 1, frozenset())) for count in left]
    given_out = dict(shares(runs, tokens, prefill))
    answering = sum(count for run, count in given_out.items() if len(run.ids) == 1)
    assert answering == min(left.count(1), tokens - 1)
    prompts = {run: count for run, count in given_out.items() if len(run.ids) > 1}
    room = min(prefill, tokens - answering) if answering else tokens
    assert sum(prompts.values()) == min(room, sum(count for count in left if count > 1))
    assert len(prompts) == min(room, sum(count > 1 for count in left))
    unfinished = [count for run, count in prompts.items() if count < len(run.ids)]
    assert all(0 < count <= len(run.ids) for run, count in prompts.items())
    assert not unfinished or max(prompts.values()) - min(unfinished) <= 1


def test_a_huge_prompt_holds_no_short_one_up() -> None:
    desk = Desk(100)
    huge, short = desk.ask([1] * 300), desk.ask([2] * 20)
    desk.model.begin.set()
    assert answer(short) == expected([2] * 20, 1)
    assert answer(huge) == expected([1] * 300, 1)
    desk.end()
    given_out = [served.get(short.lease.table.ctypes.data, 0) for served in desk.model.served]
    assert given_out[int(given_out[0] == 0) :][:4] == [8, 8, 4, 0]  # the first step may have begun before it came
    assert len(desk.model.served) == 20  # 320 tokens, 16 in a step: none is wasted


def test_a_large_run_is_overtaken_by_so_many_small_ones_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedulers, "MAX_OVERTAKEN", 2)
    desk = Desk(6)
    first = desk.ask([1] * 8)  # three pages of six
    large = desk.ask([2] * 19)  # five
    small = [desk.ask([3, index]) for index in range(4)]  # one each
    assert [bool(run.lease.pages or run.lease.promised) for run in (first, large, *small)] == [1, 0, 1, 1, 0, 0]
    desk.model.begin.set()
    for run in (first, large, *small):
        answer(run)
    assert large.overtaken == 2
    desk.end()


def test_the_queue_is_bounded_and_says_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedulers, "MAX_WAITING", 2)
    desk = Desk(3)
    runs = [desk.ask([1] * 8) for _ in range(3)]
    told = r"engine\.busy: 1 runs of 64, 2 waiting of 2; needs 3 pages, 0 of 3 free"
    with pytest.raises(Unavailable, match=told):
        desk.ask([1] * 8)
    assert desk.scheduler.measures() == {
        "runs": 1, "waiting": 2, "pages": 3, "pages_unclaimed": 0, "prompt_units": 8, "prompt_units_reused": 0,
    }  # fmt: skip
    desk.scheduler.cancel(runs[1])
    desk.ask([1] * 8)
    desk.end()


def test_a_cancel_frees_pages_at_once_even_within_a_step() -> None:
    desk = Desk(3)
    running, waiting, third = desk.ask([1] * 8), desk.ask([2] * 8), desk.ask([3] * 8)
    desk.scheduler.cancel(waiting)
    assert answer(waiting) == []  # whoever waits for a step of it sees the end
    assert desk.pages.unclaimed == 0
    assert not third.lease.promised
    desk.scheduler.cancel(running)
    assert third.lease.promised == 3
    desk.scheduler.cancel(running)  # nothing
    desk.model.begin.set()
    assert answer(third) == expected([3] * 8, 1)
    assert answer(running) == []
    desk.end()


def test_a_run_that_is_dropped_by_the_garbage_collector_frees_its_pages_whoever_holds_the_lock() -> None:
    desk = Desk(8)
    first, second = desk.ask([1] * 8, 12), desk.ask([2] * 8)
    waiting = desk.ask([3] * 8)
    with desk.scheduler._change:  # as if within `_admit`
        before = (desk.scheduler._runs[:], desk.scheduler._waiting[:])
        desk.scheduler.abandon(first)
        assert (desk.scheduler._runs, desk.scheduler._waiting) == before
    desk.model.begin.set()
    assert answer(waiting) == expected([3] * 8, 1)
    assert answer(second) == expected([2] * 8, 1)
    assert len(answer(first)) < 12
    desk.end()


def test_who_was_there_first_lends_its_keys_to_who_comes_later() -> None:
    desk = Desk(20)
    desk.model.begin.set()
    prompt = [1, 1, 0, 0, 2, 2, 2, 0, 3]
    for length, reused in ((9, 0), (9, 8), (8, 12), (5, 16)):  # whole pages before the last prompt unit
        assert answer(desk.ask(prompt[:length], 2)) == expected(prompt[:length], 2)
        assert desk.scheduler.measures()["prompt_units_reused"] == reused
    desk.end()


@pytest.mark.parametrize("tokens", [3, 16])
def test_a_prompt_that_is_asked_for_several_times_at_once_is_computed_once(tokens: int) -> None:
    desk = Desk(50, model=Toy(tokens))
    prompt = [1, 2, 0, 1] * 6 + [3]
    runs = [desk.ask(prompt, 3) for _ in range(5)]
    desk.model.begin.set()
    for run in runs:
        assert answer(run) == expected(prompt, 3)
    desk.end()
    assert desk.scheduler.measures()["prompt_units_reused"] == 4 * 24
    assert sum(count for served in desk.model.served for count in served.values()) == 24 + 5 * 3


def test_who_computes_for_others_may_leave() -> None:
    desk = Desk(50)
    prompt = [1, 2, 0, 1] * 6 + [3]
    first, *others = [desk.ask(prompt, 3) for _ in range(4)]
    desk.model.tokens = 3
    desk.model.meanwhile = lambda now: desk.scheduler.cancel(first) if now == 1 else None
    desk.model.begin.set()
    for run in others:
        assert answer(run) == expected(prompt, 3)
    desk.end()


def test_closing_ends_those_that_wait_too() -> None:
    desk = Desk(3)
    runs = [desk.ask([1] * 8) for _ in range(3)]
    desk.end()
    for run in runs:
        with pytest.raises(Unavailable, match=r"engine\.closed"):
            answer(run)
    with pytest.raises(Unavailable, match=r"engine\.closed"):
        desk.ask([1])


def test_a_model_that_fails_ends_every_run() -> None:
    desk = Desk(3)
    runs = [desk.ask([1] * 8) for _ in range(2)]

    def fail(_: int) -> None:
        raise Refused("engine.flush-to-zero", "as if")

    desk.model.meanwhile = fail
    desk.model.begin.set()
    for run in runs:
        with pytest.raises(Unavailable, match=r"engine\.flush-to-zero"):
            answer(run)
    desk.end()
