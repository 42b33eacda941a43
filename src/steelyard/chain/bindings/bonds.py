"""Bonds.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Bound:
    """Event Bound."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("35a0a19507d72e756a50d0e49e3ae250717470dec0773b67a739bbe2b23031ce")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True), ("address", True))
    registry: Address
    escrow: Address
    rulings: Address

    @classmethod
    def read(cls, log: Log) -> "Bound":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Deposited:
    """Event Deposited."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2da466a7b24304f47e87fa2e1e5a81b9831ce54fec19055ce277ca2f39ba42c4")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False))
    account: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Deposited":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """Event WithdrawalRequested."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("bf6730b5b5d9fd45cdb42f69910317da629fd6e12b3ab41aa1708cd916385dfc")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False), ("uint64", False))
    account: Address
    amount: int
    leaves_at: int

    @classmethod
    def read(cls, log: Log) -> "WithdrawalRequested":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class WithdrawalCancelled:
    """Event WithdrawalCancelled."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2eed97477f07c07ec48f8f678f4e84f7c0de55bf33f51c3dc989b13353080319")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False))
    account: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "WithdrawalCancelled":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Event Withdrawn."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("7084f5476618d8e60b11ef0d7d3f06914655adb8793e28ff7f018d4c76d505d5")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("uint256", False))
    account: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Withdrawn":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Reserved:
    """Event Reserved."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("7c2e21a275247b08274b8f4e84d1a374bceaa1d0fe17270b407f07494059f60c")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True), ("uint256", False))
    account: Address
    authority: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Reserved":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Released:
    """Event Released."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2d87480f50083e2b2759522a8fdda59802650a8055e609a7772cf70c07748f52")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True), ("uint256", False))
    account: Address
    authority: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Released":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Slashed:
    """Event Slashed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("23ee33e2cc85d581547d857dc227450a3e2ef8666fa2faa5b13f0a0893e4d4ad")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("address", True),
        ("uint256", False),
        ("uint256", False),
        ("uint256", False),
    )
    account: Address
    amount: int
    paid_out: int
    burned: int

    @classmethod
    def read(cls, log: Log) -> "Slashed":
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
        Bound,
        Deposited,
        WithdrawalRequested,
        WithdrawalCancelled,
        Withdrawn,
        Reserved,
        Released,
        Slashed,
        Collected,
        Credited,
    )
}


class Bonds:
    """Bonds.vy at an address."""

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

    def bind(self, registry: Address, escrow: Address, rulings: Address) -> Mined:
        """bind(address registry, address escrow, address rulings)"""
        data = encode(bytes.fromhex("232ba8bf"), ("address", "address", "address"), (registry, escrow, rulings))
        return self.chain.send(self.address, data)

    def free(self, account: Address) -> int:
        """free(address account)"""
        data = encode(bytes.fromhex("c9b5bb17"), ("address",), (account,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def deposit(self, amount: int) -> Mined:
        """deposit(uint256 amount)"""
        data = encode(bytes.fromhex("b6b55f25"), ("uint256",), (amount,))
        return self.chain.send(self.address, data)

    def deposit_for(self, account: Address, amount: int) -> Mined:
        """deposit_for(address account, uint256 amount)"""
        data = encode(bytes.fromhex("3a46273e"), ("address", "uint256"), (account, amount))
        return self.chain.send(self.address, data)

    def request_withdrawal(self, amount: int) -> Mined:
        """request_withdrawal(uint256 amount)"""
        data = encode(bytes.fromhex("04788fdc"), ("uint256",), (amount,))
        return self.chain.send(self.address, data)

    def cancel_withdrawal(self) -> Mined:
        """cancel_withdrawal()"""
        data = encode(bytes.fromhex("fd0f7d4b"), (), ())
        return self.chain.send(self.address, data)

    def withdraw(self) -> Mined:
        """withdraw()"""
        data = encode(bytes.fromhex("3ccfd60b"), (), ())
        return self.chain.send(self.address, data)

    def reserve(self, account: Address, amount: int) -> Mined:
        """reserve(address account, uint256 amount)"""
        data = encode(bytes.fromhex("cc47a40b"), ("address", "uint256"), (account, amount))
        return self.chain.send(self.address, data)

    def release(self, account: Address, amount: int) -> Mined:
        """release(address account, uint256 amount)"""
        data = encode(bytes.fromhex("0357371d"), ("address", "uint256"), (account, amount))
        return self.chain.send(self.address, data)

    def slash(self, account: Address, amount: int, from_reserved: int, payouts: tuple[tuple[Any, ...], ...]) -> Mined:
        """slash(address account, uint256 amount, uint256 from_reserved, struct[] payouts)"""
        data = encode(
            bytes.fromhex("be55c301"),
            ("address", "uint256", "uint256", "(address,uint256)[]"),
            (account, amount, from_reserved, payouts),
        )
        return self.chain.send(self.address, data)

    def withdrawal_delay(self) -> int:
        """withdrawal_delay()"""
        data = encode(bytes.fromhex("eaa26f0f"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def registry(self) -> Address:
        """registry()"""
        data = encode(bytes.fromhex("7b103999"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def escrow(self) -> Address:
        """escrow()"""
        data = encode(bytes.fromhex("e2fdcc17"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def rulings(self) -> Address:
        """rulings()"""
        data = encode(bytes.fromhex("c97e6667"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def total(self) -> int:
        """total()"""
        data = encode(bytes.fromhex("2ddbd13a"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def held(self, arg0: Address) -> int:
        """held(address arg0)"""
        data = encode(bytes.fromhex("32f750ff"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def reserved(self, arg0: Address) -> int:
        """reserved(address arg0)"""
        data = encode(bytes.fromhex("da9425e2"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def reserved_by(self, arg0: Address, arg1: Address) -> int:
        """reserved_by(address arg0, address arg1)"""
        data = encode(bytes.fromhex("a6564b45"), ("address", "address"), (arg0, arg1))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def leaving(self, arg0: Address) -> int:
        """leaving(address arg0)"""
        data = encode(bytes.fromhex("330c774e"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def leaves_at(self, arg0: Address) -> int:
        """leaves_at(address arg0)"""
        data = encode(bytes.fromhex("f7a840cb"), ("address",), (arg0,))
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value
