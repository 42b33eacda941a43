"""The float engine: what it says without a model, and on the real one that its ids are llama.cpp's."""

import gc
import importlib.util
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import real_model
import tiny_gguf
from steelyard.engines import catalog, llama_c
from steelyard.engines.base import Job
from steelyard.engines.llamacpp import LlamaCpp
from steelyard.engines.text import GgufText
from steelyard.protocol.errors import Malformed, Refused, Unavailable
from steelyard.protocol.hashing import ZERO32

ONE = 0x3F800000  # the binary32 bits of 1.0
model = pytest.mark.model
installed = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="extra `llamacpp` not installed")


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCpp]:
    made = LlamaCpp(real_model.file(), "smol", threads=1, context=256)
    yield made
    made.close()


@pytest.fixture(scope="module")
def text() -> GgufText:
    return GgufText(real_model.file())


@pytest.fixture(scope="module")
def job(text: GgufText) -> Job:
    prompt = text.render([{"role": "user", "content": "Say hello."}])
    return Job(prompt, len(prompt), 8, 0, ONE, 0, 3)


def test_without_the_wheel_the_refusal_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    llama_c.library.cache_clear()
    with pytest.raises(Refused, match=r"pip install 'steelyard\[llamacpp\]'") as refusal:
        catalog.load(f"llamacpp:{file}")
    assert refusal.value.rule == "engine.not-installed"


@installed
def test_a_file_that_llama_cpp_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed) as refusal:
        LlamaCpp(tiny_gguf.write(tmp_path / "tiny.gguf"), "tiny")
    assert refusal.value.rule == "gguf.refused"


@installed
@pytest.mark.parametrize("given", [{"threads": -1}, {"context": -1}, {"slots": 0}])
def test_options_that_make_no_engine_are_refused(tmp_path: Path, given: dict[str, int]) -> None:
    with pytest.raises(Refused) as refusal:
        LlamaCpp(tmp_path / "never-read.gguf", "tiny", **given)
    assert refusal.value.rule == "engine.option"


@installed
@model
def test_the_card_says_that_it_is_not_canonical(engine: LlamaCpp) -> None:
    card = engine.card
    assert (card.canonical, card.context_length, card.vocabulary, card.quantization) == (False, 256, 49152, "q4_1")
    assert 2 in card.ends
    assert len(card.model_root) == 32


@installed
@model
def test_ids_are_those_of_llama_cpps_own_server_even_inside_a_letter(engine: LlamaCpp, text: GgufText) -> None:
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path, given.n_ctx, given.n_parallel = str(real_model.file()), 256, 1
    given.warmup, given.verbosity, given.cpuparams.n_threads = False, -1, 1
    server = xllamacpp.Server(given)
    for said in ("The capital of France is", "🙂 🙃 😀 😁 🙂 🙃 😀 😁"):
        prompt = text.encode(said)
        answers: list[str] = []
        asked = {"prompt": prompt, "max_tokens": 12, "temperature": 0.0, "cache_prompt": False}
        server.handle_completions(json.dumps(asked), answers.append)
        ids = [step.id for step in engine.generate(Job(prompt, len(prompt), 12, 0, ONE, 0, 0))]
        assert text.decode(ids).rstrip("\ufffd") == json.loads(answers[0])["choices"][0]["text"].rstrip("\ufffd")


@installed
@model
def test_an_answer_ends_with_an_end_or_at_its_maximum_and_has_no_evidence(engine: LlamaCpp, job: Job) -> None:
    steps = list(engine.generate(replace(job, max_units=100)))
    assert steps[-1].id in engine.card.ends
    assert {step.leaf for step in steps} == {ZERO32}
    assert list(engine.generate(replace(job, max_units=2))) == steps[:2]


@installed
@model
def test_a_warm_answer_follows_its_seed_and_its_limits(engine: LlamaCpp, job: Job) -> None:
    def answer(**changes: int) -> list[int]:
        return [step.id for step in engine.generate(replace(job, **changes))]

    hot = 0x40400000  # 3.0
    assert answer(temperature=hot) == answer(temperature=hot) != answer(temperature=hot, seed=4)
    assert answer(temperature=hot, top_k=1) == answer(temperature=hot, top_p=1) == answer()
    assert answer(temperature=hot, seed=2**64 - 1) != answer()


@installed
@model
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"prompt": (1, 49152), "answer_from": 2}, "order.unit-out-of-range"),
        ({"prompt": (-1,), "answer_from": 1}, "order.unit-out-of-range"),
        ({"prompt": (), "answer_from": 0}, "order.unit-out-of-range"),
        ({"max_units": 256}, "order.context-too-long"),
        ({"max_units": 0}, "order.parameter"),
        ({"temperature": 0x7F800000}, "order.parameter"),
        ({"temperature": 0x7FC00000}, "order.parameter"),
        ({"temperature": 0xBF800000}, "order.parameter"),
        ({"top_p": 0}, "order.parameter"),
        ({"grammar": b"any"}, "order.parameter"),
        ({"logprobs": 1}, "order.parameter"),
        ({"answer_from": 3}, "engine.not-canonical"),
    ],
)
def test_a_job_that_cannot_run_is_refused_before_the_first_unit(
    engine: LlamaCpp, job: Job, changes: dict[str, int], rule: str
) -> None:
    with pytest.raises(Refused) as refusal:
        engine.generate(replace(job, **changes))
    assert refusal.value.rule == rule


@installed
@model
def test_it_replays_nothing(engine: LlamaCpp, job: Job) -> None:
    with pytest.raises(Refused) as refusal:
        engine.replay(job, (1, 2))
    assert refusal.value.rule == "engine.not-canonical"


@installed
@model
def test_runs_at_once_give_what_they_give_alone(engine: LlamaCpp, job: Job) -> None:
    jobs = [replace(job, temperature=ONE, seed=seed, max_units=5) for seed in range(5)]
    alone = [list(engine.generate(each)) for each in jobs]
    together: dict[int, object] = {}
    threads = [
        threading.Thread(target=lambda at=at: together.__setitem__(at, list(engine.generate(jobs[at]))))
        for at in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[at] for at in range(5)] == alone


@installed
@model
def test_a_dropped_run_frees_its_slot(job: Job) -> None:
    engine = LlamaCpp(real_model.file(), "smol", threads=1, context=64, slots=1)
    small = replace(job, max_units=4)
    for _ in range(3):
        run = engine.generate(small)
        next(run)
        run.close()  # type: ignore[attr-defined]
    assert len(list(islice(engine.generate(small), 4))) == 4
    engine.close()


@installed
@model
def test_closing_ends_runs_in_flight_and_those_to_come(job: Job) -> None:
    engine = LlamaCpp(real_model.file(), "smol", threads=1, context=64)
    run, left = engine.generate(replace(job, max_units=4)), engine.generate(replace(job, max_units=4))
    next(run), next(left)
    engine.close()
    engine.close()
    for each in (run, engine.generate(replace(job, max_units=4))):
        with pytest.raises(Unavailable) as failure:
            next(each)
        assert failure.value.rule == "engine.closed"
    del left
    gc.collect()
