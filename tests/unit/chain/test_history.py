"""Transactions behind a contract's events, and what their calldata says."""

from typing import Any

import pytest

from steelyard.chain.bindings.games import Games
from steelyard.chain.following import SPAN
from steelyard.chain.history import behind, read_call
from steelyard.chain.port import Mined
from steelyard.chain.rpc import Rpc, RpcError
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import checksum

GAMES, ANN = checksum("0x" + "ab" * 20), checksum("0x" + "cd" * 20)
CASE = b"\x07" * 32


class Endpoint(Rpc):
    """Three moves in two blocks, two of them in one transaction; another contract's event beside one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.fails = False

    def __call__(self, method: str, *params: object) -> Any:
        self.asked.append((method, params))
        if self.fails:
            raise RpcError(-32005, "limit exceeded", None)
        return getattr(self, method)(*params)

    def eth_getLogs(self, query: dict[str, Any]) -> list[dict[str, str]]:
        assert query["address"] == GAMES
        assert query["topics"] == [None, "0x" + CASE.hex()]
        there = {5: ["0x" + "11" * 32] * 2, SPAN + 9: ["0x" + "22" * 32]}
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [{"transactionHash": one} for block, found in there.items() if first <= block <= last for one in found]

    def eth_getTransactionByHash(self, digest: str) -> dict[str, Any]:
        return {"from": ANN, "to": None if digest[2:4] == "11" else GAMES, "input": "0x" + digest[2:10]}

    def eth_getTransactionReceipt(self, digest: str) -> dict[str, Any]:
        block = hex(5 if digest[2:4] == "11" else SPAN + 9)
        log = {"address": ANN, "topics": ["0x" + "01" * 32], "data": "0x02", "blockNumber": block, "logIndex": "0x3"}
        return {"gasUsed": "0x5208", "blockNumber": block, "logs": [log]}

    def eth_getBlockByNumber(self, number: str, _: bool) -> dict[str, str]:
        return {"timestamp": hex(1_000 + int(number, 16))}


def test_a_transaction_is_found_once_in_order_with_all_its_events() -> None:
    endpoint = Endpoint()
    first, second = behind(endpoint, GAMES, CASE, 1, SPAN + 10)
    assert (first.hash, first.to, first.data, first.block, first.at) == (b"\x11" * 32, None, b"\x11" * 4, 5, 1_005)
    assert (second.sender, second.to, second.gas_used) == (ANN, GAMES, 21_000)
    assert [log.address for log in second.logs] == [ANN]
    assert [name for name, _ in endpoint.asked].count("eth_getLogs") == 2


def test_an_endpoint_that_refuses_is_told_as_such() -> None:
    endpoint = Endpoint()
    endpoint.fails = True
    with pytest.raises(Exception, match="limit exceeded"):
        behind(endpoint, GAMES, CASE, 1, 2)


class Sink:
    """A chain that keeps what is sent."""

    data = b""

    def send(self, to: str | None, data: bytes) -> Mined:
        self.data = data
        return Mined(b"", 0, 0, None, ())


def sent(name: str, *values: Any) -> bytes:
    sink = Sink()
    getattr(Games(sink, GAMES), name)(*values)  # type: ignore[arg-type]
    return sink.data


def test_calldata_says_which_function_and_every_argument_by_name() -> None:
    call = read_call("Games", sent("pick", CASE, b"\x01" * 32, 3, b"\x05" * 8))
    assert call.name == "pick"
    assert call.arguments == {"case": CASE, "seen": b"\x01" * 32, "index": 3, "words": b"\x05" * 8}


def test_structs_are_mappings_and_lists_of_them_too() -> None:
    opening = (b"\x09" * 3, 4, (b"\x01" * 32,), (), ())
    unit = (b"\x02" * 32, b"\x06" * 4, (), b"\x00" * 32)
    call = read_call("Games", sent("step", CASE, b"\x01" * 32, 9, b"\x08", unit, (0, 0), (opening, opening)))
    assert call.arguments["unit"]["units"] == b"\x06" * 4
    assert [one["data"] for one in call.arguments["openings_"]] == [b"\x09" * 3] * 2
    assert call.arguments["uses"] == (0, 0)


def test_calldata_of_something_else_is_refused() -> None:
    for data in (b"", b"\x01\x02\x03\x04" + bytes(64)):
        with pytest.raises(Refused) as refusal:
            read_call("Games", data)
        assert refusal.value.rule == "chain.calldata"
