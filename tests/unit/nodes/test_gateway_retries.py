"""Two requests are one only if the client says so, or never got the first answer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from steelyard.nodes.gateway.retries import KEEP_SECONDS, Attempts
from steelyard.protocol.errors import Refused


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.runs = 0
        self.attempts: Attempts[int] = Attempts(lambda: self.now)
        self.release = asyncio.Event()
        self.release.set()

    async def run(self) -> int:
        self.runs += 1
        number = self.runs
        await self.release.wait()
        return number

    async def ask(self, raw: bytes = b"x", key: str | None = None, retry: bool = False, here: bool = True) -> int:
        async def gone() -> bool:
            return not here

        return await self.attempts.answer(
            user="u", raw=raw, key=key, retry=retry, gone=gone, begin=lambda: asyncio.create_task(self.run())
        )


def play(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(Bench())

    asyncio.run(main())


def test_equal_bodies_are_two_samples() -> None:
    async def story(bench: Bench) -> None:
        assert [await bench.ask(), await bench.ask()] == [1, 2]

    play(story)


def test_a_retry_after_a_delivered_answer_is_a_new_request() -> None:
    async def story(bench: Bench) -> None:
        assert [await bench.ask(), await bench.ask(retry=True)] == [1, 2]

    play(story)


def test_a_retry_after_an_undelivered_answer_gets_that_answer_once() -> None:
    async def story(bench: Bench) -> None:
        assert await bench.ask(here=False) == 1
        assert await bench.ask(raw=b"y", retry=True) == 2
        assert await bench.ask(retry=True) == 1
        assert await bench.ask(retry=True) == 3

    play(story)


def test_a_retry_joins_an_attempt_still_running_whose_client_left() -> None:
    async def story(bench: Bench) -> None:
        bench.release.clear()
        first = asyncio.create_task(bench.ask(here=False))
        await asyncio.sleep(0)
        second = asyncio.create_task(bench.ask(retry=True))
        await asyncio.sleep(0)
        bench.release.set()
        assert [await first, await second] == [1, 1]

    play(story)


def test_a_retry_does_not_take_the_answer_of_a_client_that_waits() -> None:
    async def story(bench: Bench) -> None:
        bench.release.clear()
        first = asyncio.create_task(bench.ask())
        await asyncio.sleep(0)
        second = asyncio.create_task(bench.ask(retry=True))
        await asyncio.sleep(0.3)
        bench.release.set()
        assert [await first, await second] == [1, 2]

    play(story)


def test_an_undelivered_answer_is_kept_two_minutes() -> None:
    async def story(bench: Bench) -> None:
        await bench.ask(here=False)
        bench.now = KEEP_SECONDS
        assert await bench.ask(retry=True) == 2

    play(story)


def test_an_idempotency_key_is_one_request_and_one_body() -> None:
    async def story(bench: Bench) -> None:
        assert [await bench.ask(key="k"), await bench.ask(key="k"), await bench.ask(key="l")] == [1, 1, 2]
        with pytest.raises(Refused) as caught:
            await bench.ask(raw=b"y", key="k")
        assert caught.value.rule == "request.idempotency-key"

    play(story)


def test_a_failed_attempt_is_not_handed_over() -> None:
    async def story(bench: Bench) -> None:
        async def fails() -> int:
            raise Refused("request.value", "n: 0")

        async def gone() -> bool:
            return False

        with pytest.raises(Refused):
            await bench.attempts.answer(
                user="u", raw=b"x", key="k", retry=False, gone=gone, begin=lambda: asyncio.create_task(fails())
            )
        assert await bench.ask(key="k") == 1

    play(story)
