"""The JSON-RPC adapter: a contract's refusal arrives under its own word, an endpoint's trouble does not."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from eth_abi.abi import encode

from steelyard.chain import rpc
from steelyard.chain.codec import decode, split
from steelyard.chain.rpc import Rpc, RpcChain, RpcError, refusal
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import ZERO_ADDRESS


def revert(reason: str) -> str:
    """Error(string) as a node returns it."""
    return "0x08c379a0" + encode(["string"], [reason]).hex()


class Endpoint:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"eth_chainId": {"result": "0x7a69"}}
        self.raw: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = outer.raw or json.dumps({"id": asked["id"], **outer.answers[asked["method"]]}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A chain's endpoint that says what a test tells it."""
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def test_a_revert_string_is_the_rule() -> None:
    assert refusal(RpcError(3, "execution reverted", revert("escrow.stale"))).rule == "escrow.stale"
    nested = refusal(RpcError(3, "execution reverted", {"data": revert("bonds.short")}))
    assert isinstance(nested, Refused)
    assert nested.rule == "bonds.short"


def test_a_panic_is_refused_and_a_busy_endpoint_is_unavailable() -> None:
    assert refusal(RpcError(3, "execution reverted", "0x4e487b71" + "00" * 32)).rule == "chain.reverted"
    assert isinstance(refusal(RpcError(-32005, "limit exceeded", None)), Unavailable)


def test_an_endpoint_of_another_chain_is_refused_with_both_numbers(endpoint: Endpoint) -> None:
    with pytest.raises(Refused, match=r"chain\.id.*31337, not 1"):
        RpcChain(endpoint.url, chain_id=1)


def test_an_endpoint_that_talks_garbage_or_is_not_there_is_unavailable(endpoint: Endpoint) -> None:
    rpc = Rpc(endpoint.url)
    endpoint.raw = b"<html>"
    with pytest.raises(Unavailable, match=r"chain\.unreachable"):
        rpc("eth_chainId")
    rpc.close()
    with pytest.raises(Unavailable, match=r"chain\.unreachable"):
        Rpc("http://127.0.0.1:1")("eth_chainId")


def test_the_key_in_an_endpoints_address_is_not_told() -> None:
    with pytest.raises(Unavailable) as told:
        Rpc("http://me:secret@127.0.0.1:1/v3/0123456789abcdef?key=fedcba")("eth_chainId")
    assert told.value.detail.startswith("http://127.0.0.1:1: ConnectionRefusedError ")


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match=r"chain\.url"):
        Rpc("ftp://example")


def test_a_reader_cannot_send(endpoint: Endpoint) -> None:
    chain = RpcChain(endpoint.url)
    with pytest.raises(Refused, match=r"chain\.no-key"):
        chain.send(None, b"")
    chain.close()


def test_return_values_that_are_too_short_are_unavailable_not_a_traceback() -> None:
    with pytest.raises(Unavailable, match=r"chain\.decode"):
        decode(["uint256"], b"\x01")


def test_a_tuple_type_splits_at_its_own_commas_only() -> None:
    assert split("uint8,(address,bytes32)[],string") == ["uint8", "(address,bytes32)[]", "string"]
    assert split("") == []


GONE: dict[str, tuple[dict[str, str] | None, int]] = {
    "the endpoint does not know it": (None, 7),
    "one before it is missing": ({"nonce": "0x9", "from": ZERO_ADDRESS}, 8),
}
"""What is said of a transaction, and how many the account has sent, those in flight included."""


@pytest.mark.parametrize("name", GONE)
def test_a_transaction_that_a_reorganisation_took_is_not_waited_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, sent = GONE[name]
    told: dict[str, object] = {"eth_getTransactionByHash": found, "eth_getTransactionCount": hex(sent)}
    chain: Any = object.__new__(rpc.RpcChain)
    chain.rpc = lambda method, *_: told.get(method)
    monkeypatch.setattr(rpc, "POLL", 0.0)
    with pytest.raises(Unavailable, match=r"chain\.dropped"):
        chain._wait("0x01", {})


def test_a_transaction_that_is_only_slow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[str] = []

    def said(method: str, *_: object) -> object:
        polls.append(method)
        mined = {"status": "0x1", "blockNumber": "0x5", "gasUsed": "0x1", "logs": []}
        flying = {"nonce": "0x7", "from": ZERO_ADDRESS}
        slow = mined if len(polls) > 5 * rpc.LOOK_EVERY else None
        return {"eth_getTransactionByHash": flying, "eth_getTransactionCount": "0x8"}.get(method, slow)

    chain: Any = object.__new__(rpc.RpcChain)
    chain.rpc = said
    monkeypatch.setattr(rpc, "POLL", 0.0)
    assert chain._wait("0x01", {}).block == 5
    assert polls.count("eth_getTransactionByHash") > rpc.GONE
