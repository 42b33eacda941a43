"""A ticket's life: fetch, judge, sign, accuse if need be, tell the gateway. Each step is a document before the next.

`advance` may be called again at any instant, after any kill: it reads where the ticket stands and goes on.
"""

import logging
from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from steelyard.nodes.auditor import notes, packages, tickets
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.notes import TicketNote
from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import require_signer
from steelyard.protocol.records import AuditTicket, VerdictRecord
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Outcome, Verdict
from steelyard.verification import checks
from steelyard.verification.claim import Claim
from steelyard.wire.messages import AuditPackage, Done, Signed, TicketNotice, VerdictNotice, sign_record

log = logging.getLogger("steelyard.auditor")


@dataclass(frozen=True, slots=True)
class Found:
    """What an audit found, before it is signed."""

    verdict: Verdict
    package: AuditPackage | None = None
    twin: Signed | None = None


TELL_FOR = 86_400.0  # seconds for which a gateway that is away is tried again


class Dropped(Refused):
    """The ticket is not worth a verdict: who sent it had no right to it."""


def advance(desk: Desk, key: bytes) -> None:
    """Takes the ticket one state on. Raises Unavailable if that has to be tried again."""
    found = desk.journal.get(notes.TICKET, key)
    if found is None or found.state != notes.WAITING:
        return
    note = notes.read(found, TicketNote)
    ticket = AuditTicket.from_json(note.ticket.record)
    try:
        audit = _audit(desk, note, ticket)
    except Dropped as refused:
        log.warning("ticket 0x%s dropped: %s", key.hex(), refused)
        ended = replace(note, ended=str(refused), package=None)
        desk.journal.write(notes.document(notes.TICKET, key, notes.CLOSED, ended, notes.WAITING))
        return
    judged = _signed(desk, note, ticket, audit)
    state = notes.ACCUSING if judged.outcome == Outcome.CHEATED else notes.JUDGED
    desk.journal.write(notes.document(notes.TICKET, key, state, judged, notes.WAITING))


def report(desk: Desk, key: bytes) -> None:
    """Tells the gateway a verdict that accuses nobody, and closes the ticket. Raises Unavailable if that has to be
    tried again."""
    found = desk.journal.get(notes.TICKET, key)
    if found is None or found.state != notes.JUDGED:
        return
    note = notes.read(found, TicketNote)
    if desk.clock() <= note.since + TELL_FOR:
        note = tell(desk, note)
    desk.journal.write(notes.document(notes.TICKET, key, notes.CLOSED, note, notes.JUDGED))


def tell(desk: Desk, note: TicketNote) -> TicketNote:
    """Posts the verdict to the gateway, with the case if there is one. A gateway that refuses it knows why; one that
    cannot be reached is tried again (Unavailable)."""
    if note.told or note.verdict is None:
        return note
    notice = VerdictNotice(verdict=note.verdict, detail=note.detail, case=note.case or None)
    try:
        desk.road.post(note.source, "verdicts", notice, Done)
    except Refused as refused:
        log.warning("gateway %s refused a verdict: %s", note.source, refused)
    return replace(note, told=True)


def _audit(desk: Desk, note: TicketNote, ticket: AuditTicket) -> Found:
    notice = TicketNotice(ticket=note.ticket, proof="0x" + desk.key.sign(ticket.digest(desk.domain)).hex())
    package = _fetch(desk, note.source, notice, ticket)
    if package is None:
        return Found(CannotTell("not opened: the gateway served no package until the ticket expired"))
    try:
        read = packages.read(package, desk.domain)
        claim = packages.known(read.claim, desk.ledger)
    except packages.UnknownChannel as refused:
        raise Dropped(refused.rule, refused.detail) from refused
    except Refused as refused:  # Malformed too: the gateway's package is none
        return Found(CannotTell(f"not opened: {refused}"))
    _require_right(desk, note, ticket, claim)
    own = _provider_copy(desk, read.provider_url, notice)
    if own is not None:
        twin, claim = _compare(desk, claim, own)
        if twin is not None:
            verdict = _twice(claim, own)
            return Found(verdict, package, own.receipt if isinstance(verdict, Cheated) else None)
    judgement = desk.bench.judge(claim)
    return Found(judgement.verdict, package if isinstance(judgement.verdict, Cheated) else None)


def _fetch(desk: Desk, source: str, notice: TicketNotice, ticket: AuditTicket) -> AuditPackage | None:
    """None once the ticket has run out."""
    if desk.clock() >= ticket.expiry:
        return None
    try:
        return desk.road.post(source, "audits", notice, AuditPackage)
    except Refused as refused:
        raise Unavailable("audit.package", f"{source} refuses: {refused}") from refused


def _require_right(desk: Desk, note: TicketNote, ticket: AuditTicket, claim: Claim) -> None:
    """The ticket is the buyer's consent only if the session key of the receipt's own channel signed it."""
    if claim.receipt_digest() != ticket.receipt:
        raise Dropped("ticket.receipt", f"of 0x{ticket.receipt.hex()}, served 0x{claim.receipt_digest().hex()}")
    signer = tickets.signer_of(ticket, note.ticket, desk)
    if signer != claim.session_key:
        raise Dropped("ticket.signature", f"by {signer}, the channel's key is {claim.session_key}")


def _provider_copy(desk: Desk, url: str | None, notice: TicketNotice) -> AuditPackage | None:
    """What the provider itself shows for the ticket; None if it shows nothing (silence is no evidence)."""
    if url is None:
        return None
    try:
        return desk.road.post(url, "audits", notice, AuditPackage)
    except SteelyardError as error:
        log.info("no copy from provider %s: %s", url, error)
        return None


def _compare(desk: Desk, claim: Claim, own: AuditPackage) -> tuple[bytes | None, Claim]:
    """The digest of a second receipt, if the provider's copy is one; else the claim with the provider's cancel. A copy
    that is not signed by the provider is nobody's word."""
    try:
        theirs = packages.read(own, desk.domain).claim
        digest = theirs.receipt_digest()
        require_signer(digest, theirs.receipt_signature, claim.offer.provider, "receipt")
        if digest != claim.receipt_digest():
            return (digest if theirs.receipt.order == claim.receipt.order else None), claim
        return None, packages.heard(claim, own.cancel, claim.session_key)
    except (Malformed, Refused) as refused:
        log.info("provider's copy is none: %s", refused)
        return None, claim


def _twice(claim: Claim, own: AuditPackage) -> Verdict:
    theirs = packages.read(own, claim.domain).claim
    ours = (claim.receipt, claim.receipt_signature)
    return checks.two_receipts(claim.domain, claim.offer.provider, ours, (theirs.receipt, theirs.receipt_signature))


def _signed(desk: Desk, note: TicketNote, ticket: AuditTicket, found: Found) -> TicketNote:
    verdict = found.verdict
    check, detail = "", ""
    match verdict:
        case Honest():
            detail = "honest: an own run gives the same units and the same evidence"
        case Cheated():
            check, detail = verdict.check, said(verdict)
        case CannotTell():
            detail = f"cannot tell: {verdict.reason}"
        case _:
            assert_never(verdict)
    record = VerdictRecord(
        version=VerdictRecord.VERSION,
        receipt=ticket.receipt,
        auditor=desk.me,
        outcome=int(verdict.outcome),
        detail=sha256(detail.encode()),
    )
    return replace(
        note,
        verdict=sign_record(record, desk.key.sign(record.digest(desk.domain))),
        outcome=int(verdict.outcome),
        check=check,
        detail=detail,
        package=found.package,
        twin=found.twin,
    )


def said(verdict: Cheated) -> str:
    """A conviction in words: the check's name, a colon, the numbers."""
    where = "" if verdict.position is None else f" (at unit {verdict.position})"
    return f"{verdict.check}: {verdict.detail}{where}"
