"""When two requests are one (rule M12): by Idempotency-Key, or a client's retry after an answer that never arrived.

Equal bodies may be deliberate samples, so they alone merge nothing. Kept in memory for two minutes; streams are never
merged: a stream whose client left is cancelled and settled.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256

T = TypeVar("T")
Gone = Callable[[], Awaitable[bool]]
"""Has the client left?"""

KEEP_SECONDS = 120.0
GRACE_SECONDS = 0.1  # a client hangs up and retries on another socket: let the first one be noticed


@dataclass(eq=False)
class Attempt(Generic[T]):
    """One request being answered, or answered."""

    body: bytes
    """SHA-256 of API key and body."""
    idempotency_key: str | None
    task: asyncio.Task[T]
    gone: Gone
    ended: float | None = None
    delivered: bool = False


@dataclass
class Attempts(Generic[T]):
    """The requests of the last two minutes. `clock`: seconds, never backwards."""

    clock: Callable[[], float]
    held: list[Attempt[T]] = field(default_factory=list)

    async def answer(
        self, *, user: str, raw: bytes, key: str | None, retry: bool, gone: Gone, begin: Callable[[], asyncio.Task[T]]
    ) -> T:
        """The answer of the attempt that this request continues, else of a new one from `begin`.

        Raises Refused("request.idempotency-key") if the key came with another body."""
        body = sha256(user.encode(), b"\0", raw)
        attempt = await self._same(body, f"{user}/{key}" if key else None, retry)
        if attempt is None:
            attempt = Attempt(body, f"{user}/{key}" if key else None, begin(), gone)
            attempt.task.add_done_callback(lambda _: self._end(attempt))
            self.held.append(attempt)
        else:
            attempt.gone = gone
        result = await asyncio.shield(attempt.task)
        if not await gone():
            attempt.delivered = True
        return result

    def _end(self, attempt: Attempt[T]) -> None:
        attempt.ended = self.clock()
        if attempt.task.cancelled() or attempt.task.exception() is not None:
            self.held.remove(attempt)  # nothing to hand over: a retry is a new request

    async def _same(self, body: bytes, key: str | None, retry: bool) -> Attempt[T] | None:
        now = self.clock()
        self.held = [a for a in self.held if a.ended is None or now - a.ended < KEEP_SECONDS]
        if key is not None:
            for attempt in self.held:
                if attempt.idempotency_key == key:
                    if attempt.body != body:
                        raise Refused("request.idempotency-key", "the key came with another body")
                    return attempt
        if not retry:
            return None
        for wait in (0.0, GRACE_SECONDS):
            await asyncio.sleep(wait)
            for attempt in self.held:
                if attempt.body == body and not attempt.delivered and await attempt.gone():
                    return attempt
        return None
