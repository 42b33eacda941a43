"""Numbers with their units as types: swapped arguments fail mypy."""

from typing import NewType

MicroToken = NewType("MicroToken", int)
"""The smallest unit of the paying ERC-20 (10**-6 of a token, as USDC counts)."""

Units = NewType("Units", int)
"""Committed units of work: token ids of a text, bytes of a text-only engine, runs of kind `inference`."""

Seconds = NewType("Seconds", int)
"""A span of time. Points in time are `Timestamp`."""

Timestamp = NewType("Timestamp", int)
"""Unix time in whole seconds, as a block's timestamp counts."""

BasisPoints = NewType("BasisPoints", int)
"""1/10,000."""

Address = NewType("Address", str)
"""EIP-55 checksummed, 42 characters."""

MICRO = 1_000_000  # micro-tokens in a token; also the units that a price is quoted per
