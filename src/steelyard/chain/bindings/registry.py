"""Registry.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address


@dataclass(frozen=True, slots=True)
class Model:
    """What Registry.vy returns."""

    model_root: bytes
    author: Address
    payee: Address
    royalty_bps: int
    context_length: int
    size_bytes: int
    public_weights: int
    terms: bytes


@dataclass(frozen=True, slots=True)
class Pool:
    """What Registry.vy returns."""

    auditors: tuple[Address, ...]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelRegistered:
    """Event ModelRegistered."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("76bb061912a1fcef92c455cea38fd9a40c9fe959cebf2e0995a3a2d5ffcc2363")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("bytes32", True),
        ("bytes32", True),
        ("address", True),
        ("address", False),
        ("uint16", False),
        ("uint32", False),
        ("uint64", False),
        ("uint8", False),
        ("bytes32", False),
        ("string", False),
        ("string", False),
    )
    id: bytes
    model_root: bytes
    author: Address
    payee: Address
    royalty_bps: int
    context_length: int
    size_bytes: int
    public_weights: int
    terms: bytes
    name: str
    uri: str

    @classmethod
    def read(cls, log: Log) -> "ModelRegistered":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class ProviderRegistered:
    """Event ProviderRegistered."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("a00c17d90dc9545180b0d6f2e70cc74863ee2e01212b81d549aa3cb67150c936")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("string", False))
    provider: Address
    url: str

    @classmethod
    def read(cls, log: Log) -> "ProviderRegistered":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class AuditorJoined:
    """Event AuditorJoined."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("b6fa0c4c1f2194b82c8128f5dd5959b45cd7da5be5677810914c255bf6ab4f52")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("address", True),
        ("bytes32", False),
        ("string", False),
        ("uint256", False),
        ("uint64", False),
    )
    auditor: Address
    encryption_key: bytes
    url: str
    stake: int
    epoch: int

    @classmethod
    def read(cls, log: Log) -> "AuditorJoined":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class AuditorMoved:
    """Event AuditorMoved."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("69978e63a9ffd46de810c2570f249a95a76496414e69dca7112bd7935520133d")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (("address", True), ("bytes32", False), ("string", False))
    auditor: Address
    encryption_key: bytes
    url: str

    @classmethod
    def read(cls, log: Log) -> "AuditorMoved":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


@dataclass(frozen=True, slots=True)
class AuditorLeft:
    """Event AuditorLeft."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("e1094754294b4e2960d52ca081fbe5d51b8cf1c50ea5ed93ed8e9b48476d5dc7")
    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = (
        ("address", True),
        ("uint256", False),
        ("uint64", False),
        ("bool", False),
    )
    auditor: Address
    stake: int
    epoch: int
    expelled: bool

    @classmethod
    def read(cls, log: Log) -> "AuditorLeft":
        """From a log with this TOPIC."""
        return cls(*decode_event(cls.TYPES, log))


EVENTS = {
    kind.TOPIC: kind
    for kind in (
        ModelRegistered,
        ProviderRegistered,
        AuditorJoined,
        AuditorMoved,
        AuditorLeft,
    )
}


class Registry:
    """Registry.vy at an address."""

    def __init__(self, chain: Chain, address: Address) -> None:
        self.chain = chain
        self.address = address

    def epoch(self) -> int:
        """epoch()"""
        data = encode(bytes.fromhex("900cf0cf"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def register_model(
        self,
        model_root: bytes,
        payee: Address,
        royalty_bps: int,
        context_length: int,
        size_bytes: int,
        public_weights: int,
        terms: bytes,
        name: str,
        uri: str,
    ) -> Mined:
        """register_model(bytes32 model_root, address payee, uint16 royalty_bps, uint32 context_length, uint64 size_bytes, uint8 public_weights, bytes32 terms, string name, string uri)"""
        data = encode(
            bytes.fromhex("2d34ee40"),
            ("bytes32", "address", "uint16", "uint32", "uint64", "uint8", "bytes32", "string", "string"),
            (model_root, payee, royalty_bps, context_length, size_bytes, public_weights, terms, name, uri),
        )
        return self.chain.send(self.address, data)

    def model(self, id_: bytes) -> Model:
        """model(bytes32 id)"""
        data = encode(bytes.fromhex("ee19e84b"), ("bytes32",), (id_,))
        return Model(
            *decode(
                ("(bytes32,address,address,uint16,uint32,uint64,uint8,bytes32)",), self.chain.call(self.address, data)
            )[0]
        )

    def register_provider(self, url: str) -> Mined:
        """register_provider(string url)"""
        data = encode(bytes.fromhex("2e2ce8a6"), ("string",), (url,))
        return self.chain.send(self.address, data)

    def join(self, encryption_key: bytes, url: str, stake: int) -> Mined:
        """join(bytes32 encryption_key, string url, uint256 stake)"""
        data = encode(bytes.fromhex("38f14a40"), ("bytes32", "string", "uint256"), (encryption_key, url, stake))
        return self.chain.send(self.address, data)

    def move(self, encryption_key: bytes, url: str) -> Mined:
        """move(bytes32 encryption_key, string url)"""
        data = encode(bytes.fromhex("c2e5b009"), ("bytes32", "string"), (encryption_key, url))
        return self.chain.send(self.address, data)

    def leave(self) -> Mined:
        """leave()"""
        data = encode(bytes.fromhex("d66d9e19"), (), ())
        return self.chain.send(self.address, data)

    def expel(self, auditor: Address) -> Mined:
        """expel(address auditor)"""
        data = encode(bytes.fromhex("dbb7c64e"), ("address",), (auditor,))
        return self.chain.send(self.address, data)

    def weight_at(self, auditor: Address, epoch: int) -> int:
        """weight_at(address auditor, uint64 epoch)"""
        data = encode(bytes.fromhex("a61b0775"), ("address", "uint64"), (auditor, epoch))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def pool(self, epoch: int) -> Pool:
        """pool(uint64 epoch)"""
        data = encode(bytes.fromhex("da17f417"), ("uint64",), (epoch,))
        return Pool(*decode(("(address[],uint256[])",), self.chain.call(self.address, data))[0])

    def draw(self, epoch: int, seed: bytes, seats: int, excluded: tuple[Address, ...]) -> tuple[Address, ...]:
        """draw(uint64 epoch, bytes32 seed, uint256 seats, address[] excluded)"""
        data = encode(
            bytes.fromhex("50eb202f"), ("uint64", "bytes32", "uint256", "address[]"), (epoch, seed, seats, excluded)
        )
        value: tuple[Address, ...] = decode(("address[]",), self.chain.call(self.address, data))[0]
        return value

    def max_royalty_bps(self) -> int:
        """max_royalty_bps()"""
        data = encode(bytes.fromhex("41d4429f"), (), ())
        value: int = decode(("uint16",), self.chain.call(self.address, data))[0]
        return value

    def max_context(self) -> int:
        """max_context()"""
        data = encode(bytes.fromhex("25300a7a"), (), ())
        value: int = decode(("uint32",), self.chain.call(self.address, data))[0]
        return value

    def max_size_bytes(self) -> int:
        """max_size_bytes()"""
        data = encode(bytes.fromhex("f9213369"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def min_stake(self) -> int:
        """min_stake()"""
        data = encode(bytes.fromhex("13f5cdb4"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def epoch_seconds(self) -> int:
        """epoch_seconds()"""
        data = encode(bytes.fromhex("1a55bbb7"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def memory_epochs(self) -> int:
        """memory_epochs()"""
        data = encode(bytes.fromhex("b35a51f2"), (), ())
        value: int = decode(("uint64",), self.chain.call(self.address, data))[0]
        return value

    def model_count(self) -> int:
        """model_count()"""
        data = encode(bytes.fromhex("dcab91d8"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def model_ids(self, arg0: int) -> bytes:
        """model_ids(uint256 arg0)"""
        data = encode(bytes.fromhex("af33a949"), ("uint256",), (arg0,))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def model_name(self, arg0: bytes) -> str:
        """model_name(bytes32 arg0)"""
        data = encode(bytes.fromhex("89287dc0"), ("bytes32",), (arg0,))
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def model_uri(self, arg0: bytes) -> str:
        """model_uri(bytes32 arg0)"""
        data = encode(bytes.fromhex("b2223409"), ("bytes32",), (arg0,))
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def provider_count(self) -> int:
        """provider_count()"""
        data = encode(bytes.fromhex("f8a6eab3"), (), ())
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def provider_list(self, arg0: int) -> Address:
        """provider_list(uint256 arg0)"""
        data = encode(bytes.fromhex("491b073f"), ("uint256",), (arg0,))
        value: Address = decode(("address",), self.chain.call(self.address, data))[0]
        return value

    def provider_url(self, arg0: Address) -> str:
        """provider_url(address arg0)"""
        data = encode(bytes.fromhex("3031424d"), ("address",), (arg0,))
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value

    def stake(self, arg0: Address) -> int:
        """stake(address arg0)"""
        data = encode(bytes.fromhex("26476204"), ("address",), (arg0,))
        value: int = decode(("uint256",), self.chain.call(self.address, data))[0]
        return value

    def encryption_key(self, arg0: Address) -> bytes:
        """encryption_key(address arg0)"""
        data = encode(bytes.fromhex("f07c8f13"), ("address",), (arg0,))
        value: bytes = decode(("bytes32",), self.chain.call(self.address, data))[0]
        return value

    def auditor_url(self, arg0: Address) -> str:
        """auditor_url(address arg0)"""
        data = encode(bytes.fromhex("4cffa03c"), ("address",), (arg0,))
        value: str = decode(("string",), self.chain.call(self.address, data))[0]
        return value
