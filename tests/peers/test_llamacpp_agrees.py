"""Against llama.cpp on the same file: the canonical engine computes the same model.

Two float engines agree on the argmax at .961 of teacher-forced positions (they quantise activations and order sums
differently), so equality is not asked for. The cosine is that of all positions' logits as one vector. A mean over
positions would not do: there llama.cpp's prefill against its own decode reaches .9989 only (measured on one prompt; a
binary64 reference without quantised activations: ours .9990, llama.cpp's prefill .9984, its decode .9987), because a
few positions have short vectors of logits. The Q4_0 sibling is a poor model whose logits lie close together: there
llama.cpp's prefill against its own decode reaches .948 and ours is the nearer one to the reference.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mixed_gguf
from steelyard.engines import llama_c, store
from steelyard.engines.text import GgufText
from teacher_forced import CONTEXT, Ours

pytestmark = [pytest.mark.model, pytest.mark.slow]
pytest.importorskip("xllamacpp")

QUESTIONS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain photosynthesis to a child.",
    "List three uses of copper.",
    "Who wrote Hamlet, and when?",
    "How do I boil an egg?",
    "What is 17 times 23?",
    "Summarise the plot of Romeo and Juliet.",
    "Why is the sky blue?",
    "Give me a recipe for pancakes.",
    "What does a steelyard balance do?",
    "Describe a market in the Middle Ages.",
    "Translate 'good morning' into Spanish.",
    "What is a prime number?",
    "Tell me a joke about cats.",
    "How far away is the Moon?",
    "What causes earthquakes?",
    "Write a Python function that adds two numbers.",
    "Name the planets of the solar system.",
    "What should I pack for a hike?",
]


class Batch(ctypes.Structure):
    """llama.cpp's llama_batch."""

    _fields_ = (
        ("count", ctypes.c_int32),
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        ("embeddings", ctypes.c_void_p),
        ("positions", ctypes.POINTER(ctypes.c_int32)),
        ("sequence_counts", ctypes.POINTER(ctypes.c_int32)),
        ("sequences", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("wanted", ctypes.POINTER(ctypes.c_int8)),
    )


class Theirs:
    """Logits of every position of a text, from llama.cpp."""

    def __init__(self, path: Path) -> None:
        self._c = llama_c.library()
        self._c.llama_batch_init.restype = Batch
        self._c.llama_batch_init.argtypes = (ctypes.c_int32,) * 3
        self._c.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        self._c.llama_get_logits_ith.argtypes = (ctypes.c_void_p, ctypes.c_int32)
        self._model = llama_c.Model(path)
        self._run = self._model.run(CONTEXT, 2)

    def logits(self, ids: list[int]) -> np.ndarray:
        c, at = self._c, self._run._at
        c.llama_memory_clear(c.llama_get_memory(at), True)
        batch = c.llama_batch_init(len(ids), 0, 1)
        batch.count = len(ids)
        for i, unit in enumerate(ids):
            batch.ids[i], batch.positions[i], batch.sequence_counts[i], batch.wanted[i] = unit, i, 1, 1
            batch.sequences[i][0] = 0
        given = llama_c._Opaque()
        ctypes.memmove(ctypes.byref(given), ctypes.byref(batch), ctypes.sizeof(batch))
        assert c.llama_decode(at, given) == 0
        rows = [
            np.ctypeslib.as_array(c.llama_get_logits_ith(at, i), (self._model.vocabulary,)) for i in range(len(ids))
        ]
        return np.stack(rows)

    def close(self) -> None:
        self._run.free()
        self._model.free()


LEAST = {
    "smollm2-135m-instruct-q4_1": (0.95, 0.999),
    "smollm2-135m-instruct-q8_0": (0.95, 0.999),
    "smollm2-135m-instruct-q4_0": (0.90, 0.998),
}
"""Equal argmaxes and cosine; measured: .9755 .99911, .9742 .99930, .9303 .99895."""
MIXES = {
    "q5_0": ({576: ("q5_0",), 1536: ("q5_0",)}, (0.94, 0.999)),
    "q5_1": ({576: ("q5_1",), 1536: ("q5_1",)}, (0.94, 0.999)),
    "f16": ({576: ("f16",), 1536: ("f16",)}, (0.99, 0.9999)),
    "bf16": ({576: ("bf16",), 1536: ("bf16",)}, (0.99, 0.9999)),
    "q4_k, q5_k, q6_k": ({576: ("q8_0", "q5_0"), 1536: ("q4_k", "q5_k", "q6_k")}, (0.92, 0.996)),
}
"""Types of rows of 576 and of 1536, then as above: .9626 .99938, .9722 .99921, .9994 1.00000, .9968 .99997, .9638
.99765. F16 and BF16: there activations are rounded to 16 bits, here not at all. Super-blocks: there 256 activations
share a scale, here 32; to the same weights with activations as they are, ours is at .99915 and llama.cpp at .99776
(five questions)."""


@pytest.fixture(params=[*LEAST, *MIXES])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Ours, Theirs, GgufText, tuple[float, float]]]:
    name: str = request.param
    try:
        file = store.path(store.DEFAULT if name in MIXES else name)
    except store.Refused as refusal:
        pytest.skip(str(refusal))
    if name in MIXES:
        kinds, least = MIXES[name]
        file = mixed_gguf.write(file, tmp_path / "mixed.gguf", kinds)
    else:
        least = LEAST[name]
    ours, theirs = Ours(file), Theirs(file)
    yield ours, theirs, GgufText(file), least
    ours.close()
    theirs.close()


def test_argmax_and_logits_agree_at_teacher_forced_positions(
    pair: tuple[Ours, Theirs, GgufText, tuple[float, float]],
) -> None:
    ours, theirs, text, least = pair
    equal: list[bool] = []
    products = np.zeros(3)
    for question in QUESTIONS:
        prompt = list(text.render([{"role": "user", "content": question}]))
        ids = ours.answer(prompt)
        mine, other = ours.logits(ids), theirs.logits(ids)
        equal += list(mine.argmax(1) == other.argmax(1))
        products += [np.vdot(a, b) for a, b in ((mine, other), (mine, mine), (other, other))]
    cosine = products[0] / np.sqrt(products[1] * products[2])
    told = f"{np.mean(equal):.4f} of {len(equal)} argmaxes, cosine {cosine:.6f}"
    assert np.mean(equal) >= least[0], told
    assert cosine >= least[1], told
