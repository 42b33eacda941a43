"""The auditor's HTTP face: tickets in, health and figures out."""

import asyncio

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from steelyard.nodes.auditor import notes, tickets
from steelyard.nodes.auditor.node import Node
from steelyard.protocol.verdicts import Outcome
from steelyard.wire import http
from steelyard.wire.messages import PATHS, Done, TicketNotice

MAX_TICKET = 16 << 10  # bytes: a ticket is a few hundred


class Figures(Collector):
    """What the journal says, as figures: read when asked, so they survive restarts."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def collect(self) -> list[Metric]:
        """For Prometheus."""
        journal = self.node.desk.journal
        states = GaugeMetricFamily("steelyard_auditor_tickets", "Tickets by state", labels=["state"])
        for state in (notes.WAITING, notes.JUDGED, notes.ACCUSING, notes.CLOSED):
            states.add_metric([state], len(journal.scan(notes.TICKET, state)))
        seats = GaugeMetricFamily("steelyard_auditor_seats", "Watched cases by state", labels=["state"])
        for state in (notes.WATCHED, notes.VOTED, notes.CLOSED):
            seats.add_metric([state], len(journal.scan(notes.SEAT, state)))
        verdicts = GaugeMetricFamily("steelyard_auditor_verdicts", "Signed verdicts", labels=["outcome"])
        found = [notes.read(document, notes.TicketNote).outcome for document in journal.scan(notes.TICKET)]
        for outcome in Outcome:
            verdicts.add_metric([outcome.name.lower()], found.count(outcome))
        return [states, seats, verdicts]


def app(node: Node, lifespan: http.Lifespan | None = None, hosts: tuple[str, ...] = ("*",)) -> ASGIApp:
    """The ASGI application over a node."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(node))

    async def take(request: Request) -> Response:
        notice = await http.read_message(request, TicketNotice, MAX_TICKET)
        document = tickets.accept(node.desk, notice)
        if document is not None:
            await node.desk.journal.commit(document)
            node.wake.set()
        return http.reply(Done())

    async def health(_: Request) -> Response:
        bench = node.desk.bench
        told = {"auditor": node.desk.me, "models": bench.names, "in_pool": node.in_pool, "ok": not bench.failed}
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def metrics(_: Request) -> Response:
        return Response(await asyncio.to_thread(_text, registry), media_type="text/plain; version=0.0.4")

    routes = [
        Route(PATHS["tickets"], take, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    return http.app(routes, hosts=hosts, lifespan=lifespan)


def _text(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)
