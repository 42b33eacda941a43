"""Where games end: at the planted lie, wherever that is, within the bound of rounds; after a kill and after a
reorganisation; with several challengers; and how they begin."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from counting import GRAPH, NODES, honest
from game_arithmetic import GraphArithmetic
from hypothesis import example, given
from hypothesis import strategies as st
from players import DEFENDERS, HONEST, MIDDLE, PROMPT, UNITS, honest_challenger, lie_at, noise
from playing import (
    BASE,
    CARD,
    CHALLENGER,
    EACH,
    STALL,
    Played,
    Sale,
    Table,
    case_of,
    checked,
    game_between,
    opening,
    plays,
    replay,
    sell,
    take_turn,
)
from test_dispute_games import rounds

from claims import DOMAIN, PROVIDER, SESSION, STRANGER, cancelled
from steelyard.protocol import games, merkle, roots
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import NOTHING, Place, Side, Stage, View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.moves import (
    Answer,
    Appeal,
    Begin,
    BeginEarly,
    Claim,
    Forfeit,
    Move,
    Opening,
    PostChildren,
    ShowCancel,
    ShowEnd,
)
from steelyard.protocol.records import Cancel, Level
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import challenger_move, first_move, shown
from steelyard.verification.defender import Ended, defender_move
from steelyard.verification.narrowing import between
from steelyard.verification.openings import Spot, require_operand
from steelyard.verification.ways import Way, below


def play(sale: Sale) -> Played:
    return game_between(Table(sale), plays(sale)[0], honest_challenger(sale))


def where(view: View) -> tuple[int, int, int, int]:
    return view.position, view.node, view.element, view.turn


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Any turn of the run; nodes with few turns as often as those with many."""
    position = draw(st.integers(0, len(PROMPT) + UNITS - 2))
    index = draw(st.integers(0, len(GRAPH.nodes) - 1))
    node = GRAPH.nodes[index]
    element = draw(st.integers(0, node.elements(position) - 1))
    return position, index, element, draw(st.integers(0, max(node.turns(position), node.lanes) - 1))


@given(place=places())
@example(place=(0, 0, 0, 0))
@example(place=(4, len(GRAPH.nodes) - 1, 69, 0))
@example(place=(4, NODES["wide"], 119, 0))
@example(place=(4, NODES["seen"], 2, 4))
@example(place=(4, NODES["dotted"], 1, 149))
@example(place=(3, NODES["chained"], 1, 36))
@example(place=(3, NODES["short"], 1, 15))
def test_a_game_ends_at_the_planted_lie_within_the_bound_of_rounds(place: tuple[int, int, int, int]) -> None:
    """GAM-10 to GAM-15, GAM-20: a consistent liar, wherever its first lie is."""
    position, node, _, turn = place
    played = play(sell(PROMPT, UNITS, lie_at(*place), (position, node)))
    end, here = played.end, GRAPH.nodes[node]
    assert end.outcome is Outcome.CHEATED
    assert where(end) == place
    assert end.why == ("step" if turn < here.turns(position) else "start")
    posts = rounds(UNITS) + rounds(end.positions) + rounds(len(GRAPH.nodes)) + rounds(-(-here.elements(position) // 32))
    chain = -(-here.turns(position) // here.lanes)
    says = 1 + (here.lanes > 1) + (chain > 1) + (chain > 64)
    assert len(played.moves) <= 3 + 2 * (posts + says)


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("place", [(4, NODES["wide"], 119, 0), (3, NODES["seen"], 1, 2), (2, NODES["dotted"], 0, 77)])
def test_many_small_rounds_end_at_the_same_place(
    place: tuple[int, int, int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GAM-10, GAM-15: as trees and folds do that are too large for one round."""
    monkeypatch.setattr(games, "LEVELS_AT_ONCE", at_once)
    monkeypatch.setattr(games, "TURNS_AT_ONCE", 2 * at_once)
    played = play(sell(PROMPT, UNITS, lie_at(*place), place[:2]))
    assert where(played.end) == place
    assert (played.end.outcome, played.refused) == (Outcome.CHEATED, [])
    nodes = [post for post in played.end.posts if post.place == Place.NODES]
    assert len(nodes) == -(-7 // at_once)


@given(levels=st.integers(0, 32))
def test_rounds_are_even_and_as_few_as_can_be(levels: int) -> None:
    """GAM-10."""
    left, wide = levels, []
    while left:
        wide.append(games.split(left))
        left -= wide[-1]
    assert len(wide) == -(-levels // 6)
    assert not wide or max(wide) - min(wide) <= 1


@given(low=st.integers(0, 10**6), turns=st.integers(1, 10**6))
def test_cuts_lie_between_the_agreed_sum_and_the_claimed_one(low: int, turns: int) -> None:
    """GAM-15."""
    cuts = (low, *games.cuts(low, low + turns))
    assert cuts[-1] == low + turns
    assert len(cuts) == 1 + min(turns, 64)
    gaps = {after - before for before, after in pairwise(cuts)}
    assert min(gaps) >= 1
    assert max(gaps) <= -(-turns // 64) or turns < 64


@given(count=st.integers(1, 300), data=st.data())
def test_a_path_under_the_other_sides_tree_needs_only_what_it_posted(count: int, data: st.DataObject) -> None:
    """GAM-20: left of the way one's own nodes, on and right of it posted ones, however few levels a round has."""
    theirs = [sha256(b"leaf %d" % i) for i in range(count)]
    first = data.draw(st.integers(0, count - 1))
    own = theirs[:first] + [noise(leaf) for leaf in theirs[first:]]
    levels = merkle.depth_of(count)
    view = View(case_of(), bytes(32), Stage.POST, Place.NODES, count=count, levels=levels)
    while True:
        children = below(theirs, view)
        index = next(i for i, one in enumerate(children) if one != below(own, view)[i])
        wide = games.split(view.levels)
        post = games.Post(Place.NODES, children, index)
        view = replace(view, posts=(*view.posts, post), levels=view.levels - wide, base=(view.base << wide) + index)
        if not view.levels:
            break
    assert view.base == first
    index = data.draw(st.integers(0, first))
    assert Way.down(view, Place.NODES, count).path(own, index) == merkle.prove(theirs, index)


# -- kills and reorganisations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lies at step 0", "lies in a chain", "lies in a fold"])
def test_a_player_that_starts_again_moves_the_same(name: str) -> None:
    """Each move is a function of what the chain shows and of a run that is made anew."""
    sale = DEFENDERS[name].sale
    played = play(sale)
    honest.cache_clear()
    for view, (side, move) in zip(played.views, played.moves[1:], strict=False):
        anew = plays(sale)[0] if side is Side.DEFENDER else honest_challenger(sale)
        assert anew(view) == move
        assert (honest_challenger(sale) if side is Side.DEFENDER else plays(sale)[0])(view) is None


@given(back=st.integers(1, 6), at=st.integers(0, 16), spoilt=st.sampled_from(["lies at step 0", "lies about the past"]))
def test_an_honest_side_is_right_again_after_a_reorganisation(back: int, at: int, spoilt: str) -> None:
    """GAM-31: the last moves are undone, and the liar answers otherwise. Three blocks hold up to six moves here."""
    sale = MIDDLE
    table = Table(sale)
    first, second = plays(sale)[0], DEFENDERS[spoilt]
    played = game_between(table, first, honest_challenger(sale))
    kept = max(1, min(at, len(played.views) - 1) - back)
    stale = [move for _, move in played.moves[kept:]]
    table.referee.games[case_of()] = played.views[kept - 1]
    other = Played(sale, played.views[:kept], played.moves[:kept], [])
    answers = plays(sale, second.sale.run_of(sale.ids))[0]
    while other.end.stage != Stage.OVER:
        take_turn(table, other, answers, honest_challenger(sale))
    assert other.end.outcome is Outcome.CHEATED
    assert not [refused for side, refused in other.refused if side is Side.CHALLENGER]
    for move in stale:
        with pytest.raises(Refused):
            table.play(move, Side.CHALLENGER)


def test_a_move_is_of_whoever_is_to_move_but_anyone_steps() -> None:
    """GAM-20, GAM-32."""
    played = play(MIDDLE)
    for view, (side, move) in zip(played.views, played.moves[1:], strict=False):
        own, rule = (PROVIDER, "defender") if side is Side.DEFENDER else (CHALLENGER, "challenger")
        for sender in [key for key in (PROVIDER, CHALLENGER, STRANGER) if key is not own]:
            table = Table(MIDDLE)
            table.referee.games[case_of()] = view
            if view.stage == Stage.STEP:
                assert table.referee.play(move, sender.address, view.since).outcome is Outcome.CHEATED
                continue
            with pytest.raises(Refused, match=rf"games\.not-the-{rule}"):
                table.referee.play(move, sender.address, view.since)


def test_no_move_of_another_branch_counts() -> None:
    """GAM-31."""
    table, other = Table(MIDDLE), Table(MIDDLE)
    player = plays(MIDDLE)[0]
    begun = table.play(opening(MIDDLE, case_of()), Side.CHALLENGER)
    move = player(begun)
    view = other.play(Begin(case_of(), shown(MIDDLE.claim), Claim(0, 7)), Side.CHALLENGER)
    assert view.head != begun.head
    assert isinstance(move, PostChildren)
    with pytest.raises(Refused, match=r"games\.(moved|stage)"):
        other.play(move, Side.DEFENDER)


# -- several games on one receipt ----------------------------------------------------------------------------------


def test_a_friend_that_loses_binds_nobody_else_and_a_conviction_releases_all() -> None:
    """GAM-34 and rule M7: one challenger loses on purpose, one convicts, one is in the middle of its game."""
    table = Table(MIDDLE, cases=3)
    defender, challenger = plays(MIDDLE)[0], honest_challenger(MIDDLE)
    lost = game_between(table, defender, lambda _: None, number=0)
    assert (lost.end.outcome, games.loser(lost.end)) == (Outcome.HONEST, Side.CHALLENGER)
    third = Played(MIDDLE, [table.play(opening(MIDDLE, case_of(2)), Side.CHALLENGER)], [], [])
    for _ in range(4):
        take_turn(table, third, defender, challenger)
    won = game_between(table, defender, challenger, number=1)
    assert won.end.outcome is Outcome.CHEATED
    released = table.play(Forfeit(case_of(2)), None)
    assert (released.outcome, games.loser(released)) == (Outcome.CANNOT_TELL, None)
    with pytest.raises(Refused, match=r"games\.stage"):
        table.play(Forfeit(case_of(0)), None)


def test_dust_costs_whoever_throws_it() -> None:
    """GAM-33: many games against an honest defender; each pays for its moves, and no clock is shared."""
    table = Table(HONEST, cases=12)
    ends = [game_between(table, plays(HONEST)[0], lambda _: None, number=n).end for n in range(12)]
    assert {end.outcome for end in ends} == {Outcome.HONEST}
    assert [end.moves for end in ends] == [2] * 12
    assert len({end.head for end in ends}) == 12


# -- how a game begins ---------------------------------------------------------------------------------------------


def test_a_challenger_begins_where_the_answer_differs_and_nowhere_else() -> None:
    """GAM-1, GAM-2: wrong evidence, else the first id that the rule would not have picked, else nothing."""
    begun = first_move(case_of(), MIDDLE.claim, CARD, replay(MIDDLE))
    assert isinstance(begun, Begin)
    assert begun.claim == Claim(0, NOTHING)
    wrong = sell(PROMPT, UNITS, wrong_id=1)
    begun = first_move(case_of(), wrong.claim, CARD, replay(wrong))
    assert isinstance(begun, Begin)
    assert begun.claim == Claim(UNITS - 1, HONEST.ids[-1])
    assert first_move(case_of(), HONEST.claim, CARD, replay(HONEST)) is None


REFUSED: dict[str, Callable[[Begin], tuple[Move, Key]]] = {
    "games.not-the-challenger": lambda begin: (begin, STRANGER),
    "games.not-the-provider": lambda begin: (Appeal(case_of(), begin.shown), CHALLENGER),
    "games.unit": lambda begin: (replace(begin, claim=Claim(UNITS, 3)), CHALLENGER),
    "games.other-receipt": lambda begin: (replace(begin, shown=shown(HONEST.claim)), CHALLENGER),
    "games.not-early": lambda begin: (BeginEarly(case_of(), begin.shown), CHALLENGER),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_a_game_begins_by_the_rules(rule: str) -> None:
    """GAM-1 to GAM-3, GAM-35: refused by name."""
    table = Table(MIDDLE)
    move, sender = REFUSED[rule](opening(MIDDLE, case_of()))
    with pytest.raises(Refused, match=rule.replace(".", r"\.")):
        table.referee.play(move, sender.address, table.now)
    assert table.referee.games == {}


def test_an_answer_of_nothing_has_nothing_to_dispute() -> None:
    """GAM-2."""
    empty = sell(PROMPT, 0, max_units=4)
    with pytest.raises(Refused, match=r"games\.nothing"):
        Table(empty).play(Begin(case_of(), shown(empty.claim), Claim()), Side.CHALLENGER)
    assert isinstance(first_move(case_of(), replace(empty.claim, provider_asked=True), CARD, replay(empty)), BeginEarly)


def test_orders_that_are_not_lowered_have_no_game() -> None:
    """GAM-1."""
    for changes in ({"grammar": noise()}, {"logprobs": 1}, {"level": int(Level.OPEN)}):
        order = STALL.order(PROMPT, UNITS, temperature=0, **changes)
        claim = STALL.claim(order, PROMPT, HONEST.claim.generated, HONEST.script.evidence)
        table = Table(replace(HONEST, claim=claim))
        with pytest.raises(Refused, match=r"games\.not-lowered"):
            table.play(Begin(case_of(), shown(claim), Claim()), Side.CHALLENGER)


def test_after_an_appeal_the_challenger_has_to_begin() -> None:
    """GAM-3, GAM-30: its clock runs from the appeal on."""
    table = Table(MIDDLE)
    begin = opening(MIDDLE, case_of())
    called = table.play(Appeal(case_of(), begin.shown), Side.DEFENDER)
    assert (called.stage, called.challenger_clock) == (Stage.CALLED, BASE)
    assert challenger_move(called, MIDDLE.hold, MIDDLE.script, begin) == begin
    assert defender_move(called, MIDDLE.hold, MIDDLE.script) is None
    with pytest.raises(Refused, match=r"games\.stage"):
        table.play(Appeal(case_of(), begin.shown), Side.DEFENDER)
    table.now += 500
    begun = table.play(begin, Side.CHALLENGER)
    assert begun.defender_clock - begun.challenger_clock == begun.since - called.since == 520
    silent = Table(MIDDLE)
    silent.play(Appeal(case_of(), begin.shown), Side.DEFENDER)
    silent.now += BASE
    with pytest.raises(Refused, match=r"games\.late"):
        silent.play(begin, Side.CHALLENGER)
    assert silent.play(Forfeit(case_of()), None).outcome is Outcome.HONEST


@pytest.mark.parametrize("seconds", [BASE + EACH * 6, BASE + EACH * 6 + 1])
def test_a_clock_is_over_when_it_is_over(seconds: int) -> None:
    """GAM-30."""
    table = Table(MIDDLE)
    begun = table.play(opening(MIDDLE, case_of()), Side.CHALLENGER)
    move, at = plays(MIDDLE)[0](begun), begun.since + seconds
    assert move is not None
    late = seconds > BASE + EACH * 6
    with pytest.raises(Refused, match=r"games\.late" if late else r"games\.early"):
        table.referee.play(move if late else Forfeit(case_of()), PROVIDER.address, at)
    table.referee.play(Forfeit(case_of()) if late else move, PROVIDER.address, at)


def test_a_rival_that_is_no_id_convicts_nobody() -> None:
    """GAM-4: the game goes on as if there was none."""
    table = Table(HONEST)
    view = table.play(Begin(case_of(), shown(HONEST.claim), Claim(0, 70)), Side.CHALLENGER)
    move = plays(HONEST)[0](view)
    assert move is not None
    assert table.play(move, Side.DEFENDER).place == Place.RUN


def test_evidence_under_other_salts_is_a_lie_rts_3() -> None:
    """GAM-4: every id and every word is right, the root is not; salts follow from the units', so no answer fits."""
    claim, other = HONEST.claim, noise(b"another secret")
    receipt = replace(claim.receipt, evidence_root=roots.evidence_root(HONEST.script.evidence, other))
    sale = replace(HONEST, claim=replace(claim, receipt=receipt))

    def defends(view: View) -> Move | None:
        leaves = roots.evidence_leaves(HONEST.script.evidence, other)
        if view.place == Place.EVIDENCE and view.stage == Stage.POST:
            return PostChildren(view.case, view.head, below(leaves, view))
        move = plays(HONEST)[0](view)
        if isinstance(move, Answer):
            return replace(move, shown=replace(move.shown, evidence_path=merkle.prove(leaves, view.unit)))
        return move

    played = game_between(Table(sale), defends, honest_challenger(sale))
    assert (played.end.outcome, played.end.why) == (Outcome.CHEATED, "clock")
    assert [refused.rule for _, refused in played.refused] == ["games.evidence"]


# -- an early end --------------------------------------------------------------------------------------------------


def early(sale: Sale) -> tuple[Table, View]:
    table = Table(sale)
    move = first_move(case_of(), sale.claim, CARD, replay(sale)) or BeginEarly(case_of(), shown(sale.claim))
    assert isinstance(move, BeginEarly)
    return table, table.play(move, Side.CHALLENGER)


@pytest.mark.parametrize(("units", "at", "convicted"), [(2, 2, False), (2, 0, False), (6, 1, True)])
def test_a_cancel_ends_an_answer_up_to_the_run_ahead_gam_35(units: int, at: int, convicted: bool) -> None:
    sale = sell(PROMPT, units, max_units=24)
    cancel = cancelled(sale.claim, at)
    assert cancel.cancel is not None
    assert cancel.cancel_signature is not None
    table, view = early(sale)
    ended = Ended(shown(sale.claim), cancel.cancel, cancel.cancel_signature)
    move = defender_move(view, sale.hold, sale.script, ended)
    assert isinstance(move, ShowCancel)
    if convicted:
        with pytest.raises(Refused, match=r"games\.cancel"):
            table.play(move, Side.DEFENDER)
    else:
        assert table.play(move, Side.DEFENDER).outcome is Outcome.HONEST


def test_a_cancel_is_the_buyers_and_the_orders() -> None:
    """GAM-35."""
    sale = sell(PROMPT, 2, max_units=24)
    table, view = early(sale)
    order = sale.claim.order.digest(DOMAIN)
    for cancel, key, rule in (
        (Cancel(version=1, order=order, units=2), PROVIDER, "signature"),
        (Cancel(version=1, order=bytes(32), units=2), SESSION, r"games\.cancel"),
    ):
        move = ShowCancel(case_of(), view.head, shown(sale.claim), cancel, key.sign(cancel.digest(DOMAIN)))
        with pytest.raises(Refused, match=rule):
            table.play(move, Side.DEFENDER)


def test_an_end_id_ends_an_answer_and_nothing_else_does() -> None:
    """GAM-35."""
    sale = sell(PROMPT, 2, max_units=24)
    table, view = early(sale)
    assert defender_move(view, sale.hold, sale.script) is None
    move = defender_move(view, sale.hold, sale.script, Ended(shown(sale.claim)))
    assert isinstance(move, ShowEnd)
    with pytest.raises(Refused, match=r"games\.end"):
        table.play(move, Side.DEFENDER)
    table.now += BASE + EACH * 64
    assert table.play(Forfeit(case_of()), None).outcome is Outcome.CHEATED
    ends = sell(PROMPT, 2, max_units=24, last=0)
    table = Table(ends)
    view = table.play(BeginEarly(case_of(), shown(ends.claim)), Side.CHALLENGER)
    move = defender_move(view, ends.hold, ends.script, Ended(shown(ends.claim)))
    assert move is not None
    assert table.play(move, Side.DEFENDER).outcome is Outcome.HONEST


def test_a_continuation_opens_its_ids_where_the_answer_begins() -> None:
    """GAM-2, GAM-20: the response root covers the delivered prefix, the prompt root the whole prompt (rule P6)."""
    first = sell(PROMPT, 2)
    prompt = first.ids
    at = len(prompt) - 1
    for position, name in ((at, "embed"), (at + 1, "embed"), (2, "embed")):
        lie = lie_at(position, NODES[name], 1, 0)
        sale = sell(prompt, 3, lie, (position, NODES[name]), answer_from=len(PROMPT))
        played = play(sale)
        assert where(played.end) == (position, NODES[name], 1, 0)
        assert played.end.outcome is Outcome.CHEATED
        assert played.refused == []


@pytest.mark.parametrize(("word", "outcome"), [(9, Outcome.HONEST), (8, Outcome.CHEATED)])
def test_a_chain_without_a_turn_is_its_start(word: int, outcome: Outcome) -> None:
    """GAM-14: at once, whoever picked it."""
    view = View(case_of(), bytes(32), Stage.PICK, Place.CHAINS, lanes=16, high=5, low_word=9)
    end = between(replace(view, chain=9), 0, games.chain_turns(view.high, 9), view.low_word, word)
    assert (end.stage, end.outcome, end.why) == (Stage.OVER, outcome, "start")


@pytest.mark.parametrize(("position", "node"), [(3, 4), (3, 5), (4, 0)])
def test_a_step_loads_nothing_that_comes_after_it(position: int, node: int) -> None:
    """GAM-20: whatever a model's author wrote into its graph."""
    view = View(case_of(), bytes(32), Stage.STEP, position=3, node=4, positions=5, nodes=69)
    with pytest.raises(Refused, match=r"operands\.order"):
        require_operand(view, Spot(0, position, node, 0, b""), Opening(b"", 1, ()), 9)


def test_arithmetic_is_what_the_graph_says() -> None:
    """The referee's arithmetic and the model's integers agree on every kind of turn."""
    run, arithmetic = honest((3, 4, 5)), GraphArithmetic(lambda *_: False)
    for name, element, turn in (("embed", 7, 0), ("seen", 1, 0), ("dotted", 1, 3), ("chained", 1, 33), ("state", 5, 0)):
        index = NODES[name]
        raw, lanes = run.node_leaf(index), GRAPH.nodes[index].lanes
        chain, number = turn % lanes, turn // lanes
        before, after = run.sums(2, index, element, chain, [number, number + 1])
        data = [load.data for load in run.loads(2, index, element, turn)]
        assert arithmetic.step(raw, 2, element, turn, before, run.ids[2], data) == after
    assert checked(HONEST).script.evidence == HONEST.script.evidence
