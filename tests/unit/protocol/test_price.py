"""protocol/price against spec/records.md, PRC-1 and PRC-2."""

from fractions import Fraction
from math import ceil
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import sample
from steelyard.protocol import price
from steelyard.protocol.records import Offer, Order

U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)


def offer_at(price_in: int, price_out: int) -> Offer:
    return cast("Offer", sample(Offer, price_in=price_in, price_out=price_out))


def order_of(prompt_units: int, answer_from: int) -> Order:
    return cast("Order", sample(Order, prompt_units=prompt_units, answer_from=answer_from))


@given(U64, U64, U32, U32)
def test_a_price_is_the_exact_one_rounded_up(price_in: int, price_out: int, prompt: int, new: int) -> None:
    """PRC-1."""
    exact = Fraction(price_in * prompt + price_out * new, 10**6)
    found = price.price(offer_at(price_in, price_out), prompt, new)
    assert found == ceil(exact)
    assert 0 <= found - exact < 1
    assert type(found) is int


@pytest.mark.parametrize(
    ("price_in", "price_out", "prompt", "new", "expected"),
    [
        (0, 0, 1000, 1000, 0),
        (1, 0, 1, 0, 1),  # a started micro-token counts as one
        (1, 0, 1_000_000, 0, 1),
        (1, 0, 1_000_001, 0, 2),
        (200_000, 600_000, 10, 24, 17),  # 2 + 14.4 = 16.4, rounded once
        (500_000, 500_000, 1, 1, 1),  # not once for the prompt and once for the answer
    ],
)
def test_prices_that_one_can_check_by_hand(price_in: int, price_out: int, prompt: int, new: int, expected: int) -> None:
    """PRC-1."""
    assert price.price(offer_at(price_in, price_out), prompt, new) == expected


@given(U64, U64, st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_continued_prefix_is_paid_once(price_in: int, price_out: int, prompt: int, prefix: int, new: int) -> None:
    """PRC-2."""
    offer, order = offer_at(price_in, price_out), order_of(prompt + prefix, prompt)
    assert price.generated(order, prefix + new) == new
    assert price.price_of(offer, order, prefix + new) == price.price(offer, prompt + prefix, new)


@given(U64, U64, U32, st.integers(0, 2**31))
def test_a_longer_answer_never_costs_less(price_in: int, price_out: int, prompt: int, new: int) -> None:
    """PRC-1."""
    offer = offer_at(price_in, price_out)
    assert price.price(offer, prompt, new) <= price.price(offer, prompt, new + 1)
