"""Draws, tickets, packages, verdicts."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_gateway_answers import CHAT, HEADERS, play, post

from bazaar import AUDITOR, DOMAIN, NOW, SESSION, Bazaar, Notebook, Office, honest
from steelyard.market.ledger import Terms
from steelyard.nodes.gateway import drawing
from steelyard.protocol import merkle
from steelyard.protocol.errors import SteelyardError
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import AuditTicket, Offer, Order, Receipt, VerdictRecord
from steelyard.protocol.units import Seconds
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.claim import Claim, defect
from steelyard.wire.messages import (
    AuditPackage,
    Done,
    Inclusion,
    InclusionQuery,
    TicketNotice,
    VerdictNotice,
    sign_record,
    signature_of,
)
from steelyard.wire.peer import Peers

AUDITED: dict[str, Any] = {**CHAT, "provider": {"assurance": {"audit_rate": 1}}}
STRANGER = Key(sha256(b"stranger"))


def proven(notice: TicketNotice, key: Key = AUDITOR) -> TicketNotice:
    ticket = AuditTicket.from_json(notice.ticket.record)
    return TicketNotice(ticket=notice.ticket, proof="0x" + key.sign(ticket.digest(DOMAIN)).hex())


def verdict(receipt: bytes, outcome: Outcome, detail: str, key: Key = AUDITOR, name: Key = AUDITOR) -> VerdictNotice:
    record = VerdictRecord(
        version=1, receipt=receipt, auditor=name.address, outcome=int(outcome), detail=sha256(detail.encode())
    )
    return VerdictNotice(verdict=sign_record(record, key.sign(record.digest(DOMAIN))), detail=detail)


async def seen(bazaar: Bazaar, receipt: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.get(f"{bazaar.url}/v1/receipts/{receipt}") as response,
    ):
        return await response.json()  # type: ignore[no-any-return]


async def refused(work: Any) -> str:
    try:
        await work
    except SteelyardError as error:
        return error.rule
    return "not refused"


def test_the_buyers_own_rate_draws_and_the_auditor_gets_a_ticket_and_the_package(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, answer, _ = await post(bazaar, AUDITED)
        await bazaar.settled()
        [notice] = bazaar.office.tickets
        assert notice.source == bazaar.url
        async with Peers() as peers:
            package = await peers.post(bazaar.url, "audits", proven(notice), AuditPackage)
        claim = Claim(
            domain=DOMAIN,
            session_key=SESSION.address,
            model_root=bazaar.sellers[0].engine.card.model_root,
            offer=Offer.from_json(package.offer.record),
            offer_signature=signature_of(package.offer),
            order=Order.from_json(package.order.record),
            order_signature=signature_of(package.order),
            receipt=Receipt.from_json(package.receipt.record),
            receipt_signature=signature_of(package.receipt),
            prompt=tuple(package.prompt),
            prompt_salt=bytes.fromhex(package.prompt_salt[2:]),
            answer=tuple(package.answer),
            answer_salt=bytes.fromhex(package.answer_salt[2:]),
        )
        assert defect(claim) is None
        assert package.provider_url == bazaar.sellers[0].url
        assert package.answer == answer["receipt"]["answer"]

    play(tmp_path, story)


@pytest.mark.parametrize(("rate", "drawn"), [(1_000_000, 3), (0, 0)])
def test_the_coin_draws_at_the_rate_of_the_chain(tmp_path: Path, rate: int, drawn: int) -> None:
    async def story(bazaar: Bazaar) -> None:
        for _ in range(3):
            await post(bazaar, CHAT)
        await bazaar.settled()
        assert len(bazaar.office.tickets) == drawn

    play(tmp_path, story, ledger=Notebook(terms=Terms(rate, Seconds(600), Seconds(60))))


def test_an_answer_of_level_open_is_never_drawn(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        body = {**CHAT, "provider": {"assurance": {"level": "open", "audit_rate": 1}}}
        assert (await post(bazaar, body))[0] == 200
        await bazaar.settled()
        assert bazaar.office.tickets == []

    play(tmp_path, story, honest(1, level=1))


def test_a_package_is_for_the_tickets_holder_only(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, AUDITED)
        await bazaar.settled()
        [notice] = bazaar.office.tickets
        ticket = AuditTicket.from_json(notice.ticket.record)
        late = AuditTicket(version=1, receipt=ticket.receipt, auditor=ticket.auditor, expiry=NOW)
        other = AuditTicket(version=1, receipt=bytes(32), auditor=ticket.auditor, expiry=NOW + 9)

        def signed(record: AuditTicket, key: Key) -> TicketNotice:
            return proven(TicketNotice(ticket=sign_record(record, key.sign(record.digest(DOMAIN)))))

        async with Peers() as peers:
            rules = [
                await refused(peers.post(bazaar.url, "audits", bad, AuditPackage))
                for bad in (
                    notice,
                    proven(notice, STRANGER),
                    signed(ticket, STRANGER),
                    signed(late, SESSION),
                    signed(other, SESSION),
                )
            ]
        assert rules == ["ticket.proof", "signature", "signature", "ticket.expired", "receipt.unknown"]

    play(tmp_path, story)


def test_a_verdict_is_kept_if_its_auditor_held_the_ticket_and_a_cheat_cools_the_provider(tmp_path: Path) -> None:
    good, bad = honest(2, price=2_000_000), honest(1, price=1)

    async def story(bazaar: Bazaar) -> None:
        body = {**CHAT, "provider": {"sort": "price", "assurance": {"audit_rate": 1}}}
        _, _, headers = await post(bazaar, body)
        await bazaar.settled()
        name = headers["x-receipt-id"]
        receipt = bytes.fromhex(name[2:])
        shown = await seen(bazaar, name)
        assert shown["audits"] == [{"auditor": AUDITOR.address, "state": "told"}]
        order = shown["document"]["order"]["record"]
        window = bazaar.ledger.terms.challenge_window
        assert (shown["standing"], shown["final_at"]) == ("provisional", int(order["deadline"]) + window)
        cheat = verdict(receipt, Outcome.CHEATED, "evidence: unit 3")
        async with Peers() as peers:
            rules = [
                await refused(peers.post(bazaar.url, "verdicts", notice, Done))
                for notice in (
                    verdict(receipt, Outcome.CHEATED, "x", key=STRANGER),
                    verdict(receipt, Outcome.CHEATED, "x", key=STRANGER, name=STRANGER),
                    verdict(bytes(32), Outcome.CHEATED, "x"),
                    VerdictNotice(verdict=cheat.verdict, detail="something else"),
                    cheat,
                    cheat,
                    verdict(receipt, Outcome.HONEST, "on second thought"),
                )
            ]
        assert rules == ["signature", "ticket.unknown", "ticket.unknown", "verdict.detail", *["not refused"] * 3]
        shown = await seen(bazaar, name)
        assert shown["standing"] == "challenged"
        [audit] = shown["audits"]
        assert (audit["state"], audit["outcome"], audit["detail"]) == ("answered", "cheated", "evidence: unit 3")
        assert audit["verdict"]["record"]["auditor"] == AUDITOR.address
        _, answer, _ = await post(bazaar, body)
        assert answer["provider"] == good.key.address

    play(tmp_path, story, bad, good)


def test_an_inclusion_proves_a_receipt_under_every_later_root(tmp_path: Path) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        for _ in range(3):
            await post(bazaar, CHAT)
            await bazaar.settled()
        async with Peers() as peers:
            for voucher in seller.vouchers:
                for index in range(voucher.count):
                    receipt = seller.paid[index]
                    query = InclusionQuery(receipt="0x" + receipt.hex(), count=voucher.count)
                    found = await peers.post(bazaar.url, "inclusions", query, Inclusion)
                    path = [bytes.fromhex(part[2:]) for part in found.path]
                    leaf = merkle.leaf_hash(receipt)
                    assert merkle.verify(voucher.receipts_root, voucher.count, found.index, leaf, path)
            for receipt, count in ((seller.paid[2], 2), (seller.paid[0], 4), (bytes(32), 1)):
                query = InclusionQuery(receipt="0x" + receipt.hex(), count=count)
                assert await refused(peers.post(bazaar.url, "inclusions", query, Inclusion)) == "receipt.unknown"

    play(tmp_path, story, seller)


def test_a_deaf_auditor_is_asked_again_and_then_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "FIRST_WAIT", 0.01)
    office = Office(deaf=2)

    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, AUDITED)
        await bazaar.settled()
        assert len(office.tickets) == 1
        office.deaf = 99
        _, _, headers = await post(bazaar, AUDITED)
        await bazaar.settled()
        assert (await seen(bazaar, headers["x-receipt-id"]))["audits"] == [
            {"auditor": AUDITOR.address, "state": "passed-on"}
        ]

    play(tmp_path, story, office=office)
