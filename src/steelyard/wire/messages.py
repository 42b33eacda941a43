"""What nodes say to each other: one msgspec struct per message, JSON on the wire, strict both ways.

Records travel as `Signed`: the record's own JSON (`Record.to_json`) and a signature. Bytes are 0x-hex. Every provider,
gateway and auditor serves the paths in `PATHS`; a request that is not understood is refused by name (`wire.*`).
"""

from typing import Final, TypeVar

import msgspec

from steelyard.protocol.eip712 import Domain, Record, read_hex
from steelyard.protocol.errors import Malformed
from steelyard.protocol.keys import require_signer
from steelyard.protocol.units import Address
from steelyard.wire.reading import read_json

R = TypeVar("R", bound=Record)
M = TypeVar("M", bound="Message")

MAX_BODY: Final = 8 << 20  # = 8,388,608 bytes: a million token ids as JSON numbers
PREFIX: Final = "/steelyard/v1"

PATHS: Final = {
    # provider
    "offers": f"{PREFIX}/offers",  # GET -> Offers
    "orders": f"{PREFIX}/orders",  # POST OrderRequest -> stream of Frame, a JSON object per line
    "cancels": f"{PREFIX}/cancels",  # POST Signed(Cancel) -> {}
    "cancel_of": f"{PREFIX}/cancels/of",  # POST CancelQuery -> Signed(Cancel) | null (rule P5, for jurors)
    "vouchers": f"{PREFIX}/vouchers",  # POST Signed(Voucher) -> {}
    "last_voucher": f"{PREFIX}/vouchers/last",  # POST VoucherQuery -> LastVoucher | null (rule M12)
    # provider and gateway
    "audits": f"{PREFIX}/audits",  # POST TicketNotice -> AuditPackage (the ticket's holder fetches)
    # gateway
    "inclusions": f"{PREFIX}/inclusions",  # POST InclusionQuery -> Inclusion
    "verdicts": f"{PREFIX}/verdicts",  # POST VerdictNotice -> {}
    # auditor
    "tickets": f"{PREFIX}/tickets",  # POST TicketNotice -> {}
}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all messages."""


class Signed(Message, frozen=True):
    """A record and the 65-byte signature over its digest."""

    record: dict[str, str | int]
    signature: str


class Offers(Message, frozen=True):
    """What a provider sells now."""

    provider: str
    chain_id: int
    escrow: str
    offers: list[Signed]
    quantization: dict[str, str] = {}
    """Offer digest -> OpenRouter's word for the weights' precision; a claim, not a promise."""


class OrderRequest(Message, frozen=True):
    """An order with what its roots commit to, and the voucher that rides on it."""

    order: Signed
    prompt: list[int]
    salt: str
    """Of the prompt root, 32 bytes."""
    voucher: Signed | None = None
    """For answers before this one (rule M1)."""
    grammar: str = ""
    """What the order's `grammar` is the salted hash of."""


class Frame(Message, frozen=True):
    """One line of an answer's stream: units, then either a receipt or an error, then the end of the body.

    A body that ends without a receipt or an error is a cut stream: unpaid, and no cheat (rule P5)."""

    units: list[int] = []
    logprobs: list[list[int]] = []
    """One row per unit, where the order wants them (spec/sampler.md, LGP-2)."""
    receipt: Signed | None = None
    salt: str | None = None
    """Beside the receipt: salt of response root and evidence root, 32 bytes."""
    finish: str | None = None
    """Beside the receipt: `stop` (an end id), `length` or `cancel`."""
    error: str | None = None
    """A rule's name."""
    detail: str | None = None
    """Beside the error: the numbers."""


class CancelQuery(Message, frozen=True):
    """Asks a provider which cancel it obeyed for an order. Anybody may ask: a cancel shows a count and no unit."""

    order: str
    """Digest, 0x-hex."""


class VoucherQuery(Message, frozen=True):
    """Asks a provider for the highest voucher that it holds (a gateway lost its disk, rule M12)."""

    channel: str
    offer: str


class LastVoucher(Message, frozen=True):
    """A provider's answer: the voucher (as `Signed` has it), and the receipts under its root, without which a gateway
    that lost its disk could not append to it."""

    record: dict[str, str | int]
    signature: str
    receipts: list[str] = []
    """Digests in order of payment, `count` of them."""


class TicketNotice(Message, frozen=True):
    """A ticket (AuditTicket). To an auditor: `source` says where the gateway serves the package. To a gateway or a
    provider: hands over the package; `proof` is the auditor's own signature over the ticket's digest."""

    ticket: Signed
    source: str | None = None
    proof: str | None = None


class AuditPackage(Message, frozen=True):
    """All that a replay needs. From a provider: without the buyer-only parts (`order.signature` is still there)."""

    offer: Signed
    order: Signed
    receipt: Signed
    prompt: list[int]
    prompt_salt: str
    answer: list[int]
    """Units from `answer_from` on."""
    answer_salt: str
    grammar: str = ""
    logprobs: list[list[int]] = []
    """One row per generated unit, where the order wants them."""
    cancel: Signed | None = None
    provider_url: str | None = None
    """Where the gateway bought it, so that the auditor can ask the provider for its own copy."""


class InclusionQuery(Message, frozen=True):
    """Asks a gateway where a receipt stands under its vouchers' roots."""

    receipt: str
    count: int
    """Count of the voucher under whose root the path is wanted."""


class Inclusion(Message, frozen=True):
    """Path from a receipt to a claimed root."""

    index: int
    path: list[str]


class VerdictNotice(Message, frozen=True):
    """A signed VerdictRecord and its text (`check: numbers`)."""

    verdict: Signed
    detail: str
    case: str | None = None
    """The challenge that the auditor opened, if it did."""


class Done(Message, frozen=True):
    """`{}`: understood and kept."""


class Failure(Message, frozen=True):
    """Body of every refusal between nodes, with the HTTP status of `status.STATUS`."""

    error: str
    detail: str


def sign_record(record: Record, signature: bytes) -> Signed:
    """Packs a record and its signature."""
    return Signed(record=record.to_json(), signature="0x" + signature.hex())  # type: ignore[arg-type]  # values are str | int


def open_signed(signed: Signed, kind: type[R], domain: Domain, signer: Address) -> R:
    """The record, checked to be signed by `signer` in `domain`. Raises Malformed `record.*`, Refused("signature")."""
    record = kind.from_json(signed.record)
    require_signer(record.digest(domain), signature_of(signed), signer, kind.__name__.lower())
    return record


def signature_of(signed: Signed) -> bytes:
    """65 bytes. Raises Malformed."""
    return read_hex("signature", signed.signature, 65)


def decode(kind: type[M], raw: bytes) -> M:
    """Reads a message. Raises Malformed("wire.body") with the reason, or when it is over MAX_BODY bytes."""
    if len(raw) > MAX_BODY:
        raise Malformed("wire.body", f"{len(raw)} bytes, at most {MAX_BODY}")
    return read_json(raw, kind, "wire.body")
