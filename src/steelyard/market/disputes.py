"""A dispute game as it is told: who said what about which part of a run, round by round, and the step at its end.

Plain values. `onchain_disputes` reads them off the chain, the command line draws them.
"""

from dataclasses import dataclass
from typing import Final

from steelyard.protocol.moves import Sieve
from steelyard.protocol.units import Address, MicroToken, Timestamp

PLACES: Final = ("", "unit", "position", "node", "leaf", "element", "chain", "turn", "", "id")
"""What is narrowed, by the game's place; 0 nothing yet, 8 the end of the answer, which is not narrowed."""
PROVIDER: Final = "provider"
CHALLENGER: Final = "challenger"


@dataclass(frozen=True, slots=True)
class Move:
    """One transaction of the game."""

    by: str
    """`provider`, `challenger`, or the address of somebody else."""
    name: str
    """The contract's function."""
    gas: int
    """Used by the whole transaction."""
    at: Timestamp
    transaction: bytes
    """Its hash, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that play."""

    address: Address
    used: int
    """Seconds of its clock, up to the game's last move."""
    moves: int
    gas: int


@dataclass(frozen=True, slots=True)
class Round:
    """The provider shows what it holds, the challenger names the first that it holds otherwise."""

    place: str
    """One of `PLACES`."""
    before: tuple[int, int]
    """First and last of what the first difference may be in."""
    claims: tuple[bytes, ...]
    """Hashes or sums over ids of 32 bytes, or words of 4 (big-endian), in order. Among turns and ids the last is what
    was claimed before."""
    named: int | None = None
    """Index of the claim that the challenger does not share; all before it are agreed. None while it is to move, or if
    it doubts the run instead of the sums."""
    after: tuple[int, int] | None = None
    """Of the same as `before`, what is left; None while the challenger is to move."""
    gas: tuple[int, int] = (0, 0)
    """The provider's move, the challenger's."""


@dataclass(frozen=True, slots=True)
class LastStep:
    """One turn of a node's loops, with what was opened of its operands."""

    node: int
    """Index in the graph."""
    position: int
    element: int
    turn: int
    """Counted in the whole fold; 0 in a map."""
    leaf: bytes
    """The node's, of GRA-13."""
    uses: tuple[int, ...]
    """For each load the number of its opening."""
    opened: tuple[bytes, ...]
    """Data of each opening: a leaf of a node's value, of a file or of a table."""
    unit: int
    """The id at the position, if a load is by id; else 2**32 - 1."""
    accumulator: int
    """Word of the partial sum before the turn, agreed; 0 in a map."""
    claimed: int
    """The provider's word."""
    computed: int
    """The contract's."""
    gas: int


@dataclass(frozen=True, slots=True)
class Weighing:
    """One id's share in the sums that top-k and top-p are proved by (spec/games.md, GAM-5)."""

    id: int
    logit: int
    """binary32 bits."""
    sieve: Sieve
    """What else a share follows from."""
    claimed: int
    """By how much the provider's sums differ, 256 bits."""
    gas: int


@dataclass(frozen=True, slots=True)
class Dispute:
    """One game, as far as it has come."""

    case: bytes
    """32 bytes."""
    receipt: bytes
    """Digest, 32 bytes."""
    registration: bytes
    """Of the model, 32 bytes; zeros until the challenger has begun."""
    model_root: bytes
    provider: Side
    challenger: Side
    stage: str
    """What is to be done next; `over` at the end."""
    unit: int | None
    """Which generated unit is disputed; None until that is known."""
    positions: int
    """Of the run that chose it, the prompt's included; 0 until that is known."""
    rival: int | None
    """The id that the challenger says the rule would have chosen; None if it disputes the run."""
    rounds: tuple[Round, ...]
    step: LastStep | None
    """If the game came down to one."""
    moves: tuple[Move, ...]
    outcome: str = ""
    """`honest` or `cheated`; empty while open, and if no one lost."""
    why: str = ""
    """What decided: `step`, `start`, `rival`, `sum`, `clock`, `cancel`, `end`, `convicted`."""
    weighing: Weighing | None = None
    """If the game came down to one id."""
    slashed: Address | None = None
    amount: MicroToken | None = None
    """What the loser was slashed by."""

    @property
    def gas(self) -> int:
        """Of all moves together."""
        return sum(move.gas for move in self.moves)
