"""A receipt checked offline, by anyone who holds it: what it proves, and what it does not.

No chain, no network, no model. Each check is a `Finding` with a sentence for a person; what would need the chain or a
run is said to be unchecked, never passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from steelyard.protocol import keys, price, roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.records import Cancel, Level, Offer, Order, Receipt, Registration
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest
from steelyard.verification.claim import Claim
from steelyard.verification.judge import Judgement


class Status(StrEnum):
    """What became of a check."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of a receipt."""

    check: str
    """One word or two with a hyphen; stable, for programs."""
    status: Status
    sentence: str
    """What it proves, why it failed (with numbers), or what is needed to check it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A receipt and what it names, as a buyer keeps them. Signatures have 65 bytes, salts 32."""

    domain: Domain
    offer: Offer
    offer_signature: bytes
    order: Order
    order_signature: bytes
    receipt: Receipt
    receipt_signature: bytes
    prompt: tuple[int, ...]
    prompt_salt: bytes
    answer: tuple[int, ...]
    """Units from `order.answer_from` on."""
    answer_salt: bytes
    grammar: bytes = b""
    logprobs: tuple[tuple[int, ...], ...] = ()
    """One row per generated unit, where the order wants them."""
    cancel: Cancel | None = None
    cancel_signature: bytes | None = None


NOT_PROVED: Final = (
    "That the named model made this answer: the evidence root is opened only by running the model again.",
    "That the answer is true, useful or harmless.",
    "That this answer was audited: level `audited` draws some answers, not all.",
    "That the provider's bond covered it, or that it was paid: the chain knows.",
    "That there is no other receipt for the same order: two of them would convict the provider.",
    "That the order's key belongs to a channel with money in it, and that the registration is on the chain.",
    "When it was made: an order has a deadline, a receipt has no clock.",
    "That a screen showed the text of these units: token ids are signed, not text.",
)


def check_document(
    document: Document, *, session_key: Address | None = None, registration: Registration | None = None
) -> list[Finding]:
    """All checks that need no chain and no run, in a fixed order. `session_key` and `registration` are what the caller
    knows from the chain; without them those two checks are NOT_CHECKED."""
    return [
        *_signatures(document, session_key),
        *_references(document),
        *_openings(document),
        *_grammar(document),
        _units(document),
        _price(document),
        _end(document),
        _registration(document, registration),
        Finding(
            "evidence", Status.NOT_CHECKED, "Needs the model: a replay compares its own evidence with the receipt's."
        ),
    ]


def holds(findings: Sequence[Finding]) -> bool:
    """True if nothing failed."""
    return all(finding.status is not Status.FAILED for finding in findings)


def replayed(judgement: Judgement) -> Finding:
    """The finding that takes the place of `evidence` once somebody ran the model."""
    verdict = judgement.verdict
    match verdict:
        case Honest():
            return Finding(
                "evidence", Status.OK, "An own run gives the same ids and the same evidence, to the last bit."
            )
        case Cheated(check, detail, position):
            where = "" if position is None else f" at unit {position}"
            return Finding("evidence", Status.FAILED, f"An own run differs ({check}{where}): {detail}.")
        case CannotTell(reason):
            return Finding("evidence", Status.NOT_CHECKED, f"The own run says nothing: {reason}.")
        case _:
            assert_never(verdict)


def claim_of(document: Document, session_key: Address, model_root: bytes) -> Claim:
    """The document as a judge takes it; key and root (32 bytes) come from the chain."""
    return Claim(
        domain=document.domain,
        session_key=session_key,
        model_root=model_root,
        offer=document.offer,
        offer_signature=document.offer_signature,
        order=document.order,
        order_signature=document.order_signature,
        receipt=document.receipt,
        receipt_signature=document.receipt_signature,
        prompt=document.prompt,
        prompt_salt=document.prompt_salt,
        answer=document.answer,
        answer_salt=document.answer_salt,
        grammar=document.grammar,
        logprobs=document.logprobs,
        cancel=document.cancel,
        cancel_signature=document.cancel_signature,
    )


def _finding(check: str, holds_: bool, proves: str, fails: str) -> Finding:
    return Finding(check, Status.OK if holds_ else Status.FAILED, proves if holds_ else fails)


def _signatures(document: Document, session_key: Address | None) -> list[Finding]:
    domain, provider = document.domain, document.offer.provider
    findings = []
    for check, digest, signature, proves in (
        ("offer-signature", document.offer.digest(domain), document.offer_signature, "offered these prices and limits"),
        ("receipt-signature", document.receipt.digest(domain), document.receipt_signature, "stands for these roots"),
    ):
        try:
            keys.require_signer(digest, signature, provider, check.partition("-")[0])
            findings.append(Finding(check, Status.OK, f"{provider} {proves}, on chain {domain.chain_id}."))
        except Refused as refused:
            findings.append(Finding(check, Status.FAILED, str(refused)))
    try:
        signer = keys.recover(document.order.digest(domain), document.order_signature)
    except Refused as refused:
        return [*findings, Finding("order-signature", Status.FAILED, str(refused))]
    if session_key is None:
        told = f"Signed by {signer}; only the chain says whether that is the channel's session key."
        return [*findings, Finding("order-signature", Status.NOT_CHECKED, told)]
    fails = f"signed by {signer}, the channel's session key is {session_key}"
    return [*findings, _finding("order-signature", signer == session_key, "The channel's key ordered this.", fails)]


def _references(document: Document) -> list[Finding]:
    offer, order, receipt = document.offer, document.order, document.receipt
    offer_digest, order_digest = offer.digest(document.domain), order.digest(document.domain)
    terms = ("registration", "kind", "level")
    same = order.offer == offer_digest and all(getattr(order, name) == getattr(offer, name) for name in terms)
    return [
        _finding(
            "order-offer",
            same,
            f"The order buys this offer: kind {order.kind}, level {_level(order.level)}.",
            f"order names offer 0x{order.offer.hex()}, shown 0x{offer_digest.hex()}, or differs in kind, level, model",
        ),
        _finding(
            "receipt-order",
            receipt.order == order_digest and receipt.offer == order.offer,
            f"The receipt is for this order, 0x{order_digest.hex()}.",
            f"receipt names order 0x{receipt.order.hex()}, shown 0x{order_digest.hex()}; offer 0x{receipt.offer.hex()}",
        ),
    ]


def _openings(document: Document) -> list[Finding]:
    findings = []
    for check, units, rows, salt, root, who in (
        ("prompt", document.prompt, (), document.prompt_salt, document.order.prompt_root, "the order commits to"),
        (
            "answer",
            document.answer,
            document.logprobs,
            document.answer_salt,
            document.receipt.response_root,
            "the receipt commits to",
        ),
    ):
        try:
            opens = len(salt) == 32 and roots.response_root(units, salt, rows) == root
        except Refused as refused:
            findings.append(Finding(f"{check}-root", Status.FAILED, str(refused)))
            continue
        more = f" with {len(rows)} rows of logprobs" if rows else ""
        text = f"These {len(units)} {check} units{more} are exactly what {who}."
        findings.append(
            _finding(f"{check}-root", opens, text, f"{len(units)} units are not what {who}, 0x{root.hex()}")
        )
    return findings


def _grammar(document: Document) -> list[Finding]:
    """Only where there is one, or should be one."""
    size, wanted = len(document.grammar), document.order.grammar
    if not size and wanted == ZERO32:
        return []
    opens = roots.grammar_root(document.grammar, document.prompt_salt) == wanted
    proves = f"The answer was ordered to keep to this grammar of {size} bytes; whether it does, a replay says."
    return [_finding("grammar", opens, proves, f"{size} bytes are not the grammar that the order commits to")]


def _units(document: Document) -> Finding:
    order, new = document.order, price.generated(document.order, len(document.answer))
    prefix = document.prompt[order.answer_from :]
    fits = (
        len(document.prompt) == order.prompt_units
        and order.answer_from <= order.prompt_units
        and 0 <= new <= order.max_units
        and document.answer[: len(prefix)] == prefix
    )
    return _finding(
        "units",
        fits,
        f"{order.prompt_units} prompt units and {new} generated units, at most {order.max_units} were ordered.",
        f"{len(document.prompt)} of {order.prompt_units} prompt units, {new} new, at most {order.max_units} ordered",
    )


def _price(document: Document) -> Finding:
    order = document.order
    cost = price.price_of(document.offer, order, len(document.answer))
    fails = f"{cost} micro-tokens, the order allows {order.max_price}"
    return _finding(
        "price", 0 <= cost <= order.max_price, f"It costs {cost} micro-tokens, by the offer's prices.", fails
    )


def _end(document: Document) -> Finding:
    cancel, order = document.cancel, document.order
    new = price.generated(order, len(document.answer))
    if cancel is not None:
        try:
            signer = keys.recover(order.digest(document.domain), document.order_signature)
            keys.require_signer(cancel.digest(document.domain), document.cancel_signature or b"", signer, "cancel")
        except Refused as refused:
            return Finding("end", Status.FAILED, str(refused))
        if cancel.order != order.digest(document.domain):
            return Finding("end", Status.FAILED, f"the cancel is of order 0x{cancel.order.hex()}")
    if new == order.max_units:
        return Finding("end", Status.OK, f"It ended at the ordered length, {new} units.")
    if cancel is not None and new <= cancel.units + document.offer.run_ahead:
        return Finding("end", Status.OK, f"It ended by the buyer's cancel at {cancel.units} units.")
    return Finding("end", Status.NOT_CHECKED, f"Whether unit {new} is an end id of the model, the model's file says.")


def _registration(document: Document, registration: Registration | None) -> Finding:
    if registration is None:
        root = document.receipt.model_root.hex()
        return Finding(
            "model-root", Status.NOT_CHECKED, f"The receipt names model 0x{root}; the registration is on the chain."
        )
    fits = (
        registration.struct_hash() == document.order.registration
        and registration.model_root == document.receipt.model_root
    )
    return _finding(
        "model-root",
        fits,
        f"The provider vouches for the registered model 0x{registration.model_root.hex()}.",
        f"registration has 0x{registration.model_root.hex()}, the receipt 0x{document.receipt.model_root.hex()}",
    )


def _level(level: int) -> str:
    return Level(level).name.lower() if level in set(Level) else str(level)
