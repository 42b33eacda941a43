"""A gateway as a process: settings in, a server that runs until it is told to end."""

import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from steelyard.engines.base import Text
from steelyard.market.journal import Journal
from steelyard.market.ledger import Ledger
from steelyard.nodes.gateway.app import Gateway
from steelyard.nodes.gateway.book import Book
from steelyard.nodes.gateway.completions import Completions
from steelyard.nodes.gateway.desk import Desk
from steelyard.nodes.gateway.drafting import Draft, Entropy
from steelyard.nodes.gateway.drawing import Drawing
from steelyard.nodes.gateway.faults import Faults
from steelyard.nodes.gateway.metrics import Metrics
from steelyard.nodes.gateway.purchase import Bought
from steelyard.nodes.gateway.records import Records
from steelyard.nodes.gateway.routing import Chance
from steelyard.nodes.gateway.spending import ApiKey, Spending
from steelyard.nodes.gateway.till import Till
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.keys import Key
from steelyard.wire.http import LOOPBACK, require_port
from steelyard.wire.peer import Patience, Peers

ORDER_SECONDS: Final = 300  # five minutes from an order to its deadline, or less if the chain's D is shorter
GRACE: Final = 5  # seconds for open connections when the server ends


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a gateway is told."""

    session_key: bytes = field(repr=False)
    """Secret of the channels' session key, 32 bytes: the only key a gateway holds (rule M2)."""
    api_keys: tuple[ApiKey, ...]
    """Who may buy, with budgets. At least one."""
    channels: tuple[bytes, ...]
    """Ids, 32 bytes each; the first that can pay is used."""
    texts: Mapping[str, str]
    """Model name -> specification for `engines.catalog.load_text`."""
    journal: Path
    rpc_url: str = "http://127.0.0.1:8545"
    deployment: Path = Path("deployment.json")
    """As `chain.deploy.Deployment.save` wrote it."""
    pins: Mapping[str, bytes] = field(default_factory=dict)
    """Model name -> registration id, where the first registration of that name is not the wanted one."""
    host: str = "127.0.0.1"
    port: int = 8080
    hosts: tuple[str, ...] = tuple(sorted(LOOPBACK))
    """Host names under which clients may come; `*` for all."""
    public_url: str | None = None
    """Where auditors reach this gateway; http://host:port if not said."""
    refresh_seconds: float = 10.0
    ticket_seconds: int = 86_400
    patience: Patience = field(default_factory=Patience)


def build(
    settings: Settings,
    ledger: Ledger,
    texts: Mapping[str, Text],
    *,
    clock: Callable[[], float],
    timer: Callable[[], float],
    entropy: Entropy,
    chance: Chance,
) -> Gateway:
    """A gateway over any ledger and any texts. `clock`: Unix seconds; `timer`: seconds, never backwards; `entropy`:
    unpredictable bytes; `chance`: uniform in [0, 1)."""
    session, domain, terms = Key(settings.session_key), ledger.domain, ledger.terms
    journal = Journal(settings.journal)
    records, peers = Records(journal, domain), Peers(settings.patience)
    book = Book(ledger, peers, settings.channels, settings.pins, clock)
    seconds = min(ORDER_SECONDS, terms.longest_order * 3 // 4)  # a provider's clock may be behind ours
    faults = Faults(timer)

    till = Till(
        book=book,
        records=records,
        spending=Spending(settings.api_keys, clock),
        peers=peers,
        session=session,
        domain=domain,
        order_seconds=seconds,
        timer=timer,
    )
    drawing = _drawing(settings, till, faults, terms.rate_ppm, clock, chance)
    desk = Desk(
        book=book,
        till=till,
        records=records,
        drawing=drawing,
        faults=faults,
        draft=Draft(session, domain, entropy, seconds),
        peers=peers,
        metrics=Metrics(),
        texts=texts,
        clock=clock,
        timer=timer,
        chance=chance,
    )
    completions = Completions(desk, entropy)
    return Gateway(desk, completions, hosts=settings.hosts, refresh_seconds=settings.refresh_seconds)


def _drawing(
    settings: Settings, till: Till, faults: Faults, rate_ppm: int, clock: Callable[[], float], chance: Chance
) -> Drawing:
    async def cheated(bought: Bought, detail: str) -> None:
        faults.note(bought.placed.listed, Unavailable("provider.cheated", detail))

    return Drawing(
        records=till.records,
        book=till.book,
        peers=till.peers,
        session=till.session,
        domain=till.domain,
        source=settings.public_url or f"http://{settings.host}:{settings.port}",
        rate_ppm=rate_ppm,
        ticket_seconds=settings.ticket_seconds,
        chance=chance,
        clock=clock,
        cheated=cheated,
    )


def server(gateway: Gateway, settings: Settings) -> uvicorn.Server:
    """The HTTP server, not yet started."""
    config = uvicorn.Config(
        gateway.app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)


def run(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM. Blocks. Raises Refused("port.taken") and what the ledger and the texts raise."""
    from steelyard.chain.deploy import Deployment
    from steelyard.engines.catalog import load_text
    from steelyard.market.onchain import connect

    require_port(settings.host, settings.port)
    ledger = connect(settings.rpc_url, Deployment.load(settings.deployment))
    texts = {name: load_text(spec) for name, spec in settings.texts.items()}
    gateway = build(
        settings,
        ledger,
        texts,
        clock=time.time,  # noqa: TID251  the one place where time comes in
        timer=time.monotonic,
        entropy=secrets.token_bytes,
        chance=random.SystemRandom().random,
    )
    server(gateway, settings).run()
