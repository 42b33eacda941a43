"""A dispute game as the chain shows it, and the counts that all who play it share (spec/games.md, GAM-1 to GAM-35).

`moves` are what can be sent, `defender` and `challenger` what an honest side sends, `referee` the rules in plain Python
beside `contracts/Games.vy`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from steelyard.protocol import merkle
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.verdicts import Outcome

NOTHING: Final = 2**32 - 1
"""No rival; an id that was not opened."""
LEVELS_AT_ONCE: Final = 6  # 2**6 = 64 children in a post
TURNS_AT_ONCE: Final = 64
SUM: Final = 32  # bytes of a sum over ids (GAM-5)
KEEPS_ALL: Final = 0x3F800000  # top_p = 1 as binary32 bits
MOST_STATE: Final = 4_096  # numbers of a state: an answer opens all of them at once (GAM-4)
WORD: Final = 4  # bytes
WORDS_PER_LEAF: Final = 32  # 128 bytes, GRA-14
CHAINS: Final = 16  # GRA-7


class Stage(IntEnum):
    """Who has to do what. 0 is no game."""

    CALLED = 1
    """The challenger: `begin`, since the provider appealed."""
    BEGUN = 2
    """The defender: `answer`."""
    POST = 3
    """The defender: `post`."""
    POINT = 4
    """The challenger: `point` or `point_node`."""
    SAY = 5
    """The defender: `say`."""
    PICK = 6
    """The challenger: `pick`."""
    STEP = 7
    """The challenger's clock: `step`, by anyone."""
    OVER = 8


class Place(IntEnum):
    """What is narrowed."""

    NONE = 0
    """Nothing yet, or nothing between the unit and the answer."""
    EVIDENCE = 1
    """Which generated unit."""
    RUN = 2
    """Which position."""
    NODES = 3
    """Which node of it."""
    LEAVES = 4
    """Which leaf of the node's value."""
    WORDS = 5
    """Which element."""
    CHAINS = 6
    """Which of 16 chains of its fold."""
    TURNS = 7
    """Which turns of the chain."""
    EARLY = 8
    """None: the end of the answer is disputed (GAM-35)."""
    IDS = 9
    """Which id of the vocabulary, in the sums over its logits (GAM-6)."""


class Side(IntEnum):
    """The defender is the receipt's provider, the challenger who opened the case."""

    DEFENDER = 1
    CHALLENGER = 2


TO_MOVE: Final = {
    Stage.CALLED: Side.CHALLENGER,
    Stage.BEGUN: Side.DEFENDER,
    Stage.POST: Side.DEFENDER,
    Stage.POINT: Side.CHALLENGER,
    Stage.SAY: Side.DEFENDER,
    Stage.PICK: Side.CHALLENGER,
    Stage.STEP: Side.CHALLENGER,
    Stage.OVER: None,
}


@dataclass(frozen=True, slots=True)
class Post:
    """Children that the defender posted on the way down, in order, and where the challenger went from them."""

    place: Place
    children: tuple[bytes, ...]
    """32 bytes each, padding included."""
    index: int | None = None
    """Which one was pointed at; None as long as none was."""


@dataclass(frozen=True, slots=True)
class View:
    """All that the chain shows of one game: `Games.stored_of`, and from its events what was posted and said.

    A move is a function of this and of one's own run, so after a kill or a reorganisation the same view gives the same
    move. The numbers that are narrowed hold from the place on that fixes them."""

    case: bytes
    """32 bytes."""
    head: bytes
    """Of all moves so far (GAM-31), 32 bytes."""
    stage: Stage
    place: Place = Place.NONE
    defender: str = ""
    challenger: str = ""
    receipt: bytes = ZERO32
    """Digest."""

    # fixed by `begin`, from the receipt and its order
    model_root: bytes = ZERO32
    prompt_root: bytes = ZERO32
    response_root: bytes = ZERO32
    evidence_root: bytes = ZERO32
    seed: int = 0
    temperature: int = 0
    """binary32 bits."""
    top_k: int = 0
    top_p: int = 0
    """binary32 bits."""
    prompt_units: int = 0
    answer_from: int = 0
    """Position of the response root's first unit."""
    answer_units: int = 0
    rival: int = NOTHING
    """An id that the sampling rule would have preferred, or NOTHING."""
    positions: int = 0
    """P = prompt_units + unit: of the run that is disputed; 0 until the unit is known."""

    # fixed by `answer`
    run_root: bytes = ZERO32
    facts_hash: bytes = ZERO32
    """Keccak-256 of the facts."""
    nodes: int = 0
    """Of the graph."""

    # the tree that is gone down
    at: bytes = ZERO32
    """The node whose children are to be posted or pointed at; at a tree's top the sealed root or its leaf hash."""
    levels: int = 0
    """Between `at` and the leaves."""
    wide: int = 0
    """Levels that the last post went down."""
    count: int = 0
    """Leaves of the tree."""
    base: int = 0
    """Index of `at` among the nodes of its level."""

    # what is narrowed down to
    position: int = 0
    position_leaf: bytes = ZERO32
    """Leaf hash of the position's root."""
    node: int = 0
    node_hash: bytes = ZERO32
    """Leaf hash of the node's own leaf, under the graph's root."""
    elements: int = 0
    """Of the node, at the position; where ids are narrowed, of the vocabulary."""
    lanes: int = 0
    """0 a map, else the fold's chains: 1 or 16."""
    join: int = 0
    """Code of the operation that joins 16 chains."""
    element: int = 0
    """While words are said the first of the leaf."""
    chain: int = 0
    low: int = 0
    """Turns of the chain after which the sum is agreed."""
    high: int = 0
    """Turns after which it is claimed: until there is a chain, all of the fold's; 1 for a map."""
    low_word: int = 0
    """The agreed sum; before the first turn the word that each chain starts from."""
    claimed: int = 0
    """The defender's word: of the element, the chain, the sum after `high` turns."""
    lowest: int = NOTHING
    """Where ids are narrowed: the lowest that top-k is said to keep (GAM-5)."""
    greatest: int = NOTHING
    """The id with the greatest logit that is said to be kept."""
    sieve: bytes = ZERO32
    """Digest of what shares follow from (`moves.Sieve`)."""
    before: int = 0
    """The sum over the ids below `low`, which is agreed."""
    after: int = 0
    """The sum over those below `high`, which is claimed."""
    said: bytes = ZERO32
    """Keccak-256 of the words said last."""

    # clocks
    defender_clock: int = 0
    """Seconds that the defender has for all of its moves to come."""
    challenger_clock: int = 0
    since: int = 0
    """Unix seconds: when whoever is to move began to be."""
    moves: int = 0
    """Of the defender; each earns a flat fee if the challenger loses (GAM-33)."""

    # from events
    posts: tuple[Post, ...] = field(default=(), repr=False)
    """All posts, in order."""
    words: bytes = b""
    """The last words said, little-endian; sums over ids 32 bytes each, big-endian."""
    outcome: Outcome | None = None
    """CHEATED: the defender lost. HONEST: the challenger lost. CANNOT_TELL: released, nobody lost (GAM-34)."""
    why: str = ""

    @property
    def unit(self) -> int:
        """The generated unit in dispute, once it is known."""
        return self.positions - self.prompt_units

    @property
    def generated(self) -> int:
        """How many units were generated: leaves of the evidence root."""
        return self.answer_units - self.prefix

    @property
    def prefix(self) -> int:
        """Units of a delivered prefix, which the response root covers too (rule P6)."""
        return self.prompt_units - self.answer_from

    @property
    def turn(self) -> int:
        """Of the whole fold, once one is left (GRA-7); 0 for a map."""
        return self.chain + self.low * max(self.lanes, 1)


def to_move(view: View) -> Side | None:
    """Whose clock runs."""
    return TO_MOVE[view.stage]


def split(levels: int) -> int:
    """How many levels a post goes down where so many are left (GAM-10): even rounds of at most 6."""
    rounds = -(-levels // LEVELS_AT_ONCE)
    return -(-levels // rounds) if rounds else 0


def children_with_leaves(view: View) -> int:
    """How many of the 2**split children of `at` have leaves below them; what stands behind is padding."""
    split_by = split(view.levels)
    inside = view.count - (view.base << view.levels)
    return min(1 << split_by, -(-inside // (1 << view.levels - split_by)))


def chain_turns(turns: int, chain: int) -> int:
    """How many of a fold's turns belong to one of its 16 chains (GRA-7)."""
    return (turns + CHAINS - 1 - chain) // CHAINS


def cuts(low: int, high: int) -> tuple[int, ...]:
    """After which turns of the chain sums are said between an agreed and a claimed one, the claimed one's last
    (GAM-15)."""
    turns = high - low
    parts = min(turns, TURNS_AT_ONCE)
    return tuple(low + turns * part // parts for part in range(1, parts + 1))


def words_due(view: View) -> int:
    """How many words `say` has to show, or sums over ids: those with the agreed and the claimed one (GAM-6)."""
    if view.place == Place.IDS:
        return len(cuts(view.low, view.high)) + 1
    if view.place == Place.WORDS:
        return min(WORDS_PER_LEAF, view.elements - view.element)
    return CHAINS if view.place == Place.CHAINS else len(cuts(view.low, view.high)) - 1


def says(temperature: int, top_k: int, top_p: int, vocabulary: int) -> tuple[bool, bool]:
    """Whether top-k and whether top-p has a say (GAM-5): some id may be left out. Numbers as an order has them."""
    drawn = temperature != 0
    return drawn and 0 < top_k < vocabulary, drawn and top_p < KEEPS_ALL


def leaves_of(elements: int) -> int:
    """Leaves of a value of so many elements (GRA-14)."""
    return -(-elements // WORDS_PER_LEAF)


def cut_value(value: bytes) -> list[bytes]:
    """The leaves of a value (GRA-14)."""
    size = WORD * WORDS_PER_LEAF
    return [value[at : at + size] for at in range(0, len(value), size)]


def value_leaves(value: bytes) -> list[bytes]:
    """Their hashes."""
    return [merkle.leaf_hash(leaf) for leaf in cut_value(value)]


def words_of(raw: bytes) -> list[int]:
    """Words as they are said, 4 bytes little-endian each."""
    return [int.from_bytes(raw[at : at + WORD], "little") for at in range(0, len(raw), WORD)]


def said_words(words: Iterable[int]) -> bytes:
    """The other way round."""
    return b"".join(word.to_bytes(WORD, "little") for word in words)


def sums_of(raw: bytes) -> list[int]:
    """Sums over ids as they are said."""
    return [int.from_bytes(raw[at : at + SUM]) for at in range(0, len(raw), SUM)]


def said_sums(sums: Iterable[int]) -> bytes:
    """The other way round."""
    return b"".join(one.to_bytes(SUM) for one in sums)


def loser(view: View) -> Side | None:
    """Who is charged (GAM-33); None while the game goes on, or if it was released (GAM-34)."""
    return {Outcome.CHEATED: Side.DEFENDER, Outcome.HONEST: Side.CHALLENGER}.get(view.outcome or Outcome.CANNOT_TELL)
