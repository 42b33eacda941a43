"""What answering one request needs of the rest of the gateway, and what happens after its receipt."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard.engines.base import Text
from steelyard.nodes.gateway.book import Book
from steelyard.nodes.gateway.drafting import Draft, Wish
from steelyard.nodes.gateway.drawing import Drawing
from steelyard.nodes.gateway.faults import Faults
from steelyard.nodes.gateway.metrics import Metrics
from steelyard.nodes.gateway.purchase import Bought, Placed, Purchase
from steelyard.nodes.gateway.records import Records
from steelyard.nodes.gateway.routing import Chance, Listed, Need, ranked, usable
from steelyard.nodes.gateway.till import Seat, Till
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.wire.peer import Peers

log = logging.getLogger("steelyard.gateway")


@dataclass(eq=False)
class Desk:
    """One gateway's services."""

    book: Book
    till: Till
    records: Records
    drawing: Drawing
    faults: Faults
    draft: Draft
    peers: Peers
    metrics: Metrics
    texts: Mapping[str, Text]
    clock: Callable[[], float]
    """Unix seconds."""
    timer: Callable[[], float]
    """Seconds, never backwards."""
    chance: Chance
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def text(self, model: str) -> Text:
        """A model's text. Raises Refused("request.model")."""
        text = self.texts.get(model)
        if text is None or model not in self.book.names():
            known = sorted(set(self.texts) & set(self.book.names()))
            raise Refused("request.model", f"model: {model[:100]!r} is not sold here; known {known[:20]}")
        return text

    def candidates(self, need: Need) -> Sequence[Listed]:
        """Offers in the order in which to try them: whoever cannot be paid goes last, else strangers who list cheap
        offers would use up the tries. Raises what `usable` and `ranked` raise."""
        left = usable(self.book.listed(), need, self.book.now())
        found = ranked(left, need, self.faults.health, self.timer(), self.chance)
        return sorted(found, key=lambda listed: not self.book.pays(listed.provider))

    def place(self, wish: Wish, listed: Listed, seat: Seat, *, kept: tuple[int, ...], units: int) -> Placed:
        """A signed order."""
        epoch, now = self.book.chain.epoch, self.book.now()
        return self.draft.place(wish, listed, kept=kept, units=units, channel=seat.tab.channel, epoch=epoch, now=now)

    def purchase(self, placed: Placed, vocabulary: int) -> Purchase:
        """Its run."""
        return Purchase(self.peers, placed, self.draft.session, self.draft.domain, vocabulary, self.book.now)

    async def fail(self, placed: Placed, error: SteelyardError) -> None:
        """A provider failed: written down, and it goes last for a while."""
        log.warning("%s at %s: %s", placed.listed.model, placed.listed.provider, error)
        self.faults.note(placed.listed, error)
        self.metrics.failed(error.rule)
        await self.records.failed(placed, error, now=self.clock())

    def settle(self, seat: Seat, bought: Bought, audit_rate: float) -> None:
        """Draws and pays, in the background: the client need not wait for it."""
        self.metrics.bought(bought)
        self.spawn(self._settle(seat, bought, audit_rate))

    async def _settle(self, seat: Seat, bought: Bought, audit_rate: float) -> None:
        spent = 0
        try:
            ticket = await self.drawing.decide(bought, audit_rate)
            spent = int(bought.price)
            await self.till.pay(seat.tab, bought)
        finally:
            self.till.give_back(seat, spent)
        await self.drawing.bring(bought, ticket)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs in the background; `finish` waits for it. What it raises of our tree is logged."""
        task = asyncio.create_task(self._logged(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _logged(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except SteelyardError as error:
            log.warning("%s", error)

    async def finish(self, seconds: float) -> None:
        """Waits for what runs in the background, then ends it."""
        if self.tasks:
            _, late = await asyncio.wait(set(self.tasks), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
