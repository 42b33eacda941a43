"""A provider's receipts in dispute games: which cases it watches, when it moves, appeals and forfeits."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from auditing import KEYS, ToyGames
from counter import DOMAIN, PROVIDER, Bought, Counter
from counter import run as play
from steelyard.devnet.liars import FlippedBit
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Engine
from steelyard.market.cases import Case, Stage
from steelyard.market.toy_cases import Court
from steelyard.nodes.provider.defending import CLOSED, WATCHED, Defender
from steelyard.protocol import merkle
from steelyard.protocol.games import Place, View
from steelyard.protocol.games import Stage as At
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.moves import Answer, Appeal, Forfeit, PostChildren
from steelyard.protocol.records import Vote
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.holding import Hold

CLOCK = 600
JURY = tuple(key.address for key in KEYS[1:])


@dataclass
class Stand:
    """One provider that has sold one answer, a court, games."""

    folder: Path
    engine: Engine = field(default_factory=Alphabet)
    order: dict[str, Any] = field(default_factory=dict)
    counter: Counter = field(init=False)
    answer: Bought = field(init=False)
    court: Court = field(init=False)
    games: ToyGames = field(init=False)
    defender: Defender = field(init=False)

    def __post_init__(self) -> None:
        self.counter = Counter(self.folder, self.engine)
        self.court = Court(DOMAIN, lambda: int(self.counter.time))
        self.games = ToyGames(self.court)
        play(self._sell)
        self.start()

    async def _sell(self) -> None:
        self.answer = await self.counter.buy(self.counter.request(self.counter.order(**self.order)))

    def start(self) -> None:
        """The provider's process, on its journal."""
        self.defender = Defender(self.counter.provider, self.court.of(PROVIDER.address), self.games)

    def case(self, number: int = 0, **changes: Any) -> bytes:
        """Somebody challenges the answer; the case stands so."""
        id_ = sha256(b"case", bytes([number]))
        who = PROVIDER.address, KEYS[0].address, KEYS[0].address
        found = Case(id_, self.answer.digest, *who, stage=Stage.PLAYING, seats=JURY)
        self.court.put(replace(found, **changes))
        return id_

    def view(self, case: bytes, stage: At, **changes: Any) -> View:
        """Its game stands so."""
        last = {"since": int(self.counter.time), "defender_clock": CLOCK, "challenger_clock": CLOCK}
        receipt, order = self.answer.receipt, self.answer.order
        units = len(self.answer.units)
        named = {
            "evidence_root": receipt.evidence_root,
            "prompt_units": order.prompt_units,
            "answer_from": order.answer_from,
            "answer_units": units,
            "positions": order.prompt_units + units - 1,
            "at": receipt.evidence_root,
            "levels": merkle.depth_of(units),
            "count": units,
        }
        view = View(case, ZERO32, stage, receipt=self.answer.digest, **(named | last | changes))  # type: ignore[arg-type]
        self.games.views[case] = view
        return view

    def state(self, case: bytes) -> str | None:
        found = self.counter.journal.get("game", case)
        return None if found is None else found.state


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.defender.stop()
    made.counter.journal.close()


def test_the_next_children_of_our_own_tree_are_posted_once_it_is_our_turn(stand: Stand) -> None:
    case = stand.case()
    view = replace(stand.view(case, At.POST, place=Place.EVIDENCE), head=sha256(b"head"))
    stand.games.views[case] = view
    stand.defender.round()
    (move,) = stand.games.played
    assert isinstance(move, PostChildren)
    assert (move.case, move.seen) == (case, view.head)
    assert merkle.seal(view.count, merkle.Tree(move.children).layers[-1][0]) == stand.answer.receipt.evidence_root
    stand.games.views[case] = replace(view, stage=At.POINT)
    stand.defender.round()
    assert stand.games.played == [move]


def test_a_challenger_whose_clock_is_over_has_lost_and_not_before(stand: Stand) -> None:
    case = stand.case()
    view = stand.view(case, At.POINT, place=Place.EVIDENCE)
    stand.counter.time = view.since + CLOCK
    stand.defender.round()
    assert not stand.games.played
    stand.counter.time += 1
    stand.defender.round()
    assert stand.games.played == [Forfeit(case)]


def test_cases_of_others_are_not_watched(stand: Stand) -> None:
    case = stand.case(provider=KEYS[3].address)
    stand.defender.round()
    assert stand.state(case) is None


def test_a_receipt_that_we_do_not_know_stops_no_other_game(stand: Stand) -> None:
    unknown, case = stand.case(1, receipt=sha256(b"another")), stand.case(2)
    for each in (unknown, case):
        stand.view(each, At.POST, place=Place.EVIDENCE)
    stand.defender.round()
    assert [move.case for move in stand.games.played] == [case]
    assert stand.defender.last_error is not None
    assert "receipt.unknown" in stand.defender.last_error


def test_a_new_process_goes_on_where_the_last_one_was_killed(stand: Stand) -> None:
    case = stand.case()
    stand.view(case, At.BEGUN)
    stand.defender._try(b"", stand.defender._watch)  # killed before its move
    stand.counter.restart()
    stand.start()
    stand.defender.round()
    (move,) = stand.games.played
    assert isinstance(move, Answer)
    assert move.shown.unit.units


def test_a_ruled_case_is_closed_and_watched_again_if_a_reorganisation_undoes_the_ruling(stand: Stand) -> None:
    case = stand.case()
    stand.defender.round()
    assert stand.state(case) == WATCHED
    playing = stand.court.cases[case]
    stand.court.put(replace(playing, stage=Stage.RULED, outcome=Outcome.HONEST))
    stand.defender.round()
    assert stand.state(case) == CLOSED
    stand.view(case, At.POST, place=Place.EVIDENCE)
    stand.court.put(playing)
    stand.defender.round()
    assert stand.state(case) == WATCHED
    assert [type(move) for move in stand.games.played] == [PostChildren]


def test_runs_are_asked_by_one_game_at_a_time(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    hold, inside, most = stand.defender.runs.hold, [0], [0]

    @contextmanager
    def counted() -> Iterator[None]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.05)
        yield
        inside[0] -= 1

    def slowly(ids: Sequence[int], answer_from: int) -> Hold:
        with counted():
            return hold(ids, answer_from)

    monkeypatch.setattr(stand.defender.runs, "hold", slowly)
    cases = [stand.case(number) for number in range(4)]
    for case in cases:
        stand.view(case, At.POST, place=Place.EVIDENCE)
    stand.defender.round()
    assert {move.case for move in stand.games.played} == set(cases)
    assert most == [1]


# -- appeals -----------------------------------------------------------------------------------------------------------


def condemn(stand: Stand, jurors: Sequence[Address] = JURY) -> bytes:
    """A jury is about to convict."""
    case = stand.case(stage=Stage.OPENED)
    stand.court.votes[case] = {juror: Vote(1, case, juror, Outcome.CHEATED, *[ZERO32] * 3) for juror in jurors}
    return case


def test_a_wrong_conviction_of_an_honest_receipt_is_appealed_once(stand: Stand) -> None:
    case = condemn(stand)
    stand.defender.round()
    stand.defender.round()  # it is a game now, whose view is not there yet
    (move,) = stand.games.played
    assert isinstance(move, Appeal)
    assert (move.case, move.shown.receipt) == (case, stand.answer.receipt)
    assert stand.court.cases[case].stage is Stage.PLAYING


def test_a_jury_that_does_not_convict_is_not_appealed_against(stand: Stand) -> None:
    condemn(stand, JURY[:1])
    stand.defender.round()
    assert not stand.games.played


def test_a_liar_whose_own_run_says_otherwise_does_not_appeal(tmp_path: Path) -> None:
    honest = Alphabet()
    stand = Stand(tmp_path, FlippedBit(honest.card, honest))
    condemn(stand)
    stand.defender.round()
    assert stand.defender.last_error is None
    assert not stand.games.played


def test_what_a_game_cannot_follow_is_not_appealed_and_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand(tmp_path, order={"logprobs": 3})
    monkeypatch.setattr(stand.engine, "replay", lambda *_: pytest.fail("run again for nothing"))
    condemn(stand)
    stand.defender.round()
    assert stand.defender.last_error is None
    assert not stand.games.played
