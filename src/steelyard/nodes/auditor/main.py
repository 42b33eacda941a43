"""An auditor's process."""

import logging
import time

import uvicorn

from steelyard.chain.deploy import Deployment
from steelyard.engines import catalog
from steelyard.market.journal import Journal
from steelyard.market.ledger import Ledger
from steelyard.market.onchain import connect
from steelyard.market.onchain_cases import OnchainCases
from steelyard.market.onchain_games import OnchainGames
from steelyard.nodes.auditor.app import app
from steelyard.nodes.auditor.bench import Bench
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.node import Node
from steelyard.nodes.auditor.road import PeerRoad
from steelyard.nodes.auditor.settings import Settings
from steelyard.wire.http import require_port

GRACE = 5  # seconds for open connections, and for a step in progress, when the process ends

log = logging.getLogger("steelyard.auditor")


def run(settings: Settings) -> None:
    """Loads and tests its engines, joins the pool, serves; returns after SIGTERM or SIGINT. A kill at any instant is
    fine: the journal and the chain say where to go on. Raises Refused("port.taken")."""
    require_port(settings.host, settings.port)
    settings.data.mkdir(parents=True, exist_ok=True)
    deployment = Deployment.load(settings.deployment)
    ledger = connect(settings.rpc_url, deployment, settings.key)
    bench = Bench(catalog.load(spec)[0] for spec in settings.models)
    road = PeerRoad(private=settings.private_sources)
    journal = Journal(settings.data / "journal.sqlite")
    desk = Desk(
        settings=settings,
        domain=ledger.domain,
        journal=journal,
        ledger=ledger,
        cases=OnchainCases(ledger.chain, deployment),
        games=OnchainGames(ledger.chain, deployment),
        road=road,
        bench=bench,
        clock=ChainClock(ledger),
    )
    node = Node(desk)
    loops = node.loops()
    for loop in loops:
        loop.start()
    log.info("auditor %s at %s judges %s", desk.me, settings.public_url, ", ".join(bench.names) or "nothing")
    uvicorn.run(
        app(node),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )
    node.stop()
    for loop in loops:
        loop.join(GRACE)
    road.close()
    bench.close()
    journal.close()


def leave(settings: Settings) -> None:
    """Leaves the jury pool, from the next epoch on."""
    deployment = Deployment.load(settings.deployment)
    ledger = connect(settings.rpc_url, deployment, settings.key)
    cases = OnchainCases(ledger.chain, deployment)
    if cases.joined():
        cases.leave()


class ChainClock:
    """Unix seconds by the later of our clock and the chain's, which is looked at once in a while: tickets and windows
    are dated by the chain, and a devnet turns its clock."""

    LOOK_EVERY = 2.0

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ahead, self._looked = 0.0, float("-inf")

    def __call__(self) -> float:
        """Now. Blocks for a moment when it looks at the chain. Raises Unavailable("chain.unreachable")."""
        now = time.time()  # noqa: TID251  the process's one clock, handed to every rule
        if time.monotonic() - self._looked > self.LOOK_EVERY:
            self._ahead = max(0.0, self._ledger.now() - now)
            self._looked = time.monotonic()
        return now + self._ahead
