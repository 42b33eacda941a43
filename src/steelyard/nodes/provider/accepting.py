"""Whether an order is taken: who signed it, what it fits, what its buyer owes already. Refusals carry the numbers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from steelyard.market.ledger import Channel, Ledger
from steelyard.nodes.provider.accounts import Accounts, Tab
from steelyard.nodes.provider.offers import Listing
from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import require_signer
from steelyard.protocol.records import Order
from steelyard.protocol.units import Address, MicroToken
from steelyard.wire.messages import OrderRequest, signature_of
from steelyard.work import generate

FRESH_SECONDS = 3.0  # how long a channel that was read from the chain is believed
MOST_CHANNELS = 10_000
EPOCHS_BACK = 1  # an order may name the epoch before, if one began while it was on its way


@dataclass(frozen=True, slots=True)
class Accepted:
    """An order that was read and fits its offer."""

    order: Order
    digest: bytes
    listing: Listing
    prompt: tuple[int, ...]
    salt: bytes
    grammar: bytes
    request: OrderRequest
    channel: Channel
    """As the chain has it now."""
    allocation: int
    """Of the channel to us, micro-tokens."""

    @property
    def highest_price(self) -> MicroToken:
        """Micro-tokens that it may cost."""
        return generate.highest_price(self.listing.offer, self.order)


class Channels:
    """Channels as the chain has them, read at most every few seconds. Any thread may ask."""

    def __init__(self, ledger: Ledger, provider: Address, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._provider, self._monotonic = ledger, provider, monotonic
        self._known: dict[bytes, tuple[float, Channel, int]] = {}
        self._epoch = (float("-inf"), 0)

    def epoch(self) -> int:
        """The current epoch. Blocks."""
        at = self._monotonic()
        if at - self._epoch[0] > FRESH_SECONDS:
            self._epoch = (at, self._ledger.epoch())
        return self._epoch[1]

    def get(self, key: bytes) -> tuple[Channel, int]:
        """Channel and what it allocates to us. Blocks. Raises Refused("channel.unknown")."""
        at = self._monotonic()
        known = self._known.get(key)
        if known is None or at - known[0] > FRESH_SECONDS:
            channel = self._ledger.channel(key)
            if channel is None:
                raise Refused("channel.unknown", f"0x{key.hex()} is not open on this chain")
            known = (at, channel, self._ledger.allocation(key, self._provider))
            if len(self._known) > MOST_CHANNELS:
                self._known = {}
            self._known[key] = known
        return known[1], known[2]

    def forget(self, key: bytes) -> None:
        """It was too short for something: its owner may have topped it up just now."""
        self._known.pop(key, None)


class Accepting:
    """The rules by which orders are taken. `known`: every offer that we signed; `sold`: those that stand."""

    def __init__(
        self,
        ledger: Ledger,
        known: Mapping[bytes, Listing],
        sold: Mapping[bytes, Listing],
        accounts: Accounts,
        channels: Channels,
    ) -> None:
        self.ledger, self.known, self.sold, self.accounts, self.channels = ledger, known, sold, accounts, channels

    def read(self, request: OrderRequest) -> Accepted:
        """Signature, offer, prompt. Blocks for the chain. Raises Refused, Malformed."""
        order = Order.from_json(request.order.record)
        listing = self.known.get(order.offer)
        if listing is None:
            raise Refused("order.offer", f"names 0x{order.offer.hex()}, which is none of our {len(self.known)} offers")
        digest = order.digest(self.ledger.domain)
        channel, allocation = self.channels.get(order.channel)
        require_signer(digest, signature_of(request.order), channel.session_key, "order")
        generate.require_fits(order, listing.offer, listing.digest)
        salt = read_hex("salt", request.salt, 32)
        grammar = request.grammar.encode()
        generate.require_prompt(order, request.prompt, salt, grammar)
        return Accepted(order, digest, listing, tuple(request.prompt), salt, grammar, request, channel, allocation)

    def require_timely(self, accepted: Accepted, now: float) -> None:
        """Of an order that is run now, not one whose answer lies in the journal. Blocks for the chain."""
        order, offer, channel = accepted.order, accepted.listing.offer, accepted.channel
        if channel.closes_at or channel.closed:
            raise Refused("channel.closing", f"0x{channel.id.hex()} closes at {channel.closes_at}, now {now:.0f}")
        if now > channel.expiry or order.deadline > channel.expiry:
            times = f"deadline {order.deadline}, now {now:.0f}"
            raise Refused("channel.expired", f"session key binds until {channel.expiry}; {times}")
        if accepted.listing.digest not in self.sold:
            raise Refused("order.offer", f"0x{order.offer.hex()} is no longer sold")
        if now > offer.valid_until:
            raise Refused("order.offer", f"the offer was good until {offer.valid_until}, now {now:.0f}")
        last = now + self.ledger.terms.longest_order
        if not now < order.deadline <= last:
            raise Refused("order.deadline", f"{order.deadline}, now {now:.0f}, at most {last:.0f}")
        epoch = self.channels.epoch()
        if not epoch - EPOCHS_BACK <= order.jury_epoch <= epoch:
            raise Refused("order.jury-epoch", f"{order.jury_epoch}, now {epoch}")

    def reserve(self, accepted: Accepted, now: float) -> None:
        """Takes room for the order's highest price; `free` gives it back. Raises Refused `channel.*`."""
        tab, price = self._tab(accepted), accepted.highest_price
        before = tab.left.pop(accepted.digest, None)
        try:
            offer = accepted.listing.offer
            self.accounts.require_room(accepted.channel, offer, tab, accepted.allocation, price, now)
        except Refused:
            self.channels.forget(accepted.channel.id)
            if before is not None:
                tab.left[accepted.digest] = before
            raise
        tab.running += 1
        tab.reserved += price

    def free(self, accepted: Accepted, *, left: bool = False) -> None:
        """The order has ended: by a receipt, which then is owed, or without one; `left`: since the buyer took units
        and hung up."""
        tab = self._tab(accepted)
        tab.running -= 1
        tab.reserved -= accepted.highest_price
        if left:
            tab.left[accepted.digest] = accepted.order.deadline

    def _tab(self, accepted: Accepted) -> Tab:
        return self.accounts.tab(accepted.order.channel, accepted.order.offer)
