"""Nodes as machine code give what the evaluator gives, whatever words they load: infinities, NaN, subnormals, any."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.canonical import loops, shape
from steelyard.engines.canonical import model as models
from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import SO_FAR, Affine, Body, Graph, Node, Register, View

COUNT = 21
"""Positions; a layer with a window sees 20."""
CORNERS = np.array(
    [
        *(0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000),
        *(0x7FC00000, 0x127FFFFF, 0x12800000, 0xC2AE0000, 0x42B00001, 0x3F1FFFFF, 0x3F200000, 0xBF200000, 0x4B000001),
    ],
    np.uint32,
)


@dataclass
class Words:
    """Sources of words, for `evaluate`: a row a position."""

    rows: Sequence[evaluate.Array]

    def id(self, _: int) -> int:
        raise AssertionError

    def gather(self, source: str, position: int | evaluate.Whole, index: evaluate.Whole) -> evaluate.Array:
        found: evaluate.Array = self.rows[int(source)][position, index]
        return found


def some(chance: np.random.Generator, kind: str, hostile: bool, width: int) -> evaluate.Array:
    if not hostile:
        numbers = chance.normal(size=(COUNT, width)) * 30
        return numbers.astype(evaluate.KINDS[kind])
    words = np.where(
        chance.random((COUNT, width)) < 0.3,
        chance.choice(CORNERS, (COUNT, width)),
        chance.integers(0, 2**32, (COUNT, width), np.uint32),
    ).astype(np.uint32)
    return evaluate.canonical(words.view(evaluate.KINDS[kind]))


def agree(node: Node, run: loops.Loop, hostile: bool) -> None:
    """At the last positions and all at once, with sources wider than they need be."""
    chance = np.random.default_rng(len(str(node)))
    kinds = [kind if kind != "v" else "i" for kind in node.load_kinds]
    rows = [some(chance, kind, hostile, 4000) for kind in kinds]
    named = replace(node, loads=tuple(replace(view, source=str(i)) for i, view in enumerate(node.loads)))
    for first in (0, COUNT - 2):
        out = np.full((COUNT - first, node.elements(COUNT - 1) + 3), 7, evaluate.KINDS[node.kind])
        views = zip(node.loads, rows, strict=True)
        run.run(first, out, [row if view.position_axis is not None else row[first:] for view, row in views])
        for position in {first, 15, 16, 19, COUNT - 1} & set(range(first, COUNT)):
            expected = evaluate.value(named, position, Words(rows))
            assert out[position - first, : len(expected)].tobytes() == expected.tobytes(), str(node)


@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("family", tiny_llama.FAMILIES)
def test_every_form_of_a_familys_nodes_on_any_words(family: str, hostile: bool, tmp_path: Path) -> None:
    head = gguf_head.read(tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES[family]))
    graph = models.lowered(head, shape.read(head)).graph
    made = loops.of(graph)
    forms = {loops.form(graph.by_name[name]): name for name in made}
    assert len(forms) >= 20
    assert not {"embedding", "output_norm", "blk.0.q"} & made.keys()
    for node, name in forms.items():
        agree(node, made[name], hostile)


def _many(b: Body, acc: Register, a: Register, n: Register) -> Register:
    """All operations that no model's inner nodes have together."""
    less = b.do("less", a, acc)
    same = b.do("iequal", b.do("imul", n, b.whole(3)), b.do("iadd", b.axis(0), b.position()))
    size = b.do("abs", b.do("sqrt", a) - b.do("neg", acc))
    large = b.do("tanh", b.do("float", b.do("ilarger", b.do("bits", a - acc), b.do("round", a)))) / b.do(
        "exp", size * 0.01
    )
    return b.do("select", b.do("iselect", less, same, b.do("iless", n, b.whole(-5))), large, b.do("real", n) + acc)


@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("lanes", [1, 16])
def test_operations_axes_and_chains_that_models_do_not_combine(lanes: int, hostile: bool) -> None:
    graph = Graph(inputs={})
    graph.map("f", [4000], [], lambda b: b.real(0.0))
    graph.map("i", [4000], [], lambda b: b.whole(0))
    views = [View("f", (3, 5, 7, 1), Affine(2, 1)), View("i", (0, 40, 2, 9), position_axis=1)]
    graph.fold("many", [5, SO_FAR], [Affine(3, 2), 7], views, _many, 0.5, lanes, "larger")
    apart = [View("f", (1,)), View("f", (1,), Affine(1))]
    graph.map("bits", [3000], apart, lambda b, a, c: b.do("bits", a - c))  # NaN made here has another sign on x86
    made = loops.of(graph)
    for name in ("many", "bits", "f"):
        agree(graph.by_name[name], made[name], hostile)
