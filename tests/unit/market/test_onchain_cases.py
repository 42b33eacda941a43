"""Cases as the chain shows them: when they came to their stage, and how deep their rulings stand."""

from collections.abc import Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.chain.bindings.rulings import CaseOf, Punished, Settled
from steelyard.chain.codec import encode
from steelyard.chain.following import DEEP
from steelyard.chain.port import Block, Log
from steelyard.market.cases import NEVER, Stage
from steelyard.market.onchain_cases import OnchainCases
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.units import Timestamp
from steelyard.protocol.verdicts import Outcome

CASE, OTHER, RECEIPT, TWIN = (sha256(name) for name in (b"case", b"other", b"receipt", b"twin"))
RULED_AT = 90


class Court:
    """A chain of events, and a contract that says the same of every case."""

    chain_id, account = 1, ZERO_ADDRESS

    def __init__(self, stage: Stage, *found: Log, open_until: int = 0) -> None:
        self.number, self.found = RULED_AT, list(found)
        blank = {field.name: {"bytes": ZERO32}.get(str(field.type), 0) for field in fields(CaseOf)}
        raw: Any = blank | {"stage": int(stage), "born": 40, "open_until": open_until}
        self.case = CaseOf(**raw)
        there: Any = SimpleNamespace(**dict.fromkeys(("rulings", "registry", "proofs"), ZERO_ADDRESS), block=10)
        chain: Any = self
        self.cases = OnchainCases(chain, there)
        rulings: Any = SimpleNamespace(
            case_of=lambda _: self.case,
            seats_of=lambda _: (),
            convicted=lambda _: bool(self.found),
            seats=lambda: 3,
            open_window=lambda: 100,
            commit_window=lambda: 20,
            reveal_window=lambda: 3,
            appeal_window=lambda: 7,
        )
        self.cases.rulings = rulings

    def head(self) -> Block:
        return Block(self.number, Timestamp(0))

    def logs(self, addresses: Sequence[str], first: int, last: int) -> list[Log]:
        return [each for each in self.found if first <= each.block <= last]


def settled(outcome: int, case: bytes = CASE) -> Log:
    data = encode(b"", ["uint8", "address", "uint256"], [outcome, ZERO_ADDRESS, 0])
    return Log(ZERO_ADDRESS, (Settled.TOPIC, case, RECEIPT), data, RULED_AT, 0)


def punished() -> Log:
    data = encode(b"", ["bytes32", "bytes32", "uint256"], [RECEIPT, TWIN, 0])
    return Log(ZERO_ADDRESS, (Punished.TOPIC, ZERO32, bytes(32)), data, RULED_AT, 0)


@pytest.mark.parametrize(
    ("stage", "since"), [(Stage.CHALLENGED, 1_000 - 123), (Stage.SEATED, 1_000 - 100), (Stage.OPENED, NEVER)]
)
def test_a_case_says_since_when_it_is_challenged_or_seated(stage: Stage, since: int) -> None:
    found = Court(stage, open_until=1_000).cases.case(CASE)
    assert found is not None
    assert found.since == since


def test_a_ruling_stands_once_it_is_deep_and_while_it_is_there() -> None:
    court = Court(Stage.RULED, settled(Outcome.HONEST, OTHER), settled(Outcome.HONEST))
    court.number += DEEP - 1
    assert not court.cases.ruling_stands(CASE)
    court.number += 1
    assert court.cases.ruling_stands(CASE)
    court.found.pop()  # another chain, on which the state is seen already and the event is not
    assert not court.cases.ruling_stands(CASE)


def test_a_case_that_is_not_ruled_has_no_ruling_that_stands() -> None:
    court = Court(Stage.PLAYING, settled(Outcome.HONEST))
    court.number += DEEP
    assert not court.cases.ruling_stands(CASE)


@pytest.mark.parametrize(
    ("log", "receipt", "stands"),
    [
        (settled(Outcome.CHEATED), RECEIPT, True),
        (settled(Outcome.HONEST), RECEIPT, False),
        (settled(Outcome.CHEATED), TWIN, False),
        (punished(), RECEIPT, True),
        (punished(), TWIN, True),
        (punished(), OTHER, False),
    ],
)
def test_a_conviction_stands_once_what_convicted_is_deep(log: Log, receipt: bytes, stands: bool) -> None:
    court = Court(Stage.RULED, log)
    court.number += DEEP - 1
    assert not court.cases.conviction_stands(receipt)
    court.number += 1
    assert court.cases.conviction_stands(receipt) is stands
