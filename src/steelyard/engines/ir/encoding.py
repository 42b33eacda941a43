"""Bodies and their operands as bytes and words, as a contract takes them (spec/ir.md, GRA-15 to GRA-17).

`contracts/Step.vy` reads the same bytes and refuses by the same names; its numbers are written from the tables here by
tools/operations_vy.py.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import CONSTANTS, POSITION, Instruction, Node
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol.errors import Refused

Array = NDArray[Any]
AXIS: Final = "axis"
CODES: Final = {name: code for code, name in enumerate([*OPERATIONS, *CONSTANTS, AXIS, POSITION])}
"""Operation -> its byte."""
NAMES: Final = tuple(CODES)
KINDS: Final = {"f": 1, "i": 2, "v": 3}
"""Kind of a register -> its two bits in `operations.SIGNATURES`; a register that was not written has none."""
VECTOR: Final = (16, 32)
"""Widths of vectors; each is its own byte in a body's head."""
CHAINS: Final = 16
"""Of a fold whose chains are joined by a tree (GRA-7)."""
MAX_GIVEN: Final = 16
"""Registers that hold something before the first instruction: one a load, and a fold's accumulator."""
MAX_INSTRUCTIONS: Final = 48
MAX_REGISTERS: Final = MAX_GIVEN + MAX_INSTRUCTIONS  # = 64
FUNCTIONS: Final = ("exp", "log", "tanh", "erf")
"""Operations that cost a contract ten to twenty times the others."""
MAX_FUNCTIONS: Final = 4
"""Of those in one body, so that no node can make a step dear."""
MAX_AXES: Final = 8
"""Axes of a node's space and fold together."""
MAX_BYTES: Final = 1 + MAX_GIVEN + 5 * MAX_INSTRUCTIONS  # = 257


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a body's bytes say."""

    given: tuple[int, ...]
    """1 (binary32), 2 (whole number), or 16 or 32 (a vector so wide): the loads, then the accumulator of a fold."""
    instructions: tuple[Instruction, ...]


def takes(name: str) -> str:
    """Kinds of the registers that an operation takes."""
    return OPERATIONS[name].takes if name in OPERATIONS else ""


def gives(name: str) -> str:
    """Kind of the register that it writes."""
    return OPERATIONS[name].gives if name in OPERATIONS else CONSTANTS.get(name, "i")


def size(name: str) -> int:
    """Bytes behind the operation's own: one an argument, four of a constant."""
    return 4 if name in CONSTANTS else len(takes(name)) + (name == AXIS)


def body(node: Node) -> bytes:
    """A node's body. Raises as `decode`, for bodies that are too long for a contract."""
    loads = zip(node.loads, node.load_kinds, strict=True)
    given = [view.width if view.width > 1 else KINDS[kind] for view, kind in loads]
    return written([*given, KINDS[node.kind]] if node.fold else given, node.body)


def tree(node: Node) -> bytes:
    """The body that joins a fold's 16 chains to its element (GRA-7): the chains are what is given."""
    assert node.lanes == CHAINS, node.name
    joins: list[Instruction] = []
    layer = list(range(CHAINS))
    while len(layer) > 1:
        half = len(layer) // 2
        first = CHAINS + len(joins)
        joins += [Instruction(node.join, (layer[i], layer[i + half])) for i in range(half)]
        layer = list(range(first, first + half))
    return written([KINDS[node.kind]] * CHAINS, joins)


def written(given: Sequence[int], instructions: Sequence[Instruction]) -> bytes:
    """The bytes of a body. Raises as `decode`."""
    if len(given) > MAX_GIVEN:
        raise Refused("body.given", f"{len(given)} registers given, at most {MAX_GIVEN}")
    if len(instructions) > MAX_INSTRUCTIONS:
        raise Refused("body.length", f"{len(instructions)} instructions, at most {MAX_INSTRUCTIONS}")
    raw = bytes([len(given), *given])
    for instruction in instructions:
        name = instruction.operation
        raw += bytes([CODES[name]])
        raw += struct.pack(">I", instruction.word) if name in CONSTANTS else bytes(instruction.arguments)
    decode(raw)
    return raw


@lru_cache(maxsize=256)  # a model's layers share their bodies
def decode(raw: bytes) -> Encoded:
    """Reads a body; what it accepts, `written` would write just so.

    Raises Refused: `body.length`, `body.given`, `body.kind`, `body.operation`, `body.argument`, `body.axis`,
    `body.functions`, `body.result`."""
    if not 1 <= len(raw) <= MAX_BYTES:
        raise Refused("body.length", f"{len(raw)} bytes, 1 to {MAX_BYTES}")
    if raw[0] > MAX_GIVEN:
        raise Refused("body.given", f"{raw[0]} registers given, at most {MAX_GIVEN}")
    given, at = tuple(raw[1 : 1 + raw[0]]), 1 + raw[0]
    if len(given) < raw[0]:
        raise Refused("body.length", f"{len(raw)} bytes, {raw[0]} registers given")
    for code in given:
        if code not in (KINDS["f"], KINDS["i"], *VECTOR):
            raise Refused("body.kind", f"{code} is no kind of register")
    kinds = ["v" if code in VECTOR else "fi"[code - 1] for code in given]
    instructions: list[Instruction] = []
    while at < len(raw):
        if len(instructions) == MAX_INSTRUCTIONS:
            raise Refused("body.length", f"more than {MAX_INSTRUCTIONS} instructions")
        instruction = _instruction(raw, at, given, kinds)
        instructions.append(instruction)
        kinds.append(gives(instruction.operation))
        at += 1 + size(instruction.operation)
    functions = sum(instruction.operation in FUNCTIONS for instruction in instructions)
    if functions > MAX_FUNCTIONS:
        raise Refused("body.functions", f"{functions} of {', '.join(FUNCTIONS)}, at most {MAX_FUNCTIONS}")
    if not kinds or kinds[-1] == "v":
        raise Refused("body.result", "the last register is a vector, or there is none")
    return Encoded(given, tuple(instructions))


def _instruction(raw: bytes, at: int, given: tuple[int, ...], kinds: list[str]) -> Instruction:
    """The instruction at a byte, while so many registers are written."""
    if raw[at] >= len(NAMES):
        raise Refused("body.operation", f"{raw[at]}, below {len(NAMES)}")
    name = NAMES[raw[at]]
    rest = raw[at + 1 : at + 1 + size(name)]
    if len(rest) < size(name):
        raise Refused("body.length", f"{name} needs {size(name)} bytes, {len(rest)} are left")
    if name in CONSTANTS:
        return Instruction(name, word=int.from_bytes(rest, "big"))
    arguments = tuple(rest)
    if name == AXIS and arguments[0] >= MAX_AXES:
        raise Refused("body.axis", f"axis {arguments[0]}, below {MAX_AXES}")
    for argument, kind in zip(arguments, takes(name), strict=False):
        if argument >= len(kinds) or kinds[argument] != kind:
            told = f"{name} takes {takes(name)}: register {argument} of {len(kinds)} is not {kind}"
            raise Refused("body.argument", told)
    if name == "dot" and given[arguments[0]] != given[arguments[1]]:
        raise Refused("body.argument", f"dot of {given[arguments[0]]} and {given[arguments[1]]} elements")
    return Instruction(name, arguments)


def word(values: Array) -> int:
    """An operand as a contract takes it: a number's 32 bits; of several whole numbers one byte each, 32 in all.

    Raises Refused("dots.range") for an element of a vector that is not from -128 to 127."""
    if values.size == 1:
        return int(np.ascontiguousarray(values).view(np.uint32).reshape(-1)[0])
    if not -128 <= values.min() <= values.max() <= 127:
        raise Refused("dots.range", f"{values.min()} to {values.max()}, must be -128 to 127")
    return int.from_bytes(values.astype(np.int8).tobytes().ljust(32, b"\0"), "big")


def step(raw: bytes, operands: Sequence[int], indices: Sequence[int] = (), position: int = 0) -> int:
    """One turn of a node's loops, or a tree: the word that `contracts/Step.vy` answers to the same arguments.

    Args:
        raw: the body.
        operands: one word a given register, as `word` makes them.
        indices: along the space's axes, then the fold's.

    Raises as `decode`, and Refused: `step.operands`, `step.word`, `step.vector`, `body.axis`."""
    read = decode(raw)
    if len(operands) != len(read.given):
        raise Refused("step.operands", f"{len(operands)} words for {len(read.given)} registers")
    for instruction in read.instructions:
        if instruction.operation == AXIS and instruction.arguments[0] >= len(indices):
            raise Refused("body.axis", f"axis {instruction.arguments[0]} of {len(indices)}")
    given = [_operand(code, operand) for code, operand in zip(read.given, operands, strict=True)]
    *axes, here = (np.array([number & 0xFFFFFFFF], np.uint32).view(np.int32) for number in (*indices, position))
    with np.errstate(all="ignore"):
        found = evaluate.run(read.instructions, given, int(here[0]), axes)
    return word(evaluate.canonical(found))


def _operand(code: int, operand: int) -> Array:
    """The register of a word."""
    if code in VECTOR:
        raw = operand.to_bytes(32, "big")
        if any(raw[code:]):
            raise Refused("step.vector", f"more than {code} elements")
        return np.frombuffer(raw[:code], np.int8).astype(np.int32).reshape(1, code)
    if not 0 <= operand < 2**32:
        raise Refused("step.word", f"{operand:#x} has more than 32 bits")
    found = np.array([operand], np.uint32)
    return evaluate.canonical(found.view(np.float32)) if code == KINDS["f"] else found.view(np.int32)
