"""A market in one process for tests of the gateway: a ledger in a dictionary, scripted providers on real sockets."""

import asyncio
import contextlib
import dataclasses
import itertools
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steelyard.engines.alphabet import Alphabet, AlphabetText
from steelyard.engines.base import Engine, Text
from steelyard.market.ledger import Auditor, Channel, Model, Terms
from steelyard.nodes.gateway.app import Gateway
from steelyard.nodes.gateway.main import Settings, build, server
from steelyard.nodes.gateway.spending import ApiKey
from steelyard.protocol import price, roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import ZERO_ADDRESS, Key, checksum
from steelyard.protocol.records import AuditTicket, Cancel, Kind, Level, Offer, Order, Receipt, Registration, Voucher
from steelyard.protocol.units import Address, MicroToken, Seconds, Timestamp
from steelyard.wire import http
from steelyard.wire.messages import (
    PATHS,
    Done,
    Frame,
    LastVoucher,
    Offers,
    OrderRequest,
    Signed,
    TicketNotice,
    VoucherQuery,
    open_signed,
    sign_record,
)
from steelyard.wire.peer import Patience
from steelyard.work import generate

DOMAIN = Domain(31337, checksum("0x" + "11" * 20))
SESSION, AUTHOR, AUDITOR = (Key(sha256(name)) for name in (b"session", b"author", b"auditor"))
CHANNEL = sha256(b"channel")
API_KEY = "sk-test"
NOW = 1_900_000_000
FAR = 4_000_000_000
QUICK = Patience(connect=2.0, answer=2.0, first_frame=1.0, next_frame=1.0)


def registration(engine: Engine) -> Registration:
    return Registration(
        version=1,
        model_root=engine.card.model_root,
        author=AUTHOR.address,
        payee=AUTHOR.address,
        royalty_bps=500,
        context_length=engine.card.context_length,
        size_bytes=0,
        public_weights=1,
        terms=bytes(32),
    )


@dataclass
class Notebook:
    """`market.ledger.Ledger`, the reading half, as attributes that a test may change."""

    domain: Domain = DOMAIN
    terms: Terms = field(default_factory=lambda: Terms(0, Seconds(600), Seconds(60)))
    listed: list[tuple[Address, str]] = field(default_factory=list)
    known: list[Model] = field(default_factory=list)
    pool: list[Auditor] = field(default_factory=list)
    channels: dict[bytes, Channel] = field(default_factory=dict)
    share: int = 10_000_000
    shares: dict[Address, int] = field(default_factory=dict)
    """Where a provider has another allocation than `share`."""
    bond: int = 1_000_000
    broken: bool = False

    def now(self) -> Timestamp:
        self._check()
        return Timestamp(NOW)

    def _check(self) -> None:
        if self.broken:
            raise Unavailable("chain.unreachable", "the test broke it")

    def epoch(self) -> int:
        return 7

    def channel(self, id: bytes) -> Channel | None:  # noqa: A002  the port's name
        self._check()
        return self.channels.get(id)

    def allocation(self, channel: bytes, provider: Address) -> MicroToken:
        return MicroToken(self.shares.get(provider, self.share))

    def models(self) -> Sequence[Model]:
        return self.known

    def providers(self) -> Sequence[tuple[Address, str]]:
        self._check()
        return self.listed

    def auditors(self) -> Sequence[Auditor]:
        return self.pool

    def free_bond(self, account: Address) -> MicroToken:
        return MicroToken(self.bond)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the gateway does not need {name}")


def channel(**changes: Any) -> Channel:
    usual = Channel(
        id=CHANNEL,
        owner=ZERO_ADDRESS,
        session_key=SESSION.address,
        cap=MicroToken(10_000_000),
        expiry=Timestamp(FAR),
        deposit=MicroToken(10_000_000),
        allocated=MicroToken(10_000_000),
        claimed=MicroToken(0),
        closes_at=Timestamp(0),
        closed=False,
    )
    return dataclasses.replace(usual, **changes)


@dataclass
class Seller:
    """A provider that does what it is told: honest, unless a method is replaced."""

    key: Key
    engine: Engine
    price: int = 1_000_000
    level: int = int(Level.AUDITED)
    max_unpaid: int = 2
    max_units: int = 64
    run_ahead: int = 4
    context: int = 2048
    quantization: str = "unknown"
    pause: float = 0.0
    """Seconds between units."""
    url: str = ""
    seen: list[OrderRequest] = field(default_factory=list)
    vouchers: list[Voucher] = field(default_factory=list)
    last: dict[bytes, LastVoucher] = field(default_factory=dict)
    paid: list[bytes] = field(default_factory=list)
    """Receipts given, in order."""
    grammars: dict[bytes, bytes] = field(default_factory=dict)
    """By an order's salted hash."""
    rows: dict[bytes, list[tuple[int, ...]]] = field(default_factory=dict)
    """Logprobs of an order's units."""
    cancels: dict[bytes, int] = field(default_factory=dict)

    @property
    def offer(self) -> Offer:
        return Offer(
            version=1,
            provider=self.key.address,
            registration=registration(self.engine).struct_hash(),
            kind=int(Kind.GENERATE),
            level=self.level,
            price_in=self.price,
            price_out=self.price,
            price_cached=self.price,
            context_length=self.context,
            max_units=self.max_units,
            max_unpaid=self.max_unpaid,
            run_ahead=self.run_ahead,
            valid_until=FAR,
            nonce=0,
        )

    def sign(self, record: Any) -> Signed:
        return sign_record(record, self.key.sign(record.digest(DOMAIN)))

    def routes(self) -> list[Route]:
        return [
            Route(PATHS["offers"], self.offers, methods=["GET"]),
            Route(PATHS["orders"], self.orders, methods=["POST"]),
            Route(PATHS["cancels"], self.cancel, methods=["POST"]),
            Route(PATHS["vouchers"], self.voucher, methods=["POST"]),
            Route(PATHS["last_voucher"], self.last_voucher, methods=["POST"]),
        ]

    async def offers(self, request: Request) -> Response:
        digest = "0x" + self.offer.digest(DOMAIN).hex()
        return http.reply(
            Offers(
                provider=self.key.address,
                chain_id=DOMAIN.chain_id,
                escrow=DOMAIN.escrow,
                offers=[self.sign(self.offer)],
                quantization={digest: self.quantization},
            )
        )

    async def orders(self, request: Request) -> Response:
        message = await http.read_message(request, OrderRequest)
        self.seen.append(message)
        order = open_signed(message.order, Order, DOMAIN, SESSION.address)
        generate.require_fits(order, self.offer, self.offer.digest(DOMAIN))
        self.grammars[order.grammar] = message.grammar.encode()
        generate.require_prompt(order, message.prompt, bytes.fromhex(message.salt[2:]), self.grammars[order.grammar])
        if message.voucher is not None:
            self._keep(message.voucher)
        self.refuse(order)
        return http.reply_frames(self.frames(order, message.prompt))

    def refuse(self, order: Order) -> None:
        """A script may raise here."""

    async def frames(self, order: Order, prompt: Sequence[int]) -> AsyncIterator[Frame]:
        digest = order.digest(DOMAIN)
        units: list[int] = []
        leaves: list[bytes] = []
        finish = None
        try:
            steps = self.engine.generate(generate.job_of(order, prompt, self.grammars.get(order.grammar, b"")))
        except SteelyardError as error:
            yield Frame(error=error.rule, detail=error.detail)
            return
        for step in steps:
            units.append(step.id)
            leaves.append(step.leaf)
            if step.logprobs:
                self.rows.setdefault(digest, []).append(step.logprobs)
            yield Frame(units=[step.id], logprobs=[list(step.logprobs)] if step.logprobs else [])
            await asyncio.sleep(self.pause)
            if len(units) >= self.cancels.get(digest, 1 << 30) + self.run_ahead:
                finish = "cancel"
                break
        most = self.cancels.get(digest, 1 << 30) + self.run_ahead
        if len(units) > most:  # they were on their way when the cancel came (rule P5)
            finish = "cancel"
        yield self.receipt(order, prompt, units[:most], leaves[:most], finish)

    def receipt(
        self, order: Order, prompt: Sequence[int], units: list[int], leaves: list[bytes], finish: str | None
    ) -> Frame:
        salt = roots.provider_salt(b"secret", order.digest(DOMAIN))
        answer = generate.whole_answer(order, prompt, units)
        rows = self.rows.get(order.digest(DOMAIN), [])[: len(units)]
        receipt = generate.receipt_of(
            order.digest(DOMAIN), order.offer, self.engine.card.model_root, answer, leaves, salt, rows
        )
        ended = finish or generate.finish_of(order, self.engine.card.ends, units)
        self.paid.append(receipt.digest(DOMAIN))
        return Frame(receipt=self.sign(receipt), salt="0x" + salt.hex(), finish=ended)

    async def cancel(self, request: Request) -> Response:
        cancel = open_signed(await http.read_message(request, Signed), Cancel, DOMAIN, SESSION.address)
        self.cancels[cancel.order] = cancel.units
        return http.reply(Done())

    async def voucher(self, request: Request) -> Response:
        self._keep(await http.read_message(request, Signed))
        return http.reply(Done())

    def _keep(self, signed: Signed) -> None:
        voucher = open_signed(signed, Voucher, DOMAIN, SESSION.address)
        last = self.vouchers[-1] if self.vouchers else None
        if last is not None and voucher == last:
            return
        if last is not None and voucher.count < last.count:
            raise Refused("voucher.stale", f"count {voucher.count} < {last.count}")
        self.vouchers.append(voucher)
        receipts = ["0x" + receipt.hex() for receipt in self.paid_by(voucher)]
        self.last[voucher.channel + voucher.offer] = LastVoucher(signed.record, signed.signature, receipts)

    def paid_by(self, voucher: Voucher) -> list[bytes]:
        """The receipts under a voucher's root, in the order that gives that root: those known already come first."""
        last = self.last.get(voucher.channel + voucher.offer)
        known = [bytes.fromhex(receipt[2:]) for receipt in last.receipts] if last else []
        unpaid = [receipt for receipt in self.paid if receipt not in known]
        for chosen in itertools.permutations(unpaid, voucher.count - len(known)):
            if roots.receipts_root([*known, *chosen]) == voucher.receipts_root:
                return [*known, *chosen]
        raise Refused("voucher.receipts", "no order of our receipts gives this root")

    async def last_voucher(self, request: Request) -> Response:
        query = await http.read_message(request, VoucherQuery)
        return http.reply(self.last.get(bytes.fromhex(query.channel[2:] + query.offer[2:])))

    def owed(self) -> int:
        """Price of all receipts whose units a test can count: vouchers' amount."""
        return max((voucher.amount for voucher in self.vouchers), default=0)


@dataclass
class Office:
    """An auditor that keeps its tickets."""

    key: Key = AUDITOR
    url: str = ""
    tickets: list[TicketNotice] = field(default_factory=list)
    deaf: int = 0
    """So many tickets are answered with a failure first."""

    def routes(self) -> list[Route]:
        return [Route(PATHS["tickets"], self.ticket, methods=["POST"])]

    async def ticket(self, request: Request) -> Response:
        notice = await http.read_message(request, TicketNotice)
        open_signed(notice.ticket, AuditTicket, DOMAIN, SESSION.address)
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("auditor.deaf", "the test wants it so")
        self.tickets.append(notice)
        return http.reply(Done())


@contextlib.asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serves an ASGI app on a free port. (A socket that is not said to be TCP gets no TCP_NODELAY: 40 ms a message.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        task = asyncio.create_task(running.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            await task


@dataclass
class Bazaar:
    """Sellers, an auditor, a ledger and the gateway between them."""

    folder: Path
    sellers: list[Seller]
    office: Office = field(default_factory=Office)
    ledger: Notebook = field(default_factory=Notebook)
    keys: tuple[ApiKey, ...] = (ApiKey(API_KEY),)
    texts: dict[str, Text] = field(default_factory=lambda: {"alphabet": AlphabetText()})
    patience: Patience = QUICK
    refresh_seconds: float = 3600.0
    chance: Callable[[], float] = field(default_factory=lambda: random.Random(1).random)
    gateway: Gateway = field(init=False)
    url: str = ""
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> "Bazaar":
        for seller in self.sellers:
            seller.url = await self._stack.enter_async_context(listening(http.app(seller.routes())))
        self.office.url = await self._stack.enter_async_context(listening(http.app(self.office.routes())))
        ledger, engine = self.ledger, self.sellers[0].engine
        ledger.listed = [(seller.key.address, seller.url) for seller in self.sellers]
        model = registration(engine)
        ledger.known = [Model(model.struct_hash(), model, engine.card.name, "")]
        ledger.pool = [Auditor(self.office.key.address, self.office.url, bytes(32), MicroToken(1))]
        ledger.channels.setdefault(CHANNEL, channel())
        await self.open()
        return self

    async def open(self) -> None:
        """Starts the gateway, with the journal that is there."""
        settings = Settings(
            session_key=SESSION.secret,
            api_keys=self.keys,
            channels=(CHANNEL,),
            texts={},
            journal=self.folder / "gateway.sqlite",
            patience=self.patience,
            refresh_seconds=self.refresh_seconds,
            port=0,
        )
        self.gateway = build(
            settings,
            self.ledger,  # type: ignore[arg-type]  # the reading half
            self.texts,
            clock=lambda: float(NOW),
            timer=time.monotonic,
            entropy=random.Random(time.time_ns()).randbytes,
            chance=self.chance,
        )
        self._running = server(self.gateway, settings)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.gateway.desk.drawing.source = self.url
        self._listener = listener
        self._task = asyncio.create_task(self._running.serve(sockets=[listener]))
        while not self._running.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Ends the gateway as SIGTERM would."""
        self._running.should_exit = True
        await self._task
        self._listener.close()

    async def settled(self) -> None:
        """Waits until nothing runs in the background."""
        while self.gateway.desk.tasks:
            await asyncio.wait(set(self.gateway.desk.tasks))

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.close()
        finally:
            await self._stack.aclose()


def honest(number: int, **changes: Any) -> Seller:
    """An honest seller of the toy model."""
    return Seller(Key(sha256(b"seller", bytes([number]))), Alphabet(), **changes)


def cost(seller: Seller, prompt: int, answer: int) -> int:
    """What an answer costs at a seller's."""
    return price.price(seller.offer, prompt, answer)


def receipt_of(signed: Signed) -> Receipt:
    """Without looking at the signature."""
    return Receipt.from_json(signed.record)
