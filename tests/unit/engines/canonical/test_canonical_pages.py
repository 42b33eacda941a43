"""Pages of keys and values against a plain account of who holds what, with hashes that collide all the time."""

import struct

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from steelyard.engines.canonical.pages import Lease, Pages

TOTAL, POSITIONS = 6, 2
ids_of = st.lists(st.integers(0, 1), min_size=1, max_size=8) | st.lists(st.just(0), min_size=3, max_size=8)


def code(ids: list[int]) -> int:
    """A number that all of these ids decide, as keys and values are."""
    return int("".join(map(str, [1, *ids])), 2)


class Run:
    """A lease, its ids and for how many of them its pages are filled."""

    def __init__(self, lease: Lease, ids: list[int], filled: int) -> None:
        self.lease, self.ids, self.filled = lease, ids, filled

    def written(self) -> list[int]:
        """What lies in the pages, read by address as a kernel would."""
        raw = b"".join(page.memory.tobytes() for page in self.lease.pages)
        assert [page.memory.ctypes.data for page in self.lease.pages] == list(self.lease.table[: len(self.lease.pages)])
        return list(struct.unpack(f"<{len(raw) // 4}I", raw))[: self.filled]


class PagesMachine(RuleBasedStateMachine):
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Run] = []
        self.pages = Pages(TOTAL, POSITIONS * 4, POSITIONS, digest=lambda *parts: bytes([sum(b"".join(parts)) % 5]))

    @rule(target=runs, ids=ids_of, shares=st.booleans(), extra=st.integers(0, 3))
    def begin(self, ids: list[int], shares: bool, extra: int) -> Run:
        before = self.pages.unclaimed
        lease = self.pages.take(ids, len(ids) + extra, len(ids) - 1, shares)
        if lease is None:
            assert before < self.pages.needed(len(ids) + extra)
            assert self.pages.unclaimed == before
            return Run(Lease(), [], 0)
        run = Run(lease, ids, lease.known * POSITIONS)
        assert run.filled < len(ids)
        assert shares or not run.filled
        self.live.append(run)
        return run

    @rule(run=runs, count=st.integers(1, 8) | st.just(1))
    def compute(self, run: Run, count: int) -> None:
        if run not in self.live:
            return
        end = min(run.filled + count, len(run.ids))
        self.pages.provide(run.lease, end)
        for position in range(run.filled, end):
            page = run.lease.pages[position // POSITIONS]
            assert page.users == 1, "a page that others hold is written"
            assert not page.key, "a page that others can find is written"
            page.memory.view(np.uint32)[position % POSITIONS] = code(run.ids[: position + 1])
        run.filled = end
        self.pages.publish(run.lease, run.ids, end)

    @rule(run=runs)
    def find_more(self, run: Run) -> None:
        before = run.filled
        run.filled = max(before, self.pages.extend(run.lease, run.ids, len(run.ids) - 1))
        assert run.filled == before or len(run.lease.pages) * POSITIONS == run.filled < len(run.ids)

    @rule(run=consumes(runs))
    def end(self, run: Run) -> None:
        if run in self.live:
            self.live.remove(run)
            self.pages.release(run.lease)

    @invariant()
    def every_run_finds_what_it_would_have_computed(self) -> None:
        for run in self.live:
            assert run.written() == [code(run.ids[: end + 1]) for end in range(run.filled)]

    @invariant()
    def pages_are_conserved(self) -> None:
        held = {id(page): page for run in self.live for page in run.lease.pages}
        promised = sum(run.lease.promised for run in self.live)
        assert self.pages.unclaimed + promised + len(held) == TOTAL
        for page in held.values():
            assert page.users == sum(page in run.lease.pages for run in self.live)

    @precondition(lambda self: not self.live)
    @invariant()
    def without_runs_every_page_may_be_had(self) -> None:
        assert self.pages.unclaimed == TOTAL


PagesMachine.TestCase.settings = settings(stateful_step_count=40, deadline=None)
TestPages = PagesMachine.TestCase


def test_the_page_longest_unused_is_given_up_and_children_before_parents() -> None:
    pages = Pages(4, POSITIONS * 4, POSITIONS)

    def run(ids: list[int]) -> int:
        lease = pages.take(ids, len(ids), len(ids) - 1)
        assert lease is not None
        reused = lease.known
        pages.provide(lease, len(ids))
        pages.publish(lease, ids, len(ids))
        pages.release(lease)
        return reused

    assert run([1, 1, 2, 2, 0]) == 0  # keeps 11 and 22
    assert run([3, 3, 0]) == 0  # keeps 33
    assert run([1, 1, 2, 2, 0]) == 2  # uses 11 and 22, so 33 is the one longest unused
    assert run([4, 4, 0]) == 0  # three are kept, one was blank: 33 goes
    assert run([1, 1, 2, 2, 0]) == 2
    assert run([3, 3, 5, 5, 0]) == 0  # 44 goes, then 22, the child
    assert run([1, 1, 2, 2, 0]) == 1


def test_a_page_that_a_run_has_begun_is_its_own_until_it_is_full() -> None:
    pages = Pages(4, POSITIONS * 4, POSITIONS)
    slow, quick = (pages.take([1, 1, 0], 3, 2) for _ in range(2))
    assert slow is not None
    assert quick is not None
    pages.provide(slow, 1)
    pages.provide(quick, 2)
    pages.publish(quick, [1, 1, 0], 2)
    own = slow.table[0]
    assert pages.extend(slow, [1, 1, 0], 2) == 0
    assert slow.table[0] == own
    pages.publish(slow, [1, 1, 0], 2)
    assert slow.table[0] == quick.table[0] != own


def test_equal_ids_behind_other_ids_are_another_page() -> None:
    """Where every hash is the same, a page is told from its child by its parent."""
    pages = Pages(4, POSITIONS * 4, POSITIONS, digest=lambda *_: b"same")
    for _ in range(2):
        lease = pages.take([7, 7, 7, 7, 0], 5, 4)
        assert lease is not None
        pages.provide(lease, 5)
        pages.publish(lease, [7, 7, 7, 7, 0], 5)
        assert lease.known == 1
        assert len(set(lease.table)) == 3
        pages.release(lease)


def test_nothing_is_kept_where_the_cache_is_off() -> None:
    pages = Pages(4, POSITIONS * 4, POSITIONS, caching=False)
    for _ in range(2):
        lease = pages.take([1, 1, 2], 3, 2)
        assert lease is not None
        assert lease.known == 0
        pages.provide(lease, 3)
        pages.publish(lease, [1, 1, 2], 3)
        pages.release(lease)
