"""Bodies as bytes: what is written can be read, what cannot be written is refused by name."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given

from bodies import REFUSED, UNFIT, bodies, mutated
from steelyard.engines.ir import encoding, evaluate
from steelyard.engines.ir.encoding import CODES, decode, step, word
from steelyard.engines.ir.graph import Affine, Body, Graph, Register, View
from steelyard.engines.ir.scalars import F32, I32
from steelyard.protocol.errors import Refused


@given(bodies())
def test_gra_15_a_body_that_is_read_is_written_back_to_the_same_bytes(raw: bytes) -> None:
    read = decode(raw)
    assert encoding.written(read.given, read.instructions) == raw


@given(mutated())
def test_gra_15_bytes_are_refused_or_are_the_only_ones_for_their_body(raw: bytes) -> None:
    with suppress(Refused):
        read = decode(raw)
        assert encoding.written(read.given, read.instructions) == raw


@pytest.mark.parametrize("how", REFUSED)
def test_gra_15_a_malformed_body_is_refused_by_name(how: str) -> None:
    raw, rule = REFUSED[how]
    with pytest.raises(Refused, match=rf"^{rule}:"):
        decode(raw)


@pytest.mark.parametrize("how", UNFIT)
def test_operands_that_do_not_fit_are_refused_by_name(how: str) -> None:
    body, operands, rule = UNFIT[how]
    with pytest.raises(Refused, match=rf"^{rule}:"):
        step(body, operands)


def test_gra_16_a_vector_is_a_byte_an_element_and_must_fit() -> None:
    assert word(np.arange(-2, 14, dtype=I32)) == int.from_bytes(bytes([254, 255, *range(14)]) + bytes(16), "big")
    for wrong in (-129, 128, 2**31 - 1):
        with pytest.raises(Refused, match=r"^dots\.range"):
            word(np.array([0] * 31 + [wrong], I32))


def test_a_node_is_encoded_with_its_loads_and_its_accumulator() -> None:
    def turn(b: Body, acc: Register, q: Register, x: Register, d: Register) -> Register:
        return b.do("fma", d, b.do("float", b.do("dot", q, x)), acc)

    g = Graph(inputs={"q": "i", "x": "i", "d": "f"})
    views = [View("q", (32,), width=32), View("x", (32,), width=32), View("d", (1,))]
    g.fold("row", [], 4, views, turn)
    raw = encoding.body(g.by_name["row"])
    assert raw == bytes([4, 32, 32, 1, 1, CODES["dot"], 0, 1, CODES["float"], 4, CODES["fma"], 2, 5, 3])
    q, x = np.full(32, -128, I32), np.full(32, 127, I32)
    found = step(raw, [word(q), word(x), word(np.array([0.5], F32)), word(np.array([1.0], F32))])
    assert np.uint32(found).view(F32) == 1 - 16 * 128 * 127


def test_gra_17_the_tree_of_16_chains_is_a_body() -> None:
    g = Graph(inputs={"x": "f"})
    g.fold("sum", [], 37, [View("x", (1,))], lambda _, acc, a: acc + a, lanes=16)
    numbers = np.random.default_rng(4).standard_normal(37).astype(F32)

    class Numbers:
        def id(self, position: int) -> int:
            raise AssertionError(position)

        def gather(self, source: str, position: object, index: np.ndarray) -> np.ndarray:
            return numbers[index]

    node = g.by_name["sum"]
    chains = evaluate.value(node, 0, Numbers(), steps=37).reshape(-1)
    whole = evaluate.value(node, 0, Numbers())
    assert step(encoding.tree(node), [word(chain) for chain in chains]) == word(whole)


@pytest.mark.parametrize(
    ("loads", "count", "rule"), [(1, 49, r"body\.length: 49"), (17, 1, r"body\.given: 17"), (1, 300, r"body\.length")]
)
def test_a_body_too_long_for_a_contract_is_refused_when_it_is_encoded(loads: int, count: int, rule: str) -> None:
    def long(b: Body, a: Register, *_: Register) -> Register:
        for _ in range(count):
            a = b.do("neg", a)
        return a

    g = Graph(inputs={"x": "f"})
    g.map("long", [Affine(1)], [View("x", (1,))] * loads, long)
    with pytest.raises(Refused, match=rf"^{rule}"):
        encoding.body(g.by_name["long"])
