"""Our receipts in court: defends each of them in its game, takes a jury's wrong conviction to one (rules M7, M8), and
moves on a case that nobody else does, since it holds our bond.

Every round asks the chain where a case stands; a move follows from that and from our own run alone, so a kill at any
instant, or a reorganisation, costs nothing. What we signed is in the journal.
"""

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from steelyard.market.cases import Case, Cases, Stage
from steelyard.market.games import Games
from steelyard.market.journal import Document
from steelyard.nodes.provider.node import Provider
from steelyard.nodes.provider.overdue import Due, due
from steelyard.nodes.provider.settings import CASE_PATIENCE
from steelyard.protocol import games as game
from steelyard.protocol import roots
from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.games import Side, View
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.moves import Appeal, Forfeit, Move, Shown
from steelyard.protocol.records import Cancel, Level, Order, Receipt
from steelyard.verification.defender import Ended, defender_move
from steelyard.verification.transcript import Transcript
from steelyard.wire.messages import OrderRequest
from steelyard.work import generate
from steelyard.work.disputes import Runs

log = logging.getLogger("steelyard.provider")

WATCHED, CLOSED = "watched", "closed"
CURSOR: Final = b"rulings"
DONE: Final = {Due.SEAT: "seated its jury", Due.SETTLE: "settled"}
OVERTAKEN: Final = frozenset({"rulings.seed", "rulings.stage", "rulings.too-early", "rulings.too-late"})
"""Refusals of a seat or a settlement that say: somebody was faster, or a moment more. The next round looks again."""
AT_ONCE: Final = 8
"""Games in which a move may be on its way at a time."""


@dataclass(frozen=True, slots=True)
class Sold:
    """An answer that we signed for, as the journal has it."""

    order: Order
    receipt: Receipt
    shown: Shown
    script: Transcript
    prompt: tuple[int, ...]
    generated: tuple[int, ...]
    ended: Ended

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer."""
        return (*self.prompt, *self.generated)


class Defender:
    """A round every `seconds`; moves of several games are sent beside each other. A case that stands still is moved on
    after `patience` seconds of the chain's clock."""

    def __init__(
        self,
        provider: Provider,
        cases: Cases,
        games: Games,
        seconds: float = 1.0,
        patience: float = CASE_PATIENCE,
    ) -> None:
        self.provider, self.cases, self.games, self.seconds = provider, cases, games, seconds
        self.patience = patience
        self._confirmed: dict[bytes, bool] = {}
        """Receipt -> whether our own run gives it: told anew by a restart, since a run never changes."""
        self.runs = Runs(provider.engine)
        self.last_error: str | None = None
        self._computing = threading.Lock()
        """A run is asked by one game at a time, and let go between two moves."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="defender", daemon=True)
        self._movers = ThreadPoolExecutor(AT_ONCE, "game")

    def start(self) -> None:
        """Begins the rounds."""
        self._thread.start()

    def stop(self) -> None:
        """Ends them after the moves that are on their way."""
        self._stopping.set()
        self._movers.shutdown(wait=True)
        self.runs.close()

    def _rounds(self) -> None:
        while not self._stopping.is_set():
            self.round()
            self._stopping.wait(self.seconds)

    def round(self) -> None:
        """One look at the chain and what follows from it. Blocks; failures are logged and tried again."""
        self.last_error = None
        self._try(b"", self._watch)
        watched = [document.key for document in self.provider.journal.scan("game", WATCHED)]
        list(self._movers.map(lambda case: self._try(case, partial(self._advance, case)), watched))

    def _try(self, case: bytes, act: Callable[[], None]) -> None:
        try:
            act()
        except SteelyardError as error:
            self.last_error = f"case 0x{case.hex()}: {error}"
            log.warning("%s", self.last_error)
        except Exception:  # one case stops no other
            self.last_error = f"case 0x{case.hex()}: failed"
            log.exception("%s", self.last_error)

    def _watch(self) -> None:
        """Journals every case against a receipt of ours, with how far we have read. The last blocks are read again: a
        case that ended, or was gone, in blocks that are others now is watched again."""
        journal = self.provider.journal
        read = journal.get("game-cursor", CURSOR)
        cursor = json.loads(read.body)["cursor"] if read else 0
        news, then = self.cases.news(cursor)
        new = []
        for case in news:
            kept = journal.get("game", case)
            found = self.cases.case(case) if kept is None or kept.state != WATCHED else None
            ours = found is not None and found.provider == self.provider.key.address
            if found is not None and ours and not self._over(found):
                new.append(Document("game", case, WATCHED, found.receipt))
        if new or then != cursor:
            journal.write(*new, Document("game-cursor", CURSOR, "", json.dumps({"cursor": then}).encode()))

    # -- one case --------------------------------------------------------------------------------------------------

    def _advance(self, key: bytes) -> None:
        case = self.cases.case(key)
        if case is None:
            return  # the chain went back behind its challenge, or whom we ask has not seen it yet: it may come again
        if case.stage is Stage.RULED:
            self.provider.ledger.collect()
            if self._over(case):
                self.provider.journal.write(Document("game", key, CLOSED, b""))
            return
        if case.stage is Stage.PLAYING and self.cases.convicted(case.receipt):
            move: Move | None = Forfeit(key)  # elsewhere: nobody loses here, and stakes are free again (GAM-34)
        elif case.stage is Stage.PLAYING:
            view = self.games.view(key)
            move = None if view is None else self._move(view, case)
        elif case.condemned:
            move = self._appeal(case, "the jury is wrong")
        else:
            move = self._hurry(case)
        if move is not None and not self._stopping.is_set():
            self.games.play(move)

    def _over(self, case: Case) -> bool:
        """True once no reorganisation is expected to undo the ruling."""
        return case.stage is Stage.RULED and self.cases.ruling_stands(case.id)

    def _move(self, view: View, case: Case) -> Move | None:
        if game.to_move(view) is Side.CHALLENGER:
            late = self.provider.ledger.now() > view.since + view.challenger_clock
            return Forfeit(view.case) if late else None
        sold = self._sold(case.receipt)
        with self._computing:
            hold = self.runs.hold(sold.ids, sold.order.answer_from)
            return defender_move(view, hold, sold.script, sold.ended)

    def _hurry(self, case: Case) -> Move | None:
        """Does what the challenger has left undone; a move if only a game can end the case. Whoever is faster is
        welcome: its refusal of ours is no failure."""
        step, waited = due(case, self.provider.key.address, self.provider.ledger.now(), self.patience), self.patience
        if step is None:
            return None
        if step is Due.APPEAL:
            return self._appeal(case, "no jury can judge it")
        try:
            if step is Due.SEAT:
                self.cases.seat(case.id)
            else:
                self.cases.settle(case.id)
        except Refused as refused:
            if refused.rule in OVERTAKEN:
                return None
            move = self._appeal(case, f"no jury can be seated ({refused.rule})") if step is Due.SEAT else None
            if move is None:
                raise
            return move
        log.warning("case 0x%s: nobody did it for %g s: %s", case.id.hex(), waited, DONE[step])
        return None

    def _appeal(self, case: Case, why: str) -> Move | None:
        """A contract can tell that a receipt is true which our own run confirms; None where it would not, or must not
        be asked: what the game cannot follow, and what a drawn challenger was shown no text of (GAM-3)."""
        sold = self._sold(case.receipt)
        order = sold.order
        drawn = case.opener == self.provider.key.address and order.level != Level.DISPUTABLE
        followed = not generate.not_lowered(grammar=order.grammar != ZERO32, logprobs=order.logprobs)
        if drawn or not followed or not self._confirms(sold, case):
            return None
        log.warning("case 0x%s: %s, appealed", case.id.hex(), why)
        return Appeal(case.id, sold.shown)

    def _confirms(self, sold: Sold, case: Case) -> bool:
        """True if our own run gives the receipt. Runs the model once a receipt."""
        if case.receipt not in self._confirmed:
            run = self.provider.engine.replay(generate.job_of(sold.order, sold.prompt), sold.generated)
            root = roots.evidence_root(run.leaves, sold.script.answer_salt, len(sold.prompt) - sold.order.answer_from)
            same = tuple(run.expected) == tuple(sold.generated)
            self._confirmed[case.receipt] = same and root == sold.receipt.evidence_root
        return self._confirmed[case.receipt]

    def _sold(self, receipt: bytes) -> Sold:
        """Raises Refused("receipt.unknown")."""
        index = self.provider.journal.get("receipt", receipt)
        kept = None if index is None else self.provider.journal.get("order", index.body)
        if kept is None:
            raise Refused("receipt.unknown", f"0x{receipt.hex()} is none that this journal knows")
        return sold_of(self.provider, json.loads(kept.body))


def sold_of(provider: Provider, body: dict[str, Any]) -> Sold:
    """What a committed order's document says."""
    request = msgspec.convert(body["request"], OrderRequest)
    order = Order.from_json(request.order.record)
    prompt, generated = tuple(request.prompt), tuple(body["units"])
    answer = generate.whole_answer(order, prompt, generated)
    salt = read_hex("salt", body["salt"], 32)
    rows = tuple(map(tuple, body["logprobs"]))
    receipt = Receipt.from_json(body["receipt"])
    offer = provider.known[order.offer].offer
    shown = Shown(offer, order, receipt, len(answer), roots.response_top(answer, salt, rows))
    leaves = bytes.fromhex(body["leaves"])
    evidence = tuple(leaves[at : at + 32] for at in range(0, len(leaves), 32))
    script = Transcript(prompt, read_hex("salt", request.salt, 32), answer, salt, order.answer_from, evidence)
    cancel = body["cancel"]
    obeyed = (None, b"")
    if cancel is not None:
        obeyed = Cancel.from_json(cancel["record"]), read_hex("signature", cancel["signature"], 65)  # type: ignore[assignment]
    return Sold(order, receipt, shown, script, prompt, generated, Ended(shown, *obeyed))
