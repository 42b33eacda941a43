"""What buyers owe: receipts delivered and not yet paid, and the highest voucher of each tab (rules M1, M2, M12).

A tab is one offer in one channel. Its vouchers pay receipts in an order that the buyer chooses; the provider finds that
order by trying its own unpaid receipts against the voucher's root: it holds no voucher that it does not understand.
"""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Channel
from steelyard.market.lifecycle import State
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.records import Offer, Voucher
from steelyard.protocol.units import MicroToken
from steelyard.wire.messages import Signed, sign_record, signature_of

MOST_AT_ONCE = 5  # receipts that one voucher may newly pay: 5! orders to try


@dataclass
class Tab:
    """One offer in one channel."""

    voucher: Voucher | None = None
    signed: Signed | None = None
    paid: list[bytes] = field(default_factory=list)
    """Receipt digests under the voucher's root, in order of payment."""
    unpaid: dict[bytes, tuple[bytes, MicroToken]] = field(default_factory=dict)
    """Receipt digest -> (order digest, price), in order of delivery."""
    running: int = 0
    """Orders accepted and not yet ended."""
    reserved: int = 0
    """Highest price of the running ones, micro-tokens."""

    @property
    def amount(self) -> int:
        """Cumulative, micro-tokens."""
        return self.voucher.amount if self.voucher else 0

    @property
    def owed(self) -> int:
        """Micro-tokens delivered and not yet promised."""
        return sum(price for _, price in self.unpaid.values())


class Accounts:
    """All tabs, rebuilt from the journal at start."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._tabs: dict[tuple[bytes, bytes], Tab] = {}
        for document in journal.scan("voucher"):
            body = json.loads(document.body)
            voucher = Voucher.from_json(body["record"])
            tab = self.tab(voucher.channel, voucher.offer)
            tab.voucher, tab.signed = voucher, Signed(body["record"], body["signature"])
            tab.paid = [bytes.fromhex(receipt) for receipt in body["receipts"]]
        for document in journal.scan("order", State.COMMITTED):
            body = json.loads(document.body)
            tab = self.tab(bytes.fromhex(body["channel"]), bytes.fromhex(body["offer"]))
            tab.unpaid[bytes.fromhex(body["digest"])] = (document.key, MicroToken(body["price"]))

    def tab(self, channel: bytes, offer: bytes) -> Tab:
        """The tab, empty at first."""
        return self._tabs.setdefault((channel, offer), Tab())

    def vouchers(self) -> list[tuple[Voucher, bytes]]:
        """The highest voucher of each tab and its signature."""
        tabs = list(self._tabs.values())
        return [(t.voucher, signature_of(t.signed)) for t in tabs if t.voucher is not None and t.signed is not None]

    def require_room(self, channel: Channel, offer: Offer, tab: Tab, allocation: int, price: int) -> None:
        """Raises Refused("channel.unpaid") over the offer's count, Refused("channel.exhausted") over the allocation."""
        waiting = len(tab.unpaid) + tab.running
        if waiting >= offer.max_unpaid:
            raise Refused(
                "channel.unpaid", f"{waiting} answers wait for a voucher, the offer allows {offer.max_unpaid}"
            )
        mine = [t for (of, _), t in self._tabs.items() if of == channel.id]
        spoken_for = sum(t.amount + t.owed + t.reserved for t in mine)
        if spoken_for + price > allocation:
            what = f"{spoken_for} of {allocation} micro-tokens spoken for, this order may cost {price}"
            raise Refused("channel.exhausted", what)

    def delivered(self, channel: bytes, offer: bytes, receipt: bytes, order: bytes, price: MicroToken) -> None:
        """A receipt has been journalled."""
        self.tab(channel, offer).unpaid[receipt] = (order, price)

    def accept(self, voucher: Voucher, signature: bytes, channel: Channel, allocation: int) -> None:
        """Takes a voucher whose signature is checked already: journalled, then counted. A repeated one changes nothing.

        Raises Refused `voucher.*` with the numbers."""
        tab = self.tab(voucher.channel, voucher.offer)
        if tab.voucher == voucher:
            return
        if voucher.amount < tab.amount or voucher.count <= len(tab.paid):
            now = f"amount {tab.amount}, count {len(tab.paid)}"
            raise Refused("voucher.stale", f"amount {voucher.amount}, count {voucher.count}; accepted {now}")
        others = sum(t.amount for (of, _), t in self._tabs.items() if of == channel.id and t is not tab)
        if voucher.amount + others > min(allocation, channel.cap):
            most = f"allocation {allocation}, cap {channel.cap}"
            raise Refused("voucher.over-allocation", f"{voucher.amount} + {others} of other offers; {most}")
        newly = self._newly_paid(tab, voucher)
        due = sum(tab.unpaid[receipt][1] for receipt in newly)
        if voucher.amount - tab.amount < due:
            raise Refused("voucher.short", f"{voucher.amount - tab.amount} for {len(newly)} answers that cost {due}")
        signed = sign_record(voucher, signature)
        paid = [*tab.paid, *newly]
        body = {"record": signed.record, "signature": signed.signature, "receipts": [r.hex() for r in paid]}
        kept = Document("voucher", voucher.channel + voucher.offer, "held", json.dumps(body).encode())
        self.journal.write(kept, *self._settled(tab.unpaid[receipt][0] for receipt in newly))
        for receipt in newly:
            del tab.unpaid[receipt]
        tab.voucher, tab.signed, tab.paid = voucher, signed, paid

    def _newly_paid(self, tab: Tab, voucher: Voucher) -> list[bytes]:
        new = voucher.count - len(tab.paid)
        if new > min(len(tab.unpaid), MOST_AT_ONCE):
            raise Refused("voucher.count", f"pays {new} new answers, {len(tab.unpaid)} are unpaid")
        for some in itertools.permutations(tab.unpaid, new):
            if merkle.root([merkle.leaf_hash(receipt) for receipt in (*tab.paid, *some)]) == voucher.receipts_root:
                return list(some)
        raise Refused("voucher.receipts", f"root 0x{voucher.receipts_root.hex()} is over none of our receipts")

    def _settled(self, orders: Iterable[bytes]) -> list[Document]:
        documents = []
        for order in orders:
            found = self.journal.get("order", order)
            assert found is not None
            documents.append(Document("order", order, State.SETTLED, found.body))
        return documents
