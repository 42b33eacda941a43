"""kill -9 at every act of an auditor, before it takes effect and after it did: the story always ends the same.

One auditor runs on ports of which the n-th act kills it; it is started again on its own journal and goes on. n runs
until the story ends before it is reached.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from auditing import KEYS, ORDER, PROMPT, STALL, TOY, Killed, Killer, Town, serve
from claims import signed_again
from steelyard.engines.alphabet import Alphabet
from steelyard.market.cases import Stage
from steelyard.nodes.auditor import notes
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.verdicts import Outcome

HONEST = STALL.sell(TOY, ORDER, PROMPT)
LIE = STALL.sell(Alphabet(lie_from=2), ORDER, PROMPT)


def story(folder: Path, who: int, killer: Killer, begin: Callable[[Town], None]) -> tuple[Town, bool]:
    """Plays until everything is closed; says whether the killer struck."""
    folder.mkdir()
    town = Town(folder)
    town.restart(who, killer)
    struck = False
    begun = False
    for second in range(48):
        for i in range(len(KEYS)):
            try:
                if not begun and i == 0 and second >= 3:  # all sit in the pool by then
                    begin(town)
                    begun = True
                town.nodes[i].audit_once()
                town.nodes[i].accuse_once()
                town.nodes[i].sit_once()
            except Killed:
                struck = True
                town.restart(i)
        town.now += 1
    return town, struck


def each_kill(
    tmp_path: Path, who: int, after: bool, begin: Callable[[Town], None], check: Callable[[Town], None]
) -> None:
    kills = 0
    while True:
        town, struck = story(tmp_path / f"{kills}", who, Killer(kills + 1, after), begin)
        try:
            check(town)
        finally:
            town.close()
        if not struck:
            break
        kills += 1
    assert kills >= 6


def caught(town: Town) -> None:
    """One challenge, one slash, three votes, one honest verdict told (perhaps twice: repeating it is harmless)."""
    assert town.court.slashed == {LIE.receipt_digest(): KEYS[0].address}
    (case,) = town.court.cases.values()
    assert (case.stage, case.outcome, case.claim) == (Stage.RULED, Outcome.CHEATED, 2)
    assert len(town.court.votes[case.id]) == 3
    assert all(notice == town.road.told[0] for notice in town.road.told)
    assert town.road.told
    assert town.states() == [notes.CLOSED]
    seats = [found.state for node in town.nodes for found in node.desk.journal.scan(notes.SEAT)]
    assert seats == [notes.CLOSED] * 4


def begin_lie(town: Town) -> None:
    town.pay(LIE)
    if not town.nodes[0].desk.journal.scan(notes.TICKET):
        serve(town, LIE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("who", [0, 1], ids=["challenger", "juror"])
def test_a_liar_is_caught_once_wherever_an_auditor_is_killed(tmp_path: Path, who: int, after: bool) -> None:
    each_kill(tmp_path, who, after, begin_lie, caught)


def begin_twice(town: Town) -> None:
    town.pay(HONEST)
    if not town.nodes[0].desk.journal.scan(notes.TICKET):
        serve(town, HONEST, own=signed_again(HONEST, replace(HONEST.receipt, evidence_root=ZERO32)))


def convicted(town: Town) -> None:
    assert HONEST.receipt_digest() in town.court.slashed
    assert town.states() == [notes.CLOSED]
    assert town.verdict()[1].startswith("two-receipts")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_two_receipts_convict_once_wherever_the_auditor_is_killed(tmp_path: Path, after: bool) -> None:
    each_kill(tmp_path, 0, after, begin_twice, convicted)


def begin_honest(town: Town) -> None:
    if not town.nodes[0].desk.journal.scan(notes.TICKET):
        serve(town, HONEST)


def acquitted(town: Town) -> None:
    assert not town.court.cases
    assert town.verdict()[0].outcome == Outcome.HONEST
    assert town.states() == [notes.CLOSED]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_honest_provider_is_never_accused_wherever_the_auditor_is_killed(tmp_path: Path, after: bool) -> None:
    each_kill(tmp_path, 0, after, begin_honest, acquitted)
