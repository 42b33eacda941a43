"""What a judge answers: a value, and "cannot tell" is an answer. Only evidence slashes (DESIGN section 3)."""

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """The one byte by which votes and verdict records name a verdict. 0 never happens."""

    HONEST = 1
    CHEATED = 2
    CANNOT_TELL = 3
    NOT_OPENED = 4
    """Only in a vote: the opener's ciphertext did not yield what the roots commit to (rule M9)."""


@dataclass(frozen=True, slots=True)
class Honest:
    """The claim equals the judge's own run."""

    outcome = Outcome.HONEST


@dataclass(frozen=True, slots=True)
class Cheated:
    """The claim differs from the judge's own run, and here is where."""

    check: str
    """Which rule found it: `evidence`, `sampling`, `end`, `prefix`, `model-root`, `two-receipts`."""
    detail: str
    """The numbers, for a person."""
    position: int | None = None
    """First generated unit (0-based) at which claim and run differ; None where the rule has no position."""
    outcome = Outcome.CHEATED


@dataclass(frozen=True, slots=True)
class CannotTell:
    """No verdict, and why. Never slashes, never acquits."""

    reason: str
    outcome = Outcome.CANNOT_TELL


Verdict = Honest | Cheated | CannotTell
