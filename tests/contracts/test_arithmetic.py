"""Every operation of the specification, in Vyper: bit for bit what IEEE 754 and the specification's slow code give."""

import ctypes
import os
from ctypes.util import find_library

import numpy as np
import pytest
from arithmetic import CORNERS, Machine, Words, canonical, cases, expected
from sources import Mutant

from steelyard.engines.ir.encoding import FUNCTIONS
from steelyard.engines.ir.scalars import OPERATIONS

COUNT = 200_000
"""Cases of each operation; ten times as many of what is one rounding, a comparison or a whole number if deep."""
MORE = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 1


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def computed(machine: Machine, name: str, arguments: list[Words]) -> Words:
    """What the contract gives; a NaN that is passed on keeps its bits until it is an element."""
    found = machine(name, *arguments)
    return canonical(found) if name in ("neg", "abs", "larger", "select", "real") else found


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "dot"])
def test_ari_1_gra_8_an_operation_in_vyper_gives_the_bits_that_the_specification_says(machine: Machine, name: str):
    arguments = cases(name, COUNT if name in FUNCTIONS else COUNT * MORE)
    found, wanted = computed(machine, name, arguments), expected(name, arguments)
    wrong = np.flatnonzero(found != wanted)
    assert len(arguments[0]) >= COUNT
    assert not len(wrong), (name, [f"{words[wrong[0]]:08x}" for words in (*arguments, found, wanted)], len(wrong))


def test_fma_in_vyper_is_the_c_librarys(machine: Machine):
    fmaf = ctypes.CDLL(find_library("m")).fmaf
    fmaf.argtypes, fmaf.restype = [ctypes.c_float] * 3, ctypes.c_float
    arguments = cases("fma", 200_000, seed=2)
    numbers = (words.view(np.float32).tolist() for words in arguments)
    wanted = np.array([fmaf(*triple) for triple in zip(*numbers, strict=True)], np.float32)
    assert (machine("fma", *arguments) == canonical(wanted.view(np.uint32))).all()


def test_gra_9_a_dot_in_vyper_is_exact(machine: Machine):
    chance = np.random.default_rng(3)
    first, second = chance.integers(-128, 128, (2, COUNT, 32), np.int8)
    first[:90], second[:30], second[30:60], second[60:90] = -128, -128, 127, 0
    first[90:40_000, 16:] = second[90:40_000, 16:] = 0  # vectors of 16
    wanted = np.einsum("ij,ij->i", first.astype(np.int32), second.astype(np.int32))
    assert (machine.dot(first, second) == wanted.view(np.uint32)).all()


def test_gra_16_a_leaf_of_whole_numbers_becomes_a_vector_if_all_fit(machine: Machine):
    chance = np.random.default_rng(4)
    for _ in range(100):
        numbers = chance.integers(-128, 128, 32).astype("<i4")
        assert machine.pack(numbers.tobytes()) == numbers.astype(np.int8).tobytes()
        at, wrong = chance.integers(32), chance.choice([-129, 128, 255, 256, -(2**31), 2**31 - 1, -256, 1 << 16])
        numbers[at] = wrong
        with pytest.raises(RuntimeError, match=b"dots.range".hex()):
            machine.pack(numbers.tobytes())


def of(module: str, old: str, new: str, *names: str) -> tuple[Mutant, tuple[str, ...]]:
    """A mutant, and the operations in whose results it shows."""
    return Mutant(module, old, new), names


MUTANTS = {
    "ties go up": of("binary32", "unsafe_add(m, (m >> cut) & 1)", "unsafe_add(m, 1)", "add", "mul", "fma", "float"),
    "ties go down": of("binary32", "unsafe_add(m, (m >> cut) & 1)", "m", "add", "mul", "fma", "float"),
    "a remainder is forgotten": of("binary32", "convert(not exact, uint256)", "0", "div", "sqrt"),
    "one subnormal bit less": of("binary32", "length), 275)", "length), 276)", "add", "mul", "fma", "div"),
    "above the greatest is no infinity": of("binary32", "kept), INFINITY)", "kept), WORD)", "add", "mul", "fma", "div"),
    "a far addend is forgotten": of("binary32", "            b = 1\n", "            b = 0\n", "fma"),
    "far is too near": of("binary32", "unsafe_sub(e1, e2) > 110", "unsafe_sub(e1, e2) > 20", "add"),
    "far above is too near": of("binary32", "unsafe_sub(e2, e1) > 110", "unsafe_sub(e2, e1) > 20", "add", "fma"),
    "minus zero is contagious": of("binary32", "return s1 & s2", "return s1 | s2", "add", "sub", "fma"),
    "infinities cancel": of("binary32", "(a ^ b ^ c) & SIGN) != 0", "(a ^ b ^ c) & SIGN) == 7", "add", "sub", "fma"),
    "zero times infinity": of("binary32", "min(x, y) == 0", "min(x, y) == 1", "mul", "fma"),
    "a NaN keeps its bits": of("binary32", "if max(max(x, y), z) > INFINITY:", "if False:", "add", "mul", "fma"),
    "odd exponents of roots": of("binary32", "if e & 1 == 1:", "if e & 1 == 0:", "sqrt"),
    "the root of minus zero": of("binary32", "    if x == 0:\n        return a\n", "", "sqrt"),
    "minus zero is less": of("binary32", " or (a | b) & MAGNITUDE == 0:", ":", "less"),
    "a NaN is less": of("binary32", "max(a & MAGNITUDE, b & MAGNITUDE) > INFINITY or", "", "less", "larger"),
    "the larger of equals": of("scalars", "a if binary32.less(b, a)", "a if not binary32.less(a, b)", "larger"),
    "no sign of whole numbers": of("scalars", "convert(a ^ SIGN < b ^ SIGN,", "convert(a < b,", "iless"),
    "whole numbers do not wrap": of("scalars", "unsafe_mul(a, b) & WORD", "unsafe_mul(a, b)", "imul"),
    "exp of just below -87": of("functions", "if a > LOWEST", "if a > LOWEST + 1", "exp"),
    "exp of more than 88": of("functions", "x = min(a, HIGHEST)", "x = a", "exp"),
    "a coefficient too few": of("functions", "range(count, bound=8)", "range(count - 1, bound=8)", "exp", "log", "erf"),
    "log below a half": of("functions", "if offset >= SIGN", "if offset > WORD", "log"),
    "log of a NaN as it is": of("functions", "x: uint256 = binary32.canonical(a)", "x: uint256 = a", "log"),
    "tanh at 0.625": of("functions", "size < NEAR_TANH", "size <= NEAR_TANH", "tanh"),
    "erf at 1": of("functions", "size <= ONE", "size < ONE", "erf"),
    "erf from 2 on": of("functions", "size < TWO", "size < INFINITY", "erf"),
}  # fmt: skip


@pytest.mark.parametrize("how", MUTANTS)
def test_a_wrong_bit_does_not_go_unnoticed(how: str):
    mutant, names = MUTANTS[how]
    machine = Machine(mutant)
    for name in names:
        arguments = cases(name, 20_000)
        try:
            found = computed(machine, name, arguments)
        except (AssertionError, RuntimeError):
            continue
        assert (found != expected(name, arguments)).any(), name


DOTS = {
    "a bias too little": ("524288", "524287"),
    "one product of four is left out": ("(x >> 8) & BYTES, (y", "0 & BYTES, (y"),
    "halves are not turned round": ("y = (y >> 128) | (y << 128)", "y = y"),
    "lanes are not turned round": ("((y >> 32) & FOURS) | ((y & FOURS) << 32)", "y"),
    "sums of elements that overflow": ("LANES_OF_16) >> 240", "LANES_OF_16) >> 241"),
}


@pytest.mark.parametrize("how", DOTS)
def test_a_wrong_dot_does_not_go_unnoticed(how: str):
    first, second = np.random.default_rng(5).integers(-128, 128, (2, 1000, 32), np.int8)
    wanted = np.einsum("ij,ij->i", first.astype(np.int32), second.astype(np.int32))
    assert (Machine(Mutant("dots", *DOTS[how])).dot(first, second) != wanted.view(np.uint32)).any()


def test_a_packing_that_does_not_look_does_not_go_unnoticed(machine: Machine):
    numbers = np.array([128] * 32, "<i4").tobytes()
    blind = Machine(Mutant("dots", '== unsafe_mul(high, 2**24 - 1), "dots.range"', '>= 0, "dots.range"'))
    assert blind.pack(numbers) == b"\x80" * 32
    with pytest.raises(RuntimeError, match=b"dots.range".hex()):
        machine.pack(numbers)


def test_corners_are_of_every_class():
    words = np.array(CORNERS, np.uint32).view(np.float32)
    magnitudes = np.abs(words[np.isfinite(words)])
    assert np.isnan(words).any()
    assert np.isinf(words).any()
    assert (magnitudes == 0).sum() == 2
    assert ((magnitudes > 0) & (magnitudes < 2.0**-126)).sum() >= 8
