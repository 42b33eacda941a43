"""Games about top-k and top-p at both tables: what `tests/games/test_dispute_filters.py` plays before the referee."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from duel import Deal, Duel, DuelRoom, ends, rule_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sifting import (
    LENIENT,
    SILENT,
    Sifted,
    Sums,
    challenges,
    claims,
    defends,
    false_logit,
    honest,
    unfiltered,
    worse,
    wrong,
)
from test_dispute_filters import KINDS, PLACES, left_out, liars, lie, order_of, picks, picks_id
from test_games_duel import MOST_GAS, MOST_ROUNDS, assert_acquitted, assert_convicted
from world import key

from claims import ONE
from steelyard.engines import sieves
from steelyard.engines.alphabet_graph import VOCABULARY
from steelyard.protocol import games
from steelyard.protocol.games import Place, Side, Stage, View
from steelyard.protocol.moves import Answer, Filtered, Mark, Move, Pick, Say, Step, Unit, Weigh
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.weighing import filtered, opened, weigh


@pytest.fixture
def room() -> DuelRoom:
    return DuelRoom()


def sold(room: DuelRoom, sale: Sifted) -> tuple[Duel, Sifted]:
    """The same answer, bought at this market."""
    order = sale.claim.order
    drawn = {name: getattr(order, name) for name in ("max_units", "top_k", "top_p", "temperature", "seed")}
    deal: Deal = room.deal(generated=sale.claim.generated, evidence=sale.evidence, **drawn)
    own = replace(sale, claim=deal.claim)
    return Duel(room, replace(deal, hold=own.hold)), own


def begun(room: DuelRoom, sale: Sifted, rival: int) -> tuple[Duel, Sifted]:
    duel, own = sold(room, sale)
    move = claims(own, rival)
    duel.play(replace(move, case=duel.case), duel.challenger)
    return duel, own


Change = Callable[[View, Move | None], Move | None]


def finished(room: DuelRoom, sale: Sifted, rival: int, sums: Sums | None = None, change: Change | None = None) -> Duel:
    duel, own = begun(room, sale, rival)
    duel.finish(defends(own, sums), challenges(own, change) if change else challenges(own))
    assert duel.refused == []
    assert max(room.spent) < MOST_GAS
    assert duel.rounds <= MOST_ROUNDS
    return duel


@pytest.mark.parametrize("index", [1, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_defender_wins_wherever_its_sums_are_doubted(room: DuelRoom, kind: str, index: int) -> None:
    """GAM-5 to GAM-7."""
    sale = honest(kind)
    duel = finished(room, sale, left_out(sale) if index == 1 else worse(sale), change=picks(index))
    assert ends(duel) == (Outcome.HONEST, "sum", Place.IDS)
    assert_acquitted(duel)


@pytest.mark.parametrize("beaten", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_is_left_out_or_beaten_convicts_at_once(room: DuelRoom, kind: str, beaten: bool) -> None:
    """GAM-5: by honest sums."""
    sale = wrong(honest(kind), worse(honest(kind))) if beaten else unfiltered(kind)
    duel = finished(room, sale, sale.picked)
    assert ends(duel) == (Outcome.CHEATED, "rival", Place.NONE)
    assert_convicted(duel)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in liars(kind)])
def test_whoever_lies_about_what_is_left_is_convicted_at_its_first_wrong_share(
    room: DuelRoom, kind: str, name: str
) -> None:
    """GAM-5 to GAM-7: the sums fit and keep the unit, which no rival beats by them."""
    sale = unfiltered(kind)
    duel = finished(room, sale, sale.picked, lie(sale, PLACES["two ids"], *liars(kind)[name]))
    assert ends(duel) == (Outcome.CHEATED, "sum", Place.IDS)
    assert duel.view.low == PLACES["two ids"][0]
    assert_convicted(duel)


@settings(max_examples=6)
@given(
    kind=st.sampled_from(KINDS),
    ids=st.tuples(st.integers(0, 63), st.integers(128, VOCABULARY - 1)),
    more=st.integers(1, 2**256 - 1),
)
def test_shares_that_are_shifted_are_found_though_the_total_is_right(
    kind: str, ids: tuple[int, int], more: int
) -> None:
    """GAM-6, GAM-7: modulo 2**256."""
    sale = honest(kind)
    duel = finished(DuelRoom(), sale, worse(sale), Sums(shares={ids[0]: more, ids[1]: -more}))
    assert (ends(duel), duel.view.low) == ((Outcome.CHEATED, "sum", Place.IDS), min(ids))
    assert_convicted(duel)


def test_a_share_is_right_though_the_sum_wraps_around(room: DuelRoom) -> None:
    """GAM-7: modulo 2**256. What is wrong is the sum before it."""
    sale = honest("top-k")
    first = min(order_of(sale)[:3])  # the first id with a share
    duel = finished(room, sale, left_out(sale), Sums(shares={0: -1, VOCABULARY - 1: 1}), picks_id(first))
    assert (ends(duel), duel.view.low) == ((Outcome.HONEST, "sum", Place.IDS), first)
    assert duel.views[-2].after < duel.views[-2].before
    assert_acquitted(duel)


@pytest.mark.parametrize("kind", KINDS)
def test_a_logit_that_is_not_what_was_computed_is_found_in_the_run(room: DuelRoom, kind: str) -> None:
    """GAM-6: the run is narrowed instead of sums over logits of another one."""
    sale = honest(kind)
    liar = false_logit(sale)
    duel, own = begun(room, liar, sale.picked)
    duel.finish(defends(own), challenges(own))
    assert (ends(duel)[:2], duel.refused) == ((Outcome.CHEATED, "step"), [])
    assert next(move.index for _, move in duel.moves if isinstance(move, Pick)) == 0
    assert (duel.view.position, duel.view.element) == (liar.last, sale.picked)
    assert_convicted(duel)


@pytest.mark.parametrize("kind", KINDS)
def test_a_baseless_doubt_about_the_run_ends_there(room: DuelRoom, kind: str) -> None:
    """GAM-6: with all ids left, by an index of 0; the challenger has then nothing to point at."""
    sale = honest(kind)
    duel, own = begun(room, sale, worse(sale))
    duel.finish(defends(own), challenges(own, picks(0)))
    assert ends(duel) == (Outcome.HONEST, "clock", Place.RUN)
    assert_acquitted(duel)


def answered(room: DuelRoom, sale: Sifted) -> tuple[Stage, Place]:
    """What is narrowed once a rival without a chance has been answered."""
    duel, own = begun(room, sale, left_out(sale))
    duel.turn(defends(own), challenges(own))
    assert duel.refused == []
    return duel.view.stage, duel.view.place


@pytest.mark.parametrize("kind", KINDS)
def test_at_t_0_no_filter_has_a_say(room: DuelRoom, kind: str) -> None:
    """GAM-5: the run is narrowed at once."""
    assert answered(room, honest(kind, temperature=0)) == (Stage.POST, Place.RUN)


@pytest.mark.parametrize("kind", SILENT)
def test_a_filter_that_keeps_all_has_no_say(room: DuelRoom, kind: str) -> None:
    """GAM-5."""
    assert answered(room, honest(kind)) == (Stage.POST, Place.RUN)


@pytest.mark.parametrize("kind", LENIENT)
def test_a_filter_that_may_leave_out_one_id_has_a_say(room: DuelRoom, kind: str) -> None:
    """GAM-5."""
    assert answered(room, honest(kind)) == (Stage.SAY, Place.IDS)


# ------------------------------------------------------------------ what is refused


def test_what_an_answer_says_of_filters_is_refused_alike(room: DuelRoom) -> None:
    """GAM-5."""
    sale = honest("both")
    duel, own = begun(room, sale, left_out(sale))
    move = defends(own)(duel.view)
    assert isinstance(move, Answer)
    right = filtered(duel.view, own.logits(), own.claim.generated[-1])
    assert right == move.shown.filtered
    spoilt = replace(right.greatest, words=right.greatest.words[:-1] + b"\0")
    for said, rule in (
        (Filtered(), "games.marks"),
        (replace(right, lowest=Mark()), "games.marks"),
        (replace(right, greatest=Mark()), "games.marks"),
        (replace(right, lowest=replace(right.lowest, id=VOCABULARY + 2)), "games.opening"),
        (replace(right, lowest=Mark(VOCABULARY + 2, *opened(own.logits(), VOCABULARY - 1))), "games.opening"),
        (replace(right, lowest=Mark(3, *opened(own.logits(), 40))), "games.opening"),
        (replace(right, greatest=spoilt), "games.opening"),
        (replace(right, sums=right.sums + 1), "games.sums"),
        (replace(right, sums=right.sums - (1 << 32)), "games.sums"),
        (replace(right, sums=right.sums + (1 << 63)), "games.sums"),
        (right, ""),
    ):
        changed = replace(move, shown=replace(move.shown, filtered=said))
        assert rule_of(lambda: duel.play(changed, key("paul"))) == rule  # noqa: B023


@pytest.mark.parametrize(("kind", "temperature"), [("top-k", ONE), ("top-p", ONE), ("both", 0)])
def test_of_a_filter_without_a_say_nobody_is_named_and_nothing_counted(
    room: DuelRoom, kind: str, temperature: int
) -> None:
    """GAM-5."""
    sale = honest(kind, temperature=temperature)
    duel, own = begun(room, sale, left_out(sale))
    move = defends(own)(duel.view)
    assert isinstance(move, Answer)
    right, mark = move.shown.filtered, Mark(3, *opened(own.logits(), 3))
    silent = (
        ["lowest"] * (kind != "top-k") + ["greatest"] * (kind != "top-p") if temperature else ["lowest", "greatest"]
    )
    shifts = {"lowest": 32, "greatest": 0}
    for said, rule in (
        *((replace(right, **{name: mark}), "games.marks") for name in silent),
        *((replace(right, sums=right.sums + (1 << shifts[name])), "games.sums") for name in silent),
        (right, ""),
    ):
        changed = replace(move, shown=replace(move.shown, filtered=said))
        assert rule_of(lambda: duel.play(changed, key("paul"))) == rule  # noqa: B023


def test_sums_and_picks_are_refused_alike(room: DuelRoom) -> None:
    """GAM-6."""
    sale = honest("both")
    duel, own = begun(room, sale, worse(sale))
    duel.turn(defends(own), challenges(own))
    say = defends(own)(duel.view)
    assert isinstance(say, Say)
    sums = games.sums_of(say.words)
    fewer = [*sums[:5], *sums[6:]]  # between the same ends
    for said in (sums[:-1], [1, *sums[1:]], [*sums[:-1], sums[-1] + 1], fewer, []):
        words = games.said_sums(said)
        assert rule_of(lambda: duel.play(replace(say, words=words), key("paul"))) == "games.words"  # noqa: B023
    assert rule_of(lambda: duel.play(replace(say, words=say.words[:-1]), key("paul"))) == "games.words"
    view = duel.play(say, key("paul"))
    spoilt = view.words[:-1] + bytes([view.words[-1] ^ 1])
    for index, words, rule in ((65, view.words, "games.index"), (1, spoilt, "games.said")):
        move = Pick(view.case, view.head, index, words)
        assert rule_of(lambda: duel.play(move, duel.challenger)) == rule  # noqa: B023
    duel.play(Pick(view.case, view.head, 1, view.words), duel.challenger)
    duel.turn(defends(own), challenges(own))
    zero = Pick(view.case, duel.view.head, 0, duel.view.words)
    assert rule_of(lambda: duel.play(zero, duel.challenger)) == "games.index"  # no more all of them are left


def test_anyone_weighs_the_one_id_that_is_left_and_nothing_else(room: DuelRoom) -> None:
    """GAM-7, GAM-32."""
    sale = unfiltered("both")
    unit = sale.claim.generated[-1]
    duel, own = begun(room, sale, sale.picked)
    players = defends(own, lie(sale, (97, 110), unit)), challenges(own)
    while duel.view.stage is not Stage.STEP:
        duel.turn(*players)
    move = challenges(own)(duel.view)
    assert isinstance(move, Weigh)
    other = weigh(replace(duel.view, low=0), own.logits(), unit)
    for changed, rule in (
        (replace(move, sieve=replace(move.sieve, lowest=sale.picked)), "games.sieve"),
        (replace(move, sieve=replace(move.sieve, vocabulary=97)), "games.sieve"),
        (replace(move, words=move.words[:-1] + b"\0"), "games.opening"),
        (replace(move, words=other.words, path=other.path), "games.opening"),
        (replace(move, before=move.before + 1), "games.said"),
        (replace(move, after=move.after - 1), "games.said"),
        (replace(move, seen=bytes(32)), "games.moved"),
        (Step(duel.case, duel.view.head, 9, b"", Unit(), (), ()), "games.node"),
    ):
        assert rule_of(lambda: duel.play(changed, key("eve"))) == rule  # noqa: B023
    assert games.to_move(duel.view) is Side.CHALLENGER
    duel.play(move, key("eve"))
    assert_convicted(duel)


def test_ids_are_weighed_at_no_other_place(room: DuelRoom) -> None:
    """GAM-7."""
    sale = honest("both")
    liar = false_logit(sale)
    duel, own = begun(room, liar, sale.picked)
    while duel.view.stage is not Stage.STEP:
        duel.turn(defends(own), challenges(own))
    unit = own.claim.generated[-1]
    sieve = sieves.sieve_of(own.logits(), duel.view.temperature, unit, duel.view.rival, 1, 2)
    low = replace(duel.view, low=0, lowest=1, greatest=2, sieve=sieve.digest())
    assert rule_of(lambda: duel.play(weigh(low, own.logits(), unit), duel.challenger)) == "games.sieve"


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [(Stage.SAY, Outcome.CHEATED), (Stage.PICK, Outcome.HONEST), (Stage.STEP, Outcome.HONEST)],
)
def test_whoever_is_left_alone_with_ids_wins(room: DuelRoom, stage: Stage, outcome: Outcome) -> None:
    """GAM-30: at SAY the defender's silence, at PICK and STEP the challenger's."""
    sale = honest("both")
    duel, own = begun(room, sale, worse(sale))
    while (duel.view.stage, duel.view.place) != (stage, Place.IDS):
        duel.turn(defends(own), challenges(own, picks(2)))
    duel.turn(lambda _: None, lambda _: None)
    assert ends(duel) == (outcome, "clock", Place.IDS)
