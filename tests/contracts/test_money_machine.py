"""A machine of random moves over token, bonds, registry, escrow and orders against a ledger of dictionaries.

Checked: money is conserved to the last unit; nobody is slashed without a ruling; an honest party always gets its money
out; one blocked payee blocks nobody (`moves.Moves`). `test_money_mutants.py` shows that each of these can fail.
Rulings is a plain key here: whatever it rules, no unit may be made or lost.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger import BONDS, ESCROW, ORDERS, PAID, PLACED, RULINGS
from moves import AUTHOR, NAMES, Moves
from world import DEAD

WHO, SMALL, LARGE, AT = st.integers(0, 4), st.integers(0, 40), st.integers(0, 4_000), st.integers(0, 9)
PROVIDER = st.integers(2, 3)
WAIT = st.sampled_from([0, 1, 10, 20, 60])


class MoneyMachine(RuleBasedStateMachine):
    """Random moves, most of them possible, some of them not."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = Moves()
        self.ledger = self.moves.ledger

    @initialize(bond=LARGE, shares=st.lists(st.tuples(PROVIDER, SMALL), min_size=1, max_size=3))
    def begin(self, bond, shares):
        for who in (2, 3, 4):
            self.moves.deposit(who, bond + 100)
        self.moves.join(4, 50)
        self.moves.open(0, 200, 150, shares)

    @rule(seconds=WAIT)
    def turn(self, seconds):
        self.moves.turn(seconds)

    @rule(who=st.integers(0, 9))
    def block(self, who):
        self.moves.block(who)

    @rule(who=WHO, amount=LARGE)
    def deposit(self, who, amount):
        self.moves.deposit(who, amount)

    @rule(who=WHO, part=st.integers(0, 11), cancel=st.booleans(), seconds=WAIT)
    def leave_bonds(self, who, part, cancel, seconds):
        self.moves.request_withdrawal(who, self.ledger.free(NAMES[who]) * part // 10)
        self.moves.turn(seconds)
        (self.moves.cancel_withdrawal if cancel else self.moves.withdraw)(who)

    @rule(who=WHO, part=st.integers(0, 11))
    def rulings_reserves(self, who, part):
        self.moves.reserve(who, self.ledger.free(NAMES[who]) * part // 10)

    @rule(who=WHO, part=st.integers(0, 11))
    def rulings_releases(self, who, part):
        self.moves.release(who, self.ledger.reserved_by[RULINGS, NAMES[who]] * part // 10)

    @rule(who=WHO, amount=LARGE, freed=LARGE, parts=st.lists(st.integers(0, 900), max_size=3))
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

    @rule(who=WHO, deposit=SMALL, over=st.integers(-3, 3), shares=st.lists(st.tuples(PROVIDER, SMALL), max_size=3))
    def open(self, who, deposit, over, shares):
        self.moves.open(who, deposit * 3, max(deposit * 3 + over, 0), shares)

    @rule(at=AT, who=WHO, provider=PROVIDER, amount=SMALL)
    def add(self, at, who, provider, amount):
        channel = at % len(self.moves.channels) if self.moves.channels else None
        if channel is not None:
            self.moves.top_up(channel, who, amount)
            self.moves.allocate(channel, provider, amount)

    @precondition(lambda self: self.moves.channels)
    @rule(at=AT, ask=st.booleans())
    def close(self, at, ask):
        (self.moves.request_close if ask else self.moves.refund)(at % len(self.moves.channels))

    @precondition(lambda self: self.moves.channels)
    @rule(
        at=AT,
        who=PROVIDER,
        offer=st.integers(0, 1),
        is_open=st.booleans(),
        amount=st.integers(-1, 12),
        count=st.integers(-1, 4),
    )
    def claim(self, at, who, offer, is_open, amount, count):
        channel = at % len(self.moves.channels)
        paid, first = self.ledger.channels[channel].vouched[NAMES[who], offer, is_open]
        self.moves.claim(channel, who, offer, is_open, max(paid + amount, 0), max(first + count, 0))

    @precondition(lambda self: self.ledger.claims)
    @rule(at=AT, what=st.sampled_from(["start", "hold", "unhold"]))
    def touch(self, at, what):
        getattr(self.moves, what)(at % len(self.ledger.claims))

    @precondition(lambda self: self.ledger.claims)
    @rule(at=AT, seconds=WAIT)
    def pay(self, at, seconds):
        self.moves.turn(seconds)
        unpaid = [i for i, claim in enumerate(self.ledger.claims) if claim.state != PAID]
        self.moves.pay(at % len(self.ledger.claims) if at > 7 or not unpaid else unpaid[at % len(unpaid)])

    @precondition(lambda self: self.ledger.pool)
    @rule()
    def share_pool(self):
        self.moves.share_pool()

    @rule(where=st.sampled_from([BONDS, ESCROW, ORDERS]), who=st.sampled_from([*NAMES, AUTHOR.address, DEAD]))
    def collect(self, where, who):
        self.moves.collect(where, who)

    @precondition(lambda self: any(self.ledger.credit.values()))
    @rule(at=AT)
    def collect_what_is_there(self, at):
        owed = sorted(place for place, amount in self.ledger.credit.items() if amount)
        self.moves.collect(*owed[at % len(owed)])

    @rule(who=WHO, spare=SMALL, units=st.integers(0, 20))
    def place(self, who, spare, units):
        self.moves.place(who, spare)
        if units:
            self.moves.deliver(len(self.moves.placed) - 1, units)

    @precondition(lambda self: self.moves.placed)
    @rule(at=AT, units=st.integers(1, 20), refund=st.booleans())
    def end_order(self, at, units, refund):
        still = [i for i, order in enumerate(self.ledger.orders) if order.state == PLACED]
        order = at % len(self.moves.placed) if at > 7 or not still else still[at % len(still)]
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


QUICK = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))


def test_money_is_conserved_and_everyone_gets_it_out_whatever_happens_esc_1():
    run_state_machine_as_test(MoneyMachine, settings=QUICK)
