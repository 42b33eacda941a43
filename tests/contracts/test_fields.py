"""Numbers out of a model file's blocks as a contract reads them, against Python's, on blocks of any bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import Mutant, compiled_source
from world import World

from steelyard.engines.canonical import fields
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir.encoding import word
from steelyard.engines.ir.evaluate import canonical

SOURCE = """# pragma version 0.4.3
import fields

@external
@pure
def read(code: uint256, raw: Bytes[210], width: uint256, count: uint256) -> DynArray[uint256, 256]:
    found: DynArray[uint256, 256] = []
    for i: uint256 in range(count, bound=256):
        found.append(fields.read(code, concat(raw, empty(bytes32)), i * width, width))
    return found
"""
SIZES = {name: size for name, _, size in KINDS.values()}


class Blocks(World):
    """The test contract alone."""

    def _deploy(self, token: str) -> None:
        artifact = compiled_source(SOURCE, self.mutant)
        self.contract = self._install("source", artifact, ())

    def read(self, code: int, block: bytes, width: int, count: int) -> list[int]:
        found: list[int] = list(self.contract.read(code, block, width, count))
        return found


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return Blocks()


def widths(name: str, each: int) -> list[int]:
    """In which a field can be read."""
    return [width for width in (1, 16, 32) if width == 1 or (name in ("q", "sc") and width <= each)]


def expected(kind: str, name: str, block: bytes, width: int) -> list[int]:
    """What Python reads of a whole block."""
    each = FIELDS[kind][name].each
    with np.errstate(invalid="ignore"):  # a binary16 NaN that signals
        found = fields.read(np.frombuffer(block, np.uint8), 0, kind, len(block), name, np.arange(each))
    return [word(part) for part in canonical(found).reshape(-1, width)]


def check(blocks: Blocks, kind: str, name: str, block: bytes) -> None:
    for width in widths(name, each := FIELDS[kind][name].each):
        found = blocks.read(FIELD_CODES.index((kind, name)), block, width, each // width)
        assert found == expected(kind, name, block, width), (kind, name, width)


@pytest.mark.parametrize(("kind", "name"), FIELD_CODES)
@given(st.data())
def test_gra_13_a_field_of_any_block_is_read_as_python_reads_it(
    blocks: Blocks, kind: str, name: str, data: st.DataObject
):
    size = SIZES[kind]
    check(blocks, kind, name, data.draw(st.binary(min_size=size, max_size=size)))


HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7C01, 0xFE00, 0x3C00]
"""Zeros, subnormal numbers, the greatest, infinities, NaNs, one."""


def story() -> list[tuple[str, str, bytes]]:
    """Blocks of each format in which every byte is of its own, with scales of all kinds."""
    chance, told = np.random.default_rng(5), []
    for kind, name in FIELD_CODES:
        raw = chance.integers(0, 256, SIZES[kind], np.uint8)
        for half in HALVES:
            for at in {0, 2, len(raw) - 2} if len(raw) > 2 else {0}:
                raw[at : at + 2] = np.frombuffer(half.to_bytes(2, "little"), np.uint8)
            told.append((kind, name, raw.tobytes()))
    return told


def checked(blocks: Blocks) -> None:
    for told in story():
        check(blocks, *told)


def test_gra_13_scales_of_all_kinds(blocks: Blocks):
    checked(blocks)


MUTANTS = {
    "halves that are not subnormal": ("if exponent != 0:", "if True:"),
    "halves without infinities": ("if exponent == 31:", "if False:"),
    "halves without a sign": ("sign: uint256 = (half & 32768) << 16", "sign: uint256 = 0"),
    "a NaN as it is": ("return binary32.canonical(self._real(code, raw, lane))", "return self._real(code, raw, lane)"),
    "whole numbers without a sign": ("return unsafe_sub(byte ^ 128, 128) & WORD", "return byte"),
    "a vector of 16 with what follows": ("((lane & 16) << 3)) & ~HALF", "((lane & 16) << 3))"),
    "always the first 16": ("(vector << ((lane & 16) << 3))", "vector"),
    "nothing taken off": ("^ (ONES << 7)", "& max_value(uint256)"),
    "fifth bits of one byte": ("(((bits >> 240) & 255) << 128)", "((bits >> 248) << 128)"),
    "six bits of the first four": ("if lane < 4:", "if True:"),
    "a minimum is a scale": ("_six(head, lane, 1)", "_six(head, lane, 0)"),
}  # fmt: skip


@pytest.mark.parametrize("how", MUTANTS)
def test_fields_read_otherwise_do_not_go_unnoticed(how: str):
    mutant = Blocks(Mutant("fields", *MUTANTS[how]))
    with pytest.raises(AssertionError):
        checked(mutant)
