"""A float engine: llama.cpp through the `xllamacpp` wheel (extra `llamacpp`). Level `open` only.

Its results depend on the machine, the batch and the version, so its evidence is empty (32 zero bytes a unit), it
replays nothing and continues nobody's answer. What it has is speed and every model that llama.cpp reads.
"""

import hashlib
import os
import queue
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from steelyard.engines import gguf_head, llama_c
from steelyard.engines.base import Card, Job, Replay, Step
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import ZERO32, sha256

CONTEXT: Final = 4096
"""Units a run may hold unless told otherwise: memory is set aside for all of them."""
SLOTS: Final = 2
POLL_SECONDS: Final = 0.2
RANDOM_SEED: Final = 0xFFFFFFFF
"""llama.cpp takes this seed for "draw one"."""


class LlamaCpp:
    """`engines.base.Engine` over a GGUF file.

    Args:
        path: the file.
        name: under which it is sold.
        threads: of each run; default one per CPU.
        context: most units of a run; default `CONTEXT` or the model's, whichever is less.
        slots: runs at once; others wait.

    Raises Refused: `engine.not-installed`; Malformed: `gguf.…`."""

    def __init__(
        self, path: Path, name: str, threads: int | None = None, context: int | None = None, slots: int = SLOTS
    ) -> None:
        if (threads or 1) < 1 or (context or 1) < 1 or slots < 1:
            raise Refused("engine.option", f"threads {threads}, context {context}, slots {slots}: at least 1 each")
        llama_c.library()
        head = gguf_head.read(path)
        with path.open("rb") as file:
            root = sha256(b"steelyard/llamacpp/1", hashlib.file_digest(file, "sha256").digest())
        self._model = llama_c.Model(path)
        context = min(context or CONTEXT, self._model.context)
        self.card = Card(
            name, root, False, context, self._model.vocabulary, self._model.ends, head.quantization(), head.file_size
        )
        self._threads = threads or os.cpu_count() or 1
        self._slots: queue.SimpleQueue[llama_c.Run | None] = queue.SimpleQueue()
        """Free ones; None is one whose memory nobody has asked for yet."""
        for _ in range(slots):
            self._slots.put(None)
        self._busy = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def generate(self, job: Job) -> Iterator[Step]:
        """See `Engine.generate`; also Refused("engine.not-canonical") for the rest of a broken answer."""
        self._refuse(job)
        return self._steps(job)

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """Always Refused("engine.not-canonical")."""
        told = f"{self.card.name}: {len(answer)} units after {len(job.prompt)} cannot be re-run bit for bit"
        raise Refused("engine.not-canonical", told)

    def close(self) -> None:
        """See `Engine.close`. A run that nobody iterates any more gives its memory back when it is dropped."""
        with self._lock:
            first = not self._closed.is_set()
            self._closed.set()
            if first and self._busy == 0:
                self._free()

    def _refuse(self, job: Job) -> None:
        temperature, top_p = _number(job.temperature), _number(job.top_p)
        if job.answer_from != len(job.prompt):
            told = f"{self.card.name}: cannot continue an answer of {len(job.prompt) - job.answer_from} units"
            raise Refused("engine.not-canonical", told)
        if job.grammar or job.logprobs:
            raise Refused("order.parameter", f"{self.card.name}: a float engine has no grammars and no logprobs yet")
        if not job.prompt or not 0 <= min(job.prompt) <= max(job.prompt) < self.card.vocabulary:
            told = f"{len(job.prompt)} units, each 0 to {self.card.vocabulary - 1}"
            raise Refused("order.unit-out-of-range", told)
        if not (0 <= temperature < float("inf") and 0 < top_p <= 1 and job.max_units >= 1 and 0 <= job.top_k < 2**31):
            told = f"temperature {temperature}, top_p {top_p}, top_k {job.top_k}, max_units {job.max_units}"
            raise Refused("order.parameter", told)
        if len(job.prompt) + job.max_units > self.card.context_length:
            total = f"{len(job.prompt)} + {job.max_units}"
            raise Refused("order.context-too-long", f"{total} units, at most {self.card.context_length}")

    def _steps(self, job: Job) -> Iterator[Step]:
        run = self._taken()
        try:
            run.begin(_number(job.temperature), job.top_k, _number(job.top_p), job.seed % RANDOM_SEED)
            for at in range(0, len(job.prompt), llama_c.PROMPT_BATCH):
                self._require_open()
                run.feed(job.prompt[at : at + llama_c.PROMPT_BATCH])
            for position in range(job.max_units):
                unit = run.sample()
                yield Step(unit, ZERO32)
                if unit in self.card.ends or position + 1 == job.max_units:
                    return
                self._require_open()
                run.feed((unit,))
        finally:
            self._give_back(run)

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise Unavailable("engine.closed", f"{self.card.name}, {self._busy} runs in flight")

    def _taken(self) -> llama_c.Run:
        """A free slot, waiting for one. Invariant: `_busy` counts those that are taken."""
        while True:
            with self._lock:
                self._require_open()
                if not self._slots.empty():
                    run = self._slots.get()
                    self._busy += 1
                    break
            self._closed.wait(POLL_SECONDS)
        try:
            return run or self._model.run(self.card.context_length, self._threads)
        except (Refused, Unavailable):
            self._give_back(None)
            raise

    def _give_back(self, run: llama_c.Run | None) -> None:
        with self._lock:
            self._slots.put(run)
            self._busy -= 1
            if self._closed.is_set() and self._busy == 0:
                self._free()

    def _free(self) -> None:
        while not self._slots.empty():
            run = self._slots.get()
            if run is not None:
                run.free()
        self._model.free()


def _number(bits: int) -> float:
    """The number whose binary32 bits these are."""
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value
