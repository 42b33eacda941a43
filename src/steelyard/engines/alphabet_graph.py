"""What the toy computes: a graph that has everything that disputes meet, over tables made of hashes (spec/ir.md).

One attention head over all positions so far, and a digest of them, so that the state depends on every id and on their
order; then scores for letters, and now and then for an end. Whole numbers are small enough that most float sums are
exact in any order; the definition is the graph's nevertheless. `alphabet_run` computes the same at speed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.ir import leaves as ir
from steelyard.engines.ir.graph import SO_FAR, Affine, Body, Graph, Register, View
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import Facts
from steelyard.protocol.hashing import sha256

Array = NDArray[Any]
ARITHMETIC: Final = "steelyard/alphabet/2"
KEY_VALUES: Final = "none"
END: Final = 256
VOCABULARY: Final = 257
CONTEXT: Final = 4096
LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz ,."
CLOSERS: Final = b'"]}'
"""Bytes that end what a grammar has open, where the toy would end its answer."""
END_ODDS: Final = 24
"""An answer ends after about so many units."""
STATE, LOGITS = "state", "logits"
LANES: Final = 32  # of a vector
STIR: Final = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F)  # odd; xxHash's
DIGEST: Final = 0x2C1B3C6D  # odd
CUT, ASKED, SCORED, PARTS, MIX, LEVEL = 2.0**-12, 2.0**-12, 2.0**-8, 15.0, 2.0**-24, 2.0**10
SILENT: Final = -64.0
"""Logit of what is not a letter; a letter's is a few units around 0."""
STOPPED: Final = {END: 128.0} | dict.fromkeys(CLOSERS, 96.0)
"""Added where the toy stops."""


def build() -> Graph:
    """The graph: 17 nodes."""
    graph = Graph(inputs={"letters": "i", "mixing": "i", "head": "i", "bias": "f", "gain": "f", "odds": "i"})
    two, columns = (2, LANES), (0, 1)
    graph.map("embedding", [LANES], [View("letters", (1,), by_id=LANES)], lambda _, letter: letter)
    graph.map("stirred", two, [View("embedding", columns)], _stir)
    graph.map("cut", two, [View("stirred", (LANES, 1))], lambda b, x: _low(b, b.do("float", x) * CUT))
    asked = [View("cut", (0,), width=LANES), View("mixing", (LANES,), width=LANES)]
    graph.map("query", [LANES], asked, lambda b, x, row: b.do("round", b.do("float", b.do("dot", x, row)) * ASKED))
    pairs = [View("query", (0,), width=LANES), View("cut", (0,), position_axis=0, width=LANES)]
    graph.map("score", [SO_FAR], pairs, lambda b, x, key: b.do("float", b.do("dot", x, key)) * SCORED)
    none = float("-inf")
    graph.fold("greatest", [], SO_FAR, [View("score", (1,))], lambda b, a, x: b.do("larger", x, a), none)
    graph.map("weight", [SO_FAR], [View("score", (1,)), View("greatest", (0,))], _weigh)
    graph.fold("total", [], SO_FAR, [View("weight", (1,))], lambda _, a, x: a + x, lanes=16)
    values = [View("weight", (0, 1)), View("cut", (1, 0), Affine(LANES), position_axis=1)]
    graph.fold("mixed", [LANES], SO_FAR, values, lambda b, a, w, v: b.do("fma", w, b.do("float", v), a), lanes=16)
    past = [View("stirred", (1, 0), position_axis=1)]
    graph.fold("digest", [2 * LANES], SO_FAR, past, _digest, start=1)
    parts = [View("digest", (LANES, 1)), View("mixed", columns), View("total", (0, 0))]
    graph.map(STATE, two, parts, lambda b, d, m, total: b.do("float", d) * MIX + m / total)
    graph.map("level", [2 * LANES], [View(STATE, (1,))], lambda b, x: _low(b, x * LEVEL))
    graph.fold("norm", [], 2 * LANES, [View("level", (1,))], _square, lanes=16)
    graph.map("length", [], [View("norm", ())], lambda b, x: b.do("sqrt", x) * 64.0)
    blocks = [View("level", (0, LANES), width=LANES), View("head", (2 * LANES, LANES), width=LANES)]
    graph.fold("raised", [VOCABULARY], 2, blocks, lambda b, a, x, row: b.do("iadd", a, b.do("dot", x, row)), start=0)
    graph.map("stop", [], [View("digest", ()), View("odds", ())], _stop)
    last = [View("raised", (1,)), View("length", (0,)), View("bias", (1,)), View("stop", (0,)), View("gain", (1,))]
    graph.map(LOGITS, [VOCABULARY], last, _logit)
    return graph


def _stir(b: Body, letter: Register) -> Register:
    """Every id, position, half and column its own 32 bits."""
    place = b.do("iadd", b.do("imul", b.position(), b.whole(STIR[1])), b.do("imul", b.axis(0), b.whole(STIR[2])))
    x = b.do("iadd", b.do("imul", letter, b.whole(STIR[0])), b.do("iadd", place, b.axis(1)))
    return b.do("imul", x, b.do("iadd", x, b.whole(STIR[3])))


def _low(b: Body, x: Register) -> Register:
    """Seven low bits of a rounded number, from -64 to 63."""
    return b.do("iadd", b.do("iand", b.do("round", x), b.whole(127)), b.whole(-64))


def _weigh(b: Body, score: Register, greatest: Register) -> Register:
    return b.do("float", b.do("round", b.do("exp", score - greatest) * PARTS))


def _digest(b: Body, before: Register, x: Register) -> Register:
    return b.do("iadd", b.do("imul", before, b.whole(DIGEST)), x)


def _square(b: Body, before: Register, level: Register) -> Register:
    x = b.do("float", level)
    return b.do("fma", x, x, before)


def _stop(b: Body, digest: Register, odds: Register) -> Register:
    return b.do("float", b.do("iless", b.do("imul", digest, b.whole(STIR[0])), odds))


def _logit(b: Body, raised: Register, length: Register, bias: Register, stop: Register, gain: Register) -> Register:
    return b.do("fma", stop, gain, b.do("float", raised) / length + bias)


GRAPH: Final = build()


def _bytes(dialect: bytes, name: bytes, count: int) -> Array:
    """Whole numbers from -128 to 127."""
    blocks = [sha256(name, dialect, block.to_bytes(4, "big")) for block in range(-(-count // 32))]
    return np.frombuffer(b"".join(blocks)[:count], np.int8).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Language:
    """One dialect of the toy: its tables, and all that its model root covers. What is computed once is kept.

    Another dialect is another model."""

    dialect: bytes = b""
    odds: int = END_ODDS
    """An answer ends after about so many units; 0: never."""

    @cached_property
    def tables(self) -> Mapping[str, Array]:
        """Source -> its elements, int32 or float32, one-dimensional."""
        bias = np.full(VOCABULARY, SILENT, np.float32)
        bias[list(LETTERS)] = 0
        gain = np.zeros(VOCABULARY, np.float32)
        gain[list(STOPPED)] = list(STOPPED.values())
        below = -(2**31) + (min(2**32 // self.odds, 2**32 - 1) if self.odds else 0)
        return {
            "letters": _bytes(self.dialect, b"letters", VOCABULARY * LANES),
            "mixing": _bytes(self.dialect, b"mixing", LANES * LANES),
            "head": _bytes(self.dialect, b"head", VOCABULARY * 2 * LANES),
            "bias": bias,
            "gain": gain,
            "odds": np.array([below], np.int32),
        }

    @cached_property
    def matrices(self) -> tuple[Array, Array]:
        """`mixing` and `head` as rows of float32, for who multiplies by them."""
        mixing, head = (self.tables[name].astype(np.float32) for name in ("mixing", "head"))
        return mixing.reshape(-1, LANES), head.reshape(-1, 2 * LANES)

    @cached_property
    def trees(self) -> Mapping[str, merkle.Tree]:
        """Of the tables, over their leaves."""
        cut = {name: ir.cut(table.view("<u4").tobytes()) for name, table in self.tables.items()}
        return {name: merkle.Tree([merkle.leaf_hash(leaf) for leaf in found]) for name, found in cut.items()}

    @cached_property
    def sources(self) -> Mapping[str, ir.Source]:
        """Where every source of the graph's views is committed."""
        found: dict[str, ir.Source] = {node.name: ir.NodeAt(index) for index, node in enumerate(GRAPH.nodes)}
        return found | {name: ir.TableAt(tree.root) for name, tree in self.trees.items()}

    @cached_property
    def nodes(self) -> tuple[bytes, ...]:
        """The graph: one leaf a node (GRA-13)."""
        return tuple(ir.written(node, self.sources) for node in GRAPH.nodes)

    @cached_property
    def graph(self) -> merkle.Tree:
        """Over the nodes' leaves."""
        return merkle.Tree([merkle.leaf_hash(node) for node in self.nodes])

    @cached_property
    def facts(self) -> Facts:
        """What is asked of the model without its graph."""
        names = list(GRAPH.by_name)
        places = len(names), names.index(STATE), names.index(LOGITS)
        return Facts(self.graph.root, *places, 2 * LANES, VOCABULARY, CONTEXT, (END,))

    @cached_property
    def tree(self) -> merkle.Tree:
        """Of the model root: name, key-value cache type, facts."""
        parts = ARITHMETIC.encode(), KEY_VALUES.encode(), self.facts.raw()
        return merkle.Tree([merkle.leaf_hash(part) for part in parts])

    def leaf_of(self, field: ir.FileAt, _: int) -> int:
        """The toy has no file, so no element lies in one. Raises Refused("merkle.index")."""
        raise Refused("merkle.index", f"the toy has no file, nor {field}")

    def file_leaf(self, index: int) -> bytes:
        """As `leaf_of`."""
        raise Refused("merkle.index", f"the toy has no file, nor leaf {index} of it")


@lru_cache(maxsize=32)
def language(dialect: bytes = b"", odds: int = END_ODDS) -> Language:
    """One `Language` for equal arguments: it takes milliseconds to hash."""
    return Language(dialect, odds)
