"""Tokens per second of the canonical engine beside llama.cpp's, the same file and threads, taken in turns.

    python bench/engine.py [--json FILE] [--model NAME|FILE ...] [--threads 1 2] [--rounds 5] [--tokens 48]
                           [--prompt 256]

A round measures one of them, then the other, so that a busy machine hurts both; the ratio is taken within a round, and
its median and range over the rounds are printed. Decode: one token at a time, greedy, behind a prompt of 32. Prefill:
the prompt in one call each way. Models must have been pulled; those that are missing are named and left out.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from steelyard.engines import llama_c, store
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.model import Feed
from steelyard.engines.canonical.program import address, aligned
from steelyard.protocol.errors import Refused

BEHIND = 32
CONTEXT = 2048


class Ours:
    """The canonical engine's model, driven as its scheduler drives it."""

    def __init__(self, file: Path, threads: int) -> None:
        self._model = models.load(models.open_file(file), threads)
        pages = CONTEXT // self._model.recipe.page
        self._pages = [aligned((self._model.page_bytes,), np.uint8) for _ in range(pages)]
        self._table = np.array([address(page) for page in self._pages], np.int64)

    def feed(self, ids: list[int], at: int) -> int:
        """Ids for positions from `at` on; the greatest logit's id behind the last."""
        for begin in range(0, len(ids), self._model.tokens):
            some = ids[begin : begin + self._model.tokens]
            positions = list(range(at + begin, at + begin + len(some)))
            wanted = [len(some) - 1] if begin + len(some) == len(ids) else []
            _, logits = self._model.step(Feed(some, positions, [address(self._table)] * len(some), wanted))
        return int(logits[0].argmax())

    def begin(self) -> None:
        """Nothing to forget: positions are overwritten."""

    def close(self) -> None:
        self._model.close()


class Theirs:
    """llama.cpp through the xllamacpp wheel's library."""

    def __init__(self, file: Path, threads: int) -> None:
        self._model = llama_c.Model(file)
        self._run = self._model.run(CONTEXT, threads)

    def feed(self, ids: list[int], _at: int) -> int:
        for begin in range(0, len(ids), llama_c.PROMPT_BATCH):
            self._run.feed(ids[begin : begin + llama_c.PROMPT_BATCH])
        return self._run.sample()

    def begin(self) -> None:
        self._run.begin(0.0, 0, 1.0, 0)

    def close(self) -> None:
        self._run.free()
        self._model.free()


def decode(engine: Ours | Theirs, count: int) -> float:
    """Tokens per second."""
    engine.begin()
    unit = engine.feed(list(range(100, 100 + BEHIND)), 0)
    start = time.perf_counter()
    for at in range(count):
        unit = engine.feed([unit], BEHIND + at)
    return count / (time.perf_counter() - start)


def prefill(engine: Ours | Theirs, count: int) -> float:
    """Tokens per second."""
    engine.begin()
    start = time.perf_counter()
    engine.feed(list(range(100, 100 + count)), 0)
    return count / (time.perf_counter() - start)


def measure(name: str, threads: int, options: argparse.Namespace) -> list[dict[str, object]]:
    """One row for each phase."""
    ours, theirs = Ours(store.find(name), threads), Theirs(store.find(name), threads)
    phases: dict[str, tuple[Callable[[Ours | Theirs, int], float], int]] = {
        "decode": (decode, options.tokens),
        "prefill": (prefill, options.prompt),
    }
    rows = []
    for phase, (run, count) in phases.items():
        run(ours, count)
        run(theirs, count)  # the first time of each is not counted
        pairs = [(run(ours, count), run(theirs, count)) for _ in range(options.rounds)]
        ratios = sorted(a / b for a, b in pairs)
        rows.append(
            {
                "model": name,
                "threads": threads,
                "phase": phase,
                "ours": round(statistics.median(a for a, _ in pairs), 1),
                "peer": round(statistics.median(b for _, b in pairs), 1),
                "ratio": round(statistics.median(ratios), 2),
                "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
            }
        )
    ours.close()
    theirs.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--model", nargs="+", default=list(store.MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--prompt", type=int, default=256)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    print(f"{'model':30} {'threads':>7} {'phase':8} {'ours':>8} {'peer':>8} {'ratio':>6}  spread")
    for name in options.model:
        for threads in options.threads:
            try:
                found = measure(name, threads, options)
            except Refused as refusal:
                print(refusal, file=sys.stderr)
                continue
            for row in found:
                spread = "{} to {}".format(*row["spread"])  # type: ignore[misc]  # a pair
                print(
                    f"{name:30} {threads:7} {row['phase']:8}"
                    f" {row['ours']:8} {row['peer']:8} {row['ratio']:6}  {spread}",
                    flush=True,
                )
            rows += found
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
