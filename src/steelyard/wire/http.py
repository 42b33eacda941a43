"""Starlette pieces that every node shares: bounded bodies, messages in and out, one handler for the error tree.

`app(routes, ...)` puts them together. A refusal is a `Failure` with the status of `status.answer_of`; nothing that a
client sends is answered with a traceback; every response carries `x-request-id`.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.wire.messages import MAX_BODY, Failure, Frame, M, Message, decode
from steelyard.wire.status import answer_of

BODY_SECONDS: Final = 60.0  # a body that takes longer to arrive is refused
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
NDJSON: Final = "application/x-ndjson"

log = logging.getLogger("steelyard.wire")

Teller = Callable[[Request, SteelyardError], Response]
"""Puts an error into a face's shape (`Failure`, OpenAI)."""
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def require_port(host: str, port: int) -> None:
    """Raises Refused("port.range" | "port.taken") if no server could listen there now."""
    if not 0 <= port < 1 << 16:
        raise Refused("port.range", f"{port}, at most 65535")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise Refused("port.taken", f"{host}:{port}: {error.strerror or error}") from error


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises Refused("wire.too-large") over `limit` bytes, Refused("wire.slow"), Unavailable."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise Refused("wire.too-large", f"{declared[:20]} bytes, at most {limit}")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused("wire.too-large", f"{size} bytes or more, at most {limit}")
                parts.append(part)
    except TimeoutError as error:
        raise Refused("wire.slow", f"body not complete after {BODY_SECONDS:.0f} s") from error
    except ClientDisconnect as error:
        raise Unavailable("wire.cut", f"client left after {size} bytes") from error
    return b"".join(parts)


async def read_message(request: Request, kind: type[M], limit: int = MAX_BODY) -> M:
    """The body as a message. Raises Malformed("wire.body"), Refused("wire.too-large")."""
    return decode(kind, await read_body(request, limit))


def reply(message: Message | None, status: int = 200) -> Response:
    """A message (or null) as a response."""
    return Response(msgspec.json.encode(message), status, media_type="application/json")


def reply_failure(request: Request, error: SteelyardError) -> Response:
    """A refusal between nodes."""
    del request
    return reply(Failure(error.rule, error.detail), answer_of(error).status)


def reply_frames(frames: AsyncIterator[Frame]) -> Response:
    """A stream of frames, one JSON object per line. An error of ours in the middle becomes the last frame."""
    return StreamingResponse(_lines(frames), media_type=NDJSON, headers={"cache-control": "no-cache"})


async def _lines(frames: AsyncIterator[Frame]) -> AsyncIterator[bytes]:
    encode = msgspec.json.Encoder().encode
    try:
        async for frame in frames:
            yield encode(frame) + b"\n"
    except SteelyardError as error:
        yield encode(Frame(error=error.rule, detail=error.detail)) + b"\n"


class RequestIds:
    """ASGI middleware: one id per request, in `scope["state"]["request_id"]` and in the header `x-request-id`."""

    def __init__(self, app: ASGIApp, new: Callable[[], str] = lambda: "req_" + secrets.token_hex(12)) -> None:
        self.app, self.new = app, new

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = self.new()
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, send_with_id)


class HostGuard:
    """ASGI middleware: refuses a Host that is not ours, so that a web page cannot rebind its name to us."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], tell: Teller) -> None:
        """`hosts`: names without port; `*` allows all."""
        self.app, self.hosts, self.tell = app, frozenset(host.lower() for host in hosts), tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self.hosts:
            request = Request(scope)
            name = host_name(request.headers.get("host", ""))
            if name not in self.hosts:
                error = Refused("request.host", f"host {name[:80]!r} is not one of {sorted(self.hosts)}")
                await self.tell(request, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def host_name(host: str) -> str:
    """A Host header's name without port and brackets, lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def http_error(error: HTTPException) -> SteelyardError:
    """Starlette's own refusals (no such path, no such method) under our names."""
    rule = {404: "wire.path", 405: "wire.method"}.get(error.status_code, "wire.status")
    return Refused(rule, f"{error.status_code} {error.detail}")


def handlers(tell: Teller) -> Mapping[Any, Any]:
    """Exception handlers: the error tree and Starlette's own are told; anything else is a fault of ours, logged with
    its traceback on our side and told as Unavailable("wire.internal")."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, SteelyardError)
        return tell(request, error)

    async def starlettes(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return tell(request, http_error(error))

    async def ours(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return tell(request, Unavailable("wire.internal", type(error).__name__))

    return {SteelyardError: known, HTTPException: starlettes, Exception: ours}


def app(
    routes: Sequence[BaseRoute],
    *,
    tell: Teller = reply_failure,
    hosts: Collection[str] = ("*",),
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """A node's ASGI application. `hosts`: allowed Host names (HostGuard); `lifespan`: Starlette's."""
    inner = Starlette(routes=routes, exception_handlers=handlers(tell), lifespan=lifespan)
    return RequestIds(HostGuard(inner, hosts, tell))
