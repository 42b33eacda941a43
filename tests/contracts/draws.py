"""contracts/sampling.vy on many cases in one call, and the slow code that it is held against."""

from typing import Any, Final

import numpy as np
import pyrevm
from eth_abi import decode, encode
from numpy.typing import NDArray
from sources import Mutant, compiled_source

from steelyard.engines.canonical.picking import KEY_STEPS, MULTIPLIERS, ROUNDS
from steelyard.engines.ir import scalars
from steelyard.protocol.hashing import keccak256

Words = NDArray[np.uint32]
PART: Final = 2048
"""Cases of one call."""
CASE: Final = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
"""z, id, the rival's z, the rival, temperature, seed, position."""
SOURCE: Final = f"""# pragma version 0.4.3
import sampling

struct Case:
    z: uint256
    id: uint256
    rival_z: uint256
    rival: uint256
    temperature: uint256
    seed: uint256
    position: uint256

@internal
@pure
def _beats(case: Case) -> bool:
    return sampling.beats(case.z, case.id, case.rival_z, case.rival, case.temperature, case.seed, case.position)

@external
@pure
def beats(case: Case) -> bool:
    return self._beats(case)

@external
@pure
def gumbels(words: DynArray[uint256, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for word: uint256 in words:
        found.append(sampling.gumbel(word))
    return found

@external
@pure
def random(cases: DynArray[uint256[3], {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for case: uint256[3] in cases:
        found.append(sampling.random(case[0], case[1], case[2]))
    return found

@external
@pure
def scores(cases: DynArray[Case, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for case: Case in cases:
        found.append(sampling.score(case.z, case.id, case.temperature, case.seed, case.position))
    return found

@external
@pure
def all_beat(cases: DynArray[Case, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for case: Case in cases:
        found.append(convert(self._beats(case), uint256))
    return found
"""
SENDER: Final = "0x" + "11" * 20


class Machine:
    """The test contract in pyrevm."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        limit = 10**10
        self.evm = pyrevm.EVM(env=pyrevm.Env(block=pyrevm.BlockEnv(gas_limit=limit)), gas_limit=limit, spec_id="PRAGUE")
        self.address = self.evm.deploy(SENDER, compiled_source(SOURCE, mutant).bytecode)

    def _all(self, name: str, kind: str, cases: list[Any]) -> list[int]:
        selector = keccak256(f"{name}({kind}[])".encode())[:4]
        found: list[int] = []
        for i in range(0, len(cases), PART):
            data = selector + encode([f"{kind}[]"], [cases[i : i + PART]])
            (part,) = decode(["uint256[]"], bytes(self.evm.message_call(SENDER, self.address, calldata=data)))
            found += part
        return found

    def gumbels(self, words: Words) -> Words:
        """G of each word (SMP-4)."""
        return np.array(self._all("gumbels", "uint256", words.tolist()), np.uint32)

    def random(self, cases: list[tuple[int, int, int]]) -> list[int]:
        """Words of (seed, position, id) (SMP-3)."""
        return self._all("random", "uint256[3]", cases)

    def scores(self, cases: list[tuple[int, ...]]) -> Words:
        """The ids' scores; cases as `CASE` says."""
        return np.array(self._all("scores", CASE, cases), np.uint32)

    def beats(self, cases: list[tuple[int, ...]]) -> list[bool]:
        """Whether the rule prefers the rivals; cases as `CASE` says."""
        return [bool(won) for won in self._all("all_beat", CASE, cases)]


def gumbels(words: Words) -> Words:
    """SMP-4 word for word, in the arithmetic that knows no kernel."""
    small = words < 2**30
    part = np.where(small, words, np.uint32(2**32 - 1) - words)
    a = part.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    waiting = np.where(small, -scalars.log_of(-a, np.zeros_like(a)), -scalars.log(a))
    found: Words = (-scalars.log(waiting)).view(np.uint32)
    return found


def philox(seed: int, position: int, unit: int) -> int:
    """SMP-3."""
    counter, key = [unit // 4, position, 0, 0], [seed % 2**32, seed >> 32]
    for _ in range(ROUNDS):
        a, b = (factor * counter[i] for factor, i in zip(MULTIPLIERS, (0, 2), strict=True))
        counter = [b >> 32 ^ counter[1] ^ key[0], b % 2**32, a >> 32 ^ counter[3] ^ key[1], a % 2**32]
        key = [(number + step) % 2**32 for number, step in zip(key, KEY_STEPS, strict=True)]
    return counter[unit % 4]


def scores(z: Words, words: Words, temperature: Words) -> Words:
    """SMP-1, SMP-4: of logits, their random words and temperatures; any NaN as 0x7FC00000."""
    with np.errstate(all="ignore"):
        noisy = z.view(np.float32) / temperature.view(np.float32) + gumbels(words).view(np.float32)
    found = np.where(temperature == 0, z, noisy.view(np.uint32))
    return np.where(np.isnan(found.view(np.float32)), np.uint32(0x7FC00000), found)
