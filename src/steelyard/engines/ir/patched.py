"""A liar for tests and demonstrations: a run that says other words than it computed, in trees that agree with them."""

from collections.abc import Mapping, Sequence

from steelyard.engines.ir.holding import GraphHolding, Load, hashed, opened
from steelyard.protocol import merkle

WORD = 4


class Patched:
    """`GraphHolding`, with lies.

    Args:
        honest: the run as it is.
        words: (position, node, element) -> the word that is said there.
        said: (position, node, element, chain, turns) -> the word that is said to be the chain's sum after so many turns
            of its own. One after all turns of a fold of 16 chains is what `chains` says, too.
    """

    def __init__(
        self,
        honest: GraphHolding,
        words: Mapping[tuple[int, int, int], int],
        said: Mapping[tuple[int, int, int, int, int], int] | None = None,
    ) -> None:
        self._honest, self._words, self._said = honest, words, said or {}
        self._nodes: dict[int, list[bytes]] = {}
        self._positions = list(honest.positions())
        for position, node in {(position, node) for position, node, _ in words}:
            leaves = self._nodes.setdefault(position, list(honest.nodes(position)))
            leaves[node] = merkle.leaf_hash(merkle.root(hashed(self.value(position, node))))
        for position, leaves in self._nodes.items():
            self._positions[position] = merkle.leaf_hash(merkle.root(leaves))
        self.node_leaf, self.node_path = honest.node_leaf, honest.node_path
        self.facts, self.facts_path, self.model_leaves = honest.facts, honest.facts_path, honest.model_leaves

    def root(self) -> bytes:
        """See `GraphHolding`, as all below."""
        return merkle.root(self._positions)

    def positions(self) -> Sequence[bytes]:
        return self._positions

    def nodes(self, position: int) -> Sequence[bytes]:
        return self._nodes.get(position) or self._honest.nodes(position)

    def value(self, position: int, node: int) -> bytes:
        raw = bytearray(self._honest.value(position, node))
        for (at, which, element), word in self._words.items():
            if (at, which) == (position, node):
                _put(raw, element, word)
        return bytes(raw)

    def chains(self, position: int, node: int, element: int) -> bytes:
        raw = bytearray(self._honest.chains(position, node, element))
        for chain in range(len(raw) // WORD):
            place = (position, node, element, chain, self._honest.chain_turns(position, node, chain))
            if place in self._said:
                _put(raw, chain, self._said[place])
        return bytes(raw)

    def sums(self, position: int, node: int, element: int, chain: int, turns: Sequence[int]) -> list[int]:
        honest = self._honest.sums(position, node, element, chain, turns)
        places = [(position, node, element, chain, turn) for turn in turns]
        return [self._said.get(place, word) for place, word in zip(places, honest, strict=True)]

    def loads(self, position: int, node: int, element: int, turn: int = 0) -> list[Load]:
        loads = self._honest.loads(position, node, element, turn)
        return [load if load.tag else opened(load, self.value(load.position, load.node)) for load in loads]


def _put(raw: bytearray, index: int, word: int) -> None:
    assert 0 <= WORD * index < len(raw)
    raw[WORD * index : WORD * index + WORD] = word.to_bytes(WORD, "little")
