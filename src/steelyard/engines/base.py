"""The port of an engine: work that can be asked for its state at every step.

A provider's node, a gateway's node and an auditor's node see engines only through this module. `alphabet` is the toy
behind it, `canonical` the real thing, `llamacpp` a float engine. A liar is an `Engine` that wraps another one.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from steelyard.protocol.hashing import ZERO32, sha256

NOTHING: Final = -1
"""What the sampling rule picks where a grammar allows no id."""
MAX_LIKELIEST: Final = 20
"""Ids whose log-probabilities can be asked for, as OpenAI's `top_logprobs` has it."""


@dataclass(frozen=True, slots=True)
class Card:
    """What an engine says of itself before it runs."""

    name: str
    """Name under which the model is sold, such as `smollm2-135m-instruct-q4_1`."""
    model_root: bytes
    """Rule P4: file, tokenizer, template, graph, arithmetic version, KV-cache type. 32 bytes."""
    canonical: bool
    """True if equal inputs give equal evidence everywhere. False may serve level `open` only."""
    context_length: int
    """Most units (prompt and answer together) that a run may hold."""
    vocabulary: int
    """Unit ids are 0 … vocabulary-1."""
    ends: frozenset[int]
    """Ids that end an answer; the end is itself committed and counted (rule P5)."""
    quantization: str
    """OpenRouter's word or the file's block type: `q4_1`, `q8_0`, `fp32`, `unknown`."""
    size_bytes: int
    """Bytes of the weights' file, 0 for the toy."""
    state_width: int = 0
    """Numbers of the state that evidence is made of; 0 if a run shows none. A game takes 4,096 at most (GAM-4)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run, as the signed order fixes it."""

    prompt: tuple[int, ...]
    """Unit ids that are given, a delivered prefix included (rule P6)."""
    answer_from: int
    """Index in `prompt` where the answer begins; len(prompt) unless this continues a broken stream. The ids from here
    on must be the ones that this engine would have sampled: else Refused("order.prefix-mismatch")."""
    max_units: int
    """Most units to generate now, ends included. At least 1."""
    temperature: int
    """binary32 bits of T. 0 is the plain argmax."""
    top_p: int
    """binary32 bits of p in (0, 1]; the bits of 1.0 keep everything."""
    top_k: int
    """Keep the k highest; 0 keeps all."""
    seed: int
    """The buyer's, 64 bits (rule P3)."""
    grammar: bytes = b""
    """What the answer keeps to (`grammars.grammar_of`); empty: anything."""
    logprobs: int = 0
    """Rows of log-probabilities (`Step.logprobs`): 0 none, 1 + k with those of the k likeliest."""


def leaf(state: bytes, logit: float, mask: bytes | None = None) -> bytes:
    """Rule P2: SHA-256(final-norm output ‖ raw logit ‖ SHA-256(mask), zeros without one), binary32 little-endian
    (ARI-40). 32 bytes, not yet a tree leaf."""
    return sha256(state, struct.pack("<f", logit), ZERO32 if mask is None else sha256(mask))


@dataclass(frozen=True, slots=True)
class Step:
    """One generated unit and the evidence for it."""

    id: int
    leaf: bytes
    """`leaf` of the state that chose it. 32 bytes."""
    logprobs: tuple[int, ...] = ()
    """If asked for: binary32 bits of the id's own, then id and bits of each of the likeliest (spec/sampler.md)."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A run by teacher forcing: what this engine has to say about somebody's answer, one entry per answer unit."""

    expected: tuple[int, ...]
    """The id that the sampling rule picks at each position, given the answer's ids before it; NOTHING where the
    grammar allows none."""
    leaves: tuple[bytes, ...]
    """The evidence leaf for the ANSWERED id at each position, 32 bytes each."""
    states: bytes = field(repr=False)
    """Final-norm outputs of all answer positions, concatenated: what a receipt does not show, so that a vote keyed by
    it proves a run (rule M8). Any length; equal for equal runs."""
    prefix_mismatch: int | None = None
    """First index in the prompt, from `answer_from` on, whose id the rule would not have picked."""
    logprobs: tuple[tuple[int, ...], ...] = ()
    """If asked for, one row per answer unit, of the ANSWERED id (`Step.logprobs`)."""


class Engine(Protocol):
    """A loaded model. Methods block; several threads may call them at once (requests in flight are batched inside)."""

    @property
    def card(self) -> Card: ...

    def generate(self, job: Job) -> Iterator[Step]:
        """Yields units as they come, an end id last if one comes. Closing the iterator cancels the run; if it has a
        method `cancel`, any thread may call that while another one waits for a unit, which then sees the end.

        Raises Refused: `order.context-too-long`, `order.unit-out-of-range`, `order.prefix-mismatch`,
        `order.parameter` (with the numbers), `order.grammar`, `order.grammar-version`, `order.grammar-limit`; while it
        runs `order.grammar-stuck`, if no id is allowed any more."""
        ...

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """Runs `answer` (ids after the whole prompt) by teacher forcing. Raises as `generate`."""
        ...

    def close(self) -> None:
        """Frees threads and memory; runs in flight end with Unavailable("engine.closed")."""
        ...


@runtime_checkable
class Measured(Protocol):
    """An engine that says how busy it is, for its operator."""

    def measures(self) -> Mapping[str, int]:
        """Name, in snake case, -> number as it is now."""
        ...


class Text(Protocol):
    """Ids to words and back: what a gateway needs of a model, without its weights."""

    @property
    def vocabulary(self) -> int:
        """Unit ids are 0 … vocabulary-1, so that a gateway can refuse others unseen."""
        ...

    def render(self, messages: Sequence[Mapping[str, object]]) -> tuple[int, ...]:
        """Chat messages through the model's own template, ids out, generation prompt included.
        Raises Refused: `request.messages` if the template refuses them, `model.template` if it takes too much."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Plain text to ids, no template (for `/v1/completions`)."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text, special ids skipped. A prefix's text need not be a prefix of the text: hold back an
        unfinished UTF-8 sequence (it decodes to U+FFFD at the end)."""
        ...
