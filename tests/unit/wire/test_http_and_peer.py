"""The road between two nodes, over a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable
from steelyard.wire import http, peer
from steelyard.wire.messages import PATHS, Done, Frame, OrderRequest, Signed, VoucherQuery
from steelyard.wire.status import answer_of, error_of, param_of

SIGNED = Signed(record={"version": 1}, signature="0x00")
ORDER = OrderRequest(order=SIGNED, prompt=[1, 2], salt="0x00")
QUICK = peer.Patience(connect=1.0, answer=0.3, first_frame=0.3, next_frame=0.3)

Endpoint = Callable[[Request], Awaitable[Response]]


@contextlib.asynccontextmanager
async def served(endpoint: Endpoint, path: str = "orders") -> AsyncIterator[str]:
    app = http.app([Route(PATHS[path], endpoint, methods=["GET", "POST"])])
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def ask(endpoint: Endpoint) -> list[Frame]:
    async with served(endpoint) as url, peer.Peers(QUICK) as peers:
        return [frame async for frame in peers.order(url, ORDER)]


def raw(*parts: bytes, pause: float = 0.0) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
                await asyncio.sleep(pause)

        return StreamingResponse(body())

    return endpoint


def test_a_port_that_is_taken_or_none_is_refused_before_anything_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=rf"port\.taken: 127\.0\.0\.1:{port}: Address already in use"):
            http.require_port("127.0.0.1", port)
    http.require_port("127.0.0.1", port)
    with pytest.raises(Refused, match=r"port\.range: 65536, at most 65535"):
        http.require_port("127.0.0.1", 65536)


def test_frames_arrive_up_to_the_receipt_and_not_beyond() -> None:
    lines = b'{"units":[1,2]}\n{"un', b'its":[3]}\n\n', b'{"receipt":{"record":{},"signature":"0x"}}\n{"units":[9]}\n'
    frames = asyncio.run(ask(raw(*lines)))
    assert [frame.units for frame in frames] == [[1, 2], [3], []]
    assert frames[-1].receipt is not None


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [
        (raw(b'{"units":[1]}\n'), "peer.cut"),
        (raw(b'{"units":[1]}\n{"receipt":'), "peer.cut"),
        (raw(b"garbage\n"), "peer.garbage"),
        (raw(b'{"units":["a"]}\n'), "peer.garbage"),
        (raw(b'{"unit":[1]}\n'), "peer.garbage"),
        (raw(b"[" * 100_000 + b"\n"), "peer.garbage"),
        (raw(b"\xff\xfe\n"), "peer.garbage"),
        (raw(b"1" * (peer.MAX_LINE + 2)), "peer.garbage"),
        (raw(b'{"units":[1]}\n', b'{"units":[1]}\n', pause=0.8), "peer.timeout"),
    ],
)
def test_what_a_peer_does_wrong_is_unavailable_by_name(endpoint: Endpoint, rule: str) -> None:
    with pytest.raises(Unavailable) as caught:
        asyncio.run(ask(endpoint))
    assert caught.value.rule == rule


def test_a_provider_that_is_killed_in_mid_answer_has_cut_it() -> None:
    """What a socket says when its process is gone: the chunked body ends before its last chunk."""

    async def killed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        frames = b'{"units":[1,2]}\n{"units":[3]}\n'
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(frames), frames))
        await writer.drain()
        writer.transport.abort()

    async def story() -> None:
        async with await asyncio.start_server(killed, "127.0.0.1", 0) as server, peer.Peers(QUICK) as peers:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async for _ in peers.order(url, ORDER):
                pass

    with pytest.raises(Unavailable, match=r"peer\.cut: http://\S+: after 3 units: Client\w+Error ."):
        asyncio.run(story())


def test_a_refusal_travels_by_its_name_and_numbers() -> None:
    async def endpoint(request: Request) -> Response:
        await http.read_message(request, OrderRequest)
        raise Refused("voucher.stale", "amount 9 <= accepted 12")

    with pytest.raises(Refused) as caught:
        asyncio.run(ask(endpoint))
    assert (caught.value.rule, caught.value.detail) == ("voucher.stale", "amount 9 <= accepted 12")


def test_an_error_in_the_middle_of_a_stream_becomes_its_last_frame() -> None:
    async def frames() -> AsyncIterator[Frame]:
        yield Frame(units=[7])
        raise Unavailable("engine.closed", "shutting down")

    async def endpoint(request: Request) -> Response:
        return http.reply_frames(frames())

    got = asyncio.run(ask(endpoint))
    assert got == [Frame(units=[7]), Frame(error="engine.closed", detail="shutting down")]


def test_nobody_at_home_is_unreachable() -> None:
    async def story() -> None:
        async with peer.Peers(QUICK) as peers:
            await peers.get("http://127.0.0.1:9", "offers", Done)

    async def order() -> None:
        async with peer.Peers(QUICK) as peers:
            await anext(peers.order("http://127.0.0.1:9", ORDER))

    for play in (story, order):
        with pytest.raises(Unavailable) as caught:
            asyncio.run(play())
        assert caught.value.rule == "peer.unreachable"


def test_null_is_an_answer_where_it_is_asked_for() -> None:
    async def endpoint(request: Request) -> Response:
        return http.reply(None)

    async def story() -> Signed | None:
        query = VoucherQuery(channel="0x", offer="0x")
        async with served(endpoint, "last_voucher") as url, peer.Peers(QUICK) as peers:
            return await peers.post_maybe(url, "last_voucher", query, Signed)

    assert asyncio.run(story()) is None


def client(endpoint: Endpoint) -> TestClient:
    route = Route("/", endpoint, methods=["POST"])
    app = http.app([route], hosts=http.LOOPBACK)
    return TestClient(app, base_url="http://127.0.0.1:1", raise_server_exceptions=False)


async def reads(request: Request) -> Response:
    return http.reply(await http.read_message(request, VoucherQuery, limit=64))


async def breaks(request: Request) -> Response:
    raise ZeroDivisionError("secret")


@pytest.mark.parametrize(
    ("endpoint", "body", "status", "rule"),
    [
        (reads, b"{", 400, "wire.body"),
        (reads, b"[" * 60, 400, "wire.body"),
        (reads, b'{"channel":"a","offer":"b","x":1}', 400, "wire.body"),
        (reads, b" " * 65, 413, "wire.too-large"),
        (breaks, b"", 503, "wire.internal"),
    ],
)
def test_a_bad_request_is_refused_by_name_and_without_a_traceback(
    endpoint: Endpoint, body: bytes, status: int, rule: str
) -> None:
    answer = client(endpoint).post("/", content=body)
    assert (answer.status_code, answer.json()["error"]) == (status, rule)
    assert answer.headers["x-request-id"].startswith("req_")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_unknown_paths_and_methods_are_refused_in_our_shape() -> None:
    assert client(reads).get("/nowhere").json()["error"] == "wire.path"
    assert client(reads).get("/").json()["error"] == "wire.method"


def test_a_foreign_host_is_refused_before_anything_is_read() -> None:
    answer = client(reads).post("/", headers={"host": "evil.example:1"})
    assert (answer.status_code, answer.json()["error"]) == (403, "request.host")
    assert client(reads).post("/", headers={"host": "[::1]:8"}, content=b"{").status_code == 400


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refused("budget.exceeded", ""), 402, "budget_exceeded"),
        (Refused("voucher.chain", ""), 402, "voucher.chain"),
        (Malformed("record.fields", ""), 400, "record.fields"),
        (Unavailable("journal.disk", ""), 503, "journal.disk"),
        (Refused("request.model", "model: no x"), 404, "model_not_found"),
    ],
)
def test_a_rule_has_its_row_or_its_rooms_or_its_class(error: SteelyardError, status: int, code: str) -> None:
    assert (answer_of(error).status, answer_of(error).code) == (status, code)


def test_a_parameter_is_named_only_by_rules_that_name_one() -> None:
    assert param_of(Refused("request.unsupported-parameter", "tools: not sold yet")) == "tools"
    assert param_of(Refused("request.value", "no colon")) is None
    assert param_of(Refused("voucher.stale", "amount: 9")) is None


def test_a_status_of_500_and_more_is_never_the_senders_fault() -> None:
    assert isinstance(error_of(503, "a", ""), Unavailable)
    assert isinstance(error_of(402, "a", ""), Refused)
