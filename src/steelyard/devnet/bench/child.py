"""One side in a fresh process: `python -m steelyard.devnet.bench.child SIDE FILE THREADS`, driven by `Child`.

It says a line when it has loaded, then answers each line of its input (a `Task`) with a line, until the input ends. The
clock begins before anything heavy is imported: whoever starts a provider waits for that too.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, TypedDict

from steelyard.protocol.errors import Unavailable


class Task(TypedDict):
    """What a child is asked to do."""

    prompt: int
    """Ids of each prompt."""
    ids: int
    """Ids behind each answer's first."""
    seconds: float
    """Answers follow each other for so long; there is one at least."""


class Done(TypedDict):
    """What it says of itself."""

    rate: float
    """Ids a second behind the first ones."""
    peak: int
    """Most bytes that were resident since the process began."""


class Child:
    """The process as its parent sees it. Raises Unavailable("bench.child") if it dies."""

    def __init__(self, side: str, file: Path, threads: int, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", __name__, side, str(file), str(threads)]
        pipe, given = subprocess.PIPE, environment and dict(environment)
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=given
        )
        self.load: float = self._said()["load"]
        """Seconds from the process's first line to a loaded model."""

    def ask(self, task: Task) -> None:
        """Begins; `answer` waits for the end, so that several children can work at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Done:
        """Waits for what was asked."""
        done: Done = self._said()
        return done

    def _said(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, told = self._process.communicate()
            raise Unavailable("bench.child", f"a process that was measured ended: {told[-300:]}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process, waits for it."""
        self._process.communicate()


def peak() -> int:
    """Most bytes resident so far. Linux's ru_maxrss begins with the parent's, so the kernel's other count is read."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
    import resource  # only where there is no /proc, such as macOS, whose unit is bytes

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _say(what: Mapping[str, float]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _main(begin: float, name: str, file: Path, threads: int) -> None:
    from steelyard.devnet.bench.sides import SIDES, ids_of

    side = SIDES[name](file, threads)
    _say({"load": perf_counter() - begin})
    for line in sys.stdin:
        task: Task = json.loads(line)
        prompt = ids_of(file, 0, task["prompt"])
        until, spent, ids = perf_counter() + task["seconds"], 0.0, 0
        while not ids or perf_counter() < until:
            spent += side.run([prompt], task["ids"]).rest
            ids += task["ids"]
        _say({"rate": ids / spent, "peak": peak()})
    side.close()


if __name__ == "__main__":
    _main(perf_counter(), sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
