"""The toy engine: a deterministic language of bytes whose every number can be disputed, and no model's weights.

Its run is a graph as a real model's is (`alphabet_graph`), its sampling rule P3's (`draws`), so it exercises every rule
of records, evidence and disputes, in a fraction of a millisecond a unit. It stands beside the real engine, never in its
place.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from steelyard.engines import draws
from steelyard.engines.alphabet_graph import (
    CONTEXT,
    END,
    END_ODDS,
    GRAPH,
    LOGITS,
    STATE,
    VOCABULARY,
    Language,
    language,
)
from steelyard.engines.alphabet_run import Run
from steelyard.engines.base import MAX_LIKELIEST, NOTHING, Card, Job, Replay, Step, leaf
from steelyard.engines.draws import Draw, Floats
from steelyard.engines.grammars import Grammars, Masks
from steelyard.engines.ir.evaluated import Evaluated
from steelyard.engines.ir.holding import GraphHolding
from steelyard.protocol.errors import Malformed, Refused, Unavailable

NAME = "alphabet"


class Alphabet:
    """`engines.base.Engine` over the toy language.

    Args:
        name: under which it is sold.
        dialect: another one is another model (another root, other answers).
        lie_from: from this answer position on (counted from `answer_from`) it computes in another dialect under the
            same root: a liar.
        pause: called before each generated unit, so that a test can stop time in mid-answer.
        odds: an answer ends after about so many units, 0: never; another number is another model too.
    """

    def __init__(
        self,
        name: str = NAME,
        dialect: bytes = b"",
        lie_from: int | None = None,
        pause: Callable[[], None] = lambda: None,
        odds: int = END_ODDS,
    ) -> None:
        self.language = language(dialect, odds)
        root = self.language.tree.root
        self.card = Card(name, root, True, CONTEXT, VOCABULARY, frozenset({END}), "unknown", 0)
        self._grammars = Grammars(lambda: [*(bytes([unit]) for unit in range(END)), None], VOCABULARY, self.card.ends)
        self._lie_from = lie_from
        self._pause = pause
        self._closed = threading.Event()

    def generate(self, job: Job) -> Iterator[Step]:
        """See `Engine.generate`."""
        reading = self._read(job, job.max_units)
        mismatch = reading.check(job.prompt)
        if mismatch is not None:
            raise Refused("order.prefix-mismatch", f"id {job.prompt[mismatch]} at {mismatch} is not this model's")
        return self._steps(job, reading)

    def _steps(self, job: Job, reading: "_Reading") -> Iterator[Step]:
        for made in range(job.max_units):
            self._pause()
            if self._closed.is_set():
                raise Unavailable("engine.closed", f"after {made} of {job.max_units} units")
            unit = reading.pick()
            if unit == NOTHING:
                raise Refused("order.grammar-stuck", f"at {len(reading.ids)}: {reading.why()}")
            yield reading.step(unit)
            if unit == END:
                return
            reading.take(unit)

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """See `Engine.replay`."""
        _refuse_units(answer)
        reading = self._read(job, max(len(answer), 1))
        mismatch = reading.check(job.prompt)
        expected, steps, states = [], [], []
        for unit in answer:
            expected.append(reading.pick())
            steps.append(reading.step(unit))
            states.append(reading.here.state)
            reading.take(unit)
        rows = tuple(step.logprobs for step in steps if step.logprobs)
        return Replay(tuple(expected), tuple(step.leaf for step in steps), b"".join(states), mismatch, rows)

    def close(self) -> None:
        """Ends runs in flight."""
        self._closed.set()

    @contextmanager
    def holding(self, ids: Sequence[int], answer_from: int) -> Iterator[GraphHolding]:
        """The run over prompt and answer as trees, for a dispute; a liar's as it lies, too. Raises as `replay`."""
        _refuse_units(ids)
        spoken = self.spoken(answer_from)
        run = Evaluated(GRAPH, ids, lambda source, at, index: spoken(at).tables[source][index])
        yield GraphHolding(run, self.language)

    def spoken(self, answer_from: int) -> Callable[[int], Language]:
        """Which language each position is computed in, for an answer that begins at `answer_from`: its own; a liar's
        changes at the position that chooses the first id it lies about."""
        if self._lie_from is None:
            return lambda _: self.language
        first, lie = answer_from + self._lie_from - 1, language(b"a lie", self.language.odds)
        return lambda position: self.language if position < first else lie

    def _refuse(self, job: Job, units: int) -> Draw:
        """Raises as `Engine.generate`, for `units` behind the prompt."""
        _refuse_units(job.prompt)
        if job.max_units < 1 or not 1 <= job.answer_from <= len(job.prompt):
            told = f"max_units {job.max_units}, answer_from {job.answer_from} of {len(job.prompt)} ids, both from 1 on"
            raise Refused("order.parameter", told)
        if not 0 <= job.logprobs <= 1 + MAX_LIKELIEST:
            raise Refused("order.parameter", f"logprobs {job.logprobs}, must be 0 to {1 + MAX_LIKELIEST}")
        if len(job.prompt) + units > CONTEXT:
            raise Refused("order.context-too-long", f"{len(job.prompt)} + {units} units, at most {CONTEXT}")
        return Draw(job.temperature, job.top_p, job.top_k, job.seed)

    def _read(self, job: Job, units: int) -> "_Reading":
        """Raises as `Engine.generate`."""
        draw = self._refuse(job, units)
        masks = self._grammars.start(job.grammar, job.answer_from) if job.grammar else None
        run = Run(len(job.prompt) + units, self.spoken(job.answer_from))
        return _Reading(run, list(job.prompt[: job.answer_from]), draw, masks, job.logprobs)


def _refuse_units(units: Sequence[int]) -> None:
    if units and not 0 <= min(units) <= max(units) < VOCABULARY:
        raise Refused("order.unit-out-of-range", f"{min(units)} to {max(units)}, known 0 to {VOCABULARY - 1}")


@dataclass(frozen=True, slots=True)
class _Here:
    """What the ids so far give."""

    state: bytes
    logits: Floats
    mask: bytes | None


class _Reading:
    """One run and the ids so far. `logprobs` as `Job.logprobs`."""

    def __init__(self, run: Run, ids: list[int], draw: Draw, masks: Masks | None, logprobs: int) -> None:
        self.ids = ids
        self._run, self._draw, self._masks, self._logprobs = run, draw, masks, logprobs
        self._run.take(ids)
        self._known: _Here | None = None

    @property
    def here(self) -> _Here:
        """Computed when it is asked for."""
        if self._known is None:
            values = self._run.values()
            mask = self._masks.at(self.ids, len(self.ids)) if self._masks else None
            self._known = _Here(values[STATE].astype("<f4").tobytes(), values[LOGITS], mask)
        return self._known

    def take(self, unit: int) -> None:
        """The next id."""
        self.ids.append(unit)
        self._run.take([unit])
        self._known = None

    def check(self, prompt: Sequence[int]) -> int | None:
        """Reads the rest of the prompt, which is a delivered prefix; the first index that rule P3 does not pick."""
        mismatch = None
        for at in range(len(self.ids), len(prompt)):
            if mismatch is None and self.pick() != prompt[at]:
                mismatch = at
            self.take(prompt[at])
        return mismatch

    def pick(self) -> int:
        """Rule P3's."""
        return draws.pick(self.here.logits, self._draw, len(self.ids), self.here.mask)

    def why(self) -> str:
        """Why the grammar allows nothing."""
        return self._masks.why if self._masks else ""

    def step(self, unit: int) -> Step:
        """The evidence, and the logprobs if they are wanted, for `unit` here."""
        here = self.here
        row = draws.likelihoods(here.logits).row(unit, self._logprobs - 1) if self._logprobs else ()
        return Step(unit, leaf(here.state, float(here.logits[unit]), here.mask), row)


class AlphabetText:
    """`engines.base.Text`: UTF-8 bytes are ids."""

    vocabulary = VOCABULARY

    def render(self, messages: Sequence[Mapping[str, object]]) -> tuple[int, ...]:
        """`role: content` lines, then `assistant:`."""
        lines = []
        for message in messages:
            role, content = message.get("role"), message.get("content")
            if not isinstance(role, str) or not isinstance(content, str):
                raise Refused("request.messages", "role and content must be texts")
            lines.append(f"{role}: {content}\n")
        return self.encode("".join(lines) + "assistant: ")

    def encode(self, text: str) -> tuple[int, ...]:
        """UTF-8 bytes. Raises Malformed("request.text") on half a surrogate pair."""
        try:
            return tuple(text.encode())
        except UnicodeEncodeError as error:
            raise Malformed("request.text", f"half a surrogate pair at {error.start} of {len(text)}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """Bytes to text; the end id is skipped."""
        return bytes(unit for unit in ids if unit < END).decode(errors="replace")


def slow(seconds: float) -> Callable[[], None]:
    """A pause for `Alphabet(pause=...)`."""
    return lambda: time.sleep(seconds)
