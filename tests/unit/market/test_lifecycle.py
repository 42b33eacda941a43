"""The life of an order is a table."""

from itertools import product

import pytest

from steelyard.market.lifecycle import MOVES, State, move
from steelyard.protocol.errors import Refused


def test_every_state_has_a_row_and_every_row_names_states() -> None:
    assert set(MOVES) == set(State)
    assert set().union(*MOVES.values()) <= set(State)


def test_a_move_is_made_only_if_the_table_has_it_and_a_repeated_one_is_no_move() -> None:
    for now, then in product(State, State):
        if then == now or then in MOVES[now]:
            assert move(now, then) is then
        else:
            with pytest.raises(Refused, match=rf"order\.move: {now} -> {then}"):
                move(now, then)


def test_every_state_is_reached_and_nothing_leaves_an_end() -> None:
    reached, frontier = {State.QUOTED}, [State.QUOTED]
    while frontier:
        frontier = [then for now in frontier for then in MOVES[now] if then not in reached]
        reached |= set(frontier)
    assert reached == set(State)
    assert {state for state, moves in MOVES.items() if not moves} == {State.REFUNDED, State.EXPIRED}


def test_an_answer_is_never_paid_for_before_it_was_committed() -> None:
    assert not any(State.SETTLED in MOVES[now] for now in (State.QUOTED, State.FUNDED, State.ASSIGNED, State.EXPIRED))
