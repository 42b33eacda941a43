"""A town with auditors, a gateway and a provider that are dictionaries, a court and a ledger in memory.

Everything around an auditor is a toy; the auditor itself is the real one over a real journal.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from claims import DOMAIN, PROVIDER, SESSION, Stall
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.base import Engine
from steelyard.market.cases import Stage
from steelyard.market.journal import Journal
from steelyard.market.ledger import Channel, Model
from steelyard.market.ledger import Claim as Paid
from steelyard.market.toy_cases import Court, ToyCases
from steelyard.nodes.auditor import notes, tickets
from steelyard.nodes.auditor.bench import Bench
from steelyard.nodes.auditor.desk import Desk, Tries
from steelyard.nodes.auditor.node import Node
from steelyard.nodes.auditor.settings import Settings
from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.games import View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.moves import Appeal, Begin, BeginEarly, Move
from steelyard.protocol.records import AuditTicket, VerdictRecord
from steelyard.protocol.roots import receipts_root
from steelyard.verification.claim import Claim
from steelyard.wire.messages import (
    PATHS,
    AuditPackage,
    CancelQuery,
    Done,
    Inclusion,
    InclusionQuery,
    Message,
    Signed,
    TicketNotice,
    VerdictNotice,
    open_signed,
    sign_record,
)

TOY = Alphabet()
STALL = Stall(TOY.card.model_root)
GATEWAY, SHOP = "http://gateway.test", "http://provider.test"
KEYS = [Key(sha256(b"auditor %d" % i)) for i in range(4)]
NOW = 1_800_000_000
PROMPT = tuple(b"what is it")
ORDER = STALL.order(PROMPT)


class Killed(BaseException):
    """kill -9: nothing may catch it."""


@dataclass
class Killer:
    """Kills at the n-th use of a port, before or after it took effect."""

    at: int = -1
    after: bool = False
    uses: int = 0

    def around(self, act: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.uses += 1
        if self.uses == self.at and not self.after:
            raise Killed
        result = act(*args, **named)
        if self.uses == self.at:
            raise Killed
        return result


ACTS = frozenset(
    {
        "write",
        "post",
        "post_maybe",
        "join",
        "challenge",
        "convict_twice",
        "prove",
        "seat",
        "open_case",
        "tie",
        "commit",
        "reveal",
    }
    | {"settle"}
)  # what others can see; to be killed while reading is to be killed before the next of these


class NoGames:
    """A chain on which nobody plays."""

    def view(self, case: bytes) -> None:
        """There is none."""

    def news(self, cursor: int) -> tuple[tuple[bytes, ...], int]:
        """Nothing."""
        return (), cursor

    def play(self, move: object) -> None:
        """Refused."""
        raise Refused("games.stage", f"{type(move).__name__} in no game")


class Deadly:
    """A port whose every act may be the last."""

    def __init__(self, port: Any, killer: Killer) -> None:
        self._port, self._killer = port, killer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in ACTS:
            return found
        return lambda *args, **named: self._killer.around(found, *args, **named)


@dataclass
class ToyLedger:
    """What auditors ask of `market.ledger.Ledger`."""

    clock: Callable[[], int]
    paid: list[Paid] = field(default_factory=list)
    bonds: dict[str, int] = field(default_factory=dict)
    collected: list[str] = field(default_factory=list)
    account: str = ""
    domain = DOMAIN

    def now(self) -> int:
        return self.clock()

    def channel(self, key: bytes) -> Channel | None:
        if key != ORDER.channel:
            return None
        return Channel(key, SESSION.address, SESSION.address, 0, 0, 0, 0, 0, 0, False)  # type: ignore[arg-type]

    def model(self, key: bytes) -> Model | None:
        registration = STALL.registration
        return Model(key, registration, "alphabet", "") if key == registration.struct_hash() else None

    def claims(self, provider: str) -> list[Paid]:
        return [paid for paid in self.paid if paid.provider == provider]

    def providers(self) -> list[tuple[str, str]]:
        return [(PROVIDER.address, SHOP)]

    def free_bond(self, account: str) -> int:
        return self.bonds.get(account, 0)

    def deposit_bond(self, amount: int) -> None:
        self.bonds[self.account] = self.bonds.get(self.account, 0) + amount

    def collect(self) -> None:
        self.collected.append(self.account)


def package_of(claim: Claim, **changes: object) -> AuditPackage:
    """The claim as a gateway serves it."""
    cancel = claim.cancel and sign_record(claim.cancel, claim.cancel_signature or b"")
    package = AuditPackage(
        offer=sign_record(claim.offer, claim.offer_signature),
        order=sign_record(claim.order, claim.order_signature),
        receipt=sign_record(claim.receipt, claim.receipt_signature),
        prompt=list(claim.prompt),
        prompt_salt="0x" + claim.prompt_salt.hex(),
        answer=list(claim.answer),
        answer_salt="0x" + claim.answer_salt.hex(),
        logprobs=[list(row) for row in claim.logprobs],
        cancel=cancel,
        provider_url=SHOP,
    )
    return msgspec.structs.replace(package, **changes)


@dataclass
class ToyRoad:
    """A gateway and a provider behind their URLs."""

    gateway: AuditPackage | None = None
    """None: it does not answer."""
    provider: AuditPackage | None = None
    cancel: Signed | None = None
    """What the provider says when asked which cancel it obeyed."""
    provider_speaks: bool = True
    receipts: list[bytes] = field(default_factory=list)
    """Under the gateway's vouchers."""
    told: list[VerdictNotice] = field(default_factory=list)
    domain: Domain = DOMAIN

    def post(self, base: str, path: str, message: Message, kind: type) -> Any:
        assert path in PATHS
        answer = self._answer(base, message)
        assert isinstance(answer, kind)
        return answer

    def post_maybe(self, base: str, path: str, message: Message, kind: type) -> Any:
        assert (base, path) == (SHOP, "cancel_of")
        assert isinstance(message, CancelQuery)
        if not self.provider_speaks:
            raise Unavailable("peer.unreachable", base)
        return self.cancel

    def _answer(self, base: str, message: Message) -> Message:
        if isinstance(message, TicketNotice):
            served = self.gateway if base == GATEWAY else self.provider
            ticket = open_signed(message.ticket, AuditTicket, self.domain, SESSION.address)
            assert message.proof == "0x" + _key(ticket.auditor).sign(ticket.digest(self.domain)).hex()
            if served is None:
                raise Unavailable("peer.unreachable", base)
            return served
        if isinstance(message, InclusionQuery):
            receipt, under = bytes.fromhex(message.receipt[2:]), self.receipts[: message.count]
            if receipt not in under:
                raise Refused("receipt.unknown", message.receipt)
            index = under.index(receipt)
            path = merkle.prove([merkle.leaf_hash(r) for r in under], index)
            return Inclusion(index=index, path=["0x" + sibling.hex() for sibling in path])
        assert isinstance(message, VerdictNotice)
        self.told.append(message)
        return Done()


def _key(address: str) -> Key:
    return next(key for key in KEYS if key.address == address)


@dataclass
class ToyGames:
    """`market.games.Games` in memory, without rules: what it shows is put there, what is played is kept. A move that
    opens a game takes the case from the jury."""

    court: Court
    views: dict[bytes, View] = field(default_factory=dict)
    played: list[Move] = field(default_factory=list)

    def view(self, case: bytes) -> View | None:
        return self.views.get(case)

    def news(self, cursor: int) -> tuple[list[bytes], int]:
        del cursor
        return list(self.views), 0

    def play(self, move: Move) -> None:
        self.played.append(move)
        if isinstance(move, Begin | BeginEarly | Appeal):
            self.court.put(replace(self.court.cases[move.case], stage=Stage.PLAYING))


@dataclass
class Town:
    """Four auditors with all that is around them."""

    folder: Path
    now: int = NOW
    engines: dict[int, Callable[[], list[Engine]]] = field(default_factory=dict)
    """Auditor -> its engines, where they are not the honest toy."""
    road: ToyRoad = field(default_factory=ToyRoad)
    court: Court = field(init=False)
    games: ToyGames = field(init=False)
    ledgers: list[ToyLedger] = field(init=False)
    nodes: list[Node] = field(default_factory=list)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __post_init__(self) -> None:
        self.court = Court(DOMAIN, lambda: self.now)
        self.games = ToyGames(self.court)
        self.ledgers = [ToyLedger(lambda: self.now, account=key.address) for key in KEYS]
        self.nodes = [self.auditor(i) for i in range(len(KEYS))]

    def settings(self, i: int) -> Settings:
        return Settings(
            key=KEYS[i],
            data=self.folder,
            deployment=self.folder,
            rpc_url="",
            models=(),
            port=9000 + i,
            tie_patience=10.0,
            settle_patience=5.0,
            max_waiting=8,
        )

    def auditor(self, i: int, killer: Killer | None = None) -> Node:
        """Auditor `i`, started on its own journal."""
        made = self.engines.get(i, lambda: [TOY])()
        journal: Any = Journal(self.folder / f"{i}.sqlite")
        cases: Any = ToyCases(self.court, KEYS[i].address)
        road: Any = self.road
        if killer is not None:
            journal, cases, road = Deadly(journal, killer), Deadly(cases, killer), Deadly(road, killer)
        ledger: Any = self.ledgers[i]
        ports = journal, ledger, cases, self.games, road, Bench(made)
        desk = Desk(self.settings(i), DOMAIN, *ports, lambda: float(self.now))
        return Node(desk, Tries(lambda: float(self.now)))

    def restart(self, i: int, killer: Killer | None = None) -> None:
        """Kills auditor `i` where it stands and starts it again."""
        journal = self.nodes[i].desk.journal
        (journal._port if isinstance(journal, Deadly) else journal).close()
        self.nodes[i] = self.auditor(i, killer)

    def close(self) -> None:
        self.pool.shutdown()
        for node in self.nodes:
            journal: Any = node.desk.journal
            (journal._port if isinstance(journal, Deadly) else journal).close()

    def ticket(self, claim: Claim, auditor: int = 0, signer: Key = SESSION, seconds: int = 3600) -> TicketNotice:
        ticket = AuditTicket(1, claim.receipt_digest(), KEYS[auditor].address, self.now + seconds)
        return TicketNotice(ticket=sign_record(ticket, signer.sign(ticket.digest(DOMAIN))), source=GATEWAY)

    def pay(self, claim: Claim) -> None:
        """The provider claims: the receipt stands third under a claim of three."""
        self.road.receipts = [sha256(b"a"), sha256(b"b"), claim.receipt_digest()]
        root, order = receipts_root(self.road.receipts), claim.order
        self.court.claims = {1: (sha256(b"old"), 1), 2: (root, 3)}
        about: Any = (order.channel, order.offer, PROVIDER.address, order.registration, "vesting", 0, 9, 9, 0)
        for ledger in self.ledgers:
            ledger.paid = [Paid(1, *about, 0, 1, sha256(b"old")), Paid(2, *about, 1, 3, root)]

    def tick(self, *only: int) -> None:
        """One round of every auditor (or of some), one second later."""
        for i in only or range(len(self.nodes)):
            self.nodes[i].audit_once()
            self.nodes[i].accuse_once()
            self.nodes[i].sit_once()
            self.nodes[i].play_once(self.pool)
        self.now += 1

    def run(self, rounds: int = 60) -> None:
        for _ in range(rounds):
            self.tick()

    def note(self, auditor: int = 0) -> notes.TicketNote:
        """The only ticket of an auditor."""
        (found,) = self.nodes[auditor].desk.journal.scan(notes.TICKET)
        return notes.read(found, notes.TicketNote)

    def states(self, auditor: int = 0) -> list[str]:
        return [found.state for found in self.nodes[auditor].desk.journal.scan(notes.TICKET)]

    def verdict(self) -> tuple[VerdictRecord, str]:
        """The last verdict that the gateway was told, its signature checked."""
        notice = self.road.told[-1]
        address = VerdictRecord.from_json(notice.verdict.record).auditor
        return open_signed(notice.verdict, VerdictRecord, DOMAIN, address), notice.detail


def serve(town: Town, claim: Claim, *, own: Claim | None = None, auditor: int = 0) -> None:
    """The gateway serves the claim, the provider its own copy (or `own`), and auditor 0 has a ticket."""
    town.road.gateway = package_of(claim)
    town.road.provider = package_of(own or claim)
    document = tickets.accept(town.nodes[auditor].desk, town.ticket(claim, auditor))
    assert document is not None
    journal: Any = town.nodes[auditor].desk.journal
    journal.write(document)
