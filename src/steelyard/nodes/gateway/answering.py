"""One answer: from a wish to its text, over as many providers as it takes (rule P6).

Invariant: `words.ids` are the units whose text the client was told (or will be, once words hold nothing back). A
provider that fails before the first unit is replaced unnoticed. After it, only a canonical offer of the same model
goes on, from all delivered units but the last, which it makes again: if that was an end id, the run ends there too.
"""

import struct
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from steelyard.engines.base import Text
from steelyard.nodes.gateway.desk import Desk
from steelyard.nodes.gateway.drafting import Wish, longest
from steelyard.nodes.gateway.purchase import Bought, Placed, Purchase
from steelyard.nodes.gateway.routing import Listed
from steelyard.nodes.gateway.shapes import Piece, Token
from steelyard.nodes.gateway.spending import ApiKey
from steelyard.nodes.gateway.till import Seat
from steelyard.nodes.gateway.words import Words
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.price import price
from steelyard.protocol.records import Level
from steelyard.protocol.units import Address
from steelyard.wire.answers import Finish

CLIENTS_OWN: Final = frozenset(
    {
        "order.context-too-long",
        "order.unit-out-of-range",
        "order.parameter",
        "order.grammar",
        "order.grammar-limit",
        "order.grammar-stuck",
    }
)
"""Refusals of a provider that say something of the request: told to the client as they are."""

STALE: Final = frozenset({"order.jury-epoch", "order.deadline", "order.offer", "channel.unknown", "channel.expired"})
"""Refusals that say that we look at an old chain or an old offer: look again, then try once more."""
LEAST: Final = -9999.0
FAILED: Final = "provider.failed"
ALIKE: Final = {"peer.timeout": "provider.timeout", "chain.unreachable": "chain.unreachable"}
"""What the client is told instead where every provider failed in the same way."""
MOST_TRIES: Final = 6  # providers per look at the market: a client waits for each

Tell = Callable[[Piece], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """How an answer ended; its text was told."""

    finish: Finish
    bought: Bought


@dataclass(eq=False)
class Answering:
    """Answers one wish. `tell` gets each piece as it may be said."""

    desk: Desk
    text: Text
    wish: Wish
    tell: Tell
    buyer: ApiKey
    """Who pays."""
    request: str
    """Id under which the client knows the answer."""
    worked: bool = False
    """True once an order left: a retry of the client may be paid twice."""
    left: bool = False
    words: Words = field(init=False)
    most: int = 0
    """Units that the whole answer may have; fixed by the first offer that delivers."""
    failures: list[tuple[Listed, SteelyardError]] = field(default_factory=list)
    begun: Listed | None = None
    """Who delivered the first unit, and failed after it."""
    purchase: Purchase | None = None
    provider: Address | None = None
    """Who served last."""

    def __post_init__(self) -> None:
        self.words = Words(self.text, self.wish.stops)

    async def run(self, candidates: Sequence[Listed]) -> Answered:
        """Tries the candidates in turn. Raises what the client should be told when none is left."""
        bought = await self._through(candidates)
        if bought is None and not self.left and any(error.rule in STALE for _, error in self.failures):
            await self.desk.book.refresh()
            bought = await self._through(self.desk.candidates(self.wish.need))
        if bought is None:
            raise self._failure()
        return self._answered(bought)

    async def _through(self, candidates: Sequence[Listed]) -> Bought | None:
        tried = 0
        for listed in candidates:
            if tried == MOST_TRIES or (self.left and (self.failures or not self.worked)):
                break
            if self.begun is not None and not _continues(self.begun, listed):
                continue
            try:
                seat = await self.desk.till.take(listed, self._highest(listed), self.buyer)
            except SteelyardError as error:
                self.failures.append((listed, error))
                tried += error.rule != "channel.exhausted"  # we asked nobody
                continue
            tried += 1
            bought = await self._buy(listed, seat)
            if bought is not None:
                return bought
            if self.begun is None and self.words.ids:
                self.begun = listed
        return None

    def leave(self) -> None:
        """The client is gone: no more units than it has (rule P5); what was bought is still settled."""
        self.left = True
        if self.purchase is not None:
            self._cancel(self.purchase, len(self.purchase.units))

    def _kept(self) -> tuple[int, ...]:
        return tuple(self.words.ids[:-1])

    def _units(self, listed: Listed) -> int:
        """Units to order now: at most `longest` in all, and none beyond a stop string that was found."""
        whole = self.words.stopped_at or self.most or longest(self.wish, listed)
        return min(whole - len(self._kept()), listed.offer.max_units)

    def _highest(self, listed: Listed) -> int:
        return price(listed.offer, len(self.wish.prompt) + len(self._kept()), self._units(listed))

    async def _buy(self, listed: Listed, seat: Seat) -> Bought | None:
        """One purchase from order to receipt; a provider's failure is noted and None. Our own failures are raised."""
        desk = self.desk
        bought: Bought | None = None
        try:
            placed = desk.place(self.wish, listed, seat, kept=self._kept(), units=self._units(listed))
            rate = self.wish.audit_rate
            await desk.records.ordered(placed, buyer=self.buyer.name, request=self.request, audit_rate=rate)
            self.worked = True
            purchase = desk.purchase(placed, self.text.vocabulary)
            error = await self._consume(purchase, seat, placed)
            if error is None:
                bought = purchase.bought
                assert bought is not None
                await desk.records.delivered(bought, now=desk.clock())
            else:
                self.failures.append((listed, error))
                await desk.fail(placed, error)
                if error.rule == "provider.differs" and self.begun is not None:
                    desk.faults.note(self.begun, error)  # one of the two lies, and we cannot say which
        finally:
            if bought is None:
                desk.till.give_back(seat)
        if bought is not None:
            desk.settle(seat, bought, rate)
        return bought

    async def _consume(self, purchase: Purchase, seat: Seat, placed: Placed) -> SteelyardError | None:
        """Takes a purchase's units into the text. Says how the provider failed, if it did."""
        clock = self.desk.timer
        began = clock()
        first = None
        self.purchase, self.provider = purchase, placed.listed.provider
        if self.left:
            return Unavailable("request.left", "the client left before anything was sent")
        try:
            async with aclosing(purchase.run(seat.voucher())) as pieces:  # type: ignore[type-var]  # a generator
                async for units in pieces:
                    if first is None:
                        first = clock()
                        self.desk.metrics.first_unit(placed.listed.model, first - began)
                    self._take(purchase, units)
        except SteelyardError as error:
            return error
        finally:
            self.purchase = None
        if purchase.bought is None:
            return Unavailable("peer.cut", "no receipt")
        self.desk.faults.praise(placed.listed, (first or clock()) - began, len(purchase.units), clock() - began)
        return None

    def _take(self, purchase: Purchase, units: Sequence[int]) -> None:
        """The purchase's newest units: those made again must be the same, the rest is new to the client."""
        at = len(purchase.placed.prefix) + len(purchase.units) - len(units)
        known = self.words.ids[at : at + len(units)]
        if known != list(units[: len(known)]):
            raise Unavailable("provider.differs", f"unit {at} of the answer: {units[0]}, delivered was {known[0]}")
        fresh = units[len(known) :]
        if not self.words.ids:
            self.most = longest(self.wish, purchase.placed.listed)
        before = len(self.words.ids)
        said = self.words.push(fresh)
        tokens = self._tokens(self.words.ids[before:], purchase.logprobs[len(purchase.units) - len(fresh) :])
        if said or tokens:
            self.tell(Piece(said, tokens))
        if self.words.stopped_at is not None:
            self._cancel(purchase, self.words.stopped_at - len(purchase.placed.prefix))

    def _tokens(self, units: Sequence[int], rows: Sequence[tuple[int, ...]]) -> tuple[Token, ...]:
        """Words for rows of logprobs; the ids that end an answer have none."""
        tokens = []
        for unit, (own, *pairs) in zip(units, rows, strict=False):
            if word := self.text.decode([unit]):
                likeliest = zip(pairs[::2], pairs[1::2], strict=True)
                top = tuple((self.text.decode([other]), number(bits)) for other, bits in likeliest)
                tokens.append(Token(word, number(own), top))
        return tuple(tokens)

    def _cancel(self, purchase: Purchase, units: int) -> None:
        if purchase.cancelled is None:
            purchase.sign_cancel(units)
            self.desk.spawn(purchase.send_cancel())

    def _answered(self, bought: Bought) -> Answered:
        if rest := self.words.finish():
            self.tell(Piece(rest))
        finish: Finish = "length" if bought.finish == "length" and self.words.stopped_at is None else "stop"
        return Answered(finish, bought)

    def _failure(self) -> SteelyardError:
        """What the client is told when nobody could serve."""
        failures = self.failures
        errors = [error for _, error in failures]
        if not errors:
            return Unavailable("provider.none", "the answer could not be continued by another canonical offer")
        if all(isinstance(error, Refused) and error.rule in CLIENTS_OWN for error in errors):
            return errors[0]
        if all(error.rule.startswith(("channel.", "budget.", "request.")) for error in errors):
            return errors[0]
        told = "; ".join(f"{listed.provider} {error}"[:200] for listed, error in failures[:4])
        rules = {error.rule for error in errors}
        rule = ALIKE.get(rules.pop(), FAILED) if len(rules) == 1 else FAILED
        return Unavailable(rule, f"{len(failures)} tried: {told}")


def number(bits: int) -> float:
    """A log-probability for a client: JSON has no infinity, and OpenAI says -9999 for what is next to impossible."""
    found: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return max(LEAST, found)


def _continues(begun: Listed, listed: Listed) -> bool:
    """Only canonical engines of one model give the same bits (rule P6); levels above open are sold by no others."""
    return (
        min(begun.offer.level, listed.offer.level) > Level.OPEN
        and listed.model_root == begun.model_root
        and listed.offer.registration == begun.offer.registration
    )
