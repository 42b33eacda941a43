"""Processes of a market on one machine: started together, watched, and gone when we go.

Each child leads its own process group and asks the kernel to be killed when its parent dies (PR_SET_PDEATHSIG, Linux),
so neither Ctrl-C nor `kill -9` of the parent leaves one behind. The kernel's "parent" is the thread that started the
child: start nodes from the main thread.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.protocol.errors import Unavailable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
GRACE_SECONDS = 5.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Node:
    """One child process."""

    name: str
    arguments: tuple[str, ...]
    """Command line, program first."""
    log: Path
    """Its stdout and stderr."""
    health: str | None = None
    """URL that answers 200 once it serves."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Starts it, or starts it again after a kill. Its log is appended to."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  the command line is ours
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9, as the power cord does."""
        if self.process is not None and self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


@dataclass
class Processes:
    """All children, in order of start."""

    logs: Path
    nodes: dict[str, Node] = field(default_factory=dict)

    def start(self, name: str, arguments: Sequence[str], health: str | None = None) -> Node:
        """Starts a child under a name of its own."""
        self.logs.mkdir(parents=True, exist_ok=True)
        node = Node(name, tuple(arguments), self.logs / f"{name}.log", health)
        self.nodes[name] = node
        node.start()
        return node

    def wait_healthy(self, names: Sequence[str], seconds: float, tell: Callable[[str], None] = lambda _: None) -> None:
        """Waits until each of `names` answers its health URL. Raises Unavailable("devnet.start") with the log's end."""
        deadline = time.monotonic() + seconds
        waiting = [self.nodes[name] for name in names]
        while waiting:
            for node in list(waiting):
                if not node.alive():
                    raise Unavailable("devnet.start", f"{node.name} ended at its start:\n{node.tail()}")
                if node.health is None or _answers(node.health):
                    waiting.remove(node)
                    tell(node.name)
            if waiting and time.monotonic() > deadline:
                late = waiting[0]
                raise Unavailable("devnet.start", f"{late.name} not healthy after {seconds:.0f} s:\n{late.tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM to all, newest first, then SIGKILL to whoever is still there."""
        alive = [node for node in reversed(self.nodes.values()) if node.alive()]
        for node in alive:
            assert node.process is not None
            with contextlib.suppress(ProcessLookupError):  # it may end between the look and the signal
                os.killpg(node.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for node in alive:
            assert node.process is not None
            try:
                node.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                node.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
