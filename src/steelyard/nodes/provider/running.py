"""An engine's blocking iterator on the event loop: a thread runs ahead by a few units, and stops when told to."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from steelyard.engines.base import Step
from steelyard.protocol.errors import SteelyardError, Unavailable
from steelyard.wire.messages import Signed

Item = Step | BaseException | None


class Running:
    """One run in flight."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self.cancel_at: int | None = None
        """Units that the buyer took, once it has cancelled (rule P5)."""
        self.cancel: Signed | None = None
        """The cancel itself."""

    def stop(self) -> None:
        """The run ends after the unit that it is at."""
        self._stop.set()

    async def units(self, steps: Iterator[Step], threads: ThreadPoolExecutor) -> AsyncIterator[list[Step]]:
        """Steps as they come, those that are ready together. Raises what the engine raised: the error tree as it is,
        anything else as Unavailable("engine.failed")."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Item] = asyncio.Queue()

        def pull() -> None:
            last: Item = None
            try:
                for step in steps:
                    loop.call_soon_threadsafe(queue.put_nowait, step)
                    if self._stop.is_set():
                        break
            except BaseException as error:  # noqa: BLE001  told to the reader below, never swallowed
                last = error
            finally:
                close = getattr(steps, "close", None)
                if close is not None:
                    close()
                loop.call_soon_threadsafe(queue.put_nowait, last)

        done = loop.run_in_executor(threads, pull)
        try:
            ended = False
            while not ended:
                ready: list[Step] = []
                item = await queue.get()
                while True:
                    if item is None:
                        ended = True
                    elif isinstance(item, BaseException):
                        raise _told(item)
                    else:
                        ready.append(item)
                    if ended or queue.empty():
                        break
                    item = queue.get_nowait()
                if ready:
                    yield ready
        finally:
            self._stop.set()
            await asyncio.shield(done)


def _told(error: BaseException) -> BaseException:
    if isinstance(error, SteelyardError):
        return error
    failure = Unavailable("engine.failed", f"{type(error).__name__}: {error!s:.200}")
    failure.__cause__ = error
    return failure
