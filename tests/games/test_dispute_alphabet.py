"""Dispute games on the toy engine: each named liar that signs something else than the honest answer is convicted, by a
game where its records do not say it already; an honest provider never is; a planted word is found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest
from game_arithmetic import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from liars import HONEST, LIARS, Scene, scene
from playing import Played, Table, case_of, game_between

from claims import ONE
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.alphabet_graph import GRAPH, VOCABULARY
from steelyard.engines.draws import bits, real
from steelyard.engines.ir.holding import GraphHolding
from steelyard.engines.ir.patched import Patched
from steelyard.protocol.games import NOTHING, Place, View, words_of
from steelyard.protocol.moves import Begin, BeginEarly, Move
from steelyard.protocol.moves import Claim as Disputed
from steelyard.protocol.verdicts import Outcome
from steelyard.verification import checks
from steelyard.verification.challenger import challenger_move, first_move, shown
from steelyard.verification.claim import Claim, defect
from steelyard.verification.defender import defender_move
from steelyard.verification.holding import Hold
from steelyard.verification.transcript import Transcript
from steelyard.work.generate import job_of


@dataclass(frozen=True)
class Sold:
    """An answer that was sold, what its provider signed of it, and the run that it would show."""

    claim: Claim
    evidence: tuple[bytes, ...]
    engine: Alphabet = HONEST

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.claim.prompt, *self.claim.generated)

    def hold(self, positions: int) -> GraphHolding:
        return held(self.engine, self.claim, self.ids).first(positions)


@cache
def _held(engine: Alphabet, prompt: tuple[int, ...], ids: tuple[int, ...], order: object) -> GraphHolding:
    answer = ids[len(prompt) :]
    job = job_of(order, prompt)  # type: ignore[arg-type]
    return GraphHolding(engine.trace(job, answer), HONEST.language)


def held(engine: Alphabet, claim: Claim, ids: tuple[int, ...]) -> GraphHolding:
    """A run of all ids, in the trees of the model that was ordered."""
    return _held(engine, claim.prompt, ids, claim.order)


@dataclass(frozen=True)
class Watched(Scene):
    """Remembers what was signed."""

    signed: list[tuple[bytes, ...]] = field(default_factory=list)

    def sign(self, ids: Sequence[int], leaves: Sequence[bytes]) -> Claim:
        self.signed.append(tuple(leaves))
        return super().sign(ids, leaves)


def watched(number: int, temperature: int = ONE) -> Watched:
    found = scene(b"prompt %d" % number, number, temperature, 5 + number, number)
    return Watched(found.order, found.prompt, found.steps, found.k)


def play(sold: Sold, begin: Move, hold: Hold | None = None) -> Played:
    """The liar shows its run, the challenger has an honest one."""
    script = Transcript.of(sold.claim, sold.evidence)
    own = Sold(sold.claim, HONEST.replay(job_of(sold.claim.order, sold.claim.prompt), sold.claim.generated).leaves)
    checked = Transcript.of(own.claim, own.evidence)

    def defends(view: View) -> Move | None:
        return defender_move(view, hold or sold.hold, script)

    def challenges(view: View) -> Move | None:
        return challenger_move(view, own.hold, checked)

    return game_between(Table(sold, prefers=drawn), defends, challenges, begin)


def reason(claim: Claim) -> Begin | BeginEarly | None:
    run = HONEST.replay(job_of(claim.order, claim.prompt), claim.generated)
    return first_move(case_of(), claim, HONEST.card, run)


def needs_no_game(claim: Claim) -> bool:
    """Lies that records prove (GAM-41, GAM-42), and packages that prove nothing."""
    if defect(claim) is not None or checks.model_root(claim) is not None:
        return True
    return checks.known_units(claim, HONEST.card) is not None or checks.overrun(claim, HONEST.card.ends) is not None


ENGINES: dict[str, Callable[[int], Alphabet]] = {
    "other weights from position k": lambda k: Alphabet(lie_from=k),
    "other model under this root": lambda _: Alphabet(dialect=b"cheap"),
}
"""What a liar computes with; the others have an honest run to show, which is not what they signed."""


@pytest.mark.parametrize("name", LIARS)
def test_each_liar_is_convicted_by_a_game_or_by_its_records(name: str) -> None:
    games = 0
    for number in range(4):
        one = watched(number)
        claim = LIARS[name].play(one)
        if claim is None or needs_no_game(claim):
            continue
        games += 1
        begin = reason(claim)
        assert begin is not None
        engine = ENGINES.get(name, lambda _: HONEST)(one.k)
        played = play(Sold(claim, one.signed[-1], engine), begin)
        assert played.end.outcome is Outcome.CHEATED, (played.end, played.refused)
    by_records = {"own up to another model", "token that does not exist", "garbage answer root"}
    assert games or name in by_records | {"run past an end", "run past the order", "inflated count"}


def test_other_weights_are_found_at_the_first_word_that_differs() -> None:
    """GAM-20, GAM-21: not by silence. The state that chose unit k has other tables behind it."""
    one = watched(3)
    claim = LIARS["other weights from position k"].play(one)
    assert claim is not None
    begin = reason(claim)
    assert isinstance(begin, Begin)
    assert begin.claim.rival == NOTHING
    played = play(Sold(claim, one.signed[-1], Alphabet(lie_from=one.k)), begin)
    end = played.end
    assert (end.outcome, end.why, played.refused) == (Outcome.CHEATED, "step", [])
    assert end.unit == one.k
    assert (end.position, GRAPH.nodes[end.node].name) == (len(one.prompt) + one.k - 1, "embedding")


@pytest.mark.parametrize("temperature", [0, ONE])
def test_an_honest_provider_wins_against_any_claim(temperature: int) -> None:
    """GAM-4, GAM-33: no rival beats what rule P3 picked, and the challenger has nothing to point at."""
    one = watched(2, temperature)
    claim = one.sign(one.ids, one.leaves)
    assert reason(claim) is None or len(one.ids) < one.order.max_units
    for rival in (97, 110, 256, 300):
        for unit in range(len(one.ids)):
            begin = Begin(case_of(), shown(claim), Disputed(unit, rival))
            played = play(Sold(claim, one.signed[-1]), begin)
            assert (played.end.outcome, played.end.place) == (Outcome.HONEST, Place.RUN)
    played = play(Sold(claim, one.signed[-1]), Begin(case_of(), shown(claim), Disputed()))
    assert (played.end.outcome, played.end.place) == (Outcome.HONEST, Place.EVIDENCE)


@settings(max_examples=15)
@given(data=st.data())
def test_a_word_that_is_not_what_was_computed_is_found(data: st.DataObject) -> None:
    """GAM-10 to GAM-16, GAM-20, GAM-21: any element of any node at any position, said in trees that agree with it."""
    one = watched(1)
    claim = one.sign(one.ids, one.leaves)
    last = len(claim.prompt) + len(claim.generated) - 1
    position = data.draw(st.integers(0, last - 1))
    node = data.draw(st.integers(0, len(GRAPH.nodes) - 1))
    element = data.draw(st.integers(0, GRAPH.nodes[node].elements(position) - 1))
    honest = held(HONEST, claim, (*claim.prompt, *claim.generated)).first(last)
    liar = Patched(honest, *lie(honest, position, node, element))
    rival = next(one for one in range(VOCABULARY) if one != claim.generated[-1])
    begin = Begin(case_of(), shown(claim), Disputed(len(claim.generated) - 1, rival))
    played = play(Sold(claim, one.signed[-1]), begin, lambda _: liar)
    end = played.end
    assert end.outcome is Outcome.CHEATED
    if played.refused:  # state or logits of the last position: the evidence that it signed is of others
        assert (position, end.why) == (last - 1, "clock")
        assert {refused.rule for _, refused in played.refused} == {"games.evidence"}
    else:
        assert (end.position, end.node, end.element, end.why) == (position, node, element, "step")


def lie(
    honest: GraphHolding, position: int, node: int, element: int
) -> tuple[dict[tuple[int, int, int], int], dict[tuple[int, int, int, int, int], int]]:
    """`Patched`'s: a word with another bit; of 16 chains, which hold whole numbers here, the first and so the element
    are one more."""
    word = words_of(honest.value(position, node))[element]
    if GRAPH.nodes[node].lanes == 1:
        return {(position, node, element): word ^ 1}, {}
    turns = honest.chain_turns(position, node, 0)
    chain = words_of(honest.chains(position, node, element))[0]
    return {(position, node, element): one_more(word)}, {(position, node, element, 0, turns): one_more(chain)}


def one_more(word: int) -> int:
    return bits(real(word) + 1.0)
