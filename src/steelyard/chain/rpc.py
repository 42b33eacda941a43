"""The chain over plain JSON-RPC: any endpoint in production, anvil on a laptop.

Transactions are signed by hand (`transactions`); the rest is a few requests, so no client library is loaded.

Nothing is sent twice: a request that failed on the way is repeated with the very same signed transaction; a new one is
signed only when all that this account sent before is mined (after a restart, too) or has lost its nonce to it.
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
from steelyard.chain.transactions import Transaction
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.units import Address, Timestamp

TIMEOUT = 20.0
MINED_WITHIN = 120.0
POLL = 0.05
LOOK_EVERY = 20  # polls: whether what is not mined still can be
GONE = 3  # looks in a row that say no
MAX_ANSWER = 64 << 20
TIP = 10**9  # 1 gwei
NONCE_TRIES = 3
NONCE_WORDS = ("nonce", "underpriced")
"""In an endpoint's complaint when another process sent for the same account just now."""
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
        self._parts = parts
        # path, query and user may hold a key, and whoever asks our nodes reads their errors
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
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
                    raise Unavailable("chain.unreachable", f"{self._shown}: {type(error).__name__} {error}") from error
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
        if connection not in self._open:  # none yet, or closed with all others
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


_SENDING: dict[Address, threading.Lock] = {}
"""One for each account of this process, whatever number of chains send for it: nonces are handed out in order."""


class RpcChain:
    """`chain.port.Chain` over JSON-RPC."""

    def __init__(self, url: str, key: Key | None = None, chain_id: int | None = None) -> None:
        """With a key, waits until nothing that it sent before is in flight, so that what the caller reads next is true.

        Raises Refused("chain.id") if `chain_id` is given and the endpoint serves another chain, Unavailable."""
        self.rpc = Rpc(url)
        self._key = key
        self._lost: dict[tuple[Address | None, bytes], str] = {}
        """Calls whose fate we have not seen -> hash of their transaction."""
        self.chain_id = int(self.rpc("eth_chainId"), 16)
        if chain_id is not None and chain_id != self.chain_id:
            raise Refused("chain.id", f"{url} serves chain {self.chain_id}, not {chain_id}")
        if key is not None:
            self._sending = _SENDING.setdefault(key.address, threading.Lock())
            self._land(key.address)

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
        """See the port. The same call again, after Unavailable, finds what became of the first one."""
        if self._key is None:
            raise Refused("chain.no-key", "this node reads only")
        request: dict[str, str] = {"from": self._key.address, "data": "0x" + data.hex()}
        if to is not None:
            request["to"] = to
        with self._sending:
            if self._lost:
                self._land(self._key.address)
            tx_hash = self._lost.get((to, data))
            if tx_hash is None or self.rpc("eth_getTransactionReceipt", tx_hash) is None:
                tx_hash = self._submit(self._key, request, to, data)
            self._lost.pop((to, data), None)
        try:
            return self._wait(tx_hash, request)
        except Unavailable:
            self._lost[to, data] = tx_hash
            raise

    def _land(self, account: Address) -> None:
        """Waits until all that the account has in flight is mined."""
        deadline = time.monotonic() + MINED_WITHIN
        while (flying := self._count(account, "pending") - self._count(account, "latest")) > 0:
            if time.monotonic() > deadline:
                raise Unavailable("chain.timeout", f"{flying} of {account} in flight for {MINED_WITHIN:.0f} s")
            time.sleep(POLL)

    def _count(self, account: Address, at: str) -> int:
        return int(self.rpc("eth_getTransactionCount", account, at), 16)

    def _submit(self, key: Key, request: dict[str, str], to: Address | None, data: bytes) -> str:
        for attempt in range(1, NONCE_TRIES + 1):
            try:
                gas = int(self.rpc("eth_estimateGas", request, "pending"), 16)
                base = int(self.rpc("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
                gas += gas // 3  # state may move between estimate and block
                nonce = self._count(key.address, "pending")
                transaction = Transaction(self.chain_id, nonce, TIP, 2 * base + TIP, gas, to, data)
                raw, digest = transaction.sign(key)
                tx_hash = "0x" + digest.hex()
                self._lost[to, data] = tx_hash
                self.rpc("eth_sendRawTransaction", "0x" + raw.hex())
            except RpcError as error:
                if "already" in error.message:  # the first try of a repeated request got through
                    break
                self._lost.pop((to, data), None)
                if attempt == NONCE_TRIES or not any(word in error.message for word in NONCE_WORDS):
                    raise refusal(error) from error
            else:
                break
        return tx_hash

    def _wait(self, tx_hash: str, request: dict[str, str]) -> Mined:
        deadline = time.monotonic() + MINED_WITHIN
        polls = gone = 0
        while (receipt := self.rpc("eth_getTransactionReceipt", tx_hash)) is None:
            if time.monotonic() > deadline:
                raise Unavailable("chain.timeout", f"{tx_hash} not mined within {MINED_WITHIN:.0f} s")
            polls += 1
            if polls % LOOK_EVERY == 0:
                gone = gone + 1 if self._is_gone(tx_hash) else 0
            if gone == GONE:
                raise Unavailable("chain.dropped", f"{tx_hash} will not be mined: a reorganisation took what it needs")
            time.sleep(POLL)
        if int(receipt["status"], 16) != 1:
            raise self._why(tx_hash, request, receipt["blockNumber"])
        contract = receipt.get("contractAddress")
        return Mined(
            bytes.fromhex(tx_hash[2:]),
            int(receipt["blockNumber"], 16),
            int(receipt["gasUsed"], 16),
            checksum(contract) if contract else None,
            tuple(read_log(log) for log in receipt["logs"]),
        )

    def _is_gone(self, tx_hash: str) -> bool:
        """True if the endpoint has lost it, or one of the account's before it: then it would wait for ever."""
        found = self.rpc("eth_getTransactionByHash", tx_hash)
        return found is None or int(found["nonce"], 16) > self._count(found["from"], "pending")

    def _why(self, tx_hash: str, request: dict[str, str], block: str) -> Refused | Unavailable:
        """Why a mined transaction reverted: the same call on the state after its block, if that says it."""
        try:
            self.rpc("eth_call", request, block)
        except RpcError as error:
            return refusal(error)
        return Refused("chain.reverted", f"{tx_hash} in block {int(block, 16)}")

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
