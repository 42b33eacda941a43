"""A few threads that run a program together.

Helpers sleep on a semaphore between programs. Inside a program nobody waits for a helper that has not turned up; see
`interpreter`. The caller's own thread always takes part.
"""

import ctypes
import threading

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical.interpreter import BAD_FLOATS, CODE, COUNT, COUNTERS, GATE, LINE, PROBE, PROBES, YIELD
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.program import address, aligned
from steelyard.protocol.errors import Refused


class Pool:
    """`threads` threads, the caller's included. `scratch` is the bytes that each may use for itself."""

    def __init__(self, native: Native, threads: int, operations: int, scratch: int) -> None:
        self._native = native
        self._state = aligned((COUNTERS + 2 * LINE * operations,), np.int64)
        self._state[YIELD] = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
        self._state[PROBE : PROBE + len(PROBES) // 2] = np.array(PROBES, np.float32).view(np.int64)
        self._scratch = [aligned((scratch,), np.uint8) for _ in range(threads)]
        self._work = threading.Semaphore(0)
        self._closed = False
        self._helpers = [
            threading.Thread(target=self._help, args=(scratch,), daemon=True, name="steelyard-helper")
            for scratch in self._scratch[1:]
        ]
        for helper in self._helpers:
            helper.start()

    def run(self, code: NDArray[np.int64]) -> None:
        """Runs the operations; returns when all are done and no helper is inside any more.

        Raises Refused("engine.flush-to-zero") if this thread (or the C library, where it is needed) does not compute as
        IEEE 754 says."""
        self._state[COUNTERS : COUNTERS + 2 * LINE * len(code)] = 0
        self._state[CODE], self._state[COUNT] = address(code), len(code)
        self._state[GATE] = 1
        for _ in self._helpers:
            self._work.release()
        if self._enter(self._scratch[0], 0) == BAD_FLOATS:
            told = "subnormal numbers or rounding to nearest even are switched off here, or fmaf is not exact"
            raise Refused("engine.flush-to-zero", told)

    def _enter(self, scratch: NDArray[np.uint8], helper: int) -> int:
        status: int = self._native.run(address(self._state), address(scratch), helper)
        return status

    def _help(self, scratch: NDArray[np.uint8]) -> None:
        while True:
            self._work.acquire()
            if self._closed:
                return
            self._enter(scratch, 1)

    def close(self) -> None:
        """Ends the helpers. Not while `run` is running."""
        self._closed = True
        for _ in self._helpers:
            self._work.release()
        for helper in self._helpers:
            helper.join()
