"""How much slower each kernel is when its numbers are subnormal: milliseconds for all layers' calls of one decode step.

    python bench/subnormals.py [--model NAME] [--position 511] [--rounds 30]

One thread, one token. Every kernel runs alone over all layers, on ordinary inputs and on inputs chosen so that nearly
every float operation takes or gives a subnormal number (what that needs is in the last column); the rounds alternate,
the least time counts.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from steelyard.engines import store
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.interpreter import CHUNKS, KERNEL
from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned

TINY = np.float32(2.0**-130)
"""A subnormal number."""


class Bench:
    """A model behind `position` positions of ordinary keys and values."""

    def __init__(self, name: str, position: int) -> None:
        self.model: Model = models.load(models.open_file(store.path(name)), 1)
        self.memory = self.model._memory
        self.pages = [
            aligned((self.model.page_bytes // 4,), np.float32) for _ in range(position // self.model.recipe.page + 1)
        ]
        self.table = aligned((len(self.pages),), np.int64)
        self.table[:] = [address(page) for page in self.pages]
        self.model.step(Feed([5], [position], [address(self.table)], [0]))
        names = {place: name for name, place in self.model.native.address.items()}
        self.kernels = np.array([names[place] for place in self.model._program.code[:, KERNEL]])

    def everything(self, number: float, spread: bool = True) -> None:
        """Numbers near `number` wherever a kernel reads activations, keys or values."""
        chance = np.random.default_rng(1)
        m = self.memory
        for array in (m.x, m.normed, m.qkv, m.mixed, m.gated, m.inner, m.states, m.scales, m.sums, *self.pages):
            numbers = chance.standard_normal(array.size) if spread else np.ones(array.size)
            array[:] = (numbers * number).astype(np.float32).reshape(array.shape)

    def seconds(self, kernel: str) -> float:
        code = np.ascontiguousarray(self.model._program.code[self.kernels == kernel])
        assert code[:, CHUNKS].all()
        begin = time.perf_counter()
        self.model.pool.run(code)
        return time.perf_counter() - begin


def cases(bench: Bench) -> list[tuple[str, Callable[[], None], str]]:
    """Kernel, how its memory is made hostile, what that takes."""

    def all_but_one() -> None:
        bench.everything(TINY)
        for array in (bench.memory.x, bench.memory.mixed, bench.memory.gated):
            array[:, ::32] = 1.0

    def queries_and_keys() -> None:
        bench.everything(2.0**-68)

    def values() -> None:
        bench.everything(TINY)

    def gate() -> None:
        bench.everything(2.0**-20)
        bench.memory.gated[:, : bench.memory.inner.shape[1]] = -87.5

    matrices = sorted({k for k in bench.kernels if k not in ("norm", "rotate", "attention", "quantise", "gate")})
    rows = [(k, values, "weight scale x activation scale < 2^-126") for k in matrices]
    return [
        *rows,
        ("norm", all_but_one, "all but one number in 32 subnormal"),
        ("quantise", all_but_one, "all but one number in 32 subnormal"),
        ("rotate", values, "queries and keys subnormal"),
        ("attention", queries_and_keys, "queries and keys near 2^-68"),
        ("attention", values, "queries, keys and values subnormal"),
        ("gate", gate, "gate below -80, up near 2^-20"),
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default=store.DEFAULT)
    options.add_argument("--position", type=int, default=511)
    options.add_argument("--rounds", type=int, default=30)
    chosen = options.parse_args()
    bench = Bench(chosen.model, chosen.position)
    print(f"{chosen.model}, position {chosen.position}, one thread, {bench.model.recipe.dot}")
    print(f"{'kernel':10} {'ordinary':>9} {'subnormal':>9} {'ratio':>6}")
    for kernel, spoil, told in cases(bench):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(chosen.rounds):
            for found, make in zip(times, (lambda: bench.everything(1.0), spoil), strict=True):
                make()
                bench.seconds(kernel)
                make()
                found.append(bench.seconds(kernel) * 1e3)
        ordinary, slow = map(min, times)
        print(f"{kernel:10} {ordinary:9.3f} {slow:9.3f} {slow / ordinary:6.2f}  {told}")


if __name__ == "__main__":
    main()
