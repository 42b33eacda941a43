"""Reading logs in pieces that an endpoint accepts, and following them with a cursor that the caller keeps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from steelyard.chain.port import Chain, Log
from steelyard.protocol.units import Address

SPAN = 2_000  # blocks asked for in one request: what public endpoints allow
DEEP = 8  # blocks: what so many stand on is taken to stay; whoever reads events reads so many blocks twice


@dataclass(frozen=True, slots=True)
class Batch:
    """Some blocks' events."""

    logs: tuple[Log, ...]
    next_block: int
    """The cursor: keep it in the same transaction as what the logs made of you, and go on from there."""


def follow(chain: Chain, addresses: Sequence[Address], first: int, confirmations: int = 0) -> Iterator[Batch]:
    """Events of blocks `first` to the head less `confirmations`, a batch per SPAN of blocks; ends there.

    A block is read once, when `confirmations` blocks stand on it: a reorganisation that is not deeper hides and invents
    nothing. A batch without logs moves the cursor too. Call again with the last `next_block` for what came since.
    """
    last = chain.head().number - confirmations
    while first <= last:
        end = min(first + SPAN - 1, last)
        yield Batch(tuple(chain.logs(addresses, first, end)), end + 1)
        first = end + 1


def stands(chain: Chain, addresses: Sequence[Address], since: int, told: Callable[[Log], bool]) -> bool:
    """True once DEEP blocks stand on the last event since block `since` for which `told` says yes. Read from the head
    back, so that what happened lately costs one request; what is not seen does not stand."""
    head = last = chain.head().number
    while last >= since:
        first = max(since, last - SPAN + 1)
        for log in reversed(chain.logs(addresses, first, last)):
            if told(log):
                return head - log.block >= DEEP
        last = first - 1
    return False
