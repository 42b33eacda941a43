"""Games about top-k and top-p on the toy engine (GAM-5 to GAM-7): what the filters leave is proved by sums over all
ids, and where a sum is wrong the game ends at an id whose share is."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from playing import BASE, CHALLENGER, EACH, case_of, plays, sell
from sifting import (
    FILTERS,
    LOGITS,
    Sifted,
    Sums,
    challenges,
    claims,
    defends,
    false_logit,
    honest,
    play,
    reason,
    table,
    unfiltered,
    until,
    worse,
    wrong,
)

from claims import ONE, PROVIDER, STRANGER
from steelyard.engines import sieves
from steelyard.engines.alphabet_graph import VOCABULARY
from steelyard.engines.draws import bits
from steelyard.protocol import games
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.games import NOTHING, Place, Side, Stage, View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.moves import Answer, Begin, Claim, Filtered, Mark, Move, Pick, Say, Step, Unit, Weigh
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import shown
from steelyard.verification.defender import defender_move
from steelyard.verification.transcript import Transcript
from steelyard.verification.weighing import filtered, opened, weigh

KINDS = tuple(FILTERS)


def order_of(sale: Sifted) -> list[int]:
    """All ids, the greatest logit first."""
    z = np.frombuffer(sale.logits(), "<f4")
    return [int(one) for one in np.argsort(-z, kind="stable")]


def left_out(sale: Sifted) -> int:
    return order_of(sale)[-1]


def begun(sale: Sifted) -> View:
    """What a defender knows when it has to answer."""
    return table(sale).play(claims(sale, sale.picked), Side.CHALLENGER)


# -- an honest defender ------------------------------------------------------------------------------------------------


def picks(index: int) -> Callable[[View, Move | None], Move | None]:
    """Whatever the sums say."""

    def change(view: View, move: Move | None) -> Move | None:
        if (view.stage, view.place) != (Stage.PICK, Place.IDS):
            return move
        return Pick(view.case, view.head, min(index, games.words_due(view) - 1), view.words)

    return change


@pytest.mark.parametrize("index", [1, 2, 33, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_defender_wins_wherever_its_sums_are_doubted(kind: str, index: int) -> None:
    """GAM-5 to GAM-7: its shares add up to its sums, and no rival beats what the rule picked."""
    sale = honest(kind)
    for rival in (worse(sale), left_out(sale), sale.claim.generated[-1]):
        played = play(sale, claims(sale, rival), challenger=challenges(sale, picks(index)))
        assert (played.end.outcome, played.end.why, played.refused) == (Outcome.HONEST, "sum", [])
        assert [type(move) for _, move in played.moves[-5:]] == [Say, Pick, Say, Pick, Weigh]


def picks_id(one: int) -> Callable[[View, Move | None], Move | None]:
    """Goes down to this id."""

    def change(view: View, move: Move | None) -> Move | None:
        if (view.stage, view.place) != (Stage.PICK, Place.IDS):
            return move
        index = sum(cut <= one for cut in games.cuts(view.low, view.high)) + 1
        return Pick(view.case, view.head, index, view.words)

    return change


def test_a_share_is_right_though_the_sum_wraps_around() -> None:
    """GAM-7: modulo 2**256. What was wrong is the sum before it."""
    sale = honest("top-k")
    first = min(order_of(sale)[:3])  # the first id with a share
    for one, outcome in ((0, Outcome.CHEATED), (first, Outcome.HONEST), (256, Outcome.CHEATED)):
        sums = Sums(shares={0: -1, 256: 1})
        played = play(sale, claims(sale, left_out(sale)), sums, challenges(sale, picks_id(one)))
        assert (played.end.outcome, played.end.why, played.end.low) == (outcome, "sum", one)
        assert (played.end.after < played.end.before) == (one == first)


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_challenger_finds_nothing_in_honest_sums_and_in_an_honest_run(kind: str) -> None:
    """GAM-6."""
    sale = honest(kind)
    for unit in range(sale.unit + 1):
        played = play(sale, claims(sale, worse(sale), unit))
        assert (played.end.outcome, played.end.why, played.end.place) == (Outcome.HONEST, "clock", Place.IDS)
    played = play(sale, claims(sale, worse(sale)), challenger=challenges(sale, picks(0)))
    assert (played.end.outcome, played.end.why, played.end.place) == (Outcome.HONEST, "clock", Place.RUN)


# -- a liar ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_is_left_out_or_beaten_convicts_at_once(kind: str) -> None:
    """GAM-5: by honest sums."""
    right = honest(kind)
    for sale in (unfiltered(kind), wrong(right, worse(right)), wrong(right, left_out(right))):
        begin = reason(sale)
        assert isinstance(begin, Begin)
        assert begin.claim == Claim(sale.unit, sale.picked)
        played = play(sale, begin)
        assert (played.end.outcome, played.end.why, played.refused) == (Outcome.CHEATED, "rival", [])
        assert len(played.moves) == 2


def lie(sale: Sifted, at: tuple[int, ...], lowest: int | None = None, greatest: int | None = None) -> Sums:
    """Sums by which nobody stands before the unit, nobody before the greatest, and k - 1 before the lowest; what is
    missing is in the shares of these ids."""
    view, logits, unit = begun(sale), sale.logits(), sale.claim.generated[-1]
    sums = Sums(lowest, greatest)
    sieve = sums.sieve(view, logits, unit)
    (right,) = sieves.tallies(logits, sieve, [VOCABULARY])
    total = (right >> 128) << 128
    total += (view.top_k - 1) << 32 if sieve.lowest != NOTHING else 0
    parts = [7 << 64, -3 << 192, 1 << 32][: len(at) - 1]
    return replace(sums, shares=dict(zip(at, [*parts, total - right - sum(parts)], strict=True)))


PLACES = {"the first id": (0,), "the last id": (256,), "two ids": (97, 110), "many ids": (3, 64, 65, 200)}


@cache
def liars(kind: str) -> dict[str, tuple[int | None, int | None]]:
    """Whom a liar names so that its unit is kept: the lowest, the greatest; None for who it is."""
    unit = unfiltered(kind).claim.generated[-1]
    return {
        "top-k": {"a wrong lowest": (unit, None), "the worst as the lowest": (left_out(unfiltered(kind)), None)},
        "top-p": {"nobody wrong": (None, None), "a wrong greatest": (None, unit)},
        "both": {"a wrong lowest": (unit, None), "a wrong lowest and a wrong greatest": (unit, unit)},
    }[kind]


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in liars(kind)])
def test_whoever_lies_about_what_is_left_is_convicted_at_its_first_wrong_share(kind: str, name: str, at: str) -> None:
    """GAM-5 to GAM-7: the sums fit and keep the unit, which no rival beats by them."""
    sale, (lowest, greatest) = unfiltered(kind), liars(kind)[name]
    begin = reason(sale)
    assert isinstance(begin, Begin)
    played = play(sale, begin, lie(sale, PLACES[at], lowest, greatest))
    end = played.end
    assert (end.outcome, end.why, played.refused) == (Outcome.CHEATED, "sum", [])
    assert (end.low, end.high) == (PLACES[at][0], PLACES[at][0] + 1)


@settings(max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    ids=st.tuples(st.integers(0, VOCABULARY - 1), st.integers(0, VOCABULARY - 1)),
    more=st.integers(1, 2**256 - 1),
    at_once=st.sampled_from([2, 3, 64]),
)
def test_shares_that_are_shifted_are_found_though_the_total_is_right(
    kind: str, ids: tuple[int, int], more: int, at_once: int
) -> None:
    """GAM-6, GAM-7: the first id whose share is another, in many small rounds or few, and whoever is right about the
    unit. What lies between the same two sums is never said."""
    sale = honest(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(games, "TURNS_AT_ONCE", at_once)
        assume(len({sum(one >= cut for cut in games.cuts(0, VOCABULARY)) for one in ids}) == 2)
        played = play(sale, claims(sale, worse(sale)), Sums(shares={ids[0]: more, ids[1]: -more}))
    assert (played.end.outcome, played.end.why, played.refused) == (Outcome.CHEATED, "sum", [])
    assert played.end.low == min(ids)


@pytest.mark.parametrize("lies_too", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_logit_that_is_not_what_was_computed_is_found_in_the_run(kind: str, lies_too: bool) -> None:
    """GAM-6: sums over logits of another run say nothing; the run is narrowed instead."""
    sale = honest(kind)
    liar = false_logit(sale)
    begin = reason(liar)
    assert isinstance(begin, Begin)
    assert begin.claim == Claim(sale.unit, sale.picked)
    played = play(liar, begin, Sums(shares={5: 1 << 70, 6: -(1 << 70)}) if lies_too else None)
    end = played.end
    assert (end.outcome, end.why, played.refused) == (Outcome.CHEATED, "step", [])
    assert (end.position, end.node, end.element) == (liar.last, LOGITS, sale.picked)
    assert next(move.index for _, move in played.moves if isinstance(move, Pick)) == 0


# -- who has a say -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_say_or_a_rival_the_run_is_narrowed_at_once(kind: str) -> None:
    """GAM-5: at T = 0 no filter has a say; an id that the vocabulary does not have is no rival."""
    cold = honest(kind, temperature=0)
    for sale, begin in ((cold, claims(cold, order_of(cold)[1])), (honest(kind), claims(honest(kind), VOCABULARY))):
        at = table(sale)
        move = defends(sale)(at.play(begin, Side.CHALLENGER))
        assert isinstance(move, Answer)
        assert move.shown.filtered == Filtered()
        view = at.play(move, Side.DEFENDER)
        assert (view.stage, view.place, view.lowest, view.greatest) == (Stage.POST, Place.RUN, NOTHING, NOTHING)


def test_a_claim_about_evidence_meets_no_filter() -> None:
    """GAM-2, GAM-5."""
    sale = honest("both")
    played = play(sale, Begin(case_of(), shown(sale.claim), Claim()))
    assert (played.end.outcome, played.end.place) == (Outcome.HONEST, Place.EVIDENCE)


def test_all_ids_left_is_where_the_run_may_still_be_doubted() -> None:
    """GAM-6: the game goes on as if it had never been about ids."""
    sale = honest("both")
    at, view = until(sale, claims(sale, worse(sale)), Stage.PICK)
    down = at.play(Pick(view.case, view.head, 0, view.words), Side.CHALLENGER)
    assert (down.stage, down.place, down.at, down.count) == (Stage.POST, Place.RUN, view.run_root, view.positions)
    fields = (down.low, down.high, down.elements, down.before, down.after, down.lowest, down.greatest)
    assert fields == (0, 0, 0, 0, 0, NOTHING, NOTHING)
    assert defends(sale)(down) is not None


# -- what is refused ---------------------------------------------------------------------------------------------------


def answers(kind: str, temperature: int = ONE) -> tuple[Sifted, Callable[[Filtered], View]]:
    sale = honest(kind, temperature=temperature)
    at = table(sale)
    move = defends(sale)(at.play(claims(sale, left_out(sale)), Side.CHALLENGER))
    assert isinstance(move, Answer)
    return sale, lambda said: at.play(replace(move, shown=replace(move.shown, filtered=said)), Side.DEFENDER)


def test_marks_are_of_filters_that_have_a_say_and_open_under_the_logits() -> None:
    """GAM-5."""
    sale, answer = answers("both")
    right = filtered(begun(sale), sale.logits(), sale.claim.generated[-1])
    other = replace(right.lowest, id=(right.lowest.id + 32) % 256)
    spoilt = replace(right.greatest, words=right.greatest.words[:-1] + b"\0")
    behind = replace(right.lowest, id=VOCABULARY + 2)
    for said, rule in (
        (Filtered(), "games.marks"),
        (replace(right, lowest=Mark()), "games.marks"),
        (replace(right, greatest=Mark()), "games.marks"),
        (replace(right, lowest=other), "games.opening"),
        (replace(right, lowest=behind), "games.opening"),
        (replace(right, lowest=Mark(VOCABULARY + 2, *opened(sale.logits(), VOCABULARY - 1))), "games.opening"),
        (replace(right, greatest=spoilt), "games.opening"),
        (replace(right, greatest=replace(right.greatest, path=right.greatest.path[:-1])), "games.opening"),
        (replace(right, sums=right.sums + 1), "games.sums"),
        (replace(right, sums=right.sums - (1 << 32)), "games.sums"),
        (replace(right, sums=right.sums + (1 << 63)), "games.sums"),
    ):
        with pytest.raises(Refused, match=rule):
            answer(said)
    for kind, temperature in (("top-k", ONE), ("top-p", ONE), ("both", 0)):
        sale, answer = answers(kind, temperature)
        none = Filtered() if temperature == 0 else filtered(begun(sale), sale.logits(), sale.claim.generated[-1])
        named = "greatest" if kind == "top-k" else "lowest"
        with pytest.raises(Refused, match=r"games\.marks"):
            answer(replace(none, **{named: Mark(3, *opened(sale.logits(), 3))}))
        with pytest.raises(Refused, match=r"games\.sums"):
            answer(replace(none, sums=none.sums + 1))
        answer(none)


def test_sums_are_said_between_those_that_are_known() -> None:
    """GAM-6."""
    sale = honest("both")
    at, view = until(sale, claims(sale, worse(sale)), Stage.SAY)
    say = defends(sale)(view)
    assert isinstance(say, Say)
    sums = games.sums_of(say.words)
    for said in (sums[:-1], [*sums, sums[-1]], [1, *sums[1:]], [*sums[:-1], sums[-1] + 1], []):
        with pytest.raises(Refused, match=r"games\.words"):
            at.play(replace(say, words=games.said_sums(said)), Side.DEFENDER)
    with pytest.raises(Refused, match=r"games\.words"):
        at.play(replace(say, words=say.words[:-1]), Side.DEFENDER)
    view = at.play(say, Side.DEFENDER)
    for index, words, rule in (
        (65, view.words, "games.index"),
        (-1, view.words, "games.index"),
        (1, view.words[:-1] + b"\1", "games.said"),
    ):
        with pytest.raises(Refused, match=rule):
            at.play(Pick(view.case, view.head, index, words), Side.CHALLENGER)
    view = at.play(Pick(view.case, view.head, 1, view.words), Side.CHALLENGER)
    say = defends(sale)(view)
    assert isinstance(say, Say)
    view = at.play(say, Side.DEFENDER)
    with pytest.raises(Refused, match=r"games\.index"):  # ids from 0 on are left, but no more all
        at.play(Pick(view.case, view.head, 0, view.words), Side.CHALLENGER)


def test_anyone_weighs_the_one_id_that_is_left_and_nothing_else() -> None:
    """GAM-7, GAM-32."""
    sale = unfiltered("both")
    unit = sale.claim.generated[-1]
    sums = lie(sale, (97, 110), unit)
    begin = claims(sale, sale.picked)
    at, view = until(sale, begin, Stage.STEP, sums)
    move = challenges(sale)(view)
    assert isinstance(move, Weigh)
    leaf, other = move.words, weigh(replace(view, low=0), sale.logits(), unit)
    for changed, rule in (
        (replace(move, sieve=replace(move.sieve, lowest=sale.picked)), "games.sieve"),
        (replace(move, sieve=replace(move.sieve, vocabulary=97)), "games.sieve"),
        (replace(move, words=leaf[:-1] + b"\0"), "games.opening"),
        (replace(move, words=other.words, path=other.path), "games.opening"),
        (replace(move, before=move.before + 1), "games.said"),
        (replace(move, after=move.after - 1), "games.said"),
        (replace(move, seen=bytes(32)), "games.moved"),
    ):
        with pytest.raises(Refused, match=rule):
            at.play(changed, None)
    with pytest.raises(Refused, match=r"games\.node"):
        at.play(Step(view.case, view.head, 9, b"", Unit(), (), ()), None)
    for key in (PROVIDER, STRANGER, CHALLENGER):
        again = table(sale)
        again.referee.games[case_of()] = view
        assert again.referee.play(move, key.address, view.since).outcome is Outcome.CHEATED
    at.now += BASE + EACH * 4096
    with pytest.raises(Refused, match=r"games\.late"):
        at.play(move, None)


def test_nothing_is_moved_by_marks_that_are_not_those_that_were_answered_with() -> None:
    """A chain whose events are of another history than its storage: GAM-6, GAM-7."""
    sale = unfiltered("both")
    sums = lie(sale, (97, 110), sale.claim.generated[-1])
    for stage in (Stage.PICK, Stage.STEP):
        _, view = until(sale, claims(sale, sale.picked), stage, sums)
        assert challenges(sale)(view) is not None
        for stale in (replace(view, lowest=sale.picked), replace(view, greatest=3)):
            with pytest.raises(Unavailable, match=r"chain\.behind"):
                challenges(sale)(stale)


def test_ids_are_weighed_at_no_other_place() -> None:
    """GAM-7."""
    sale = honest("both")
    liar = false_logit(sale)
    begin = reason(liar)
    assert begin is not None
    played = play(liar, begin)
    view = played.views[-2]
    assert view.stage == Stage.STEP
    at = table(liar)
    at.now = view.since
    sieve = sieves.sieve_of(liar.logits(), view.temperature, liar.ids[-1], view.rival, NOTHING, NOTHING)
    at.referee.games[case_of()] = view
    with pytest.raises(Refused, match=r"games\.sieve"):
        at.play(Weigh(view.case, view.head, sieve, b"", (), 0, 0), None)


# -- a player that starts again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_player_that_starts_again_moves_the_same(kind: str) -> None:
    """A move is a function of what the chain shows and of one's own run."""
    sale = honest(kind)
    played = play(sale, claims(sale, worse(sale)), challenger=challenges(sale, picks(64)))
    for view, (side, move) in zip(played.views, played.moves[1:], strict=False):
        anew = defends(sale) if side is Side.DEFENDER else challenges(sale, picks(64))
        assert anew(view) == move


def test_an_answer_names_nobody_where_the_greatest_wins() -> None:
    """GAM-5, on whole numbers: T = 0."""
    sale = sell((3, 4, 5), 2)
    order = replace(sale.claim.order, top_k=5, top_p=bits(0.5))
    view = View(case_of(), sha256(b""), Stage.BEGUN, top_k=order.top_k, top_p=order.top_p)
    view = replace(view, prompt_units=3, answer_from=3, answer_units=2, positions=4, rival=9)
    move = plays(sale)[0](view)
    assert isinstance(move, Answer)
    assert move.shown.filtered == Filtered()
    assert defender_move(replace(view, stage=Stage.OVER), sale.hold, Transcript.of(sale.claim, ())) is None
