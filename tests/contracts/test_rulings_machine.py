"""Any order of challenges, seats, votes, silences and settlements, against a model written from spec/rulings.md.

After every step each bond, credit and reservation is what the model says; at the end every case can be ruled, by a
stranger, and then nothing is reserved or held any more (RUL-27).
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from courtroom import (
    ANN,
    AUDITORS,
    CANNOT_TELL,
    CHALLENGED,
    CHEATED,
    EVE,
    HONEST,
    NO_TIE,
    NOT_OPENED,
    OPENED,
    PAUL,
    RULED,
    SEATED,
    Courtroom,
    Rules,
    Sale,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from world import DEAD, Mutant, Reverted

from steelyard.protocol.keys import Key
from steelyard.protocol.records import Vote

RULES = Rules()
TRIAL = RULES.open_window + RULES.commit_window + RULES.reveal_window
SALES = 4
RUNS = (b"\x05" * 32, b"\x06" * 32)
OUTCOMES = st.sampled_from((HONEST, CHEATED, CANNOT_TELL, NOT_OPENED)).flatmap(
    lambda usual: st.lists(st.sampled_from((usual, usual, usual, None, HONEST, CHEATED)), min_size=3, max_size=3)
)
"""Three votes that often agree; None: the juror stays silent."""
CHOSEN_RUNS = st.lists(st.sampled_from((*RUNS[:1] * 4, RUNS[1])), min_size=3, max_size=3)


@dataclass
class Case:
    """What the model knows of one."""

    id: bytes
    sale: int
    challenger: Key
    reserved: int
    born: int
    until: int
    stage: int = CHALLENGED
    jury: list[Key] = field(default_factory=list)
    votes: dict[int, Vote] = field(default_factory=dict)
    revealed: set[int] = field(default_factory=set)
    commit_until: int = 0
    reveal_until: int = 0
    tied: bool = False


class Trials(RuleBasedStateMachine):
    """Paul's bond is worth three lies and a half; one claim covers the first three sales."""

    mutant: Mutant | None = None

    def __init__(self) -> None:
        super().__init__()
        probe = Courtroom()
        self.s = probe.stake(probe.sell())
        self.room = room = Courtroom(self.mutant, bond=7 * self.s // 2)
        self.sales: list[Sale] = [room.sell(room.order(nonce=n, deadline=room.now + 10**6)) for n in range(SALES)]
        self.claim = room.paid(*self.sales[:3])
        self.escrowed = room.bonds.reserved(PAUL.address)
        self.cases: list[Case] = []
        self.convicted: set[int] = set()
        self.held = Counter({who.address: room.held(who) for who in (PAUL, ANN, *AUDITORS)})
        self.reserved: Counter[str] = Counter()
        self.credit: defaultdict[str, int] = defaultdict(int)

    # ------------------------------------------------------------ the model's money

    def slash(self, who: Key, amount: int, payouts: list[tuple[str, int]]) -> None:
        taken = min(amount, self.held[who.address])
        self.held[who.address] -= taken
        paid = 0
        for to, promised in payouts:
            self.credit[to] += promised * taken // amount
            paid += promised * taken // amount
        self.credit[DEAD] += taken - paid

    def fees(self, case: Case, alike: list[int], most: int) -> list[tuple[str, int]]:
        return [(case.jury[i].address, RULES.juror_fee) for i in alike[: most // RULES.juror_fee]]

    def free(self, who: Key) -> int:
        return int(self.room.bonds.free(who.address))

    def attempt(self, allowed: bool, move: Callable[[], Any]) -> bool:
        """Makes the move; it must happen if and only if the model allows it."""
        try:
            move()
        except Reverted as refused:
            happened, said = False, str(refused)
        else:
            happened, said = True, "happened"
        assert happened == allowed, said
        return happened

    # ------------------------------------------------------------ moves

    @rule(sale=st.sampled_from((0, 0, *range(SALES))), who=st.integers(0, 2))
    def challenge(self, sale: int, who: int) -> None:
        challenger, shown = AUDITORS[who], self.sales[sale]
        busy = any(c.sale == sale and c.challenger is challenger and c.stage != RULED for c in self.cases)
        allowed = sale not in self.convicted and not busy and self.free(challenger) >= RULES.stake
        reserved = min(self.s, self.free(PAUL))
        if self.attempt(allowed, lambda: self.room.challenge(shown, challenger)):
            made = self.room.court.latest(shown.digest, challenger.address)
            self.reserved[challenger.address] += RULES.stake
            self.reserved[PAUL.address] += reserved
            self.cases.append(Case(made, sale, challenger, reserved, self.room.block, self.room.now + TRIAL))

    def pick(self, number: int, *stages: int) -> Case | None:
        """A case; mostly one in these stages, where the move is allowed."""
        likely = [case for case in self.cases if case.stage in stages]
        among = likely if likely and number < 8 else self.cases
        return among[number % len(among)] if among else None

    @rule(number=st.integers(0, 9))
    def seat(self, number: int) -> None:
        if (case := self.pick(number, CHALLENGED)) is None:
            return
        room = self.room
        allowed = case.stage == CHALLENGED and room.block > case.born + 1 and room.now <= case.until
        if self.attempt(allowed, lambda: room.court.seat(case.id, by=EVE)):
            case.stage, case.jury, case.until = SEATED, room.jury(case.id), room.now + RULES.open_window
            assert len(set(case.jury)) == RULES.seats
            assert case.challenger not in case.jury

    @rule(number=st.integers(0, 9), by_opener=st.sampled_from((True, True, True, False)))
    def open(self, number: int, by_opener: bool) -> None:
        if (case := self.pick(number, SEATED)) is None:
            return
        allowed = case.stage == SEATED and self.room.now <= case.until and by_opener
        who = case.challenger if by_opener else EVE
        if self.attempt(allowed, lambda: self.room.court.open_case(case.id, b"sealed", [b"k"] * RULES.seats, by=who)):
            case.stage = OPENED
            case.commit_until = self.room.now + RULES.commit_window
            case.reveal_until = case.commit_until + RULES.reveal_window

    @rule(
        number=st.integers(0, 9),
        outcomes=OUTCOMES,
        runs=CHOSEN_RUNS,
    )
    def commit(self, number: int, outcomes: list[int | None], runs: list[bytes]) -> None:
        if (case := self.pick(number, OPENED)) is None or not case.jury:
            return
        for i, outcome in enumerate(outcomes):
            if outcome is None:
                continue
            vote = self.room.vote(case.id, case.jury[i], outcome, runs[i])
            allowed = case.stage == OPENED and self.room.now <= case.commit_until and i not in case.votes
            if self.attempt(allowed, lambda vote=vote: self.room.commit(vote)):  # type: ignore[misc]
                case.votes[i] = vote

    @rule(number=st.integers(0, 9), seats=st.sets(st.integers(0, 2)))
    def reveal(self, number: int, seats: set[int]) -> None:
        if (case := self.pick(number, OPENED)) is None:
            return
        for i in sorted(seats & set(case.votes)):
            now = self.room.now
            in_time = (len(case.votes) == RULES.seats or now > case.commit_until) and now <= case.reveal_until
            allowed = case.stage == OPENED and in_time and i not in case.revealed
            if self.attempt(allowed, lambda i=i: self.room.reveal(case.votes[i])):  # type: ignore[misc]
                case.revealed.add(i)

    @rule(number=st.integers(0, 9))
    def tie(self, number: int) -> None:
        if (case := self.pick(number, CHALLENGED, SEATED, OPENED)) is None:
            return
        index = min(case.sale, 2)
        shown = self.room.tie_of(self.claim, index, *self.sales[:3])
        allowed = case.stage != RULED and not case.tied and case.sale < 3
        if self.attempt(allowed, lambda: self.room.court.tie(case.id, shown, by=EVE)):
            case.tied = True

    @rule(sale=st.sampled_from((0, 0, *range(SALES))), rare=st.integers(0, 5))
    def twins(self, sale: int, rare: int) -> None:
        if rare:
            return
        shown = self.sales[sale]
        move = lambda: self.room.proofs.convict_twice(*self.room.twins(shown), NO_TIE, by=EVE)  # noqa: E731
        if self.attempt(sale not in self.convicted, move):
            self.convicted.add(sale)
            self.slash(PAUL, self.s, [(EVE.address, self.s // 2)])

    @rule(number=st.integers(0, 9))
    def settle(self, number: int) -> None:
        case = self.pick(number, SEATED, OPENED)
        if case is not None:
            self.settle_case(case)

    def settle_case(self, case: Case) -> None:
        now = self.room.now
        over = {
            CHALLENGED: now > case.until,
            SEATED: now > case.until,
            OPENED: len(case.revealed) == RULES.seats or now > case.reveal_until,
            RULED: False,
        }
        if self.attempt(over[case.stage], lambda: self.room.court.settle(case.id, by=EVE)):
            outcome = self.ruled(case)
            assert self.room.court.case_of(case.id)["outcome"] == outcome

    def ruled(self, case: Case) -> int:
        """The outcome by the specification; moves the model's money."""
        silent = case.stage == SEATED
        groups: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        for i in sorted(case.revealed):
            vote = case.votes[i]
            groups[vote.outcome, vote.run_digest if vote.outcome in (HONEST, CHEATED) else b""].append(i)
        outcome, alike = next(
            ((key[0], seats) for key, seats in groups.items() if 3 * len(seats) >= 2 * RULES.seats),
            (NOT_OPENED if silent else 0, []),
        )
        self.reserved[case.challenger.address] -= RULES.stake
        self.reserved[PAUL.address] -= case.reserved
        if outcome == CHEATED and case.sale not in self.convicted:
            self.convicted.add(case.sale)
            left = self.s // 2
            repaid = min(self.sales[case.sale].price, left) if case.tied else 0
            fees = self.fees(case, alike, left - repaid)
            rest = left - repaid - sum(fee for _, fee in fees)
            self.slash(PAUL, self.s, [*fees, (ANN.address, repaid), (case.challenger.address, rest)])
        elif outcome in (HONEST, NOT_OPENED):
            self.slash(case.challenger, RULES.stake, self.fees(case, alike, RULES.stake // 2))
        if case.stage == OPENED:
            for i, juror in enumerate(case.jury):
                if i not in case.revealed:
                    self.slash(juror, RULES.juror_fee, [])
        case.stage = RULED
        return outcome

    @rule(
        sale=st.sampled_from((0, 0, *range(SALES))),
        who=st.integers(0, 2),
        tied=st.booleans(),
        outcomes=OUTCOMES,
        runs=CHOSEN_RUNS,
    )
    def whole(self, sale: int, who: int, tied: bool, outcomes: list[int | None], runs: list[bytes]) -> None:
        """One case from its challenge to its ruling, whatever else is open."""
        before = len(self.cases)
        self.challenge(sale, who)
        if len(self.cases) == before:
            return
        last = self.cases[-1]
        self.pick = lambda *_: last  # type: ignore[method-assign]
        try:
            self.turn(0)
            self.turn(0)
            self.seat(0)
            self.open(0, True)
            if tied:
                self.tie(0)
            self.commit(0, outcomes, runs)
            if None in outcomes:
                self.turn(RULES.commit_window + 1)
            self.reveal(0, {0, 1, 2})
            if None in outcomes:
                self.turn(RULES.reveal_window)
            self.settle(0)
        finally:
            del self.pick
        assert last.stage == RULED

    @rule(seconds=st.sampled_from((0, 0, 0, 1, 30, 60, 61, 181)))
    def turn(self, seconds: int) -> None:
        self.room.turn(seconds)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def money_is_where_the_model_says(self) -> None:
        room = self.room
        for who in (PAUL, ANN, *AUDITORS):
            assert room.held(who) == self.held[who.address]
            assert room.bonds.reserved_by(who.address, room.court.address) == self.reserved[who.address]
        for who in (PAUL, ANN, EVE, *AUDITORS):
            assert room.gained(who) == self.credit[who.address]
        assert room.bonds.credit(DEAD) == self.credit[DEAD]
        assert room.token.balanceOf(room.bonds.address) == room.bonds.total() + room.bonds.owed()
        assert room.bonds.total() == sum(self.held.values())

    @invariant()
    def a_provider_loses_only_by_convictions(self) -> None:
        lost = 7 * self.s // 2 - self.room.held(PAUL)
        assert lost == min(7 * self.s // 2, len(self.convicted) * self.s)
        convicted = {i for i, sale in enumerate(self.sales) if self.room.court.convicted(sale.digest)}
        assert convicted == self.convicted
        assert self.credit[DEAD] >= lost - lost // 2

    @invariant()
    def a_claim_is_held_by_its_open_ties(self) -> None:
        open_ties = sum(case.tied and case.stage != RULED for case in self.cases)
        assert self.room.escrow.claim_of(self.claim)["holds"] == open_ties

    def teardown(self) -> None:
        for _ in range(3):  # whatever its stage, time alone ends a case
            self.room.turn(TRIAL + 1)
            for number in range(len(self.cases)):
                if self.cases[number].stage != RULED:
                    self.settle_case(self.cases[number])
        for case in self.cases:
            self.room.check_nothing_left(case.id)
        assert self.room.bonds.reserved(PAUL.address) == self.escrowed
        self.room.turn(2_000)
        self.room.escrow.pay(self.claim, by=EVE)
        assert self.room.bonds.reserved(PAUL.address) == 0


TestTrials = Trials.TestCase
TestTrials.settings = settings(stateful_step_count=40)
