"""What a provider sells: one signed offer per level, the same after a restart.

An offer that is no longer sold is still known: its vouchers are taken and claimed, its answers handed out.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.engines.base import Card
from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Model
from steelyard.nodes.provider.accounts import MOST_UNPAID
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import MOST_STATE
from steelyard.protocol.keys import Key
from steelyard.protocol.records import SOLD, Kind, Level, Offer
from steelyard.protocol.units import Seconds
from steelyard.wire.messages import Signed, sign_record

VALID_FOR = Seconds(30 * 86_400)
RENEW_BEFORE = Seconds(86_400)


@dataclass(frozen=True, slots=True)
class Prices:
    """What one level costs."""

    level: Level
    price_in: int
    """Micro-tokens per million prompt units."""
    price_out: int
    """Micro-tokens per million answer units."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one buyer may ask for (rule M1)."""

    max_units: int = 1024
    max_unpaid: int = 4
    run_ahead: int = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """An offer that we signed."""

    offer: Offer
    digest: bytes
    signed: Signed


def require_sellable(card: Card, model: Model, prices: Sequence[Prices], limits: Limits) -> None:
    """What may not be listed: another model than the registered one, or a promise that we cannot keep. Raises Refused
    `offer.*`."""
    if card.model_root != model.registration.model_root:
        roots = f"engine {card.model_root.hex()}, registration {model.registration.model_root.hex()}"
        raise Refused("offer.model-root", f"{card.name}: {roots}")
    for price in prices:
        if price.level not in SOLD:
            raise Refused("offer.level", f"{price.level.name.lower()} is not sold yet")
        if price.level != Level.OPEN and not (card.canonical and model.registration.public_weights):
            raise Refused("offer.level", f"{price.level.name.lower()} needs a canonical engine and public weights")
        if price.level != Level.OPEN and card.state_width > MOST_STATE:
            told = f"a state of {card.state_width} numbers, a game opens {MOST_STATE}: we could not defend it"
            raise Refused("offer.level", f"{price.level.name.lower()}: {told}")
    if not 1 <= limits.max_unpaid <= MOST_UNPAID:
        raise Refused("offer.max-unpaid", f"{limits.max_unpaid}, from 1 to {MOST_UNPAID}")


def list_offers(
    key: Key,
    domain: Domain,
    card: Card,
    model: Model,
    prices: Sequence[Prices],
    limits: Limits,
    journal: Journal,
    now: Callable[[], float],
) -> list[Listing]:
    """Signs an offer per level, or takes the one that the journal has if it says the same and is still good."""
    require_sellable(card, model, prices, limits)
    known = known_offers(key, domain, journal)
    listings = []
    for price in prices:
        wanted = _wanted(key, card, model, price, limits, int(now()))
        good = (old for old in known if _same(old.offer, wanted) and old.offer.valid_until > now() + RENEW_BEFORE)
        listing = next(good, None)
        if listing is None:
            listing = _signed(key, domain, wanted)
            journal.write(Document("offer", listing.digest, "", json.dumps(wanted.to_json()).encode()))
        listings.append(listing)
    return listings


def known_offers(key: Key, domain: Domain, journal: Journal) -> list[Listing]:
    """Every offer that this provider ever signed, the newest first."""
    offers = [Offer.from_json(json.loads(document.body)) for document in journal.scan("offer")]
    return [_signed(key, domain, offer) for offer in reversed(offers) if offer.provider == key.address]


def _signed(key: Key, domain: Domain, offer: Offer) -> Listing:
    digest = offer.digest(domain)
    return Listing(offer, digest, sign_record(offer, key.sign(digest)))


def _wanted(key: Key, card: Card, model: Model, price: Prices, limits: Limits, now: int) -> Offer:
    return Offer(
        version=Offer.VERSION,
        provider=key.address,
        registration=model.id,
        kind=int(Kind.GENERATE),
        level=int(price.level),
        price_in=price.price_in,
        price_out=price.price_out,
        price_cached=price.price_in,
        context_length=min(card.context_length, model.registration.context_length),
        max_units=limits.max_units,
        max_unpaid=limits.max_unpaid,
        run_ahead=limits.run_ahead,
        valid_until=now + VALID_FOR,
        nonce=now,
    )


def _same(old: Offer, new: Offer) -> bool:
    changing = {"valid_until", "nonce"}
    return all(getattr(old, name) == getattr(new, name) for name in Offer.solidity() if name not in changing)
