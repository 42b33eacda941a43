"""What records prove by themselves, in the form that a contract takes (GAM-41, GAM-42)."""

from dataclasses import replace

import pytest

from claims import ANSWER_SALT, PROMPT_SALT, Stall
from steelyard.engines.alphabet import END, VOCABULARY, Alphabet
from steelyard.protocol import merkle, roots
from steelyard.protocol.facts import FACTS, Facts
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.moves import Unit
from steelyard.protocol.proofs import BadUnit, OtherModel, OtherPrefix, TooMany
from steelyard.verification.claim import Claim
from steelyard.verification.holding import Holding
from steelyard.verification.proofs import proof_of

TOY = Alphabet()
STALL = Stall(TOY.card.model_root)
PROMPT = tuple(b"tell me more")


def hold(positions: int) -> Holding:
    with TOY.holding(PROMPT[:positions], len(PROMPT)) as held:
        return held


def claim(*generated: int, answer_from: int = len(PROMPT), max_units: int = 9) -> Claim:
    order = STALL.order(PROMPT, max_units=max_units, answer_from=answer_from)
    return STALL.claim(order, PROMPT, generated, [ZERO32] * len(generated))


@pytest.mark.parametrize("sold", [claim(65, 66), claim(65, END), claim(), claim(66, answer_from=8)])
def test_records_in_order_prove_nothing(sold: Claim) -> None:
    assert proof_of(sold, TOY.card, hold) is None


def test_another_model_and_too_many_units_need_nothing_besides() -> None:
    assert proof_of(replace(claim(65), model_root=ZERO32), TOY.card, hold) == OtherModel()
    assert proof_of(claim(65, 66, max_units=1), TOY.card, hold) == TooMany()


@pytest.mark.parametrize(("generated", "at"), [((END, 65), 0), ((65, END, END), 1), ((65, VOCABULARY), 1)])
@pytest.mark.parametrize("prefix", [0, 4])
def test_a_bad_unit_is_opened_with_the_facts_of_its_model(generated: tuple[int, ...], at: int, prefix: int) -> None:
    sold = claim(*generated, answer_from=len(PROMPT) - prefix)
    proof = proof_of(sold, TOY.card, hold)
    assert isinstance(proof, BadUnit)
    assert (proof.index, proof.unit) == (prefix + at, Unit(*roots.open_unit(sold.answer, ANSWER_SALT, prefix + at)))
    assert Facts.read(proof.facts).ends == (END,)
    root = TOY.card.model_root
    assert merkle.verify(root, proof.leaves, FACTS, merkle.leaf_hash(proof.facts), proof.path)


def test_another_prefix_is_opened_in_answer_and_prompt() -> None:
    sold = claim(65, answer_from=8)
    answer = (*PROMPT[8:10], 7, *sold.answer[3:])
    proof = proof_of(replace(sold, answer=answer), TOY.card, hold)
    opened = Unit(*roots.open_unit(answer, ANSWER_SALT, 2)), Unit(*roots.open_unit(PROMPT, PROMPT_SALT, 10))
    assert proof == OtherPrefix(2, *opened)


@pytest.mark.parametrize(
    ("ids", "logprobs", "found"),
    [
        ((1, VOCABULARY), 0, BadUnit),
        ((1, VOCABULARY), 1, type(None)),
        ((1, 1, 1), 0, TooMany),
        ((1, 1, 1), 1, TooMany),
    ],
)
def test_a_unit_beside_logprobs_is_opened_to_nobody_gam_42(ids: tuple[int, ...], logprobs: int, found: type) -> None:
    """The contract takes no leaf of logprobs: an accusation by such a proof would be refused for ever."""
    order = STALL.order(PROMPT, max_units=2, logprobs=logprobs)
    rows = [(0,)] * len(ids) if logprobs else ()
    sold = STALL.claim(order, PROMPT, ids, [ZERO32] * len(ids), logprobs=rows)
    assert type(proof_of(sold, TOY.card, hold)) is found
