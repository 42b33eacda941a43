"""Nodes and facts as bytes: what is written can be read, what cannot be written is refused by name."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodies import do
from nodes_as_bytes import ACCEPTED, REFUSED, nodes, spoiled
from steelyard.engines.ir.graph import SO_FAR, Affine, Graph, View
from steelyard.engines.ir.leaves import FileAt, NodeAt, TableAt, cut, decode, written
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import MAX_ENDS, MAX_FACTS, Facts

FACTS = Facts(bytes(range(32)), 45, 41, 44, 64, 100, 300, (2, 99))


@given(nodes())
def test_gra_13_a_leaf_that_is_read_is_written_back_to_the_same_bytes(raw: bytes) -> None:
    leaf = decode(raw)
    assert written(leaf.node, leaf.sources) == raw


@given(spoiled())
def test_gra_13_bytes_are_refused_or_are_the_only_ones_for_their_node(raw: bytes) -> None:
    with suppress(Refused):
        leaf = decode(raw)
        assert written(leaf.node, leaf.sources) == raw


@pytest.mark.parametrize("name", ACCEPTED)
def test_gra_13_each_kind_of_leaf_is_read(name: str) -> None:
    leaf = decode(ACCEPTED[name])
    assert written(leaf.node, leaf.sources) == ACCEPTED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_gra_13_what_is_no_leaf_is_refused_by_name(name: str) -> None:
    raw, rule = REFUSED[name]
    with pytest.raises(Refused) as caught:
        decode(raw)
    assert caught.value.rule == rule


@pytest.mark.parametrize("name", ACCEPTED)
def test_gra_13_no_beginning_of_a_leaf_is_one(name: str) -> None:
    """Unless the body is cut between two operations, where it is another body."""
    whole = decode(ACCEPTED[name])
    for size in range(len(ACCEPTED[name])):
        with suppress(Refused):
            shorter = decode(ACCEPTED[name][:size])
            assert replace(shorter.node, body=whole.node.body) == whole.node
            assert len(shorter.node.body) < len(whole.node.body)


def test_gra_13_every_byte_of_a_leaf_has_its_place() -> None:
    g = Graph(inputs={"w#q": "i", "turns": "f", "x.q": "i"})
    views = [
        View("w#q", (64, 32), Affine(0), by_id=-2, width=32),
        View("x.q", (0, 32), width=32),
        View("turns", (0, 1), Affine(-1, 5)),
        View("turns", (0, 0), Affine(2**40), position_axis=1),
    ]

    def write(b, acc, q, x, t, _):  # type: ignore[no-untyped-def]
        return b.do("fma", b.do("float", b.do("dot", q, x)), t, acc)

    g.fold("y", [Affine(4)], SO_FAR, views, write, start=1.0, lanes=16, join="larger")
    sources = {"w#q": FileAt(3, 0x01020304), "x.q": NodeAt(0x0506), "turns": TableAt(bytes(range(32)))}
    with pytest.raises(Refused, match=r"^leaf\.position"):
        written(g.nodes[0], sources)
    sources["turns"] = NodeAt(7)
    expected = [
        *("01 10 08 3f800000 01 01", "00000004 00000000", "00000001 00000001", "04"),
        *("01 ff 20 0000000000000000 00000000 fffffffe", "00000040 00000020", "03 01020304"),
        *("00 ff 20 0000000000000000 00000000 00000000", "00000000 00000020", "0506"),
        *("00 ff 01 ffffffffffffffff 00000005 00000000", "00000000 00000001", "0007"),
        *("00 01 01 0000010000000000 00000000 00000000", "00000000 00000000", "0007"),
    ]
    body = bytes([5, 32, 32, 1, 1, 1]) + do("dot", 0, 1) + do("float", 5) + do("fma", 6, 2, 4)
    assert written(g.nodes[0], sources) == bytes.fromhex("".join(expected)) + body


@pytest.mark.parametrize(
    ("view", "source"),
    [
        (View("x", (2**31,)), NodeAt(0)),
        (View("x", (1,), Affine(2**63)), NodeAt(0)),
        (View("x", (1,), Affine(0, 2**31)), NodeAt(0)),
        (View("x", (1,), by_id=2**31), NodeAt(0)),
        (View("x", (1,)), NodeAt(2**16)),
        (View("x", (1,)), FileAt(0, 2**32)),
    ],
)
def test_a_number_too_big_for_its_field_is_refused(view: View, source: NodeAt | FileAt) -> None:
    g = Graph(inputs={"x": "f"})
    g.map("y", [4], [view], lambda b, a: b.do("neg", a))
    with pytest.raises(Refused, match=r"^leaf\.range: y"):
        written(g.nodes[0], {"x": source})


def test_gra_13_a_leaf_has_at_most_1024_bytes() -> None:
    g = Graph(inputs={"t": "f"})
    g.map("y", [2] * 8, [View("t", (1,) * 8)] * 13, lambda b, *a: b.do("neg", a[0]))
    with pytest.raises(Refused, match=r"^leaf\.length: 1[0-9]{3} bytes"):
        written(g.nodes[0], {"t": TableAt(bytes(32))})


def test_gra_14_a_value_is_cut_into_leaves_of_32_words() -> None:
    raw = bytes(range(200)) + bytes(60)
    assert [len(leaf) for leaf in cut(raw)] == [128, 128, 4]
    assert b"".join(cut(raw)) == raw


def test_gra_18_every_byte_of_the_facts_has_its_place() -> None:
    numbers = "0000002d 00000029 0000002c 00000040 00000064 0000012c 02 00000002 00000063"
    assert FACTS.raw() == bytes(range(32)) + bytes.fromhex(numbers)
    many = replace(FACTS, ends=tuple(range(MAX_ENDS)))
    assert len(many.raw()) == MAX_FACTS
    assert Facts.read(many.raw()) == many


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"state": 45}, "facts.nodes"),
        ({"logits": 45}, "facts.nodes"),
        ({"nodes": 2**16 + 1}, "facts.nodes"),
        ({"width": 0}, "facts.size"),
        ({"vocabulary": 0, "ends": ()}, "facts.size"),
        ({"positions": 0}, "facts.size"),
        ({"ends": (3, 3)}, "facts.ends"),
        ({"ends": (4, 3)}, "facts.ends"),
        ({"ends": (100,)}, "facts.ends"),
        ({"ends": tuple(range(MAX_ENDS + 1))}, "facts.ends"),
        ({"ends": (-1,)}, "facts.range"),
        ({"positions": 2**32}, "facts.range"),
    ],
)
def test_gra_18_facts_that_cannot_be_are_refused_by_name(wrong: dict[str, int], rule: str) -> None:
    with pytest.raises(Refused) as caught:
        replace(FACTS, **wrong).raw()  # type: ignore[arg-type]  # one field at a time
    assert caught.value.rule == rule


@given(st.binary(max_size=MAX_FACTS + 8) | st.integers(0, 64).map(lambda at: FACTS.raw()[:at]), st.binary(max_size=8))
def test_gra_18_bytes_are_refused_or_are_the_only_ones_for_their_facts(raw: bytes, last: bytes) -> None:
    for one in (raw, raw + last, FACTS.raw()[: 56 - len(last)] + last + FACTS.raw()[56:], FACTS.raw() + last):
        with suppress(Refused):
            assert Facts.read(one).raw() == one
