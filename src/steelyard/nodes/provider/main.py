"""A provider's process."""

import logging
import time
from contextlib import closing
from functools import partial

import uvicorn

from steelyard.chain.deploy import Deployment
from steelyard.engines import catalog
from steelyard.engines.base import Engine
from steelyard.market.journal import Journal
from steelyard.market.onchain import OnchainLedger, connect
from steelyard.market.onchain_cases import OnchainCases
from steelyard.market.onchain_games import OnchainGames
from steelyard.nodes.provider.app import app
from steelyard.nodes.provider.claiming import Claimer
from steelyard.nodes.provider.defending import Defender
from steelyard.nodes.provider.doctor import Finding, examine, missing_bond
from steelyard.nodes.provider.node import Provider
from steelyard.nodes.provider.offers import list_offers
from steelyard.nodes.provider.settings import Settings
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.wire.http import require_port

MENDABLE = frozenset({"bond", "clock", "url"})
"""Said, and served all the same: a short bond lets claims wait, a turned clock is what a devnet is for, and a machine
may be unable to reach its own public address."""
GRACE_SECONDS = 15  # streams in flight may end for so long after SIGTERM

log = logging.getLogger("steelyard.provider")


def run(settings: Settings, kind: type[Provider] = Provider, engine: Engine | None = None) -> None:
    """Examines, registers, lists, serves; returns after SIGTERM or SIGINT. Raises Refused("port.taken"), or
    Refused("provider.doctor") before it lists anything that would fail. `kind` and `engine` let a devnet put something
    else behind the same desk."""
    require_port(settings.host, settings.port)
    settings.data.mkdir(parents=True, exist_ok=True)
    ledger = connect(settings.rpc_url, Deployment.load(settings.deployment), settings.key)
    try:
        engine = engine or catalog.load(settings.engine)[0]
        top_up_bond(settings, ledger)
        require_fit(examine(settings, ledger, engine))
        with closing(Journal(settings.data / "journal.sqlite")) as journal:
            _serve(settings, kind, engine, ledger, journal)
    finally:
        ledger.close()


def require_fit(findings: list[Finding]) -> None:
    """Logs what is wrong. Raises Refused("provider.doctor") with all that forbids to sell."""
    wrong = [finding for finding in findings if not finding.ok]
    for finding in wrong:
        log.warning("%s: %s; %s", finding.check, finding.detail, finding.fix)
    fatal = [finding for finding in wrong if finding.check not in MENDABLE]
    if fatal:
        raise Refused("provider.doctor", "; ".join(f"{finding.check}: {finding.detail}" for finding in fatal))


def _serve(settings: Settings, kind: type[Provider], engine: Engine, ledger: OnchainLedger, journal: Journal) -> None:
    key, clock, model = settings.key, chain_clock(ledger), ledger.model(settings.registration)
    assert model is not None  # the doctor has seen it
    prices, limits = settings.prices, settings.limits
    lists = partial(list_offers, key, ledger.domain, engine.card, model, prices, limits, journal, clock)
    desk = kind(key, salt_secret(key), engine, ledger, lists(), journal, clock, settings.parallel)
    desk.expire(clock())
    ledger.register_provider(settings.public_url)
    claimer = Claimer(desk, ledger, settings.claim_seconds, settings.claim_threshold, settings.claim_age)
    chain = ledger.chain
    cases, games = OnchainCases(chain, ledger.deployment), OnchainGames(chain, ledger.deployment)
    defender = Defender(desk, cases, games, patience=settings.case_patience)
    uvicorn.run(
        app(desk, claimer, defender, lists),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def top_up_bond(settings: Settings, ledger: OnchainLedger) -> None:
    """Deposits what is missing from the wished bond, as far as the account's tokens go."""
    missing = missing_bond(settings, ledger)
    if missing:
        ledger.deposit_bond(missing)


def chain_clock(ledger: OnchainLedger) -> "_Clock":
    """Unix seconds by the later of our clock and the chain's, looked at once in a while."""
    return _Clock(ledger)


class _Clock:
    LOOK_EVERY = 2.0

    def __init__(self, ledger: OnchainLedger) -> None:
        self._ledger = ledger
        self._ahead, self._looked = 0.0, float("-inf")

    def __call__(self) -> float:
        """Now. Blocks for a moment when it looks at the chain."""
        now = time.time()  # noqa: TID251  the process's one clock, handed to every rule
        if time.monotonic() - self._looked > self.LOOK_EVERY:
            self._ahead = max(0.0, self._ledger.now() - now)
            self._looked = time.monotonic()
        return now + self._ahead


def salt_secret(key: Key) -> bytes:
    """The secret behind `roots.provider_salt`, 32 bytes. It follows from the key alone: a provider that lost its disk
    and answers an order again must sign the same receipt, since two different ones would convict it (rule M6)."""
    return sha256(key.sign(sha256(b"steelyard/provider/salts")))
