"""Proofs: lies that records prove (spec/games.md, GAM-40 to GAM-42; two receipts also in test_rulings, RUL-40)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from courtroom import ANN, BOND, EVE, NO_TIE, PAUL, Sale
from gameroom import PROMPT_SALT, REPLY, SALT, TEXT, GameRoom, Goods, unit_leaf
from test_rulings import refused
from toy_run import BEST, ENDS, FACTS, MODEL, VOCABULARY

from steelyard.protocol import merkle
from steelyard.protocol.records import Level

END = ENDS[0]


@pytest.fixture
def room() -> GameRoom:
    return GameRoom()


def signed(sale: Sale) -> tuple[Any, ...]:
    return sale.exhibit, sale.order_signature, sale.receipt_signature


def convict_end(room: GameRoom, goods: Goods, index: int, tie: Any = NO_TIE, **changes: Any) -> None:
    """Shows that a unit of the answer is an end id."""
    usual = {"facts": FACTS, "leaves": len(MODEL), "path": merkle.prove(MODEL, 2), "index": index}
    usual["unit"] = unit_leaf(goods.sale.answer, SALT, min(index, len(goods.sale.answer) - 1))
    room.proofs.convict_end(*signed(goods.sale), *(usual | changes).values(), tie, by=EVE)


def test_two_receipts_of_one_order_convict_gam_40(room):
    goods = room.goods()
    room.proofs.convict_twice(*room.twins(goods.sale), NO_TIE, by=EVE)
    assert room.held(PAUL) == BOND - room.stake(goods.sale)


def test_a_receipt_of_another_model_convicts_gam_41(room):
    goods = room.goods(model_root=b"\x07" * 32)
    claim = room.paid(goods.sale)
    room.proofs.convict_model(*signed(goods.sale), room.tie_of(claim, 0, goods.sale), by=EVE)
    s = room.stake(goods.sale)
    assert room.held(PAUL) == BOND - s
    assert room.gained(ANN) == goods.sale.price
    assert room.gained(EVE) == s // 2 - goods.sale.price
    assert room.court.convicted(goods.sale.digest)
    assert not room.court.convicted_order(goods.sale.order.digest(room.domain))
    assert room.told("Punished")["receipt"] == goods.sale.digest
    with refused("rulings.convicted"):
        room.proofs.convict_model(*signed(goods.sale), NO_TIE, by=EVE)


def test_the_registered_model_is_no_lie_gam_41(room):
    with refused("proofs.no-lie"):
        room.proofs.convict_model(*signed(room.goods().sale), NO_TIE, by=EVE)


def test_a_model_that_nobody_registered_says_nothing_gam_41(room):
    offer = room.offer(PAUL, b"\x01" * 32)
    with refused("proofs.unregistered"):
        room.proofs.convict_model(*signed(room.sell(offer=offer)), NO_TIE, by=EVE)


@pytest.mark.parametrize(("new", "lies"), [(4, False), (5, False), (6, True)])
def test_more_units_than_ordered_convict_gam_42(room, new, lies):
    goods = room.goods(answer=(BEST,) * new, max_units=5)
    if lies:
        room.proofs.convict_count(*signed(goods.sale), NO_TIE, by=EVE)
        assert room.held(PAUL) == BOND - room.stake(goods.sale)
        return
    with refused("proofs.no-lie"):
        room.proofs.convict_count(*signed(goods.sale), NO_TIE, by=EVE)


def test_a_continued_prefix_is_not_counted_gam_42(room):
    goods = room.goods(answer=(*TEXT[68:], *REPLY), answer_from=68, max_units=5)
    with refused("proofs.no-lie"):
        room.proofs.convict_count(*signed(goods.sale), NO_TIE, by=EVE)


def test_a_unit_behind_an_end_convicts_gam_42(room):
    goods = room.goods(answer=(BEST, END, BEST))
    for index in (0, 2, 3):
        with refused("proofs.no-lie"):
            convict_end(room, goods, index)
    with refused("games.unit"):
        convict_end(room, goods, 1, unit=unit_leaf((BEST, END, END), SALT, 1))
    with refused("games.facts"):
        convict_end(room, goods, 1, facts=FACTS[:-1] + b"\x01")
    convict_end(room, goods, 1)
    assert room.held(PAUL) == BOND - room.stake(goods.sale)


@pytest.mark.parametrize("answer", [(BEST, BEST, END), (END,), (BEST, BEST)])
def test_an_end_at_the_end_is_no_lie_gam_42(room, answer):
    goods = room.goods(answer=answer)
    for index in range(len(answer)):
        with refused("proofs.no-lie"):
            convict_end(room, goods, index)


def test_an_end_in_a_prefix_is_the_buyers_gam_42(room):
    goods = room.goods(text=(*TEXT[:-1], END), answer=(END, BEST, BEST), answer_from=69)
    with refused("proofs.no-lie"):
        convict_end(room, goods, 0)


@pytest.mark.parametrize("answer", [(BEST, VOCABULARY), (VOCABULARY + 7,)])
def test_a_unit_that_is_none_of_the_vocabulary_convicts_gam_42(room, answer):
    goods = room.goods(answer=answer)
    convict_end(room, goods, len(answer) - 1)
    assert room.court.convicted(goods.sale.digest)


def convict_prefix(room: GameRoom, goods: Goods, index: int, **changes: Any) -> None:
    """Shows that a unit of the answer is not the delivered prefix's."""
    answer, first = goods.sale.answer, goods.sale.order.answer_from
    usual = {"index": index, "answered": unit_leaf(answer, SALT, index)}
    usual["ordered"] = unit_leaf(TEXT, PROMPT_SALT, min(first + index, len(TEXT) - 1))
    room.proofs.convict_prefix(*signed(goods.sale), *(usual | changes).values(), NO_TIE, by=EVE)


def test_another_prefix_than_the_delivered_one_convicts_gam_42(room):
    goods = room.goods(answer=(TEXT[68], BEST, *REPLY), answer_from=68)
    for index in (0, 2):
        with refused("proofs.no-lie"):
            convict_prefix(room, goods, index)
    with refused("games.unit"):
        convict_prefix(room, goods, 1, ordered=unit_leaf((*TEXT[:-1], 7), PROMPT_SALT, 69))
    convict_prefix(room, goods, 1)
    assert room.held(PAUL) == BOND - room.stake(goods.sale)


PROOFS: dict[str, Callable[[GameRoom, Goods], Any]] = {
    "model": lambda room, goods: room.proofs.convict_model(*signed(goods.sale), NO_TIE, by=EVE),
    "count": lambda room, goods: room.proofs.convict_count(*signed(goods.sale), NO_TIE, by=EVE),
    "end": lambda room, goods: convict_end(room, goods, 0),
    "prefix": lambda room, goods: convict_prefix(room, goods, 0),
}


@pytest.mark.parametrize("proof", PROOFS)
def test_level_open_promises_none_of_it_gam_41(room, proof):
    goods = room.goods(level=Level.OPEN, model_root=b"\x07" * 32, answer=(END, BEST), max_units=1)
    with refused("rulings.level-open"):
        PROOFS[proof](room, goods)


@pytest.mark.parametrize("proof", PROOFS)
def test_only_the_provider_convicts_itself_gam_41(room, proof):
    goods = room.goods(model_root=b"\x07" * 32, answer=(END, BEST), max_units=1)
    forged = replace(goods.sale, receipt_signature=EVE.sign(goods.sale.digest))
    with refused("signature"):
        PROOFS[proof](room, replace(goods, sale=forged))
