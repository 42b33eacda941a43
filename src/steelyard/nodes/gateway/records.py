"""What the gateway writes down before it speaks (rule M12), and how it reads it again after a kill.

Documents: `order` by order digest, in the states of `market.lifecycle`; `receipt` by receipt digest; `answer` by the
id under which a client knows it; `fault` by order digest. Vouchers and what they pay are the till's; tickets and
verdicts are drawing's.
"""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from steelyard.market.journal import Document, Journal
from steelyard.market.lifecycle import State
from steelyard.nodes.gateway.purchase import Bought, Placed
from steelyard.nodes.gateway.routing import Listed
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import SteelyardError, Unavailable
from steelyard.protocol.records import Offer, Order, Receipt
from steelyard.protocol.units import MicroToken
from steelyard.wire.messages import Signed
from steelyard.wire.receipts import FORMAT, DomainDocument, ReceiptDocument

B = TypeVar("B", bound=msgspec.Struct)

ABSENT = "absent"


class OrderBody(msgspec.Struct, frozen=True):
    """An order as it was sent."""

    buyer: str
    """Name of the API key."""
    request: str
    """Id under which the client knows the answer."""
    url: str
    model: str
    model_root: str
    offer: Signed
    order: Signed
    prompt: list[int]
    salt: str
    coin: str
    grammar: str = ""
    audit_rate: float = 0.0


class ReceiptBody(msgspec.Struct, frozen=True):
    """A receipt that matched what was delivered."""

    order: str
    """Digest, 0x-hex."""
    buyer: str
    request: str
    receipt: Signed
    answer: list[int]
    salt: str
    finish: str
    price: int
    at: float
    """Unix seconds."""
    cancel: Signed | None = None
    logprobs: list[tuple[int, ...]] = []


class FaultBody(msgspec.Struct, frozen=True):
    """What a provider did wrong."""

    provider: str
    url: str
    rule: str
    detail: str
    at: float


def hexed(raw: bytes) -> str:
    """0x-hex."""
    return "0x" + raw.hex()


class Records:
    """Reads and writes them."""

    def __init__(self, journal: Journal, domain: Domain) -> None:
        self.journal, self.domain = journal, domain

    async def ordered(self, placed: Placed, *, buyer: str, request: str, audit_rate: float) -> None:
        """Before an order leaves."""
        body = OrderBody(
            buyer=buyer,
            request=request,
            url=placed.listed.url,
            model=placed.listed.model,
            model_root=hexed(placed.listed.model_root),
            offer=placed.listed.signed,
            order=placed.signed,
            prompt=list(placed.prompt),
            salt=hexed(placed.salt),
            coin=hexed(placed.coin),
            grammar=placed.grammar.decode(),
            audit_rate=audit_rate,
        )
        await self.journal.commit(_document("order", placed.digest, State.ASSIGNED, body, ABSENT))

    async def delivered(self, bought: Bought, *, now: float) -> None:
        """Before a receipt is paid for."""
        kept = self.order(bought.placed.digest)
        assert kept is not None, "journalled before it was sent"
        body = ReceiptBody(
            order=hexed(bought.placed.digest),
            buyer=kept.buyer,
            request=kept.request,
            receipt=bought.signed,
            answer=list(bought.answer),
            salt=hexed(bought.salt),
            finish=bought.finish,
            price=int(bought.price),
            at=now,
            cancel=bought.cancel,
            logprobs=list(bought.logprobs),
        )
        await self.journal.commit(
            _document("order", bought.placed.digest, State.DELIVERED, kept, State.ASSIGNED),
            _document("receipt", bought.digest, "", body, ABSENT),
            Document("answer", kept.request.encode(), "", bought.digest),
            Document("order-receipt", bought.placed.digest, "", bought.digest),
        )

    async def failed(self, placed: Placed, error: SteelyardError, *, now: float) -> None:
        """No valid receipt came: unpaid, and why."""
        listed = placed.listed
        kept = self.order(placed.digest)
        assert kept is not None, "journalled before it was sent"
        fault = FaultBody(listed.provider, listed.url, error.rule, error.detail, now)
        await self.journal.commit(
            _document("order", placed.digest, State.EXPIRED, kept, State.ASSIGNED),
            _document("fault", placed.digest, error.rule, fault),
        )

    def settled(self, order: bytes) -> Document:
        """The order's document once a voucher pays it: written together with the voucher."""
        kept = self.order(order)
        assert kept is not None, "journalled before it was sent"
        return _document("order", order, State.SETTLED, kept, State.DELIVERED)

    def order(self, digest: bytes) -> OrderBody | None:
        """An order's body."""
        found = self.journal.get("order", digest)
        return None if found is None else _read(found, OrderBody)

    def receipt(self, digest: bytes) -> ReceiptBody | None:
        """A receipt's body."""
        found = self.journal.get("receipt", digest)
        return None if found is None else _read(found, ReceiptBody)

    def receipt_of_answer(self, request: str) -> bytes | None:
        """Digest of the receipt of an answer, by the id that the client knows."""
        found = self.journal.get("answer", request.encode())
        return None if found is None else found.body

    def in_state(self, state: State) -> Iterator[tuple[bytes, OrderBody]]:
        """Orders in a state, the oldest first."""
        for document in self.journal.scan("order", state):
            yield document.key, _read(document, OrderBody)

    def spent_since(self, since: float) -> dict[str, int]:
        """Micro-tokens bought since then, by API key."""
        spent: dict[str, int] = {}
        for document in self.journal.scan("receipt"):
            body = _read(document, ReceiptBody)
            if body.at >= since:
                spent[body.buyer] = spent.get(body.buyer, 0) + body.price
        return spent

    def placed(self, digest: bytes, body: OrderBody) -> Placed:
        """An order as it was before the kill."""
        offer = Offer.from_json(body.offer.record)
        listed = Listed(
            offer=offer,
            digest=offer.digest(self.domain),
            signed=body.offer,
            url=body.url,
            model=body.model,
            model_root=read_hex("model_root", body.model_root, 32),
        )
        return Placed(
            listed=listed,
            order=Order.from_json(body.order.record),
            digest=digest,
            signed=body.order,
            prompt=tuple(body.prompt),
            grammar=body.grammar.encode(),
            salt=read_hex("salt", body.salt, 32),
            coin=read_hex("coin", body.coin, 32),
        )

    def bought_by_order(self, order: bytes) -> Bought | None:
        """The receipt that came for an order."""
        found = self.journal.get("order-receipt", order)
        return None if found is None else self.bought(found.body)

    def bought(self, digest: bytes) -> Bought | None:
        """A receipt, with its order, as it was before the kill."""
        body = self.receipt(digest)
        order = None if body is None else self.order(read_hex("order", body.order, 32))
        if body is None or order is None:
            return None
        return Bought(
            placed=self.placed(read_hex("order", body.order, 32), order),
            receipt=Receipt.from_json(body.receipt.record),
            digest=digest,
            signed=body.receipt,
            answer=tuple(body.answer),
            salt=read_hex("salt", body.salt, 32),
            finish=body.finish,
            price=MicroToken(body.price),
            cancel=body.cancel,
            logprobs=tuple(body.logprobs),
        )


def document_of(bought: Bought, domain: Domain) -> ReceiptDocument:
    """What the buyer keeps."""
    return ReceiptDocument(
        format=FORMAT,
        model=bought.placed.listed.model,
        domain=DomainDocument(chain_id=domain.chain_id, escrow=domain.escrow),
        offer=bought.placed.listed.signed,
        order=bought.placed.signed,
        receipt=bought.signed,
        prompt=list(bought.placed.prompt),
        prompt_salt=hexed(bought.placed.salt),
        answer=list(bought.answer),
        answer_salt=hexed(bought.salt),
        grammar=bought.placed.grammar.decode(),
        logprobs=[list(row) for row in bought.logprobs],
        cancel=bought.cancel,
    )


def _document(kind: str, key: bytes, state: str, body: msgspec.Struct, expect: str | None = None) -> Document:
    return Document(kind, key, str(state), msgspec.json.encode(body), None if expect is None else str(expect))


def _read(document: Document, kind: type[B]) -> B:
    try:
        return msgspec.json.decode(document.body, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable("journal.document", f"{document.kind} 0x{document.key.hex()}: {error}") from error
