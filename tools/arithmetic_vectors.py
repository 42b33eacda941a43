"""Writes vectors/{operations,blocks,turns,draws,steps}: what another implementation of the arithmetic must give, bit for bit.

Numbers are words of 32 bits as eight hex digits (binary32, or two's complement). `--check` compares.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import native, rope
from steelyard.engines.canonical.blocks import WEIGHTS
from steelyard.engines.canonical.fields import FIELDS
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.lowering import Lowering
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.draws import Draw
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.encoding import CODES, step, takes
from steelyard.engines.ir.encoding import KINDS as CODED
from steelyard.engines.ir.evaluate import canonical
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.engines.sampling import Sampler
from vectors import Case, hexed, write

Array = NDArray[Any]
EDGES = (
    *(0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x33800000, 0x3EFFFFFF, 0x3F000000, 0x3F800000),
    *(0x3F800001, 0xBF800000, 0xBFC00000, 0x40200000, 0x42AE0000, 0xC2AF0000, 0x4B400000, 0x7F7FFFFF, 0x7F800000),
    *(0xFF800000, 0x7FC00000),
)
"""Zeros, subnormals, ties, one and its neighbour, where functions change their form, the greatest, infinities, NaN."""
WHOLE = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x2B800000)
DOMAINS = {"log": lambda w: 0x00800000 <= w < 0x7F800000, "round": lambda w: w & 0x7FFFFFFF < 0x4A800000}
"""Where an operation is defined, if not everywhere."""


def words(array: Array) -> list[str]:
    """Eight hex digits each."""
    return [f"{word:08x}" for word in canonical(np.ascontiguousarray(array)).view(np.uint32).tolist()]


def operations() -> Iterator[Case]:
    """An operation's operands -> its result."""
    chance = np.random.default_rng(20)
    for name, operation in OPERATIONS.items():
        if operation.takes == "vv":
            vectors = chance.integers(-128, 128, (6, 2, 32)).astype(np.int32)
            vectors[0, 0], vectors[0, 1] = -128, 127
            rows = [[words(vector) for vector in pair] for pair in vectors]
            result = words(operation.do(vectors[:, 0], vectors[:, 1]))
        else:
            cases = list(product(*(EDGES if kind == "f" else WHOLE for kind in operation.takes)))
            if len(cases) > 400:
                cases = [cases[i] for i in sorted(chance.choice(len(cases), 400, replace=False))]
            cases = [case for case in cases if name not in DOMAINS or DOMAINS[name](case[0])]
            columns = [
                np.array(column, np.uint32).view(np.float32 if kind == "f" else np.int32)
                for column, kind in zip(zip(*cases, strict=True), operation.takes, strict=True)
            ]
            rows = [[f"{word:08x}" for word in case] for case in cases]
            with np.errstate(all="ignore"):
                result = words(operation.do(*columns))
        told = {"operation": name, "takes": operation.takes, "gives": operation.gives, "operands": rows}
        yield f"operations/{name}", {"about": f"The scalar operation {name}.", "input": told, "result": result}


class Block:
    """One row of 256 weights and 256 activations, as a graph's values."""

    def __init__(self, raw: Array, kind: str, activations: Array) -> None:
        self._raw, self._kind, self.inputs = raw, kind, {"x": activations}

    def id(self, _: int) -> int:
        return 0

    def gather(self, source: str, _: int | Array, index: Array) -> Array:
        if source in self.inputs:
            return self.inputs[source][index]
        field = FIELDS[self._kind][source.partition("#")[2]]
        return field.read(self._raw, index // field.each * KINDS_OF[self._kind][1], index % field.each)


KINDS_OF = {name: (elements, size) for name, elements, size in KINDS.values()}


def blocks() -> Iterator[Case]:
    """A row of a format's weights, activations -> the weights alone, quantised activations, the dot product."""
    for number, kind in enumerate(FORMATS):
        chance = np.random.default_rng(number)
        elements, size = KINDS_OF[kind]
        if FORMATS[kind].plain:
            kinds: dict[str, Any] = {"f32": "<f4", "f16": "<f2", "bf16": "<f4"}
            numbers = chance.standard_normal(256)
            numbers[::16] *= 1 if kind == "f16" else 2.0**-40
            raw = numbers.astype(kinds[kind]).view(np.uint8)
            raw = raw.reshape(-1, 4)[:, 2:].reshape(-1) if kind == "bf16" else raw
        else:
            raw = chance.integers(0, 256, 256 // elements * size).astype(np.uint8)
            for at in {"q6_k": (208,)}.get(kind, (0, 2) if FORMATS[kind].scales == 2 else (0,)):
                scales = chance.uniform(0.001, 0.01, len(raw) // size).astype("<f2").view(np.uint8).reshape(-1, 2)
                raw.reshape(-1, size)[:, at : at + 2] = scales
        activations = chance.standard_normal(256).astype(np.float32)
        activations[:32] = 0
        low = Lowering(None, {"token_embd.weight": kind, "w": kind})  # type: ignore[arg-type]  # no shape is asked for
        low.graph.inputs["x"] = "f"
        low._quantised("x", 256)
        low._matrix("dot", "w", "x", (256, 1))
        run = Block(raw, kind, activations)
        result: dict[str, Any] = {}
        for node in low.graph.nodes:
            run.inputs[node.name] = evaluate.value(node, 0, run)
        for name in ("x.q", "x.d", "x.ds", "dot") if kind in WEIGHTS else ("dot",):
            result[name] = words(run.inputs[name])
        told = {"format": kind, "row": hexed(raw.tobytes()), "activations": words(activations)}
        about = f"256 weights of {kind} times activations: quantised activations (q, d, d·S) and the dot product."
        yield f"blocks/{kind}", {"about": about, "input": told, "result": result}


def turns() -> Iterator[Case]:
    """Base, head, divisors, position -> cosines and sines."""
    for name, base, head, divisors in (
        ("smollm2", 100000.0, 64, ()),
        ("halved", 10000.0, 32, (2.0,) * 16),
        ("rising", 500000.0, 64, tuple(1 + i / 4 for i in range(32))),
    ):
        cosines, sines = rope.tables(base, head, 4097, divisors)
        for position in (1, 4096):
            told = {"base": words(np.array([base], np.float32))[0], "head": head, "divisors": list(divisors)}
            result = {"cosines": words(cosines[position]), "sines": words(sines[position])}
            about = f"The rotation's table, {name}, one position."
            yield (
                f"turns/{name}-{position}",
                {"about": about, "input": {**told, "position": position}, "result": result},
            )


def draws() -> Iterator[Case]:
    """Logits, T, seed, position -> the id (SMP-1 to SMP-6)."""
    kernels = native.load(native.recipe_here(32, 1, ()))
    pool = Pool(kernels, 1, 1, 64)
    sampler = Sampler(kernels, pool.run, 100)
    chance = np.random.default_rng(8)
    logits = np.zeros((1, 128), np.float32)
    logits[0, :100] = chance.standard_normal(100).astype(np.float32) * 3
    logits[0, 40] = logits[0, 70] = 9
    for name, temperature, seed, position in (
        ("plain-tie", 0, 1, 5),
        ("usual", 0x3F800000, 2**63 + 5, 77),
        ("cold", 0x3DCCCCCD, 12, 0),
        ("hot", 0x41200000, 2**64 - 1, 2**32 - 1),
    ):
        (found,) = sampler.pick(logits, [Draw(temperature, 0x3F800000, 0, seed)], [position])
        told = {"logits": words(logits[0, :100]), "temperature": f"{temperature:08x}", "seed": str(seed)}
        told |= {"position": str(position)}
        yield f"draws/{name}", {"about": f"Which id is drawn: {name}.", "input": told, "result": found}
    pool.close()


FMA, ADD, MUL, DIV = (
    bytes([len(takes(name)), *[1] * len(takes(name)), CODES[name], *range(len(takes(name)))])
    for name in ("fma", "add", "mul", "div")
)
SQRT, ROUND, EXP = (bytes([1, 1, CODES[name], 0]) for name in ("sqrt", "round", "exp"))
Q8_0 = bytes([6, 32, 1, 32, 1, 1, 1, CODES["mul"], 1, 3, CODES["dot"], 0, 2, CODES["float"], 7, CODES["fma"], 6, 8, 5])
VECTOR = int.from_bytes(bytes([*range(240, 256), *range(16)]), "big")
USUAL = {"f": (0xC0133333, 0x3F99999A, 0x3F000000), "i": (2**31 + 5, 7, 3), "v": (VECTOR, VECTOR)}
"""Operands of the cases of one operation each: -2.3, 1.2, ½; a negative number, 7, 3; whole numbers from -16 to 15."""
STEPS: dict[str, tuple[str, bytes, list[int]]] = {
    "fma-rounds-once": ("A product whose last bits alone are left.", FMA, [0x3F800001, 0x3F800001, 0xBF800002]),
    "fma-a-tie-and-a-little": ("A tie that a far addend decides.", FMA, [0x3F800001, 0x3FC00000, 1]),
    "fma-a-great-product": ("A product beyond the greatest number.", FMA, [0x7F7FFFFF, 0x40000000, 0xFF7FFFFF]),
    "fma-of-nothing": ("Infinity times zero.", FMA, [0x7F800000, 0, 0x3F800000]),
    "add-cancels": ("A sum of zero is +0.", ADD, [0x80000001, 1]),
    "add-minus-zeros": ("-0 and -0.", ADD, [0x80000000, 0x80000000]),
    "add-infinities": ("Opposite infinities.", ADD, [0x7F800000, 0xFF800000]),
    "mul-to-even": ("Half of the least number.", MUL, [1, 0x3F000000]),
    "mul-beyond": ("Beyond the greatest number.", MUL, [0x7F7FFFFF, 0x7F7FFFFF]),
    "div-by-minus-zero": ("A number by -0.", DIV, [0x3F800000, 0x80000000]),
    "sqrt-of-less": ("The root of -1.", SQRT, [0xBF800000]),
    "round-to-even": ("2.5 as a whole number.", ROUND, [0x40200000]),
    "exp-of-infinity": ("All above 88 count as 88.", EXP, [0x7F800000]),
    "a-nan": ("An element that is NaN is 0x7FC00000.", b"\1\1", [0xFFC12345]),
    "q8-0": ("A turn of a matrix in Q8_0.", Q8_0, [VECTOR, 0x3C23D70A, VECTOR, 0x3C000000, 0, 0xC2280000]),
}
NO_STEPS: dict[str, tuple[str, bytes, list[int]]] = {
    "body.length": ("An operation without its last argument.", ADD[:-1], [0, 0]),
    "body.given": ("17 registers given.", bytes([17, *[1] * 17]), [0] * 17),
    "body.kind": ("A register of kind 3.", b"\1\3", [0]),
    "body.operation": ("A code that is no operation's.", bytes([1, 1, len(CODES)]), [0]),
    "body.argument": ("A register that is not written yet.", bytes([1, 1, CODES["add"], 0, 1]), [0]),
    "body.axis": ("An axis that there is not.", bytes([0, CODES["axis"], 0]), []),
    "body.functions": ("Five functions.", bytes([1, 1, *[CODES["exp"], 0] * 5]), [0]),
    "body.result": ("A vector as result.", b"\1\x20", [0]),
    "step.operands": ("One operand for two registers.", ADD, [0]),
    "step.word": ("A number of 33 bits.", ADD, [0, 2**32]),
    "step.vector": ("A 17th element.", bytes([2, 16, 16, CODES["dot"], 0, 1]), [0, 1]),
}


def steps() -> Iterator[Case]:
    """A body, its operands, indices and position -> the word that it gives."""
    for name, operation in OPERATIONS.items():
        given = [32 if kind == "v" else CODED[kind] for kind in operation.takes]
        operands = [USUAL[kind][at] for at, kind in enumerate(operation.takes)] if name != "log" else [0x3F000000]
        raw = bytes([len(given), *given, CODES[name], *range(len(given))])
        yield _step(name, f"The operation {name} alone.", raw, operands)
    for name, (about, raw, operands) in STEPS.items():
        yield _step(name, about, raw, operands)
    raw = bytes([0, CODES["axis"], 1, CODES["position"], CODES["iadd"], 0, 1])
    yield _step("axis-and-position", "The index along axis 1, and the position.", raw, [], [3, 8], 5)
    for rule, (about, raw, operands) in NO_STEPS.items():
        yield _step(f"refused-{rule.replace('.', '-')}", about, raw, operands, refused=rule)


def _step(
    name: str, about: str, raw: bytes, operands: list[int], indices: Sequence[int] = (), at: int = 0, refused: str = ""
) -> Case:
    words = [hexed(operand.to_bytes(32, "big")) for operand in operands]
    told = {"body": hexed(raw), "operands": words, "indices": [*indices], "position": at}
    result = {"refused": refused} if refused else {"result": hexed(step(raw, operands, indices, at).to_bytes(4, "big"))}
    return f"steps/{name}", {"about": about, "input": told, **result}


if __name__ == "__main__":
    raise SystemExit(write("arithmetic vectors", operations, blocks, turns, draws, steps))
