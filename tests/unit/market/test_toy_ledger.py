"""The chain in memory: its refusals, and that it makes and loses nothing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.market.toy_ledger import Town, ToyLedger
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.records import Kind, Level, Offer, Registration, Voucher
from steelyard.protocol.units import Address

OWNER, SESSION, AUTHOR, ONE, TWO = (Key(sha256(b"toy", bytes([at]))) for at in range(5))
CHANNEL = sha256(b"toy channel")
CAP = 10_000


class Street:
    """A town with two providers and a channel to both."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.town = Town(Domain(1, checksum("0x" + "33" * 20)), clock=lambda: self.now)
        self.town.register(Registration(1, ZERO32, AUTHOR.address, AUTHOR.address, 500, 10, 0, 1, ZERO32), "toy")
        shares = {ONE.address: 6000, TWO.address: 4000}
        self.town.open(CHANNEL, OWNER.address, SESSION.address, CAP, self.now + 10**6, shares)
        self.ledgers = {key.address: self.town.of(key.address) for key in (ONE, TWO)}

    def offer(self, provider: Address, level: Level = Level.AUDITED) -> Offer:
        (registration,) = self.town.models
        return Offer(1, provider, registration, int(Kind.GENERATE), int(level), 1, 1, 1, 10, 10, 1, 0, 2**40, 0)

    def claim(
        self, provider: Address, amount: int, count: int, level: Level = Level.AUDITED, key: Key = SESSION
    ) -> None:
        offer = self.offer(provider, level)
        voucher = Voucher(1, CHANNEL, offer.digest(self.town.domain), amount, count, ZERO32)
        self.ledgers[provider].claim(offer, voucher, key.sign(voucher.digest(self.town.domain)))

    def held(self) -> int:
        """All that was ever put in, wherever it is now."""
        town = self.town
        channels = sum(0 if c.closed else c.deposit - c.claimed for c in town.channels.values())
        waiting = sum(claim.amount for claim in town.claims if claim.state != "paid")
        return channels + waiting + sum(town.credits.values()) + sum(town.wallets.values())


@pytest.fixture
def street() -> Street:
    return Street()


def test_a_claim_waits_for_its_bond_then_vests_then_pays_provider_and_author(street: Street) -> None:
    one, town = street.ledgers[ONE.address], street.town
    street.claim(ONE.address, 1000, 2)
    (claim,) = one.claims(ONE.address)
    assert (claim.state, claim.reserve) == ("waiting", 2 * town.flat + 1000 * 4 * 50)
    with pytest.raises(Refused, match=r"bonds\.short"):
        one.start(1)
    one.deposit_bond(claim.reserve)
    one.start(1)
    assert one.free_bond(ONE.address) == 0
    with pytest.raises(Refused, match=r"escrow\.early"):
        one.pay(1)
    street.now += town.terms.longest_order + town.terms.challenge_window
    one.pay(1)
    one.collect()
    assert town.wallets[ONE.address] == 950
    assert town.credits[AUTHOR.address] == 50
    assert one.free_bond(ONE.address) == claim.reserve


def test_level_open_reserves_nothing_and_vests_at_once(street: Street) -> None:
    street.claim(ONE.address, 1000, 1, Level.OPEN)
    street.ledgers[ONE.address].pay(1)
    assert street.ledgers[ONE.address].stake_of(Level.OPEN, street.town.claims[0].amount) == 0


def test_what_the_escrow_refuses_is_refused_here(street: Street) -> None:
    street.claim(ONE.address, 100, 1)
    for amount, count, rule in ((100, 2, "stale-voucher"), (101, 1, "stale-voucher"), (6001, 9, "over-allocation")):
        with pytest.raises(Refused, match=rf"escrow\.{rule}"):
            street.claim(ONE.address, amount, count)
    with pytest.raises(Refused, match="signature"):
        street.claim(ONE.address, 200, 2, key=OWNER)
    street.town.channels[CHANNEL] = replace(street.town.channels[CHANNEL], cap=500)
    with pytest.raises(Refused, match=r"escrow\.over-cap"):
        street.claim(ONE.address, 600, 2)
    with pytest.raises(Refused, match=r"escrow\.allocation"):
        street.town.open(ZERO32, OWNER.address, SESSION.address, 5, 9, {ONE.address: 6})


def test_a_channel_is_refunded_after_its_window_and_never_twice(street: Street) -> None:
    with pytest.raises(Refused, match=r"escrow\.not-closing"):
        street.town.refund(CHANNEL)
    street.town.request_close(CHANNEL)
    with pytest.raises(Refused, match=r"escrow\.closing"):
        street.town.request_close(CHANNEL)
    street.claim(ONE.address, 100, 1)
    with pytest.raises(Refused, match=r"escrow\.early"):
        street.town.refund(CHANNEL)
    street.now += street.town.close_window
    street.town.refund(CHANNEL)
    assert street.town.credits[OWNER.address] == CAP - 100
    with pytest.raises(Refused, match=r"escrow\.closed"):
        street.town.refund(CHANNEL)
    with pytest.raises(Refused, match=r"escrow\.closed"):
        street.claim(ONE.address, 200, 2)


def test_a_dead_endpoint_answers_nothing(street: Street) -> None:
    street.town.reachable = False
    ledger: ToyLedger = street.ledgers[ONE.address]
    for call in (ledger.now, ledger.epoch, ledger.models, ledger.providers, ledger.collect):
        with pytest.raises(Unavailable, match=r"chain\.unreachable"):
            call()


ACTS = ("claim", "claim", "start", "pay", "collect", "bond", "wait", "close", "refund")


@given(st.data())
def test_money_is_conserved_to_the_last_unit_whatever_happens(data: Any) -> None:
    street = Street()
    for _ in range(25):
        act = data.draw(st.sampled_from(ACTS))
        who = data.draw(st.sampled_from([ONE.address, TWO.address]))
        number = data.draw(st.integers(0, 7000))
        try:
            if act == "claim":
                level = data.draw(st.sampled_from([Level.OPEN, Level.AUDITED]))
                street.claim(who, number, data.draw(st.integers(0, 9)), level)
            elif act in ("start", "pay"):
                getattr(street.ledgers[who], act)(number % 9)
            elif act == "collect":
                street.ledgers[who].collect()
            elif act == "bond":
                street.ledgers[who].deposit_bond(number * 100)  # type: ignore[arg-type]
            elif act == "wait":
                street.now += number
            else:
                {"close": street.town.request_close, "refund": street.town.refund}[act](CHANNEL)
        except SteelyardError:
            continue
        assert street.held() == CAP
        for account in (ONE.address, TWO.address):
            assert 0 <= street.town.reserved[account] <= street.town.bonds[account]
            assert street.town.spent[CHANNEL, account] <= street.town.allocations[CHANNEL, account]
