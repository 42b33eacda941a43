"""Each rule of Rulings can fail: a contract with one piece of its source replaced is caught by a story.

Every story is a test of `test_rulings`, named beside the mutant; it passes on the contract as it is and must fail on
the mutant.
"""

from collections.abc import Callable

import pytest
import test_rulings as stories
import test_rulings_games as handed
from courtroom import HONEST, Courtroom
from world import Mutant, Reverted

Story = Callable[[Courtroom], None]
SEATED_ON = 'SEATED, OPENED], "rulings.stage"\n    outcome'


def mutant(old: str, new: str, contract: str = "Rulings") -> Mutant:
    return Mutant(contract, old, new)


MUTANTS: dict[str, tuple[Mutant, Story]] = {
    "half of the seats convict": (
        mutant("alike * 3 >= seats * 2", "alike * 3 >= seats"),
        lambda room: stories.test_less_than_two_thirds_with_one_run_finalise_nothing_rul_20_rul_26(room, "one speaks"),
    ),
    "three runs count as one": (
        mutant("said = vote.run_digest", "pass"),
        lambda room: stories.test_less_than_two_thirds_with_one_run_finalise_nothing_rul_20_rul_26(
            room, "one run, two others"
        ),
    ),
    "only convictions compare runs": (
        mutant("if vote.outcome in [HONEST, CHEATED]:", "if vote.outcome == CHEATED:"),
        lambda room: stories.test_less_than_two_thirds_with_one_run_finalise_nothing_rul_20_rul_26(
            room, "acquitted without a run"
        ),
    ),
    "cannot tell convicts": (
        mutant("if outcome == CHEATED and not", "if outcome in [CHEATED, CANNOT_TELL] and not"),
        lambda room: stories.test_less_than_two_thirds_with_one_run_finalise_nothing_rul_20_rul_26(
            room, "nobody can tell"
        ),
    ),
    "a lie pays twice": (
        mutant("if outcome == CHEATED and not self.convicted[c.receipt]:", "if outcome == CHEATED:"),
        stories.test_a_receipt_is_slashed_for_once_rul_22,
    ),
    "an acquittal is forever": (
        mutant(
            "    elif outcome in [HONEST, NOT_OPENED]:\n",
            "    elif outcome in [HONEST, NOT_OPENED]:\n        self.convicted[c.receipt] = True\n",
        ),
        stories.test_a_friendly_challenger_launders_nothing_rul_24,
    ),
    "nothing burns": (
        mutant("left: uint256 = c.stake // 2\n", "left: uint256 = c.stake\n"),
        stories.test_a_cheat_pays_buyer_jury_and_challenger_and_half_burns_rul_21,
    ),
    "who paid nothing is repaid": (
        mutant("    if c.claim != 0:\n        repaid", "    if True:\n        repaid"),
        stories.test_without_a_tie_the_buyer_is_not_repaid_rul_32,
    ),
    "the minority is paid too": (
        mutant("self.group[case][juror] == majority and self.voted", "self.voted"),
        stories.test_two_thirds_of_the_seats_are_enough_and_only_they_are_paid_rul_20,
    ),
    "a loser loses nothing": (
        mutant("outcome in [HONEST, NOT_OPENED]", "outcome == NOT_OPENED"),
        stories.test_an_acquittal_costs_the_challenger_and_pays_the_jury_rul_23,
    ),
    "silence is free for jurors": (
        mutant("extcall BONDS.slash(juror, juror_fee, 0, [])", "0"),
        stories.test_silent_jurors_pay_a_flat_fee_rul_17,
    ),
    "silence is free for openers": (
        mutant("            outcome = NOT_OPENED\n", "            pass\n"),
        stories.test_an_opener_that_stays_silent_loses_its_stake_rul_14,
    ),
    "the challenger pays for a drawn provider's silence": (
        mutant("        opener = exhibit.offer.provider\n", "        pass\n"),
        stories.test_a_drawn_providers_silence_costs_the_provider_rul_14,
    ),
    "silence without a jury costs": (
        mutant("if len(self.jury[case]) > 0:", "if True:"),
        stories.test_without_an_auditor_nobody_is_blamed_for_silence_rul_14,
    ),
    "the challenger sits": (
        mutant("[c.provider, c.challenger, c.buyer, c.session_key]", "[c.provider, c.buyer, c.session_key]"),
        stories.test_no_challenger_of_many_sits_in_its_own_case_rul_11,
    ),
    "a stranger challenges": (
        mutant('assert msg.sender in [found.buyer, found.session_key], "rulings.not-the-buyer"', "pass"),
        stories.test_buyer_and_session_key_may_challenge_rul_5,
    ),
    "a ticket serves anyone": (
        mutant("ticket.receipt == found.receipt and ticket.auditor == msg.sender", "ticket.receipt == found.receipt"),
        stories.test_a_ticket_is_one_auditors_for_one_receipt_until_it_expires_rul_5,
    ),
    "a ticket serves any receipt": (
        mutant("ticket.receipt == found.receipt and ticket.auditor == msg.sender", "ticket.auditor == msg.sender"),
        stories.test_a_ticket_is_one_auditors_for_one_receipt_until_it_expires_rul_5,
    ),
    "a ticket never expires": (
        mutant('assert ticket.expiry >= self._now(), "rulings.ticket-expired"', "pass"),
        stories.test_a_ticket_is_one_auditors_for_one_receipt_until_it_expires_rul_5,
    ),
    "anyone signs tickets": (
        mutant("signer == found.session_key and signer != empty(address)", "signer != empty(address)"),
        stories.test_a_ticket_is_one_auditors_for_one_receipt_until_it_expires_rul_5,
    ),
    "every auditor is drawn": (
        mutant("len(drawn) == 1 and drawn[0] == msg.sender", "len(drawn) == 1"),
        stories.test_the_drawn_auditor_challenges_without_consent_and_the_provider_opens_rul_6,
    ),
    "every coin draws": (
        mutant('assert self._draws(coin, found.receipt), "rulings.not-drawn"', "pass"),
        stories.test_a_coin_that_does_not_draw_gives_no_right_rul_6,
    ),
    "any coin will do": (
        mutant('assert sha256(coin) == exhibit.order.coin_commitment, "rulings.coin"', "pass"),
        stories.test_the_drawn_auditor_challenges_without_consent_and_the_provider_opens_rul_6,
    ),
    "a private order is everyone's": (
        mutant("basis == ON_CHAIN and found.session_key == empty(address)", "basis == ON_CHAIN"),
        lambda room: stories.test_no_other_basis_counts_rul_5(room, 4),
    ),
    "a placed order is everyone's": (
        mutant(
            'assert staticcall REGISTRY.weight_at(msg.sender, exhibit.order.jury_epoch) > 0, "rulings.not-an-auditor"',
            "pass",
        ),
        stories.test_an_order_placed_on_chain_is_any_auditors_to_challenge_rul_5,
    ),
    "nobody signs receipts": (
        mutant(
            'assert exhibit.offer.provider == records.recover(found.receipt, receipt_signature), "signature"',
            "pass",
            "exhibits",
        ),
        lambda room: stories.test_records_that_do_not_fit_open_no_case_rul_1(
            room, "a receipt that the provider did not sign"
        ),
    ),
    "nobody signs orders": (
        mutant(
            'assert channel.session_key == records.recover(found.order, order_signature), "signature"',
            "pass",
            "exhibits",
        ),
        lambda room: stories.test_records_that_do_not_fit_open_no_case_rul_1(
            room, "an order that the session key did not sign"
        ),
    ),
    "any count opens the answer": (
        mutant(
            "assert exhibit.receipt.response_root == trees.seal(exhibit.answer_units, exhibit.answer_top),",
            "assert True,",
            "exhibits",
        ),
        lambda room: stories.test_records_that_do_not_fit_open_no_case_rul_1(room, "a unit less"),
    ),
    "challenges have no end": (
        mutant("block.timestamp <= convert(exhibit.order.deadline, uint256) + window", "window == window"),
        stories.test_a_challenge_comes_by_deadline_and_window_rul_3,
    ),
    "an epoch to come judges": (
        mutant("frozen: IRegistry.Pool = staticcall REGISTRY.pool(exhibit.order.jury_epoch)", "pass"),
        stories.test_the_epoch_has_begun_and_is_remembered_rul_4,
    ),
    "one challenger, many cases": (
        mutant('assert before == empty(bytes32) or self.cases[before].stage == RULED, "rulings.open-case"', "pass"),
        stories.test_a_challenger_has_one_open_case_a_receipt_rul_8,
    ),
    "challenges are free": (
        mutant("extcall BONDS.reserve(msg.sender, stake)", "pass"),
        stories.test_a_challenge_reserves_both_stakes_rul_7,
    ),
    "the provider's stake may run away": (
        mutant("extcall BONDS.reserve(exhibit.offer.provider, reserved)", "pass"),
        stories.test_a_challenge_reserves_both_stakes_rul_7,
    ),
    "the seed is known when one challenges": (
        mutant("target: uint256 = c.born + 1 +", "target: uint256 = c.born +"),
        stories.test_anyone_seats_a_jury_by_the_hash_of_the_next_block_rul_10,
    ),
    "a forgotten seed is zero": (
        mutant("SCHEDULE * ((block.number - c.born - 2) // SCHEDULE)", "0"),
        lambda room: stories.test_a_seed_that_nobody_fixed_is_scheduled_again_rul_10(room, 258, 257),
    ),
    "a case never ends": (
        mutant(f"[CHALLENGED, {SEATED_ON}", f"[{SEATED_ON}"),
        stories.test_a_case_that_nobody_seats_lapses_rul_12,
    ),
    "anyone opens": (
        mutant('assert msg.sender == c.opener, "rulings.not-the-opener"', "pass"),
        stories.test_only_the_opener_opens_once_in_time_with_a_key_per_seat_rul_13,
    ),
    "a key too few": (
        mutant('assert len(wrapped) == len(self.jury[case]), "rulings.keys"', "pass"),
        stories.test_only_the_opener_opens_once_in_time_with_a_key_per_seat_rul_13,
    ),
    "anyone votes": (
        mutant('assert msg.sender in self.jury[case], "rulings.not-a-juror"', "pass"),
        stories.test_jurors_commit_once_in_time_rul_15,
    ),
    "a juror commits twice": (
        mutant('assert self.commitment[case][msg.sender] == empty(bytes32), "rulings.committed"', "pass"),
        stories.test_jurors_commit_once_in_time_rul_15,
    ),
    "a juror commits after others revealed": (
        mutant('assert self._now() <= c.commit_until, "rulings.too-late"', "pass"),
        stories.test_jurors_commit_once_in_time_rul_15,
    ),
    "votes are shown before all have committed": (
        mutant("c.committed == len(self.jury[vote.case]) or self._now() > c.commit_until", "c.committed > 0"),
        stories.test_votes_are_revealed_as_committed_each_by_its_juror_rul_16,
    ),
    "a vote changes its mind": (
        mutant('assert self.commitment[vote.case][msg.sender] == records.hash_vote(vote), "rulings.vote"', "pass"),
        stories.test_votes_are_revealed_as_committed_each_by_its_juror_rul_16,
    ),
    "a vote counts twice": (
        mutant('assert self.voted[vote.case][msg.sender] == 0, "rulings.revealed"', "pass"),
        stories.test_votes_are_revealed_as_committed_each_by_its_juror_rul_16,
    ),
    "a case is settled before all have spoken": (
        mutant(
            'assert c.revealed == len(self.jury[case]) or self._now() > c.reveal_until, "rulings.too-early"', "pass"
        ),
        stories.test_no_case_is_settled_before_its_time_or_twice_rul_20,
    ),
    "a ruled case is settled again": (
        mutant("    self.cases[case].stage = RULED\n", "    pass\n"),
        stories.test_no_case_is_settled_before_its_time_or_twice_rul_20,
    ),
    "a ruled case keeps the challenger's stake": (
        mutant("extcall BONDS.release(c.challenger, stake)", "pass"),
        stories.test_a_cheat_pays_buyer_jury_and_challenger_and_half_burns_rul_21,
    ),
    "a ruled case keeps the provider's bond": (
        mutant("extcall BONDS.release(c.provider, c.reserved)", "pass"),
        stories.test_an_acquittal_costs_the_challenger_and_pays_the_jury_rul_23,
    ),
    "a ruled case keeps the claim": (
        mutant("extcall exhibits.ESCROW.unhold(c.claim)", "pass"),
        stories.test_a_tied_claim_waits_for_all_its_cases_rul_31,
    ),
    "a tied claim is paid meanwhile": (
        mutant(
            "        self.cases[case].held = True\n        extcall exhibits.ESCROW.hold(shown.claim)\n",
            "        pass\n",
        ),
        stories.test_a_tied_claim_waits_for_all_its_cases_rul_31,
    ),
    "a claim of another offer ties": (
        mutant("claim.channel == channel and claim.offer == offer", "claim.channel == channel"),
        stories.test_a_tie_shows_the_receipt_under_its_claim_rul_30,
    ),
    "a claim of no channel ties": (
        mutant("claim.channel == channel and claim.offer == offer", "claim.offer == offer"),
        stories.test_a_placed_order_is_tied_to_its_own_claim_only_rul_30,
    ),
    "a claim that repeats the receipt ties": (
        mutant('assert shown.index >= convert(claim.first, uint256), "rulings.other-claim"', "pass"),
        stories.test_a_tie_shows_the_receipt_under_its_claim_rul_30,
    ),
    "a case is tied twice": (
        mutant('assert c.claim == 0, "rulings.tied"', "pass"),
        stories.test_a_tie_shows_the_receipt_under_its_claim_rul_30,
    ),
    "one receipt is its own twin": (
        mutant("other.order == found.order and twin != found.receipt", "other.order == found.order", "Proofs"),
        stories.test_what_are_no_twins_rul_40,
    ),
    "receipts of two orders are twins": (
        mutant("other.order == found.order and twin != found.receipt", "twin != found.receipt", "Proofs"),
        stories.test_what_are_no_twins_rul_40,
    ),
    "anyone signs a twin": (
        mutant(
            'assert records.recover(twin, other_signature) == exhibit.offer.provider, "signature"', "pass", "Proofs"
        ),
        stories.test_what_are_no_twins_rul_40,
    ),
    "triplets pay twice": (
        mutant('assert not self.convicted_order[lie.order], "rulings.convicted"', "pass"),
        stories.test_twins_are_slashed_for_once_whatever_is_open_rul_41,
    ),
    "twins pay after a jury": (
        mutant('assert not self.convicted[lie.receipt] and not self.convicted[lie.twin], "rulings.convicted"', "pass"),
        stories.test_a_jurys_conviction_is_not_repeated_by_twins_rul_41,
    ),
    "twins at level open go free": (
        mutant("max(lie.level, AUDITED)", "lie.level"),
        stories.test_two_receipts_at_level_open_convict_too_rul_40,
    ),
    "a case outlives the twins": (
        mutant("    self.convicted[lie.receipt] = True\n", "    pass\n"),
        stories.test_twins_are_slashed_for_once_whatever_is_open_rul_41,
    ),
    "anyone takes a case": (
        mutant(
            'assert msg.sender == self.games, "rulings.not-games"\n    assert c.stage in',
            "assert c.stage in",
        ),
        handed.test_only_games_and_proofs_may_rul_50,
    ),
    "anyone ends a game": (
        mutant(
            'assert msg.sender == self.games, "rulings.not-games"\n    assert c.stage ==',
            "assert c.stage ==",
        ),
        handed.test_only_games_and_proofs_may_rul_50,
    ),
    "anyone punishes": (
        mutant('assert msg.sender == self.proofs, "rulings.not-proofs"', "pass"),
        handed.test_only_games_and_proofs_may_rul_50,
    ),
    "the deployer binds again": (
        mutant('assert self.games == empty(address), "rulings.bound"', "pass"),
        handed.test_the_deployer_binds_once_rul_50,
    ),
    "a case is taken whenever": (
        mutant('assert self._now() <= until, "rulings.too-late"', "pass"),
        handed.take_in_time,
    ),
    "what is convicted is played for": (
        mutant('assert not self.convicted[c.receipt], "rulings.convicted"\n    # WRITE', "# WRITE"),
        handed.test_what_is_convicted_or_ruled_is_not_taken_rul_51,
    ),
    "a case that nobody took is finished": (
        mutant('assert c.stage == PLAYING, "rulings.stage"', "pass"),
        handed.test_a_stage_that_is_no_game_is_not_finished_rul_52,
    ),
    "a challenger loses what is convicted": (
        mutant("        ruled = 0\n", "        pass\n"),
        lambda room: handed.test_nobody_loses_a_game_on_what_is_convicted_rul_52(room, HONEST),
    ),
    "a provider is paid all of a lost stake": (
        mutant("amount=min(fees, rest)", "amount=fees"),
        lambda room: handed.test_a_lost_game_pays_the_provider_its_moves_rul_52(room, 10**6),
    ),
    "a lost game pays nothing": (
        mutant("amount=min(fees, rest)", "amount=0"),
        lambda room: handed.test_a_lost_game_pays_the_provider_its_moves_rul_52(room, 7),
    ),
    "a claim is not tied while it is played": (
        mutant("[CHALLENGED, SEATED, OPENED, PLAYING]", "[CHALLENGED, SEATED, OPENED]"),
        handed.test_a_game_convicts_without_fees_for_jurors_rul_52,
    ),
    "an acquittal waits for no appeal": (
        mutant("outcome in [HONEST, CHEATED] and appeal_window", "outcome == CHEATED and appeal_window"),
        lambda room: stories.wait_for_an_appeal(room, HONEST),
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Length of compiled bytecode")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_story(name: str) -> None:
    changed, story = MUTANTS[name]
    room = Courtroom(changed, stories.WAITING if "appeal" in name else None)
    with pytest.raises((AssertionError, Reverted, pytest.fail.Exception)):
        story(room)
