"""The provider over HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from steelyard.engines.base import Measured
from steelyard.nodes.provider.claiming import Claimer
from steelyard.nodes.provider.defending import Defender
from steelyard.nodes.provider.node import Provider
from steelyard.nodes.provider.offers import Listing
from steelyard.protocol.errors import SteelyardError
from steelyard.wire.http import app as node_app
from steelyard.wire.http import read_message, reply, reply_frames
from steelyard.wire.messages import PATHS, CancelQuery, Done, Offers, OrderRequest, Signed, TicketNotice, VoucherQuery

RELIST_SECONDS = 3_600.0

log = logging.getLogger("steelyard.provider")


def app(
    provider: Provider,
    claimer: Claimer,
    defender: Defender | None = None,
    lists: Callable[[], Sequence[Listing]] | None = None,
) -> ASGIApp:
    """Routes of `messages.PATHS`, `/health`, `/metrics`. `lists` signs offers anew before the old ones run out; it is
    asked once an hour. The app's end ends runs, claims, games and engine."""
    _watch(provider)

    async def offers(_: Request) -> Response:
        return reply(_offers(provider))

    async def orders(request: Request) -> Response:
        message = await read_message(request, OrderRequest)
        try:
            return reply_frames(await provider.take(message))
        except SteelyardError as error:
            provider.metrics.failed(error.rule)
            raise

    async def cancels(request: Request) -> Response:
        await provider.cancel(await read_message(request, Signed))
        return reply(Done())

    async def cancel_of(request: Request) -> Response:
        return reply(provider.cancel_of(await read_message(request, CancelQuery)))

    async def vouchers(request: Request) -> Response:
        await provider.take_voucher(await read_message(request, Signed))
        claimer.wake()
        return reply(Done())

    async def last(request: Request) -> Response:
        return reply(await provider.last_voucher(await read_message(request, VoucherQuery)))

    async def audits(request: Request) -> Response:
        return reply(await provider.audit(await read_message(request, TicketNotice)))

    async def health(_: Request) -> Response:
        card = provider.engine.card
        told = {"status": "ok", "model": card.name, "running": len(provider.runs), **claimer.report()}
        return JSONResponse(told | ({"games": defender.last_error} if defender and defender.last_error else {}))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(provider.metrics.registry), media_type="text/plain; version=0.0.4")

    routes = [
        Route(PATHS["offers"], offers),
        Route(PATHS["orders"], orders, methods=["POST"]),
        Route(PATHS["cancels"], cancels, methods=["POST"]),
        Route(PATHS["cancel_of"], cancel_of, methods=["POST"]),
        Route(PATHS["vouchers"], vouchers, methods=["POST"]),
        Route(PATHS["last_voucher"], last, methods=["POST"]),
        Route(PATHS["audits"], audits, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    return node_app(routes, lifespan=partial(_lifespan, provider, claimer, defender, lists))


def _watch(provider: Provider) -> None:
    provider.metrics.watch(
        running=lambda: len(provider.runs),
        vouched=lambda: sum(voucher.amount for voucher, _ in provider.accounts.vouchers()),
    )
    if isinstance(provider.engine, Measured):
        provider.metrics.watch_engine(provider.engine.measures)


def _offers(provider: Provider) -> Offers:
    domain, card = provider.ledger.domain, provider.engine.card
    return Offers(
        provider=provider.key.address,
        chain_id=domain.chain_id,
        escrow=domain.escrow,
        offers=[listing.signed for listing in provider.listings.values()],
        quantization={"0x" + digest.hex(): card.quantization for digest in provider.listings},
    )


@asynccontextmanager
async def _lifespan(
    provider: Provider,
    claimer: Claimer,
    defender: Defender | None,
    lists: Callable[[], Sequence[Listing]] | None,
    _: Starlette,
) -> AsyncIterator[None]:
    claimer.start()
    if defender is not None:
        defender.start()
    renewing = asyncio.create_task(_renew(provider, lists)) if lists is not None else None
    yield
    if renewing is not None:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    await claimer.stop()
    if defender is not None:
        await asyncio.to_thread(defender.stop)
    await provider.close()


async def _renew(provider: Provider, lists: Callable[[], Sequence[Listing]]) -> None:
    while True:
        await asyncio.sleep(RELIST_SECONDS)
        try:
            provider.relist(await asyncio.to_thread(lists))
        except SteelyardError as error:
            log.warning("offers not renewed: %s", error)
