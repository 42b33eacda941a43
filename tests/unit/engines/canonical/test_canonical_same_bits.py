"""The same evidence however the work is cut: threads, tiles, chunks, batches, prefill or decode, instruction sets."""

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_llama
from steelyard.engines.base import Job, Step
from steelyard.engines.canonical import engine as engines
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.recipe import Recipe

SHARP = 0x3F800000
JOBS = [
    Job(tuple(random.Random(n).choices(range(100), k=3 + 7 * n)), 3 + 7 * n, 12, SHARP, SHARP, 0, 1000 + n)
    for n in range(5)
]
HERE = native.recipe_here(32, 4)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every type of tensor, so that neighbours in a product differ."""
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny_llama.MIXED)


@pytest.fixture(scope="module")
def truth(file: Path) -> list[list[Step]]:
    """One thread, one run at a time, one prompt token in a step."""
    engine = CanonicalEngine(file, "tiny", threads=1, cache=file.parent, tokens=8, prefill=1)
    found = [list(engine.generate(job)) for job in JOBS]
    engine.close()
    assert all(found)
    assert len({step.leaf for steps in found for step in steps}) == sum(map(len, found))
    return found


def evidence(engine: CanonicalEngine, answers: list[list[Step]]) -> list[list[Step]]:
    """Leaves by teacher forcing, beside the ids that the rule picks."""
    found = []
    for job, steps in zip(JOBS, answers, strict=True):
        replay = engine.replay(job, [step.id for step in steps])
        found.append([Step(*pair) for pair in zip(replay.expected, replay.leaves, strict=True)])
    return found


def cuts() -> Iterator[dict[str, object]]:
    chance = random.Random(7)
    for threads in (1, 2, 4):
        yield {"threads": threads}
    for _ in range(3):
        yield {
            "threads": chance.randint(1, 4),
            "grain": chance.randint(1, 9),
            "tokens": 8 * chance.randint(1, 8),
            "prefill": chance.randint(1, 50),
        }
    for _ in range(3):
        tiles = (*sorted(chance.sample(range(1, 8), chance.randint(1, 3))), 8)
        yield {"threads": 2, "recipe": replace(HERE, tiles=tiles, page=16 * chance.randint(1, 8))}
    yield {"threads": 2, "recipe": replace(HERE, dot="plain", half=False, tiles=(8,))}
    if not native.host()[2].isdisjoint({"avx512vnni", "avxvnni"}):
        yield {"threads": 1, "recipe": replace(HERE, dot="vnni256")}


@pytest.mark.parametrize("cut", list(cuts()), ids=str)
def test_evidence_does_not_depend_on_how_the_work_is_cut(
    file: Path, truth: list[list[Step]], cut: dict[str, object]
) -> None:
    engine = CanonicalEngine(file, "tiny", cache=file.parent, **cut)  # type: ignore[arg-type]
    assert evidence(engine, truth) == truth
    together: dict[int, list[Step]] = {}

    def ask(index: int) -> None:
        together[index] = list(engine.generate(JOBS[index]))

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(len(JOBS))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    engine.close()
    assert [together[i] for i in range(len(JOBS))] == truth


def test_evidence_survives_a_restart_between_any_two_tokens(file: Path, truth: list[list[Step]]) -> None:
    """Every token of the longest job comes from a new engine, cut otherwise, that is told the tokens before."""
    job, steps = JOBS[-1], truth[-1]
    chance = random.Random(11)
    for count, step in enumerate(steps):
        engine = CanonicalEngine(
            file,
            "tiny",
            threads=chance.randint(1, 2),
            cache=file.parent,
            grain=chance.randint(0, 5),
            tokens=8 * chance.randint(1, 4),
            recipe=HERE if count % 2 else replace(HERE, dot="plain"),
        )
        known = tuple(step.id for step in steps[:count])
        rest = replace(job, prompt=job.prompt + known, max_units=job.max_units - count)
        answer = engine.generate(rest)
        assert next(answer) == step
        engine.close()


@pytest.mark.parametrize("cpu", ["x86-64", "haswell", "skylake-avx512"])
def test_kernels_for_other_processors_give_the_same_bits(
    file: Path, truth: list[list[Step]], cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native.host()[2].isdisjoint({"avx512f"} if cpu == "skylake-avx512" else {"avx2", "sse2"}):
        pytest.skip(f"this processor does not run code for {cpu}")
    recipe = replace(HERE, dot="plain", half=cpu != "x86-64", tiles=(1, 8))
    build = native.load
    monkeypatch.setattr(models.native, "load", lambda made: build(made, cpu, "+sse2", file.parent))
    engine = CanonicalEngine(file, "tiny", threads=2, cache=file.parent, recipe=recipe)
    assert evidence(engine, truth) == truth
    engine.close()


def test_a_reassociated_sum_is_seen(file: Path, truth: list[list[Step]]) -> None:
    """Otherwise the tests above would prove nothing."""
    engine = CanonicalEngine(file, "tiny", threads=1, cache=file.parent, recipe=replace(HERE, reassociated=True))
    other = evidence(engine, truth)
    engine.close()
    assert all(
        a.leaf != b.leaf for mine, theirs in zip(other, truth, strict=True) for a, b in zip(mine, theirs, strict=True)
    )


def test_recipe_here_names_an_instruction_of_this_processor() -> None:
    assert isinstance(HERE, Recipe)
    assert HERE.dot == "plain" or any("vnni" in feature for feature in native.host()[2])


def test_an_altered_file_is_another_model(file: Path, tmp_path: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    other = tmp_path / "tiny.gguf"
    other.write_bytes(raw)
    roots = {engines.models.open_file(path, tmp_path).packed.root for path in (file, other)}
    assert len(roots) == 2
