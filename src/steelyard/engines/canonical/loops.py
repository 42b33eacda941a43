"""Nodes of a graph as machine code, one function for each form of loop nest: what a trace computes between two kernels.

Written from the nodes themselves, turn by turn as spec/ir.md says; `ir.evaluate` computes the same slowly, and tests
hold one to the other. A function: void(ptr out, i64 row, i64 first, i64 end, then (ptr, i64 row) for each load), for
the positions from `first` to `end`, whose values stand `row` words apart.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from llvmlite import ir
from numpy.typing import NDArray

from steelyard.engines.canonical import native
from steelyard.engines.canonical.emit import F32, I32, I64, PTR, Kit, Value
from steelyard.engines.canonical.scalars import MAGIC, MAGIC_BITS, exp, larger, magnitude, tanh
from steelyard.engines.ir.graph import CONSTANTS, POSITION, Affine, Graph, Node
from steelyard.engines.ir.scalars import NAN_BITS

Array = NDArray[Any]
KINDS: Final = {"f": F32, "i": I32}
SIGN: Final = 0x80000000


def _canonical(kit: Kit, x: Value) -> Value:
    """GRA-4."""
    return x if x.kind == I32 else x.compare("==", x).choose(x, kit.const(I32, int(NAN_BITS)).bits(F32))


def _bits(kit: Kit, x: Value) -> Value:
    return _canonical(kit, x).bits(I32)


def _signed(kit: Kit, sign: str, a: Value, b: Value) -> Value:
    return Value(kit, kit.builder.icmp_signed(sign, a.raw, b.raw))


def _choose(_: Kit, condition: Value, yes: Value, no: Value) -> Value:
    return condition.compare("!=", 0).choose(yes, no)


OPERATIONS: Final[Mapping[str, Callable[..., Value]]] = {
    "add": lambda _, a, b: a + b,
    "sub": lambda _, a, b: a - b,
    "mul": lambda _, a, b: a * b,
    "div": lambda _, a, b: a / b,
    "fma": Kit.fma,
    "sqrt": Kit.root,
    "neg": lambda _, a: (a.bits(I32) ^ SIGN).bits(F32),
    "abs": lambda _, a: magnitude(a),
    "larger": lambda _, a, b: larger(a, b),
    "exp": exp,
    "tanh": tanh,
    "less": lambda _, a, b: a.compare("<", b).zext(I32),
    "select": _choose,
    "float": lambda _, a: a.to_float(),
    "round": lambda kit, a: _bits(kit, a + MAGIC) - MAGIC_BITS,
    "bits": _bits,
    "real": lambda _, a: a.bits(F32),
    "iadd": lambda _, a, b: a + b,
    "imul": lambda _, a, b: a * b,
    "iand": lambda _, a, b: a & b,
    "ilarger": lambda kit, a, b: _signed(kit, ">", a, b).choose(a, b),
    "iless": lambda kit, a, b: _signed(kit, "<", a, b).zext(I32),
    "iequal": lambda _, a, b: a.compare("==", b).zext(I32),
    "iselect": _choose,
}
"""No `dot`: a node that takes dots is a matrix, and kernels leave its value. No `log`, no `erf`: no model has them."""


def form(node: Node) -> Node:
    """The node without names: nodes of one form share a function."""
    return replace(node, name="", loads=tuple(replace(view, source="") for view in node.loads))


def takes(graph: Graph, node: Node) -> bool:
    """Whether the node can be made: it loads single words of other nodes, and each operation is known here."""
    known = OPERATIONS.keys() | CONSTANTS.keys() | {"axis", POSITION}
    loads = all(view.source in graph.by_name and view.width == 1 for view in node.loads)
    return loads and all(instruction.operation in known for instruction in node.body)


class Loop:
    """The function of one form of node."""

    def __init__(self, code: native.Code, name: str, loads: int) -> None:
        self._code = code
        self._run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (4 + 2 * loads))(code.address[name])

    def run(self, first: int, out: Array, sources: Sequence[Array]) -> None:
        """Writes a node's values at positions `first` on, one a row of `out`, [positions][at least its elements].

        `sources`: for each load the values that it loads from, a row a position: the same positions, or for a view into
        other positions all from 0 on. All are C-contiguous and of 4-byte words."""
        assert all(array.flags.c_contiguous and array.itemsize == 4 for array in (out, *sources))
        places = [number for array in (out, *sources) for number in (array.ctypes.data, array.shape[1])]
        self._run(*places[:2], first, first + len(out), *places[2:])


def of(graph: Graph) -> dict[str, Loop]:
    """Functions for all of a graph's nodes that can be made: not for those that load from a file, which are matrices,
    norms and the embedding."""
    forms = {node.name: form(node) for node in graph.nodes if takes(graph, node)}
    distinct = tuple(dict.fromkeys(forms.values()))
    made = dict(zip(distinct, _made(distinct), strict=True))
    return {name: made[node] for name, node in forms.items()}


@lru_cache(maxsize=8)
def _made(forms: tuple[Node, ...]) -> tuple[Loop, ...]:
    module = ir.Module("loops")
    names = tuple(f"loop{index}" for index in range(len(forms)))
    for name, node in zip(names, forms, strict=True):
        _function(module, name, node)
    code = native.functions(str(module), names)
    return tuple(Loop(code, name, len(node.loads)) for name, node in zip(names, forms, strict=True))


def _function(module: Any, name: str, node: Node) -> None:
    kit = Kit(module, name, ir.VoidType(), [PTR, I64, I64, I64, *[PTR, I64] * len(node.loads)])
    out, row, first, end, *places = kit.takes
    for argument in kit.function.args:
        if argument.type == PTR:
            argument.add_attribute("noalias")  # what is read is never what is written
    with kit.loop(first, end) as position:
        here = position - first
        bases = [
            base if view.position_axis is not None else kit.at(base, here * width, I32)
            for view, base, width in zip(node.loads, places[::2], places[1::2], strict=True)
        ]
        nest = _Nest(kit, node, position, bases, places[1::2])
        target, count = kit.at(out, here * row, I32), kit.var(kit.const(I64, 0))
        with ExitStack() as stack:
            axes = nest.loops(stack, node.space)
            found = nest.element(axes) if node.fold else nest.body(axes, [])
            at = count.get()
            kit.store(_canonical(kit, found), target, at << 2, 4)
            count.set(at + 1)
    kit.finish()


class _Nest:
    """A node at one position, being written. `widths`: words from one position of a source to the next."""

    def __init__(self, kit: Kit, node: Node, position: Value, bases: list[Value], widths: list[Value]) -> None:
        self.kit, self.node, self.position, self.bases, self.widths = kit, node, position, bases, widths

    def loops(self, stack: ExitStack, extents: Sequence[Affine]) -> list[Value]:
        """The index along each axis, in loops that end with the stack."""
        return [stack.enter_context(self.kit.loop(0, self._at(extent))) for extent in extents]

    def element(self, axes: list[Value]) -> Value:
        """GRA-6, GRA-7: an element of a fold."""
        kit, node, kind = self.kit, self.node, KINDS[self.node.kind]
        start = kit.const(I32, node.start).bits(kind)
        with kit.builder.goto_entry_block():
            chains = Value(kit, kit.builder.alloca(kind, size=ir.Constant(I32, node.lanes)))
        for lane in range(node.lanes):
            kit.store(start, chains, 4 * lane, 4)
        turn = kit.var(kit.const(I64, 0))
        with ExitStack() as stack:
            inner = self.loops(stack, node.fold)
            number = turn.get()
            place = (number & (node.lanes - 1)) << 2
            kit.store(self.body([*axes, *inner], [kit.load(chains, place, kind, 4)]), chains, place, 4)
            turn.set(number + 1)
        found = [kit.load(chains, 4 * lane, kind, 4) for lane in range(node.lanes)]
        while len(found) > 1:
            half = len(found) // 2
            found = [OPERATIONS[node.join](kit, a, b) for a, b in zip(found[:half], found[half:], strict=True)]
        return found[0]

    def body(self, axes: list[Value], accumulator: list[Value]) -> Value:
        """GRA-8: one turn's result."""
        kit, registers = self.kit, [*self._loads(axes), *accumulator]
        for instruction in self.node.body:
            name, arguments = instruction.operation, instruction.arguments
            if name in CONSTANTS:
                registers.append(kit.const(I32, instruction.word).bits(KINDS[CONSTANTS[name]]))
            elif name == "axis":
                registers.append(axes[arguments[0]].trunc(I32))
            elif name == POSITION:
                registers.append(self.position.trunc(I32))
            else:
                registers.append(OPERATIONS[name](kit, *(registers[argument] for argument in arguments)))
        return registers[-1]

    def _loads(self, axes: list[Value]) -> list[Value]:
        found = []
        for view, letter, base, width in zip(
            self.node.loads, self.node.load_kinds, self.bases, self.widths, strict=True
        ):
            index = self._at(view.offset)
            for stride, axis in zip(view.strides, axes, strict=True):
                index = index + axis * stride
            if view.position_axis is not None:
                index = index + axes[view.position_axis] * width
            found.append(self.kit.load(base, index << 2, KINDS[letter], 4))
        return found

    def _at(self, extent: Affine) -> Value:
        return self.position * extent.slope + extent.constant
