"""A market made by hand with the command line: wallets, a provider, an auditor, a gateway, an answer, its receipt, the
channel closed and the money back. Every step is a process of its own, as a person would start it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.deploy import DEVNET, Deployment, deploy
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import DEPLOYER, Anvil
from steelyard.devnet.processes import Processes, free_port
from steelyard.market.onchain import OnchainLedger
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import MICRO

pytestmark = pytest.mark.slow
API_KEY = "sk-test-0123456789abcdef"
START_SECONDS = 60


@dataclass
class Person:
    """Somebody at a terminal."""

    folder: Path
    anvil: Anvil
    ledger: OnchainLedger
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        own = {"STEELYARD_WALLETS": str(self.folder / "wallets"), "STEELYARD_PASSWORD": "correct horse"}
        own |= {"STEELYARD_RPC": self.anvil.url, "STEELYARD_DEPLOYMENT": str(self.folder / "deployment.json")}
        return {**os.environ, **own, "STEELYARD_API_KEY": API_KEY}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from steelyard.cli.main import main; main()", *words]

    def type(self, *words: str, code: int = 0) -> str:
        """A command's output, its complaints included; it must end with this code."""
        ran = subprocess.run(
            self.command(*words), env=self.environment(), cwd=self.folder, capture_output=True, text=True
        )
        assert ran.returncode == code, ran.stderr
        return ran.stdout + ran.stderr

    def start(self, port: int, *words: str) -> None:
        """A node, once it serves."""
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            node = subprocess.Popen(
                self.command(*words, "--port", str(port)),
                env=self.environment(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.nodes.append(node)
        self.wait(f"http://127.0.0.1:{port}/health", node)

    def wait(self, url: str, node: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                assert node.poll() is None, [log.read_text() for log in self.folder.glob("*.log")]
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def make(self, wallet: str) -> str:
        """A wallet with gas and a thousand tokens; its address."""
        address: str = json.loads(self.type("wallet", "new", wallet, "--json"))["address"]
        assert json.loads(self.type("wallet", "fund", wallet, "--json"))["tokens"] == "1000"
        return address

    def claimed(self, channel: str, amount: int) -> None:
        """Waits until the provider's node has claimed by itself."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = self.ledger.channel(bytes.fromhex(channel[2:]))
            if found is not None and found.claimed == amount:
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    processes = Processes(tmp_path / "logs")
    try:
        began = int(time.time()) - DEVNET.epoch_seconds - 60  # noqa: TID251  a real clock to begin with
        anvil = Anvil(processes, start=began)
        chain = RpcChain(anvil.url, DEPLOYER)
        deployment: Deployment = deploy(chain, DEVNET)
        deployment.save(tmp_path / "deployment.json")
        made = Person(tmp_path, anvil, OnchainLedger(chain, deployment))
        try:
            yield made
        finally:
            for node in made.nodes:
                node.send_signal(signal.SIGTERM)
            for node in made.nodes:
                node.wait(30)
            chain.close()
            anvil.rpc.close()
    finally:
        processes.stop()


def ask(port: int, body: dict[str, Any]) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        told: bytes = answer.read()
        return told


def test_a_market_can_be_made_by_typing_commands(person: Person) -> None:
    ports = {name: free_port() for name in ("provider", "auditor", "gateway")}
    addresses = {name: person.make(name) for name in ("owner", "session", "provider", "auditor")}
    sold = ("--model", "alphabet", "--price-in", "0.2", "--price-out", "0.6")
    assert "registration.unknown" in person.type("provide", *sold, code=1)
    person.start(
        ports["provider"], "provide", *sold, "--level", "open", "--level", "audited", "--register", "--data", "p"
    )
    person.start(ports["auditor"], "audit", "--model", "alphabet", "--stake", "100", "--purse", "100", "--data", "a")
    person.anvil.turn(DEVNET.epoch_seconds)
    offers = json.loads(person.type("offers", "--json"))
    assert [(offer["level"], offer["price_out"], offer["provider"]) for offer in offers["offers"]] == [
        ("audited", "0.6", addresses["provider"]),
        ("open", "0.6", addresses["provider"]),
    ]

    opened = person.type(
        "wallet", "deposit", "50", "--session", "session", "--to", f"{addresses['provider']}=4", "--json"
    )
    channel = json.loads(opened)["channel"]
    person.start(ports["gateway"], "gateway", "--data", "g", "--daily-budget", "1")
    question = {"model": "alphabet", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    answer = ask(ports["gateway"], question)
    (person.folder / "answer.json").write_bytes(answer)
    price = json.loads(answer)["usage"]["cost_micro"]
    assert price > 0

    assert "The receipt holds." in person.type("verify", "answer.json")
    chain = ("--deployment", "deployment.json", "--engine")
    assert "✓ evidence" in person.type("verify", "answer.json", *chain, "alphabet")
    assert "✗ evidence" in person.type("verify", "answer.json", *chain, "alphabet?lie_from=0", code=1)
    assert [row["state"] for row in json.loads(person.type("orders", "g", "--json"))] == ["settled"]

    person.type("wallet", "allocate", channel, addresses["provider"], "2.5")
    too_much = person.type("wallet", "allocate", channel, addresses["provider"], "43.6", code=1)
    assert too_much == (
        "refused escrow.allocation: wanted 43600000, free 43500000 micro-tokens: 6500000 of 50000000 allocated\n"
    )
    person.type("wallet", "top-up", channel, "10")
    assert "providers may still claim" in person.type("wallet", "close", channel)
    person.claimed(channel, price)
    person.anvil.turn(DEVNET.close_window + 1)
    assert "closed; 59.9999" in person.type("wallet", "close", channel)
    person.type("wallet", "withdraw")
    assert person.ledger.token.balance_of(checksum(addresses["owner"])) == 1_000 * MICRO - price
