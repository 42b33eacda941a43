"""The auditor's own engines: loaded from its own store, tested before they judge, one replay at a time."""

import contextlib
import logging
import threading
from collections.abc import Iterable

from steelyard.engines.base import Card, Engine, Replay
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.verdicts import CannotTell
from steelyard.verification.claim import Claim, defect
from steelyard.verification.holding import Hold, Holds
from steelyard.verification.judge import Judgement
from steelyard.verification.selftest import self_test
from steelyard.work import generate
from steelyard.work.disputes import Runs

log = logging.getLogger("steelyard.auditor")


class Bench:
    """Engines by model root. An engine that fails its self-test is put aside: what it cannot judge is CannotTell."""

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._engines: dict[bytes, Engine] = {}
        self.failed: dict[bytes, str] = {}
        """Model root -> why the engine was put aside."""
        self._runs: dict[bytes, Runs] = {}
        self._replay = threading.Lock()
        self._audits = threading.Lock()
        """Audits queue here first, so that a juror, whose time is short, waits for one of them at most."""
        for engine in engines:
            reason = self_test(engine)
            if reason is None:
                self._engines[engine.card.model_root] = engine
            else:
                self.failed[engine.card.model_root] = reason
                log.error("%s cannot judge: %s", engine.card.name, reason)

    @property
    def names(self) -> list[str]:
        """Names of the models that can be judged."""
        return sorted(engine.card.name for engine in self._engines.values())

    def judge(self, claim: Claim, *, seated: bool = False) -> Judgement:
        """Blocks for a replay, and for those before it; `seated`: for a jury. Raises nothing."""
        engine = self._engines.get(claim.model_root)
        if engine is None:
            flaw = defect(claim)  # that a package opens nothing can be told without an engine
            reason = self.failed.get(claim.model_root, f"no engine for model 0x{claim.model_root.hex()}")
            return Judgement(CannotTell(f"not opened: {flaw}" if flaw else reason), opened=flaw is None)
        with contextlib.nullcontext() if seated else self._audits, self._replay:
            return generate.judge(claim, engine)

    # -- for games: claims that were judged here ------------------------------------------------------------------

    def holds(self, model_root: bytes) -> bool:
        """True if a run of this model can be shown value by value."""
        return isinstance(self._engines.get(model_root), Holds)

    def card(self, claim: Claim) -> Card:
        """Of the claim's model. Raises Unavailable("bench.model")."""
        return self._engine(claim).card

    def replay(self, claim: Claim) -> Replay:
        """Our own run over a claim's answer. Raises as `card`, and what the engine raises."""
        engine = self._engine(claim)
        with self._audits, self._replay:
            return engine.replay(generate.job_of(claim.order, claim.prompt, claim.grammar), claim.generated)

    def hold(self, claim: Claim) -> Hold:
        """That run, value by value. Raises as `card`, and Refused("engine.holding")."""
        runs = self._runs.setdefault(claim.model_root, Runs(self._engine(claim)))
        return runs.hold((*claim.prompt, *claim.generated), claim.order.answer_from)

    def _engine(self, claim: Claim) -> Engine:
        engine = self._engines.get(claim.model_root)
        if engine is None:
            raise Unavailable("bench.model", f"no engine for model 0x{claim.model_root.hex()}")
        return engine

    def close(self) -> None:
        """Frees the engines."""
        for runs in self._runs.values():
            runs.close()
        for engine in self._engines.values():
            engine.close()
