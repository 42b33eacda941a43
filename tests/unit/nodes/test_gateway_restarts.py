"""A gateway that was killed at any instant loses nothing and pays nothing twice (rule M12)."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_gateway_answers import CHAT, play, post
from test_gateway_audits import AUDITED, seen

from bazaar import Bazaar, Seller, honest
from steelyard.market.journal import Document, Journal
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.roots import receipts_root
from steelyard.wire.messages import Frame


async def killed(bazaar: Bazaar) -> None:
    """Ends the gateway without a chance to finish what it began."""
    for task in list(bazaar.gateway.desk.tasks):
        task.cancel()
    await bazaar.close()


def lose_disk(folder: Path) -> None:
    for file in folder.glob("gateway.sqlite*"):
        file.unlink()


def stop_before(monkeypatch: pytest.MonkeyPatch, kind: str, state: str | None = None) -> dict[str, bool]:
    """From the first write of that kind (and state) on, the journal writes nothing any more."""
    dead = {"now": False}
    commit = Journal.commit

    async def dying(self: Journal, *documents: Document) -> None:
        if any(d.kind == kind and state in (None, d.state) for d in documents):
            dead["now"] = True
        if dead["now"]:
            raise Unavailable("journal.disk", "killed")
        await commit(self, *documents)

    monkeypatch.setattr(Journal, "commit", dying)
    return dead


@pytest.mark.parametrize(
    ("kind", "state"), [("receipt", None), ("voucher", None), ("order", "settled"), ("ticket", "open")]
)
def test_a_kill_before_any_write_after_the_order_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, state: str | None
) -> None:
    seller = honest(1, max_unpaid=1)

    async def story(bazaar: Bazaar) -> None:
        with monkeypatch.context() as patch:
            stop_before(patch, kind, state)
            await post(bazaar, AUDITED)
            await bazaar.settled()
            await killed(bazaar)
        assert seller.vouchers == []
        await bazaar.open()
        await bazaar.settled()
        assert [voucher.count for voucher in seller.vouchers] == [1]
        [order] = bazaar.gateway.desk.records.journal.scan("order")
        assert order.state == "settled"
        assert len(bazaar.office.tickets) == 1
        assert (await post(bazaar, CHAT))[0] == 200
        await bazaar.settled()
        assert seller.vouchers[-1].count == 2
        assert seller.vouchers[-1].receipts_root == receipts_root([seller.paid[0], seller.paid[-1]])

    play(tmp_path, story, seller)


def test_a_voucher_that_was_journalled_but_not_sent_is_sent_and_not_signed_anew(tmp_path: Path) -> None:
    class Deaf(Seller):
        deaf = True

        def _keep(self, signed: Any) -> None:
            if self.deaf:
                raise Unavailable("provider.deaf", "the test wants it so")
            super()._keep(signed)

    usual = honest(1)
    seller = Deaf(usual.key, usual.engine)

    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, CHAT)
        await bazaar.settled()
        await killed(bazaar)
        seller.deaf = False
        await bazaar.open()
        await bazaar.settled()
        assert [voucher.count for voucher in seller.vouchers] == [1]

    play(tmp_path, story, seller)


def test_a_voucher_that_did_not_arrive_rides_on_the_next_order(tmp_path: Path) -> None:
    class Deaf(Seller):
        async def voucher(self, request: Any) -> Any:
            raise Unavailable("provider.deaf", "the test wants it so")

    usual = honest(1)
    seller = Deaf(usual.key, usual.engine)

    async def story(bazaar: Bazaar) -> None:
        await post(bazaar, CHAT)
        await bazaar.settled()
        assert seller.vouchers == []
        await post(bazaar, CHAT)
        await bazaar.settled()
        assert [voucher.count for voucher in seller.vouchers] == [1]
        assert seller.seen[1].voucher is not None

    play(tmp_path, story, seller)


def test_an_order_whose_provider_is_gone_after_the_restart_is_written_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dumb(Seller):
        dumb = False

        async def frames(self, order: Any, prompt: Sequence[int]) -> AsyncIterator[Frame]:
            async for frame in super().frames(order, prompt):
                if self.dumb:
                    return
                yield frame

    usual = honest(1)
    seller = Dumb(usual.key, usual.engine)

    async def story(bazaar: Bazaar) -> None:
        with monkeypatch.context() as patch:
            stop_before(patch, "receipt")
            await post(bazaar, CHAT)
            await killed(bazaar)
        seller.dumb = True
        await bazaar.open()
        await bazaar.settled()
        [order] = bazaar.gateway.desk.records.journal.scan("order")
        assert order.state == "expired"
        assert seller.vouchers == []

    play(tmp_path, story, seller)


def test_a_lost_disk_takes_its_own_highest_voucher_back(tmp_path: Path) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        for _ in range(2):
            await post(bazaar, CHAT)
            await bazaar.settled()
        await bazaar.close()
        lose_disk(tmp_path)
        await bazaar.open()
        await post(bazaar, CHAT)
        await bazaar.settled()
        assert [voucher.count for voucher in seller.vouchers] == [1, 2, 3]
        assert seller.vouchers[-1].receipts_root == receipts_root(seller.paid)
        assert seller.vouchers[-1].amount > seller.vouchers[-2].amount

    play(tmp_path, story, seller)


def test_todays_spending_survives_a_restart(tmp_path: Path) -> None:
    async def story(bazaar: Bazaar) -> None:
        _, answer, headers = await post(bazaar, CHAT)
        await bazaar.settled()
        await bazaar.close()
        await bazaar.open()
        assert bazaar.gateway.desk.till.spending.purse("default").spent == answer["usage"]["cost_micro"]
        assert (await seen(bazaar, headers["x-receipt-id"]))["state"] == "settled"

    play(tmp_path, story)


def test_a_full_disk_is_told_and_nothing_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seller = honest(1)

    async def story(bazaar: Bazaar) -> None:
        with monkeypatch.context() as patch:
            stop_before(patch, "order")
            status, answer, _ = await post(bazaar, CHAT)
        assert (status, answer["error"]["code"]) == (503, "journal.disk")
        assert seller.seen == []
        assert (await post(bazaar, CHAT))[0] == 200

    play(tmp_path, story, seller)
