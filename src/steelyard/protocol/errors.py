"""Everything that Steelyard raises on purpose.

SteelyardError
├── Refused            a rule said no; the one who asked can read which and why
│   └── Malformed      bytes that are no record, no request, no file of the claimed kind
└── Unavailable        a thing we depend on failed (chain, disk, peer); never evidence against anybody

A rule's name is one word for one thing: the same string travels over HTTP as `code` and reverts on chain.
"""

from dataclasses import dataclass


@dataclass(eq=False)
class SteelyardError(Exception):
    """Root of the tree. `rule` names the rule (`room.what`), `detail` holds the numbers."""

    rule: str
    detail: str

    def __post_init__(self) -> None:
        super().__init__(self.rule, self.detail)  # an exception is pickled by its args

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


class Refused(SteelyardError):
    """A rule said no, for instance `Refused("voucher.stale", "amount 9 <= accepted 12")`."""


class Malformed(Refused):
    """Input that cannot be read as what it claims to be."""


class Unavailable(SteelyardError):
    """Something that we depend on did not answer. A failure of ours is never turned into evidence."""
