"""The rule of the draw between two ids, in Vyper: the bits of the slow code, the choices of the kernel, the vectors."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arithmetic import CORNERS
from draws import Machine, gumbels, philox, scores
from sources import Mutant

import canonical_reference as slow
from steelyard.engines.canonical import native
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.sampling import ONE_BITS, Draw, Sampler

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "draws").glob("*.json"))
COUNT = 24_000
WORDS = [0, 1, 2, 255, 2**23, 2**24 + 1, 2**30 - 65, 2**30 - 1, 2**30, 2**30 + 1, 2**31 - 1, 2**31, 2**31 + 1]
WORDS += [2**32 - 1 - word for word in WORDS]
ZERO, ONE, GREATEST, INF, NAN, MINUS = 0, ONE_BITS, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 1 << 31
LEAST = GREATEST | MINUS
TEMPERATURES = [0, 1, 0x007FFFFF, 0x00800000, 0x3DCCCCCD, ONE, 0x40000001, GREATEST]
"""0; subnormal ones, the least normal; usual ones; the greatest."""
VOCABULARY = 64
Case = tuple[int, ...]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampler]:
    recipe = replace(native.recipe_here(32, 1), kinds=())
    kernels = native.load(recipe, cache=tmp_path_factory.mktemp("kernels"))
    pool = Pool(kernels, 2, 1, 64)
    yield Sampler(kernels, pool.run, VOCABULARY)
    pool.close()


def cases(count: int = COUNT, seed: int = 1) -> list[Case]:
    """As `draws.CASE` says: usual logits, corners of binary32, equal ones; any two ids."""
    chance = np.random.default_rng(seed)
    z = (chance.standard_normal((count, 2)) * 4).astype(np.float32).view(np.uint32)
    odd = chance.random((count, 2)) < 0.25
    z = np.where(odd, chance.choice(np.array(CORNERS, np.uint32), (count, 2)), z)
    z[::7, 1] = z[::7, 0]
    z[::35] = chance.choice(np.array([0xFF800000, NAN, 0x7F800001, 0xFFFFFFFF], np.uint32), (len(z[::35]), 2))
    ids = np.stack([chance.integers(0, VOCABULARY, count), chance.integers(0, VOCABULARY, count)])
    temperature = chance.choice(TEMPERATURES, count)
    position = np.where(chance.random(count) < 0.1, 2**32 - 1, chance.integers(0, 2**13, count))
    seeds = [int(chance.integers(0, 2**64, dtype=np.uint64)) for _ in range(count)]
    rows = zip(z[:, 0], ids[0], z[:, 1], ids[1], temperature, seeds, position, strict=True)
    return [tuple(map(int, row)) for row in rows]


def chosen(sampler: Sampler, some: list[Case]) -> list[int]:
    """What the kernel picks where only the two ids have logits."""
    logits = np.full((len(some), VOCABULARY), -np.inf, np.float32)
    words = logits.view(np.uint32)
    for row, (z, unit, rival_z, rival, *_) in enumerate(some):
        words[row, unit], words[row, rival] = z, rival_z
    draws = [Draw(temperature, ONE_BITS, 0, seed) for *_, temperature, seed, _ in some]
    return sampler.pick(logits, draws, [case[-1] for case in some])


def test_smp_3_philox_in_vyper_gives_the_references_words(machine: Machine):
    chance = np.random.default_rng(2)
    seeds = chance.integers(0, 2**64 - 1, 4000, np.uint64).tolist()
    some = [(seed, *map(int, chance.integers(0, 2**32, 2))) for seed in seeds]
    some += [(seed, n, unit) for seed in (0, 2**64 - 1) for n in (0, 2**32 - 1) for unit in (0, 1, 2, 3, 2**32 - 1)]
    assert machine.random(some) == [slow.philox(*case) for case in some] == [philox(*case) for case in some]


def test_smp_4_gumbel_in_vyper_has_the_bits_of_the_slow_code(machine: Machine):
    words = np.array(WORDS + np.random.default_rng(3).integers(0, 2**32, COUNT).tolist(), np.uint32)
    words[-4000:-2000] >>= 9  # both ends
    words[-2000:] = ~(words[-2000:] >> 17)
    found = machine.gumbels(words)
    assert (found == gumbels(words)).all()
    for word, bits in zip(words[:400].tolist(), found.tolist(), strict=False):
        assert slow.gumbel(word).view(np.uint32) == bits


def test_smp_4_a_score_in_vyper_has_the_bits_of_the_slow_code(machine: Machine):
    some = cases()
    words = np.array([philox(seed, position, unit) for _, unit, _, _, _, seed, position in some], np.uint32)
    z, temperature = (np.array([case[i] for case in some], np.uint32) for i in (0, 4))
    found, wanted = machine.scores(some), scores(z, words, temperature)
    found = np.where(np.isnan(found.view(np.float32)), np.uint32(NAN), found)  # at T = 0 a NaN keeps its bits
    assert (found == wanted).all()


def test_smp_5_a_rival_beats_an_id_if_the_kernel_chooses_it(machine: Machine, sampler: Sampler):
    some = [case for case in cases() if case[1] != case[3]]
    assert len(some) >= 20_000
    seen = set()
    for case, won, pick in zip(some, machine.beats(some), chosen(sampler, some), strict=True):
        _, unit, _, rival, temperature, *_ = case
        neither = pick not in (unit, rival)  # nothing has a score: any but 0 is wrong, whatever the lower one shows it
        assert won == (rival < unit if neither else pick == rival), case
        seen.add((won, neither, temperature == 0, rival < unit))
    assert len(seen) == 12  # of 16: where neither has a score, the order of the ids says who wins


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_smp_1_smp_5_the_choice_of_a_vector_beats_every_other_id_and_no_other_id_beats_it(machine: Machine, path: Path):
    case = json.loads(path.read_text())
    told, choice = case["input"], case["result"]
    logits = [int(word, 16) for word in told["logits"]]
    how = int(told["temperature"], 16), int(told["seed"]), int(told["position"])
    others = [unit for unit in range(len(logits)) if unit != choice]
    assert all(machine.beats([(logits[unit], unit, logits[choice], choice, *how) for unit in others]))
    assert not any(machine.beats([(logits[choice], choice, logits[unit], unit, *how) for unit in range(len(logits))]))


PAIRS = {
    # z, the rival's z, T: does a rival of a higher id win, does one of a lower
    "a tie": (ONE, ONE, 0, False, True),
    "zeros are equal": (ZERO, MINUS, 0, False, True),
    "zeros are equal either way": (MINUS, ZERO, 0, False, True),
    "greater": (ONE, ONE + 1, 0, True, True),
    "less": (ONE + 1, ONE, 0, False, False),
    "less, both negative": (ONE | MINUS, (ONE + 1) | MINUS, 0, False, False),
    "a NaN never wins": (LEAST, NAN, 0, False, False),
    "a NaN never wins at T": (LEAST, 0x7FFFFFFF, ONE, False, False),
    "a NaN loses to any number": (0xFFFFFFFF, LEAST, 0, True, True),
    "a NaN loses to any number at T": (NAN, LEAST, ONE, True, True),
    "nothing beside nothing": (NAN, INF | MINUS, 0, False, True),
    "nothing beside nothing at T": (INF | MINUS, NAN, ONE, False, True),
    "infinities are equal": (INF, INF, ONE, False, True),
    "so cold that both are infinite": (ONE, GREATEST, 1, False, True),
    "so great that the noise vanishes": (0x7149F2CA, 0x7149F2CB, ONE, True, True),
}


@pytest.mark.parametrize("how", PAIRS)
def test_smp_2_corners_of_two_logits(machine: Machine, how: str):
    z, rival_z, temperature, higher, lower = PAIRS[how]
    assert machine.beats([(z, a, rival_z, b, temperature, 1, 2) for a, b in ((5, 9), (9, 5))]) == [higher, lower]


MUTANTS = {
    "nine rounds": ("range(operations.PHILOX_ROUNDS)", "range(9)"),
    "the first key twice": ("w3 ^ other_key", "w3 ^ key"),
    "the high half of the seed cut off": ("= seed >> 32", "= 0"),
    "one step for both keys": ("operations.KEY_STEP_1", "operations.KEY_STEP_0"),
    "one multiplier for both words": ("operations.MULTIPLIER_1", "operations.MULTIPLIER_0"),
    "no position": ("w1: uint256 = position", "w1: uint256 = 0"),
    "another word of four": ("w0 if id & 1 == 0 else w1", "w1 if id & 1 == 0 else w0"),
    "another pair of words": ("if id & 2 == 0", "if id & 2 != 0"),
    "four words for one": ("w0: uint256 = id >> 2", "w0: uint256 = id"),
    "ln u already from an eighth": ("QUARTER: constant(uint256) = 2**30", "QUARTER: constant(uint256) = 2**29"),
    "ln u only from a half": ("QUARTER: constant(uint256) = 2**30", "QUARTER: constant(uint256) = 2**31"),
    "no half below": ("binary32.from_natural(word, 32), HALF", "binary32.from_natural(word, 32), 0"),
    "no half above": ("unsafe_sub(WORD, word), 32), HALF", "unsafe_sub(WORD, word), 32), 0"),
    "words of 32 bits are negative": (
        "binary32.from_natural(unsafe_sub(WORD, word), 32)",
        "binary32.mul(binary32.from_whole(unsafe_sub(WORD, word)), 796917760)",
    ),
    "the noise is taken off": ("functions.logarithm(waiting ^ SIGN) ^ SIGN", "functions.logarithm(waiting ^ SIGN)"),
    "subnormal temperatures are 0": ("if temperature == 0", "if temperature < 8388608"),
    "the temperature is multiplied by": ("binary32.div(z, temperature)", "binary32.mul(z, temperature)"),
    "the noise is divided too": (
        "binary32.add(binary32.div(z, temperature), self.gumbel(self.random(seed, position, id)))",
        "binary32.div(binary32.add(z, self.gumbel(self.random(seed, position, id))), temperature)",
    ),
    "the highest id of equals": ("return rival < id", "return rival > id"),
    "an id beats itself": ("return rival < id", "return rival <= id"),
    "equal means equal bits": ("not binary32.less(other, own)", "own == other"),
    "a NaN beats": ("return MINUS_INFINITY", "return a"),
    "one noise for both": ("self.score(rival_z, rival, temperature", "self.score(rival_z, id, temperature"),
}  # fmt: skip


def story(machine: Machine) -> list[object]:
    """What a machine says of a little of everything; what it cannot say counts too."""
    some = [*cases(1500, seed=5), (ONE, 7, ONE, 7, 0, 1, 2), (ZERO, 7, MINUS, 5, 0, 1, 2)]
    parts = (
        lambda: machine.random([(seed, position, unit) for _, unit, *_, seed, position in some]),
        lambda: machine.gumbels(np.array(WORDS, np.uint32)).tolist(),
        lambda: machine.scores(some).tolist(),
        lambda: machine.beats(some),
    )
    found: list[object] = []
    for part in parts:
        try:
            found.append(part())
        except (RuntimeError, OverflowError) as error:
            found.append(type(error))
    return found


@pytest.fixture(scope="module")
def right(machine: Machine) -> list[object]:
    return story(machine)


@pytest.mark.parametrize("how", MUTANTS)
def test_a_wrong_draw_does_not_go_unnoticed(right: list[object], how: str):
    assert story(Machine(Mutant("sampling", *MUTANTS[how]))) != right
