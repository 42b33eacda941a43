"""How much slower each kernel is on the least numbers that it can meet: milliseconds of one decode step, all layers.

    python bench/subnormals.py [--model NAME] [--position 511] [--rounds 30]

One thread, one token. Every kernel runs alone over all layers, on ordinary inputs and on hostile ones: what enters a
chain of products is as small as the kernels before leave it (ARI-6), all else is chosen so that nearly every float
operation takes or gives a subnormal number. The last column says how; the rounds alternate, the least time counts.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from steelyard.engines import store
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.interpreter import CHUNKS, KERNEL
from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned

SUBNORMAL = 2.0**-130
LEAST = 2.0**-40
"""What is smaller is 0 in a chain of products."""


class Bench:
    """A model behind `position` positions of ordinary keys and values."""

    def __init__(self, name: str, position: int) -> None:
        self.model: Model = models.load(models.open_file(store.find(name)), 1)
        self.memory = self.model._memory
        self.pages = [
            aligned((self.model.page_bytes // 4,), np.float32) for _ in range(position // self.model.recipe.page + 1)
        ]
        self.table = aligned((len(self.pages),), np.int64)
        self.table[:] = [address(page) for page in self.pages]
        self.model.step(Feed([5], [position], [address(self.table)], [0]))
        names = {place: name for name, place in self.model.native.address.items()}
        self.kernels = np.array([names[place] for place in self.model._program.code[:, KERNEL]])

    def everything(self, number: float) -> None:
        """Numbers near `number` wherever a kernel reads activations, keys or values; none in a chain below `LEAST`."""
        chance = np.random.default_rng(1)
        m = self.memory
        for array in (m.x, m.normed, m.qkv, m.mixed, m.gated, m.inner, m.states, m.scales, m.sums, *self.pages):
            numbers = chance.standard_normal(array.size)
            array[:] = (numbers * number).astype(np.float32).reshape(array.shape)
        for array in (m.normed, m.mixed, m.inner, m.states, *self.pages):
            array[abs(array) < LEAST] = 0
        for array in (m.scales, m.sums):
            array[abs(array) < LEAST / 127] = 0

    def seconds(self, kernel: str) -> float:
        code = np.ascontiguousarray(self.model._program.code[self.kernels == kernel])
        assert code[:, CHUNKS].all()
        begin = time.perf_counter()
        self.model.pool.run(code)
        return time.perf_counter() - begin


def cases(bench: Bench) -> list[tuple[str, Callable[[], None], str]]:
    """Kernel, how its memory is made hostile, what that takes."""

    def all_but_one() -> None:
        bench.everything(SUBNORMAL)
        bench.memory.x[:, ::32] = 1.0

    def subnormal() -> None:
        bench.everything(SUBNORMAL)

    def least() -> None:
        bench.everything(2 * LEAST)
        bench.memory.qkv[abs(bench.memory.qkv) < LEAST] = 0

    def blocks() -> None:
        bench.everything(LEAST / 64)

    def gate() -> None:
        bench.everything(2.0**-20)
        bench.memory.gated[:, : bench.memory.inner.shape[1]] = -86.5

    found = {str(kernel) for kernel in bench.kernels}
    rows: list[tuple[str, Callable[[], None], str]] = []
    for kind in sorted(found & FORMATS.keys()):
        plain = FORMATS[kind].plain
        rows.append(
            (
                kind,
                least if plain else blocks,
                "activations near 2^-40" if plain else "scales of activations near 2^-46",
            )
        )
    return [
        *rows,
        ("norm", all_but_one, "all but one number in 32 subnormal"),
        ("quantise", least, "numbers near 2^-40"),
        ("rotate", subnormal, "queries and keys subnormal"),
        ("attention", least, "queries, keys and values near 2^-40"),
        *((kernel, gate, "gate near -86, up near 2^-20") for kernel in sorted(found & {"silu", "gelu"})),
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
