"""Graphs: their text, their kinds and ranges, and what an evaluation gives. Three lowerings that ONNX will need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.engines.ir import evaluate
from steelyard.engines.ir.graph import SO_FAR, Affine, Graph, View
from steelyard.engines.ir.scalars import F32, fma
from steelyard.protocol.errors import Refused

Array = NDArray[Any]


@dataclass
class Run:
    """A graph over given inputs, all of its nodes computed at once, position after position."""

    graph: Graph
    inputs: Mapping[str, Array]
    ids: list[int] = field(default_factory=lambda: [0])
    seen: dict[tuple[str, int], Array] = field(default_factory=dict)

    def id(self, position: int) -> int:
        return self.ids[position]

    def gather(self, source: str, position: int | Array, index: Array) -> Array:
        if source in self.inputs:
            return self.inputs[source][index]
        if isinstance(position, int):
            return self.value(source, position)[index]
        pairs = np.broadcast_arrays(position, index)
        return np.array([self.value(source, int(p))[i] for p, i in zip(*map(np.ravel, pairs), strict=True)]).reshape(
            pairs[0].shape
        )

    def value(self, name: str, position: int = 0) -> Array:
        if (name, position) not in self.seen:
            self.seen[name, position] = evaluate.value(self.graph.by_name[name], position, self)
        return self.seen[name, position]


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(F32)


def graph(**inputs: str) -> Graph:
    return Graph(inputs=dict(inputs))


def test_a_convolution_is_a_fold_over_channels_and_taps_with_its_padding_in_it() -> None:
    """Padding is a view of a padded map: each zero tap is an fma as well (-0 and infinities count)."""
    channels, size, out = 2, 5, 3
    x, w = numbers(channels, size, size), numbers(out, channels, 3, 3)
    g, wide = graph(w="f"), size + 2

    def pad(b: Any, a: Any) -> Any:
        inside = b.whole(1)
        for axis in (1, 2):
            low, high = b.do("iless", b.whole(0), b.axis(axis)), b.do("iless", b.axis(axis), b.whole(size + 1))
            inside = b.do("iand", inside, b.do("iand", low, high))
        return b.do("select", inside, a, b.real(0.0))

    clamped = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge").reshape(-1)
    g.inputs["x.edge"] = "f"
    g.map("padded", [channels, wide, wide], [View("x.edge", (wide * wide, wide, 1))], pad)
    taps = View("padded", (0, wide, 1, wide * wide, wide, 1))
    kernel = View("w", (channels * 9, 0, 0, 9, 3, 1))
    g.fold("y", [out, size, size], [channels, 3, 3], [taps, kernel], lambda b, acc, a, c: b.do("fma", c, a, acc))
    run = Run(g, {"x.edge": clamped, "w": w.reshape(-1)})
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    expected = np.zeros((out, size, size), F32)
    for channel in range(channels):
        for dy in range(3):
            for dx in range(3):
                patch = padded[channel, dy : dy + size, dx : dx + size]
                factor = np.broadcast_to(w[:, channel, dy, dx, None, None], expected.shape)
                expected = fma(factor, np.broadcast_to(patch, expected.shape), expected)
    assert (run.value("y") == expected.reshape(-1)).all()


def test_gra_5_layer_normalisation_is_two_folds_and_four_maps() -> None:
    width = 40
    x, weight, bias = numbers(width), numbers(width) + 1, numbers(width) / 2
    g = graph(x="f", weight="f", bias="f")
    g.fold("sum", [], width, [View("x", (1,))], lambda _, acc, a: acc + a, lanes=16)
    g.map("mean", [], [View("sum", ())], lambda _, a: a / float(width))
    less = g.map("less", [width], [View("x", (1,)), View("mean", (0,))], lambda _, a, m: a - m)
    g.fold("squares", [], width, [View(less, (1,))], lambda b, acc, a: b.do("fma", a, a, acc), lanes=16)
    g.map("inverse", [], [View("squares", ())], lambda b, a: b.real(1.0) / b.do("sqrt", a / float(width) + 1e-5))
    views = [View(less, (1,)), View("inverse", (0,)), View("weight", (1,)), View("bias", (1,))]
    g.map("y", [width], views, lambda b, a, r, w, c: b.do("fma", a * r, w, c))
    found = Run(g, {"x": x, "weight": weight, "bias": bias}).value("y")
    exact = (x - x.mean(dtype=float)) / np.sqrt(x.astype(float).var() + 1e-5) * weight + bias
    assert np.abs(found - exact).max() < 1e-5


def test_gra_10_softmax_is_a_fold_a_map_a_fold_and_a_map() -> None:
    rows, columns = 3, 7
    x = numbers(rows, columns) * 5
    g, across = graph(x="f"), (columns, 1)
    g.fold("top", [rows], columns, [View("x", across)], lambda b, acc, a: b.do("larger", a, acc), -float("inf"))
    powers = [View("x", across), View("top", (1, 0))]
    g.map("power", [rows, columns], powers, lambda b, a, m: b.do("exp", a - m))
    g.fold("total", [rows], columns, [View("power", across)], lambda _, acc, a: acc + a, lanes=16)
    g.map("y", [rows, columns], [View("power", across), View("total", (1, 0))], lambda _, a, s: a / s)
    found = Run(g, {"x": x.reshape(-1)}).value("y").reshape(rows, columns)
    exact = np.exp(x.astype(float) - x.max(axis=1, keepdims=True))
    assert np.abs(found - exact / exact.sum(axis=1, keepdims=True)).max() < 1e-6


def test_gra_1_gra_3_an_axis_over_all_positions_reads_what_each_of_them_left() -> None:
    g = graph(table="f")
    g.map("x", [2], [View("table", (1,), by_id=2)], lambda _, a: a * 2.0)
    g.fold("sum", [2], SO_FAR, [View("x", (1, 0), position_axis=1)], lambda _, acc, a: acc + a)
    run = Run(g, {"table": np.arange(8, dtype=F32)}, ids=[3, 0, 2])
    assert [run.value("sum", position).tolist() for position in range(3)] == [[12, 14], [12, 16], [20, 26]]


def test_gra_6_gra_7_partial_sums_lead_to_the_sum_in_one_chain_and_in_sixteen() -> None:
    width = 37
    x = numbers(2, width)
    for lanes in (1, 16):
        g = graph(x="f")
        g.fold("s", [2], width, [View("x", (width, 1))], lambda b, acc, a: b.do("fma", a, a, acc), lanes=lanes)
        run, node = Run(g, {"x": x.reshape(-1)}), g.by_name["s"]
        chains = np.zeros((2, lanes), F32)
        for step in range(width):
            found = evaluate.value(node, 0, run, steps=step).reshape(2, lanes)
            assert (found == chains).all()
            a = x[:, step]
            chains[:, step % lanes] = fma(a, a, chains[:, step % lanes])
        sums = list(chains.T)
        while len(sums) > 1:
            sums = [sums[i] + sums[i + len(sums) // 2] for i in range(len(sums) // 2)]
        assert (run.value("s") == sums[0]).all()
        assert evaluate.value(node, 0, run, np.array([1])) == sums[0][1]


def test_gra_13_a_nodes_text_says_all_that_it_computes() -> None:
    g = graph(x="f")
    loads = [View("x", (0, 3, -1), Affine(2, 1)), View("x", (1, 0, 0))]
    g.fold("y", [Affine(4), SO_FAR], 5, loads, lambda b, acc, a, c: b.do("fma", a, c, acc), lanes=16)
    assert (
        str(g.nodes[0]) == "y f [4 n+1] fold [5] from 00000000 in 16 join add: x[n+2; 0 3 -1], x[0; 1 0 0]: fma 0 1 2"
    )
    g.map("z", [], [View("y", (), by_id=7)], lambda b, a: b.do("larger", a, b.real(float("nan"))))
    assert str(g.nodes[-1]) == "z f []: y[0; ]*7: const 7fc00000; larger 0 1"


def test_what_cannot_be_is_refused_by_name() -> None:
    g = graph(x="f", w="i")
    with pytest.raises(Refused, match=r"ir\.source.*'y'"):
        g.map("z", [3], [View("y", (1,))], lambda _, a: a)
    with pytest.raises(AssertionError):
        g.map("z", [3], [View("w", (1,))], lambda b, a: b.do("exp", a))  # a whole number is no real one
    g.fold("s", [2], 3, [View("x", (3, 1))], lambda _, acc, a: acc + a)
    run = Run(g, {"x": numbers(6)})
    with pytest.raises(Refused, match=r"ir\.element.*2 to 2 of 2"):
        evaluate.value(g.by_name["s"], 0, run, np.array([2]))
    with pytest.raises(Refused, match=r"ir\.steps.*4 of 3"):
        evaluate.value(g.by_name["s"], 0, run, steps=4)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (View("x", (1,), Affine(1)), "1 to 6 of x, 6 elements"),
        (View("x", (-1,), Affine(4)), "-1 to 4"),
        (View("x", (1,), Affine(0, 1)), "9 to 14 of x"),
        (View("x", (0,), by_id=1), "0 to 7 of x"),
    ],
)
def test_gra_2_a_view_beyond_its_source_is_refused(view: View, told: str) -> None:
    g = graph(x="f")
    g.map("y", [6], [view], lambda _, a: a)
    with pytest.raises(Refused, match=rf"ir\.range.*{told}"):
        g.check({"x": 6}, last=9, ids=8)
