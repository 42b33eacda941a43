"""The default model itself: the same evidence however it is run, here and on every other machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.engines import store
from steelyard.engines.base import Job
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256

pytestmark = pytest.mark.model

SHARP = 0x3F800000
PROMPT = (1, 4093, 198, 2683, 359, 253, 5356, 5646, 11173, 2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2)
GREEDY = Job(PROMPT, len(PROMPT), 24, 0, SHARP, 0, 0)
SAMPLED = Job(PROMPT, len(PROMPT), 24, SHARP, 0x3F733333, 50, 0xFEDCBA9876543210)
ROOT = "b2fd73b0977f8af68c9042ea872f92b41dcfb074b8bf81153100966f63a2bd3a"
EVIDENCE = {
    "greedy": "8e332c6e76d6689242812460862c7cb3acaeb186a7643d6d11a072beb855d497",
    "sampled": "dacb5358413556cb480a984af7a6e0ff671f790b60959a13fed4f7714965731b",
}
"""SHA-256 over ids (4 bytes, little-endian) and leaves, step by step."""


@pytest.fixture(scope="module")
def file() -> Path:
    try:
        return store.path(store.DEFAULT)
    except Refused as refusal:
        pytest.skip(str(refusal))


@pytest.fixture(params=[1, 2, 4], ids="{} threads".format)
def engine(request: pytest.FixtureRequest, file: Path) -> Iterator[CanonicalEngine]:
    threads: int = request.param
    made = CanonicalEngine(file, store.DEFAULT, threads=threads, grain=3 * threads, tokens=128 // threads)
    yield made
    made.close()


def test_model_root_and_evidence_are_the_published_ones(engine: CanonicalEngine) -> None:
    """Found once, on x86-64 with AVX-512 VNNI. A machine that finds others has shown a bug."""
    assert engine.card.model_root.hex() == ROOT
    for name, job in (("greedy", GREEDY), ("sampled", SAMPLED)):
        steps = list(engine.generate(job))
        assert sha256(*(part for s in steps for part in (s.id.to_bytes(4, "little"), s.leaf))).hex() == EVIDENCE[name]
        replay = engine.replay(job, [step.id for step in steps])
        assert replay.expected == tuple(step.id for step in steps)
        assert replay.leaves == tuple(step.leaf for step in steps)


def test_another_quantisation_of_the_same_model_shows_in_every_leaf(file: Path) -> None:
    try:
        lower = store.path("smollm2-135m-instruct-q4_0")
    except Refused as refusal:
        pytest.skip(str(refusal))
    honest, liar = CanonicalEngine(file, "honest"), CanonicalEngine(lower, "liar")
    sold = list(liar.generate(GREEDY))
    replay = honest.replay(GREEDY, [step.id for step in sold])
    assert all(a != b.leaf for a, b in zip(replay.leaves, sold, strict=True))
    honest.close()
    liar.close()
