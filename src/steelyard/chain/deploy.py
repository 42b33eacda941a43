"""Deploys the contracts and says where they are. Every window is a parameter, short on devnet."""

import json
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from steelyard.chain.bindings.bonds import Bonds
from steelyard.chain.bindings.escrow import Escrow
from steelyard.chain.bindings.rulings import Rulings
from steelyard.chain.codec import encode
from steelyard.chain.port import Chain
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import MICRO, Address

DAY = 86_400
MAX_POSITIONS = 8_192  # of a game: ARI-42


@dataclass(frozen=True, slots=True)
class Parameters:
    """Constructor parameters of all contracts. Spans in seconds, rates in parts per million, shares in basis points,
    amounts in micro-tokens."""

    max_royalty_bps: int = 2_000
    max_context: int = 1 << 20  # = 1,048,576 units
    max_size_bytes: int = 1 << 42  # = 4 TiB
    min_stake: int = 1_000 * MICRO
    epoch_seconds: int = DAY
    memory_epochs: int = 30
    longest_order: int = 3_600  # D of rule M4
    challenge_window: int = 3 * DAY  # W of rule M4
    close_window: int = DAY
    rate_ppm: int = 20_000  # p: 2% of answers
    power_ppm: int = 990_000  # d: equality sees all but what CannotTell leaves
    colluding_ppm: int = 330_000  # r: below the third that keeps two thirds from convicting
    multiple: int = 4  # m, with half of a slash burned: q · m/q · 1/2 = 2 prices (rule M5)
    flat: int = 200 * MICRO  # F
    pool_bps: int = 100
    burn_bps: int = 50
    seats: int = 15
    stake: int = 50 * MICRO  # challenger's and opener's
    juror_fee: int = MICRO
    repay_times: int = 1  # k of rule M6
    open_window: int = 6 * 3_600
    commit_window: int = DAY
    reveal_window: int = DAY
    appeal_window: int = 12 * 3_600  # in which either side may take a jury's ruling to a game (rule M8)
    game_seconds: int = 12 * 3_600  # of each side in a game, in all
    position_seconds: int = 2  # and more for each position, since both have to run the model
    move_fee: int = MICRO  # of the challenger's stake, for each move of a provider that wins
    withdrawal_delay: int = 14 * DAY

    def longest_game(self) -> int:
        """Seconds from its beginning to its end at most: both clocks, for as many positions as there can be."""
        return 2 * (self.game_seconds + MAX_POSITIONS * self.position_seconds)

    def longest_case(self) -> int:
        """Seconds from a challenge to its ruling at most: seated just before it lapses, all windows, a game."""
        trial = self.open_window + self.commit_window + self.reveal_window
        return 2 * trial + self.appeal_window + self.longest_game()

    def check(self) -> None:
        """Raises Refused("deploy.windows") if bond could leave, or a pool be forgotten, before the last case on it ends
        (rule M4). The contracts check the rest by themselves."""
        exposed = self.epoch_seconds + self.longest_order + self.challenge_window + self.longest_case()
        if self.withdrawal_delay <= exposed:
            raise Refused(
                "deploy.windows", f"bond leaves after {self.withdrawal_delay} s, may be slashed for {exposed} s"
            )
        remembered = self.memory_epochs * self.epoch_seconds
        if remembered <= exposed:
            raise Refused("deploy.windows", f"pools are remembered for {remembered} s, needed for {exposed} s")


DEVNET = Parameters(
    min_stake=100 * MICRO,
    epoch_seconds=3_600,
    longest_order=120,
    challenge_window=300,
    close_window=120,
    flat=20 * MICRO,
    seats=3,
    stake=10 * MICRO,
    open_window=60,
    commit_window=60,
    reveal_window=60,
    appeal_window=6,
    game_seconds=600,
    position_seconds=0,
    withdrawal_delay=2 * 3_600,
)
"""Short windows: a jury of 3 out of 4 auditors, whose challenger does not sit."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a market lives. Nodes read it from a JSON file."""

    chain_id: int
    block: int
    """First block worth reading logs from."""
    token: Address
    registry: Address
    bonds: Address
    escrow: Address
    orders: Address
    rulings: Address
    step: Address
    operands: Address
    answers: Address
    games: Address
    proofs: Address

    @property
    def domain(self) -> Domain:
        """EIP-712 domain."""
        return Domain(self.chain_id, self.escrow)

    def save(self, path: Path) -> None:
        """Writes the JSON file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Deployment":
        """Raises Malformed("deployment")."""
        try:
            raw = json.loads(path.read_text())
            names = [field.name for field in fields(cls)][2:]
            return cls(int(raw["chain_id"]), int(raw["block"]), *(checksum(raw[name]) for name in names))
        except OSError as error:
            raise Malformed(
                "deployment", f"{path}: {error.strerror}: the file with the contracts' addresses"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed("deployment", f"{path}: {type(error).__name__} {error}") from error


def artifact(name: str) -> dict[str, Any]:
    """ABI, bytecode and layout of a contract, as committed."""
    found: dict[str, Any] = json.loads(files("steelyard.chain.artifacts").joinpath(f"{name}.json").read_text())
    return found


def create(chain: Chain, name: str, *values: Any) -> Address:
    """Deploys one contract with its constructor's values; structs are tuples."""
    made = artifact(name)
    constructor: dict[str, Any] = next(
        (entry for entry in made["abi"] if entry["type"] == "constructor"), {"inputs": []}
    )
    types = [_type(item) for item in constructor["inputs"]]
    mined = chain.send(None, encode(bytes.fromhex(made["bytecode"][2:]), types, values))
    assert mined.contract is not None
    return mined.contract


def _type(item: dict[str, Any]) -> str:
    kind: str = item["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(_type(part) for part in item["components"]) + ")" + kind.removeprefix("tuple")
    return kind


def deploy(chain: Chain, p: Parameters, token: Address | None = None) -> Deployment:
    """Deploys a market; with no `token`, a test token whose minter is the chain's account. The deployer can do nothing
    afterwards. Raises Refused("deploy.windows")."""
    assert chain.account is not None
    p.check()
    block = chain.head().number
    token = token or create(chain, "Token", "Steelyard Test Dollar", "sUSD", chain.account)
    bonds = create(chain, "Bonds", token, p.withdrawal_delay)
    limits = (p.max_royalty_bps, p.max_context, p.max_size_bytes, p.min_stake, p.epoch_seconds, p.memory_epochs)
    registry = create(chain, "Registry", bonds, limits)
    spans = (p.longest_order, p.challenge_window, p.close_window)
    rates = (p.rate_ppm, p.power_ppm, p.colluding_ppm, p.multiple, p.flat, p.pool_bps, p.burn_bps)
    escrow = create(chain, "Escrow", token, bonds, registry, (*spans, *rates))
    orders = create(chain, "Orders", escrow, registry)
    windows = (p.open_window, p.commit_window, p.reveal_window, p.appeal_window)
    jury = (p.seats, p.stake, p.juror_fee, p.repay_times, *windows)
    rulings = create(chain, "Rulings", bonds, escrow, orders, registry, jury, p.flat)
    step = create(chain, "Step")
    operands = create(chain, "Operands", step)
    answers = create(chain, "Answers", escrow, orders)
    games = create(chain, "Games", rulings, operands, answers, (p.game_seconds, p.position_seconds, p.move_fee))
    proofs = create(chain, "Proofs", rulings, escrow, orders, registry)
    Bonds(chain, bonds).bind(registry, escrow, rulings)
    Escrow(chain, escrow).bind(orders, rulings)
    Rulings(chain, rulings).bind(games, proofs)
    court = (rulings, step, operands, answers, games, proofs)
    return Deployment(chain.chain_id, block, token, registry, bonds, escrow, orders, *court)
