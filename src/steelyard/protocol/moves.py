"""The moves of a dispute game: one record a function of `contracts/Games.vy`, with its arguments as fields.

`seen` is the head that a move answers (GAM-31), 32 bytes; hashes are 32 bytes each, paths from the leaf upwards.
"""

from dataclasses import astuple, dataclass

from steelyard.protocol.games import NOTHING
from steelyard.protocol.hashing import ZERO32, keccak256
from steelyard.protocol.records import Cancel, Offer, Order, Receipt


@dataclass(frozen=True, slots=True)
class Shown:
    """The receipt that a case is about (`Rulings.Exhibit`)."""

    offer: Offer
    order: Order
    receipt: Receipt
    answer_units: int
    answer_top: bytes
    """`roots.response_top`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is wrong with an answer (GAM-2): its evidence root, or one sampled unit."""

    unit: int = 0
    """The generated unit that a rival would have been preferred to; else 0."""
    rival: int = NOTHING
    """Such an id; NOTHING: the evidence root is wrong, and its tree is narrowed first."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Opens one unit of a prompt or an answer (`roots.open_unit`)."""

    salt: bytes = ZERO32
    units: bytes = b""
    """The leaf's, 4 bytes little-endian each, at most 256."""
    path: tuple[bytes, ...] = ()
    beside: bytes = ZERO32
    """Root over logprobs; zeros: the answer has none."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens a leaf of a value, of the model's file or of a table, for a step."""

    data: bytes
    count: int
    """Leaves of the value's or table's tree; 0 for the file."""
    path: tuple[bytes, ...]
    """To the value's, the table's or the model's root."""
    node_path: tuple[bytes, ...] = ()
    """Nodes only: from the value root's leaf to the position's root."""
    position_path: tuple[bytes, ...] = ()
    """Other positions only: from the position root's leaf to the run's root."""


@dataclass(frozen=True, slots=True)
class Begin:
    """GAM-1, by the challenger."""

    case: bytes
    shown: Shown
    claim: Claim


@dataclass(frozen=True, slots=True)
class BeginEarly:
    """GAM-35, by the challenger: the answer ends early."""

    case: bytes
    shown: Shown


@dataclass(frozen=True, slots=True)
class Appeal:
    """GAM-3, by the provider."""

    case: bytes
    shown: Shown


@dataclass(frozen=True, slots=True)
class Mark:
    """Opens an id's logit (GAM-5)."""

    id: int = NOTHING
    words: bytes = b""
    """The leaf of the logits that holds it, at most 128 bytes."""
    path: tuple[bytes, ...] = ()
    """To the logits' root."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """What top-k and top-p leave, as the defender says (GAM-5). Nothing where no filter has a say."""

    lowest: Mark = Mark()
    """The last of the ids that top-k keeps; NOTHING if it keeps all."""
    greatest: Mark = Mark()
    """The greatest logit; NOTHING if top-p keeps all."""
    sums: int = 0
    """Over all ids, 256 bits."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """What an id's share in the sums follows from, with the id's own logit (GAM-5)."""

    logits: bytes
    """Root of the logits' value, 32 bytes."""
    vocabulary: int
    temperature: int
    """binary32 bits; logits too."""
    unit: int
    unit_z: int
    rival: int
    rival_z: int
    lowest: int
    lowest_z: int
    greatest: int
    greatest_z: int

    def digest(self) -> bytes:
        """Keccak-256 of the ABI's encoding, by which the contract knows it. 32 bytes."""
        logits, *numbers = astuple(self)
        return keccak256(b"".join([logits, *(number.to_bytes(32) for number in numbers)]))


@dataclass(frozen=True, slots=True)
class Answered:
    """What the defender opens of its run at the position that chose the unit."""

    facts: bytes
    """Leaf 2 of the model root, at most 185 bytes."""
    leaves: int
    """Of the model root's tree."""
    path: tuple[bytes, ...]
    run_root: bytes
    state: bytes
    """The whole value that evidence is made of."""
    state_path: tuple[bytes, ...]
    """From the leaf of the state's root to the position's root."""
    position_path: tuple[bytes, ...]
    """From the last position's leaf to the run's root."""
    unit: Unit
    """The answered id's."""
    logit: bytes
    """The leaf of the logits that holds the answered id's, at most 128 bytes."""
    logit_path: tuple[bytes, ...]
    logit_node_path: tuple[bytes, ...]
    """From the leaf of the logits' root to the position's root."""
    rival: bytes
    """The leaf with the rival's logit; empty without one, or where it is no id of the model's."""
    rival_path: tuple[bytes, ...]
    evidence_path: tuple[bytes, ...]
    """From the unit's evidence to the evidence root."""
    filtered: Filtered = Filtered()


@dataclass(frozen=True, slots=True)
class Answer:
    """GAM-4, by the defender."""

    case: bytes
    seen: bytes
    shown: Answered


@dataclass(frozen=True, slots=True)
class ShowCancel:
    """GAM-35, by the defender: the cancel that it obeyed."""

    case: bytes
    seen: bytes
    shown: Shown
    cancel: Cancel
    signature: bytes
    """By the order's session key, 65 bytes."""


@dataclass(frozen=True, slots=True)
class ShowEnd:
    """GAM-35, by the defender: the answer's last unit is an end id."""

    case: bytes
    seen: bytes
    shown: Shown
    facts: bytes
    leaves: int
    path: tuple[bytes, ...]
    unit: Unit


@dataclass(frozen=True, slots=True)
class PostChildren:
    """GAM-10, by the defender (`post`)."""

    case: bytes
    seen: bytes
    children: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """GAM-11, by the challenger."""

    case: bytes
    seen: bytes
    index: int
    """Among the children posted last."""
    child: bytes
    path: tuple[bytes, ...]
    """From the child up to the node whose children were posted."""


@dataclass(frozen=True, slots=True)
class PointNode:
    """GAM-12, by the challenger."""

    case: bytes
    seen: bytes
    index: int
    child: bytes
    path: tuple[bytes, ...]
    facts: bytes
    node: bytes
    """The node's leaf under the graph's root, at most 1,024 bytes."""
    node_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """GAM-6 and GAM-13 to GAM-15, by the defender."""

    case: bytes
    seen: bytes
    words: bytes
    """4 bytes little-endian each, at most 63 words; or 65 sums over ids at most, 32 bytes big-endian each."""


@dataclass(frozen=True, slots=True)
class Pick:
    """GAM-6 and GAM-13 to GAM-16, by the challenger."""

    case: bytes
    seen: bytes
    index: int
    words: bytes
    """Those that were said."""


@dataclass(frozen=True, slots=True)
class Step:
    """GAM-20, by anyone."""

    case: bytes
    seen: bytes
    leaves: int
    node: bytes
    unit: Unit
    """The id at the position, if a load takes it; else nothing."""
    uses: tuple[int, ...]
    """Which opening each load takes."""
    openings: tuple[Opening, ...]


@dataclass(frozen=True, slots=True)
class Weigh:
    """GAM-7, by anyone."""

    case: bytes
    seen: bytes
    sieve: Sieve
    words: bytes
    """The leaf of the logits that holds the id's, at most 128 bytes."""
    path: tuple[bytes, ...]
    """To the logits' root."""
    before: int
    """The agreed sum, 256 bits."""
    after: int
    """The claimed one."""


@dataclass(frozen=True, slots=True)
class Forfeit:
    """GAM-30 and GAM-34, by anyone."""

    case: bytes


Move = (
    Begin
    | BeginEarly
    | Appeal
    | Answer
    | ShowCancel
    | ShowEnd
    | PostChildren
    | Point
    | PointNode
    | Say
    | Pick
    | Step
    | Weigh
    | Forfeit
)
