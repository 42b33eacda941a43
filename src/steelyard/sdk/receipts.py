"""A receipt checked offline: `steelyard verify` and programs that buy."""

from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.records import Cancel, Offer, Order, Receipt
from steelyard.verification.receipts import Document, Finding, check_document
from steelyard.wire.messages import signature_of
from steelyard.wire.receipts import ReceiptDocument, from_json


def opened(told: ReceiptDocument) -> Document:
    """A receipt document's records, units and salts. Raises Malformed with what is wrong and where."""
    cancel = told.cancel
    return Document(
        domain=told.domain.domain(),
        offer=Offer.from_json(told.offer.record),
        offer_signature=signature_of(told.offer),
        order=Order.from_json(told.order.record),
        order_signature=signature_of(told.order),
        receipt=Receipt.from_json(told.receipt.record),
        receipt_signature=signature_of(told.receipt),
        prompt=tuple(told.prompt),
        prompt_salt=read_hex("prompt_salt", told.prompt_salt, 32),
        answer=tuple(told.answer),
        answer_salt=read_hex("answer_salt", told.answer_salt, 32),
        grammar=told.grammar.encode(),
        logprobs=tuple(map(tuple, told.logprobs)),
        cancel=None if cancel is None else Cancel.from_json(cancel.record),
        cancel_signature=None if cancel is None else signature_of(cancel),
    )


def read(raw: bytes) -> Document:
    """The same from a file's bytes."""
    return opened(from_json(raw))


def verify(receipt: ReceiptDocument) -> list[Finding]:
    """Every check that needs neither chain nor model, in a fixed order. Raises Malformed."""
    return check_document(opened(receipt))


def check(raw: bytes) -> list[Finding]:
    """`verify` over a file's bytes."""
    return check_document(read(raw))
