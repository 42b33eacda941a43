"""What a provider refuses, by name and with the numbers; over HTTP never a traceback, whatever is posted."""

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bazaar import listening
from counter import (
    AUDITOR,
    CHANNEL,
    DOMAIN,
    FAR,
    OTHER,
    PROMPT,
    SALT,
    SESSION,
    STRANGER,
    Counter,
    Gate,
    run,
    signed_by,
    until,
)
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Job, Step
from steelyard.engines.grammars import grammar_of
from steelyard.nodes.provider.app import app
from steelyard.protocol import roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.records import AuditTicket, Offer
from steelyard.wire.messages import PATHS, AuditPackage, Offers, OrderRequest, TicketNotice, open_signed
from steelyard.wire.peer import Patience, Peers

Spoil = Callable[[Counter], OrderRequest]
LONG = (65,) * 4090
GRAMMAR = grammar_of("json", {"type": "integer"})
OLD = b"llguidance/1.0\njson\n{}"
SPOILED: dict[str, tuple[Spoil, str]] = {
    "another offer": (lambda c: c.request(c.order(offer=bytes(32))), r"order\.offer: names 0x0+, .* none of our 2"),
    "another registration": (lambda c: c.request(c.order(registration=bytes(32))), r"order\.registration"),
    "another level": (lambda c: c.request(c.order(level=1)), r"order\.level: order 1, offer 2"),
    "another kind": (lambda c: c.request(c.order(kind=2)), r"order\.kind: order 2, offer 1"),
    "other units": (lambda c: c.request(c.order(), (*PROMPT[:-1], 1)), r"order\.prompt-root: 26 units and salt"),
    "fewer units": (lambda c: c.request(c.order(), PROMPT[1:]), r"order\.prompt-units: 25 units given, 26 ordered"),
    "negative unit": (lambda c: c.request(c.order(), (*PROMPT[:-1], -1)), r"units\.range"),
    "a unit too wide": (lambda c: c.request(c.order(), (*PROMPT[:-1], 2**70)), r"units\.range"),
    "no letter of the model": (
        lambda c: c.request(c.order((999,)), (999,)),
        r"order\.unit-out-of-range: 999 to 999, known 0 to 256",
    ),
    "a low price cap": (lambda c: c.request(c.order(max_price=37)), r"order\.max-price: 37 < 38 micro-tokens"),
    "too many units": (lambda c: c.request(c.order(max_units=41)), r"order\.max-units: 41, the offer takes 1 to 40"),
    "no units": (lambda c: c.request(c.order(max_units=0)), r"order\.max-units: 0, the offer takes 1 to 40"),
    "too long": (
        lambda c: c.request(c.order(LONG), LONG),
        r"order\.context-too-long: 4102 units, the offer takes 4096",
    ),
    "an answer from nowhere": (lambda c: c.request(c.order(answer_from=27)), r"order\.answer-from: 27 of 26"),
    "past the deadline": (lambda c: c.request(c.order(deadline=int(c.time))), r"order\.deadline: 1900000000, now"),
    "a far deadline": (
        lambda c: c.request(c.order(deadline=int(c.time) + 121)),
        r"order\.deadline: .*at most 1900000120",
    ),
    "an old epoch": (lambda c: c.request(c.order(jury_epoch=5)), r"order\.jury-epoch: 5, now 7"),
    "an epoch to come": (lambda c: c.request(c.order(jury_epoch=8)), r"order\.jury-epoch: 8, now 7"),
    "unknown channel": (lambda c: c.request(c.order(channel=bytes(32))), r"channel\.unknown: 0x0+ is not open"),
    "another signer": (lambda c: c.request(signer=STRANGER), r"signature: order signed by"),
    "another chain": (lambda c: c.request(domain=Domain(1, DOMAIN.escrow)), r"signature: "),
    "another escrow": (lambda c: c.request(domain=Domain(31337, OTHER.address)), r"signature: "),
    "a grammar that the order does not name": (
        lambda c: c.request(grammar=GRAMMAR),
        r"order\.grammar-root: \d+ bytes do not hash to 0x0+$",
    ),
    "another grammar": (
        lambda c: c.request(c.order(grammar=roots.grammar_root(GRAMMAR, SALT)), grammar=GRAMMAR + b" "),
        r"order\.grammar-root: ",
    ),
    "no grammar": (
        lambda c: c.request(c.order(grammar=roots.grammar_root(GRAMMAR, SALT))),
        r"order\.grammar-root: 0 bytes do not hash to",
    ),
    "a grammar of another version": (
        lambda c: c.request(c.order(grammar=roots.grammar_root(OLD, SALT)), grammar=OLD),
        r"order\.grammar-version: compiled by 'llguidance/1\.0', known 'llguidance/1\.9\.1'",
    ),
    "too many logprobs": (
        lambda c: c.request(c.order(logprobs=22)),
        r"order\.parameter: logprobs 22, must be 0 to 21",
    ),
    "no version": (
        lambda c: _edited(c.request(), version=1),
        r"record\.version: Order version 1, known 2",
    ),
    "a wide number": (lambda c: _edited(c.request(), seed=str(2**64)), r"record\.range: Order\.seed is not a uint64"),
    "a short hash": (lambda c: _edited(c.request(), nonce="0x00"), r"record\.hex"),
    "half a signature": (
        lambda c: msgspec.structs.replace(
            c.request(), order=msgspec.structs.replace(c.request().order, signature="0x")
        ),
        r"record\.hex: signature",
    ),
    "a salt that is none": (lambda c: msgspec.structs.replace(c.request(), salt="0x12"), r"record\.hex: salt"),
}


def _edited(request: OrderRequest, **changes: str | int) -> OrderRequest:
    order = msgspec.structs.replace(request.order, record={**request.order.record, **changes})
    return msgspec.structs.replace(request, order=order)


@pytest.mark.parametrize("name", SPOILED)
def test_a_bad_order_is_refused_by_name_and_leaves_no_trace(tmp_path: Path, name: str) -> None:
    counter = Counter(tmp_path)
    spoil, rule = SPOILED[name]

    async def story() -> None:
        with pytest.raises(Refused, match=rule):
            await counter.provider.take(spoil(counter))
        assert not counter.provider.runs
        assert counter.tab().running == counter.tab().reserved == 0

    run(story)


def test_an_order_on_a_closing_or_expired_channel_is_refused(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        counter.town.channels[CHANNEL] = replace(counter.town.channels[CHANNEL], expiry=int(counter.time) + 50)
        with pytest.raises(Refused, match=r"channel\.expired: session key binds until 1900000050; deadline 1900000100"):
            await counter.buy()
        counter.town.channels[CHANNEL] = replace(counter.town.channels[CHANNEL], expiry=FAR)
        counter.town.request_close(CHANNEL)
        counter.provider.channels.forget(CHANNEL)
        with pytest.raises(Refused, match=r"channel\.closing: 0x.* closes at 1900000120, now 1900000000"):
            await counter.buy()

    run(story)


def test_an_offer_that_ran_out_is_not_served(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        counter.town.channels[CHANNEL] = replace(counter.town.channels[CHANNEL], expiry=2**40)
        counter.time = counter.listing.offer.valid_until + 1
        with pytest.raises(Refused, match=r"order\.offer: the offer was good until"):
            await counter.buy()

    run(story)


def test_a_dead_chain_is_our_trouble_and_nobody_elses(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        counter.town.reachable = False
        with pytest.raises(Unavailable, match=r"chain\.unreachable"):
            await counter.buy()
        counter.town.reachable = True
        await counter.buy()

    run(story)


def test_more_orders_than_the_engine_bears_are_told_to_wait(tmp_path: Path) -> None:
    gate = Gate()
    counter = Counter(tmp_path, Alphabet(pause=gate), parallel=2)

    async def story() -> None:
        tasks = [asyncio.create_task(counter.buy()) for _ in range(2)]
        await until(lambda: len(counter.provider.runs) == 2)
        with pytest.raises(Refused, match=r"provider\.busy: 2 orders in flight, at most 2"):
            await counter.buy()
        gate.open()
        await asyncio.gather(*tasks)

    run(story)


# -- tickets ---------------------------------------------------------------------------------------------------------


def notice(receipt: bytes, signer: Any = SESSION, auditor: Any = AUDITOR, expiry: int = FAR) -> TicketNotice:
    """A ticket with the auditor's proof that it is the one."""
    ticket = AuditTicket(1, receipt, AUDITOR.address, expiry)
    proof = auditor.sign(ticket.digest(DOMAIN))
    return TicketNotice(signed_by(signer, ticket), proof="0x" + proof.hex())


def test_a_ticket_opens_the_answer_to_its_auditor_and_to_nobody_else(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        package = await counter.provider.audit(notice(bought.digest))
        assert package.prompt == list(PROMPT)
        assert package.answer == bought.units
        assert package.receipt == bought.last.receipt
        assert open_signed(package.offer, Offer, DOMAIN, counter.provider.key.address) == counter.listing.offer
        root = roots.units_root(package.answer, bytes.fromhex(package.answer_salt[2:]))
        assert root == bought.receipt.response_root
        assert package.prompt_salt == "0x" + SALT.hex()
        forged = {
            "signature: ticket": notice(bought.digest, signer=STRANGER),
            "signature: proof": notice(bought.digest, auditor=STRANGER),
            "ticket.expired": notice(bought.digest, expiry=int(counter.time) - 1),
            "ticket.unknown": notice(bytes(32)),
            "record.hex: proof": msgspec.structs.replace(notice(bought.digest), proof=None),
        }
        for rule, bad in forged.items():
            with pytest.raises(Refused, match=rule):
                await counter.provider.audit(bad)

    run(story)


# -- over HTTP -------------------------------------------------------------------------------------------------------


def test_over_http_an_answer_streams_and_refusals_have_their_status(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        async with listening(app(counter.provider, counter.claimer)) as url, Peers(Patience()) as peers:
            offers = await peers.get(url, "offers", Offers)
            assert (offers.provider, offers.chain_id) == (counter.provider.key.address, DOMAIN.chain_id)
            listed = [open_signed(o, Offer, DOMAIN, counter.provider.key.address) for o in offers.offers]
            assert listed == [listing.offer for listing in counter.listings]
            frames = [frame async for frame in peers.order(url, counter.request())]
            assert frames[-1].receipt is not None
            with pytest.raises(SteelyardError, match=r"channel\.unknown"):
                async for _ in peers.order(url, counter.request(counter.order(channel=bytes(32)))):
                    pass
            async with aiohttp.ClientSession(url) as client:
                status = {
                    "/health": 200,
                    "/metrics": 200,
                    PATHS["orders"]: 405,
                    "/nothing": 404,
                }
                for path, expected in status.items():
                    async with client.get(path) as answer:
                        assert answer.status == expected
                async with client.get("/metrics") as answer:
                    told = await answer.text()
                assert "steelyard_provider_receipts_total 1.0" in told
                assert 'steelyard_provider_refusals_total{rule="channel.unknown"} 1.0' in told
                async with client.get("/health") as answer:
                    assert (await answer.json())["status"] == "ok"

    run(story)


def test_a_client_that_leaves_an_http_stream_stops_the_engine(tmp_path: Path) -> None:
    gate = Gate(units=2)
    counter = Counter(tmp_path, Alphabet(pause=gate))

    async def story() -> None:
        async with counter.http() as client:
            body = msgspec.json.encode(counter.request(counter.order(max_units=40)))
            async with client.post(PATHS["orders"], data=body) as answer:
                await answer.content.readline()
            await until(lambda: all(running.left for running in counter.provider.runs.values()))
            gate.let(1)
            await until(lambda: not counter.provider.runs)
            assert not counter.tab().unpaid
            gate.open()

    run(story)


POSTS = ("orders", "cancels", "cancel_of", "vouchers", "last_voucher", "audits")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
MESSAGES: dict[str, Callable[[Counter], Any]] = {
    "orders": lambda c: c.request(),
    "cancels": lambda c: c.cancel(c.request(), 3),
    "cancel_of": lambda c: {"order": "0x" + "11" * 32},
    "vouchers": lambda c: c.voucher(amount=5),
    "last_voucher": lambda c: {"channel": "0x" + CHANNEL.hex(), "offer": "0x" + c.listing.digest.hex()},
    "audits": lambda c: notice(bytes(32)),
}


def mutated(draw: Any, value: Any) -> Any:
    """The same JSON with one thing changed somewhere."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        how = draw(st.sampled_from(["deeper", "deeper", "drop", "rename"]))
        changed = dict(value)
        inner = changed.pop(key)
        if how == "deeper":
            changed[key] = mutated(draw, inner)
        elif how == "rename":
            changed[draw(st.text(max_size=8))] = inner
        return changed
    if isinstance(value, str) and value.startswith("0x") and draw(st.booleans()):
        at = draw(st.integers(0, len(value)))
        return value[:at] + draw(st.text("0123456789abcdefxZ", max_size=3)) + value[at + 1 :]
    return draw(json_values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_posted_is_answered_by_name_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: Any
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    counter = Counter(folder)
    bodies: list[tuple[str, bytes]] = []
    for path in POSTS:
        valid = json.loads(msgspec.json.encode(MESSAGES[path](counter)))
        bodies.append((path, json.dumps(mutated(data.draw, valid)).encode()))
        bodies.append((path, data.draw(st.binary(max_size=60))))

    async def story() -> None:
        async with counter.http() as client:
            for path, body in bodies:
                async with client.post(PATHS[path], data=body) as answer:
                    raw = await answer.read()
                    assert answer.status < 500, (path, body, raw)
                    if answer.status != 200:
                        failure = json.loads(raw)
                        assert set(failure) == {"error", "detail"}
                        assert "Traceback" not in raw.decode()

    with caplog.at_level(logging.ERROR):
        run(story)
    assert not caplog.records
    counter.journal.close()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        async with (
            counter.http() as client,
            client.post(PATHS["orders"], data=io.BytesIO(b"[" + b"0," * (5 << 20) + b"0]")) as answer,
        ):
            assert answer.status == 413
            assert (await answer.json())["error"] == "wire.too-large"

    run(story)


def test_an_audit_over_http_hands_over_what_the_ticket_names(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        async with listening(app(counter.provider, counter.claimer)) as url, Peers(Patience()) as peers:
            package = await peers.post(url, "audits", notice(bought.digest), AuditPackage)
            assert package.receipt == bought.last.receipt

    run(story)


class Queueing(Alphabet):
    """Its runs wait for room that never comes, until they are cancelled."""

    def generate(self, job: Job) -> Iterator[Step]:
        class Steps:
            def __init__(self) -> None:
                self.cancelled = threading.Event()

            def __iter__(self) -> Iterator[Step]:
                return self

            def __next__(self) -> Step:
                assert self.cancelled.wait(20)
                raise StopIteration

            def cancel(self) -> None:
                self.cancelled.set()

        return Steps()

    def measures(self) -> dict[str, int]:
        return {"waiting": 17}


def test_a_run_that_waits_for_the_engine_ends_when_its_buyer_leaves(tmp_path: Path) -> None:
    counter = Counter(tmp_path, Queueing())

    async def story() -> None:
        async with counter.http() as client:
            body = msgspec.json.encode(counter.request())
            async with client.post(PATHS["orders"], data=body):
                await until(lambda: bool(counter.provider.runs))
            await until(lambda: not counter.provider.runs)

    run(story)


def test_what_an_engine_measures_is_among_the_metrics(tmp_path: Path) -> None:
    counter = Counter(tmp_path, Queueing())

    async def story() -> None:
        async with counter.http() as client, client.get("/metrics") as answer:
            assert "steelyard_engine_waiting 17.0" in await answer.text()

    run(story)
