"""A receipt checked offline: every change of one thing fails the check that is named after it."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from claims import DOMAIN, PROVIDER, SESSION, STRANGER, Stall, cancelled, signed_again
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import sha256
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Verdict
from steelyard.verification import receipts
from steelyard.verification.claim import Claim
from steelyard.verification.judge import Judgement
from steelyard.verification.receipts import Document, Status, check_document

STALL = Stall(sha256(b"model"))
PROMPT, GENERATED = (5, 6, 7), tuple(range(100, 124))
LEAVES = [sha256(b"%d" % unit) for unit in GENERATED]
CLAIM = STALL.claim(STALL.order(PROMPT), PROMPT, GENERATED, LEAVES)


def document(claim: Claim) -> Document:
    return Document(**{field.name: getattr(claim, field.name) for field in fields(Document)})


def statuses(claim: Claim, **known: object) -> dict[str, Status]:
    return {finding.check: finding.status for finding in check_document(document(claim), **known)}  # type: ignore[arg-type]


def test_an_honest_receipt_passes_all_that_can_be_checked_offline() -> None:
    found = statuses(CLAIM, session_key=SESSION.address, registration=STALL.registration)
    assert [check for check, status in found.items() if status is not Status.OK] == ["evidence"]
    assert found["evidence"] is Status.NOT_CHECKED


def test_without_the_chain_key_and_registration_are_said_to_be_unchecked() -> None:
    found = statuses(CLAIM)
    assert {check for check, status in found.items() if status is Status.NOT_CHECKED} == {
        "order-signature",
        "model-root",
        "evidence",
    }


ORDER, RECEIPT = CLAIM.order, CLAIM.receipt
LONGER = STALL.order(PROMPT, max_units=23)
CHEAP = STALL.order(PROMPT, max_price=1)
BROKEN: dict[str, tuple[str, Callable[[], Claim]]] = {
    "offer unsigned": ("offer-signature", lambda: replace(CLAIM, offer_signature=bytes(65))),
    "offer by a stranger": (
        "offer-signature",
        lambda: replace(CLAIM, offer_signature=STRANGER.sign(CLAIM.offer.digest(DOMAIN))),
    ),
    "price raised afterwards": ("offer-signature", lambda: replace(CLAIM, offer=replace(CLAIM.offer, price_out=9))),
    "receipt by a stranger": (
        "receipt-signature",
        lambda: replace(CLAIM, receipt_signature=STRANGER.sign(RECEIPT.digest(DOMAIN))),
    ),
    "another chain": ("receipt-signature", lambda: replace(CLAIM, domain=Domain(1, DOMAIN.escrow))),
    "order by a stranger": (
        "order-signature",
        lambda: replace(CLAIM, order_signature=STRANGER.sign(ORDER.digest(DOMAIN))),
    ),
    "receipt of another order": (
        "receipt-order",
        lambda: signed_again(CLAIM, replace(RECEIPT, order=sha256(b"other"))),
    ),
    "receipt of another offer": (
        "receipt-order",
        lambda: signed_again(CLAIM, replace(RECEIPT, offer=sha256(b"other"))),
    ),
    "order of another offer": ("order-offer", lambda: replace(CLAIM, order=replace(ORDER, offer=sha256(b"other")))),
    "order of another level": ("order-offer", lambda: replace(CLAIM, order=replace(ORDER, level=1))),
    "prompt changed": ("prompt-root", lambda: replace(CLAIM, prompt=(5, 6, 8))),
    "prompt salt cut": ("prompt-root", lambda: replace(CLAIM, prompt_salt=CLAIM.prompt_salt[:31])),
    "unit out of range": ("prompt-root", lambda: replace(CLAIM, prompt=(5, 6, 1 << 32))),
    "answer changed": ("answer-root", lambda: replace(CLAIM, answer=(0, *CLAIM.answer[1:]))),
    "answer cut": ("answer-root", lambda: replace(CLAIM, answer=CLAIM.answer[:-1])),
    "more units than ordered": ("units", lambda: STALL.claim(LONGER, PROMPT, GENERATED, LEAVES)),
    "dearer than ordered": ("price", lambda: STALL.claim(CHEAP, PROMPT, GENERATED, LEAVES)),
    "registration of another model": (
        "model-root",
        lambda: signed_again(CLAIM, replace(RECEIPT, model_root=bytes(32))),
    ),
    "registration of the same model, another author": (
        "model-root",
        lambda: replace(CLAIM, order=replace(ORDER, registration=sha256(b"other"))),
    ),
    "cancel of another order": (
        "end",
        lambda: replace(
            CLAIM,
            cancel=(other := replace(cancelled(CLAIM, 3).cancel, order=bytes(32))),  # type: ignore[type-var]
            cancel_signature=SESSION.sign(other.digest(DOMAIN)),
        ),
    ),
    "cancel by a stranger": (
        "end",
        lambda: replace(cancelled(CLAIM, 3), cancel_signature=STRANGER.sign(CLAIM.order.digest(DOMAIN))),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_change_fails_the_check_that_is_named_after_it(name: str) -> None:
    check, make = BROKEN[name]
    found = statuses(make(), session_key=SESSION.address, registration=STALL.registration)
    assert found[check] is Status.FAILED
    assert not receipts.holds(
        check_document(document(make()), session_key=SESSION.address, registration=STALL.registration)
    )


def test_an_end_is_told_apart_by_length_and_cancel() -> None:
    order = STALL.order(PROMPT, max_units=40)
    short = STALL.claim(order, PROMPT, GENERATED, LEAVES)
    assert statuses(CLAIM)["end"] is Status.OK
    assert statuses(short)["end"] is Status.NOT_CHECKED
    assert statuses(cancelled(short, 20))["end"] is Status.OK
    assert statuses(cancelled(short, 19))["end"] is Status.NOT_CHECKED


@pytest.mark.parametrize(
    ("verdict", "status", "says"),
    [
        (Honest(), Status.OK, "last bit"),
        (Cheated("sampling", "answered 1, the rule samples 2", 7), Status.FAILED, "sampling at unit 7"),
        (CannotTell("no engine"), Status.NOT_CHECKED, "no engine"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_replay_fills_in_the_evidence(verdict: Verdict, status: Status, says: str) -> None:
    finding = receipts.replayed(Judgement(verdict, opened=True))
    assert finding.status is status
    assert says in finding.sentence


def test_what_a_receipt_does_not_prove_is_said() -> None:
    text = " ".join(receipts.NOT_PROVED)
    assert all(word in text for word in ("evidence", "true", "paid", "channel", "clock"))


def test_a_document_becomes_the_claim_that_it_came_from() -> None:
    assert receipts.claim_of(document(CLAIM), SESSION.address, STALL.model_root) == CLAIM
    assert PROVIDER.address == CLAIM.offer.provider
