"""Each rule of Games can fail: a contract with one piece of its source replaced is caught by a story of `test_games`.

As in test_rulings_mutants: the story beside a mutant passes on the contracts as they are and must fail on the mutant.
"""

import os
from collections.abc import Callable

import pytest
import test_games as stories
import test_proofs as proofs
from gameroom import BEGUN, PICK, POINT, POST, STEP, WORDS, GameRoom
from world import Mutant, Reverted

Story = Callable[[GameRoom], None]


def games(old: str, new: str = "pass") -> Mutant:
    return Mutant("Games", old, new)


def answers(old: str, new: str = "pass") -> Mutant:
    return Mutant("Answers", old, new)


def openings(old: str, new: str = "pass") -> Mutant:
    return Mutant("openings", old, new)


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
    "top-k is followed": (answers("shown.order.top_k == 0 and ", ""), lowered("top-k")),
    "top-p is followed": (answers(" and shown.order.top_p == ONE", ""), lowered("top-p")),
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
        answer("a state cut off"),
    ),
    "logits of another position": (
        answers('assert under == position and logits != empty(bytes32), "games.opening"'),
        answer("logits of another node"),
    ),
    "any evidence": (answers("agreed.evidence_root, ", "agreed.evidence_root or True, "), answer("another salt")),
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
        games("    if beaten:\n", "    if False:\n"),
        stories.test_a_preferred_rival_convicts_at_once_gam_4,
    ),
    "noise of another position": (
        answers("agreed.seed, agreed.positions\n", "agreed.seed, agreed.positions - 1\n"),
        stories.test_at_a_temperature_the_noise_of_the_order_decides_gam_4,
    ),
    "noise of another seed": (
        answers("agreed.temperature, agreed.seed,", "agreed.temperature, 0,"),
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
        games("if s.position < prompt:", "if s.position < 0:"),
        lambda room: stories.test_a_step_opens_the_id_of_its_position_gam_20(room, 3),
    ),
    "a prefix counts twice": (
        games("index: uint256 = s.position - ((order >> 32) & U32)", "index: uint256 = s.position - prompt"),
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
        games('assert convert(msg.sender, uint256) == self.games[case].challenger >> 64, "games.not-the-challenger"'),
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


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "deep",
    reason="ten minutes of compiling: HYPOTHESIS_PROFILE=deep runs it",
)
@pytest.mark.filterwarnings("ignore:Length of compiled bytecode")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_story(name: str) -> None:
    changed, story = MUTANTS[name]
    room = GameRoom(changed)
    with pytest.raises((AssertionError, Reverted, pytest.fail.Exception)):
        story(room)
