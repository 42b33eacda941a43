"""The SDK against a gateway on a socket."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import steelyard.sdk
from bazaar import API_KEY, Bazaar, Seller, honest
from steelyard.protocol.errors import Malformed, Refused, Unavailable
from steelyard.sdk import Client, holds
from steelyard.wire import receipts


@contextmanager
def market(folder: Path, seller: Seller) -> Iterator[Client]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def made() -> Bazaar:
        return Bazaar(folder, [seller])

    bazaar = run(made())
    run(bazaar.__aenter__())
    try:
        yield Client(bazaar.url + "/v1", API_KEY, timeout=20)
        run(bazaar.settled())
    finally:
        run(bazaar.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_the_public_names_are_these() -> None:
    names = ["Answer", "Client", "Finding", "Piece", "ReceiptDocument", "Status", "check", "holds", "verify"]
    assert steelyard.sdk.__all__ == names
    assert all(hasattr(steelyard.sdk, name) for name in steelyard.sdk.__all__)


def test_an_answer_comes_with_a_receipt_that_holds(tmp_path: Path) -> None:
    with market(tmp_path, honest(1)) as client:
        answer = client.chat("hello", "alphabet", max_tokens=12, seed=1)
        assert holds(client.verify(answer.receipt))
        assert answer.completion_tokens == len(answer.receipt.answer)
        found = client.receipt(answer.id)
        assert found["document"] == msgspec.to_builtins(answer.receipt)
        assert [model["id"] for model in client.models()] == ["alphabet"]


def test_a_receipt_survives_a_file_and_a_changed_one_does_not_hold(tmp_path: Path) -> None:
    with market(tmp_path, honest(1)) as client:
        answer = client.chat([{"role": "user", "content": "hello"}], "alphabet", max_tokens=12, seed=1)
    raw = receipts.to_json(answer.receipt)
    assert holds(steelyard.sdk.check(raw))
    for change in ({"answer": answer.receipt.answer[:-1]}, {"prompt": [1]}, {"prompt_salt": "0x" + "00" * 32}):
        assert not holds(steelyard.sdk.check(json.dumps({**json.loads(raw), **change}).encode()))
    for bad in (b"", b"{}", b"[]", raw.replace(b"receipt/1", b"receipt/2"), raw.replace(b'"model"', b'"modal"')):
        with pytest.raises(Malformed):
            steelyard.sdk.check(bad)


def test_a_stream_ends_with_the_whole_answer(tmp_path: Path) -> None:
    with market(tmp_path, honest(1)) as client:
        whole = client.chat("hello", "alphabet", max_tokens=12, seed=1)
        *pieces, last = client.stream("hello", "alphabet", max_tokens=12, seed=1)
        assert last.answer is not None
        assert "".join(piece.text for piece in pieces) == last.answer.text == whole.text
        assert holds(client.verify(last.answer.receipt))


def test_refusals_keep_their_rule_and_their_numbers(tmp_path: Path) -> None:
    with market(tmp_path, honest(1)) as client:
        for options, rule in (({"n": 0}, "request.value"), ({"tools": [1]}, "request.unsupported-parameter")):
            with pytest.raises(Refused) as caught:
                client.chat("hello", "alphabet", **options)
            assert caught.value.rule == rule
            assert not caught.value.detail.startswith(rule)
        with pytest.raises(Refused) as caught:
            Client(client.base_url, "sk-other").models()
        assert caught.value.rule == "request.key"
        with pytest.raises(Refused) as caught:
            client.receipt("chatcmpl-0/../../models")
        assert caught.value.rule in ("request.unknown-receipt", "wire.path")


def test_calls_are_not_lost_in_silence(tmp_path: Path) -> None:
    with market(tmp_path, honest(1)) as client, pytest.raises(Refused, match=r"tools: this client reads text"):
        client.chat("hello", "alphabet", tools=[{"type": "function", "function": {"name": "f"}}])


def test_a_failure_in_the_middle_of_a_stream_is_raised(tmp_path: Path) -> None:
    class Cut(Seller):
        async def frames(self, order: Any, prompt: Any) -> Any:
            async for frame in super().frames(order, prompt):
                if frame.receipt is None:
                    yield frame

    usual = honest(1)
    with market(tmp_path, Cut(usual.key, usual.engine)) as client:
        with pytest.raises(Unavailable) as caught:
            list(client.stream("hello", "alphabet", max_tokens=12))
        assert caught.value.rule == "provider.failed"


def test_nobody_at_home_and_no_url_are_told() -> None:
    with pytest.raises(Unavailable) as caught:
        Client("http://127.0.0.1:9/v1", "x", timeout=1).models()
    assert caught.value.rule == "gateway.unreachable"
    with pytest.raises(Refused):
        Client("ftp://x")
