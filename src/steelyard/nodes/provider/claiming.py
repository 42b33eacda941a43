"""Turns vouchers into money: claims them, starts waiting claims, pays vested ones, collects credits.

Every round looks at the chain first and sends only what it does not show yet, so a kill at any instant costs nothing
and pays nothing twice.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from steelyard.market.ledger import Ledger
from steelyard.nodes.provider.node import Provider
from steelyard.protocol.errors import SteelyardError
from steelyard.protocol.records import Offer, Voucher

log = logging.getLogger("steelyard.provider")


class Claimer:
    """A round every `seconds`, or when a voucher came. A voucher is claimed once it brings `threshold` micro-tokens
    more than the chain shows, once that much was small for `age` seconds, or when its channel closes."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        seconds: float = 5.0,
        threshold: int = 1,
        age: float = 3_600.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider, self.ledger, self.seconds, self.threshold = provider, ledger, seconds, threshold
        self.age, self.monotonic = age, monotonic
        self._since: dict[bytes, float] = {}
        self.last_error: str | None = None
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "claimer")

    def start(self) -> None:
        """Begins the rounds."""
        self._task = asyncio.create_task(self._rounds())

    async def stop(self) -> None:
        """Ends them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False)

    def wake(self) -> None:
        """A voucher came."""
        self._due.set()

    def report(self) -> dict[str, object]:
        """For /health."""
        return {"last_error": self.last_error}

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(self._thread, self.round)
            self._due.clear()
            try:
                await asyncio.wait_for(self._due.wait(), self.seconds)
                await asyncio.sleep(self.seconds / 5)  # several vouchers, one claim
            except TimeoutError:
                continue

    def round(self) -> None:
        """One look at the chain and what follows from it. Blocks; failures are logged and tried again."""
        self.last_error = None
        for voucher, signature in self.provider.accounts.vouchers():
            offer = self.provider.known[voucher.offer].offer
            self._try("claim", partial(self._claim, offer, voucher, signature))
        self._try("pay", self._settle)

    def _claim(self, offer: Offer, voucher: Voucher, signature: bytes) -> None:
        tab = voucher.channel + voucher.offer
        amount, _ = self.ledger.claimed(voucher.channel, voucher.offer)
        if voucher.amount <= amount:
            self._since.pop(tab, None)
            return
        channel = self.ledger.channel(voucher.channel)
        if channel is None or channel.closed:
            return
        now = self.monotonic()
        old = now - self._since.setdefault(tab, now) >= self.age
        if voucher.amount - amount >= self.threshold or old or channel.closes_at:
            self.ledger.claim(offer, voucher, signature)

    def _settle(self) -> None:
        now = self.ledger.now()
        for claim in self.ledger.claims(self.provider.key.address):
            if claim.state == "waiting" and self.ledger.free_bond(claim.provider) >= claim.reserve:
                self._try("start", partial(self.ledger.start, claim.id))
            elif claim.state == "vesting" and claim.vests_at <= now and claim.holds == 0:
                self._try("pay", partial(self.ledger.pay, claim.id))
        if self.ledger.credit(self.provider.key.address):
            self.ledger.collect()

    def _try(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except SteelyardError as error:
            self.last_error = f"{what}: {error}"
            log.warning("%s: %s", what, error)
