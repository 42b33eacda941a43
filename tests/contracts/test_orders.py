"""Orders that a contract places (spec/escrow.md, ORD-1 to ORD-6)."""

from dataclasses import replace

import pytest
from desk import ANN, ANSWER, EVE, NONCE, PAUL, PROMPT, SALT, Desk, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from world import NOBODY, Reverted, World, key, unknown_version

from steelyard.protocol import merkle, roots
from steelyard.protocol.price import price

AUTHOR = key("author")
PLACED, DELIVERED, REFUNDED = 1, 2, 3


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_placed_order_holds_its_money_and_is_told_whole_ord_1(desk):
    order = desk.order()
    before = desk.token.balanceOf(ANN.address)
    digest = desk.place(order)
    assert digest == order.digest(desk.domain)
    told = desk.told("Placed")
    assert (told["buyer"], told["provider"], told["prompt"]) == (ANN.address, PAUL.address, packed(PROMPT))
    assert told["record"]["nonce"] == NONCE
    found = desk.orders.order_of(digest)
    assert (found["buyer"], found["provider"], found["state"]) == (ANN.address, PAUL.address, PLACED)
    assert found["max_price"] == order.max_price == before - desk.token.balanceOf(ANN.address)
    with pytest.raises(Reverted, match=r"^orders\.placed$"):
        desk.place(order)


def test_a_delivery_pays_by_the_count_and_gives_the_rest_back_ord_4(desk):
    order = desk.order()
    digest = desk.place(order)
    claim = desk.deliver(order)
    paid = price(desk.sold, len(PROMPT), len(ANSWER))
    assert paid == 3 + 2 * 70
    assert desk.told("Delivered")["answer"] == packed(ANSWER)
    found = desk.escrow.claim_of(claim)
    receipt = desk.receipt(order).digest(desk.domain)
    assert (found["provider"], found["amount"], found["count"], found["first"]) == (PAUL.address, paid, 1, 0)
    assert merkle.verify(found["receipts_root"], 1, 0, merkle.leaf_hash(receipt), ())
    assert found["reserve"] == desk.escrow.reserve_of(2, 1, paid) == desk.bonds.reserved(PAUL.address)
    assert desk.orders.credit(ANN.address) == order.max_price - paid
    state = desk.orders.order_of(digest)
    assert (state["state"], state["claim"]) == (DELIVERED, claim)
    assert desk.token.balanceOf(desk.orders.address) == order.max_price - paid
    desk.turn(1_200)
    desk.escrow.pay(claim)
    assert desk.escrow.credit(AUTHOR.address) == paid * 500 // 10_000
    with pytest.raises(Reverted, match=r"^orders\.state$"):
        desk.deliver(order)


def test_after_the_deadline_anyone_refunds_and_nobody_delivers_ord_6(desk):
    order = desk.order()
    digest = desk.place(order)
    desk.turn(600)
    with pytest.raises(Reverted, match=r"^orders\.early$"):
        desk.orders.refund(digest, by=EVE)
    desk.turn(1)
    with pytest.raises(Reverted, match=r"^orders\.late$"):
        desk.deliver(order)
    desk.orders.refund(digest, by=EVE)
    assert desk.orders.collect_for(ANN.address, by=EVE) == order.max_price
    assert desk.orders.order_of(digest)["state"] == REFUNDED
    assert desk.token.balanceOf(desk.orders.address) == 0
    for call in (lambda: desk.orders.refund(digest, by=EVE), lambda: desk.deliver(order)):
        with pytest.raises(Reverted, match=r"^orders\.state$"):
            call()


def test_a_delivered_order_is_never_refunded_ord_6(desk):
    digest = desk.place(order := desk.order())
    desk.deliver(order)
    desk.turn(601)
    with pytest.raises(Reverted, match=r"^orders\.state$"):
        desk.orders.refund(digest, by=ANN)
    with pytest.raises(Reverted, match=r"^orders\.state$"):
        desk.orders.refund(b"\x00" * 32, by=ANN)


def test_an_order_that_could_not_be_served_is_refused_by_name_ord_2(desk):
    sold = desk.sold
    wrong = [
        ("orders.channel", {"channel": b"\x01" * 32}),
        ("orders.registration", {"registration": b"\x01" * 32}),
        ("orders.kind", {"kind": 2}),
        ("orders.level", {"level": 1}),
        ("orders.continuation", {"answer_from": 2}),
        ("orders.ids-only", {"grammar": b"\x01" * 32}),
        ("orders.ids-only", {"logprobs": 1}),
        ("orders.max-units", {"max_units": 0}),
        ("orders.max-units", {"max_units": 513}),
        ("orders.deadline", {"deadline": desk.now}),
        ("orders.deadline", {"deadline": desk.now + 601}),
        ("orders.price-cap", {"max_price": price(sold, 3, 100) - 1}),
        ("orders.offer", {"offer": b"\x01" * 32}),
        ("orders.prompt", {"prompt_units": 4, "answer_from": 4, "max_price": 10**6}),
        ("orders.prompt", {"prompt_root": b"\x01" * 32}),
        ("orders.prompt", {"nonce": b"\x01" * 32, "prompt_root": roots.units_root(PROMPT, NONCE)}),
    ]
    for rule, changes in wrong:
        with pytest.raises(Reverted, match=f"^{rule}$"):
            desk.place(desk.order(**changes))
    offers = [
        ("orders.context-too-long", {"context_length": 102}),
        ("orders.offer-expired", {"valid_until": desk.now - 1}),
        ("orders.registration", {"registration": b"\x01" * 32}),
        ("orders.level", {"level": 3}),
        ("orders.kind", {"kind": 2}),
    ]
    for rule, changes in offers:
        other = replace(sold, **changes)
        with pytest.raises(Reverted, match=f"^{rule}$"):
            desk.orders.place(other, desk.order(sold=other), packed(PROMPT), NOBODY, by=ANN)
    desk.place(desk.order())


def test_an_order_for_another_model_than_the_offers_is_refused_ord_2(desk):
    other = desk.model(EVE)
    with pytest.raises(Reverted, match=r"^orders\.registration$"):
        desk.place(desk.order(registration=other))


def test_records_of_an_unknown_version_are_refused(desk):
    order = desk.order()
    for sold, wanted in ((unknown_version(desk.sold), order), (desk.sold, unknown_version(order))):
        with pytest.raises(Reverted, match=r"^record\.version$"):
            desk.orders.place(sold, wanted, packed(PROMPT), NOBODY, by=ANN)
    desk.place(order)
    receipt = unknown_version(desk.receipt(order))
    with pytest.raises(Reverted, match=r"^record\.version$"):
        desk.orders.deliver(desk.sold, order, receipt, b"\x00" * 65, packed(ANSWER), SALT, by=EVE)


def test_a_delivery_that_is_not_the_signed_answer_to_this_order_is_refused_ord_3(desk):
    order = desk.order()
    desk.place(order)
    wrong = [
        ("orders.receipt", {"receipt": replace(desk.receipt(order), order=b"\x01" * 32)}),
        ("orders.receipt", {"receipt": replace(desk.receipt(order), offer=b"\x01" * 32)}),
        ("orders.model-root", {"receipt": replace(desk.receipt(order), model_root=b"\x01" * 32)}),
        ("signature", {"signer": EVE}),
        ("orders.max-units", {"answer": ()}),
        ("orders.max-units", {"answer": tuple(range(101))}),
        ("orders.answer", {"receipt": desk.receipt(order, (1, 2)), "answer": (1, 3)}),
        ("orders.answer", {"receipt": desk.receipt(order, (1, 2)), "answer": (1,)}),
        ("orders.answer", {"salt": b"\x01" * 32}),
        ("orders.offer", {"sold": replace(desk.sold, provider=EVE.address), "signer": EVE}),
        ("orders.offer", {"sold": replace(desk.sold, price_out=1)}),
    ]
    for rule, changes in wrong:
        with pytest.raises(Reverted, match=f"^{rule}$"):
            desk.deliver(order, **changes)
    with pytest.raises(Reverted, match=r"^orders\.state$"):
        desk.deliver(desk.order(seed=2))
    half = (desk.sold, order, desk.receipt(order), PAUL.sign(desk.receipt(order).digest(desk.domain)))
    with pytest.raises(Reverted, match=r"^units\.length$"):
        desk.orders.deliver(*half, packed(ANSWER) + b"\x00", SALT, by=EVE)
    desk.deliver(order)


ROOTS = """
# pragma version 0.4.3
import units
@external
def root(raw: Bytes[8192], salt: bytes32) -> bytes32:
    return units._root(raw, salt)
"""
CALLER = """
# pragma version 0.4.3
last: public(bytes32)
answer: public(Bytes[4096])
@external
def steelyard_answer(order: bytes32, answer: Bytes[4096]):
    self.last = order
    self.answer = slice(answer, 0, 8)
    {BODY}
"""


def test_units_roots_are_pythons_ord_3():
    contract = World().deploy_source(ROOTS)
    for count in (0, 1, 63, 64, 65, 128, 129, 256, 257, 1000, 2047, 2048):
        units = tuple((i * 2654435761) % 2**32 for i in range(count))
        assert contract.root(packed(units), SALT, by=EVE) == roots.units_root(units, SALT)


def test_a_callback_gets_the_answer_ord_5(desk):
    taker = desk.deploy_source(CALLER.replace("{BODY}", "pass"))
    order = desk.order()
    digest = desk.place(order, taker.address)
    desk.deliver(order)
    assert desk.told("Called") == {"order": digest, "callback": taker.address, "succeeded": True}
    assert (taker.last(), taker.answer()) == (digest, packed(ANSWER)[:8])


@pytest.mark.parametrize(
    "body", ['raise "no"', "for i: uint256 in range(10**9):\n        self.last = keccak256(self.last)"]
)
def test_a_callback_that_fails_or_never_ends_undoes_nothing_ord_5(desk, body):
    taker = desk.deploy_source(CALLER.replace("{BODY}", body))
    order = desk.order()
    digest = desk.place(order, taker.address)
    claim = desk.deliver(order)
    assert desk.told("Called")["succeeded"] is False
    assert desk.orders.order_of(digest)["claim"] == claim
    assert taker.last() == b"\x00" * 32


def test_who_delivers_cannot_starve_a_callback_ord_5(desk):
    taker = desk.deploy_source(
        CALLER.replace("{BODY}", "for i: uint256 in range(600):\n        self.last = keccak256(self.last)")
    )
    order = desk.order()
    desk.place(order, taker.address)
    receipt = desk.receipt(order)
    signature = PAUL.sign(receipt.digest(desk.domain))
    data = desk.orders.calldata("deliver", (desk.sold, order, receipt, signature, packed(ANSWER), SALT))
    outcomes = set()
    for gas in range(300_000, 1_200_000, 20_000):
        kept = desk.evm.snapshot()
        try:
            desk.evm.message_call(EVE.address, desk.orders.address, calldata=data, gas=gas)
            outcomes.add(taker.last() != b"\x00" * 32)
        except RuntimeError:
            outcomes.add(None)
        desk.evm.revert(kept)
    assert outcomes == {None, True}


def test_a_callback_may_place_but_not_deliver_again_ord_5(desk):
    again = desk.deploy_source(
        """
# pragma version 0.4.3
target: address
data: Bytes[8192]
tried: public(bool)
worked: public(bool)
@external
def load(target: address, data: Bytes[8192]):
    self.target = target
    self.data = data
@external
def steelyard_answer(order: bytes32, answer: Bytes[4096]):
    self.tried = True
    self.worked = raw_call(self.target, self.data, revert_on_failure=False)
"""
    )
    order = desk.order()
    desk.place(order, again.address)
    receipt = desk.receipt(order)
    signature = PAUL.sign(receipt.digest(desk.domain))
    data = desk.orders.calldata("deliver", (desk.sold, order, receipt, signature, packed(ANSWER), SALT))
    again.load(desk.orders.address, data, by=EVE)
    desk.deliver(order)
    assert (again.tried(), again.worked()) == (True, False)
    assert desk.escrow.claim_count() == 1


@settings(max_examples=25, deadline=None)
@given(
    prices=st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)),
    prompt=st.lists(st.integers(0, 2**32 - 1), max_size=150),
    answer=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=150),
    spare=st.integers(0, 1000),
)
def test_price_and_money_are_pythons_to_the_last_unit_ord_4(prices, prompt, answer, spare):
    desk = Desk()
    sold = replace(desk.sold, price_in=prices[0], price_out=prices[1])
    dearest = price(sold, len(prompt), 150) + spare
    order = desk.order(prompt=tuple(prompt), sold=sold, max_units=150, max_price=dearest)
    desk.orders.place(sold, order, packed(tuple(prompt)), NOBODY, by=ANN)
    claim = desk.deliver(order, desk.receipt(order, tuple(answer)), tuple(answer), sold=sold)
    paid = price(sold, len(prompt), len(answer))
    assert desk.escrow.claim_of(claim)["amount"] == paid == desk.token.balanceOf(desk.escrow.address)
    assert desk.orders.credit(ANN.address) == dearest - paid == desk.token.balanceOf(desk.orders.address)
