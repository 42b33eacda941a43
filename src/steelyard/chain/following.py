"""Reading logs in pieces that an endpoint accepts, and following them with a cursor that the caller keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steelyard.chain.port import Chain, Log
from steelyard.protocol.units import Address

SPAN = 2_000  # blocks asked for in one request: what public endpoints allow


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
