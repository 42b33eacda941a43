"""What nodes read from the chain and send to it: the port. `toy_ledger` is the toy behind it, `onchain` the real one.

All calls block (nodes call them in threads) and may raise Unavailable("chain.unreachable"); a contract's refusal comes
as Refused with the contract's own rule name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steelyard.protocol.eip712 import Domain
from steelyard.protocol.records import Offer, Registration, Voucher
from steelyard.protocol.units import Address, MicroToken, Seconds, Timestamp


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the escrow holds it (rule M2)."""

    id: bytes
    owner: Address
    session_key: Address
    cap: MicroToken
    """What vouchers may reach, summed over offers."""
    expiry: Timestamp
    """Binds orders, not claims."""
    deposit: MicroToken
    """All that was ever put in."""
    allocated: MicroToken
    claimed: MicroToken
    closes_at: Timestamp
    """0 unless closing was requested; orders stop at once, refunds start then."""
    closed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of vouchers (rules M4, M5)."""

    id: int
    channel: bytes
    offer: bytes
    provider: Address
    registration: bytes
    state: str
    """`waiting`, `vesting` or `paid`."""
    holds: int
    """Open cases that keep it from being paid."""
    amount: MicroToken
    reserve: MicroToken
    vests_at: Timestamp
    first: int
    """It pays the receipts at indices first … count-1."""
    count: int
    receipts_root: bytes


@dataclass(frozen=True, slots=True)
class Model:
    """A registration and the words beside it."""

    id: bytes
    registration: Registration
    name: str
    uri: str


@dataclass(frozen=True, slots=True)
class Auditor:
    """A member of the jury pool."""

    address: Address
    url: str
    encryption_key: bytes
    """X25519, 32 bytes."""
    weight: MicroToken
    """Stake that counts in the current epoch."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Parameters that the contracts were deployed with and that nodes need."""

    rate_ppm: int
    """Minimum draw rate of level audited, parts per million (rule M10)."""
    longest_order: Seconds
    """D of rule M4."""
    challenge_window: Seconds
    """W of rule M4."""


class Ledger(Protocol):
    """The chain as a node sees it."""

    @property
    def domain(self) -> Domain: ...

    @property
    def terms(self) -> Terms: ...

    def now(self) -> Timestamp:
        """The chain's clock: timestamp of the latest block, or of the pending one if that is later."""
        ...

    def epoch(self) -> int:
        """The current epoch, whose jury pool is frozen (rule M8)."""
        ...

    def channel(self, key: bytes) -> Channel | None: ...

    def allocation(self, channel: bytes, provider: Address) -> MicroToken:
        """Of this channel to this provider, claimed part included."""
        ...

    def claimed(self, channel: bytes, offer: bytes) -> tuple[MicroToken, int]:
        """Amount and count that this offer has claimed from this channel."""
        ...

    def model(self, key: bytes) -> Model | None: ...

    def models(self) -> Sequence[Model]: ...

    def providers(self) -> Sequence[tuple[Address, str]]:
        """Address and URL of every registered provider."""
        ...

    def auditors(self) -> Sequence[Auditor]: ...

    def free_bond(self, account: Address) -> MicroToken:
        """Neither reserved nor leaving."""
        ...

    def stake_of(self, level: int, price: MicroToken) -> MicroToken:
        """What a cheat at this price costs (rule M5); 0 at level `open`."""
        ...

    def claims(self, provider: Address) -> Sequence[Claim]:
        """All claims of a provider, oldest first."""
        ...

    def credit(self, account: Address) -> MicroToken:
        """What `collect` would pay."""
        ...

    # Writes: sent by the account that the ledger was opened with; they return once mined.

    def register_provider(self, url: str) -> None: ...

    def deposit_bond(self, amount: MicroToken) -> None:
        """Approves and deposits."""
        ...

    def claim(self, offer: Offer, voucher: Voucher, signature: bytes) -> None: ...

    def start(self, claim: int) -> None:
        """Tries again to reserve the bond of a waiting claim."""
        ...

    def pay(self, claim: int) -> None:
        """Pays a vested claim without an open case."""
        ...

    def collect(self) -> None:
        """Pulls the account's credits."""
        ...
