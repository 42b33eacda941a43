"""What an order says, as a job, a receipt and a price; and which orders an offer takes."""

from dataclasses import replace

import pytest

from claims import ANSWER_SALT, DOMAIN, PROMPT_SALT, Stall
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Job
from steelyard.protocol import roots
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.work import generate

STALL = Stall(Alphabet().card.model_root)
PROMPT = (1, 2, 3, 4)
ORDER = STALL.order(PROMPT, max_units=10, answer_from=3)
DIGEST = STALL.offer.digest(DOMAIN)


def test_a_job_holds_what_the_order_signs_and_nothing_else() -> None:
    assert generate.job_of(ORDER, PROMPT) == Job(PROMPT, 3, 10, ORDER.temperature, ORDER.top_p, 0, 11)


@pytest.mark.parametrize(
    ("changes", "prompt", "rule"),
    [
        ({"kind": 2}, PROMPT, "order.kind"),
        ({}, PROMPT[:3], "order.prompt-units"),
        ({"prompt_units": 0, "answer_from": 0}, (), "order.prompt-units"),
        ({"answer_from": 5}, PROMPT, "order.answer-from"),
        ({"max_units": 0}, PROMPT, "order.max-units"),
    ],
)
def test_an_order_that_is_no_job_is_refused(changes: dict[str, int], prompt: tuple[int, ...], rule: str) -> None:
    with pytest.raises(Refused) as refusal:
        generate.job_of(replace(ORDER, **changes), prompt)
    assert refusal.value.rule == rule


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"offer": ZERO32}, "order.offer"),
        ({"registration": ZERO32}, "order.registration"),
        ({"kind": 2}, "order.kind"),
        ({"level": 1}, "order.level"),
        ({"max_units": 1025, "max_price": 10**12}, "order.max-units"),
        ({"max_units": 0}, "order.max-units"),
        ({"answer_from": 5}, "order.answer-from"),
        ({"prompt_units": 0, "answer_from": 0}, "order.answer-from"),
        ({"prompt_units": 4090}, "order.context-too-long"),
        ({"max_price": 4}, "order.max-price"),
    ],
)
def test_an_order_outside_the_offer_is_refused_by_name(changes: dict[str, int], rule: str) -> None:
    generate.require_fits(ORDER, STALL.offer, DIGEST)
    with pytest.raises(Refused) as refusal:
        generate.require_fits(replace(ORDER, **changes), STALL.offer, DIGEST)
    assert refusal.value.rule == rule


def test_the_rows_of_an_answer_have_a_bound() -> None:
    """LGP-3."""
    assert [generate.row_length(logprobs) for logprobs in (0, 1, 2, 21)] == [0, 1, 3, 41]
    order = replace(ORDER, logprobs=21, max_price=10**9)
    generate.require_fits(replace(order, max_units=8192 // 41), STALL.offer, DIGEST)
    with pytest.raises(Refused, match=r"^order\.logprobs: 200 units with 41 numbers each, at most 8192 numbers in all"):
        generate.require_fits(replace(order, max_units=200), STALL.offer, DIGEST)


@pytest.mark.parametrize("changes", [{"logprobs": 1}, {"grammar": b"\x01" * 32}], ids=str)
def test_a_disputable_order_asks_for_nothing_that_the_game_cannot_follow(changes: dict[str, object]) -> None:
    """GRM-8."""
    sold = replace(STALL.offer, level=3)
    order = replace(ORDER, level=3, offer=sold.digest(DOMAIN), top_k=5, top_p=0x3F000000)
    generate.require_fits(order, sold, sold.digest(DOMAIN))
    with pytest.raises(Refused, match=r"^order\.level: disputable: "):
        generate.require_fits(replace(order, **changes), sold, sold.digest(DOMAIN))  # type: ignore[arg-type]


def test_a_grammar_is_what_its_hash_and_salt_say() -> None:
    """GRM-8."""
    order = replace(ORDER, grammar=roots.grammar_root(b"one", PROMPT_SALT), logprobs=2)
    generate.require_prompt(order, PROMPT, PROMPT_SALT, b"one")
    assert generate.job_of(order, PROMPT, b"one") == replace(generate.job_of(ORDER, PROMPT), grammar=b"one", logprobs=2)
    for grammar in (b"", b"two"):
        with pytest.raises(Refused, match=r"^order\.grammar-root"):
            generate.require_prompt(order, PROMPT, PROMPT_SALT, grammar)
    for wanted, grammar in ((order, b""), (ORDER, b"one")):
        with pytest.raises(Refused, match=r"^order\.grammar-root"):
            generate.job_of(wanted, PROMPT, grammar)


def test_the_most_an_answer_can_cost_is_rounded_up_once() -> None:
    assert generate.highest_price(STALL.offer, ORDER) == 5  # ceil((4 * 100_000 + 10 * 400_000) / 10**6)
    generate.require_fits(replace(ORDER, max_price=5), STALL.offer, DIGEST)


def test_a_delivered_prefix_is_paid_as_prompt_and_not_again_as_answer() -> None:
    assert generate.price_of(STALL.offer, ORDER, answer_units=11) == generate.highest_price(STALL.offer, ORDER)
    for units in (0, 12):
        with pytest.raises(Refused, match=r"receipt\.units"):
            generate.price_of(STALL.offer, ORDER, units)


def test_a_prompt_is_what_its_root_and_salt_say() -> None:
    generate.require_prompt(ORDER, PROMPT, PROMPT_SALT)
    for prompt, salt in (((1, 2, 3, 5), PROMPT_SALT), (PROMPT, ANSWER_SALT), (PROMPT[:3], PROMPT_SALT), (PROMPT, b"")):
        with pytest.raises(Refused, match=r"order\.prompt"):
            generate.require_prompt(ORDER, prompt, salt)


def test_a_receipt_covers_the_prefix_and_the_evidence_of_what_is_new() -> None:
    leaves = [sha256(b"a"), sha256(b"b")]
    answer = generate.whole_answer(ORDER, PROMPT, (8, 9))
    receipt = generate.receipt_of(sha256(b"order"), DIGEST, STALL.model_root, answer, leaves, ANSWER_SALT)
    assert answer == (4, 8, 9)
    assert receipt.response_root == roots.units_root((4, 8, 9), ANSWER_SALT)
    assert receipt.evidence_root == roots.evidence_root(leaves, ANSWER_SALT)


def test_a_run_ends_by_an_end_id_by_length_or_by_a_cancel() -> None:
    ends = frozenset({7})
    assert generate.finish_of(ORDER, ends, [1] * 9 + [7]) == "stop"
    assert generate.finish_of(ORDER, ends, [1] * 10) == "length"
    assert generate.finish_of(ORDER, ends, [7, 1]) == generate.finish_of(ORDER, ends, []) == "cancel"
