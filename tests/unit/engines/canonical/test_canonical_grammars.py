"""Grammars and logprobs change no bit between machines: the same rows however it is cut, generated or replayed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_llama
from steelyard.engines import draws
from steelyard.engines.base import NOTHING, Job, Step
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.gguf_head import read
from steelyard.engines.grammars import Grammars, grammar_of
from steelyard.engines.text import GgufText, words
from steelyard.protocol.errors import Refused

ONE = 0x3F800000
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
    "required": ["n", "ok"],
    "additionalProperties": False,
}
JSON = grammar_of("json", SCHEMA)
PROMPT = (5, 80, 200)
JOBS = [
    Job(PROMPT, 3, 40, 0, ONE, 0, 0, JSON, 1),
    Job(PROMPT, 3, 40, ONE, ONE, 0, 5, JSON, 4),
    Job((*PROMPT, 7), 4, 40, ONE, 0x3F000000, 9, 6, JSON),
    Job(PROMPT, 3, 8, ONE, ONE, 0, 7, b"", 21),
    Job(PROMPT, 3, 8, ONE, ONE, 0, 8),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = tiny_llama.Tiny(vocabulary=270, words=True)
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny)


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[CanonicalEngine]:
    made = CanonicalEngine(file, "tiny", threads=1, cache=file.parent, tokens=8, prefill=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def truth(engine: CanonicalEngine) -> list[list[Step]]:
    """One run at a time."""
    return [list(engine.generate(job)) for job in JOBS]


def test_an_answer_is_an_instance_of_the_schema(file: Path, truth: list[list[Step]]) -> None:
    text = GgufText(file)
    for steps in truth[:3]:
        told = json.loads(text.decode([step.id for step in steps]))
        assert list(told) == ["n", "ok"]
        assert steps[-1].id == 2


def test_rows_are_those_that_were_asked_for(truth: list[list[Step]]) -> None:
    for job, steps in zip(JOBS, truth, strict=True):
        assert {len(step.logprobs) for step in steps} == {max(2 * job.logprobs - 1, 0)}
    free = truth[3]
    assert all(draws.real(step.logprobs[0]) <= 0 for step in free)
    assert all(list(step.logprobs[2::2]) == sorted(step.logprobs[2::2]) for step in free)  # bits of negative numbers
    assert all(sum(2.718281828 ** draws.real(bits) for bits in step.logprobs[2::2]) <= 1.0001 for step in free)


@pytest.mark.parametrize(
    "cut", [{"threads": 2, "tokens": 64}, {"threads": 4, "grain": 3, "tokens": 24, "prefill": 5}], ids=str
)
def test_masks_and_rows_do_not_depend_on_how_the_work_is_cut(
    file: Path, truth: list[list[Step]], cut: dict[str, int]
) -> None:
    other = CanonicalEngine(file, "tiny", cache=file.parent, **cut)  # type: ignore[arg-type]
    together = [other.generate(job) for job in JOBS]
    assert [list(steps) for steps in together] == truth
    for job, steps in zip(JOBS, truth, strict=True):
        run = other.replay(job, [step.id for step in steps])
        assert run.expected == tuple(step.id for step in steps)
        assert run.leaves == tuple(step.leaf for step in steps)
        assert run.logprobs == tuple(step.logprobs for step in steps if step.logprobs)
    other.close()


def test_a_continuation_goes_on_under_the_same_grammar(engine: CanonicalEngine, truth: list[list[Step]]) -> None:
    job, steps = JOBS[1], truth[1]
    rest = replace(job, prompt=job.prompt + tuple(step.id for step in steps[:6]), max_units=job.max_units - 6)
    assert list(engine.generate(rest)) == steps[6:]
    with pytest.raises(Refused, match=r"order\.prefix-mismatch"):
        list(engine.generate(replace(rest, prompt=(*rest.prompt[:-1], 77))))


def test_evidence_binds_the_mask_and_not_only_the_ids(engine: CanonicalEngine, truth: list[list[Step]]) -> None:
    ids = [step.id for step in truth[0]]
    wider = grammar_of("json", {**SCHEMA, "additionalProperties": True})
    leaves = [engine.replay(replace(JOBS[0], grammar=grammar), ids).leaves for grammar in (JSON, wider, b"")]
    assert leaves[0][0] == leaves[1][0] != leaves[2][0]  # one brace may stand first under both
    assert leaves[0] != leaves[1]


def test_a_replay_says_where_the_answer_left_the_grammar(engine: CanonicalEngine, truth: list[list[Step]]) -> None:
    ids = [step.id for step in truth[0]]
    run = engine.replay(JOBS[0], [*ids[:3], 7, *ids[3:5]])
    assert run.expected == (*ids[:4], NOTHING, NOTHING)


def test_a_grammar_that_cannot_go_on_ends_the_run_without_an_answer(engine: CanonicalEngine) -> None:
    """GRM-6: no id of this vocabulary spells the byte 0xF1."""
    job = replace(JOBS[0], grammar=grammar_of("json", {"const": "\U00051234"}))
    with pytest.raises(Refused, match=r"^order\.grammar-stuck: at 4: no word of this vocabulary goes on"):
        list(engine.generate(job))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"grammar": b"lark"}, "order.grammar"),
        ({"grammar": grammar_of("json", {"not": {}})}, "order.grammar"),
        ({"logprobs": 22}, "order.parameter"),
        ({"logprobs": -1}, "order.parameter"),
    ],
)
def test_a_job_that_cannot_be_served_is_refused_by_name(
    engine: CanonicalEngine, changes: dict[str, object], rule: str
) -> None:
    job = replace(JOBS[0], **changes)  # type: ignore[arg-type]
    for ask in (lambda: list(engine.generate(job)), lambda: engine.replay(job, [5])):
        with pytest.raises(Refused) as refusal:
            ask()
        assert refusal.value.rule == rule


def test_masks_are_made_of_the_files_own_vocabulary(file: Path) -> None:
    head = read(file)
    known = words(head)
    masks = Grammars(lambda: known, 270, frozenset({2})).start(JSON, 0)
    first = int.from_bytes(masks.at([], 0), "little")
    assert first == 1 << known.index(b'{"')
