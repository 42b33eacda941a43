"""Answers with a form: JSON of a schema, calls of functions, logprobs; whole and streamed, held to what was signed."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_gateway_answers import CHAT, Body, play, post, stream
from test_gateway_refusals import CALLED, RESULT, USER, function, named, schema

from bazaar import Bazaar, Seller, honest
from steelyard.engines.alphabet import Alphabet, AlphabetText
from steelyard.engines.grammars import read
from steelyard.protocol import roots
from steelyard.protocol.records import Order
from steelyard.sdk.receipts import check
from steelyard.verification.receipts import Finding, Status
from steelyard.wire.messages import Frame

TEXT = AlphabetText()
SIZE = {"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"], "additionalProperties": False}
SET = function("set_size", description="Sets it.", parameters=SIZE)
TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "required": ["root"],
    "additionalProperties": False,
    "$defs": {
        "node": {"anyOf": [{"enum": [0, 1]}, {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/node"}}]}
    },
}


def findings(document: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in check(json.dumps(document).encode())}


@pytest.mark.parametrize("temperature", [0, 1])
def test_an_answer_is_json_of_the_schema_and_its_receipt_shows_the_grammar(tmp_path: Path, temperature: int) -> None:
    body = {**CHAT, "response_format": schema(SIZE), "temperature": temperature}

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, body)
        assert status == 200, answer
        assert json.loads(answer["choices"][0]["message"]["content"])["n"] in (1, 22)
        assert answer["choices"][0]["finish_reason"] == "stop"
        document = answer["receipt"]
        assert read(document["grammar"].encode()) == ("json", SIZE)
        order = Order.from_json(document["order"]["record"])
        salt = bytes.fromhex(document["prompt_salt"][2:])
        assert order.grammar == roots.grammar_root(document["grammar"].encode(), salt)
        assert findings(document)["grammar"].status is Status.OK
        assert findings({**document, "grammar": document["grammar"] + " "})["grammar"].status is Status.FAILED
        assert findings({**document, "grammar": ""})["grammar"].status is Status.FAILED
        assert "grammar" not in findings((await post(bazaar, CHAT))[1]["receipt"])

    play(tmp_path, story)


def test_json_object_is_any_object(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, {**CHAT, "response_format": {"type": "json_object"}})
        assert read(answer["receipt"]["grammar"].encode()) == ("json", {"type": "object"})
        assert answer["choices"][0]["message"]["content"].startswith("{")

    play(tmp_path, story)


@pytest.mark.parametrize(
    "form", [{"response_format": schema({"not": {}})}, {"tools": [function("f", parameters={"type": "objekt"})]}]
)
def test_a_schema_that_cannot_be_compiled_is_the_clients_own_fault(tmp_path: Path, form: Body) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, {**CHAT, **form})
        assert (status, answer["error"]["code"]) == (400, "order.grammar")
        assert "llguidance: " in answer["error"]["message"]
        assert seller.paid == []

    play(tmp_path, story, seller)


@pytest.mark.parametrize("choice", ["required", named("set_size")])
def test_a_forced_call_comes_whole(tmp_path: Path, choice: Any) -> None:
    body = {**CHAT, "tools": [SET, function("other")], "tool_choice": choice, "max_tokens": 64, "n": 2}

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, body)
        assert status == 200, answer
        for at, told in enumerate(answer["choices"]):
            assert (told["index"], told["finish_reason"]) == (at, "tool_calls")
            assert told["message"]["content"] is None
            (call,) = told["message"]["tool_calls"]
            assert set(call) == {"id", "type", "function"}
            assert call["function"]["name"] in ("set_size", "other")
            assert json.loads(call["function"]["arguments"]) in ({"n": 1}, {"n": 22}, {})
            if choice != "required":
                assert call["function"]["name"] == "set_size"
        assert len({told["message"]["tool_calls"][0]["id"] for told in answer["choices"]}) == 2

    play(tmp_path, story)


def test_a_streamed_call_adds_up_to_the_whole_one(tmp_path: Path) -> None:
    body = {**CHAT, "tools": [function("grow", parameters=TREE)], "tool_choice": "required", "max_tokens": 64}

    async def story(bazaar: Bazaar) -> None:
        _, whole, _ = await post(bazaar, body)
        (wanted,) = whole["choices"][0]["message"]["tool_calls"]
        *chunks, _ = await stream(bazaar, body)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[0] == {"role": "assistant"}
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        assert (calls[0]["index"], calls[0]["type"], calls[0]["function"]) == (
            0,
            "function",
            {"name": "grow", "arguments": ""},
        )
        assert calls[0]["id"].startswith("call_")
        assert {(call["index"], len(call["function"])) for call in calls[1:]} == {(0, 1)}
        assert "".join(call["function"]["arguments"] for call in calls) == wanted["function"]["arguments"]
        assert "root" in json.loads(wanted["function"]["arguments"])
        assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "tool_calls"
        assert not any(delta.get("content") for delta in deltas)

    play(tmp_path, story)


@pytest.mark.parametrize("most", range(24, 40, 3))
def test_a_call_that_is_cut_says_so_and_shows_what_there_is(tmp_path: Path, most: int) -> None:
    body = {**CHAT, "tools": [SET], "tool_choice": "required", "max_tokens": most}

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, body)
        (told,) = answer["choices"]
        assert told["finish_reason"] == "length"
        said = TEXT.decode(answer["receipt"]["answer"])
        if "tool_calls" in told["message"]:
            (call,) = told["message"]["tool_calls"]
            assert said == '{"name": "set_size", "arguments": ' + call["function"]["arguments"]
        else:
            assert said == told["message"]["content"]

    play(tmp_path, story)


def test_a_free_answer_may_be_text_and_none_is_never_a_call(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        for more in ({}, {"tool_choice": "auto"}, {"parallel_tool_calls": True}):
            _, answer, _ = await post(bazaar, {**CHAT, "tools": [SET], **more})
            message = answer["choices"][0]["message"]
            assert read(answer["receipt"]["grammar"].encode())[0] == "text-or-json"
            assert (message["content"] is None) == ("tool_calls" in message)
            *chunks, _ = await stream(bazaar, {**CHAT, "tools": [SET], **more})
            text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
            assert text == (message["content"] or "")
        _, answer, _ = await post(bazaar, {**CHAT, "tools": [SET], "tool_choice": "none"})
        _, plain, _ = await post(bazaar, CHAT)
        assert answer["choices"][0]["message"] == plain["choices"][0]["message"]
        assert "grammar" not in answer["receipt"]

    play(tmp_path, story)


def test_functions_calls_and_results_are_told_to_the_model(tmp_path: Path) -> None:
    called = {**CALLED, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        messages = [{"role": "system", "content": "Be short."}, USER, called, RESULT]
        status, answer, _ = await post(bazaar, {**CHAT, "messages": messages, "tools": [SET]})
        assert status == 200, answer
        told = TEXT.decode(seller.seen[-1].prompt)
        assert told.startswith("system: Be short.\n\nYou can call these functions:\n")
        assert '{"name": "set_size", "description": "Sets it.", "parameters": ' in told
        assert 'assistant: {"name": "f", "arguments": {}}\nuser: Result of f: x\nassistant: ' in told

    play(tmp_path, story, seller)


def test_logprobs_of_a_chat_are_those_that_were_signed(tmp_path: Path) -> None:
    body = {**CHAT, "logprobs": True, "top_logprobs": 3}

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, body)
        (told,) = answer["choices"]
        content = told["logprobs"]["content"]
        assert "".join(entry["token"] for entry in content) == told["message"]["content"]
        assert bytes(byte for entry in content for byte in entry["bytes"]).decode() == told["message"]["content"]
        rows = answer["receipt"]["logprobs"]
        assert len(rows) == len(answer["receipt"]["answer"])
        for entry, row in zip(content, rows, strict=False):
            assert [TEXT.decode([unit]) for unit in row[1::2]] == [other["token"] for other in entry["top_logprobs"]]
            assert all(other["logprob"] <= 0 for other in entry["top_logprobs"])
        assert findings(answer["receipt"])["answer-root"].status is Status.OK
        assert "rows of logprobs" in findings(answer["receipt"])["answer-root"].sentence
        for rows_ in (rows[:-1], [], [[row[0] ^ 1, *row[1:]] for row in rows]):
            assert findings({**answer["receipt"], "logprobs": rows_})["answer-root"].status is Status.FAILED
        *chunks, _ = await stream(bazaar, body)
        streamed = [c["choices"][0]["logprobs"]["content"] for c in chunks if c["choices"][0]["logprobs"]]
        assert [entry for some in streamed for entry in some] == content

    play(tmp_path, story)


def test_logprobs_of_a_text_completion_have_their_older_shape(tmp_path: Path) -> None:
    body: Body = {"model": "alphabet", "prompt": "once", "max_tokens": 9, "seed": 1, "logprobs": 2}

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, body, "/v1/completions")
        told = answer["choices"][0]
        logprobs = told["logprobs"]
        assert "".join(logprobs["tokens"]) == told["text"]
        assert [told["text"][at] for at in logprobs["text_offset"]] == logprobs["tokens"]
        assert {len(top) for top in logprobs["top_logprobs"]} == {2}
        *chunks, _ = await stream(bazaar, body, "/v1/completions")
        parts = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
        assert [at for part in parts for at in part["text_offset"]] == logprobs["text_offset"]
        _, answer, _ = await post(bazaar, {**body, "logprobs": 0}, "/v1/completions")
        assert answer["choices"][0]["logprobs"]["top_logprobs"] is None

    play(tmp_path, story)


def test_logprobs_end_where_a_stop_string_does(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, whole, _ = await post(bazaar, CHAT)
        stop = whole["choices"][0]["message"]["content"][5:7]
        _, answer, _ = await post(bazaar, {**CHAT, "logprobs": True, "stop": stop})
        tokens = "".join(entry["token"] for entry in answer["choices"][0]["logprobs"]["content"])
        assert tokens == answer["choices"][0]["message"]["content"] + stop
        assert len(answer["receipt"]["logprobs"]) == len(answer["receipt"]["answer"])
        assert findings(answer["receipt"])["answer-root"].status is Status.OK

    play(tmp_path, story)


def test_an_answer_without_a_limit_of_its_own_is_as_long_as_its_rows_may_be(tmp_path: Path) -> None:
    """LGP-3."""
    seller = honest(1, max_units=1000)

    async def story(bazaar: Bazaar) -> None:
        body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
        status, answer, _ = await post(bazaar, {**body, "logprobs": True, "top_logprobs": 20})
        assert status == 200, answer
        assert Order.from_json(seller.seen[-1].order.record).max_units == 8192 // 41

    play(tmp_path, story, seller)


class Dropping(Seller):
    """Delivers other rows than it signs."""

    async def frames(self, order: Order, prompt: Any) -> Any:
        async for frame in super().frames(order, prompt):
            yield Frame(units=frame.units, logprobs=[]) if frame.units else frame


class Bending(Seller):
    """Delivers rows that are not those it signs."""

    async def frames(self, order: Order, prompt: Any) -> Any:
        async for frame in super().frames(order, prompt):
            rows = [[row[0] ^ 1, *row[1:]] for row in frame.logprobs]
            yield Frame(units=frame.units, logprobs=rows) if frame.units else frame


@pytest.mark.parametrize(("kind", "rule"), [(Dropping, "provider.logprobs"), (Bending, "provider.wrong-receipt")])
def test_rows_that_were_not_signed_are_not_paid(tmp_path: Path, kind: type[Seller], rule: str) -> None:
    seller = kind(honest(1).key, Alphabet())

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, {**CHAT, "logprobs": True})
        assert status == 502
        assert rule in answer["error"]["message"]
        await bazaar.settled()
        assert seller.vouchers == []

    play(tmp_path, story, seller)


class Cut(Seller):
    """Hangs up after eight units."""

    async def frames(self, order: Order, prompt: Any) -> Any:
        sent = 0
        async for frame in super().frames(order, prompt):
            sent += len(frame.units)
            if sent > 8:
                return
            yield frame


def test_another_provider_goes_on_under_the_same_grammar_with_the_same_rows(tmp_path: Path) -> None:
    """Rule P6."""
    cut = Cut(honest(1).key, Alphabet(), price=1)
    body = {**CHAT, "tools": [SET], "tool_choice": "required", "max_tokens": 64, "logprobs": True, "top_logprobs": 1}
    body |= {"provider": {"sort": "price"}}

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, body)
        (told,) = answer["choices"]
        assert told["finish_reason"] == "tool_calls"
        assert len(cut.seen) == 1
        assert len(answer["receipt"]["answer"]) == len(told["logprobs"]["content"]) + 1
        assert len(answer["receipt"]["logprobs"]) == len(answer["receipt"]["answer"]) - 7
        assert findings(answer["receipt"])["answer-root"].status is Status.OK

    play(tmp_path, story, cut, honest(2))
