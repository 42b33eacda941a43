"""Nodes, views and bodies: a graph is a list of loop nests, and one line of text for each of them (spec/ir.md).

A graph computes one position of a run. A node's value is an array of 32-bit words, named by (position, node, element).
A map computes each element from what its views load; a fold carries an accumulator along more axes. Extents and
offsets are affine in the position, so that a node and a position alone say which operands a step needs.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol.errors import Refused

POSITION: Final = "position"
"""Register source: the position itself, as a whole number."""
CONSTANTS: Final = {"const": "f", "whole": "i"}
"""How a body says a constant: the kind of each."""


@dataclass(frozen=True, slots=True)
class Affine:
    """constant + slope · position."""

    constant: int
    slope: int = 0

    def at(self, position: int) -> int:
        return self.constant + self.slope * position

    def __str__(self) -> str:
        if not self.slope:
            return str(self.constant)
        factor = "n" if self.slope == 1 else f"{self.slope}n"
        return f"{factor}+{self.constant}" if self.constant else factor


SO_FAR: Final = Affine(1, 1)
"""Extent of an axis over all positions up to this one."""


@dataclass(frozen=True, slots=True)
class View:
    """Which element of a source each turn of the loops loads: offset + strides · indices (+ the id here · by_id)."""

    source: str
    """A node's name or an input's (`tensor` or `tensor#field`)."""
    strides: tuple[int, ...]
    """Elements for one step of each axis of the space, then of the fold."""
    offset: Affine = Affine(0)
    position_axis: int | None = None
    """The axis whose index is the position of the source's value; None: this position."""
    by_id: int = 0
    """Elements for one step of the id here: how a row is chosen from a table."""
    width: int = 1
    """1, or 16 or 32 consecutive whole numbers, which an exact dot takes."""

    def __str__(self) -> str:
        told = f"{self.source}[{self.offset}; {' '.join(map(str, self.strides))}]"
        told += "" if self.position_axis is None else f"@{self.position_axis}"
        told += f"*{self.by_id}" if self.by_id else ""
        return told + (f"x{self.width}" if self.width > 1 else "")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One scalar operation. Registers: the loads, the accumulator of a fold, then one for each instruction."""

    operation: str
    """A name of `scalars.OPERATIONS`; or `const` and `whole` (a word), `axis` (argument: which), `position`."""
    arguments: tuple[int, ...] = ()
    word: int = 0
    """Bits of a constant."""

    def __str__(self) -> str:
        if self.operation in CONSTANTS:
            return f"{self.operation} {self.word:08x}"
        return " ".join([self.operation, *map(str, self.arguments)])


@dataclass(frozen=True, slots=True)
class Node:
    """One loop nest."""

    name: str
    kind: str
    """Of its elements: `f` binary32, `i` 32-bit whole numbers."""
    space: tuple[Affine, ...]
    """Extents of the output's axes, row-major; none for a single element."""
    loads: tuple[View, ...]
    load_kinds: str
    """One letter a load: `f`, `i`, or `v` for several whole numbers."""
    body: tuple[Instruction, ...]
    fold: tuple[Affine, ...] = ()
    """Extents of the fold's axes, row-major; none for a map."""
    lanes: int = 1
    """Chains of a fold, 1 or 16: chain i takes the turns i mod lanes; the fixed tree joins them (spec GRA-7)."""
    start: int = 0
    """Bits that each chain starts from."""
    join: str = ""
    """The operation that joins two chains; only where lanes is 16."""

    def elements(self, position: int) -> int:
        """How many elements the value has."""
        return prod(extent.at(position) for extent in self.space)

    def turns(self, position: int) -> int:
        """How many turns its loops take for one element: 1 for a map."""
        return prod(extent.at(position) for extent in self.fold)

    def extents(self, position: int) -> list[int]:
        """Of the space's axes, then of the fold's."""
        return [extent.at(position) for extent in (*self.space, *self.fold)]

    def __str__(self) -> str:
        space = " ".join(map(str, self.space))
        fold = f" fold [{' '.join(map(str, self.fold))}] from {self.start:08x}" if self.fold else ""
        fold += f" in {self.lanes} join {self.join}" if self.lanes > 1 else ""
        loads = ", ".join(map(str, self.loads))
        return f"{self.name} {self.kind} [{space}]{fold}: {loads}: {'; '.join(map(str, self.body))}"


@dataclass(frozen=True, eq=False)
class Register:
    """A scalar while a body is being written. `+ - * /` are rounded once each; a number is a binary32 constant."""

    body: "Body"
    index: int
    kind: str

    def _with(self, name: str, other: "Register | float") -> "Register":
        return self.body.do(name, self, self.body.real(other) if isinstance(other, int | float) else other)

    def __add__(self, other: "Register | float") -> "Register":
        return self._with("add", other)

    def __sub__(self, other: "Register | float") -> "Register":
        return self._with("sub", other)

    def __mul__(self, other: "Register | float") -> "Register":
        return self._with("mul", other)

    def __truediv__(self, other: "Register | float") -> "Register":
        return self._with("div", other)


class Body:
    """Instructions being written, with their kinds checked against `scalars.OPERATIONS`."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = list(kinds)
        self.instructions: list[Instruction] = []

    def _push(self, instruction: Instruction, kind: str) -> Register:
        self.instructions.append(instruction)
        self.kinds.append(kind)
        return Register(self, len(self.kinds) - 1, kind)

    def do(self, name: str, *arguments: Register) -> Register:
        """One operation. Its arguments' kinds must be the operation's."""
        operation = OPERATIONS[name]
        assert [a.kind for a in arguments] == list(operation.takes), name
        return self._push(Instruction(name, tuple(a.index for a in arguments)), operation.gives)

    def real(self, number: float) -> Register:
        """A binary32 constant."""
        return self._push(Instruction("const", word=float_bits(number)), "f")

    def whole(self, number: int) -> Register:
        """A whole-number constant."""
        return self._push(Instruction("whole", word=number & 0xFFFFFFFF), "i")

    def axis(self, which: int) -> Register:
        """The index along an axis; the fold's comes behind those of the space."""
        return self._push(Instruction("axis", (which,)), "i")

    def position(self) -> Register:
        return self._push(Instruction(POSITION), "i")


Write = Callable[..., Register]
"""(body, loads …) -> the element of a map; (body, accumulator, loads …) -> the new accumulator of a fold."""


@dataclass
class Graph:
    """Nodes in the order in which they are computed."""

    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    """Source -> kind of its elements, for everything that is not a node."""
    by_name: dict[str, Node] = field(default_factory=dict)

    def map(self, name: str, space: Sequence[int | Affine], loads: Sequence[View], write: Write) -> str:
        """Adds a map, returns its name."""
        return self._add(name, space, loads, write, (), "", 1, 0)

    def fold(
        self,
        name: str,
        space: Sequence[int | Affine],
        over: int | Affine | Sequence[int | Affine],
        loads: Sequence[View],
        write: Write,
        start: int | float = 0.0,
        lanes: int = 1,
        join: str = "add",
    ) -> str:
        """Adds a fold over one axis or several, returns its name. A `start` that is a float is binary32's."""
        kind = "f" if isinstance(start, float) else "i"
        word = float_bits(start) if isinstance(start, float) else start & 0xFFFFFFFF
        axes = over if isinstance(over, Sequence) else [over]
        return self._add(name, space, loads, write, tuple(map(_affine, axes)), kind, lanes, word, join)

    def _add(
        self,
        name: str,
        space: Sequence[int | Affine],
        loads: Sequence[View],
        write: Write,
        fold: tuple[Affine, ...],
        kind: str,
        lanes: int,
        start: int,
        join: str = "",
    ) -> str:
        assert name not in self.by_name, name
        assert lanes in (1, 16)
        kinds = ["v" if view.width > 1 else self.kind(view.source) for view in loads]
        assert all(len(view.strides) == len(space) + len(fold) for view in loads), name
        body = Body([*kinds, kind] if fold else kinds)
        registers = [Register(body, index, letter) for index, letter in enumerate(body.kinds)]
        if fold:
            registers.insert(0, registers.pop())
        result = write(body, *registers)
        assert not fold or result.kind == kind, name
        assert result.index == len(body.kinds) - 1, f"{name}: the last register is the result"
        node = Node(
            name=name,
            kind=result.kind,
            space=tuple(map(_affine, space)),
            loads=tuple(loads),
            load_kinds="".join(kinds),
            body=tuple(body.instructions),
            fold=fold,
            lanes=lanes,
            start=start,
            join=join if lanes > 1 else "",
        )
        self.nodes.append(node)
        self.by_name[name] = node
        return name

    def kind(self, source: str) -> str:
        """`f` or `i`. Raises Refused("ir.source") if nothing has that name yet."""
        if source in self.by_name:
            return self.by_name[source].kind
        if source not in self.inputs:
            raise Refused("ir.source", f"{source!r}: no node before this one and no input has that name")
        return self.inputs[source]

    def check(self, sizes: Mapping[str, int], last: int, ids: int) -> None:
        """Every load lies inside its source, whatever the position up to `last` and the id below `ids`.

        Offsets and extents are affine, so the corners say it for all. `sizes`: elements of each input.
        Raises Refused("ir.range")."""
        for node in self.nodes:
            for view in node.loads:
                for position in (0, last):
                    self._check(node, view, position, sizes, ids)

    def _check(self, node: Node, view: View, position: int, sizes: Mapping[str, int], ids: int) -> None:
        extents = node.extents(position)
        source = self.by_name.get(view.source)
        size = sizes[view.source] if source is None else source.elements(position)
        low = high = view.offset.at(position)
        for stride, extent in zip(view.strides, extents, strict=True):
            low, high = low + min(0, stride * (extent - 1)), high + max(0, stride * (extent - 1))
        high += view.by_id * (ids - 1) + view.width - 1
        if not 0 <= low <= high < size:
            told = f"{node.name} loads {low} to {high} of {view.source}, {size} elements, at position {position}"
            raise Refused("ir.range", told)


def _affine(extent: int | Affine) -> Affine:
    return extent if isinstance(extent, Affine) else Affine(extent)


def float_bits(number: float) -> int:
    """binary32 bits of the nearest binary32 number; any NaN is 0x7FC00000."""
    if number != number:  # NaN
        return 0x7FC00000
    found: int = struct.unpack("<I", struct.pack("<f", number))[0]
    return found
