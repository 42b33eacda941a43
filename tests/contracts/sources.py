"""The contracts' sources, compiled once per process; mutants of them; contracts of a test's own."""

import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.warnings import ContractSizeLimit

SOURCES = Path(__file__).parents[2] / "contracts"


@dataclass(frozen=True)
class Mutant:
    """A contract with one piece of its source replaced: what must not go unnoticed."""

    contract: str
    """File name without `.vy`."""
    old: str
    new: str


@dataclass(frozen=True)
class Artifact:
    """A compiled contract."""

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    runtime: bytes


@cache
def _compiled(name: str, old: str, new: str, module: str) -> Artifact:
    bundle = _Mutating([SOURCES], module, old, new) if old else FilesystemInputBundle([SOURCES])
    return _artifact(bundle.load_file(SOURCES / f"{name}.vy"), bundle)


class _Mutating(FilesystemInputBundle):
    """Reads the sources, one of them with a piece replaced."""

    def __init__(self, paths: list[Path], name: str, old: str, new: str) -> None:
        super().__init__(paths)
        self._mutation = (name, old, new)

    def _load_from_path(self, resolved_path: Any, path: Any) -> Any:
        found = super()._load_from_path(resolved_path, path)
        name, old, new = self._mutation
        if Path(resolved_path) != SOURCES / f"{name}.vy":
            return found
        assert found.contents.count(old) >= 1, f"the mutant of {name} mutates nothing: {old!r}"
        return replace(found, contents=found.contents.replace(old, new))


def compiled(name: str, mutant: Mutant | None = None) -> Artifact:
    """The contract `name`, of the mutant's source if it (or a module that it imports) is the mutant's."""
    if mutant is None or not _has_code_of(name, mutant.contract):
        return _compiled(name, "", "", "")
    return _compiled(name, mutant.old, mutant.new, mutant.contract)


def _has_code_of(name: str, module: str) -> bool:
    """True if the contract is this module, or imports it for more than to call another contract by its interface."""
    source = (SOURCES / f"{name}.vy").read_text()
    return module == name or (f"import {module}" in source and f"{module}.__interface__" not in source)


@cache
def compiled_source(source: str, mutant: Mutant | None = None) -> Artifact:
    """A contract of a test's own, which may import our modules, one of them perhaps a mutant's."""
    bundle = (
        _Mutating([SOURCES], mutant.contract, mutant.old, mutant.new) if mutant else FilesystemInputBundle([SOURCES])
    )
    path = SOURCES / "test.vy"
    return _artifact(FileInput(-1, path, path, source), bundle)


def _artifact(source: Any, bundle: FilesystemInputBundle) -> Artifact:
    # mutants are compiled once each: without the optimiser, which takes most of the compiler's time
    mutant = isinstance(bundle, _Mutating)
    settings = Settings(optimize=OptimizationLevel.NONE if mutant else OptimizationLevel.GAS)
    formats = ["abi", "bytecode", "bytecode_runtime"]
    with warnings.catch_warnings():
        if mutant:
            warnings.simplefilter("ignore", ContractSizeLimit)  # of unoptimised code, which nobody deploys but we
        out = compile_from_file_input(source, input_bundle=bundle, output_formats=formats, settings=settings)
    code, runtime = (bytes.fromhex(out[key][2:]) for key in ("bytecode", "bytecode_runtime"))
    return Artifact(tuple(out["abi"]), code, runtime)
