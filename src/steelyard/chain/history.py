"""What was sent to a contract: the transactions behind its events, with their arguments and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from steelyard.chain.codec import abi_type, decode
from steelyard.chain.deploy import artifact
from steelyard.chain.following import SPAN
from steelyard.chain.port import Log
from steelyard.chain.rpc import Rpc, RpcError, read_log, refusal
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import Address, Timestamp


@dataclass(frozen=True, slots=True)
class Sent:
    """A mined transaction that did not revert."""

    hash: bytes
    sender: Address
    to: Address | None
    data: bytes = field(repr=False)
    gas_used: int
    block: int
    at: Timestamp
    logs: tuple[Log, ...] = field(repr=False)
    """All of its events, other contracts' too."""


@dataclass(frozen=True, slots=True)
class Call:
    """Calldata, read."""

    name: str
    arguments: Mapping[str, Any]
    """Structs are mappings, too."""


def behind(rpc: Rpc, contract: Address, topic: bytes, first: int, last: int) -> list[Sent]:
    """The transactions, in order, whose events of `contract` have `topic` as their first indexed field.

    Raises Unavailable, and Refused if the endpoint refuses."""
    found: dict[str, None] = {}
    for begin in range(first, last + 1, SPAN):
        blocks = {"fromBlock": hex(begin), "toBlock": hex(min(begin + SPAN - 1, last))}
        query = {"address": contract, "topics": [None, "0x" + topic.hex()], **blocks}
        found |= {log["transactionHash"]: None for log in _ask(rpc, "eth_getLogs", query)}
    return [_sent(rpc, digest) for digest in found]


def _sent(rpc: Rpc, digest: str) -> Sent:
    transaction, receipt = (_ask(rpc, f"eth_getTransaction{what}", digest) for what in ("ByHash", "Receipt"))
    block = _ask(rpc, "eth_getBlockByNumber", receipt["blockNumber"], False)
    return Sent(
        hash=bytes.fromhex(digest[2:]),
        sender=checksum(transaction["from"]),
        to=checksum(transaction["to"]) if transaction["to"] else None,
        data=bytes.fromhex(transaction["input"][2:]),
        gas_used=int(receipt["gasUsed"], 16),
        block=int(receipt["blockNumber"], 16),
        at=Timestamp(int(block["timestamp"], 16)),
        logs=tuple(read_log(log) for log in receipt["logs"]),
    )


def _ask(rpc: Rpc, method: str, *params: object) -> Any:
    try:
        return rpc(method, *params)
    except RpcError as error:
        raise refusal(error) from error


def read_call(contract: str, data: bytes) -> Call:
    """The function of a contract of ours that calldata calls, and its arguments by name.

    Raises Refused("chain.calldata") if it is none of them, Unavailable("chain.decode")."""
    entry = _functions(contract).get(data[:4])
    if entry is None:
        raise Refused("chain.calldata", f"0x{data[:4].hex()} is no function of {contract}")
    inputs = entry["inputs"]
    values = decode([abi_type(item) for item in inputs], data[4:])
    return Call(entry["name"], _named(inputs, values))


@cache
def _functions(contract: str) -> dict[bytes, dict[str, Any]]:
    entries = [entry for entry in artifact(contract)["abi"] if entry["type"] == "function"]
    told = ((entry, f"{entry['name']}({','.join(map(abi_type, entry['inputs']))})") for entry in entries)
    return {keccak256(signature.encode())[:4]: entry for entry, signature in told}


def _named(inputs: Sequence[dict[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    return {item["name"]: _fancy(item, value) for item, value in zip(inputs, values, strict=True)}


def _fancy(item: dict[str, Any], value: Any) -> Any:
    if item["type"] == "tuple":
        return _named(item["components"], value)
    if item["type"] == "tuple[]":
        return tuple(_named(item["components"], one) for one in value)
    return value
