"""Nodes as bytes: the leaves under a graph's root, from which a contract knows every step (spec/ir.md, GRA-13).

Nothing can be written in two ways. What a load's source is called is for people; its leaf says where it is committed.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from steelyard.engines.ir import encoding
from steelyard.engines.ir.encoding import AXIS, CHAINS, CODES, KINDS, MAX_AXES, NAMES, VECTOR, Encoded
from steelyard.engines.ir.graph import Affine, Node, View
from steelyard.engines.ir.scalars import NAN_BITS, OPERATIONS
from steelyard.protocol.errors import Refused

VERSION: Final = "steelyard/ir/2"
MAX_NODE: Final = 1024
"""Bytes of a leaf."""
MAX_LOADS: Final = 16
HERE: Final = 255
"""In place of an axis: the source's value at this position."""
WORDS_PER_LEAF: Final = 32
"""Elements in a leaf of a node's or a table's tree: 128 bytes, the operand of one block dot (GRA-14)."""
LETTERS: Final = {code: letter for letter, code in KINDS.items() if letter != "v"}

HEAD: Final = struct.Struct(">BBBIBB")
"""Kind, lanes, join, start, axes of the space, of the fold."""
EXTENT: Final = struct.Struct(">ii")
COUNT: Final = struct.Struct(">B")
LOAD: Final = struct.Struct(">BBBqii")
"""Tag, axis over positions, width, offset, its slope, by_id."""


@dataclass(frozen=True, slots=True)
class NodeAt:
    """A node before this one."""

    index: int
    """In the graph's order."""


@dataclass(frozen=True, slots=True)
class FileAt:
    """A field of a tensor in the model's file."""

    code: int
    """What is read from a block, and how: an index into the arithmetic's table of fields."""
    first_leaf: int
    """The tensor's first leaf in the model root's tree."""


@dataclass(frozen=True, slots=True)
class TableAt:
    """Words that neither a node nor the file holds."""

    root: bytes
    """Of the tree over them (`cut`), 32 bytes."""


Source = NodeAt | FileAt | TableAt
PLACES: Final = (struct.Struct(">H"), struct.Struct(">BI"), struct.Struct(">32s"))
"""Behind a load of each tag: 0 a node, 1 a file, 2 a table."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a leaf says. `written(leaf.node, leaf.sources)` is the leaf."""

    node: Node
    """Without a name; the source of load i is called i."""
    sources: Mapping[str, Source]
    """What a load's source is called -> where it is committed."""


def cut(raw: bytes) -> list[bytes]:
    """The leaves of a node's value or of a table (GRA-14): `raw` is four bytes an element, little-endian."""
    return [raw[at : at + 4 * WORDS_PER_LEAF] for at in range(0, len(raw), 4 * WORDS_PER_LEAF)]


def written(node: Node, sources: Mapping[str, Source]) -> bytes:
    """A node's leaf; `sources` knows each of its loads'. Raises as `decode`, and Refused("leaf.range") for a number
    that its field cannot hold."""
    body = encoding.body(node)
    lanes, join = node.lanes if node.fold else 0, CODES[node.join] if node.join else 0
    try:
        parts = [HEAD.pack(KINDS[node.kind], lanes, join, node.start, len(node.space), len(node.fold))]
        parts += [EXTENT.pack(extent.constant, extent.slope) for extent in (*node.space, *node.fold)]
        parts += [COUNT.pack(len(node.loads)), *(_load(view, sources[view.source]) for view in node.loads)]
    except struct.error as error:
        raise Refused("leaf.range", f"{node.name}: {error}") from error
    raw = b"".join([*parts, body])
    decode(raw)
    return raw


def _load(view: View, source: Source) -> bytes:
    axis = HERE if view.position_axis is None else view.position_axis
    match source:
        case NodeAt(index):
            tag, place = 0, PLACES[0].pack(index)
        case FileAt(code, first_leaf):
            tag, place = 1, PLACES[1].pack(code, first_leaf)
        case TableAt(root):
            assert len(root) == 32
            tag, place = 2, root
    offset = view.offset
    head = LOAD.pack(tag, axis, view.width, offset.constant, offset.slope, view.by_id)
    return head + struct.pack(f">{len(view.strides)}i", *view.strides) + place


class _Bytes:
    """A leaf that is read from its beginning."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        if len(self.raw) - self.at < form.size:
            raise Refused("leaf.length", f"{len(self.raw)} bytes, {form.size} are needed from byte {self.at} on")
        self.at += form.size
        return form.unpack_from(self.raw, self.at - form.size)


def decode(raw: bytes) -> Leaf:
    """Reads a leaf; what it accepts, `written` would write just so.

    Raises Refused: `leaf.length`, `leaf.kind`, `leaf.lanes`, `leaf.join`, `leaf.start`, `leaf.axes`, `leaf.extent`,
    `leaf.loads`, `leaf.source`, `leaf.position`, `leaf.width`, `leaf.body`; and as `encoding.decode` for its body."""
    if len(raw) > MAX_NODE:
        raise Refused("leaf.length", f"{len(raw)} bytes, at most {MAX_NODE}")
    rest = _Bytes(raw)
    kind, lanes, join, start, spaces, folds = rest.take(HEAD)
    _check_head(kind, lanes, join, start, spaces, folds)
    extents = [_extent(*rest.take(EXTENT)) for _ in range(spaces + folds)]
    (count,) = rest.take(COUNT)
    if count > MAX_LOADS:
        raise Refused("leaf.loads", f"{count} loads, at most {MAX_LOADS}")
    views, sources = [], {}
    for number in range(count):
        view, sources[view.source] = _view(rest, str(number), spaces + folds)
        views.append(view)
    body = encoding.decode(raw[rest.at :])
    _check_body(body, views, kind, folds > 0, spaces + folds)
    node = Node(
        name="",
        kind=LETTERS[kind],
        space=tuple(extents[:spaces]),
        loads=tuple(views),
        load_kinds="".join(LETTERS.get(code, "v") for code in body.given[:count]),
        body=body.instructions,
        fold=tuple(extents[spaces:]),
        lanes=max(lanes, 1),
        start=start,
        join=NAMES[join] if lanes == CHAINS else "",
    )
    return Leaf(node, sources)


def _check_head(kind: int, lanes: int, join: int, start: int, spaces: int, folds: int) -> None:
    if kind not in LETTERS:
        raise Refused("leaf.kind", f"{kind} is no kind of element")
    if lanes not in (0, 1, CHAINS) or (lanes == 0) != (folds == 0):
        raise Refused("leaf.lanes", f"{lanes} chains over {folds} axes, must be 0 for a map, 1 or {CHAINS} for a fold")
    joins = NAMES[join] if lanes == CHAINS and join < len(NAMES) else ""
    letter = LETTERS[kind]
    fits = joins in OPERATIONS and (OPERATIONS[joins].takes, OPERATIONS[joins].gives) == (2 * letter, letter)
    if not fits if lanes == CHAINS else join:
        raise Refused("leaf.join", f"{lanes} chains of {letter} are joined by operation {join}")
    nan = letter == "f" and start & 0x7FFFFFFF > 0x7F800000 and start != int(NAN_BITS)
    if nan or (lanes == 0 and start):
        raise Refused("leaf.start", f"{start:08x} is where {lanes} chains of {letter} start")
    if spaces + folds > MAX_AXES:
        raise Refused("leaf.axes", f"{spaces} + {folds} axes, at most {MAX_AXES}")


def _extent(constant: int, slope: int) -> Affine:
    if constant < 1 or slope < 0:
        raise Refused("leaf.extent", f"{constant} + {slope}n, must be 1 or more at every position")
    return Affine(constant, slope)


def _view(rest: _Bytes, name: str, axes: int) -> tuple[View, Source]:
    tag, axis, width, constant, slope, by_id = rest.take(LOAD)
    strides = rest.take(struct.Struct(f">{axes}i"))
    if tag >= len(PLACES):
        raise Refused("leaf.source", f"{tag}, must be 0 (a node), 1 (a file) or 2 (a table)")
    if axis != HERE and (axis >= axes or tag != 0):
        raise Refused("leaf.position", f"axis {axis} of {axes} over positions of a source of tag {tag}")
    if width not in (1, *VECTOR):
        raise Refused("leaf.width", f"{width}, must be 1, 16 or 32")
    place = rest.take(PLACES[tag])
    source = (NodeAt, FileAt, TableAt)[tag](*place)
    return View(name, strides, Affine(constant, slope), None if axis == HERE else axis, by_id, width), source


def _check_body(body: Encoded, views: list[View], kind: int, fold: bool, axes: int) -> None:
    """The body takes what is loaded, knows the axes that there are, and gives the node's kind."""
    given = [{view.width} if view.width > 1 else LETTERS.keys() for view in views] + [{kind}] * fold
    if len(given) != len(body.given) or not all(code in codes for code, codes in zip(body.given, given, strict=True)):
        raise Refused("leaf.body", f"takes {body.given}, is given {[sorted(codes) for codes in given]}")
    found = [i.arguments[0] for i in body.instructions if i.operation == AXIS]
    if found and max(found) >= axes:
        raise Refused("leaf.body", f"takes the index along axis {max(found)} of {axes}")
    last = KINDS[encoding.gives(body.instructions[-1].operation)] if body.instructions else body.given[-1]
    if last != kind:
        raise Refused("leaf.body", f"gives kind {last}, the node's is {kind}")
