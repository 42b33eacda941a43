"""The buyer's money: room on a channel before an order, one voucher step after its receipt (rules M1, M2, M12).

Invariant: a tab's voucher in the journal pays exactly the receipts listed beside it, each once; in memory the tab is
never ahead of the journal. What is in flight counts at its highest price.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from steelyard.market.journal import Document, Journal
from steelyard.nodes.gateway.book import Book
from steelyard.nodes.gateway.purchase import Bought, Placed
from steelyard.nodes.gateway.records import ABSENT, Records, hexed
from steelyard.nodes.gateway.routing import Listed
from steelyard.nodes.gateway.spending import ApiKey, Spending
from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Voucher
from steelyard.protocol.units import Address
from steelyard.wire.messages import Done, Inclusion, LastVoucher, Signed, VoucherQuery, open_signed, sign_record
from steelyard.wire.peer import Peers

SEAT_SECONDS = 30.0  # a request waits so long for an answer before it to be paid
TOP_UP_SECONDS = 2.0  # the chain is asked at most so often whether a short channel was topped up

log = logging.getLogger("steelyard.gateway")


@dataclass(eq=False)
class Tab:
    """What one offer has been promised out of one channel."""

    channel: bytes
    offer: bytes
    """Digest."""
    provider: Address
    url: str
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """As many answers as the offer lets be unpaid (rule M1)."""
    sized: bool = False
    """True once `room` is as large as the offer says."""
    amount: int = 0
    count: int = 0
    tree: merkle.Appending = field(default_factory=merkle.Appending)
    signed: Signed | None = None
    acknowledged: int = 0
    """Count of the latest voucher that the provider has confirmed."""
    met: bool = False
    """True once the provider was asked for a voucher of ours that we do not have."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> bytes:
        return self.channel + self.offer


@dataclass(eq=False)
class Seat:
    """Room for one order."""

    tab: Tab
    buyer: ApiKey
    reserved: int
    """Micro-tokens."""

    def voucher(self) -> Signed | None:
        """The voucher that rides on the order: the latest, if the provider has not confirmed it and it is not on its
        way."""
        late = self.tab.acknowledged < self.tab.count and not self.tab.lock.locked()
        return self.tab.signed if late else None


class Till:
    """All tabs of a gateway."""

    def __init__(
        self,
        *,
        book: Book,
        records: Records,
        spending: Spending,
        peers: Peers,
        session: Key,
        domain: Domain,
        order_seconds: int,
        timer: Callable[[], float],
    ) -> None:
        self.book, self.records, self.spending, self.peers = book, records, spending, peers
        self.session, self.domain, self.order_seconds, self.timer = session, domain, order_seconds, timer
        self.journal: Journal = records.journal
        self.tabs: dict[bytes, Tab] = {}
        self.in_flight: dict[tuple[bytes, Address], int] = {}
        self._looked = -TOP_UP_SECONDS

    # -- before an order -------------------------------------------------------------------------------------------

    async def take(self, listed: Listed, highest: int, buyer: ApiKey) -> Seat:
        """Room for an order of at most `highest` micro-tokens. Raises Refused `budget.exceeded`, `request.price-cap`,
        `channel.exhausted`, `request.in-flight`, or what the provider answers when asked for our voucher."""
        self.spending.reserve(buyer, highest)
        try:
            channel = await self._channel_for(listed, highest)
            tab = self._tab(channel, listed)
            self._set_aside(tab, highest)
            try:
                async with asyncio.timeout(SEAT_SECONDS):
                    await tab.room.acquire()
            except BaseException:
                self._set_aside(tab, -highest)
                raise
            seat = Seat(tab, buyer, highest)
        except TimeoutError as error:
            self.spending.settle(buyer.name, highest, 0)
            most = listed.offer.max_unpaid
            raise Refused("request.in-flight", f"{most} orders in flight at {listed.provider}") from error
        except BaseException:
            self.spending.settle(buyer.name, highest, 0)
            raise
        try:
            await self.meet(tab)
        except BaseException:
            self.give_back(seat)
            raise
        return seat

    def give_back(self, seat: Seat, spent: int = 0) -> None:
        """The order is over: paid with `spent`, or not at all."""
        self._set_aside(seat.tab, -seat.reserved)
        self.spending.settle(seat.buyer.name, seat.reserved, spent)
        seat.tab.room.release()

    def _set_aside(self, tab: Tab, amount: int) -> None:
        where = (tab.channel, tab.provider)
        self.in_flight[where] = self.in_flight.get(where, 0) + amount

    async def _channel_for(self, listed: Listed, highest: int) -> bytes:
        try:
            return self._fitting(listed, highest)
        except Refused:
            if self.timer() - self._looked < TOP_UP_SECONDS:
                raise
        self._looked = self.timer()
        await self.book.refresh_chain()  # it may have been topped up
        return self._fitting(listed, highest)

    def _fitting(self, listed: Listed, highest: int) -> bytes:
        """The first channel that can pay. Raises Refused("channel.exhausted")."""
        reasons = []
        for name, channel in self.book.chain.channels.items():
            used = {
                who: self._used(name, who) for who in {tab.provider for tab in self.tabs.values()} | {listed.provider}
            }
            share = self.book.chain.allocations.get((name, listed.provider), 0)
            free = min(share - used[listed.provider], channel.cap - sum(used.values()))
            if channel.session_key != self.session.address:
                reasons.append(f"session key {channel.session_key} is not ours")
            elif channel.closed or channel.closes_at:
                reasons.append("closing")
            elif channel.expiry < self.book.now() + self.order_seconds:
                reasons.append(f"expires at {channel.expiry}")
            elif free < highest:
                reasons.append(f"{max(free, 0)} free for {listed.provider} of {share} < up to {highest} micro-tokens")
            else:
                return name
        told = "; ".join(reasons) or "no channel is open"
        raise Refused("channel.exhausted", told)

    def _used(self, channel: bytes, provider: Address) -> int:
        promised = sum(t.amount for t in self.tabs.values() if (t.channel, t.provider) == (channel, provider))
        return promised + self.in_flight.get((channel, provider), 0)

    def _tab(self, channel: bytes, listed: Listed) -> Tab:
        tab = self.tabs.get(channel + listed.digest)
        if tab is None:
            tab = Tab(channel, listed.digest, listed.provider, listed.url)
            self.tabs[tab.key] = tab
        if not tab.sized:
            tab.sized = True
            for _ in range(max(listed.offer.max_unpaid, 1)):
                tab.room.release()
        tab.url = listed.url
        return tab

    async def meet(self, tab: Tab) -> None:
        """Takes our own highest voucher back from the provider, if it has a higher one than we (a lost disk, M12)."""
        async with tab.lock:
            if tab.met:
                return
            query = VoucherQuery(channel=hexed(tab.channel), offer=hexed(tab.offer))
            last = await self.peers.post_maybe(tab.url, "last_voucher", query, LastVoucher)
            if last is not None:
                await self._take_back(tab, last)
            tab.met = True

    async def _take_back(self, tab: Tab, last: LastVoucher) -> None:
        signed = Signed(record=last.record, signature=last.signature)
        try:
            voucher = open_signed(signed, Voucher, self.domain, self.session.address)
            if (voucher.channel, voucher.offer) != (tab.channel, tab.offer):
                raise Refused("voucher.offer", f"of channel {hexed(voucher.channel)}, offer {hexed(voucher.offer)}")
            tab.acknowledged = max(tab.acknowledged, min(voucher.count, tab.count))
            if voucher.count <= tab.count:
                return
            receipts = [read_hex("receipts", receipt, 32) for receipt in last.receipts]
            tree = merkle.Appending()
            for receipt in receipts:
                tree.append(merkle.leaf_hash(receipt))
            if (tree.count, tree.root()) != (voucher.count, voucher.receipts_root):
                what = f"{len(receipts)} receipts do not hash to the root of the voucher over {voucher.count}"
                raise Refused("voucher.receipts", what)
        except Refused as error:
            raise Unavailable("provider.wrong-voucher", str(error)) from error
        log.warning("took back voucher %d over %d micro-tokens from %s", voucher.count, voucher.amount, tab.provider)
        new = Document("voucher", tab.key, "", msgspec.json.encode(VoucherBody(tab.provider, tab.url, signed)))
        await self.journal.commit(
            new, *(self._paid(tab, at, digest) for at, digest in enumerate(receipts[tab.count :], tab.count + 1))
        )
        tab.amount, tab.count, tab.tree, tab.signed = voucher.amount, voucher.count, tree, signed
        tab.acknowledged = voucher.count

    # -- after a receipt -------------------------------------------------------------------------------------------

    async def pay(self, tab: Tab, bought: Bought) -> None:
        """Signs, journals and sends the next voucher; one at a time, so that each pays one receipt more than the one
        before. If it does not arrive it rides on the next order.

        Raises Refused("journal.state") if this receipt is paid already."""
        async with tab.lock:
            await self._sign(tab, bought)
            await self._send(tab)

    async def send(self, tab: Tab) -> None:
        """Sends the latest voucher again."""
        async with tab.lock:
            await self._send(tab)

    async def _sign(self, tab: Tab, bought: Bought) -> None:
        tree = replace(tab.tree, frontier=list(tab.tree.frontier))
        tree.append(merkle.leaf_hash(bought.digest))
        voucher = Voucher(
            version=Voucher.VERSION,
            channel=tab.channel,
            offer=tab.offer,
            amount=tab.amount + bought.price,
            count=tab.count + 1,
            receipts_root=tree.root(),
        )
        signed = sign_record(voucher, self.session.sign(voucher.digest(self.domain)))
        await self.journal.commit(
            Document("voucher", tab.key, "", msgspec.json.encode(VoucherBody(tab.provider, tab.url, signed))),
            replace(self._paid(tab, voucher.count, bought.digest), expect=ABSENT),
            Document("paid-receipt", bought.digest, "", tab.key + voucher.count.to_bytes(8, "big"), ABSENT),
            self.records.settled(bought.placed.digest),
        )
        tab.amount, tab.count, tab.tree, tab.signed = voucher.amount, voucher.count, tree, signed

    async def _send(self, tab: Tab) -> None:
        signed, count = tab.signed, tab.count
        if signed is None or tab.acknowledged >= count:
            return
        try:
            await self.peers.post(tab.url, "vouchers", signed, Done)
        except SteelyardError as error:
            if error.rule != "voucher.stale":  # else it rode on an order
                log.warning("voucher %d to %s: %s", count, tab.provider, error)
                return
        tab.acknowledged = count

    def _paid(self, tab: Tab, count: int, receipt: bytes) -> Document:
        return Document("paid", tab.key + count.to_bytes(8, "big"), tab.key.hex(), receipt)

    # -- looking back ----------------------------------------------------------------------------------------------

    def tab_of(self, bought: Bought) -> Tab:
        """The tab that pays a receipt."""
        return self.tab_at(bought.placed)

    def tab_at(self, placed: Placed) -> Tab:
        """The tab that an order is on."""
        return self._tab(placed.order.channel, placed.listed)

    def payment(self, receipt: bytes) -> dict[str, object] | None:
        """The voucher that first paid a receipt, for people."""
        found = self.journal.get("paid-receipt", receipt)
        if found is None:
            return None
        count, tab = int.from_bytes(found.body[64:], "big"), self.tabs.get(found.body[:64])
        acknowledged = tab is not None and tab.acknowledged >= count
        return {
            "channel": hexed(found.body[:32]),
            "offer": hexed(found.body[32:64]),
            "count": count,
            "acknowledged": acknowledged,
        }

    def inclusion(self, receipt: bytes, count: int) -> Inclusion:
        """Where a receipt stands under the root of the voucher with that count. Raises Refused("receipt.unknown")."""
        found = self.journal.get("paid-receipt", receipt)
        if found is None:
            raise Refused("receipt.unknown", f"no voucher pays {hexed(receipt)}")
        key, index = found.body[:64], int.from_bytes(found.body[64:], "big") - 1
        rows = sorted(self.journal.scan("paid", key.hex()), key=lambda row: row.key)
        if not index < count <= len(rows):
            raise Refused("receipt.unknown", f"receipt {index + 1} of {len(rows)} is not under a root over {count}")
        leaves = [merkle.leaf_hash(row.body) for row in rows[:count]]
        return Inclusion(index=index, path=[hexed(part) for part in merkle.prove(leaves, index)])

    def resume(self) -> None:
        """Reads the tabs from the journal."""
        for document in self.journal.scan("voucher"):
            body = msgspec.json.decode(document.body, type=VoucherBody)
            voucher = Voucher.from_json(body.signed.record)
            tab = Tab(voucher.channel, voucher.offer, Address(body.provider), body.url)
            for row in sorted(self.journal.scan("paid", document.key.hex()), key=lambda row: row.key):
                tab.tree.append(merkle.leaf_hash(row.body))
            assert tab.tree.root() == voucher.receipts_root, "voucher and receipts are written together"
            tab.amount, tab.count, tab.signed = voucher.amount, voucher.count, body.signed
            self.tabs[document.key] = tab


class VoucherBody(msgspec.Struct, frozen=True):
    """The latest voucher of a tab."""

    provider: str
    url: str
    signed: Signed
