"""`market.games.Games` over the generated bindings: the real chain."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final

from steelyard.chain.bindings.games import (
    Answered,
    Begun,
    BegunEarly,
    Called,
    Ended,
    Filtered,
    Picked,
    Pointed,
    Posted,
    Said,
    Stepped,
    Weighed,
)
from steelyard.chain.bindings.games import Games as Contract
from steelyard.chain.deploy import Deployment
from steelyard.chain.following import DEEP, follow
from steelyard.chain.port import Chain, Log
from steelyard.market.stored_games import unpacked
from steelyard.protocol import moves
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.games import NOTHING, Place, Post, Stage, View, sums_of
from steelyard.protocol.hashing import ZERO32, keccak256
from steelyard.protocol.verdicts import Outcome

LOOKS: Final = 3  # at a game that moves while it is looked at
KINDS: Final = (Called, Begun, BegunEarly, Answered, Filtered, Posted, Pointed, Said, Picked, Stepped, Weighed, Ended)
"""Events of a game; each has the case as its first indexed field."""
BY_TOPIC: Final = {kind.TOPIC: kind for kind in KINDS}

Event = Called | Begun | BegunEarly | Answered | Filtered | Posted | Pointed | Said | Picked | Stepped | Weighed | Ended


@dataclass
class Heard:
    """Events of all games, as far as they were read. Invariant: none of a block from `then` on."""

    then: int
    """The next block to read."""
    logs: dict[bytes, list[Log]] = field(default_factory=dict)
    """By case, in order."""


class OnchainGames:
    """Reads and moves, sent by the chain's account. Thread-safe."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment = chain, deployment
        self.contract = Contract(chain, deployment.games)
        self._heard = Heard(deployment.block)
        self._lock = threading.Lock()

    # -- reading ---------------------------------------------------------------------------------------------------

    def view(self, case: bytes) -> View | None:
        """See the port."""
        for _ in range(LOOKS):
            view, events = unpacked(case, self.contract.stored_of(case)), self._events(case)
            if (view.head if view else ZERO32) == self.contract.head_of(case):
                return None if view is None else told(view, events)
        raise Unavailable("chain.behind", f"the game of case 0x{case.hex()} moved {LOOKS} times while it was read")

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        """See the port. The cursor is a block."""
        first = max(self.deployment.block, cursor)
        with self._lock:
            self._hear()
            cases = [case for case, logs in self._heard.logs.items() if logs[-1].block >= first]
            return cases, max(first, self._heard.then - DEEP)

    def events(self, case: bytes) -> list[tuple[Log, Event]]:
        """Of one game, in order, each with its log."""
        with self._lock:
            self._hear()
            logs = list(self._heard.logs.get(case, ()))
        return [(log, BY_TOPIC[log.topics[0]].read(log)) for log in logs]

    def _events(self, case: bytes) -> list[Event]:
        return [event for _, event in self.events(case)]

    def _hear(self) -> None:
        """Reads on; the last blocks again, since they may be others now."""
        first = max(self.deployment.block, self._heard.then - DEEP)
        kept = {case: [log for log in logs if log.block < first] for case, logs in self._heard.logs.items()}
        then = first
        for batch in follow(self.chain, [self.deployment.games], first):
            for log in batch.logs:
                if log.topics[0] in BY_TOPIC:
                    kept.setdefault(log.topics[1], []).append(log)
            then = batch.next_block
        self._heard = Heard(max(first, then), {case: logs for case, logs in kept.items() if logs})

    # -- moving ----------------------------------------------------------------------------------------------------

    def play(self, move: moves.Move) -> None:
        """See the port."""
        send: Callable[..., Any] = getattr(self.contract, FUNCTIONS[type(move)])
        send(*arguments(move))


FUNCTIONS: Final[dict[type[Any], str]] = {
    moves.Begin: "begin",
    moves.BeginEarly: "begin_early",
    moves.Appeal: "appeal",
    moves.Answer: "answer",
    moves.ShowCancel: "show_cancel",
    moves.ShowEnd: "show_end",
    moves.PostChildren: "post",
    moves.Point: "point",
    moves.PointNode: "point_node",
    moves.Say: "say",
    moves.Pick: "pick",
    moves.Step: "step",
    moves.Weigh: "weigh",
    moves.Forfeit: "forfeit",
}
"""A move is a function of the contract, its fields are the arguments."""


def arguments(move: moves.Move) -> tuple[Any, ...]:
    """Of the contract's function: records are tuples there."""
    return astuple(move)


def told(view: View, events: Sequence[Event]) -> View:
    """The game with what its events say. Raises Unavailable("chain.behind") if those are not all there."""
    case = view.case
    posts: list[Post] = []
    for event in events:
        match event:
            case Posted():
                posts.append(Post(view.place, event.children))
            case Pointed() if not posts:
                raise Unavailable("chain.behind", f"case 0x{case.hex()}: pointed at nothing that was posted")
            case Pointed():
                posts[-1] = replace(posts[-1], place=Place(event.place), index=event.index)
            case Said():
                view = replace(view, words=event.words)
            case Filtered() if view.place == Place.IDS:
                view = replace(view, lowest=event.lowest, greatest=event.greatest, after=event.sums)
            case Picked(place=Place.IDS) if view.place == Place.IDS:
                sums = sums_of(view.words)
                if not 0 < event.index < len(sums):
                    raise Unavailable("chain.behind", f"case 0x{case.hex()}: sums were picked from that nobody said")
                before, after = sums[event.index - 1], sums[event.index]
                view = replace(view, before=before, after=after)
            case Ended():
                outcome = Outcome(event.outcome) if event.outcome else Outcome.CANNOT_TELL
                view = replace(view, outcome=outcome, why=event.why)
            case _:
                pass
    behind = (
        (view.stage is Stage.POINT and (not posts or posts[-1].index is not None))
        or (view.stage is Stage.PICK and keccak256(view.words) != view.said)
        or (view.place is Place.IDS and view.lowest == view.greatest == NOTHING)
        or (view.stage is Stage.OVER and view.outcome is None)
    )
    if behind:
        raise Unavailable(
            "chain.behind", f"the game of case 0x{case.hex()} is at {view.stage.name}, its events are not"
        )
    return replace(view, posts=tuple(posts))
