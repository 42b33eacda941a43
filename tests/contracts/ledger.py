"""What the contracts should do with money, as dictionaries: the model against which they are tested.

Written from spec/escrow.md, not from the contracts. Every move either happens or raises `No` with the rule's name.
Amounts are micro-tokens, times Unix seconds, people are addresses.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace

from world import DEAD, Terms

WAITING, VESTING, PAID = 1, 2, 3
PLACED, DELIVERED, REFUNDED = 1, 2, 3
BONDS, ESCROW, ORDERS = "bonds", "escrow", "orders"
REGISTRY, RULINGS = "registry", "rulings"


class No(Exception):
    """Refused, with the rule's name."""


def refuse(when: bool, rule: str) -> None:
    if when:
        raise No(rule)


@dataclass
class Channel:
    owner: str
    deposit: int
    cap: int
    allocation: dict[str, int]
    spent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    vouched: dict[object, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    closes_at: int = 0
    closed: bool = False

    @property
    def claimed(self) -> int:
        return sum(self.spent.values())


@dataclass
class Claim:
    provider: str
    amount: int
    reserve: int
    open: bool
    state: int = WAITING
    vests_at: int = 0
    holds: int = 0


@dataclass
class Placed:
    buyer: str
    max_price: int
    deadline: int
    state: int = PLACED


@dataclass
class Ledger:
    """All the money there is."""

    terms: Terms
    author: str
    royalty_bps: int
    now: int
    blocked: str = ""
    """Whose transfers the token refuses."""
    wallet: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reserved_by: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    leaving: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    leaves_at: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    credit: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    stake: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    weights: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Auditor, in order of joining -> (epoch, weight from then on)."""
    channels: list[Channel] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    orders: list[Placed] = field(default_factory=list)
    pool: int = 0
    shared_in: int = 0

    @property
    def epoch(self) -> int:
        return self.now // self.terms.epoch_seconds

    # -------------------------------------------------------- what should be where

    def holding(self, contract: str) -> int:
        """Tokens that a contract should hold."""
        owed = sum(amount for (where, _), amount in self.credit.items() if where == contract)
        if contract == BONDS:
            return owed + sum(self.held.values())
        if contract == ORDERS:
            return owed + sum(order.max_price for order in self.orders if order.state == PLACED)
        open_channels = sum(c.deposit - c.claimed for c in self.channels if not c.closed)
        return owed + self.pool + open_channels + sum(c.amount for c in self.claims if c.state != PAID)

    def reserved(self, who: str) -> int:
        return sum(amount for (_, account), amount in self.reserved_by.items() if account == who)

    def unreserved(self, who: str) -> int:
        return max(self.held[who] - self.reserved(who), 0)

    def free(self, who: str) -> int:
        return max(self.unreserved(who) - self.leaving[who], 0)

    def send(self, who: str, amount: int) -> None:
        refuse(who == self.blocked, "blocked")
        self.wallet[who] += amount

    def collect(self, contract: str, who: str) -> int:
        amount = self.credit[contract, who]
        refuse(amount == 0, "money.no-credit")
        self.send(who, amount)
        self.credit[contract, who] = 0
        return amount

    # -------------------------------------------------------- bonds

    def deposit(self, who: str, amount: int) -> None:
        refuse(amount == 0, "bonds.nothing")
        self.wallet[who] -= amount
        self.held[who] += amount

    def request_withdrawal(self, who: str, amount: int) -> None:
        refuse(amount == 0, "bonds.nothing")
        refuse(amount > self.free(who), "bonds.short")
        self.leaving[who] += amount
        self.leaves_at[who] = self.now + self.terms.withdrawal_delay

    def cancel_withdrawal(self, who: str) -> None:
        refuse(self.leaving[who] == 0, "bonds.nothing")
        self.leaving[who] = 0

    def withdraw(self, who: str) -> int:
        amount = min(self.leaving[who], self.unreserved(who))
        refuse(amount == 0, "bonds.nothing")
        refuse(self.now < self.leaves_at[who], "bonds.early")
        self.send(who, amount)
        self.leaving[who] = 0
        self.held[who] -= amount
        return amount

    def reserve(self, authority: str, who: str, amount: int) -> None:
        refuse(amount > self.free(who), "bonds.short")
        self.reserved_by[authority, who] += amount

    def release(self, authority: str, who: str, amount: int) -> None:
        refuse(amount > self.reserved_by[authority, who], "bonds.release")
        self.reserved_by[authority, who] -= amount

    def slash(self, who: str, amount: int, from_reserved: int, payouts: list[tuple[str, int]]) -> int:
        refuse(2 * sum(part for _, part in payouts) > amount, "bonds.payouts")
        self.release(RULINGS, who, from_reserved)
        taken = min(amount, self.held[who])
        self.held[who] -= taken
        self.leaving[who] = min(self.leaving[who], self.held[who])
        burned = taken
        for to, part in payouts:
            share = part * taken // amount if amount else 0
            self.credit[BONDS, to] += share
            burned -= share
        self.credit[BONDS, DEAD] += burned
        return taken

    # -------------------------------------------------------- auditors

    def join(self, who: str, stake: int) -> None:
        refuse(stake < self.terms.min_stake, "registry.stake")
        refuse(self.stake[who] > 0, "registry.member")
        self.reserve(REGISTRY, who, stake)
        self.stake[who] = stake
        self.weights.setdefault(who, []).append((self.epoch + 1, stake))

    def leave(self, who: str) -> None:
        refuse(self.stake[who] == 0, "registry.no-member")
        self.release(REGISTRY, who, self.stake[who])
        self.stake[who] = 0
        self.weights[who].append((self.epoch + 1, 0))

    def expel(self, who: str) -> None:
        refuse(self.held[who] >= self.reserved(who), "registry.bond-enough")
        self.leave(who)

    def members(self) -> list[tuple[str, int]]:
        """Auditors of the current epoch and their weights."""
        found = []
        for who, history in self.weights.items():
            weight = ([0] + [weight for epoch, weight in history if epoch <= self.epoch])[-1]
            if weight:
                found.append((who, weight))
        return found

    # -------------------------------------------------------- channels and claims

    def open(self, owner: str, deposit: int, cap: int, shares: list[tuple[str, int]]) -> None:
        refuse(sum(amount for _, amount in shares) > min(deposit, cap), "escrow.allocation")
        refuse(any(amount == 0 for _, amount in shares), "escrow.allocation")
        allocation: dict[str, int] = defaultdict(int)
        for who, amount in shares:
            allocation[who] += amount
        self.wallet[owner] -= deposit
        self.channels.append(Channel(owner, deposit, cap, allocation))

    def top_up(self, who: str, at: int, amount: int) -> None:
        channel = self.channels[at]
        refuse(channel.closes_at > 0, "escrow.closing")
        refuse(amount == 0, "escrow.nothing")
        self.wallet[who] -= amount
        channel.deposit += amount
        channel.cap += amount if who == channel.owner else 0

    def allocate(self, at: int, who: str, amount: int) -> None:
        channel = self.channels[at]
        refuse(channel.closes_at > 0, "escrow.closing")
        over = sum(channel.allocation.values()) + amount > min(channel.deposit, channel.cap)
        refuse(over or amount == 0, "escrow.allocation")
        channel.allocation[who] += amount

    def request_close(self, at: int) -> None:
        refuse(self.channels[at].closes_at > 0, "escrow.closing")
        self.channels[at].closes_at = self.now + self.terms.close_window

    def refund(self, at: int) -> None:
        channel = self.channels[at]
        refuse(channel.closes_at == 0, "escrow.not-closing")
        refuse(self.now < channel.closes_at, "escrow.early")
        refuse(channel.closed, "escrow.closed")
        channel.closed = True
        self.credit[ESCROW, channel.owner] += channel.deposit - channel.claimed

    def claim(self, at: int, provider: str, offer: object, is_open: bool, amount: int, count: int) -> int:
        channel = self.channels[at]
        refuse(channel.closed, "escrow.closed")
        paid, first = channel.vouched[provider, offer, is_open]
        refuse(amount <= paid or count <= first, "escrow.stale-voucher")
        over = channel.spent[provider] + amount - paid > channel.allocation.get(provider, 0)
        refuse(over, "escrow.over-allocation")
        channel.vouched[provider, offer, is_open] = (amount, count)
        channel.spent[provider] += amount - paid
        return self._claim(provider, amount - paid, count - first, is_open)

    def _claim(self, provider: str, amount: int, count: int, is_open: bool) -> int:
        scaled = -(-self.terms.multiple * amount * 10**6 // self.terms.q_ppm)
        reserve = 0 if is_open else count * self.terms.flat + scaled
        self.claims.append(Claim(provider, amount, reserve, is_open))
        if reserve <= self.free(provider):
            self.start(len(self.claims))
        return len(self.claims)

    def start(self, number: int) -> None:
        claim = self.claims[number - 1]
        refuse(claim.state != WAITING, "escrow.claim-state")
        self.reserve(ESCROW, claim.provider, claim.reserve)
        wait = 0 if claim.open else self.terms.longest_order + self.terms.challenge_window
        self.claims[number - 1] = replace(claim, state=VESTING, vests_at=self.now + wait)

    def hold(self, number: int) -> None:
        refuse(self.claims[number - 1].state == PAID, "escrow.claim-state")
        self.claims[number - 1].holds += 1

    def unhold(self, number: int) -> None:
        refuse(self.claims[number - 1].holds == 0, "escrow.claim-state")
        self.claims[number - 1].holds -= 1

    def pay(self, number: int) -> None:
        claim = self.claims[number - 1]
        refuse(claim.state != VESTING, "escrow.claim-state")
        refuse(self.now < claim.vests_at, "escrow.early")
        refuse(claim.holds > 0, "escrow.held")
        shares = (self.royalty_bps, self.terms.pool_bps, self.terms.burn_bps)
        royalty, pool, burned = (claim.amount * bps // 10_000 for bps in shares)
        claim.state = PAID
        self.credit[ESCROW, self.author] += royalty
        self.credit[ESCROW, DEAD] += burned
        self.credit[ESCROW, claim.provider] += claim.amount - royalty - pool - burned
        self.pool += pool
        self.release(ESCROW, claim.provider, claim.reserve)

    def share_pool(self) -> None:
        refuse(self.epoch <= self.shared_in, "escrow.pool-shared")
        refuse(self.pool == 0, "escrow.nothing")
        members = self.members()
        refuse(not members, "escrow.no-auditors")
        whole, left = sum(weight for _, weight in members), self.pool
        for who, weight in members[:-1]:
            self.credit[ESCROW, who] += self.pool * weight // whole
            left -= self.pool * weight // whole
        self.credit[ESCROW, members[-1][0]] += left
        self.pool, self.shared_in = 0, self.epoch

    # -------------------------------------------------------- orders that contracts place

    def place(self, buyer: str, max_price: int, deadline: int) -> None:
        self.wallet[buyer] -= max_price
        self.orders.append(Placed(buyer, max_price, deadline))

    def deliver(self, at: int, provider: str, price: int) -> int:
        order = self.orders[at]
        refuse(order.state != PLACED, "orders.state")
        refuse(self.now > order.deadline, "orders.late")
        order.state = DELIVERED
        self.credit[ORDERS, order.buyer] += order.max_price - price
        return self._claim(provider, price, 1, False)

    def refund_order(self, at: int) -> None:
        order = self.orders[at]
        refuse(order.state != PLACED, "orders.state")
        refuse(self.now <= order.deadline, "orders.early")
        order.state = REFUNDED
        self.credit[ORDERS, order.buyer] += order.max_price
