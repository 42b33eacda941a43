"""What both sides of a game say of a filter: whom it names, sums over one's own logits, and one id's weighing (GAM-5 to
GAM-7). Logits are those of the position that chose the unit, all words of the value."""

from steelyard.engines import sieves
from steelyard.protocol import games, merkle
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.games import NOTHING, WORDS_PER_LEAF, View
from steelyard.protocol.moves import Filtered, Mark, Sieve, Weigh


def filtered(view: View, logits: bytes, unit: int) -> Filtered:
    """What an answer says; nothing where no filter has a say, or the rival is no id of the model's."""
    vocabulary = len(logits) // games.WORD
    drawn = view.temperature, view.top_k, view.top_p
    if view.rival >= vocabulary:
        return Filtered()
    lowest, greatest = sieves.marks(logits, *drawn)
    sieve = sieves.sieve_of(logits, view.temperature, unit, view.rival, lowest, greatest)
    return Filtered(_mark(logits, lowest), _mark(logits, greatest), *sieves.tallies(logits, sieve, [vocabulary]))


def own_sums(view: View, logits: bytes, unit: int) -> list[int]:
    """The sums that `say` shows, both ends with them (GAM-6)."""
    return sieves.tallies(logits, sieve_of(view, logits, unit), (view.low, *games.cuts(view.low, view.high)))


def weigh(view: View, logits: bytes, unit: int) -> Weigh:
    """The one id that is left."""
    sieve = sieve_of(view, logits, unit)
    return Weigh(view.case, view.head, sieve, *opened(logits, view.low), view.before, view.after)


def sieve_of(view: View, logits: bytes, unit: int) -> Sieve:
    """The lowest and the greatest are those that the defender named. Raises Unavailable("chain.behind") if a chain's
    events say otherwise than what it stores: then nothing that is moved would be right."""
    found = sieves.sieve_of(logits, view.temperature, unit, view.rival, view.lowest, view.greatest)
    if found.digest() != view.sieve:
        named = f"ids {view.lowest} and {view.greatest}"
        raise Unavailable("chain.behind", f"case 0x{view.case.hex()}: {named} are not what was answered with")
    return found


def opened(value: bytes, index: int) -> tuple[bytes, tuple[bytes, ...]]:
    """The leaf of a value that holds an element, and its path; nothing if there is no such element."""
    if games.WORD * index >= len(value):
        return b"", ()
    leaf = index // WORDS_PER_LEAF
    return games.cut_value(value)[leaf], merkle.prove(games.value_leaves(value), leaf)


def _mark(logits: bytes, one: int) -> Mark:
    return Mark() if one == NOTHING else Mark(one, *opened(logits, one))
