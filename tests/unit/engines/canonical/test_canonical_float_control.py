"""Threads whose processor flushes subnormals or rounds otherwise (ARI-1): MXCSR is really set here, on x86.

The same for ARM's FPCR is in `test_canonical_emulated.py`. And C libraries whose fmaf rounds twice.
"""

import ctypes
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import tiny_llama
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.interpreter import BAD_FLOATS, CODE, COUNT, COUNTERS, GATE
from steelyard.engines.canonical.model import Model
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.canonical.program import address
from steelyard.engines.canonical.recipe import Recipe
from steelyard.protocol.errors import Refused

DEFAULT = 0x1F80  # all exceptions masked, nothing flushed, to nearest even (Intel SDM, volume 1, 10.2.3)
SPOILED = {"FTZ": 0x8000, "DAZ": 0x0040, "down": 0x2000, "up": 0x4000, "to zero": 0x6000}
CODE_TEXT = """
declare void @llvm.x86.sse.ldmxcsr(ptr)
define void @set(i32 %value) {
    %place = alloca i32
    store i32 %value, ptr %place
    call void @llvm.x86.sse.ldmxcsr(ptr %place)
    ret void
}
"""
Spoil = Callable[[int, Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def spoil() -> Iterator[Spoil]:
    """Calls a function in a thread of its own that has these bits of MXCSR set; returns what it returned or raised."""
    if platform.machine() != "x86_64":
        pytest.skip("MXCSR is a register of x86-64")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(CODE_TEXT), llvm.Target.from_default_triple().create_target_machine()
    )
    engine.finalize_object()
    control = ctypes.CFUNCTYPE(None, ctypes.c_uint32)(engine.get_function_address("set"))

    def spoiled(bits: int, call: Callable[[], Any]) -> Any:
        found: list[Any] = []

        def body() -> None:
            control(DEFAULT | bits)
            try:
                found.append(call())
            except Refused as refusal:
                found.append(refusal)
            finally:
                control(DEFAULT)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return found[0]

    yield spoiled
    engine.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny_llama.Tiny())


@pytest.fixture
def model(file: Path) -> Iterator[Model]:
    made = models.load(models.open_file(file, file.parent), 1)
    yield made
    made.close()


@pytest.mark.parametrize("bits", SPOILED.values(), ids=SPOILED)
def test_no_engine_is_made_by_a_thread_that_computes_otherwise(spoil: Spoil, file: Path, bits: int) -> None:
    refusal = spoil(bits, lambda: CanonicalEngine(file, "tiny", threads=2, cache=file.parent))
    assert isinstance(refusal, Refused)
    assert refusal.rule == "engine.flush-to-zero"


@pytest.mark.parametrize("bits", SPOILED.values(), ids=SPOILED)
def test_a_thread_that_is_spoiled_later_is_refused_at_its_next_step(spoil: Spoil, model: Model, bits: int) -> None:
    program = model._program.code
    assert spoil(0, lambda: model.pool.run(program[:0])) is None
    refusal = spoil(bits, lambda: model.pool.run(program[:0]))
    assert isinstance(refusal, Refused)
    assert refusal.rule == "engine.flush-to-zero"


@pytest.mark.parametrize("bits", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_helper_takes_no_chunk(spoil: Spoil, model: Model, bits: int) -> None:
    """The others do its work."""
    model._program.set(1, 0)
    state, scratch, code = model.pool._state, model.pool._scratch[0], model._program.code[:1]  # a norm

    def help_out() -> int:
        state[COUNTERS:] = 0
        state[CODE], state[COUNT], state[GATE] = address(code), len(code), 1
        status: int = model.native.run(address(state), address(scratch), 1)
        state[GATE] = 0
        return status

    assert spoil(bits, help_out) == BAD_FLOATS
    assert not np.any(state[COUNTERS:])
    assert spoil(0, help_out) == 0
    assert np.any(state[COUNTERS:])


FUSE = ctypes.CFUNCTYPE(ctypes.c_float, *[ctypes.c_float] * 3)
LIBRARIES: dict[str, Callable[[float, float, float], float]] = {
    "in binary64": lambda a, b, c: a * b + c,
    "unfused": lambda a, b, c: float(np.float32(a) * np.float32(b) + np.float32(c)),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_c_library_whose_fmaf_rounds_twice_is_refused(library: str, tmp_path: Path) -> None:
    """ARI-1. Kernels for a processor without fused multiply-add call it."""
    if platform.machine() != "x86_64":
        pytest.skip("x86-64 is the processor without")
    wrong, right = FUSE(LIBRARIES[library]), ctypes.CDLL(None).fmaf

    def pool() -> Pool:
        return Pool(native.load(Recipe(32, 1, half=False), "x86-64", "+sse2", tmp_path), 1, 1, 64)

    llvm.add_symbol("fmaf", ctypes.cast(wrong, ctypes.c_void_p).value)
    try:
        spoiled = pool()
    finally:
        llvm.add_symbol("fmaf", ctypes.cast(right, ctypes.c_void_p).value)
    with pytest.raises(Refused, match=r"engine\.flush-to-zero.*fmaf"):
        spoiled.run(np.zeros((0, 16), np.int64))
    sound = pool()
    sound.run(np.zeros((0, 16), np.int64))
