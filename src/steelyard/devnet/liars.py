"""Named liars, each behind a port that honest code has anyway: an engine's, or one step of the provider's desk.

Nothing that detects them reads these names: a test gives them each other's and sees the same verdicts.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steelyard.engines.base import Card, Engine, Job, Replay, Step, Text
from steelyard.nodes.provider.node import Answer, Provider
from steelyard.protocol.records import Order, Receipt
from steelyard.wire.messages import AuditPackage, Frame, OrderRequest, sign_record


class Masked:
    """An engine that shows another engine's card."""

    def __init__(self, shown: Card, inner: Engine) -> None:
        self.card, self.inner = shown, inner

    def generate(self, job: Job) -> Iterator[Step]:
        """The inner engine's run."""
        return self.inner.generate(job)

    def replay(self, job: Job, answer: Sequence[int]) -> Replay:
        """The inner engine's."""
        return self.inner.replay(job, answer)

    def close(self) -> None:
        """Closes the inner engine."""
        self.inner.close()


class PromptSwapped(Masked):
    """Runs another prompt than the one it was paid for: the first part is gone, as a provider does to save prefill."""

    def generate(self, job: Job) -> Iterator[Step]:
        """The inner engine's run on the last three quarters of the prompt."""
        kept = job.prompt[len(job.prompt) // 4 :]
        return self.inner.generate(replace(job, prompt=kept, answer_from=len(kept)))


class Canned(Masked):
    """Says one sentence to everybody, with evidence made up on the spot."""

    def __init__(self, inner: Engine, sentence: Sequence[int]) -> None:
        super().__init__(inner.card, inner)
        self.sentence = tuple(sentence)

    def generate(self, job: Job) -> Iterator[Step]:
        """The sentence, then an end."""
        ids = (*self.sentence, min(self.card.ends))[: job.max_units]
        return iter([Step(unit, hashlib.sha256(b"made up %d" % at).digest()) for at, unit in enumerate(ids)])


class CutStream(Provider):
    """Hangs up in the middle, without a receipt."""

    async def take(self, request: OrderRequest) -> AsyncIterator[Frame]:
        """The first frames only."""
        return self._half(await super().take(request), max(1, request.order.record["max_units"] // 8))  # type: ignore[operator]  # an integer by its record

    async def _half(self, frames: AsyncIterator[Frame], most: int) -> AsyncIterator[Frame]:
        sent = 0
        async for frame in frames:
            if frame.receipt is not None or sent >= most:
                return
            sent += len(frame.units)
            yield frame


class InflatedCount(Provider):
    """Stops at half of what was ordered, commits to all of it, and would be paid for that."""

    def steps(self, order: Order, prompt: Sequence[int], grammar: bytes) -> Iterator[Step]:
        """The first half."""
        return itertools.islice(super().steps(order, prompt, grammar), max(1, order.max_units // 2))

    def answer_of(self, order: Order, prompt: Sequence[int], answer: Answer) -> Sequence[int]:
        """Padded to the ordered length."""
        said = super().answer_of(order, prompt, answer)
        return (*said, *([0] * (order.max_units - len(answer.units))))


class TwoReceipts(Provider):
    """Signs a second, different receipt for an order: one for the buyer, one for whoever audits."""

    def package(self, body: dict[str, Any]) -> AuditPackage:
        """The auditor's copy carries the other receipt."""
        honest = super().package(body)
        shown = Receipt.from_json(honest.receipt.record)
        other = replace(shown, evidence_root=hashlib.sha256(shown.evidence_root).digest())
        signature = self.key.sign(other.digest(self.ledger.domain))
        return AuditPackage(
            **{name: getattr(honest, name) for name in honest.__struct_fields__ if name != "receipt"},
            receipt=sign_record(other, signature),
        )


EngineLie = Callable[[Engine, Text, Engine | None], Engine]
"""(the model that is sold, its text, a cheaper model) -> what runs."""


@dataclass(frozen=True, slots=True)
class Liar:
    """One kind of liar."""

    name: str
    story: str
    """What it does, for people."""
    desk: type[Provider] = Provider
    engine: EngineLie = lambda honest, _text, _cheap: honest
    needs_cheap: bool = False


def _cheaper(honest: Engine, _text: Text, cheap: Engine | None) -> Engine:
    assert cheap is not None
    return Masked(honest.card, cheap)


def _canned(honest: Engine, text: Text, _cheap: Engine | None) -> Engine:
    return Canned(honest, text.encode("That is a very good question, and I am happy to help you with it."))


LIARS = {
    liar.name: liar
    for liar in (
        Liar("lower-bits", "sells lower-bit weights as the real ones", engine=_cheaper, needs_cheap=True),
        Liar("prompt-swapped", "runs a shortened prompt", engine=lambda e, _t, _c: PromptSwapped(e.card, e)),
        Liar("canned", "says one sentence to everybody", engine=_canned),
        Liar("cut-stream", "hangs up in mid-answer", desk=CutStream),
        Liar("inflated-count", "commits to more units than it delivered", desk=InflatedCount),
        Liar("two-receipts", "signs two receipts for one order", desk=TwoReceipts),
    )
}
