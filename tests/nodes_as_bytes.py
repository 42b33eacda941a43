"""Nodes' leaves, random, spoiled and malformed on purpose, for tests of what reads them."""

import struct

from hypothesis import assume
from hypothesis import strategies as st

from bodies import bodies, do
from steelyard.engines.ir import encoding
from steelyard.engines.ir.encoding import CODES, KINDS
from steelyard.engines.ir.leaves import HERE, MAX_NODE

ADD = bytes([2, 1, 1]) + do("add", 0, 1)
MINUS = bytes([1, 1]) + do("neg", 0)


def load(
    tag: int = 0, axis: int = HERE, width: int = 1, strides: tuple[int, ...] = (1,), place: bytes = b"\0\5"
) -> bytes:
    """A load of the elements from 3 - n on."""
    return struct.pack(f">BBBqii{len(strides)}i", tag, axis, width, 3, -1, 0, *strides) + place


def node(
    head: tuple[int, ...] = (1, 0, 0, 0, 1, 0),
    extents: tuple[int, ...] = (7, 0),
    loads: tuple[bytes, ...] = (load(),),
    body: bytes = MINUS,
    more: int = 0,
) -> bytes:
    """A leaf; as it stands, a map over 7 elements that changes the sign of one load. `more`: loads that are counted,
    but not there."""
    raw = struct.pack(">BBBIBB", *head) + struct.pack(f">{len(extents)}i", *extents)
    return b"".join([raw, bytes([len(loads) + more]), *loads, body])


def fold(head: tuple[int, ...] = (1, 16, 0, 0, 1, 1), axis: int = 1, body: bytes = ADD, last: int = 1) -> bytes:
    """A leaf; as it stands, a sum over all positions up to this one, in 16 chains."""
    return node(head, (7, 0, last, 1), (load(axis=axis, strides=(1, 0)),), body)


FILE, TABLE = b"\4\0\0\1\0", bytes(range(32))
ACCEPTED = {
    "a-map": node(),
    "a-fold-over-positions": fold(),
    "a-fold-in-one-chain": fold((1, 1, 0, 0x7FC00000, 1, 1)),
    "a-file-and-a-table": node(loads=(load(1, place=FILE), load(2, place=TABLE)), body=ADD),
    "vectors": node(
        (2, 0, 0, 0, 1, 0), loads=(load(1, width=32, place=FILE), load(width=32)), body=b"\2\x20\x20" + do("dot", 0, 1)
    ),
    "a-constant": node((2, 0, 0, 0, 0, 0), (), (), bytes([0]) + do("whole", 0, 0, 0, 9)),
}
"""Name -> a leaf that is read."""
REFUSED = {
    "empty": (b"", "leaf.length"),
    "too-long": (node() + bytes(1024), "leaf.length"),
    "head-cut-off": (node()[:8], "leaf.length"),
    "extent-cut-off": (node()[:12], "leaf.length"),
    "loads-cut-off": (node(more=1), "leaf.length"),
    "place-cut-off": (node(loads=(load(2, place=TABLE[:-1]),), body=b""), "leaf.length"),
    "kind-0": (node((0, 0, 0, 0, 1, 0)), "leaf.kind"),
    "kind-3": (node((3, 0, 0, 0, 1, 0)), "leaf.kind"),
    "2-chains": (fold((1, 2, 0, 0, 1, 1)), "leaf.lanes"),
    "a-map-in-a-chain": (node((1, 1, 0, 0, 1, 0)), "leaf.lanes"),
    "a-fold-in-no-chain": (fold((1, 0, 0, 0, 1, 1)), "leaf.lanes"),
    "a-join-of-one-chain": (fold((1, 1, CODES["mul"], 0, 1, 1)), "leaf.join"),
    "a-join-of-another-kind": (fold((1, 16, CODES["iadd"], 0, 1, 1)), "leaf.join"),
    "a-join-to-another-kind": (fold((1, 16, CODES["less"], 0, 1, 1)), "leaf.join"),
    "a-join-of-three": (fold((1, 16, CODES["fma"], 0, 1, 1)), "leaf.join"),
    "a-join-by-a-constant": (fold((1, 16, CODES["const"], 0, 1, 1)), "leaf.join"),
    "a-join-by-nothing": (fold((1, 16, 255, 0, 1, 1)), "leaf.join"),
    "a-map-that-starts": (node((1, 0, 0, 1, 1, 0)), "leaf.start"),
    "another-nan": (fold((1, 16, 0, 0xFFC00000, 1, 1)), "leaf.start"),
    "9-axes": (node((1, 0, 0, 0, 9, 0), (1, 0) * 9, (load(strides=(1,) * 9),)), "leaf.axes"),
    "255-axes": (node((1, 1, 0, 0, 255, 255)), "leaf.axes"),
    "no-element": (node(extents=(0, 1)), "leaf.extent"),
    "fewer-at-each-position": (node(extents=(7, -1)), "leaf.extent"),
    "17-loads": (node(loads=(load(),) * 17), "leaf.loads"),
    "tag-3": (node(loads=(load(3),)), "leaf.source"),
    "positions-along-no-axis": (fold(axis=2), "leaf.position"),
    "positions-of-a-file": (node(loads=(load(1, 0, place=FILE),)), "leaf.position"),
    "width-0": (node(loads=(load(width=0),)), "leaf.width"),
    "width-17": (node(loads=(load(width=17),)), "leaf.width"),
    "no-body": (node(body=b""), "body.length"),
    "a-body-that-is-refused": (node(body=bytes([1, 1]) + do("neg", 1)), "body.argument"),
    "a-body-of-two": (node(body=ADD), "leaf.body"),
    "a-body-without-the-accumulator": (fold(body=MINUS), "leaf.body"),
    "a-body-of-a-vector": (node(body=bytes([2, 32, 1]) + do("neg", 1), loads=(load(), load())), "leaf.body"),
    "a-body-of-a-narrow-vector": (node(loads=(load(width=32), load()), body=b"\2\x10\1" + do("neg", 1)), "leaf.body"),
    "an-accumulator-of-another-kind": (fold(body=bytes([2, 1, 2]) + do("neg", 0)), "leaf.body"),
    "an-axis-that-is-not-there": (node(body=MINUS + do("axis", 1) + do("float", 2)), "leaf.body"),
    "another-kind-of-result": (node(body=bytes([1, 1]) + do("bits", 0)), "leaf.body"),
    "another-kind-of-load-as-result": (node(body=bytes([1, 2])), "leaf.body"),
}
"""Name -> a leaf, and the rule that refuses it."""


def _numbers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def nodes(draw: st.DrawFn) -> bytes:
    """A leaf that is accepted."""
    body = draw(bodies())
    read = encoding.decode(body)
    last = read.instructions[-1].operation if read.instructions else ""
    kind = KINDS[encoding.gives(last)] if last else read.given[-1]
    folded = read.given[-1] == kind and draw(st.booleans())
    named = max((one.arguments[0] + 1 for one in read.instructions if one.operation == "axis"), default=0)
    folds = draw(st.integers(1, 4)) if folded else 0
    spaces = draw(st.integers(max(0, named - folds), 8 - folds))
    lanes = draw(st.sampled_from([1, 16])) if folded else 0
    join = CODES[draw(st.sampled_from(["add", "larger"] if kind == 1 else ["iadd", "ilarger"]))] if lanes == 16 else 0
    raw = struct.pack(">BBBIBB", kind, lanes, join, draw(st.integers(0, 2**31)) if folded else 0, spaces, folds)
    for _ in range(spaces + folds):
        raw += struct.pack(">ii", draw(st.integers(1, 2**31 - 1)), draw(st.integers(0, 2**31 - 1)))
    codes = read.given[: len(read.given) - folded]
    raw += bytes([len(codes)])
    for code in codes:
        tag = draw(st.sampled_from([0, 1, 2]))
        axis = draw(st.integers(0, spaces + folds - 1)) if tag == 0 and spaces + folds and draw(st.booleans()) else HERE
        offset, slope, by_id = draw(_numbers(64)), draw(_numbers(32)), draw(_numbers(32))
        raw += struct.pack(">BBBqii", tag, axis, code if code > 2 else 1, offset, slope, by_id)
        raw += struct.pack(f">{spaces + folds}i", *(draw(_numbers(32)) for _ in range(spaces + folds)))
        raw += draw(st.binary(min_size=(2, 5, 32)[tag], max_size=(2, 5, 32)[tag]))
    assume(len(raw + body) <= MAX_NODE)
    return raw + body


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A leaf with bytes changed, left out or put in; or any bytes at all."""
    raw = bytearray(draw(nodes() | st.sampled_from([*ACCEPTED.values()]) | st.binary(max_size=120)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(raw)
