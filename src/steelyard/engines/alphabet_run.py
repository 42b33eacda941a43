"""The toy's graph in plain numpy, a position at a time: what `ir.evaluate` gives for every node, in microseconds.

Sums of small whole numbers are exact in binary32, so numpy may add them in any order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines import alphabet_graph as graph
from steelyard.engines.alphabet_graph import LANES, STIR, Language
from steelyard.engines.ir import scalars

Array = NDArray[Any]
F32, I32 = np.float32, np.int32
BELOW: Final = 4 * 256
"""A score so many 1/256 below the greatest weighs nothing: 15·e^-4 rounds to 0."""
WEIGHTS: Final = np.rint(scalars.exp(-np.arange(BELOW + 1, dtype=F32) * F32(graph.SCORED)) * F32(graph.PARTS))
FACTORS: Final = np.array([number - 2**32 if number >= 2**31 else number for number in STIR], I32)[:, None, None, None]
HALVES, COLUMNS = np.arange(2, dtype=I32)[:, None], np.arange(LANES, dtype=I32)


class Run:
    """Ids read so far. Positions are counted from 0; most of a run is what is kept of each: 64 small numbers.

    Args:
        most: positions there is room for.
        spoken: which language each position is computed in; a liar's changes on the way.
    """

    def __init__(self, most: int, spoken: Callable[[int], Language]) -> None:
        self.count = 0
        self._spoken = spoken
        self._cut = np.empty((most, 2, LANES), F32)
        self._digest = np.ones(2 * LANES, I32)
        self._here: dict[str, Array] = {}

    def take(self, ids: Sequence[int]) -> None:
        """Reads on."""
        for unit in ids:
            self._take(unit)

    def _take(self, unit: int) -> None:
        letters = self._spoken(self.count).tables["letters"]
        embedding = letters[LANES * unit : LANES * (unit + 1)]
        place = np.full((1, 1), self.count, I32) * FACTORS[1, 0] + HALVES * FACTORS[2, 0] + COLUMNS
        x = embedding * FACTORS[0, 0] + place
        stirred = x * (x + FACTORS[3, 0])
        cut = _low(stirred.astype(F32) * F32(graph.CUT))
        self._digest = self._digest * I32(graph.DIGEST) + stirred.reshape(-1)
        self._cut[self.count] = cut
        self._here = {"embedding": embedding, "stirred": stirred, "cut": cut}
        self.count += 1

    def values(self) -> dict[str, Array]:
        """Every node's value at the last position, in its own shape: float32 or int32."""
        spoken = self._spoken(self.count - 1)
        tables, (mixing, head) = spoken.tables, spoken.matrices
        cut = self._cut[: self.count]
        query = np.rint((mixing @ cut[-1, 0]) * F32(graph.ASKED))
        dots = cut[:, 0] @ query
        greatest = dots.max()
        weight = WEIGHTS[np.minimum(greatest - dots, F32(BELOW)).astype(I32)]
        total, mixed = weight.sum(dtype=F32), weight @ cut[:, 1]
        spread = self._digest.reshape(2, LANES).astype(F32) * F32(graph.MIX)
        state = spread + mixed / total
        level = _low(state.reshape(-1) * F32(graph.LEVEL))
        size = level.astype(F32)
        norm = size @ size
        length = np.sqrt(norm) * F32(64)
        raised = head @ size
        stop = F32(self._digest[:1] * FACTORS[0, 0, 0] < tables["odds"])
        logits = raised / length + tables["bias"] + stop * tables["gain"]
        return self._here | {
            "query": query.astype(I32),
            "score": dots * F32(graph.SCORED),
            "greatest": greatest * F32(graph.SCORED),
            "weight": weight,
            "total": total,
            "mixed": mixed,
            "digest": self._digest,
            "state": state,
            "level": level,
            "norm": norm,
            "length": length,
            "raised": raised.astype(I32),
            "stop": stop,
            "logits": logits,
        }


def _low(x: Array) -> Array:
    """Seven low bits of a rounded number, from -64 to 63."""
    found: Array = (np.rint(x).astype(I32) & I32(127)) - I32(64)
    return found
