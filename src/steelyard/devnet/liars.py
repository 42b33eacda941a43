"""Named liars, each behind a port that honest code has anyway: an engine's, or one step of the provider's desk.

Nothing that detects them reads these names: a test gives them each other's and sees the same verdicts.
"""

import hashlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from steelyard.engines.base import Card, Engine, Job, Replay, Step, Text, leaf
from steelyard.engines.draws import ONE_BITS
from steelyard.engines.ir.leaves import decode
from steelyard.engines.ir.patched import Patched
from steelyard.nodes.provider.node import Provider
from steelyard.protocol.facts import Facts
from steelyard.protocol.records import Receipt
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

    def holding(self, ids: Sequence[int], answer_from: int) -> AbstractContextManager[Any]:
        """The inner engine's."""
        return self.inner.holding(ids, answer_from)  # type: ignore[attr-defined,no-any-return]  # canonical engines have it

    def close(self) -> None:
        """Closes the inner engine."""
        self.inner.close()


class PromptSwapped(Masked):
    """Runs another prompt than the one it was paid for: the first part is gone, as a provider does to save prefill."""

    def generate(self, job: Job) -> Iterator[Step]:
        """The inner engine's run on the last three quarters of the prompt."""
        kept = job.prompt[len(job.prompt) // 4 :]
        return self.inner.generate(replace(job, prompt=kept, answer_from=len(kept)))


class Unfiltered(Masked):
    """Draws among all ids, whatever top-k and top-p say: its answers are lies where what they leave out was drawn."""

    def generate(self, job: Job) -> Iterator[Step]:
        """The inner engine's run without filters."""
        return self.inner.generate(replace(job, top_k=0, top_p=ONE_BITS))


class Canned(Masked):
    """Says one sentence to everybody, with evidence made up on the spot."""

    def __init__(self, inner: Engine, sentence: Sequence[int]) -> None:
        super().__init__(inner.card, inner)
        self.sentence = tuple(sentence)

    def generate(self, job: Job) -> Iterator[Step]:
        """The sentence, then an end."""
        ids = (*self.sentence, min(self.card.ends))[: job.max_units]
        return iter([Step(unit, hashlib.sha256(b"made up %d" % at).digest()) for at, unit in enumerate(ids)])


class FlippedBit(Masked):
    """One bit of one number in the middle of its run is another than the model's, and one of the state that its first
    unit's evidence is made of; in a dispute it stands by both."""

    def generate(self, job: Job) -> Iterator[Step]:
        """The inner engine's run, with other evidence for its first unit."""
        steps = self.inner.generate(job)
        first = next(steps)
        with self.holding(job.prompt, job.answer_from) as lying:
            facts = Facts.read(lying.facts())
            state, logits = (lying.value(len(job.prompt) - 1, node) for node in (facts.state, facts.logits))
        yield replace(first, leaf=leaf(state, struct.unpack_from("<f", logits, 4 * first.id)[0]))
        yield from steps

    @contextmanager
    def holding(self, ids: Sequence[int], answer_from: int) -> Iterator[Any]:
        """The inner engine's, with the two bits."""
        with super().holding(ids, answer_from) as honest:
            last = len(ids) - 1
            places = [self.place(honest, last), (last, Facts.read(honest.facts()).state, 0)]
            yield Patched(honest, {place: word_at(honest, place) ^ 1 << FLIPPED for place in places})

    def place(self, honest: Any, last: int) -> tuple[int, int, int]:
        """Position, node, element: half way to the last unit, of the sum that stands nearest to the graph's middle."""
        nodes, position = Facts.read(honest.facts()).nodes, last // 2
        sums = (node for node in range(nodes) if is_sum(honest.node_leaf(node)))
        node = min(sums, key=lambda node: abs(node - nodes // 2))
        return position, node, len(honest.value(position, node)) // 8


def is_sum(raw: bytes) -> bool:
    """True for a leaf of a node that is one chain of sums."""
    node = decode(raw).node
    return bool(node.fold) and node.lanes == 1


FLIPPED = 20  # of a binary32: in the significand, so that nothing becomes infinite


def word_at(held: Any, place: tuple[int, int, int]) -> int:
    """The word of an element."""
    position, node, element = place
    found: int = struct.unpack_from("<I", held.value(position, node), 4 * element)[0]
    return found


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
    """Signs for a whole answer, delivers the first part of it, and would be paid for all."""

    async def take(self, request: OrderRequest) -> AsyncIterator[Frame]:
        """The first units and the receipt."""
        return self._half(await super().take(request), max(1, request.order.record["max_units"] // 2))  # type: ignore[operator]  # an integer by its record

    async def _half(self, frames: AsyncIterator[Frame], most: int) -> AsyncIterator[Frame]:
        made: list[int] = []
        sent = 0
        async for frame in frames:
            made += frame.units
            ready = made[sent:-1][: most - sent]  # never the last unit: an answer may end before `most`
            sent += len(ready)
            if ready or frame.receipt is not None:
                yield msgspec.structs.replace(frame, units=ready)


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
    level: str = "audited"
    """At which it is shown."""
    shown: bool = True
    """By the demo: any answer is a lie."""


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
        Liar(
            "flipped-bit",
            "flips one bit in the middle of its run",
            engine=lambda e, _t, _c: FlippedBit(e.card, e),
            level="disputable",
        ),
        Liar("cut-stream", "hangs up in mid-answer", desk=CutStream),
        Liar("inflated-count", "commits to more units than it delivered", desk=InflatedCount),
        Liar("two-receipts", "signs two receipts for one order", desk=TwoReceipts),
        Liar(
            "unfiltered",
            "draws without top-k and top-p",
            engine=lambda e, _t, _c: Unfiltered(e.card, e),
            level="disputable",
            shown=False,
        ),
    )
}
SHOWN = tuple(liar.name for liar in LIARS.values() if liar.shown)
