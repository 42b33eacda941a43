"""The referee's part of a game about top-k and top-p, from the marks that an answer opens to the one id that is weighed
(spec/games.md, GAM-5 to GAM-7)."""

from dataclasses import replace
from typing import Protocol

from steelyard.protocol import games, moves
from steelyard.protocol.games import NOTHING, Place, Stage, View
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.moves import Filtered, Mark, Sieve
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.narrowing import over, tree
from steelyard.verification.openings import require, word_of

SUMS, COUNTS = 2**256, 2**64


class Filters(Protocol):
    """Handed in, as all arithmetic."""

    def sieved(self, view: View, sieve: Sieve, sums: int) -> bool:
        """True if the sampling rule would have picked the rival rather than the unit, what the sums leave out counting
        as minus infinity. Raises Refused("games.sums") if no lowest and greatest have such sums."""
        ...

    def share(self, sieve: Sieve, one: int, z: int) -> int:
        """What an id adds to the sums; `z` is its logit's word."""
        ...


def marked(view: View, shown: Filtered, sieve: Sieve) -> Sieve:
    """GAM-5: with the marks of the filters that have a say, whose logits open under the same root."""
    top_k, top_p = games.says(view.temperature, view.top_k, view.top_p, sieve.vocabulary)
    lowest, greatest = _logit(sieve, shown.lowest, top_k), _logit(sieve, shown.greatest, top_p)
    require(top_k or top_p or shown.sums % COUNTS == 0, "games.sums", "no filter has a say")
    sieve = replace(sieve, lowest=shown.lowest.id, lowest_z=lowest)
    return replace(sieve, greatest=shown.greatest.id, greatest_z=greatest)


def _logit(sieve: Sieve, mark: Mark, says: bool) -> int:
    require((mark.id != NOTHING) == says, "games.marks", f"id {mark.id}, the filter has {'a' if says else 'no'} say")
    if not says:
        return NOTHING
    require(mark.id < sieve.vocabulary, "games.opening", f"id {mark.id} of {sieve.vocabulary}")
    root, logit = word_of(sieve.vocabulary, mark.id, mark.words, mark.path)
    require(root == sieve.logits, "games.opening", f"the logit of id {mark.id} is not the run's")
    return logit


def sifting(view: View, sieve: Sieve, sums: int) -> View:
    """At the top of the ids. The run's tree waits for what is picked there."""
    ids = sieve.vocabulary
    view = replace(view, low=0, high=ids, elements=ids, lowest=sieve.lowest, greatest=sieve.greatest)
    return replace(view, stage=Stage.SAY, place=Place.IDS, sieve=sieve.digest(), before=0, after=sums)


def require_sums(view: View, raw: bytes) -> None:
    """GAM-6: the sums between what is agreed and what is claimed, with both."""
    due, sums = games.words_due(view), games.sums_of(raw)
    fits = len(raw) == games.SUM * due
    require(fits, "games.words", f"{len(raw)} bytes for {due} sums")
    require((sums[0], sums[-1]) == (view.before, view.after), "games.words", "not between those that are known")


def picked(view: View, index: int, sums: list[int]) -> View:
    """GAM-6: the ids between two sums, or the run."""
    if index == 0 and (view.low, view.high) == (0, view.elements):
        view = replace(view, low=0, high=0, elements=0, lowest=NOTHING, greatest=NOTHING, before=0, after=0)
        view = replace(view, sieve=ZERO32)
        return tree(view, Place.RUN, view.run_root, view.positions)
    require(1 <= index < len(sums), "games.index", f"{index}, 1 to {len(sums) - 1}")
    cuts = (view.low, *games.cuts(view.low, view.high))
    low, high = cuts[index - 1], cuts[index]
    stage = Stage.STEP if high - low == 1 else Stage.SAY
    return replace(view, stage=stage, low=low, high=high, before=sums[index - 1], after=sums[index])


def weighed(view: View, move: moves.Weigh, filters: Filters) -> View:
    """GAM-7."""
    require(move.sieve.digest() == view.sieve, "games.sieve", "is not what was answered")
    root, logit = word_of(move.sieve.vocabulary, view.low, move.words, move.path)
    require(root == move.sieve.logits, "games.opening", f"the logit of id {view.low} is not the run's")
    require((move.before, move.after) == (view.before, view.after), "games.said", "other sums were said")
    right = (view.after - view.before) % SUMS == filters.share(move.sieve, view.low, logit)
    return over(view, Outcome.HONEST if right else Outcome.CHEATED, "sum")
