"""When an auditor takes its challenge to a dispute game, and what it does there besides the moves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditing import KEYS, PROMPT, TOY, Town, serve
from claims import PROVIDER, Stall
from steelyard.chain.following import DEEP
from steelyard.engines.alphabet import Alphabet
from steelyard.market.cases import Stage
from steelyard.nodes.auditor import notes
from steelyard.protocol.games import Place, View
from steelyard.protocol.games import Stage as At
from steelyard.protocol.moves import Begin, Forfeit
from steelyard.protocol.records import Level
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import shown
from steelyard.verification.claim import Claim

CLOCK = 600


def lie(level: Level, **changes: Any) -> Claim:
    stall = Stall(TOY.card.model_root, level)
    return stall.sell(Alphabet(lie_from=2), stall.order(PROMPT, **changes), PROMPT)


DISPUTABLE, AUDITED = lie(Level.DISPUTABLE), lie(Level.AUDITED)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Whose jurors have the liar's own engine."""
    made = Town(tmp_path)
    for node in made.nodes[1:]:  # past the self-test, which it would not pass
        node.desk.bench._engines[TOY.card.model_root] = Alphabet(lie_from=2)
    made.tick()
    yield made
    made.close()


def only_case(town: Town) -> bytes:
    (case,) = town.court.cases
    return case


def test_at_level_disputable_a_game_begins_and_no_jury_is_drawn(town: Town) -> None:
    serve(town, DISPUTABLE)
    town.run(6)
    (move,) = town.games.played
    assert isinstance(move, Begin)
    assert (move.case, move.shown) == (only_case(town), shown(DISPUTABLE))
    assert town.court.cases[move.case].seats == ()
    assert town.road.told[-1].case == "0x" + move.case.hex()


def test_an_auditor_whose_jury_acquits_takes_it_to_a_game(town: Town) -> None:
    serve(town, AUDITED)
    town.run(12)
    (move,) = town.games.played
    assert isinstance(move, Begin)
    case = town.court.cases[move.case]
    assert (case.stage, case.revealed) == (Stage.PLAYING, 3)
    assert {vote.outcome for vote in town.court.votes[move.case].values()} == {Outcome.HONEST}


@pytest.mark.parametrize("asked", [{"logprobs": 3}], ids=str)
def test_what_a_game_cannot_follow_is_left_to_the_jury(town: Town, asked: dict[str, int]) -> None:
    serve(town, lie(Level.AUDITED, **asked))
    town.run()
    assert not town.games.played
    assert town.court.cases[only_case(town)].stage is Stage.RULED


def test_a_challenge_that_has_lapsed_is_settled_and_not_played(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(town, DISPUTABLE)
    while not town.court.cases:
        town.nodes[0].audit_once()
        with monkeypatch.context() as patch:
            patch.setattr(town.nodes[0].playing, "begin", lambda *_: None)
            town.nodes[0].accuse_once()
    case = only_case(town)
    town.court.put(replace(town.court.cases[case], stage=Stage.SEATED, open_until=town.now))  # type: ignore[arg-type]
    town.now += 1
    town.run(4 + DEEP)
    assert not town.games.played
    assert town.court.cases[case].stage is Stage.RULED
    assert town.states() == [notes.CLOSED]


# -- in the game -------------------------------------------------------------------------------------------------------


def playing(town: Town, **changes: Any) -> View:
    """The game has begun, and stands so."""
    serve(town, DISPUTABLE)
    town.run(4)
    town.games.played.clear()
    view = View(only_case(town), bytes(32), At.POST, Place.EVIDENCE, PROVIDER.address, KEYS[0].address)
    receipt = DISPUTABLE.receipt_digest()
    view = replace(
        view, receipt=receipt, since=town.now, **{"defender_clock": CLOCK, "challenger_clock": CLOCK, **changes}
    )
    town.games.views[view.case] = view
    return view


def test_who_is_not_to_move_waits_until_the_others_clock_is_over(town: Town) -> None:
    view = playing(town)
    town.run(4)
    assert not town.games.played
    town.now = view.since + CLOCK
    town.tick(0)
    assert not town.games.played
    town.now = view.since + CLOCK + 1
    town.tick(0)
    assert town.games.played == [Forfeit(view.case)]


def test_a_game_is_not_ended_before_the_claim_that_repays_the_buyer_had_its_time(town: Town) -> None:
    view = playing(town, defender_clock=0)
    town.run(3)
    assert not town.games.played
    town.pay(DISPUTABLE)
    town.tick(0)
    assert town.court.cases[view.case].claim > 0
    assert town.games.played == [Forfeit(view.case)]


def test_a_stake_is_released_once_another_has_convicted_the_receipt(town: Town) -> None:
    view = playing(town)
    town.court.slashed[view.receipt] = KEYS[2].address
    town.pay(DISPUTABLE)
    town.run(2)
    assert town.games.played[0] == Forfeit(view.case)


def test_a_game_that_is_over_is_followed_to_the_end_of_the_ticket(town: Town) -> None:
    view = playing(town)
    town.court.put(replace(town.court.cases[view.case], stage=Stage.RULED, outcome=Outcome.CHEATED))
    town.run(2 + DEEP)
    assert town.states() == [notes.CLOSED]
    assert town.note().ended == "ruled cheated"
    assert not town.games.played


def test_a_game_that_cannot_be_seen_yet_is_looked_at_again(town: Town) -> None:
    view = playing(town)
    del town.games.views[view.case]
    town.run(2)
    assert town.states() == [notes.ACCUSING]
    assert not town.games.played
