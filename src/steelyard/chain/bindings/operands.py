"""Operands.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


class Operands:
    """Operands.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def compute(
        self,
        run: tuple[Any, ...],
        node: bytes,
        element: int,
        turn: int,
        accumulator: int,
        uses: tuple[int, ...],
        openings: tuple[tuple[Any, ...], ...],
    ) -> int:
        """compute(struct run, bytes node, uint256 element, uint256 turn, uint256 accumulator, uint8[] uses, struct[] openings)"""
        data = encode(
            bytes.fromhex("a113bea2"),
            (
                "(bytes32,uint256,bytes32,uint256,uint256,bytes32,uint256,uint256,uint256)",
                "bytes",
                "uint256",
                "uint256",
                "uint256",
                "uint8[]",
                "(bytes,uint256,bytes32[],bytes32[],bytes32[])[]",
            ),
            (run, node, element, turn, accumulator, uses, openings),
        )
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def join(self, operation: int, chains: bytes) -> int:
        """join(uint256 operation, bytes chains)"""
        data = encode(bytes.fromhex("9c9b96f0"), ("uint256", "bytes"), (operation, chains))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def describe(self, node: bytes, position: int) -> tuple[int, int, int, int, int]:
        """describe(bytes node, uint256 position)"""
        data = encode(bytes.fromhex("c0cc2c11"), ("bytes", "uint256"), (node, position))
        v0, v1, v2, v3, v4 = decode(
            ("uint256", "uint256", "uint256", "uint256", "uint256"), self.chain.call(self.address, data)
        )
        return v0, v1, v2, v3, v4
