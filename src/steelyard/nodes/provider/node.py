"""The provider's desk: takes orders, runs them, signs receipts, keeps vouchers (rules M1, M12, P5).

Durable before it is said: an order before its first unit leaves, a receipt before its signature does, a voucher before
it is acknowledged. An order posted again gets the same answer: from the journal if it ended, else by the same run.
A subclass may replace `take` or `package`: that is how some of devnet's liars are made.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from steelyard.engines.base import Engine, Job, Step
from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Ledger
from steelyard.market.lifecycle import State
from steelyard.nodes.provider.accepting import Accepted, Accepting, Channels
from steelyard.nodes.provider.accounts import Accounts, moved
from steelyard.nodes.provider.metrics import Metrics
from steelyard.nodes.provider.offers import Listing, known_offers
from steelyard.nodes.provider.running import STOP_SECONDS, Running, in_thread
from steelyard.protocol.eip712 import Record, read_hex
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.keys import Key, require_signer
from steelyard.protocol.records import AuditTicket, Cancel, Order, Receipt, Voucher
from steelyard.protocol.roots import provider_salt
from steelyard.wire.messages import (
    AuditPackage,
    CancelQuery,
    Frame,
    LastVoucher,
    OrderRequest,
    Signed,
    TicketNotice,
    VoucherQuery,
    sign_record,
    signature_of,
)
from steelyard.work import generate

log = logging.getLogger("steelyard.provider")

T = TypeVar("T")

FINISHED: Final = frozenset({State.COMMITTED, State.SETTLED})
UNITS_A_FRAME: Final = 4096  # of an answer that is given again: keeps a line far below `wire.peer.MAX_LINE`


@dataclass(frozen=True, slots=True)
class Answer:
    """A run that ended."""

    units: tuple[int, ...]
    """Generated for this order."""
    leaves: tuple[bytes, ...]
    finish: str
    logprobs: tuple[tuple[int, ...], ...] = ()
    """A row per unit, where the order wants them."""


class Provider:
    """One provider with one engine. `secret` (32 bytes) salts its roots; `clock` gives Unix seconds and may block."""

    def __init__(
        self,
        key: Key,
        secret: bytes,
        engine: Engine,
        ledger: Ledger,
        listings: Sequence[Listing],
        journal: Journal,
        clock: Callable[[], float],
        parallel: int = 8,
    ) -> None:
        self.key, self.secret, self.engine, self.ledger, self.journal, self.clock = (
            key, secret, engine, ledger, journal, clock,
        )  # fmt: skip
        self.listings = {listing.digest: listing for listing in listings}
        self.known = {old.digest: old for old in known_offers(key, ledger.domain, journal)} | self.listings
        self.channels = Channels(ledger, key.address)
        self.accounts = Accounts(journal)
        self.accepting = Accepting(ledger, self.known, self.listings, self.accounts, self.channels)
        self.metrics = Metrics()
        self.parallel = parallel
        self.runs: dict[bytes, Running] = {}
        self._readers = ThreadPoolExecutor(4, "reader")  # signatures, hashes, the chain: off the event loop

    def expire(self, now: float) -> None:
        """Orders whose deadline passed without a receipt are closed, their prompts dropped. Blocks."""
        late = []
        for document in self.journal.scan("order", State.ASSIGNED):
            order = Order.from_json(json.loads(document.body)["order"]["record"])
            if order.deadline < now and document.key not in self.runs:
                late.append(moved(document.key, State.ASSIGNED, State.EXPIRED, b"{}"))
        self.journal.write(*late)

    def relist(self, listings: Sequence[Listing]) -> None:
        """Sells these and nothing else; what was sold before stays known."""
        fresh = {listing.digest: listing for listing in listings}
        self.known.update(fresh)
        self.listings.clear()
        self.listings.update(fresh)

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    # -- orders ----------------------------------------------------------------------------------------------------

    async def take(self, request: OrderRequest) -> AsyncIterator[Frame]:
        """Checks an order and returns its frames. Raises Refused before the first frame."""
        accepted, now, late = await self._aside(lambda: self._look(request))
        if request.voucher is not None:
            await self._take_riding(request.voucher)
        kept = self.journal.get("order", accepted.digest)
        if kept is not None and kept.state in FINISHED:
            return self._again(kept)
        if accepted.digest in self.runs:
            raise Refused("order.busy", f"0x{accepted.digest.hex()} is running")
        if len(self.runs) >= self.parallel:
            raise Refused("provider.busy", f"{len(self.runs)} orders in flight, at most {self.parallel}")
        running = self.runs[accepted.digest] = Running(accepted)
        try:
            if late is not None:
                raise late
            steps = await self._begin(accepted, now)
        except BaseException:
            del self.runs[accepted.digest]
            raise
        running.task = asyncio.create_task(self._serve(running, steps, accepted.order.deadline - now))
        return running.frames()

    def _look(self, request: OrderRequest) -> tuple[Accepted, float, Refused | None]:
        """An order, the time, and why it comes too late to be run. Blocks."""
        accepted, now = self.accepting.read(request), self.clock()
        try:
            self.accepting.require_timely(accepted, now)
        except Refused as refused:
            return accepted, now, refused
        return accepted, now, None

    async def _begin(self, accepted: Accepted, now: float) -> Iterator[Step]:
        """Room in the buyer's tab, a line in the journal, the run. The engine begins while the line is being written;
        nothing leaves before it is."""
        self.accepting.reserve(accepted, now)
        begun = in_thread(partial(self._steps, accepted.order, accepted.prompt, accepted.grammar))
        try:
            line = Document("order", accepted.digest, State.ASSIGNED, msgspec.json.encode(accepted.request))
            await self.journal.commit(line)
            return await asyncio.shield(begun)
        except BaseException:
            begun.add_done_callback(_drop)
            self.accepting.free(accepted)
            raise

    async def _again(self, kept: Document) -> AsyncIterator[Frame]:
        body = json.loads(kept.body)
        units, rows = body["units"], body["logprobs"]
        for at in range(0, len(units), UNITS_A_FRAME):
            yield Frame(units=units[at : at + UNITS_A_FRAME], logprobs=rows[at : at + UNITS_A_FRAME])
        yield Frame(receipt=Signed(body["receipt"], body["signature"]), salt=body["salt"], finish=body["finish"])

    async def _serve(self, running: Running, steps: Iterator[Step], seconds: float) -> None:
        """One run from its first unit to its receipt; whatever ends it sooner is said to the connection."""
        accepted = running.accepted
        last: Frame | SteelyardError
        try:
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._run(running, steps)
            except TimeoutError as error:
                raise Unavailable("provider.late", f"not done at the deadline {accepted.order.deadline}") from error
            last = await self._commit(accepted, answer, running.cancel if answer.finish == "cancel" else None)
        except SteelyardError as error:
            last = error
            self.metrics.failed(error.rule)
            if isinstance(error, Unavailable):  # a failure of ours: the owner should see it too
                log.warning("order 0x%s: %s", accepted.digest.hex(), error)
        except BaseException as error:
            last = Unavailable("provider.failed", type(error).__name__)
            raise
        finally:
            del self.runs[accepted.digest]
            took = running.left and running.delivered > 0 and isinstance(last, SteelyardError)
            self.accepting.free(accepted, left=took)
            running.say(last)

    async def _run(self, running: Running, steps: Iterator[Step]) -> Answer:
        made: list[Step] = []
        async for ready in running.units(steps):
            made += ready
            rows = [list(step.logprobs) for step in ready if step.logprobs]
            running.say(Frame(units=[step.id for step in ready], logprobs=rows))
        self.metrics.units.inc(len(made))
        return self._ended(running, made)

    def _ended(self, running: Running, made: list[Step]) -> Answer:
        """Rule P5: an end id, all that was ordered, or a cancel at n and then n … n + run-ahead units. A run that ended
        for any other reason (we close, the buyer hung up, the engine fell silent) must not be signed for: it would be
        a cheat."""
        accepted, cancel_at = running.accepted, running.cancel_at
        finish: str = generate.finish_of(accepted.order, self.engine.card.ends, [step.id for step in made])
        if cancel_at is not None and len(made) > (most := cancel_at + accepted.listing.offer.run_ahead):
            made, finish = made[:most], "cancel"
        elif finish == "cancel" and (cancel_at is None or len(made) < cancel_at):
            why = "the buyer hung up" if running.left else "the run was stopped"
            raise Unavailable("provider.cut", f"{why} after {len(made)} of {accepted.order.max_units} units")
        rows = tuple(step.logprobs for step in made if step.logprobs)
        return Answer(tuple(step.id for step in made), tuple(step.leaf for step in made), finish, rows)

    async def _commit(self, accepted: Accepted, answer: Answer, cancel: Signed | None) -> Frame:
        order, salt = accepted.order, provider_salt(self.secret, accepted.digest)
        committed = generate.whole_answer(order, accepted.prompt, answer.units)
        receipt, signed = await self._aside(lambda: self._sign_receipt(accepted, committed, answer, salt))
        digest = receipt.digest(self.ledger.domain)
        price = generate.price_of(accepted.listing.offer, order, len(committed))
        body = {
            "request": msgspec.to_builtins(accepted.request),
            "units": list(answer.units),
            "leaves": b"".join(answer.leaves).hex(),
            "logprobs": [list(row) for row in answer.logprobs],
            "receipt": signed.record,
            "signature": signed.signature,
            "salt": "0x" + salt.hex(),
            "finish": answer.finish,
            "digest": digest.hex(),
            "channel": order.channel.hex(),
            "offer": order.offer.hex(),
            "price": price,
            "cancel": None if cancel is None else msgspec.to_builtins(cancel),
        }
        await self.journal.commit(
            moved(accepted.digest, State.ASSIGNED, State.COMMITTED, json.dumps(body).encode()),
            Document("receipt", digest, "", accepted.digest),
        )
        self.accounts.delivered(order.channel, order.offer, digest, accepted.digest, price)
        self.metrics.receipts.inc()
        return Frame(receipt=signed, salt=body["salt"], finish=answer.finish)

    def _steps(self, order: Order, prompt: Sequence[int], grammar: bytes) -> Iterator[Step]:
        """Starts the run that the order fixes."""
        job: Job = generate.job_of(order, prompt, grammar)
        return iter(self.engine.generate(job))

    def _sign_receipt(
        self, accepted: Accepted, committed: Sequence[int], answer: Answer, salt: bytes
    ) -> tuple[Receipt, Signed]:
        """The receipt; signatures are deterministic, so a second signing says the same."""
        root = self.engine.card.model_root
        offer = accepted.listing.digest
        rows = answer.logprobs
        receipt = generate.receipt_of(accepted.digest, offer, root, committed, answer.leaves, salt, rows)
        return receipt, sign_record(receipt, self.key.sign(receipt.digest(self.ledger.domain)))

    def package(self, body: dict[str, Any]) -> AuditPackage:
        """What an auditor with a ticket gets."""
        request = msgspec.convert(body["request"], OrderRequest)
        order = Order.from_json(request.order.record)
        answer = generate.whole_answer(order, request.prompt, body["units"])
        cancel = body["cancel"]
        return AuditPackage(
            offer=self.known[order.offer].signed,
            order=request.order,
            receipt=Signed(body["receipt"], body["signature"]),
            prompt=request.prompt,
            prompt_salt=request.salt,
            answer=list(answer),
            answer_salt=body["salt"],
            grammar=request.grammar,
            logprobs=body["logprobs"],
            cancel=None if cancel is None else Signed(cancel["record"], cancel["signature"]),
        )

    # -- the rest of the desk ----------------------------------------------------------------------------------------

    async def cancel(self, signed: Signed) -> None:
        """The buyer wants no more (rule P5). Raises Refused("order.unknown"), Refused("signature")."""
        cancel = Cancel.from_json(signed.record)
        running = self.runs.get(cancel.order)
        order = running.accepted.order if running is not None else self._order(cancel.order)
        await self._require_session_key(order.channel, cancel, signed, "cancel")
        if running is not None:
            running.obey(signed, cancel.units)

    def _order(self, digest: bytes) -> Order:
        kept = self.journal.get("order", digest)
        if kept is None or kept.state == State.EXPIRED:
            raise Refused("order.unknown", f"0x{digest.hex()}")
        body = json.loads(kept.body)
        return Order.from_json(body.get("request", body)["order"]["record"])

    async def _require_session_key(self, channel: bytes, record: Record, signed: Signed, what: str) -> None:
        def check() -> None:
            key = self.channels.get(channel)[0].session_key
            require_signer(record.digest(self.ledger.domain), signature_of(signed), key, what)

        await self._aside(check)

    def cancel_of(self, query: CancelQuery) -> Signed | None:
        """Which cancel an order's receipt obeys (rule P5), if any. Raises Refused("order.unknown")."""
        kept = self.journal.get("order", read_hex("order", query.order, 32))
        if kept is None:
            raise Refused("order.unknown", query.order)
        cancel = json.loads(kept.body).get("cancel")
        return None if cancel is None else Signed(cancel["record"], cancel["signature"])

    async def take_voucher(self, signed: Signed) -> None:
        """Raises Refused `voucher.*`, `channel.unknown`, `signature`."""
        voucher = Voucher.from_json(signed.record)
        if voucher.offer not in self.known:
            raise Refused("voucher.offer", f"0x{voucher.offer.hex()} is none of our offers")
        await self._require_session_key(voucher.channel, voucher, signed, "voucher")
        channel, allocation = await self._aside(lambda: self.channels.get(voucher.channel))
        try:
            await self.accounts.accept(voucher, signature_of(signed), channel, allocation)
        except Refused:
            self.channels.forget(voucher.channel)
            raise
        self.metrics.vouchers.inc()

    async def _take_riding(self, signed: Signed) -> None:
        """A voucher that rides on an order may have been overtaken by a later one: that is no fault of the order's."""
        try:
            await self.take_voucher(signed)
        except Refused as refused:
            if refused.rule != "voucher.stale":
                raise

    async def last_voucher(self, query: VoucherQuery) -> LastVoucher | None:
        """Rule M12: a gateway that lost its disk takes its own voucher back."""
        channel, offer = read_hex("channel", query.channel, 32), read_hex("offer", query.offer, 32)
        tab = self.accounts.find(channel, offer)
        if tab is None or tab.signed is None:
            return None
        return LastVoucher(tab.signed.record, tab.signed.signature, ["0x" + receipt.hex() for receipt in tab.paid])

    async def audit(self, notice: TicketNotice) -> AuditPackage:
        """Hands the answer to the holder of a buyer's ticket (rule M9). Raises Refused `ticket.*`, `signature`."""
        ticket = AuditTicket.from_json(notice.ticket.record)
        kept = self.journal.get("receipt", ticket.receipt)
        found = self.journal.get("order", kept.body) if kept is not None else None
        if found is None:
            raise Refused("ticket.unknown", f"no receipt 0x{ticket.receipt.hex()}")
        now = await self._aside(self.clock)
        if ticket.expiry < now:
            raise Refused("ticket.expired", f"{ticket.expiry}, now {now:.0f}")
        body = json.loads(found.body)
        await self._require_session_key(bytes.fromhex(body["channel"]), ticket, notice.ticket, "ticket")
        proof = read_hex("proof", notice.proof, 65)
        require_signer(ticket.digest(self.ledger.domain), proof, ticket.auditor, "proof")
        return self.package(body)

    async def close(self) -> None:
        """Stops what runs (without a receipt: it may be asked for again), then the engine, then the threads. An engine
        that does not obey within `STOP_SECONDS` is left to the end of the process, wherever it is."""
        tasks = [running.task for running in self.runs.values() if running.task is not None]
        for running in self.runs.values():
            running.stop()
        stuck = (await asyncio.wait(tasks, timeout=STOP_SECONDS))[1] if tasks else set()
        for task in stuck:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if stuck:
            log.error("the engine did not end %d runs within %g s: left as it is", len(stuck), STOP_SECONDS)
        else:
            self.engine.close()
        self._readers.shutdown(wait=False, cancel_futures=True)


def _drop(begun: "asyncio.Future[Iterator[Step]]") -> None:
    """Ends a run that nobody will read."""
    if begun.exception() is None and (close := getattr(begun.result(), "close", None)) is not None:
        close()
