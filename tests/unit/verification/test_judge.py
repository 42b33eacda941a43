"""A judge's own failures are never evidence, and a package that opens nothing accuses nobody."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from claims import DOMAIN, PROMPT_SALT, PROVIDER, SESSION, STRANGER, Stall, cancelled, run, signed_again
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import NOTHING, Card, Engine, Job, Replay, Step
from steelyard.engines.grammars import grammar_of
from steelyard.protocol import roots
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Outcome
from steelyard.verification.claim import Claim, defect
from steelyard.verification.selftest import self_test
from steelyard.work.generate import job_of, judge

Rows = tuple[tuple[int, ...], ...]

TOY = Alphabet()
STALL = Stall(TOY.card.model_root)
PROMPT = tuple(b"tell me more")
ORDER = STALL.order(PROMPT)
CLAIM = STALL.sell(TOY, ORDER, PROMPT)
LIE = STALL.sell(Alphabet(lie_from=1), ORDER, PROMPT)


@dataclass
class Bent:
    """An engine of ours that is broken in one way."""

    card: Card = TOY.card
    bend: Callable[[Replay, int], Replay] = lambda run, _: run
    calls: int = 0

    def generate(self, job: Job) -> Iterator[Step]:
        return TOY.generate(job)

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        self.calls += 1
        return self.bend(TOY.replay(job, answer), self.calls)

    def close(self) -> None: ...


def failing(error: Exception) -> Callable[[Replay, int], Replay]:
    def bend(run: Replay, _: int) -> Replay:
        raise error

    return bend


def flickering(run: Replay, call: int) -> Replay:
    return replace(run, leaves=tuple(sha256(leaf, bytes([call])) for leaf in run.leaves))


FAILURES: dict[str, tuple[Bent, str]] = {
    "raises": (Bent(bend=failing(RuntimeError("out of memory at /home/me"))), "RuntimeError"),
    "refuses": (Bent(bend=failing(Refused("order.context-too-long", "9 > 8"))), "9 > 8"),
    "closed": (Bent(bend=failing(Unavailable("engine.closed", "now"))), "engine.closed"),
    "flickers": (Bent(bend=flickering), "two different runs"),
    "too few leaves": (Bent(bend=lambda run, _: replace(run, leaves=run.leaves[:-1])), "leaves for"),
    "another model": (Bent(card=replace(TOY.card, model_root=ZERO32)), "own engine holds"),
    "float": (Bent(card=replace(TOY.card, canonical=False)), "not canonical"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("claim", [CLAIM, LIE], ids=["honest", "liar"])
def test_a_failure_of_ours_is_cannot_tell(name: str, claim: Claim) -> None:
    engine, says = FAILURES[name]
    verdict = judge(claim, engine).verdict
    assert isinstance(verdict, CannotTell)
    assert says in verdict.reason
    assert "/home/me" not in verdict.reason  # what an engine says may tell what is nobody's business


def test_an_accusation_takes_two_equal_runs_and_an_acquittal_one() -> None:
    engine = Bent()
    assert judge(CLAIM, engine).verdict == Honest()
    assert engine.calls == 1
    assert isinstance(judge(LIE, engine).verdict, Cheated)
    assert engine.calls == 3


def test_a_vote_can_say_what_only_a_run_knows() -> None:
    honest, lie = judge(CLAIM, TOY), judge(LIE, TOY)
    assert honest.evidence_root == CLAIM.receipt.evidence_root
    assert honest.states
    assert lie.evidence_root != LIE.receipt.evidence_root
    assert roots.run_digest(ZERO32, honest.states) != roots.run_digest(sha256(b"case"), honest.states)
    assert (honest.outcome, lie.outcome) == (Outcome.HONEST, Outcome.CHEATED)


@pytest.mark.parametrize(("level", "kind"), [(1, 1), (6, 1), (2, 2)])
def test_what_is_not_sold_as_replayable_is_not_judged_by_replay(level: int, kind: int) -> None:
    stall = Stall(TOY.card.model_root, level=level)
    offer = replace(stall.offer, kind=kind)
    order = replace(stall.order(PROMPT), kind=kind, offer=offer.digest(DOMAIN))
    claim = replace(stall.claim(order, PROMPT, [1], [ZERO32]), offer=offer)
    claim = replace(claim, offer_signature=PROVIDER.sign(offer.digest(DOMAIN)))
    judgement = judge(claim, TOY)
    assert isinstance(judgement.verdict, CannotTell)
    assert judgement.opened


def test_ids_that_the_buyer_ordered_beyond_the_vocabulary_accuse_nobody() -> None:
    prompt = (1, 300)
    verdict = judge(STALL.claim(STALL.order(prompt), prompt, [1], [ZERO32]), TOY).verdict
    assert isinstance(verdict, CannotTell)
    assert "vocabulary" in verdict.reason


OTHER_ORDER = STALL.order(PROMPT, nonce=sha256(b"another"))
PACKAGES: dict[str, Callable[[], Claim]] = {
    "units of another answer": lambda: replace(CLAIM, answer=LIE.answer),
    "prompt of another order": lambda: replace(CLAIM, prompt=tuple(b"tell us")),
    "wrong salt": lambda: replace(CLAIM, answer_salt=ZERO32),
    "salt that a MAC pads to the right one": lambda: replace(CLAIM, answer_salt=CLAIM.answer_salt + b"\0"),
    "no salt": lambda: replace(CLAIM, answer_salt=b""),
    "units that are none": lambda: replace(CLAIM, answer=(*CLAIM.answer[:-1], 1 << 40)),
    "negative units": lambda: replace(CLAIM, answer=(*CLAIM.answer[:-1], -1)),
    "receipt signed by the buyer": lambda: replace(CLAIM, receipt_signature=SESSION.sign(CLAIM.receipt.digest(DOMAIN))),
    "receipt unsigned": lambda: replace(CLAIM, receipt_signature=b""),
    "order signed by a stranger": lambda: replace(CLAIM, order_signature=STRANGER.sign(ORDER.digest(DOMAIN))),
    "offer that the provider never made": lambda: replace(CLAIM, offer=replace(CLAIM.offer, run_ahead=0)),
    "offer signed by the buyer": lambda: replace(CLAIM, offer_signature=SESSION.sign(CLAIM.offer.digest(DOMAIN))),
    "receipt of another order": lambda: replace(
        CLAIM, order=OTHER_ORDER, order_signature=SESSION.sign(OTHER_ORDER.digest(DOMAIN))
    ),
    "cancel of another order": lambda: replace(
        CLAIM,
        cancel=(other := replace(cancelled(CLAIM, 3).cancel, order=ZERO32)),  # type: ignore[type-var]
        cancel_signature=SESSION.sign(other.digest(DOMAIN)),
    ),
    "cancel signed by the provider": lambda: replace(cancelled(CLAIM, 3), cancel_signature=PROVIDER.sign(ZERO32)),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_opens_nothing_is_not_opened_and_no_evidence(name: str) -> None:
    claim = PACKAGES[name]()
    judgement = judge(claim, TOY)
    assert isinstance(judgement.verdict, CannotTell)
    assert judgement.outcome is Outcome.NOT_OPENED
    assert defect(claim)


def test_an_honest_package_has_no_defect() -> None:
    assert defect(CLAIM) is None
    assert defect(cancelled(CLAIM, 3)) is None


@pytest.mark.parametrize(("taken", "verdict"), [(3, CannotTell), (4, Honest), (8, Honest), (9, Honest), (20, Honest)])
def test_a_cancel_bounds_an_answer_from_above_by_the_run_ahead_and_not_from_below(taken: int, verdict: type) -> None:
    steps = run(TOY, ORDER, PROMPT)[:8]
    claim = STALL.claim(ORDER, PROMPT, [step.id for step in steps], [step.leaf for step in steps])
    assert len(steps) == 8
    assert STALL.offer.run_ahead == 4
    assert isinstance(judge(cancelled(claim, taken), TOY).verdict, verdict)


def test_a_receipt_for_another_offer_than_the_orders_is_no_package() -> None:
    claim = signed_again(CLAIM, replace(CLAIM.receipt, offer=ZERO32))
    assert judge(claim, TOY).outcome is Outcome.NOT_OPENED


def test_an_answer_that_drops_the_delivered_prefix_is_cheated() -> None:
    steps = run(TOY, ORDER, PROMPT)
    prompt = (*PROMPT, steps[0].id)
    order = replace(STALL.order(prompt), answer_from=len(PROMPT))
    honest = STALL.sell(TOY, order, prompt)
    assert judge(honest, TOY).verdict == Honest()
    for answer in (honest.answer[1:], ()):
        root = roots.units_root(answer, honest.answer_salt)
        claim = signed_again(replace(honest, answer=answer), replace(honest.receipt, response_root=root))
        verdict = judge(claim, TOY).verdict
        assert isinstance(verdict, Cheated)
        assert verdict.check == "prefix"


def test_the_self_test_passes_a_sound_engine_and_says_what_is_wrong_with_another() -> None:
    assert self_test(TOY) is None
    restless = Bent(bend=lambda run, call: replace(run, states=bytes([call])))
    broken: list[Engine] = [restless, Bent(bend=flickering), Bent(bend=failing(RuntimeError("no"))), Alphabet()]
    broken[-1].close()
    assert all("self-test" in (self_test(engine) or "") for engine in broken)


SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"], "additionalProperties": False}
GRAMMAR = grammar_of("json", SCHEMA)
JSON = STALL.order(PROMPT, grammar=roots.grammar_root(GRAMMAR, PROMPT_SALT), logprobs=3)
KEPT = STALL.sell(TOY, JSON, PROMPT, GRAMMAR)


def ids_and_leaves(claim: Claim, grammar: bytes) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    """The claim's ids with the evidence that another grammar gives them."""
    job = replace(job_of(JSON, PROMPT, GRAMMAR), grammar=grammar)
    return claim.generated, TOY.replay(job, claim.generated).leaves


def test_an_answer_under_a_grammar_with_logprobs_is_honest() -> None:
    assert json.loads(bytes(KEPT.generated[:-1])) in ({"n": 1}, {"n": 22})
    assert len(KEPT.logprobs) == len(KEPT.generated)
    assert judge(KEPT, TOY).verdict == Honest()


def test_an_answer_that_leaves_its_grammar_convicts() -> None:
    """GRM-6, and rule P3: the mask is part of what is sampled from."""
    free = run(TOY, replace(JSON, grammar=ZERO32, max_units=6), PROMPT)
    rows = [step.logprobs for step in free]
    claim = STALL.claim(JSON, PROMPT, [step.id for step in free], [step.leaf for step in free], GRAMMAR, rows)
    verdict = judge(claim, TOY).verdict
    assert isinstance(verdict, Cheated)
    assert (verdict.check, verdict.position) == ("sampling", 0)
    late = KEPT.generated[:4] + KEPT.generated[:4]
    leaves = TOY.replay(job_of(JSON, PROMPT, GRAMMAR), late).leaves
    verdict = judge(STALL.claim(JSON, PROMPT, late, leaves, GRAMMAR, KEPT.logprobs[:8]), TOY).verdict
    assert isinstance(verdict, Cheated)
    assert verdict.position == 4


def test_an_id_where_the_grammar_allows_none_convicts() -> None:
    """GRM-6: whatever the id is, also the one that a careless sampler would take."""
    grammar = grammar_of("json", {"const": "a"})
    order = replace(JSON, grammar=roots.grammar_root(grammar, PROMPT_SALT), logprobs=0)
    stuck = (*b'"b', 0, 0)
    leaves = TOY.replay(job_of(order, PROMPT, grammar), stuck).leaves
    verdict = judge(STALL.claim(order, PROMPT, stuck, leaves, grammar), TOY).verdict
    assert isinstance(verdict, Cheated)
    run_ = TOY.replay(job_of(order, PROMPT, grammar), stuck)
    assert run_.expected[2:] == (NOTHING, NOTHING)


def test_the_right_ids_under_another_mask_convict_by_their_evidence() -> None:
    """GRM-5: with every id as it should be, only the masks in the evidence differ."""
    wider = grammar_of("json", {**SCHEMA, "properties": {"n": {"enum": [1, 22, 333]}}})
    for grammar in (wider, b""):
        verdict = judge(STALL.claim(JSON, PROMPT, *ids_and_leaves(KEPT, grammar), GRAMMAR, KEPT.logprobs), TOY).verdict
        assert isinstance(verdict, Cheated)
        assert verdict.check == "evidence"


@pytest.mark.parametrize(
    "bend",
    [
        lambda rows: (rows[0], (rows[1][0] ^ 1, *rows[1][1:]), *rows[2:]),
        lambda rows: (rows[0], (*rows[1][:3], rows[1][3] + 1, *rows[1][4:]), *rows[2:]),
        lambda rows: (rows[0], rows[1][:3], *rows[2:]),
        lambda rows: rows[:1],
        lambda rows: (),
        lambda rows: (*rows, rows[0]),
    ],
    ids=["a bit", "another id", "a shorter row", "fewer rows", "no rows", "a row more"],
)
def test_signed_logprobs_that_are_not_the_runs_convict(bend: Callable[[Rows], Rows]) -> None:
    """LGP-2."""
    leaves = TOY.replay(job_of(JSON, PROMPT, GRAMMAR), KEPT.generated).leaves
    claim = STALL.claim(JSON, PROMPT, KEPT.generated, leaves, GRAMMAR, bend(KEPT.logprobs))
    verdict = judge(claim, TOY).verdict
    assert isinstance(verdict, Cheated)
    assert verdict.check == "logprobs"


def test_logprobs_that_nobody_ordered_convict_who_signed_them() -> None:
    assert isinstance(
        judge(STALL.claim(ORDER, PROMPT, CLAIM.generated, leaves_of(CLAIM), b"", KEPT.logprobs), TOY).verdict, Cheated
    )


def leaves_of(claim: Claim) -> tuple[bytes, ...]:
    return TOY.replay(job_of(claim.order, claim.prompt), claim.generated).leaves


@pytest.mark.parametrize(
    "changes",
    [
        {"grammar": grammar_of("json", {})},
        {"grammar": b""},
        {"logprobs": ()},
        {"logprobs": KEPT.logprobs[:-1]},
        {"logprobs": ((-1,), *KEPT.logprobs[1:])},
        {"logprobs": ((2**32,), *KEPT.logprobs[1:])},
    ],
    ids=str,
)
def test_a_package_with_another_grammar_or_other_rows_opens_nothing(changes: dict[str, object]) -> None:
    """GRM-8: whoever shows a claim could have changed them, so they accuse nobody."""
    judgement = judge(replace(KEPT, **changes), TOY)  # type: ignore[arg-type]
    assert not judgement.opened
    assert isinstance(judgement.verdict, CannotTell)
