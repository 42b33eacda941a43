"""The gateway's HTTP face: OpenAI's paths for the buyer's clients, `messages.PATHS` for auditors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from steelyard.nodes.gateway.completions import Completions
from steelyard.nodes.gateway.desk import Desk
from steelyard.nodes.gateway.records import document_of, hexed
from steelyard.nodes.gateway.resuming import resume
from steelyard.nodes.gateway.routing import Listed
from steelyard.protocol.eip712 import read_hex
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.records import Level, Order
from steelyard.wire import http
from steelyard.wire.answers import Model, Models, error_answer
from steelyard.wire.messages import PATHS, PREFIX, Done, InclusionQuery, TicketNotice, VerdictNotice

FINISH_SECONDS: Final = 5.0  # what runs in the background gets so long when the gateway is told to end
PER_TOKEN: Final = 10**12  # micro-tokens per million units -> whole tokens per unit


class Gateway:
    """A gateway that answers. `refresh_seconds`: between two looks at chain and providers."""

    def __init__(self, desk: Desk, completions: Completions, *, hosts: Collection[str], refresh_seconds: float) -> None:
        self.desk, self.completions = desk, completions
        self.refresh_seconds = refresh_seconds
        self.app: ASGIApp = http.app(self._routes(), tell=self.tell, hosts=hosts, lifespan=self.lifespan)

    def _routes(self) -> Sequence[Route]:
        post, get = ["POST"], ["GET"]
        return [
            Route("/v1/chat/completions", self.completions.chat, methods=post),
            Route("/v1/completions", self.completions.text, methods=post),
            Route("/v1/embeddings", self.embeddings, methods=post),
            Route("/v1/models", self.models, methods=get),
            Route("/v1/models/{name:path}", self.model, methods=get),
            Route("/v1/receipts/{name}", self.receipt, methods=get),
            Route("/health", self.health, methods=get),
            Route("/metrics", self.metrics, methods=get),
            Route(PATHS["audits"], self.audits, methods=post),
            Route(PATHS["inclusions"], self.inclusions, methods=post),
            Route(PATHS["verdicts"], self.verdicts, methods=post),
        ]

    # -- life ------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Resumes from the journal, looks at the market, and goes on looking."""
        del app
        desk = self.desk
        await desk.book.refresh()
        await resume(desk)
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await desk.finish(FINISH_SECONDS)
            await desk.peers.close()
            desk.book.close()
            desk.records.journal.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self.refresh_seconds)
            await self.desk.book.refresh()

    def tell(self, request: Request, error: SteelyardError) -> Response:
        """OpenAI's shape on OpenAI's paths, `Failure` between nodes. Once an order left, the client must not retry by
        itself: it might pay twice."""
        if request.url.path.startswith(PREFIX):
            return http.reply_failure(request, error)
        status, answer = error_answer(error)
        headers = {}
        worked = getattr(request.state, "worked", None)
        if worked is not None and worked():
            headers["x-should-retry"] = "false"
        elif status == 429:
            headers["retry-after"] = "1"
        elif status == 401:
            headers["www-authenticate"] = "Bearer"
        self.desk.metrics.request(_path(request), status)
        return Response(msgspec.json.encode(answer), status, headers, "application/json")

    # -- OpenAI's paths --------------------------------------------------------------------------------------------

    def _buyer(self, request: Request) -> str:
        return self.desk.till.spending.key_of(request.headers.get("authorization", "")).name

    async def embeddings(self, request: Request) -> Response:
        """No model offers them."""
        self._buyer(request)
        raise Refused("request.not-offered", "embeddings: no model here offers them yet")

    async def models(self, request: Request) -> Response:
        """Every model that can be bought now."""
        self._buyer(request)
        return _json(Models(data=[self._model(name) for name in sorted(self._sold())]))

    async def model(self, request: Request) -> Response:
        """One of them."""
        self._buyer(request)
        name = request.path_params["name"]
        if name not in self._sold():
            raise Refused("request.model", f"model: {name[:100]!r} is not sold here; known {sorted(self._sold())[:20]}")
        return _json(self._model(name))

    def _sold(self) -> set[str]:
        return {listed.model for listed in self.desk.book.listed()} & set(self.desk.texts)

    def _model(self, name: str) -> Model:
        known = self.desk.book.names()[name]
        offers = [listed for listed in self.desk.book.listed() if listed.model == name]
        return Model.of(
            id=name,
            created=0,  # a registration has no clock
            owned_by=known.registration.author,
            context_length=max(listed.offer.context_length for listed in offers),
            registration=hexed(known.id),
            model_root=hexed(known.registration.model_root),
            royalty_bps=known.registration.royalty_bps,
            endpoints=[self._endpoint(listed) for listed in offers],
        )

    def _endpoint(self, listed: Listed) -> dict[str, Any]:
        offer, health = listed.offer, self.desk.faults.health.get(listed.digest)
        return {
            "provider": listed.provider,
            "offer": hexed(listed.digest),
            "level": Level(offer.level).name.lower(),
            "pricing": {"prompt": _usd(offer.price_in), "completion": _usd(offer.price_out)},
            "context_length": offer.context_length,
            "max_completion_tokens": offer.max_units,
            "quantization": listed.quantization,
            "bond": str(listed.bond),
            "cooling_down": health is not None and health.bad_until > self.desk.timer(),
            "latency": None if health is None else health.latency,
            "throughput": None if health is None else health.throughput,
        }

    async def receipt(self, request: Request) -> Response:
        """A receipt by its digest (0x…) or by the answer's id, with its payment and its audits."""
        buyer, name = self._buyer(request), request.path_params["name"]
        records, till = self.desk.records, self.desk.till
        digest = read_hex("id", name, 32) if name.startswith("0x") else records.receipt_of_answer(name)
        body = None if digest is None else records.receipt(digest)
        bought = None if digest is None else records.bought(digest)
        if digest is None or body is None or bought is None or body.buyer != buyer:
            raise Refused("request.unknown-receipt", f"{name[:80]!r}")
        order = records.journal.get("order", bought.placed.digest)
        document = msgspec.to_builtins(document_of(bought, self.desk.draft.domain))
        return _json(
            {
                "id": hexed(digest),
                "object": "receipt",
                "answer_id": body.request,
                "model": bought.placed.listed.model,
                "provider": bought.placed.listed.provider,
                "provider_url": bought.placed.listed.url,
                "finish": body.finish,
                "price_micro": body.price,
                "state": None if order is None else order.state,
                "voucher": till.payment(digest),
                "audits": self.desk.drawing.seen(digest),
                **self._finality(digest, bought.placed.order),
                "document": document,
            }
        )

    def _finality(self, digest: bytes, order: Order) -> dict[str, Any]:
        """How long the answer can still be challenged, in Unix seconds of the chain (RUL-3), and what it is now."""
        final_at = order.deadline + self.desk.book.ledger.terms.challenge_window
        accused = any(audit.get("outcome") == "cheated" for audit in self.desk.drawing.seen(digest))
        standing = "challenged" if accused else "provisional" if self.desk.book.now() <= final_at else "final"
        return {"standing": standing if order.level > Level.OPEN else "final", "final_at": final_at}

    async def health(self, request: Request) -> Response:
        """Whether answers can be bought; no key needed, so no names and no sums."""
        del request
        book = self.desk.book
        able = bool(self._sold()) and "chain" not in book.errors
        body = {"status": "ok" if able else "degraded", "models": len(self._sold()), "offers": len(book.listed())}
        return _json(body | {"errors": len(book.errors)})

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        self._buyer(request)
        return Response(self.desk.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # -- auditors' paths -------------------------------------------------------------------------------------------

    async def audits(self, request: Request) -> Response:
        """TicketNotice -> AuditPackage."""
        return http.reply(self.desk.drawing.package(await http.read_message(request, TicketNotice)))

    async def inclusions(self, request: Request) -> Response:
        """InclusionQuery -> Inclusion."""
        query = await http.read_message(request, InclusionQuery)
        return http.reply(self.desk.till.inclusion(read_hex("receipt", query.receipt, 32), query.count))

    async def verdicts(self, request: Request) -> Response:
        """VerdictNotice -> {}."""
        await self.desk.drawing.verdict(await http.read_message(request, VerdictNotice))
        return http.reply(Done())


def _path(request: Request) -> str:
    """A path for a metric's label: ours, never one that a client made up."""
    path = request.url.path
    known = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/receipts")
    return next((name for name in known if path.startswith(name)), "other")


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _usd(price: int) -> str:
    """Micro-tokens per million units as whole tokens per unit, as OpenRouter writes prices."""
    return f"{(Decimal(price) / PER_TOKEN).normalize():f}"
