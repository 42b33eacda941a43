"""The two faces of an answer: chat and text completion, whole or in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from steelyard.wire.answers import (
    Choice,
    ChunkChoice,
    Completion,
    Delta,
    Finish,
    Message,
    TextChoice,
    Usage,
)
from steelyard.wire.receipts import ReceiptDocument


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str

    def completion(self, kind: str, choices: list[Any], **more: Any) -> Completion:
        """With these choices."""
        return Completion(id=self.id, object=kind, created=self.created, model=self.model, choices=choices, **more)


class Shape(Protocol):
    """One face."""

    kind: str
    chunk_kind: str

    def opening(self, index: int) -> Any | None:
        """First chunk's choice, if the face has one before any text."""
        ...

    def piece(self, index: int, text: str) -> Any:
        """A chunk's choice."""
        ...

    def ending(self, index: int, finish: Finish) -> Any:
        """Last chunk's choice."""
        ...

    def whole(self, index: int, text: str, finish: Finish) -> Any:
        """The choice of an answer that is not streamed."""
        ...


class ChatShape:
    """/v1/chat/completions."""

    kind, chunk_kind = "chat.completion", "chat.completion.chunk"

    def opening(self, index: int) -> ChunkChoice | None:
        """The role comes first."""
        return ChunkChoice(index, Delta(role="assistant", content=""))

    def piece(self, index: int, text: str) -> ChunkChoice:
        """More text."""
        return ChunkChoice(index, Delta(content=text))

    def ending(self, index: int, finish: Finish) -> ChunkChoice:
        """Why it ended."""
        return ChunkChoice(index, Delta(), finish)

    def whole(self, index: int, text: str, finish: Finish) -> Choice:
        """A message."""
        return Choice(index, Message(text), finish)


class TextShape:
    """/v1/completions."""

    kind = chunk_kind = "text_completion"

    def opening(self, index: int) -> TextChoice | None:
        """Nothing before the text."""
        del index
        return None

    def piece(self, index: int, text: str) -> TextChoice:
        """More text."""
        return TextChoice(index, text)

    def ending(self, index: int, finish: Finish) -> TextChoice:
        """Why it ended."""
        return TextChoice(index, "", finish)

    def whole(self, index: int, text: str, finish: Finish) -> TextChoice:
        """A text."""
        return TextChoice(index, text, finish)


def receipts(documents: Sequence[ReceiptDocument]) -> dict[str, Any]:
    """`receipt`, and `receipts` where there are several."""
    more = {"receipts": list(documents)} if len(documents) > 1 else {}
    return {"receipt": documents[0], **more}


def usage_of(prompts: Sequence[tuple[int, ...]], completion: int, cost: int) -> Usage:
    """A prompt that several answers share counts once, as OpenAI has it; the cost counts every order."""
    return Usage.of(sum(len(prompt) for prompt in set(prompts)), completion, cost)
