"""What a market refuses before it starts a process."""

import socket
from pathlib import Path

import pytest

from steelyard.devnet import market
from steelyard.protocol.errors import Refused


def test_a_directory_that_holds_a_market_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / market.DEPLOYMENT).write_text("{}")
    with pytest.raises(Refused, match=r"devnet\.directory: .* holds a market already"):
        market.up(market.ALPHABET, directory=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [market.DEPLOYMENT]


def test_a_gateways_port_that_is_taken_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Refused, match=r"port\.taken"):
        market.up(market.ALPHABET, directory=tmp_path / "new", port=taken.getsockname()[1])
    assert not (tmp_path / "new").exists()
