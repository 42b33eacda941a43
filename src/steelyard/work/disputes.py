"""What ties an engine to the dispute game: runs that are held while games on them are played."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, cast

from steelyard.engines.base import Engine
from steelyard.protocol.errors import Refused
from steelyard.verification.holding import Hold, Holding, Holds

MOST_HELD: Final = 4
"""Runs of one engine at a time: each has keys and values and, a node and position, a hash."""

Key = tuple[tuple[int, ...], int]


class Runs:
    """The last few runs of one engine that games asked for. Thread-safe: a run computes what it is asked for where it
    keeps it, so they are asked one at a time, and none is let go of while it answers."""

    def __init__(self, engine: Engine, most: int = MOST_HELD) -> None:
        self._engine, self._most = engine, most
        self._held: OrderedDict[Key, tuple[Holding, ExitStack]] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, ids: Sequence[int], answer_from: int) -> Hold:
        """The run over prompt and answer, once a game says of how many positions.

        Raises Refused("engine.holding") if the engine cannot show its runs; what it raises then is the engine's."""
        if not isinstance(self._engine, Holds):
            raise Refused("engine.holding", f"{self._engine.card.name} cannot show a run's values")
        return lambda positions: cast("Holding", _Asked(self, (tuple(ids[:positions]), answer_from)))

    def ask(self, key: Key, name: str, *args: Any) -> Any:
        """What a run answers; it is computed again if it was let go of."""
        with self._lock:
            if key not in self._held:
                while len(self._held) >= self._most:
                    self._held.popitem(last=False)[1][1].close()
                assert isinstance(self._engine, Holds)
                stack = ExitStack()
                self._held[key] = (stack.enter_context(self._engine.holding(*key)), stack)
            self._held.move_to_end(key)
            return getattr(self._held[key][0], name)(*args)

    def close(self) -> None:
        """Lets go of all runs."""
        with self._lock:
            while self._held:
                self._held.popitem()[1][1].close()


class _Asked:
    """A run as a `Holding`: each question goes through `Runs`."""

    def __init__(self, runs: Runs, key: Key) -> None:
        self._runs, self._key = runs, key

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._runs.ask, self._key, name)
