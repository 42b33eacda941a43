"""Games.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class StoredOf:
    """What Games.vy returns."""

    turn: int
    head: bytes
    receipt: bytes
    defender: Address
    challenger: int
    order: int
    model_root: bytes
    prompt_root: bytes
    response_root: bytes
    root: bytes
    at: bytes
    node: bytes
    position_leaf: bytes
    spot: int


@dataclass(frozen=True, slots=True)
class Called:
    """Event Called."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("1fb3a87d77bcad370a400cd3e5041f1dd34f289d4e17de1ea69118dd5a3d61f4")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("address", True))
    case: bytes
    defender: Address
    challenger: Address

    @classmethod
    def read(cls, log: Log) -> "Called":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Begun:
    """Event Begun."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f7e616b69866f9d52c7929d5713161c0b069b1b397e63b7e7a890cf8ec747df6")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("address", True),
        ("address", True),
        ("uint256", False),
        ("uint256", False),
        ("uint256", False),
    )
    case: bytes
    defender: Address
    challenger: Address
    unit: int
    positions: int
    rival: int

    @classmethod
    def read(cls, log: Log) -> "Begun":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class BegunEarly:
    """Event BegunEarly."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("ec47fb4a73cd2cfaafc6310e907b21c1e2bc7145fd6fc92ac002e2b86043fc95")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("address", True), ("address", True))
    case: bytes
    defender: Address
    challenger: Address

    @classmethod
    def read(cls, log: Log) -> "BegunEarly":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Answered:
    """Event Answered."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8f318a011e330e9970afbd674411c076b5fec73480d88cd5f5110848a5bce614")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("bytes32", False))
    case: bytes
    run_root: bytes

    @classmethod
    def read(cls, log: Log) -> "Answered":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Filtered:
    """Event Filtered."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("5d460cd707b1f01f48e9171ae8c125e20b8ebf6ca90cee7b7edaff7925ec5b21")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("uint256", False),
        ("uint256", False),
        ("uint256", False),
    )
    case: bytes
    lowest: int
    greatest: int
    sums: int

    @classmethod
    def read(cls, log: Log) -> "Filtered":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Posted:
    """Event Posted."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2e384fd35346733ac534003177a22151e49b389a62ea350a975173a54f333b10")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("bytes32[]", False))
    case: bytes
    children: tuple[bytes, ...]

    @classmethod
    def read(cls, log: Log) -> "Posted":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Pointed:
    """Event Pointed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("dbedeff494b8ee66cb3b9e7d1c5b68be796f8fe05bea12acb4648b86e077c0af")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", False), ("uint256", False))
    case: bytes
    place: int
    index: int

    @classmethod
    def read(cls, log: Log) -> "Pointed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Said:
    """Event Said."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f8d882d5bac79fb4ce91ccaedb5259bb4a57b3e179868b70db868b235181cc55")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", False), ("bytes", False))
    case: bytes
    place: int
    words: bytes

    @classmethod
    def read(cls, log: Log) -> "Said":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Picked:
    """Event Picked."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("b36772490e6285838e837d01347b21ba589868fbd924ad2d52af177c184fac72")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", False), ("uint256", False))
    case: bytes
    place: int
    index: int

    @classmethod
    def read(cls, log: Log) -> "Picked":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Stepped:
    """Event Stepped."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f235b347358fedbba021b05894567a166431b2cd0b6d6415e1ececdbee6abbb5")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint256", False), ("uint256", False))
    case: bytes
    word: int
    claimed: int

    @classmethod
    def read(cls, log: Log) -> "Stepped":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Weighed:
    """Event Weighed."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("e8f8cfad1239b05a0cf6dbefffbab78a1779e0c9a051360541311314cd328833")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("bool", False))
    case: bytes
    right: bool

    @classmethod
    def read(cls, log: Log) -> "Weighed":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class Ended:
    """Event Ended."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("53d4dcb801cfd023fd6fe1f4ea0de1b03700b05cfa9a19ac674502756f3be753")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("bytes32", True), ("uint8", False), ("string", False))
    case: bytes
    outcome: int
    why: str

    @classmethod
    def read(cls, log: Log) -> "Ended":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


EVENTS = {
    kind.TOPIC: kind
    for kind in (
        Called,
        Begun,
        BegunEarly,
        Answered,
        Filtered,
        Posted,
        Pointed,
        Said,
        Picked,
        Stepped,
        Weighed,
        Ended,
    )
}


class Games:
    """Games.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def head_of(self, case: bytes) -> bytes:
        """head_of(bytes32 case)"""
        data = encode(bytes.fromhex("d8105454"), ("bytes32",), (case,))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def stored_of(self, case: bytes) -> StoredOf:
        """stored_of(bytes32 case)"""
        data = encode(bytes.fromhex("bc5d9cec"), ("bytes32",), (case,))
        return StoredOf(
            *decode(
                (
                    "(uint256,bytes32,bytes32,address,uint256,uint256,bytes32,bytes32,bytes32,bytes32,bytes32,bytes32,bytes32,uint256)",
                ),
                self.chain.call(self.address, data),
            )[0]
        )

    def forfeit(self, case: bytes) -> Mined:
        """forfeit(bytes32 case)"""
        data = encode(bytes.fromhex("f192e91c"), ("bytes32",), (case,))
        return self.chain.send(self.address, data)

    def appeal(self, case: bytes, shown: tuple[Any, ...]) -> Mined:
        """appeal(bytes32 case, struct shown)"""
        data = encode(
            bytes.fromhex("73f60809"),
            (
                "bytes32",
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
            ),
            (case, shown),
        )
        return self.chain.send(self.address, data)

    def begin(self, case: bytes, shown: tuple[Any, ...], claim: tuple[Any, ...]) -> Mined:
        """begin(bytes32 case, struct shown, struct claim)"""
        data = encode(
            bytes.fromhex("02932828"),
            (
                "bytes32",
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "(uint256,uint256)",
            ),
            (case, shown, claim),
        )
        return self.chain.send(self.address, data)

    def begin_early(self, case: bytes, shown: tuple[Any, ...]) -> Mined:
        """begin_early(bytes32 case, struct shown)"""
        data = encode(
            bytes.fromhex("00f2a984"),
            (
                "bytes32",
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
            ),
            (case, shown),
        )
        return self.chain.send(self.address, data)

    def show_cancel(
        self, case: bytes, seen: bytes, shown: tuple[Any, ...], cancel: tuple[Any, ...], signature: bytes
    ) -> Mined:
        """show_cancel(bytes32 case, bytes32 seen, struct shown, struct cancel, bytes signature)"""
        data = encode(
            bytes.fromhex("6ca3a3c2"),
            (
                "bytes32",
                "bytes32",
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "(uint16,bytes32,uint32)",
                "bytes",
            ),
            (case, seen, shown, cancel, signature),
        )
        return self.chain.send(self.address, data)

    def show_end(
        self,
        case: bytes,
        seen: bytes,
        shown: tuple[Any, ...],
        facts: bytes,
        leaves: int,
        path: tuple[bytes, ...],
        unit: tuple[Any, ...],
    ) -> Mined:
        """show_end(bytes32 case, bytes32 seen, struct shown, bytes facts, uint256 leaves, bytes32[] path, struct unit)"""
        data = encode(
            bytes.fromhex("662f3c0e"),
            (
                "bytes32",
                "bytes32",
                "((uint16,address,bytes32,uint8,uint8,uint64,uint64,uint64,uint32,uint32,uint16,uint16,uint64,uint64),(uint16,bytes32,bytes32,bytes32,uint8,uint8,bytes32,uint32,uint32,uint32,uint32,uint32,uint32,uint64,bytes32,uint8,uint128,uint64,bytes32,uint64,bytes32),(uint16,bytes32,bytes32,bytes32,bytes32,bytes32),uint256,bytes32)",
                "bytes",
                "uint256",
                "bytes32[]",
                "(bytes32,bytes,bytes32[],bytes32)",
            ),
            (case, seen, shown, facts, leaves, path, unit),
        )
        return self.chain.send(self.address, data)

    def answer(self, case: bytes, seen: bytes, shown: tuple[Any, ...]) -> Mined:
        """answer(bytes32 case, bytes32 seen, struct shown)"""
        data = encode(
            bytes.fromhex("fd4bef9a"),
            (
                "bytes32",
                "bytes32",
                "(bytes,uint256,bytes32[],bytes32,bytes,bytes32[],bytes32[],(bytes32,bytes,bytes32[],bytes32),bytes,bytes32[],bytes32[],bytes,bytes32[],bytes32[],((uint256,bytes,bytes32[]),(uint256,bytes,bytes32[]),uint256))",
            ),
            (case, seen, shown),
        )
        return self.chain.send(self.address, data)

    def post(self, case: bytes, seen: bytes, children: tuple[bytes, ...]) -> Mined:
        """post(bytes32 case, bytes32 seen, bytes32[] children)"""
        data = encode(bytes.fromhex("ff88a061"), ("bytes32", "bytes32", "bytes32[]"), (case, seen, children))
        return self.chain.send(self.address, data)

    def point(self, case: bytes, seen: bytes, index: int, child: bytes, path: tuple[bytes, ...]) -> Mined:
        """point(bytes32 case, bytes32 seen, uint256 index, bytes32 child, bytes32[] path)"""
        data = encode(
            bytes.fromhex("409e6c44"),
            ("bytes32", "bytes32", "uint256", "bytes32", "bytes32[]"),
            (case, seen, index, child, path),
        )
        return self.chain.send(self.address, data)

    def point_node(
        self,
        case: bytes,
        seen: bytes,
        index: int,
        child: bytes,
        path: tuple[bytes, ...],
        facts: bytes,
        node: bytes,
        node_path: tuple[bytes, ...],
    ) -> Mined:
        """point_node(bytes32 case, bytes32 seen, uint256 index, bytes32 child, bytes32[] path, bytes facts, bytes node, bytes32[] node_path)"""
        data = encode(
            bytes.fromhex("8e21f0b1"),
            ("bytes32", "bytes32", "uint256", "bytes32", "bytes32[]", "bytes", "bytes", "bytes32[]"),
            (case, seen, index, child, path, facts, node, node_path),
        )
        return self.chain.send(self.address, data)

    def say(self, case: bytes, seen: bytes, words: bytes) -> Mined:
        """say(bytes32 case, bytes32 seen, bytes words)"""
        data = encode(bytes.fromhex("d587db76"), ("bytes32", "bytes32", "bytes"), (case, seen, words))
        return self.chain.send(self.address, data)

    def pick(self, case: bytes, seen: bytes, index: int, words: bytes) -> Mined:
        """pick(bytes32 case, bytes32 seen, uint256 index, bytes words)"""
        data = encode(bytes.fromhex("bcd863ea"), ("bytes32", "bytes32", "uint256", "bytes"), (case, seen, index, words))
        return self.chain.send(self.address, data)

    def step(
        self,
        case: bytes,
        seen: bytes,
        leaves: int,
        node: bytes,
        unit: tuple[Any, ...],
        uses: tuple[int, ...],
        openings_: tuple[tuple[Any, ...], ...],
    ) -> Mined:
        """step(bytes32 case, bytes32 seen, uint256 leaves, bytes node, struct unit, uint8[] uses, struct[] openings_)"""
        data = encode(
            bytes.fromhex("ce058adb"),
            (
                "bytes32",
                "bytes32",
                "uint256",
                "bytes",
                "(bytes32,bytes,bytes32[],bytes32)",
                "uint8[]",
                "(bytes,uint256,bytes32[],bytes32[],bytes32[])[]",
            ),
            (case, seen, leaves, node, unit, uses, openings_),
        )
        return self.chain.send(self.address, data)

    def weigh(
        self,
        case: bytes,
        seen: bytes,
        sieve: tuple[Any, ...],
        words: bytes,
        path: tuple[bytes, ...],
        before: int,
        after: int,
    ) -> Mined:
        """weigh(bytes32 case, bytes32 seen, struct sieve, bytes words, bytes32[] path, uint256 before, uint256 after)"""
        data = encode(
            bytes.fromhex("0d393135"),
            (
                "bytes32",
                "bytes32",
                "(bytes32,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)",
                "bytes",
                "bytes32[]",
                "uint256",
                "uint256",
            ),
            (case, seen, sieve, words, path, before, after),
        )
        return self.chain.send(self.address, data)
