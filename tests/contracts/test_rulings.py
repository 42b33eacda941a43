"""Rulings: challenges, juries, slashes (spec/rulings.md, RUL-1 to RUL-41)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from courtroom import (
    ANN,
    ANSWER,
    AUDITORS,
    BOND,
    BUYER,
    CANNOT_TELL,
    CHALLENGED,
    CHEATED,
    COIN,
    DRAWN,
    EVE,
    HONEST,
    NO_TICKET,
    NO_TIE,
    NOT_OPENED,
    ON_CHAIN,
    OPENED,
    PAUL,
    PRICE_OUT,
    PROMPT,
    RULED,
    SEATED,
    SESSION,
    TICKET,
    WATCH,
    Courtroom,
    Rules,
    Sale,
)
from desk import packed
from hypothesis import given
from hypothesis import strategies as st
from world import DEAD, UNITS, Reverted, compiled

from steelyard.protocol import roots
from steelyard.protocol.hashing import ZERO32, keccak256, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level

OTHER = AUDITORS[1]
RULES = Rules()
WAITING = Rules(appeal_window=500)


@pytest.fixture
def room() -> Courtroom:
    return Courtroom()


def refused(rule: str) -> Any:
    """Expects a revert with exactly this rule's name."""
    return pytest.raises(Reverted, match=f"^{rule.replace('.', '[.]')}$")


def test_the_code_fits_into_a_contract():
    assert len(compiled("Rulings").runtime) <= 24_576  # EIP-170


def test_terms_that_leave_no_bounty_are_refused():
    for rules in (
        Rules(seats=0),
        Rules(seats=32),
        Rules(stake=6 * RULES.juror_fee - 1),  # half of a stake pays the jury
        Rules(juror_fee=UNITS // 2),
        Rules(open_window=0),
        Rules(commit_window=0),
        Rules(reveal_window=0),
    ):
        with refused("rulings.terms"):
            Courtroom(rules=rules)


# ------------------------------------------------------------------ challenging


def spoiled(room: Courtroom, sale: Sale) -> dict[str, tuple[str, Sale]]:
    """A sale with one thing wrong each, and the rule that says so."""
    order, receipt, offer = sale.order, sale.receipt, sale.offer

    def resigned(**changes: Any) -> Sale:
        new = replace(receipt, **changes)
        return replace(sale, receipt=new, receipt_signature=PAUL.sign(new.digest(room.domain)))

    def reordered(**changes: Any) -> Sale:
        return room.sell(replace(order, **changes), changes.pop("sold", None) or offer)

    return {
        "another offer shown": ("rulings.other-offer", replace(sale, offer=replace(offer, nonce=9))),
        "a receipt of another offer": ("rulings.other-offer", resigned(offer=b"\x01" * 32)),
        "another level": ("rulings.other-offer", reordered(level=1)),
        "another registration": ("rulings.other-offer", reordered(registration=b"\x01" * 32)),
        "a receipt of another order": ("rulings.other-order", resigned(order=b"\x01" * 32)),
        "a unit less": ("rulings.answer-root", replace(sale, answer=ANSWER[:-1])),
        "another salt": ("rulings.answer-root", replace(sale, salt=b"\x03" * 32)),
        "a receipt that the provider did not sign": (
            "signature",
            replace(sale, receipt_signature=EVE.sign(sale.digest)),
        ),
        "an order that the session key did not sign": (
            "signature",
            replace(sale, order_signature=ANN.sign(order.digest(room.domain))),
        ),
        "an order in no channel": ("rulings.unknown-channel", reordered(channel=b"\xff" * 32)),
        "an order that nobody placed": ("rulings.unknown-order", reordered(channel=bytes(31) + b"\x07")),
    }


CHECKED = (
    "another offer shown",
    "a receipt of another offer",
    "another level",
    "another registration",
    "a receipt of another order",
    "a unit less",
    "another salt",
    "a receipt that the provider did not sign",
    "an order that the session key did not sign",
    "an order in no channel",
    "an order that nobody placed",
)


@pytest.mark.parametrize("what", CHECKED)
def test_records_that_do_not_fit_open_no_case_rul_1(room, what):
    sale = room.sell()
    rule, wrong = spoiled(room, sale)[what]
    with refused(rule):
        room.challenge(wrong, consent=room.ticket(wrong))
    with refused(rule):
        twin = replace(wrong.receipt, evidence_root=b"\x09" * 32)
        signatures = (wrong.order_signature, wrong.receipt_signature)
        other = (twin, PAUL.sign(twin.digest(room.domain)))
        room.proofs.convict_twice(wrong.exhibit, *signatures, *other, NO_TIE, by=EVE)
    room.challenge(sale)


def test_records_of_another_version_are_refused_rul_1(room):
    sale = room.sell()
    plain = [[getattr(r, n) for n in r.solidity()] for r in (sale.offer, sale.order, sale.receipt)]
    for which in range(3):
        records = [list(fields) for fields in plain]
        records[which][0] += 1
        exhibit = (*records, len(ANSWER), sale.exhibit[4])
        signatures = (sale.order_signature, sale.receipt_signature)
        with refused("record.version"):
            room.court.challenge(exhibit, *signatures, TICKET, *room.ticket(sale), ZERO32, by=WATCH)


def test_level_open_is_not_challenged_rul_2(room):
    sale = room.sell(offer=room.offer(PAUL, room.registration, Level.OPEN))
    with refused("rulings.level-open"):
        room.challenge(sale)


def test_a_challenge_comes_by_deadline_and_window_rul_3(room):
    sale = room.sell()
    consent = room.ticket(sale, expiry=2**64 - 1)
    room.turn(600 + room.terms.challenge_window)
    room.court.challenge(sale.exhibit, sale.order_signature, sale.receipt_signature, TICKET, *consent, ZERO32, by=WATCH)
    room.turn(1)
    with refused("rulings.too-late"):
        room.challenge(sale, OTHER)


def test_the_epoch_has_begun_and_is_remembered_rul_4(room):
    now = room.registry.epoch()
    future = room.sell(room.order(jury_epoch=now + 1))
    with refused("registry.epoch-open"):
        room.challenge(future)
    forgotten = room.sell(room.order(jury_epoch=now - 101))
    with refused("registry.epoch-forgotten"):
        room.challenge(forgotten)


def test_buyer_and_session_key_may_challenge_rul_5(room):
    room.bonded(SESSION, UNITS)
    for who in (ANN, SESSION):
        case = room.challenge(room.sell(), who, BUYER)
        assert room.court.case_of(case)["opener"] == who.address
    for who in (EVE, WATCH):
        with refused("rulings.not-the-buyer"):
            room.challenge(room.sell(), who, BUYER)


def test_a_ticket_is_one_auditors_for_one_receipt_until_it_expires_rul_5(room):
    sale, other = room.sell(), room.sell(nonce=1)
    ticket, signature = room.ticket(sale)
    wrong = [
        ("rulings.ticket", OTHER, (ticket, signature)),
        ("rulings.ticket", WATCH, room.ticket(other)),
        ("rulings.ticket-expired", WATCH, room.ticket(sale, expiry=room.now - 1)),
        ("signature", WATCH, (ticket, ANN.sign(ticket.digest(room.domain)))),
        ("signature", WATCH, (replace(ticket, expiry=ticket.expiry + 1), signature)),
        ("signature", WATCH, (ticket, b"")),
    ]
    for rule, who, consent in wrong:
        with refused(rule):
            room.challenge(sale, who, consent=consent)
    room.challenge(sale, consent=room.ticket(sale, expiry=room.now))


def test_the_provider_never_challenges_its_own_receipt_rul_5(room):
    sale = room.sell()
    with refused("rulings.own-receipt"):
        room.challenge(sale, PAUL, consent=room.ticket(sale, PAUL))


@pytest.mark.parametrize("basis", [0, 5, 255, ON_CHAIN])
def test_no_other_basis_counts_rul_5(room, basis):
    with refused("rulings.basis"):
        room.challenge(room.sell(), WATCH, basis, (NO_TICKET, b""))


def drawn_sale(room: Courtroom, draws: bool = True) -> Sale:
    """A sale whose coin draws (or not)."""
    for nonce in range(1_000):
        sale = room.sell(nonce=nonce)
        if roots.coin_draws(COIN, sale.digest, room.terms.rate_ppm) is draws:
            return sale
    raise AssertionError("a tenth of all coins draws")


def drawn_auditor(room: Courtroom, sale: Sale) -> Key:
    """Whom the coin draws."""
    seed = sha256(COIN, sale.digest, b"\x01")
    excluded = [PAUL.address, ANN.address, SESSION.address]
    drawn = room.registry.draw(sale.order.jury_epoch, seed, 1, excluded)
    return next(auditor for auditor in AUDITORS if [auditor.address] == drawn)


def test_the_drawn_auditor_challenges_without_consent_and_the_provider_opens_rul_6(room):
    sale = drawn_sale(room)
    auditor = drawn_auditor(room, sale)
    for who in AUDITORS:
        if who is not auditor:
            with refused("rulings.not-drawn"):
                room.challenge(sale, who, DRAWN, coin=COIN)
    with refused("rulings.coin"):
        room.challenge(sale, auditor, DRAWN, coin=b"\x0d" * 32)
    case = room.challenge(sale, auditor, DRAWN, coin=COIN)
    assert room.court.case_of(case)["opener"] == PAUL.address
    assert room.told("Challenged")["basis"] == DRAWN
    room.seat(case)
    with refused("rulings.not-the-opener"):
        room.open_up(case, auditor)
    room.open_up(case, PAUL)


def test_a_coin_that_does_not_draw_gives_no_right_rul_6(room):
    sale = drawn_sale(room, draws=False)
    with refused("rulings.not-drawn"):
        room.challenge(sale, drawn_auditor(room, sale), DRAWN, coin=COIN)


def test_the_contract_draws_the_very_coins_that_python_draws_rul_6():
    room = Courtroom()
    auditor_of: dict[bytes, Key] = {}

    @given(st.integers(0, 2**32))
    def check(nonce: int) -> None:
        sale = room.sell(nonce=nonce)
        auditor = auditor_of.setdefault(sale.digest, drawn_auditor(room, sale))
        if room.court.latest(sale.digest, auditor.address) != ZERO32 or room.bonds.free(auditor.address) < RULES.stake:
            return
        if roots.coin_draws(COIN, sale.digest, room.terms.rate_ppm):
            room.challenge(sale, auditor, DRAWN, coin=COIN)
        else:
            with refused("rulings.not-drawn"):
                room.challenge(sale, auditor, DRAWN, coin=COIN)

    check()


def test_a_challenge_reserves_both_stakes_rul_7(room):
    sale = room.sell()
    case = room.challenge(sale)
    found = room.court.case_of(case)
    assert found["stage"] == CHALLENGED
    assert found["stake"] == found["reserved"] == room.stake(sale) > room.terms.flat
    assert room.bonds.reserved_by(PAUL.address, room.court.address) == room.stake(sale)
    assert room.bonds.reserved_by(WATCH.address, room.court.address) == RULES.stake
    told = room.told("Challenged")
    assert (told["case"], told["receipt"], told["challenger"]) == (case, sale.digest, WATCH.address)
    assert (told["provider"], told["stake"]) == (PAUL.address, room.stake(sale))
    with refused("bonds.short"):
        room.challenge(sale, EVE)


def test_a_provider_whose_bond_is_bound_is_challenged_all_the_same_rul_7(room):
    sale = room.sell()
    room.bonds.request_withdrawal(BOND - 7, by=PAUL)
    case = room.challenge(sale)
    assert room.court.case_of(case)["reserved"] == 7
    room.seat(case)
    room.open_up(case)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.held(PAUL) == BOND - room.stake(sale)  # what leaves is not gone yet
    room.check_nothing_left(case)


def test_a_cheap_answer_stakes_f_rul_7(room):
    sale = room.sell(offer=room.offer(PAUL, room.registration))
    assert room.court.case_of(room.challenge(sale))["stake"] == room.terms.flat == room.stake(sale)


def test_a_challenger_has_one_open_case_a_receipt_rul_8(room):
    sale = room.sell()
    room.challenge(sale)
    with refused("rulings.open-case"):
        room.challenge(sale)
    room.challenge(sale, OTHER)


@pytest.mark.parametrize(
    ("prompt", "answer_from", "count", "new"), [(3, 3, 5, 5), (3, 1, 5, 3), (3, 0, 5, 2), (3, 0, 3, 0)]
)
def test_the_price_counts_a_continued_prefix_once_rul_9(room, prompt, answer_from, count, new):
    sale = room.sell(room.order(prompt_units=prompt, answer_from=answer_from), answer=list(range(count)))
    found = room.court.case_of(room.challenge(sale))
    assert found["price"] == sale.price == prompt + new * 200_000


def test_an_answer_shorter_than_its_prefix_is_refused_rul_9(room):
    for order in (room.order(answer_from=0), room.order(answer_from=4)):
        with refused("rulings.answer-count"):
            room.challenge(room.sell(order, answer=[1, 2]))


# ------------------------------------------------------------------ the jury


def test_anyone_seats_a_jury_by_the_hash_of_the_next_block_rul_10(room):
    case = room.challenge(room.sell())
    for _ in range(2):
        with refused("rulings.seed"):
            room.court.seat(case, by=EVE)
        room.turn(1)
    born = room.court.case_of(case)["born"]
    seed = seed_of(room, born + 1, case)
    excluded = [PAUL.address, WATCH.address, ANN.address, SESSION.address]
    expected = room.registry.draw(room.court.case_of(case)["epoch"], seed, 3, excluded)
    room.court.seat(case, by=EVE)
    assert room.court.seats_of(case) == expected == room.told("Seated")["seats"]
    with refused("rulings.stage"):
        room.court.seat(case, by=EVE)


def seed_of(room: Courtroom, number: int, case: bytes) -> bytes:
    """keccak256(hash of a block ‖ case)."""
    return keccak256(bytes(room.evm.block_hash(number)) + case)


def skip(room: Courtroom, blocks: int) -> None:
    """Blocks go by, the clock stands still."""
    room.block += blocks - 1
    room.turn(0)


@pytest.mark.parametrize(("after", "target"), [(2, 1), (256, 1), (257, 1), (258, 257), (513, 257), (514, 513)])
def test_a_seed_that_nobody_fixed_is_scheduled_again_rul_10(room, after, target):
    case = room.challenge(room.sell())
    born = room.court.case_of(case)["born"]
    skip(room, after)
    seed = seed_of(room, born + target, case)
    excluded = [PAUL.address, WATCH.address, ANN.address, SESSION.address]
    expected = room.registry.draw(room.court.case_of(case)["epoch"], seed, 3, excluded)
    room.court.seat(case, by=EVE)
    assert room.court.seats_of(case) == expected
    assert seed != seed_of(room, born + target + 1, case)


def test_parties_never_sit_rul_11():
    room = Courtroom(rules=Rules(seats=10, juror_fee=UNITS // 20))  # more seats than auditors: all that may sit do
    for who in (PAUL, SESSION):
        room.bonded(who, 100 * UNITS)
    for who in (PAUL, ANN, SESSION):
        room.registry.join(b"\x01" * 32, "http://party", 10 * UNITS, by=who)
    room.turn(room.terms.epoch_seconds)
    case = room.challenge(room.sell())
    assert set(room.seat(case)) == set(AUDITORS) - {WATCH}


def test_no_challenger_of_many_sits_in_its_own_case_rul_11(room):
    for nonce, who in enumerate(AUDITORS):  # three of six sit: a party would in some case
        jury = room.seat(room.challenge(room.sell(nonce=nonce), who))
        assert len(set(jury) - {who}) == 3


def test_a_case_that_nobody_seats_lapses_rul_12(room):
    sale = room.sell()
    claim = room.paid(sale)
    case = room.challenge(sale)
    room.court.tie(case, room.tie_of(claim, 0, sale))
    room.turn(RULES.open_window + RULES.commit_window + RULES.reveal_window)
    with refused("rulings.too-early"):
        room.court.settle(case)
    room.turn(1)
    with refused("rulings.too-late"):
        room.court.seat(case)
    room.court.settle(case, by=EVE)
    assert room.told("Settled")["outcome"] == 0
    assert room.held(PAUL) == BOND
    assert room.held(WATCH) == 100 * UNITS
    room.check_nothing_left(case)


def test_a_case_may_be_seated_until_it_lapses_rul_12(room):
    case = room.challenge(room.sell())
    skip(room, 2)
    room.turn(RULES.open_window + RULES.commit_window + RULES.reveal_window)
    room.court.seat(case)


def test_only_the_opener_opens_once_in_time_with_a_key_per_seat_rul_13(room):
    case = room.challenge(room.sell())
    with refused("rulings.stage"):
        room.open_up(case)
    room.seat(case)
    with refused("rulings.not-the-opener"):
        room.open_up(case, EVE)
    with refused("rulings.keys"):
        room.court.open_case(case, b"sealed", [b"key"] * 2, by=WATCH)
    room.turn(RULES.open_window)
    room.court.open_case(case, b"sealed" * 10_000, [b"a" * 128, b"b", b"c"], by=WATCH)
    told = room.told("CaseOpened")
    assert told["ciphertext"] == b"sealed" * 10_000
    assert told["wrapped"] == [b"a" * 128, b"b", b"c"]
    assert (told["commit_until"], told["reveal_until"]) == (room.now + 60, room.now + 130)
    assert room.court.case_of(case)["stage"] == OPENED
    with refused("rulings.stage"):
        room.open_up(case)


def test_an_opener_that_stays_silent_loses_its_stake_rul_14(room):
    case = room.challenge(room.sell())
    room.seat(case)
    assert room.court.case_of(case)["stage"] == SEATED
    room.turn(RULES.open_window)
    with refused("rulings.too-early"):
        room.court.settle(case)
    room.turn(1)
    with refused("rulings.too-late"):
        room.open_up(case)
    room.court.settle(case, by=EVE)
    assert room.told("Settled")["outcome"] == NOT_OPENED
    assert room.held(WATCH) == 100 * UNITS - RULES.stake
    assert room.held(PAUL) == BOND
    assert room.bonds.credit(DEAD) == RULES.stake
    room.check_nothing_left(case)


def test_a_drawn_providers_silence_costs_the_provider_rul_14(room):
    sale = drawn_sale(room)
    auditor = drawn_auditor(room, sale)
    case = room.challenge(sale, auditor, DRAWN, coin=COIN)
    room.seat(case)
    room.turn(RULES.open_window + 1)
    room.court.settle(case)
    assert room.held(PAUL) == BOND - RULES.stake
    assert room.held(auditor) == 100 * UNITS
    assert not room.court.convicted(sale.digest)
    room.check_nothing_left(case)


def test_without_an_auditor_nobody_is_blamed_for_silence_rul_14(room):
    sale = room.sell(room.order(jury_epoch=room.registry.epoch() - 1))  # before anyone's stake counted
    case = room.challenge(sale)
    assert room.seat(case) == []
    room.turn(RULES.open_window + 1)
    room.court.settle(case)
    assert room.told("Settled")["outcome"] == 0
    assert room.held(WATCH) == 100 * UNITS
    room.check_nothing_left(case)


def test_jurors_commit_once_in_time_rul_15(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    with refused("rulings.not-a-juror"):
        room.court.commit(case, b"\x01" * 32, by=WATCH)
    with refused("rulings.vote"):
        room.court.commit(case, ZERO32, by=jury[0])
    room.court.commit(case, b"\x01" * 32, by=jury[0])
    with refused("rulings.committed"):
        room.court.commit(case, b"\x02" * 32, by=jury[0])
    room.turn(RULES.commit_window)
    room.court.commit(case, b"\x01" * 32, by=jury[1])
    room.turn(1)
    with refused("rulings.too-late"):
        room.court.commit(case, b"\x01" * 32, by=jury[2])


def test_votes_are_revealed_as_committed_each_by_its_juror_rul_16(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    votes = [room.vote(case, juror, CHEATED) for juror in jury]
    room.commit(*votes[:2])
    with refused("rulings.too-early"):
        room.reveal(votes[0])
    room.commit(votes[2])
    with refused("rulings.vote"):
        room.court.reveal(replace(votes[0], outcome=HONEST), by=jury[0])
    with refused("rulings.not-a-juror"):
        room.court.reveal(votes[0], by=jury[1])
    with refused("rulings.vote"):
        room.court.reveal(replace(votes[0], juror=jury[1].address), by=jury[1])
    room.reveal(votes[0])
    told = room.told("Revealed")
    assert (told["juror"], told["outcome"], told["run_digest"]) == (jury[0].address, CHEATED, votes[0].run_digest)
    with refused("rulings.revealed"):
        room.reveal(votes[0])
    room.turn(RULES.commit_window + RULES.reveal_window)
    room.reveal(votes[1])
    room.turn(1)
    with refused("rulings.too-late"):
        room.reveal(votes[2])


def test_a_copied_commitment_is_of_no_use_rul_16(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    vote = room.vote(case, jury[0], HONEST)
    room.commit(vote)
    room.court.commit(case, vote.struct_hash(), by=jury[1])  # a lazy juror
    room.turn(RULES.commit_window + 1)
    room.reveal(vote)
    for claimed in (vote, replace(vote, juror=jury[1].address)):
        with pytest.raises(Reverted):
            room.court.reveal(claimed, by=jury[1])


@pytest.mark.parametrize("outcome", [0, 5, 255])
def test_a_vote_names_a_known_outcome_rul_16(room, outcome):
    case = room.opened(room.sell())
    votes = [room.vote(case, juror, outcome) for juror in room.jury(case)]
    room.commit(*votes)
    with refused("rulings.vote"):
        room.reveal(votes[0])


def test_silent_jurors_pay_a_flat_fee_rul_17(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    votes = [room.vote(case, juror, HONEST) for juror in jury]
    room.commit(votes[0], votes[1])  # the second commits, but never reveals
    room.turn(RULES.commit_window + 1)
    room.reveal(votes[0])
    room.turn(RULES.reveal_window - 1)
    with refused("rulings.too-early"):
        room.court.settle(case)
    room.turn(1)
    room.court.settle(case)
    assert [room.held(juror) for juror in jury] == [100 * UNITS - fee for fee in (0, RULES.juror_fee, RULES.juror_fee)]
    assert room.court.case_of(case)["outcome"] == 0
    room.check_nothing_left(case)


# ------------------------------------------------------------------ the ruling


def test_a_cheat_pays_buyer_jury_and_challenger_and_half_burns_rul_21(room):
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    jury = room.jury(case)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    s = room.stake(sale)
    half = s // 2
    assert room.held(PAUL) == BOND - s
    assert room.gained(ANN) == sale.price
    assert [room.gained(juror) for juror in jury] == [RULES.juror_fee] * 3
    assert room.gained(WATCH) == half - sale.price - 3 * RULES.juror_fee
    assert room.bonds.credit(DEAD) == s - half
    assert room.held(WATCH) == 100 * UNITS
    assert room.court.convicted(sale.digest)
    told = room.told("Settled")
    assert (told["receipt"], told["slashed"], told["amount"]) == (sale.digest, PAUL.address, s)
    room.check_nothing_left(case)
    with refused("rulings.convicted"):
        room.challenge(sale, OTHER)


def test_two_thirds_of_the_seats_are_enough_and_only_they_are_paid_rul_20(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    assert room.judged(case, [CHEATED, HONEST, CHEATED]) == CHEATED
    assert [room.gained(juror) for juror in jury] == [RULES.juror_fee, 0, RULES.juror_fee]
    assert [room.held(juror) for juror in jury] == [100 * UNITS] * 3


UNDECIDED: dict[str, tuple[Sequence[int | None], dict[int, bytes]]] = {
    "three opinions": ([CHEATED, HONEST, CANNOT_TELL], {}),
    "one speaks": ([CHEATED, None, None], {}),
    "nobody speaks": ([None, None, None], {}),
    "one run, two others": ([CHEATED] * 3, {0: b"\x01" * 32, 1: b"\x02" * 32}),
    "acquitted without a run": ([HONEST] * 3, {0: b"\x01" * 32, 1: b"\x02" * 32}),
    "nobody can tell": ([CANNOT_TELL] * 3, {}),
    "two cannot tell": ([CANNOT_TELL, CANNOT_TELL, CHEATED], {}),
}


@pytest.mark.parametrize("how", UNDECIDED)
def test_less_than_two_thirds_with_one_run_finalise_nothing_rul_20_rul_26(room, how):
    outcomes, runs = UNDECIDED[how]
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    assert room.judged(case, outcomes, runs) in (0, CANNOT_TELL)
    assert room.held(PAUL) == BOND
    assert room.held(WATCH) == 100 * UNITS
    assert not room.court.convicted(sale.digest)
    assert room.gained(ANN) == room.gained(WATCH) == 0
    room.check_nothing_left(case)
    room.challenge(sale)  # the same challenger may try again


def test_two_thirds_count_over_all_seats_not_over_those_drawn_rul_20():
    room = Courtroom(rules=Rules(seats=9, juror_fee=UNITS // 20))  # five can sit: less than two thirds of nine
    sale = room.sell()
    case = room.opened(sale)
    assert len(room.jury(case)) == 5
    assert room.judged(case, [CHEATED] * 5) == 0
    assert room.held(PAUL) == BOND


def test_votes_on_not_opened_and_cannot_tell_need_no_run_rul_20(room):
    case = room.opened(room.sell())
    runs = {0: b"\x01" * 32, 1: b"\x02" * 32, 2: b"\x03" * 32}
    assert room.judged(case, [NOT_OPENED] * 3, runs) == NOT_OPENED


def test_no_case_is_settled_before_its_time_or_twice_rul_20(room):
    case = room.opened(room.sell())
    votes = [room.vote(case, juror, CHEATED) for juror in room.jury(case)]
    room.commit(*votes)
    room.reveal(*votes[:2])
    with refused("rulings.too-early"):
        room.court.settle(case)
    room.reveal(votes[2])
    room.court.settle(case)
    for call in (room.court.settle, room.court.seat):
        with refused("rulings.stage"):
            call(case)
    with refused("rulings.stage"):
        room.court.settle(b"\x01" * 32)


@pytest.mark.parametrize("outcome", [HONEST, CHEATED])
def test_an_appeal_window_delays_a_ruling_that_costs_a_side_rul_21(outcome):
    wait_for_an_appeal(Courtroom(rules=WAITING), outcome)


def wait_for_an_appeal(room: Courtroom, outcome: int) -> None:
    """The story of that."""
    case = spoken(room, outcome)
    assert room.court.case_of(case)["reveal_until"] == room.now  # all have spoken: the window runs from now on
    room.turn(500)
    with refused("rulings.appeal"):
        room.court.settle(case)
    room.turn(1)
    room.court.settle(case)
    assert room.court.case_of(case)["outcome"] == outcome


@pytest.mark.parametrize("outcome", [CANNOT_TELL, NOT_OPENED])
def test_what_no_game_could_change_waits_for_no_appeal_rul_21(outcome):
    room = Courtroom(rules=WAITING)
    case = spoken(room, outcome)
    room.court.settle(case)
    assert room.court.case_of(case)["outcome"] == outcome


def spoken(room: Courtroom, outcome: int) -> bytes:
    """A case all of whose jurors have revealed one outcome."""
    case = room.opened(room.sell())
    votes = [room.vote(case, juror, outcome) for juror in room.jury(case)]
    room.commit(*votes)
    room.reveal(*votes)
    return case


@pytest.mark.parametrize("left", [0, 1, 5 * UNITS])
def test_a_bond_that_is_gone_pays_in_proportion_and_at_most_half_rul_21(left):
    usual = Courtroom()
    room = Courtroom(bond=usual.stake(usual.sell()) + left)
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    room.proofs.convict_twice(*room.twins(room.sell(nonce=1)), NO_TIE, by=EVE)  # another lie has eaten the bond
    assert room.held(PAUL) == left
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.held(PAUL) == 0
    assert sum(room.gained(who) for who in (ANN, *AUDITORS)) <= left // 2
    assert room.gained(ANN) == sale.price * left // room.stake(sale)
    room.check_nothing_left(case)


def test_a_dear_repayment_leaves_at_most_half_rul_21():
    room = Courtroom(rules=Rules(repay_times=1_000))
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.gained(ANN) == room.stake(sale) // 2
    assert room.gained(WATCH) == sum(map(room.gained, room.jury(case))) == 0


def test_a_receipt_is_slashed_for_once_rul_22(room):
    sale = room.sell()
    first, second = room.opened(sale), room.opened(sale, OTHER)
    assert room.judged(first, [CHEATED] * 3) == CHEATED
    after = room.held(PAUL)
    gained = {who.address: room.gained(who) for who in AUDITORS}
    assert room.judged(second, [CHEATED] * 3) == CHEATED
    assert room.told("Settled")["amount"] == 0
    assert room.held(PAUL) == after == BOND - room.stake(sale)
    assert {who.address: room.gained(who) for who in AUDITORS} == gained
    assert room.held(OTHER) == 100 * UNITS
    room.check_nothing_left(second)


def test_an_acquittal_costs_the_challenger_and_pays_the_jury_rul_23(room):
    sale = room.sell()
    case = room.opened(sale)
    jury = room.jury(case)
    assert room.judged(case, [HONEST] * 3) == HONEST
    assert room.held(WATCH) == 100 * UNITS - RULES.stake
    assert room.held(PAUL) == BOND
    assert room.gained(PAUL) == 0
    assert [room.gained(juror) for juror in jury] == [RULES.juror_fee] * 3
    assert room.bonds.credit(DEAD) == RULES.stake - 3 * RULES.juror_fee
    assert room.told("Settled")["slashed"] == WATCH.address
    room.check_nothing_left(case)


def test_a_friendly_challenger_launders_nothing_rul_24(room):
    sale = room.sell()
    friendly = room.opened(sale)
    assert room.judged(friendly, [HONEST] * 3) == HONEST
    again = room.opened(sale)  # the same challenger, with a new stake
    assert room.judged(again, [CANNOT_TELL] * 3) == CANNOT_TELL
    case = room.opened(sale, OTHER)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.held(PAUL) == BOND - room.stake(sale)


def test_a_false_opening_costs_the_opener_rul_25(room):
    case = room.opened(room.sell())
    jury = room.jury(case)
    assert room.judged(case, [NOT_OPENED, NOT_OPENED, CANNOT_TELL]) == NOT_OPENED
    assert room.held(WATCH) == 100 * UNITS - RULES.stake
    assert room.held(PAUL) == BOND
    assert [room.gained(juror) for juror in jury] == [RULES.juror_fee, RULES.juror_fee, 0]
    room.check_nothing_left(case)


def test_a_drawn_providers_false_opening_costs_the_provider_rul_25(room):
    sale = drawn_sale(room)
    auditor = drawn_auditor(room, sale)
    case = room.challenge(sale, auditor, DRAWN, coin=COIN)
    room.seat(case)
    room.open_up(case, PAUL)
    assert room.judged(case, [NOT_OPENED] * 3) == NOT_OPENED
    assert room.held(PAUL) == BOND - RULES.stake
    assert room.held(auditor) == 100 * UNITS
    assert not room.court.convicted(sale.digest)
    room.check_nothing_left(case)


# ------------------------------------------------------------------ ties


def test_a_tie_shows_the_receipt_under_its_claim_rul_30(room):
    sales = [room.sell(nonce=i) for i in range(3)]
    first, second = room.paid(*sales[:2]), room.paid(sales[2], before=sales[:2])
    other_offer = room.sell(offer=room.offer(PAUL, room.registration, price_out=PRICE_OUT_2), nonce=7)
    elsewhere = room.paid(other_offer)
    case = room.challenge(sales[1])
    wrong = [
        ("rulings.other-claim", (0, 0, ())),
        ("rulings.other-claim", (99, 0, ())),
        ("rulings.other-claim", (elsewhere, 0, ())),
        ("rulings.other-claim", room.tie_of(second, 1, *sales)),  # paid by the first, only repeated in the second
        ("rulings.path", room.tie_of(first, 0, *sales[:2])),
        ("rulings.path", (first, 3, room.tie_of(first, 1, *sales[:2])[2])),
        ("rulings.path", (first, 1, ())),
    ]
    for rule, tie in wrong:
        with refused(rule):
            room.court.tie(case, tie, by=EVE)
    room.court.tie(case, room.tie_of(first, 1, *sales[:2]), by=EVE)
    assert room.told("Tied") == {"case": case, "claim": first}
    with refused("rulings.tied"):
        room.court.tie(case, room.tie_of(first, 1, *sales[:2]), by=EVE)
    with refused("rulings.stage"):
        room.court.tie(b"\x01" * 32, room.tie_of(first, 1, *sales[:2]), by=EVE)


PRICE_OUT_2 = 2 * UNITS


def test_a_tied_claim_waits_for_all_its_cases_rul_31(room):
    sale = room.sell()
    claim = room.paid(sale)
    tie = room.tie_of(claim, 0, sale)
    cases = [room.opened(sale, who, tie) for who in (WATCH, OTHER)]
    room.turn(10_000)
    for case in cases:
        with refused("escrow.held"):
            room.escrow.pay(claim)
        room.court.settle(case)
    room.escrow.pay(claim)


def test_a_paid_claim_is_tied_and_not_held_rul_31(room):
    sale = room.sell(room.order(deadline=room.now + 10_000))
    claim = room.paid(sale)
    room.turn(room.terms.longest_order + room.terms.challenge_window)
    room.escrow.pay(claim)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    assert not room.court.case_of(case)["held"]
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.gained(ANN) == sale.price
    room.check_nothing_left(case)


def test_without_a_tie_the_buyer_is_not_repaid_rul_32(room):
    sale = room.sell()
    room.paid(sale)
    case = room.opened(sale)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.gained(ANN) == 0
    assert room.gained(WATCH) == room.stake(sale) // 2 - 3 * RULES.juror_fee


# ------------------------------------------------------------------ two receipts for one order


def test_two_receipts_for_one_order_convict_at_once_rul_40(room):
    sale = room.sell()
    claim = room.paid(sale)
    room.turn(10**7)  # no time limit
    room.escrow.pay(claim)
    room.proofs.convict_twice(*room.twins(sale), room.tie_of(claim, 0, sale), by=EVE)
    s = room.stake(sale)
    assert room.held(PAUL) == BOND - s
    assert room.gained(ANN) == sale.price
    assert room.gained(EVE) == s // 2 - sale.price
    assert room.bonds.credit(DEAD) == s - s // 2
    told = room.told("Punished")
    assert (told["order"], told["amount"]) == (sale.order.digest(room.domain), s)
    assert room.court.convicted(told["receipt"])
    assert room.court.convicted(told["twin"])


def test_two_receipts_at_level_open_convict_too_rul_40(room):
    sale = room.sell(offer=room.offer(PAUL, room.registration, Level.OPEN, price_out=PRICE_OUT))
    room.proofs.convict_twice(*room.twins(sale), NO_TIE, by=EVE)
    assert room.held(PAUL) == BOND - room.stake(sale)
    assert room.gained(ANN) == 0


def test_what_are_no_twins_rul_40(room):
    sale = room.sell()
    for rule, arguments in (
        ("rulings.no-twins", room.twins(sale, evidence_root=sale.receipt.evidence_root)),  # the very same receipt
        ("rulings.no-twins", room.twins(sale, order=room.order(nonce=5).digest(room.domain))),
        ("signature", room.twins(sale, EVE)),
    ):
        with refused(rule):
            room.proofs.convict_twice(*arguments, NO_TIE, by=EVE)
    with refused("rulings.path"):
        room.proofs.convict_twice(*room.twins(sale), room.tie_of(room.paid(room.sell(nonce=3)), 0, sale), by=EVE)


def test_twins_are_slashed_for_once_whatever_is_open_rul_41(room):
    sale = room.sell()
    case = room.opened(sale)
    room.proofs.convict_twice(*room.twins(sale), NO_TIE, by=EVE)
    after = room.held(PAUL)
    third = room.twins(sale, evidence_root=b"\x0a" * 32)
    with refused("rulings.convicted"):
        room.proofs.convict_twice(*third, NO_TIE, by=EVE)
    shown = replace(sale, receipt=third[3], receipt_signature=third[4])
    with refused("rulings.convicted"):  # two more receipts, neither of them convicted
        room.proofs.convict_twice(*room.twins(shown, evidence_root=b"\x0b" * 32), NO_TIE, by=EVE)
    with refused("rulings.convicted"):
        room.challenge(sale, OTHER)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.held(PAUL) == after
    room.check_nothing_left(case)


def test_a_jurys_conviction_is_not_repeated_by_twins_rul_41(room):
    sale = room.sell()
    case = room.opened(sale)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    with refused("rulings.convicted"):
        room.proofs.convict_twice(*room.twins(sale), NO_TIE, by=EVE)
    swapped = replace(sale, receipt=room.twins(sale)[3], receipt_signature=room.twins(sale)[4])
    with refused("rulings.convicted"):
        room.proofs.convict_twice(*room.twins(swapped, evidence_root=sale.receipt.evidence_root), NO_TIE, by=EVE)


# ------------------------------------------------------------------ orders placed on chain


def placed_sale(room: Courtroom) -> tuple[Sale, int]:
    """Ann orders on chain, Paul delivers; the sale and its claim."""
    salt = b"\x02" * 32
    word = bytes(12) + bytes.fromhex(ANN.address[2:])
    nonce = 77
    prompt_root = roots.units_root(PROMPT, nonce.to_bytes(32, "big"))
    order = room.order(channel=word, prompt_root=prompt_root, nonce=nonce)
    room.orders.place(room.sold, order, packed(PROMPT), "0x" + "0" * 40, by=ANN)
    receipt = room.receipt(order, ANSWER, salt)
    signature = PAUL.sign(receipt.digest(room.domain))
    claim = room.orders.deliver(room.sold, order, receipt, signature, packed(ANSWER), salt, by=EVE)
    return Sale(room.sold, order, b"", receipt, signature, ANSWER, salt, room.domain), claim


def test_an_order_placed_on_chain_is_any_auditors_to_challenge_rul_5(room):
    sale, claim = placed_sale(room)
    with refused("rulings.not-an-auditor"):
        room.challenge(sale, EVE, ON_CHAIN)
    case = room.challenge(sale, WATCH, ON_CHAIN)
    room.court.tie(case, (claim, 0, ()), by=EVE)
    room.seat(case)
    room.open_up(case)
    assert room.judged(case, [CHEATED] * 3) == CHEATED
    assert room.gained(ANN) == sale.price
    room.check_nothing_left(case)


def test_no_ticket_exists_for_an_order_placed_on_chain_rul_5(room):
    sale, _ = placed_sale(room)
    with refused("signature"):
        room.challenge(sale, WATCH, TICKET)
    room.challenge(sale, ANN, BUYER)


def test_a_placed_order_is_tied_to_its_own_claim_only_rul_30(room):
    sale, claim = placed_sale(room)
    other = room.sell()
    channels = room.paid(other)
    case = room.challenge(sale, WATCH, ON_CHAIN)
    with refused("rulings.other-claim"):
        room.court.tie(case, room.tie_of(channels, 0, other), by=EVE)
    from_channel = room.challenge(other)
    with refused("rulings.other-claim"):
        room.court.tie(from_channel, (claim, 0, ()), by=EVE)
    assert room.court.case_of(case)["stage"] != RULED
