"""Trees that are gone down: what is posted, what is pointed at, and paths under a tree that is not one's own.

The challenger opens the last step under the defender's trees. All that stands before the first difference is in its own
tree as well; all that stands on or behind the way down, at the levels where a path meets it, the defender posted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from steelyard.protocol import merkle
from steelyard.protocol.games import Place, View, split


def below(leaves: Sequence[bytes], view: View) -> tuple[bytes, ...]:
    """The nodes that `post` shows for the view's node, in one's own tree over these leaf hashes."""
    down = split(view.levels)
    layer = merkle.Tree(leaves).layers[view.levels - down]
    return tuple(layer[view.base << down : (view.base + 1) << down])


@dataclass(frozen=True, slots=True)
class Way:
    """The way down one of the defender's trees.

    Invariant: for each node on the way whose children were posted, `known` has these and all between."""

    known: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(levels above the leaves, index in that level) -> node."""

    @staticmethod
    def down(view: View, place: Place, count: int) -> "Way":
        """The way through the tree of `count` leaves in which `place` was narrowed."""
        posts = [post for post in view.posts if post.place == place]
        known: dict[tuple[int, int], bytes] = {}
        levels, base = merkle.depth_of(count), 0
        for post in posts:
            levels -= split(levels)
            first = base << len(post.children).bit_length() - 1
            for up, layer in enumerate(merkle.Tree(post.children).layers):
                known.update({(levels + up, (first >> up) + i): node for i, node in enumerate(layer)})
            base = first + (post.index or 0)
        return Way(known)

    def path(self, own: Sequence[bytes], index: int) -> tuple[bytes, ...]:
        """Siblings from leaf `index` to the top of the defender's tree. The leaf stands before the one that the way
        leads to, or is it; `own` are all leaf hashes of one's own tree, agreed before that one."""
        pairs: Iterable[tuple[int, list[bytes]]] = enumerate(merkle.Tree(own).layers[:-1])
        siblings = ((level, index >> level ^ 1, layer) for level, layer in pairs)
        return tuple(self.known.get((level, sibling)) or layer[sibling] for level, sibling, layer in siblings)
