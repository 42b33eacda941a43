"""A provider on the real contracts, on anvil: its doctor, its ledger, and vouchers that become tokens."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from counter import AUTHOR, OWNER, PROVIDER, SESSION, STRANGER, Bought, Counter
from steelyard.chain.deploy import DEVNET, Deployment, deploy
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import DEPLOYER, Anvil
from steelyard.devnet.processes import Processes, free_port
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Engine, Job, Replay
from steelyard.market.journal import Journal
from steelyard.market.ledger import Ledger, Model
from steelyard.market.onchain import OnchainLedger
from steelyard.market.toy_ledger import Town
from steelyard.nodes.provider.claiming import Claimer
from steelyard.nodes.provider.doctor import Finding, examine
from steelyard.nodes.provider.main import run as serve
from steelyard.nodes.provider.main import salt_secret, top_up_bond
from steelyard.nodes.provider.node import Provider
from steelyard.nodes.provider.offers import Limits, Prices, list_offers
from steelyard.nodes.provider.settings import Settings
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level, Voucher
from steelyard.protocol.units import MICRO, MicroToken, Timestamp

CHAINS: list[RpcChain] = []
DEPOSIT, SHARE = 50 * MICRO, 40 * MICRO


@dataclass
class Place:
    """A market on anvil, with one model and one channel."""

    anvil: Anvil
    deployment: Deployment
    model: Model
    channel: bytes

    def ledger(self, key: Key) -> OnchainLedger:
        CHAINS.append(RpcChain(self.anvil.url, key))
        return OnchainLedger(CHAINS[-1], self.deployment)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    processes = Processes(tmp_path_factory.mktemp("logs"))
    anvil = Anvil(processes)
    try:
        CHAINS.append(RpcChain(anvil.url, DEPLOYER))
        deployment = deploy(CHAINS[-1], DEVNET)
        made = Place(anvil, deployment, None, b"")  # type: ignore[arg-type]  # filled in below
        minter = OnchainLedger(CHAINS[-1], deployment)
        for key in (PROVIDER, OWNER, AUTHOR):
            anvil.fund(key.address)
            minter.token.mint(key.address, 1_000 * MICRO)
        card = Alphabet().card
        author, owner = made.ledger(AUTHOR), made.ledger(OWNER)
        author.registry.register_model(
            card.model_root, AUTHOR.address, 500, card.context_length, 0, 1, ZERO32, "alphabet", ""
        )
        (made.model,) = author.models()
        owner.approve(deployment.escrow, MicroToken(DEPOSIT))
        shares = ((PROVIDER.address, SHARE),)
        owner.escrow.open(SESSION.address, DEPOSIT, owner.now() + 10**6, DEPOSIT, shares, ZERO32)
        made.channel = owner.escrow.channel_id(OWNER.address, ZERO32)
        yield made
    finally:
        while CHAINS:
            CHAINS.pop().close()
        anvil.rpc.close()
        processes.stop()


def settings(place: Place, folder: Path, **changes: object) -> Settings:
    file = folder / "deployment.json"
    place.deployment.save(file)
    usual = Settings(
        key=PROVIDER,
        data=folder / "data",
        deployment=file,
        rpc_url=place.anvil.url,
        engine="alphabet",
        registration=place.model.id,
        prices=(Prices(Level.AUDITED, MICRO, MICRO), Prices(Level.OPEN, MICRO, MICRO)),
        limits=Limits(max_units=40),
        port=free_port(),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def found(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


# -- the doctor ------------------------------------------------------------------------------------------------------


def test_a_healthy_provider_is_found_healthy(place: Place, tmp_path: Path) -> None:
    told, ledger = settings(place, tmp_path), place.ledger(PROVIDER)
    assert found(examine(told, ledger, Alphabet()))["bond"].ok, "a start would deposit it"
    top_up_bond(told, ledger)
    top_up_bond(told, ledger)
    assert ledger.bonds.held(PROVIDER.address) == told.bond, "topped up once"
    rows = found(examine(told, ledger, Alphabet()))
    assert all(row.ok for row in rows.values()), rows
    assert set(rows) == {
        "chain", "contracts", "clock", "disk", "engine", "registration", "self-test", "url", "bond",
    }  # fmt: skip


class Forgetful(Alphabet):
    """Replays another dialect than it generates."""

    def replay(self, job: Job, answer: object) -> Replay:
        return Alphabet(dialect=b"other").replay(job, answer)  # type: ignore[arg-type]


def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(place: Place, tmp_path: Path) -> None:
    ledger = place.ledger(PROVIDER)

    def wrong(check: str, engine: Engine | None = None, **changes: object) -> str:
        row = found(examine(settings(place, tmp_path, **changes), ledger, engine or Alphabet()))[check]
        assert not row.ok
        assert row.fix
        return row.detail

    assert wrong("registration", registration=ZERO32).startswith("registration.unknown: 0x00")
    assert wrong("registration", Alphabet(dialect=b"x")).startswith("offer.model-root: alphabet: engine ")
    assert "differ between run and replay" in wrong("self-test", Forgetful())
    assert wrong("bond", key=STRANGER).startswith("bond.short: free 0 < ")
    assert wrong("url", url="http://127.0.0.1:1").startswith("url.unreachable: http://127.0.0.1:1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert wrong("url", port=taken.getsockname()[1]).startswith("url.taken")
    place.anvil.turn(200)
    assert wrong("clock").startswith("clock.skew: the chain's clock is ")
    elsewhere = OnchainLedger(ledger.chain, replace(place.deployment, escrow=STRANGER.address))
    row = found(examine(settings(place, tmp_path), elsewhere, Alphabet()))["contracts"]
    assert row.detail == f"contracts.absent: no code at escrow {STRANGER.address}"


def test_an_engine_that_disagrees_with_itself_is_never_listed(place: Place, tmp_path: Path) -> None:
    told = settings(place, tmp_path)
    before = list(place.ledger(PROVIDER).providers())
    with pytest.raises(Refused, match=r"provider\.doctor: self-test: .*differ between run and replay"):
        serve(told, engine=Forgetful())
    assert list(place.ledger(PROVIDER).providers()) == before


def test_a_float_engine_may_list_level_open_only(place: Place, tmp_path: Path) -> None:
    engine = Alphabet()
    engine.card = replace(engine.card, canonical=False)
    rows = found(examine(settings(place, tmp_path), place.ledger(PROVIDER), engine))
    assert rows["registration"].detail == "offer.level: audited needs a canonical engine and public weights"
    told = settings(place, tmp_path, prices=(Prices(Level.OPEN, 1, 1),))
    assert found(examine(told, place.ledger(PROVIDER), engine))["registration"].ok


def test_a_dead_endpoint_and_another_chain_are_named(place: Place) -> None:
    with pytest.raises(Unavailable, match=r"chain\.unreachable"):
        RpcChain("http://127.0.0.1:1", PROVIDER)
    with pytest.raises(Refused, match=r"chain\.id: endpoint serves 31337, the market is on 1"):
        OnchainLedger(place.ledger(PROVIDER).chain, replace(place.deployment, chain_id=1))


# -- vouchers become tokens ------------------------------------------------------------------------------------------


def desk(place: Place, ledger: OnchainLedger, folder: Path) -> Provider:
    """A provider whose clock is the chain's."""
    journal = Journal(folder / "journal.sqlite")
    prices = [Prices(Level.AUDITED, MICRO, MICRO)]

    def clock() -> float:
        return float(ledger.now())

    limits = Limits(max_units=40)
    offers = list_offers(PROVIDER, ledger.domain, Alphabet().card, place.model, prices, limits, journal, clock)
    return Provider(PROVIDER, salt_secret(PROVIDER), Alphabet(), ledger, offers, journal, clock)


def buyer(place: Place, provider: Provider, folder: Path) -> Counter:
    """Somebody who orders at that desk: a counter's buyer whose market is the one on chain."""
    made = Counter(folder)
    made.journal.close()
    made.provider = provider
    made.listings = list(provider.listings.values())
    made.domain, made.channel = provider.ledger.domain, place.channel
    made.time = provider.ledger.now()
    made.town.epoch = provider.ledger.epoch()
    return made


def test_vouchers_become_tokens_through_claim_vesting_and_collection(place: Place, tmp_path: Path) -> None:
    ledger = place.ledger(PROVIDER)
    top_up_bond(settings(place, tmp_path), ledger)
    provider = desk(place, ledger, tmp_path)
    claimer = Claimer(provider, ledger)
    counter = buyer(place, provider, tmp_path)

    async def sell() -> list[Bought]:
        answers = [await counter.buy() for _ in range(2)]
        await counter.pay(*answers)
        return answers

    async def sell_late() -> None:
        counter.time = ledger.now()
        await counter.pay(await counter.buy())

    asyncio.run(sell())
    voucher = provider.accounts.vouchers()[0][0]
    before = ledger.token.balance_of(PROVIDER.address)
    claimer.round()
    claimer.round()
    (claim,) = ledger.claims(PROVIDER.address)
    assert (claim.state, claim.amount, claim.first, claim.count) == ("vesting", voucher.amount, 0, 2)
    assert ledger.claimed(place.channel, voucher.offer) == (voucher.amount, 2)
    assert claim.reserve >= 2 * ledger.stake_of(Level.AUDITED, MicroToken(voucher.amount // 2))
    asyncio.run(sell_late())
    claimer.round()
    place.anvil.turn(DEVNET.longest_order + DEVNET.challenge_window + 1)
    claimer.round()
    assert claimer.last_error is None
    claims = ledger.claims(PROVIDER.address)
    assert [claim.state for claim in claims] == ["paid", "paid"]
    total = sum(claim.amount for claim in claims)
    parts = [[claim.amount * bps // 10_000 for claim in claims] for bps in (500, DEVNET.pool_bps, DEVNET.burn_bps)]
    assert ledger.token.balance_of(PROVIDER.address) - before == total - sum(map(sum, parts))
    assert ledger.credit(AUTHOR.address) == sum(parts[0])
    assert ledger.credit(PROVIDER.address) == 0
    assert ledger.claims(PROVIDER.address) == claims
    provider.journal.close()


def test_the_toy_chain_refuses_what_the_contracts_refuse(place: Place, tmp_path: Path) -> None:
    """Rule for rule: the toy is worth testing on only if it says the same."""
    real = place.ledger(PROVIDER)
    town = Town(real.domain, clock=lambda: int(real.now()))
    town.models[place.model.id] = place.model
    expiry = Timestamp(real.now() + 10**6)
    town.open(place.channel, OWNER.address, SESSION.address, DEPOSIT, expiry, {PROVIDER.address: SHARE})
    town.of(PROVIDER.address).deposit_bond(MicroToken(500 * MICRO))
    provider = desk(place, real, tmp_path)
    offer, digest = next((listing.offer, listing.digest) for listing in provider.listings.values())
    usual = Voucher(1, place.channel, digest, 900, 3, ZERO32)

    def refusal(ledger: Ledger, voucher: Voucher, signer: Key = SESSION) -> str | None:
        try:
            ledger.claim(offer, voucher, signer.sign(voucher.digest(ledger.domain)))
        except Refused as refused:
            return refused.rule
        return None

    steps = [
        (usual, STRANGER),
        (replace(usual, channel=ZERO32), SESSION),
        (replace(usual, amount=SHARE + 1), SESSION),
        (usual, SESSION),
        (usual, SESSION),
        (replace(usual, amount=901), SESSION),
        (replace(usual, count=4), SESSION),
        (replace(usual, amount=901, count=4), SESSION),
    ]
    said = [(refusal(real, *step), refusal(town.of(PROVIDER.address), *step)) for step in steps]
    assert [toy for _, toy in said] == [
        "signature", "escrow.no-channel", "escrow.over-allocation", None,
        "escrow.stale-voucher", "escrow.stale-voucher", "escrow.stale-voucher", None,
    ]  # fmt: skip
    assert all(true == toy for true, toy in said), said
    last, toys = real.claims(PROVIDER.address)[-1].id, len(town.claims)
    for of_real, of_toy in ((last, toys), (10_000, 10_000)):
        for write in ("start", "pay"):
            with pytest.raises(Refused) as true:
                getattr(real, write)(of_real)
            with pytest.raises(Refused) as toy:
                getattr(town.of(PROVIDER.address), write)(of_toy)
            assert true.value.rule == toy.value.rule
    provider.journal.close()
