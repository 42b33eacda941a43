"""What is asked of a model without its graph: one leaf of its model root (spec/ir.md, GRA-18)."""

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from steelyard.protocol.errors import Refused

FACTS: Final = 2
"""Index of the leaf in the model root's tree."""
MAX_ENDS: Final = 32
MAX_NODES: Final = 2**16
HEAD: Final = struct.Struct(">32s6IB")
MAX_FACTS: Final = HEAD.size + 4 * MAX_ENDS  # = 57 + 128 = 185 bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a model."""

    graph_root: bytes
    """Of the tree over the nodes' leaves, 32 bytes."""
    nodes: int
    """How many."""
    state: int
    """Index of the node whose value is the state that evidence is made of."""
    logits: int
    """Index of the node whose value is a logit an id."""
    width: int
    """Elements of the state."""
    vocabulary: int
    """Elements of the logits."""
    positions: int
    """Most in a run."""
    ends: tuple[int, ...]
    """Ids that end an answer, ascending."""

    def raw(self) -> bytes:
        """The leaf. Raises as `read`, and Refused("facts.range") for a number that its field cannot hold."""
        numbers = (self.nodes, self.state, self.logits, self.width, self.vocabulary, self.positions, len(self.ends))
        assert len(self.graph_root) == 32
        try:
            raw = HEAD.pack(self.graph_root, *numbers) + struct.pack(f">{len(self.ends)}I", *self.ends)
        except struct.error as error:
            raise Refused("facts.range", str(error)) from error
        Facts.read(raw)
        return raw

    @staticmethod
    def read(raw: bytes) -> "Facts":
        """Reads a leaf; what it accepts, `raw` would write just so.

        Raises Refused: `facts.length`, `facts.nodes`, `facts.size`, `facts.ends`."""
        if len(raw) < HEAD.size or len(raw) != HEAD.size + 4 * raw[HEAD.size - 1]:
            raise Refused("facts.length", f"{len(raw)} bytes, {HEAD.size} and 4 an end")
        root, nodes, state, logits, width, vocabulary, positions, count = HEAD.unpack_from(raw)
        ends: tuple[int, ...] = struct.unpack_from(f">{count}I", raw, HEAD.size)
        if not max(state, logits) < nodes <= MAX_NODES:
            raise Refused("facts.nodes", f"{nodes} nodes, at most {MAX_NODES}; the state is {state}, logits {logits}")
        if not min(width, vocabulary, positions):
            raise Refused("facts.size", f"state {width}, vocabulary {vocabulary}, positions {positions}, none may be 0")
        if count > MAX_ENDS or any(a >= b for a, b in pairwise((*ends, vocabulary))):
            told = f"{ends}, must be at most {MAX_ENDS}, ascending and below {vocabulary}"
            raise Refused("facts.ends", told)
        return Facts(root, nodes, state, logits, width, vocabulary, positions, ends)
