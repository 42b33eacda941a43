"""A provider's receipts in dispute games: which cases it watches, when it moves, appeals and forfeits."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from auditing import KEYS, ToyGames
from counter import DOMAIN, PROVIDER, Bought, Counter
from counter import run as play
from steelyard.chain.following import DEEP
from steelyard.devnet.liars import FlippedBit
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Engine
from steelyard.market.cases import Case, Stage
from steelyard.market.toy_cases import Court, ToyCases
from steelyard.nodes.provider.defending import CLOSED, WATCHED, Defender
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import Place, View
from steelyard.protocol.games import Stage as At
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.moves import Answer, Appeal, Forfeit, PostChildren
from steelyard.protocol.records import Level, Vote
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.holding import Hold

CLOCK = 600
PATIENCE = 20
JURY = tuple(key.address for key in KEYS[1:])


@dataclass
class Stand:
    """One provider that has sold one answer, a court, games."""

    folder: Path
    engine: Engine = field(default_factory=Alphabet)
    order: dict[str, Any] = field(default_factory=dict)
    levels: tuple[Level, ...] = (Level.AUDITED, Level.OPEN)
    counter: Counter = field(init=False)
    answer: Bought = field(init=False)
    court: Court = field(init=False)
    games: ToyGames = field(init=False)
    defender: Defender = field(init=False)

    def __post_init__(self) -> None:
        self.counter = Counter(self.folder, self.engine, self.levels)
        self.court = Court(DOMAIN, lambda: int(self.counter.time))
        self.games = ToyGames(self.court)
        play(self._sell)
        self.start()

    async def _sell(self) -> None:
        self.answer = await self.counter.buy(self.counter.request(self.counter.order(**self.order)))

    def start(self) -> None:
        """The provider's process, on its journal."""
        cases = self.court.of(PROVIDER.address)
        self.defender = Defender(self.counter.provider, cases, self.games, patience=PATIENCE)

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


def rule(stand: Stand, case: bytes) -> Callable[[], None]:
    """A ruling; call what comes back and a reorganisation undoes it, without an event that would tell."""
    before = stand.court.cases[case]
    stand.court.put(replace(before, stage=Stage.RULED, outcome=Outcome.HONEST))

    def undo() -> None:
        stand.court.put(before)
        stand.court.events.pop()

    return undo


def test_a_case_is_watched_until_its_ruling_is_deep_so_that_undoing_it_leaves_nobody_silent(stand: Stand) -> None:
    case = stand.case()
    stand.view(case, At.POST, place=Place.EVIDENCE)
    undo = rule(stand, case)
    for _ in range(DEEP):
        stand.defender.round()
        assert stand.state(case) == WATCHED
        stand.counter.time += 1
    undo()
    stand.defender.round()
    assert [type(move) for move in stand.games.played] == [PostChildren]
    rule(stand, case)
    stand.counter.time += DEEP
    stand.defender.round()
    assert stand.state(case) == CLOSED


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


# -- cases that stand still --------------------------------------------------------------------------------------------


def hold(stand: Stand, **changes: Any) -> bytes:
    """Somebody has challenged the answer and does nothing more."""
    now = int(stand.counter.time)
    court = {"since": now, "open_until": now + 3 * stand.court.window}
    case = stand.case(stage=Stage.CHALLENGED, seats=(), **(court | changes))
    stand.court.born[case] = now
    return case


def rounds(stand: Stand, seconds: float) -> None:
    """So many seconds, a round in each."""
    for _ in range(int(seconds)):
        stand.counter.time += 1
        stand.defender.round()


@pytest.fixture
def pool(stand: Stand) -> None:
    """Auditors that can sit."""
    stand.court.pool = {juror: (bytes(32), "", 1) for juror in JURY}


@pytest.mark.usefixtures("pool")
def test_a_challenger_that_seats_no_jury_gets_one_once_it_had_its_time(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    case = hold(stand)
    rounds(stand, PATIENCE)
    assert stand.court.cases[case].stage is Stage.CHALLENGED
    rounds(stand, 5)
    found = stand.court.cases[case]
    assert (found.stage, set(found.seats)) == (Stage.SEATED, set(JURY))
    assert stand.defender.last_error is None
    told = [record.getMessage() for record in caplog.records if record.name == "steelyard.provider"]
    assert told == [f"case 0x{case.hex()}: nobody did it for {PATIENCE:g} s: seated its jury"]
    rounds(stand, stand.court.window + PATIENCE + 1)
    assert (stand.court.cases[case].stage, stand.court.cases[case].outcome) == (Stage.RULED, Outcome.NOT_OPENED)


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("killed", ["before", "after"])
def test_a_provider_that_was_killed_at_a_seating_seats_once(stand: Stand, killed: str) -> None:
    case = hold(stand)
    rounds(stand, PATIENCE if killed == "before" else PATIENCE + 1)
    stand.counter.restart()
    stand.start()
    rounds(stand, 3)
    assert stand.court.cases[case].stage is Stage.SEATED
    assert stand.court.events.count(case) == 2  # the challenge, the seating
    assert stand.defender.last_error is None


@pytest.mark.usefixtures("pool")
def test_a_seating_that_a_reorganisation_undoes_is_made_again_and_a_later_challenge_has_its_time(stand: Stand) -> None:
    case = hold(stand)
    rounds(stand, PATIENCE + 1)
    challenged = replace(stand.court.cases[case], stage=Stage.CHALLENGED, seats=())
    later = int(stand.counter.time) - 2
    stand.court.put(replace(challenged, since=later, open_until=later + 3 * stand.court.window))  # type: ignore[arg-type]
    stand.court.born[case] = later
    rounds(stand, PATIENCE - 2)
    assert stand.court.cases[case].stage is Stage.CHALLENGED
    rounds(stand, 1)
    assert stand.court.cases[case].stage is Stage.SEATED
    del stand.court.cases[case]
    rounds(stand, 2)
    assert stand.defender.last_error is None


def test_a_jury_that_somebody_else_seats_at_that_moment_is_no_failure(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(stand)
    monkeypatch.setattr(ToyCases, "seat", refuse("rulings.stage"))
    rounds(stand, PATIENCE + 2)
    assert stand.defender.last_error is None
    assert not stand.games.played


def refuse(rule: str) -> Callable[[ToyCases, bytes], None]:
    def refused(_: ToyCases, case: bytes) -> None:
        raise Refused(rule, case.hex())

    return refused


def test_where_no_jury_can_be_seated_the_case_is_appealed(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    case = hold(stand)
    monkeypatch.setattr(ToyCases, "seat", refuse("registry.epoch-forgotten"))
    rounds(stand, PATIENCE + 3)
    assert [(type(move), move.case) for move in stand.games.played] == [(Appeal, case)]


def test_where_nobody_sits_the_case_is_appealed(stand: Stand) -> None:
    case = hold(stand)
    rounds(stand, 2 * PATIENCE + 1)
    assert stand.court.cases[case].stage is Stage.SEATED
    rounds(stand, 3)
    assert [(type(move), move.case) for move in stand.games.played] == [(Appeal, case)]


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("level", [Level.AUDITED, Level.DISPUTABLE])
def test_a_drawn_challenge_is_never_seated_by_us_who_would_have_to_open_it(tmp_path: Path, level: Level) -> None:
    stand = Stand(tmp_path, order={"level": int(level)}, levels=(level,))
    case = hold(stand, opener=PROVIDER.address)
    rounds(stand, PATIENCE + 3)
    found = stand.court.cases[case].stage, [type(move) for move in stand.games.played]
    assert found == ((Stage.CHALLENGED, []) if level is Level.AUDITED else (Stage.PLAYING, [Appeal]))
    stand.defender.stop()
    stand.counter.journal.close()


def test_a_challenge_that_has_lapsed_is_settled(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    case = hold(stand)
    with monkeypatch.context() as patch:
        patch.setattr(ToyCases, "seat", refuse("rulings.stage"))
        rounds(stand, 3 * stand.court.window + PATIENCE)
    assert stand.court.cases[case].stage is Stage.CHALLENGED
    rounds(stand, 1)
    assert (stand.court.cases[case].stage, stand.court.cases[case].outcome) == (Stage.RULED, None)
    rounds(stand, DEEP + 1)
    assert stand.state(case) == CLOSED


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
