"""What the gateway knows of the market: offers, models, auditors, its own channels. Read in the background, so that a
request waits neither for the chain nor for another provider's slow answer; what cannot be read anew stays as it was.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from steelyard.market.ledger import Auditor, Channel, Ledger, Model
from steelyard.nodes.gateway.routing import Listed
from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable
from steelyard.protocol.records import Kind, Offer
from steelyard.protocol.units import Address
from steelyard.wire.messages import Offers, open_signed
from steelyard.wire.peer import Peers

T = TypeVar("T")
Clock = Callable[[], float]

MOST_OFFERS = 256  # of one provider: more would be a way to fill our memory
MOST_PROVIDERS = 4096

log = logging.getLogger("steelyard.gateway")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The chain at one moment."""

    providers: Mapping[Address, str] = field(default_factory=dict)
    models: Mapping[bytes, Model] = field(default_factory=dict)
    """By registration id, oldest first."""
    auditors: Sequence[Auditor] = ()
    epoch: int = 0
    ahead: float = 0.0
    """Seconds that the chain's clock is ahead of ours."""
    channels: Mapping[bytes, Channel] = field(default_factory=dict)
    allocations: Mapping[tuple[bytes, Address], int] = field(default_factory=dict)
    """Micro-tokens by channel and provider."""
    bonds: Mapping[Address, int] = field(default_factory=dict)


class Book:
    """Reads chain and providers. `channels`: ids of ours; `pins`: model name -> the registration that it means, where
    the first one registered under the name is not what the owner wants."""

    def __init__(
        self, ledger: Ledger, peers: Peers, channels: Sequence[bytes], pins: Mapping[str, bytes], clock: Clock
    ) -> None:
        self.ledger, self.peers, self.clock = ledger, peers, clock
        self.channel_ids, self.pins = tuple(channels), dict(pins)
        self.chain = Snapshot()
        self.offers: dict[Address, list[Listed]] = {}
        self.errors: dict[str, str] = {}
        """What could not be read, and why: `chain` or a provider's address."""
        self._thread = ThreadPoolExecutor(1, "ledger")  # one at a time: an adapter need not be thread-safe
        self._busy = asyncio.Lock()

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def now(self) -> float:
        """Unix seconds by the later of our clock and the chain's."""
        return self.clock() + max(self.chain.ahead, 0.0)

    def listed(self) -> list[Listed]:
        """Every offer that can be bought."""
        return [listed for offers in self.offers.values() for listed in offers]

    def pays(self, provider: Address) -> bool:
        """True if a channel of ours has an allocation for a provider."""
        return any(self.chain.allocations.get((name, provider), 0) for name in self.chain.channels)

    def names(self) -> dict[str, Model]:
        """Model name -> its registration: the pinned one, else the first that was registered under the name."""
        names: dict[str, Model] = {}
        for model in self.chain.models.values():
            pinned = self.pins.get(model.name)
            if model.name not in names if pinned is None else model.id == pinned:
                names[model.name] = model
        return names

    async def read(self, call: Callable[[], T]) -> T:
        """A blocking call to the ledger, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def refresh(self) -> None:
        """Reads everything once. Failures are kept in `errors`."""
        async with self._busy:
            await self._refresh_chain()
            providers = list(self.chain.providers.items())[:MOST_PROVIDERS]
            await asyncio.gather(*(self._refresh_provider(address, url) for address, url in providers))
            for address in set(self.offers) - set(self.chain.providers):
                del self.offers[address]

    async def refresh_chain(self) -> None:
        """Reads the chain only, for a request that found its channel short."""
        async with self._busy:
            await self._refresh_chain()

    async def _refresh_chain(self) -> None:
        try:
            self.chain = await self.read(self._read_chain)
            self.errors.pop("chain", None)
        except SteelyardError as error:
            self._failed("chain", error)

    def _read_chain(self) -> Snapshot:
        ledger = self.ledger
        providers = dict(ledger.providers())
        channels = {name: channel for name in self.channel_ids if (channel := ledger.channel(name)) is not None}
        return Snapshot(
            providers=providers,
            models={model.id: model for model in ledger.models()},
            auditors=tuple(ledger.auditors()),
            epoch=ledger.epoch(),
            ahead=ledger.now() - self.clock(),
            channels=channels,
            allocations={(name, who): ledger.allocation(name, who) for name in channels for who in providers},
            bonds={who: ledger.free_bond(who) for who in providers},
        )

    async def _refresh_provider(self, address: Address, url: str) -> None:
        try:
            told = await self.peers.get(url, "offers", Offers)
            self.offers[address] = self._check(address, url, told)
            self.errors.pop(address, None)
        except SteelyardError as error:
            self._failed(address, error)
            now = self.now()
            self.offers[address] = [
                x for x in self.offers.get(address, []) if x.offer.valid_until > now and x.url == url
            ]

    def _failed(self, what: str, error: SteelyardError) -> None:
        if self.errors.get(what) != str(error):
            log.warning("%s: %s", what, error)
        self.errors[what] = str(error)

    def _check(self, address: Address, url: str, told: Offers) -> list[Listed]:
        """The offers that are what they say. Raises if the provider is another one, or on another chain."""
        domain = self.ledger.domain
        if (told.provider, told.chain_id, told.escrow) != (address, domain.chain_id, domain.escrow):
            seen = f"provider {told.provider[:42]}, chain {told.chain_id}, escrow {told.escrow[:42]}"
            expected = f"{address}, {domain.chain_id}, {domain.escrow}"
            raise Unavailable("provider.other", f"{seen}; expected {expected}")
        if len(told.offers) > MOST_OFFERS:
            raise Unavailable("provider.garbage", f"{len(told.offers)} offers, at most {MOST_OFFERS} are read")
        names = self.names()
        listed = []
        for signed in told.offers:
            try:
                offer = open_signed(signed, Offer, domain, address)
            except (Refused, Malformed) as error:
                raise Unavailable("provider.garbage", f"offer: {error}") from error
            model = self.chain.models.get(offer.registration)
            if offer.provider != address or model is None or names.get(model.name) != model:
                continue  # somebody else's, or of a model that this name does not mean
            if offer.kind != Kind.GENERATE or offer.valid_until <= self.now():
                continue
            digest = offer.digest(domain)
            listed.append(
                Listed(
                    offer=offer,
                    digest=digest,
                    signed=signed,
                    url=url,
                    model=model.name,
                    model_root=model.registration.model_root,
                    quantization=told.quantization.get("0x" + digest.hex(), "unknown"),
                    bond=self.chain.bonds.get(address, 0),
                )
            )
        return listed
