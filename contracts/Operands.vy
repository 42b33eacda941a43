# pragma version 0.4.3
"""
@title Operands: which numbers a step takes, whether they are the committed ones, and what the step gives
@license Apache-2.0
@notice A node's leaf (spec/ir.md, GRA-13), a position, an element and a turn say which element of which source each load takes
    (spec/games.md, GAM-20). Here an opening of just that is asked for, and `Step` executes the node's body on it.
@custom:invariant
    - the result follows from the roots, the leaf and the numbers given: no two openings of one operand are accepted that differ
    - an opening is accepted for one place only: position, node or root, and leaf follow from the leaf, never from who opens
@custom:security Whoever calls vouches for the leaf and the roots; everything else is checked here.
"""

from interfaces import IOperands
from interfaces import IStep
import binary32
import dots
import fields
import formats
import operations
import trees

implements: IOperands

# What a leaf says of its node, at a position
struct Node:
    lanes: uint256
    join: uint256
    start: uint256
    spaces: uint256
    extents: DynArray[uint256, MAX_AXES]
    elements: uint256
    turns: uint256
    loads: DynArray[uint256, MAX_LOADS]  # first byte of each
    body: uint256  # its first byte
    given: uint256  # kinds of the registers that its body is given, the first in the highest byte

# The element that a load takes
struct Place:
    tag: uint256
    source: bytes32  # a node's index; a table's root
    position: uint256  # of the node's value
    leaf: uint256  # which, in the value's, the table's or the model root's tree
    code: uint256  # of a file: the field
    at: uint256  # byte in the leaf: of the first word; of the block
    lane: uint256  # element in the leaf; in the block
    width: uint256

MAX_NODE: constant(uint256) = 1024
MAX_PADDED: constant(uint256) = 1056  # = MAX_NODE + 32
MAX_LOADS: constant(uint256) = operations.MAX_GIVEN
MAX_AXES: constant(uint256) = operations.MAX_AXES
MAX_LEAF: constant(uint256) = 1152
HEAD: constant(uint256) = 9  # bytes before the axes
EXTENT: constant(uint256) = 8  # bytes of an axis
LOAD: constant(uint256) = 19  # bytes of a load before its strides
FROM_NODE: constant(uint256) = 0
FROM_FILE: constant(uint256) = 1
FROM_TABLE: constant(uint256) = 2
PLACES: constant(uint256) = 2 + 5 * 2**8 + 32 * 2**16  # bytes behind the strides, by tag
HERE: constant(uint256) = 255  # in place of an axis: the source's value at this position
LANES: constant(uint256) = 16
LEAF: constant(uint256) = 128  # bytes of 32 words
WORD: constant(uint256) = 2**32 - 1
TOO_MANY: constant(uint256) = 2**32 + 1  # elements or turns
# GRA-17's tree: 15 joins, three bytes each, without their operation; where that stands
JOINS: constant(bytes32) = 0x00000800010900020a00030b00040c00050d00060e00070f0010140011150012
JOINS_AT: constant(bytes32) = 0x0100000100000100000100000100000100000100000100000100000100000100
LAST_JOINS: constant(bytes32) = 0x1600131700181a00191b001c1d00000000000000000000000000000000000000
LAST_JOINS_AT: constant(bytes32) = 0x0001000001000001000001000000000000000000000000000000000000000000
ONES_OF_16: constant(uint256) = (2**128 - 1) // 255
STEP: immutable(address)


@deploy
def __init__(step: address):
    STEP = step


# ---------------------------------------------------------------- what a step gives


@view
@external
def compute(
    run: IOperands.Run,
    node: Bytes[MAX_NODE],
    element: uint256,
    turn: uint256,
    accumulator: uint256,
    uses: DynArray[uint8, MAX_LOADS],
    openings: DynArray[IOperands.Opening, MAX_LOADS],
) -> uint256:
    """
    The word of an element of a map, or of a fold's accumulator after a turn that found `accumulator`; a turn is counted in the
    whole fold. `uses`: for each load the opening that holds it; openings are in the order of their first use.
    """
    # REFUSE
    code: Bytes[MAX_PADDED] = concat(node, empty(bytes32))
    found: Node = self._node(code, len(node), run.position)
    assert element < found.elements, "operands.element"
    assert turn < found.turns, "operands.turn"
    assert len(uses) == len(found.loads), "operands.uses"
    # COMPUTE
    indices: DynArray[uint256, MAX_AXES] = self._indices(found, element, turn)
    operands: DynArray[uint256, MAX_LOADS] = []
    opened: DynArray[bytes32, MAX_LOADS] = []  # invariant: of openings that were verified, the place of each
    for i: uint256 in range(len(uses), bound=MAX_LOADS):
        given: uint256 = (found.given >> (248 - (i << 3))) & 255
        place: Place = self._place(code, found.loads[i], given, run, indices)
        name: bytes32 = keccak256(abi_encode(place.tag, place.source, place.position, place.leaf))
        use: uint256 = convert(uses[i], uint256)
        assert use <= len(opened) and use < len(openings), "operands.uses"
        if use == len(opened):
            self._verify(run, place, openings[use])
            opened.append(name)
        assert opened[use] == name, "operands.place"
        if place.tag == FROM_FILE:
            operands.append(self._field(place, openings[use].data))
        else:
            operands.append(self._words(place, openings[use].data))
    assert len(opened) == len(openings), "operands.uses"
    if found.lanes != 0:
        operands.append(accumulator)
    body: Bytes[MAX_NODE] = slice(node, found.body, len(node) - found.body)
    return staticcall IStep(STEP).step(body, operands, indices, run.position)


@view
@external
def join(operation: uint256, chains: Bytes[64]) -> uint256:
    """
    The element of a fold whose 16 chains (4 bytes each, little-endian) have ended (GRA-7); `operation` as `describe` tells it.
    """
    # REFUSE
    assert len(chains) == 64, "operands.join"
    kind: uint256 = self._joined(operation)
    assert kind != 0, "operands.join"
    # COMPUTE
    words: DynArray[uint256, MAX_LOADS] = []
    for i: uint256 in range(LANES):
        words.append(self._swap(convert(slice(chains, 4 * i, 4), uint256)))
    body: Bytes[62] = concat(
        x"10",
        convert(convert(kind * ONES_OF_16, uint128), bytes16),
        convert(convert(JOINS, uint256) | operation * convert(JOINS_AT, uint256), bytes32),
        slice(convert(convert(LAST_JOINS, uint256) | operation * convert(LAST_JOINS_AT, uint256), bytes32), 0, 13),
    )
    return staticcall IStep(STEP).step(body, words, [], 0)


@pure
@external
def describe(node: Bytes[MAX_NODE], position: uint256) -> (uint256, uint256, uint256, uint256, uint256):
    """
    Of a node's value at a position: elements; turns of one's fold (of a map 1); lanes (of a map 0), their start and join.
    """
    found: Node = self._node(concat(node, empty(bytes32)), len(node), position)
    return found.elements, found.turns, found.lanes, found.start, found.join


# ---------------------------------------------------------------- the node's leaf


@pure
@internal
def _node(code: Bytes[MAX_PADDED], size: uint256, position: uint256) -> Node:
    """
    Reads a leaf of `size` bytes, behind which 32 more stand, but for its body's instructions; refuses what Python's `leaves.decode` does.
    """
    # REFUSE
    head: uint256 = extract32(code, 0, output_type=uint256)
    kind: uint256 = head >> 248
    axes: uint256 = ((head >> 192) & 255) + ((head >> 184) & 255)
    found: Node = empty(Node)
    found.lanes = (head >> 240) & 255
    found.join = (head >> 232) & 255
    found.start = (head >> 200) & WORD
    found.spaces = (head >> 192) & 255
    fits: bool = position <= WORD and size > HEAD and (kind == operations.KIND_REAL or kind == operations.KIND_WHOLE)
    fits = fits and axes <= MAX_AXES and (found.lanes == 0) == (axes == found.spaces)
    if found.lanes == LANES:
        fits = fits and self._joined(found.join) == kind
    else:
        fits = fits and found.lanes <= 1 and found.join == 0
    if found.lanes == 0:
        fits = fits and found.start == 0
    elif kind == operations.KIND_REAL:
        fits = fits and binary32.canonical(found.start) == found.start
    assert fits, "operands.node"
    # COMPUTE
    # invariant: at < size, so the 32 bytes from there on can be read
    at: uint256 = HEAD
    found.elements = 1
    found.turns = 1
    for axis: uint256 in range(axes, bound=MAX_AXES):
        both: int256 = extract32(code, at, output_type=int256)
        least: int256 = both >> 224
        slope: int256 = (both << 32) >> 224
        at += EXTENT
        assert at < size and least > 0 and slope >= 0, "operands.node"
        extent: uint256 = convert(least + slope * convert(position, int256), uint256)  # below 2**64
        found.extents.append(extent)
        if axis < found.spaces:
            found.elements = min(found.elements * extent, TOO_MANY)
        else:
            found.turns = min(found.turns * extent, TOO_MANY)
    loads: uint256 = extract32(code, at, output_type=uint256) >> 248
    at += 1
    assert at < size and loads <= MAX_LOADS and max(found.elements, found.turns) < TOO_MANY, "operands.node"
    for _: uint256 in range(loads, bound=MAX_LOADS):
        found.loads.append(at)
        at += self._load(extract32(code, at, output_type=uint256), axes)
        assert at < size, "operands.node"
    found.body = at
    found.given = extract32(code, at, output_type=uint256) << 8
    fits = extract32(code, at, output_type=uint256) >> 248 == loads + convert(found.lanes != 0, uint256)
    fits = fits and size - at <= operations.MAX_BYTES
    given: uint256 = found.given
    for i: uint256 in range(loads, bound=MAX_LOADS):
        width: uint256 = (extract32(code, found.loads[i], output_type=uint256) >> 232) & 255
        fits = fits and (given >> 248 == width or (width == 1 and given >> 248 == operations.KIND_WHOLE))
        given <<= 8
    assert fits and (found.lanes == 0 or given >> 248 == kind), "operands.node"
    return found


@pure
@internal
def _joined(operation: uint256) -> uint256:
    """
    The kind of numbers that an operation makes one of two, or 0.
    """
    if operation >= operations.COUNT:
        return 0
    signature: uint256 = (operations.SIGNATURES >> (operation << 3)) & 255
    kind: uint256 = signature >> 6
    return kind if signature == kind * 69 else 0  # = 1 + 4 + 64


@pure
@internal
def _load(head: uint256, axes: uint256) -> uint256:
    """
    Bytes of a load that begins so.
    """
    tag: uint256 = head >> 248
    axis: uint256 = (head >> 240) & 255
    width: uint256 = (head >> 232) & 255
    assert tag <= FROM_TABLE and (axis == HERE or (axis < axes and tag == FROM_NODE)) and (width == 1 or width == 16 or width == 32), "operands.node"
    return LOAD + 4 * axes + ((PLACES >> (tag << 3)) & 255)


# ---------------------------------------------------------------- where a load's operand stands


@pure
@internal
def _indices(node: Node, element: uint256, turn: uint256) -> DynArray[uint256, MAX_AXES]:
    """
    Along the axes of the space, then of the fold: both are numbered row-major.
    """
    indices: DynArray[uint256, MAX_AXES] = node.extents
    rest: uint256 = turn
    axis: uint256 = len(indices)
    for _: uint256 in range(len(indices), bound=MAX_AXES):
        if axis == node.spaces:
            rest = element
        axis -= 1
        indices[axis] = rest % node.extents[axis]
        rest //= node.extents[axis]
    return indices


@pure
@internal
def _place(
    code: Bytes[MAX_PADDED], at: uint256, given: uint256, run: IOperands.Run, indices: DynArray[uint256, MAX_AXES]
) -> Place:
    """
    Of the load that begins at a byte; the body takes what it loads as `given`.
    """
    head: uint256 = extract32(code, at, output_type=uint256)
    place: Place = empty(Place)
    place.tag = head >> 248
    place.width = (head >> 232) & 255
    # which element: no number below has more than 100 bits
    first: int256 = extract32(code, at + 3, output_type=int256) >> 192
    slope: int256 = extract32(code, at + 11, output_type=int256) >> 224
    by_id: int256 = extract32(code, at + 15, output_type=int256) >> 224
    first += slope * convert(run.position, int256)
    if by_id != 0:
        assert run.id < WORD, "operands.id"
        first += by_id * convert(run.id, int256)
    next: uint256 = at + LOAD
    for index: uint256 in indices:
        first += (extract32(code, next, output_type=int256) >> 224) * convert(index, int256)
        next += 4
    assert first >= 0, "operands.range"
    element: uint256 = convert(first, uint256)
    # where it is committed
    source: uint256 = extract32(code, next, output_type=uint256)
    if place.tag == FROM_FILE:
        place.code = source >> 248
        real: bool = (formats.REAL >> place.code) & 1 == 1
        assert place.code < formats.COUNT and real == (given == operations.KIND_REAL), "operands.format"
        each: uint256 = (formats.EACH >> (place.code << 2)) & 15
        blocks: uint256 = (formats.BLOCKS >> (place.code << 2)) & 15
        nth: uint256 = element >> each  # block of the tensor
        place.lane = element & ((1 << each) - 1)
        place.leaf = ((source >> 216) & WORD) + (nth >> blocks)
        place.at = (nth & ((1 << blocks) - 1)) * ((formats.BYTES >> (place.code << 3)) & 255)
        # a vector is a part of its own: no format has one that begins elsewhere
        assert place.width <= 1 << each and place.lane % place.width == 0, "operands.straddle"
        return place
    place.leaf = element >> 5
    place.lane = element & 31
    place.at = place.lane << 2
    assert place.lane + place.width <= 32, "operands.straddle"
    if place.tag == FROM_TABLE:
        place.source = convert(source, bytes32)
        return place
    place.source = convert(source >> 240, bytes32)
    place.position = run.position
    axis: uint256 = (head >> 240) & 255
    if axis != HERE:
        place.position = indices[axis]
    assert place.position < run.position or (place.position == run.position and source >> 240 < run.node), "operands.order"
    return place


# ---------------------------------------------------------------- what was opened


@pure
@internal
def _verify(run: IOperands.Run, place: Place, opening: IOperands.Opening):
    """
    The opening's data are the leaf of that place, under the roots.
    """
    count: uint256 = run.model_leaves
    root: bytes32 = run.model_root
    if place.tag != FROM_FILE:
        assert len(opening.data) <= LEAF, "operands.range"
        count = opening.count
        root = place.source
    top: bytes32 = self._climb(count, place.leaf, sha256(concat(x"00", opening.data)), opening.path)
    unused: uint256 = len(opening.node_path) + len(opening.position_path)
    if place.tag == FROM_NODE:
        top = trees.leaf(self._climb(run.nodes, convert(place.source, uint256), trees.leaf(top), opening.node_path))
        root = run.position_leaf
        unused = len(opening.position_path)
        if place.position != run.position:
            top = self._climb(run.positions, place.position, top, opening.position_path)
            root = run.run_root
            unused = 0
    assert top == root and unused == 0, "operands.path"


@pure
@internal
def _climb(count: uint256, index: uint256, leaf: bytes32, path: DynArray[bytes32, trees.MAX_DEPTH]) -> bytes32:
    """
    The root that a path leads to.
    """
    assert index < count, "operands.range"
    assert trees.fits(count, index, len(path)), "operands.path"
    return trees.climb(count, index, leaf, path)


@pure
@internal
def _words(place: Place, data: Bytes[MAX_LEAF]) -> uint256:
    """
    One word or several, out of a leaf of words.
    """
    assert place.at + 4 * place.width <= len(data), "operands.range"
    if place.width == 1:
        return self._swap(convert(slice(data, place.at, 4), uint256))
    words: uint256[4] = empty(uint256[4])
    for i: uint256 in range(place.width >> 3, bound=4):
        words[i] = extract32(data, place.at + (i << 5), output_type=uint256)
    return dots.pack(words)


@pure
@internal
def _field(place: Place, data: Bytes[MAX_LEAF]) -> uint256:
    """
    One number or several, out of a block of a leaf of a file.
    """
    size: uint256 = (formats.BYTES >> (place.code << 3)) & 255
    assert place.at + size <= len(data), "operands.range"
    return fields.read(place.code, concat(slice(data, place.at, size), empty(bytes32)), place.lane, place.width)


@pure
@internal
def _swap(word: uint256) -> uint256:
    """
    A word of 32 bits, the other way round.
    """
    return (word >> 24) | ((word >> 8) & 65280) | ((word & 65280) << 8) | ((word & 255) << 24)
