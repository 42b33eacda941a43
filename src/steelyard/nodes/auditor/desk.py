"""What every part of the auditor works with."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from steelyard.market.cases import Cases
from steelyard.market.games import Games
from steelyard.market.journal import Journal
from steelyard.market.ledger import Ledger
from steelyard.nodes.auditor.bench import Bench
from steelyard.nodes.auditor.road import Road
from steelyard.nodes.auditor.settings import Settings
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Desk:
    """Ports and keys. Everything is thread-safe, or used by one thread only (`ledger` and `cases` by the court's)."""

    settings: Settings
    domain: Domain
    journal: Journal
    ledger: Ledger
    cases: Cases
    games: Games
    road: Road
    bench: Bench
    clock: Callable[[], float]
    """Unix seconds, for tickets and patience; windows of a case run by the chain's clock."""

    @property
    def key(self) -> Key:
        """The auditor's key."""
        return self.settings.key

    @property
    def me(self) -> Address:
        """The auditor's address."""
        return self.settings.key.address

    def vote_salt(self, case: bytes) -> bytes:
        """Hides a vote until it is revealed: from the key and the case, so that a restart finds it again. 32 bytes."""
        return sha256(b"steelyard/vote", self.key.secret, case)


@dataclass
class Tries:
    """Backs off from what failed, in memory: a restart tries everything again at once."""

    clock: Callable[[], float] = time.monotonic
    first: float = 0.5
    """Seconds after a first failure, doubled after each further one."""
    most: float = 30.0
    _waits: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, key: bytes) -> bool:
        """True if it may be tried now."""
        with self._lock:
            return key not in self._waits or self.clock() >= self._waits[key][1]

    def failed(self, key: bytes) -> int:
        """Notes a failure; says how many there were in a row."""
        with self._lock:
            count = self._waits.get(key, (0, 0.0))[0] + 1
            self._waits[key] = (count, self.clock() + min(self.most, self.first * 2 ** min(count - 1, 16)))
            return count

    def done(self, key: bytes) -> None:
        """Forgets its failures."""
        with self._lock:
            self._waits.pop(key, None)
