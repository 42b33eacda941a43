"""Auditors on the real contracts, on anvil: a liar is slashed and the buyer repaid; two receipts; an acquittal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from auditing import KEYS, PROMPT, TOY, ToyRoad, package_of
from claims import FAR, PROVIDER, SESSION, STRANGER, Stall, signed_again
from steelyard.chain.deploy import DEVNET, deploy
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import DEPLOYER, Anvil
from steelyard.devnet.processes import Processes
from steelyard.engines.alphabet import Alphabet
from steelyard.market.cases import Consent, Opening, Stage
from steelyard.market.journal import Journal
from steelyard.market.onchain import OnchainLedger
from steelyard.market.onchain_cases import OnchainCases
from steelyard.market.onchain_games import OnchainGames
from steelyard.nodes.auditor import notes, packages, sealing, tickets
from steelyard.nodes.auditor.bench import Bench
from steelyard.nodes.auditor.desk import Desk, Tries
from steelyard.nodes.auditor.node import Node
from steelyard.nodes.auditor.settings import Settings
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import AuditTicket, Voucher
from steelyard.protocol.roots import receipts_root
from steelyard.protocol.units import MICRO, MicroToken
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.claim import Claim
from steelyard.wire.messages import TicketNotice, sign_record

OWNER = Key(sha256(b"owner"))
CHAINS: list[RpcChain] = []


def opened(url: str, key: Key) -> RpcChain:
    """A connection that is closed with the market."""
    CHAINS.append(RpcChain(url, key))
    return CHAINS[-1]


@dataclass
class Court:
    """The market on chain, with four auditors of ours."""

    anvil: Anvil
    ledger: OnchainLedger
    stall: Stall
    channel: bytes
    nodes: list[Node]
    road: ToyRoad
    folder: Path
    now: float = 0.0

    def order(self, n: int) -> Any:
        terms = {"channel": self.channel, "jury_epoch": self.ledger.epoch(), "nonce": sha256(b"%d" % n)}
        return self.stall.order(PROMPT, deadline=self.ledger.now() + 100, **terms)

    def tick(self) -> None:
        for node in self.nodes:
            node.audit_once()
            node.accuse_once()
            node.sit_once()
        self.now += 1
        self.anvil.rpc("evm_mine")

    def ticket(self, claim: Claim) -> None:
        desk = self.nodes[0].desk
        ticket = AuditTicket(1, claim.receipt_digest(), KEYS[0].address, FAR)
        signed = sign_record(ticket, SESSION.sign(ticket.digest(desk.domain)))
        document = tickets.accept(desk, TicketNotice(ticket=signed, source="http://gateway.test"))
        assert document is not None
        desk.journal.write(document)

    def pay(self, *claims: Claim) -> None:
        """The provider claims vouchers for these receipts, in this order."""
        self.road.receipts = [claim.receipt_digest() for claim in claims]
        count, offer = len(claims), self.stall.offer
        root = receipts_root(self.road.receipts)
        voucher = Voucher(1, self.channel, offer.digest(self.ledger.domain), 100 * count, count, root)
        signature = SESSION.sign(voucher.digest(self.ledger.domain))
        OnchainLedger(opened(self.anvil.url, PROVIDER), self.ledger.deployment).claim(offer, voucher, signature)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, OnchainLedger, Stall, bytes]]:
    processes = Processes(tmp_path_factory.mktemp("logs"))
    anvil = Anvil(processes)
    try:
        chain = opened(anvil.url, DEPLOYER)
        ledger = OnchainLedger(chain, deploy(chain, DEVNET))
        yield anvil, ledger, *furnish(anvil, ledger)
    finally:
        while CHAINS:
            CHAINS.pop().close()
        anvil.rpc.close()
        processes.stop()


def furnish(anvil: Anvil, ledger: OnchainLedger) -> tuple[Stall, bytes]:
    for key in (OWNER, SESSION, PROVIDER, STRANGER, *KEYS):
        anvil.fund(key.address)
    for key in (OWNER, PROVIDER, *KEYS):
        ledger.token.mint(key.address, 1_000 * MICRO)
    stall = Stall(TOY.card.model_root, domain=ledger.domain)
    r = stall.registration
    author = OnchainLedger(opened(anvil.url, STRANGER), ledger.deployment)
    about = (r.royalty_bps, r.context_length, r.size_bytes, r.public_weights, r.terms)
    author.registry.register_model(r.model_root, r.payee, *about, "alphabet", "")
    provider = OnchainLedger(opened(anvil.url, PROVIDER), ledger.deployment)
    provider.deposit_bond(MicroToken(500 * MICRO))
    owner = OnchainLedger(opened(anvil.url, OWNER), ledger.deployment)
    owner.approve(ledger.deployment.escrow, MicroToken(50 * MICRO))
    allocations = ((PROVIDER.address, 40 * MICRO),)
    owner.escrow.open(SESSION.address, 50 * MICRO, ledger.now() + 10**6, 50 * MICRO, allocations, ZERO32)
    return stall, owner.escrow.channel_id(OWNER.address, ZERO32)


@pytest.fixture
def court(market: tuple[Anvil, OnchainLedger, Stall, bytes], tmp_path: Path) -> Iterator[Court]:
    anvil, ledger, stall, channel = market
    road = ToyRoad(domain=ledger.domain)
    made = Court(anvil, ledger, stall, channel, [], road, tmp_path)
    made.nodes = [auditor(made, i) for i in range(len(KEYS))]
    made.tick()
    anvil.turn(DEVNET.epoch_seconds)  # a join counts from the next epoch on
    yield made
    for node in made.nodes:
        node.desk.journal.close()


def auditor(court: Court, i: int) -> Node:
    chain = opened(court.anvil.url, KEYS[i])
    ledger = OnchainLedger(chain, court.ledger.deployment)
    settings = Settings(
        key=KEYS[i],
        data=court.folder,
        deployment=court.folder,
        rpc_url=court.anvil.url,
        models=(),
        port=9000 + i,
        stake=MicroToken(100 * MICRO),
        purse=MicroToken(100 * MICRO),
        tie_patience=20.0,
        settle_patience=8.0,
    )
    journal, cases = Journal(court.folder / f"{i}.sqlite"), OnchainCases(chain, court.ledger.deployment)
    clock = lambda: court.now  # noqa: E731
    ports = journal, ledger, cases, OnchainGames(chain, court.ledger.deployment), court.road, Bench([TOY])
    desk = Desk(settings, ledger.domain, *ports, clock)
    return Node(desk, Tries(clock))


def money(court: Court) -> int:
    """All tokens but the burned ones' holder: what was minted never changes."""
    return court.ledger.token.total_supply()


def note(court: Court) -> notes.TicketNote:
    (found,) = court.nodes[0].desk.journal.scan(notes.TICKET)
    return notes.read(found, notes.TicketNote)


def let_appeal(court: Court, case: bytes) -> None:
    """Turns the clock past the appeal window of a case all of whose jurors have spoken."""
    found = court.nodes[0].desk.cases.case(case)
    if found is not None and found.stage is Stage.OPENED and found.revealed == len(found.seats):
        court.anvil.turn(DEVNET.appeal_window + 1)


def run_until_closed(court: Court, rounds: int = 40) -> notes.TicketNote:
    for _ in range(rounds):
        court.tick()
        if case := note(court).case:
            let_appeal(court, bytes.fromhex(case[2:]))
        if court.nodes[0].desk.journal.scan(notes.TICKET, notes.CLOSED):
            break
    for _ in range(3):
        court.tick()
    return note(court)


def test_a_liar_is_slashed_on_chain_the_challenger_paid_and_the_buyer_repaid(court: Court) -> None:
    claim = court.stall.sell(Alphabet(lie_from=2), court.order(1), PROMPT)
    court.pay(claim)
    court.road.gateway = court.road.provider = package_of(claim)
    bonds, before = court.ledger.bonds, court.ledger.bonds.held(PROVIDER.address)
    held, supply = bonds.held(KEYS[0].address), money(court)
    court.ticket(claim)
    found = run_until_closed(court)
    assert found.ended == "ruled cheated"
    case = court.nodes[0].desk.cases.case(bytes.fromhex(found.case[2:]))
    assert case is not None
    assert (case.stage, case.outcome, case.claim) == (Stage.RULED, Outcome.CHEATED, 1)
    assert before - bonds.held(PROVIDER.address) >= DEVNET.flat
    assert bonds.credit(OWNER.address) > 0  # k times the price
    assert court.ledger.token.balance_of(KEYS[0].address) > 800 * MICRO  # the bounty, collected
    assert bonds.held(KEYS[0].address) == held
    assert bonds.reserved(KEYS[0].address) == 100 * MICRO  # the stake in the pool only
    assert bonds.reserved(PROVIDER.address) == court.ledger.claims(PROVIDER.address)[0].reserve
    assert money(court) == supply
    seats = [d.state for node in court.nodes for d in node.desk.journal.scan(notes.SEAT)]
    assert set(seats) == {notes.CLOSED}


def test_two_receipts_slash_at_once(court: Court) -> None:
    claim = court.stall.sell(TOY, court.order(2), PROMPT)
    other = signed_again(claim, replace(claim.receipt, evidence_root=ZERO32))
    court.road.gateway, court.road.provider = package_of(claim), package_of(other)
    before = court.ledger.bonds.held(PROVIDER.address)
    court.ticket(claim)
    assert run_until_closed(court).ended == "convicted"
    assert before - court.ledger.bonds.held(PROVIDER.address) >= DEVNET.flat
    assert court.nodes[0].desk.cases.convicted(other.receipt_digest())


def test_an_honest_answer_is_acquitted_on_chain_when_somebody_challenges_it(court: Court) -> None:
    claim = court.stall.sell(TOY, court.order(3), PROMPT)
    ticket = AuditTicket(1, claim.receipt_digest(), KEYS[0].address, FAR)
    cases = court.nodes[0].desk.cases
    case = cases.challenge(packages.exhibit_of(claim), Consent(ticket, SESSION.sign(ticket.digest(claim.domain))))
    court.anvil.rpc("evm_mine")
    court.anvil.rpc("evm_mine")
    cases.seat(case)
    seated = cases.case(case)
    assert seated is not None
    assert set(seated.seats) == {key.address for key in KEYS[1:]}
    made = sealing.seal(packages.pack(package_of(claim)), [cases.encryption_key(juror) for juror in seated.seats])
    cases.open_case(case, Opening(made.ciphertext, made.wrapped))
    before = court.ledger.bonds.held(PROVIDER.address)
    for _ in range(25):
        court.tick()
        let_appeal(court, case)
    ruled = cases.case(case)
    assert ruled is not None
    assert (ruled.stage, ruled.outcome) == (Stage.RULED, Outcome.HONEST)
    assert court.ledger.bonds.held(PROVIDER.address) == before


def test_a_case_that_nobody_seated_in_time_lapses_and_everybody_keeps_what_is_theirs(court: Court) -> None:
    claim = court.stall.sell(Alphabet(lie_from=2), court.order(4), PROMPT)
    court.road.gateway = court.road.provider = package_of(claim)
    bonds, court.road.receipts = court.ledger.bonds, []
    held, reserved = bonds.held(PROVIDER.address), bonds.reserved(PROVIDER.address)
    court.ticket(claim)
    while not note(court).case:
        court.tick()
    assert bonds.reserved(PROVIDER.address) > reserved
    court.anvil.turn(DEVNET.open_window + DEVNET.commit_window + DEVNET.reveal_window + 1)
    assert run_until_closed(court).ended == "no ruling"
    assert (bonds.held(PROVIDER.address), bonds.reserved(PROVIDER.address)) == (held, reserved)


def test_leaving_counts_from_the_next_epoch_on(court: Court) -> None:
    cases = court.nodes[3].desk.cases
    assert cases.joined()
    cases.leave()
    assert not cases.joined()
