"""From what a client wants to a signed order: units, parameters as bits, seed, coin, salt, price, deadline."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from steelyard.nodes.gateway.purchase import Placed
from steelyard.nodes.gateway.routing import Listed, Need
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.price import price
from steelyard.protocol.records import Order
from steelyard.protocol.roots import coin_commitment, grammar_root, units_root
from steelyard.protocol.units import MicroToken
from steelyard.wire.messages import sign_record
from steelyard.work.generate import MAX_NUMBERS, row_length

Entropy = Callable[[int], bytes]
"""That many unpredictable bytes (`secrets.token_bytes`)."""

CHOICE_LABEL = b"steelyard/choice"


@dataclass(frozen=True, slots=True)
class Wish:
    """One answer that a client wants."""

    need: Need
    prompt: tuple[int, ...] = field(repr=False)
    max_units: int | None
    """As the client said it."""
    temperature: int
    """binary32 bits."""
    top_p: int
    """binary32 bits."""
    top_k: int
    seed: int
    """64 bits."""
    stops: tuple[str, ...]
    grammar: bytes
    """What the answer keeps to (`grammars.grammar_of`); empty: anything."""
    logprobs: int
    """As an order has it: 0 none, 1 + k with the k likeliest."""
    audit_rate: float
    """The buyer's own, beyond the level's minimum (rule M10)."""


def bits(value: float) -> int:
    """The nearest binary32, as bits."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def seed_of(seed: int, choice: int) -> int:
    """Seed of the n-th answer to one request (rule P3): the first answer has the request's own."""
    if choice == 0:
        return seed
    return int.from_bytes(sha256(CHOICE_LABEL, seed.to_bytes(8, "big"), choice.to_bytes(4, "big"))[:8], "big")


def longest(wish: Wish, listed: Listed) -> int:
    """Most units that an offer may generate for a wish, at least 1 where `routing.usable` let it through."""
    most = min(listed.offer.max_units, listed.offer.context_length - len(wish.prompt))
    if wish.logprobs:
        most = min(most, MAX_NUMBERS // row_length(wish.logprobs))
    return most if wish.max_units is None else min(wish.max_units, most)


def highest_price(listed: Listed, wish: Wish, units: int) -> MicroToken:
    """Micro-tokens for `units` units after the wish's prompt."""
    return price(listed.offer, len(wish.prompt), units)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is the same for all orders of a gateway."""

    session: Key
    domain: Domain
    entropy: Entropy
    seconds: int
    """From an order to its deadline."""

    def place(
        self, wish: Wish, listed: Listed, *, kept: tuple[int, ...], units: int, channel: bytes, epoch: int, now: float
    ) -> Placed:
        """Signs an order for `units` more units after the wish's prompt and the `kept` delivered prefix (rule P6)."""
        prompt = wish.prompt + kept
        salt, coin = self.entropy(32), self.entropy(32)
        order = Order(
            version=Order.VERSION,
            channel=channel,
            offer=listed.digest,
            registration=listed.offer.registration,
            kind=listed.offer.kind,
            level=listed.offer.level,
            prompt_root=units_root(prompt, salt),
            prompt_units=len(prompt),
            answer_from=len(wish.prompt),
            max_units=units,
            temperature=wish.temperature,
            top_p=wish.top_p,
            top_k=wish.top_k,
            seed=wish.seed,
            grammar=grammar_root(wish.grammar, salt),
            logprobs=wish.logprobs,
            max_price=price(listed.offer, len(prompt), units),
            deadline=int(now) + self.seconds,
            coin_commitment=coin_commitment(coin),
            jury_epoch=epoch,
            nonce=self.entropy(32),
        )
        digest = order.digest(self.domain)
        signed = sign_record(order, self.session.sign(digest))
        return Placed(listed, order, digest, signed, prompt, wish.grammar, salt, coin)
