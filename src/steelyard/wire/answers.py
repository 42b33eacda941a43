"""Answers in OpenAI's shape: completions, chunks, models, errors. Our additions: `usage.cost*`, `receipt`, `rule`."""

from typing import Any, Final, Literal

import msgspec

from steelyard.protocol.errors import SteelyardError
from steelyard.protocol.units import MICRO
from steelyard.wire.receipts import ReceiptDocument
from steelyard.wire.status import answer_of, param_of
from steelyard.wire.tools import ToolCall

Finish = Literal["stop", "length", "tool_calls"]
DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": still working\n\n"
"""An SSE comment: clients ignore it, proxies see traffic."""

_encode = msgspec.json.Encoder().encode


class Usage(msgspec.Struct, frozen=True):
    """What was used, by our own count of committed units, never a provider's field."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_micro: int
    """Micro-tokens."""
    cost: float
    """The same in whole tokens (USD where USDC pays), under OpenRouter's name."""

    @classmethod
    def of(cls, prompt_tokens: int, completion_tokens: int, cost_micro: int) -> "Usage":
        """Sums and unit."""
        total = prompt_tokens + completion_tokens
        return cls(prompt_tokens, completion_tokens, total, cost_micro, cost_micro / MICRO)


class FunctionDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chunk adds to a call's function."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chunk adds to a call; the first one names it."""

    function: FunctionDelta
    index: int = msgspec.field(default_factory=int)  # always written: no default to omit
    id: str | None = None
    type: str | None = None


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chunk adds to a message."""

    role: str | None = None
    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class Message(msgspec.Struct, frozen=True):
    """A whole answer."""

    content: str | None
    role: str = "assistant"
    refusal: None = None
    tool_calls: list[ToolCall] | msgspec.UnsetType = msgspec.UNSET


class Likely(msgspec.Struct, frozen=True):
    """One of the likeliest tokens."""

    token: str
    logprob: float
    bytes: list[int] | None
    """None where the token alone is no whole text."""


class TokenLogprob(msgspec.Struct, frozen=True):
    """An answered token."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[Likely]


class ChatLogprobs(msgspec.Struct, frozen=True):
    """One chat choice's, or a chunk's part of them."""

    content: list[TokenLogprob]
    refusal: None = None


class TextLogprobs(msgspec.Struct, frozen=True):
    """The same in the shape of text completions."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]
    """Where each token begins in the answer's text."""


class ChunkChoice(msgspec.Struct, frozen=True):
    """One answer's part of a chat chunk."""

    index: int
    delta: Delta
    finish_reason: Finish | None = None
    logprobs: ChatLogprobs | None = None


class Choice(msgspec.Struct, frozen=True):
    """One whole chat answer."""

    index: int
    message: Message
    finish_reason: Finish
    logprobs: ChatLogprobs | None = None


class TextChoice(msgspec.Struct, frozen=True):
    """One text answer, or a chunk's part of it."""

    index: int
    text: str
    finish_reason: Finish | None = None
    logprobs: TextLogprobs | None = None


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chat or text completion, or a chunk of one; `object` tells which."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Any]
    """Choice, ChunkChoice or TextChoice."""
    provider: str | None = None
    """Address of who served, under OpenRouter's name."""
    usage: Usage | None = None
    receipt: ReceiptDocument | None = None
    """For the first (mostly only) answer."""
    receipts: list[ReceiptDocument] | None = None
    """For every answer, by index, where n > 1."""


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that somebody sells now."""

    id: str
    created: int
    owned_by: str
    """The author's address."""
    context_length: int = 0
    registration: str = ""
    model_root: str = ""
    royalty_bps: int = 0
    endpoints: list[dict[str, Any]] = []
    """Offers: provider, level, prices (decimal strings, USD per token, as OpenRouter has them), quantization."""
    object: str = msgspec.field(default="")

    @classmethod
    def of(cls, **fields: Any) -> "Model":
        """With `object` set (omit_defaults would drop a default)."""
        return cls(object="model", **fields)


class Models(msgspec.Struct, frozen=True):
    """GET /v1/models."""

    data: list[Model]
    object: str = "list"


class ErrorBody(msgspec.Struct, frozen=True):
    """Fills the official client's `e.message`, `e.type`, `e.param`, `e.code`; `rule` is our name for it."""

    message: str
    type: str
    param: str | None
    code: str
    rule: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Body of every refusal to a buyer's client, and the data of a stream's error event."""

    error: ErrorBody


def error_answer(error: SteelyardError) -> tuple[int, ErrorAnswer]:
    """HTTP status and body of a refusal."""
    row = answer_of(error)
    return row.status, ErrorAnswer(ErrorBody(str(error), row.type, param_of(error), row.code, error.rule))


def event(data: msgspec.Struct) -> bytes:
    """One SSE event."""
    return b"data: " + _encode(data) + b"\n\n"
