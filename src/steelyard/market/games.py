"""Dispute games: the port (spec/games.md). `onchain_games` is the adapter; `verification.referee` has the same rules.

All calls block and may raise Unavailable("chain.unreachable" | "chain.behind"); a contract's refusal comes as Refused
with the contract's own rule name. Nothing here is remembered by the caller: after a restart, or a reorganisation,
`view` says where a game stands.
"""

from collections.abc import Sequence
from typing import Protocol

from steelyard.protocol.games import View
from steelyard.protocol.moves import Move


class Games(Protocol):
    """The chain's games as a player sees them."""

    def view(self, case: bytes) -> View | None:
        """A game as it stands now, with all that was posted in it; None if there is none."""
        ...

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        """Cases whose game had an event after `cursor` (0: ever), and the next cursor."""
        ...

    def play(self, move: Move) -> None:
        """Sends a move and waits until it is mined. A move that answers another head than the game's is refused
        (`games.moved`): look again."""
        ...
