"""A chain in memory, for tests and demonstrations without one: refusals of contracts/Escrow.vy under their own names.

One `Town` is shared; `Town.of(account)` is the port that a node holds. Nobody pays gas, and cases are `toy_cases`'.
Invariant: what owners put in is what channels still hold, what waits in claims, and what was credited.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from steelyard.market.ledger import Auditor, Channel, Claim, Model, Terms
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import require_signer
from steelyard.protocol.records import Level, Offer, Registration, Voucher
from steelyard.protocol.units import Address, MicroToken, Seconds, Timestamp

BPS = 10_000
PPM = 1_000_000


@dataclass(eq=False)
class Town:
    """All accounts and channels."""

    domain: Domain
    clock: Callable[[], int]
    """Unix seconds: the time of the next block."""
    terms: Terms = field(default_factory=lambda: Terms(20_000, Seconds(120), Seconds(300)))
    flat: int = 1_000
    """F of rule M5, micro-tokens."""
    multiple: int = 4
    """m of rule M5."""
    close_window: int = 120
    """Seconds between a request to close and the refund."""
    epoch: int = 7
    reachable: bool = True
    """False: every call fails as on a dead endpoint."""
    models: dict[bytes, Model] = field(default_factory=dict)
    urls: dict[Address, str] = field(default_factory=dict)
    pool: list[Auditor] = field(default_factory=list)
    channels: dict[bytes, Channel] = field(default_factory=dict)
    allocations: Counter[tuple[bytes, Address]] = field(default_factory=Counter)
    spent: Counter[tuple[bytes, Address]] = field(default_factory=Counter)
    vouched: dict[tuple[bytes, bytes], tuple[int, int]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    bonds: Counter[Address] = field(default_factory=Counter)
    reserved: Counter[Address] = field(default_factory=Counter)
    credits: Counter[Address] = field(default_factory=Counter)
    wallets: Counter[Address] = field(default_factory=Counter)
    """What was collected."""
    sent: list[str] = field(default_factory=list)
    """Names of the writes that went through, in order."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def of(self, account: Address) -> "ToyLedger":
        """The port of one account."""
        return ToyLedger(self, account)

    def register(self, registration: Registration, name: str, uri: str = "") -> Model:
        """What an author does."""
        model = Model(registration.struct_hash(), registration, name, uri)
        self.models[model.id] = model
        return model

    def open(
        self, key: bytes, owner: Address, session: Address, cap: int, expiry: int, shares: dict[Address, int]
    ) -> Channel:
        """What a buyer does: a deposit of `cap`, shared out to providers. Raises Refused("escrow.allocation")."""
        allocated = sum(shares.values())
        if allocated > cap:
            raise Refused("escrow.allocation", f"{allocated} > deposit and cap {cap}")
        amounts = (MicroToken(cap), MicroToken(allocated), MicroToken(0))
        channel = Channel(
            key, owner, session, MicroToken(cap), Timestamp(expiry), *amounts, closes_at=Timestamp(0), closed=False
        )
        self.channels[key] = channel
        for provider, amount in shares.items():
            self.allocations[key, provider] += amount
        return channel

    def request_close(self, key: bytes) -> None:
        """By the owner. Raises Refused("escrow.closing")."""
        if self.channels[key].closes_at:
            raise Refused("escrow.closing", f"at {self.channels[key].closes_at}")
        self.channels[key] = replace(self.channels[key], closes_at=Timestamp(self.clock() + self.close_window))

    def refund(self, key: bytes) -> None:
        """By anyone after the window. Raises Refused `escrow.not-closing`, `escrow.early`, `escrow.closed`."""
        channel = self.channels[key]
        if not channel.closes_at:
            raise Refused("escrow.not-closing", f"0x{key.hex()}")
        if self.clock() < channel.closes_at:
            raise Refused("escrow.early", f"{self.clock()} < {channel.closes_at}")
        if channel.closed:
            raise Refused("escrow.closed", f"0x{key.hex()}")
        self.channels[key] = replace(channel, closed=True)
        self.credits[channel.owner] += channel.deposit - channel.claimed

    def stake_of(self, level: int, price: int) -> int:
        """max(F, m·price/q), with q the minimum draw rate alone."""
        return 0 if level == Level.OPEN else max(self.flat, self._scaled(price))

    def _scaled(self, amount: int) -> int:
        return -(-self.multiple * amount * PPM // self.terms.rate_ppm)

    def reserve_of(self, level: int, count: int, amount: int) -> int:
        """count·F + m·amount/q."""
        return 0 if level == Level.OPEN else count * self.flat + self._scaled(amount)

    def begin(self, claim: Claim, level: int) -> Claim:
        """The claim with its bond reserved, or as it was if the bond is short."""
        if claim.reserve > self.bonds[claim.provider] - self.reserved[claim.provider]:
            return claim
        self.reserved[claim.provider] += claim.reserve
        wait = 0 if level == Level.OPEN else self.terms.longest_order + self.terms.challenge_window
        return replace(claim, state="vesting", vests_at=Timestamp(self.clock() + wait))


class ToyLedger:
    """`ledger.Ledger` over a `Town`."""

    def __init__(self, town: Town, account: Address) -> None:
        self.town, self.account = town, account

    @property
    def domain(self) -> Domain:
        return self.town.domain

    @property
    def terms(self) -> Terms:
        return self.town.terms

    def _reach(self) -> None:
        if not self.town.reachable:
            raise Unavailable("chain.unreachable", "the toy chain was switched off")

    def now(self) -> Timestamp:
        self._reach()
        return Timestamp(self.town.clock())

    def epoch(self) -> int:
        self._reach()
        return self.town.epoch

    def channel(self, key: bytes) -> Channel | None:
        self._reach()
        return self.town.channels.get(key)

    def allocation(self, channel: bytes, provider: Address) -> MicroToken:
        self._reach()
        return MicroToken(self.town.allocations[channel, provider])

    def claimed(self, channel: bytes, offer: bytes) -> tuple[MicroToken, int]:
        self._reach()
        amount, count = self.town.vouched.get((channel, offer), (0, 0))
        return MicroToken(amount), count

    def model(self, key: bytes) -> Model | None:
        self._reach()
        return self.town.models.get(key)

    def models(self) -> Sequence[Model]:
        self._reach()
        return list(self.town.models.values())

    def providers(self) -> Sequence[tuple[Address, str]]:
        self._reach()
        return list(self.town.urls.items())

    def auditors(self) -> Sequence[Auditor]:
        self._reach()
        return list(self.town.pool)

    def free_bond(self, account: Address) -> MicroToken:
        self._reach()
        return MicroToken(self.town.bonds[account] - self.town.reserved[account])

    def stake_of(self, level: int, price: MicroToken) -> MicroToken:
        self._reach()
        return MicroToken(self.town.stake_of(level, price))

    def claims(self, provider: Address) -> Sequence[Claim]:
        self._reach()
        return [claim for claim in self.town.claims if claim.provider == provider]

    def credit(self, account: Address) -> MicroToken:
        self._reach()
        return MicroToken(self.town.credits[account])

    # -- writes --------------------------------------------------------------------------------------------------

    def register_provider(self, url: str) -> None:
        self._reach()
        if not url:
            raise Refused("registry.url", "empty")
        self.town.urls[self.account] = url
        self.town.sent.append("register_provider")

    def deposit_bond(self, amount: MicroToken) -> None:
        self._reach()
        if amount <= 0:
            raise Refused("bonds.nothing", f"{amount}")
        self.town.bonds[self.account] += amount
        self.town.sent.append("deposit_bond")

    def claim(self, offer: Offer, voucher: Voucher, signature: bytes) -> None:
        self._reach()
        town, tab = self.town, (voucher.channel, voucher.offer)
        with town.lock:
            # REFUSE
            channel = town.channels.get(voucher.channel)
            if channel is None:
                raise Refused("escrow.no-channel", f"0x{voucher.channel.hex()}")
            if channel.closed:
                raise Refused("escrow.closed", f"0x{voucher.channel.hex()}")
            if offer.provider != self.account or offer.digest(town.domain) != voucher.offer:
                raise Refused("escrow.provider", f"{offer.provider}, sent by {self.account}")
            require_signer(voucher.digest(town.domain), signature, channel.session_key, "voucher")
            paid, first = town.vouched.get(tab, (0, 0))
            if voucher.amount <= paid or voucher.count <= first:
                raise Refused("escrow.stale-voucher", f"{voucher.amount} <= {paid} or {voucher.count} <= {first}")
            due = voucher.amount - paid
            spent = town.spent[voucher.channel, self.account] + due
            if spent > town.allocations[voucher.channel, self.account]:
                raise Refused("escrow.over-allocation", f"{spent}")
            if channel.claimed + due > channel.cap:
                raise Refused("escrow.over-cap", f"{channel.claimed + due} > {channel.cap}")
            # WRITE
            town.vouched[tab] = (voucher.amount, voucher.count)
            town.spent[voucher.channel, self.account] = spent
            town.channels[voucher.channel] = replace(channel, claimed=MicroToken(channel.claimed + due))
            claim = Claim(
                id=len(town.claims) + 1,
                channel=voucher.channel,
                offer=voucher.offer,
                provider=self.account,
                registration=offer.registration,
                state="waiting",
                holds=0,
                amount=MicroToken(due),
                reserve=MicroToken(town.reserve_of(offer.level, voucher.count - first, due)),
                vests_at=Timestamp(0),
                first=first,
                count=voucher.count,
                receipts_root=voucher.receipts_root,
            )
            town.claims.append(town.begin(claim, offer.level))
            town.sent.append("claim")

    def start(self, claim: int) -> None:
        self._reach()
        with self.town.lock:
            waiting = self._claim_at(claim, "waiting")
            # a claim that waits is above level open, since open reserves nothing
            started = self.town.begin(waiting, Level.AUDITED)
            if started.state == "waiting":
                raise Refused("bonds.short", f"reserve {waiting.reserve}")
            self.town.claims[claim - 1] = started
            self.town.sent.append("start")

    def pay(self, claim: int) -> None:
        self._reach()
        town = self.town
        with town.lock:
            vesting = self._claim_at(claim, "vesting")
            if town.clock() < vesting.vests_at:
                raise Refused("escrow.early", f"{town.clock()} < {vesting.vests_at}")
            if vesting.holds:
                raise Refused("escrow.held", f"{vesting.holds} open cases")
            registration = town.models[vesting.registration].registration
            royalty = vesting.amount * registration.royalty_bps // BPS
            town.claims[claim - 1] = replace(vesting, state="paid")
            town.credits[vesting.provider] += vesting.amount - royalty
            town.credits[registration.payee] += royalty
            town.reserved[vesting.provider] -= vesting.reserve
            town.sent.append("pay")

    def collect(self) -> None:
        self._reach()
        with self.town.lock:
            if self.town.credits[self.account]:
                self.town.wallets[self.account] += self.town.credits.pop(self.account)
                self.town.sent.append("collect")

    def _claim_at(self, claim: int, state: str) -> Claim:
        if not 1 <= claim <= len(self.town.claims) or self.town.claims[claim - 1].state != state:
            raise Refused("escrow.claim-state", f"claim {claim} is not {state}")
        return self.town.claims[claim - 1]
