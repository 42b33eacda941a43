"""Keys and values that are kept for prompts that begin alike change no bit of any answer's evidence."""

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_llama
from steelyard.engines.base import Job, Step
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine

SHARP = 0x3F800000
PAGE = 16
TEXT = random.Random(11).choices(range(100), k=90)
ROOM = 12 * PAGE * 2 * 2 * 64 * 4
"""Twelve pages of keys and values of two layers of 64 numbers."""


def job(shared: int, own: list[int], units: int = 5, seed: int = 0) -> Job:
    """A prompt that begins with so many ids of `TEXT`."""
    prompt = (*TEXT[:shared], *own)
    return Job(prompt, len(prompt), units, SHARP, SHARP, 0, seed)


jobs = st.builds(
    job, st.sampled_from([0, 15, 16, 17, 32, 63, 64, 90]), st.lists(st.integers(0, 1), min_size=1, max_size=20),
    st.integers(1, 6), st.integers(0, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = tiny_llama.Tiny(width=128, heads=4, key_heads=2, inner=160)
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny)


def made(file: Path, prefix_cache: bool, room: int = ROOM) -> CanonicalEngine:
    recipe = replace(native.recipe_here(32, 2), page=PAGE)
    return CanonicalEngine(
        file, "tiny", threads=2, room=room, prefix_cache=prefix_cache, cache=file.parent, recipe=recipe
    )


@pytest.fixture(scope="module")
def plain(file: Path) -> Iterator[CanonicalEngine]:
    engine = made(file, prefix_cache=False)
    yield engine
    assert engine.measures()["prompt_units_reused"] == 0
    engine.close()


@pytest.fixture(scope="module")
def keeping(file: Path) -> Iterator[CanonicalEngine]:
    """One engine for all examples: what they leave behind is part of the test, and there is room for little of it."""
    engine = made(file, prefix_cache=True)
    yield engine
    measures = engine.measures()
    assert measures["prompt_units_reused"] > 500
    assert measures["pages_unclaimed"] == measures["pages"] == 12
    engine.close()


@settings(max_examples=25)
@given(st.lists(jobs, min_size=1, max_size=6), st.data())
def test_answers_at_once_equal_those_that_share_nothing(
    plain: CanonicalEngine, keeping: CanonicalEngine, wanted: list[Job], data: st.DataObject
) -> None:
    """Some are cancelled on the way; what they leave is used by others."""
    stops = [data.draw(st.none() | st.integers(0, 4), label="cancelled after") for _ in wanted]
    found: list[list[Step]] = [[] for _ in wanted]

    def ask(index: int) -> None:
        answer = keeping.generate(wanted[index])
        for step in answer:
            if len(found[index]) == stops[index]:
                answer.close()  # type: ignore[attr-defined]  # an iterator of ours
                return
            found[index].append(step)

    askers = [threading.Thread(target=ask, args=(index,)) for index in range(len(wanted))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    for one, stop, steps in zip(wanted, stops, found, strict=True):
        alone = list(plain.generate(one))
        assert steps == (alone if stop is None else alone[:stop])


@settings(max_examples=15)
@given(jobs, st.integers(1, 6))
def test_a_replay_and_a_continuation_after_an_answer_say_the_same(
    plain: CanonicalEngine, keeping: CanonicalEngine, one: Job, cut: int
) -> None:
    steps = list(keeping.generate(one))
    ids = [step.id for step in steps]
    assert list(plain.generate(one)) == steps
    reused = keeping.measures()["prompt_units_reused"]
    replay = keeping.replay(one, ids)
    assert keeping.measures()["prompt_units_reused"] == reused
    assert replay == plain.replay(one, ids)
    assert replay.leaves == tuple(step.leaf for step in steps)
    cut = min(cut, len(ids) - 1)
    if cut and len(steps) > cut:
        rest = replace(one, prompt=(*one.prompt, *ids[:cut]), max_units=one.max_units - cut)
        assert list(keeping.generate(rest)) == steps[cut:]


def test_an_answer_is_kept_for_the_next_turn_of_its_conversation(file: Path, plain: CanonicalEngine) -> None:
    engine = made(file, prefix_cache=True, room=10 * ROOM)
    first = replace(job(30, [1], units=40), temperature=0)
    said = [step.id for step in engine.generate(first)]
    assert len(said) == 40
    second = replace(first, prompt=(*first.prompt, *said, 7, 8), answer_from=73)
    assert list(engine.generate(second)) == list(plain.generate(second))
    assert engine.measures()["prompt_units_reused"] == 64  # 71 ids are known, the last one's keys were never computed
    engine.close()


def test_a_replay_computes_everything_itself(file: Path, plain: CanonicalEngine) -> None:
    """A kept page that went bad must not make a machine agree with itself (an auditor replays twice, then accuses)."""
    engine = made(file, prefix_cache=True)
    one = job(64, [1])
    honest = list(engine.generate(one))
    pages = engine._scheduler._pages
    for page in pages._known.values():
        page.memory[:] = 0
    assert list(engine.generate(one)) != honest
    assert list(engine.replay(one, [step.id for step in honest]).leaves) == [step.leaf for step in honest]
    engine.close()
