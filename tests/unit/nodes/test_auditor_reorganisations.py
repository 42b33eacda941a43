"""A ruling that a reorganisation undoes finds the auditor where it was: a ticket is closed once its ruling is deep."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditing import KEYS, ORDER, PROMPT, STALL, TOY, Town, serve
from claims import PROVIDER, Stall, signed_again
from steelyard.chain.following import DEEP
from steelyard.engines.alphabet import Alphabet
from steelyard.market.cases import Case, Stage
from steelyard.nodes.auditor import notes
from steelyard.protocol.games import Place, View
from steelyard.protocol.games import Stage as At
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.moves import Begin, Forfeit
from steelyard.protocol.records import Level
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.claim import Claim

LIE = STALL.sell(Alphabet(lie_from=2), ORDER, PROMPT)
HONEST = STALL.sell(TOY, ORDER, PROMPT)
TWIN = signed_again(HONEST, replace(HONEST.receipt, evidence_root=ZERO32))
DISPUTABLE = Stall(TOY.card.model_root, Level.DISPUTABLE)
DISPUTED = DISPUTABLE.sell(Alphabet(lie_from=2), DISPUTABLE.order(PROMPT), PROMPT)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    made.tick()  # all join the pool
    yield made
    made.close()


def only(town: Town) -> Case:
    (case,) = town.court.cases.values()
    return case


def go_back(town: Town, case: Case, claim: Claim) -> None:
    """The chain is another one, on which the case stands so and nobody was slashed; no event tells."""
    town.court.put(case)
    town.court.events.pop()
    town.court.slashed.pop(claim.receipt_digest(), None)


def test_a_jurys_ruling_that_is_undone_is_settled_again(town: Town) -> None:
    serve(town, LIE)
    town.pay(LIE)
    before = None
    while before is None or only(town).stage is not Stage.RULED:
        before = only(town) if town.court.cases else None
        town.run(1)
    for _ in range(DEEP - 1):
        town.tick(0)
        assert town.states() == [notes.ACCUSING]
    go_back(town, before, LIE)
    town.tick(0)
    assert (only(town).stage, only(town).outcome) == (Stage.RULED, Outcome.CHEATED)
    for _ in range(DEEP):
        assert town.states() == [notes.ACCUSING]
        town.tick(0)
    town.tick(0)
    assert town.states() == [notes.CLOSED]
    assert town.note().ended == "ruled cheated"


def test_a_game_that_goes_on_after_its_ruling_was_undone_is_played_on(town: Town) -> None:
    serve(town, DISPUTED)
    town.pay(DISPUTED)
    town.run(4)
    assert [type(move) for move in town.games.played] == [Begin]
    playing = only(town)
    who = PROVIDER.address, KEYS[0].address
    view = View(playing.id, ZERO32, At.POST, Place.EVIDENCE, *who, receipt=playing.receipt, since=town.now)
    town.games.views[playing.id] = replace(view, defender_clock=600, challenger_clock=600)
    town.court.put(replace(playing, stage=Stage.RULED, outcome=Outcome.CHEATED))
    for _ in range(DEEP - 1):
        town.tick(0)
    go_back(town, playing, DISPUTED)
    town.now += 601
    town.tick(0)
    assert town.games.played[1:] == [Forfeit(playing.id)]


def test_a_challenge_that_is_gone_is_made_again_and_played_by_its_new_id(town: Town) -> None:
    serve(town, DISPUTED)
    town.run(4)
    gone, town.games.played = only(town).id, []
    others = replace(only(town), id=bytes(32), receipt=ZERO32, challenger=KEYS[3].address)
    town.court.cases = {others.id: others}  # which came first this time, so that ours has another id
    town.run(2)
    case = next(case for case in town.court.cases.values() if case != others)
    assert town.note().case == "0x" + case.id.hex() != "0x" + gone.hex()
    assert [move.case for move in town.games.played] == [case.id]


def test_a_conviction_by_records_that_is_undone_is_proved_again(town: Town) -> None:
    serve(town, HONEST, own=TWIN)
    town.pay(HONEST)
    while not town.court.slashed:
        town.run(1)
    for _ in range(DEEP - 1):
        town.tick(0)
        assert town.states() == [notes.ACCUSING]
    assert town.verdict()[1].startswith("two-receipts")  # the gateway is told at once
    town.court.slashed.clear()
    town.tick(0)
    assert HONEST.receipt_digest() in town.court.slashed
    for _ in range(DEEP + 1):
        town.tick(0)
    assert town.states() == [notes.CLOSED]
    assert town.note().ended == "convicted"


def test_a_conviction_by_another_that_is_undone_leaves_us_to_challenge(town: Town) -> None:
    town.court.slash(LIE.receipt_digest(), KEYS[3].address)
    serve(town, LIE)
    for _ in range(DEEP - 1):
        town.tick(0)
    assert not town.court.cases
    town.court.slashed.clear()
    town.tick(0)
    assert only(town).challenger == KEYS[0].address


def test_a_juror_whose_vote_is_undone_with_the_ruling_votes_again(town: Town) -> None:
    serve(town, LIE)
    town.pay(LIE)
    town.run(3)
    while only(town).committed < len(only(town).seats) or only(town).stage is not Stage.OPENED:
        town.run(1)
    committed = replace(only(town), revealed=0)
    while only(town).stage is not Stage.RULED:
        town.run(1)
    town.run(DEEP - 2)
    votes = town.court.votes.pop(committed.id)
    go_back(town, committed, LIE)
    town.tick()
    assert town.court.votes[committed.id] == votes
