"""Who is right: one claim against one engine.

Order of checks: what the records say by themselves (free), then the judge's own run (the price of an audit). The first
that fails is the verdict. Whatever goes wrong on our side is CannotTell: a judge that cannot run says nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steelyard.engines.base import Card, Engine, Job, Replay
from steelyard.protocol.errors import SteelyardError, Unavailable
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.records import Kind, Level, Order
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Outcome, Verdict
from steelyard.verification import checks
from steelyard.verification.claim import Claim, defect

log = logging.getLogger("steelyard.judge")

JobOf = Callable[[Order, Sequence[int], bytes], Job]
"""How a kind of work turns an order, its prompt and its grammar into a run (`work.generate.job_of`)."""

REPLAYED_KINDS = frozenset({int(Kind.GENERATE)})
REPLAYED_LEVELS = frozenset({int(Level.AUDITED), int(Level.DISPUTABLE), int(Level.QUORUM)})


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what a vote says of the run behind it."""

    verdict: Verdict
    opened: bool
    """False if the package does not open what the provider signed; the verdict is then CannotTell."""
    evidence_root: bytes = ZERO32
    """Of the judge's own run, salted as the receipt's; zeros if nothing was run. 32 bytes."""
    states: bytes = field(default=b"", repr=False)
    """`Replay.states` of the judge's own run; empty if nothing was run."""

    unheard: bool = False
    """True if only the provider's word on which cancel it obeyed is missing (`checks.early`)."""

    @property
    def outcome(self) -> Outcome:
        """As a vote names it: a package that opens nothing is NOT_OPENED, whatever else."""
        return self.verdict.outcome if self.opened else Outcome.NOT_OPENED


def judge(claim: Claim, engine: Engine, job_of: JobOf) -> Judgement:
    """Judges a claim by replay on `engine`. Raises nothing: a failure of the engine is CannotTell with its reason."""
    flaw = defect(claim)
    if flaw is not None:
        return Judgement(CannotTell(f"not opened: {flaw}"), opened=False)
    card = engine.card
    reason = _unable(claim, card)
    if reason is not None:
        return Judgement(CannotTell(reason), opened=True)
    by_records = (
        checks.model_root(claim)
        or checks.repeats_prefix(claim)
        or checks.known_units(claim, card)
        or checks.overrun(claim, card.ends)
    )
    if by_records is not None:
        return Judgement(by_records, opened=True)
    return _by_run(claim, engine, job_of)


def _unable(claim: Claim, card: Card) -> str | None:
    order = claim.order
    if order.kind not in REPLAYED_KINDS:
        return f"kind {order.kind} is not judged by replay"
    if order.level not in REPLAYED_LEVELS:
        return f"level {order.level} promises nothing that a replay could check"
    if not card.canonical:
        return f"own engine {card.name} is not canonical"
    if card.model_root != claim.model_root:
        return f"own engine holds 0x{card.model_root.hex()}, the order's registration is 0x{claim.model_root.hex()}"
    if any(unit >= card.vocabulary for unit in claim.prompt[: order.answer_from]):
        return f"the buyer's prompt holds ids beyond the vocabulary of {card.vocabulary}"
    return None


def _by_run(claim: Claim, engine: Engine, job_of: JobOf) -> Judgement:
    """Runs, compares, and runs again before it accuses: a machine that disagrees with itself has no evidence."""
    try:
        job = job_of(claim.order, claim.prompt, claim.grammar)
        run = _replay(engine, job, claim.generated)
        verdict: Verdict = (
            checks.prefix(claim, run)
            or checks.sampling(claim, run)
            or checks.evidence(claim, run)
            or checks.logprobs(claim, run)
            or checks.early(claim, engine.card.ends)
            or Honest()
        )
        if isinstance(verdict, Cheated) and _replay(engine, job, claim.generated) != run:
            return Judgement(CannotTell("own engine gave two different runs of one answer"), opened=True)
    except SteelyardError as error:
        return Judgement(CannotTell(f"own engine: {error}"), opened=True)
    except Exception as error:  # the port is others' code: whatever it raises is a failure of ours
        log.exception("own engine failed")  # its text may tell what is nobody's business: a verdict travels
        return Judgement(CannotTell(f"own engine failed: {type(error).__name__}"), opened=True)
    own = checks.own_evidence_root(claim, run)
    return Judgement(verdict, True, own, run.states, unheard=isinstance(verdict, CannotTell))


def _replay(engine: Engine, job: Job, answer: tuple[int, ...]) -> Replay:
    run = engine.replay(job, answer)
    if not len(run.expected) == len(run.leaves) == len(answer):
        raise Unavailable("engine.run", f"{len(run.expected)} ids, {len(run.leaves)} leaves for {len(answer)} units")
    return run
