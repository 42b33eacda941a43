"""Step.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


class Step:
    """Step.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def step(self, body: bytes, operands: tuple[int, ...], indices: tuple[int, ...], position: int) -> int:
        """step(bytes body, uint256[] operands, uint256[] indices, uint256 position)"""
        data = encode(
            bytes.fromhex("3b724448"),
            ("bytes", "uint256[]", "uint256[]", "uint256"),
            (body, operands, indices, position),
        )
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value
