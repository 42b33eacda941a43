"""Our own accusations: from a verdict to a ruling. Every step asks the chain where the case stands.

A conviction by two receipts is one transaction; any other goes through a jury.
"""

import logging
from collections.abc import Callable

from msgspec.structs import replace

from steelyard.market.cases import NEVER, Case, Consent, Opening, Stage, Tie
from steelyard.nodes.auditor import audits, notes, packages, sealing
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.notes import TicketNote
from steelyard.nodes.auditor.playing import Playing
from steelyard.protocol import merkle
from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.records import AuditTicket, Receipt
from steelyard.verification.claim import Claim
from steelyard.wire.messages import Inclusion, InclusionQuery, signature_of

log = logging.getLogger("steelyard.auditor")

TELL_ANYWAY = 30.0  # seconds after which the gateway hears a verdict even if no case could be opened yet


def advance(desk: Desk, playing: Playing, key: bytes) -> None:
    """Takes an accusation on: accuses, tells the gateway, follows the case. Raises Unavailable or Refused if that
    has to be tried again."""
    found = desk.journal.get(notes.TICKET, key)
    if found is None or found.state != notes.ACCUSING:
        return
    note = notes.read(found, TicketNote)
    if not note.ended:
        note = _accuse(desk, playing, key, note)
    late = desk.clock() - note.since
    if note.ended or note.case or late > TELL_ANYWAY or desk.cases.convicted(bytes.fromhex(note.receipt[2:])):
        told = audits.tell(desk, note) if late <= audits.TELL_FOR else note
        if told != note:
            note = _keep(desk, key, told)
    if note.ended:
        desk.journal.write(notes.document(notes.TICKET, key, notes.CLOSED, replace(note, package=None)))


def give_up(desk: Desk, key: bytes, why: str) -> None:
    """Ends an accusation that the chain refuses again and again; the verdict is still told."""
    found = desk.journal.get(notes.TICKET, key)
    if found is not None and found.state == notes.ACCUSING:
        note = notes.read(found, TicketNote)
        desk.journal.write(notes.document(notes.TICKET, key, notes.ACCUSING, replace(note, ended=why)))


def _accuse(desk: Desk, playing: Playing, key: bytes, note: TicketNote) -> TicketNote:
    assert note.package is not None  # kept with every verdict `Cheated`
    claim = packages.read(note.package, desk.domain).claim
    if note.twin is not None:
        ended = _convict_twice(desk, note, claim)
        return _keep(desk, key, replace(note, ended=ended)) if ended else note
    proof = playing.proof(claim)
    if proof is not None:
        ended = _convict(desk, note, claim, lambda tie: desk.cases.prove(packages.exhibit_of(claim), proof, tie))
        return _keep(desk, key, replace(note, ended=ended)) if ended else note
    receipt = claim.receipt_digest()
    case = desk.cases.find(receipt)
    if case is None and desk.cases.convicted(receipt) and not desk.cases.conviction_stands(receipt):
        return note  # by another: if that is undone, we challenge
    if case is None:
        ended = _cannot_accuse(desk, note, receipt)
        if ended:
            return _keep(desk, key, replace(note, ended=ended))
        ticket = AuditTicket.from_json(note.ticket.record)
        case = desk.cases.challenge(packages.exhibit_of(claim), Consent(ticket, signature_of(note.ticket)))
    if note.case != (named := "0x" + case.hex()):  # a challenge that a reorganisation undid comes again by another id
        log.info("challenged receipt 0x%s: case %s", receipt.hex(), named)
        note = _keep(desk, key, replace(note, case=named))
    ended = _step(desk, playing, note, claim, case)
    return _keep(desk, key, replace(note, ended=ended)) if ended else note


def _keep(desk: Desk, key: bytes, note: TicketNote) -> TicketNote:
    desk.journal.write(notes.document(notes.TICKET, key, notes.ACCUSING, note))
    return note


def _cannot_accuse(desk: Desk, note: TicketNote, receipt: bytes) -> str:
    """Why there is nothing to win by a challenge, or "". An opener that cannot open would lose its stake."""
    if desk.cases.convicted(receipt):
        return "convicted by another"
    assert note.package is not None
    size = len(sealing.pad(packages.pack(note.package))) + sealing.OVERHEAD
    return f"case.too-large: {size} bytes, at most {sealing.MAX_SEALED}" if size > sealing.MAX_SEALED else ""


def _step(desk: Desk, playing: Playing, note: TicketNote, claim: Claim, case: bytes) -> str:
    """One step of a case; what became of it once it is ruled, else ""."""
    found = desk.cases.case(case)
    if found is None:
        raise Unavailable("case.unknown", f"0x{case.hex()}")
    if found.stage is Stage.RULED:
        desk.ledger.collect()
        if not desk.cases.ruling_stands(case):
            return ""  # a reorganisation may undo it: then we go on
        return "no ruling" if found.outcome is None else f"ruled {found.outcome.name.lower()}"
    tied = bool(found.claim) or _tie(desk, note, claim, case)
    now = desk.ledger.now()
    if found.stage is Stage.PLAYING:
        return ""  # moves are `playing`'s
    if playing.goes_to_a_game(claim, found, now):
        playing.begin(claim, found)
    elif found.stage is Stage.CHALLENGED and NEVER < found.open_until < now:
        desk.cases.settle(case)  # nobody seated it in time: it lapses
    elif found.stage is Stage.CHALLENGED:
        _seat(desk, case)
    elif found.stage is Stage.SEATED:
        if now > found.open_until:
            desk.cases.settle(case)
        elif found.seats:
            _open(desk, note, found)
    elif _spoken(found, now) and now > found.settles_at and (tied or _waited(desk, note)):
        desk.cases.settle(case)
    return ""


def _spoken(case: Case, now: int) -> bool:
    return case.revealed == len(case.seats) or now > case.reveal_until


def _waited(desk: Desk, note: TicketNote) -> bool:
    """True once the provider had its time to claim: without a claim nothing was paid, and nothing is repaid."""
    return desk.clock() > note.since + desk.settings.tie_patience


def _seat(desk: Desk, case: bytes) -> None:
    try:
        desk.cases.seat(case)
    except Refused as refused:
        if refused.rule not in ("rulings.seed", "rulings.stage"):  # its block is not there yet, or somebody was faster
            raise


def _open(desk: Desk, note: TicketNote, case: Case) -> None:
    assert note.package is not None
    keys = [desk.cases.encryption_key(juror) for juror in case.seats]
    sealed = sealing.seal(packages.pack(note.package), keys)
    desk.cases.open_case(case.id, Opening(sealed.ciphertext, sealed.wrapped))


def _tie(desk: Desk, note: TicketNote, claim: Claim, case: bytes) -> bool:
    """True if the case is now tied to a claim. Not being able to is no reason to stop."""
    try:
        tie = find_tie(desk, note.source, claim)
        if tie is not None:
            desk.cases.tie(case, tie)
    except SteelyardError as error:
        log.info("case 0x%s not tied: %s", case.hex(), error)
        return False
    return tie is not None


def find_tie(desk: Desk, source: str, claim: Claim) -> Tie | None:
    """Where the receipt stands under a claim of its provider, by the gateway's path; None while no claim covers it."""
    receipt, order = claim.receipt_digest(), claim.order
    mine = [c for c in desk.ledger.claims(claim.offer.provider) if (c.channel, c.offer) == (order.channel, order.offer)]
    if not mine:
        return None
    newest = max(c.count for c in mine)
    index = _inclusion(desk, source, receipt, newest).index
    for under in mine:
        if under.first <= index < under.count:
            shown = _inclusion(desk, source, receipt, under.count)
            path = tuple(read_hex("path", sibling, 32) for sibling in shown.path)
            leaf = merkle.leaf_hash(receipt)
            if not merkle.verify(under.receipts_root, under.count, shown.index, leaf, path):
                raise Unavailable("case.path", f"{source} shows no path to claim {under.id}")
            return Tie(under.id, shown.index, path)
    return None


def _inclusion(desk: Desk, source: str, receipt: bytes, count: int) -> Inclusion:
    query = InclusionQuery(receipt="0x" + receipt.hex(), count=count)
    return desk.road.post(source, "inclusions", query, Inclusion)


def _convict(desk: Desk, note: TicketNote, claim: Claim, prove: Callable[[Tie | None], None]) -> str:
    """What became of it, or "" while the provider's claim is waited for (it repays the buyer), and until the conviction
    stands."""
    receipt = claim.receipt_digest()
    if desk.cases.convicted(receipt):
        desk.ledger.collect()
        return "convicted" if desk.cases.conviction_stands(receipt) else ""
    tie = None
    try:
        tie = find_tie(desk, note.source, claim)
    except SteelyardError as error:
        log.info("receipt 0x%s not tied: %s", receipt.hex(), error)
    if tie is not None or _waited(desk, note):
        prove(tie)
        desk.ledger.collect()
    return ""


def _convict_twice(desk: Desk, note: TicketNote, claim: Claim) -> str:
    assert note.twin is not None
    twin, signature = Receipt.from_json(note.twin.record), signature_of(note.twin)
    assert twin.order != ZERO32
    exhibit = packages.exhibit_of(claim)
    return _convict(desk, note, claim, lambda tie: desk.cases.convict_twice(exhibit, twin, signature, tie))
