"""Which receipts are audited, by whom, and what came of it (rules M9, M10).

The coin in the order gives the level's minimum rate; how much more the buyer draws never leaves this module. A ticket
is a document before it is sent, so a restart goes on where a kill stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from steelyard.market.journal import Document
from steelyard.market.ledger import Auditor
from steelyard.nodes.gateway.book import Book
from steelyard.nodes.gateway.purchase import Bought
from steelyard.nodes.gateway.records import Records, hexed
from steelyard.nodes.gateway.routing import Chance
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import Malformed, Refused, SteelyardError
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key, checksum, require_signer
from steelyard.protocol.records import AuditTicket, Level, VerdictRecord
from steelyard.protocol.roots import coin_draws
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome
from steelyard.wire.messages import (
    AuditPackage,
    Done,
    Signed,
    TicketNotice,
    VerdictNotice,
    open_signed,
    sign_record,
    signature_of,
)
from steelyard.wire.peer import Peers

OPEN, TOLD, ANSWERED, EXPIRED, PASSED_ON = "open", "told", "answered", "expired", "passed-on"
MOST_TRIES: Final = 5  # of one auditor, before another is asked
MOST_AUDITORS: Final = 4
FIRST_WAIT: Final = 0.5  # seconds, doubled after each try

log = logging.getLogger("steelyard.gateway")


class TicketBody(msgspec.Struct, frozen=True):
    """A ticket and who was asked."""

    ticket: Signed
    auditor: str
    url: str
    asked: list[str]
    """Auditors that were asked before and could not be reached."""


class VerdictBody(msgspec.Struct, frozen=True):
    """What an auditor answered."""

    verdict: Signed
    auditor: str
    outcome: str
    detail: str
    case: str | None
    at: float


class Drawing:
    """Draws, tickets, packages, verdicts. `source`: URL under which auditors reach this gateway."""

    def __init__(
        self,
        *,
        records: Records,
        book: Book,
        peers: Peers,
        session: Key,
        domain: Domain,
        source: str,
        rate_ppm: int,
        ticket_seconds: int,
        chance: Chance,
        clock: Callable[[], float],
        cheated: Callable[[Bought, str], Awaitable[None]],
    ) -> None:
        self.records, self.book, self.peers, self.session, self.domain = records, book, peers, session, domain
        self.journal = records.journal
        self.source, self.rate_ppm, self.ticket_seconds = source, rate_ppm, ticket_seconds
        self.chance, self.clock, self.cheated = chance, clock, cheated

    # -- drawing ---------------------------------------------------------------------------------------------------

    async def decide(self, bought: Bought, audit_rate: float) -> TicketBody | None:
        """Looks at the coin and at the buyer's own rate; journals a ticket if the receipt is drawn. To be called before
        the receipt is paid, so that a kill between the two loses no draw: decided again, it changes nothing."""
        if bought.placed.order.level <= Level.OPEN or self.journal.get("drawn", bought.digest) is not None:
            return None
        minimum = coin_draws(bought.placed.coin, bought.digest, self.rate_ppm)
        if minimum | (self.chance() < audit_rate):
            return await self._sign(bought, [])
        return None

    async def _sign(self, bought: Bought, asked: list[str]) -> TicketBody | None:
        """A journalled ticket for an auditor picked at random, none of those asked before."""
        auditor = self._pick(bought.placed.listed.provider, asked)
        if auditor is None:
            log.warning("receipt %s is drawn, and no auditor can be asked (%d tried)", hexed(bought.digest), len(asked))
            return None
        expiry = int(self.book.now()) + self.ticket_seconds
        ticket = AuditTicket(version=AuditTicket.VERSION, receipt=bought.digest, auditor=auditor.address, expiry=expiry)
        signed = sign_record(ticket, self.session.sign(ticket.digest(self.domain)))
        body = TicketBody(signed, auditor.address, auditor.url, asked)
        index = Document("drawn", bought.digest, "", bytes.fromhex(auditor.address[2:]))
        await self.journal.commit(_ticket_document(bought.digest, OPEN, body), index)
        return body

    def _pick(self, provider: Address, asked: list[str]) -> Auditor | None:
        if len(asked) >= MOST_AUDITORS:
            return None
        able = [a for a in self.book.chain.auditors if a.address != provider and a.address not in asked and a.url]
        return able[int(self.chance() * len(able))] if able else None

    async def bring(self, bought: Bought, body: TicketBody | None) -> None:
        """Posts a ticket with patience; when an auditor cannot be reached, another is asked."""
        while body is not None:
            if await self._posted(body):
                await self._move(bought.digest, body, TOLD)
                return
            await self._move(bought.digest, body, PASSED_ON)
            body = await self._sign(bought, [*body.asked, body.auditor])

    async def _posted(self, body: TicketBody) -> bool:
        wait = FIRST_WAIT
        for _ in range(MOST_TRIES):
            try:
                await self.peers.post(body.url, "tickets", TicketNotice(ticket=body.ticket, source=self.source), Done)
            except SteelyardError as error:
                log.warning("ticket for %s: %s", body.auditor, error)
                await asyncio.sleep(wait)
                wait *= 2
            else:
                return True
        return False

    async def _move(self, receipt: bytes, body: TicketBody, state: str) -> None:
        """A verdict may have been faster than the answer to the ticket: it stands."""
        try:
            await self.journal.commit(_ticket_document(receipt, state, body, OPEN))
        except Refused as error:
            log.debug("%s", error)

    async def resume(self) -> None:
        """Brings the tickets that a kill left open."""
        for document in self.journal.scan("ticket", OPEN):
            body = msgspec.json.decode(document.body, type=TicketBody)
            bought = self.records.bought(document.key[:32])
            if bought is None or AuditTicket.from_json(body.ticket.record).expiry <= self.book.now():
                await self._move(document.key[:32], body, EXPIRED)
            else:
                await self.bring(bought, body)

    # -- what auditors ask -----------------------------------------------------------------------------------------

    def package(self, notice: TicketNotice) -> AuditPackage:
        """All that a replay needs, for the ticket's holder. Raises Refused `signature`, `ticket.expired`,
        `ticket.proof`, `receipt.unknown`."""
        # REFUSE
        ticket = open_signed(notice.ticket, AuditTicket, self.domain, self.session.address)
        if notice.proof is None:
            raise Refused("ticket.proof", "none: sign the ticket's digest with the auditor's key")
        proof = read_hex("proof", notice.proof, 65)
        require_signer(ticket.digest(self.domain), proof, ticket.auditor, "proof")
        if ticket.expiry <= self.book.now():
            raise Refused("ticket.expired", f"at {ticket.expiry}, now {self.book.now():.0f}")
        bought = self.records.bought(ticket.receipt)
        if bought is None:
            raise Refused("receipt.unknown", hexed(ticket.receipt))
        # COMPUTE
        placed = bought.placed
        return AuditPackage(
            offer=placed.listed.signed,
            order=placed.signed,
            receipt=bought.signed,
            prompt=list(placed.prompt),
            prompt_salt=hexed(placed.salt),
            answer=list(bought.answer),
            answer_salt=hexed(bought.salt),
            grammar=placed.grammar.decode(),
            logprobs=[list(row) for row in bought.logprobs],
            cancel=bought.cancel,
            provider_url=placed.listed.url,
        )

    async def verdict(self, notice: VerdictNotice) -> None:
        """Keeps a verdict of the ticket's auditor; repeating it is harmless. Raises Refused `ticket.unknown`,
        `signature`, `verdict.detail`."""
        # REFUSE
        found = VerdictRecord.from_json(notice.verdict.record)
        require_signer(found.digest(self.domain), signature_of(notice.verdict), found.auditor, "verdict")
        ticket = self.journal.get("ticket", _key(found.receipt, found.auditor))
        if ticket is None:
            raise Refused("ticket.unknown", f"none for {found.auditor} over {hexed(found.receipt)}")
        if sha256(notice.detail.encode()) != found.detail:
            raise Refused("verdict.detail", "the text is not what was signed")
        if found.outcome not in set(Outcome):
            raise Malformed("verdict.outcome", f"{found.outcome}")
        kept = self.journal.get("verdict", ticket.key)
        if kept is not None and msgspec.json.decode(kept.body, type=VerdictBody).outcome == "cheated":
            return
        # WRITE
        outcome = Outcome(found.outcome)
        body = VerdictBody(
            verdict=notice.verdict,
            auditor=found.auditor,
            outcome=outcome.name.lower(),
            detail=notice.detail,
            case=notice.case,
            at=self.clock(),
        )
        await self.journal.commit(
            Document("verdict", ticket.key, body.outcome, msgspec.json.encode(body)),
            Document("ticket", ticket.key, ANSWERED, ticket.body),
        )
        # TELL
        bought = self.records.bought(found.receipt)
        if outcome is Outcome.CHEATED and bought is not None:
            await self.cheated(bought, notice.detail)

    # -- what the buyer asks ---------------------------------------------------------------------------------------

    def seen(self, receipt: bytes) -> list[dict[str, object]]:
        """Who may have read the prompt, and what they said (rule M9): one entry per ticket."""
        told: list[dict[str, object]] = []
        for auditor in self._asked(receipt):
            ticket = self.journal.get("ticket", _key(receipt, auditor))
            if ticket is None:
                continue
            entry: dict[str, object] = {"auditor": auditor, "state": ticket.state}
            verdict = self.journal.get("verdict", ticket.key)
            if verdict is not None:
                body = msgspec.json.decode(verdict.body, type=VerdictBody)
                entry |= {"outcome": body.outcome, "detail": body.detail, "case": body.case, "at": body.at}
                entry["verdict"] = msgspec.to_builtins(body.verdict)
            told.append(entry)
        return told

    def _asked(self, receipt: bytes) -> list[Address]:
        """Every auditor that was ever named on a ticket for the receipt."""
        index = self.journal.get("drawn", receipt)
        if index is None:
            return []
        last = self.journal.get("ticket", receipt + index.body)
        assert last is not None, "written together"
        body = msgspec.json.decode(last.body, type=TicketBody)
        return [checksum(name) for name in (*body.asked, body.auditor)]


def _key(receipt: bytes, auditor: Address) -> bytes:
    return receipt + bytes.fromhex(auditor[2:])


def _ticket_document(receipt: bytes, state: str, body: TicketBody, expect: str | None = None) -> Document:
    return Document("ticket", _key(receipt, Address(body.auditor)), state, msgspec.json.encode(body), expect)
