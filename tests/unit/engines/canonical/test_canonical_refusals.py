"""Files and orders that the canonical engine does not take, each refused by name and with numbers."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_llama
from steelyard.engines.base import Job
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.interpreter import PROBE
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from tiny_llama import Tiny

SHARP = 0x3F800000
JOB = Job((1, 5, 9), 3, 4, 0, SHARP, 0, 0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", Tiny())


@pytest.mark.parametrize(
    ("tiny", "rule"),
    [
        (Tiny(architecture="mamba"), "model.architecture"),
        (Tiny(leave_out="blk.1.ffn_up.weight"), "model.tensor-missing"),
        (Tiny(leave_out="token_embd.weight"), "model.tensor-missing"),
        (Tiny(heads=3, width=96 * 3, key_heads=2), "model.dimension"),
        (Tiny(heads=4), "model.dimension"),
        (Tiny(heads=32, width=1024), "model.dimension"),
        (Tiny(context=0), "model.dimension"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, tiny: Tiny, rule: str) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    with pytest.raises(Refused) as refusal:
        models.open_file(path, tmp_path)
    assert refusal.value.rule == rule or tiny.architecture != "llama"
    assert refusal.value.detail


def test_a_type_without_kernels_is_refused_beside_those_that_have_them(tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", Tiny(kind=("q4_k", "q2_k"), width=256, inner=256))
    with pytest.raises(Refused, match=r"model\.tensor-type: blk\.0\.attn_k\.weight is q2_k, computed: q4_0, .*, bf16"):
        models.open_file(path, tmp_path)


def test_ari_14_a_norm_of_another_type_than_f32_is_refused(tmp_path: Path) -> None:
    for kind in ("f16", "q8_0"):
        path = tiny_llama.write(tmp_path / "tiny.gguf", Tiny(norms=kind))
        with pytest.raises(Refused, match=rf"model\.tensor-type: .*_norm\.weight is {kind}, computed: f32"):
            models.open_file(path, tmp_path)


def test_a_truncated_file_is_refused_with_the_numbers(file: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    raw = file.read_bytes()
    short.write_bytes(raw[: len(raw) - 100])
    with pytest.raises(Refused) as refusal:
        models.open_file(short, tmp_path)
    assert refusal.value.rule.endswith(".truncated")
    assert str(len(raw) - 100) in refusal.value.detail


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_no_spoiled_file_gives_anything_but_a_refusal(file: Path, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(file.read_bytes())
    head = raw.index(b"blk.0.attn_norm") + 2000
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, head))] = data.draw(st.integers(0, 255))
    spoiled = tmp_path / "spoiled.gguf"
    spoiled.write_bytes(raw[: data.draw(st.sampled_from([len(raw), head, len(raw) // 2]))])
    with suppress(SteelyardError):  # anything else fails this test
        models.open_file(spoiled, tmp_path)


@pytest.fixture(scope="module")
def engine(file: Path) -> CanonicalEngine:
    return CanonicalEngine(file, "tiny", threads=1, cache=file.parent, room=2 * 128 * 2 * 2 * 32 * 4)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"prompt": (1, 100)}, "order.unit-out-of-range"),
        ({"prompt": (-1, 1)}, "order.unit-out-of-range"),
        ({"prompt": (), "answer_from": 0}, "order.parameter"),
        ({"answer_from": 0}, "order.parameter"),
        ({"answer_from": 4}, "order.parameter"),
        ({"max_units": 0}, "order.parameter"),
        ({"max_units": 298}, "order.context-too-long"),
        ({"top_p": 0}, "order.parameter"),
        ({"temperature": 0x7FC00000}, "order.parameter"),
    ],
)
def test_an_order_out_of_range_is_refused(engine: CanonicalEngine, changes: dict[str, object], rule: str) -> None:
    job = replace(JOB, **{"answer_from": len(changes.get("prompt", JOB.prompt)), **changes})  # type: ignore[arg-type]
    for ask in (lambda: engine.generate(job), lambda: engine.replay(job, [1] * max(job.max_units, 0))):
        if "max_units" in changes and rule == "order.parameter":
            ask = lambda: engine.generate(job)  # noqa: E731  # a replay's length is its answer's
        with pytest.raises(Refused) as refusal:
            ask()
        assert refusal.value.rule == rule


def test_a_replay_refuses_an_answer_out_of_range(engine: CanonicalEngine) -> None:
    for unit in (-1, 100, 2**40):
        with pytest.raises(Refused, match=r"order\.unit-out-of-range"):
            engine.replay(JOB, [1, unit])


def test_a_continuation_equals_the_unbroken_answer_and_a_wrong_prefix_is_refused(engine: CanonicalEngine) -> None:
    job = replace(JOB, max_units=20, temperature=SHARP)
    whole = list(engine.generate(job))
    ids = [step.id for step in whole]
    assert len(ids) > 4
    rest = replace(job, prompt=(*job.prompt, *ids[:4]), max_units=16)
    assert list(engine.generate(rest)) == whole[4:]
    wrong = (*job.prompt, ids[0], (ids[1] + 1) % 100, ids[2])
    with pytest.raises(Refused, match=r"order\.prefix-mismatch.* 4 "):
        engine.generate(replace(job, prompt=wrong))
    assert engine.replay(replace(job, prompt=wrong), [1]).prefix_mismatch == 4
    assert engine.replay(rest, []).prefix_mismatch is None
    assert engine.replay(rest, ids[4:]).leaves == tuple(step.leaf for step in whole[4:])


def test_memory_is_bounded_and_given_back(engine: CanonicalEngine) -> None:
    """There is room for two pages of 128 positions, less than the model's context of 300."""
    assert engine.card.context_length == 256
    with pytest.raises(Refused, match=r"order\.context-too-long: 3 \+ 254 units, at most 256"):
        engine.generate(replace(JOB, max_units=254))
    for seed in range(5):  # each takes all the room
        list(engine.generate(replace(JOB, max_units=250, temperature=SHARP, seed=seed)))
    dropped = engine.generate(replace(JOB, max_units=250, temperature=SHARP))
    dropped.close()  # type: ignore[attr-defined]  # an iterator of ours
    engine.replay(JOB, [1] * 200)


def test_closing_ends_runs_in_flight_and_refuses_new_ones(file: Path) -> None:
    engine = CanonicalEngine(file, "tiny", threads=2, cache=file.parent)
    running = engine.generate(replace(JOB, max_units=290, temperature=0x42C80000))
    next(running)
    engine.close()
    with pytest.raises(Unavailable, match=r"engine\.closed"):
        list(running)
    with pytest.raises(Unavailable, match=r"engine\.closed"):
        engine.generate(JOB)
    engine.close()


def test_a_processor_that_flushes_subnormals_computes_nothing(file: Path) -> None:
    """ARI-1."""
    model = models.load(models.open_file(file, file.parent), 1)
    model.pool._state.view("f4")[2 * PROBE + 1] = 0.0  # as if 2^-126 · ½ were nothing
    with pytest.raises(Refused, match=r"engine\.flush-to-zero"):
        model.pool.run(model._program.code)
    model.close()


def test_a_spoiled_packed_file_is_made_again(file: Path, tmp_path: Path) -> None:
    first = models.open_file(file, tmp_path)
    (place,) = tmp_path.glob("*.pack")
    raw = bytearray(place.read_bytes())
    raw[-1000] ^= 1
    place.write_bytes(raw)
    again = models.open_file(file, tmp_path)
    assert again.packed.root == first.packed.root
    assert raw != place.read_bytes()


def test_the_fastest_kernels_are_for_this_processor() -> None:
    assert native.recipe_here(64, 3).head_dim == 64
