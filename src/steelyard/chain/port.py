"""The port to the chain: calls, transactions, logs. Tiny on purpose; `rpc` is the adapter over JSON-RPC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steelyard.protocol.units import Address, Timestamp


@dataclass(frozen=True, slots=True)
class Log:
    """One event as a node returns it."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    index: int
    """Position in its block: (block, index) orders all logs."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that was mined and did not revert."""

    hash: bytes
    block: int
    gas_used: int
    contract: Address | None
    """Where a deployment landed."""
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """The head of the chain."""

    number: int
    timestamp: Timestamp


class Chain(Protocol):
    """One chain, and at most one account that sends.

    Every method may raise Unavailable("chain.unreachable"). `call` and `send` raise Refused(rule) with the contract's
    revert string as the rule."""

    @property
    def chain_id(self) -> int: ...

    @property
    def account(self) -> Address | None:
        """Who sends; None for a reader."""
        ...

    def head(self) -> Block: ...

    def call(self, to: Address, data: bytes) -> bytes: ...

    def send(self, to: Address | None, data: bytes) -> Mined:
        """Signs, sends, waits until mined. `to` None deploys. Raises Unavailable("chain.timeout") if it is not mined in
        time: it may still be, so look at the chain's state before sending again."""
        ...

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> list[Log]:
        """All events of the addresses in blocks first … last, in order."""
        ...
