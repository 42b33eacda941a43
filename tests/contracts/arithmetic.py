"""Operations of contracts/scalars.vy on many cases in one call, and the cases: corners of binary32 combined, then
random words, among them many whose exponents lie close together."""

from itertools import product
from typing import Any

import numpy as np
import pyrevm
from numpy.typing import NDArray
from sources import Mutant, compiled_source

from steelyard.engines.ir.encoding import CODES, takes
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol.hashing import keccak256

Words = NDArray[np.uint32]
PART = 2048
"""Cases of one call."""
SOURCE = f"""# pragma version 0.4.3
import dots
import scalars

@external
@pure
def batch(code: uint256, cases: DynArray[uint256, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for case: uint256 in cases:
        found.append(scalars.do(code, case & (2**32 - 1), (case >> 32) & (2**32 - 1), (case >> 64) & (2**32 - 1)))
    return found

@external
@pure
def batch_dot(first: DynArray[uint256, {PART}], second: DynArray[uint256, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for i: uint256 in range(len(first), bound={PART}):
        found.append(scalars.do({CODES["dot"]}, first[i], second[i], 0))
    return found

@external
@pure
def pack(leaf: uint256[4]) -> uint256:
    return dots.pack(leaf)
"""
SENDER = "0x" + "11" * 20
CORNERS = [
    *(0x00000000, 0x00000001, 0x00000002, 0x00400000, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000),
    *(0x0C000000, 0x1A000001, 0x33800000, 0x33800001, 0x34000000, 0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001),
    *(0x3FC00000, 0x40000000, 0x4B000001, 0x4B400000, 0x4B7FFFFF, 0x7E800000, 0x7F000000, 0x7F7FFFFF, 0x7F800000),
    *(0x7F800001, 0x7FC00000, 0x7FFFFFFF),
    *(0x3F1FFFFF, 0x3F200000, 0x3F3504F2, 0x3F3504F3, 0x3FFFFFFF, 0x42ADFFFF, 0x42AE0000, 0x42AE0001, 0x42B00001),
]
CORNERS += [word | 1 << 31 for word in CORNERS]


class Machine:
    """The test contract in pyrevm."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        limit = 10**10
        self.evm = pyrevm.EVM(env=pyrevm.Env(block=pyrevm.BlockEnv(gas_limit=limit)), gas_limit=limit, spec_id="PRAGUE")
        self.address = self.evm.deploy(SENDER, compiled_source(SOURCE, mutant).bytecode)

    def _call(self, signature: str, *words: Any) -> bytes:
        data = keccak256(signature.encode())[:4] + b"".join(words)
        return bytes(self.evm.message_call(SENDER, self.address, calldata=data))

    def __call__(self, name: str, *arguments: Words) -> Words:
        """One operation on arrays of words (two's complement for whole numbers)."""
        cases = np.zeros((len(arguments[0]), 8), ">u4")
        for i, argument in enumerate(arguments):
            cases[:, 7 - i] = argument
        parts = []
        for part in (cases[i : i + PART] for i in range(0, len(cases), PART)):
            head = (CODES[name], 64, len(part))
            raw = self._call(
                "batch(uint256,uint256[])", *(number.to_bytes(32, "big") for number in head), part.tobytes()
            )
            parts.append(_lowest(raw))
        return np.concatenate(parts)

    def dot(self, first: NDArray[np.int8], second: NDArray[np.int8]) -> Words:
        """Dots of rows of 32 elements."""
        parts = []
        for i in range(0, len(first), PART):
            a, b = first[i : i + PART], second[i : i + PART]
            head = [number.to_bytes(32, "big") for number in (64, 96 + a.size, len(a))]
            raw = self._call("batch_dot(uint256[],uint256[])", *head, a.tobytes(), head[2], b.tobytes())
            parts.append(_lowest(raw))
        return np.concatenate(parts)

    def pack(self, leaf: bytes) -> bytes:
        """The vector of a leaf of 128 bytes."""
        return self._call("pack(uint256[4])", leaf)


def _lowest(raw: bytes) -> Words:
    """Each word's lowest 32 bits; the others must be zero."""
    words = np.frombuffer(raw, ">u4").reshape(-1, 8)[2:]
    assert not words[:, :7].any()
    return words[:, 7].astype(np.uint32)


def cases(name: str, count: int, seed: int = 1) -> list[Words]:
    """At least `count` argument words for each argument of an operation."""
    chance, arity = np.random.default_rng(seed), len(takes(name))
    corners = np.array(list(product(CORNERS, repeat=arity)), np.uint32).T
    if corners.shape[1] > count // 2:
        corners = corners[:, chance.permutation(corners.shape[1])[: count // 2]]
    rest = chance.integers(0, 2**32, (arity, count - corners.shape[1]), np.uint32)
    third = rest.shape[1] // 3
    near = rest[:, :third]  # all near 1: sums that cancel, products beside addends
    near[:] = near & 0x807FFFFF | (chance.integers(120, 134, near.shape).astype(np.uint32) << 23)
    low = rest[:, third : third + third // 2]  # results about the least normal number
    low[:] = low & 0x80FFFFFF | (chance.integers(0, 96, low.shape).astype(np.uint32) << 23)
    found = np.concatenate([corners, rest], axis=1)
    if name == "fma":  # c nearly -a·b
        a, b, c = found[:, -third:]
        with np.errstate(all="ignore"):
            close = -(a.view(np.float32) * b.view(np.float32))
        c[:] = close.view(np.uint32) + chance.integers(-2, 3, third).astype(np.uint32)
    return list(found)


def expected(name: str, arguments: list[Words]) -> Words:
    """What `scalars.OPERATIONS` gives, any NaN as 0x7FC00000."""
    kinds = {"f": np.float32, "i": np.int32}
    operation = OPERATIONS[name]
    with np.errstate(all="ignore"):
        found = operation.do(*(words.view(kinds[kind]) for words, kind in zip(arguments, operation.takes, strict=True)))
    words: Words = np.ascontiguousarray(found).view(np.uint32)
    return canonical(words) if operation.gives == "f" else words


def canonical(words: Words) -> Words:
    """Any NaN as 0x7FC00000."""
    return np.where(words & 0x7FFFFFFF > 0x7F800000, np.uint32(0x7FC00000), words)
