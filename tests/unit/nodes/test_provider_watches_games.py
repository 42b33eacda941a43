"""Which cases a provider follows: none is lost by a reorganisation, or by a node that is behind."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from claims import STRANGER
from counter import PROVIDER, Counter
from steelyard.market.cases import Case, Stage
from steelyard.nodes.provider.defending import CLOSED, WATCHED, Defender
from steelyard.protocol.moves import Move

KEY, RECEIPT = b"\x01" * 32, b"\x02" * 32
CASE = Case(KEY, RECEIPT, PROVIDER.address, STRANGER.address, STRANGER.address, Stage.CHALLENGED)


class Chain:
    """Cases and games of a chain with one case, or without."""

    def __init__(self) -> None:
        self.found: Case | None = CASE

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        return (KEY,), cursor

    def case(self, case: bytes) -> Case | None:
        return self.found

    def ruling_stands(self, case: bytes) -> bool:
        return self.found is not None and self.found.stage is Stage.RULED

    def view(self, case: bytes) -> None:
        """Not there yet."""

    def play(self, move: Move) -> None:
        raise AssertionError(move)


@pytest.mark.parametrize("then", [None, replace(CASE, stage=Stage.RULED)])
def test_a_case_that_is_gone_or_ruled_and_comes_again_is_watched_again(tmp_path: Path, then: Case | None) -> None:
    counter, chain = Counter(tmp_path), Chain()
    defender = Defender(counter.provider, chain, chain)  # type: ignore[arg-type]
    states = []
    for chain.found in (CASE, then, CASE):
        defender.round()
        assert defender.last_error is None
        kept = counter.journal.get("game", KEY)
        assert kept is not None
        states.append(kept.state)
    assert states == [WATCHED, WATCHED if then is None else CLOSED, WATCHED]
    defender.stop()
