"""Escrow: channels, vouchers, claims (spec/escrow.md, ESC-1 to ESC-30)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_tokens import SILENT, SPEAKING
from sources import Mutant
from world import DAY, DEAD, NOBODY, UNITS, Reverted, Terms, World, key, unknown_version

from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.records import Level

ANN, PAUL, RIVAL, SESSION, EVE = key("ann"), key("paul"), key("rival"), key("session"), key("eve")
AUTHOR, WATCHER = key("author"), key("watcher")
WAITING, VESTING, PAID = 1, 2, 3
DEPOSIT = 100 * UNITS
AUDITED = Level.AUDITED
SHARED = World()
"""For tests that only ask."""


class Market(World):
    """A world with an author, two bonded providers and Ann's channel: 60 for Paul, 30 for his rival, 10 left."""

    def __init__(self, mutant: Mutant | None = None, terms: Terms | None = None, token: str = "") -> None:
        super().__init__(mutant, terms, token)
        self.registration = self.model(AUTHOR)
        self.bonded(PAUL, 1_000 * UNITS)
        self.bonded(RIVAL, 1_000 * UNITS)
        self.rich(ANN)
        self.channel = self.open(ANN, SESSION, DEPOSIT, [(PAUL, 60 * UNITS), (RIVAL, 30 * UNITS)])
        self.sold = self.offer(PAUL, self.registration)

    def claimed(self, amount: int, count: int, **changes) -> int:
        """Paul claims on his offer, or on a changed one."""
        sold = replace(self.sold, **changes)
        return self.claim(SESSION, PAUL, sold, self.voucher(self.channel, sold, amount, count))

    def credits(self, *people) -> list[int]:
        return [self.escrow.credit(who if isinstance(who, str) else who.address) for who in people]


@pytest.fixture
def market() -> Market:
    return Market()


# ------------------------------------------------------------------ channels


def test_a_channels_id_is_chain_escrow_owner_nonce_esc_10(market):
    words = (1).to_bytes(32, "big") + b"".join(
        bytes(12) + bytes.fromhex(a[2:]) for a in (market.escrow.address, ANN.address)
    )
    assert market.channel == keccak256(words + b"\x00" * 32) == market.escrow.channel_id(ANN.address, b"\x00" * 32)
    found = market.escrow.channel_of(market.channel)
    assert (found["owner"], found["session_key"]) == (ANN.address, SESSION.address)
    assert (found["deposit"], found["allocated"], found["claimed"]) == (DEPOSIT, 90 * UNITS, 0)
    with pytest.raises(Reverted, match=r"^escrow\.channel-exists$"):
        market.open(ANN, SESSION, 1, [])
    assert market.escrow.separator() == market.domain.separator()


def test_allocations_stay_under_deposit_and_cap_esc_11(market):
    for deposit, cap in ((50, 49), (49, 50)):
        with pytest.raises(Reverted, match=r"^escrow\.allocation$"):
            market.open(ANN, SESSION, deposit, [(PAUL, 25), (RIVAL, 25)], cap=cap, nonce=b"\x01" * 32)
    with pytest.raises(Reverted, match=r"^escrow\.allocation$"):
        market.escrow.allocate(market.channel, PAUL.address, 10 * UNITS + 1, by=ANN)
    with pytest.raises(Reverted, match=r"^escrow\.owner$"):
        market.escrow.allocate(market.channel, PAUL.address, 1, by=SESSION)
    for nothing in ((NOBODY, 1), (PAUL.address, 0)):
        with pytest.raises(Reverted, match=r"^escrow\.allocation$"):
            market.escrow.allocate(market.channel, *nothing, by=ANN)
    market.escrow.allocate(market.channel, PAUL.address, 10 * UNITS, by=ANN)
    assert market.escrow.allocation(market.channel, PAUL.address) == 70 * UNITS


def test_a_channel_without_session_key_or_time_or_money_is_refused(market):
    for rule, changes in (("escrow.nobody", {"session": NOBODY}), ("escrow.expiry", {"expiry": market.now})):
        session = changes.get("session", SESSION.address)
        parts = (session, 5, changes.get("expiry", market.now + 1), 5, [], b"\x01" * 32)
        with pytest.raises(Reverted, match=f"^{rule}$"):
            market.escrow.open(*parts, by=ANN)
    with pytest.raises(Reverted, match=r"^token\.allowance$"):
        market.open(EVE, SESSION, 5, [], nonce=b"\x01" * 32)


def test_anyone_sends_a_grant_that_the_owner_signed_esc_12(market):
    shares = [(PAUL, 3), (RIVAL, 4)]
    pairs = [(who.address, amount) for who, amount in shares]
    grant = market.grant(ANN, SESSION, 10, shares)
    signature = ANN.sign(grant.digest(market.domain))
    channel = market.escrow.open_for(grant, pairs, signature, by=EVE)
    assert market.escrow.channel_of(channel)["owner"] == ANN.address
    assert market.escrow.allocation(channel, RIVAL.address) == 4
    with pytest.raises(Reverted, match=r"^escrow\.channel-exists$"):
        market.escrow.open_for(grant, pairs, signature, by=EVE)


def test_a_grant_that_the_owner_did_not_sign_opens_nothing_esc_12(market):
    grant = market.grant(ANN, SESSION, 10, [(PAUL, 3)])
    pairs, good = [(PAUL.address, 3)], ANN.sign(grant.digest(market.domain))
    elsewhere = Domain(2, market.escrow.address)
    for signature in (
        SESSION.sign(grant.digest(market.domain)),
        ANN.sign(grant.digest(elsewhere)),
        good[:64],
        good + b"\x00",
    ):
        with pytest.raises(Reverted, match=r"^signature$"):
            market.escrow.open_for(grant, pairs, signature, by=EVE)
    with pytest.raises(Reverted, match=r"^signature$"):
        market.escrow.open_for(replace(grant, session_key=EVE.address), pairs, good, by=EVE)
    for wrong in ([(EVE.address, 3)], [], [*pairs, (EVE.address, 1)]):
        with pytest.raises(Reverted, match=r"^escrow\.allocation$"):
            market.escrow.open_for(grant, wrong, good, by=EVE)


WALLET = """
# pragma version 0.4.3
interface Erc20:
    def approve(spender: address, amount: uint256) -> bool: nonpayable
owner: address
@deploy
def __init__(owner: address, token: address, escrow: address):
    self.owner = owner
    extcall Erc20(token).approve(escrow, 1000)
@view
@external
def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> bytes4:
    if len(signature) == 96 and convert(slice(signature, 0, 32), address) == self.owner:
        return 0x1626ba7e
    return 0xffffffff
"""


def test_a_contract_owns_a_channel_by_eip_1271_esc_12(market):
    wallet = market.deploy_source(WALLET, (ANN.address, market.token.address, market.escrow.address))
    market.token.mint(wallet.address, 10, by=market.deployer)
    grant = replace(market.grant(ANN, SESSION, 10, []), owner=wallet.address)
    good = (bytes(12) + bytes.fromhex(ANN.address[2:])).ljust(96, b"\x00")
    with pytest.raises(Reverted, match=r"^signature$"):
        market.escrow.open_for(grant, [], ANN.sign(grant.digest(market.domain)), by=EVE)
    channel = market.escrow.open_for(grant, [], good, by=EVE)
    assert market.escrow.channel_of(channel)["owner"] == wallet.address
    assert market.token.balanceOf(wallet.address) == 0


def test_a_top_up_raises_the_cap_only_if_the_owner_pays_esc_13(market):
    market.rich(EVE, 5)
    market.escrow.top_up(market.channel, 5, by=EVE)
    market.escrow.top_up(market.channel, 7, by=ANN)
    found = market.escrow.channel_of(market.channel)
    assert (found["deposit"], found["cap"]) == (DEPOSIT + 12, DEPOSIT + 7)
    with pytest.raises(Reverted, match=r"^escrow\.nothing$"):
        market.escrow.top_up(market.channel, 0, by=ANN)
    with pytest.raises(Reverted, match=r"^escrow\.no-channel$"):
        market.escrow.top_up(b"\x09" * 32, 1, by=ANN)


def test_closing_takes_a_request_and_a_window_esc_14_esc_15(market):
    with pytest.raises(Reverted, match=r"^escrow\.owner$"):
        market.escrow.request_close(market.channel, by=SESSION)
    with pytest.raises(Reverted, match=r"^escrow\.not-closing$"):
        market.escrow.refund(market.channel, by=ANN)
    market.escrow.request_close(market.channel, by=ANN)
    for call in (
        lambda: market.escrow.request_close(market.channel, by=ANN),
        lambda: market.escrow.top_up(market.channel, 1, by=ANN),
        lambda: market.escrow.allocate(market.channel, PAUL.address, 1, by=ANN),
    ):
        with pytest.raises(Reverted, match=r"^escrow\.closing$"):
            call()
    market.claimed(10 * UNITS, 1)
    market.turn(1_199)
    with pytest.raises(Reverted, match=r"^escrow\.early$"):
        market.escrow.refund(market.channel, by=EVE)
    market.turn(1)
    market.escrow.refund(market.channel, by=EVE)
    assert market.credits(ANN) == [90 * UNITS]
    with pytest.raises(Reverted, match=r"^escrow\.closed$"):
        market.escrow.refund(market.channel, by=EVE)
    with pytest.raises(Reverted, match=r"^escrow\.closed$"):
        market.claimed(11 * UNITS, 2)


def test_an_expired_channel_is_closed_by_anyone_and_still_pays_claims_esc_14_esc_21(market):
    market.turn(10 * DAY)
    with pytest.raises(Reverted, match=r"^escrow\.owner$"):
        market.escrow.request_close(market.channel, by=EVE)
    market.turn(1)
    market.escrow.request_close(market.channel, by=EVE)
    assert market.claimed(1 * UNITS, 1) == 1


# ------------------------------------------------------------------ vouchers


def test_a_claim_says_which_receipts_it_pays_esc_24(market):
    first, second = market.claimed(10 * UNITS, 3), market.claimed(12 * UNITS, 7)
    assert market.told("Claimed")["amount"] == 2 * UNITS
    found = market.escrow.claim_of(second)
    assert (first, second) == (1, 2)
    assert (found["first"], found["count"], found["amount"], found["state"]) == (3, 7, 2 * UNITS, VESTING)
    assert (found["provider"], found["offer"]) == (PAUL.address, market.sold.digest(market.domain))
    assert (found["channel"], found["registration"]) == (market.channel, market.registration)
    assert found["receipts_root"] == b"\x33" * 32
    assert found["level"] == AUDITED
    assert market.escrow.vouched_of(market.channel, found["offer"]) == (12 * UNITS, 7)
    assert market.escrow.claim_of(3)["state"] == 0


@pytest.mark.parametrize(("amount", "count"), [(10, 3), (10, 4), (11, 3), (9, 4), (11, 2), (9, 2), (0, 0)])
def test_a_stale_or_replayed_voucher_is_refused_esc_22(market, amount, count):
    market.claimed(10, 3)
    with pytest.raises(Reverted, match=r"^escrow\.stale-voucher$"):
        market.claimed(amount, count)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=8))
def test_whatever_the_order_of_vouchers_the_highest_claimed_one_is_what_was_paid_esc_22(vouchers):
    market = Market()
    high = (0, 0)
    for amount, count in vouchers:
        if amount > high[0] and count > high[1]:
            market.claimed(amount, count)
            high = (amount, count)
        else:
            with pytest.raises(Reverted, match=r"^escrow\.stale-voucher$"):
                market.claimed(amount, count)
        assert market.escrow.channel_of(market.channel)["claimed"] == high[0]
        assert market.escrow.spent(market.channel, PAUL.address) == high[0]


def test_only_the_offers_provider_claims_esc_20(market):
    sold = market.sold
    voucher = market.voucher(market.channel, sold, 5, 1)
    for stranger in (EVE, ANN, RIVAL):
        with pytest.raises(Reverted, match=r"^escrow\.provider$"):
            market.claim(SESSION, stranger, sold, voucher)


def test_a_voucher_of_another_key_domain_channel_offer_amount_count_or_root_is_refused_esc_21(market):
    sold = market.sold
    voucher = market.voucher(market.channel, sold, 5, 1)
    with pytest.raises(Reverted, match=r"^signature$"):
        market.claim(ANN, PAUL, sold, voucher)
    other = market.open(ANN, EVE, 10, [(PAUL, 10)], nonce=b"\x02" * 32)
    good = SESSION.sign(voucher.digest(market.domain))
    parts = [market.channel, sold, 5, 1, voucher.receipts_root, good]
    wrong = [
        (0, other),
        (1, replace(sold, nonce=1)),
        (2, 6),
        (3, 2),
        (4, b"\x34" * 32),
        (5, SESSION.sign(voucher.digest(Domain(2, market.escrow.address)))),
        (5, SESSION.sign(voucher.digest(Domain(1, market.orders.address)))),
        (5, good[:64]),
        (5, good[:64] + b"\x01"),
    ]
    for at, value in wrong:
        with pytest.raises(Reverted, match=r"^signature$"):
            market.escrow.claim(*parts[:at], value, *parts[at + 1 :], by=PAUL)
    with pytest.raises(Reverted, match=r"^escrow\.no-channel$"):
        market.escrow.claim(b"\x09" * 32, *parts[1:], by=PAUL)
    market.escrow.claim(*parts, by=PAUL)


def test_records_of_an_unknown_version_are_refused(market):
    signature = b"\x00" * 65
    with pytest.raises(Reverted, match=r"^record\.version$"):
        market.escrow.claim(market.channel, unknown_version(market.sold), 5, 1, b"\x00" * 32, signature, by=PAUL)
    grant = market.grant(ANN, SESSION, 10, [])
    wallet = market.deploy_source(WALLET, (ANN.address, market.token.address, market.escrow.address))
    owned = unknown_version(replace(grant, owner=wallet.address))
    accepted = (bytes(12) + bytes.fromhex(ANN.address[2:])).ljust(96, b"\x00")
    with pytest.raises(Reverted, match=r"^record\.version$"):
        market.escrow.open_for(owned, [], accepted, by=EVE)


def test_a_voucher_counts_only_towards_its_own_offer(market):
    market.claimed(10, 3)
    market.claimed(4, 1, nonce=9)
    assert market.escrow.channel_of(market.channel)["claimed"] == 14


def test_the_sum_over_a_providers_offers_stays_under_its_allocation_esc_23(market):
    market.claimed(40 * UNITS, 1, level=1)
    with pytest.raises(Reverted, match=r"^escrow\.over-allocation$"):
        market.claimed(20 * UNITS + 1, 1, level=1, nonce=9)
    market.claimed(20 * UNITS, 1, level=1, nonce=9)
    with pytest.raises(Reverted, match=r"^escrow\.over-allocation$"):
        market.claim(
            SESSION,
            EVE,
            replace(market.sold, provider=EVE.address),
            market.voucher(market.channel, replace(market.sold, provider=EVE.address), 1, 1),
        )


@pytest.mark.parametrize("level", [0, 4, 5, 6, 7, 255])
def test_levels_that_are_not_sold_yet_are_refused_esc_25(market, level):
    with pytest.raises(Reverted, match=r"^escrow\.level$"):
        market.claimed(5, 1, level=level)


# ------------------------------------------------------------------ vesting and paying


def test_level_open_reserves_nothing_and_is_paid_at_once_esc_25(market):
    claim = market.claimed(5 * UNITS, 2, level=1)
    assert market.escrow.claim_of(claim)["reserve"] == 0
    market.escrow.pay(claim, by=EVE)
    assert market.escrow.claim_of(claim)["state"] == PAID


def test_level_audited_reserves_by_rule_m5_and_vests_after_d_and_w_esc_25_esc_26(market):
    claim = market.claimed(5 * UNITS, 2)
    reserve = market.terms.reserve(AUDITED, 2, 5 * UNITS)
    assert reserve == 2 * 2 * UNITS + -(-4 * 5 * UNITS * 10**6 // 89_100)
    assert market.bonds.reserved_by(PAUL.address, market.escrow.address) == reserve
    assert market.escrow.claim_of(claim)["reserve"] == reserve == market.escrow.reserve_of(2, 2, 5 * UNITS)
    assert market.told("Started") == {"claim": claim, "reserve": reserve, "vests_at": market.now + 1_200}
    market.turn(1_199)
    with pytest.raises(Reverted, match=r"^escrow\.early$"):
        market.escrow.pay(claim, by=PAUL)
    market.turn(1)
    market.escrow.pay(claim, by=EVE)
    assert market.bonds.reserved(PAUL.address) == 0
    with pytest.raises(Reverted, match=r"^escrow\.claim-state$"):
        market.escrow.pay(claim, by=EVE)


@given(st.lists(st.integers(0, 10 * UNITS), min_size=1, max_size=20))
def test_a_claims_reserve_covers_the_stakes_of_its_receipts_esc_26(prices):
    escrow = SHARED.escrow
    stakes = sum(escrow.stake_of(2, price) for price in prices)
    assert escrow.reserve_of(2, len(prices), sum(prices)) >= stakes
    assert escrow.stake_of(1, prices[0]) == escrow.reserve_of(1, 1, prices[0]) == 0
    q = SHARED.terms.q_ppm
    assert all(q * (escrow.stake_of(2, price) // 2) >= 2 * (price - 1) * 10**6 for price in prices if price)


def test_a_split_goes_to_payee_pool_burn_and_the_rest_to_the_provider_esc_29(market):
    claim = market.claimed(9_999, 1, level=1)
    market.escrow.pay(claim)
    assert market.credits(AUTHOR, DEAD, PAUL) == [499, 99, 9_999 - 499 - 199 - 99]
    assert market.escrow.pool_balance() == 199
    assert market.told("Paid") == {
        "claim": 1,
        "provider": PAUL.address,
        "to_provider": 9_202,
        "royalty": 499,
        "pool": 199,
        "burned": 99,
    }


def test_an_unknown_registration_has_no_royalty_esc_29(market):
    claim = market.claimed(10_000, 1, level=1, registration=b"\x55" * 32)
    market.escrow.pay(claim)
    assert market.credits(AUTHOR, PAUL) == [0, 9_700]


def test_a_claim_beyond_the_free_bond_waits_and_its_money_stays_esc_27(market):
    market.bonds.reserve(PAUL.address, 999 * UNITS, by=market.rulings)
    claim = market.claimed(10 * UNITS, 1)
    assert market.escrow.claim_of(claim)["state"] == WAITING
    assert market.bonds.reserved_by(PAUL.address, market.escrow.address) == 0
    with pytest.raises(Reverted, match=r"^bonds\.short$"):
        market.escrow.start(claim, by=PAUL)
    with pytest.raises(Reverted, match=r"^escrow\.claim-state$"):
        market.escrow.pay(claim)
    market.escrow.request_close(market.channel, by=ANN)
    market.turn(1_200)
    market.escrow.refund(market.channel)
    assert market.credits(ANN) == [90 * UNITS]
    market.bonds.release(PAUL.address, 999 * UNITS, by=market.rulings)
    market.escrow.start(claim, by=EVE)
    with pytest.raises(Reverted, match=r"^escrow\.claim-state$"):
        market.escrow.start(claim, by=EVE)
    market.turn(1_200)
    market.escrow.pay(claim)
    assert market.credits(PAUL) == [9_200_000]


def test_an_open_case_holds_a_claim_and_holds_are_counted_esc_28(market):
    claim = market.claimed(10 * UNITS, 1)
    for stranger in (EVE, PAUL, ANN, market.deployer):
        for call in (market.escrow.hold, market.escrow.unhold):
            with pytest.raises(Reverted, match=r"^escrow\.authority$"):
                call(claim, by=stranger)
    market.escrow.hold(claim, by=market.rulings)
    market.escrow.hold(claim, by=market.rulings)
    market.turn(1_200)
    market.escrow.unhold(claim, by=market.rulings)
    with pytest.raises(Reverted, match=r"^escrow\.held$"):
        market.escrow.pay(claim)
    market.escrow.unhold(claim, by=market.rulings)
    market.escrow.pay(claim)
    for call in (market.escrow.hold, market.escrow.unhold):
        with pytest.raises(Reverted, match=r"^escrow\.claim-state$"):
            call(claim, by=market.rulings)
    with pytest.raises(Reverted, match=r"^escrow\.claim-state$"):
        market.escrow.hold(99, by=market.rulings)


def test_a_claim_is_started_and_paid_while_held_only_after_the_hold_ends_esc_28(market):
    market.bonds.reserve(PAUL.address, 1_000 * UNITS, by=market.rulings)
    claim = market.claimed(10, 1)
    market.escrow.hold(claim, by=market.rulings)
    market.bonds.release(PAUL.address, 1_000 * UNITS, by=market.rulings)
    market.escrow.start(claim)
    assert market.escrow.claim_of(claim)["holds"] == 1


def test_the_pool_is_shared_once_an_epoch_by_stake_esc_30(market):
    market.escrow.pay(market.claimed(10_000, 1, level=1))
    with pytest.raises(Reverted, match=r"^escrow\.no-auditors$"):
        market.escrow.share_pool(by=EVE)
    for who, stake in ((WATCHER, UNITS), (EVE, 2 * UNITS)):
        market.bonded(who, stake)
        market.registry.join(b"\x01" * 32, "http://a", stake, by=who)
    market.turn(300)
    market.escrow.share_pool(by=EVE)
    assert market.credits(WATCHER, EVE) == [66, 134]
    assert market.escrow.pool_balance() == 0
    with pytest.raises(Reverted, match=r"^escrow\.pool-shared$"):
        market.escrow.share_pool(by=EVE)
    market.turn(300)
    with pytest.raises(Reverted, match=r"^escrow\.nothing$"):
        market.escrow.share_pool(by=EVE)


def test_orders_alone_brings_orders(market):
    with pytest.raises(Reverted, match=r"^escrow\.authority$"):
        market.escrow.claim_order(b"\x01" * 32, b"\x01" * 32, PAUL.address, b"\x01" * 32, 1, 5, b"\x01" * 32, by=EVE)


def test_the_root_of_a_claimed_order_is_the_tree_of_its_receipt():
    world = World()
    fresh = world.deploy("Escrow", (world.token.address, world.bonds.address, world.registry.address, TERMS))
    fresh.bind(EVE.address, world.rulings.address, by=world.deployer)
    claim = fresh.claim_order(b"\x01" * 32, b"\x02" * 32, PAUL.address, b"\x03" * 32, 1, 5, b"\x04" * 32, by=EVE)
    assert fresh.claim_of(claim)["receipts_root"] == merkle.root([merkle.leaf_hash(b"\x04" * 32)])


# ------------------------------------------------------------------ money in and out


def test_a_credit_is_collected_by_its_account_or_for_it_esc_2(market):
    market.escrow.pay(market.claimed(10_000, 1, level=1))
    before = market.token.balanceOf(PAUL.address)
    assert market.escrow.collect_for(PAUL.address, by=EVE) == 9_200
    assert market.escrow.collect(by=AUTHOR) == 500
    assert market.token.balanceOf(PAUL.address) == before + 9_200
    for call in (lambda: market.escrow.collect(by=EVE), lambda: market.escrow.collect_for(PAUL.address, by=EVE)):
        with pytest.raises(Reverted, match=r"^money\.no-credit$"):
            call()


TERMS = (600, 600, 1_200, 100_000, 990_000, 100_000, 4, 1, 200, 100)


@pytest.mark.parametrize(
    ("at", "value"),
    [(2, 599), (3, 10**6 + 1), (3, 0), (4, 10**6 + 1), (5, 10**6), (6, 3), (7, 0), (8, 8_901), (9, 8_801)],
)
def test_terms_that_break_a_rule_are_refused_esc_14_esc_26(at, value):
    world = SHARED
    terms = (*TERMS[:at], value, *TERMS[at + 1 :])
    with pytest.raises(Reverted, match=r"^escrow\.terms$"):
        world.deploy("Escrow", (world.token.address, world.bonds.address, world.registry.address, terms))


def test_escrow_is_bound_once_by_the_deployer_esc_5(market):
    with pytest.raises(Reverted, match=r"^escrow\.bound$"):
        market.escrow.bind(EVE.address, EVE.address, by=market.deployer)
    fresh = market.deploy("Escrow", (market.token.address, market.bonds.address, market.registry.address, TERMS))
    with pytest.raises(Reverted, match=r"^escrow\.deployer$"):
        fresh.bind(EVE.address, EVE.address, by=EVE)
    with pytest.raises(Reverted, match=r"^escrow\.nobody$"):
        fresh.bind(EVE.address, NOBODY, by=market.deployer)


def test_a_token_that_returns_nothing_pays_esc_3():
    market = Market(token=SILENT)
    market.escrow.pay(market.claimed(10_000, 1, level=1))
    assert market.escrow.collect(by=PAUL) == 9_200


def test_a_token_that_keeps_a_fee_or_says_no_is_refused_esc_3():
    market = Market(token=SPEAKING)
    market.token.set_fee(1)
    with pytest.raises(Reverted, match=r"^money\.short-transfer$"):
        market.escrow.top_up(market.channel, 5, by=ANN)
    market.token.set_fee(0)
    market.token.set_answer(False)
    with pytest.raises(Reverted, match=r"^money\.transfer$"):
        market.escrow.top_up(market.channel, 5, by=ANN)
    market.escrow.pay(market.claimed(10_000, 1, level=1))
    with pytest.raises(Reverted, match=r"^money\.transfer$"):
        market.escrow.collect(by=PAUL)


@pytest.mark.parametrize("blocked", [PAUL.address, AUTHOR.address, DEAD, ANN.address])
def test_one_blocked_payee_blocks_nobody_esc_2(blocked):
    market = Market(token=SPEAKING)
    market.token.block(blocked)
    market.escrow.pay(market.claimed(10_000, 1, level=1))
    market.escrow.request_close(market.channel, by=ANN)
    market.turn(1_200)
    market.escrow.refund(market.channel, by=EVE)
    for who in (PAUL.address, AUTHOR.address, DEAD, ANN.address):
        due = market.escrow.credit(who)
        assert due > 0
        if who == blocked:
            with pytest.raises(Reverted, match=r"^blocked$"):
                market.escrow.collect_for(who, by=EVE)
            assert market.escrow.credit(who) == due
        else:
            assert market.escrow.collect_for(who, by=EVE) == due
