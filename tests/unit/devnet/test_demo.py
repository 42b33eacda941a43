"""How the demo looks where there is no terminal: a log is read later, and by others."""

import io

import pytest
from rich.console import Console

from steelyard.devnet import demo

LONG = " ".join(["sampling: answered 2210, the rule samples 2656"] * 8)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_long_line_is_cut_for_a_terminal_only(terminal: bool) -> None:
    shown = io.StringIO()
    demo.line(Console(file=shown, width=80, force_terminal=terminal, color_system=None), LONG)
    assert shown.getvalue() == (f"{LONG[:79]}…\n" if terminal else f"{LONG}\n")


def test_where_there_is_no_terminal_the_ledger_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert demo.terminal().width == demo.WIDTH
