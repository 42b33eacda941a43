"""The auditor at work: HTTP takes tickets in, and three loops audit them, accuse, and sit on juries.

One bad ticket or case stops nothing: what fails is logged, waits longer each time, and is tried again.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec

from steelyard.nodes.auditor import audits, court, notes, sealing
from steelyard.nodes.auditor.desk import Desk, Tries
from steelyard.nodes.auditor.jury import Jury
from steelyard.nodes.auditor.playing import Playing
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.units import MicroToken

log = logging.getLogger("steelyard.auditor")

P = ParamSpec("P")

GAMES_AT_ONCE = 8  # in which a move may be on its way at a time
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
    playing: Playing = field(init=False)

    def __post_init__(self) -> None:
        self.jury, self.playing = Jury(self.desk), Playing(self.desk)

    # -- loops -----------------------------------------------------------------------------------------------------

    def loops(self) -> list[threading.Thread]:
        """The threads, not yet started. A gateway that hangs holds up one audit, or the accusations; never a jury."""
        forever = (
            ("audits", self._audit_forever),
            ("accusations", self._accuse_forever),
            ("games", self._play_forever),
            ("jury", self._sit_forever),
        )
        return [threading.Thread(target=loop, name=name, daemon=True) for name, loop in forever]

    def stop(self) -> None:
        """Ends the loops after the step that each is in."""
        self.stopping.set()
        self.wake.set()

    def _audit_forever(self) -> None:
        running: dict[bytes, Future[str | None]] = {}
        with ThreadPoolExecutor(self.desk.settings.parallel, "audit") as pool:
            while not self.stopping.is_set():
                self.wake.clear()
                running = {key: future for key, future in running.items() if not future.done()}
                for key in self._tickets():
                    if key not in running and len(running) < 2 * self.desk.settings.parallel:
                        running[key] = pool.submit(self._try, key, "ticket", self._ticket, key)
                self.wake.wait(self.desk.settings.poll)

    def _accuse_forever(self) -> None:
        while not self.stopping.is_set():
            self.accuse_once()
            self.stopping.wait(self.desk.settings.poll)

    def _play_forever(self) -> None:
        with ThreadPoolExecutor(GAMES_AT_ONCE, "game") as pool:
            while not self.stopping.is_set():
                self.play_once(pool)
                self.stopping.wait(self.desk.settings.poll)

    def _sit_forever(self) -> None:
        while not self.stopping.is_set():
            self.sit_once()
            self.stopping.wait(self.desk.settings.poll)

    # -- one round each --------------------------------------------------------------------------------------------

    def audit_once(self) -> None:
        """Takes every open ticket that is due on."""
        for key in self._tickets():
            self._try(key, "ticket", self._ticket, key)

    def accuse_once(self) -> None:
        """Takes every accusation one step on."""
        for found in notes.unfinished(self.desk.journal, notes.TICKET, notes.ACCUSING):
            refused = self._try(found.key, "accusation", court.advance, self.desk, self.playing, found.key)
            if refused is not None:
                court.give_up(self.desk, found.key, refused)

    def play_once(self, pool: ThreadPoolExecutor) -> None:
        """Makes our move in every game where it is ours to move."""
        found = notes.unfinished(self.desk.journal, notes.TICKET, notes.ACCUSING)
        list(pool.map(lambda key: self._try(b"game" + key, "game", self.playing.advance, key), [f.key for f in found]))

    def sit_once(self) -> None:
        """Joins the pool if need be, reads the chain's news, takes every watched case one step on."""
        if not self.in_pool:
            self._try(b"pool", "pool", self._join)
        self._try(b"news", "news", self.jury.watch)
        for found in notes.unfinished(self.desk.journal, notes.SEAT, notes.WATCHED, notes.VOTED):
            self._try(found.key, "seat", self.jury.advance, found.key)

    def _tickets(self) -> list[bytes]:
        """Open tickets that are due."""
        found = notes.unfinished(self.desk.journal, notes.TICKET, notes.WAITING, notes.JUDGED)
        return [document.key for document in found if self.tries.due(document.key)]

    def _ticket(self, key: bytes) -> None:
        audits.advance(self.desk, key)
        audits.report(self.desk, key)

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
