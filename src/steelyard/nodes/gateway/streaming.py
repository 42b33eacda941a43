"""Answers as they come: a queue between the answering tasks and one client's server-sent events.

The answering tasks do not belong to the client: when it leaves they cancel at what it has, take the receipt and pay.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from steelyard.nodes.gateway.answering import Answered, Answering
from steelyard.nodes.gateway.records import document_of
from steelyard.nodes.gateway.shapes import Head, Piece, Shape, receipts, usage_of
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import SteelyardError
from steelyard.wire.answers import DONE, KEEP_ALIVE, error_answer, event

KEEP_ALIVE_SECONDS = 10.0  # proxies close a silent connection after 15 and more

Item = tuple[int, "Piece | Answered | SteelyardError"]


@dataclass(eq=False)
class Stream:
    """One client's stream over one or more answers."""

    head: Head
    shape: Shape
    domain: Domain
    include_usage: bool
    answerings: Sequence[Answering]
    queue: "asyncio.Queue[Item]"
    ended: dict[int, Answered] = field(default_factory=dict)
    first: Item | None = None

    async def begun(self, seconds: float) -> None:
        """Waits for the first item, so that what fails before it has a status of its own. Raises that failure."""
        try:
            async with asyncio.timeout(seconds):
                self.first = await self.queue.get()
        except TimeoutError:
            return  # the client gets its headers now, and keep-alive comments
        if isinstance(self.first[1], SteelyardError):
            self.leave()
            raise self.first[1]

    def leave(self) -> None:
        """Nobody reads any more."""
        for answering in self.answerings:
            answering.leave()

    async def events(self) -> AsyncIterator[bytes]:
        """SSE, up to [DONE] or the error event. Whoever closes it early has left."""
        try:
            openings = [self.shape.opening(index) for index in range(len(self.answerings))]
            yield self._chunks([choice for choice in openings if choice is not None])
            while len(self.ended) < len(self.answerings):
                items = await self._items()
                if not items:
                    yield KEEP_ALIVE
                    continue
                failure = next((item for _, item in items if isinstance(item, SteelyardError)), None)
                yield b"".join(self._told(item) for item in items)
                if failure is not None:
                    yield event(error_answer(failure)[1])
                    return
            if self.include_usage:
                yield self._usage()
            yield DONE
        finally:
            if len(self.ended) < len(self.answerings):
                self.leave()

    async def _items(self) -> list[Item]:
        """All that is there, at least one; none after KEEP_ALIVE_SECONDS."""
        items = []
        if self.first is not None:
            items, self.first = [self.first], None
        else:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    items = [await self.queue.get()]
            except TimeoutError:
                return []
        while not self.queue.empty():
            items.append(self.queue.get_nowait())
        return items

    def _told(self, item: Item) -> bytes:
        index, what = item
        if isinstance(what, Piece):
            return self._chunks(self.shape.piece(index, what))
        if isinstance(what, Answered):
            self.ended[index] = what
            document = {} if self.include_usage else receipts([document_of(what.bought, self.domain)])
            *before, last = self.shape.ending(index, what.finish)
            return self._chunks(before) + self._chunks([last], **document)
        return b""

    def _chunks(self, choices: Sequence[object], **more: object) -> bytes:
        return b"".join(event(self.head.completion(self.shape.chunk_kind, [choice], **more)) for choice in choices)

    def _usage(self) -> bytes:
        answered = [self.ended[index] for index in sorted(self.ended)]
        usage = usage_of(
            [answering.wish.prompt for answering in self.answerings],
            sum(len(a.bought.answer) for a in answered),
            sum(a.bought.price for a in answered),
        )
        documents = receipts([document_of(a.bought, self.domain) for a in answered])
        return event(self.head.completion(self.shape.chunk_kind, [], usage=usage, **documents))
