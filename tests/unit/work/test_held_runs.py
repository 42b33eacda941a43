"""Runs that are held for games: asked from several threads, let go of, computed again."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest

from steelyard.engines.alphabet import Alphabet
from steelyard.protocol.errors import Refused
from steelyard.work.disputes import Runs

THREADS = 4


class Fragile:
    """A run that answers one question at a time, from where it keeps it, and none after its end."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids, self.open, self.asked = ids, True, ""

    def value(self, position: int, node: int) -> bytes:
        assert (self.open, self.asked) == (True, "")
        self.asked = f"{position} {node}"
        for _ in range(2_000):  # others may come between
            assert (self.open, self.asked) == (True, f"{position} {node}")
        self.asked = ""
        return bytes([self.ids[position], node])


class Engine(Alphabet):
    """Its runs are fragile."""

    made = 0

    @contextmanager
    def holding(self, ids: Sequence[int], answer_from: int) -> Iterator[Fragile]:  # type: ignore[override]
        self.made += 1
        run = Fragile(ids)
        yield run
        run.open = False


@pytest.mark.parametrize("most", [1, THREADS])
def test_games_beside_each_other_get_each_their_own_answer(most):
    engine = Engine()
    runs, barrier = Runs(engine, most), Barrier(THREADS)

    def play(number: int) -> bool:
        hold = runs.hold(range(10 * (number % 2), 10 * (number % 2) + 9), 3)(9)  # two games each on one run
        barrier.wait()
        return all(hold.value(at, number) == bytes([10 * (number % 2) + at, number]) for at in [*range(9)] * 20)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(play, range(THREADS)))
    assert engine.made >= 2
    runs.close()


def test_what_was_let_go_of_is_computed_again():
    engine = Engine()
    runs = Runs(engine, 1)
    first, second = runs.hold(range(9), 3)(5), runs.hold(range(9), 3)(6)
    assert (first.value(4, 1), second.value(5, 1), first.value(4, 1)) == (b"\4\1", b"\5\1", b"\4\1")
    assert engine.made == 3
    runs.close()


def test_an_engine_that_shows_nothing_holds_nothing():
    class Mute:
        card = Alphabet().card

    with pytest.raises(Refused, match=r"engine\.holding"):
        Runs(Mute()).hold(range(9), 3)  # type: ignore[arg-type]
