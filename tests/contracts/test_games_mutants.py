"""Each rule of Games can fail: a contract with one piece of its source replaced is caught by a story of `test_games`,
or of `test_games_filters`, which are held to the referee move by move.

As in test_rulings_mutants: the story beside a mutant passes on the contracts as they are and must fail on the mutant.
"""

import os
from collections.abc import Callable

import pytest
import test_games as stories
import test_games_filters as sifted
import test_proofs as proofs
from duel import DuelRoom
from gameroom import BEGUN, PICK, POINT, POST, STEP, WORDS, GameRoom
from sources import SOURCES
from test_dispute_filters import liars
from world import Mutant, Reverted

from claims import ONE
from steelyard.protocol.games import Stage
from steelyard.protocol.verdicts import Outcome

Story = Callable[[GameRoom], None]
SiftedStory = Callable[[DuelRoom], None]


def games(old: str, new: str = "pass") -> Mutant:
    return Mutant("Games", old, new)


def answers(old: str, new: str = "pass") -> Mutant:
    return Mutant("Answers", old, new)


def openings(old: str, new: str = "pass") -> Mutant:
    return Mutant("openings", old, new)


def filters(old: str, new: str = "pass") -> Mutant:
    return Mutant("filters", old, new)


def told(old: str, new: str = "pass") -> Mutant:
    return Mutant("Proofs", old, new)


def answer(what: str) -> Story:
    return lambda room: stories.test_what_does_not_open_is_no_answer_gam_4(room, what)


def lowered(what: str) -> Story:
    return lambda room: stories.test_what_a_game_cannot_follow_is_the_jurys_gam_1(room, what)


def mover(stage: int) -> Story:
    return lambda room: stories.test_only_who_is_to_move_moves_and_only_so_gam_32(room, stage)


def silent(stage: int) -> Story:
    return lambda room: stories.test_who_is_silent_loses_gam_30(room, stage)


def lie(what: str) -> Story:
    return lambda room: stories.test_whatever_the_lie_another_word_convicts_gam_21(room, what)


def equal(room: GameRoom) -> None:
    stories.test_an_equal_word_ends_the_game_against_its_challenger_alone_gam_21(room, 2)


LEVEL_OPEN = 'assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"'
MUTANTS: dict[str, tuple[Mutant, Story]] = {
    # the claim
    "anyone begins": (
        games('assert msg.sender == challenger, "games.not-the-challenger"'),
        stories.test_the_challenger_takes_its_case_from_the_jury_gam_1,
    ),
    "a game begins twice": (
        games('assert t.stage == 0 or t.stage == CALLED, "games.stage"'),
        stories.test_the_challenger_takes_its_case_from_the_jury_gam_1,
    ),
    "another receipt is shown": (
        answers('assert digest == receipt, "games.other-receipt"'),
        stories.test_another_receipt_is_not_what_was_challenged_gam_1,
    ),
    "a grammar is followed": (answers("shown.order.grammar == empty(bytes32) and ", ""), lowered("a grammar")),
    "logprobs are followed": (answers(" and shown.order.logprobs == 0", ""), lowered("logprobs")),
    "every level is followed": (
        answers('assert shown.order.level in [AUDITED, DISPUTABLE], "games.not-lowered"'),
        lowered("another level"),
    ),
    "a unit that was not generated": (
        games('assert claim.unit < new, "games.unit"'),
        lambda room: stories.test_a_claim_names_a_generated_unit_gam_2(room, 5, 0),
    ),
    "a rival that is no id": (
        games("prompt + shown.answer_units), claim.rival)", "prompt + shown.answer_units), 0)"),
        lambda room: stories.test_a_claim_names_a_generated_unit_gam_2(room, 0, 2**32),
    ),
    "a position before the first": (
        games("assert fits and 0 < prompt and", "assert fits and"),
        stories.test_a_position_before_the_first_chose_nothing_gam_2,
    ),
    "anyone appeals": (
        games('assert msg.sender == taken.provider, "games.not-the-provider"'),
        stories.test_the_provider_appeals_and_the_challenger_begins_gam_3,
    ),
    "a provider appeals twice": (
        games('assert self.games[case].turn == 0, "games.stage"'),
        stories.test_the_provider_appeals_and_the_challenger_begins_gam_3,
    ),
    "an appeal gives no time": (
        games("    t.challenger = BASE\n", "    t.challenger = 0\n"),
        stories.test_the_provider_appeals_and_the_challenger_begins_gam_3,
    ),
    "time before the claim is free": (
        games("t.challenger = clock - used", "t.challenger = clock"),
        stories.test_the_provider_appeals_and_the_challenger_begins_gam_3,
    ),
    "an appeal is answered whenever": (
        games('        assert used <= t.challenger, "games.late"\n    assert msg.sender', "    assert msg.sender"),
        stories.test_a_challenger_that_does_not_answer_an_appeal_loses_gam_3,
    ),
    "a drawn auditor has to play": (
        games('assert taken.opener != taken.provider or shown.order.level == DISPUTABLE, "games.drawn"'),
        stories.test_a_drawn_auditor_without_a_text_is_not_appealed_against_gam_3,
    ),
    # the answer
    "any facts": (
        openings('assert self._rise(leaves, FACTS_LEAF, self._leaf(facts), path) == model_root, "games.facts"'),
        answer("other facts"),
    ),
    "facts without an end": (
        openings('assert len(facts) == 57 + 4 * convert(slice(facts, 56, 1), uint256), "games.facts"'),
        stories.test_facts_say_how_many_ends_there_are_gam_4,
    ),
    "any number of nodes": (
        answers('assert facts.nodes <= MAX_NODES, "games.facts"'),
        stories.test_facts_with_more_nodes_than_a_game_counts_are_refused_gam_4,
    ),
    "any number of positions": (
        answers('assert agreed.positions <= min(facts.positions, MAX_POSITIONS), "games.positions"'),
        stories.test_more_positions_than_the_model_has_are_not_answered_gam_4,
    ),
    "any unit": (
        openings(
            "assert trees.seal(count, self._rise((count + 63) // 64, leaf, hash, shown.path)) == root,", "assert True,"
        ),
        answer("another unit"),
    ),
    "logprobs beside": (
        openings("index < count and shown.beside == empty(bytes32)", "index < count"),
        answer("logprobs beside the units"),
    ),
    "any run": (
        answers('assert run == shown.run_root and run != empty(bytes32), "games.opening"'),
        answer("another run"),
    ),
    "no run at all": (answers(" and run != empty(bytes32)", ""), answer("no run")),
    "a state cut off": (
        openings('assert 0 < count and len(words) == 4 * count, "games.opening"'),
        stories.test_a_state_has_as_many_numbers_as_the_facts_say_gam_4,
    ),
    "logits of another position": (
        answers('assert under == position and logits != empty(bytes32), "games.opening"'),
        answer("logits of another node"),
    ),
    "any evidence": (
        answers("agreed.evidence_root, ", "agreed.evidence_root or True, "),
        answer("evidence of another unit"),
    ),
    "the salt is not the evidence's": (
        answers("EVIDENCE_LABEL, shown.unit.salt,", "EVIDENCE_LABEL, empty(bytes32),"),
        stories.test_an_answer_opens_its_evidence_under_the_run_root_gam_4,
    ),
    "any logits of a rival": (
        answers(
            "agreed.rival, shown.rival, shown.rival_path) == logits\n",
            "agreed.rival, shown.rival, shown.rival_path) != agreed.model_root\n",
        ),
        stories.test_a_rivals_logit_is_opened_too_gam_4,
    ),
    "a rival that nobody has": (
        answers("if agreed.rival >= facts.vocabulary:", "if agreed.rival > facts.vocabulary:"),
        lambda room: stories.test_no_rival_beats_the_best_gam_4(room, 100),
    ),
    "rivals never win": (
        games("    if found.beaten:\n", "    if False:\n"),
        stories.test_a_preferred_rival_convicts_at_once_gam_4,
    ),
    "noise of another position": (
        answers("draw.seed, agreed.positions)", "draw.seed, agreed.positions - 1)"),
        stories.test_at_a_temperature_the_noise_of_the_order_decides_gam_4,
    ),
    "noise of another seed": (
        answers("draw.top_p, draw.seed,", "draw.top_p, 0,"),
        stories.test_at_a_temperature_the_noise_of_the_order_decides_gam_4,
    ),
    # narrowing
    "rounds are uneven": (
        games("return (levels + rounds - 1) // rounds", "return min(levels, MAX_ROUND)"),
        stories.test_children_fold_to_what_they_stand_under_gam_10,
    ),
    "children of anything": (
        games('assert self._sealed(t, top) == self.games[case].at, "games.children"'),
        stories.test_children_fold_to_what_they_stand_under_gam_10,
    ),
    "any number of children": (
        games('assert len(children) == 1 << t.wide, "games.children"'),
        stories.test_children_fold_to_what_they_stand_under_gam_10,
    ),
    "anything behind the leaves": (
        answers(" or children[i] == pad, ", " or children[i] != empty(bytes32), "),
        stories.test_a_run_has_nothing_behind_its_positions_gam_10,
    ),
    "a child from nowhere": (
        games(" and self._sealed(t, top) == self.games[case].at, ", ", "),
        stories.test_a_point_names_a_child_with_its_path_gam_11,
    ),
    "a path of any length": (
        games("assert len(path) == t.wide and self._sealed(t, top)", "assert self._sealed(t, top)"),
        stories.test_a_path_is_as_long_as_the_round_gam_11,
    ),
    "a child behind the last": (
        games("assert index < 1 << t.wide and leaf << below < t.count", "assert index < 1 << t.wide"),
        stories.test_a_point_names_a_child_with_its_path_gam_11,
    ),
    "a child of the next node": (
        games("assert index < 1 << t.wide and leaf << below", "assert leaf << below"),
        stories.test_a_child_is_none_of_the_next_node_gam_11,
    ),
    "a node without a name": (
        games('assert t.place != NODES or t.levels > 0, "games.node"'),
        stories.test_the_last_point_among_nodes_says_what_the_node_is_gam_12,
    ),
    "a name without a node": (
        games('assert t.place == NODES and t.levels == 0, "games.node"'),
        stories.test_another_point_names_no_node_gam_12,
    ),
    "a node of other facts": (
        games('assert keccak256(facts) == self.games[case].node, "games.facts"'),
        stories.test_the_last_point_among_nodes_says_what_the_node_is_gam_12,
    ),
    "another node's leaf": (
        games('assert graph_root == convert(slice(facts, 0, 32), bytes32), "games.node"'),
        stories.test_the_last_point_among_nodes_says_what_the_node_is_gam_12,
    ),
    "a leaf of other words": (
        games('sha256(concat(x"00", words)) == self.games[case].at\n', "True\n"),
        lambda room: stories.test_a_leaf_is_said_as_a_whole_gam_13(room, 5, 32),
    ),
    "chains that join to anything": (
        games(' == s.claimed, "games.join"', ' <= U32, "games.join"'),
        stories.test_chains_join_to_the_claimed_word_gam_14,
    ),
    "every chain has all turns": (
        games("s.high = (s.high + 15 - index) // 16", "s.high = (s.high + 15) // 16"),
        lambda room: stories.test_a_chain_has_its_own_turns_gam_14(room, 8, 2),
    ),
    "a chain past the last": (
        games('assert index < len(words) // 4, "games.index"'),
        stories.test_chains_join_to_the_claimed_word_gam_14,
    ),
    "no turns, no lie": (
        games("CHEATED if s.claimed != s.low_word else HONEST, ", "HONEST, "),
        lambda room: stories.test_what_has_no_turns_is_its_start_gam_14(room, 5, True),
    ),
    "no turns, no truth": (
        games("CHEATED if s.claimed != s.low_word else HONEST, ", "CHEATED, "),
        lambda room: stories.test_what_has_no_turns_is_its_start_gam_14(room, 6, False),
    ),
    "a part before the first": (
        games("assert 0 < index and index <= parts", "assert index <= parts"),
        stories.test_turns_are_parted_into_64_gam_15,
    ),
    "a part behind the last": (
        games("assert 0 < index and index <= parts", "assert 0 < index"),
        stories.test_turns_are_parted_into_64_gam_15,
    ),
    "any number of sums": (
        games("assert fits and len(words) == 4 * number", "assert fits"),
        stories.test_turns_are_parted_into_64_gam_15,
    ),
    "the sum before is forgotten": (
        games("        if index > 1:\n", "        if index > 64:\n"),
        stories.test_turns_are_parted_into_64_gam_15,
    ),
    "the sum behind is forgotten": (
        games("        if index < parts:\n", "        if index < 0:\n"),
        stories.test_turns_are_parted_into_64_gam_15,
    ),
    "picks of other words": (
        games('assert keccak256(words) == self.games[case].at, "games.said"'),
        lambda room: stories.test_a_pick_repeats_what_was_said_gam_16(room, WORDS),
    ),
    # the step
    "a step of another node": (
        games('assert sha256(concat(x"00", node)) == self.games[case].node, "games.node"'),
        stories.test_a_step_is_of_the_node_that_was_pointed_at_gam_20,
    ),
    "only the challenger steps": (
        games("        if stage != STEP:\n", "        if True:\n"),
        stories.test_anyone_steps_while_the_clock_runs_gam_20,
    ),
    "an answer's id where the prompt's is": (
        games("if index >= prompt:", "if True:"),
        lambda room: stories.test_a_step_opens_the_id_of_its_position_gam_20(room, 3),
    ),
    "a prefix counts twice": (
        games("index -= (order >> 32) & U32", "index -= prompt"),
        stories.test_a_continued_prefix_counts_as_prompt_gam_20,
    ),
    "every chain's turns are the first's": (games("turn = s.chain + 16 * s.low", "turn = 16 * s.low"), equal),
    "an equal word convicts": (games("CHEATED if word != s.claimed else HONEST", "CHEATED"), equal),
    "another word acquits": (games("CHEATED if word != s.claimed else HONEST", "HONEST"), lie("a map")),
    # clocks, moves, ends
    "all have all the time": (games('assert used <= left, "games.late"'), silent(BEGUN)),
    "challengers have the defender's time": (
        games("left: uint256 = t.challenger\n", "left: uint256 = t.challenger + t.defender\n"),
        silent(STEP),
    ),
    "time is not spent": (
        games("        t.defender -= min(used, left)\n", ""),
        stories.test_each_side_has_its_own_clock_gam_30,
    ),
    "a defender forfeits at once": (games("(t.defender if defends else t.challenger)", "t.moves"), silent(POST)),
    "a challenger forfeits at once": (games("(t.defender if defends else t.challenger)", "t.moves"), silent(PICK)),
    "silence acquits": (games("CHEATED if defends else HONEST, ", "HONEST, "), silent(POST)),
    "silence convicts": (games("CHEATED if defends else HONEST, ", "CHEATED, "), silent(POINT)),
    "a clock without an end": (
        games("PER_POSITION * min(positions, MAX_POSITIONS)", "PER_POSITION * (positions % 2**20)"),
        stories.test_an_absurd_number_of_positions_gives_no_endless_clock_gam_30,
    ),
    "a move answers anything": (
        games('assert self.games[case].head == seen, "games.moved"'),
        stories.test_a_move_names_the_head_that_it_answers_gam_31,
    ),
    "heads stay": (
        games(
            "self.games[case].head = keccak256(abi_encode(seen, t.stage, t.place, move))",
            "self.games[case].head = seen",
        ),
        stories.test_a_move_names_the_head_that_it_answers_gam_31,
    ),
    "all games begin alike": (
        games("head = keccak256(abi_encode(chain.id, self, case))", "head = keccak256(abi_encode(chain.id, self))"),
        stories.test_a_move_names_the_head_that_it_answers_gam_31,
    ),
    "moves are of any stage": (games("assert t.stage == stage and ", "assert "), mover(POST)),
    "anyone defends": (
        games('assert msg.sender == self.games[case].defender, "games.not-the-defender"'),
        mover(POST),
    ),
    "anyone attacks": (
        games('assert msg.sender == self._challenger(case), "games.not-the-challenger"'),
        mover(POINT),
    ),
    "moves are free": (
        games("        t.moves += 1\n", ""),
        stories.test_a_lost_game_pays_its_defender_for_each_move_gam_33,
    ),
    "a game is never over": (
        games("self.games[case].turn = OVER | (moves << 32)"),
        silent(POST),
    ),
    "a game outlives the conviction": (
        games("if staticcall RULINGS.convicted(self.games[case].receipt):", "if False:"),
        stories.test_a_conviction_ends_every_other_game_on_the_receipt_gam_34,
    ),
    # early ends
    "a full answer is early": (
        games('assert new < convert(shown.order.max_units, uint256), "games.not-early"'),
        stories.test_a_full_answer_did_not_end_early_gam_35,
    ),
    "any cancel": (
        answers('assert exhibits._new(shown) <= most, "games.cancel"'),
        stories.test_a_cancel_that_does_not_fit_ends_nothing_gam_35,
    ),
    "another order's cancel": (
        answers(" and cancel.order == shown.receipt.order", ""),
        stories.test_a_cancel_that_does_not_fit_ends_nothing_gam_35,
    ),
    "anyone cancels": (
        answers("assert session_key == records.recover(", "assert empty(address) != records.recover("),
        stories.test_a_cancel_that_does_not_fit_ends_nothing_gam_35,
    ),
    "any id ends": (
        answers('assert openings._is_end(facts, last), "games.end"'),
        stories.test_an_early_end_without_a_reason_convicts_by_silence_gam_35,
    ),
    "a prefix ends": (
        answers('assert exhibits._new(shown) > 0, "games.end"'),
        stories.test_an_end_id_of_a_prefix_ends_nothing_gam_35,
    ),
    "an end answers a unit": (
        games("(t.place == EARLY) == early", "True"),
        stories.test_a_game_on_a_unit_is_not_answered_by_an_end_gam_35,
    ),
    "a unit answers an end": (
        games("(t.place == EARLY) == early", "True"),
        stories.test_an_early_end_without_a_reason_convicts_by_silence_gam_35,
    ),
    # lies that need no game
    "the registered model is a lie": (
        told('assert model.model_root != exhibit.receipt.model_root, "proofs.no-lie"'),
        proofs.test_the_registered_model_is_no_lie_gam_41,
    ),
    "a model that nobody registered": (
        told('assert model.author != empty(address), "proofs.unregistered"'),
        proofs.test_a_model_that_nobody_registered_says_nothing_gam_41,
    ),
    "as many as ordered are too many": (
        told("exhibits._new(exhibit) > convert", "exhibits._new(exhibit) >= convert"),
        lambda room: proofs.test_more_units_than_ordered_convict_gam_42(room, 5, False),
    ),
    "the last unit is behind the end": (
        told("behind: bool = index + 1 < exhibit.answer_units and ", "behind: bool = "),
        lambda room: proofs.test_an_end_at_the_end_is_no_lie_gam_42(room, (7,)),
    ),
    "an end in the prefix": (
        told("prefix <= index and index <", "index <"),
        proofs.test_an_end_in_a_prefix_is_the_buyers_gam_42,
    ),
    "every id is an end": (
        told(" and openings._is_end(facts, id)", ""),
        lambda room: proofs.test_an_end_at_the_end_is_no_lie_gam_42(room, (99, 99)),
    ),
    "level open promises": (
        told(LEVEL_OPEN),
        lambda room: proofs.test_level_open_promises_none_of_it_gam_41(room, "count"),
    ),
}


def doubted(kind: str, index: int = 64) -> SiftedStory:
    return lambda room: sifted.test_an_honest_defender_wins_wherever_its_sums_are_doubted(room, kind, index)


def convicted(kind: str, beaten: bool = False) -> SiftedStory:
    return lambda room: sifted.test_a_unit_that_is_left_out_or_beaten_convicts_at_once(room, kind, beaten)


def liar(kind: str) -> SiftedStory:
    """The first of its kind."""
    name = next(iter(liars(kind)))
    return lambda room: sifted.test_whoever_lies_about_what_is_left_is_convicted_at_its_first_wrong_share(
        room, kind, name
    )


def cold(kind: str) -> SiftedStory:
    return lambda room: sifted.test_at_t_0_no_filter_has_a_say(room, kind)


def keeps_all(kind: str) -> SiftedStory:
    return lambda room: sifted.test_a_filter_that_keeps_all_has_no_say(room, kind)


def lenient(kind: str) -> SiftedStory:
    return lambda room: sifted.test_a_filter_that_may_leave_out_one_id_has_a_say(room, kind)


def nobody(kind: str, temperature: int = ONE) -> SiftedStory:
    return lambda room: sifted.test_of_a_filter_without_a_say_nobody_is_named_and_nothing_counted(
        room, kind, temperature
    )


def run(room: DuelRoom) -> None:
    sifted.test_a_logit_that_is_not_what_was_computed_is_found_in_the_run(room, "both")


def alone(stage: Stage, outcome: Outcome) -> SiftedStory:
    return lambda room: sifted.test_whoever_is_left_alone_with_ids_wins(room, stage, outcome)


MARKS = 'assert says == (mark.id != filters.NOBODY), "games.marks"'
WEIGHED = "return filters.share(sieve, id, openings._word(words, id % 32)) == claimed"
BOUNDS = 'assert 0 < index and index <= parts, "games.index"'
SIFTED: dict[str, tuple[Mutant, SiftedStory]] = {
    # what has a say
    "top-k has no say": (
        answers("top_k: bool = draw.temperature != 0 and", "top_k: bool = False and"),
        doubted("both"),
    ),
    "top-p has no say": (
        answers("top_p: bool = draw.temperature != 0 and", "top_p: bool = False and"),
        doubted("both"),
    ),
    "top-k has a say at T = 0": (answers("draw.temperature != 0 and 0 < draw.top_k", "0 < draw.top_k"), cold("top-k")),
    "top-p has a say at T = 0": (
        answers("draw.temperature != 0 and draw.top_p < ONE", "draw.top_p < ONE"),
        cold("top-p"),
    ),
    "k = 0 has a say": (answers("0 < draw.top_k and ", ""), keeps_all("none")),
    "k = V has a say": (answers("draw.top_k < facts", "draw.top_k <= facts"), keeps_all("as many as there are")),
    "k > V has a say": (answers(" and draw.top_k < facts.vocabulary", ""), keeps_all("more than there are")),
    "k = V - 1 has no say": (answers("and draw.top_k < facts", "and draw.top_k + 1 < facts"), lenient("all but one")),
    "p = 1 has a say": (answers("draw.top_p < ONE", "draw.top_p <= ONE"), keeps_all("none")),
    "p just below 1 has no say": (answers("draw.top_p < ONE", "draw.top_p + 1 < ONE"), lenient("nearly all")),
    "sums of top-p alone go to the run": (answers("if top_k or top_p:", "if top_k:"), doubted("top-p")),
    "sums of top-k alone go to the run": (answers("if top_k or top_p:", "if top_p:"), doubted("top-k")),
    "sums of nothing are doubted": (answers("if top_k or top_p:", "if True:"), cold("both")),
    # marks and sums of an answer
    "marks are anybody or nobody": (
        answers(MARKS),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "a mark without a say: of top-k": (answers(MARKS, MARKS.replace("says ==", "not says or")), nobody("top-p")),
    "a mark without a say: of top-p": (answers(MARKS, MARKS.replace("says ==", "not says or")), nobody("top-k")),
    "a mark without a say: at T = 0": (answers(MARKS, MARKS.replace("says ==", "not says or")), nobody("both", 0)),
    "a mark of any logits": (
        answers('assert openings._value_of(vocabulary, mark.id, mark.words, mark.path) == logits, "games.opening"'),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "a mark that is no id": (
        openings('assert element < count, "games.opening"'),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "a mark's logit is the leaf's first": (
        answers("openings._word(mark.words, mark.id % 32)", "openings._word(mark.words, 0)"),
        doubted("both"),
    ),
    "sums fit anybody": (
        answers('assert filters.fits(sieve, shown.filtered.sums, draw.top_k), "games.sums"'),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "sums fit another k": (filters("else top_k - 1", "else top_k"), doubted("top-k")),
    "any number stands before the lowest": (
        filters("sums & U64 == before_lowest << BEFORE_LOWEST", "sums & U32 == 0"),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "some stand before nobody: of top-k": (
        filters("return sums & U64 ==", "return s.lowest == NOBODY and sums & U32 == 0 or sums & U64 =="),
        nobody("top-p"),
    ),
    "some stand before nobody: of top-p": (
        filters("return sums & U64 ==", "return s.greatest == NOBODY or sums & U64 =="),
        nobody("top-k"),
    ),
    "anybody is the greatest": (
        filters("sums & U64 == before_lowest << BEFORE_LOWEST", "(sums >> BEFORE_LOWEST) & U32 == before_lowest"),
        sifted.test_what_an_answer_says_of_filters_is_refused_alike,
    ),
    "what top-k leaves out is kept": (
        filters("        return MINUS_INFINITY\n", "        return z\n"),
        convicted("top-k"),
    ),
    "what top-p leaves out is kept": (filters("< p else MINUS_INFINITY", "< p else z"), convicted("top-p")),
    "rivals never win under filters": (games("    if found.beaten:\n", "    if False:\n"), convicted("both", True)),
    "rivals always win": (games("    if found.beaten:\n", "    if True:\n"), doubted("both")),
    # an order's words
    "k reaches into the seed": (games("seed=(order >> 160) & U64,", "seed=order >> 160,"), convicted("top-k", True)),
    "the seed reaches into k": (games("top_k=order >> 224,", "top_k=order >> 223,"), doubted("top-k")),
    "k is the seed's": (games("top_k=order >> 224,", "top_k=(order >> 192) & U32,"), doubted("top-k")),
    "k is kept elsewhere": (games("uint256) << 96\n", "uint256) << 95\n"), doubted("top-k")),
    "the seed reaches into the temperature": (
        games("temperature=(order >> 128) & U32", "temperature=order >> 128"),
        doubted("top-p"),
    ),
    "p reaches into the challenger": (
        games("(self.games[case].challenger >> 64) & U160", "self.games[case].challenger >> 64"),
        doubted("top-p"),
    ),
    "the challenger reaches into p": (
        games("top_p=self.games[case].challenger >> 224", "top_p=self.games[case].challenger >> 223"),
        doubted("top-p"),
    ),
    "p is forgotten": (
        games("self.games[case].challenger |= convert(shown.order.top_p, uint256) << 224"),
        doubted("top-k"),
    ),
    "p reaches into the rival": (
        games("rival=(self.games[case].challenger >> 32) & U32", "rival=self.games[case].challenger >> 32"),
        doubted("top-p"),
    ),
    # sums, narrowed
    "nothing is agreed before the first id": (
        games("abi_encode(empty(uint256), sums)", "abi_encode(sums, sums)"),
        doubted("both"),
    ),
    "sums between any ends": (
        games('assert keccak256(ends) == self.games[case].at, "games.words"'),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "only the first end is known": (
        games("slice(words, len(words) - 32, 32))", "slice(words, 0, 32))"),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "any number of sums over ids": (
        games(
            "assert fits and len(words) == 4 * number", "assert fits and (t.place == IDS or len(words) == 4 * number)"
        ),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "one sum less over ids": (
        games("number = 8 * (min(s.high - s.low, 64) + 1)", "number = 8 * min(s.high - s.low, 64)"),
        doubted("both"),
    ),
    "picks of other sums": (
        games('assert keccak256(words) == self.games[case].at, "games.said"'),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "a pick behind the last sum": (
        games(BOUNDS, BOUNDS.replace("index <= parts", "(place == IDS or index <= parts)")),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "a pick of the first sum": (
        games(BOUNDS, BOUNDS.replace("0 < index", "(place == IDS or 0 < index)")),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "the run is doubted among some ids": (
        games("index == 0 and s.high - s.low == s.elements:", "index == 0:"),
        sifted.test_sums_and_picks_are_refused_alike,
    ),
    "the run is never doubted": (games("if place == IDS and index == 0 and", "if False and"), run),
    "the run has the sums' hash": (games("        self.games[case].at = self.games[case].root\n", ""), run),
    "the ids stay": (games("        s = empty(Spot)\n        self", "        self"), run),
    "the sums before and behind the pick: one of them": (
        games("slice(words, 32 * (index - 1), 64)", "slice(words, 32 * (index - 1), 32)"),
        doubted("both"),
    ),
    "the sums before and behind the pick: the first two": (
        games("slice(words, 32 * (index - 1), 64)", "slice(words, 0, 64)"),
        doubted("both"),
    ),
    "the ids of the next part": (
        games("s.low += turns * (index - 1) // parts", "s.low += turns * index // parts"),
        doubted("both"),
    ),
    "many ids are weighed as one": (
        games(
            "(t.place in [TURNS, IDS] and s.high == s.low + 1)",
            "t.place == IDS or (t.place == TURNS and s.high == s.low + 1)",
        ),
        doubted("both"),
    ),
    "one id is narrowed again": (
        games("(t.place in [TURNS, IDS] and s.high == s.low + 1)", "(t.place == TURNS and s.high == s.low + 1)"),
        doubted("both"),
    ),
    "the challenger says sums": (
        games("2**BEGUN + 2**POST + 2**SAY", "2**BEGUN + 2**POST"),
        alone(Stage.SAY, Outcome.CHEATED),
    ),
    # the one id
    "any sieve": (
        answers('assert keccak256(abi_encode(sieve)) == digest, "games.sieve"'),
        sifted.test_anyone_weighs_the_one_id_that_is_left_and_nothing_else,
    ),
    "any sieve at another place": (
        answers('assert keccak256(abi_encode(sieve)) == digest, "games.sieve"'),
        sifted.test_ids_are_weighed_at_no_other_place,
    ),
    "the sieve is forgotten": (games("        self.games[case].position_leaf = found.sieve\n", ""), doubted("both")),
    "any logit is weighed": (
        answers('assert openings._value_of(sieve.vocabulary, id, words, path) == sieve.logits, "games.opening"'),
        sifted.test_anyone_weighs_the_one_id_that_is_left_and_nothing_else,
    ),
    "the leaf's first logit is weighed": (
        answers("openings._word(words, id % 32)", "openings._word(words, 0)"),
        sifted.test_a_share_is_right_though_the_sum_wraps_around,
    ),
    "another id is weighed": (
        games("id: uint256 = self._spot(case).low", "id: uint256 = self._spot(case).high"),
        sifted.test_a_share_is_right_though_the_sum_wraps_around,
    ),
    "every share is right": (answers(WEIGHED, "return True"), liar("both")),
    "no share is right": (answers(WEIGHED, "return False"), doubted("both")),
    "between any sums": (
        games('assert keccak256(abi_encode(before, after)) == self.games[case].at, "games.said"'),
        sifted.test_anyone_weighs_the_one_id_that_is_left_and_nothing_else,
    ),
    "sums do not wrap around": (
        games("unsafe_sub(after, before)", "after - before"),
        sifted.test_a_share_is_right_though_the_sum_wraps_around,
    ),
    "right sums convict": (games("HONEST if right else CHEATED", "CHEATED if right else HONEST"), doubted("top-p")),
    "wrong sums acquit": (games("HONEST if right else CHEATED", "CHEATED if right else HONEST"), liar("top-p")),
    "whoever doubts sums wins": (games("HONEST if right else CHEATED", "CHEATED"), doubted("top-k")),
    "whoever says sums wins": (games("HONEST if right else CHEATED", "HONEST"), liar("top-k")),
}

slow = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "deep",
    reason="half an hour of compiling: HYPOTHESIS_PROFILE=deep runs it",
)
UNCHANGED = openings("# pragma", "# pragma")
"""Of a module that all of these contracts import, so that they are compiled as mutants are."""


@pytest.mark.parametrize("name", [*MUTANTS, *SIFTED])
def test_a_mutant_mutates_what_is_there(name: str) -> None:
    changed, _ = (MUTANTS | SIFTED)[name]
    assert changed.old in (SOURCES / f"{changed.contract}.vy").read_text()


@pytest.mark.slow
@slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_story_passes_where_nothing_is_mutated(name: str) -> None:
    MUTANTS[name][1](GameRoom(UNCHANGED))


@pytest.mark.slow
@slow
@pytest.mark.parametrize("name", SIFTED)
def test_a_story_about_filters_passes_where_nothing_is_mutated(name: str) -> None:
    SIFTED[name][1](DuelRoom(UNCHANGED))


@pytest.mark.slow
@slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_story(name: str) -> None:
    changed, story = MUTANTS[name]
    room = GameRoom(changed)
    with pytest.raises((AssertionError, Reverted, pytest.fail.Exception)):
        story(room)


@pytest.mark.slow
@slow
@pytest.mark.parametrize("name", SIFTED)
def test_a_mutant_is_caught_by_its_story_about_filters(name: str) -> None:
    changed, story = SIFTED[name]
    room = DuelRoom(changed)
    with pytest.raises((AssertionError, Reverted, pytest.fail.Exception)):
        story(room)
