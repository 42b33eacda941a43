"""The auditor's three loops: HTTP takes tickets in, one thread audits them, one goes to court and sits on juries.

One bad ticket or case stops nothing: what fails is logged, waits longer each time, and is tried again.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec

from steelyard.nodes.auditor import audits, court, notes, sealing
from steelyard.nodes.auditor.desk import Desk, Tries
from steelyard.nodes.auditor.jury import Jury
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.units import MicroToken

log = logging.getLogger("steelyard.auditor")

P = ParamSpec("P")

MOST_REFUSALS = 12  # of one accusation in a row, before it is given up


@dataclass
class Node:
    """One auditor at work."""

    desk: Desk
    tries: Tries = field(default_factory=Tries)
    wake: threading.Event = field(default_factory=threading.Event)
    """Set when a ticket came in."""
    stopping: threading.Event = field(default_factory=threading.Event)
    in_pool: bool = False
    jury: Jury = field(init=False)

    def __post_init__(self) -> None:
        self.jury = Jury(self.desk)

    # -- loops -----------------------------------------------------------------------------------------------------

    def audit_forever(self) -> None:
        """Thread: audits what waits."""
        while not self.stopping.is_set():
            self.wake.clear()
            self.audit_once()
            self.wake.wait(self.desk.settings.poll)

    def court_forever(self) -> None:
        """Thread: the pool, accusations, seats."""
        while not self.stopping.is_set():
            self.court_once()
            self.stopping.wait(self.desk.settings.poll)

    def audit_once(self) -> None:
        """Takes every waiting ticket that is due one state on."""
        for found in notes.unfinished(self.desk.journal, notes.TICKET, notes.WAITING):
            if self.stopping.is_set():
                return
            self._try(found.key, "ticket", audits.advance, self.desk, found.key)

    def court_once(self) -> None:
        """Joins the pool if need be, reads the chain's news, takes every open matter one step on."""
        if not self.in_pool:
            self._try(b"pool", "pool", self._join)
        self._try(b"news", "news", self.jury.watch)
        journal = self.desk.journal
        for found in notes.unfinished(journal, notes.SEAT, notes.WATCHED, notes.VOTED):
            self._try(found.key, "seat", self.jury.advance, found.key)
        for found in notes.unfinished(journal, notes.TICKET, notes.JUDGED, notes.ACCUSING):
            refused = self._try(found.key, "accusation", court.advance, self.desk, found.key)
            if refused is not None:
                court.give_up(self.desk, found.key, refused)

    def _join(self) -> None:
        join_pool(self.desk)
        self.in_pool = True

    def _try(self, key: bytes, what: str, act: Callable[P, None], *args: P.args, **named: P.kwargs) -> str | None:
        """Acts if it is due. Says why, once it was refused too often in a row."""
        if not self.tries.due(key):
            return None
        try:
            act(*args, **named)
        except SteelyardError as error:
            count = self.tries.failed(key)
            log.warning("%s 0x%s, failure %d: %s", what, key.hex(), count, error)
            return str(error) if isinstance(error, Refused) and count >= MOST_REFUSALS else None
        except Exception:
            count = self.tries.failed(key)
            log.exception("%s 0x%s, failure %d", what, key.hex(), count)
            return None
        self.tries.done(key)
        return None


def join_pool(desk: Desk) -> None:
    """Deposits what the bond lacks and joins the jury pool, if we are not in it. Safe to repeat."""
    joined = desk.cases.joined()
    need = desk.settings.purse + (0 if joined else desk.settings.stake)
    free = desk.ledger.free_bond(desk.me)
    if joined and free < need // 2:
        try:
            desk.ledger.deposit_bond(MicroToken(need - free))
        except Refused as refused:  # a juror with a short purse still sits; it cannot challenge
            log.warning("purse holds %d of %d micro-tokens: %s", free, need, refused)
    elif not joined and free < need:
        desk.ledger.deposit_bond(MicroToken(need - free))
    desk.cases.join(sealing.public_key(desk.key.secret), desk.settings.public_url, desk.settings.stake)
    if not desk.cases.joined():
        raise Unavailable("auditor.pool", "joined, and the registry does not know it")
