"""Packages as claims: what travels, what a judge takes, what is sealed for a jury."""

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from steelyard.market.cases import Exhibit
from steelyard.market.ledger import Ledger
from steelyard.protocol import roots
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.records import Cancel, Offer, Order, Receipt
from steelyard.protocol.units import Address
from steelyard.verification.claim import Claim
from steelyard.wire.messages import AuditPackage, Signed, open_signed, signature_of

MAX_BODY: Final = 4 << 20  # bytes of an unsealed package: no small ciphertext may unfold into more
NO_ROOT: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Read:
    """A package read: records and units, nothing checked but their shapes."""

    claim: Claim
    """Its session key and model root are empty until `known` fills them in from the chain."""
    signed_receipt: Signed
    provider_url: str | None


def read(package: AuditPackage, domain: Domain) -> Read:
    """Raises Malformed `record.*`, `units.range`."""
    cancel = package.cancel
    claim = Claim(
        domain=domain,
        session_key=ZERO_ADDRESS,
        model_root=NO_ROOT,
        offer=Offer.from_json(package.offer.record),
        offer_signature=signature_of(package.offer),
        order=Order.from_json(package.order.record),
        order_signature=signature_of(package.order),
        receipt=Receipt.from_json(package.receipt.record),
        receipt_signature=signature_of(package.receipt),
        prompt=_units(package.prompt),
        prompt_salt=read_hex("prompt_salt", package.prompt_salt, 32),
        answer=_units(package.answer),
        answer_salt=read_hex("answer_salt", package.answer_salt, 32),
        grammar=package.grammar.encode(),
        logprobs=tuple(map(tuple, package.logprobs)),
        cancel=None if cancel is None else Cancel.from_json(cancel.record),
        cancel_signature=None if cancel is None else signature_of(cancel),
    )
    return Read(claim, package.receipt, package.provider_url)


class UnknownChannel(Refused):
    """The order names a channel that the chain does not know."""


def known(claim: Claim, ledger: Ledger) -> Claim:
    """The claim with what only the chain says. Raises UnknownChannel, Refused("order.unknown-model")."""
    channel, model = ledger.channel(claim.order.channel), ledger.model(claim.order.registration)
    if channel is None:
        raise UnknownChannel("order.unknown-channel", f"0x{claim.order.channel.hex()}")
    if model is None:
        raise Refused("order.unknown-model", f"0x{claim.order.registration.hex()}")
    return replace(claim, session_key=channel.session_key, model_root=model.registration.model_root)


def exhibit_of(claim: Claim) -> Exhibit:
    """What the court is shown of a claim: no unit of it."""
    return Exhibit(
        offer=claim.offer,
        offer_signature=claim.offer_signature,
        order=claim.order,
        order_signature=claim.order_signature,
        receipt=claim.receipt,
        receipt_signature=claim.receipt_signature,
        answer_units=len(claim.answer),
        answer_top=roots.response_top(claim.answer, claim.answer_salt, claim.logprobs),
    )


def heard(claim: Claim, cancel: Signed | None, session_key: Address) -> Claim:
    """The claim with the provider's own answer to "which cancel did you obey?". A cancel that the session key did not
    sign, or of another order, is no answer: Refused("signature"), Malformed, Refused("cancel.order")."""
    if cancel is None:
        return replace(claim, cancel=None, cancel_signature=None, provider_asked=True)
    record = open_signed(cancel, Cancel, claim.domain, session_key)
    if record.order != claim.order.digest(claim.domain):
        raise Refused("cancel.order", f"0x{record.order.hex()}")
    return replace(claim, cancel=record, cancel_signature=signature_of(cancel), provider_asked=True)


def pack(package: AuditPackage) -> bytes:
    """A package in few bytes: units apart as 4-byte numbers, all of it deflated."""
    bare = msgspec.structs.replace(package, prompt=[], answer=[], provider_url=None)
    parts = (msgspec.msgpack.encode(bare), _raw(package.prompt), _raw(package.answer))
    return zlib.compress(msgspec.msgpack.encode(parts), 9)


def unpack(body: bytes) -> AuditPackage:
    """Inverse of `pack`. Raises Malformed("case.package")."""
    try:
        inflater = zlib.decompressobj()
        flat = inflater.decompress(body, MAX_BODY)
        if not inflater.eof:
            raise Malformed("case.package", f"not complete within {MAX_BODY} bytes")
        bare, prompt, answer = msgspec.msgpack.decode(flat, type=tuple[bytes, bytes, bytes])
        package = msgspec.msgpack.decode(bare, type=AuditPackage)
        return msgspec.structs.replace(package, prompt=_flat(prompt), answer=_flat(answer))
    except (zlib.error, msgspec.DecodeError, struct.error) as error:
        raise Malformed("case.package", f"{type(error).__name__} {error!s:.200}") from error


def _units(units: list[int]) -> tuple[int, ...]:
    if units and not 0 <= min(units) <= max(units) < 1 << 32:
        raise Malformed("units.range", f"units from {min(units)} to {max(units)}, not below 2**32")
    return tuple(units)


def _raw(units: list[int]) -> bytes:
    return struct.pack(f"<{len(units)}I", *units)


def _flat(raw: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))
