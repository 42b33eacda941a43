"""What an audit costs: seconds of a teacher-forced replay beside seconds of the generation that it checks.

    python bench/replay.py [--rounds 9] [--units 64] [--prompt 43] [--threads 1]

Each round takes another random prompt, generates and replays it on the same engine, which keeps nothing between runs
(an auditor's has not seen the prompt), and compares the evidence. Medians over the rounds.
"""

import argparse
from dataclasses import replace
from statistics import median
from time import perf_counter

from steelyard.devnet.bench.sides import ids_of
from steelyard.engines import store
from steelyard.engines.base import Job
from steelyard.engines.canonical.engine import CanonicalEngine

MODEL = "smollm2-135m-instruct-q4_1"
ONE = 0x3F800000  # binary32 bits of 1.0


def main() -> None:
    """Measures and prints."""
    told = argparse.ArgumentParser()
    for name, usual in (("rounds", 9), ("units", 64), ("prompt", 43), ("threads", 1)):
        told.add_argument(f"--{name}", type=int, default=usual)
    o = told.parse_args()
    file = store.path(MODEL)
    engine = CanonicalEngine(file, MODEL, o.threads, prefix_cache=False)
    engine.card = replace(engine.card, ends=frozenset())  # answers of the full length
    took: list[tuple[float, float]] = []
    for seed in range(o.rounds + 1):
        prompt = ids_of(file, seed, o.prompt)
        job = Job(prompt, len(prompt), o.units, ONE, ONE, 0, seed)
        begin = perf_counter()
        steps = list(engine.generate(job))
        made = perf_counter()
        replayed = engine.replay(job, [step.id for step in steps])
        took.append((made - begin, perf_counter() - made))
        assert replayed.leaves == tuple(step.leaf for step in steps), "not bit-exact"
    engine.close()
    took = took[1:]  # the first one warms up
    generation, replay = (median(column) for column in zip(*took, strict=True))
    ratios = sorted(replay / generation for generation, replay in took)
    print(f"{MODEL}, prompt {o.prompt}, {o.units} units, threads {o.threads}, {len(took)} rounds:")
    print(f"generation {generation * 1e3:.0f} ms, replay {replay * 1e3:.0f} ms, ratio {median(ratios):.3f}", end=" ")
    print(f"({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
