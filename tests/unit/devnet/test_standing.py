"""A signal ends a market wherever it comes."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from steelyard.devnet.standing import Signals, Stop


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_while_a_finaliser_runs_is_kept_and_prints_nothing(
    signals: Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    Finalised()
    with pytest.raises(Stop, match="SIGINT"):
        signals.check()
    assert capfd.readouterr().err == ""


def test_a_signal_is_no_exception_that_a_library_may_swallow(signals: Signals) -> None:
    def library() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception as error:
            raise AssertionError("swallowed") from error

    with pytest.raises(Stop, match="SIGTERM"):
        library()
    assert signals.came == "SIGTERM"
