"""One order at one provider: send it, take its units, hold its receipt against what was delivered.

Whatever a provider does wrong ends the purchase with an error and without a payment; whether that is a cheat is for
an auditor to say, never for a buyer who wants its money back.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from steelyard.nodes.gateway.routing import Listed
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.keys import Key
from steelyard.protocol.price import price_of
from steelyard.protocol.records import Cancel, Order, Receipt
from steelyard.protocol.roots import response_root
from steelyard.protocol.units import MicroToken
from steelyard.wire.messages import Done, Frame, OrderRequest, Signed, open_signed, sign_record
from steelyard.wire.peer import Peers
from steelyard.work.generate import row_length

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A signed order and all that its roots commit to."""

    listed: Listed
    order: Order
    digest: bytes
    signed: Signed
    prompt: tuple[int, ...]
    """A delivered prefix included (rule P6)."""
    grammar: bytes
    salt: bytes = field(repr=False)
    coin: bytes = field(repr=False)

    @property
    def prefix(self) -> tuple[int, ...]:
        """The delivered prefix that the order continues."""
        return self.prompt[self.order.answer_from :]


@dataclass(frozen=True, slots=True)
class Bought:
    """A receipt that matches what was delivered."""

    placed: Placed
    receipt: Receipt
    digest: bytes
    signed: Signed
    answer: tuple[int, ...]
    """The prefix, then the generated units."""
    salt: bytes
    finish: str
    price: MicroToken
    cancel: Signed | None
    logprobs: tuple[tuple[int, ...], ...] = ()
    """A row per generated unit, where the order wants them."""


class Purchase:
    """Runs one placed order. `vocabulary`: unit ids are below it."""

    def __init__(self, peers: Peers, placed: Placed, session: Key, domain: Domain, vocabulary: int, now: Clock) -> None:
        self.peers, self.placed, self.session, self.domain = peers, placed, session, domain
        self.vocabulary, self.now = vocabulary, now
        self.units: list[int] = []
        """Generated for this order, as delivered."""
        self.logprobs: list[tuple[int, ...]] = []
        """A row per unit, where the order wants them."""
        self.cancelled: Cancel | None = None
        self.cancel_signed: Signed | None = None
        self.bought: Bought | None = None

    async def run(self, voucher: Signed | None) -> AsyncIterator[list[int]]:
        """Yields units as they come; after the last one `bought` is set. Raises what the provider refused with,
        Unavailable `peer.*` or `provider.*` for what it did wrong."""
        placed = self.placed
        salt = "0x" + placed.salt.hex()
        grammar = placed.grammar.decode()
        request = OrderRequest(placed.signed, list(placed.prompt), salt, voucher=voucher, grammar=grammar)
        async with aclosing(self.peers.order(placed.listed.url, request)) as frames:  # type: ignore[type-var]  # a generator
            async for frame in frames:
                self._in_time()
                if frame.units:
                    self._take(frame)
                    yield frame.units
                if frame.error is not None:
                    kind = Refused if frame.error.startswith("order.") else Unavailable
                    raise kind(frame.error[:80], (frame.detail or "")[:500])
                if frame.receipt is not None:
                    self.bought = self._check(frame)

    def sign_cancel(self, units: int) -> Signed:
        """The buyer wants no more than `units` of this order (rule P5). The first cancel stands."""
        if self.cancel_signed is None:
            self.cancelled = Cancel(version=Cancel.VERSION, order=self.placed.digest, units=units)
            signature = self.session.sign(self.cancelled.digest(self.domain))
            self.cancel_signed = sign_record(self.cancelled, signature)
        return self.cancel_signed

    async def send_cancel(self) -> SteelyardError | None:
        """Posts the cancel; says what went wrong instead of raising: the receipt decides."""
        assert self.cancel_signed is not None
        try:
            await self.peers.post(self.placed.listed.url, "cancels", self.cancel_signed, Done)
        except SteelyardError as error:
            return error
        return None

    def _in_time(self) -> None:
        late = self.now() - self.placed.order.deadline
        if late > 0:
            raise Unavailable("provider.late", f"{late:.1f} s after the order's deadline")

    def _take(self, frame: Frame) -> None:
        units, length = frame.units, row_length(self.placed.order.logprobs)
        if not 0 <= min(units) <= max(units) < self.vocabulary:
            what = f"units from {min(units)} to {max(units)}, vocabulary {self.vocabulary}"
            raise Unavailable("provider.unit-range", what)
        wanted = [length] * len(units) if length else []
        if [len(row) for row in frame.logprobs] != wanted:
            raise Unavailable("provider.logprobs", f"{len(frame.logprobs)} rows for {len(units)} units")
        self.units += units
        self.logprobs += map(tuple, frame.logprobs)
        most = self.placed.order.max_units
        if len(self.units) > most:
            raise Unavailable("provider.too-long", f"{len(self.units)} units, ordered {most}")

    def _check(self, frame: Frame) -> Bought:
        """The receipt, held against what was delivered. Raises Unavailable("provider.wrong-receipt")."""
        placed, offer = self.placed, self.placed.listed.offer
        assert frame.receipt is not None
        try:
            receipt = open_signed(frame.receipt, Receipt, self.domain, offer.provider)
            salt = read_hex("salt", frame.salt, 32)
        except Refused as error:
            raise Unavailable("provider.wrong-receipt", str(error)) from error
        count = self._committed(receipt, salt, frame.finish)
        answer = placed.prefix + tuple(self.units[:count])
        rows = tuple(self.logprobs[:count])
        root = response_root(answer, salt, rows)
        wrong = _difference(receipt, placed, root) or self._wrong_end(frame.finish, count)
        if wrong is not None:
            raise Unavailable("provider.wrong-receipt", wrong)
        return Bought(
            placed=placed,
            receipt=receipt,
            digest=receipt.digest(self.domain),
            signed=frame.receipt,
            answer=answer,
            salt=salt,
            finish=frame.finish or "",
            price=price_of(offer, placed.order, len(answer)),
            cancel=self.cancel_signed,
            logprobs=rows,
        )

    def _committed(self, receipt: Receipt, salt: bytes, finish: str | None) -> int:
        """How many of the delivered units the receipt commits to: all, but after a cancel perhaps only the first n to
        n + run-ahead, although more were on their way (rule P5)."""
        most = len(self.units)
        if finish != "cancel" or self.cancelled is None:
            return most
        last = min(most, self.cancelled.units + self.placed.listed.offer.run_ahead)
        for count in range(min(self.cancelled.units, last), last):
            answer = self.placed.prefix + tuple(self.units[:count])
            if response_root(answer, salt, self.logprobs[:count]) == receipt.response_root:
                return count
        return last

    def _wrong_end(self, finish: str | None, count: int) -> str | None:
        """Rule P5, as far as a buyer without the model can see it."""
        most = self.placed.order.max_units
        if self.cancelled is not None:
            first, last = self.cancelled.units, self.cancelled.units + self.placed.listed.offer.run_ahead
            # a run may have ended, or its receipt left, before the cancel arrived
            if finish == "cancel" and not first <= count <= last:
                return f"{count} units after a cancel at {first}, run-ahead to {last}"
        elif finish == "cancel":
            return f"ended by a cancel that nobody sent, at {count} of {most} units"
        if finish == "length" and count != most:
            return f"ended for its length at {count} of {most} units"
        if finish not in ("stop", "length", "cancel"):
            return f"ended by {finish!r:.40}"
        return "no unit at all" if count == 0 and finish != "cancel" else None


def _difference(receipt: Receipt, placed: Placed, response_root: bytes) -> str | None:
    """First field of the receipt that is not what this order and its delivered units make it."""
    expected = {
        "order": placed.digest,
        "offer": placed.listed.digest,
        "model_root": placed.listed.model_root,
        "response_root": response_root,
    }
    for name, value in expected.items():
        if getattr(receipt, name) != value:
            return f"{name} 0x{getattr(receipt, name).hex()}, not 0x{value.hex()}"
    return None
