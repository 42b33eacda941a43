"""A provider's counter on the toy chain: one provider, one buyer who signs by hand, an engine that a test can stop."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from bazaar import listening
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Engine
from steelyard.market.journal import Journal
from steelyard.market.toy_ledger import Town, ToyLedger
from steelyard.nodes.provider.accounts import Tab
from steelyard.nodes.provider.app import app
from steelyard.nodes.provider.claiming import Claimer
from steelyard.nodes.provider.main import salt_secret
from steelyard.nodes.provider.node import Provider
from steelyard.nodes.provider.offers import Limits, Listing, Prices, list_offers
from steelyard.protocol import roots
from steelyard.protocol.eip712 import Domain, Record
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.records import Cancel, Level, Order, Receipt, Registration, Voucher
from steelyard.protocol.units import MICRO, MicroToken
from steelyard.wire.messages import Frame, OrderRequest, Signed, sign_record
from steelyard.work import generate

DOMAIN = Domain(31337, checksum("0x" + "22" * 20))
PROVIDER, OTHER, SESSION, OWNER, AUTHOR, AUDITOR, STRANGER = (
    Key(sha256(name))
    for name in (b"provider", b"other", b"session", b"owner", b"author", b"auditor", b"stranger")
)  # fmt: skip
CHANNEL = sha256(b"channel")
NOW = 1_900_000_000
FAR = NOW + 10**7
CAP = 10 * MICRO
PROMPT = tuple(b"user: weigh my\nassistant: ")
SALT = sha256(b"prompt salt")
PRICE = 1_000_000  # one micro-token a unit


class Gate:
    """An engine's pause that lets units through one by one, or all."""

    def __init__(self, units: int = 0) -> None:
        self._units = threading.Semaphore(units)
        self._open = threading.Event()

    def __call__(self) -> None:
        if not self._open.is_set():
            assert self._units.acquire(timeout=20)

    def let(self, units: int) -> None:
        """So many units more."""
        self._units.release(units)

    def open(self) -> None:
        """As many as come."""
        self._open.set()
        self._units.release(1000)


@dataclass
class Counter:
    """One provider over a toy chain. `restart` drops all that was in memory, as kill -9 does."""

    folder: Path
    engine: Engine = field(default_factory=Alphabet)
    levels: tuple[Level, ...] = (Level.AUDITED, Level.OPEN)
    limits: Limits = field(default_factory=lambda: Limits(max_units=40, max_unpaid=3, run_ahead=4))
    price: int = PRICE
    parallel: int = 4
    kind: type[Provider] = Provider
    time: float = NOW
    allocation: int = CAP // 2
    town: Town = field(init=False)
    ledger: ToyLedger = field(init=False)
    provider: Provider = field(init=False)
    journal: Journal = field(init=False)
    domain: Domain = DOMAIN
    channel: bytes = CHANNEL
    orders: int = 0
    paid: list[bytes] = field(default_factory=list)
    amount: int = 0

    def __post_init__(self) -> None:
        self.town = Town(DOMAIN, clock=lambda: int(self.time))
        self.ledger = self.town.of(PROVIDER.address)
        card = self.engine.card
        who = (AUTHOR.address, AUTHOR.address, 500)
        self.registration = Registration(1, card.model_root, *who, card.context_length, 0, 1, bytes(32))
        self.model = self.town.register(self.registration, "alphabet")
        shares = {PROVIDER.address: self.allocation, OTHER.address: CAP - self.allocation}
        self.town.open(CHANNEL, OWNER.address, SESSION.address, CAP, FAR, shares)
        self.start()

    def start(self) -> None:
        """Opens the journal that is there, lists, and makes a desk."""
        self.journal = Journal(self.folder / "journal.sqlite")
        prices = [Prices(level, self.price, self.price) for level in self.levels]
        card, limits = self.engine.card, self.limits
        self.listings = list_offers(PROVIDER, DOMAIN, card, self.model, prices, limits, self.journal, lambda: self.time)
        self.provider = self.kind(
            PROVIDER,
            salt_secret(PROVIDER),
            self.engine,
            self.ledger,
            self.listings,
            self.journal,
            lambda: self.time,
            self.parallel,
        )
        self.claimer = Claimer(self.provider, self.ledger, seconds=3600.0)

    def restart(self) -> None:
        """A new process on the same disk."""
        self.journal.close()
        self.start()

    @property
    def listing(self) -> Listing:
        """The audited offer."""
        return self.listings[0]

    def tab(self) -> Tab:
        """The buyer's."""
        return self.provider.accounts.tab(CHANNEL, self.listing.digest)

    # -- the buyer ---------------------------------------------------------------------------------------------------

    def order(self, prompt: Sequence[int] = PROMPT, max_units: int = 12, **changes: Any) -> Order:
        """A new order for the audited offer."""
        self.orders += 1
        offer = self.listing.offer
        order = Order(
            version=Order.VERSION,
            channel=self.channel,
            offer=self.listing.digest,
            registration=offer.registration,
            kind=offer.kind,
            level=offer.level,
            prompt_root=roots.units_root(prompt, SALT),
            prompt_units=len(prompt),
            answer_from=len(prompt),
            max_units=max_units,
            temperature=0,
            top_p=0x3F800000,
            top_k=0,
            seed=self.orders,
            grammar=bytes(32),
            logprobs=0,
            max_price=MICRO,
            deadline=int(self.time) + 100,
            coin_commitment=roots.coin_commitment(sha256(b"coin")),
            jury_epoch=self.town.epoch,
            nonce=sha256(b"order", bytes([self.orders])),
        )
        return replace(order, **changes)

    def request(
        self,
        order: Order | None = None,
        prompt: Sequence[int] = PROMPT,
        voucher: Signed | None = None,
        signer: Key = SESSION,
        domain: Domain | None = None,
        grammar: bytes = b"",
    ) -> OrderRequest:
        """An order as it is posted."""
        order = order or self.order(prompt)
        signed = signed_by(signer, order, domain or self.domain)
        return OrderRequest(signed, list(prompt), "0x" + SALT.hex(), voucher=voucher, grammar=grammar.decode())

    async def buy(self, request: OrderRequest | None = None) -> "Bought":
        """A whole answer."""
        request = request or self.request()
        return Bought(request, [frame async for frame in await self.provider.take(request)], self.domain)

    def voucher(self, *answers: "Bought", amount: int | None = None, signer: Key = SESSION, **changes: Any) -> Signed:
        """Promises these answers over the ones promised before."""
        receipts = [*self.paid, *(answer.digest for answer in answers)]
        total = self.amount + sum(answer.price(self.listing) for answer in answers)
        voucher = Voucher(
            1, self.channel, self.listing.digest, amount or total, len(receipts), roots.receipts_root(receipts)
        )
        return signed_by(signer, replace(voucher, **changes), self.domain)

    async def pay(self, *answers: "Bought") -> Signed:
        """Sends the voucher for them, and remembers."""
        signed = self.voucher(*answers)
        await self.provider.take_voucher(signed)
        self.paid += [answer.digest for answer in answers]
        self.amount = Voucher.from_json(signed.record).amount
        return signed

    def cancel(self, request: OrderRequest, units: int, signer: Key = SESSION) -> Signed:
        """No more than so many units."""
        return signed_by(signer, Cancel(1, digest_of(request), units))

    @contextlib.asynccontextmanager
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The counter on a real socket; its end closes provider and engine."""
        async with listening(app(self.provider, self.claimer)) as url, aiohttp.ClientSession(url) as client:
            yield client


@dataclass(frozen=True)
class Bought:
    """An answer with its receipt."""

    request: OrderRequest
    frames: list[Frame]
    domain: Domain = DOMAIN

    @property
    def order(self) -> Order:
        return Order.from_json(self.request.order.record)

    @property
    def units(self) -> list[int]:
        return [unit for frame in self.frames for unit in frame.units]

    @property
    def last(self) -> Frame:
        return self.frames[-1]

    @property
    def receipt(self) -> Receipt:
        assert self.last.receipt is not None
        return Receipt.from_json(self.last.receipt.record)

    @property
    def digest(self) -> bytes:
        return self.receipt.digest(self.domain)

    def committed(self) -> int:
        """Units that the receipt commits to, by trying."""
        assert self.last.salt is not None
        salt = bytes.fromhex(self.last.salt[2:])
        for count in range(len(self.units) + 1):
            answer = generate.whole_answer(self.order, self.request.prompt, self.units[:count])
            if roots.units_root(answer, salt) == self.receipt.response_root:
                return count
        raise AssertionError("the receipt commits to other units")

    def price(self, listing: Listing) -> MicroToken:
        prefix = self.order.prompt_units - self.order.answer_from
        return generate.price_of(listing.offer, self.order, prefix + self.committed())


def signed_by(key: Key, record: Record, domain: Domain = DOMAIN) -> Signed:
    """A record and a signature."""
    return sign_record(record, key.sign(record.digest(domain)))


def digest_of(request: OrderRequest) -> bytes:
    """Of the order."""
    return Order.from_json(request.order.record).digest(DOMAIN)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Plays a story on an event loop of its own."""
    asyncio.run(story())


async def until(what: Callable[[], bool]) -> None:
    """Waits for it."""
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110  what it waits for is a thread's
            await asyncio.sleep(0.002)


def limit_disk(journal: Journal, pages: int) -> None:
    """The disk is full after so many pages more. The pragma counts for one connection: the writer's."""
    real = journal._commit
    limited: list[bool] = []

    def commit(connection: sqlite3.Connection, group: list[object]) -> None:
        if not limited:
            now = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {now + pages}")
            limited.append(True)
        real(connection, group)  # type: ignore[arg-type]

    journal._commit = commit  # type: ignore[method-assign, assignment]
