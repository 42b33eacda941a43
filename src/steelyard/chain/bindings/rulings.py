"""Rulings.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class CaseOf:
    """What Rulings.vy returns."""

    receipt: bytes
    channel: bytes
    offer: bytes
    provider: Address
    challenger: Address
    opener: Address
    buyer: Address
    session_key: Address
    epoch: int
    born: int
    stage: int
    outcome: int
    price: int
    stake: int
    reserved: int
    open_until: int
    commit_until: int
    reveal_until: int
    committed: int
    revealed: int
    claim: int
    held: bool


@dataclass(frozen=True, slots=True)
class Challenged:
    """Event Challenged."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("97c5c041410577da7ec810cbe1aba0263536d9bbe7364297f12148e4926701ed")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("bytes32", True),
        ("address", True),
        ("address", False),
        ("uint8", False),
        ("uint256", False),
    )
    case: bytes
    receipt: bytes
    challenger: Address
    provider: Address
    basis: int
    stake: int

    @classmethod
    def read(cls, log: Log) -> "Challenged":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Seated:
    """Event Seated."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("63746cd7102d94f797d60d9f3f4bd6381d5e5a02e47b9e0bd0cf00a6c6119095")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address[]", False), ("uint64", False))
    case: bytes
    seats: tuple[Address, ...]
    open_until: int

    @classmethod
    def read(cls, log: Log) -> "Seated":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class CaseOpened:
    """Event CaseOpened."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("9cf8ca7c5b9f73f12afaafc1681d76082d7ea20dfc642d9e2e6c04abe8847573")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("bytes", False),
        ("bytes[]", False),
        ("uint64", False),
        ("uint64", False),
    )
    case: bytes
    ciphertext: bytes
    wrapped: tuple[bytes, ...]
    commit_until: int
    reveal_until: int

    @classmethod
    def read(cls, log: Log) -> "CaseOpened":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Committed:
    """Event Committed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("ef653a9608e4d816ce91da70712413a9d5c5bb473d42eb5b536babad2a41238e")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("bytes32", False))
    case: bytes
    juror: Address
    vote: bytes

    @classmethod
    def read(cls, log: Log) -> "Committed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Revealed:
    """Event Revealed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("de1deda427a4b66c5d734b1e607182ebde42a45b7c737e21fc4f14aec7e06bcb")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("address", True),
        ("uint8", False),
        ("bytes32", False),
        ("bytes32", False),
    )
    case: bytes
    juror: Address
    outcome: int
    evidence_root: bytes
    run_digest: bytes

    @classmethod
    def read(cls, log: Log) -> "Revealed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Tied:
    """Event Tied."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("b9fd54c1e58b6c1d70f571d0f47709cda7f461b2506f35481731c62b8d8cee6c")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", True))
    case: bytes
    claim: int

    @classmethod
    def read(cls, log: Log) -> "Tied":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Settled:
    """Event Settled."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("5b1778da3e685848cb11c425674d43f7d819f12b2227e97d45b536742e51d46c")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("bytes32", True),
        ("uint8", False),
        ("address", False),
        ("uint256", False),
    )
    case: bytes
    receipt: bytes
    outcome: int
    slashed: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Settled":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Bound:
    """Event Bound."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("0d128562eaa47ab89086803e64a0f96847c0ed3cc63c26251f29ba1aede09d4e")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", False), ("address", False))
    games: Address
    proofs: Address

    @classmethod
    def read(cls, log: Log) -> "Bound":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Taken:
    """Event Taken."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("a8cfd04886d5eddf25095af6c4b4b389384bb5c7a9bccaf676b2f7d2c88f85c6")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True),)
    case: bytes

    @classmethod
    def read(cls, log: Log) -> "Taken":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Punished:
    """Event Punished."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("5595315ac50fe09a2be83b1f1581783bd33f3e3cc5da5a6e3eca0b012298393c")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("address", True),
        ("bytes32", False),
        ("bytes32", False),
        ("uint256", False),
    )
    order: bytes
    provider: Address
    receipt: bytes
    twin: bytes
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Punished":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


EVENTS = {
    kind.TOPIC: kind
    for kind in (
        Challenged,
        Seated,
        CaseOpened,
        Committed,
        Revealed,
        Tied,
        Settled,
        Bound,
        Taken,
        Punished,
    )
}


class Rulings:
    """Rulings.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def bind(self, games: Address, proofs: Address) -> Mined:
        """bind(address games, address proofs)"""
        data = encode(bytes.fromhex("d1ec9f14"), ("address", "address"), (games, proofs))
        return self.chain.send(self.address, data)

    def case_of(self, case: bytes) -> CaseOf:
        """case_of(bytes32 case)"""
        data = encode(bytes.fromhex("43f5a9d4"), ("bytes32",), (case,))
        return CaseOf(
            *decode(
                (
                    "(bytes32,bytes32,bytes32,address,address,address,address,address,uint64,uint256,uint8,uint8,uint256,uint256,uint256,uint64,uint64,uint64,uint256,uint256,uint256,bool)",
                ),
                self.chain.call(self.address, data),
            )[0]
        )

    def seats_of(self, case: bytes) -> tuple[Address, ...]:
        """seats_of(bytes32 case)"""
        data = encode(bytes.fromhex("ae8deab8"), ("bytes32",), (case,))
        value: tuple[Address, ...] = decode(("address[]",), self.chain.call(self.address, data))[0]
        return value

    def challenge(
        self,
        exhibit: tuple[Any, ...],
        order_signature: bytes,
        receipt_signature: bytes,
        basis: int,
        ticket: tuple[Any, ...],
        ticket_signature: bytes,
        coin: bytes,
    ) -> Mined:
        """challenge(struct exhibit, bytes order_signature, bytes receipt_signature, uint8 basis, struct ticket, bytes ticket_signature, bytes32 coin)"""
        data = encode(
            bytes.fromhex("8e6a86ae"),
            (
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "bytes",
                "uint8",
                "(uint16,bytes32,address,uint64)",
                "bytes",
                "bytes32",
            ),
            (exhibit, order_signature, receipt_signature, basis, ticket, ticket_signature, coin),
        )
        return self.chain.send(self.address, data)

    def seat(self, case: bytes) -> Mined:
        """seat(bytes32 case)"""
        data = encode(bytes.fromhex("1945e0e7"), ("bytes32",), (case,))
        return self.chain.send(self.address, data)

    def open_case(self, case: bytes, ciphertext: bytes, wrapped: tuple[bytes, ...]) -> Mined:
        """open_case(bytes32 case, bytes ciphertext, bytes[] wrapped)"""
        data = encode(bytes.fromhex("0a840fae"), ("bytes32", "bytes", "bytes[]"), (case, ciphertext, wrapped))
        return self.chain.send(self.address, data)

    def tie(self, case: bytes, shown: tuple[Any, ...]) -> Mined:
        """tie(bytes32 case, struct shown)"""
        data = encode(bytes.fromhex("968d7861"), ("bytes32", "(uint256,uint256,bytes32[])"), (case, shown))
        return self.chain.send(self.address, data)

    def commit(self, case: bytes, vote: bytes) -> Mined:
        """commit(bytes32 case, bytes32 vote)"""
        data = encode(bytes.fromhex("e3ce094d"), ("bytes32", "bytes32"), (case, vote))
        return self.chain.send(self.address, data)

    def reveal(self, vote: tuple[Any, ...]) -> Mined:
        """reveal(struct vote)"""
        data = encode(bytes.fromhex("aa26d532"), ("(uint16,bytes32,address,uint8,bytes32,bytes32,bytes32)",), (vote,))
        return self.chain.send(self.address, data)

    def settle(self, case: bytes) -> Mined:
        """settle(bytes32 case)"""
        data = encode(bytes.fromhex("987757dd"), ("bytes32",), (case,))
        return self.chain.send(self.address, data)

    def take(self, case: bytes) -> Mined:
        """take(bytes32 case)"""
        data = encode(bytes.fromhex("cc9ae693"), ("bytes32",), (case,))
        return self.chain.send(self.address, data)

    def finish(self, case: bytes, outcome: int, fees: int) -> Mined:
        """finish(bytes32 case, uint8 outcome, uint256 fees)"""
        data = encode(bytes.fromhex("92052b53"), ("bytes32", "uint8", "uint256"), (case, outcome, fees))
        return self.chain.send(self.address, data)

    def punish(self, lie: tuple[Any, ...], shown: tuple[Any, ...]) -> Mined:
        """punish(struct lie, struct shown)"""
        data = encode(
            bytes.fromhex("169ba2ea"),
            (
                "(bytes32,bytes32,bytes32,bytes32,bytes32,address,address,address,uint8,uint256)",
                "(uint256,uint256,bytes32[])",
            ),
            (lie, shown),
        )
        return self.chain.send(self.address, data)

    def seats(self) -> int:
        """seats()"""
        data = encode(bytes.fromhex("9c5655d6"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def stake(self) -> int:
        """stake()"""
        data = encode(bytes.fromhex("3a4b66f1"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def juror_fee(self) -> int:
        """juror_fee()"""
        data = encode(bytes.fromhex("eb65d622"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def repay_times(self) -> int:
        """repay_times()"""
        data = encode(bytes.fromhex("765039be"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def open_window(self) -> int:
        """open_window()"""
        data = encode(bytes.fromhex("251ad71a"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def commit_window(self) -> int:
        """commit_window()"""
        data = encode(bytes.fromhex("e7f1bb17"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def reveal_window(self) -> int:
        """reveal_window()"""
        data = encode(bytes.fromhex("0450e100"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def appeal_window(self) -> int:
        """appeal_window()"""
        data = encode(bytes.fromhex("04561aa0"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def games(self) -> Address:
        """games()"""
        data = encode(bytes.fromhex("955a015b"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def proofs(self) -> Address:
        """proofs()"""
        data = encode(bytes.fromhex("435d53f2"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def case_count(self) -> int:
        """case_count()"""
        data = encode(bytes.fromhex("9a73ea88"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def commitment(self, arg0: bytes, arg1: Address) -> bytes:
        """commitment(bytes32 arg0, address arg1)"""
        data = encode(bytes.fromhex("f775e94f"), ("bytes32", "address"), (arg0, arg1))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def voted(self, arg0: bytes, arg1: Address) -> int:
        """voted(bytes32 arg0, address arg1)"""
        data = encode(bytes.fromhex("d9a75572"), ("bytes32", "address"), (arg0, arg1))
        value: int = decode(("uint8",), self.chain.call(self.address, data))[0]
        return value

    def convicted(self, arg0: bytes) -> bool:
        """convicted(bytes32 arg0)"""
        data = encode(bytes.fromhex("2fc2f3c1"), ("bytes32",), (arg0,))
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value

    def convicted_order(self, arg0: bytes) -> bool:
        """convicted_order(bytes32 arg0)"""
        data = encode(bytes.fromhex("32114f36"), ("bytes32",), (arg0,))
        value: bool = decode(("bool",), self.chain.call(self.address, data))[0]
        return value

    def latest(self, arg0: bytes, arg1: Address) -> bytes:
        """latest(bytes32 arg0, address arg1)"""
        data = encode(bytes.fromhex("7fd1c47f"), ("bytes32", "address"), (arg0, arg1))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value
