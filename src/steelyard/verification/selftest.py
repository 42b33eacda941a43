"""Whether our own engine may judge anybody: it must agree with itself, sampled and forced, before it is asked."""

from steelyard.engines.base import Engine, Job
from steelyard.protocol.errors import SteelyardError

ONE = 0x3F800000  # binary32 bits of 1.0
UNITS = 8


def self_test(engine: Engine, prompt: tuple[int, ...] = (0, 1, 2)) -> str | None:
    """None if a short answer and its replay agree on ids, evidence and (twice) states; else the reason, in words. An
    engine that fails answers CannotTell to everything."""
    for temperature in (0, ONE):
        job = Job(prompt, len(prompt), UNITS, temperature, ONE, 0, seed=7)
        try:
            steps = list(engine.generate(job))
            ids = [step.id for step in steps]
            first, second = engine.replay(job, ids), engine.replay(job, ids)
        except SteelyardError as error:
            return f"self-test: {error}"
        except Exception as error:  # noqa: BLE001  the port is others' code: whatever it raises is a failure of ours
            return f"self-test: {type(error).__name__}: {error!s:.200}"
        if not ids or list(first.expected) != ids or list(first.leaves) != [step.leaf for step in steps]:
            return f"self-test: {len(ids)} units at temperature bits {temperature:#x} differ between run and replay"
        if first != second:
            return "self-test: two replays of one answer differ"
    return None
