"""What an auditor writes down: one document per ticket, one per jury seat, one for how far it has read the chain.

ticket: waiting → judged (nobody is accused) or accusing → closed.    seat: watched → voted → closed.
"""

from typing import Final, TypeVar

import msgspec

from steelyard.market.journal import Document, Journal
from steelyard.protocol.errors import Unavailable
from steelyard.wire.messages import AuditPackage, Message, Signed

TICKET, SEAT, CURSOR = "audit", "seat", "cursor"
WAITING, JUDGED, ACCUSING, CLOSED = "waiting", "judged", "accusing", "closed"
WATCHED, VOTED = "watched", "voted"
CURSOR_KEY: Final = b"rulings"

N = TypeVar("N", bound=Message)


class TicketNote(Message, frozen=True, kw_only=True):
    """A ticket's life. The package holds a buyer's words: it is kept only while an accusation needs it."""

    ticket: Signed
    source: str
    """The gateway's URL."""
    since: float
    """Unix seconds."""
    receipt: str = ""
    """Digest, 0x-hex."""
    package: AuditPackage | None = None
    twin: Signed | None = None
    """A second receipt for the same order, if the provider showed one."""
    verdict: Signed | None = None
    outcome: int = 0
    """`verdicts.Outcome`."""
    check: str = ""
    detail: str = ""
    """What was signed: the check's name, a colon, the numbers; or the reason."""
    case: str = ""
    """Id of our challenge, 0x-hex."""
    told: bool = False
    """The gateway has the verdict."""
    ended: str = ""
    """What became of the accusation, or why the ticket was dropped."""


class SeatNote(Message, frozen=True, kw_only=True):
    """A case that we watch, and our vote once we have one: durable before it is committed."""

    vote: dict[str, str | int] = msgspec.field(default_factory=dict)
    reason: str = ""
    """Why we vote so, for people."""
    ended: str = ""


class CursorNote(Message, frozen=True):
    """How far the events of the court were read."""

    cursor: int


def document(kind: str, key: bytes, state: str, note: Message, expect: str | None = None) -> Document:
    """A note as a journal's document."""
    return Document(kind, key, state, msgspec.json.encode(note), expect)


def read(found: Document, kind: type[N]) -> N:
    """A document's note. Raises Unavailable("journal.body"): the file was written by something else."""
    try:
        return msgspec.json.decode(found.body, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable("journal.body", f"{found.kind} 0x{found.key.hex()}: {error}") from error


def unfinished(journal: Journal, kind: str, *states: str) -> list[Document]:
    """All documents of a kind that are in one of the states, oldest write first."""
    return [found for state in states for found in journal.scan(kind, state)]
