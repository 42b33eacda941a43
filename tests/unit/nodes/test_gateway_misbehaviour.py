"""Providers that do wrong are never paid, and the client is served by another one, or told plainly."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from test_gateway_answers import CHAT, expected, play, post, prompt_of, stream

from bazaar import Bazaar, Seller, honest
from steelyard.engines.alphabet import Alphabet, AlphabetText
from steelyard.nodes.gateway.records import FaultBody
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import sha256
from steelyard.protocol.records import Order
from steelyard.wire.messages import Frame, Signed

TEXT = AlphabetText().decode(expected(prompt_of(CHAT), 24))
ONE_FIRST: dict[str, Any] = {**CHAT, "provider": {"sort": "price"}}


class Silent(Seller):
    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        await asyncio.sleep(3)
        yield Frame()


class Garbage(Seller):
    async def orders(self, request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"units":[1'
            yield b"\x00\xff\n"

        return StreamingResponse(body())


class Refusing(Seller):
    def refuse(self, order: Order) -> None:
        raise Refused("order.busy", "3 runs, at most 3")


class Strange(Seller):
    """Units that are none."""

    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        yield Frame(units=[257])


class Endless(Seller):
    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        for _ in range(10_000):
            yield Frame(units=[97] * 10)


class Cut(Seller):
    """Ends after so many units, without a receipt."""

    after = 3

    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        async for frame in super().frames(order, prompt):
            if frame.receipt is not None or sum(len(f.units) for f in self.gone) >= self.after:
                return
            self.gone.append(frame)
            yield frame

    @property
    def gone(self) -> list[Frame]:
        return self.__dict__.setdefault("_gone", [])  # type: ignore[no-any-return]


class Cutless(Cut):
    """Cuts before the first unit."""

    after = 0


class Inflating(Seller):
    """Commits to more units than it delivered."""

    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        return super().receipt(order, prompt, [*units, 97], [*leaves, bytes(32)], finish)


class OtherOrder(Seller):
    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        return super().receipt(replace(order, nonce=bytes(32)), prompt, units, leaves, "length")


class OtherModel(Seller):
    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        frame = super().receipt(order, prompt, units, leaves, finish)
        assert frame.receipt is not None
        record = dict(frame.receipt.record) | {"model_root": "0x" + "22" * 32}
        from steelyard.protocol.records import Receipt

        return msgspec.structs.replace(frame, receipt=self.sign(Receipt.from_json(record)))


class OtherSignature(Seller):
    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        frame = super().receipt(order, prompt, units, leaves, finish)
        assert frame.receipt is not None
        return msgspec.structs.replace(frame, receipt=Signed(frame.receipt.record, "0x" + "01" * 64 + "1b"))


class ShortLength(Seller):
    """Says that it ended for its length, before it."""

    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        return super().receipt(order, prompt, units, leaves, "length" if len(units) < order.max_units else "cancel")


class Saltless(Seller):
    def receipt(self, order: Order, prompt: Any, units: Any, leaves: Any, finish: Any) -> Frame:
        return msgspec.structs.replace(super().receipt(order, prompt, units, leaves, finish), salt="0x")


class NoUnits(Seller):
    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        yield self.receipt(order, prompt, [], [], "stop")


def other(kind: type[Seller], **changes: Any) -> Seller:
    """The cheapest of the market, so it is asked first."""
    usual = honest(9, price=1_000, **changes)
    return kind(usual.key, usual.engine, price=usual.price, **changes)


def faults(bazaar: Bazaar) -> list[str]:
    rows = bazaar.gateway.desk.records.journal.scan("fault")
    return [msgspec.json.decode(row.body, type=FaultBody).rule for row in rows]


BEFORE = [
    (Silent, "peer.timeout"),
    (Garbage, "peer.garbage"),
    (Refusing, "order.busy"),
    (Strange, "provider.unit-range"),
    (Cutless, "peer.cut"),
    (NoUnits, "provider.wrong-receipt"),
]
AFTER = [
    (Endless, "provider.too-long"),
    (Cut, "peer.cut"),
    (Inflating, "provider.wrong-receipt"),
    (OtherOrder, "provider.wrong-receipt"),
    (OtherModel, "provider.wrong-receipt"),
    (OtherSignature, "provider.wrong-receipt"),
    (ShortLength, "provider.wrong-receipt"),
    (Saltless, "provider.wrong-receipt"),
]


@pytest.mark.parametrize(("kind", "rule"), BEFORE)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failure_before_the_first_unit_goes_unnoticed(
    tmp_path: Path, kind: type[Seller], rule: str, streamed: bool
) -> None:
    bad, good = other(kind), honest(1)

    async def story(bazaar: Bazaar) -> None:
        if streamed:
            *chunks, done = await stream(bazaar, ONE_FIRST)
            assert done == "[DONE]"
            assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == TEXT
        else:
            status, answer, headers = await post(bazaar, ONE_FIRST)
            assert status == 200, answer
            assert answer["choices"][0]["message"]["content"] == TEXT
            assert headers["x-provider"] == good.key.address
        await bazaar.settled()
        assert (len(bad.vouchers), len(good.vouchers)) == (0, 1)
        assert faults(bazaar) == [rule]
        assert [o.state for o in bazaar.gateway.desk.records.journal.scan("order")] == ["expired", "settled"]

    play(tmp_path, story, bad, good)


@pytest.mark.parametrize(("kind", "rule"), [entry for entry in AFTER if entry[0] is not Endless])
def test_after_the_first_unit_another_canonical_provider_goes_on(tmp_path: Path, kind: type[Seller], rule: str) -> None:
    bad, good = other(kind), honest(1)

    async def story(bazaar: Bazaar) -> None:
        *chunks, done = await stream(bazaar, ONE_FIRST)
        assert done == "[DONE]"
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == TEXT
        document = chunks[-1]["receipt"]
        assert document["answer"] == expected(prompt_of(CHAT), 24)
        order = Order.from_json(document["order"]["record"])
        assert order.answer_from == len(prompt_of(CHAT)) < order.prompt_units
        await bazaar.settled()
        assert (len(bad.vouchers), len(good.vouchers)) == (0, 1)
        assert faults(bazaar) == [rule]

    play(tmp_path, story, bad, good)


@pytest.mark.parametrize(("kind", "rule"), AFTER)
def test_with_nobody_else_a_stream_ends_with_an_error_event_and_no_done(
    tmp_path: Path, kind: type[Seller], rule: str
) -> None:
    bad = other(kind)

    async def story(bazaar: Bazaar) -> None:
        chunks = await stream(bazaar, ONE_FIRST)
        assert chunks[-1]["error"]["code"] == "provider_failed"
        assert rule in chunks[-1]["error"]["message"]
        assert not any(chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1])
        await bazaar.settled()
        assert bad.vouchers == []

    play(tmp_path, story, bad)


@pytest.mark.parametrize(("kind", "rule"), BEFORE + AFTER)
def test_with_nobody_else_a_request_fails_and_says_not_to_retry(tmp_path: Path, kind: type[Seller], rule: str) -> None:
    bad = other(kind)

    async def story(bazaar: Bazaar) -> None:
        status, answer, headers = await post(bazaar, ONE_FIRST)
        assert status == (504 if rule == "peer.timeout" else 502)
        assert rule in answer["error"]["message"]
        assert headers["x-should-retry"] == "false"
        await bazaar.settled()
        assert bad.vouchers == []

    play(tmp_path, story, bad)


def test_a_stop_string_found_before_the_cut_still_gets_a_receipt_from_another(tmp_path: Path) -> None:
    bad, good = other(Cut), honest(1)

    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, {**ONE_FIRST, "stop": TEXT[1:3]})
        assert answer["choices"][0]["message"]["content"] == TEXT[: TEXT.find(TEXT[1:3])]
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["receipt"]["answer"] == expected(prompt_of(CHAT), 3)

    play(tmp_path, story, bad, good)


def test_nothing_goes_on_where_bits_are_not_canonical(tmp_path: Path) -> None:
    bad, good = other(Cut, level=1), honest(1, level=1)

    async def story(bazaar: Bazaar) -> None:
        body = {**CHAT, "provider": {"sort": "price", "assurance": {"level": "open"}}}
        chunks = await stream(bazaar, body)
        assert chunks[-1]["error"]["code"] == "provider_failed"
        assert good.seen == []

    play(tmp_path, story, bad, good)


def test_a_provider_of_other_bits_is_found_out_when_it_goes_on(tmp_path: Path) -> None:
    bad = other(Cut)
    liar = Seller(honest(3).key, Alphabet(lie_from=0), price=200_000)

    async def story(bazaar: Bazaar) -> None:
        chunks = await stream(bazaar, {**ONE_FIRST, "temperature": 0})  # a draw would often be of both the same
        assert "order.prefix-mismatch" in chunks[-1]["error"]["message"]
        assert "peer.cut" in chunks[-1]["error"]["message"]
        await bazaar.settled()
        assert (bad.vouchers, liar.vouchers) == ([], [])

    play(tmp_path, story, bad, liar)


def test_who_began_an_answer_that_another_contradicts_cools_down_as_long(tmp_path: Path) -> None:
    class CutAtOnce(Cut):
        after = 1

    class Contradicts(Seller):
        async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
            first = expected(prompt_of(CHAT), 1)[0]
            yield Frame(units=[(first + 1) % 26])

    begins, goes_on = other(CutAtOnce), Contradicts(honest(3).key, Alphabet(), price=200_000)

    async def story(bazaar: Bazaar) -> None:
        await stream(bazaar, ONE_FIRST)
        assert faults(bazaar) == ["peer.cut", "provider.differs"]
        first, second = sorted(health.bad_until for health in bazaar.gateway.desk.faults.health.values())
        assert second - first < 60

    play(tmp_path, story, begins, goes_on)


def test_who_failed_is_not_asked_first_again(tmp_path: Path) -> None:
    bad, good = other(Garbage), honest(1)

    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, ONE_FIRST)
        await post(bazaar, ONE_FIRST)
        assert len(good.seen) == 2
        assert faults(bazaar) == ["peer.garbage"]

    play(tmp_path, story, bad, good)


@pytest.mark.parametrize("share", [0, 1])
def test_a_crowd_that_cannot_be_paid_does_not_keep_a_buyer_from_who_can(tmp_path: Path, share: int) -> None:
    crowd, good = [honest(number, price=500_000) for number in range(2, 11)], honest(1)

    async def story(bazaar: Bazaar) -> None:
        bazaar.ledger.shares = {seller.key.address: share for seller in crowd}
        await bazaar.gateway.desk.book.refresh()
        assert (await post(bazaar, ONE_FIRST))[0] == 200
        assert [len(seller.seen) for seller in (*crowd, good)] == [0] * 9 + [1]
        bazaar.ledger.shares[good.key.address] = share
        await bazaar.gateway.desk.book.refresh()
        status, answer, _ = await post(bazaar, ONE_FIRST)
        assert (status, answer["error"]["code"]) == (402, "insufficient_escrow")

    play(tmp_path, story, *crowd, good)


def test_a_refusal_that_is_about_the_request_is_told_as_it_is(tmp_path: Path) -> None:
    class Short(Seller):
        def refuse(self, order: Order) -> None:
            raise Refused("order.context-too-long", "9 units, the engine takes 8")

    async def story(bazaar: Bazaar) -> None:
        status, answer, _ = await post(bazaar, CHAT)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")

    play(tmp_path, story, other(Short))


class Chainless(Seller):
    def refuse(self, order: Order) -> None:
        raise Unavailable("chain.unreachable", "https://node: TimeoutError")


@pytest.mark.parametrize(
    ("second", "told"),
    [(Chainless, (503, "chain.unreachable")), (Refusing, (502, "provider_failed"))],
    ids=["all-say-it", "one-says-it"],
)
def test_a_chain_that_no_provider_reaches_has_a_name_of_its_own(
    tmp_path: Path, second: type[Seller], told: tuple[int, str]
) -> None:
    async def story(bazaar: Bazaar) -> None:
        bazaar.ledger.broken = True
        status, answer, _ = await post(bazaar, CHAT)
        assert (status, answer["error"]["code"]) == told
        assert answer["error"]["message"].count("chain.unreachable: https://node: TimeoutError") >= 1

    play(tmp_path, story, other(Chainless), second(honest(8).key, Alphabet()))


def test_offers_that_are_not_what_they_say_are_not_listed(tmp_path: Path) -> None:
    class Forged(Seller):
        def sign(self, record: Any) -> Signed:
            signed = super().sign(record)
            return Signed({**signed.record, "price_in": "1"}, signed.signature)

    class Impostor(Seller):
        """Serves another provider's offers."""

        async def offers(self, request: Request) -> Response:
            return await honest(1).offers(request)

    async def story(bazaar: Bazaar) -> None:
        providers = {listed.provider for listed in bazaar.gateway.desk.book.listed()}
        assert providers == {good.key.address}
        errors = sorted(error.partition(":")[0] for error in bazaar.gateway.desk.book.errors.values())
        assert errors == ["provider.garbage", "provider.other"]

    good = honest(5)
    key = type(good.key)(sha256(b"impostor"))
    play(tmp_path, story, good, other(Forged), Impostor(key, Alphabet()))
