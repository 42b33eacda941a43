"""Lies that records prove without a game: what `contracts/Proofs.vy` is shown besides the receipt (GAM-41, GAM-42)."""

from dataclasses import dataclass

from steelyard.protocol.moves import Unit


@dataclass(frozen=True, slots=True)
class OtherModel:
    """The receipt names another model root than the registration that was ordered."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """More units were generated than ordered."""


@dataclass(frozen=True, slots=True)
class BadUnit:
    """A generated unit behind which the answer should have ended, or that is none of the vocabulary's."""

    facts: bytes
    """Leaf 2 of the model root."""
    leaves: int
    """Of the model root's tree."""
    path: tuple[bytes, ...]
    index: int
    """In the answer, a delivered prefix counted."""
    unit: Unit


@dataclass(frozen=True, slots=True)
class OtherPrefix:
    """The answer does not begin with the delivered prefix (rule P6)."""

    index: int
    """Of the first unit that is another."""
    answered: Unit
    ordered: Unit
    """The prompt's."""


Proof = OtherModel | TooMany | BadUnit | OtherPrefix
