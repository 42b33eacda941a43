"""`steelyard bench engine` on a model of a few kilobytes, which llama.cpp does not take: what it says, not how fast."""

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import real_model
import tiny_llama
from steelyard.cli import main as cli
from steelyard.devnet.bench.child import Child, Task
from steelyard.devnet.bench.engine import FAST, PHASES, measure, row
from steelyard.engines import llama_c
from steelyard.protocol.errors import Refused, Unavailable

OWN_PEER = {"batch8-over-one", "evidence"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama.write(tmp_path_factory.mktemp("bench") / "tiny.gguf", tiny_llama.Tiny())


def test_every_phase_gives_a_row_and_what_is_missing_is_named(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tiny.parent / "rows.json"
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["bench", "engine", "--fast", "--threads", "1", "--model", str(tiny), "nothing", "--json", str(out)])
    told = capsys.readouterr()
    rows = json.loads(out.read_text())
    assert [found["phase"] for found in rows] == list(PHASES)
    assert list(rows[0])[:7] == ["model", "threads", "phase", "ours", "peer", "ratio", "spread"]
    assert {found["phase"] for found in rows if found["peer"] is not None} == OWN_PEER
    assert all(found["ours"] > 0 for found in rows)
    assert "llama.cpp for tiny: gguf.refused: " in told.err
    assert "nothing: model.unknown: " in told.err
    assert "first-load" in told.out


def test_without_the_wheel_the_peer_is_left_out_by_name(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise Refused("engine.not-installed", "type: pip install …")

    monkeypatch.setattr(llama_c, "library", missing)
    said: list[str] = []
    (found,) = measure([str(tiny)], [1], ["decode"], FAST, said.append, said.append)
    assert (found.peer, found.ratio, found.spread) == (None, None, None)
    assert "llama.cpp for tiny: engine.not-installed: type: pip install …" in said


def test_threads_that_change_nothing_are_measured_once(tiny: Path) -> None:
    found = measure([str(tiny)], [2, 1], ["decode", "memory"], FAST, lambda _: None, lambda _: None)
    assert [(each.phase, each.threads) for each in found] == [("decode", 2), ("memory", 2), ("decode", 1)]


def test_a_phase_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Refused, match=r"bench\.phase: 'speed' is none of \['decode', "):
        list(measure([], [1], ["speed"], FAST, lambda _: None, lambda _: None))


@pytest.mark.parametrize(("threads", "rounds"), [(0, 1), (1, 0), (-1, 5)])
def test_numbers_that_measure_nothing_are_refused(threads: int, rounds: int) -> None:
    with pytest.raises(Refused, match=r"bench\.number: "):
        list(measure([], [threads], ["decode"], replace(FAST, rounds=rounds), lambda _: None, lambda _: None))


def test_a_ratio_is_taken_within_a_round_and_its_median_reported() -> None:
    made = row("m", 2, "decode", [(10.0, 5.0), (30.0, 10.0), (12345.678, 12345.678)])
    assert (made.ours, made.peer, made.ratio, made.spread) == (30.0, 10.0, 2.0, (1.0, 3.0))
    assert (made.unit, made.better) == ("ids/s", "higher")
    assert row("m", 2, "load", [(1.23456, None)]).ours == 1.235


def test_a_process_that_dies_is_said_with_its_last_words(tiny: Path) -> None:
    with pytest.raises(Unavailable, match=r"(?s)bench\.child: .*No such file"):
        Child("ours", tiny.with_name("nothing.gguf"), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss begins at zero elsewhere")
def test_a_process_peak_is_its_own_and_not_its_parents(tiny: Path) -> None:
    """Linux hands ru_maxrss down through fork and exec, so that a large parent would hide what a child takes."""
    ballast = bytearray(600 << 20)
    ballast[::4096] = b"\1" * len(ballast[::4096])
    with closing(Child("ours", tiny, 1)) as child:
        child.ask(Task(prompt=4, ids=2, seconds=0))
        assert child.answer()["peak"] < len(ballast)


@pytest.mark.model
def test_the_peer_answers_eight_prompts_together_as_it_does_each_alone() -> None:
    pytest.importorskip("xllamacpp")
    model = llama_c.Model(real_model.file())
    together, alone = model.run(1024, 1, 3), model.run(512, 1)
    prompts = [(100, 200, 300), (7, 8), (11, 12, 13, 14)]
    together.begin(0.0, 0, 1.0, 0)
    answers = [together.feed_each(prompts, [0] * 3)]
    ends = [len(prompt) for prompt in prompts]
    answers.append(together.feed_each([(unit,) for unit in answers[0]], ends))
    for which, prompt in enumerate(prompts):
        alone.begin(0.0, 0, 1.0, 0)
        alone.feed(prompt)
        first = alone.sample()
        alone.feed((first,))
        assert [first, alone.sample()] == [each[which] for each in answers]
    together.free()
    alone.free()
    model.free()
