"""One run in flight: which ids it knows, how far it has been computed, and what it does with each row of logits."""

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Final, Protocol

import numpy as np

from steelyard.engines.base import NOTHING, Step, leaf
from steelyard.engines.canonical.pages import Lease
from steelyard.engines.canonical.program import Floats
from steelyard.engines.draws import Draw, Likelihoods
from steelyard.engines.grammars import Masks
from steelyard.protocol.errors import Refused, SteelyardError

LITTLE_ENDIAN: Final = np.dtype("<f4")


def evidence(state: Floats, logit: float = nan) -> bytes:
    """A final-norm output as bytes; any NaN as 0x7FC00000. One NaN makes each of its logits NaN, so a `logit` that is a
    number saves the look, which would cost a whole percent of a step."""
    if isnan(logit):
        state = np.where(np.isnan(state), np.float32(nan), state)
    return state.astype(LITTLE_ENDIAN, copy=False).tobytes()


@dataclass(frozen=True, slots=True)
class Row:
    """What a step computed for one index of a run; the arrays are good until the next step."""

    position: int
    pick: int
    """What the rule picks there; NOTHING where the mask has no bit."""
    state: Floats
    logits: Floats
    mask: bytes | None
    """Of the run's grammar."""
    likelihoods: Likelihoods | None
    """If the run wants logprobs."""

    def step(self, unit: int, wanted: int) -> Step:
        """The evidence, and the logprobs if they are wanted, for `unit` at this index."""
        logit = float(self.logits[unit])
        found = leaf(evidence(self.state, logit), logit, self.mask)
        return Step(unit, found, self.likelihoods.row(unit, wanted - 1) if self.likelihoods else ())


class Sink(Protocol):
    """What a run does with its results."""

    def row(self, run: "InFlight", row: Row) -> bool:
        """What was computed for the next index. May append to `run.ids`. True when the run is over."""
        ...

    def finish(self) -> None:
        """The run is over and its memory given back."""
        ...

    def fail(self, error: SteelyardError) -> None:
        """The run ends with this error."""
        ...


@dataclass(eq=False)
class InFlight:
    """Invariant: keys and values of ids[:filled] are in the pages; rows from `first_wanted` on get logits."""

    ids: list[int]
    first_wanted: int
    """Least position whose pick is wanted; the row before it is computed with logits."""
    draw: Draw
    most: int
    """Positions for which pages are reserved."""
    sink: Sink
    masks: Masks | None = None
    """Of its grammar."""
    logprobs: int = 0
    """As `Job.logprobs`."""
    shares: bool = True
    """May use keys and values that another run computed, and lets others use its own."""
    filled: int = 0
    lease: Lease = field(default_factory=Lease)
    overtaken: int = 0
    """Later runs that began before this one."""
    cancelled: bool = False


class Generating:
    """Sink of `generate`: checks the delivered prefix, then hands out steps."""

    def __init__(self, prompt: Sequence[int], most: int, ends: frozenset[int]) -> None:
        self._prompt, self._left, self._ends = prompt, most, ends
        self.steps: queue.SimpleQueue[Step | SteelyardError | None] = queue.SimpleQueue()
        """Steps, then None or an error."""
        self._last: Refused | None = None

    def row(self, run: InFlight, row: Row) -> bool:
        pick, position = row.pick, row.position
        if position < len(self._prompt):
            if pick == self._prompt[position]:
                return False
            told = f"id {self._prompt[position]} at {position} is not this model's"
            self._last = Refused("order.prefix-mismatch", told)
            return True
        if pick == NOTHING:
            assert run.masks is not None
            self._last = Refused("order.grammar-stuck", f"at {position}: {run.masks.why}")
            return True
        self.steps.put(row.step(pick, run.logprobs))
        self._left -= 1
        if pick in self._ends or self._left == 0:
            return True
        run.ids.append(pick)
        return False

    def finish(self) -> None:
        self.steps.put(self._last)

    def fail(self, error: SteelyardError) -> None:
        self.steps.put(error)


class Replaying:
    """Sink of `replay`: what the rule picks and the evidence for what was answered."""

    def __init__(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        self._prompt, self._answer = prompt, answer
        self.expected: list[int] = []
        self.steps: list[Step] = []
        self.states: list[bytes] = []
        self.mismatch: int | None = None
        self.over: queue.SimpleQueue[SteelyardError | None] = queue.SimpleQueue()

    def row(self, run: InFlight, row: Row) -> bool:
        pick, position = row.pick, row.position
        index = position - len(self._prompt)
        if index < 0:
            if self.mismatch is None and pick != self._prompt[position]:
                self.mismatch = position
        else:
            self.expected.append(pick)
            self.steps.append(row.step(self._answer[index], run.logprobs))
            self.states.append(evidence(row.state, float(row.logits[self._answer[index]])))
        return position + 1 == len(self._prompt) + len(self._answer)

    def finish(self) -> None:
        self.over.put(None)

    def fail(self, error: SteelyardError) -> None:
        self.over.put(error)
