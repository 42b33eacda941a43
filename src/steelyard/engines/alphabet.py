"""The toy engine: a deterministic language of bytes, with a state at every step and no model.

The state after n ids is a hash of them; each letter has an integer score that is read from that state; T = 0 takes the
highest, T > 0 adds a draw keyed by (seed, position). It exercises every rule of records, evidence and disputes in
microseconds. It stands beside the real engine, never in its place.
"""

import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from steelyard.engines.base import MAX_LIKELIEST, NOTHING, Card, Job, Replay, Step
from steelyard.engines.grammars import Grammars, Masks
from steelyard.protocol.errors import Malformed, Refused, Unavailable
from steelyard.protocol.hashing import ZERO32, sha256

END = 256
VOCABULARY = 257
LETTERS = b"abcdefghijklmnopqrstuvwxyz    ,."
CONTEXT = 4096
END_ODDS = 24  # an answer ends after about so many units
NAME = "alphabet"


def model_root(dialect: bytes = b"") -> bytes:
    """The toy's model root: 32 bytes; another dialect is another model."""
    return sha256(b"steelyard/alphabet/1", dialect)


class Alphabet:
    """`engines.base.Engine` over the toy language.

    Args:
        name: under which it is sold.
        dialect: another one is another model (another root, other answers).
        lie_from: from this answer position on (counted from `answer_from`) it computes in another dialect under the
            same root: a liar.
        pause: called before each generated unit, so that a test can stop time in mid-answer.
    """

    def __init__(
        self,
        name: str = NAME,
        dialect: bytes = b"",
        lie_from: int | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.card = Card(name, model_root(dialect), True, CONTEXT, VOCABULARY, frozenset({END}), "unknown", 0)
        self._grammars = Grammars(lambda: [*(bytes([unit]) for unit in range(END)), None], VOCABULARY, self.card.ends)
        self._dialect = dialect
        self._lie_from = lie_from
        self._pause = pause
        self._closed = threading.Event()

    def generate(self, job: Job) -> Iterator[Step]:
        """See `Engine.generate`."""
        _refuse(job)
        masks = self._masks(job)
        mismatch = self._prefix_mismatch(job, masks)
        if mismatch is not None:
            raise Refused("order.prefix-mismatch", f"id {job.prompt[mismatch]} at {mismatch} is not this model's")
        return self._steps(job, masks)

    def _masks(self, job: Job) -> Masks | None:
        return self._grammars.start(job.grammar, job.answer_from) if job.grammar else None

    def _steps(self, job: Job, masks: Masks | None) -> Iterator[Step]:
        ids = list(job.prompt)
        delivered = len(job.prompt) - job.answer_from
        for position in range(job.max_units):
            self._pause()
            if self._closed.is_set():
                raise Unavailable("engine.closed", f"after {position} of {job.max_units} units")
            state = self._state(ids, delivered + position)
            mask = masks.at(ids, len(ids)) if masks else None
            unit = _pick(state, job, len(ids), mask)
            if masks and unit == NOTHING:
                raise Refused("order.grammar-stuck", f"at {len(ids)}: {masks.why}")
            yield Step(unit, _leaf(state, unit, mask), _row(state, unit, job))
            if unit == END:
                return
            ids.append(unit)

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """See `Engine.replay`."""
        _refuse(job)
        _refuse_units(answer)
        masks = self._masks(job)
        mismatch = self._prefix_mismatch(job, masks)
        ids = list(job.prompt)
        expected, leaves, states, rows = [], [], [], []
        for position, unit in enumerate(answer, len(job.prompt) - job.answer_from):
            state = self._state(ids, position)
            mask = masks.at(ids, len(ids)) if masks else None
            expected.append(_pick(state, job, len(ids), mask))
            leaves.append(_leaf(state, unit, mask))
            states.append(state)
            rows.append(_row(state, unit, job))
            ids.append(unit)
        return Replay(tuple(expected), tuple(leaves), b"".join(states), mismatch, tuple(row for row in rows if row))

    def close(self) -> None:
        """Ends runs in flight."""
        self._closed.set()

    def _state(self, ids: Sequence[int], position: int) -> bytes:
        lying = self._lie_from is not None and position >= self._lie_from
        dialect = b"a lie" if lying else self._dialect
        return sha256(b"state", dialect, struct.pack(f"<{len(ids)}I", *ids))

    def _prefix_mismatch(self, job: Job, masks: Masks | None) -> int | None:
        for at in range(job.answer_from, len(job.prompt)):
            state = self._state(job.prompt[:at], at - job.answer_from)
            if _pick(state, job, at, masks.at(job.prompt, at) if masks else None) != job.prompt[at]:
                return at
        return None


def _refuse(job: Job) -> None:
    _refuse_units(job.prompt)
    if job.max_units < 1 or not 0 <= job.answer_from <= len(job.prompt):
        raise Refused("order.parameter", f"max_units {job.max_units}, answer_from {job.answer_from}")
    if not 0 <= job.logprobs <= 1 + MAX_LIKELIEST:
        raise Refused("order.parameter", f"logprobs {job.logprobs}, must be 0 to {1 + MAX_LIKELIEST}")
    if len(job.prompt) + job.max_units > CONTEXT:
        total = f"{len(job.prompt)} + {job.max_units}"
        raise Refused("order.context-too-long", f"{total} units, at most {CONTEXT}")


def _refuse_units(units: Sequence[int]) -> None:
    if units and not 0 <= min(units) <= max(units) < VOCABULARY:
        raise Refused("order.unit-out-of-range", f"{min(units)} to {max(units)}, known 0 to {VOCABULARY - 1}")


def _scores(state: bytes) -> dict[int, int]:
    stream = sha256(b"scores", state) + sha256(b"more scores", state)
    scores = dict(zip(LETTERS, struct.unpack("<32H", stream), strict=True))
    odds = int.from_bytes(sha256(b"end", state)[:4], "little") % END_ODDS
    return scores | {END: 1 << 17 if odds == 0 else 0}


def _pick(state: bytes, job: Job, position: int, mask: bytes | None) -> int:
    """The highest score, the lowest id on ties; T > 0 adds a draw of the seed's, as rule P3 adds Gumbel noise. Under a
    grammar every allowed byte has a score, else there were no braces and quotes."""
    scores = _scores(state)
    if mask is not None:
        allowed = [unit for unit in range(VOCABULARY) if mask[unit >> 3] >> (unit & 7) & 1]
        scores = {unit: scores.get(unit, sha256(state, bytes([unit % 256]))[0] << 8) for unit in allowed}
    if not scores:
        return NOTHING
    if job.temperature:
        for unit in scores:
            draw = sha256(b"draw", struct.pack("<QQI", job.seed, position, unit))
            scores[unit] += int.from_bytes(draw[:2], "little")
    return min(scores, key=lambda unit: (-scores[unit], unit))


def _leaf(state: bytes, unit: int, mask: bytes | None) -> bytes:
    logit = _scores(state).get(unit, 0)
    return sha256(state, struct.pack("<f", float(logit)), ZERO32 if mask is None else sha256(mask))


def _row(state: bytes, unit: int, job: Job) -> tuple[int, ...]:
    """As `Step.logprobs`, with a toy's numbers: minus how far a score is below the greatest, in 1/4,096."""
    if not job.logprobs:
        return ()
    scores = _scores(state)
    top = sorted(scores, key=lambda other: (-scores[other], other))[: job.logprobs - 1]
    below = {other: (scores.get(other, 0) - max(scores.values())) / 4096 for other in (unit, *top)}
    bits = {other: int(struct.unpack("<I", struct.pack("<f", number))[0]) for other, number in below.items()}
    return (bits[unit], *(number for other in top for number in (other, bits[other])))


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
