"""An honest player against anything: a defender with the truth never loses, a challenger of a lie never loses.

One side follows the rules of `gameroom`; the other does what the draw says: legal moves of its own choice, garbage,
silence, an appeal. Strangers do what anyone may. After every step money is where it should be.
"""

from typing import Any

import pytest
from courtroom import ANN, BOND, CHEATED, EVE, HONEST, NO_TIE, PAUL, RULED, WATCH
from gameroom import BEGUN, CALLED, DEFENDERS, NO_RIVAL, OVER, PICK, POINT, STEP, GameRoom, Table
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from toy_run import NODES, Lie, packed
from world import DEAD, UNITS, Mutant, Reverted

from steelyard.protocol.hashing import ZERO32

LIES = st.builds(
    Lie,
    position=st.integers(0, 73),
    node=st.integers(0, len(NODES) - 1),
    element=st.integers(0, 1),
    turn=st.integers(0, 4),
    by=st.integers(1, 2**32 - 1),
)


class Games(RuleBasedStateMachine):
    """Paul's answer is true or not; the game is on its last unit, which is disputed in vain or in good faith."""

    mutant: Mutant | None = None

    def __init__(self) -> None:
        super().__init__()
        self.room = GameRoom(self.mutant)
        self.table: Table | None = None
        self.lies: list[Lie] = []
        self.heads: list[bytes] = []
        self.twins = False

    @initialize(
        lies=st.lists(LIES, max_size=2, unique_by=lambda lie: (lie.position, lie.node, lie.element)),
        appeal=st.booleans(),
        wait=st.integers(0, 1_000),
    )
    def begin(self, lies: list[Lie], appeal: bool, wait: int) -> None:
        told = [lie for lie in lies if told_by(lie)]
        self.lies = told
        goods = self.room.goods(*told)
        self.room.paid(goods.sale)
        case = self.room.challenge(goods.sale)
        if appeal:
            self.room.games.appeal(case, goods.exhibit, by=PAUL)
            self.room.turn(wait)
        self.room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
        self.table = Table(self.room, case, goods, 4)
        self.began = self.room.now
        self.table.to(BEGUN)  # through the evidence to the last unit
        self.respond()

    @property
    def game(self) -> Table:
        assert self.table is not None
        return self.table

    def honest_to_move(self) -> bool:
        """True if it is the turn of the side that plays by the rules."""
        stage = self.game.stage
        return stage != OVER and (stage in DEFENDERS) is not bool(self.lies)

    def respond(self) -> None:
        """The honest side moves whenever it may; it cannot be kept from that."""
        while self.honest_to_move():
            if self.lies:
                self.game.attack()
            else:
                self.game.defend()
        head = self.game.head
        if not self.heads or self.heads[-1] != head:
            assert head not in self.heads
            self.heads.append(head)

    def over(self) -> bool:
        return self.table is None or self.table.stage == OVER

    def late(self) -> bool:
        """True if whoever is to move has no time left."""
        game = self.game.game
        clock = game["defender_clock" if game["stage"] in DEFENDERS else "challenger_clock"]
        return bool(self.room.now - game["since"] > clock)

    # ------------------------------------------------------------ the other side

    @precondition(lambda self: not self.over())
    @rule(choice=st.integers(0, 63))
    def move(self, choice: int) -> None:
        """A legal move, unless its time is up; of a challenger any of all that there are."""
        table = self.game
        if self.late():
            with pytest.raises(Reverted, match=r"^games\.late$"):
                table.defend() if self.lies else table.attack()
            return
        if self.lies:
            table.defend()
        elif table.stage == STEP:
            table.attack()
        else:
            table.attack(choose=lambda number: self.there(choice % number))
        self.respond()

    def there(self, index: int) -> int:
        """The child of that index, or the last one that has a leaf below it."""
        game = self.game.game
        if game["stage"] == PICK:
            return index
        last = (game["count"] - 1) >> (game["levels"] - game["wide"])
        return int(min(index, last - (game["base"] << game["wide"])))

    @precondition(lambda self: not self.over())
    @rule(
        index=st.integers(0, 70), words=st.binary(max_size=256), children=st.lists(st.binary(min_size=32, max_size=32))
    )
    def garbage(self, index: int, words: bytes, children: list[bytes]) -> None:
        """Nothing that does not fit is taken."""
        table, head = self.game, self.game.head
        games, case = self.room.games, table.case
        unit = (ZERO32, words, (), ZERO32)
        answer: dict[str, Any] = table.answer() | {"state": words, "unit": unit}
        for attempt in (
            lambda who: games.answer(case, head, tuple(answer.values()), by=who),
            lambda who: games.post(case, head, children[:64], by=who),
            lambda who: games.point(case, head, index, (children or [ZERO32])[0], children[:6], by=who),
            lambda who: games.say(case, head, words[:251], by=who),
            lambda who: games.pick(case, head, index, words[:251], by=who),
            lambda who: games.step(case, head, 5, words, unit, (), (), by=who),
            lambda who: games.begin(case, table.goods.exhibit, (0, NO_RIVAL), by=who),
            lambda who: games.appeal(case, table.goods.exhibit, by=who),
            lambda who: self.room.court.finish(case, CHEATED, 0, by=who),
            lambda who: self.room.court.settle(case, by=who),
        ):
            for who in (PAUL, WATCH, EVE):
                try:
                    attempt(who)
                except Reverted:
                    continue
                raise AssertionError("garbage was taken")

    @precondition(lambda self: not self.over() and self.game.stage == PICK)
    @rule(words=st.lists(st.integers(0, 2**32 - 1), max_size=63))
    def other_words(self, words: list[int]) -> None:
        """What was not said is not picked from."""
        table = self.game
        if words != table.shown:
            with pytest.raises(Reverted, match=r"^games\.said$"):
                self.room.games.pick(table.case, table.head, 1, packed(words), by=WATCH)

    @precondition(lambda self: not self.over() and self.game.stage == POINT)
    @rule(index=st.integers(0, 63))
    def other_child(self, index: int) -> None:
        """A child is pointed at where it stands only."""
        table = self.game
        if index < len(table.shown) and len(table.shown) > 1:
            wrong = (index + 1) % len(table.shown)
            game = table.game
            before = table.head
            shown = table.shown
            table.shown = [shown[wrong] if i == index else child for i, child in enumerate(shown)]
            try:
                if shown[wrong] != shown[index]:
                    table.point(game, index)
            except Reverted:
                pass
            assert table.head == before
            table.shown = shown

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds: int) -> None:
        self.room.turn(seconds)

    @precondition(lambda self: not self.over())
    @rule()
    def forfeit(self) -> None:
        """Silence loses, and not a second too early."""
        table = self.game
        if self.late() or self.twins:
            self.room.games.forfeit(table.case, by=EVE)
        else:
            with pytest.raises(Reverted, match=r"^games\.early$"):
                self.room.games.forfeit(table.case, by=EVE)

    @precondition(lambda self: not self.over() and not self.twins)
    @rule(rare=st.integers(0, 9))
    def convict_elsewhere(self, rare: int) -> None:
        """Two receipts for one order, shown by a stranger while two play."""
        if rare:
            return
        sale = self.game.goods.sale
        self.room.proofs.convict_twice(*self.room.twins(sale), NO_TIE, by=EVE)
        self.twins = True

    # ------------------------------------------------------------ what always holds

    @invariant()
    def no_honest_player_loses(self) -> None:
        if self.table is None:
            return
        room, stake = self.room, self.room.stake(self.table.goods.sale)
        outcome = self.table.outcome
        if self.table.stage == OVER:
            assert outcome == (0 if self.twins else CHEATED if self.lies else HONEST)
            assert room.court.case_of(self.table.case)["stage"] == RULED
        else:
            assert outcome == 0
        convicted = self.twins or outcome == CHEATED
        assert room.court.convicted(self.table.goods.sale.digest) is convicted
        assert room.held(PAUL) == BOND - stake * convicted
        assert room.held(WATCH) == 100 * UNITS - room.rules.stake * (outcome == HONEST)

    @invariant()
    def money_is_conserved(self) -> None:
        room = self.room
        assert room.token.balanceOf(room.bonds.address) == room.bonds.total() + room.bonds.owed()
        lost = (BOND - room.held(PAUL)) + (100 * UNITS - room.held(WATCH))
        paid = sum(room.gained(who) for who in (PAUL, WATCH, EVE, ANN))
        assert paid <= lost // 2
        assert room.bonds.credit(DEAD) + paid == lost
        reserved = room.bonds.reserved_by(WATCH.address, room.court.address)
        assert reserved == (0 if self.over() else room.rules.stake)

    @invariant()
    def a_game_ends_within_its_clocks(self) -> None:
        if self.over():
            return
        game = self.game.game
        assert game["stage"] not in (0, CALLED, OVER)
        spent = 2 * (1_000 + 2 * 75) - game["defender_clock"] - game["challenger_clock"]
        assert 0 <= spent - (game["since"] - self.began) <= 1_000  # what an appeal took counts as well
        assert game["stage"] != BEGUN or game["place"] == 0

    def teardown(self) -> None:
        if self.over():
            return
        self.room.turn(3_000)
        self.room.games.forfeit(self.game.case, by=EVE)
        self.no_honest_player_loses()
        self.money_is_conserved()
        self.room.check_nothing_left(self.game.case)


def told_by(lie: Lie) -> bool:
    """False for a lie in a turn that its node does not have, which nobody tells."""
    shape = NODES[lie.node]
    return lie.turn < shape.turns and lie.element < shape.elements


TestGames = Games.TestCase
TestGames.settings = settings(max_examples=12, stateful_step_count=14)
