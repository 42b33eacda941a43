"""The last step of a dispute in words: what each operand is, what each operation gives (spec/ir.md)."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines import sieves
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS, blocks_per_leaf, read
from steelyard.engines.gguf_head import KINDS as FORMATS
from steelyard.engines.ir import encoding, evaluate, leaves
from steelyard.engines.ir.graph import CONSTANTS, Instruction, Node, View
from steelyard.market.disputes import LastStep, Weighing
from steelyard.protocol.games import NOTHING

SHARE: Final = (
    ("stands before the greatest", sieves.BEFORE_GREATEST, 32),
    ("stands before the last of top-k", sieves.BEFORE_LOWEST, 32),
    ("weight before the unit", sieves.BEFORE_UNIT, 64),
    ("weight before the rival", sieves.BEFORE_RIVAL, 64),
    ("weight", sieves.WHOLE, 64),
)
"""Fields of a share: name, first bit, bits."""
NUMBERS = {name: number for number, (name, _, _) in FORMATS.items()}
Words = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A register: where it comes from, and what it holds."""

    name: str
    """`a`, `b` …, the letters that operations use."""
    what: str
    """Element of a source; or the operation with its arguments."""
    bits: str
    """8 hex digits; of a vector 2 an element."""
    decimal: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A step that people can follow."""

    node: str
    loops: str
    """What the node's loops run over, and which turn this is."""
    operands: tuple[Value, ...]
    operations: tuple[Value, ...]
    claimed: Value
    computed: Value
    what: str = "The last step"


def explained(step: LastStep, nodes: Sequence[Node] = ()) -> Explained:
    """In the names of a model's graph, if it is the model whose node this is; without it parts have numbers.

    Raises Refused as `leaves.decode`, if the leaf is none."""
    leaf = leaves.decode(step.leaf)
    node = leaf.node
    known = nodes[step.node] if step.node < len(nodes) and _is(nodes[step.node], node) else None
    given, operands = [], []
    for number, view in enumerate(node.loads):
        source = leaf.sources[view.source]
        name = _called(source) if known is None else known.loads[number].source
        values, place = _loaded(step, node, view, source)
        given.append(values)
        operands.append(_value(number, f"{name} {place}", values))
    if node.fold:
        given.append(_word(step.accumulator, node.kind))
        operands.append(_value(len(node.loads), "the sum before", given[-1]))
    return Explained(
        node=f"node {step.node}" if known is None else known.name,
        loops=_loops(step, node),
        operands=tuple(operands),
        operations=tuple(_operations(step, node, given)),
        claimed=_end("claimed", _word(step.claimed, node.kind)),
        computed=_end("computed", _word(step.computed, node.kind)),
    )


def _is(known: Node, node: Node) -> bool:
    """The same but for names."""
    views = tuple(replace(view, source=str(number)) for number, view in enumerate(known.loads))
    return replace(known, name="", loads=views) == node


def _called(source: leaves.Source) -> str:
    """What can be said of a source without the model."""
    match source:
        case leaves.NodeAt(index):
            return f"node {index}"
        case leaves.FileAt(code, first_leaf):
            _, name = FIELD_CODES[code]
            return f"tensor at leaf {first_leaf}" + (f"#{name}" if name else "")
        case leaves.TableAt(root):
            return f"table {root.hex()[:8]}…"


def described(leaf: bytes, position: int) -> tuple[int, int, int, int]:
    """Of a node's leaf at a position: elements, turns of a fold, lanes (0 for a map), the word that its chains start
    from. Raises as `explained`."""
    node = leaves.decode(leaf).node
    return node.elements(position), node.turns(position), node.lanes if node.fold else 0, node.start


def _loaded(step: LastStep, node: Node, view: View, source: leaves.Source) -> tuple[Words, str]:
    """What a load gives, [1] or [1][width], and where it stands in its source."""
    axes = _indices(step, node)
    index = int(evaluate.where(view, step.position, axes, 1, step.unit)[0])
    number = int(view.source)
    data = step.opened[step.uses[number]]
    if isinstance(source, leaves.FileAt):
        format_, name = FIELD_CODES[source.code]
        within = index % (blocks_per_leaf(NUMBERS[format_]) * FIELDS[format_][name].each) + np.arange(view.width)
        size = FORMATS[NUMBERS[format_]][2]
        return _shaped(read(np.frombuffer(data, np.uint8), 0, format_, size, name, within), view), f"[{index:,}]"
    words = np.frombuffer(data, "<u4")[index % leaves.WORDS_PER_LEAF :][: view.width].astype(np.uint32)
    values = words.view(np.float32 if node.load_kinds[number] == "f" else np.int32)
    at = "" if view.position_axis is None else f" at position {int(axes[view.position_axis][0])}"
    return _shaped(values, view), f"[{index:,}]{at}"


def _shaped(values: Words, view: View) -> Words:
    return values.reshape(1, -1) if view.width > 1 else values


def _indices(step: LastStep, node: Node) -> list[Words]:
    """Along the axes of the space, then of the fold."""
    extents, spaces = node.extents(step.position), len(node.space)
    parts = ((step.element, extents[:spaces]), (step.turn, extents[spaces:]))
    found = [index for number, axes in parts if axes for index in np.unravel_index(number, axes)]
    return [np.array([int(index)]) for index in found]


def _loops(step: LastStep, node: Node) -> str:
    told = f"element {step.element:,} of {node.elements(step.position):,}"
    if not node.fold:
        return f"{told}: a map"
    chains = f", in {node.lanes} chains" if node.lanes > 1 else ""
    return f"{told}, turn {step.turn:,} of {node.turns(step.position):,}{chains}"


def _operations(step: LastStep, node: Node, given: list[Words]) -> list[Value]:
    """Each instruction with what it gives."""
    axes = [axis.astype(np.int32) for axis in _indices(step, node)]
    found = []
    with np.errstate(all="ignore"):
        for count, instruction in enumerate(node.body, 1):
            values = evaluate.canonical(evaluate.run(node.body[:count], list(given), step.position, axes))
            found.append(_value(len(given) + count - 1, _told(instruction), np.atleast_1d(values)))
    return found


def _told(instruction: Instruction) -> str:
    name = instruction.operation
    if name in CONSTANTS:
        return "constant"
    if name == encoding.AXIS:
        return f"index along axis {instruction.arguments[0]}"
    arguments = ", ".join(map(_letter, instruction.arguments))
    return f"{name}({arguments})" if arguments else name


def _letter(register: int) -> str:
    """a … z, then a1 … z1."""
    return chr(ord("a") + register % 26) + (str(register // 26) if register >= 26 else "")


def _word(word: int, kind: str) -> Words:
    return np.array([word], np.uint32).view(np.float32 if kind == "f" else np.int32)


def _value(register: int, what: str, values: Words) -> Value:
    return Value(_letter(register), what, _bits(values), _decimal(values))


def _end(what: str, values: Words) -> Value:
    return Value("", what, _bits(values), _decimal(values))


def _bits(values: Words) -> str:
    flat = values.reshape(-1)
    if len(flat) > 1:
        return (flat & 0xFF).astype(np.uint8).tobytes().hex()
    return f"{int(flat.view(np.uint32)[0]):08x}"


def _decimal(values: Words) -> str:
    flat = values.reshape(-1)
    if len(flat) > 1:
        return " ".join(str(int(number)) for number in flat)
    return shortest(int(flat.view(np.uint32)[0])) if flat.dtype == np.float32 else str(int(flat[0]))


def shortest(word: int) -> str:
    """The shortest decimal that is this binary32 number and no other."""
    number = struct.unpack("<f", struct.pack("<I", word))[0]
    if not math.isfinite(number):
        return str(number)
    return str(np.float32(number)) if number != int(number) or abs(number) >= 1e9 else f"{number:.1f}"


# -- one id that is weighed --------------------------------------------------------------------------------------------


def weighed(told: Weighing) -> Explained:
    """What an id adds to the sums that a filter is proved by (GAM-5), and what the provider's sums say of it."""
    sieve = told.sieve
    given = [("the id's logit", told.id, told.logit), ("the unit's", sieve.unit, sieve.unit_z)]
    given += [("the rival's", sieve.rival, sieve.rival_z), ("the last that top-k keeps", sieve.lowest, sieve.lowest_z)]
    given += [("the greatest", sieve.greatest, sieve.greatest_z)]
    operands = [(f"{what}, id {one}", word) for what, one, word in given if one != NOTHING]
    computed = sieves.share(sieve, told.id, told.logit)
    parts = [Value("", name, f"{part:x}", str(part)) for name, part in _parts(computed)]
    return Explained(
        node=f"id {told.id}",
        loops=f"its share of 256 bits in sums over {sieve.vocabulary:,} ids",
        operands=tuple(_value(at, what, _word(word, "f")) for at, (what, word) in enumerate(operands)),
        operations=tuple(parts),
        claimed=_sum("claimed", told.claimed),
        computed=_sum("computed", computed),
        what="The last id",
    )


def _parts(share: int) -> list[tuple[str, int]]:
    return [(name, share >> first & (1 << width) - 1) for name, first, width in SHARE]


def _sum(what: str, share: int) -> Value:
    return Value("", what, f"{share:064x}", ", ".join(f"{part}" for _, part in _parts(share)))
