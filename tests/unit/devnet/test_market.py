"""What a market refuses before it starts a process."""

import json
import socket
import sys
from pathlib import Path

import pytest

from steelyard.devnet import market
from steelyard.devnet.processes import Processes
from steelyard.protocol.errors import Refused, Unavailable


def test_a_directory_that_holds_a_market_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / market.DEPLOYMENT).write_text("{}")
    with pytest.raises(Refused, match=r"devnet\.directory: .* holds a market already"):
        market.up(market.ALPHABET, directory=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [market.DEPLOYMENT]


def test_a_gateways_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Refused, match=r"port\.taken"):
        market.up(market.ALPHABET, directory=tmp_path / "new", port=taken.getsockname()[1])
    assert not (tmp_path / "new").exists()


def test_a_node_that_refuses_to_begin_says_so_in_a_line(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    told = {"data": str(tmp_path), "key": "11" * 32, "api_key": "k", "daily_budget": None, "channel": "22" * 32}
    told |= {"texts": {}, "rpc_url": "http://127.0.0.1:1", "deployment": str(tmp_path / "none.json"), "port": 0}
    settings.write_text(json.dumps(told))
    processes = Processes(tmp_path)
    processes.start("node", [sys.executable, "-m", "steelyard.devnet.child", "gateway", str(settings)])
    process = processes.nodes["node"].process
    assert process is not None
    assert process.wait(60) == 1
    with pytest.raises(Unavailable) as caught:
        processes.wait_healthy(["node"], 5)
    assert caught.value.rule == "devnet.start"
    assert "Traceback" not in caught.value.detail
    assert "refused deployment: " in caught.value.detail
