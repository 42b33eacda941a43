"""Orders at a provider: what is answered, what the receipt says, how an answer ends, what a second posting gets."""

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from claims import STRANGER
from counter import DOMAIN, PROMPT, SALT, SESSION, Bought, Counter, Gate, digest_of, limit_disk, run, signed_by, until
from steelyard.engines.alphabet import END, Alphabet
from steelyard.engines.base import Job, Step
from steelyard.market.lifecycle import State
from steelyard.protocol import keys, roots
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.records import Cancel
from steelyard.wire.messages import CancelQuery, Frame, OrderRequest, signature_of
from steelyard.work import generate


def expected(counter: Counter, request: OrderRequest) -> list[Step]:
    """What an honest engine answers."""
    order = Bought(request, []).order
    return list(Alphabet().generate(generate.job_of(order, request.prompt)))


async def started(counter: Counter, request: OrderRequest, units: int) -> tuple["asyncio.Task[Bought]", list[Frame]]:
    """An answer that is read in the background, once so many units are there."""
    frames: list[Frame] = []

    async def read() -> Bought:
        async for frame in await counter.provider.take(request):
            frames.append(frame)  # noqa: PERF401  as it comes, for who looks meanwhile
        return Bought(request, frames)

    task = asyncio.create_task(read())

    def begun() -> bool:
        running = counter.provider.runs.get(digest_of(request))
        return running is not None and running.task is not None and sum(len(f.units) for f in frames) >= units

    await until(lambda: begun() or task.done())
    return task, frames


def test_an_answer_is_the_engines_and_its_receipt_binds_order_units_and_evidence(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        steps = expected(counter, bought.request)
        assert bought.units == [step.id for step in steps]
        assert bought.last.finish in ("stop", "length")
        receipt, salt = bought.receipt, bytes.fromhex((bought.last.salt or "")[2:])
        assert receipt.order == digest_of(bought.request)
        assert receipt.offer == counter.listing.digest
        assert receipt.model_root == counter.engine.card.model_root
        assert receipt.response_root == roots.units_root(bought.units, salt)
        assert receipt.evidence_root == roots.evidence_root([step.leaf for step in steps], salt)
        assert bought.last.receipt is not None
        keys.require_signer(bought.digest, signature_of(bought.last.receipt), counter.provider.key.address, "receipt")

    run(story)


def test_an_order_is_durable_before_its_first_unit_and_a_receipt_before_its_signature(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        request = counter.request()
        async for frame in await counter.provider.take(request):
            kept = counter.journal.get("order", digest_of(request))
            assert kept is not None
            if frame.receipt is not None:
                assert kept.state == State.COMMITTED
        assert kept.state == State.COMMITTED

    run(story)


class Noting(Alphabet):
    """An engine that notes which runs were closed."""

    closed = 0

    def generate(self, job: Job) -> Iterator[Step]:
        noted, steps = self, super().generate(job)

        class Steps:
            def __iter__(self) -> Iterator[Step]:
                return self  # type: ignore[return-value]

            def __next__(self) -> Step:
                return next(steps)

            def close(self) -> None:
                noted.closed += 1

        return Steps()  # type: ignore[return-value]


def test_nothing_is_said_of_an_order_that_the_journal_did_not_take(tmp_path: Path) -> None:
    engine = Noting()
    counter = Counter(tmp_path, engine)

    async def story() -> None:
        counter.journal.close()
        with pytest.raises(Unavailable, match=r"journal\.closed"):
            await counter.provider.take(counter.request())
        assert not counter.provider.runs
        assert counter.tab().running == counter.tab().reserved == 0
        await until(lambda: engine.closed == 1)  # it had begun while the line was being written

    run(story)


def test_a_full_disk_refuses_orders_until_there_is_room_and_loses_nothing(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        limit_disk(counter.journal, pages=10)
        kept: list[Bought] = []

        async def fill() -> None:
            while True:
                kept.append(await counter.buy())
                await counter.pay(kept[-1])

        with pytest.raises(Unavailable, match=r"journal\.disk: .*full"):
            await fill()
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"journal\.disk"):
                await counter.buy(counter.request(counter.order((65,) * 3000), (65,) * 3000))
        assert not counter.provider.runs
        assert counter.tab().running == counter.tab().reserved == 0
        counter.restart()
        again = [await counter.buy(bought.request) for bought in kept]
        assert [bought.last for bought in again] == [bought.last for bought in kept]
        assert set(counter.tab().unpaid) | set(counter.tab().paid) >= {bought.digest for bought in kept}

    run(story)


def test_an_order_that_ran_out_is_closed_at_the_next_start(tmp_path: Path) -> None:
    counter = Counter(tmp_path, Broken())

    async def story() -> None:
        late, young = counter.request(), counter.request(counter.order(deadline=int(counter.time) + 120))
        for request in (late, young):
            with pytest.raises(Unavailable):
                await counter.buy(request)
        counter.time += 110
        counter.provider.expire(counter.time)
        found = [counter.journal.get("order", digest_of(request)) for request in (late, young)]
        assert [document and document.state for document in found] == [State.EXPIRED, State.ASSIGNED]
        with pytest.raises(Refused, match=r"order\.deadline"):
            await counter.buy(late)
        with pytest.raises(Refused, match=r"order\.unknown"):
            await counter.provider.cancel(counter.cancel(late, 1))

    run(story)


def test_no_signature_leaves_if_the_receipt_could_not_be_written(tmp_path: Path) -> None:
    gate = Gate()
    counter = Counter(tmp_path, Alphabet(pause=gate))

    async def story() -> None:
        task, frames = await started(counter, counter.request(), 0)
        counter.journal.close()
        gate.open()
        with pytest.raises(Unavailable, match=r"journal\.closed"):
            await task
        assert all(frame.receipt is None for frame in frames)

    run(story)


def test_an_order_posted_again_gets_the_same_bytes(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        first = await counter.buy()
        again = await counter.buy(first.request)
        assert again.last == first.last
        assert again.units == first.units
        assert len(counter.tab().unpaid) == 1, "it is owed once"

    run(story)


def test_a_provider_that_lost_its_disk_signs_no_second_receipt(tmp_path: Path) -> None:
    """Rule M6: two different receipts for one order would convict it."""
    counter = Counter(tmp_path)

    def lose_disk() -> None:
        counter.journal.close()
        for file in tmp_path.iterdir():
            file.unlink()
        counter.start()

    async def story() -> None:
        first = await counter.buy()
        lose_disk()
        assert (await counter.buy(first.request)).last == first.last

    run(story)


def test_an_order_that_is_running_is_not_run_twice(tmp_path: Path) -> None:
    gate = Gate()
    counter = Counter(tmp_path, Alphabet(pause=gate))

    async def story() -> None:
        request = counter.request()
        task, _ = await started(counter, request, 0)
        with pytest.raises(Refused, match=r"order\.busy"):
            await counter.provider.take(request)
        gate.open()
        await task
        assert len(counter.tab().unpaid) == 1

    run(story)


def test_a_finished_answer_is_given_again_even_after_deadline_and_closing(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        first = await counter.buy()
        counter.time += 10_000
        counter.town.request_close(Bought(first.request, []).order.channel)
        assert (await counter.buy(first.request)).last == first.last

    run(story)


def test_equal_orders_with_other_nonces_are_two_answers(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        one = counter.order()
        other = replace(one, nonce=bytes(32))
        a, b = await counter.buy(counter.request(one)), await counter.buy(counter.request(other))
        assert a.units == b.units
        assert a.digest != b.digest

    run(story)


def test_units_are_forwarded_while_the_engine_still_works(tmp_path: Path) -> None:
    gate = Gate(units=3)
    counter = Counter(tmp_path, Alphabet(pause=gate))

    async def story() -> None:
        task, frames = await started(counter, counter.request(), 3)
        assert sum(len(frame.units) for frame in frames) == 3
        gate.open()
        await task

    run(story)


# -- rule P6: continuations ------------------------------------------------------------------------------------------


def test_a_continuation_covers_the_whole_answer_and_is_paid_for_the_new_units(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        whole = await counter.buy(counter.request(counter.order(max_units=9, seed=3)))
        prompt = (*PROMPT, *whole.units[:4])
        order = counter.order(prompt, max_units=9 - 4, seed=3, answer_from=len(PROMPT))
        rest = await counter.buy(counter.request(order, prompt))
        assert [*whole.units[:4], *rest.units] == whole.units
        salt = bytes.fromhex((rest.last.salt or "")[2:])
        assert rest.receipt.response_root == roots.units_root(whole.units, salt)
        assert rest.price(counter.listing) == len(prompt) + len(rest.units)

    run(story)


def test_a_prefix_of_somebody_else_is_refused_and_takes_no_room(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        for _ in range(5):
            prompt = (*PROMPT, ord("z"), ord("z"))
            order = counter.order(prompt, answer_from=len(PROMPT))
            with pytest.raises(Refused, match=r"order\.prefix-mismatch"):
                await counter.provider.take(counter.request(order, prompt))
        assert counter.tab().running == counter.tab().reserved == 0
        await counter.buy()

    run(story)


# -- rule P5: ends ---------------------------------------------------------------------------------------------------


def test_a_cancel_ends_the_answer_within_the_run_ahead(tmp_path: Path) -> None:
    gate = Gate(units=5)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        request = counter.request(counter.order(max_units=40))
        task, _ = await started(counter, request, 5)
        await counter.provider.cancel(counter.cancel(request, 3))
        gate.open()
        bought = await task
        assert bought.last.finish == "cancel"
        assert 3 <= bought.committed() <= 3 + counter.listing.offer.run_ahead
        assert counter.tab().owed == len(PROMPT) + bought.committed()
        query = CancelQuery("0x" + digest_of(request).hex())
        told = counter.provider.cancel_of(query)
        assert told is not None
        assert Cancel.from_json(told.record).units == 3, "a juror hears which cancel was obeyed"

    run(story)


def test_a_receipt_never_commits_to_more_than_the_run_ahead_however_far_the_engine_was(tmp_path: Path) -> None:
    gate = Gate(units=20)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        request = counter.request(counter.order(max_units=40))
        task, _ = await started(counter, request, 20)
        await counter.provider.cancel(counter.cancel(request, 2))
        gate.open()
        assert (await task).committed() == 2 + counter.listing.offer.run_ahead

    run(story)


def test_a_cancel_beyond_what_was_delivered_lets_the_run_go_on_to_there(tmp_path: Path) -> None:
    gate = Gate(units=1)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        request = counter.request(counter.order(max_units=40))
        task, _ = await started(counter, request, 1)
        await counter.provider.cancel(counter.cancel(request, 10))
        gate.open()
        bought = await task
        assert 10 <= bought.committed() <= 10 + counter.listing.offer.run_ahead
        assert len(bought.units) == 10, "the engine does no more than it is paid for"

    run(story)


def test_a_cancel_by_a_stranger_or_of_an_unknown_order_changes_nothing(tmp_path: Path) -> None:
    gate = Gate(units=2)
    counter = Counter(tmp_path, Alphabet(pause=gate))

    async def story() -> None:
        request = counter.request()
        task, _ = await started(counter, request, 2)
        with pytest.raises(Refused, match="signature: cancel signed by"):
            await counter.provider.cancel(counter.cancel(request, 2, signer=STRANGER))
        with pytest.raises(Refused, match=r"order\.unknown"):
            await counter.provider.cancel(signed_by(SESSION, Cancel(1, bytes(32), 1)))
        gate.open()
        bought = await task
        assert bought.last.finish in ("stop", "length")
        assert counter.provider.cancel_of(CancelQuery("0x" + digest_of(request).hex())) is None

    run(story)


def test_a_cancel_that_comes_too_late_changes_no_receipt(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        bought = await counter.buy()
        await counter.provider.cancel(counter.cancel(bought.request, 1))
        assert (await counter.buy(bought.request)).last == bought.last
        assert counter.provider.cancel_of(CancelQuery("0x" + digest_of(bought.request).hex())) is None

    run(story)


def test_who_hangs_up_gets_no_receipt_and_the_engine_stops(tmp_path: Path) -> None:
    gate = Gate(units=4)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        request = counter.request(counter.order(max_units=40))
        task, frames = await started(counter, request, 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gate.let(1)
        await until(lambda: not counter.provider.runs)
        assert not counter.tab().unpaid
        kept = counter.journal.get("order", digest_of(request))
        assert kept is not None
        assert kept.state == State.ASSIGNED
        gate.open()
        whole = await counter.buy(request)  # it may ask again, and gets the whole answer
        assert whole.units[:4] == [unit for frame in frames for unit in frame.units]
        assert whole.last.receipt is not None

    run(story)


def test_who_cancels_and_hangs_up_still_owes_what_it_took(tmp_path: Path) -> None:
    gate = Gate(units=4)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        request = counter.request(counter.order(max_units=40))
        task, _ = await started(counter, request, 4)
        await counter.provider.cancel(counter.cancel(request, 4))
        task.cancel()
        gate.open()
        await until(lambda: not counter.provider.runs)
        assert len(counter.tab().unpaid) == 1

    run(story)


def test_hanging_up_early_is_no_way_to_free_answers(tmp_path: Path) -> None:
    """Rule M1: answers that were taken and left count as unpaid until their deadline."""
    gate = Gate()
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        for _ in range(counter.limits.max_unpaid):
            task, _ = await started(counter, counter.request(counter.order(max_units=40)), 0)
            gate.let(5)
            await until(lambda: any(running.delivered >= 5 for running in counter.provider.runs.values()))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gate.let(1)
            await until(lambda: not counter.provider.runs)
        with pytest.raises(Refused, match=r"channel\.unpaid: 3 answers wait for a voucher, the offer allows 3"):
            await counter.provider.take(counter.request())
        counter.time += 101
        gate.open()
        await counter.buy()

    run(story)


class Silent(Alphabet):
    """An engine that falls silent after three units, without an end."""

    def generate(self, job: Job) -> Iterator[Step]:
        steps = super().generate(job)
        return (next(steps) for _ in range(3))


class Broken(Alphabet):
    """An engine that fails after three units, in a way of its own."""

    def generate(self, job: Job) -> Iterator[Step]:
        steps = super().generate(job)
        yield from (next(steps) for _ in range(3))
        raise ZeroDivisionError("kv cache")


@pytest.mark.parametrize(("engine", "rule"), [(Silent, r"provider\.cut"), (Broken, r"engine\.failed")])
def test_a_run_that_fails_is_never_signed_for_and_its_owner_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, engine: type[Alphabet], rule: str
) -> None:
    counter = Counter(tmp_path, engine())

    async def story() -> None:
        with pytest.raises(Unavailable, match=rule):
            await counter.buy()
        assert not counter.tab().unpaid
        assert counter.tab().running == counter.tab().reserved == 0
        assert not counter.tab().left, "our failure is not held against the buyer"
        assert re.search(rf"order 0x[0-9a-f]{{64}}: {rule}", caplog.text)

    run(story)


def test_what_an_engine_says_as_it_breaks_stays_in_the_providers_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter(tmp_path, Broken())

    async def story() -> None:
        with pytest.raises(Unavailable) as told:
            await counter.buy()
        assert told.value.detail == "the engine broke off; this provider's log says why"
        assert "ZeroDivisionError: kv cache" in caplog.text

    run(story)


def test_a_provider_that_closes_signs_for_no_half_answer(tmp_path: Path) -> None:
    gate = Gate(units=3)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        task, frames = await started(counter, counter.request(counter.order(max_units=40)), 3)
        closing = asyncio.create_task(counter.provider.close())
        await asyncio.sleep(0)
        gate.let(1)
        with pytest.raises(Unavailable, match=r"provider\.cut: the run was stopped"):
            await task
        await closing
        assert all(frame.receipt is None for frame in frames)

    run(story)


class Stuck(Alphabet):
    """An engine that blocks after three units, until the test lets it go; it says when it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.freed, self.closed = threading.Event(), False

    def generate(self, job: Job) -> Iterator[Step]:
        steps = super().generate(job)
        yield from (next(steps) for _ in range(3))
        assert self.freed.wait(60)
        yield from steps

    def close(self) -> None:
        self.closed = True


def test_a_provider_ends_although_its_engine_never_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("node", "running"):
        monkeypatch.setattr(f"steelyard.nodes.provider.{module}.STOP_SECONDS", 0.05)
    engine = Stuck()
    counter = Counter(tmp_path, engine)

    async def story() -> None:
        task, frames = await started(counter, counter.request(), 3)
        try:
            async with asyncio.timeout(20):  # a hang, not a pace
                await counter.provider.close()
            with pytest.raises(Unavailable, match=r"provider\.failed"):
                await task
            assert all(frame.receipt is None for frame in frames)
            assert not engine.closed, "it may be in the middle of something"
        finally:
            engine.freed.set()

    run(story)


def test_a_process_ends_although_a_thread_of_its_engine_never_does() -> None:
    code = """
import asyncio, threading
from steelyard.nodes.provider.running import in_thread

async def main():
    in_thread(threading.Event().wait)

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_run_ends_at_its_deadline(tmp_path: Path) -> None:
    gate = Gate(units=3)
    counter = Counter(tmp_path, Alphabet(pause=gate, odds=0))

    async def story() -> None:
        counter.time += 0.9
        order = counter.order(max_units=40, deadline=int(counter.time) + 1)  # a tenth of a second from now
        task, frames = await started(counter, counter.request(order), 3)
        await asyncio.sleep(0.15)
        gate.let(1)
        with pytest.raises(Unavailable, match=r"provider\.late"):
            await task
        assert all(frame.receipt is None for frame in frames)

    run(story)


def test_a_connection_that_never_reads_blocks_nobody(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        frames = await counter.provider.take(counter.request())
        await until(lambda: not counter.provider.runs)
        assert len(counter.tab().unpaid) == 1, "it was answered, and can be asked for again"
        del frames

    run(story)


def test_the_end_id_is_committed_and_counted(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        for seed in range(200):
            order = counter.order(max_units=40, temperature=0x3F800000, seed=seed)
            bought = await counter.buy(counter.request(order))
            await counter.pay(bought)
            if bought.last.finish == "stop":
                assert bought.units[-1] == END
                assert bought.committed() == len(bought.units)
                return
        raise AssertionError("no answer ended by itself")

    run(story)


def test_salts_hide_equal_answers_from_each_other(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        order = counter.order()
        a = await counter.buy(counter.request(order))
        b = await counter.buy(counter.request(replace(order, nonce=bytes(32))))
        assert a.last.salt != b.last.salt
        assert a.receipt.response_root != b.receipt.response_root
        assert a.last.salt not in (None, "0x" + SALT.hex())
        assert counter.ledger.domain == DOMAIN

    run(story)
