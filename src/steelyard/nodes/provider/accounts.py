"""What buyers owe: receipts delivered and not yet paid, and the highest voucher of each tab (rules M1, M2, M12).

A tab is one offer in one channel. Its vouchers pay receipts in an order that the buyer chooses; the provider finds that
order by trying its own unpaid receipts against the voucher's root: it holds no voucher that it does not understand.
Only the event loop changes a tab.
"""

import asyncio
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Channel
from steelyard.market.lifecycle import State, move
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.records import Offer, Voucher
from steelyard.protocol.units import MicroToken
from steelyard.wire.messages import Signed, sign_record, signature_of

MOST_UNPAID = 5  # an offer's max_unpaid at most: a voucher may newly pay so many receipts, in 5! = 120 orders to try


@dataclass(eq=False)
class Tab:
    """One offer in one channel."""

    voucher: Voucher | None = None
    signed: Signed | None = None
    paid: list[bytes] = field(default_factory=list)
    """Receipt digests under the voucher's root, in order of payment."""
    tree: merkle.Appending = field(default_factory=merkle.Appending)
    """Over `paid`: its root is the voucher's."""
    unpaid: dict[bytes, tuple[bytes, MicroToken]] = field(default_factory=dict)
    """Receipt digest -> (order digest, price), in order of delivery."""
    running: int = 0
    """Orders accepted and not yet ended."""
    reserved: int = 0
    """Highest price of the running ones, micro-tokens."""
    left: dict[bytes, int] = field(default_factory=dict)
    """Order digest -> deadline, for orders whose buyer took units and hung up without a cancel."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One voucher at a time."""

    @property
    def amount(self) -> int:
        """Cumulative, micro-tokens."""
        return self.voucher.amount if self.voucher else 0

    @property
    def owed(self) -> int:
        """Micro-tokens delivered and not yet promised."""
        return sum(price for _, price in self.unpaid.values())

    def pay(self, receipts: Sequence[bytes]) -> None:
        """Receipts, in this order, are under the voucher's root."""
        self.paid.extend(receipts)
        self.tree = _appended(self.tree, receipts)
        for receipt in receipts:
            self.unpaid.pop(receipt, None)

    def waiting(self, now: float) -> int:
        """Answers that nobody has paid for. One that was taken and left counts until its deadline, since until then its
        buyer may ask for it again and pay; so hanging up early is no way to free answers."""
        self.left = {order: until for order, until in self.left.items() if until > now}
        return len(self.unpaid) + self.running + len(self.left)


class Accounts:
    """All tabs, rebuilt from the journal at start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._tabs: dict[tuple[bytes, bytes], Tab] = {}
        for document in journal.scan("voucher"):
            signed = msgspec.json.decode(document.body, type=Signed)
            voucher = Voucher.from_json(signed.record)
            tab = self.tab(voucher.channel, voucher.offer)
            tab.voucher, tab.signed = voucher, signed
        for document in sorted(journal.scan("paid"), key=lambda document: document.key):
            self.tab(document.key[:32], document.key[32:64]).pay([document.body])
        for document in journal.scan("order", State.COMMITTED):
            body = json.loads(document.body)
            tab = self.tab(bytes.fromhex(body["channel"]), bytes.fromhex(body["offer"]))
            tab.unpaid[bytes.fromhex(body["digest"])] = (document.key, MicroToken(body["price"]))

    def tab(self, channel: bytes, offer: bytes) -> Tab:
        """The tab, empty at first."""
        return self._tabs.setdefault((channel, offer), Tab())

    def find(self, channel: bytes, offer: bytes) -> Tab | None:
        """The tab, if there is one: who only asks makes none."""
        return self._tabs.get((channel, offer))

    def vouchers(self) -> list[tuple[Voucher, bytes]]:
        """The highest voucher of each tab and its signature. Any thread may ask."""
        tabs = list(self._tabs.values())
        return [(t.voucher, signature_of(t.signed)) for t in tabs if t.voucher is not None and t.signed is not None]

    def require_room(self, channel: Channel, offer: Offer, tab: Tab, allocation: int, price: int, now: float) -> None:
        """Raises Refused("channel.unpaid") over the offer's count, Refused("channel.exhausted") over allocation or
        cap."""
        waiting = tab.waiting(now)
        if waiting >= offer.max_unpaid:
            raise Refused(
                "channel.unpaid", f"{waiting} answers wait for a voucher, the offer allows {offer.max_unpaid}"
            )
        mine = [t for (of, _), t in self._tabs.items() if of == channel.id]
        spoken_for = sum(t.amount + t.owed + t.reserved for t in mine)
        most = min(allocation, channel.cap)
        if spoken_for + price > most:
            what = f"{spoken_for} of {most} micro-tokens spoken for, this order may cost {price}"
            raise Refused("channel.exhausted", what)

    def delivered(self, channel: bytes, offer: bytes, receipt: bytes, order: bytes, price: MicroToken) -> None:
        """A receipt has been journalled."""
        self.tab(channel, offer).unpaid[receipt] = (order, price)

    async def accept(self, voucher: Voucher, signature: bytes, channel: Channel, allocation: int) -> None:
        """Takes a voucher whose signature is checked already: journalled, then counted. A repeated one changes nothing.

        Raises Refused `voucher.*` with the numbers."""
        tab = self.tab(voucher.channel, voucher.offer)
        async with tab.lock:
            if tab.voucher != voucher:
                await self._accept(tab, voucher, signature, channel, allocation)

    async def _accept(self, tab: Tab, voucher: Voucher, signature: bytes, channel: Channel, allocation: int) -> None:
        # REFUSE
        if voucher.amount < tab.amount or voucher.count <= len(tab.paid):
            now = f"amount {tab.amount}, count {len(tab.paid)}"
            raise Refused("voucher.stale", f"amount {voucher.amount}, count {voucher.count}; accepted {now}")
        others = sum(t.amount for (of, _), t in self._tabs.items() if of == channel.id and t is not tab)
        for rule, most in (("voucher.over-allocation", allocation), ("voucher.over-cap", channel.cap)):
            if voucher.amount + others > most:
                raise Refused(rule, f"{voucher.amount} + {others} of other offers > {most} micro-tokens")
        newly = _newly_paid(tab, voucher)
        due = sum(tab.unpaid[receipt][1] for receipt in newly)
        if voucher.amount - tab.amount < due:
            raise Refused("voucher.short", f"{voucher.amount - tab.amount} for {len(newly)} answers that cost {due}")
        # WRITE
        signed = sign_record(voucher, signature)
        key = voucher.channel + voucher.offer
        await self.journal.commit(
            Document("voucher", key, "held", msgspec.json.encode(signed)),
            *(Document("paid", key + at.to_bytes(8, "big"), "", r) for at, r in enumerate(newly, len(tab.paid))),
            *self._settled(tab.unpaid[receipt][0] for receipt in newly),
        )
        tab.voucher, tab.signed = voucher, signed
        tab.pay(newly)

    def _settled(self, orders: Iterable[bytes]) -> list[Document]:
        documents = []
        for order in orders:
            found = self.journal.get("order", order)
            assert found is not None
            documents.append(moved(order, State(found.state), State.SETTLED, found.body))
        return documents


def _newly_paid(tab: Tab, voucher: Voucher) -> Sequence[bytes]:
    """The unpaid receipts that a voucher pays, in its order. Raises Refused("voucher.count" | "voucher.receipts")."""
    new = voucher.count - len(tab.paid)
    if new > min(len(tab.unpaid), MOST_UNPAID):
        raise Refused("voucher.count", f"pays {new} new answers, {len(tab.unpaid)} are unpaid")
    for some in itertools.permutations(tab.unpaid, new):
        if _appended(tab.tree, some).root() == voucher.receipts_root:
            return some
    raise Refused("voucher.receipts", f"root 0x{voucher.receipts_root.hex()} is over none of our receipts")


def _appended(tree: merkle.Appending, receipts: Iterable[bytes]) -> merkle.Appending:
    longer = replace(tree, frontier=list(tree.frontier))
    for receipt in receipts:
        longer.append(merkle.leaf_hash(receipt))
    return longer


def moved(order: bytes, now: State, then: State, body: bytes) -> Document:
    """An order's line after a move that the table allows, to be written only if it still stands where it stood."""
    return Document("order", order, move(now, then), body, expect=now)
