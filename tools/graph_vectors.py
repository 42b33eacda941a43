"""Writes vectors/{nodes,facts}: the bytes under a graph's root and a model root, and what they say. `--check` compares."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from steelyard.engines.canonical.fields import FIELD_CODES
from steelyard.engines.canonical.lowering import Lowering
from steelyard.engines.ir.encoding import CODES, body
from steelyard.engines.ir.graph import SO_FAR, Affine, Graph, Node, View
from steelyard.engines.ir.leaves import FileAt, Leaf, NodeAt, Source, TableAt, decode, written
from steelyard.protocol.facts import Facts
from vectors import Case, hexed, write

TABLE = TableAt(bytes(range(32)))


def graph() -> tuple[Graph, dict[str, Source]]:
    """A node of each kind."""
    g = Graph(inputs={"turns": "f", "norm": "f", "table": "i"})
    where: dict[str, Source] = {"turns": TABLE, "table": TABLE, "norm": FileAt(FIELD_CODES.index(("f32", "")), 1234)}
    g.map("constant", [], [], lambda b: b.real(0.5))
    g.map("row", [64], [View("norm", (1,), by_id=64)], lambda b, a: b.do("neg", a))
    g.fold("sum", [2], 32, [View("row", (32, 1))], lambda b, acc, a: b.do("fma", a, a, acc), lanes=16)
    g.fold("top", [], [2, 32], [View("row", (32, 1))], lambda b, acc, a: b.do("larger", a, acc), -float("inf"))
    views = [View("row", (32, -16, 1), Affine(16)), View("turns", (0, 0, 1), Affine(-1, 16))]
    g.map("turned", [2, 2, 16], views, lambda b, a, c: a * c + b.do("float", b.axis(1)))
    views = [View("turned", (0, 1, 0)), View("turned", (0, 1, 0), position_axis=2)]
    g.fold("mixed", [2, 32], SO_FAR, views, lambda b, acc, a, c: b.do("fma", a, c, acc))
    g.map("dots", [2], [View("table", (16,), width=16)] * 2, lambda b, q, x: b.do("dot", q, x))
    return g, where | {node.name: NodeAt(index) for index, node in enumerate(g.nodes)}


def matrices() -> Iterator[tuple[str, Node, dict[str, Source]]]:
    """A row's dot product in each format that has blocks."""
    for kind in dict(FIELD_CODES):
        if (kind, "") in FIELD_CODES:
            continue
        low = Lowering(None, {"w": kind})  # type: ignore[arg-type]  # no shape is asked for
        low.graph.inputs |= {"x.q": "i", "x.d": "f", "x.ds": "f"}
        low._matrix("dot", "w", "x", (256, 1))
        where: dict[str, Source] = {f"x.{part}": NodeAt(300 + number) for number, part in enumerate(("q", "d", "ds"))}
        where |= {f"w#{field}": FileAt(code, 70000) for code, (k, field) in enumerate(FIELD_CODES) if k == kind}
        yield kind, low.graph.nodes[0], where


def shown(leaf: Leaf) -> dict[str, Any]:
    """What a leaf says, as JSON has it."""
    node = leaf.node
    loads = []
    for view in node.loads:
        source = leaf.sources[view.source]
        told: dict[str, Any] = {"root": hexed(source.root)} if isinstance(source, TableAt) else asdict(source)
        told |= {"offset": [str(view.offset.constant), view.offset.slope], "by_id": view.by_id}
        loads.append(told | {"strides": list(view.strides), "width": view.width, "position_axis": view.position_axis})
    axes = {
        name: [[a.constant, a.slope] for a in extents] for name, extents in (("space", node.space), ("fold", node.fold))
    }
    head = {
        "kind": node.kind,
        "chains": node.lanes if node.fold else 0,
        "join": node.join,
        "start": f"{node.start:08x}",
    }
    return head | axes | {"loads": loads, "body": hexed(body(node))}


SIGN = "01 00 00 00000000 01 00 00000007 00000000 01"
SUM = "01 10 00 00000000 01 01 00000007 00000000 00000001 00000001 01"
LOAD, MAP_LOAD = "00 ff 01 0000000000000000 00000000 00000000", "00000001 0005"
NEG = f"01 01 {CODES['neg']:02x} 00"
REFUSED = {
    "length": ("A load without the end of its place.", f"{SIGN} {LOAD} 00000001 00"),
    "kind": ("Elements of kind 3.", f"03 {SIGN[2:]} {LOAD} {MAP_LOAD} {NEG}"),
    "lanes": ("A map in one chain.", f"01 01 {SIGN[5:]} {LOAD} {MAP_LOAD} {NEG}"),
    "join": ("Chains of binary32, joined by an operation on whole numbers.", f"01 10 {CODES['iadd']:02x} {SUM[8:]}"),
    "start": ("A map that starts from something.", f"01 00 00 00000001 {SIGN[18:]} {LOAD} {MAP_LOAD} {NEG}"),
    "axes": ("Nine axes.", "01 00 00 00000000 09 00" + " 00000001 00000000" * 9),
    "extent": ("An axis that has no element at position 0.", f"{SIGN[:24]} 00000000 00000001 01"),
    "loads": ("Seventeen loads.", f"{SIGN[:-2]} 11"),
    "source": ("A load of neither node, file nor table.", f"{SIGN} 03 {LOAD[3:]} {MAP_LOAD} {NEG}"),
    "position": ("Positions along an axis that there is not.", f"{SIGN} 00 01 {LOAD[6:]} {MAP_LOAD} {NEG}"),
    "width": ("A vector of 17.", f"{SIGN} 00 ff 11 {LOAD[9:]} {MAP_LOAD} {NEG}"),
    "body": ("A body that gives another kind.", f"{SIGN} {LOAD} {MAP_LOAD} 01 01 {CODES['bits']:02x} 00"),
    "operation": ("A body that is none.", f"{SIGN} {LOAD} {MAP_LOAD} 01 01 ff"),
}
FACTS = Facts(bytes(range(32)), 1360, 1353, 1359, 576, 49152, 8192, (2,))
NO_FACTS = {
    "length": ("Facts without their last byte.", FACTS.raw()[:-1]),
    "nodes": ("Logits that are no node of the graph.", FACTS.raw().replace(b"\0\0\5\x4f", b"\0\0\5\x50")),
    "size": ("No positions.", FACTS.raw().replace(b"\0\0\x20\0", bytes(4))),
    "ends": ("An end that is no id.", FACTS.raw()[:-4] + b"\0\0\xc0\0"),
}


def nodes() -> Iterator[Case]:
    """A node -> its leaf; bytes that are no leaf."""
    g, where = graph()
    for name, node, sources in [
        *((n.name, n, where) for n in g.nodes),
        *((f"matrix-{k}", n, w) for k, n, w in matrices()),
    ]:
        leaf = written(node, sources)
        about = f"The leaf of a node: {str(node).partition(':')[0]}."
        yield f"nodes/{name}", {"about": about, "input": shown(decode(leaf)), "result": hexed(leaf)}
    for name, (about, text) in REFUSED.items():
        rule = "body.operation" if name == "operation" else f"leaf.{name}"
        yield f"nodes/refused-{name}", {"about": about, "input": {"leaf": hexed(bytes.fromhex(text))}, "refused": rule}


def facts() -> Iterator[Case]:
    """Facts -> their leaf; bytes that are none."""
    for name, known in (
        ("usual", FACTS),
        ("no-end", replace(FACTS, ends=())),
        ("ends", replace(FACTS, ends=(0, 2, 49151))),
    ):
        told = {**asdict(known), "graph_root": hexed(known.graph_root), "ends": list(known.ends)}
        yield f"facts/{name}", {"about": f"The facts of a model: {name}.", "input": told, "result": hexed(known.raw())}
    for name, (about, raw) in NO_FACTS.items():
        yield f"facts/refused-{name}", {"about": about, "input": {"leaf": hexed(raw)}, "refused": f"facts.{name}"}


if __name__ == "__main__":
    raise SystemExit(write("graph vectors", nodes, facts))
