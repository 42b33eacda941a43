"""The two faces of an answer: chat and text completion, whole or in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from steelyard.nodes.gateway.calls import CallReader
from steelyard.nodes.gateway.words import UNFINISHED
from steelyard.wire.answers import (
    CallDelta,
    ChatLogprobs,
    Choice,
    ChunkChoice,
    Completion,
    Delta,
    Finish,
    FunctionDelta,
    Likely,
    Message,
    TextChoice,
    TextLogprobs,
    TokenLogprob,
    Usage,
)
from steelyard.wire.receipts import ReceiptDocument
from steelyard.wire.tools import CalledFunction, ToolCall


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str

    def completion(self, kind: str, choices: list[Any], **more: Any) -> Completion:
        """With these choices."""
        return Completion(id=self.id, object=kind, created=self.created, model=self.model, choices=choices, **more)


@dataclass(frozen=True, slots=True)
class Token:
    """An answered token with its log-probabilities."""

    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What may be told now of an answer."""

    text: str
    tokens: tuple[Token, ...] = ()
    """If logprobs are wanted: those taken now, of which text may still be held back."""


class Shape(Protocol):
    """One face, for the answers of one request."""

    kind: str
    chunk_kind: str

    def opening(self, index: int) -> Any | None:
        """First chunk's choice, if the face has one before any text."""
        ...

    def piece(self, index: int, piece: Piece) -> list[Any]:
        """Chunks' choices."""
        ...

    def ending(self, index: int, finish: Finish) -> list[Any]:
        """Last chunks' choices."""
        ...

    def whole(self, index: int, piece: Piece, finish: Finish) -> Any:
        """The choice of an answer that is not streamed."""
        ...


class ChatShape:
    """/v1/chat/completions. `calls`: what an answer's call is known by, if it may be one."""

    kind, chunk_kind = "chat.completion", "chat.completion.chunk"

    def __init__(self, calls: str = "") -> None:
        self._calls = calls
        self._readers: dict[int, CallReader] = {}

    def opening(self, index: int) -> ChunkChoice | None:
        """The role comes first."""
        return ChunkChoice(index, Delta(role="assistant", content=None if self._calls else ""))

    def piece(self, index: int, piece: Piece) -> list[ChunkChoice]:
        """More text, or more of a call."""
        if not self._calls:
            return [ChunkChoice(index, Delta(content=piece.text), logprobs=_chat_logprobs(piece.tokens))]
        reader = self._reader(index)
        known = reader.name
        text, arguments = reader.push(piece.text)
        deltas = []
        if reader.name and not known:
            named = FunctionDelta(name=reader.name, arguments="")
            deltas = [Delta(tool_calls=[CallDelta(named, id=self._id(index), type="function")])]
        if arguments:
            deltas.append(Delta(tool_calls=[CallDelta(FunctionDelta(arguments=arguments))]))
        if text or (piece.tokens and not deltas):
            deltas.append(Delta(content=text))
        rows = [_chat_logprobs(piece.tokens), *[None] * len(deltas)]
        return [ChunkChoice(index, delta, logprobs=row) for delta, row in zip(deltas, rows, strict=False)]

    def ending(self, index: int, finish: Finish) -> list[ChunkChoice]:
        """What was held back, and why it ended."""
        reader = self._reader(index)
        text, arguments = reader.finish(stopped=finish == "stop")
        rest = [Delta(content=text)] if text else []
        if arguments:
            rest = [Delta(tool_calls=[CallDelta(FunctionDelta(arguments=arguments))])]
        ended: Finish = "tool_calls" if reader.complete else finish
        return [*(ChunkChoice(index, delta) for delta in rest), ChunkChoice(index, Delta(), ended)]

    def whole(self, index: int, piece: Piece, finish: Finish) -> Choice:
        """A message."""
        logprobs = _chat_logprobs(piece.tokens)
        if not self._calls:
            return Choice(index, Message(piece.text), finish, logprobs)
        reader = self._reader(index)
        pairs = [reader.push(piece.text), reader.finish(stopped=finish == "stop")]
        text, arguments = ("".join(parts) for parts in zip(*pairs, strict=True))
        if not reader.name:
            return Choice(index, Message(text), finish, logprobs)
        call = ToolCall(self._id(index), CalledFunction(reader.name, arguments))
        ended: Finish = "tool_calls" if reader.complete else finish
        return Choice(index, Message(None, tool_calls=[call]), ended, logprobs)

    def _reader(self, index: int) -> CallReader:
        return self._readers.setdefault(index, CallReader())

    def _id(self, index: int) -> str:
        return f"call_{self._calls}{index}"


class TextShape:
    """/v1/completions."""

    kind = chunk_kind = "text_completion"

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}

    def opening(self, index: int) -> TextChoice | None:
        """Nothing before the text."""
        del index
        return None

    def piece(self, index: int, piece: Piece) -> list[TextChoice]:
        """More text."""
        return [TextChoice(index, piece.text, logprobs=self._logprobs(index, piece.tokens))]

    def ending(self, index: int, finish: Finish) -> list[TextChoice]:
        """Why it ended."""
        return [TextChoice(index, "", finish)]

    def whole(self, index: int, piece: Piece, finish: Finish) -> TextChoice:
        """A text."""
        return TextChoice(index, piece.text, finish, self._logprobs(index, piece.tokens))

    def _logprobs(self, index: int, tokens: Sequence[Token]) -> TextLogprobs | None:
        if not tokens:
            return None
        at = self._offsets.get(index, 0)
        *offsets, self._offsets[index] = accumulate((len(token.text) for token in tokens), initial=at)
        return TextLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[dict(token.likeliest) for token in tokens] if tokens[0].likeliest else None,
            text_offset=offsets,
        )


def _chat_logprobs(tokens: Sequence[Token]) -> ChatLogprobs | None:
    if not tokens:
        return None
    return ChatLogprobs(
        [
            TokenLogprob(
                token.text, token.logprob, _bytes(token.text), [Likely(t, p, _bytes(t)) for t, p in token.likeliest]
            )
            for token in tokens
        ]
    )


def _bytes(text: str) -> list[int] | None:
    return None if UNFINISHED in text else list(text.encode())


def receipts(documents: Sequence[ReceiptDocument]) -> dict[str, Any]:
    """`receipt`, and `receipts` where there are several."""
    more = {"receipts": list(documents)} if len(documents) > 1 else {}
    return {"receipt": documents[0], **more}


def usage_of(prompts: Sequence[tuple[int, ...]], completion: int, cost: int) -> Usage:
    """A prompt that several answers share counts once, as OpenAI has it; the cost counts every order."""
    return Usage.of(sum(len(prompt) for prompt in set(prompts)), completion, cost)
