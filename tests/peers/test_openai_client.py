"""The official `openai` client against the gateway: what it shows its user, what it retries, what it is charged."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import openai
import pydantic
import pytest

import real_model
from bazaar import API_KEY, DOMAIN, Bazaar, Patience, Seller, honest
from steelyard.engines.alphabet import Alphabet, AlphabetText
from steelyard.engines.base import Engine, Job
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.text import GgufText
from steelyard.nodes.gateway.spending import ApiKey
from steelyard.protocol import keys
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.records import Order
from steelyard.protocol.verdicts import Honest, Verdict
from steelyard.sdk.receipts import opened
from steelyard.verification.receipts import claim_of
from steelyard.wire import receipts
from steelyard.wire.messages import Frame
from steelyard.work.generate import judge

MESSAGES: Any = [{"role": "user", "content": "hello"}]
PROMPT = AlphabetText().render(MESSAGES)


def text_of(limit: int, seed: int = 5) -> str:
    one = 0x3F800000
    job = Job(PROMPT, len(PROMPT), limit, one, one, 0, seed)
    return AlphabetText().decode([step.id for step in Alphabet().generate(job)])


@contextmanager
def market(folder: Path, *sellers: Seller, **more: Any) -> Iterator[tuple[openai.OpenAI, Bazaar]]:
    """A bazaar on a thread of its own, and a client that was told nothing but its URL and key."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def made() -> Bazaar:
        return Bazaar(folder, list(sellers) or [honest(1)], **more)

    bazaar = run(made())
    run(bazaar.__aenter__())
    try:
        with openai.OpenAI(base_url=bazaar.url + "/v1", api_key=API_KEY) as client:
            yield client, bazaar
        run(bazaar.settled())
    finally:
        run(bazaar.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def chat(client: openai.OpenAI, **more: Any) -> Any:
    usual: dict[str, Any] = {"model": "alphabet", "messages": MESSAGES, "max_tokens": 24, "seed": 5}
    return client.chat.completions.create(**(usual | more))


def test_a_chat_answer_with_usage_cost_and_receipt(tmp_path: Path) -> None:
    with market(tmp_path) as (client, _):
        answer = chat(client)
        assert answer.choices[0].message.content == text_of(24)
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert answer.usage.cost == answer.usage.cost_micro / 1_000_000
        assert answer.receipt["format"] == receipts.FORMAT
        assert answer._request_id.startswith("req_")


def test_a_stream_with_usage_and_receipt_in_its_last_chunk(tmp_path: Path) -> None:
    with market(tmp_path) as (client, _):
        chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text_of(24)
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].usage.prompt_tokens == len(PROMPT)
        assert chunks[-1].receipt["format"] == receipts.FORMAT


def test_a_stream_without_asked_usage_never_has_an_empty_chunk(tmp_path: Path) -> None:
    with market(tmp_path) as (client, _):
        chunks = list(chat(client, stream=True))
        assert all(len(chunk.choices) == 1 for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason is not None
        assert chunks[-1].receipt["format"] == receipts.FORMAT


def test_the_streaming_helper_puts_the_answer_together(tmp_path: Path) -> None:
    with (
        market(tmp_path) as (client, _),
        client.chat.completions.stream(
            model="alphabet", messages=MESSAGES, max_tokens=24, seed=5, stop=text_of(24)[6:8]
        ) as stream,
    ):
        for _event in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == text_of(24)[:6]


def test_the_async_client_is_served_too(tmp_path: Path) -> None:
    async def ask(url: str) -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key=API_KEY) as client:
            answer = await client.chat.completions.create(
                model="alphabet", messages=MESSAGES, max_tokens=24, seed=5, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in answer])

    with market(tmp_path) as (_, bazaar):
        assert asyncio.run(ask(bazaar.url + "/v1")) == text_of(24)


def test_text_completions_and_models(tmp_path: Path) -> None:
    with market(tmp_path) as (client, _):
        answer = client.completions.create(model="alphabet", prompt=["once", "twice"], max_tokens=8, seed=1)
        assert [choice.index for choice in answer.choices] == [0, 1]
        pieces = list(client.completions.create(model="alphabet", prompt="once", max_tokens=8, seed=1, stream=True))
        assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text
        assert [model.id for model in client.models.list()] == ["alphabet"]
        assert client.models.retrieve("alphabet").owned_by.startswith("0x")


def test_raw_headers_name_the_provider_and_the_receipt(tmp_path: Path) -> None:
    seller = honest(1)
    with market(tmp_path, seller) as (client, _):
        raw = client.chat.completions.with_raw_response.create(
            model="alphabet", messages=MESSAGES, max_tokens=4, temperature=0
        )
        assert raw.headers["x-provider"] == seller.key.address
        assert raw.headers["x-receipt-id"].startswith("0x")
        raw.parse()


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found"),
        ({"temperature": 9}, openai.BadRequestError, "request.value"),
        ({"tools": [{"type": "function", "function": {"name": "f g"}}]}, openai.BadRequestError, "request.value"),
        ({"logit_bias": {"5": 1}}, openai.BadRequestError, "unsupported_parameter"),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, openai.BadRequestError, "context_length_exceeded"),
        ({"extra_headers": {"authorization": "Bearer no"}}, openai.AuthenticationError, "invalid_api_key"),
        ({"extra_headers": {"host": "evil.example"}}, openai.PermissionDeniedError, "request.host"),
        ({"extra_body": {"provider": {"only": []}}}, openai.InternalServerError, "no_provider"),
    ],
)
def test_a_refusal_is_the_clients_own_exception_with_its_code(
    tmp_path: Path, change: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    with market(tmp_path) as (client, _), pytest.raises(kind) as caught:
        chat(client.with_options(max_retries=0), **change)
    assert caught.value.code == code
    assert caught.value.request_id is not None
    assert caught.value.type is not None


def test_money_refusals_are_402_and_tried_once(tmp_path: Path) -> None:
    keys = (ApiKey(API_KEY, "a", daily_budget=10),)
    with market(tmp_path, keys=keys) as (client, _):
        with pytest.raises(openai.APIStatusError) as caught:
            chat(client)
        assert (caught.value.status_code, caught.value.code) == (402, "budget_exceeded")


def test_embeddings_are_refused_plainly(tmp_path: Path) -> None:
    with market(tmp_path) as (client, _):
        with pytest.raises(openai.InternalServerError) as caught:
            client.with_options(max_retries=0).embeddings.create(model="alphabet", input="x")
        assert (caught.value.status_code, caught.value.code) == (501, "request.not-offered")


class Cut(Seller):
    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        async for frame in super().frames(order, prompt):
            if frame.receipt is not None:
                return
            yield frame


def test_a_failed_provider_is_not_retried_by_the_client(tmp_path: Path) -> None:
    """Three tries of the client would be three orders."""
    usual = honest(1)
    seller = Cut(usual.key, usual.engine)
    with market(tmp_path, seller) as (client, _):
        with pytest.raises(openai.InternalServerError) as caught:
            chat(client)
        assert caught.value.code == "provider_failed"
        assert len(seller.seen) == 1


def test_a_cut_stream_is_an_error_and_never_looks_like_success(tmp_path: Path) -> None:
    usual = honest(1)
    seller = Cut(usual.key, usual.engine)
    with market(tmp_path, seller) as (client, _):
        said: list[str] = []
        with pytest.raises(openai.APIError) as caught:
            said.extend(chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True))
        assert "".join(said) == text_of(24)
        assert caught.value.code == "provider_failed"
        assert len(seller.seen) == 1
        assert seller.vouchers == []


def test_no_provider_is_retried_by_the_client_since_nothing_was_bought(tmp_path: Path) -> None:
    with market(tmp_path) as (client, bazaar):
        bazaar.gateway.desk.book.offers.clear()
        with pytest.raises(openai.InternalServerError):
            chat(client)
        found = bazaar.gateway.desk.metrics.text().decode()
        assert 'requests_total{path="/v1/chat/completions",status="503"} 3.0' in found


def test_a_client_that_times_out_and_retries_gets_the_answer_it_paid_for_once(tmp_path: Path) -> None:
    seller = honest(1, pause=0.05)
    with market(tmp_path, seller, patience=Patience()) as (client, _):
        answer = chat(client.with_options(timeout=0.7, max_retries=2), max_tokens=24)
        assert answer.choices[0].message.content == text_of(24)
        assert len(seller.seen) == 1


def test_equal_requests_without_a_retry_are_two_samples(tmp_path: Path) -> None:
    seller = honest(1)
    with market(tmp_path, seller) as (client, _):
        texts = {chat(client, seed=openai.omit, max_tokens=40).choices[0].message.content for _ in range(3)}
        assert len(texts) == 3
        assert len(seller.seen) == 3


def test_an_idempotency_key_is_bought_once(tmp_path: Path) -> None:
    seller = honest(1)
    with market(tmp_path, seller) as (client, _):
        ids = {chat(client, extra_headers={"Idempotency-Key": "one"}).id for _ in range(2)}
        assert len(ids) == 1
        assert len(seller.seen) == 1


def test_a_full_disk_is_a_503_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(self: object, *documents: object) -> None:
        raise Unavailable("journal.disk", "no space left")

    seller = honest(1)
    with market(tmp_path, seller) as (client, bazaar):
        monkeypatch.setattr(type(bazaar.gateway.desk.records.journal), "commit", full)
        with pytest.raises(openai.InternalServerError) as caught:
            chat(client.with_options(max_retries=0))
        assert (caught.value.status_code, caught.value.code) == (503, "journal.disk")
        assert seller.seen == []
        monkeypatch.undo()


class Scale(pydantic.BaseModel):
    """What a buyer's own code would ask for."""

    name: str = pydantic.Field(max_length=40)
    kind: Literal["spring", "steelyard", "digital"]
    price: int = pydantic.Field(ge=0, le=500)


WEIGH: Any = {
    "type": "function",
    "function": {
        "name": "weigh",
        "description": "Weighs something.",
        "parameters": {
            "type": "object",
            "properties": {"thing": {"type": "string", "maxLength": 30}, "unit": {"enum": ["g", "kg"]}},
            "required": ["thing", "unit"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[Seller, GgufText]]:
    """The real model at a seller's, and its text."""
    engine = CanonicalEngine(real_model.file(), "smollm2", threads=2)
    yield Seller(honest(1).key, engine, max_units=256), GgufText(real_model.file())
    engine.close()


def replayed(told: dict[str, Any], engine: Engine) -> Verdict:
    """What an auditor finds that has only the receipt's document."""
    document = opened(receipts.from_json(json.dumps(told).encode()))
    claim = claim_of(
        document, keys.recover(document.order.digest(DOMAIN), document.order_signature), engine.card.model_root
    )
    return judge(claim, engine).verdict


@pytest.mark.model
def test_a_real_model_answers_in_a_pydantic_model_and_a_replay_agrees(
    tmp_path: Path, real: tuple[Seller, GgufText]
) -> None:
    seller, text = real
    with market(tmp_path, seller, texts={"smollm2": text}) as (client, _):
        answer = client.chat.completions.parse(
            model="smollm2",
            messages=[{"role": "user", "content": "Invent one kitchen scale and its price in dollars, as JSON."}],
            response_format=Scale,
            max_tokens=100,
            temperature=0,
            logprobs=True,
            top_logprobs=3,
        )
        (choice,) = answer.choices
        assert isinstance(choice.message.parsed, Scale)
        assert choice.finish_reason == "stop"
        assert choice.logprobs is not None
        assert "".join(entry.token for entry in choice.logprobs.content or []) == choice.message.content
        assert all(len(entry.top_logprobs) == 3 for entry in choice.logprobs.content or [])
        told = answer.receipt  # type: ignore[attr-defined]  # ours
        assert replayed(told, seller.engine) == Honest()


@pytest.mark.model
def test_a_real_model_calls_a_function_whole_and_streamed(tmp_path: Path, real: tuple[Seller, GgufText]) -> None:
    seller, text = real
    wanted: Any = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "How heavy is this apple, in grams?"}],
        "tools": [WEIGH],
        "tool_choice": {"type": "function", "function": {"name": "weigh"}},
        "max_tokens": 60,
        "seed": 3,
    }
    with market(tmp_path, seller, texts={"smollm2": text}) as (client, _):
        answer = client.chat.completions.create(**wanted)
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert call.function.name == "weigh"
        assert arguments["unit"] in ("g", "kg")
        assert replayed(answer.receipt, seller.engine) == Honest()
        with client.chat.completions.stream(**wanted) as stream:
            for _event in stream:
                pass
            final = stream.get_final_completion()
        (streamed,) = final.choices[0].message.tool_calls or []
        assert (streamed.function.name, streamed.function.arguments) == ("weigh", call.function.arguments)
        assert final.choices[0].finish_reason == "tool_calls"
        done = [
            *wanted["messages"],
            answer.choices[0].message,
            {"role": "tool", "tool_call_id": call.id, "content": "182"},
        ]
        after = client.chat.completions.create(**wanted | {"messages": done, "tool_choice": "none"})
        assert after.choices[0].message.content
