"""Kernels to machine code: built once for this CPU, kept as object code on disk, loaded by later processes.

The key is everything that the code depends on: the sources of this room, llvmlite's and LLVM's versions, the CPU's name
and features, the recipe. A spoiled cache file fails its hash and is built again.
"""

import ctypes
import hashlib
import platform
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm
import platformdirs
from llvmlite import ir

from steelyard.engines.canonical import cached
from steelyard.engines.canonical.attention import attention
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.interpreter import interpreter
from steelyard.engines.canonical.matmul import matrix
from steelyard.engines.canonical.picking import logarithm, pick, weigh
from steelyard.engines.canonical.recipe import Dot, Recipe
from steelyard.engines.canonical.rowwise import ROWWISE

RUN: Final = "run"


class Code:
    """Loaded functions: `address[name]`."""

    def __init__(self, code: bytes, names: tuple[str, ...], target: Any) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.address: Mapping[str, int] = {name: self._engine.get_function_address(name) for name in names}


class Native(Code):
    """Loaded kernels, and `run` itself."""

    def __init__(self, code: bytes, names: tuple[str, ...], target: Any) -> None:
        super().__init__(code, names, target)
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)
        self.run = kind(self.address[RUN])
        """run(state, scratch, helper), addresses as numbers; the GIL is released meanwhile."""


def names(recipe: Recipe) -> tuple[str, ...]:
    """All functions of a build."""
    rows = ROWWISE if recipe.rows is None else recipe.rows
    return (RUN, "attention", "pick", "weigh", "logarithm", *rows, *recipe.kinds)


def build(recipe: Recipe, cpu: str, features: str, triple: str = "") -> bytes:
    """Object code of the recipe's kernels for the CPU named; `triple` if it is of another kind than this machine's."""
    return compiled(written(recipe, triple), cpu, features, triple)


def written(recipe: Recipe, triple: str = "") -> str:
    """The recipe's kernels as LLVM reads them. All of it is Python's work."""
    module = ir.Module("canonical")
    module.triple = triple or llvm.get_process_triple()
    pause = "llvm.x86.sse2.pause" if module.triple.startswith("x86_64") else None
    interpreter(module, RUN, pause)
    attention(module, "attention", recipe)
    pick(module, "pick", recipe)
    weigh(module, "weigh", recipe)
    logarithm(module, "logarithm", recipe)
    for name in ROWWISE if recipe.rows is None else recipe.rows:
        ROWWISE[name](module, name, recipe)
    for kind in recipe.kinds:
        matrix(module, kind, kind, recipe)
    return str(module)


def compiled(text: str, cpu: str, features: str, triple: str = "") -> bytes:
    """Object code of what `written` gives. All of it is LLVM's work, during which Python's threads go on."""
    target = _target(cpu, features, triple)
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    # kernels are written as vectors: what LLVM would add takes an eighth of the time and makes nothing faster
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(target, tuning)
    passes.getModulePassManager().run(parsed, passes)
    code: bytes = target.emit_object(parsed)
    return code


def _target(cpu: str, features: str, triple: str = "") -> Any:
    if triple:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    else:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    found = llvm.Target.from_triple(triple or llvm.get_default_triple())
    return found.create_target_machine(cpu=cpu, features=features, opt=2, reloc="pic", codemodel="jitdefault")


@lru_cache(maxsize=1)
def host() -> tuple[str, str, frozenset[str]]:
    """This CPU: LLVM's name, its feature string, and the features that it has."""
    features = llvm.get_host_cpu_features()
    wide = ",-prefer-256-bit" if features.get("avx512f") else ""
    return llvm.get_host_cpu_name(), features.flatten() + wide, frozenset(k for k, v in features.items() if v)


def recipe_here(head_dim: int, group: int, kinds: tuple[str, ...] = tuple(FORMATS)) -> Recipe:
    """The fastest recipe for this CPU."""
    has = host()[2]
    dot: Dot = "plain"
    if {"avx512vnni", "avx512bw"} <= has:
        dot = "vnni512"
    elif "avxvnni" in has:
        dot = "vnni256"
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return Recipe(head_dim, group, dot=dot, half="f16c" in has or not x86, kinds=kinds)


def load(recipe: Recipe, cpu: str = "", features: str = "", cache: Path | None = None) -> Native:
    """Kernels for this CPU (or for the one named, which must be able to run here), from the cache if it has them."""
    if not cpu:
        cpu, features, _ = host()
    target = _target(cpu, features)
    place = _place(recipe, cpu, features, cache)
    code = _read(place)
    if code is None:
        begun = _begun.pop(place, None)
        code = begun.result() if begun else build(recipe, cpu, features)
        cached.keep(place, hashlib.sha256(code).digest(), code)
    return Native(code, names(recipe), target)


def functions(text: str, names: tuple[str, ...], cache: Path | None = None) -> Code:
    """Functions of a module that is already written, for this CPU."""
    cpu, features, _ = host()
    place = _file([text, cpu, features], cache)
    code = _read(place)
    if code is None:
        code = compiled(text, cpu, features)
        cached.keep(place, hashlib.sha256(code).digest(), code)
    return Code(code, names, _target(cpu, features))


_begun: Final[dict[Path, Future[bytes]]] = {}


def begin(recipe: Recipe) -> None:
    """Compiles meanwhile what `load` will need, unless the cache has it: to hash and pack a file takes as long."""
    cpu, features, _ = host()
    place = _place(recipe, cpu, features, None)
    if not place.exists() and place not in _begun:
        executor = ThreadPoolExecutor(1, "steelyard-compiler")
        _begun[place] = executor.submit(compiled, written(recipe), cpu, features)
        executor.shutdown(wait=False)


def _place(recipe: Recipe, cpu: str, features: str, cache: Path | None) -> Path:
    room = Path(__file__).parent
    sources = [(room / name).read_text(encoding="utf-8") for name in sorted(p.name for p in room.glob("*.py"))]
    return _file([repr(recipe), cpu, features, *sources], cache)


def _file(parts: list[str], cache: Path | None) -> Path:
    """Where object code is kept that follows from these parts."""
    parts = [*parts, llvmlite.__version__, repr(llvm.llvm_version_info), platform.machine()]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    folder = platformdirs.user_cache_path("steelyard") / "kernels" if cache is None else cache
    return folder / f"{digest[:32]}.o"


def _read(place: Path) -> bytes | None:
    try:
        raw = place.read_bytes()
    except OSError:
        return None
    return raw[32:] if hashlib.sha256(raw[32:]).digest() == raw[:32] else None
