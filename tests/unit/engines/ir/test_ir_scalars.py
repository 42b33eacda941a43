"""Scalar operations against exact rational arithmetic, and against the slow reference of spec/arithmetic.md."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import canonical_reference as reference
from steelyard.engines.ir.scalars import F32, I32, OPERATIONS, exp, fma, log

WORDS = st.integers(0, 2**32 - 1)


def real(word: int) -> np.float32:
    return np.uint32(word).view(F32)


def one(name: str, *numbers: np.generic) -> np.generic:
    with np.errstate(all="ignore"):
        return OPERATIONS[name].do(*(np.array([number]) for number in numbers))[0]


@given(WORDS, WORDS, WORDS)
@example(0x3F800001, 0x3F800001, 0xBF800002)  # all but the last bits cancel
@example(0x00800000, 0x33800000, 0x00000001)  # subnormal, a tie
@example(0x1A000001, 0x1A000001, 0x80000000)  # the product alone is subnormal
@example(0x7F7FFFFF, 0x3F800001, 0x7F7FFFFF)  # beyond the greatest number
def test_gra_8_fma_is_the_exact_sum_rounded_once(a: int, b: int, c: int) -> None:
    numbers = [real(word) for word in (a, b, c)]
    found = one("fma", *numbers)
    if not all(np.isfinite(numbers)):
        with np.errstate(all="ignore"):
            plain = numbers[0] * numbers[1] + numbers[2]
        assert np.isnan(found) == np.isnan(plain)
        return
    with np.errstate(all="ignore"):
        expected = reference.fma(*numbers) if abs(float(found)) < np.inf else found
    assert found == expected
    if np.isinf(found):
        assert abs(float(numbers[0]) * float(numbers[1]) + float(numbers[2])) >= 2.0**128 - 2.0**103


def test_fma_beside_rational_arithmetic_where_sums_nearly_cancel() -> None:
    chance = np.random.default_rng(5)
    a, b = (chance.standard_normal(3000).astype(F32) for _ in range(2))
    noise = chance.integers(-3, 4, 3000).astype(F32) * F32(2.0**-25)
    c = -(a * b) + noise * np.abs(a * b)
    expected = np.array([reference.fma(*numbers) for numbers in zip(a, b, c, strict=True)])
    assert (fma(a, b, c) == expected).all()
    a, b, c = (x * F32(2.0**-64) for x in (a, b, c))  # results between subnormal and zero
    c *= F32(2.0**-64)
    expected = np.array([reference.fma(*numbers) for numbers in zip(a, b, c, strict=True)])
    assert (fma(a, b, c).view(I32) == expected.view(I32)).all()


@given(st.floats(-100, 100, width=32))
def test_exp_is_the_specifications(x: float) -> None:
    assert exp(np.array([x], F32))[0] == reference.exp(F32(x))


@given(st.floats(2.0**-126, 2.0**127, width=32))
def test_log_is_the_specifications(x: float) -> None:
    assert log(np.array([x], F32))[0] == reference.log(F32(x))


@pytest.mark.parametrize(("name", "limit"), [("exp", 3e-7), ("log", 3e-7), ("tanh", 3e-7), ("erf", 5e-7)])
def test_gra_11_gra_12_functions_are_near_the_true_ones(name: str, limit: float) -> None:
    from math import erf

    x = np.linspace(0.01 if name == "log" else -9, 9, 20_001).astype(F32)
    true = np.vectorize(erf)(x.astype(float)) if name == "erf" else getattr(np, name)(x.astype(float))
    with np.errstate(all="ignore"):
        found = OPERATIONS[name].do(x)
    near = np.abs(true) + (1e-30 if name != "log" else 1.0)
    assert (np.abs(found - true) / near).max() < limit


def test_rounding_takes_ties_to_even() -> None:
    halves = np.arange(-4.5, 5, 1.0).astype(F32)
    assert OPERATIONS["round"].do(halves).tolist() == [-4, -4, -2, -2, 0, 0, 2, 2, 4, 4]


def test_gra_4_gra_9_whole_numbers_wrap_and_every_nan_has_the_same_bits() -> None:
    most = I32(2**31 - 1)
    assert one("iadd", most, I32(1)) == -(2**31)
    assert one("imul", most, most) == 1
    for word in (0x7FC00000, 0xFFC12345, 0x7F800001):
        assert one("bits", real(word)) == 0x7FC00000


def test_larger_keeps_the_second_where_the_first_is_not_above_it() -> None:
    nan = F32(np.nan)
    assert one("larger", nan, F32(1)) == 1
    assert np.isnan(one("larger", F32(1), nan))
    assert not np.signbit(one("larger", F32(-0.0), F32(0.0)))


def test_gra_10_the_specifications_table_lists_the_operations_that_there_are_and_their_kinds() -> None:
    text = (Path(__file__).parents[4] / "spec" / "ir.md").read_text()
    listed: dict[str, str] = {}
    for names, kinds in re.findall(r"^\| (`.*?) \| (.*?→.*?) \|", text, re.MULTILINE):
        found = re.findall(r"`(\w+)`", names)
        signatures = [signature.replace(" → ", ">") for signature in kinds.split(", ")]
        listed |= dict(zip(found, signatures * (len(found) // len(signatures)), strict=True))
    told = {name: f"{operation.takes}>{operation.gives}" for name, operation in OPERATIONS.items()}
    for name in ("add", "sub", "mul", "div", "sqrt"):
        assert listed.pop(name) == "f…>f"
        told.pop(name)
    assert {name: kinds for name, kinds in listed.items() if not kinds.startswith("→")} == told
