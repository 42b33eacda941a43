"""The provider's desk: takes orders, runs them, signs receipts, keeps vouchers (rules M1, M12, P5).

Durable before it is said: an order before its first unit leaves, a receipt before its signature does, a voucher before
it is acknowledged. An order posted again gets the same answer: from the journal if it ended, else by the same run.
A subclass may replace one step (`steps`, `answer_of`, `sign_receipt`, `package`): that is how devnet's liars are made.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from steelyard.engines.base import Engine, Job, Step
from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Ledger
from steelyard.market.lifecycle import State
from steelyard.nodes.provider.accepting import Accepted, Accepting, Channels
from steelyard.nodes.provider.accounts import Accounts
from steelyard.nodes.provider.offers import Listing
from steelyard.nodes.provider.running import Running
from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import Key, require_signer
from steelyard.protocol.records import AuditTicket, Cancel, Order, Receipt, Voucher
from steelyard.protocol.roots import provider_salt
from steelyard.wire.messages import (
    AuditPackage,
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


@dataclass(frozen=True, slots=True)
class Answer:
    """A run that ended."""

    units: tuple[int, ...]
    """Generated for this order."""
    leaves: tuple[bytes, ...]
    finish: str


class Provider:
    """One provider with one engine. `secret` (32 bytes) salts its roots; `clock` gives Unix seconds."""

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
        self.channels = Channels(ledger, key.address)
        self.accounts = Accounts(journal)
        self.accepting = Accepting(ledger, self.listings, self.accounts, self.channels)
        self.parallel = parallel
        self.runs: dict[bytes, Running] = {}
        self._engine_threads = ThreadPoolExecutor(parallel, "engine")
        self._ledger_thread = ThreadPoolExecutor(1, "ledger")  # also keeps `accounts` in one hand

    async def _read(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._ledger_thread, call)

    # -- orders ----------------------------------------------------------------------------------------------------

    async def take(self, request: OrderRequest) -> AsyncIterator[Frame]:
        """Checks an order and returns its frames. Raises Refused before the first frame."""
        accepted: Accepted = await self._read(lambda: self.accepting.read(request))
        if request.voucher is not None:
            await self.take_voucher(request.voucher)
        kept = self.journal.get("order", accepted.digest)
        if kept is not None and kept.state != State.ASSIGNED:
            return self._again(kept)
        if accepted.digest in self.runs:
            raise Refused("order.busy", f"0x{accepted.digest.hex()} is running")
        if len(self.runs) >= self.parallel:
            raise Refused("provider.busy", f"{len(self.runs)} orders in flight, at most {self.parallel}")
        running = self.runs[accepted.digest] = Running()
        try:
            await self._read(lambda: self._admit(accepted))
            steps = await asyncio.to_thread(self.steps, accepted.order, accepted.prompt)
        except BaseException:
            del self.runs[accepted.digest]
            raise
        return self._frames(accepted, running, steps)

    def _admit(self, accepted: Accepted) -> None:
        self.accepting.require_timely(accepted, self.clock())
        self.accepting.reserve(accepted)
        try:
            self.journal.write(
                Document("order", accepted.digest, State.ASSIGNED, msgspec.json.encode(accepted.request))
            )
        except BaseException:
            self.accepting.free(accepted)
            raise

    async def _again(self, kept: Document) -> AsyncIterator[Frame]:
        body = json.loads(kept.body)
        yield Frame(units=body["units"])
        yield Frame(receipt=Signed(body["receipt"], body["signature"]), salt=body["salt"], finish=body["finish"])

    async def _frames(self, accepted: Accepted, running: Running, steps: Iterator[Step]) -> AsyncIterator[Frame]:
        units: list[int] = []
        leaves: list[bytes] = []
        try:
            async for ready in running.units(steps, self._engine_threads):
                units += [step.id for step in ready]
                leaves += [step.leaf for step in ready]
                yield Frame(units=[step.id for step in ready])
                if running.cancel_at is not None and len(units) >= running.cancel_at:
                    running.stop()
            answer = self._ended(accepted, running, units, leaves)
            frame = await self._commit(accepted, answer, running.cancel if answer.finish == "cancel" else None)
        finally:
            del self.runs[accepted.digest]
            await asyncio.shield(self._read(lambda: self.accepting.free(accepted)))
        yield frame

    def _ended(self, accepted: Accepted, running: Running, units: list[int], leaves: list[bytes]) -> Answer:
        """Rule P5: after a cancel at n the receipt commits to n … n + run-ahead units."""
        finish = generate.finish_of(accepted.order, self.engine.card.ends, units)
        if running.cancel_at is not None and finish == "cancel":
            most = running.cancel_at + accepted.listing.offer.run_ahead
            return Answer(tuple(units[:most]), tuple(leaves[:most]), finish)
        return Answer(tuple(units), tuple(leaves), finish)

    async def _commit(self, accepted: Accepted, answer: Answer, cancel: Signed | None) -> Frame:
        order, salt = accepted.order, provider_salt(self.secret, accepted.digest)
        committed = self.answer_of(order, accepted.prompt, answer)
        receipt, signed = self.sign_receipt(accepted, committed, answer, salt)
        digest = receipt.digest(self.ledger.domain)
        price = generate.price_of(accepted.listing.offer, order, len(committed))
        body = {
            "request": msgspec.to_builtins(accepted.request),
            "units": list(answer.units),
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
        documents = [
            Document("order", accepted.digest, State.COMMITTED, json.dumps(body).encode()),
            Document("receipt", digest, "", accepted.digest),
        ]

        def keep() -> None:
            self.journal.write(*documents)
            self.accounts.delivered(order.channel, order.offer, digest, accepted.digest, price)

        await self._read(keep)
        return Frame(receipt=signed, salt=body["salt"], finish=answer.finish)

    # -- the four steps that a liar would replace --------------------------------------------------------------------

    def steps(self, order: Order, prompt: Sequence[int]) -> Iterator[Step]:
        """Starts the run that the order fixes."""
        job: Job = generate.job_of(order, prompt)
        return iter(self.engine.generate(job))

    def answer_of(self, order: Order, prompt: Sequence[int], answer: Answer) -> Sequence[int]:
        """What the response root covers: the delivered prefix and the generated units."""
        return generate.whole_answer(order, prompt, answer.units)

    def sign_receipt(
        self, accepted: Accepted, committed: Sequence[int], answer: Answer, salt: bytes
    ) -> tuple[Receipt, Signed]:
        """The receipt; signatures are deterministic, so a second signing says the same."""
        root = self.engine.card.model_root
        offer = accepted.listing.digest
        receipt = generate.receipt_of(accepted.digest, offer, root, committed, answer.leaves, salt)
        return receipt, sign_record(receipt, self.key.sign(receipt.digest(self.ledger.domain)))

    def package(self, body: dict[str, Any]) -> AuditPackage:
        """What an auditor with a ticket gets."""
        request = msgspec.convert(body["request"], OrderRequest)
        order = Order.from_json(request.order.record)
        answer = generate.whole_answer(order, request.prompt, body["units"])
        cancel = body["cancel"]
        return AuditPackage(
            offer=self.listings[order.offer].signed,
            order=request.order,
            receipt=Signed(body["receipt"], body["signature"]),
            prompt=request.prompt,
            prompt_salt=request.salt,
            answer=list(answer),
            answer_salt=body["salt"],
            cancel=None if cancel is None else Signed(cancel["record"], cancel["signature"]),
        )

    # -- the rest of the desk ----------------------------------------------------------------------------------------

    async def cancel(self, signed: Signed) -> None:
        """The buyer wants no more (rule P5). Raises Refused("order.unknown"), Refused("signature")."""
        cancel = Cancel.from_json(signed.record)
        kept = self.journal.get("order", cancel.order)
        if kept is None:
            raise Refused("order.unknown", f"0x{cancel.order.hex()}")
        body = json.loads(kept.body)
        order = Order.from_json(body.get("request", body)["order"]["record"])
        channel, _ = await self._read(lambda: self.channels.get(order.channel))
        require_signer(cancel.digest(self.ledger.domain), signature_of(signed), channel.session_key, "cancel")
        running = self.runs.get(cancel.order)
        if running is not None and running.cancel_at is None:
            running.cancel_at, running.cancel = cancel.units, signed
            running.stop()

    async def take_voucher(self, signed: Signed) -> None:
        """Raises Refused `voucher.*`, `channel.unknown`, `signature`."""
        voucher = Voucher.from_json(signed.record)
        if voucher.offer not in self.listings:
            raise Refused("voucher.offer", f"0x{voucher.offer.hex()} is none of our offers")

        def accept() -> None:
            channel, allocation = self.channels.get(voucher.channel)
            signature = signature_of(signed)
            require_signer(voucher.digest(self.ledger.domain), signature, channel.session_key, "voucher")
            self.accounts.accept(voucher, signature, channel, allocation)

        await self._read(accept)

    async def last_voucher(self, query: VoucherQuery) -> LastVoucher | None:
        """Rule M12: a gateway that lost its disk takes its own voucher back."""
        channel, offer = read_hex("channel", query.channel, 32), read_hex("offer", query.offer, 32)
        tab = self.accounts.tab(channel, offer)
        if tab.signed is None:
            return None
        return LastVoucher(tab.signed.record, tab.signed.signature, ["0x" + receipt.hex() for receipt in tab.paid])

    async def audit(self, notice: TicketNotice) -> AuditPackage:
        """Hands the answer to the holder of a buyer's ticket (rule M9). Raises Refused `ticket.*`, `signature`."""
        ticket = AuditTicket.from_json(notice.ticket.record)
        kept = self.journal.get("receipt", ticket.receipt)
        found = self.journal.get("order", kept.body) if kept is not None else None
        if found is None:
            raise Refused("ticket.unknown", f"no receipt 0x{ticket.receipt.hex()}")
        now = await self._read(self.clock)
        if ticket.expiry < now:
            raise Refused("ticket.expired", f"{ticket.expiry}, now {now:.0f}")
        body = json.loads(found.body)
        channel, _ = await self._read(lambda: self.channels.get(bytes.fromhex(body["channel"])))
        digest = ticket.digest(self.ledger.domain)
        require_signer(digest, signature_of(notice.ticket), channel.session_key, "ticket")
        require_signer(digest, read_hex("proof", notice.proof, 65), ticket.auditor, "proof")
        return self.package(body)

    def close(self) -> None:
        """Ends runs and threads."""
        for running in self.runs.values():
            running.stop()
        self._engine_threads.shutdown(wait=False, cancel_futures=True)
        self._ledger_thread.shutdown(wait=False, cancel_futures=True)
