"""Budgets and caps of the API keys. What is in flight counts at its highest price until it is settled."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256

DAY = 86_400  # = 24 * 3,600 seconds


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may buy, and for how much."""

    secret: str = field(repr=False)
    name: str = "default"
    daily_budget: int | None = None
    """Micro-tokens per UTC day; None: no bound but the channel's."""
    price_cap: int | None = None
    """Micro-tokens that one request may cost at most."""


@dataclass(slots=True)
class Purse:
    """One key's day."""

    day: int = 0
    spent: int = 0
    """Micro-tokens settled since midnight UTC."""
    reserved: int = 0
    """Micro-tokens in flight, at their highest price."""


class Spending:
    """The purses of all keys. `clock`: Unix seconds."""

    def __init__(self, keys: Sequence[ApiKey], clock: Callable[[], float]) -> None:
        self.clock = clock
        self.keys = tuple(keys)
        self.purses: dict[str, Purse] = {}

    def key_of(self, authorization: str) -> ApiKey:
        """Whose `Authorization: Bearer …` this is. Raises Refused("request.key")."""
        scheme, _, secret = authorization.strip().partition(" ")
        given = sha256(secret.strip().encode("utf-8", "surrogateescape"))
        found = [key for key in self.keys if hmac.compare_digest(sha256(key.secret.encode()), given)]
        if scheme.lower() != "bearer" or not found:
            what = "no API key: send Authorization: Bearer …" if not authorization else "API key not known"
            raise Refused("request.key", what)
        return found[0]

    def purse(self, name: str) -> Purse:
        """A key's purse, emptied at midnight UTC."""
        purse = self.purses.setdefault(name, Purse())
        today = int(self.clock()) // DAY
        if purse.day != today:
            purse.day, purse.spent = today, 0
        return purse

    def require(self, key: ApiKey, price: int) -> None:
        """Raises Refused("request.price-cap" | "budget.exceeded") if the key may not spend `price` micro-tokens now."""
        if key.price_cap is not None and price > key.price_cap:
            raise Refused("request.price-cap", f"up to {price} micro-tokens > {key.price_cap} per request")
        purse = self.purse(key.name)
        if key.daily_budget is not None and purse.spent + purse.reserved + price > key.daily_budget:
            held = f"spent {purse.spent} + in flight {purse.reserved} + this {price}"
            raise Refused("budget.exceeded", f"{held} > {key.daily_budget} micro-tokens a day")

    def shares(self, key: ApiKey, prices: Sequence[int]) -> list[ApiKey]:
        """The key for each of a request's answers, so that all of them together stay under its cap whoever serves them.

        `prices`: what each may cost at the cheapest offer. Raises what `require` raises for their sum, before one of
        them is bought."""
        whole = sum(prices)
        self.require(key, whole)
        if key.price_cap is None or len(prices) == 1:
            return [key] * len(prices)
        return [replace(key, price_cap=key.price_cap * price // max(whole, 1)) for price in prices]

    def reserve(self, key: ApiKey, price: int) -> None:
        """Sets the highest price of an answer aside. Raises what `require` raises."""
        self.require(key, price)
        self.purse(key.name).reserved += price

    def settle(self, name: str, reserved: int, spent: int) -> None:
        """Gives back what was set aside, counts what was spent."""
        purse = self.purse(name)
        purse.reserved -= reserved
        purse.spent += spent
