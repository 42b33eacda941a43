"""Taking a ticket in: what can be refused before anything is fetched, is."""

from urllib.parse import urlsplit

from steelyard.market.journal import Document
from steelyard.nodes.auditor import notes
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.road import require_url
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import recover
from steelyard.protocol.records import AuditTicket
from steelyard.protocol.units import Address
from steelyard.wire.messages import Signed, TicketNotice, signature_of


def signer_of(ticket: AuditTicket, signed: Signed, desk: Desk) -> Address:
    """Who signed a ticket; only the receipt's order says whether that is the channel's session key."""
    return recover(ticket.digest(desk.domain), signature_of(signed))


def accept(desk: Desk, notice: TicketNotice) -> Document | None:
    """The document to journal for a ticket that is for us, or None if we have it already (sending again is safe).

    Raises Malformed `record.*`; Refused `ticket.auditor`, `ticket.expired`, `ticket.source`, `signature`, `source.url`;
    Unavailable("auditor.busy")."""
    # REFUSE
    ticket = AuditTicket.from_json(notice.ticket.record)
    if ticket.auditor != desk.me:
        raise Refused("ticket.auditor", f"is for {ticket.auditor}, this is {desk.me}")
    now = int(desk.clock())
    if ticket.expiry <= now:
        raise Refused("ticket.expired", f"at {ticket.expiry}, now {now}")
    signer_of(ticket, notice.ticket, desk)
    if notice.source is None:
        raise Refused("ticket.source", "none: say where the gateway serves the package")
    require_url(notice.source)
    # COMPUTE
    key = ticket.digest(desk.domain)
    if desk.journal.get(notes.TICKET, key) is not None:
        return None
    waiting = len(desk.journal.scan(notes.TICKET, notes.WAITING))
    if waiting >= desk.settings.max_waiting:
        raise Unavailable("auditor.busy", f"{waiting} tickets wait, at most {desk.settings.max_waiting}")
    source = urlsplit(notice.source)
    note = notes.TicketNote(
        ticket=notice.ticket,
        source=f"{source.scheme}://{source.netloc}{source.path}",
        since=desk.clock(),
        receipt="0x" + ticket.receipt.hex(),
    )
    return notes.document(notes.TICKET, key, notes.WAITING, note)
