"""The client side between nodes: post a message, read a message; post an order, read its frames as they come.

What a peer refuses arrives here as the same Refused or Unavailable. What a peer does wrong is Unavailable, never a
refusal of ours: `peer.unreachable`, `peer.timeout`, `peer.garbage`, `peer.cut`.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
import msgspec

from steelyard.protocol.errors import Malformed, SteelyardError, Unavailable
from steelyard.wire.messages import MAX_BODY, PATHS, Failure, Frame, M, Message, OrderRequest
from steelyard.wire.reading import read_json
from steelyard.wire.status import error_of

T = TypeVar("T")

MAX_LINE: Final = 1 << 20  # bytes of one frame


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we wait for a peer, in seconds."""

    connect: float = 5.0
    answer: float = 15.0
    """For a whole message."""
    first_frame: float = 120.0
    """From sending an order to its first frame."""
    next_frame: float = 60.0


class Peers:
    """One connection pool for all peers. `async with Peers() as peers`, or `close()` it."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.patience.connect),
                auto_decompress=False,  # nobody may send us a zip bomb
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.close()

    async def get(self, base: str, path: str, kind: type[M]) -> M:
        """GETs a message; `base` is the peer's URL, `path` a key of `messages.PATHS`."""
        return await self._exchange("GET", base, path, None, kind)

    async def post(self, base: str, path: str, message: Message, kind: type[M]) -> M:
        """Posts a message, reads one."""
        return await self._exchange("POST", base, path, message, kind)

    async def post_maybe(self, base: str, path: str, message: Message, kind: type[M]) -> M | None:
        """Posts a message, reads one or null."""
        return await self._exchange("POST", base, path, message, kind | None)  # type: ignore[arg-type]  # msgspec takes unions

    async def _exchange(self, method: str, base: str, path: str, message: Message | None, kind: type[T]) -> T:
        url = address(base, path)
        try:
            async with asyncio.timeout(self.patience.answer), self._request(method, url, message) as response:
                raw = await _read(response)
                if response.status != 200:
                    raise _failure(url, response.status, raw)
        except TimeoutError as error:
            raise Unavailable("peer.timeout", f"{url}: nothing after {self.patience.answer:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable("peer.unreachable", f"{url}: {type(error).__name__} {error}"[:300]) from error
        return _decode(url, raw, kind)

    def _request(self, method: str, url: str, message: Message | None) -> "aiohttp.client._RequestContextManager":
        raw = b"" if message is None else msgspec.json.encode(message)
        body = io.BytesIO(raw) if len(raw) >= 1 << 20 else raw or None  # aiohttp wants large bodies as files
        headers = {"content-type": "application/json"} if raw else {}
        return self._open().request(method, url, data=body, headers=headers, allow_redirects=False)

    async def order(self, base: str, request: OrderRequest, max_bytes: int = 64 << 20) -> AsyncIterator[Frame]:
        """Posts an order and yields its frames up to the receipt or the error frame (which is yielded, not raised).

        Closing the iterator hangs up. Raises what the provider refused with; Unavailable `peer.unreachable`, `peer.cut`
        if the body ends or breaks off first, `peer.timeout`, `peer.garbage` (not JSON, over MAX_LINE bytes a line or
        `max_bytes` in all)."""
        url = address(base, "orders")
        wait = self.patience.first_frame
        units: int | None = None  # so many came; None: nobody answered yet
        loop = asyncio.get_running_loop()
        until = loop.time() + wait  # one clock for the headers and the first frame
        try:
            async with asyncio.timeout_at(until):
                response = await self._request("POST", url, request)
            units = 0
            async with response:
                if response.status != 200:
                    async with asyncio.timeout_at(until):
                        raise _failure(url, response.status, await _read(response))
                lines = _lines(url, response, max_bytes)
                while True:
                    async with asyncio.timeout_at(until):  # never around a yield: the reader's time is not the peer's
                        line = await anext(lines, None)
                    if line is None:
                        break
                    frame = _decode(url, line, Frame)
                    units += len(frame.units)
                    yield frame
                    if frame.receipt is not None or frame.error is not None:
                        return
                    wait = self.patience.next_frame
                    until = loop.time() + wait
        except TimeoutError as error:
            raise Unavailable("peer.timeout", f"{url}: no frame for {wait:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            why = f"{type(error).__name__} {error}"
            if units is None:
                raise Unavailable("peer.unreachable", f"{url}: {why}"[:300]) from error
            raise Unavailable("peer.cut", f"{url}: after {units} units: {why}"[:300]) from error
        raise Unavailable("peer.cut", f"{url}: the body ended without a receipt after {units} units")


def address(base: str, path: str) -> str:
    """URL of a node's path; `path` is a key of `messages.PATHS`."""
    return base.rstrip("/") + PATHS[path]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        size += len(part)
        if size > MAX_BODY:
            raise Unavailable("peer.garbage", f"{response.url}: over {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


async def _lines(url: str, response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """Lines of a body; a last piece without its newline was cut and is not yielded."""
    rest, size = b"", 0
    async for part in response.content.iter_any():
        size += len(part)
        *lines, rest = (rest + part).split(b"\n")
        if size > max_bytes or max(map(len, lines), default=0) > MAX_LINE or len(rest) > MAX_LINE:
            raise Unavailable("peer.garbage", f"{url}: over {MAX_LINE} bytes a line or {max_bytes} in all")
        for line in lines:
            if line.strip():
                yield line


def _decode(url: str, raw: bytes, kind: type[T]) -> T:
    try:
        return read_json(raw, kind, "peer.garbage")
    except Malformed as error:
        raise Unavailable("peer.garbage", f"{url}: {error.detail}"[:300]) from error


def _failure(url: str, status: int, raw: bytes) -> SteelyardError:
    try:
        failure = read_json(raw, Failure, "peer.garbage")
    except Malformed:
        return Unavailable("peer.garbage", f"{url}: status {status}, no failure of ours")
    return error_of(status, failure.error[:80], failure.detail[:500])
