"""`steelyard bench engine`: the canonical engine beside llama.cpp, the same file and threads, taken in turns.

A round measures ours, then the peer, so that a busy machine hurts both; the ratio ours/peer is taken within a round,
and its median and range over the rounds are reported. A round before them is not counted. Some phases have ourselves as
the peer: what they compare stands beside them in `PHASES`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import platformdirs

from steelyard.devnet.bench.child import Child, Task
from steelyard.devnet.bench.sides import SEQUENCES, Bare, Ours, Peer, Side, ids_of
from steelyard.engines import store
from steelyard.protocol.errors import Refused, SteelyardError


@dataclass(frozen=True, slots=True)
class Size:
    """How much a round does."""

    rounds: int = 5
    ids: int = 48
    """Generated behind the first one."""
    prompt: int = 256
    """Ids of a long prompt."""
    behind: int = 32
    """Ids of a short prompt, behind which is decoded."""
    seconds: float = 3.0
    """For which processes contend."""


FAST: Final = Size(rounds=1, ids=4, prompt=16, behind=4, seconds=0.1)


@dataclass(frozen=True, slots=True)
class Row:
    """One phase of one model; JSON of `--json` is a list of these."""

    model: str
    threads: int
    phase: str
    ours: float
    """Median, in `unit`."""
    peer: float | None
    """Median, in `unit`; None where llama.cpp was left out."""
    ratio: float | None
    """Median over the rounds of ours/peer."""
    spread: tuple[float, float] | None
    """Least and greatest ratio of a round."""
    unit: str
    better: str
    """`higher` or `lower`: which ratio is good for us."""


class Bench:
    """One model at one number of threads. Sides are loaded when a phase first needs them."""

    def __init__(self, file: Path, threads: int, size: Size, with_peer: bool) -> None:
        self.file, self.threads, self.size, self.with_peer = file, threads, size, with_peer
        self._opened: dict[str, Side] = {}
        self._bare: Bare | None = None
        self._seed = 0

    @property
    def sides(self) -> tuple[str, ...]:
        return ("ours", "peer") if self.with_peer else ("ours",)

    def run(self, side: str, prompts: int, length: int, ids: int) -> tuple[float, float]:
        """Seconds of fresh prompts on a side in this process: until the first ids, for the rest."""
        if side not in self._opened:
            self._opened[side] = Ours(self.file, self.threads) if side == "ours" else Peer(self.file, self.threads)
        first = self._seed
        self._seed += prompts
        took = self._opened[side].run([ids_of(self.file, first + at, length) for at in range(prompts)], ids)
        return took.first, took.rest

    def evidence(self) -> tuple[float, float]:
        """Ids a second with and without evidence."""
        self._bare = self._bare or Bare(self.file, self.threads)
        with_it, without = self._bare.evidence(self.size.ids)
        return 1 / with_it, 1 / without

    def child(self, side: str, environment: Mapping[str, str] | None = None) -> Child:
        return Child(side, self.file, self.threads, environment)

    def close(self) -> None:
        for side in self._opened.values():
            side.close()
        if self._bare is not None:
            self._bare.close()


Pair = tuple[float, float | None]


def _sides(measure: Callable[[Bench, str], float]) -> Callable[[Bench], Pair]:
    """A phase that does the same on either side."""

    def both(bench: Bench) -> Pair:
        found = [measure(bench, side) for side in bench.sides]
        return found[0], found[1] if len(found) > 1 else None

    return both


def _decode(bench: Bench, side: str) -> float:
    return bench.size.ids / bench.run(side, 1, bench.size.behind, bench.size.ids)[1]


def _prefill(bench: Bench, side: str) -> float:
    return bench.size.prompt / _first(bench, side)


def _first(bench: Bench, side: str) -> float:
    return bench.run(side, 1, bench.size.prompt, 0)[0]


def _batch(bench: Bench, side: str) -> float:
    return SEQUENCES * bench.size.ids / bench.run(side, SEQUENCES, bench.size.behind, bench.size.ids)[1]


def _load(bench: Bench, side: str) -> float:
    with closing(bench.child(side)) as child:
        return child.load


def _compilation(bench: Bench, side: str) -> float:
    return _load_with(bench, side, "packed")


def _first_load(bench: Bench, side: str) -> float:
    return _load_with(bench, side)


def _load_with(bench: Bench, side: str, *kept: str) -> float:
    """Seconds of a load that finds only the folders `kept` of the user's cache."""
    with tempfile.TemporaryDirectory() as place:
        cache = Path(place) / "steelyard"
        cache.mkdir()
        for folder in kept:
            (cache / folder).symlink_to(platformdirs.user_cache_path("steelyard") / folder)
        with closing(bench.child(side, {**os.environ, "HOME": place, "XDG_CACHE_HOME": place})) as child:
            return child.load


def _memory(bench: Bench, side: str) -> float:
    with closing(bench.child(side)) as child:
        child.ask(Task(prompt=bench.size.prompt, ids=min(32, bench.size.ids), seconds=0))
        return child.answer()["peak"] / 2**20


def _contended(bench: Bench, side: str) -> float:
    """What two processes decode together, in parts of what one decodes alone."""
    task = Task(prompt=bench.size.behind, ids=bench.size.ids, seconds=bench.size.seconds)
    with ExitStack() as stack:
        two = [stack.enter_context(closing(bench.child(side))) for _ in range(2)]
        two[0].ask(task)
        alone = two[0].answer()["rate"]
        for child in two:
            child.ask(task)
        return sum(child.answer()["rate"] for child in two) / alone


@dataclass(frozen=True, slots=True)
class Phase:
    """What is measured, how, and which way is good."""

    unit: str
    better: str
    about: str
    measure: Callable[[Bench], Pair]
    threads_matter: bool = True


PHASES: Final[dict[str, Phase]] = {
    "decode": Phase("ids/s", "higher", "one answer behind a short prompt", _sides(_decode)),
    "prefill": Phase("ids/s", "higher", "a long prompt", _sides(_prefill)),
    "ttft": Phase("s", "lower", "a long prompt until the first id", _sides(_first)),
    "batch8": Phase("ids/s", "higher", "eight answers together", _sides(_batch)),
    "batch8-over-one": Phase(
        "ids/s", "higher", "eight answers of ours beside one of ours", lambda b: (_batch(b, "ours"), _decode(b, "ours"))
    ),
    "evidence": Phase("ids/s", "higher", "ours with evidence beside the same ids without", Bench.evidence),
    "load": Phase("s", "lower", "a fresh process, caches filled, imports included", _sides(_load), False),
    "compilation": Phase("s", "lower", "a load that compiles its kernels", _sides(_compilation), False),
    "first-load": Phase("s", "lower", "a load that compiles its kernels and packs weights", _sides(_first_load), False),
    "memory": Phase("MiB", "lower", "peak of a fresh process with a long prompt and 32 ids", _sides(_memory), False),
    "contended": Phase("of one", "higher", "two processes together, in parts of one alone", _sides(_contended)),
}


def row(name: str, threads: int, phase: str, pairs: Sequence[Pair]) -> Row:
    """A phase's rounds as a row, four digits each."""
    ratios = [ours / peer for ours, peer in pairs if peer is not None]
    peers = [peer for _, peer in pairs if peer is not None]
    return Row(
        model=name,
        threads=threads,
        phase=phase,
        ours=_short(median(ours for ours, _ in pairs)),
        peer=_short(median(peers)) if peers else None,
        ratio=_short(median(ratios)) if ratios else None,
        spread=(_short(min(ratios)), _short(max(ratios))) if ratios else None,
        unit=PHASES[phase].unit,
        better=PHASES[phase].better,
    )


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def measure(
    models: Sequence[str],
    threads: Sequence[int],
    phases: Sequence[str],
    size: Size,
    tell: Callable[[str], None],
    left_out: Callable[[str], None],
) -> Iterator[Row]:
    """Rows as they are found.

    Args:
        models: names in the store, or paths of GGUF files.
        tell: called with what is being measured.
        left_out: called with what cannot be measured, and why.

    Raises Refused: `bench.phase`, `bench.number`; Unavailable("bench.child")."""
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown:
        raise Refused("bench.phase", f"{unknown[0][:40]!r} is none of {list(PHASES)}")
    if min(*threads, size.rounds) < 1:
        raise Refused("bench.number", f"threads {list(threads)}, rounds {size.rounds}: at least 1 each")
    for model in models:
        try:
            file = store.find(model)
            Ours(file, 1).close()
        except SteelyardError as error:
            left_out(f"{model}: {error.rule}: {error.detail}")
            continue
        with_peer = _peer_takes(file, left_out)
        for number in threads:
            with closing(Bench(file, number, size, with_peer)) as bench:
                for phase in phases:
                    if PHASES[phase].threads_matter or number == threads[0]:
                        yield row(file.stem, number, phase, list(_rounds(bench, phase, tell)))


def _rounds(bench: Bench, phase: str, tell: Callable[[str], None]) -> Iterator[Pair]:
    for number in range(bench.size.rounds + 1):
        said = f"round {number} of {bench.size.rounds}" if number else "warming up"
        tell(f"{bench.file.stem}, threads {bench.threads}, {phase}: {said}")
        pair = PHASES[phase].measure(bench)
        if number:
            yield pair


def _peer_takes(file: Path, left_out: Callable[[str], None]) -> bool:
    try:
        Peer(file, 1).close()
    except SteelyardError as error:
        left_out(f"llama.cpp for {file.stem}: {error.rule}: {error.detail}")
        return False
    return True
