"""Every move with money, made in the contracts and in the ledger, which must agree."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import pytest
from desk import SALT, Desk, packed
from ledger import BONDS, ESCROW, ORDERS, PAID, PLACED, RULINGS, WAITING, Ledger, No
from odd_tokens import SPEAKING
from sources import Mutant
from world import DEAD, NOBODY, Reverted, Terms, key

from steelyard.protocol import roots
from steelyard.protocol.price import price

SHORT = Terms(
    longest_order=10,
    challenge_window=10,
    close_window=20,
    flat=5,
    min_stake=50,
    epoch_seconds=7,
    memory_epochs=1_000,
    withdrawal_delay=60,
    pool_bps=700,
    burn_bps=300,
)
PEOPLE = [key(name) for name in ("amy", "bob", "pat", "pia", "wat")]
NAMES = [who.address for who in PEOPLE]
AUTHOR, SESSION, EVE = key("author"), key("session"), key("eve")
PURSE = 10**9


class Town(Desk):
    """A small world with a token that can refuse to pay one address."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        super().__init__(mutant, SHORT, SPEAKING)

    def stock(self) -> None:
        for who in PEOPLE:
            self.rich(who, PURSE)


class Moves:
    """Every move, made in the contracts and in the ledger; both must agree on what happens and on why not."""

    def __init__(self, mutant: Mutant | None = None, town: Town | None = None) -> None:
        self.town = town or Town(mutant)
        self.ledger = Ledger(SHORT, AUTHOR.address, 500, self.town.now)
        for who in PEOPLE:
            self.ledger.wallet[who.address] = PURSE
        self.channels: list[bytes] = []
        self.placed: list[object] = []
        self.given: dict[str, int] = defaultdict(int)
        """Bond put in less bond taken out, by what people saw."""
        self.leaving = False
        """Everyone is on the way out: no move may be refused any more."""
        self.ruled: dict[str, int] = defaultdict(int)
        """What Rulings took."""
        self.contracts = {BONDS: self.town.bonds, ESCROW: self.town.escrow, ORDERS: self.town.orders}

    def both(self, real: Callable[[], object], model: Callable[[], object]) -> object:
        """Makes a move in both; None if both refused it, which nobody may who only wants to leave."""
        expected, expected_rule = self._try(model)
        found, rule = self._try(real)
        assert rule == expected_rule, f"the contract says {rule}, the ledger {expected_rule}"
        assert expected is None or found == expected
        assert rule is None or not self.leaving, f"refused to somebody who leaves: {rule}"
        return None if rule else (expected or True)

    def _try(self, move: Callable[[], object]) -> tuple[object, str | None]:
        try:
            return move(), None
        except (No, Reverted) as no:
            return None, str(no)

    # ------------------------------------------------------------ moves

    def turn(self, seconds: int) -> None:
        self.town.turn(seconds)
        self.ledger.now += seconds

    def block(self, who: int) -> None:
        blocked = NAMES[who] if who < len(NAMES) else NOBODY
        self.town.token.block(blocked, by=EVE)
        self.ledger.blocked = blocked

    def deposit(self, who: int, amount: int) -> None:
        real, model = self.town.bonds.deposit, self.ledger.deposit
        if self.both(lambda: real(amount, by=PEOPLE[who]), lambda: model(NAMES[who], amount)):
            self.given[NAMES[who]] += amount

    def request_withdrawal(self, who: int, amount: int) -> None:
        real, model = self.town.bonds.request_withdrawal, self.ledger.request_withdrawal
        self.both(lambda: real(amount, by=PEOPLE[who]), lambda: model(NAMES[who], amount))

    def cancel_withdrawal(self, who: int) -> None:
        real, model = self.town.bonds.cancel_withdrawal, self.ledger.cancel_withdrawal
        self.both(lambda: real(by=PEOPLE[who]), lambda: model(NAMES[who]))

    def withdraw(self, who: int) -> None:
        before = self.town.token.balanceOf(NAMES[who])
        self.both(lambda: self.town.bonds.withdraw(by=PEOPLE[who]), lambda: self.ledger.withdraw(NAMES[who]))
        self.given[NAMES[who]] -= self.town.token.balanceOf(NAMES[who]) - before

    def reserve(self, who: int, amount: int) -> None:
        real, model = self.town.bonds.reserve, self.ledger.reserve
        self.both(lambda: real(NAMES[who], amount, by=self.town.rulings), lambda: model(RULINGS, NAMES[who], amount))

    def release(self, who: int, amount: int) -> None:
        real, model = self.town.bonds.release, self.ledger.release
        self.both(lambda: real(NAMES[who], amount, by=self.town.rulings), lambda: model(RULINGS, NAMES[who], amount))

    def slash(self, who: int, amount: int, from_reserved: int, parts: list[int]) -> None:
        payouts = [(NAMES[at], part) for at, part in enumerate(parts)]
        freed = min(from_reserved, self.ledger.reserved_by[RULINGS, NAMES[who]])
        real, model = self.town.bonds.slash, self.ledger.slash
        taken = self.both(
            lambda: real(NAMES[who], amount, freed, payouts, by=self.town.rulings),
            lambda: model(NAMES[who], amount, freed, payouts),
        )
        self.ruled[NAMES[who]] += int(taken or 0) if amount and taken is not True else 0

    def stranger_slashes(self, who: int, amount: int) -> None:
        for stranger in (EVE, self.town.deployer, PEOPLE[who]):
            with pytest.raises(Reverted, match=r"^bonds\.authority$"):
                self.town.bonds.slash(NAMES[who], amount, 0, [], by=stranger)

    def join(self, who: int, stake: int) -> None:
        real = self.town.registry.join
        self.both(lambda: real(SALT, "u", stake, by=PEOPLE[who]), lambda: self.ledger.join(NAMES[who], stake))

    def leave(self, who: int) -> None:
        self.both(lambda: self.town.registry.leave(by=PEOPLE[who]), lambda: self.ledger.leave(NAMES[who]))

    def expel(self, who: int) -> None:
        self.both(lambda: self.town.registry.expel(NAMES[who], by=EVE), lambda: self.ledger.expel(NAMES[who]))

    def open(self, who: int, deposit: int, cap: int, shares: list[tuple[int, int]]) -> None:
        pairs = [(NAMES[at], amount) for at, amount in shares]
        nonce = len(self.channels).to_bytes(32, "big")
        expiry = self.town.now + 10**6
        opened = self.both(
            lambda: self.town.escrow.open(SESSION.address, cap, expiry, deposit, pairs, nonce, by=PEOPLE[who]),
            lambda: self.ledger.open(NAMES[who], deposit, cap, pairs),
        )
        if opened:
            self.channels.append(self.town.escrow.channel_id(NAMES[who], nonce))

    def top_up(self, at: int, who: int, amount: int) -> None:
        real, model = self.town.escrow.top_up, self.ledger.top_up
        self.both(lambda: real(self.channels[at], amount, by=PEOPLE[who]), lambda: model(NAMES[who], at, amount))

    def _owner(self, at: int):
        return PEOPLE[NAMES.index(self.ledger.channels[at].owner)]

    def allocate(self, at: int, who: int, amount: int) -> None:
        real, model = self.town.escrow.allocate, self.ledger.allocate
        self.both(
            lambda: real(self.channels[at], NAMES[who], amount, by=self._owner(at)),
            lambda: model(at, NAMES[who], amount),
        )

    def request_close(self, at: int) -> None:
        real, model = self.town.escrow.request_close, self.ledger.request_close
        self.both(lambda: real(self.channels[at], by=self._owner(at)), lambda: model(at))

    def refund(self, at: int) -> None:
        self.both(lambda: self.town.escrow.refund(self.channels[at], by=EVE), lambda: self.ledger.refund(at))

    def claim(self, at: int, who: int, offer: int, is_open: bool, amount: int, count: int) -> None:
        sold = self.town.offer(PEOPLE[who], self.town.registration, nonce=offer, valid_until=2**63)
        sold = replace(sold, level=1 if is_open else 2)
        voucher = self.town.voucher(self.channels[at], sold, amount, count)
        self.both(
            lambda: self.town.claim(SESSION, PEOPLE[who], sold, voucher),
            lambda: self.ledger.claim(at, NAMES[who], offer, is_open, amount, count),
        )

    def start(self, at: int) -> None:
        self.both(lambda: self.town.escrow.start(at + 1, by=EVE), lambda: self.ledger.start(at + 1))

    def hold(self, at: int) -> None:
        self.both(lambda: self.town.escrow.hold(at + 1, by=self.town.rulings), lambda: self.ledger.hold(at + 1))

    def unhold(self, at: int) -> None:
        self.both(lambda: self.town.escrow.unhold(at + 1, by=self.town.rulings), lambda: self.ledger.unhold(at + 1))

    def pay(self, at: int) -> None:
        self.both(lambda: self.town.escrow.pay(at + 1, by=EVE), lambda: self.ledger.pay(at + 1))

    def share_pool(self) -> None:
        self.both(lambda: self.town.escrow.share_pool(by=EVE), self.ledger.share_pool)

    def collect(self, contract: str, who: str) -> None:
        real = self.contracts[contract].collect_for
        self.both(lambda: real(who, by=EVE), lambda: self.ledger.collect(contract, who))

    def place(self, who: int, spare: int) -> None:
        sold = self.town.offer(PEOPLE[3], self.town.registration, valid_until=2**63)
        nonce = len(self.placed).to_bytes(32, "big")
        order = self.town.order(
            NAMES[who],
            sold=sold,
            nonce=nonce,
            max_units=20,
            max_price=price(sold, 3, 20) + spare,
            deadline=self.town.now + 10,
        )
        self.both(
            lambda: self.town.orders.place(sold, order, packed((5, 6, 2**32 - 1)), NOBODY, by=PEOPLE[who]) and None,
            lambda: self.ledger.place(NAMES[who], order.max_price, order.deadline),
        )
        self.placed.append((sold, order))

    def deliver(self, at: int, units: int) -> None:
        sold, order = self.placed[at]
        answer = tuple(range(units))
        receipt = replace(self.town.receipt(order, answer), response_root=roots.units_root(answer, SALT))
        signature = PEOPLE[3].sign(receipt.digest(self.town.domain))
        real, model = self.town.orders.deliver, self.ledger.deliver
        self.both(
            lambda: real(sold, order, receipt, signature, packed(answer), SALT, by=EVE),
            lambda: model(at, NAMES[3], price(sold, 3, units)),
        )

    def refund_order(self, at: int) -> None:
        digest = self.placed[at][1].digest(self.town.domain)
        self.both(lambda: self.town.orders.refund(digest, by=EVE), lambda: self.ledger.refund_order(at))

    # ------------------------------------------------------------ what always holds

    def check_conserved(self) -> None:
        """Every contract holds what it owes, and no unit was made or lost."""
        balance = self.town.token.balanceOf
        held = {name: balance(contract.address) for name, contract in self.contracts.items()}
        assert held == {name: self.ledger.holding(name) for name in self.contracts}
        wallets = sum(balance(who) for who in (*NAMES, AUTHOR.address, DEAD))
        assert wallets + sum(held.values()) == len(PEOPLE) * PURSE

    def check_same(self) -> None:
        """Contracts and ledger agree on everybody's bond and credit."""
        bonds, ledger = self.town.bonds, self.ledger
        for who in (*NAMES, AUTHOR.address, DEAD):
            found = [contract.credit(who) for contract in self.contracts.values()]
            assert found == [ledger.credit[name, who] for name in self.contracts]
            assert self.town.token.balanceOf(who) == ledger.wallet[who]
        for who in NAMES:
            found = [bonds.held(who), bonds.reserved(who), bonds.leaving(who), bonds.free(who)]
            assert found == [ledger.held[who], ledger.reserved(who), ledger.leaving[who], ledger.free(who)]
        assert self.town.escrow.pool_balance() == ledger.pool

    def check_slashes(self) -> None:
        """Bond is what was put in, less what was taken out, less what Rulings took: nothing else lowers it."""
        for who in NAMES:
            assert self.town.bonds.held(who) == self.given[who] - self.ruled[who]

    # ------------------------------------------------------------ the end

    def everyone_leaves(self) -> None:
        """All take out all that is theirs; then the contracts hold what the blocked payee could not take, and once it
        is free, nothing."""
        self.leaving = True
        self._finish_work()
        self._empty(self.ledger.blocked)
        stuck = self.ledger.blocked
        for name, contract in self.contracts.items():
            left = self.ledger.credit[name, stuck] + (self.ledger.held[stuck] if name == BONDS else 0)
            assert self.town.token.balanceOf(contract.address) == left
        self.block(9)
        self._empty("")
        for contract in self.contracts.values():
            assert self.town.token.balanceOf(contract.address) == 0
            assert contract.owed() == 0
        self.check_conserved()
        self.check_same()

    def _finish_work(self) -> None:
        self._end_cases()
        self._close_channels()
        self._pay_claims()
        self._dissolve_pool()

    def _end_cases(self) -> None:
        for at, claim in enumerate(self.ledger.claims):
            for _ in range(claim.holds):
                self.unhold(at)
        for who, name in enumerate(NAMES):
            self.release(who, self.ledger.reserved_by[RULINGS, name])
            if self.ledger.leaving[name]:
                self.cancel_withdrawal(who)

    def _close_channels(self) -> None:
        ledger = self.ledger
        for at, channel in enumerate(ledger.channels):
            if not channel.closes_at:
                self.request_close(at)
        self.turn(100)
        for at, channel in enumerate(ledger.channels):
            if not channel.closed:
                self.refund(at)
        for at, order in enumerate(ledger.orders):
            if order.state == PLACED:
                self.refund_order(at)

    def _pay_claims(self) -> None:
        ledger = self.ledger
        for at, claim in enumerate(ledger.claims):
            if claim.state == WAITING:
                who = NAMES.index(claim.provider)
                self.deposit(who, claim.reserve + ledger.reserved(claim.provider) + 1)
                self.start(at)
        self.turn(100)
        for at, claim in enumerate(ledger.claims):
            if claim.state != PAID:
                self.pay(at)

    def _dissolve_pool(self) -> None:
        ledger = self.ledger
        self.deposit(4, 1_000 + ledger.reserved(NAMES[4]))
        if not ledger.stake[NAMES[4]]:
            self.join(4, 50)
        self.turn(7)
        if ledger.pool:
            self.share_pool()
        for who in range(len(NAMES)):
            if ledger.stake[NAMES[who]]:
                self.leave(who)
            assert ledger.reserved(NAMES[who]) == 0

    def _empty(self, blocked: str) -> None:
        """Everybody but the blocked takes everything."""
        free = [who for who in NAMES if who != blocked]
        for who in free:
            if self.ledger.free(who):
                self.request_withdrawal(NAMES.index(who), self.ledger.free(who))
        self.turn(60)
        for who in free:
            if self.ledger.leaving[who]:
                self.withdraw(NAMES.index(who))
            assert self.town.bonds.held(who) == 0
        for name in self.contracts:
            for who in (*free, AUTHOR.address, DEAD):
                if self.ledger.credit[name, who]:
                    self.collect(name, who)
                assert self.contracts[name].credit(who) == 0
