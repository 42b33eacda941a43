"""The document that a buyer keeps: all that `steelyard verify receipt.json` needs, offline."""

from typing import Final

import msgspec

from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Malformed
from steelyard.protocol.keys import checksum
from steelyard.wire.messages import MAX_BODY, Message, Signed
from steelyard.wire.reading import read_json

FORMAT: Final = "steelyard/receipt/1"


class DomainDocument(Message, frozen=True):
    """Where the signatures count."""

    chain_id: int
    escrow: str

    def domain(self) -> Domain:
        """Raises Malformed("address")."""
        return Domain(self.chain_id, checksum(self.escrow))


class ReceiptDocument(Message, frozen=True, kw_only=True):
    """What was wanted (offer, order), what was done (receipt), and the units and salts that open the roots."""

    format: str
    """`FORMAT`."""
    model: str
    """The name under which it was bought; the order names the registration."""
    domain: DomainDocument
    offer: Signed
    """Signed by the provider."""
    order: Signed
    """Signed by the channel's session key."""
    receipt: Signed
    """Signed by the provider."""
    prompt: list[int]
    """All prompt units, a delivered prefix included (rule P6)."""
    prompt_salt: str
    """32 bytes, 0x-hex."""
    answer: list[int]
    """Units from the order's `answer_from` on, so a continued prefix is in here as well."""
    answer_salt: str
    """32 bytes, 0x-hex."""
    grammar: str = ""
    """What the answer keeps to; the order names its salted hash."""
    logprobs: list[list[int]] = msgspec.field(default_factory=list)
    """One row per generated unit, where the order wants them: its own number, then id and number of each of the
    likeliest, numbers as binary32 bits."""
    cancel: Signed | None = None
    """Where a stop string ended the answer: the gateway's cancel (rule P5)."""


def to_json(document: ReceiptDocument) -> bytes:
    """One JSON object, indented for people."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def from_json(raw: bytes) -> ReceiptDocument:
    """Strict. Raises Malformed("receipt.document")."""
    if len(raw) > MAX_BODY:
        raise Malformed("receipt.document", f"{len(raw)} bytes, at most {MAX_BODY}")
    document = read_json(raw, ReceiptDocument, "receipt.document")
    if document.format != FORMAT:
        raise Malformed("receipt.document", f"format {document.format[:40]!r}, known {FORMAT!r}")
    return document
