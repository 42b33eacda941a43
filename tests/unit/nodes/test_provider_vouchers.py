"""Vouchers at a provider: what is promised is understood, grows, and bounds what is delivered unpaid (rules M1, M2)."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counter import CHANNEL, OTHER, SESSION, STRANGER, Bought, Counter, run, signed_by
from steelyard.market.lifecycle import State
from steelyard.nodes.provider.accounts import MOST_UNPAID
from steelyard.nodes.provider.offers import Limits
from steelyard.protocol import roots
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.records import Voucher
from steelyard.wire.messages import Signed, VoucherQuery


def test_a_voucher_settles_the_orders_that_it_pays(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        assert counter.tab().owed == bought.price(counter.listing)
        await counter.pay(bought)
        assert counter.tab().owed == 0
        assert counter.tab().amount == bought.price(counter.listing)
        kept = counter.journal.get("receipt", bought.digest)
        assert kept is not None
        order = counter.journal.get("order", kept.body)
        assert order is not None
        assert order.state == State.SETTLED

    run(story)


def test_a_voucher_sent_twice_counts_once(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        signed = await counter.pay(await counter.buy())
        await counter.provider.take_voucher(signed)
        assert counter.tab().voucher == Voucher.from_json(signed.record)
        assert len(counter.tab().paid) == 1

    run(story)


def test_a_voucher_may_pay_receipts_in_any_order_and_several_at_once(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        a, b, c = [await counter.buy() for _ in range(3)]
        await counter.pay(c)
        await counter.pay(b, a)
        assert counter.tab().paid == [c.digest, b.digest, a.digest]
        assert not counter.tab().unpaid

    run(story)


Forge = Callable[[Counter, Bought], Signed]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "too little": (lambda c, b: c.voucher(b, amount=b.price(c.listing) - 1), r"voucher\.short: \d+ for 1 answers"),
    "another root": (lambda c, b: c.voucher(b, receipts_root=bytes(32)), r"voucher\.receipts"),
    "a receipt of nobody": (
        lambda c, b: c.voucher(b, receipts_root=roots.receipts_root([bytes(32)])),
        r"voucher\.receipts",
    ),
    "a count too many": (lambda c, b: c.voucher(b, count=2), r"voucher\.count: pays 2 new answers, 1 are unpaid"),
    "a huge count": (lambda c, b: c.voucher(b, count=2**64 - 1), r"voucher\.count"),
    "no count": (
        lambda c, b: c.voucher(b, count=0),
        r"voucher\.stale: amount \d+, count 0; accepted amount 0, count 0",
    ),
    "another offer": (lambda c, b: c.voucher(b, offer=bytes(32)), r"voucher\.offer"),
    "another channel": (lambda c, b: c.voucher(b, channel=bytes(32)), r"channel\.unknown"),
    "another signer": (lambda c, b: c.voucher(b, signer=STRANGER), "signature: voucher signed by"),
    "over the allocation": (
        lambda c, b: c.voucher(b, amount=c.allocation + 1),
        r"voucher\.over-allocation: 5000001 \+ 0 of other offers > 5000000",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_voucher_that_promises_something_else_is_refused_and_changes_nothing(tmp_path: Path, name: str) -> None:
    counter = Counter(tmp_path)
    forge, rule = FORGERIES[name]

    async def story() -> None:
        bought = await counter.buy()
        with pytest.raises(Refused, match=rule):
            await counter.provider.take_voucher(forge(counter, bought))
        assert counter.tab().voucher is None
        await counter.pay(bought)

    run(story)


def test_an_older_voucher_is_stale_and_the_newer_stands(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        old = await counter.pay(await counter.buy())
        new = await counter.pay(await counter.buy())
        with pytest.raises(Refused, match=r"voucher\.stale: amount \d+, count 1; accepted amount \d+, count 2"):
            await counter.provider.take_voucher(old)
        assert counter.tab().signed == new

    run(story)


def test_a_voucher_over_the_cap_is_refused_although_the_allocation_would_bear_it(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        counter.town.allocations[CHANNEL, counter.provider.key.address] += 10**9
        counter.provider.channels.forget(CHANNEL)
        with pytest.raises(Refused, match=r"voucher\.over-cap: 10000001 \+ 0 of other offers > 10000000"):
            await counter.provider.take_voucher(counter.voucher(bought, amount=10_000_001))

    run(story)


def test_a_voucher_signed_for_another_chain_or_escrow_is_refused(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        voucher = Voucher.from_json(counter.voucher(bought).record)
        for domain in (
            type(counter.ledger.domain)(1, counter.ledger.domain.escrow),
            type(counter.ledger.domain)(31337, OTHER.address),
        ):
            with pytest.raises(Refused, match="signature"):
                await counter.provider.take_voucher(signed_by(SESSION, voucher, domain))

    run(story)


def test_a_voucher_is_durable_before_it_counts(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        counter.journal.close()
        with pytest.raises(Unavailable, match=r"journal\.closed"):
            await counter.pay(bought)
        assert counter.tab().voucher is None
        assert len(counter.tab().unpaid) == 1

    run(story)


def test_unpaid_answers_are_bounded_and_a_riding_voucher_makes_room(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = [await counter.buy() for _ in range(counter.limits.max_unpaid)]
        with pytest.raises(Refused, match=r"channel\.unpaid: 3 answers wait for a voucher, the offer allows 3"):
            await counter.buy()
        await counter.buy(counter.request(voucher=counter.voucher(bought[0])))
        assert len(counter.tab().unpaid) == counter.limits.max_unpaid

    run(story)


def test_a_riding_voucher_that_was_overtaken_is_no_fault_of_its_order(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        old = await counter.pay(await counter.buy())
        await counter.pay(await counter.buy())
        await counter.buy(counter.request(voucher=old))
        with pytest.raises(Refused, match="signature"):
            await counter.buy(counter.request(voucher=counter.voucher(amount=9, signer=STRANGER)))

    run(story)


def test_no_order_is_taken_that_the_allocation_could_not_pay(tmp_path: Path) -> None:
    counter = Counter(tmp_path, allocation=90)  # an order costs 26 + 12 at most

    async def story() -> None:
        first = await counter.buy()
        await counter.buy()
        with pytest.raises(Refused, match=r"channel\.exhausted: 76 of 90 micro-tokens spoken for, .* may cost 38"):
            await counter.buy()
        await counter.pay(first)  # paid or owed: it is spent
        with pytest.raises(Refused, match=r"channel\.exhausted"):
            await counter.buy()
        counter.town.allocations[CHANNEL, counter.provider.key.address] += 100
        await counter.buy()  # after a refusal the chain is asked again

    run(story)


def test_the_allocation_is_shared_by_all_offers_of_a_channel(tmp_path: Path) -> None:
    counter = Counter(tmp_path, allocation=60)

    async def story() -> None:
        await counter.buy()
        open_offer = counter.listings[1]
        order = counter.order(offer=open_offer.digest, level=open_offer.offer.level)
        with pytest.raises(Refused, match=r"channel\.exhausted: 38 of 60"):
            await counter.buy(counter.request(order))

    run(story)


def test_an_offer_lets_no_more_be_unpaid_than_one_voucher_can_pay(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=rf"offer\.max-unpaid: {MOST_UNPAID + 1}, from 1 to {MOST_UNPAID}"):
        Counter(tmp_path, limits=Limits(max_unpaid=MOST_UNPAID + 1))
    counter = Counter(tmp_path, limits=Limits(max_units=40, max_unpaid=MOST_UNPAID))

    async def story() -> None:
        bought = [await counter.buy() for _ in range(MOST_UNPAID)]
        await counter.pay(*reversed(bought))  # the last of all permutations
        assert not counter.tab().unpaid

    run(story)


def test_a_gateway_that_lost_its_disk_gets_its_voucher_and_receipts_back(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        query = VoucherQuery("0x" + CHANNEL.hex(), "0x" + counter.listing.digest.hex())
        assert await counter.provider.last_voucher(query) is None
        signed = await counter.pay(await counter.buy(), await counter.buy())
        last = await counter.provider.last_voucher(query)
        assert last is not None
        assert (last.record, last.signature) == (signed.record, signed.signature)
        receipts = [bytes.fromhex(receipt[2:]) for receipt in last.receipts]
        assert roots.receipts_root(receipts) == Voucher.from_json(last.record).receipts_root

    run(story)


@given(st.data())
def test_what_a_buyer_owes_never_exceeds_the_unpaid_answers_that_the_offer_allows(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """Rule M1, for any interleaving of orders, vouchers and restarts."""
    counter = Counter(tmp_path_factory.mktemp("counter"), price=1000)
    dearest = generate_price(counter)
    unpaid: list[Bought] = []

    async def step() -> None:
        act = data.draw(st.sampled_from(["buy", "buy", "pay", "restart"]))
        if act == "buy" and len(unpaid) == counter.limits.max_unpaid:
            with pytest.raises(Refused, match=r"channel\.unpaid"):
                await counter.buy()
        elif act == "buy":
            unpaid.append(await counter.buy())
        elif act == "pay" and unpaid:
            some = data.draw(st.permutations(unpaid))[: data.draw(st.integers(1, len(unpaid)))]
            await counter.pay(*some)
            for bought in some:
                unpaid.remove(bought)
        elif act == "restart":
            counter.restart()
        assert set(counter.tab().unpaid) == {bought.digest for bought in unpaid}
        assert counter.tab().amount == counter.amount
        assert counter.tab().owed <= counter.limits.max_unpaid * dearest

    for _ in itertools.repeat(None, 8):
        run(step)
    counter.journal.close()


def generate_price(counter: Counter) -> int:
    """Of the dearest order that this test places."""
    offer = counter.listing.offer
    return -(-(26 * offer.price_in + 12 * offer.price_out) // 10**6)
