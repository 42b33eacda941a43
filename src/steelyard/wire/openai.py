"""Requests in OpenAI's shape, read strictly: what changes an answer is either honoured or refused by name.

Sources: OpenAI's API reference for chat and text completions; OpenRouter's `provider` object (its names verbatim);
`provider.assurance` is ours. A parameter that is null counts as absent, as the official client sends it.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from steelyard.protocol.errors import Refused
from steelyard.wire.reading import read_json
from steelyard.wire.tools import Choice, ResponseFormat, Tool, ToolCall, check_form

T = TypeVar("T", bound=msgspec.Struct)

MAX_CHOICES: Final = 8
MAX_STOPS: Final = 4
MAX_STOP_LENGTH: Final = 256
MAX_TOKENS: Final = (1 << 32) - 1
MAX_TOP_LOGPROBS: Final = 20
MAX_LEGACY_LOGPROBS: Final = 5

HARMLESS: Final = frozenset(
    {
        "user",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "session_id",
    }
)
"""Read and dropped: none of them may change an answer."""

NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "store": (False,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "modalities": (["text"],),
    "reasoning_effort": (),
    "verbosity": (),
    "prediction": (),
    "audio": (),
    "web_search_options": (),
    "models": (),
    "transforms": ([],),
    "plugins": ([],),
    "echo": (False,),
    "best_of": (1,),
    "suffix": ("",),
}
"""Parameters that we know and do not sell yet -> the values that ask for nothing."""


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `stream_options`."""

    include_usage: bool = False
    include_obfuscation: bool = False
    """OpenAI pads its chunks against traffic analysis; we never do."""


class TextPart(msgspec.Struct, frozen=True):
    """A part of a message's content; only text is sold."""

    type: str
    text: str = ""


class ChatMessage(msgspec.Struct, frozen=True):
    """One message. Fields that clients echo from an answer (`refusal`, `audio`, `annotations`, ...) must be empty."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: list[object] | None = None
    audio: dict[str, object] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, object] | None = None


class MaxPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USD per million tokens (`request`: per request), as decimal strings or numbers."""

    prompt: str | float | None = None
    completion: str | float | None = None
    request: str | float | None = None
    image: str | float | None = None
    audio: str | float | None = None


class Sort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenRouter's long form of `sort`."""

    by: Literal["price", "throughput", "latency"]
    partition: Literal["model", "none"] | None = None


class Assurance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ours: what the buyer wants to be sure of, and pays for."""

    level: Literal["open", "audited", "disputable", "quorum", "attested", "proved", "sealed"] = "audited"
    audit_rate: float = 0.0
    """Share of receipts, 0 to 1, that this buyer draws beyond the level's minimum. Never leaves the gateway."""
    min_bond: int = 0
    """Micro-tokens of free bond that a provider must hold."""


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenRouter's `provider` object, the part that we honour, and `assurance`."""

    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    allow_fallbacks: bool = True
    require_parameters: bool = False
    """Always true here: a parameter is honoured by every offer, or refused."""
    data_collection: Literal["allow"] | None = None
    quantizations: list[str] | None = None
    sort: Literal["price", "throughput", "latency"] | Sort | None = None
    max_price: MaxPrice | None = None
    assurance: Assurance = Assurance()

    def sort_key(self) -> str | None:
        """`price`, `throughput`, `latency` or None."""
        return self.sort.by if isinstance(self.sort, Sort) else self.sort


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What chat and text requests share."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    n: int = 1
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    provider: Preferences = Preferences()

    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def include_usage(self) -> bool:
        """True if the stream's last chunk shall hold the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Sampling, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool = False
    """Permits several calls in one answer; ours makes one."""
    logprobs: bool = False
    top_logprobs: int = 0

    def rows(self) -> int:
        """Log-probabilities of each token, as an order has it."""
        return 1 + self.top_logprobs if self.logprobs else 0

    def limit(self) -> int | None:
        """Most tokens of the answer; None: as many as the offer and the context allow."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def for_template(self) -> list[dict[str, str]]:
        """Messages as chat templates read them."""
        roles = {"developer": "system"}
        return [{"role": roles.get(m.role, m.role), "content": _content_text(m)} for m in self.messages]


class CompletionRequest(Sampling, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | int | list[int]]
    """A text, texts, ids, or lists of ids; never mixed."""
    logprobs: int | None = None
    """Of the token, and of so many of the likeliest."""

    def rows(self) -> int:
        """Log-probabilities of each token, as an order has it."""
        return 0 if self.logprobs is None else 1 + self.logprobs

    def limit(self) -> int:
        """Most tokens of the answer: 16 if not said, as OpenAI has it."""
        return 16 if self.max_tokens is None else self.max_tokens

    def prompts(self) -> list[str | list[int]]:
        """One entry per prompt. Raises Refused("request.value")."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [part for part in self.prompt if isinstance(part, int)]
        if ids and len(ids) == len(self.prompt):
            return [ids]
        if ids or len({type(part) for part in self.prompt}) > 1:
            raise Refused("request.value", "prompt: texts, ids or lists of ids, not a mixture")
        return [part for part in self.prompt if not isinstance(part, int)]


def read_chat(raw: bytes) -> ChatRequest:
    """Raises Malformed("request.json"), Refused `request.unsupported-parameter`, `request.value`, `request.missing`."""
    request = _read(raw, ChatRequest)
    _check_sampling(request)
    if not request.messages:
        raise Refused("request.value", "messages: none")
    for at, message in enumerate(request.messages):
        _check_message(f"messages[{at}]", message)
    _check_range("max_completion_tokens", request.max_completion_tokens, 1, MAX_TOKENS)
    _check_range("top_logprobs", request.top_logprobs, 0, MAX_TOP_LOGPROBS)
    if request.top_logprobs and not request.logprobs:
        raise Refused("request.value", f"top_logprobs: {request.top_logprobs} needs logprobs true")
    check_form(request.response_format, request.tools, request.tool_choice)
    return request


def read_completion(raw: bytes) -> CompletionRequest:
    """Raises as `read_chat`."""
    request = _read(raw, CompletionRequest)
    _check_sampling(request)
    prompts = request.prompts()
    _check_range("logprobs", request.logprobs, 0, MAX_LEGACY_LOGPROBS)
    if not 1 <= len(prompts) <= MAX_CHOICES or len(prompts) * request.n > MAX_CHOICES:
        raise Refused("request.value", f"prompt: {len(prompts)} prompts x n {request.n}, 1 to {MAX_CHOICES} answers")
    for prompt in prompts:
        if not prompt:
            raise Refused("request.value", "prompt: is empty")
        if isinstance(prompt, list):
            _check_range("prompt", min(prompt), 0, MAX_TOKENS)
            _check_range("prompt", max(prompt), 0, MAX_TOKENS)
    return request


def _read(raw: bytes, kind: type[T]) -> T:
    body = read_json(raw, dict, "request.json")
    wanted = _without_unsupported(body, kind)
    if isinstance(wanted.get("provider"), dict):
        _refuse_unknown("provider", wanted["provider"], Preferences)
        wanted["provider"] = _present(wanted["provider"])
        if isinstance(wanted["provider"].get("assurance"), dict):
            _refuse_unknown("provider.assurance", wanted["provider"]["assurance"], Assurance)
    try:
        return msgspec.convert(wanted, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _explain(error) from error


def _present(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _without_unsupported(body: Mapping[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The part of a request that we honour. Raises Refused("request.unsupported-parameter") for what is left."""
    wanted: dict[str, Any] = {}
    for name, value in _present(body).items():
        if name in kind.__struct_fields__:
            wanted[name] = value
        elif name in NEUTRAL:
            if not any(_same(value, neutral) for neutral in NEUTRAL[name]):
                raise Refused("request.unsupported-parameter", f"{name}: not supported yet, got {_short(value)}")
        elif name not in HARMLESS:
            raise Refused("request.unsupported-parameter", f"{name[:80]}: unknown parameter")
    return wanted


def _same(value: object, neutral: object) -> bool:
    if isinstance(neutral, bool) or isinstance(value, bool):
        return value is neutral
    return value == neutral


def _refuse_unknown(where: str, body: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
    for name, value in body.items():
        if name not in kind.__struct_fields__ and value not in (None, False):
            raise Refused("request.unsupported-parameter", f"{where}.{name[:80]}: not supported, got {_short(value)}")
    for name in [name for name in body if name not in kind.__struct_fields__]:
        del body[name]  # type: ignore[attr-defined]  # a dict that we decoded ourselves


def _explain(error: Exception) -> Refused:
    """msgspec's "Expected `int`, got `str` - at `$.n`" with the parameter first."""
    reason, _, path = str(error).partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    missing = reason.partition("missing required field `")[2]
    if missing:
        name = missing.rstrip("`")
        return Refused("request.missing", f"{where + '.' if where else ''}{name}: required")
    return Refused("request.value", f"{where or 'body'}: {reason}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise Refused("request.value", f"{name}: {value} is not in {low} to {high}")


def _check_sampling(request: Sampling) -> None:
    if request.temperature:  # 0 is the plain argmax; next to it z/T overflows binary32
        _check_range("temperature", request.temperature, 0.001, 2)
    _check_range("top_p", request.top_p, 2**-24, 1)
    _check_range("top_k", request.top_k, 0, MAX_TOKENS)
    _check_range("n", request.n, 1, MAX_CHOICES)
    _check_range("seed", request.seed, -(1 << 63), (1 << 64) - 1)
    _check_range("max_tokens", request.max_tokens, 1, MAX_TOKENS)
    _check_range("provider.assurance.audit_rate", request.provider.assurance.audit_rate, 0, 1)
    _check_range("provider.assurance.min_bond", request.provider.assurance.min_bond, 0, (1 << 128) - 1)
    if request.stream_options is not None and not request.stream:
        raise Refused("request.value", "stream_options: only with stream true")
    stops = request.stops()
    if len(stops) > MAX_STOPS:
        raise Refused("request.value", f"stop: {len(stops)} strings, at most {MAX_STOPS}")
    for stop in stops:
        if not 1 <= len(stop) <= MAX_STOP_LENGTH:
            raise Refused("request.value", f"stop: a string of {len(stop)} characters, 1 to {MAX_STOP_LENGTH}")


def _check_message(where: str, message: ChatMessage) -> None:
    for name in ("function_call", "audio"):
        if getattr(message, name):
            raise Refused("request.unsupported-parameter", f"{where}.{name}: not supported yet")
    if message.tool_calls and message.role != "assistant":
        raise Refused("request.value", f"{where}.tool_calls: only an assistant calls, not {message.role}")
    if message.content is None and not message.tool_calls:
        raise Refused("request.value", f"{where}.content: required")
    if isinstance(message.content, list):
        for at, part in enumerate(message.content):
            if part.type != "text":
                raise Refused(
                    "request.unsupported-parameter", f"{where}.content[{at}].type: only text, got {part.type[:40]}"
                )


def _content_text(message: ChatMessage) -> str:
    content = message.content
    if isinstance(content, list):
        return "".join(part.text for part in content)
    return content or ""
