"""Our challenges as dispute games: begins them, moves, and sees them to their end (spec/games.md).

A move follows from what the chain shows and from our own run alone, so a kill or a reorganisation costs nothing. Games
are played beside each other; what a case needs besides (its tie to a claim) is `court`'s.
"""

import logging
import threading
from dataclasses import dataclass, field
from typing import Final

from steelyard.market.cases import NEVER, Case, Stage
from steelyard.nodes.auditor import notes, packages
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.notes import TicketNote
from steelyard.protocol import games as game
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.games import Side, View
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.moves import Begin, BeginEarly, Forfeit, Move, Step, Weigh
from steelyard.protocol.proofs import Proof
from steelyard.protocol.records import Level
from steelyard.verification import checks
from steelyard.verification.challenger import challenger_move, first_move
from steelyard.verification.claim import Claim
from steelyard.verification.holding import Hold
from steelyard.verification.proofs import proof_of
from steelyard.verification.transcript import Transcript
from steelyard.work import generate

log = logging.getLogger("steelyard.auditor")

MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Position:
    """What our own run says of a receipt."""

    begin: Begin | BeginEarly | None
    """How the game is opened; None: our run gives no reason to."""
    script: Transcript
    hold: Hold


@dataclass
class Playing:
    """Games in which we are the challenger."""

    desk: Desk
    _kept: dict[bytes, Position] = field(default_factory=dict)
    """By case."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while a move is computed: a run is asked by one game at a time, and let go between two moves."""

    def proof(self, claim: Claim) -> Proof | None:
        """Of a lie that records prove. Raises Unavailable("bench.model"), and what the ledger raises."""
        known = packages.known(claim, self.desk.ledger)
        return proof_of(known, self.desk.bench.card(known), lambda positions: self.desk.bench.hold(known)(positions))

    def goes_to_a_game(self, claim: Claim, case: Case, now: int) -> bool:
        """True if a contract should rule and no jury: at level `disputable` from the start; at level `audited` once a
        jury has failed to convict, if the game can follow the order. False once it is too late, and where our run gives
        no reason for one."""
        order = claim.order
        if NEVER < (case.settles_at if case.stage is Stage.OPENED else case.open_until) < now:
            return False
        if order.level == Level.DISPUTABLE:
            playable = case.stage in (Stage.CHALLENGED, Stage.SEATED, Stage.OPENED)
            return playable and self._position(claim, case).begin is not None
        beyond = generate.not_lowered(grammar=order.grammar != ZERO32, logprobs=order.logprobs)
        if case.stage is not Stage.OPENED or beyond:
            return False
        spoken = case.revealed == len(case.seats) or now > case.reveal_until
        if not spoken or case.condemned:
            return False
        shows = self.desk.bench.holds(packages.known(claim, self.desk.ledger).model_root)
        return shows and self._position(claim, case).begin is not None

    def begin(self, claim: Claim, case: Case) -> None:
        """Takes the case to a game. Raises Unavailable("case.game") if our run gives no reason to."""
        move = self._position(claim, case).begin
        if move is None:
            raise Unavailable("case.game", f"0x{case.id.hex()}: our own run gives no reason for a game")
        self.desk.games.play(move)
        log.info("case 0x%s is a game now", case.id.hex())

    def advance(self, key: bytes) -> None:
        """Makes our move in the game of an accusation, if it is ours to move. Raises Unavailable or Refused if that has
        to be tried again."""
        found = self.desk.journal.get(notes.TICKET, key)
        note = None if found is None or found.state != notes.ACCUSING else notes.read(found, TicketNote)
        if note is None or not note.case or note.ended or note.package is None:
            return
        case = self.desk.cases.case(bytes.fromhex(note.case[2:]))
        if case is None or case.stage is not Stage.PLAYING:
            return
        view = self.desk.games.view(case.id)
        if view is None:
            raise Unavailable("chain.behind", f"case {note.case} is played, and its game is not there yet")
        move = self._move(view, packages.read(note.package, self.desk.domain).claim, case)
        if move is None or (isinstance(move, Step | Weigh | Forfeit) and not self._tied(note, case)):
            return
        self.desk.games.play(move)

    def _move(self, view: View, claim: Claim, case: Case) -> Move | None:
        if self.desk.cases.convicted(case.receipt):
            return Forfeit(view.case)  # in another game: our stake is released (GAM-34)
        if game.to_move(view) is Side.DEFENDER:
            late = self.desk.ledger.now() > view.since + view.defender_clock
            return Forfeit(view.case) if late else None
        with self._lock:
            position = self._position(claim, case)
            return challenger_move(view, position.hold, position.script, position.begin)

    def _tied(self, note: TicketNote, case: Case) -> bool:
        """A conviction repays the buyer only if the receipt is tied to a claim: that is waited for, a while."""
        return bool(case.claim) or self.desk.clock() > note.since + self.desk.settings.tie_patience

    def _position(self, claim: Claim, case: Case) -> Position:
        with self._lock:
            if case.id not in self._kept:
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[case.id] = self._read(packages.known(claim, self.desk.ledger), case)
            return self._kept[case.id]

    def _read(self, claim: Claim, case: Case) -> Position:
        card, hold = self.desk.bench.card(claim), self.desk.bench.hold(claim)
        if checks.model_root(claim) or checks.known_units(claim, card) or checks.overrun(claim, card.ends):
            return Position(None, Transcript.of(claim, ()), hold)  # signed as it is: no run shows it, a jury sees it
        run = self.desk.bench.replay(claim)
        begin = None  # behind another prefix than the ordered one, a liar's run is true
        if checks.repeats_prefix(claim) is None:
            begin = first_move(case.id, claim, card, run)
        return Position(begin, Transcript.of(claim, run.leaves), hold)
