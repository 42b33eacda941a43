"""What a case against us waits for that its challenger has not done: while it stands still, it holds bond and claims.

Pure: a case as the chain has it and the chain's clock say it all, so a restart or a reorganisation changes nothing.
"""

from enum import Enum

from steelyard.market.cases import NEVER, Case, Stage
from steelyard.protocol.units import Address


class Due(Enum):
    """One step that anyone may take, or the provider."""

    SEAT = "seat"
    """Draw the jury: then the challenger opens, or loses its stake by silence (RUL-14)."""
    APPEAL = "appeal"
    """No jury can judge it: then the challenger begins a game, or loses its stake by its clock (GAM-3)."""
    SETTLE = "settle"
    """All windows are over: everybody gets back what the case holds."""


def due(case: Case, me: Address, now: int, patience: float) -> Due | None:
    """What a case against `me` waits for at `now`, once its challenger has had `patience` seconds; None while it has
    them, and where the next step is another's or would cost us our own stake."""
    match case.stage:
        case Stage.CHALLENGED if now > case.open_until:
            return Due.SETTLE if NEVER < case.open_until < now - patience else None
        case Stage.CHALLENGED if now > case.since + patience:
            # on a draw we are the opener: seated, it would be our silence that costs
            return Due.APPEAL if case.opener == me else Due.SEAT
        case Stage.SEATED if now > case.open_until:
            ours = bool(case.seats) and case.opener == me
            return Due.SETTLE if now > case.open_until + patience and not ours else None
        case Stage.SEATED if case.opener == me or (not case.seats and now > case.since + patience):
            return Due.APPEAL
        case Stage.OPENED if now > max(case.reveal_until, case.settles_at) + patience and not case.condemned:
            return Due.SETTLE
    return None
