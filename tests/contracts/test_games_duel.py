"""The real contracts of a dispute, played by the pure players on the toy engine, and held to the referee move by move.

`Duel.play` sends each move to both tables, and compares refusals by name and what the game is afterwards."""

import random
from dataclasses import replace

import pytest
from courtroom import ANN, AUDITORS, BOND, PAUL, SESSION, WATCH
from duel import (
    HONEST,
    LOGITS,
    NODES,
    POSITIONS,
    TEXT,
    UNITS,
    Deal,
    Duel,
    DuelRoom,
    Lie,
    Player,
    challenger,
    defender,
    ends,
    rule_of,
    run_of,
    spoken,
    where,
)
from duellists import ANSWER, CHAIN, CHALLENGERS, DEFENDERS, FOLD, Challenger, Defender, towards
from gameroom import MOVE_FEE
from hypothesis import given, settings
from hypothesis import strategies as st
from world import DEAD, UNITS as TOKEN
from world import key

from steelyard.engines.alphabet import END
from steelyard.engines.alphabet_graph import GRAPH
from steelyard.protocol import games
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import Place, Side, Stage, View
from steelyard.protocol.moves import Answer, Appeal, Begin, BeginEarly, Move, PostChildren, ShowCancel, ShowEnd, Step
from steelyard.protocol.records import Cancel
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import shown
from steelyard.verification.defender import Ended, defender_move

MOST_GAS = 1_000_000
MOST_ROUNDS = 10


@pytest.fixture
def room() -> DuelRoom:
    return DuelRoom()


def begun(room: DuelRoom, deal: Deal) -> Duel:
    duel = Duel(room, deal)
    duel.begin()
    return duel


def assert_convicted(duel: Duel) -> None:
    """GAM-33: the provider is slashed, the challenger has its stake."""
    room = duel.room
    assert duel.view.outcome is Outcome.CHEATED
    assert room.court.convicted(duel.deal.sale.digest)
    assert room.held(PAUL) == BOND - room.stake(duel.deal.sale)
    assert room.held(WATCH) == 100 * TOKEN
    room.check_nothing_left(duel.case)


def assert_acquitted(duel: Duel) -> None:
    """GAM-33: the challenger has lost its stake, of which each of the defender's moves was paid."""
    room, paid = duel.room, MOVE_FEE * sum(by is PAUL for by, _ in duel.moves)
    assert duel.view.outcome is Outcome.HONEST
    assert not room.court.convicted(duel.deal.sale.digest)
    assert (room.held(PAUL), room.held(WATCH)) == (BOND, 100 * TOKEN - room.rules.stake)
    assert (room.gained(PAUL), room.bonds.credit(DEAD)) == (paid, room.rules.stake - paid)
    room.check_nothing_left(duel.case)


# ------------------------------------------------------------------ liars


@pytest.mark.parametrize("name", DEFENDERS)
def test_a_liar_loses_on_chain_as_before_the_referee(room: DuelRoom, name: str) -> None:
    """GAM-1 to GAM-4, GAM-10 to GAM-16, GAM-20, GAM-21, GAM-30 to GAM-33, GAM-35."""
    liar = DEFENDERS[name]
    duel = begun(room, liar.sells(room))
    duel.finish(liar.plays(duel.deal))
    assert ends(duel) == (Outcome.CHEATED, liar.why, liar.place)
    assert duel.refused == [(Side.DEFENDER, liar.refused)] * bool(liar.refused)
    assert_convicted(duel)
    assert max(room.spent) < MOST_GAS
    assert duel.rounds <= MOST_ROUNDS


@pytest.mark.parametrize("name", CHALLENGERS)
def test_who_points_wrongly_loses_its_stake_and_pays_for_each_move(room: DuelRoom, name: str) -> None:
    """GAM-11 to GAM-16, GAM-20, GAM-21, GAM-33: an honest defender wins, whatever is moved against it."""
    wrong = CHALLENGERS[name]
    duel = begun(room, wrong.sells(room))
    duel.finish(challenges=wrong.plays(duel.deal))
    assert ends(duel) == (Outcome.HONEST, wrong.why, wrong.place)
    assert duel.refused == [(Side.CHALLENGER, wrong.refused)] * bool(wrong.refused)
    assert_acquitted(duel)
