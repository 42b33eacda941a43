"""Pages of keys and values: who holds which, and which are kept for runs that begin with the same ids.

Once full a page never changes, and its bits follow from its ids and all ids before them, so a run that begins with the
same ids reads it instead of computing it again. Only whole pages are kept. They are found by a chain of hashes and
believed by comparing ids: no collision serves another's keys.

Invariants: unclaimed + promised + held = total, where a page that several runs hold counts once and one that nobody
holds (idle) is unclaimed. Whoever holds a page holds its parent; so a page never leaves before its children.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical.program import address, aligned
from steelyard.protocol.hashing import ZERO32, sha256


@dataclass(eq=False, slots=True)
class Page:
    """Memory for one page's keys and values, in all layers."""

    memory: NDArray[np.uint8]
    users: int = 1
    """Leases that hold it."""
    key: bytes = b""
    """Hash of the parent's key and of its own ids; empty while only one run knows it."""
    ids: bytes = b""
    """Its ids, 4 bytes each, little-endian."""
    parent: "Page | None" = None
    """The page before it; None for the first."""


@dataclass(eq=False, slots=True)
class Lease:
    """What one run holds."""

    pages: list[Page] = field(default_factory=list)
    table: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Addresses of the pages' memory, as kernels read them."""
    promised: int = 0
    """Pages that it may still ask for."""
    known: int = 0
    """So many of its first pages can be found by others."""
    shares: bool = True

    @property
    def last(self) -> Page | None:
        """The last one that can be found."""
        return self.pages[self.known - 1] if self.known else None


class Pages:
    """The memory for keys and values of all runs. One thread at a time, but see `provide`.

    Args:
        total: pages that there may be.
        size: bytes of a page.
        positions: of a page.
        caching: whether full pages are kept and found.
        digest: SHA-256 over parts; handed in so that a test can bring about collisions.
    """

    def __init__(
        self, total: int, size: int, positions: int, caching: bool = True, digest: Callable[..., bytes] = sha256
    ) -> None:
        self.total: Final = total
        self.positions: Final = positions
        self.unclaimed = total
        """Pages that a new lease may have."""
        self._size, self._caching, self._digest = size, caching, digest
        self._made = 0
        self._blank: list[NDArray[np.uint8]] = []
        self._known: dict[bytes, Page] = {}
        self._idle: dict[bytes, Page] = {}
        """Known pages that nobody holds, the one to give up first in front."""

    def needed(self, most: int) -> int:
        """Pages for `most` positions."""
        return -(-most // self.positions)

    def take(self, ids: Sequence[int], most: int, reusable: int, shares: bool = True) -> Lease | None:
        """Pages for positions below `most`, None if there is no room now. It begins with kept pages of `ids`, within
        the first `reusable` positions; `shares` False neither finds pages nor lets its own be found."""
        shares = shares and self._caching
        found = self._match(ids, reusable) if shares else []
        promised = self.needed(most) - len(found)
        if promised + sum(page.users == 0 for page in found) > self.unclaimed:
            return None
        for page in found:
            self._hold(page)
        self.unclaimed -= promised
        table = aligned((len(found) + promised,), np.int64)
        table[: len(found)] = [address(page.memory) for page in found]
        return Lease(found, table, promised, len(found), shares)

    def provide(self, lease: Lease, end: int) -> None:
        """Pages for positions below `end`. Only the thread that computes may call this: here memory changes hands, and
        a run that was cancelled within a step may write to its pages until that step ends."""
        while len(lease.pages) * self.positions < end:
            assert lease.promised > 0
            page = Page(self._memory())
            lease.table[len(lease.pages)] = address(page.memory)
            lease.pages.append(page)
            lease.promised -= 1

    def publish(self, lease: Lease, ids: Sequence[int], filled: int) -> None:
        """Keys and values of ids[:filled] are in the pages: full ones can be found from now on. What somebody else was
        quicker to compute is used in the own one's place, which has the same bits."""
        while lease.shares and (lease.known + 1) * self.positions <= filled:
            at = lease.known
            mine, parent = lease.pages[at], lease.last
            raw = self._raw(ids, at)
            key = self._key(parent, raw)
            there = self._known.get(key)
            if there is None:
                mine.key, mine.ids, mine.parent = key, raw, parent
                self._known[key] = mine
            elif there.ids == raw and there.parent is parent:
                self._hold(there)
                lease.pages[at] = there
                lease.table[at] = address(there.memory)
                self._let_go(mine)
            else:  # another page's ids have this key: ours stays unknown, and so do those behind it
                lease.shares = False
                return
            lease.known += 1

    def release(self, lease: Lease) -> None:
        """Gives everything back; children first, so that they are given up before their parents."""
        for page in reversed(lease.pages):
            self._let_go(page)
        self.unclaimed += lease.promised
        lease.pages, lease.promised, lease.shares = [], 0, False

    def extend(self, lease: Lease, ids: Sequence[int], reusable: int) -> int:
        """Puts kept pages of `ids`, within the first `reusable` positions, in the place of promised ones, unless it has
        begun to fill one itself. Returns for how many positions there are known pages."""
        while lease.shares and len(lease.pages) == lease.known and (lease.known + 1) * self.positions <= reusable:
            page = self._find(lease.last, self._raw(ids, lease.known))
            if page is None:
                break
            self._hold(page)
            lease.table[lease.known] = address(page.memory)
            lease.pages.append(page)
            lease.promised -= 1
            self.unclaimed += 1
            lease.known += 1
        return lease.known * self.positions

    def next_key(self, lease: Lease, ids: Sequence[int], reusable: int) -> bytes | None:
        """Key of the page that the run is to compute next; None if it lies beyond `reusable` or is for itself alone."""
        if not lease.shares or (lease.known + 1) * self.positions > reusable:
            return None
        return self._key(lease.last, self._raw(ids, lease.known))

    def _match(self, ids: Sequence[int], reusable: int) -> list[Page]:
        found: list[Page] = []
        while (len(found) + 1) * self.positions <= reusable:
            page = self._find(found[-1] if found else None, self._raw(ids, len(found)))
            if page is None:
                break
            found.append(page)
        return found

    def _find(self, parent: Page | None, raw: bytes) -> Page | None:
        page = self._known.get(self._key(parent, raw))
        return page if page is not None and page.ids == raw and page.parent is parent else None

    def _raw(self, ids: Sequence[int], page: int) -> bytes:
        return np.array(ids[page * self.positions : (page + 1) * self.positions], "<u4").tobytes()

    def _key(self, parent: Page | None, raw: bytes) -> bytes:
        return self._digest(ZERO32 if parent is None else parent.key, raw)

    def _hold(self, page: Page) -> None:
        if page.users == 0:
            del self._idle[page.key]
            self.unclaimed -= 1
        page.users += 1

    def _let_go(self, page: Page) -> None:
        page.users -= 1
        if page.users == 0:
            self.unclaimed += 1
            if page.key:
                self._idle[page.key] = page
            else:
                self._blank.append(page.memory)

    def _memory(self) -> NDArray[np.uint8]:
        """Of a page that was given back, else new, else of the page that nobody has held for longest."""
        if self._blank:
            return self._blank.pop()
        if self._made < self.total:
            self._made += 1
            made: NDArray[np.uint8] = aligned((self._size,), np.uint8)
            return made
        page = self._idle.pop(next(iter(self._idle)))
        del self._known[page.key]
        return page.memory
