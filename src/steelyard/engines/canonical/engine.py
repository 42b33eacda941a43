"""`engines.base.Engine` in canonical arithmetic."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from steelyard.engines.base import MAX_LIKELIEST, Card, Job, Replay, Step
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.memory import need
from steelyard.engines.canonical.pages import Pages
from steelyard.engines.canonical.recipe import Recipe
from steelyard.engines.canonical.scheduler import PREFILL_BESIDE_ANSWERS, Scheduler
from steelyard.engines.canonical.sequence import Generating, InFlight, Replaying
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.draws import Draw
from steelyard.engines.gguf_head import Head
from steelyard.engines.grammars import Grammars, Masks
from steelyard.engines.ir.holding import GraphHolding
from steelyard.engines.sampling import Sampler
from steelyard.engines.text import words
from steelyard.protocol.errors import Refused, SteelyardError

ROOM: Final = 2**30
"""Bytes for keys and values of all runs: 182 pages of 128 positions for the default model."""
TRACE_TOKENS: Final = 64
"""Tokens in a step of a trace: half of a serving model's memory for a step."""


class CanonicalEngine:
    """A GGUF of a family that `shape.FAMILIES` knows, the same bits everywhere.

    Args:
        path: the file.
        name: under which it is sold.
        threads: that compute, the scheduler's included.
        room: bytes for keys and values of all runs together. A run may not be longer than they allow.
        memory: bytes that the model may take in all; None: not looked at.
        prefix_cache: whether keys and values are kept for answers to prompts that begin alike (docs/why/005).
        cache: folder of packed weights; the user's cache if None.
        recipe, tokens, grain, prefill: for tests: kernels' form, tokens in a step, groups of rows in a chunk, prompt
            tokens beside answers. None of them changes a bit.

    Raises Refused or Malformed (`gguf.*`, `model.*`, `engine.option`, `engine.flush-to-zero`); OSError if the file
    cannot be read.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        threads: int = 0,
        room: int = ROOM,
        memory: int | None = None,
        prefix_cache: bool = True,
        cache: Path | None = None,
        recipe: Recipe | None = None,
        tokens: int = models.TOKENS,
        grain: int = 0,
        prefill: int = PREFILL_BESIDE_ANSWERS,
    ) -> None:
        self._threads = threads = threads or min(2, os.cpu_count() or 1)

        def fits(head: Head, shape: Shape) -> None:
            if memory is not None:
                need(head, shape, tokens, threads, room).require(memory)

        file = self._file = models.open_file(path, cache, fits)
        head, shape = file.head, file.shape
        self.file_sha256 = file.sha256
        model = models.load(file, threads, recipe, tokens, grain)
        pages = Pages(room // model.page_bytes, model.page_bytes, model.recipe.page, prefix_cache)
        if pages.total == 0:
            model.close()
            raise Refused("engine.option", f"room {room}: a page of keys and values takes {model.page_bytes} bytes")
        self.card = Card(
            name=name,
            model_root=file.packed.root,
            canonical=True,
            context_length=min(shape.context, pages.total * pages.positions),
            vocabulary=shape.vocabulary,
            ends=head.ends(shape.vocabulary),
            quantization=head.quantization(),
            size_bytes=file.size,
            state_width=shape.width,
        )
        sampler = Sampler(model.native, model.pool.run, shape.vocabulary)
        self._scheduler = Scheduler(model, sampler, pages, prefill)
        self._grammars = Grammars(lambda: words(head), shape.vocabulary, self.card.ends)

    def generate(self, job: Job) -> Iterator[Step]:
        """See `Engine.generate`; also raises Unavailable("engine.busy"). With a delivered prefix it returns when that
        has been checked."""
        draw = self._refuse(job, job.max_units)
        sink = Generating(job.prompt, job.max_units, self.card.ends)
        first = min(job.answer_from, len(job.prompt))
        most = len(job.prompt) + job.max_units
        run = InFlight(list(job.prompt), first, draw, most, sink, self._masks(job), job.logprobs)
        self._scheduler.add(run)
        answer = Answer(self._scheduler, run, sink)
        if job.answer_from < len(job.prompt):
            answer.peek()
        return answer

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """See `Engine.replay`; also raises Unavailable("engine.busy")."""
        draw = self._refuse(job, max(len(answer), 1))
        self._refuse_units(answer)
        known = [*job.prompt, *answer[:-1]]
        sink = Replaying(job.prompt, answer)
        if not answer and job.answer_from == len(job.prompt):
            return Replay((), (), b"")
        if not answer:
            known = list(job.prompt[:-1])
        masks = self._masks(job)
        run = InFlight(known, job.answer_from, draw, len(known), sink, masks, job.logprobs, shares=False)
        self._scheduler.add(run)
        error = sink.over.get()
        if error is not None:
            raise error
        return Replay(
            expected=tuple(sink.expected),
            leaves=tuple(step.leaf for step in sink.steps),
            states=b"".join(sink.states),
            prefix_mismatch=sink.mismatch,
            logprobs=tuple(step.logprobs for step in sink.steps if job.logprobs),
        )

    def trace(self, job: Job, answer: Sequence[int]) -> Trace:
        """The run over prompt and answer, to be asked for any value, root, partial sum or opening. Beside the runs in
        flight: it has threads, memory for one step and keys and values of its own; close it. Raises as `replay`."""
        self._refuse(job, max(len(answer), 1))
        self._refuse_units(answer)
        return Trace(models.load(self._file, self._threads, tokens=TRACE_TOKENS), [*job.prompt, *answer])

    @contextmanager
    def holding(self, ids: Sequence[int], answer_from: int) -> Iterator[GraphHolding]:
        """The run over these ids as trees, for a dispute: all of it is computed once more. Beside the runs in flight,
        as a trace is, and for as long as the context lasts. Raises as `replay`."""
        del answer_from  # no liar
        self._refuse_units(ids)
        with Trace(models.load(self._file, self._threads, tokens=TRACE_TOKENS), ids) as trace:
            yield GraphHolding(trace, self._file.covered())

    def measures(self) -> Mapping[str, int]:
        """See `Measured`."""
        return self._scheduler.measures()

    def close(self) -> None:
        """See `Engine.close`."""
        self._scheduler.close()

    def _masks(self, job: Job) -> Masks | None:
        return self._grammars.start(job.grammar, job.answer_from) if job.grammar else None

    def _refuse(self, job: Job, units: int) -> Draw:
        self._refuse_units(job.prompt)
        if job.max_units < 1 or not 1 <= job.answer_from <= len(job.prompt):
            told = f"max_units {job.max_units}, answer_from {job.answer_from} of {len(job.prompt)} ids, both from 1 on"
            raise Refused("order.parameter", told)
        if len(job.prompt) + units > self.card.context_length:
            total = f"{len(job.prompt)} + {units} units"
            raise Refused("order.context-too-long", f"{total}, at most {self.card.context_length}")
        if not 0 <= job.logprobs <= 1 + MAX_LIKELIEST:
            raise Refused("order.parameter", f"logprobs {job.logprobs}, must be 0 to {1 + MAX_LIKELIEST}")
        return Draw(job.temperature, job.top_p, job.top_k, job.seed)

    def _refuse_units(self, units: Sequence[int]) -> None:
        if units and not 0 <= min(units) <= max(units) < self.card.vocabulary:
            told = f"{min(units)} to {max(units)}, known 0 to {self.card.vocabulary - 1}"
            raise Refused("order.unit-out-of-range", told)


class Answer(Iterator[Step]):
    """Steps of one run. Closing it, or dropping it, cancels the run."""

    def __init__(self, scheduler: Scheduler, run: InFlight, sink: Generating) -> None:
        self._scheduler, self._run, self._sink = scheduler, run, sink
        self._held: list[Step | None] = []
        self._over = False

    def peek(self) -> None:
        """Waits for the first step; raises what ended the run before it."""
        self._held.append(self._next())

    def _next(self) -> Step | None:
        item = self._sink.steps.get()
        if isinstance(item, SteelyardError):
            self._over = True
            raise item
        return item

    def __next__(self) -> Step:
        if self._over:
            raise StopIteration
        item = self._held.pop() if self._held else self._next()
        if item is None:
            self._over = True
            raise StopIteration
        return item

    def close(self) -> None:
        """Cancels the run if it is not over."""
        if not self._over:
            self._over = True
            self._scheduler.cancel(self._run)

    cancel = close
    """Any thread may call it."""

    def __del__(self) -> None:
        if not self._over:
            self._scheduler.abandon(self._run)
