"""A world for tests of contracts: all of them in pyrevm, keys that sign, a clock that turns.

Nothing here reads a clock or draws a number. `on_anvil.py` runs the same world on a real chain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyrevm
from eth_abi import decode, encode
from sources import Artifact, Mutant, compiled, compiled_source

from steelyard.protocol.eip712 import Domain, Record
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.records import ChannelGrant, Level, Offer, Voucher
from steelyard.protocol.units import Address

DEAD = checksum("0x" + "0" * 36 + "dEaD")
NOBODY = checksum("0x" + "0" * 40)
UNITS = 10**6
"""Micro-tokens in a token."""
DAY = 86_400
START = 1_800_000_000
"""The first block's timestamp, Unix seconds."""


class Reverted(Exception):
    """A call was refused. str() is the rule's name, or `` if the contract gave none."""


def _abi_type(entry: dict[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(map(_abi_type, entry["components"])) + ")" + kind.removeprefix("tuple")


def _plain(value: Any) -> Any:
    """Records become the tuples that the ABI wants."""
    if isinstance(value, Record):
        return tuple(getattr(value, name) for name in value.solidity())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _fancy(entry: dict[str, Any], value: Any) -> Any:
    """Decoded values: structs as dictionaries, addresses checksummed."""
    kind = entry["type"]
    if kind.endswith("]"):
        inner = entry | {"type": kind[: kind.rindex("[")]}
        return [_fancy(inner, item) for item in value]
    if kind == "tuple":
        return {part["name"]: _fancy(part, item) for part, item in zip(entry["components"], value, strict=True)}
    return checksum(value) if kind == "address" else value


@dataclass(frozen=True)
class Event:
    """One log entry, decoded."""

    contract: Address
    name: str
    values: dict[str, Any]


@dataclass
class Contract:
    """A deployed contract: `contract.name(*args, by=sender)` calls, reverts as `Reverted`."""

    world: "World"
    name: str
    address: Address
    artifact: Artifact
    functions: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        # default arguments give several entries of one name: the fullest is the one
        entries = [entry for entry in self.artifact.abi if entry["type"] == "function"]
        self.functions = {entry["name"]: entry for entry in sorted(entries, key=lambda entry: len(entry["inputs"]))}

    def calldata(self, name: str, args: Sequence[Any]) -> bytes:
        """Selector and encoded arguments."""
        types = [_abi_type(entry) for entry in self.functions[name]["inputs"]]
        selector = keccak256(f"{name}({','.join(types)})".encode())[:4]
        return selector + encode(types, [_plain(arg) for arg in args])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.functions:
            raise AttributeError(name)
        outputs, asks = self.functions[name]["outputs"], self.functions[name]["stateMutability"] in ("view", "pure")

        def call(*args: Any, by: Key | Address = NOBODY) -> Any:
            sender = by.address if isinstance(by, Key) else by
            raw = self.world.call(sender, self.address, self.calldata(name, args), asks)
            values = decode([_abi_type(entry) for entry in outputs], raw)
            fancy = [_fancy(entry, value) for entry, value in zip(outputs, values, strict=True)]
            return fancy[0] if len(fancy) == 1 else tuple(fancy) or None

        return call


@dataclass(frozen=True)
class Terms:
    """Constructor parameters, small enough to play with. Spans in seconds, money in micro-tokens."""

    longest_order: int = 600
    challenge_window: int = 600
    close_window: int = 1_200
    rate_ppm: int = 100_000
    power_ppm: int = 990_000
    colluding_ppm: int = 100_000
    multiple: int = 4
    flat: int = 2 * UNITS
    pool_bps: int = 200
    burn_bps: int = 100
    max_royalty_bps: int = 1_000
    epoch_seconds: int = 300
    memory_epochs: int = 100
    min_stake: int = UNITS
    withdrawal_delay: int = DAY

    @property
    def q_ppm(self) -> int:
        """Rule M5: q = p·d·(1−r), parts per million."""
        return self.rate_ppm * self.power_ppm * (UNITS - self.colluding_ppm) // UNITS // UNITS

    def reserve(self, level: Level, count: int, amount: int) -> int:
        """What a claim reserves, micro-tokens."""
        return 0 if level is Level.OPEN else count * self.flat + -(-self.multiple * amount * UNITS // self.q_ppm)


def unknown_version(record: Record) -> list[Any]:
    """A record of a version that does not exist, as an ABI tuple: Python refuses to make one."""
    return [record.VERSION + 1, *_plain(record)[1:]]


def key(name: str) -> Key:
    """The key of a named person: the same in every run."""
    return Key(keccak256(name.encode()))


class World:
    """Token, Bonds, Registry, Escrow, Orders, bound to each other. The key `rulings` stands for whoever may hold claims
    and slash, unless a subclass deploys a judge of its own."""

    def __init__(self, mutant: Mutant | None = None, terms: Terms | None = None, token: str = "") -> None:
        self.terms = terms or Terms()
        self.mutant = mutant
        self.now, self.block, self.gas = START, 1, 0
        self.events: list[Event] = []
        self.contracts: dict[str, Contract] = {}
        self.deployed: dict[str, int] = {}
        """Contract -> gas to deploy it."""
        self.evm = self.machine()
        self.turn(0)
        self.deployer, self.rulings = key("deployer"), key("rulings")
        self._deploy(token)

    def _deploy(self, token: str) -> None:
        limits = self.terms
        if token:
            self.token = self.deploy_source(token, (self.deployer.address,))
        else:
            self.token = self.deploy("Token", ("Test dollar", "TUSD", self.deployer.address))
        self.bonds = self.deploy("Bonds", (self.token.address, limits.withdrawal_delay))
        bounds = (
            limits.max_royalty_bps,
            1 << 20,
            1 << 40,
            limits.min_stake,
            limits.epoch_seconds,
            limits.memory_epochs,
        )
        self.registry = self.deploy("Registry", (self.bonds.address, bounds))
        names = ("longest_order", "challenge_window", "close_window", "rate_ppm", "power_ppm", "colluding_ppm")
        terms = tuple(getattr(limits, name) for name in (*names, "multiple", "flat", "pool_bps", "burn_bps"))
        addresses = (self.token.address, self.bonds.address, self.registry.address)
        self.escrow = self.deploy("Escrow", (*addresses, terms))
        self.domain = Domain(1, self.escrow.address)
        self.orders = self.deploy("Orders", (self.escrow.address, self.registry.address))
        judge = self.judge()
        self.bonds.bind(self.registry.address, self.escrow.address, judge, by=self.deployer)
        self.escrow.bind(self.orders.address, judge, by=self.deployer)

    def judge(self) -> Address:
        """Address of Rulings; everything else is deployed when this is asked."""
        return self.rulings.address

    def deploy(self, name: str, args: Sequence[Any]) -> Contract:
        """Deploys a contract of ours by the deployer."""
        return self._install(name, compiled(name, self.mutant), args)

    def deploy_source(self, source: str, args: Sequence[Any] = ()) -> Contract:
        """Deploys a contract of a test's own."""
        return self._install("source", compiled_source(source), args)

    def _install(self, name: str, artifact: Artifact, args: Sequence[Any]) -> Contract:
        inputs = next((entry["inputs"] for entry in artifact.abi if entry["type"] == "constructor"), [])
        data = artifact.bytecode + encode([_abi_type(entry) for entry in inputs], [_plain(arg) for arg in args])
        try:
            address = checksum(self.evm.deploy(self.deployer.address, data))
        except RuntimeError as error:
            raise Reverted(_reason(str(error))) from error
        self.deployed[name] = self.evm.result.gas_used
        contract = Contract(self, name, address, artifact)
        self.contracts[address] = contract
        return contract

    def turn(self, seconds: int) -> None:
        """Turns the clock and makes a block."""
        self.now += seconds
        self.block += 1
        self.set_clock()

    def machine(self) -> Any:
        """What runs the contracts."""
        return pyrevm.EVM(spec_id="PRAGUE")

    def set_clock(self) -> None:
        """Tells the machine the time."""
        self.evm.set_block_env(pyrevm.BlockEnv(number=self.block, timestamp=self.now))

    def call(self, sender: str, to: str, data: bytes, asks: bool = False) -> bytes:
        """One transaction, or a question. `gas` and `events` are those of the last transaction."""
        try:
            out: bytes = bytes(self.evm.message_call(sender, to, calldata=data, is_static=asks))
        except RuntimeError as error:
            raise Reverted(_reason(str(error))) from error
        self.evm.reset_transient_storage()
        if asks:
            return out
        self.gas = self.evm.result.gas_used
        self.events = [event for log in self.evm.result.logs if (event := self._event(log)) is not None]
        return out

    def _event(self, log: Any) -> Event | None:
        contract = self.contracts.get(checksum(log.address))
        for entry in contract.artifact.abi if contract else ():
            inputs = entry.get("inputs", [])
            signature = f"{entry.get('name')}({','.join(map(_abi_type, inputs))})"
            if entry["type"] != "event" or "0x" + keccak256(signature.encode()).hex() != log.topics[0]:
                continue
            plain = [part for part in inputs if not part["indexed"]]
            data = iter(decode([_abi_type(part) for part in plain], bytes(log.data[1])))
            topics = iter(log.topics[1:])
            raw = {
                part["name"]: decode([part["type"]], bytes.fromhex(next(topics)[2:]))[0]
                if part["indexed"]
                else next(data)
                for part in inputs
            }
            return Event(contract.address, entry["name"], {p["name"]: _fancy(p, raw[p["name"]]) for p in inputs})  # type: ignore[union-attr]
        return None

    def told(self, name: str) -> dict[str, Any]:
        """Values of the only event of that name in the last transaction."""
        found = [event.values for event in self.events if event.name == name]
        assert len(found) == 1, f"{name} told {len(found)} times by {[event.name for event in self.events]}"
        return found[0]

    # ------------------------------------------------------------ what people do

    def rich(self, who: Key, amount: int = 10_000 * UNITS) -> Key:
        """Mints for someone who then lets every contract take it."""
        self.token.mint(who.address, amount, by=self.deployer)
        for contract in (self.bonds, self.escrow, self.orders):
            self.token.approve(contract.address, 2**256 - 1, by=who)
        return who

    def bonded(self, who: Key, amount: int) -> Key:
        """Someone with a bond."""
        self.rich(who, amount)
        self.bonds.deposit(amount, by=who)
        return who

    def model(self, author: Key, payee: Address | None = None, royalty_bps: int = 500) -> bytes:
        """Registers a model; its id."""
        fields = (b"\x11" * 32, payee or author.address, royalty_bps, 2048, 10**8, 1, b"\x22" * 32)
        found: bytes = self.registry.register_model(*fields, "toy", "file:toy", by=author)
        return found

    def offer(self, provider: Key, registration: bytes, level: Level = Level.AUDITED, **changes: Any) -> Offer:
        """A provider's offer: 1 micro-token a prompt unit, 2 an answer unit."""
        usual = Offer(
            version=1,
            provider=provider.address,
            registration=registration,
            kind=1,
            level=int(level),
            price_in=UNITS,
            price_out=2 * UNITS,
            price_cached=UNITS,
            context_length=2048,
            max_units=512,
            max_unpaid=4,
            run_ahead=16,
            valid_until=self.now + 100 * DAY,
            nonce=0,
        )
        return replace(usual, **changes)

    def open(
        self, owner: Key, session: Key, deposit: int, allocations: Sequence[tuple[Key, int]], **changes: Any
    ) -> bytes:
        """Opens a channel; its id."""
        shares = [(provider.address, amount) for provider, amount in allocations]
        cap, expiry = changes.get("cap", deposit), changes.get("expiry", self.now + 10 * DAY)
        nonce = changes.get("nonce", b"\x00" * 32)
        found: bytes = self.escrow.open(session.address, cap, expiry, deposit, shares, nonce, by=owner)
        return found

    def voucher(self, channel: bytes, offer: Offer, amount: int, count: int, root: bytes = b"\x33" * 32) -> Voucher:
        """A voucher, not yet signed."""
        return Voucher(1, channel, offer.digest(self.domain), amount, count, root)

    def claim(self, session: Key, provider: Key, offer: Offer, voucher: Voucher) -> int:
        """The session key signs, the provider claims; the claim's number."""
        signature = session.sign(voucher.digest(self.domain))
        parts = (voucher.channel, offer, voucher.amount, voucher.count, voucher.receipts_root, signature)
        found: int = self.escrow.claim(*parts, by=provider)
        return found

    def grant(self, owner: Key, session: Key, deposit: int, allocations: Sequence[tuple[Key, int]]) -> ChannelGrant:
        """A grant, not yet signed."""
        pairs = b"".join(encode(["address", "uint256"], [who.address, amount]) for who, amount in allocations)
        expiry = self.now + 10 * DAY
        return ChannelGrant(1, owner.address, session.address, deposit, expiry, deposit, keccak256(pairs), b"\x44" * 32)


def _reason(error: str) -> str:
    """The string of an `Error(string)` revert."""
    found = re.search(r"output: 0x08c379a0([0-9a-f]+)", error)
    if found is None:
        return "" if "Revert" in error else error
    reason: str = decode(["string"], bytes.fromhex(found.group(1)))[0]
    return reason
