"""Rulings, and who takes its cases and brings it lies (spec/rulings.md, RUL-50 to RUL-52). A key stands for Games."""

from typing import Any

import pytest
from courtroom import (
    ANN,
    AUDITORS,
    BOND,
    CHALLENGED,
    CHEATED,
    EVE,
    GAMES,
    HONEST,
    NO_TIE,
    OPENED,
    PAUL,
    PLAYING,
    SEATED,
    WATCH,
    Courtroom,
    Rules,
)
from test_rulings import OTHER, RULES, refused
from world import DEAD, NOBODY, UNITS

from steelyard.protocol.hashing import ZERO32


@pytest.fixture
def room() -> Courtroom:
    return Courtroom()


def test_the_deployer_binds_once_rul_50(room):
    fresh = room.deploy("Rulings", constructor(room))
    with refused("rulings.deployer"):
        fresh.bind(GAMES.address, room.proofs.address, by=EVE)
    for nobody in ((GAMES.address, NOBODY), (NOBODY, GAMES.address)):
        with refused("rulings.nobody"):
            fresh.bind(*nobody, by=room.deployer)
    fresh.bind(GAMES.address, room.proofs.address, by=room.deployer)
    assert (fresh.games(), fresh.proofs()) == (GAMES.address, room.proofs.address)
    with refused("rulings.bound"):
        fresh.bind(GAMES.address, room.proofs.address, by=room.deployer)


def constructor(room: Courtroom) -> tuple[Any, ...]:
    """Arguments of Rulings'."""
    r = room.rules
    windows = (r.open_window, r.commit_window, r.reveal_window, r.appeal_window)
    others = (room.bonds.address, room.escrow.address, room.orders.address, room.registry.address)
    return (*others, (r.seats, r.stake, r.juror_fee, r.repay_times, *windows), room.terms.flat)


def test_only_games_and_proofs_may_rul_50(room):
    case = room.challenge(room.sell())
    with refused("rulings.not-games"):
        room.court.take(case, by=WATCH)
    room.court.take(case, by=GAMES)
    with refused("rulings.not-games"):
        room.court.finish(case, CHEATED, 0, by=WATCH)
    sale = room.sell(nonce=1)
    lie = (ZERO32, sale.digest, ZERO32, ZERO32, ZERO32, PAUL.address, ANN.address, EVE.address, 2, 7)
    for who in (EVE, GAMES):
        with refused("rulings.not-proofs"):
            room.court.punish(lie, NO_TIE, by=who)


@pytest.mark.parametrize("stage", [CHALLENGED, SEATED, OPENED])
def test_games_takes_a_case_that_is_not_ruled_rul_51(room, stage):
    sale = room.sell()
    case = room.challenge(sale)
    if stage > CHALLENGED:
        room.seat(case)
    if stage > SEATED:
        room.open_up(case)
    taken = room.court.take(case, by=GAMES)
    assert tuple(taken.values()) == (sale.digest, PAUL.address, WATCH.address, WATCH.address)
    assert room.court.case_of(case)["stage"] == PLAYING
    assert room.told("Taken") == {"case": case}
    assert room.bonds.reserved_by(PAUL.address, room.court.address) == room.stake(sale)
    assert room.bonds.reserved_by(WATCH.address, room.court.address) == RULES.stake
    for move in (
        lambda: room.court.take(case, by=GAMES),
        lambda: room.seat(case),
        lambda: room.open_up(case),
        lambda: room.court.commit(case, b"\x01" * 32, by=OTHER),
        lambda: room.court.settle(case),
    ):
        with refused("rulings.stage"):
            move()
    with refused("rulings.open-case"):
        room.challenge(sale)


@pytest.mark.parametrize("rules", [Rules(), Rules(appeal_window=500)])
def test_a_case_is_taken_in_time_only_rul_51(rules):
    take_in_time(Courtroom(rules=rules))


def take_in_time(room: Courtroom) -> None:
    """The story of that."""
    lapsed, silent = room.challenge(room.sell()), room.challenge(room.sell(nonce=1), OTHER)
    room.seat(silent)
    opened = room.opened(room.sell(nonce=2), AUDITORS[2])
    for case, end in (
        (silent, room.court.case_of(silent)["open_until"]),
        (lapsed, room.court.case_of(lapsed)["open_until"]),
        (opened, room.court.case_of(opened)["reveal_until"] + room.rules.appeal_window),
    ):
        room.turn(end - room.now)
        before = room.evm.snapshot()
        room.court.take(case, by=GAMES)
        room.evm.revert(before)
        room.turn(1)
        with refused("rulings.too-late"):
            room.court.take(case, by=GAMES)


def test_what_is_convicted_or_ruled_is_not_taken_rul_51(room):
    sale = room.sell()
    case, ruled = room.challenge(sale), room.opened(room.sell(nonce=1), OTHER)
    room.judged(ruled, [HONEST] * 3)
    room.proofs.convict_twice(*room.twins(sale), NO_TIE, by=EVE)
    with refused("rulings.convicted"):
        room.court.take(case, by=GAMES)
    for unknown in (ruled, b"\x01" * 32):
        with refused("rulings.stage"):
            room.court.take(unknown, by=GAMES)


def test_a_game_convicts_without_fees_for_jurors_rul_52(room):
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale)
    jury = room.jury(case)
    room.commit(*[room.vote(case, juror, CHEATED) for juror in jury])
    room.turn(RULES.commit_window + 1)
    room.reveal(room.vote(case, jury[0], CHEATED))
    room.court.take(case, by=GAMES)
    room.court.tie(case, room.tie_of(claim, 0, sale), by=EVE)  # still possible
    with refused("escrow.held"):
        room.turn(10_000)
        room.escrow.pay(claim)
    room.court.finish(case, CHEATED, RULES.stake, by=GAMES)
    half = room.stake(sale) // 2
    assert room.held(PAUL) == BOND - room.stake(sale)
    assert room.gained(ANN) == sale.price
    assert room.gained(WATCH) == half - sale.price
    assert [room.held(juror) for juror in jury] == [100 * UNITS] * 3  # two of them were silent: no fine
    assert sum(map(room.gained, jury)) == 0
    assert room.court.convicted(sale.digest)
    told = room.told("Settled")
    assert (told["outcome"], told["slashed"], told["amount"]) == (CHEATED, PAUL.address, room.stake(sale))
    room.check_nothing_left(case)
    with refused("rulings.stage"):
        room.court.finish(case, HONEST, 0, by=GAMES)


@pytest.mark.parametrize("fees", [0, 7, RULES.stake // 2, RULES.stake, 10**9])
def test_a_lost_game_pays_the_provider_its_moves_rul_52(room, fees):
    case = room.opened(room.sell())
    room.court.take(case, by=GAMES)
    room.court.finish(case, HONEST, fees, by=GAMES)
    paid = min(fees, RULES.stake // 2)
    assert room.held(WATCH) == 100 * UNITS - RULES.stake
    assert (room.held(PAUL), room.gained(PAUL)) == (BOND, paid)
    assert room.bonds.credit(DEAD) == RULES.stake - paid
    room.check_nothing_left(case)


def test_a_game_without_a_loser_frees_everything_rul_52(room):
    sale = room.sell()
    claim = room.paid(sale)
    case = room.opened(sale, tie=room.tie_of(claim, 0, sale))
    room.court.take(case, by=GAMES)
    room.court.finish(case, 0, RULES.stake, by=GAMES)
    assert (room.held(PAUL), room.held(WATCH)) == (BOND, 100 * UNITS)
    assert room.court.case_of(case)["outcome"] == 0
    room.check_nothing_left(case)


@pytest.mark.parametrize("outcome", [HONEST, CHEATED])
def test_nobody_loses_a_game_on_what_is_convicted_rul_52(room, outcome):
    sale = room.sell()
    case = room.challenge(sale)
    room.court.take(case, by=GAMES)
    room.proofs.convict_twice(*room.twins(sale), NO_TIE, by=EVE)
    after = room.held(PAUL)
    room.court.finish(case, outcome, RULES.stake, by=GAMES)
    assert room.told("Settled")["outcome"] == 0
    assert (room.held(PAUL), room.held(WATCH)) == (after, 100 * UNITS)
    room.check_nothing_left(case)


def test_a_stage_that_is_no_game_is_not_finished_rul_52(room):
    case = room.opened(room.sell())
    with refused("rulings.stage"):
        room.court.finish(case, CHEATED, 0, by=GAMES)
