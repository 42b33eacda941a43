"""Sitting on juries: see ourselves seated, decrypt, replay, journal the vote, commit, reveal, settle if nobody does.

The vote is a document before its commitment leaves, so a juror that was killed reveals what it committed to.
"""

import logging
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from steelyard.market.cases import Case, Stage
from steelyard.nodes.auditor import notes, packages, sealing
from steelyard.nodes.auditor.audits import said
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.notes import CursorNote, SeatNote
from steelyard.protocol import roots
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.records import Vote
from steelyard.protocol.units import Timestamp
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Outcome
from steelyard.verification.claim import Claim
from steelyard.verification.judge import Judgement
from steelyard.wire.messages import CancelQuery, Signed

log = logging.getLogger("steelyard.auditor")

ON_CHAIN = 1 << 160  # a "channel" below that is the address of a contract's buyer, whose orders have no signature


@dataclass
class Jury:
    """The seats of one auditor."""

    desk: Desk
    _finished: dict[bytes, float] = field(default_factory=dict)
    """Case -> when we first saw that all its jurors had spoken."""

    def watch(self) -> None:
        """Journals every case that had an event, with how far we have read."""
        journal = self.desk.journal
        kept = journal.get(notes.CURSOR, notes.CURSOR_KEY)
        cursor = notes.read(kept, CursorNote).cursor if kept else 0
        cases, then = self.desk.cases.news(cursor)
        new = [case for case in cases if journal.get(notes.SEAT, case) is None]
        if new or then != cursor:
            journal.write(
                *(notes.document(notes.SEAT, case, notes.WATCHED, SeatNote()) for case in new),
                notes.document(notes.CURSOR, notes.CURSOR_KEY, "", CursorNote(cursor=then)),
            )

    def advance(self, key: bytes) -> None:
        """Does what is ours to do now in a case. Raises Unavailable or Refused if that has to be tried again."""
        found = self.desk.journal.get(notes.SEAT, key)
        if found is None or found.state == notes.CLOSED:
            return
        note = notes.read(found, SeatNote)
        case = self.desk.cases.case(key)
        if case is None:
            raise Unavailable("case.unknown", f"0x{key.hex()}")
        if case.stage is Stage.CHALLENGED:
            return
        if self.desk.me not in case.seats:
            self._close(key, note, "not seated")
        elif case.stage is Stage.PLAYING:
            self._close(key, note, "played as a game")
        elif case.stage is Stage.RULED:
            self.desk.ledger.collect()
            if self.desk.cases.ruling_stands(key):
                self._close(key, note, "no ruling" if case.outcome is None else f"ruled {case.outcome.name.lower()}")
        elif case.stage is Stage.OPENED:
            self._sit(case, note, self.desk.ledger.now())
        elif self.desk.ledger.now() > case.open_until + self.desk.settings.settle_patience:
            self.desk.cases.settle(key)

    def _close(self, key: bytes, note: SeatNote, why: str) -> None:
        self._finished.pop(key, None)
        self.desk.journal.write(notes.document(notes.SEAT, key, notes.CLOSED, replace(note, ended=why)))

    def _sit(self, case: Case, note: SeatNote, now: Timestamp) -> None:
        cases = self.desk.cases
        if not case.own_commitment:
            if now <= case.commit_until:
                vote = self._vote(case, note)
                cases.commit(case.id, vote.struct_hash())
            elif now > max(case.reveal_until, case.settles_at) + self.desk.settings.settle_patience:
                cases.settle(case.id)
            return
        if case.own_vote is None and now <= case.reveal_until:
            if note.vote and (case.committed == len(case.seats) or now > case.commit_until):
                cases.reveal(Vote.from_json(note.vote))
            return
        done = case.revealed == len(case.seats)
        since = self._finished.setdefault(case.id, self.desk.clock()) if done else float("inf")
        late = now > max(case.reveal_until, case.settles_at) + self.desk.settings.settle_patience
        if late or (self.desk.clock() >= since + self.desk.settings.settle_patience and now > case.settles_at):
            cases.settle(case.id)

    # -- the vote --------------------------------------------------------------------------------------------------

    def _vote(self, case: Case, note: SeatNote) -> Vote:
        """The journalled vote; made and journalled if there is none."""
        if note.vote:
            return Vote.from_json(note.vote)
        judgement, reason = self._judge(case)
        vote = Vote(
            version=Vote.VERSION,
            case=case.id,
            juror=self.desk.me,
            outcome=int(judgement.outcome),
            evidence_root=judgement.evidence_root,
            run_digest=roots.run_digest(case.id, judgement.states) if judgement.states else ZERO32,
            salt=self.desk.vote_salt(case.id),
        )
        kept = SeatNote(vote=vote.to_json(), reason=reason)  # type: ignore[arg-type]  # values are str | int
        self.desk.journal.write(notes.document(notes.SEAT, case.id, notes.VOTED, kept))
        log.info("case 0x%s: %s, %s", case.id.hex(), judgement.outcome.name, reason)
        return vote

    def _judge(self, case: Case) -> tuple[Judgement, str]:
        desk = self.desk
        if desk.cases.encryption_key(desk.me) != sealing.public_key(desk.key.secret):
            return _cannot_tell("the registered encryption key is not this key file's")
        opening = desk.cases.opening(case.id)
        if opening is None:
            raise Unavailable("case.opening", f"0x{case.id.hex()}: its event is not there")
        try:
            wrapped = opening.wrapped[case.seats.index(desk.me)]
            body = sealing.unseal(opening.ciphertext, wrapped, desk.key.secret)
            claim = packages.read(packages.unpack(body), desk.domain).claim
        except Refused as refused:
            return _not_opened(str(refused))
        if claim.receipt_digest() != case.receipt:
            return _not_opened(f"receipt 0x{claim.receipt_digest().hex()}, challenged 0x{case.receipt.hex()}")
        try:
            claim = packages.known(claim, desk.ledger)
        except packages.UnknownChannel as refused:
            on_chain = int.from_bytes(claim.order.channel, "big") < ON_CHAIN
            return _cannot_tell("an order placed on chain") if on_chain else _not_opened(str(refused))
        except Refused as refused:
            return _cannot_tell(str(refused))
        judgement = desk.bench.judge(claim, seated=True)
        if judgement.unheard:
            judgement = desk.bench.judge(self._heard(claim), seated=True)
        return judgement, _words(judgement)

    def _heard(self, claim: Claim) -> Claim:
        """The claim with the provider's own answer to which cancel it obeyed; unchanged if it does not answer."""
        desk = self.desk
        url = dict(desk.ledger.providers()).get(claim.offer.provider)
        if url is None:
            return claim
        query = CancelQuery(order="0x" + claim.order.digest(desk.domain).hex())
        try:
            cancel = desk.road.post_maybe(url, "cancel_of", query, Signed)
            return packages.heard(claim, cancel, claim.session_key)
        except SteelyardError as error:
            log.info("provider %s was not heard: %s", url, error)
            return claim


def _words(judgement: Judgement) -> str:
    verdict = judgement.verdict
    match verdict:
        case Honest():
            return "honest"
        case Cheated():
            return said(verdict)
        case CannotTell(reason):
            return reason
        case _:
            assert_never(verdict)


def _cannot_tell(reason: str) -> tuple[Judgement, str]:
    return Judgement(CannotTell(reason), opened=True), reason


def _not_opened(reason: str) -> tuple[Judgement, str]:
    judgement = Judgement(CannotTell(f"not opened: {reason}"), opened=False)
    assert judgement.outcome is Outcome.NOT_OPENED
    return judgement, reason
