"""What a provider is held to: records, signatures, and the units and salts that open their roots.

A provider signed roots. Units and salts come from whoever shows the claim (a gateway, an opener), and so does every
record that the provider did not sign. `defect` is therefore no verdict: a package that does not hang together says
nothing about the provider, since anybody could have made it.
"""

from dataclasses import dataclass

from steelyard.protocol import keys, roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.price import generated
from steelyard.protocol.records import Cancel, Offer, Order, Receipt
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Claim:
    """One receipt with all that a judge needs besides an engine."""

    domain: Domain
    session_key: Address
    """Whose signature the order must bear: the channel's session key, read from the chain."""
    model_root: bytes
    """Of the registration that the order names, read from the chain. 32 bytes."""
    offer: Offer
    offer_signature: bytes
    order: Order
    order_signature: bytes
    receipt: Receipt
    receipt_signature: bytes
    prompt: tuple[int, ...]
    """`order.prompt_units` ids, a delivered prefix included (rule P6)."""
    prompt_salt: bytes
    """32 bytes."""
    answer: tuple[int, ...]
    """Ids from `order.answer_from` on: the delivered prefix, then the generated ids."""
    answer_salt: bytes
    """Of response root and evidence root, 32 bytes."""
    grammar: bytes = b""
    """Where the order names one (`roots.grammar_root`)."""
    logprobs: tuple[tuple[int, ...], ...] = ()
    """Where the order wants them: one row per generated unit (`engines.base.Step.logprobs`)."""
    cancel: Cancel | None = None
    cancel_signature: bytes | None = None
    provider_asked: bool = False
    """True if `cancel` is what the provider itself answered when asked which cancel it obeyed. Without that, "there was
    no cancel" is only the word of whoever shows the claim (see `checks.early`)."""

    @property
    def prefix(self) -> tuple[int, ...]:
        """The delivered prefix that the order continues; empty as a rule."""
        return self.prompt[self.order.answer_from :]

    @property
    def generated(self) -> tuple[int, ...]:
        """The ids that were generated for this order."""
        return self.answer[len(self.prefix) :]

    def receipt_digest(self) -> bytes:
        """By which a slash is keyed (rule M6). 32 bytes."""
        return self.receipt.digest(self.domain)


def defect(claim: Claim) -> str | None:
    """Why this package opens nothing, or None if every signature, digest, root and count fits.

    A juror votes NOT_OPENED on a defect; an auditor answers CannotTell."""
    try:
        return _defect_of_records(claim) or _defect_of_units(claim)
    except Refused as refused:  # an unreadable signature, a unit beyond 32 bits
        return str(refused)


def _defect_of_records(claim: Claim) -> str | None:
    offer, order, receipt = claim.offer, claim.order, claim.receipt
    offer_digest, order_digest = offer.digest(claim.domain), order.digest(claim.domain)
    keys.require_signer(offer_digest, claim.offer_signature, offer.provider, "offer")
    keys.require_signer(order_digest, claim.order_signature, claim.session_key, "order")
    keys.require_signer(claim.receipt_digest(), claim.receipt_signature, offer.provider, "receipt")
    if claim.cancel is not None:
        keys.require_signer(
            claim.cancel.digest(claim.domain), claim.cancel_signature or b"", claim.session_key, "cancel"
        )
        if claim.cancel.order != order_digest:
            return f"cancel: of order 0x{claim.cancel.order.hex()}, not of 0x{order_digest.hex()}"
    if receipt.order != order_digest:
        return f"receipt.order: 0x{receipt.order.hex()}, the order is 0x{order_digest.hex()}"
    if receipt.offer != offer_digest or order.offer != offer_digest:
        return f"offer: receipt 0x{receipt.offer.hex()}, order 0x{order.offer.hex()}, shown 0x{offer_digest.hex()}"
    for name in ("registration", "kind", "level"):
        if getattr(order, name) != getattr(offer, name):
            return f"order.{name}: not the offer's"
    return None


def _defect_of_units(claim: Claim) -> str | None:
    order = claim.order
    if len(claim.prompt_salt) != 32 or len(claim.answer_salt) != 32:
        return f"salts: {len(claim.prompt_salt)} and {len(claim.answer_salt)} bytes, not 32"
    if len(claim.prompt) != order.prompt_units or order.answer_from > order.prompt_units or not claim.prompt:
        return (
            f"prompt: {len(claim.prompt)} units, ordered {order.prompt_units} with the answer from {order.answer_from}"
        )
    if roots.units_root(claim.prompt, claim.prompt_salt) != order.prompt_root:
        return f"prompt: {len(claim.prompt)} units do not hash to 0x{order.prompt_root.hex()}"
    if roots.grammar_root(claim.grammar, claim.prompt_salt) != order.grammar:
        return f"grammar: {len(claim.grammar)} bytes do not hash to 0x{order.grammar.hex()}"
    if roots.response_root(claim.answer, claim.answer_salt, claim.logprobs) != claim.receipt.response_root:
        what = f"{len(claim.answer)} units and {len(claim.logprobs)} rows of logprobs"
        return f"answer: {what} do not hash to 0x{claim.receipt.response_root.hex()}"
    return None


def new_units(claim: Claim) -> int:
    """Units generated for the order, by count; negative if the answer is shorter than the delivered prefix."""
    return int(generated(claim.order, len(claim.answer)))
