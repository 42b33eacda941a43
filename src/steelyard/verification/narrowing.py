"""How a game goes down: from a tree's top to a leaf, from a leaf to a turn. The referee's part without openings."""

from dataclasses import replace

from steelyard.protocol import games, merkle, moves
from steelyard.protocol.games import Place, Stage, View
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.openings import require


def over(view: View, outcome: Outcome, why: str) -> View:
    return replace(view, stage=Stage.OVER, outcome=outcome, why=why)


def tree(view: View, place: Place, at: bytes, count: int) -> View:
    """At the top of a tree."""
    return replace(view, stage=Stage.POST, place=place, at=at, count=count, levels=merkle.depth_of(count), base=0)


def is_current(view: View, node: bytes) -> bool:
    """True if the node is the one that the game has come to."""
    if view.levels < merkle.depth_of(view.count):
        return node == view.at
    root = merkle.seal(view.count, node)
    return view.at == (root if view.place in (Place.EVIDENCE, Place.RUN) else merkle.leaf_hash(root))


def pointed(view: View, move: moves.Point | moves.PointNode) -> View:
    """GAM-11: one post further down."""
    down, inside = games.split(view.levels), games.children_with_leaves(view)
    require(0 <= move.index < inside, "games.index", f"{move.index} of {inside}")
    fits = len(move.path) == down and is_current(view, merkle.climb(move.index, move.child, move.path))
    require(fits, "games.path", f"child {move.index} is another")
    posts = (*view.posts[:-1], replace(view.posts[-1], index=move.index))
    base = (view.base << down) + move.index
    return replace(view, at=move.child, levels=view.levels - down, base=base, posts=posts)


def between(view: View, low: int, high: int, low_word: int, word: int) -> View:
    """GAM-14 and GAM-15: a chain between an agreed sum and a claimed one."""
    view = replace(view, low=low, high=high, low_word=low_word, claimed=word)
    if view.lanes and high == low:
        return over(view, Outcome.HONEST if word == low_word else Outcome.CHEATED, "start")
    if not view.lanes:
        return replace(view, stage=Stage.STEP)
    return replace(view, stage=Stage.STEP if high - low == 1 else Stage.SAY, place=Place.TURNS)
