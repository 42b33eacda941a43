"""What a gateway does first: it takes up what a kill left (rule M12). Nothing is lost, nothing is paid twice."""

import logging
from contextlib import aclosing

from steelyard.market.lifecycle import State
from steelyard.nodes.gateway.desk import Desk
from steelyard.nodes.gateway.purchase import Bought, Placed
from steelyard.nodes.gateway.records import OrderBody
from steelyard.nodes.gateway.spending import DAY
from steelyard.protocol.errors import SteelyardError, Unavailable

log = logging.getLogger("steelyard.gateway")


async def resume(desk: Desk) -> None:
    """Reads purses and tabs, then settles what is open in the background: a receipt that was not paid is paid, an
    order without its receipt is sent again (its provider answers from its own journal, or runs the same bits again)."""
    today = int(desk.clock()) // DAY
    for name, spent in desk.records.spent_since(today * DAY).items():
        desk.till.spending.purse(name).spent += spent
    desk.till.resume()
    for tab in desk.till.tabs.values():
        desk.spawn(desk.till.send(tab))
    for digest, _ in list(desk.records.in_state(State.DELIVERED)):
        desk.spawn(_pay(desk, digest))
    for digest, body in list(desk.records.in_state(State.ASSIGNED)):
        desk.spawn(_ask_again(desk, desk.records.placed(digest, body), body))
    desk.spawn(desk.drawing.resume())


async def _pay(desk: Desk, order: bytes) -> None:
    bought = desk.records.bought_by_order(order)
    if bought is None:
        raise Unavailable("journal.document", f"no receipt for delivered order 0x{order.hex()}")
    body = desk.records.order(order)
    await _settle(desk, bought, body.audit_rate if body else 0.0)


async def _settle(desk: Desk, bought: Bought, audit_rate: float) -> None:
    ticket = await desk.drawing.decide(bought, audit_rate)
    tab = desk.till.tab_of(bought)
    await desk.till.meet(tab)
    await desk.till.pay(tab, bought)
    await desk.drawing.bring(bought, ticket)


async def _ask_again(desk: Desk, placed: Placed, body: OrderBody) -> None:
    """The client is gone, but the provider may have answered and wants its voucher."""
    text = desk.texts.get(body.model)
    purchase = desk.purchase(placed, text.vocabulary if text is not None else 1 << 32)
    try:
        if placed.order.deadline <= desk.book.now():
            raise Unavailable("provider.late", "the order's deadline passed while the gateway was down")
        tab = desk.till.tab_at(placed)
        await desk.till.meet(tab)
        async with aclosing(purchase.run(tab.signed)) as pieces:  # type: ignore[type-var]  # a generator
            async for _ in pieces:
                pass
        if purchase.bought is None:
            raise Unavailable("peer.cut", "no receipt")
    except SteelyardError as error:
        await desk.fail(placed, error)
        return
    await desk.records.delivered(purchase.bought, now=desk.clock())
    await _settle(desk, purchase.bought, body.audit_rate)
