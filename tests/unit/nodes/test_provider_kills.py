"""kill -9 at every write of a provider, before it takes effect and after it did: nothing lost, nothing signed twice.

The n-th act kills; what was in memory is dropped, the journal is opened again, the buyer asks again. n runs until the
story ends before it is reached.
"""

from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from counter import CHANNEL, PROVIDER, Bought, Counter, digest_of, run
from steelyard.market.journal import Document
from steelyard.market.lifecycle import State
from steelyard.market.toy_ledger import ToyLedger
from steelyard.nodes.provider.claiming import Claimer
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.records import Voucher
from steelyard.wire.messages import OrderRequest

VESTED = 1000  # seconds after which every claim of the toy chain has vested


class Killed(Unavailable):
    """The process ended here."""


@dataclass
class Killer:
    """Strikes at the n-th act, before or after its effect."""

    at: int
    after: bool
    struck: bool = False

    def act(self, effect: Callable[[], Any]) -> Any:
        self.at -= 1
        if self.at != 0:
            return effect()
        self.struck = True
        if self.after:
            result = effect()
            if isinstance(result, Future):
                result.result()
        raise Killed("test.killed", "kill -9")


def watch_journal(counter: Counter, killer: Killer) -> None:
    """The journal's writes are acts."""
    real = counter.journal.submit

    def submit(*documents: Document) -> Any:
        return killer.act(lambda: real(*documents))

    counter.journal.submit = submit  # type: ignore[method-assign]


def each_kill(tmp_path: Path, after: bool, story: Callable[[Path, Killer], None], least: int) -> None:
    """Plays with a kill at every act in turn."""
    kills = 0
    while True:
        killer = Killer(kills + 1, after)
        folder = tmp_path / f"{kills}"
        folder.mkdir()
        story(folder, killer)
        if not killer.struck:
            break
        kills += 1
    assert kills >= least


def sold(folder: Path, killer: Killer) -> None:
    """Three answers, each paid by its own voucher."""
    counter = Counter(folder)
    watch_journal(counter, killer)
    seen: dict[bytes, set[str]] = {}

    async def insist(request: OrderRequest) -> Bought:
        while True:
            try:
                bought = await counter.buy(request)
                assert bought.last.receipt is not None
                seen.setdefault(digest_of(request), set()).add(bought.last.receipt.signature)
                return bought
            except Killed:
                counter.restart()

    async def insist_to_pay(bought: Bought) -> None:
        while True:
            try:
                await counter.pay(bought)
                return
            except Killed:
                counter.restart()

    async def story() -> None:
        answers = []
        for number in range(3):
            request = counter.request(counter.order(seed=number))
            answers.append(await insist(request))
            await insist(request)  # and once more, whatever happened
            await insist_to_pay(answers[-1])
        assert all(len(signatures) == 1 for signatures in seen.values()), "one order, one receipt"
        assert counter.tab().paid == [bought.digest for bought in answers]
        assert not counter.tab().unpaid
        assert counter.tab().amount == sum(bought.price(counter.listing) for bought in answers)
        states = [document.state for document in counter.journal.scan("order")]
        assert states == [State.SETTLED] * 3

    run(story)
    counter.journal.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_write_of_the_journal_loses_no_receipt_and_signs_none_twice(tmp_path: Path, after: bool) -> None:
    each_kill(tmp_path, after, sold, least=9)


class Mortal(ToyLedger):
    """A ledger whose writes are acts."""

    killer: Killer

    def claim(self, *args: Any) -> None:
        self.killer.act(lambda: ToyLedger.claim(self, *args))

    def start(self, claim: int) -> None:
        self.killer.act(lambda: ToyLedger.start(self, claim))

    def pay(self, claim: int) -> None:
        self.killer.act(lambda: ToyLedger.pay(self, claim))

    def collect(self) -> None:
        self.killer.act(lambda: ToyLedger.collect(self))


def claimed(folder: Path, killer: Killer) -> None:
    """Vouchers become tokens; the bond comes only after the claims have waited for it."""
    counter = Counter(folder)
    ledger = Mortal(counter.town, PROVIDER.address)
    ledger.killer = killer

    async def sell() -> None:
        for _ in range(2):
            await counter.pay(await counter.buy())

    run(sell)
    for second in range(12):
        counter.restart()  # every round is a new process
        Claimer(counter.provider, ledger).round()
        if second == 4:
            counter.town.bonds[PROVIDER.address] += 10**9
        if second == 6:
            run(sell)
        counter.time += 200
    town, promised = counter.town, counter.amount
    royalties = sum(claim.amount * 500 // 10_000 for claim in town.claims)
    assert [claim.state for claim in town.claims] == ["paid"] * 2
    assert sum(claim.amount for claim in town.claims) == promised
    assert town.wallets[PROVIDER.address] == promised - royalties
    assert town.reserved[PROVIDER.address] == 0
    assert Tally(town.sent)["claim"] == 2
    assert Tally(town.sent)["pay"] == 2
    counter.journal.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_transaction_claims_everything_once(tmp_path: Path, after: bool) -> None:
    each_kill(tmp_path, after, claimed, least=6)


# -- claiming --------------------------------------------------------------------------------------------------------


def sell_and_pay(counter: Counter, answers: int = 1) -> Voucher:
    """One voucher for so many answers more."""

    async def story() -> None:
        await counter.pay(*[await counter.buy() for _ in range(answers)])

    run(story)
    voucher = counter.tab().voucher
    assert voucher is not None
    return voucher


def test_a_small_voucher_waits_for_the_threshold_its_age_or_the_end_of_its_channel(tmp_path: Path) -> None:
    now = [0.0]

    def claims_after(act: Callable[[Counter], None], name: str) -> bool:
        folder = tmp_path / name
        folder.mkdir()
        counter = Counter(folder)
        voucher = sell_and_pay(counter)
        threshold = voucher.amount + 1
        claimer = Claimer(counter.provider, counter.ledger, threshold=threshold, age=60, monotonic=lambda: now[0])
        claimer.round()
        assert "claim" not in counter.town.sent
        act(counter)
        claimer.round()
        counter.journal.close()
        return "claim" in counter.town.sent

    def wait(seconds: float) -> Callable[[Counter], None]:
        def act(_: Counter) -> None:
            now[0] += seconds

        return act

    assert not claims_after(wait(59), "young")
    assert claims_after(wait(61), "old")
    assert claims_after(lambda counter: counter.town.request_close(CHANNEL), "closing")
    assert claims_after(lambda counter: sell_and_pay(counter) and None, "more")


def test_nothing_is_sent_where_the_chain_shows_it_already(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.town.bonds[PROVIDER.address] += 10**9
    sell_and_pay(counter)
    for _ in range(3):
        counter.claimer.round()
    assert counter.town.sent == ["claim"]
    counter.time += VESTED
    for _ in range(3):
        counter.claimer.round()
    assert counter.town.sent == ["claim", "pay", "collect"]


def test_a_claim_that_a_case_holds_is_not_paid(tmp_path: Path) -> None:
    from dataclasses import replace

    counter = Counter(tmp_path)
    counter.town.bonds[PROVIDER.address] += 10**9
    sell_and_pay(counter)
    counter.claimer.round()
    counter.town.claims[0] = replace(counter.town.claims[0], holds=1)
    counter.time += VESTED
    counter.claimer.round()
    assert counter.claimer.last_error is None
    assert counter.town.sent == ["claim"]


def test_a_dead_chain_is_told_and_tried_again(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    sell_and_pay(counter)
    counter.town.reachable = False
    counter.claimer.round()
    assert "chain.unreachable" in str(counter.claimer.report()["last_error"])
    counter.town.reachable = True
    counter.claimer.round()
    assert counter.claimer.report() == {"last_error": None}
    assert counter.town.sent == ["claim"]


def test_vouchers_of_an_offer_that_is_no_longer_sold_are_taken_and_claimed(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    old = counter.listing

    async def story() -> None:
        bought, late = await counter.buy(), await counter.buy()
        await counter.pay(bought)
        voucher = counter.voucher(late)
        counter.price *= 2
        counter.time += 1
        counter.restart()
        assert counter.listing.digest != old.digest
        assert (await counter.buy(late.request)).last == late.last
        await counter.provider.take_voucher(voucher)

    run(story)
    counter.claimer.round()
    assert counter.town.vouched[CHANNEL, old.digest][1] == 2
