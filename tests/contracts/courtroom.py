"""A world with Rulings in it: a provider who sells, a buyer who pays, auditors who judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyrevm
from world import NOBODY, UNITS, Contract, Mutant, World, key

from steelyard.protocol import merkle, roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.price import price_of
from steelyard.protocol.records import AuditTicket, Level, Offer, Order, Receipt, Vote
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome

ANN, PAUL, SESSION, EVE, AUTHOR = key("ann"), key("paul"), key("session"), key("eve"), key("author")
GAMES = key("games")
AUDITORS = [key(f"auditor {i}") for i in range(6)]
WATCH = AUDITORS[0]
"""The auditor who challenges in most stories."""
BUYER, TICKET, DRAWN, ON_CHAIN = 1, 2, 3, 4
CHALLENGED, SEATED, OPENED, PLAYING, RULED = range(1, 6)
HONEST, CHEATED, CANNOT_TELL, NOT_OPENED = map(int, Outcome)
BOND = 1_000 * UNITS
PROMPT, ANSWER = [5, 6, 7], [1, 2, 3, 4, 9]
PRICE_OUT = 200_000 * UNITS
"""Micro-tokens per million: an answer of five costs a token, so that s depends on the price, not on F."""
COIN = b"\x0c" * 32
NO_TICKET = AuditTicket(1, ZERO32, NOBODY, 0)
NO_TIE = (0, 0, ())


@dataclass(frozen=True)
class Rules:
    """Constructor parameters of Rulings."""

    seats: int = 3
    stake: int = UNITS
    juror_fee: int = UNITS // 10
    repay_times: int = 1
    open_window: int = 50
    commit_window: int = 60
    reveal_window: int = 70
    appeal_window: int = 0


@dataclass(frozen=True)
class Sale:
    """One answered order."""

    offer: Offer
    order: Order
    order_signature: bytes
    receipt: Receipt
    receipt_signature: bytes
    answer: Sequence[int]
    salt: bytes
    domain: Domain

    @property
    def digest(self) -> bytes:
        """The receipt's."""
        return self.receipt.digest(self.domain)

    @property
    def price(self) -> int:
        return price_of(self.offer, self.order, len(self.answer))

    @property
    def exhibit(self) -> tuple[Any, ...]:
        """What a challenge shows."""
        top = roots.units_top(self.answer, self.salt)
        return self.offer, self.order, self.receipt, len(self.answer), top


class Courtroom(World):
    """Ann buys from Paul; six auditors, in the pool since the epoch before; nothing is challenged yet."""

    def __init__(self, mutant: Mutant | None = None, rules: Rules | None = None, bond: int = BOND) -> None:
        self.rules = rules or Rules()
        super().__init__(mutant)
        self.registration = self.model(AUTHOR)
        self.bonded(PAUL, bond)
        for auditor in AUDITORS:
            self.bonded(auditor, 100 * UNITS)
            self.registry.join(sha256(auditor.address.encode()), "http://auditor", 10 * UNITS, by=auditor)
        self.bonded(ANN, 100 * UNITS)
        self.rich(ANN)
        self.channel = self.open(ANN, SESSION, 100 * UNITS, [(PAUL, 60 * UNITS)])
        self.sold = self.offer(PAUL, self.registration, price_out=PRICE_OUT)
        self.turn(self.terms.epoch_seconds)

    def machine(self) -> Any:
        """A mutant is compiled without the optimiser and larger than a contract may be."""
        limit = 1 << 16 if self.mutant else 24_576
        return pyrevm.EVM(env=pyrevm.Env(cfg=pyrevm.CfgEnv(1, limit)), spec_id="PRAGUE")

    def judge(self) -> Address:
        """Deploys Rulings."""
        r = self.rules
        windows = (r.open_window, r.commit_window, r.reveal_window, r.appeal_window)
        jury = (r.seats, r.stake, r.juror_fee, r.repay_times, *windows)
        others = (self.bonds.address, self.escrow.address, self.orders.address, self.registry.address)
        self.court: Contract = self.deploy("Rulings", (*others, jury, self.terms.flat))
        self.court.bind(*self.players(self.court), by=self.deployer)
        return self.court.address

    def players(self, court: Contract) -> tuple[Address, Address]:
        """Who takes cases (here a key that stands for Games) and brings lies."""
        self.proofs = self.prove(court)
        return GAMES.address, self.proofs.address

    def prove(self, court: Contract) -> Contract:
        """Deploys Proofs."""
        others = (court.address, self.escrow.address, self.orders.address, self.registry.address)
        return self.deploy("Proofs", others)

    # ------------------------------------------------------------ what people do

    def order(self, offer: Offer | None = None, nonce: int = 0, **changes: Any) -> Order:
        """An order on an offer of Paul's, not signed."""
        offer = offer or self.sold
        usual = Order(
            version=Order.VERSION,
            channel=self.channel,
            offer=offer.digest(self.domain),
            registration=offer.registration,
            kind=1,
            level=offer.level,
            prompt_root=roots.units_root(PROMPT, b"\x01" * 32),
            prompt_units=len(PROMPT),
            answer_from=len(PROMPT),
            max_units=64,
            temperature=0,
            top_p=0,
            top_k=0,
            seed=0,
            grammar=bytes(32),
            logprobs=0,
            max_price=20 * UNITS,
            deadline=self.now + 600,
            coin_commitment=sha256(COIN),
            jury_epoch=self.registry.epoch(),
            nonce=nonce.to_bytes(32, "big"),
        )
        return replace(usual, **changes)

    def receipt(self, order: Order, answer: Sequence[int] = ANSWER, salt: bytes = b"\x02" * 32) -> Receipt:
        """Not signed."""
        response, evidence = roots.units_root(answer, salt), roots.evidence_root([ZERO32] * len(answer), salt)
        return Receipt(1, order.digest(self.domain), b"\x11" * 32, order.offer, response, evidence)

    def sell(
        self, order: Order | None = None, offer: Offer | None = None, answer: Sequence[int] = ANSWER, nonce: int = 0
    ) -> Sale:
        """Ann's gateway orders, Paul answers; nothing is paid."""
        offer = offer or self.sold
        order = order or self.order(offer, nonce)
        receipt, salt = self.receipt(order, answer), b"\x02" * 32
        signatures = (SESSION.sign(order.digest(self.domain)), PAUL.sign(receipt.digest(self.domain)))
        return Sale(offer, order, signatures[0], receipt, signatures[1], answer, salt, self.domain)

    def paid(self, *sales: Sale, before: Sequence[Sale] = ()) -> int:
        """Paul claims a voucher over `before` (claimed already) and `sales`; the claim's number."""
        everything = [*before, *sales]
        root = roots.receipts_root([sale.digest for sale in everything])
        amount = sum(sale.price for sale in everything)
        offer = sales[0].offer
        return self.claim(SESSION, PAUL, offer, self.voucher(self.channel, offer, amount, len(everything), root))

    def tie_of(self, claim: int, index: int, *sales: Sale) -> tuple[int, int, tuple[bytes, ...]]:
        """Where the receipt at `index` stands under a claim over all of `sales`."""
        return claim, index, merkle.prove([merkle.leaf_hash(sale.digest) for sale in sales], index)

    def ticket(self, sale: Sale, auditor: Key = WATCH, expiry: int | None = None) -> tuple[AuditTicket, bytes]:
        """Consent of Ann's gateway, signed."""
        ticket = AuditTicket(1, sale.digest, auditor.address, self.now + 1_000 if expiry is None else expiry)
        return ticket, SESSION.sign(ticket.digest(self.domain))

    def challenge(
        self,
        sale: Sale,
        by: Key = WATCH,
        basis: int = TICKET,
        consent: tuple[AuditTicket, bytes] | None = None,
        coin: bytes = ZERO32,
    ) -> bytes:
        """Opens a case, by default with a ticket."""
        if basis == TICKET and consent is None:
            consent = self.ticket(sale, by)
        ticket, signature = consent or (NO_TICKET, b"")
        signatures = (sale.order_signature, sale.receipt_signature)
        found: bytes = self.court.challenge(sale.exhibit, *signatures, basis, ticket, signature, coin, by=by)
        return found

    def seat(self, case: bytes) -> list[Key]:
        """Two blocks later anyone seats the jury."""
        self.turn(1)
        self.turn(1)
        self.court.seat(case, by=EVE)
        return self.jury(case)

    def jury(self, case: bytes) -> list[Key]:
        """Keys of the jurors, in the order of their seats."""
        keys = {auditor.address: auditor for auditor in AUDITORS}
        return [keys[address] for address in self.court.seats_of(case)]

    def open_up(self, case: bytes, by: Key = WATCH) -> None:
        """The opener posts what it has."""
        self.court.open_case(case, b"sealed", [b"key"] * len(self.court.seats_of(case)), by=by)

    def vote(self, case: bytes, juror: Key, outcome: int, run: bytes = b"\x05" * 32) -> Vote:
        """A vote, not yet committed."""
        return Vote(1, case, juror.address, outcome, b"\x06" * 32, run, sha256(juror.address.encode()))

    def commit(self, *votes: Vote) -> None:
        for vote in votes:
            self.court.commit(vote.case, vote.struct_hash(), by=vote.juror)

    def reveal(self, *votes: Vote) -> None:
        for vote in votes:
            self.court.reveal(vote, by=vote.juror)

    def opened(self, sale: Sale, by: Key = WATCH, tie: tuple[Any, ...] | None = None) -> bytes:
        """A case up to its opening, by ticket."""
        case = self.challenge(sale, by)
        if tie is not None:
            self.court.tie(case, tie, by=EVE)
        self.seat(case)
        self.open_up(case, by)
        return case

    def judged(self, case: bytes, outcomes: Sequence[int | None], runs: Mapping[int, bytes] | None = None) -> int:
        """Seat i votes outcomes[i] (None stays silent) with run digest runs[i]; settled; the outcome."""
        jury = self.jury(case)
        votes = [
            self.vote(case, jury[i], outcome, (runs or {}).get(i, b"\x05" * 32))
            for i, outcome in enumerate(outcomes)
            if outcome is not None
        ]
        self.commit(*votes)
        if len(votes) < len(jury):
            self.turn(self.rules.commit_window + 1)
        self.reveal(*votes)
        if len(votes) < len(jury):
            self.turn(self.rules.reveal_window)
        self.court.settle(case, by=EVE)
        return int(self.court.case_of(case)["outcome"])

    def twins(self, sale: Sale, signer: Key = PAUL, **changes: Any) -> tuple[Any, ...]:
        """Arguments of `convict_twice` but the tie: the sale and another receipt for its order."""
        other = replace(sale.receipt, **(changes or {"evidence_root": b"\x09" * 32}))
        signature = signer.sign(other.digest(self.domain))
        return sale.exhibit, sale.order_signature, sale.receipt_signature, other, signature

    def stake(self, sale: Sale, level: Level = Level.AUDITED) -> int:
        """s of rule M5."""
        scaled = -(-self.terms.multiple * sale.price * UNITS // self.terms.q_ppm)
        return 0 if level is Level.OPEN else max(self.terms.flat, scaled)

    def held(self, who: Key) -> int:
        return int(self.bonds.held(who.address))

    def gained(self, who: Key) -> int:
        """Credit in Bonds: what slashes have paid."""
        return int(self.bonds.credit(who.address))

    def check_nothing_left(self, case: bytes) -> None:
        """RUL-27: no reservation of Rulings on anyone, no hold on any claim, and Bonds' money adds up."""
        people = [PAUL, ANN, EVE, *AUDITORS]
        for who in people:
            assert self.bonds.reserved_by(who.address, self.court.address) == 0
        for claim in range(1, self.escrow.claim_count() + 1):
            assert self.escrow.claim_of(claim)["holds"] == 0
        assert self.token.balanceOf(self.bonds.address) == self.bonds.total() + self.bonds.owed()
        assert self.bonds.total() == sum(map(self.held, people))
        assert self.court.case_of(case)["stage"] == RULED
