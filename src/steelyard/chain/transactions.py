"""Signed EIP-1559 transactions by hand: RLP, Keccak-256, secp256k1. A test holds them equal to eth-account's.

Half a second of imports less for each of the many processes of a market on one machine.
Sources: EIP-2718, EIP-1559; Ethereum yellow paper, appendix B (RLP).
"""

from dataclasses import dataclass

from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import Key
from steelyard.protocol.units import Address

DYNAMIC_FEE = b"\x02"
"""EIP-2718 type of an EIP-1559 transaction."""

Item = bytes | int | list["Item"]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call (or, with `to` None, a deployment) that moves no ether. Fees in wei per gas."""

    chain_id: int
    nonce: int
    tip: int
    fee_cap: int
    gas: int
    to: Address | None
    data: bytes

    def sign(self, key: Key) -> tuple[bytes, bytes]:
        """The raw transaction and its hash (32 bytes)."""
        to = bytes.fromhex(self.to[2:]) if self.to else b""
        body: list[Item] = [self.chain_id, self.nonce, self.tip, self.fee_cap, self.gas, to, 0, self.data, []]
        signature = key.sign(keccak256(DYNAMIC_FEE + rlp(body)))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        raw = DYNAMIC_FEE + rlp([*body, signature[64] - 27, r, s])
        return raw, keccak256(raw)


def rlp(item: Item) -> bytes:
    """Recursive length prefix; integers big-endian without leading zeros."""
    if isinstance(item, list):
        return _prefixed(0xC0, b"".join(rlp(part) for part in item))
    data = item.to_bytes((item.bit_length() + 7) // 8, "big") if isinstance(item, int) else item
    return data if len(data) == 1 and data[0] < 0x80 else _prefixed(0x80, data)


def _prefixed(kind: int, data: bytes) -> bytes:
    if len(data) <= 55:
        return bytes([kind + len(data)]) + data
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([kind + 55 + len(size)]) + size + data
