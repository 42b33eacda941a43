"""What an auditor is told at its start."""

from dataclasses import dataclass, field
from pathlib import Path

from steelyard.protocol.keys import Key
from steelyard.protocol.units import MICRO, MicroToken

STAKE = MicroToken(1_000 * MICRO)
PURSE = MicroToken(200 * MICRO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One auditor. Times in seconds, amounts in micro-tokens."""

    key: Key = field(repr=False)
    """Signs verdicts and transactions; its encryption key is derived from it."""
    data: Path
    """Directory of its own: the journal lives here."""
    deployment: Path
    """JSON file that says where the market is (`chain.deploy.Deployment`)."""
    rpc_url: str
    """JSON-RPC endpoint of the chain."""
    models: tuple[str, ...]
    """What it can replay, as `engines.catalog.load` reads them, from its own store."""
    host: str = "127.0.0.1"
    port: int = 8720
    url: str = ""
    """Under which gateways reach it, registered on chain; empty: http://host:port."""
    stake: MicroToken = STAKE
    """Reserved while it is in the pool; weighs its seats."""
    purse: MicroToken = PURSE
    """Free bond to keep beside the stake, for challenges and fines."""
    poll: float = 1.0
    """Between two looks at the chain and at what waits."""
    tie_patience: float = 30.0
    """How long to wait for a provider's claim before a case is settled without it (the buyer is then not repaid)."""
    settle_patience: float = 20.0
    """How long a juror leaves the settling of a finished case to its challenger."""
    parallel: int = 4
    """Tickets whose packages are fetched at a time; replays are one at a time."""
    max_waiting: int = 256
    """Tickets that may wait; more are refused as busy."""
    private_sources: bool = True
    """Whether packages may be fetched from loopback and private addresses. Turn it off where strangers' tickets arrive
    and such addresses serve something that they must not reach."""

    @property
    def public_url(self) -> str:
        """What is registered."""
        return self.url or f"http://{self.host}:{self.port}"
