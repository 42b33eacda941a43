"""contracts/filters.vy against `engines.sieves`, which is held to the sampler: shares, sums, whom they leave in."""

from dataclasses import astuple
from typing import Any, Final

import numpy as np
import pyrevm
import pytest
from eth_abi import decode, encode
from sources import Mutant, compiled_source

from steelyard.engines import draws, sieves
from steelyard.engines.draws import Draw
from steelyard.protocol.games import NOTHING
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.moves import Sieve

PART: Final = 512
SIEVE: Final = "(bytes32,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
SOURCE: Final = f"""# pragma version 0.4.3
import filters

@external
@pure
def shares(s: filters.Sieve, zs: DynArray[uint256, {PART}]) -> DynArray[uint256, {PART}]:
    found: DynArray[uint256, {PART}] = []
    for i: uint256 in range(len(zs), bound={PART}):
        found.append(filters.share(s, i, zs[i]))
    return found

@external
@pure
def beats(s: filters.Sieve, sums: uint256, k: uint256, p: uint256, seed: uint256, position: uint256) -> (bool, bool):
    return filters.fits(s, sums, k), filters.beats(s, sums, p, seed, position)
"""
SENDER: Final = "0x" + "11" * 20
ONE: Final = 0x3F800000
ODD = (0x7FC00000, 0xFFC00001, 0x7F800000, 0xFF800000, 0, 0x80000000, 1, 0x7F7FFFFF, 0xFF7FFFFF, ONE, ONE + 1)
"""Two NaN, two infinities, two zeros, the least and the greatest, numbers beside each other."""


class Machine:
    """The test contract in pyrevm."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        limit = 10**10
        self.evm = pyrevm.EVM(env=pyrevm.Env(block=pyrevm.BlockEnv(gas_limit=limit)), gas_limit=limit, spec_id="PRAGUE")
        self.address = self.evm.deploy(SENDER, compiled_source(SOURCE, mutant).bytecode)

    def _ask(self, name: str, takes: list[str], gives: list[str], values: list[Any]) -> tuple[Any, ...]:
        selector = keccak256(f"{name}({','.join(takes)})".encode())[:4]
        out = self.evm.message_call(SENDER, self.address, calldata=selector + encode(takes, values))
        return decode(gives, bytes(out))

    def shares(self, sieve: Sieve, words: list[int]) -> list[int]:
        """Of all ids of a row of logits."""
        (found,) = self._ask("shares", [SIEVE, "uint256[]"], ["uint256[]"], [astuple(sieve), words])
        return list(found)

    def beats(self, sieve: Sieve, sums: int, draw: Draw, position: int) -> tuple[bool, bool]:
        """Whether the sums fit, and whether the rival beats the unit."""
        told = [astuple(sieve), sums, draw.top_k, draw.top_p, draw.seed, position]
        fits, beats = self._ask("beats", [SIEVE, *["uint256"] * 5], ["bool", "bool"], told)
        return fits, beats


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


Case = tuple[Draw, int, bytes, Sieve]


def cases(count: int, seed: int) -> list[Case]:
    """(draw, position, logits, sieve): rows of ordinary numbers, of ties, of oddities; mostly with the right marks."""
    chance = np.random.default_rng(seed)
    found: list[Case] = []
    while len(found) < count:
        size = int(chance.integers(2, 40))
        row = (chance.standard_normal(size) * 4).astype("<f4")
        if len(found) % 3 == 1:
            row = chance.integers(0, 4, size).astype("<f4")
        words = row.view("<u4").copy()
        if len(found) % 3 == 2:
            odd = chance.random(size) < 0.5
            words[odd] = chance.choice(ODD, size)[odd]
        temperature = int(chance.choice([ONE, 0x3F000000, 0x40400000, 0x33D6BF95, 0x501502F9]))
        top_p = int(chance.choice([ONE, 0x3F7FFFFF, 0x3F400000, 0x3F000000, 0x3DCCCCCD, 1, 0x00800000]))
        draw = Draw(temperature, top_p, int(chance.integers(0, size + 2)), int(chance.integers(0, 2**63)))
        logits = words.tobytes()
        lowest, greatest = sieves.marks(logits, draw.temperature, draw.top_k, draw.top_p)
        if lowest == greatest == NOTHING:
            continue
        if chance.random() < 0.2:
            lowest = lowest if lowest == NOTHING else int(chance.integers(0, size))
            greatest = greatest if greatest == NOTHING else int(chance.integers(0, size))
        unit, rival = (int(one) for one in chance.choice(size, 2, replace=False))
        sieve = sieves.sieve_of(logits, draw.temperature, unit, rival, lowest, greatest)
        found.append((draw, int(chance.integers(1, 2**32)), logits, sieve))
    return found


def told(machine: Machine, some: list[Case]) -> list[object]:
    """What a machine says of each; what it cannot say counts too."""
    found: list[object] = []
    for draw, position, logits, sieve in some:
        try:
            shares = machine.shares(sieve, np.frombuffer(logits, "<u4").tolist())
            found.append((shares, machine.beats(sieve, sum(shares) % 2**256, draw, position)))
        except RuntimeError as error:
            found.append(type(error))
    return found


def test_gam_5_each_share_is_the_players_and_the_sums_decide_as_the_sampler_does(machine: Machine):
    convicted = 0
    for draw, position, logits, sieve in cases(1500, seed=1):
        shares = machine.shares(sieve, np.frombuffer(logits, "<u4").tolist())
        assert shares == [
            sieves.share(sieve, one, int(z)) for one, z in enumerate(np.frombuffer(logits, "<u4").tolist())
        ]
        ids = len(shares)
        assert sieves.tallies(logits, sieve, [ids // 2, ids]) == [sum(shares[: ids // 2]), sum(shares)]
        fits, beats = machine.beats(sieve, sum(shares), draw, position)
        assert fits == sieves.fits(sieve, sum(shares), draw.top_k)
        right = (sieve.lowest, sieve.greatest) == sieves.marks(logits, draw.temperature, draw.top_k, draw.top_p)
        assert fits == right
        assert beats == sieves.beaten(sieve, sum(shares), draw.top_p, draw.seed, position)
        if right:
            best = draws.pick(np.frombuffer(logits, "<f4"), draw, position)
            assert not (sieve.unit == best and beats)
            assert beats or sieve.rival != best
            convicted += beats
    assert convicted > 300


def test_gam_5_of_two_that_are_left_out_neither_has_a_score(machine: Machine):
    logits = np.array([3, 2, 1, 0], "<f4").tobytes()
    for unit, rival in ((2, 3), (3, 2)):
        sieve = sieves.sieve_of(logits, ONE, unit, rival, 1, NOTHING)
        assert machine.beats(
            sieve, sum(machine.shares(sieve, [0x40400000, 0x40000000, ONE, 0])), Draw(ONE, ONE, 2, 7), 9
        ) == (
            True,
            rival < unit,
        )


def test_gam_5_what_is_not_right_does_not_fit(machine: Machine):
    draw, position, logits, sieve = next(
        one for one in cases(50, seed=3) if NOTHING not in (one[3].lowest, one[3].greatest)
    )
    whole = sieves.tallies(logits, sieve, [len(logits) // 4])[0]
    for wrong in (1, 1 << 32, -(1 << 32), 1 << 63):
        assert machine.beats(sieve, (whole + wrong) % 2**256, draw, position)[0] is False


MUTANTS = {
    "of equals the higher id first": ("return id < other and", "return id > other and"),
    "equal means equal bits": ("not binary32.less(own, than)", "own == than"),
    "a NaN is not minus infinity": ("own: uint256 = sampling._ordered(z)", "own: uint256 = z"),
    "a NaN weighs": ("if e > INFINITY:", "if e > 2 * INFINITY:"),
    "half a weight": ("<< 32) >> (150", "<< 31) >> (150"),
    "weights at T = 1": ("binary32.div(binary32.sub(z, s.greatest_z), s.temperature)", "binary32.sub(z, s.greatest_z)"),
    "what top-k leaves out weighs": ("if not kept:", "if False:"),
    "the lowest does not weigh": ("s.lowest == NOBODY or id == s.lowest", "s.lowest == NOBODY"),
    "what stands before the greatest is not counted": ("return found | 1", "return found"),
    "the rival's weight is the unit's": ("z, id, s.rival_z, s.rival)", "z, id, s.unit_z, s.unit)"),
    "k are before the lowest": ("else top_k - 1", "else top_k"),
    "any greatest": ("sums & U64 ==", "(sums & U64) >> 32 << 32 =="),
    "what top-k leaves out is kept": ("        return MINUS_INFINITY\n", "        return z\n"),
    "the greatest may be left out": ("if s.greatest == NOBODY or id == s.greatest:", "if s.greatest == NOBODY:"),
    "p itself is not enough": ("< p else", "<= p else"),
    "another p": ("150 - (top_p", "149 - (top_p"),
    "one before for both": ("(sums >> BEFORE_RIVAL) & U64", "(sums >> BEFORE_UNIT) & U64"),
}  # fmt: skip


@pytest.fixture(scope="module")
def some() -> list[Case]:
    return cases(500, seed=2)


@pytest.fixture(scope="module")
def right(machine: Machine, some: list[Case]) -> list[object]:
    return told(machine, some)


@pytest.mark.parametrize("how", MUTANTS)
def test_a_wrong_filter_does_not_go_unnoticed(some: list[Case], right: list[object], how: str):
    assert told(Machine(Mutant("filters", *MUTANTS[how])), some) != right
