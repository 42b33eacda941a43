"""A machine of random moves over token, bonds, registry, escrow and orders against a ledger of dictionaries.

Checked: money is conserved to the last unit; nobody is slashed without a ruling; an honest party always gets its money
out; one blocked payee blocks nobody. `MUTANTS` shows that each of these can fail. Rulings is a plain key here: whatever
it rules, no unit may be made or lost.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger import BONDS, ESCROW, ORDERS
from moves import AUTHOR, NAMES, Moves
from world import DEAD, Mutant

WHO, SMALL, LARGE = st.integers(0, 4), st.integers(0, 40), st.integers(0, 4_000)
AT = st.integers(0, 9)


class MoneyMachine(RuleBasedStateMachine):
    """Random moves; `mutant` replaces a piece of a contract."""

    mutant: Mutant | None = None

    def __init__(self) -> None:
        super().__init__()
        self.moves = Moves(self.mutant)

    def pick(self, at: int, things: list[object]) -> int | None:
        return at % len(things) if things else None

    @rule(seconds=st.sampled_from([1, 3, 10, 20, 70]))
    def turn(self, seconds):
        self.moves.turn(seconds)

    @rule(who=st.integers(0, 9))
    def block(self, who):
        self.moves.block(who)

    @rule(who=WHO, amount=LARGE)
    def deposit(self, who, amount):
        self.moves.deposit(who, amount)

    @rule(who=WHO, amount=LARGE)
    def request_withdrawal(self, who, amount):
        self.moves.request_withdrawal(who, amount)

    @rule(who=WHO, cancel=st.booleans())
    def end_withdrawal(self, who, cancel):
        (self.moves.cancel_withdrawal if cancel else self.moves.withdraw)(who)

    @rule(who=WHO, amount=LARGE, release=st.booleans())
    def rulings_reserves(self, who, amount, release):
        (self.moves.release if release else self.moves.reserve)(who, amount)

    @rule(who=WHO, amount=LARGE, freed=LARGE, parts=st.lists(st.integers(0, 900), max_size=4))
    def rulings_slashes(self, who, amount, freed, parts):
        self.moves.slash(who, amount, freed, parts)

    @rule(who=WHO, amount=LARGE)
    def stranger_slashes(self, who, amount):
        self.moves.stranger_slashes(who, amount)

    @rule(who=WHO, stake=st.integers(40, 300))
    def join(self, who, stake):
        self.moves.join(who, stake)

    @rule(who=WHO, expelled=st.booleans())
    def leave(self, who, expelled):
        (self.moves.expel if expelled else self.moves.leave)(who)

    @rule(who=WHO, deposit=SMALL, over=st.integers(-3, 3), shares=st.lists(st.tuples(WHO, SMALL), max_size=3))
    def open(self, who, deposit, over, shares):
        self.moves.open(who, deposit * 3, max(deposit * 3 + over, 0), shares)

    @rule(at=AT, who=WHO, amount=SMALL)
    def add(self, at, who, amount):
        if (channel := self.pick(at, self.moves.channels)) is not None:
            self.moves.top_up(channel, who, amount)
            self.moves.allocate(channel, who, amount)

    @rule(at=AT, ask=st.booleans())
    def close(self, at, ask):
        if (channel := self.pick(at, self.moves.channels)) is not None:
            (self.moves.request_close if ask else self.moves.refund)(channel)

    @rule(at=AT, who=WHO, offer=st.integers(0, 1), is_open=st.booleans(), amount=SMALL, count=st.integers(0, 9))
    def claim(self, at, who, offer, is_open, amount, count):
        if (channel := self.pick(at, self.moves.channels)) is not None:
            allocation = self.moves.ledger.channels[channel].allocation
            providers = [NAMES.index(name) for name in allocation] or [who]
            self.moves.claim(channel, providers[who % len(providers)], offer, is_open, amount, count)

    @rule(at=AT, what=st.sampled_from(["start", "pay", "hold", "unhold", "pay"]))
    def touch(self, at, what):
        if (claim := self.pick(at, self.moves.ledger.claims)) is not None:
            getattr(self.moves, what)(claim)

    @rule()
    def share_pool(self):
        self.moves.share_pool()

    @rule(where=st.sampled_from([BONDS, ESCROW, ORDERS]), who=st.sampled_from([*NAMES, AUTHOR.address, DEAD]))
    def collect(self, where, who):
        self.moves.collect(where, who)

    @rule(who=WHO, spare=SMALL)
    def place(self, who, spare):
        self.moves.place(who, spare)

    @rule(at=AT, units=st.integers(1, 20), refund=st.booleans())
    def end_order(self, at, units, refund):
        if (order := self.pick(at, self.moves.placed)) is not None:
            if refund:
                self.moves.refund_order(order)
            else:
                self.moves.deliver(order, units)

    @invariant()
    def money_is_conserved_to_the_last_unit(self):
        self.moves.check_conserved()

    @invariant()
    def the_ledger_says_the_same_of_everyone(self):
        self.moves.check_same()

    @invariant()
    def nobody_is_slashed_without_a_ruling(self):
        self.moves.check_slashes()

    def teardown(self):
        self.moves.everyone_leaves()


QUICK = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_money_is_conserved_and_everyone_gets_it_out_whatever_happens():
    run_state_machine_as_test(MoneyMachine, settings=QUICK)
