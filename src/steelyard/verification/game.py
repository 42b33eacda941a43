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
    """Nothing yet."""
    RUN = 1
    """Which position."""
    NODES = 2
    """Which node of it."""
    LEAVES = 3
    """Which leaf of the node's value."""
    WORDS = 4
    """Which element."""
    CHAINS = 5
    """Which of 16 chains of its fold."""
    TURNS = 6
    """Which turns of the chain."""


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
    """All that the chain shows of one game: `Games.game_of`, and from its events what was posted and said.

    A move is a function of this and of one's own run, so after a kill or a reorganisation the same view gives the same
    move. The numbers that are narrowed hold from the place on that fixes them; 0 before."""

    case: bytes
    """32 bytes."""
    head: bytes
    """Of all moves so far (GAM-31), 32 bytes."""
    stage: Stage
    place: Place = Place.NONE
    moves: int = 0
    defender_moves: int = 0
    """Of those; each earns a flat fee if the challenger loses (GAM-33)."""

    # fixed by `begin`
    early: bool = False
    """True for `begin_early`: an answer that ends early (GAM-35)."""
    unit: int = 0
    """The generated unit whose evidence is disputed."""
    evidence: bytes = ZERO32
    """Its leaf, as the receipt has it."""
    rival: int = NOTHING
    """An id that the sampling rule would have preferred, or NOTHING."""
    positions: int = 0
    """P = prompt_units + unit: of the run that is disputed."""
    model_root: bytes = ZERO32
    prompt_root: bytes = ZERO32
    prompt_units: int = 0
    answer_from: int = 0
    """Position of the response root's first unit."""
    response_root: bytes = ZERO32
    answer_units: int = 0
    temperature: int = 0
    """binary32 bits."""
    seed: int = 0

    # fixed by `answer`
    run_root: bytes = ZERO32
    facts_hash: bytes = ZERO32
    """Leaf hash of the facts."""
    nodes: int = 0
    """Of the graph."""

    # the tree that is gone down
    at: bytes = ZERO32
    """The node whose children are to be posted or pointed at; at a tree's top the sealed root's leaf hash."""
    count: int = 0
    """Leaves of the tree."""
    levels: int = 0
    """Between `at` and the leaves."""
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
    """Of the node, at the position."""
    turns: int = 0
    """Of its fold for one element; 1 for a map."""
    lanes: int = 0
    """0 a map, else the fold's chains: 1 or 16."""
    start: int = 0
    """The word that each chain starts from."""
    join: int = 0
    """Code of the operation that joins 16 chains."""
    leaf: int = 0
    element: int = 0
    chain: int = 0
    low: int = 0
    """Turns of the chain after which the sum is agreed."""
    high: int = 0
    """Turns after which it is claimed."""
    low_word: int = 0
    """The agreed sum; before the first turn `start`."""
    word: int = 0
    """The defender's claim: of the element, the chain, the sum after `high` turns."""
    said_hash: bytes = ZERO32
    """SHA-256 of the words said last."""

    # clocks
    defender_left: int = 0
    """Seconds that the defender has for all of its moves to come."""
    challenger_left: int = 0
    since: int = 0
    """Unix seconds: when whoever is to move began to be."""

    # the end
    outcome: Outcome | None = None
    """CHEATED: the defender lost. HONEST: the challenger lost. CANNOT_TELL: released, nobody lost (GAM-34)."""
    why: str = ""

    # from events
    posts: tuple[Post, ...] = field(default=(), repr=False)
    """All posts, in order."""
    said: bytes = b""
    """The last words said, little-endian."""


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


def chain_turns(view: View, chain: int) -> int:
    """How many of a fold's turns belong to one of its chains (GRA-7)."""
    return -(-(view.turns - chain) // view.lanes) if chain < view.turns else 0


def cuts(low: int, high: int) -> tuple[int, ...]:
    """After which turns of the chain sums are said between an agreed and a claimed one, the claimed one's last
    (GAM-15)."""
    turns = high - low
    parts = min(turns, TURNS_AT_ONCE)
    return tuple(low + turns * part // parts for part in range(1, parts + 1))


def words_due(view: View) -> int:
    """How many words `say` has to show."""
    if view.place == Place.WORDS:
        return min(WORDS_PER_LEAF, view.elements - view.leaf * WORDS_PER_LEAF)
    return CHAINS if view.place == Place.CHAINS else len(cuts(view.low, view.high)) - 1


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
