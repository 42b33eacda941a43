"""`verification.referee.Arithmetic` over nodes' leaves, by `engines.ir`: what a contract derives and computes."""

from collections.abc import Callable, Sequence

import numpy as np
from counting import unravel

from steelyard.engines import draws, sieves
from steelyard.engines.ir import encoding, leaves
from steelyard.engines.ir.graph import Node
from steelyard.engines.ir.leaves import FileAt, NodeAt, TableAt
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import NOTHING, WORDS_PER_LEAF, View
from steelyard.protocol.moves import Sieve
from steelyard.verification.openings import Spot
from steelyard.verification.referee import Shape

FILE_WORDS = 256
Prefers = Callable[[View, int, int, int], bool]


def greater(view: View, rival: int, unit: int, logit: int) -> bool:
    """T = 0 over signed whole numbers."""
    signed, other = ((word ^ 1 << 31) for word in (logit, rival))
    return other > signed or (other == signed and view.rival < unit)


def drawn(view: View, rival: int, unit: int, logit: int) -> bool:
    """Rule P3 between two ids (SMP-1, SMP-4, SMP-5)."""
    ids = np.array(sorted({unit, view.rival}))
    known = {unit: logit, view.rival: rival}
    logits = np.full(int(ids.max()) + 1, -np.inf, np.float32)
    logits[ids] = np.array([known[one] for one in ids], np.uint32).view(np.float32)
    draw = draws.Draw(view.temperature, draws.ONE_BITS, 0, view.seed)
    return draws.pick(logits, draw, view.positions) != unit


class GraphArithmetic:
    """Of a file words of four bytes only."""

    def __init__(self, prefers: Prefers) -> None:
        self.prefers = prefers

    def sieved(self, view: View, sieve: Sieve, sums: int) -> bool:
        if not sieves.fits(sieve, sums, view.top_k):
            raise Refused("games.sums", f"0x{sums:064x}")
        return sieves.beaten(sieve, sums, view.top_p, view.seed, view.positions)

    def share(self, sieve: Sieve, one: int, z: int) -> int:
        return sieves.share(sieve, one, z)

    def describe(self, node: bytes, position: int) -> Shape:
        read = leaves.decode(node).node
        join = encoding.CODES[read.join] if read.join else 0
        return Shape(read.elements(position), read.turns(position), read.lanes if read.fold else 0, read.start, join)

    def join(self, code: int, chains: Sequence[int]) -> int:
        name = encoding.NAMES[code]
        kind = OPERATIONS[name].gives
        body = encoding.tree(Node("", kind, (), (), "", (), lanes=len(chains), join=name))
        return encoding.step(body, chains)

    def spots(self, node: bytes, position: int, element: int, turn: int, unit: int) -> list[Spot]:
        return [spot for spot, _ in self._places(node, position, element, turn, unit)]

    def step(
        self, node: bytes, position: int, element: int, turn: int, accumulator: int, unit: int, data: Sequence[bytes]
    ) -> int:
        read = leaves.decode(node).node
        places = self._places(node, position, element, turn, unit)
        operands = []
        for leaf, (_, at), view in zip(data, places, read.loads, strict=True):
            words = np.frombuffer(leaf, "<i4")[at : at + view.width]
            if len(words) < view.width:
                raise Refused("operands.range", f"{view.width} words from {at} on of {len(leaf)} bytes")
            operands.append(encoding.word(words))
        operands += [accumulator] if read.fold else []
        return encoding.step(encoding.body(read), operands, self._axes(read, position, element, turn), position)

    @staticmethod
    def _axes(node: Node, position: int, element: int, turn: int) -> list[int]:
        extents = node.extents(position)
        return unravel(element, extents[: len(node.space)]) + unravel(turn, extents[len(node.space) :])

    def _places(self, raw: bytes, position: int, element: int, turn: int, unit: int) -> list[tuple[Spot, int]]:
        """Of each load the leaf, and which word of it."""
        leaf = leaves.decode(raw)
        axes, found = self._axes(leaf.node, position, element, turn), []
        for view in leaf.node.loads:
            if view.by_id and unit == NOTHING:
                raise Refused("operands.id", "was not opened")
            index = view.offset.at(position) + view.by_id * unit
            index += sum(stride * axis for stride, axis in zip(view.strides, axes, strict=True))
            at = position if view.position_axis is None else axes[view.position_axis]
            match leaf.sources[view.source]:
                case NodeAt(node):
                    spot, word = Spot(0, at, node, index // WORDS_PER_LEAF, b""), index % WORDS_PER_LEAF
                case FileAt(_, first):
                    spot, word = Spot(1, 0, 0, first + index // FILE_WORDS, b""), index % FILE_WORDS
                case TableAt(root):
                    spot, word = Spot(2, 0, 0, index // WORDS_PER_LEAF, root), index % WORDS_PER_LEAF
            found.append((spot, word))
        return found
