"""The road as the auditor's threads use it: ask a node, get a message, block meanwhile."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from steelyard.protocol.errors import Refused, Unavailable
from steelyard.wire.messages import M, Message
from steelyard.wire.peer import Patience, Peers

T = TypeVar("T")

MAX_URL: Final = 256  # characters
LONGEST: Final = 60.0  # seconds; the peers' own patience is shorter


class Road(Protocol):
    """Asks other nodes. Raises what `wire.peer.Peers` raises."""

    def post(self, base: str, path: str, message: Message, kind: type[M]) -> M: ...

    def post_maybe(self, base: str, path: str, message: Message, kind: type[M]) -> M | None: ...


class PeerRoad:
    """`Road` over `Peers`, whose event loop runs in a thread of its own."""

    def __init__(self, patience: Patience | None = None, *, private: bool = True) -> None:
        """`private`: whether loopback and private addresses may be asked."""
        self._peers, self._private = Peers(patience), private
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="road", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Closes every connection and ends the thread."""
        asyncio.run_coroutine_threadsafe(self._peers.close(), self._loop).result(LONGEST)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post(self, base: str, path: str, message: Message, kind: type[M]) -> M:
        """Posts a message, reads one."""
        self._allow(base)
        return self._wait(asyncio.run_coroutine_threadsafe(self._peers.post(base, path, message, kind), self._loop))

    def post_maybe(self, base: str, path: str, message: Message, kind: type[M]) -> M | None:
        """Posts a message, reads one or null."""
        self._allow(base)
        asked = self._peers.post_maybe(base, path, message, kind)
        return self._wait(asyncio.run_coroutine_threadsafe(asked, self._loop))

    def _allow(self, base: str) -> None:
        host = require_url(base)
        if not self._private:
            require_public(host, _addresses)

    @staticmethod
    def _wait(future: "Future[T]") -> T:
        try:
            return future.result(LONGEST)
        except FutureTimeout as error:
            future.cancel()
            raise Unavailable("peer.timeout", f"nothing after {LONGEST:g} s") from error


def require_url(url: str) -> str:
    """The host of an http(s) URL. Raises Refused("source.url"): another scheme, user data, a query, too long."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise Refused("source.url", f"{len(url)} characters, at most {MAX_URL} printable ones")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("source.url", f"{url!r}: {error}") from error
    plain = parts.scheme in ("http", "https") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not plain or not parts.hostname or port == 0:
        raise Refused("source.url", f"{url!r} is not http(s)://host[:port][/path]")
    return parts.hostname


def require_public(host: str, resolve: Callable[[str], list[str]]) -> None:
    """Raises Refused("source.private") if an address of `host` is not public; what `resolve` raises."""
    for address in resolve(host):
        if not ipaddress.ip_address(address.partition("%")[0]).is_global:
            raise Refused("source.private", f"{host} is {address}")


def _addresses(host: str) -> list[str]:
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except OSError as error:
        raise Unavailable("peer.unreachable", f"{host}: {error}") from error
