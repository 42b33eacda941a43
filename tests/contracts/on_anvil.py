"""The same world on anvil: a real chain's gas, blocks and receipts behind what `World` needs of pyrevm.

Every call of a world is one block at the world's time. Accounts send without keys (anvil impersonates) and gas is free.
"""

import atexit
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any

from courtroom import Courtroom
from desk import Desk
from gameroom import GameRoom
from moves import Town
from world import START, World

from steelyard.chain.rpc import Rpc, RpcError
from steelyard.devnet.anvil import binary
from steelyard.devnet.processes import free_port
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.keys import Key, checksum

GAS = 16_000_000  # below EIP-7825's cap for one transaction


@dataclass
class Log:
    """A log as pyrevm shows it."""

    address: str
    topics: list[str]
    data: tuple[list[bytes], bytes]


@dataclass
class Result:
    """Of the last transaction."""

    gas_used: int
    logs: list[Log]


@cache
def running() -> Rpc:
    """One anvil for all worlds of this process; it ends with the process."""
    port = free_port()
    arguments = ["--port", str(port), "--chain-id", "1", "--hardfork", "prague", "--auto-impersonate", "--silent"]
    free = ["--gas-price", "0", "--base-fee", "0", "--timestamp", str(START - 10_000)]
    process = subprocess.Popen([str(binary()), *arguments, *free], stdin=subprocess.DEVNULL)
    atexit.register(process.kill)
    rpc = Rpc(f"http://127.0.0.1:{port}")
    while True:
        try:
            rpc("eth_chainId")
        except Unavailable:
            assert process.poll() is None, "anvil ended"
        else:
            return rpc


class Machine:
    """What `World` uses of pyrevm.EVM. A new one begins on an empty chain."""

    def __init__(self) -> None:
        self.rpc = running()
        self.rpc("anvil_reset")
        self.rpc("anvil_setNextBlockBaseFeePerGas", "0x0")
        self.result = Result(0, [])
        self.now = START

    def deploy(self, sender: str, data: bytes) -> str:
        """Address of the new contract."""
        return str(self._send(sender, None, data)["contractAddress"])

    def message_call(self, sender: str, to: str, calldata: bytes, is_static: bool = False) -> bytes:
        """What the call returns; a transaction is asked first, since a receipt does not say that."""
        call = {"from": sender, "to": to, "data": "0x" + calldata.hex(), "gas": hex(GAS)}
        try:
            out: str = self.rpc("eth_call", call, "latest", {}, {"time": hex(self.now)})
        except RpcError as error:
            data = str(error.data) if error.data else ""
            raise RuntimeError(f"Revert {{ output: {data} }}" if "revert" in str(error) else str(error)) from error
        if not is_static:
            self._send(sender, to, calldata)
        return bytes.fromhex(out[2:])

    def _send(self, sender: str, to: str | None, data: bytes) -> dict[str, Any]:
        self.rpc("evm_setNextBlockTimestamp", self.now)
        call = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS), "gasPrice": "0x0"}
        hash_ = self.rpc("eth_sendTransaction", call | ({"to": to} if to else {}))
        receipt: dict[str, Any] | None = None
        while receipt is None:
            receipt = self.rpc("eth_getTransactionReceipt", hash_)
        if receipt["status"] != "0x1":
            raise RuntimeError("Revert { output: 0x }")
        logs = [
            Log(checksum(log["address"]), log["topics"], ([], bytes.fromhex(log["data"][2:])))
            for log in receipt["logs"]
        ]
        self.result = Result(int(receipt["gasUsed"], 16), logs)
        return receipt

    def reset_transient_storage(self) -> None:
        """A chain does that by itself."""


class OnAnvil(World):
    """Mixed into a world, runs it on anvil."""

    def machine(self) -> Any:
        return Machine()

    def set_clock(self) -> None:
        self.evm.now = self.now


class AnvilWorld(OnAnvil):
    """Bare."""


class AnvilDesk(OnAnvil, Desk):
    """With orders."""


class AnvilCourtroom(OnAnvil, Courtroom):
    """With a court. A world's blocks are its transactions there, so two more let a jury be seated."""

    def seat(self, case: bytes) -> list[Key]:
        for _ in range(2):
            self.token.approve(self.court.address, 0, by=self.deployer)
        return super().seat(case)


class AnvilGameRoom(OnAnvil, GameRoom):
    """With games."""


class AnvilTown(OnAnvil, Town):
    """With the money machine's people."""
