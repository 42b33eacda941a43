"""The real contracts of a dispute, played by the pure players on the toy engine, and held to the referee move by move.

`Duel.play` sends each move to both tables, and compares refusals by name and what the game is afterwards."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from courtroom import AUDITORS, BOND, PAUL, SESSION, WATCH
from duel import (
    NODES,
    POSITIONS,
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
    spoken,
    where,
)
from duellists import CHAIN, CHALLENGERS, DEFENDERS, FOLD, ODD, towards
from gameroom import MOVE_FEE
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world import DEAD, key
from world import UNITS as TOKEN

from claims import ONE
from steelyard.engines.alphabet import END
from steelyard.engines.alphabet_graph import GRAPH
from steelyard.protocol import games
from steelyard.protocol.games import Place, Side, Stage
from steelyard.protocol.moves import Appeal, Begin, BeginEarly, Claim, ShowCancel, ShowEnd, Step
from steelyard.protocol.records import Cancel
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import shown
from steelyard.verification.defender import Ended, defender_move

OTHER = Lie(5, "cut", 33)
START = Lie(9, "total", 0, 12)
"""A chain without a turn."""
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


# ------------------------------------------------------------------ any place


@st.composite
def places(draw: st.DrawFn) -> Lie:
    """Any turn of any element; nodes with few turns as often as those with many."""
    position = draw(st.integers(0, POSITIONS - 1))
    node = GRAPH.nodes[draw(st.integers(0, len(GRAPH.nodes) - 1))]
    element = draw(st.integers(0, node.elements(position) - 1))
    turns = max(node.turns(position), node.lanes) if node.fold else 1
    return Lie(position, node.name, element, draw(st.integers(0, turns - 1)))


def reason(lie: Lie) -> str:
    """Why a game ends there: a chain without a turn is its start."""
    node = GRAPH.nodes[NODES[lie.node]]
    return "step" if lie.turn < node.turns(lie.position) else "start"


SOME = settings(max_examples=max(5, settings.default.max_examples // 3))  # type: ignore[union-attr]


@SOME
@given(lie=places())
@example(lie=CHAIN)
@example(lie=START)
def test_a_lie_anywhere_is_where_the_game_ends(lie: Lie) -> None:
    """GAM-10 to GAM-16, GAM-20, GAM-21: in few rounds, each of which fits into a block many times."""
    room = DuelRoom()
    duel = begun(room, room.deal(lie))
    end = duel.finish()
    assert (where(end), end.why, duel.refused) == (lie.place, reason(lie), [])
    assert_convicted(duel)
    assert max(room.spent) < MOST_GAS
    assert duel.rounds <= MOST_ROUNDS


@SOME
@given(lie=places())
@example(lie=CHAIN)
@example(lie=START)
def test_nobody_wins_by_pointing_anywhere_in_an_honest_run(lie: Lie) -> None:
    """GAM-21, GAM-33: the same place, and it is the challenger's run that is wrong there."""
    room = DuelRoom()
    duel = begun(room, room.deal())
    end = duel.finish(challenges=towards(lie)(duel.deal))
    assert (where(end), end.why, duel.refused) == (lie.place, reason(lie), [])
    assert_acquitted(duel)


@SOME
@given(unit=st.integers(0, UNITS - 1), rival=st.none() | st.integers(0, 300), warm=st.booleans(), other=st.booleans())
@example(unit=2, rival=None, warm=True, other=True)
@example(unit=2, rival=None, warm=True, other=False)
def test_a_rival_wins_only_where_the_rule_prefers_it(unit: int, rival: int | None, warm: bool, other: bool) -> None:
    """GAM-2, GAM-4, SMP-4: at both temperatures, against the picked id and against another that was answered; None is
    the picked one."""
    room = DuelRoom()
    temperature = ONE if warm else 0
    picked = spoken(temperature=temperature)
    answered = (*picked[:unit], ODD, *picked[unit + 1 :]) if other else picked
    deal = room.deal(generated=answered, temperature=temperature)
    duel = Duel(room, deal)
    rival = picked[unit] if rival is None else rival
    duel.play(Begin(duel.case, shown(deal.claim), Claim(unit, rival)), WATCH)
    duel.turn(defender(deal), challenger(deal))
    if rival == picked[unit] != answered[unit]:
        assert ends(duel) == (Outcome.CHEATED, "rival", Place.NONE)
    if answered == picked:
        assert duel.view.place is Place.RUN


# ------------------------------------------------------------------ one move, one game


def test_a_move_counts_in_its_own_game_and_once(room: DuelRoom) -> None:
    """GAM-31: of two games that stand alike, with the same receipt's or another's."""
    deal = room.deal(FOLD)
    duels = [begun(room, deal), begun(room, room.deal(FOLD, nonce=1)), Duel(room, deal, AUDITORS[1])]
    duels[2].begin()
    while duels[0].view.stage is not Stage.STEP:
        for duel, other in zip(duels, duels[1:] + duels[:1], strict=True):
            side = games.to_move(duel.view)
            by = PAUL if side is Side.DEFENDER else other.challenger
            move = (defender if side is Side.DEFENDER else challenger)(deal)(duel.view)
            assert rule_of(lambda: other.play(replace(move, case=other.case), by)) == "games.moved"  # noqa: B023
        for duel in duels:
            duel.turn(defender(duel.deal), challenger(duel.deal))
            by, last = duel.moves[-1]
            assert rule_of(lambda: duel.play(last, by)) in ("games.stage", "games.moved")  # noqa: B023
    assert [duel.finish().outcome for duel in duels[:2]] == [Outcome.CHEATED] * 2


def test_whose_move_it_is_not_is_refused_alike_but_anyone_steps(room: DuelRoom) -> None:
    """GAM-20, GAM-32."""
    duel = begun(room, room.deal(CHAIN))
    while duel.view.stage is not Stage.STEP:
        defends = games.to_move(duel.view) is Side.DEFENDER
        move = (defender if defends else challenger)(duel.deal)(duel.view)
        assert move is not None
        for by in (WATCH if defends else PAUL, key("eve")):
            assert rule_of(lambda: duel.play(move, by)) == f"games.not-the-{'defender' if defends else 'challenger'}"  # noqa: B023
        duel.turn(defender(duel.deal), challenger(duel.deal))
    step = challenger(duel.deal)(duel.view)
    assert isinstance(step, Step)
    duel.play(step, key("eve"))
    assert_convicted(duel)


# ------------------------------------------------------------------ how games begin, and early ends


def test_who_is_called_by_an_appeal_begins_or_loses(room: DuelRoom) -> None:
    """GAM-3, GAM-30."""
    duel = Duel(room, room.deal(FOLD))
    appeal = Appeal(duel.case, shown(duel.deal.claim))
    assert rule_of(lambda: duel.play(appeal, WATCH)) == "games.not-the-provider"
    assert duel.play(appeal, PAUL).stage is Stage.CALLED
    room.turn(500)
    assert duel.begin().challenger_clock == duel.view.defender_clock - 501
    duel.finish()
    assert_convicted(duel)
    silent = Duel(room, room.deal(nonce=1), AUDITORS[1])
    silent.play(Appeal(silent.case, shown(silent.deal.claim)), PAUL)
    silent.turn(defender(silent.deal), lambda _: None)
    assert (silent.view.outcome, silent.view.why) == (Outcome.HONEST, "clock")


def early(room: DuelRoom, deal: Deal) -> Duel:
    duel = Duel(room, deal)
    duel.play(BeginEarly(duel.case, shown(deal.claim)), WATCH)
    return duel


def ending(ended: Ended, deal: Deal) -> Player:
    return lambda view: defender_move(view, deal.hold, deal.script, ended)


def test_an_answer_that_reached_its_end_shows_it(room: DuelRoom) -> None:
    """GAM-35."""
    seed = next(n for n in range(1000) if spoken(units=9, seed=n)[-1] == END and len(spoken(units=9, seed=n)) < 9)
    duel = early(room, room.deal(generated=spoken(units=9, seed=seed), max_units=9, seed=seed))
    duel.turn(ending(Ended(shown(duel.deal.claim)), duel.deal), challenger(duel.deal))
    assert isinstance(duel.moves[-1][1], ShowEnd)
    assert ends(duel) == (Outcome.HONEST, "end", Place.EARLY)
    assert_acquitted(duel)


def test_an_answer_that_was_cancelled_shows_that(room: DuelRoom) -> None:
    """GAM-35: the buyer's cancel, of this order."""
    duel = early(room, room.deal(max_units=UNITS + 2))
    order = duel.deal.claim.order.digest(room.domain)
    for cancelled, signer, rule in (
        (bytes(32), SESSION, "games.cancel"),
        (order, PAUL, "signature"),
        (order, SESSION, ""),
    ):
        cancel = Cancel(1, cancelled, 2)
        ended = Ended(shown(duel.deal.claim), cancel, signer.sign(cancel.digest(room.domain)))
        move = ending(ended, duel.deal)(duel.view)
        assert isinstance(move, ShowCancel)
        assert rule_of(lambda: duel.play(move, PAUL)) == rule  # noqa: B023
    assert ends(duel) == (Outcome.HONEST, "cancel", Place.EARLY)
    assert_acquitted(duel)


# ------------------------------------------------------------------ many games, and other histories


def test_twenty_games_at_once_end_each_as_if_it_was_alone(room: DuelRoom) -> None:
    """GAM-30, GAM-31: on different receipts, liars' and honest ones, moved in any order."""
    chance = random.Random(20)
    lies = [
        chance.choice([FOLD, CHAIN, Lie(chance.randrange(POSITIONS), "raised", chance.randrange(257), 1)])
        for _ in range(20)
    ]
    duels = []
    for number, lie in enumerate(lies):
        duel = Duel(room, room.deal(lie if number % 2 else None, nonce=number), AUDITORS[number % 6])
        duel.begin()
        duels.append(duel)
    players = [
        (defender(duel.deal), challenger(duel.deal) if number % 2 else towards(lies[number])(duel.deal))
        for number, duel in enumerate(duels)
    ]
    running = list(range(20))
    while running:
        number = chance.choice(running)
        duels[number].turn(*players[number])
        if duels[number].view.stage is Stage.OVER:
            running.remove(number)
    for number, duel in enumerate(duels):
        assert (where(duel.view), duel.view.why, duel.refused) == (lies[number].place, "step", [])
        assert duel.view.outcome is (Outcome.CHEATED if number % 2 else Outcome.HONEST)
        room.check_nothing_left(duel.case)
    lost = sum(room.stake(duel.deal.sale) for duel in duels[1::2])
    assert room.held(PAUL) == BOND - lost
    assert sum(map(room.held, AUDITORS)) == 600 * TOKEN - 10 * room.rules.stake


def other_run(deal: Deal) -> Player:
    """Shows a run with another lie in it."""
    return defender(deal.checked(OTHER))


OTHERWISE: dict[int, tuple[Callable[[Deal], Player], str, tuple[int, ...]]] = {
    0: (other_run, "step", OTHER.place),
    1: (other_run, "clock", ()),
    9: (DEFENDERS["says honest sums"].plays, "step", (*FOLD.place[:3], 22)),
}
"""Moves after `begin` that stay -> how the liar moves instead of the three that came, and where that ends."""


@pytest.mark.parametrize("kept", OTHERWISE)
def test_after_a_reorganisation_another_lie_is_found_and_no_old_move_counts(room: DuelRoom, kept: int) -> None:
    """GAM-31: three blocks are undone (of the last ones, even the conviction), and the liar moves otherwise."""
    plays, why, place = OTHERWISE[kept]
    duel, marks = begun(room, room.deal(FOLD)), []
    for _ in range(kept + 3):
        marks.append((room.mark(), duel.referee.games[duel.case]))
        duel.turn(defender(duel.deal), challenger(duel.deal))
    stale = duel.moves[kept + 1 :]
    mark, duel.referee.games[duel.case] = marks[kept]
    room.back(mark)
    del duel.views[kept + 1 :], duel.moves[kept + 1 :]
    assert duel.seen() == duel.view
    duel.turn(plays(duel.deal), challenger(duel.deal))
    assert duel.moves[-1] != stale[0]
    rules = [rule_of(lambda: duel.play(move, by)) for by, move in stale]  # noqa: B023
    assert set(rules) <= {"games.stage", "games.moved"}
    assert duel.view.stage is Stage.OVER or "games.moved" in rules
    end = duel.finish(plays(duel.deal))
    assert (end.why, where(end)) == (why, place or where(end))
    assert Side.CHALLENGER not in [side for side, _ in duel.refused]
    assert_convicted(duel)
