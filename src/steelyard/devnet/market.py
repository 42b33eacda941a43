"""A whole market on one machine: anvil, contracts, providers honest and lying, auditors, a gateway; separate processes.

Money comes from nowhere (the test token's minter is ours), the clock can be turned, and everything else is real.
"""

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.chain.deploy import DEVNET, Deployment, Parameters, deploy
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import BLOCK_SECONDS, DEPLOYER, Anvil
from steelyard.devnet.liars import SHOWN
from steelyard.devnet.processes import Processes, free_port
from steelyard.engines import catalog, store
from steelyard.engines.base import Card
from steelyard.market.onchain import OnchainLedger
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import SOLD, Level
from steelyard.protocol.units import MICRO, Address, MicroToken
from steelyard.wire.http import require_port

Tell = Callable[[str], None]

HONEST = ("ada", "grace", "emmy")
AUDITORS = ("edsger", "barbara", "donald", "frances", "tony")
PRICE_IN, PRICE_OUT = 200_000, 600_000  # micro-tokens per million units: 0.20 and 0.60 a million
ROYALTY_BPS = 500
BOND = 500 * MICRO
PURSE = 100 * MICRO
DEPOSIT = 50 * MICRO
ALLOCATION = 4 * MICRO
START_SECONDS = 120.0
DEPLOYMENT = "deployment.json"


@dataclass(frozen=True, slots=True)
class Wares:
    """What is sold: engine specifications, as `engines.catalog` reads them."""

    engine: str
    cheap: str
    """What the lower-bits liar runs instead."""
    models: tuple[str, ...] = ()
    """Names in the store that have to be pulled."""
    terms: str = "Apache-2.0"


ALPHABET = Wares("alphabet", "alphabet?lie_from=3")
SMOLLM2 = Wares(
    "canonical:smollm2-135m-instruct-q4_1?threads=1",
    "canonical:smollm2-135m-instruct-q4_0?threads=1",
    ("smollm2-135m-instruct-q4_1", "smollm2-135m-instruct-q4_0"),
)


@dataclass
class Seller:
    """A provider of the devnet."""

    name: str
    key: Key
    port: int
    liar: str = ""
    """Name in `liars.LIARS`; empty if honest."""
    levels: tuple[Level, ...] = (Level.AUDITED,)

    @property
    def address(self) -> Address:
        """Its account."""
        return self.key.address


@dataclass
class Market:
    """A running market."""

    directory: Path
    processes: Processes
    anvil: Anvil
    deployment: Deployment
    chain: RpcChain
    ledger: OnchainLedger
    """Over `chain`, sent by the deployer."""
    author: Key
    owner: Key
    """Of the buyer's channel."""
    sellers: list[Seller]
    auditors: list[tuple[str, Key, int]]
    """Name, key, port."""
    registration: bytes
    card: Card
    channel: bytes
    base_url: str
    api_key: str
    parameters: Parameters = DEVNET
    minted: int = 0
    """Micro-tokens that were made, all by us."""

    def seller(self, name: str) -> Seller:
        """By name, or by the kind of liar."""
        return next(seller for seller in self.sellers if name in (seller.name, seller.liar))

    def turn(self, seconds: int) -> None:
        """Turns the clock of the chain forward."""
        self.anvil.turn(seconds)

    def down(self) -> None:
        """Stops every process and closes what we opened to them."""
        self.processes.stop()
        self.anvil.rpc.close()
        self.chain.close()


@dataclass
class _Builder:
    wares: Wares
    directory: Path
    tell: Tell
    claim_seconds: float
    processes: Processes = field(init=False)
    minted: int = 0

    def __post_init__(self) -> None:
        self.processes = Processes(self.directory / "logs")

    def chain(self) -> tuple[Anvil, RpcChain, Deployment]:
        """anvil whose clock stands an epoch back, so that the auditors' first epoch can be over by now."""
        anvil = Anvil(self.processes, start=int(time.time()) - DEVNET.epoch_seconds - 60)  # noqa: TID251  a real clock to begin with
        chain = RpcChain(anvil.url, DEPLOYER)
        deployment = deploy(chain, DEVNET)
        deployment.save(self.directory / DEPLOYMENT)
        return anvil, chain, deployment

    def fund(self, anvil: Anvil, ledger: OnchainLedger, key: Key, tokens: int) -> None:
        """Gas and tokens."""
        anvil.fund(key.address)
        if tokens:
            ledger.token.mint(key.address, tokens)
            self.minted += tokens

    def child(self, role: str, name: str, told: dict[str, Any]) -> None:
        """Starts a node."""
        data = self.directory / name
        data.mkdir(parents=True, exist_ok=True)
        file = data / "settings.json"
        file.touch(mode=0o600)
        deployment = str(self.directory / DEPLOYMENT)
        file.write_text(json.dumps({"data": str(data), "deployment": deployment, **told}))
        command = [sys.executable, "-m", "steelyard.devnet.child", role, str(file)]
        self.processes.start(name, command, f"http://127.0.0.1:{told['port']}/health")


def sellers(honest_names: Sequence[str], liars: Sequence[str]) -> list[Seller]:
    """Honest ones sell every level; the named liars `audited` and `disputable`, lower-bits `open` too, where nothing
    catches it."""
    honest = [Seller(name, Key.new(), free_port(), levels=SOLD) for name in honest_names]
    lying = [Seller(f"provider-{4 + at}", Key.new(), free_port(), liar=liar) for at, liar in enumerate(liars)]
    for seller in lying:
        seller.levels = SOLD if seller.liar == "lower-bits" else (Level.AUDITED, Level.DISPUTABLE)
    return honest + lying


def up(
    wares: Wares = SMOLLM2,
    liars: Sequence[str] = SHOWN,
    directory: Path | None = None,
    tell: Tell = lambda _: None,
    auditors: int = 5,
    port: int | None = None,
    claim_seconds: float = 2.0,
    honest: Sequence[str] = HONEST,
) -> Market:
    """Starts everything and waits until it serves. `tell` hears of every step. Raises Unavailable("devnet.start"),
    Refused("devnet.directory" | "port.taken")."""
    if port is not None:
        require_port("127.0.0.1", port)
    directory = directory or Path(tempfile.mkdtemp(prefix="steelyard-"))
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (directory / DEPLOYMENT).exists():  # its journals hold vouchers and keys of a chain that is gone, or in use
        raise Refused("devnet.directory", f"{directory} holds a market already: name an empty one")
    build = _Builder(wares, directory, tell, claim_seconds)
    try:
        return _up(build, sellers(honest, liars), auditors, port or free_port())
    except BaseException:
        build.processes.stop()
        raise


def _up(build: _Builder, market_sellers: list[Seller], auditors: int, port: int) -> Market:
    card = _wanted_card(build)
    build.tell("starting the chain, deploying the contracts")
    anvil, chain, deployment = build.chain()
    ledger = OnchainLedger(chain, deployment)
    author, owner, session = Key.new(), Key.new(), Key.new()
    jury = [(AUDITORS[at % len(AUDITORS)], Key.new(), free_port()) for at in range(auditors)]
    purses = [(author, 0), (owner, DEPOSIT), (session, 0), *((seller.key, BOND) for seller in market_sellers)]
    for key, tokens in [*purses, *((key, DEVNET.min_stake + PURSE) for _, key, _ in jury)]:
        build.fund(anvil, ledger, key, tokens)
    with closing(RpcChain(anvil.url, author)) as authors:
        registration = register(authors, deployment, card, build.wares.terms)
    _start_servers(build, anvil, registration, market_sellers, jury)
    with closing(RpcChain(anvil.url, owner)) as owners:
        channel = open_channel(owners, deployment, session, [seller.address for seller in market_sellers], ledger.now())
    names = [seller.name for seller in market_sellers] + [name for name, _, _ in jury]
    build.processes.wait_healthy(names, START_SECONDS, build.tell)
    _begin_epoch(anvil, ledger, [key for _, key, _ in jury])
    build.tell("starting the gateway")
    api_key = "sk-steelyard-" + secrets.token_urlsafe(24)
    told = {"key": session.secret.hex(), "port": port, "api_key": api_key, "daily_budget": None}
    told |= {"channel": channel.hex(), "texts": {card.name: build.wares.engine}, "rpc_url": anvil.url}
    build.child("gateway", "gateway", told)
    build.processes.wait_healthy(["gateway"], START_SECONDS, build.tell)
    anvil.interval(BLOCK_SECONDS)
    return Market(
        directory=build.directory,
        processes=build.processes,
        anvil=anvil,
        deployment=deployment,
        chain=chain,
        ledger=ledger,
        author=author,
        owner=owner,
        sellers=market_sellers,
        auditors=jury,
        registration=registration,
        card=card,
        channel=channel,
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key=api_key,
        minted=build.minted,
    )


def _wanted_card(build: _Builder) -> Card:
    for name in build.wares.models:
        build.tell(f"pulling {name}")
        store.pull(name)
    build.tell("loading the model")
    engine, _ = catalog.load(build.wares.engine)
    engine.close()
    return engine.card


def _start_servers(
    build: _Builder, anvil: Anvil, registration: bytes, to_sell: list[Seller], jury: list[tuple[str, Key, int]]
) -> None:
    build.tell(f"starting {len(to_sell)} providers and {len(jury)} auditors")
    common: dict[str, Any] = {"rpc_url": anvil.url, "engine": build.wares.engine}
    for seller in to_sell:
        prices = [(int(level), PRICE_IN, PRICE_OUT) for level in seller.levels]
        told: dict[str, Any] = {"liar": seller.liar, "cheap": build.wares.cheap, "prices": prices}
        told |= {"registration": registration.hex(), "claim_seconds": build.claim_seconds}
        told |= {"key": seller.key.secret.hex(), "port": seller.port}
        build.child("provider", seller.name, common | told)
    for name, key, port in jury:
        told = {"key": key.secret.hex(), "port": port, "stake": DEVNET.min_stake}
        build.child("auditor", name, common | told)


def register(chain: RpcChain, deployment: Deployment, card: Card, terms: str) -> bytes:
    """Registers a model, sent by its author; the registration's id."""
    ledger = OnchainLedger(chain, deployment)
    about = (ROYALTY_BPS, card.context_length, card.size_bytes, 1, sha256(terms.encode()))
    assert chain.account is not None
    ledger.registry.register_model(card.model_root, chain.account, *about, card.name, f"store:{card.name}")
    return next(model.id for model in ledger.models() if model.registration.model_root == card.model_root)


def open_channel(chain: RpcChain, deployment: Deployment, session: Key, to: Sequence[Address], now: int) -> bytes:
    """Opens a channel with an allocation to each, sent by its owner; the channel's id."""
    ledger = OnchainLedger(chain, deployment)
    allocations = tuple((address, ALLOCATION) for address in to)
    nonce = secrets.token_bytes(32)
    ledger.approve(deployment.escrow, MicroToken(DEPOSIT))
    expiry = now + 10 * 86_400
    ledger.escrow.open(session.address, DEPOSIT, expiry, DEPOSIT, allocations, nonce)
    assert chain.account is not None
    return ledger.escrow.channel_id(chain.account, nonce)


def _begin_epoch(anvil: Anvil, ledger: OnchainLedger, jurors: Sequence[Key]) -> None:
    """Waits until every auditor has joined, then turns the clock to now: into an epoch that begins after that."""
    deadline = time.monotonic() + START_SECONDS
    while missing := [key.address for key in jurors if not ledger.registry.stake(key.address)]:
        if time.monotonic() > deadline:
            raise Unavailable("devnet.start", f"auditors that did not join: {missing}")
        time.sleep(0.1)
    anvil.turn(max(DEVNET.epoch_seconds, int(time.time()) - ledger.now()))  # noqa: TID251  back to the real clock
