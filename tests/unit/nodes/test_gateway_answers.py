"""Buying an answer: the whole way from a client's request to a voucher."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bazaar import API_KEY, CHANNEL, DOMAIN, Bazaar, Seller, honest
from steelyard.engines.alphabet import Alphabet, AlphabetText
from steelyard.engines.base import Job
from steelyard.protocol.records import Order
from steelyard.protocol.roots import receipts_root
from steelyard.wire import receipts

Body = dict[str, Any]
HEADERS = {"authorization": f"Bearer {API_KEY}"}
CHAT: Body = {"model": "alphabet", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, "seed": 5}


def play(folder: Path, story: Callable[[Bazaar], Awaitable[None]], *sellers: Seller, **more: Any) -> None:
    async def main() -> None:
        async with Bazaar(folder, list(sellers) or [honest(1)], **more) as bazaar:
            await story(bazaar)
            await bazaar.settled()

    asyncio.run(main())


async def post(bazaar: Bazaar, body: Any, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(bazaar.url + path, json=body, headers={**HEADERS, **headers}) as response,
    ):
        return response.status, await response.json(content_type=None), response.headers


async def stream(bazaar: Bazaar, body: Body, path: str = "/v1/chat/completions") -> list[Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(bazaar.url + path, json={**body, "stream": True}, headers=HEADERS) as response,
    ):
        assert response.status == 200, await response.text()
        raw = (await response.read()).decode()
    events = [line.removeprefix("data: ") for line in raw.split("\n\n") if line.startswith("data: ")]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


def expected(prompt: tuple[int, ...], limit: int, temperature: int = 0x3F800000, seed: int = 5) -> list[int]:
    job = Job(prompt, len(prompt), limit, temperature, 0x3F800000, 0, seed)
    return [step.id for step in Alphabet().generate(job)]


def prompt_of(body: Body) -> tuple[int, ...]:
    return AlphabetText().render(body["messages"])


def test_an_answer_is_the_engines_and_is_paid_to_the_last_micro_token(tmp_path: Path) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        status, answer, headers = await post(bazaar, CHAT)
        assert status == 200, answer
        units = expected(prompt_of(CHAT), 24)
        assert answer["choices"][0]["message"]["content"] == AlphabetText().decode(units)
        assert answer["usage"]["prompt_tokens"] == len(prompt_of(CHAT))
        assert answer["usage"]["completion_tokens"] == len(units)
        assert answer["usage"]["cost_micro"] == len(prompt_of(CHAT)) + len(units)
        assert headers["x-provider"] == answer["provider"] == seller.key.address
        await bazaar.settled()
        assert [voucher.amount for voucher in seller.vouchers] == [answer["usage"]["cost_micro"]]
        assert seller.vouchers[0].receipts_root == receipts_root(seller.paid)
        assert headers["x-receipt-id"] == "0x" + seller.paid[0].hex()

    play(tmp_path, story, seller)


def test_the_receipt_beside_the_usage_is_a_document_that_reads_back(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, CHAT)
        document = receipts.from_json(json.dumps(answer["receipt"]).encode())
        assert document.model == "alphabet"
        assert document.domain.domain() == DOMAIN
        assert Order.from_json(document.order.record).channel == CHANNEL
        assert document.answer == expected(prompt_of(CHAT), 24)

    play(tmp_path, story)


def test_a_stream_says_the_same_text_in_the_shape_of_openai(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        *chunks, done = await stream(bazaar, {**CHAT, "stream_options": {"include_usage": True}})
        assert done == "[DONE]"
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
        assert text == AlphabetText().decode(expected(prompt_of(CHAT), 24))
        assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] in ("stop", "length")
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == len(expected(prompt_of(CHAT), 24))
        assert chunks[-1]["receipt"]["format"] == receipts.FORMAT

    play(tmp_path, story)


def test_without_asked_usage_the_receipt_rides_on_the_finish_reason(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        *chunks, done = await stream(bazaar, CHAT)
        assert done == "[DONE]"
        assert all(chunk["choices"] for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] is not None
        assert chunks[-1]["receipt"]["format"] == receipts.FORMAT
        assert not any("usage" in chunk for chunk in chunks)

    play(tmp_path, story)


def test_several_answers_have_seeds_of_their_own_and_a_receipt_each(tmp_path: Path) -> None:
    seller = honest(1, max_unpaid=3)

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, {**CHAT, "n": 3, "max_tokens": 40})
        texts = [choice["message"]["content"] for choice in answer["choices"]]
        assert len(set(texts)) == 3
        assert texts[0] == AlphabetText().decode(expected(prompt_of(CHAT), 40))
        assert len(answer["receipts"]) == 3
        assert answer["usage"]["prompt_tokens"] == len(prompt_of(CHAT))
        await bazaar.settled()
        assert seller.owed() == answer["usage"]["cost_micro"]

    play(tmp_path, story, seller)


def test_text_completions_take_texts_and_ids(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        body: Body = {"model": "alphabet", "prompt": "once", "seed": 5}
        _, answer, _ = await post(bazaar, body, "/v1/completions")
        units = expected(AlphabetText().encode("once"), 16)
        assert answer["object"] == "text_completion"
        assert answer["choices"][0]["text"] == AlphabetText().decode(units)
        _, again, _ = await post(bazaar, {**body, "prompt": list(b"once")}, "/v1/completions")
        assert again["choices"][0]["text"] == answer["choices"][0]["text"]
        *chunks, _ = await stream(bazaar, body, "/v1/completions")
        assert "".join(c["choices"][0]["text"] for c in chunks) == answer["choices"][0]["text"]

    play(tmp_path, story)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_stop_string_ends_the_answer_before_it_and_cancels_the_run(tmp_path: Path, streamed: bool) -> None:
    seller = honest(1, pause=0.02)
    whole = AlphabetText().decode(expected(prompt_of(CHAT), 60))
    stop = whole[2:4]

    async def story(bazaar: Bazaar) -> None:
        body = {**CHAT, "stop": stop, "max_tokens": 60}
        if streamed:
            *chunks, _ = await stream(bazaar, body)
            text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
            document, finish = chunks[-1]["receipt"], chunks[-1]["choices"][0]["finish_reason"]
        else:
            _, answer, _ = await post(bazaar, body)
            text, finish = answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]
            document = answer["receipt"]
        assert text == whole[: whole.find(stop)]
        assert finish == "stop"
        taken = whole.find(stop) + 2
        assert list(seller.cancels.values()) == [taken]
        assert taken <= len(document["answer"]) <= taken + seller.run_ahead
        assert document["cancel"]["record"]["units"] == taken

    play(tmp_path, story, seller)


def test_a_second_answer_adds_to_the_voucher(tmp_path: Path) -> None:
    seller = honest(1, max_unpaid=1)

    async def story(bazaar: Bazaar) -> None:
        costs = [(await post(bazaar, CHAT))[1]["usage"]["cost_micro"] for _ in range(3)]
        await bazaar.settled()
        assert seller.owed() == sum(costs)
        assert seller.vouchers[-1].count == 3
        assert len({message.order.record["nonce"] for message in seller.seen}) == 3

    play(tmp_path, story, seller)


def test_a_client_that_leaves_a_stream_pays_for_what_it_took(tmp_path: Path) -> None:
    seller = honest(1, pause=0.05, run_ahead=2)

    async def story(bazaar: Bazaar) -> None:
        body = {**CHAT, "stream": True, "max_tokens": 64, "temperature": 0}
        async with (
            aiohttp.ClientSession() as session,
            session.post(bazaar.url + "/v1/chat/completions", json=body, headers=HEADERS) as response,
        ):
            await response.content.readany()
            response.close()
        for _ in range(200):
            await asyncio.sleep(0.02)
            if seller.vouchers:
                break
        await bazaar.settled()
        assert len(seller.cancels) == 1
        assert len(seller.vouchers) == 1

    play(tmp_path, story, seller)


def test_models_are_those_that_somebody_sells_and_we_can_write(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            async with session.get(bazaar.url + "/v1/models") as response:
                listed = await response.json()
            async with session.get(bazaar.url + "/v1/models/alphabet") as response:
                model = await response.json()
            async with session.get(bazaar.url + "/v1/models/other") as response:
                assert (response.status, (await response.json())["error"]["code"]) == (404, "model_not_found")
        assert [entry["id"] for entry in listed["data"]] == ["alphabet"]
        assert model == listed["data"][0]
        assert model["endpoints"][0]["pricing"] == {"prompt": "0.000001", "completion": "0.000001"}

    play(tmp_path, story)


def test_a_receipt_is_found_by_its_digest_and_by_the_answers_id(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, answer, headers = await post(bazaar, CHAT)
        await bazaar.settled()
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            found = []
            for name in (headers["x-receipt-id"], answer["id"]):
                async with session.get(f"{bazaar.url}/v1/receipts/{name}") as response:
                    found.append(await response.json())
            async with session.get(f"{bazaar.url}/v1/receipts/0x{'00' * 32}") as response:
                assert response.status == 404
        assert found[0] == found[1]
        assert found[0]["document"] == answer["receipt"]
        assert (found[0]["state"], found[0]["voucher"]["count"]) == ("settled", 1)
        assert found[0]["price_micro"] == answer["usage"]["cost_micro"]

    play(tmp_path, story)


def test_health_and_metrics_answer(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, CHAT)
        async with aiohttp.ClientSession() as session:
            async with session.get(bazaar.url + "/health") as response:
                assert (await response.json())["status"] == "ok"
            async with session.get(bazaar.url + "/metrics") as response:
                assert response.status == 401
            async with session.get(bazaar.url + "/metrics", headers=HEADERS) as response:
                assert 'steelyard_gateway_answers_total{model="alphabet"} 1.0' in await response.text()

    play(tmp_path, story)
