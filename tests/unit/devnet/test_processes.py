"""Children of a devnet end with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelyard.devnet.processes import Processes, free_port
from steelyard.protocol.errors import Unavailable

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def gone(pid: int, seconds: float = 10.0) -> bool:
    """True once no such process runs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_stop_leaves_no_process_behind_even_one_that_ignores_sigterm(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    nodes = [processes.start("plain", SLEEP), processes.start("stubborn", [sys.executable, "-c", stubborn])]
    while "up" not in nodes[1].tail():
        time.sleep(0.05)
    processes.stop()
    assert not any(node.alive() for node in nodes)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_parent_killed_with_minus_nine_takes_its_children_along(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from steelyard.devnet.processes import Processes\n"
        f"node = Processes(Path({str(tmp_path)!r})).start('child', {SLEEP!r})\n"
        "print(node.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(child)


def test_a_child_that_ends_at_its_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("broken", [sys.executable, "-c", "raise SystemExit('no such model')"], "http://127.0.0.1:1/health")
    with pytest.raises(Unavailable, match="no such model"):
        processes.wait_healthy(["broken"], 10)


def test_a_free_port_can_be_bound() -> None:
    assert 1024 <= free_port() < 65536
