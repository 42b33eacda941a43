"""Every kernel on hostile numbers gives the same bits with every instruction set, ARM's included (emulated).

Each operation of a small model's program runs by itself, on memory and weights filled with subnormals, infinities, NaN
and arbitrary bits; everything that it may have written is compared, any NaN as one (ARI-5).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

import emulated
import tiny_llama
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native, program
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.interpreter import KERNEL
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.canonical.program import address
from steelyard.engines.canonical.recipe import Recipe
from steelyard.engines.draws import Draw
from steelyard.engines.sampling import Sampler

TINY = tiny_llama.Tiny(layers=1, width=256, heads=8, key_heads=4, inner=512)
HEAD, GROUP = 32, 2
FAMILIES = {
    name: TINY.but(architecture=name, head=HEAD, biases=name == "qwen2") for name in ("qwen2", "qwen3", "gemma2")
}
"""Between them they have every kernel that llama has not."""
ROWS, BEHIND = 11, 122
"""Tokens at positions 122 to 132, the last ones on a second page."""
Found = list[tuple[str, str]]
"""Kernel, digest of all memory behind it."""


def _any_bits(chance: np.random.Generator, count: int) -> np.ndarray:
    return chance.integers(0, 2**32, count, np.uint32).view(np.float32)


def _small(chance: np.random.Generator, count: int) -> np.ndarray:
    """A third subnormal, some on either side of 2^-40, below which numbers are snapped (ARI-6)."""
    bits = _any_bits(chance, count).view(np.uint32)
    exponents = chance.choice([0, 0, 1, 31, 86, 87], count).astype(np.uint32)
    return (bits & 0x807FFFFF | exponents << 23).view(np.float32)


def _ordinary(chance: np.random.Generator, count: int) -> np.ndarray:
    """Many of them whole or half, so that they tie; both zeros."""
    numbers = (chance.standard_normal(count) * 2).astype(np.float32)
    return np.where(chance.random(count) < 0.5, np.round(numbers * 2) / 2, numbers)


def _sprinkled(chance: np.random.Generator, count: int) -> np.ndarray:
    """One in 2,000 infinite or NaN."""
    odd = np.array([np.inf, -np.inf, np.nan], np.float32)[chance.integers(0, 3, count)]
    return np.where(chance.random(count) < 0.0005, odd, _ordinary(chance, count))


def _scaled(chance: np.random.Generator, count: int) -> np.ndarray:
    """An array's numbers are alike, another's may be far from them."""
    return _ordinary(chance, count) * np.float32(10.0 ** chance.choice([-39, -37, -20, -8, 0, 0, 0, 1, 8, 18]))


FILLS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "any bits": _any_bits,
    "small": _small,
    "ordinary": _ordinary,
    "sprinkled": _sprinkled,
    "scaled": _scaled,
}


def _bytes(array: np.ndarray) -> bytes:
    if array.dtype == np.float32:
        array = np.where(np.isnan(array), np.float32(np.nan), array)
    return array.tobytes()


def _fill(model: models.Model, page: list[np.ndarray], fill: str, chance: np.random.Generator) -> None:
    numbers = FILLS[fill]
    memory = [getattr(model._memory, field.name) for field in fields(model._memory)]
    for array in [*memory, *page]:
        if array.dtype == np.float32:
            array[:] = numbers(chance, array.size).reshape(array.shape)
        elif array.dtype != np.int64:  # those are places
            array[:] = chance.integers(-(2**31), 2**31, array.shape).astype(array.dtype)
    for name, part in model.file.packed.parts.items():
        if fill == "any bits":
            part[:] = chance.integers(0, 256, part.shape, np.uint8)
        elif name.endswith("norm.weight"):
            part.view(np.float32)[:] = numbers(chance, part.size // 4)


def run_operations(kernels: native.Native, recipe: Recipe, path: Path, fill: str) -> Found:
    """Each operation once, on memory filled anew; of all formats but the first only the matrices, the rest being alike,
    and of a family all but those."""
    model = models.Model(emulated.moved(models.open_file(path, path.parent)), recipe, kernels, 1, tokens=ROWS)
    pages = [program.aligned((model.page_bytes // 4,), np.float32) for _ in range(2)]
    table = program.aligned((2,), np.int64)
    table[:] = [address(page) for page in pages]
    places = list(range(BEHIND, BEHIND + ROWS))
    model.step(Feed([0] * ROWS, places, [address(table)] * ROWS, [0, 4, 10]))  # sets what is whole numbers
    names = {place: name for name, place in kernels.address.items()}
    found = []
    for index, row in enumerate(model._program.code):
        kernel = names[row[KERNEL]]
        if path.stem != "q4_0" and (kernel in FORMATS) != (path.stem in FORMATS):
            continue
        _fill(model, pages, fill, np.random.default_rng(index))
        model.pool.run(model._program.code[index : index + 1])
        memory = [getattr(model._memory, field.name) for field in fields(model._memory) if field.name != "tables"]
        digest = sha256(b"".join(_bytes(array) for array in [*memory, *pages])).hexdigest()
        found.append((kernel, digest))
    model.close()
    return found


def run_draws(kernels: native.Native) -> Found:
    """Draws, exponentials and logprobs over hostile logits."""
    pool = Pool(kernels, 1, 1, 64)
    sampler = Sampler(kernels, pool.run, 1000)
    found = []
    for seed, numbers in enumerate(FILLS.values()):
        chance = np.random.default_rng(seed)
        logits = program.aligned((4, 1024), np.float32)
        logits[:] = numbers(chance, logits.size).reshape(logits.shape)
        draws = [Draw(t, 0x3F800000, 0, 2**63 + seed) for t in (0, 1, 0x3F000000, 0x42C80000)]
        found.append(("pick", str(sampler.pick(logits, draws, [0, 1, 77, 2**32 - 1]))))
        heavy = sampler.exponentials(logits[0], 0x3F000000)
        found.append(("weigh", sha256(_bytes(heavy)).hexdigest()))
        rows = [sampler.likelihoods(row).row(7, 3) for row in logits]
        found.append(("logarithm", repr(rows)))
    pool.close()
    return found


def _cases() -> Iterator[tuple[str, str]]:
    for name in (*FORMATS, *FAMILIES):
        for fill in FILLS:
            yield name, fill


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {kind: TINY.but(kind=kind, outer=kind) for kind in FORMATS} | FAMILIES
    return {name: tiny_llama.write(folder / f"{name}.gguf", tiny) for name, tiny in made.items()}


Make = Callable[[Path, Recipe], Any]
"""(folder, recipe with what the model's shape asks for) -> kernels, or what stands for them."""


def _here(cpu: str = "") -> Make:
    return lambda folder, recipe: native.load(recipe, cpu, "+sse2" if cpu else "", folder)


def _arm(cpu: str) -> Make:
    return lambda folder, recipe: emulated.Arm(recipe, cpu, Path(mkdtemp(dir=folder)))


def run_cases(make: Make, base: Recipe, files: dict[str, Path], folder: Path) -> dict[tuple[str, str], Found]:
    """All operations of all files, and the draws."""
    shaped = {"": base} | dict.fromkeys(FORMATS, base)
    family = replace(base, halves=True, kinds=(TINY.kind, TINY.outer))
    shaped |= {name: replace(family, capped=name == "gemma2") for name in FAMILIES}
    kernels = {recipe: make(folder, recipe) for recipe in set(shaped.values())}
    found = {}
    for name, fill in _cases():
        with _lent(kernels[base]):
            found[name, fill] = run_operations(kernels[shaped[name]], shaped[name], files[name], fill)
    with _lent(kernels[base]):
        return found | {("", ""): run_draws(kernels[base])}


def _lent(kernels: Any) -> AbstractContextManager[object]:
    """Memory of this process for kernels that run in another."""
    return emulated.arena().lent() if isinstance(kernels, emulated.Arm) else nullcontext()


PLAIN = Recipe(HEAD, GROUP)
BUILDS: dict[str, tuple[set[str], Make, Recipe]] = {
    "vnni512": ({"avx512vnni"}, _here(), replace(PLAIN, dot="vnni512")),
    "vnni256": ({"avx512vnni", "avxvnni"}, _here(), replace(PLAIN, dot="vnni256")),
    "avx512": ({"avx512f"}, _here("skylake-avx512"), PLAIN),
    "avx2": ({"avx2"}, _here("haswell"), PLAIN),
    "x86-64": ({"sse2"}, _here("x86-64"), replace(PLAIN, half=False)),
    "arm": (set(), _arm("generic"), PLAIN),
    "arm with dotprod and fp16": (set(), _arm("neoverse-n1"), PLAIN),
}
"""Features of which this processor must have one (none if it is emulated), and how the kernels are made."""


@pytest.fixture(scope="module")
def truth(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Found]:
    here = replace(PLAIN, half="f16c" in native.host()[2])
    return run_cases(_here(), here, files, tmp_path_factory.mktemp("kernels"))


def test_every_kernel_is_among_them(truth: dict[tuple[str, str], Found]) -> None:
    assert {kernel for found in truth.values() for kernel, _ in found} == set(native.names(PLAIN)) - {native.RUN}


@pytest.mark.parametrize("build", BUILDS)
def test_hostile_numbers_give_the_same_bits(
    build: str, files: dict[str, Path], truth: dict[tuple[str, str], Found], tmp_path: Path
) -> None:
    """ARI-1, ARI-2, ARI-5, ARI-10."""
    needs, make, recipe = BUILDS[build]
    if needs and needs.isdisjoint(native.host()[2]):
        pytest.skip(f"this processor has none of {sorted(needs)}")
    found = run_cases(make, recipe, files, tmp_path)
    assert found.keys() == truth.keys()
    for case, operations in found.items():
        assert operations == truth[case], case
