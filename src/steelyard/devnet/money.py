"""The ledger of a devnet, read from the chain: who holds what, and the sum that must be what was minted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steelyard.chain.bindings import bonds as bonds_events
from steelyard.chain.bindings import escrow as escrow_events
from steelyard.chain.bindings import rulings as rulings_events
from steelyard.chain.port import Log
from steelyard.devnet.market import Market
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import Address

BURNED = checksum("0x000000000000000000000000000000000000dEaD")


@dataclass(frozen=True, slots=True)
class Row:
    """One holder. Micro-tokens."""

    name: str
    address: Address
    wallet: int
    bond: int
    """Held in the bonds contract."""
    credit: int
    """Owed to it by escrow and bonds, not yet collected."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.wallet + self.bond + self.credit


def rows(market: Market) -> list[Row]:
    """Every account of the market and the burn address."""
    people: list[tuple[str, Address]] = [("buyer", market.owner.address), ("author", market.author.address)]
    people += [(f"{s.name} ({s.liar})" if s.liar else s.name, s.address) for s in market.sellers]
    people += [(f"auditor {name}", key.address) for name, key, _ in market.auditors]
    people.append(("burned", BURNED))
    return [_row(market, name, address) for name, address in people]


def _row(market: Market, name: str, address: Address) -> Row:
    ledger = market.ledger
    return Row(name, address, ledger.token.balance_of(address), ledger.bonds.held(address), ledger.credit(address))


@dataclass(frozen=True, slots=True)
class Sum:
    """Conservation: what is in wallets and contracts is what was minted, to the last unit. Micro-tokens."""

    minted: int
    wallets: int
    bonds: int
    """The bonds contract's balance."""
    escrow: int
    """The escrow's balance: channels, unpaid claims, the auditors' pool, credits."""
    orders: int

    @property
    def conserved(self) -> bool:
        """True if no unit was made or lost."""
        return self.minted == self.wallets + self.bonds + self.escrow + self.orders


def conservation(market: Market, table: list[Row]) -> Sum:
    """Adds it up from the token's own balances."""
    token, where = market.ledger.token, market.deployment
    wallets = sum(row.wallet for row in table)
    held = [token.balance_of(address) for address in (where.bonds, where.escrow, where.orders)]
    return Sum(token.total_supply(), wallets, *held)


def events(market: Market) -> Iterator[object]:
    """All events of escrow, bonds and rulings, in order."""
    where = market.deployment
    kinds: dict[Address, dict[bytes, Any]] = {
        where.escrow: escrow_events.EVENTS,
        where.bonds: bonds_events.EVENTS,
        where.rulings: rulings_events.EVENTS,
    }
    chain = market.ledger.chain
    logs: list[Log] = chain.logs(list(kinds), where.block, chain.head().number)
    for log in logs:
        kind = kinds[log.address].get(log.topics[0])
        if kind is not None:
            yield kind.read(log)


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened to the money. Micro-tokens."""

    slashed: int
    burned: int
    refunded: int
    """Credited to the buyer out of slashes."""
    royalties: int
    claimed: int


def totals(market: Market) -> Totals:
    """Adds up the events."""
    slashed = burned = refunded = royalties = claimed = 0
    for event in events(market):
        match event:
            case bonds_events.Slashed():
                slashed += event.amount
                burned += event.burned
            case bonds_events.Credited() if event.account == market.owner.address:
                refunded += event.amount
            case escrow_events.Paid():
                royalties += event.royalty
                claimed += event.to_provider + event.royalty + event.pool + event.burned
            case _:
                continue
    return Totals(slashed, burned, refunded, royalties, claimed)
