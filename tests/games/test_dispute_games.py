"""Every named defender against every named challenger, before the referee: what must hold of each game, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from players import CHALLENGERS, DEFENDERS, Challenger, Defender
from playing import BASE, CHALLENGER, EACH, Played, Table, case_of, game_between

from claims import PROVIDER, STRANGER
from steelyard.protocol import games, merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import Side, Stage
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.referee import Referee


@dataclass(frozen=True)
class Game:
    defender: Defender
    challenger: Challenger
    played: Played
    referee: Referee


@dataclass(frozen=True)
class Rule:
    holds: Callable[[Game], bool]
    rationale: str


def rounds(leaves: int) -> int:
    """Posts in a tree: 64 children each (GAM-10)."""
    return max(1, -(-merkle.depth_of(leaves) // 6))


def most_moves(one: Game) -> int:
    """Two a round: unit, position, node, leaf; element, chain, turns; and begin, answer, step."""
    end, sale = one.played.end, one.played.sale
    trees = sum(map(rounds, (len(sale.claim.generated), len(sale.ids), 69, -(-end.elements // 32))))
    return 3 + 2 * (trees + 1 + 1 + 2)


def an_honest_defender_never_loses(one: Game) -> bool:
    return one.defender.liar or one.played.end.outcome is Outcome.HONEST


def an_honest_challenger_convicts_a_liar(one: Game) -> bool:
    return one.challenger.liar or not one.defender.liar or one.played.end.outcome is Outcome.CHEATED


def a_game_has_one_outcome(one: Game) -> bool:
    decided = [view for view in one.played.views if view.outcome is not None]
    return decided == [one.played.end] and one.played.end.outcome in (Outcome.CHEATED, Outcome.HONEST)


def nothing_moves_after_the_end(one: Game) -> bool:
    for _, move in one.played.moves:
        for sender in (PROVIDER, CHALLENGER, STRANGER):
            try:
                one.referee.play(move, sender.address, one.played.end.since)
            except Refused:
                continue
            return False
    return True


def it_ends_within_the_bound_of_rounds(one: Game) -> bool:
    return len([move for side, move in one.played.moves if side]) <= most_moves(one)


def every_move_answers_the_head(one: Game) -> bool:
    heads = [view.head for view in one.played.views]
    seen = [getattr(move, "seen", None) for _, move in one.played.moves[1:]]
    fits = all(have is None or have == head for have, head in zip(seen, heads, strict=False))
    return fits and len(set(heads[:-1])) == len(heads[:-1])


def the_loser_pays_and_nobody_else(one: Game) -> bool:
    outcome, loser = one.played.end.outcome, games.loser(one.played.end)
    return loser is (Side.DEFENDER if outcome is Outcome.CHEATED else Side.CHALLENGER)


def fees_are_of_the_defenders_own_moves(one: Game) -> bool:
    return one.played.end.moves == len([move for side, move in one.played.moves if side is Side.DEFENDER])


def clocks_run_for_whoever_is_to_move(one: Game) -> bool:
    """Each move takes ten seconds or more of its side's own clock, and nothing of the other's."""
    for before, after in pairwise(one.played.views):
        spent, side = after.since - before.since, games.to_move(before)
        if after.why == "clock":
            continue
        if before.defender_clock - after.defender_clock != spent * (side is Side.DEFENDER):
            return False
        if before.challenger_clock - after.challenger_clock != spent * (side is Side.CHALLENGER):
            return False
    return one.played.views[0].defender_clock == BASE + EACH * len(one.played.sale.ids)


def refusals_have_names(one: Game) -> bool:
    return all(refused.rule.split(".")[0] in ("games", "operands") for _, refused in one.played.refused)


def an_honest_side_is_never_refused(one: Game) -> bool:
    honest = {Side.DEFENDER: not one.defender.liar, Side.CHALLENGER: not one.challenger.liar}
    return not any(honest[side] for side, _ in one.played.refused)


RULES = {
    "GAM-21, GAM-33": Rule(an_honest_defender_never_loses, "else nobody would sell"),
    "GAM-10 to GAM-16, GAM-20": Rule(an_honest_challenger_convicts_a_liar, "else nobody would check"),
    "GAM-33": Rule(a_game_has_one_outcome, "money moves once"),
    "GAM-32": Rule(nothing_moves_after_the_end, "a game that is over is over"),
    "GAM-13 to GAM-15": Rule(it_ends_within_the_bound_of_rounds, "each round narrows by 64, or as even rounds have it"),
    "GAM-31": Rule(every_move_answers_the_head, "so a move counts once, in one game"),
    "GAM-33, payer": Rule(the_loser_pays_and_nobody_else, "whoever wins is never charged"),
    "GAM-33, fees": Rule(fees_are_of_the_defenders_own_moves, "a flat fee a move, and none for the challenger's"),
    "GAM-30": Rule(clocks_run_for_whoever_is_to_move, "nobody loses by the other's slowness"),
    "GAM-32, names": Rule(refusals_have_names, "who is refused can read why"),
    "GAM-20": Rule(an_honest_side_is_never_refused, "an honest move needs no luck"),
}


@pytest.mark.parametrize("challenger", CHALLENGERS)
@pytest.mark.parametrize("defender", DEFENDERS)
def test_every_game_keeps_to_every_rule(defender: str, challenger: str) -> None:
    one, other = DEFENDERS[defender], CHALLENGERS[challenger]
    table = Table(one.sale)
    played = game_between(table, one.play, other.of(one.sale))
    assert played.end.stage == Stage.OVER
    found = Game(one, other, played, table.referee)
    broken = {name: rule.rationale for name, rule in RULES.items() if not rule.holds(found)}
    assert broken == {}, (played.end.why, played.refused)


REFUSED = {
    "signs too few leaves": "games.children",
    "signs badly padded evidence": "games.children",
    "pads its positions badly": "games.children",
    "changes its story": "games.children",
    "signs evidence of nothing": "games.evidence",
    "signs reordered evidence": "games.evidence",
    "answers other facts": "games.facts",
    "opens another rival": "games.opening",
    "opens logits of nothing": "games.opening",
    "says a word too few": "games.words",
    "says a sum too few": "games.words",
    "says honest chains": "games.join",
    "answers an old head": "games.moved",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_liar_shows_is_refused_by_the_rule_that_it_breaks(name: str) -> None:
    """GAM-4, GAM-10, GAM-13 to GAM-15, GAM-31."""
    one = DEFENDERS[name]
    played = game_between(Table(one.sale), one.play, CHALLENGERS["honest"].of(one.sale))
    assert [(side, refused.rule) for side, refused in played.refused] == [(Side.DEFENDER, REFUSED[name])]


@pytest.mark.parametrize(
    ("name", "rule"),
    [("names another graph", "games.facts"), ("steps another id", "games.unit"), ("names another node", "games.node")],
)
def test_what_a_challenger_opens_is_refused_by_the_rule_that_it_breaks(name: str, rule: str) -> None:
    """GAM-12, GAM-20."""
    sale = DEFENDERS["honest"].sale
    played = game_between(Table(sale), DEFENDERS["honest"].play, CHALLENGERS[name].of(sale))
    assert [(side, refused.rule) for side, refused in played.refused] == [(Side.CHALLENGER, rule)]


def test_every_player_and_every_rule_has_a_rationale() -> None:
    for one in (*DEFENDERS.values(), *CHALLENGERS.values(), *RULES.values()):
        assert len(one.rationale) > 10
    assert case_of(0) != case_of(1)
