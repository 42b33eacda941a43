"""Escrow.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class ChannelOf:
    """What Escrow.vy returns."""

    owner: Address
    session_key: Address
    cap: int
    expiry: int
    deposit: int
    allocated: int
    claimed: int
    closes_at: int
    closed: bool


@dataclass(frozen=True, slots=True)
class ClaimOf:
    """What Escrow.vy returns."""

    channel: bytes
    offer: bytes
    provider: Address
    registration: bytes
    level: int
    state: int
    holds: int
    amount: int
    reserve: int
    vests_at: int
    first: int
    count: int
    receipts_root: bytes


@dataclass(frozen=True, slots=True)
class Bound:
    """Event Bound."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("0d128562eaa47ab89086803e64a0f96847c0ed3cc63c26251f29ba1aede09d4e")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("address", True))
    orders: Address
    rulings: Address

    @classmethod
    def read(cls, log: Log) -> "Bound":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Opened:
    """Event Opened."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("14fa6ce540ede7f30a38045b986c011bb0657d563841b5c19e1c199a82f37f42")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("address", True),
        ("address", True),
        ("uint128", False),
        ("uint64", False),
        ("uint256", False),
    )
    channel: bytes
    owner: Address
    session_key: Address
    cap: int
    expiry: int
    deposit: int

    @classmethod
    def read(cls, log: Log) -> "Opened":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Allocated:
    """Event Allocated."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("43de8ed7ecdb5ba45672f53351f107d18e47d98ebb5960241d0f6af64b9d8351")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("uint256", False))
    channel: bytes
    provider: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Allocated":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """Event ToppedUp."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("c135948cbe85818255aa07e26bdb302f46becaa7a4643995fc214742582550dc")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", False), ("uint128", False))
    channel: bytes
    amount: int
    cap: int

    @classmethod
    def read(cls, log: Log) -> "ToppedUp":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """Event CloseRequested."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("9fd5c1db29e4aeb4f968f62fc18602aad1cca0f99be64b456a6c4f4052d63b14")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint64", False))
    channel: bytes
    closes_at: int

    @classmethod
    def read(cls, log: Log) -> "CloseRequested":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Refunded:
    """Event Refunded."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f552ca82e113ac3c539c3d617f29fcd19c172a0c75dad017555c9e109f7fe183")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("uint256", False))
    channel: bytes
    owner: Address
    amount: int

    @classmethod
    def read(cls, log: Log) -> "Refunded":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Claimed:
    """Event Claimed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("53379439bdcf0241297d9741a725e213b6e04e65baf6e1c7edeaba893e8284e9")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("uint256", True),
        ("bytes32", True),
        ("address", True),
        ("bytes32", False),
        ("uint256", False),
        ("uint64", False),
        ("uint64", False),
        ("bytes32", False),
    )
    claim: int
    channel: bytes
    provider: Address
    offer: bytes
    amount: int
    first: int
    count: int
    receipts_root: bytes

    @classmethod
    def read(cls, log: Log) -> "Claimed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Started:
    """Event Started."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("631c458c14a345620a8671272b41705f19b46958258ee3651d8a953fac0083d7")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("uint256", True), ("uint256", False), ("uint64", False))
    claim: int
    reserve: int
    vests_at: int

    @classmethod
    def read(cls, log: Log) -> "Started":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Held:
    """Event Held."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("3ee5b3a6af3cb73d06f5403cf0e74ea7568d657ea3dc17038ff68ced32327d38")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("uint256", True), ("uint16", False))
    claim: int
    holds: int

    @classmethod
    def read(cls, log: Log) -> "Held":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Paid:
    """Event Paid."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("fa92e821df92d78a3a8faa56c6a55516a683dc01bfb10d8388112f3e0f907c9f")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("uint256", True),
        ("address", True),
        ("uint256", False),
        ("uint256", False),
        ("uint256", False),
        ("uint256", False),
    )
    claim: int
    provider: Address
    to_provider: int
    royalty: int
    pool: int
    burned: int

    @classmethod
    def read(cls, log: Log) -> "Paid":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class PoolShared:
    """Event PoolShared."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("c63d773f917f7ee68d43ce825bef0fe04c3ca4c69b19b9a1fc6d76c036e9e203")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("uint64", True), ("uint256", False))
    epoch: int
    amount: int

    @classmethod
    def read(cls, log: Log) -> "PoolShared":
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
        Opened,
        Allocated,
        ToppedUp,
        CloseRequested,
        Refunded,
        Claimed,
        Started,
        Held,
        Paid,
        PoolShared,
        Collected,
        Credited,
    )
}


class Escrow:
    """Escrow.vy at an address."""

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

    def bind(self, orders: Address, rulings: Address) -> Mined:
        """bind(address orders, address rulings)"""
        data = encode(bytes.fromhex("d1ec9f14"), ("address", "address"), (orders, rulings))
        return self.chain.send(self.address, data)

    def separator(self) -> bytes:
        """separator()"""
        data = encode(bytes.fromhex("509d19e5"), (), ())
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def channel_id(self, owner: Address, nonce: bytes) -> bytes:
        """channel_id(address owner, bytes32 nonce)"""
        data = encode(bytes.fromhex("f6c61e4d"), ("address", "bytes32"), (owner, nonce))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def channel_of(self, id_: bytes) -> ChannelOf:
        """channel_of(bytes32 id)"""
        data = encode(bytes.fromhex("2ee68069"), ("bytes32",), (id_,))
        return ChannelOf(
            *decode(
                ("(address,address,uint128,uint64,uint256,uint256,uint256,uint64,bool)",),
                self.chain.call(self.address, data),
            )[0]
        )

    def open(
        self,
        session_key: Address,
        cap: int,
        expiry: int,
        deposit: int,
        allocations: tuple[tuple[Any, ...], ...],
        nonce: bytes,
    ) -> Mined:
        """open(address session_key, uint128 cap, uint64 expiry, uint128 deposit, struct[] allocations, bytes32 nonce)"""
        data = encode(
            bytes.fromhex("d8bbf5e6"),
            ("address", "uint128", "uint64", "uint128", "(address,uint256)[]", "bytes32"),
            (session_key, cap, expiry, deposit, allocations, nonce),
        )
        return self.chain.send(self.address, data)

    def open_for(self, grant: tuple[Any, ...], allocations: tuple[tuple[Any, ...], ...], signature: bytes) -> Mined:
        """open_for(struct grant, struct[] allocations, bytes signature)"""
        data = encode(
            bytes.fromhex("6e7684af"),
            ("(uint16,address,address,uint128,uint64,uint128,bytes32,bytes32)", "(address,uint256)[]", "bytes"),
            (grant, allocations, signature),
        )
        return self.chain.send(self.address, data)

    def top_up(self, channel: bytes, amount: int) -> Mined:
        """top_up(bytes32 channel, uint256 amount)"""
        data = encode(bytes.fromhex("9d02a2dc"), ("bytes32", "uint256"), (channel, amount))
        return self.chain.send(self.address, data)

    def allocate(self, channel: bytes, provider: Address, amount: int) -> Mined:
        """allocate(bytes32 channel, address provider, uint256 amount)"""
        data = encode(bytes.fromhex("5127c4ae"), ("bytes32", "address", "uint256"), (channel, provider, amount))
        return self.chain.send(self.address, data)

    def request_close(self, channel: bytes) -> Mined:
        """request_close(bytes32 channel)"""
        data = encode(bytes.fromhex("db691ffd"), ("bytes32",), (channel,))
        return self.chain.send(self.address, data)

    def refund(self, channel: bytes) -> Mined:
        """refund(bytes32 channel)"""
        data = encode(bytes.fromhex("7249fbb6"), ("bytes32",), (channel,))
        return self.chain.send(self.address, data)

    def reserve_of(self, level: int, count: int, amount: int) -> int:
        """reserve_of(uint8 level, uint256 count, uint256 amount)"""
        data = encode(bytes.fromhex("a228f489"), ("uint8", "uint256", "uint256"), (level, count, amount))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def stake_of(self, level: int, price: int) -> int:
        """stake_of(uint8 level, uint256 price)"""
        data = encode(bytes.fromhex("2081c46d"), ("uint8", "uint256"), (level, price))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def claim_of(self, id_: int) -> ClaimOf:
        """claim_of(uint256 id)"""
        data = encode(bytes.fromhex("a44cf981"), ("uint256",), (id_,))
        return ClaimOf(
            *decode(
                ("(bytes32,bytes32,address,bytes32,uint8,uint8,uint16,uint256,uint256,uint64,uint64,uint64,bytes32)",),
                self.chain.call(self.address, data),
            )[0]
        )

    def vouched_of(self, channel: bytes, offer: bytes) -> tuple[int, int]:
        """vouched_of(bytes32 channel, bytes32 offer)"""
        data = encode(bytes.fromhex("090af3b0"), ("bytes32", "bytes32"), (channel, offer))
        v0, v1 = decode(("uint256", "uint64"), self.chain.call(self.address, data))
        return v0, v1

    def claim(
        self, channel: bytes, offer: tuple[Any, ...], amount: int, count: int, receipts_root: bytes, signature: bytes
    ) -> Mined:
        """claim(bytes32 channel, struct offer, uint128 amount, uint64 count, bytes32 receipts_root, bytes signature)"""
        data = encode(
            bytes.fromhex("e342919d"),
            (
                "bytes32",
                "(uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64)",
                "uint128",
                "uint64",
                "bytes32",
                "bytes",
            ),
            (channel, offer, amount, count, receipts_root, signature),
        )
        return self.chain.send(self.address, data)

    def claim_order(
        self,
        order: bytes,
        offer: bytes,
        provider: Address,
        registration: bytes,
        level: int,
        amount: int,
        receipt: bytes,
    ) -> Mined:
        """claim_order(bytes32 order, bytes32 offer, address provider, bytes32 registration, uint8 level, uint256 amount, bytes32 receipt)"""
        data = encode(
            bytes.fromhex("0e419f46"),
            ("bytes32", "bytes32", "address", "bytes32", "uint8", "uint256", "bytes32"),
            (order, offer, provider, registration, level, amount, receipt),
        )
        return self.chain.send(self.address, data)

    def start(self, id_: int) -> Mined:
        """start(uint256 id)"""
        data = encode(bytes.fromhex("95805dad"), ("uint256",), (id_,))
        return self.chain.send(self.address, data)

    def hold(self, claim: int) -> Mined:
        """hold(uint256 claim)"""
        data = encode(bytes.fromhex("49c910c0"), ("uint256",), (claim,))
        return self.chain.send(self.address, data)

    def unhold(self, claim: int) -> Mined:
        """unhold(uint256 claim)"""
        data = encode(bytes.fromhex("3955b070"), ("uint256",), (claim,))
        return self.chain.send(self.address, data)

    def pay(self, id_: int) -> Mined:
        """pay(uint256 id)"""
        data = encode(bytes.fromhex("c290d691"), ("uint256",), (id_,))
        return self.chain.send(self.address, data)

    def share_pool(self) -> Mined:
        """share_pool()"""
        data = encode(bytes.fromhex("13cef3c0"), (), ())
        return self.chain.send(self.address, data)

    def longest_order(self) -> int:
        """longest_order()"""
        data = encode(bytes.fromhex("ebeee5bf"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def challenge_window(self) -> int:
        """challenge_window()"""
        data = encode(bytes.fromhex("a9923cfa"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def close_window(self) -> int:
        """close_window()"""
        data = encode(bytes.fromhex("41f831e0"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def rate_ppm(self) -> int:
        """rate_ppm()"""
        data = encode(bytes.fromhex("d1040760"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def detection_ppm(self) -> int:
        """detection_ppm()"""
        data = encode(bytes.fromhex("c3382544"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def multiple(self) -> int:
        """multiple()"""
        data = encode(bytes.fromhex("437a8ae6"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def flat(self) -> int:
        """flat()"""
        data = encode(bytes.fromhex("d0fda779"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def pool_bps(self) -> int:
        """pool_bps()"""
        data = encode(bytes.fromhex("e6752d16"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def burn_bps(self) -> int:
        """burn_bps()"""
        data = encode(bytes.fromhex("073ed374"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def orders(self) -> Address:
        """orders()"""
        data = encode(bytes.fromhex("4fb764c9"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def rulings(self) -> Address:
        """rulings()"""
        data = encode(bytes.fromhex("c97e6667"), (), ())
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def allocation(self, arg0: bytes, arg1: Address) -> int:
        """allocation(bytes32 arg0, address arg1)"""
        data = encode(bytes.fromhex("bc0ef546"), ("bytes32", "address"), (arg0, arg1))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def spent(self, arg0: bytes, arg1: Address) -> int:
        """spent(bytes32 arg0, address arg1)"""
        data = encode(bytes.fromhex("f3603fab"), ("bytes32", "address"), (arg0, arg1))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def claim_count(self) -> int:
        """claim_count()"""
        data = encode(bytes.fromhex("0b01e091"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def pool_balance(self) -> int:
        """pool_balance()"""
        data = encode(bytes.fromhex("192ef492"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def pool_shared_in(self) -> int:
        """pool_shared_in()"""
        data = encode(bytes.fromhex("5d266090"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value
