"""An engine's blocking iterator on the event loop: a thread runs ahead by a few units, and stops when told to.

A run belongs to a task of the provider's, not to the connection that asked for it: hanging up tells the run, and the
run decides how it ends (rule P5).
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Final, TypeVar

from steelyard.engines.base import Step
from steelyard.nodes.provider.accepting import Accepted
from steelyard.protocol.errors import SteelyardError, Unavailable
from steelyard.wire.messages import Frame, Signed

STOP_SECONDS: Final = 3.0
"""How long an engine gets to end when it is told to; then nobody waits for it any more."""

T = TypeVar("T")

log = logging.getLogger("steelyard.provider")

Item = Step | BaseException | None


def in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    """A blocking call of an engine's, in a thread of its own that no end of the process waits for: an engine may block
    forever."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001  told to whoever awaits
            done.set_exception(error)

    threading.Thread(target=run, name="engine", daemon=True).start()
    return asyncio.wrap_future(done)


class Running:
    """One run in flight."""

    def __init__(self, accepted: Accepted) -> None:
        self.accepted = accepted
        self.task: asyncio.Task[None] | None = None
        self.cancel: Signed | None = None
        """The buyer's cancel."""
        self.cancel_at: int | None = None
        """Units that the buyer took, once it has cancelled (rule P5)."""
        self.delivered = 0
        """Units handed to the connection."""
        self.left = False
        """True once the connection is gone."""
        self._stop = threading.Event()
        self._cancel: Callable[[], None] = lambda: None
        self._frames: asyncio.Queue[Frame | SteelyardError] = asyncio.Queue()
        self._ended = False

    def stop(self) -> None:
        """The run ends after the unit that it is at; at once, even where it waits for its first one, if the engine's
        steps have a `cancel`."""
        self._stop.set()
        self._cancel()

    def obey(self, cancel: Signed, units: int) -> None:
        """The buyer takes so many units and no more. The first cancel stands."""
        if self.cancel is None:
            self.cancel, self.cancel_at = cancel, units

    def say(self, item: Frame | SteelyardError) -> None:
        """A frame for the connection, or the error that ends the run."""
        if isinstance(item, SteelyardError) or item.receipt is not None:
            self._ended = True
        else:
            self.delivered += len(item.units)
        self._frames.put_nowait(item)

    async def frames(self) -> AsyncIterator[Frame]:
        """For one connection; closing it early without a cancel stops the run. Raises the error that ended it."""
        try:
            while True:
                item = await self._frames.get()
                if isinstance(item, SteelyardError):
                    raise item
                yield item
                if item.receipt is not None:
                    return
        finally:
            self.left = True
            if not self._ended and self.cancel is None:
                self.stop()

    async def units(self, steps: Iterator[Step]) -> AsyncIterator[list[Step]]:
        """Steps as they come, those that are ready together. Raises what the engine raised: the error tree as it is,
        anything else as Unavailable("engine.failed"), whose text stays in our log: it may name our files."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Item] = asyncio.Queue()
        self._cancel = getattr(steps, "cancel", self._cancel)

        def pull() -> None:
            last: Item = None
            try:
                for made, step in enumerate(steps, 1):
                    loop.call_soon_threadsafe(queue.put_nowait, step)
                    if self._stop.is_set() or (self.cancel_at is not None and made >= self.cancel_at):
                        break
            except BaseException as error:  # noqa: BLE001  told to the reader below, never swallowed
                last = error
            finally:
                close = getattr(steps, "close", None)
                if close is not None:
                    close()
                loop.call_soon_threadsafe(queue.put_nowait, last)

        done = in_thread(pull)
        try:
            ended = False
            while not ended:
                ready, ended = await _ready(queue)
                if ready:
                    yield ready
        finally:
            self.stop()
            await asyncio.wait([done], timeout=STOP_SECONDS)


async def _ready(queue: "asyncio.Queue[Item]") -> tuple[list[Step], bool]:
    """All steps that are there, at least one unless the run ended; and whether it did. What was made before an engine
    failed comes first."""
    ready: list[Step] = []
    item = await queue.get()
    while True:
        if item is None:
            return ready, True
        if isinstance(item, BaseException):
            if not ready:
                raise _told(item)
            queue.put_nowait(item)
            return ready, False
        ready.append(item)
        if queue.empty():
            return ready, False
        item = queue.get_nowait()


def _told(error: BaseException) -> BaseException:
    if isinstance(error, SteelyardError):
        return error
    log.error("the engine failed", exc_info=error)
    return Unavailable("engine.failed", "the engine broke off; this provider's log says why")
