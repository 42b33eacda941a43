"""Prints each file's evidence, a line each: SHA-256 over ids and leaves of fixed jobs. Run under other processors.

python tests/evidence_of.py CACHE FILE…
python tests/evidence_of.py                 what kernels are compiled for there, as JSON
"""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

from steelyard.engines.base import Job
from steelyard.engines.canonical import native
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.recipe import Recipe
from steelyard.protocol.hashing import sha256

ONE = 0x3F800000
JOBS = [
    Job(tuple(random.Random(n).choices(range(100), k=3 + 17 * n)), 3 + 17 * n, 6, ONE, top_p, 0, 2**63 + n)
    for n, top_p in enumerate((ONE, 0x3F666666))
]


def recipe() -> Recipe:
    """What is compiled. Two tile widths, since LLVM takes its time."""
    return replace(native.recipe_here(32, 2), tiles=(2, 8))


def evidence(path: Path, cache: Path) -> str:
    """By two threads, then again by teacher forcing, which must agree."""
    engine = CanonicalEngine(path, "tiny", threads=2, cache=cache, recipe=recipe())
    parts = []
    for job in JOBS:
        steps = list(engine.generate(job))
        replay = engine.replay(job, [step.id for step in steps])
        assert replay.leaves == tuple(step.leaf for step in steps)
        parts += [part for step in steps for part in (step.id.to_bytes(4, "little"), step.leaf)]
    engine.close()
    return sha256(*parts).hex()


if __name__ == "__main__" and len(sys.argv) == 1:
    sys.stdout.write(json.dumps({"cpu": native.host()[0], "features": native.host()[1], "recipe": repr(recipe())}))
elif __name__ == "__main__":
    lines = [native.host()[0], *(evidence(Path(name), Path(sys.argv[1])) for name in sys.argv[2:])]
    sys.stdout.write("\n".join(lines))
