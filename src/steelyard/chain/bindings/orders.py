"""Orders.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class OrderOf:
    """What Orders.vy returns."""

    buyer: Address
    provider: Address
    max_price: int
    deadline: int
    state: int
    claim: int
    callback: Address


@dataclass(frozen=True, slots=True)
class Placed:
    """Event Placed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("e0ec57e400190e1a4f14e8cda0342053066741ac1bd12ce9a676940d2306b06f")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("address", True),
        ("address", True),
        ("(uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64)", False),
        (
            "(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32)",
            False,
        ),
        ("bytes", False),
        ("address", False),
    )
    order: bytes
    buyer: Address
    provider: Address
    offer: tuple[Any, ...]
    record: tuple[Any, ...]
    prompt: bytes
    callback: Address

    @classmethod
    def read(cls, log: Log) -> "Placed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Delivered:
    """Event Delivered."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("de556d9009aee2c676388d32f53fbd80c1327636f60889a9056d721b4cfb24fd")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("uint256", True),
        ("uint256", False),
        ("(uint16,bytes32,bytes32,bytes32,bytes32,bytes32)", False),
        ("bytes", False),
        ("bytes", False),
        ("bytes32", False),
    )
    order: bytes
    claim: int
    price: int
    receipt: tuple[Any, ...]
    signature: bytes
    answer: bytes
    salt: bytes

    @classmethod
    def read(cls, log: Log) -> "Delivered":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Called:
    """Event Called."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("594df04d710936557de2a86f9892272725c70b424a43028728d1fd0106d1d1c4")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("bool", False))
    order: bytes
    callback: Address
    succeeded: bool

    @classmethod
    def read(cls, log: Log) -> "Called":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Refunded:
    """Event Refunded."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f552ca82e113ac3c539c3d617f29fcd19c172a0c75dad017555c9e109f7fe183")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("uint256", False))
    order: bytes
    buyer: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Refunded":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Collected:
    """Event Collected."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8c22f554c81b54107cd95e734e4ef45767214974a540f34ea4a4f8c3fc7b13c3")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False))
    account: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Collected":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Credited:
    """Event Credited."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("9c9e0cdb1670e88302408e5b941dc636f63a3293204694bb68910fcf3d9305f3")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False))
    account: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Credited":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


EVENTS = {
    kind.TOPIC: kind
    for kind in (
        Placed,
        Delivered,
        Called,
        Refunded,
        Collected,
        Credited,
    )
}


class Orders:
    """Orders.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def token(self) -> Address:
        """token()"""
        data = encode(bytes.fromhex("fc0c546a"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def credit(self, arg0: Address) -> int:
        """credit(address arg0)"""
        data = encode(bytes.fromhex("d5d44d80"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def owed(self) -> int:
        """owed()"""
        data = encode(bytes.fromhex("c87d6779"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def collect(self) -> Mined:
        """collect()"""
        data = encode(bytes.fromhex("e5225381"), (), ())
        return self.chain.send(self.address, data)

    def collect_for(self, account: Address) -> Mined:
        """collect_for(address account)"""
        data = encode(bytes.fromhex("96b86ce7"), ("address",), (account,))
        return self.chain.send(self.address, data)

    def order_of(self, order: bytes) -> OrderOf:
        """order_of(bytes32 order)"""
        data = encode(bytes.fromhex("2933c62f"), ("bytes32",), (order,))
        return OrderOf(
            *decode(("(address,address,uint256,uint64,uint8,uint256,address)",), self.chain.call(self.address, data))[0]
        )

    def callback_gas(self) -> int:
        """callback_gas()"""
        data = encode(bytes.fromhex("bd690139"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def place(self, offer: tuple[Any, ...], order: tuple[Any, ...], prompt: bytes, callback: Address) -> Mined:
        """place(struct offer, struct order, bytes prompt, address callback)"""
        data = encode(
            bytes.fromhex("1fed4c84"),
            (
                "(uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64)",
                "(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32)",
                "bytes",
                "address",
            ),
            (offer, order, prompt, callback),
        )
        return self.chain.send(self.address, data)

    def deliver(
        self,
        offer: tuple[Any, ...],
        order: tuple[Any, ...],
        receipt: tuple[Any, ...],
        signature: bytes,
        answer: bytes,
        salt: bytes,
    ) -> Mined:
        """deliver(struct offer, struct order, struct receipt, bytes signature, bytes answer, bytes32 salt)"""
        data = encode(
            bytes.fromhex("c8653b2f"),
            (
                "(uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64)",
                "(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32)",
                "(uint16,bytes32,bytes32,bytes32,bytes32,bytes32)",
                "bytes",
                "bytes",
                "bytes32",
            ),
            (offer, order, receipt, signature, answer, salt),
        )
        return self.chain.send(self.address, data)

    def refund(self, order: bytes) -> Mined:
        """refund(bytes32 order)"""
        data = encode(bytes.fromhex("7249fbb6"), ("bytes32",), (order,))
        return self.chain.send(self.address, data)
