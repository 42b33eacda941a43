"""What a provider is told at its start."""

from dataclasses import dataclass, field
from pathlib import Path

from steelyard.nodes.provider.offers import Limits, Prices
from steelyard.protocol.keys import Key
from steelyard.protocol.units import MICRO, MicroToken

BOND = MicroToken(500 * MICRO)
CASE_PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One provider. Times in seconds, amounts in micro-tokens."""

    key: Key = field(repr=False)
    """Signs offers, receipts and transactions."""
    data: Path
    """Directory of its own: the journal."""
    deployment: Path
    """JSON file that says where the market is (`chain.deploy.Deployment`)."""
    rpc_url: str
    """JSON-RPC endpoint of the chain."""
    engine: str
    """As `engines.catalog.load` reads it."""
    registration: bytes
    """Id of the model's registration that the offers name, 32 bytes."""
    prices: tuple[Prices, ...]
    """One offer each."""
    limits: Limits = field(default_factory=Limits)
    host: str = "127.0.0.1"
    port: int = 8710
    url: str = ""
    """Under which gateways reach it, registered on chain; empty: http://host:port."""
    bond: MicroToken = BOND
    """Topped up to this much at start if the account holds the tokens."""
    parallel: int = 8
    """Orders in flight at most."""
    claim_seconds: float = 5.0
    """Between two rounds of claiming."""
    claim_threshold: int = 1
    """Micro-tokens that a claim should bring at least."""
    claim_age: float = 3_600.0
    """A voucher that brings less is claimed after so many seconds, or when its channel closes."""
    case_patience: float = CASE_PATIENCE
    """By the chain's clock: how long a challenger is left to seat its jury, and everybody to settle what is over,
    before this node does it. Less than the market's windows, which it is to spare us; more than a few blocks, since a
    jury is drawn from the second one after the challenge."""

    @property
    def public_url(self) -> str:
        """What is registered."""
        return self.url or f"http://{self.host}:{self.port}"
