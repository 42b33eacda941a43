"""Proofs.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


class Proofs:
    """Proofs.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def convict_twice(
        self,
        exhibit: tuple[Any, ...],
        order_signature: bytes,
        receipt_signature: bytes,
        other: tuple[Any, ...],
        other_signature: bytes,
        shown: tuple[Any, ...],
    ) -> Mined:
        """convict_twice(struct exhibit, bytes order_signature, bytes receipt_signature, struct other, bytes other_signature, struct shown)"""
        data = encode(
            bytes.fromhex("3703172b"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "(uint16,bytes32,bytes32,bytes32,bytes32,bytes32)",
                "bytes",
                "(uint256,uint256,bytes32[])",
            ),
            (exhibit, order_signature, receipt_signature, other, other_signature, shown),
        )
        return self.chain.send(self.address, data)

    def convict_model(
        self, exhibit: tuple[Any, ...], order_signature: bytes, receipt_signature: bytes, shown: tuple[Any, ...]
    ) -> Mined:
        """convict_model(struct exhibit, bytes order_signature, bytes receipt_signature, struct shown)"""
        data = encode(
            bytes.fromhex("4343f684"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "(uint256,uint256,bytes32[])",
            ),
            (exhibit, order_signature, receipt_signature, shown),
        )
        return self.chain.send(self.address, data)

    def convict_count(
        self, exhibit: tuple[Any, ...], order_signature: bytes, receipt_signature: bytes, shown: tuple[Any, ...]
    ) -> Mined:
        """convict_count(struct exhibit, bytes order_signature, bytes receipt_signature, struct shown)"""
        data = encode(
            bytes.fromhex("ab1f0da2"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "(uint256,uint256,bytes32[])",
            ),
            (exhibit, order_signature, receipt_signature, shown),
        )
        return self.chain.send(self.address, data)

    def convict_end(
        self,
        exhibit: tuple[Any, ...],
        order_signature: bytes,
        receipt_signature: bytes,
        facts: bytes,
        leaves: int,
        path: tuple[bytes, ...],
        index: int,
        unit: tuple[Any, ...],
        shown: tuple[Any, ...],
    ) -> Mined:
        """convict_end(struct exhibit, bytes order_signature, bytes receipt_signature, bytes facts, uint256 leaves, bytes32[] path, uint256 index, struct unit, struct shown)"""
        data = encode(
            bytes.fromhex("a794dc0c"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "bytes",
                "uint256",
                "bytes32[]",
                "uint256",
                "(bytes32,bytes,bytes32[],bytes32)",
                "(uint256,uint256,bytes32[])",
            ),
            (exhibit, order_signature, receipt_signature, facts, leaves, path, index, unit, shown),
        )
        return self.chain.send(self.address, data)

    def convict_prefix(
        self,
        exhibit: tuple[Any, ...],
        order_signature: bytes,
        receipt_signature: bytes,
        index: int,
        answered: tuple[Any, ...],
        ordered: tuple[Any, ...],
        shown: tuple[Any, ...],
    ) -> Mined:
        """convict_prefix(struct exhibit, bytes order_signature, bytes receipt_signature, uint256 index, struct answered, struct ordered, struct shown)"""
        data = encode(
            bytes.fromhex("093e1a9a"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "uint256",
                "(bytes32,bytes,bytes32[],bytes32)",
                "(bytes32,bytes,bytes32[],bytes32)",
                "(uint256,uint256,bytes32[])",
            ),
            (exhibit, order_signature, receipt_signature, index, answered, ordered, shown),
        )
        return self.chain.send(self.address, data)
