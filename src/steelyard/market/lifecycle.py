"""The life of an order, as a table (DESIGN section 2). Every move is idempotent by the order's digest."""

from enum import StrEnum

from steelyard.protocol.errors import Refused


class State(StrEnum):
    """Where an order is. The names stand in journals and on screens."""

    QUOTED = "quoted"
    """A price is known; nothing is signed."""
    FUNDED = "funded"
    """Signed by the session key: the channel pays for it."""
    ASSIGNED = "assigned"
    """Sent to (gateway) or accepted by (provider) the offer's provider."""
    COMMITTED = "committed"
    """The receipt is durable at the provider, its signature may leave."""
    DELIVERED = "delivered"
    """The gateway has checked the receipt against what it received."""
    CHALLENGED = "challenged"
    SETTLED = "settled"
    """Paid by a voucher, or ruled."""
    REFUNDED = "refunded"
    """Money went back: nothing is owed."""
    EXPIRED = "expired"
    """No valid receipt came: unpaid."""


MOVES: dict[State, frozenset[State]] = {
    State.QUOTED: frozenset({State.FUNDED, State.EXPIRED}),
    State.FUNDED: frozenset({State.ASSIGNED, State.EXPIRED}),
    State.ASSIGNED: frozenset({State.COMMITTED, State.DELIVERED, State.EXPIRED, State.REFUNDED}),
    State.COMMITTED: frozenset({State.DELIVERED, State.SETTLED, State.CHALLENGED, State.EXPIRED}),
    State.DELIVERED: frozenset({State.SETTLED, State.CHALLENGED}),
    State.CHALLENGED: frozenset({State.SETTLED, State.REFUNDED, State.DELIVERED}),
    State.SETTLED: frozenset({State.CHALLENGED}),
    State.REFUNDED: frozenset(),
    State.EXPIRED: frozenset(),
}


def move(now: State, then: State) -> State:
    """`then`, if the table allows it; a repeated move is no move. Raises Refused("order.move")."""
    if then != now and then not in MOVES[now]:
        raise Refused("order.move", f"{now} -> {then}, allowed {sorted(MOVES[now])}")
    return then
