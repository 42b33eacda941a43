"""Answers.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Read:
    """What Answers.vy returns."""

    nodes: int
    vocabulary: int
    beaten: bool
    sieve: bytes


class Answers:
    """Answers.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def followed(self, shown: tuple[Any, ...], receipt: bytes) -> int:
        """followed(struct shown, bytes32 receipt)"""
        data = encode(
            bytes.fromhex("35009d1f"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes32",
            ),
            (shown, receipt),
        )
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def cancelled(self, shown: tuple[Any, ...], receipt: bytes, cancel: tuple[Any, ...], signature: bytes) -> bool:
        """cancelled(struct shown, bytes32 receipt, struct cancel, bytes signature)"""
        data = encode(
            bytes.fromhex("7fe75113"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes32",
                "(uint16,bytes32,uint32)",
                "bytes",
            ),
            (shown, receipt, cancel, signature),
        )
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value

    def ended(
        self,
        shown: tuple[Any, ...],
        receipt: bytes,
        facts: bytes,
        leaves: int,
        path: tuple[bytes, ...],
        unit: tuple[Any, ...],
    ) -> bool:
        """ended(struct shown, bytes32 receipt, bytes facts, uint256 leaves, bytes32[] path, struct unit)"""
        data = encode(
            bytes.fromhex("49cb5430"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes32",
                "bytes",
                "uint256",
                "bytes32[]",
                "(bytes32,bytes,bytes32[],bytes32)",
            ),
            (shown, receipt, facts, leaves, path, unit),
        )
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value

    def unit(self, root: bytes, count: int, index: int, shown: tuple[Any, ...]) -> int:
        """unit(bytes32 root, uint256 count, uint256 index, struct shown)"""
        data = encode(
            bytes.fromhex("29d0c2bc"),
            ("bytes32", "uint256", "uint256", "(bytes32,bytes,bytes32[],bytes32)"),
            (root, count, index, shown),
        )
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def folded(self, children: tuple[bytes, ...], first: int, below: int, count: int) -> bytes:
        """folded(bytes32[] children, uint256 first, uint256 below, uint256 count)"""
        data = encode(
            bytes.fromhex("ec905c0b"), ("bytes32[]", "uint256", "uint256", "uint256"), (children, first, below, count)
        )
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def read(self, agreed: tuple[Any, ...], shown: tuple[Any, ...]) -> Read:
        """read(struct agreed, struct shown)"""
        data = encode(
            bytes.fromhex("3e7a2c72"),
            (
                "(bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256,uint256,(uint256,uint256,uint256,uint256))",
                "(bytes,uint256,bytes32[],bytes32,bytes,bytes32[],bytes32[],(bytes32,bytes,bytes32[],bytes32),bytes,bytes32[],bytes32[],bytes,bytes32[],bytes32[],((uint256,bytes,bytes32[]),(uint256,bytes,bytes32[]),uint256))",
            ),
            (agreed, shown),
        )
        return Read(*decode(("(uint256,uint256,bool,bytes32)",), self.chain.call(self.address, data))[0])

    def weighs(
        self, digest: bytes, sieve: tuple[Any, ...], id_: int, words: bytes, path: tuple[bytes, ...], claimed: int
    ) -> bool:
        """weighs(bytes32 digest, struct sieve, uint256 id, bytes words, bytes32[] path, uint256 claimed)"""
        data = encode(
            bytes.fromhex("fe3ba327"),
            (
                "bytes32",
                "(bytes32,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)",
                "uint256",
                "bytes",
                "bytes32[]",
                "uint256",
            ),
            (digest, sieve, id_, words, path, claimed),
        )
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value
