"""What providers did, and for how long it counts: cool-downs after failures, speed after successes.

In memory; the journal keeps each fault with its reason. A cool-down sends an offer to the end of the queue, never out
of it: a market of one provider still answers.
"""

from collections.abc import Callable
from typing import Final

from steelyard.nodes.gateway.routing import Health, Listed
from steelyard.protocol.errors import Refused, SteelyardError

COOL_SECONDS: Final[dict[str, float]] = {
    "provider.wrong-receipt": 3600.0,  # it lied, or cannot count
    "provider.cheated": 86_400.0,  # an auditor's signed verdict says so
    "provider.differs": 600.0,
    "provider.unit-range": 600.0,
    "provider.too-long": 600.0,
    "provider.garbage": 600.0,
    "peer.garbage": 600.0,
    "peer.cut": 60.0,
    "peer.timeout": 60.0,
}
REFUSED_SECONDS, FAILED_SECONDS = 5.0, 30.0  # a refusal is mostly a matter of the moment
WEIGHT: Final = 0.3  # of the newest measurement


class Faults:
    """Health of every offer by its digest. `timer`: seconds, never backwards."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.timer = timer
        self.health: dict[bytes, Health] = {}

    def of(self, listed: Listed) -> Health:
        """One offer's health."""
        return self.health.setdefault(listed.digest, Health())

    def note(self, listed: Listed, error: SteelyardError) -> None:
        """A failure: the offer goes last for a while."""
        usual = REFUSED_SECONDS if isinstance(error, Refused) else FAILED_SECONDS
        until = self.timer() + COOL_SECONDS.get(error.rule, usual)
        health = self.of(listed)
        health.bad_until = max(health.bad_until, until)

    def praise(self, listed: Listed, latency: float, units: int, seconds: float) -> None:
        """A receipt came: seconds to the first unit, units in all, seconds in all."""
        health = self.of(listed)
        health.latency = _smooth(health.latency, latency)
        if seconds > 0:
            health.throughput = _smooth(health.throughput, units / seconds)


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else old + WEIGHT * (new - old)
