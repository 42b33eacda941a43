"""A table at which two sides play a dispute game before the referee: who sold what, who holds what, and how it went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest
from counting import END, MODEL_ROOT, VOCABULARY, Counting, Spoil, honest, spoiled
from game_arithmetic import GraphArithmetic, Prefers, greater

from claims import DOMAIN, PROVIDER, SESSION, STRANGER, Stall
from steelyard.engines.base import Card, Replay
from steelyard.protocol import games
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import Side, Stage, View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.moves import Begin, Forfeit, Move
from steelyard.protocol.moves import Claim as Disputed
from steelyard.verification.challenger import challenger_move, first_move, shown
from steelyard.verification.claim import Claim
from steelyard.verification.defender import defender_move
from steelyard.verification.holding import Hold
from steelyard.verification.referee import Case, Referee
from steelyard.verification.transcript import Transcript

STALL = Stall(MODEL_ROOT)
CARD = Card("counting", MODEL_ROOT, True, 4096, VOCABULARY, frozenset({END}), "unknown", 0)
CHALLENGER = Key(sha256(b"challenger"))
BASE, EACH, BEGAN = 1000, 10, 1_800_000_000
Player = Callable[[View], Move | None]


class Sold(Protocol):
    """An answer that was sold, by any model."""

    @property
    def claim(self) -> Claim: ...


@dataclass(frozen=True)
class Sale:
    """An answer that was sold, and what its provider has of it."""

    claim: Claim
    script: Transcript
    run: Callable[[tuple[int, ...]], Counting]

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.claim.prompt, *self.claim.generated)

    def hold(self, positions: int) -> Counting:
        return self.run(self.ids[:positions])

    def run_of(self, ids: tuple[int, ...]) -> Hold:
        """The same provider's run of other ids."""
        return lambda positions: self.run(ids[:positions])


def sell(
    prompt: Sequence[int],
    units: int,
    spoil: Spoil | None = None,
    first: tuple[int, int] = (0, 0),
    wrong_id: int = 0,
    last: int | None = None,
    max_units: int | None = None,
    answer_from: int | None = None,
) -> Sale:
    """What a provider signs whose run is spoiled from (position, node) `first` on. `wrong_id`: the last unit is so many
    ids beside what its logits say, with evidence that fits; `last`: it is this id."""
    run = spoiled(spoil, first) if spoil else honest
    ids, evidence = list(prompt), []
    for unit in range(units):
        held, end = run(tuple(ids)), unit == units - 1
        picked = held.picks(len(ids) - 1)
        if end:
            picked = (picked + wrong_id) % VOCABULARY if last is None else last
        ids.append(picked)
        evidence.append(held.evidence(len(ids) - 2, picked))
    order = STALL.order(tuple(prompt), max_units or units, temperature=0)
    order = order if answer_from is None else replace(order, answer_from=answer_from)
    claim = STALL.claim(order, tuple(prompt), ids[len(prompt) :], evidence)
    return Sale(claim, Transcript.of(claim, evidence), run)


def checked(sale: Sale) -> Sale:
    """The same answer as an honest challenger has it: with its own run, and the evidence of that."""
    prompt, run = len(sale.claim.prompt), honest(sale.ids[:-1] or sale.ids)
    evidence = [run.evidence(prompt + unit - 1, one) for unit, one in enumerate(sale.claim.generated)]
    return Sale(sale.claim, Transcript.of(sale.claim, evidence), honest)


def replay(sale: Sale) -> Replay:
    """What an honest engine says of the answer."""
    own, prompt = checked(sale), len(sale.claim.prompt)
    run = honest(sale.ids[:-1] or sale.ids)
    picked = tuple(run.picks(prompt + unit - 1) for unit in range(len(sale.claim.generated)))
    return Replay(picked, own.script.evidence, b"")


def case_of(number: int = 0) -> bytes:
    return sha256(b"case", number.to_bytes(4, "big"))


def opening(sale: Sale, case: bytes) -> Begin:
    """How its challenger opens: as an honest one would, or, where an honest one would not, with the worst id as a
    rival for the last unit."""
    move = first_move(case, sale.claim, CARD, replay(sale))
    if isinstance(move, Begin):
        return move
    logits = sale.hold(len(sale.ids) - 1).logits(len(sale.ids) - 2)
    worst = min((one for one in range(VOCABULARY) if one != sale.ids[-1]), key=lambda one: (logits[one], -one))
    return Begin(case, shown(sale.claim), Disputed(len(sale.claim.generated) - 1, worst))


@dataclass
class Table:
    """One receipt, and all games on it."""

    sale: Sold
    cases: int = 1
    prefers: Prefers = greater
    now: int = BEGAN
    referee: Referee = field(init=False)

    def __post_init__(self) -> None:
        receipt = self.sale.claim.receipt_digest()
        case = Case(receipt, PROVIDER.address, CHALLENGER.address, SESSION.address)
        cases = {case_of(number): case for number in range(self.cases)}
        self.referee = Referee(DOMAIN, GraphArithmetic(self.prefers), cases, BASE, EACH)

    def view(self, number: int = 0) -> View:
        return self.referee.games[case_of(number)]

    def play(self, move: Move, side: Side | None) -> View:
        """Ten seconds later. `side` None: a stranger's."""
        self.now += 10
        senders = {Side.DEFENDER: PROVIDER, Side.CHALLENGER: CHALLENGER, None: STRANGER}
        return self.referee.play(move, senders[side].address, self.now)


@dataclass
class Played:
    """A game from its beginning to its end."""

    sale: Sold
    views: list[View]
    """After each move that counted."""
    moves: list[tuple[Side | None, Move]]
    """Those that counted."""
    refused: list[tuple[Side, Refused]]

    @property
    def end(self) -> View:
        return self.views[-1]


def game_between(
    table: Table, defender: Player, challenger: Player, begin: Move | None = None, number: int = 0
) -> Played:
    """Plays to the end. Who has nothing to say, or says what is refused, is silent until it has lost by that."""
    case = case_of(number)
    if begin is None:
        assert isinstance(table.sale, Sale)
        begin = opening(table.sale, case)
    played = Played(table.sale, [table.play(begin, Side.CHALLENGER)], [(Side.CHALLENGER, begin)], [])
    while played.end.stage != Stage.OVER:
        take_turn(table, played, defender, challenger)
    return played


def take_turn(table: Table, played: Played, defender: Player, challenger: Player) -> None:
    side = games.to_move(played.end)
    assert side is not None
    move = (defender if side is Side.DEFENDER else challenger)(played.end)
    try:
        if move is not None:
            played.views.append(table.play(move, side))
            played.moves.append((side, move))
            return
    except Refused as refused:
        played.refused.append((side, refused))
    assert_clock_runs(table, played)
    table.now += BASE + EACH * 4096
    move = Forfeit(played.end.case)
    played.views.append(table.play(move, None))
    played.moves.append((None, move))


def assert_clock_runs(table: Table, played: Played) -> None:
    """Nobody forfeits before its time is over."""
    with pytest.raises(Refused, match=r"games\.early"):
        table.play(Forfeit(played.end.case), None)


def plays(sale: Sale, hold: Hold | None = None) -> tuple[Player, Player]:
    """The honest moves of a defender and of a challenger with this run."""
    held = hold or sale.hold
    return (lambda view: defender_move(view, held, sale.script)), (
        lambda view: challenger_move(view, held, sale.script)
    )
