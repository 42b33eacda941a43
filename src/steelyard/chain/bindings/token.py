"""Token.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Transfer:
    """Event Transfer."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True), ("uint256", False))
    sender: Address
    receiver: Address
    value: int

    @classmethod
    def read(cls, log: Log) -> "Transfer":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Approval:
    """Event Approval."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True), ("uint256", False))
    owner: Address
    spender: Address
    value: int

    @classmethod
    def read(cls, log: Log) -> "Approval":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class AuthorizationUsed:
    """Event AuthorizationUsed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("bytes32", True))
    authorizer: Address
    nonce: bytes

    @classmethod
    def read(cls, log: Log) -> "AuthorizationUsed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class AuthorizationCanceled:
    """Event AuthorizationCanceled."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("bytes32", True))
    authorizer: Address
    nonce: bytes

    @classmethod
    def read(cls, log: Log) -> "AuthorizationCanceled":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


EVENTS = {
    kind.TOPIC: kind
    for kind in (
        Transfer,
        Approval,
        AuthorizationUsed,
        AuthorizationCanceled,
    )
}


class Token:
    """Token.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def transfer(self, receiver: Address, amount: int) -> Mined:
        """transfer(address receiver, uint256 amount)"""
        data = encode(bytes.fromhex("a9059cbb"), ("address", "uint256"), (receiver, amount))
        return self.chain.send(self.address, data)

    def transfer_from(self, owner: Address, receiver: Address, amount: int) -> Mined:
        """transferFrom(address owner, address receiver, uint256 amount)"""
        data = encode(bytes.fromhex("23b872dd"), ("address", "address", "uint256"), (owner, receiver, amount))
        return self.chain.send(self.address, data)

    def approve(self, spender: Address, amount: int) -> Mined:
        """approve(address spender, uint256 amount)"""
        data = encode(bytes.fromhex("095ea7b3"), ("address", "uint256"), (spender, amount))
        return self.chain.send(self.address, data)

    def mint(self, to: Address, amount: int) -> Mined:
        """mint(address to, uint256 amount)"""
        data = encode(bytes.fromhex("40c10f19"), ("address", "uint256"), (to, amount))
        return self.chain.send(self.address, data)

    def domain_separator(self) -> bytes:
        """DOMAIN_SEPARATOR()"""
        data = encode(bytes.fromhex("3644e515"), (), ())
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def permit(self, owner: Address, spender: Address, amount: int, deadline: int, v: int, r: bytes, s: bytes) -> Mined:
        """permit(address owner, address spender, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)"""
        data = encode(
            bytes.fromhex("d505accf"),
            ("address", "address", "uint256", "uint256", "uint8", "bytes32", "bytes32"),
            (owner, spender, amount, deadline, v, r, s),
        )
        return self.chain.send(self.address, data)

    def transfer_with_authorization(
        self,
        source: Address,
        to: Address,
        amount: int,
        valid_after: int,
        valid_before: int,
        nonce: bytes,
        v: int,
        r: bytes,
        s: bytes,
    ) -> Mined:
        """transferWithAuthorization(address source, address to, uint256 amount, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)"""
        data = encode(
            bytes.fromhex("e3ee160e"),
            ("address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"),
            (source, to, amount, valid_after, valid_before, nonce, v, r, s),
        )
        return self.chain.send(self.address, data)

    def receive_with_authorization(
        self,
        source: Address,
        to: Address,
        amount: int,
        valid_after: int,
        valid_before: int,
        nonce: bytes,
        v: int,
        r: bytes,
        s: bytes,
    ) -> Mined:
        """receiveWithAuthorization(address source, address to, uint256 amount, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)"""
        data = encode(
            bytes.fromhex("ef55bec6"),
            ("address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"),
            (source, to, amount, valid_after, valid_before, nonce, v, r, s),
        )
        return self.chain.send(self.address, data)

    def cancel_authorization(self, authorizer: Address, nonce: bytes, v: int, r: bytes, s: bytes) -> Mined:
        """cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)"""
        data = encode(
            bytes.fromhex("5a049a70"),
            ("address", "bytes32", "uint8", "bytes32", "bytes32"),
            (authorizer, nonce, v, r, s),
        )
        return self.chain.send(self.address, data)

    def decimals(self) -> int:
        """decimals()"""
        data = encode(bytes.fromhex("313ce567"), (), ())
        value: int = decode(("uint8",), self.chain.call(self.address, data))[0]
        return value

    def version(self) -> str:
        """version()"""
        data = encode(bytes.fromhex("54fd4d50"), (), ())
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def name(self) -> str:
        """name()"""
        data = encode(bytes.fromhex("06fdde03"), (), ())
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def symbol(self) -> str:
        """symbol()"""
        data = encode(bytes.fromhex("95d89b41"), (), ())
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def minter(self) -> Address:
        """minter()"""
        data = encode(bytes.fromhex("07546172"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def total_supply(self) -> int:
        """totalSupply()"""
        data = encode(bytes.fromhex("18160ddd"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def balance_of(self, arg0: Address) -> int:
        """balanceOf(address arg0)"""
        data = encode(bytes.fromhex("70a08231"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def allowance(self, arg0: Address, arg1: Address) -> int:
        """allowance(address arg0, address arg1)"""
        data = encode(bytes.fromhex("dd62ed3e"), ("address", "address"), (arg0, arg1))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def nonces(self, arg0: Address) -> int:
        """nonces(address arg0)"""
        data = encode(bytes.fromhex("7ecebe00"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def authorization_state(self, arg0: Address, arg1: bytes) -> bool:
        """authorizationState(address arg0, bytes32 arg1)"""
        data = encode(bytes.fromhex("e94a0102"), ("address", "bytes32"), (arg0, arg1))
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value
