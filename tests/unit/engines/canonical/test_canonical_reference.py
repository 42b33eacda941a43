"""Kernels against a slow reference that shares no code with them: every state and logit, bit for bit."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

import canonical_reference as slow
import tiny_llama
from steelyard.engines.base import Job
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.program import address, aligned

IDS = [5, 99, 0, 41, 41, 7, 63, 12, 88, 30, 2, 17, 54, 3, 3, 70, 21, 95]


MIXES = [
    ("q4_1", "q8_0"),
    ("q8_0", "f32"),
    ("q4_0", "q4_1"),
    ("f32", "q4_0"),
    ("q5_0", "f16"),
    ("q5_1", "q5_0"),
    ("f16", "bf16"),
    ("bf16", "q5_1"),
    ("q4_k", "q6_k"),
    ("q6_k", "q5_k"),
    ("q5_k", "q4_k"),
]
"""Each type once in the layers and once as embedding and output."""


def test_the_mixes_are_all_formats() -> None:
    assert {kind for kind, _ in MIXES} == {outer for _, outer in MIXES} == set(FORMATS)


@pytest.mark.parametrize(("kind", "outer"), MIXES)
def test_every_state_and_logit_is_the_references(tmp_path: Path, kind: str, outer: str) -> None:
    """ARI-1 to ARI-4, ARI-10 to ARI-13, ARI-20 to ARI-22, ARI-30 to ARI-34."""
    tiny = tiny_llama.Tiny(kind=kind, outer=outer, untied=kind == "q8_0")
    if kind.endswith("_k"):
        tiny = tiny.but(layers=1, width=256, inner=512, heads=8, key_heads=2, vocabulary=100)
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    model = models.load(models.open_file(path, tmp_path), 1)
    pages = aligned((model.page_bytes,), np.uint8)
    table = np.array([address(pages)], np.int64)
    ids = IDS if kind == "q4_1" else IDS[:3]  # 18 positions once, so that softmax sums wrap round their 16 chains
    feed = Feed(ids, list(range(len(ids))), [address(table)] * len(ids), list(range(len(ids))))
    states, logits = model.step(feed)
    for position, (state, row) in enumerate(slow.Model(path).run(ids)):
        assert states[position].tobytes() == np.array(state, np.float32).tobytes(), position
        assert logits[position, : tiny.vocabulary].tobytes() == np.array(row, np.float32).tobytes(), position
    model.close()


def test_a_sampled_answer_and_its_leaves_are_the_references(tmp_path: Path) -> None:
    """SMP-6 and ARI-40: T is not 1, and the leaves hold raw logits."""
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny())
    engine = CanonicalEngine(path, "tiny", threads=2, cache=tmp_path)
    temperature = struct.unpack("<I", struct.pack("<f", 0.9))[0]
    job = Job(tuple(IDS[:3]), 3, 4, temperature, 0x3F800000, 0, 2**63 + 12345)
    steps = list(engine.generate(job))
    engine.close()
    ids = IDS[:3] + [step.id for step in steps]
    rows = slow.Model(path).run(ids[:-1])
    for i, step in enumerate(steps):
        state, logits = rows[2 + i]
        assert step.id == slow.pick(np.array(logits), np.float32(0.9), job.seed, 3 + i)
        raw = np.array(state, "<f4").tobytes() + np.float32(logits[step.id]).tobytes() + bytes(32)
        assert step.leaf == hashlib.sha256(raw).digest()
