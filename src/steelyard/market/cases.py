"""Challenges, juries and votes: the port (rules M6 to M9). `toy_cases` is the toy behind it, `onchain_cases` the
real one.

All calls block (nodes call them in threads) and may raise Unavailable("chain.unreachable"); a contract's refusal comes
as Refused with the contract's own rule name. Writes are sent by the account that the port was opened with and return
once mined. Nothing here is remembered by the caller: after a restart `find` and `case` say where things stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from steelyard.protocol.proofs import Proof
from steelyard.protocol.records import AuditTicket, Offer, Order, Receipt, Vote
from steelyard.protocol.units import Address, MicroToken, Timestamp
from steelyard.protocol.verdicts import Outcome

NEVER = Timestamp(0)


class Stage(IntEnum):
    """Where a case is. It only ever moves down this list."""

    CHALLENGED = 1
    """Stake reserved; seats are drawn from a block that is not known yet. Lapses after `open_until`."""
    SEATED = 2
    """The opener has until `open_until`."""
    OPENED = 3
    """Jurors commit until `commit_until`, reveal (once all have committed, or then) until `reveal_until`, that second
    included; `reveal_until` is the last reveal's second once all have. Then, if they agree, the appeal window runs."""
    PLAYING = 4
    """A game has taken it from the jury; nobody votes, and no juror is paid or fined."""
    RULED = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One challenge of one receipt, as the chain holds it."""

    id: bytes
    """32 bytes."""
    receipt: bytes
    """Digest of the challenged receipt."""
    provider: Address
    challenger: Address
    opener: Address
    stage: Stage
    seats: tuple[Address, ...] = ()
    since: Timestamp = NEVER
    """When it was challenged, or seated; NEVER from OPENED on."""
    open_until: Timestamp = NEVER
    commit_until: Timestamp = NEVER
    reveal_until: Timestamp = NEVER
    committed: int = 0
    """Seats that have committed."""
    revealed: int = 0
    """Seats that have revealed."""
    guilty: int = 0
    """Seats that have revealed CHEATED."""
    jury: int = 0
    """Seats that a jury has, whoever was drawn: two thirds of them rule."""
    settles_at: Timestamp = NEVER
    """Of an opened case: after this second nobody can take it to a game any more, and it is settled."""
    own_commitment: bytes = b""
    """What this account committed to; empty if nothing."""
    own_vote: Outcome | None = None
    """What this account revealed."""
    claim: int = 0
    """The claim that the case was tied to, 0 if none: without it the buyer is not repaid (rule M6)."""
    outcome: Outcome | None = None
    """What two thirds of the seats said, or a game; None while open and if they did not agree."""

    @property
    def condemned(self) -> bool:
        """True if two thirds of the seats have revealed CHEATED, and nobody has settled yet."""
        return self.stage is Stage.OPENED and self.guilty * 3 >= 2 * self.jury > 0


@dataclass(frozen=True, slots=True)
class Opening:
    """What the opener posted; the chain keeps its hash and the event its bytes."""

    ciphertext: bytes = field(repr=False)
    wrapped: tuple[bytes, ...] = field(repr=False)
    """One per seat, in the order of `Case.seats`."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What a challenger shows of a receipt: signed records and roots, no unit of any text. Signatures have 65 bytes."""

    offer: Offer
    offer_signature: bytes
    order: Order
    order_signature: bytes
    receipt: Receipt
    receipt_signature: bytes
    answer_units: int
    """With `answer_top` opens the response root to its count, from which the price follows."""
    answer_top: bytes
    """`roots.units_top` of the answer, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Where a receipt stands under a claim's root."""

    claim: int
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """A ticket, by which an auditor may challenge (rule M9)."""

    ticket: AuditTicket
    signature: bytes
    """By the channel's session key, 65 bytes."""


class Cases(Protocol):
    """The chain's court as auditors and providers see it."""

    @property
    def account(self) -> Address:
        """Who sends the writes."""
        ...

    def find(self, receipt: bytes) -> bytes | None:
        """Id of this account's own latest challenge of a receipt."""
        ...

    def case(self, case: bytes) -> Case | None: ...

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        """Ids of the cases that had an event after `cursor` (0: ever), and the next cursor."""
        ...

    def opening(self, case: bytes) -> Opening | None: ...

    def convicted(self, receipt: bytes) -> bool:
        """True once a receipt was slashed for: there is one recovery (rule M6)."""
        ...

    def ruling_stands(self, case: bytes) -> bool:
        """True once a case is ruled so deep in the chain that no reorganisation is expected to undo it."""
        ...

    def conviction_stands(self, receipt: bytes) -> bool:
        """True once a receipt was slashed for so deep in the chain."""
        ...

    def challenge(self, exhibit: Exhibit, consent: Consent) -> bytes:
        """Opens a case, reserves this account's stake, returns the case's id."""
        ...

    def seat(self, case: bytes) -> None:
        """Draws the jury, by anyone. Refused("rulings.seed") while its block is not there yet."""
        ...

    def open_case(self, case: bytes, opening: Opening) -> None: ...

    def tie(self, case: bytes, tie: Tie) -> None:
        """Shows that the receipt is under the claim's root, which then waits for the case."""
        ...

    def commit(self, case: bytes, vote: bytes) -> None:
        """Commits to the struct hash of a vote, 32 bytes."""
        ...

    def reveal(self, vote: Vote) -> None: ...

    def settle(self, case: bytes) -> None:
        """Rules by what the jury said, or ends a case that has lapsed, by anyone. Refused("rulings.appeal") while it
        may still be taken to a game."""
        ...

    def convict_twice(self, exhibit: Exhibit, other: Receipt, signature: bytes, tie: Tie | None) -> None:
        """Two receipts of one provider for one order convict at once; `exhibit` holds the first, `tie` is of that one:
        without it the buyer is not repaid."""
        ...

    def prove(self, exhibit: Exhibit, proof: Proof, tie: Tie | None) -> None:
        """A lie that records prove convicts at once; without `tie` the buyer is not repaid."""
        ...

    def joined(self) -> bool:
        """True if this account is in the pool, or will be from the next epoch on."""
        ...

    def join(self, encryption_key: bytes, url: str, stake: MicroToken) -> None:
        """Reserves `stake` of the account's bond; counts from the next epoch on."""
        ...

    def leave(self) -> None: ...

    def challenge_stake(self) -> MicroToken:
        """What a challenge reserves."""
        ...

    def encryption_key(self, auditor: Address) -> bytes:
        """X25519, 32 bytes; zeros if it never joined."""
        ...
