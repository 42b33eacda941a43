"""What a provider sells: one signed offer per level, the same after a restart."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.engines.base import Card
from steelyard.market.journal import Document, Journal
from steelyard.market.ledger import Model
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Kind, Level, Offer
from steelyard.protocol.units import Seconds
from steelyard.wire.messages import Signed, sign_record

VALID_FOR = Seconds(30 * 86_400)
RENEW_BEFORE = Seconds(86_400)
SOLD = frozenset({Level.OPEN, Level.AUDITED})


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
    """An offer that stands."""

    offer: Offer
    digest: bytes
    signed: Signed


def require_sellable(card: Card, model: Model, prices: Sequence[Prices]) -> None:
    """What may not be listed: another model than the registered one, or a promise that the engine cannot keep."""
    if card.model_root != model.registration.model_root:
        roots = f"engine {card.model_root.hex()}, registration {model.registration.model_root.hex()}"
        raise Refused("offer.model-root", f"{card.name}: {roots}")
    for price in prices:
        if price.level not in SOLD:
            raise Refused("offer.level", f"{price.level.name.lower()} is not sold yet")
        if price.level != Level.OPEN and not (card.canonical and model.registration.public_weights):
            raise Refused("offer.level", f"{price.level.name.lower()} needs a canonical engine and public weights")


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
    require_sellable(card, model, prices)
    listings = []
    for price in prices:
        wanted = _wanted(key, card, model, price, limits, int(now()))
        kept = journal.get("offer", bytes([price.level]))
        if kept is not None:
            old = Offer.from_json(json.loads(kept.body))
            if _same(old, wanted) and old.valid_until > now() + RENEW_BEFORE:
                wanted = old
        journal.write(Document("offer", bytes([price.level]), "", json.dumps(wanted.to_json()).encode()))
        digest = wanted.digest(domain)
        listings.append(Listing(wanted, digest, sign_record(wanted, key.sign(digest))))
    return listings


def _wanted(key: Key, card: Card, model: Model, price: Prices, limits: Limits, now: int) -> Offer:
    return Offer(
        version=Offer.VERSION,
        provider=key.address,
        registration=model.id,
        kind=Kind.GENERATE,
        level=price.level,
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
