"""What a client sends wrong is refused by name, in OpenAI's shape, with the numbers; nothing is a 500."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_gateway_answers import CHAT, HEADERS, play, post

from bazaar import API_KEY, CHANNEL, Bazaar, channel, honest
from steelyard.nodes.gateway.spending import ApiKey
from steelyard.protocol.units import MicroToken, Timestamp

MESSAGES = CHAT["messages"]
LONG = [{"role": "user", "content": "x" * 3_000}]
USER = {"role": "user", "content": "hello"}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "x"}
JSON = {"type": "json_object"}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def deep(levels: int) -> dict[str, Any]:
    return {"items": deep(levels - 1)} if levels else {}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def schema(told: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": told}}


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "gpt-9"}, 404, "model_not_found", "model"),
        ({"model": 7}, 400, "request.value", "model"),
        ({"messages": []}, 400, "request.value", "messages"),
        ({"messages": "hello"}, 400, "request.value", "messages"),
        ({"messages": None}, 400, "request.missing", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "request.value", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, 400, "request.value", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            400,
            "unsupported_parameter",
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]},
            400,
            "request.missing",
            "messages[0].tool_calls[0].id",
        ),
        ({"messages": [USER, {**CALLED, "role": "user"}]}, 400, "request.value", "messages[1].tool_calls"),
        ({"messages": [USER, RESULT]}, 400, "request.value", "messages[1].tool_call_id"),
        ({"messages": [{"role": "assistant"}]}, 400, "request.value", "messages[0].content"),
        ({"tools": [{"type": "function"}]}, 400, "request.missing", "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {}}]}, 400, "request.value", "tools[0].type"),
        ({"tools": [function("f"), function("f")]}, 400, "request.value", "tools"),
        ({"tools": [function("f g")]}, 400, "request.value", "tools[0].function.name"),
        ({"tools": [function("f", parameters=7)]}, 400, "request.value", "tools[0].function.parameters"),
        ({"tool_choice": "required"}, 400, "request.value", "tool_choice"),
        ({"tool_choice": "always"}, 400, "request.value", "tool_choice"),
        ({"tool_choice": named("g"), "tools": [function("f")]}, 400, "request.value", "tool_choice.function.name"),
        ({"tools": [function("f")], "response_format": JSON}, 400, "unsupported_parameter", "response_format"),
        ({"response_format": {"type": "xml"}}, 400, "request.value", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, 400, "request.value", "response_format.json_schema"),
        ({"response_format": schema([])}, 400, "request.value", "response_format.json_schema.schema"),
        ({"response_format": schema({"const": "x" * 40_000})}, 400, "order.grammar-limit", None),
        ({"response_format": schema(deep(400))}, 400, "request.json", None),
        ({"tools": [function("f", parameters=deep(33))]}, 400, "order.grammar-limit", None),
        ({"top_logprobs": 2}, 400, "request.value", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "request.value", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 20, "max_tokens": 200}, 400, "request.value", "logprobs"),
        ({"logprobs": 3}, 400, "request.value", "logprobs"),
        ({"logit_bias": {"5": 1}}, 400, "unsupported_parameter", "logit_bias"),
        ({"frequency_penalty": 0.1}, 400, "unsupported_parameter", "frequency_penalty"),
        ({"presence_penalty": -1}, 400, "unsupported_parameter", "presence_penalty"),
        ({"store": True}, 400, "unsupported_parameter", "store"),
        ({"wibble": 1}, 400, "unsupported_parameter", "wibble"),
        ({"provider": {"zdr": True}}, 400, "unsupported_parameter", "provider.zdr"),
        ({"provider": {"assurance": {"regions": ["eu"]}}}, 400, "unsupported_parameter", "provider.assurance.regions"),
        ({"provider": {"assurance": {"level": "proved"}}}, 400, "unsupported_parameter", "provider.assurance.level"),
        ({"provider": {"assurance": {"audit_rate": 2}}}, 400, "request.value", "provider.assurance.audit_rate"),
        ({"provider": {"max_price": {"prompt": "much"}}}, 400, "request.value", "provider.max_price.prompt"),
        ({"provider": {"max_price": {"prompt": "0.5"}}}, 402, "price_cap_exceeded", None),
        ({"provider": {"order": ["0x00"], "allow_fallbacks": False}}, 503, "no_provider", None),
        ({"provider": {"only": ["0x00"]}}, 503, "no_provider", None),
        ({"provider": {"assurance": {"min_bond": 10**9}}}, 503, "no_provider", None),
        ({"temperature": 3}, 400, "request.value", "temperature"),
        ({"temperature": -0.1}, 400, "request.value", "temperature"),
        ({"top_p": 0}, 400, "request.value", "top_p"),
        ({"n": 0}, 400, "request.value", "n"),
        ({"n": 9}, 400, "request.value", "n"),
        ({"max_tokens": 0}, 400, "request.value", "max_tokens"),
        ({"stop": ["a"] * 5}, 400, "request.value", "stop"),
        ({"stop": ""}, 400, "request.value", "stop"),
        ({"stream_options": {"include_usage": True}}, 400, "request.value", "stream_options"),
        ({"messages": LONG}, 400, "context_length_exceeded", None),
        ({"max_tokens": 65}, 400, "context_length_exceeded", None),
    ],
)
def test_a_bad_request_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        got, answer, headers = await post(bazaar, {**CHAT, **change})
        error = answer["error"]
        assert (got, error["code"], error["param"]) == (status, code, param), answer
        assert set(error) == {"message", "type", "param", "code", "rule"}
        assert headers["x-request-id"].startswith("req_")
        assert "x-should-retry" not in headers
        assert seller.seen == []

    play(tmp_path, story, seller)


def test_what_asks_for_nothing_is_tolerated(tmp_path: Path) -> None:
    harmless = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "tools": [],
        "tool_choice": "auto",
        "logit_bias": {},
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logprobs": False,
        "response_format": {"type": "text"},
        "stop": None,
        "seed": -5,
        "max_completion_tokens": 3,
        "provider": {"zdr": False, "require_parameters": True, "data_collection": "allow"},
    }

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, {**CHAT, **harmless})
        assert status == 200, answer
        assert answer["usage"]["completion_tokens"] <= 3

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format or tools"),
    ],
)
def test_what_a_contract_cannot_follow_is_not_sold_as_disputable(
    tmp_path: Path, asked: dict[str, Any], param: str
) -> None:
    async def story(bazaar: Bazaar) -> None:
        disputable = CHAT | {"provider": {"assurance": {"level": "disputable"}}}
        assert (await post(bazaar, disputable | {"top_k": 5, "top_p": 0.5}))[0] == 200
        status, answer, _ = await post(bazaar, disputable | asked)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "unsupported_parameter", param)

    play(tmp_path, story, honest(1, level=3))


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "request.json"),
        (b"{", 400, "request.json"),
        (b"[]", 400, "request.json"),
        (b"\xff", 400, "request.json"),
        (b'{"model":"alphabet","messages":[{"role":"user","content":"\\ud800"}]}', 400, "request.json"),
        (b"[" * 100_000, 400, "request.json"),
        (b" " * (8 << 20) + b"{}", 413, "request_too_large"),
    ],
)
def test_bodies_that_are_none_are_refused(tmp_path: Path, raw: bytes, status: int, code: str) -> None:
    async def story(bazaar: Bazaar) -> None:
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(bazaar.url + "/v1/chat/completions", data=io.BytesIO(raw)) as response,
        ):
            answer = await response.json()
            assert (response.status, answer["error"]["code"]) == (status, code)

    play(tmp_path, story)


def test_keys_hosts_paths_and_methods_are_checked(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        async with aiohttp.ClientSession() as session:

            async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
                async with session.request(method, bazaar.url + path, headers=headers) as response:
                    return response.status, (await response.json())["error"]["code"]

            bearer = {"authorization": f"Bearer {API_KEY}"}
            assert await ask("/v1/models") == (401, "invalid_api_key")
            assert await ask("/v1/models", authorization="Bearer sk-tes") == (401, "invalid_api_key")
            assert await ask("/v1/chat/completions", "POST") == (401, "invalid_api_key")
            assert await ask("/v1/models", host="evil.example", **bearer) == (403, "request.host")
            assert await ask("/v1/nothing", **bearer) == (404, "wire.path")
            assert await ask("/v1/chat/completions", **bearer) == (405, "wire.method")
            assert await ask("/v1/embeddings", "POST", **bearer) == (501, "request.not-offered")
            assert await ask("/v1/receipts/0xzz", **bearer) == (400, "record.hex")
            assert await ask("/v1/receipts/chatcmpl-1", **bearer) == (404, "request.unknown-receipt")
            async with session.post(bazaar.url + "/steelyard/v1/audits", data=b"{}") as response:
                assert (response.status, (await response.json())["error"]) == (400, "wire.body")

    play(tmp_path, story)


def test_a_price_cap_and_a_budget_are_told_with_the_numbers(tmp_path: Path) -> None:
    keys = (ApiKey(API_KEY, "a", daily_budget=100, price_cap=60), ApiKey("sk-poor", "b", price_cap=10))

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, CHAT, authorization="Bearer sk-poor")
        assert (status, answer["error"]["code"]) == (402, "price_cap_exceeded")
        assert "> 10 per request" in answer["error"]["message"]
        codes = []
        for _ in range(4):
            status, answer, headers = await post(bazaar, CHAT)
            await bazaar.settled()
            codes.append(answer.get("error", {}).get("code", status))
        assert codes[0] == 200
        assert codes[-1] == "budget_exceeded"
        assert status == 402
        assert "100 micro-tokens a day" in answer["error"]["message"]
        assert "x-should-retry" not in headers

    play(tmp_path, story, keys=keys)


@pytest.mark.parametrize("stream", [False, True])
def test_a_cap_binds_all_answers_to_a_request_and_none_is_bought_over_it(stream: bool, tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        status, answer, headers = await post(bazaar, CHAT | {"n": 4, "stream": stream})
        assert (status, answer["error"]["code"]) == (402, "price_cap_exceeded")
        assert "x-should-retry" not in headers
        assert not any(seller.seen for seller in bazaar.sellers)
        status, _, _ = await post(bazaar, CHAT)
        assert status == 200

    play(tmp_path, story, keys=(ApiKey(API_KEY, "a", price_cap=60),))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cap": MicroToken(30)}, "micro-tokens"),
        ({"closes_at": Timestamp(5)}, "closing"),
        ({"expiry": Timestamp(1_900_000_100)}, "expires at 1900000100"),
        ({"session_key": "0x" + "11" * 20}, "is not ours"),
    ],
)
def test_a_channel_that_cannot_pay_is_insufficient_escrow(tmp_path: Path, changes: Any, told: str) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        bazaar.ledger.channels[CHANNEL] = channel(**changes)
        await bazaar.gateway.desk.book.refresh()
        status, answer, _ = await post(bazaar, CHAT)
        assert (status, answer["error"]["code"]) == (402, "insufficient_escrow")
        assert told in answer["error"]["message"]
        assert seller.seen == []

    play(tmp_path, story, seller)


def test_a_channel_that_was_topped_up_is_seen_at_once(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        bazaar.ledger.channels[CHANNEL] = channel(cap=MicroToken(30))
        await bazaar.gateway.desk.book.refresh()
        bazaar.ledger.channels[CHANNEL] = channel()
        assert (await post(bazaar, CHAT))[0] == 200

    play(tmp_path, story)


def test_a_chain_that_does_not_answer_does_not_stop_the_buying(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        bazaar.ledger.broken = True
        await bazaar.gateway.desk.book.refresh()
        assert (await post(bazaar, CHAT))[0] == 200
        async with aiohttp.ClientSession() as session, session.get(bazaar.url + "/health") as response:
            assert (await response.json())["status"] == "degraded"

    play(tmp_path, story)


def test_a_request_beyond_the_unpaid_answers_waits_its_turn(tmp_path: Path) -> None:
    seller = honest(1, max_unpaid=1, pause=0.01)

    async def story(bazaar: Bazaar) -> None:
        answers = await asyncio.gather(*(post(bazaar, CHAT) for _ in range(4)))
        assert [status for status, _, _ in answers] == [200] * 4
        await bazaar.settled()
        assert seller.vouchers[-1].count == 4

    play(tmp_path, story, seller)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        *("messages", "model", "stop", "n", "seed", "temperature", "top_p", "top_k", "max_tokens", "provider", "tools"),
        *("stream", "stream_options", "logit_bias", "prompt", "max_completion_tokens", "response_format", "user"),
    ]
)
contents = st.text(max_size=20) | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}))
likely = st.fixed_dictionaries(
    {
        "model": st.just("alphabet") | st.text(max_size=4),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "x"]), "content": contents}), max_size=3
        ),
        "max_tokens": st.just(4),
    },
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "seed": st.integers(-(2**65), 2**65),
        "n": st.integers(-1, 9),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=5) | st.none(),
        "stream": st.booleans(),
        "top_k": st.integers(-1, 2**33),
        "provider": st.fixed_dictionaries(
            {},
            optional={
                "sort": st.sampled_from(["price", "latency", "throughput", "x"]),
                "order": st.lists(st.text(max_size=3), max_size=2),
                "max_price": st.dictionaries(st.sampled_from(["prompt", "completion"]), st.text(max_size=3)),
            },
        ),
    },
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bazaar that lives on its own loop for the whole module."""
    loop = asyncio.new_event_loop()
    bazaar = Bazaar(tmp_path_factory.mktemp("fuzz"), [honest(1, max_unpaid=9)])
    loop.run_until_complete(bazaar.__aenter__())
    yield loop, bazaar
    loop.run_until_complete(bazaar.settled())
    loop.run_until_complete(bazaar.__aexit__())
    loop.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@given(body=likely | st.dictionaries(names, json_values) | likely.flatmap(lambda b: st.builds(dict, st.just(b))))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_body_is_answered_with_a_500(fuzzed: Any, path: str, body: dict[str, Any]) -> None:
    loop, bazaar = fuzzed
    raw = json.dumps(body).encode()

    async def ask() -> tuple[int, str]:
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(bazaar.url + path, data=raw) as response,
        ):
            return response.status, await response.text()

    status, text = loop.run_until_complete(ask())
    assert status in (200, 400, 402, 404, 413, 503), text
    assert "wire.internal" not in text
    if status != 200:
        assert set(json.loads(text)["error"]) == {"message", "type", "param", "code", "rule"}


@given(change=st.dictionaries(names, json_values, min_size=1, max_size=2))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_change_to_a_good_body_is_answered_with_a_500(fuzzed: Any, change: dict[str, Any]) -> None:
    test_no_body_is_answered_with_a_500.hypothesis.inner_test(fuzzed, "/v1/chat/completions", {**CHAT, **change})
