"""The toy engine keeps every promise of the port, and its liar differs exactly from where it lies."""

from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines.alphabet import CONTEXT, END, VOCABULARY, Alphabet, AlphabetText
from steelyard.engines.base import Job, leaf
from steelyard.engines.draws import Draw, likelihoods, pick
from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable

ONE = 0x3F800000  # the binary32 bits of 1.0
TEXT = AlphabetText()
PROMPT = TEXT.render([{"role": "user", "content": "hello"}])
JOB = Job(PROMPT, len(PROMPT), 40, 0, ONE, 0, 7)
prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=30).map(tuple)


@given(prompts, st.integers(0, 2**64 - 1), st.sampled_from([0, ONE]))
def test_a_replay_says_what_the_run_said(prompt: tuple[int, ...], seed: int, temperature: int) -> None:
    job = Job(prompt, len(prompt), 12, temperature, ONE, 0, seed)
    steps = list(Alphabet().generate(job))
    replay = Alphabet().replay(job, [step.id for step in steps])
    assert replay.expected == tuple(step.id for step in steps)
    assert replay.leaves == tuple(step.leaf for step in steps)
    assert len(replay.states) == 256 * len(steps)


def test_a_warm_answer_follows_its_seed_and_a_cold_one_does_not() -> None:
    def answer(job: Job) -> list[int]:
        return [step.id for step in Alphabet().generate(job)]

    warm = replace(JOB, temperature=ONE)
    assert answer(warm) == answer(warm) != answer(replace(warm, seed=8))
    assert answer(JOB) == answer(replace(JOB, seed=8))


def test_some_answers_end_by_themselves_and_some_at_their_maximum() -> None:
    answers = [[s.id for s in Alphabet().generate(replace(JOB, temperature=ONE, seed=seed))] for seed in range(20)]
    assert {answer[-1] == END for answer in answers} == {True, False}
    assert all(END not in answer[:-1] for answer in answers)
    assert {len(answer) for answer in answers if answer[-1] != END} == {40}


def test_a_liar_differs_from_its_first_lie_on_and_only_there() -> None:
    steps = list(Alphabet(lie_from=3).generate(JOB))
    replay = Alphabet().replay(JOB, [step.id for step in steps])
    assert Alphabet(lie_from=3).card.model_root == Alphabet().card.model_root
    assert [step.leaf == leaf for step, leaf in zip(steps, replay.leaves, strict=True)] == [
        at < 3 for at in range(len(steps))
    ]


def test_a_continuation_gives_the_rest_of_the_answer() -> None:
    steps = list(Alphabet(lie_from=9).generate(JOB))
    delivered = tuple(step.id for step in steps[:4])
    rest = replace(JOB, prompt=PROMPT + delivered, max_units=36)
    assert list(Alphabet(lie_from=9).generate(rest)) == steps[4:]


def test_a_delivered_prefix_of_another_answer_is_refused() -> None:
    steps = list(islice(Alphabet().generate(JOB), 4))
    wrong = (*(step.id for step in steps[:3]), (steps[3].id + 1) % VOCABULARY)
    job = replace(JOB, prompt=PROMPT + wrong, max_units=1)
    with pytest.raises(Refused) as refusal:
        Alphabet().generate(job)
    assert refusal.value.rule == "order.prefix-mismatch"
    assert Alphabet().replay(job, ()).prefix_mismatch == len(PROMPT) + 3


@pytest.mark.parametrize(
    ("job", "rule"),
    [
        (replace(JOB, prompt=(VOCABULARY,), answer_from=1), "order.unit-out-of-range"),
        (replace(JOB, prompt=(-1,), answer_from=1), "order.unit-out-of-range"),
        (replace(JOB, max_units=CONTEXT), "order.context-too-long"),
        (replace(JOB, max_units=0), "order.parameter"),
        (replace(JOB, answer_from=len(PROMPT) + 1), "order.parameter"),
    ],
)
def test_a_job_that_cannot_run_is_refused_before_the_first_unit(job: Job, rule: str) -> None:
    with pytest.raises(Refused) as refusal:
        Alphabet().generate(job)
    assert refusal.value.rule == rule


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 1 << 31}, {"top_p": 0}, {"top_k": -1}, {"seed": 1 << 64}, {"logprobs": 22}, {"answer_from": 0}],
)
def test_parameters_that_the_rule_does_not_know_are_refused(changes: dict[str, int]) -> None:
    """SMP-10."""
    for run in (Alphabet().generate, lambda job: Alphabet().replay(job, (97,))):
        with pytest.raises(Refused) as refusal:
            run(replace(JOB, **changes))
        assert refusal.value.rule == "order.parameter"


@pytest.mark.parametrize("lie_from", [None, 0, 3])
def test_evidence_is_of_the_traces_state_and_logit(lie_from: int | None) -> None:
    """ARI-40; a liar's trace is of what it signs."""
    engine = Alphabet(lie_from=lie_from)
    steps = list(engine.generate(replace(JOB, temperature=ONE, max_units=6)))
    trace = engine.trace(JOB, [step.id for step in steps])
    for position, step in enumerate(steps, len(PROMPT) - 1):
        state, logits = (trace.value(position, name) for name in ("state", "logits"))
        assert step.leaf == leaf(state.astype("<f4").tobytes(), float(logits[step.id]))


def test_the_id_is_rule_p3s_for_the_traces_logits() -> None:
    job = replace(JOB, temperature=ONE, top_p=0x3F000000, top_k=20, max_units=8, logprobs=3)
    steps = list(Alphabet().generate(job))
    trace = Alphabet().trace(job, [step.id for step in steps])
    draw = Draw(job.temperature, job.top_p, job.top_k, job.seed)
    for position, step in enumerate(steps, len(PROMPT)):
        logits = trace.value(position - 1, "logits")
        assert step.id == pick(logits, draw, position)
        assert step.logprobs == likelihoods(logits).row(step.id, 2)


def test_another_dialect_is_another_model() -> None:
    assert Alphabet(dialect=b"b").card.model_root != Alphabet().card.model_root
    assert list(Alphabet(dialect=b"b").generate(JOB)) != list(Alphabet().generate(JOB))


def test_a_closed_engine_ends_its_runs_as_unavailable() -> None:
    pauses: list[int] = []
    engine = Alphabet(pause=lambda: pauses.append(1))
    run = engine.generate(JOB)
    next(run)
    engine.close()
    with pytest.raises(Unavailable) as failure:
        next(run)
    assert (failure.value.rule, len(pauses)) == ("engine.closed", 2)


@given(st.text())
def test_text_is_its_bytes(text: str) -> None:
    assert TEXT.decode((*TEXT.encode(text), END)) == text


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(Malformed) as refusal:
        TEXT.encode("a\ud800b")
    assert refusal.value.detail == "half a surrogate pair at 1 of 3"


@pytest.mark.parametrize("message", [{}, {"role": "user"}, {"role": 1, "content": "x"}, {"role": "u", "content": []}])
def test_a_message_that_is_no_text_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(SteelyardError) as refusal:
        TEXT.render([message])
    assert refusal.value.rule == "request.messages"
