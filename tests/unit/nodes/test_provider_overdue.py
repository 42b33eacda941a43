"""What a provider does about a case that stands still, and when: a table."""

from dataclasses import replace
from typing import Any

import pytest

from steelyard.market.cases import Case, Stage
from steelyard.nodes.provider.overdue import Due, due
from steelyard.protocol.keys import Key
from steelyard.protocol.units import Timestamp

ME, THEM, JUROR = (Key.new().address for _ in range(3))
SINCE, UNTIL, PATIENCE = 1_000, 1_180, 20
CASE = Case(bytes(32), bytes(32), ME, THEM, THEM, Stage.CHALLENGED, since=Timestamp(SINCE), open_until=Timestamp(UNTIL))
SEATED = replace(CASE, stage=Stage.SEATED, seats=(JUROR,))
OPENED = replace(SEATED, stage=Stage.OPENED, reveal_until=Timestamp(2_000), settles_at=Timestamp(2_006), jury=3)
OURS = {"opener": ME}


@pytest.mark.parametrize(
    ("case", "changes", "now", "step"),
    [
        (CASE, {}, SINCE + PATIENCE, None),
        (CASE, {}, SINCE + PATIENCE + 1, Due.SEAT),
        (CASE, {}, UNTIL, Due.SEAT),
        (CASE, {}, UNTIL + 1, None),
        (CASE, {}, UNTIL + PATIENCE + 1, Due.SETTLE),
        (CASE, OURS, SINCE + PATIENCE, None),
        (CASE, OURS, SINCE + PATIENCE + 1, Due.APPEAL),
        (CASE, OURS, UNTIL + PATIENCE + 1, Due.SETTLE),
        (SEATED, {}, UNTIL, None),
        (SEATED, {}, UNTIL + PATIENCE, None),
        (SEATED, {}, UNTIL + PATIENCE + 1, Due.SETTLE),
        (SEATED, {"seats": ()}, SINCE + PATIENCE, None),
        (SEATED, {"seats": ()}, SINCE + PATIENCE + 1, Due.APPEAL),
        (SEATED, {"seats": ()}, UNTIL + PATIENCE + 1, Due.SETTLE),
        (SEATED, OURS, SINCE, Due.APPEAL),
        (SEATED, OURS, UNTIL + PATIENCE + 1, None),
        (SEATED, {**OURS, "seats": ()}, UNTIL + PATIENCE + 1, Due.SETTLE),
        (OPENED, {}, 2_006 + PATIENCE, None),
        (OPENED, {}, 2_006 + PATIENCE + 1, Due.SETTLE),
        (OPENED, {"guilty": 2}, 2_006 + PATIENCE + 1, None),
        (replace(CASE, stage=Stage.PLAYING), {}, 9_999, None),
        (replace(CASE, stage=Stage.RULED), {}, 9_999, None),
    ],
)
def test_each_step_has_its_time(case: Case, changes: dict[str, Any], now: int, step: Due | None) -> None:
    assert due(replace(case, **changes), ME, now, PATIENCE) is step
