"""The chain over plain JSON-RPC: any endpoint in production, anvil on a laptop.

Transactions are signed by eth-account (type 2, EIP-1559); the rest is four requests, so no client library is loaded.
"""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from steelyard.chain.port import Block, Log, Mined
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.units import Address, Timestamp

TIMEOUT = 20.0
MINED_WITHIN = 120.0
POLL = 0.05
MAX_ANSWER = 64 << 20
TIP = 10**9  # 1 gwei
ERROR_STRING = bytes.fromhex("08c379a0")  # selector of Error(string)
HEADERS = {"content-type": "application/json"}


class RpcError(Exception):
    """A JSON-RPC error object: code, message, data."""

    def __init__(self, code: int, message: str, data: object) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Rpc:
    """JSON-RPC over HTTP, one kept-alive connection per thread. Raises Unavailable("chain.unreachable"), RpcError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise Refused("chain.url", f"{url!r:.100} is no http(s) address")
        self.url = url
        self._parts = parts
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []
        self._ids = itertools.count(1)

    def __call__(self, method: str, *params: object) -> Any:
        """The result of one request; a dropped connection is tried once more (every request of ours is idempotent)."""
        body = json.dumps({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        for attempt in (1, 2):
            try:
                answer = self._post(body)
                break
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._drop()
                if attempt == 2:
                    raise Unavailable("chain.unreachable", f"{self.url}: {type(error).__name__} {error}") from error
        if "error" in answer:
            error_ = answer["error"]
            raise RpcError(error_.get("code", 0), str(error_.get("message")), error_.get("data"))
        return answer["result"]

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
            if connection in self._open:
                self._open.remove(connection)

    def close(self) -> None:
        """Closes every thread's connection; the next request opens a new one."""
        while self._open:
            self._open.pop().close()

    def _post(self, body: str) -> dict[str, Any]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT)
            self._local.connection = connection
            self._open.append(connection)  # a thread's connection is never seen by another, but closed with the rest
        path = self._parts.path or "/"
        connection.request("POST", f"{path}?{self._parts.query}" if self._parts.query else path, body, HEADERS)
        response = connection.getresponse()
        raw = response.read(MAX_ANSWER)
        answer = json.loads(raw)
        if not isinstance(answer, dict) or not ("result" in answer or isinstance(answer.get("error"), dict)):
            raise ValueError(f"status {response.status}, no JSON-RPC answer")
        return answer


class RpcChain:
    """`chain.port.Chain` over JSON-RPC."""

    def __init__(self, url: str, key: Key | None = None, chain_id: int | None = None) -> None:
        """Raises Refused("chain.id") if `chain_id` is given and the endpoint serves another chain."""
        self.rpc = Rpc(url)
        self._key = key
        self._nonce = 0
        self._sending = threading.Lock()
        self.chain_id = int(self.rpc("eth_chainId"), 16)
        if chain_id is not None and chain_id != self.chain_id:
            raise Refused("chain.id", f"{url} serves chain {self.chain_id}, not {chain_id}")

    @property
    def account(self) -> Address | None:
        """Who sends."""
        return self._key.address if self._key else None

    def close(self) -> None:
        """Closes the connections."""
        self.rpc.close()

    def head(self) -> Block:
        """Latest block."""
        block = self.rpc("eth_getBlockByNumber", "latest", False)
        return Block(int(block["number"], 16), Timestamp(int(block["timestamp"], 16)))

    def call(self, to: Address, data: bytes) -> bytes:
        """eth_call at the latest block."""
        request = {"to": to, "data": "0x" + data.hex()}
        if self._key:
            request["from"] = self._key.address
        try:
            return bytes.fromhex(self.rpc("eth_call", request, "latest")[2:])
        except RpcError as error:
            raise refusal(error) from error

    def send(self, to: Address | None, data: bytes) -> Mined:
        """See the port."""
        if self._key is None:
            raise Refused("chain.no-key", "this node reads only")
        request: dict[str, str] = {"from": self._key.address, "data": "0x" + data.hex()}
        if to is not None:
            request["to"] = to
        with self._sending:
            tx_hash = self._submit(request, to, data)
        return self._wait(tx_hash)

    def _submit(self, request: dict[str, str], to: Address | None, data: bytes) -> str:
        from eth_account import Account  # half a second of imports that readers do not need

        assert self._key is not None
        try:
            gas = int(self.rpc("eth_estimateGas", request, "pending"), 16)
        except RpcError as error:
            raise refusal(error) from error
        base = int(self.rpc("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
        known = int(self.rpc("eth_getTransactionCount", self._key.address, "pending"), 16)
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": known,
            "gas": gas + gas // 3,  # state may move between estimate and block
            "maxFeePerGas": 2 * base + TIP,
            "maxPriorityFeePerGas": TIP,
            "value": 0,
            "data": data,
        }
        if to is not None:
            transaction["to"] = to
        signed = Account.sign_transaction(transaction, self._key.secret)
        tx_hash = "0x" + bytes(signed.hash).hex()
        try:
            self.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        except RpcError as error:
            if "already" not in error.message:  # the first try of a retried request got through
                raise refusal(error) from error
        return tx_hash

    def _wait(self, tx_hash: str) -> Mined:
        deadline = time.monotonic() + MINED_WITHIN
        while (receipt := self.rpc("eth_getTransactionReceipt", tx_hash)) is None:
            if time.monotonic() > deadline:
                raise Unavailable("chain.timeout", f"{tx_hash} not mined within {MINED_WITHIN:.0f} s")
            time.sleep(POLL)
        if int(receipt["status"], 16) != 1:
            raise Refused("chain.reverted", f"{tx_hash} in block {int(receipt['blockNumber'], 16)}")
        contract = receipt.get("contractAddress")
        return Mined(
            bytes.fromhex(tx_hash[2:]),
            int(receipt["blockNumber"], 16),
            int(receipt["gasUsed"], 16),
            checksum(contract) if contract else None,
            tuple(read_log(log) for log in receipt["logs"]),
        )

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> list[Log]:
        """eth_getLogs."""
        if last < first:
            return []
        query = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
        try:
            found = [read_log(log) for log in self.rpc("eth_getLogs", query)]
        except RpcError as error:
            raise refusal(error) from error
        return sorted(found, key=lambda log: (log.block, log.index))

    def code(self, address: Address) -> bytes:
        """Runtime code at an address; empty if none."""
        return bytes.fromhex(self.rpc("eth_getCode", address, "latest")[2:])


def read_log(log: dict[str, Any]) -> Log:
    """A JSON-RPC log object."""
    return Log(
        checksum(log["address"]),
        tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]),
        bytes.fromhex(log["data"][2:]),
        int(log["blockNumber"], 16),
        int(log["logIndex"], 16),
    )


def refusal(error: RpcError) -> Refused | Unavailable:
    """A revert as Refused(rule = revert string); anything else is the endpoint's trouble."""
    data = error.data
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and data.startswith("0x"):
        raw = bytes.fromhex(data[2:])
        if raw[:4] == ERROR_STRING and len(raw) >= 68:
            size = int.from_bytes(raw[36:68], "big")
            return Refused(raw[68 : 68 + size].decode(errors="replace"), "the contract refused")
        if raw or "revert" in error.message:
            return Refused("chain.reverted", f"{error.message:.200} 0x{raw[:68].hex()}")
    if "revert" in error.message:
        return Refused("chain.reverted", f"{error.message:.200}")
    return Unavailable("chain.error", f"{error.code} {error.message:.300}")
