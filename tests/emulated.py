"""Kernels built for an ARM processor and run by qemu-user, in the place of `native.Native`.

Both processes map the same memory at the same address, so a pointer means the same in either, and whatever `aligned`
makes while an arena is lent lies there: models, samplers and engines run unchanged, their kernels elsewhere. Debian's
binutils assemble and link; a program is the kernels and the few instructions below, without any library.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import native, program
from steelyard.engines.canonical.interpreter import BAD_FLOATS
from steelyard.engines.canonical.recipe import Recipe

TRIPLE = "aarch64-unknown-linux-gnu"
PLACE, SIZE = 1 << 45, 1 << 30
"""Where the arena lies: far from what either process puts where by itself. Untouched pages cost nothing."""
HEAD = 64
DRIVER = """
    .global _start
_start:
    ldr x0, =PLACE
    ldr x1, =SIZE
    mov x2, #3      // PROT_READ | PROT_WRITE
    mov x3, #0x11   // MAP_SHARED | MAP_FIXED
    mov x4, #0      // standard input is the arena's file
    mov x5, #0
    mov x8, #222    // mmap
    svc #0
    ldr x3, [x0, #16]
    msr fpcr, x3
    ldp x0, x1, [x0]
    mov x2, #0      // run(state, scratch, helper = 0)
    bl run
    mov x8, #93     // exit
    svc #0
"""


def qemu(name: str, *tools: str) -> str:
    """The emulator's name. Skips the test where it or one of the tools is missing."""
    needed = (f"qemu-{name}", *tools)
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here (scripts/emulation installs it on Debian)")
    return needed[0]


class Arena:
    """Memory that both processes see; `aligned` is like `program.aligned`."""

    def __init__(self) -> None:
        self.file = os.memfd_create("arena")
        os.ftruncate(self.file, SIZE)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        found = libc.mmap(PLACE, SIZE, 3, 0x100001, self.file, 0)  # MAP_SHARED | MAP_FIXED_NOREPLACE
        assert found == PLACE, os.strerror(ctypes.get_errno())
        self._bytes = np.frombuffer((ctypes.c_uint8 * SIZE).from_address(PLACE), np.uint8)
        self.head = self._bytes[:24].view(np.int64)
        """Addresses of state and scratch, and the floating-point control register, FPCR."""
        self._next = HEAD

    def aligned(self, shape: tuple[int, ...], kind: Any) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        room = self._bytes[self._next : self._next + size]
        assert len(room) == size, "the arena is full"
        self._next += -(-size // 64) * 64
        room[:] = 0
        return room.view(kind).reshape(shape)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Meanwhile `aligned` means this arena, in every module; what an earlier borrower made is forgotten."""
        self._next = HEAD
        with pytest.MonkeyPatch.context() as patch:
            made = program.aligned
            for module in list(sys.modules.values()):
                if getattr(module, "aligned", None) is made:
                    patch.setattr(module, "aligned", self.aligned)
            yield


def moved(file: models.File) -> models.File:
    """The file with its packed weights where `aligned` puts them; they may be written to."""
    sizes = [-(-part.size // 64) * 64 for part in file.packed.parts.values()]
    body = program.aligned((sum(sizes),), np.uint8)
    parts, at = {}, 0
    for (name, part), size in zip(file.packed.parts.items(), sizes, strict=True):
        parts[name] = body[at : at + part.size]
        parts[name][:] = part
        at += size
    return replace(file, packed=replace(file.packed, parts=parts))


@lru_cache(maxsize=1)
def arena() -> Arena:
    """The only one: it lies at a fixed address."""
    return Arena()


class Arm:
    """Stands in for `native.Native`."""

    control = 0
    """What FPCR is set to before each run."""

    def __init__(self, recipe: Recipe, cpu: str, folder: Path) -> None:
        self._qemu = qemu("aarch64", *(f"aarch64-linux-gnu-{tool}" for tool in ("as", "ld", "nm")))
        self._program = folder / "kernels"
        (folder / "kernels.o").write_bytes(native.build(recipe, cpu, "", TRIPLE))
        (folder / "driver.s").write_text(DRIVER)
        places = ["--defsym", f"PLACE={PLACE}", "--defsym", f"SIZE={SIZE}"]
        self._tool("as", *places, "-o", folder / "driver.o", folder / "driver.s")
        self._tool("ld", "-o", self._program, folder / "driver.o", folder / "kernels.o")
        symbols = [line.split() for line in self._tool("nm", self._program).splitlines()]
        self.address: Mapping[str, int] = {name: int(value, 16) for value, _, name in symbols}
        assert set(native.names(recipe)) < set(self.address)

    @staticmethod
    def _tool(name: str, *arguments: str | Path) -> str:
        command = [f"aarch64-linux-gnu-{name}", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run(self, state: int, scratch: int, helper: int) -> int:
        """As `Native.run`, of the caller's own thread."""
        assert helper == 0
        shared = arena()
        shared.head[:] = state, scratch, self.control
        command = [self._qemu, "-cpu", "max", str(self._program)]
        ended = subprocess.run(command, stdin=shared.file, capture_output=True, text=True, timeout=60)
        assert ended.returncode in (0, BAD_FLOATS), f"{ended.returncode} {ended.stderr}: a pointer out of the arena?"
        return ended.returncode
