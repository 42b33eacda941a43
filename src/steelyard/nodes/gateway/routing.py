"""Which offer to try first: OpenRouter's `provider` object over the offers at hand. Pure: clock and chance come in."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from steelyard.protocol.errors import Refused, SteelyardError, Unavailable
from steelyard.protocol.price import price
from steelyard.protocol.records import Level, Offer
from steelyard.protocol.units import MICRO, Address
from steelyard.wire.messages import Signed
from steelyard.wire.openai import Preferences

Chance = Callable[[], float]
"""Uniform in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An offer as the gateway knows it: signature checked, model known."""

    offer: Offer
    digest: bytes
    signed: Signed
    url: str
    model: str
    """The registration's name."""
    model_root: bytes
    quantization: str = "unknown"
    bond: int = 0
    """Micro-tokens of the provider's free bond when last looked at."""

    @property
    def provider(self) -> Address:
        return self.offer.provider


@dataclass(slots=True)
class Health:
    """What was seen of an offer lately."""

    bad_until: float = 0.0
    """Clock until which it goes last."""
    latency: float | None = None
    """Seconds to the first unit, smoothed."""
    throughput: float | None = None
    """Units per second, smoothed."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs of an offer."""

    model: str
    level: Level
    prompt_units: int
    answer_units: int
    """Most units that the client wants, or 1 where it did not say: offers of shorter answers are passed over."""
    min_bond: int
    prefer: Preferences


OVER_CAP, CONTEXT, ANSWER = "over provider.max_price", "context too long", "answer too long"
"""Reasons against an offer that the client can mend; the last tests of `_excluded`."""


def usable(offers: Sequence[Listed], need: Need, now: float) -> list[Listed]:
    """The offers that may serve the need. Raises Refused(`request.*`) or Unavailable("provider.none") with the counts
    of what excluded them."""
    mine = [listed for listed in offers if listed.model == need.model]
    if not mine:
        raise Unavailable("provider.none", f"{need.model}: no offer now")
    left = []
    excluded: dict[str, list[Offer]] = {}
    for listed in mine:
        reason = _excluded(listed, need, now)
        if reason is None:
            left.append(listed)
        else:
            excluded.setdefault(reason, []).append(listed.offer)
    if left:
        return left
    raise _nobody(need, excluded)


def _nobody(need: Need, excluded: Mapping[str, Sequence[Offer]]) -> SteelyardError:
    """Length and price come first: the client can change them, and an offer that fails there passed the other tests."""
    if fitting := [*excluded.get(CONTEXT, ()), *excluded.get(ANSWER, ())]:
        context = max(offer.context_length for offer in fitting)
        answer = max(offer.max_units for offer in fitting)
        asked = f"{need.prompt_units} prompt tokens + {need.answer_units} of an answer"
        told = f"{asked}; the longest context offered is {context}, the longest answer {answer}"
        return Refused("request.context-too-long", told)
    if dear := excluded.get(OVER_CAP):
        prompt, completion = min(offer.price_in for offer in dear), min(offer.price_out for offer in dear)
        told = f"from {prompt / MICRO:g} for prompt, from {completion / MICRO:g} for completion"
        return Refused("request.price-cap", f"{len(dear)} offers {OVER_CAP}; their prices per million tokens: {told}")
    told = ", ".join(f"{len(offers)} {reason}" for reason, offers in sorted(excluded.items()))
    return Unavailable("provider.none", f"{need.model}: {sum(map(len, excluded.values()))} offers, {told}")


def _excluded(listed: Listed, need: Need, now: float) -> str | None:
    offer, prefer = listed.offer, need.prefer
    names = {listed.provider.lower(), listed.url.lower()}
    tests = (
        (offer.level != need.level, f"not of level {need.level.name.lower()}"),
        (offer.valid_until <= now, "expired"),
        (prefer.only is not None and not names & _lower(prefer.only), "not in provider.only"),
        (bool(names & _lower(prefer.ignore)), "in provider.ignore"),
        (prefer.quantizations is not None and listed.quantization not in prefer.quantizations, "of other quantization"),
        (listed.bond < need.min_bond, f"with a free bond under {need.min_bond} micro-tokens"),
        (_over_cap(offer, prefer), OVER_CAP),
        (need.prompt_units + need.answer_units > offer.context_length, CONTEXT),
        (need.answer_units > offer.max_units, ANSWER),
    )
    return next((reason for failed, reason in tests if failed), None)


def _lower(names: Sequence[str] | None) -> set[str]:
    return {name.lower() for name in names or ()}


def _over_cap(offer: Offer, prefer: Preferences) -> bool:
    cap = prefer.max_price
    if cap is None:
        return False
    prompt, completion = micro("prompt", cap.prompt), micro("completion", cap.completion)
    return (prompt is not None and offer.price_in > prompt) or (completion is not None and offer.price_out > completion)


def micro(name: str, usd: str | float | None) -> Decimal | None:
    """USD per million tokens as micro-tokens per million units. Raises Refused("request.value")."""
    if usd is None:
        return None
    try:
        value = Decimal(str(usd)) * MICRO
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise Refused("request.value", f"provider.max_price.{name}: {usd!r:.40} is not a price in USD")
    return value


def ranked(
    offers: Sequence[Listed], need: Need, health: Mapping[bytes, Health], now: float, chance: Chance
) -> list[Listed]:
    """The order in which to try. `provider.order` first, then `sort`, else weighted by 1/price² with what failed lately
    last; without fallbacks only what was named (or the first). Raises Unavailable("provider.none") if none is left."""
    prefer = need.prefer

    def cost(listed: Listed) -> int:
        return max(price(listed.offer, need.prompt_units, need.answer_units), 1)

    def seen(listed: Listed) -> Health:
        return health.get(listed.digest) or Health()

    def key(listed: Listed) -> tuple[bool, float, str]:
        late = seen(listed).bad_until > now
        match prefer.sort_key():
            case "price":
                rank = float(cost(listed))
            case "latency":
                rank = _or_last(seen(listed).latency)
            case "throughput":
                rank = -(seen(listed).throughput or 0.0)
            case _:
                rank = -math.log(1.0 - chance()) * cost(listed) ** 2  # the smallest of exponentials with rate 1/price²
        return late, rank, listed.provider

    rest = sorted(offers, key=key)
    if prefer.order is None:
        return rest if prefer.allow_fallbacks else rest[:1]
    named = [name.lower() for name in prefer.order]
    first = [x for name in named for x in rest if name in (x.provider.lower(), x.url.lower())]
    if prefer.allow_fallbacks:
        return first + [x for x in rest if x not in first]
    if not first:
        told = f"{need.model}: {len(rest)} offers, none by whom provider.order names, and allow_fallbacks is false"
        raise Unavailable("provider.none", told)
    return first


def _or_last(value: float | None) -> float:
    return math.inf if value is None else value
