"""The same evidence from other processors, emulated: x86 without FMA, x86 with AVX2, 64-bit ARM."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import emulated
import evidence_of
import tiny_llama
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.model import Model
from steelyard.engines.canonical.recipe import Recipe
from steelyard.protocol.errors import Refused

TINY = tiny_llama.Tiny(layers=1, width=256, heads=8, key_heads=4, inner=256)
RECIPE = Recipe(32, 2)
FLUSH, TOWARDS_PLUS, DEFAULT_NAN = 1 << 24, 1 << 22, 1 << 25
"""Bits of FPCR: FZ, RMode, DN (Arm Architecture Reference Manual, FPCR)."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One of each format, its outer matrices of the next."""
    folder, kinds = tmp_path_factory.mktemp("models"), tuple(FORMATS)
    return [
        tiny_llama.write(folder / f"{kind}.gguf", TINY.but(kind=kind, outer=kinds[(i + 1) % len(kinds)]))
        for i, kind in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def truth(files: list[Path]) -> list[str]:
    found = [evidence_of.evidence(file, file.parent) for file in files]
    assert len(set(found)) == len(files)
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
def test_a_process_on_another_x86_processor_gives_the_same_evidence(
    cpu: str, files: list[Path], truth: list[str], tmp_path: Path
) -> None:
    """Python, NumPy, the choice of a recipe, kernels, and libm's fmaf, which Nehalem needs, are emulated. LLVM's work
    for that processor is done here, where it takes a minute instead of many; the process finds it in its cache."""
    emulator = emulated.qemu("x86_64")
    if platform.machine() != "x86_64":
        pytest.skip("this Python is not for x86-64")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path)}

    def there(*arguments: str) -> str:
        command = [emulator, "-cpu", cpu, sys.executable, evidence_of.__file__, *arguments]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=850)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    asked = json.loads(there())
    recipe = replace(evidence_of.recipe(), dot="plain", half="+f16c" in asked["features"].split(","))
    assert repr(recipe) == asked["recipe"]
    native.load(recipe, asked["cpu"], asked["features"], tmp_path)
    kernels = set(tmp_path.glob("*.o"))
    assert there(str(tmp_path), *map(str, files)).split() == [cpu.lower(), *truth]
    assert set(tmp_path.glob("*.o")) >= kernels


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> emulated.Arm:
    return emulated.Arm(RECIPE, "generic", tmp_path_factory.mktemp("arm"))


def test_kernels_on_an_arm_processor_give_the_same_evidence(
    files: list[Path], truth: list[str], arm: emulated.Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's Python runs here, every kernel there."""
    opened = models.open_file
    monkeypatch.setattr(models, "open_file", lambda *a: emulated.moved(opened(*a)))
    monkeypatch.setattr(native, "load", lambda _: arm)
    monkeypatch.setattr(native, "recipe_here", lambda *_: RECIPE)
    monkeypatch.setattr(evidence_of, "CanonicalEngine", lambda *a, threads, **k: CanonicalEngine(*a, threads=1, **k))
    for file, expected in zip(files, truth, strict=True):
        with emulated.arena().lent():
            assert evidence_of.evidence(file, file.parent) == expected, file.name


@pytest.mark.parametrize("control", [FLUSH, TOWARDS_PLUS, FLUSH | DEFAULT_NAN])
def test_an_arm_processor_that_flushes_or_rounds_otherwise_is_refused(
    control: int, files: list[Path], arm: emulated.Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ARI-1."""
    monkeypatch.setattr(arm, "control", control)
    with emulated.arena().lent(), pytest.raises(Refused, match=r"engine\.flush-to-zero"):
        Model(emulated.moved(models.open_file(files[0], files[0].parent)), RECIPE, arm, 1)  # type: ignore[arg-type]
