"""Writes vectors/{operations,blocks,turns,draws}: what another implementation of the arithmetic must give, bit for bit.

Numbers are words of 32 bits as eight hex digits (binary32, or two's complement). `--check` compares.
"""

from collections.abc import Iterator
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
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.evaluate import canonical
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.engines.sampling import Draw, Sampler
from vectors import Case, hexed, write

Array = NDArray[Any]
EDGES = (
    *(0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x33800000, 0x3EFFFFFF, 0x3F000000, 0x3F800000),
    *(0x3F800001, 0xBF800000, 0xBFC00000, 0x40200000, 0x42AE0000, 0xC2AF0000, 0x4B400000, 0x7F7FFFFF, 0x7F800000),
    *(0xFF800000, 0x7FC00000),
)
"""Zeros, subnormals, ties, one and its neighbour, where functions change their form, the greatest, infinities, NaN."""
WHOLE = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x12800000)
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
            raw = chance.standard_normal(256).astype(kinds[kind]).view(np.uint8)
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


if __name__ == "__main__":
    raise SystemExit(write("arithmetic vectors", operations, blocks, turns, draws))
