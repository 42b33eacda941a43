"""What is compared: the canonical engine, and llama.cpp through its C interface, both given the same ids.

Ours runs as a provider sells it: scheduler, sampler and evidence included. The peer is called with as little of Python
around it as possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, Protocol

import numpy as np

from steelyard.engines import gguf_head, llama_c
from steelyard.engines.base import Job, leaf
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.canonical.sequence import evidence

CONTEXT: Final = 2048
"""Ids, of all sequences together, for which the peer sets memory aside."""
SEQUENCES: Final = 8
STAGGER: Final = 16
"""More ids for each answer, so that all still run when the last one to begin has as many as were asked for."""
ONE: Final = 0x3F800000
Prompts = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one run."""

    first: float
    """Until every prompt had its first id."""
    rest: float
    """For the ids after the first, all prompts at once."""


class Side(Protocol):
    """One of the two that are compared."""

    def run(self, prompts: Prompts, ids: int) -> Took:
        """Answers all prompts (at most `SEQUENCES`) together, greedily, with `ids` ids behind the first of each."""
        ...

    def close(self) -> None:
        """Frees threads and memory."""
        ...


class Ours:
    """The canonical engine. Raises as `CanonicalEngine` does."""

    def __init__(self, file: Path, threads: int) -> None:
        self._engine = CanonicalEngine(file, file.stem, threads)
        self._engine.card = replace(self._engine.card, ends=frozenset())  # an answer as long as it is asked for

    def run(self, prompts: Prompts, ids: int) -> Took:
        most = 1 + ids + (STAGGER if len(prompts) > 1 else 0)
        begin = perf_counter()
        answers = [self._engine.generate(Job(p, len(p), most, 0, ONE, 0, 0)) for p in prompts]
        for answer in answers:
            next(answer)
        first = perf_counter()
        for _ in range(ids):
            for answer in answers:
                next(answer)
        end = perf_counter()
        for answer in answers:
            list(answer)
        return Took(first - begin, end - first)

    def close(self) -> None:
        self._engine.close()


class Peer:
    """llama.cpp of the `xllamacpp` wheel. Raises Refused("engine.not-installed"), Malformed("gguf.refused")."""

    def __init__(self, file: Path, threads: int) -> None:
        self._model, self._threads = llama_c.Model(file), threads
        self._alone = self._model.run(CONTEXT, threads)
        self._together: llama_c.Run | None = None

    def run(self, prompts: Prompts, ids: int) -> Took:
        return self._several(prompts, ids) if len(prompts) > 1 else self._single(prompts[0], ids)

    def _single(self, prompt: tuple[int, ...], ids: int) -> Took:
        run = self._alone
        run.begin(0.0, 0, 1.0, 0)
        begin = perf_counter()
        for at in range(0, len(prompt), llama_c.PROMPT_BATCH):
            run.feed(prompt[at : at + llama_c.PROMPT_BATCH])
        unit = run.sample()
        first = perf_counter()
        for _ in range(ids):
            run.feed((unit,))
            unit = run.sample()
        return Took(first - begin, perf_counter() - first)

    def _several(self, prompts: Prompts, ids: int) -> Took:
        run = self._together = self._together or self._model.run(CONTEXT, self._threads, SEQUENCES)
        run.begin(0.0, 0, 1.0, 0)
        begin = perf_counter()
        units = run.feed_each(prompts, [0] * len(prompts))
        first = perf_counter()
        for at in range(ids):
            units = run.feed_each([(unit,) for unit in units], [len(prompt) + at for prompt in prompts])
        return Took(first - begin, perf_counter() - first)

    def close(self) -> None:
        for run in (self._alone, self._together):
            if run is not None:
                run.free()
        self._model.free()


class Bare:
    """The model without its scheduler, to see what a part of a step costs."""

    def __init__(self, file: Path, threads: int) -> None:
        self._model = models.load(models.open_file(file), threads)
        self._pages = [aligned((self._model.page_bytes,), np.uint8) for _ in range(CONTEXT // self._model.recipe.page)]
        self._table = np.array([address(page) for page in self._pages], np.int64)

    def evidence(self, ids: int) -> tuple[float, float]:
        """Median seconds of an id with its leaf of rule P2, and of the same ids without it. On a busy machine two steps
        differ by more than a leaf takes, so each step is its own peer."""
        unit, whole, without = 0, [], []
        for position in range(ids):
            begin = perf_counter()
            states, logits = self._model.step(Feed([unit], [position], [address(self._table)], [0]))
            unit = int(logits[0].argmax())
            logit = float(logits[0][unit])
            without.append(perf_counter() - begin)
            leaf(evidence(states[0], logit), logit)
            whole.append(perf_counter() - begin)
        return median(whole), median(without)

    def close(self) -> None:
        self._model.close()


def ids_of(file: Path, seed: int, count: int) -> tuple[int, ...]:
    """`count` ids of the file's vocabulary, others for every seed: an engine may remember prompts."""
    embedding = next(t for t in gguf_head.read(file).tensors if t.name == "token_embd.weight")
    chance = np.random.default_rng(seed)
    return tuple(int(unit) for unit in chance.integers(3, embedding.shape[1], count))


SIDES: Final[dict[str, type[Ours] | type[Peer]]] = {"ours": Ours, "peer": Peer}
