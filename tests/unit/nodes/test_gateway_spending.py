"""Keys, budgets, caps."""

import pytest

from steelyard.nodes.gateway.spending import DAY, ApiKey, Spending
from steelyard.protocol.errors import Refused

KEY = ApiKey("sk-one", "one", daily_budget=100, price_cap=60)
OTHER = ApiKey("sk-two", "two")


class Clock:
    now = 1.0 * DAY

    def __call__(self) -> float:
        return self.now


def test_a_key_is_found_by_its_secret_only() -> None:
    spending = Spending([KEY, OTHER], Clock())
    assert spending.key_of("Bearer sk-two") is OTHER
    for bad in ("", "sk-one", "Bearer", "Bearer sk-on", "Basic sk-one", "Bearer sk-\udc80"):
        with pytest.raises(Refused) as caught:
            spending.key_of(bad)
        assert caught.value.rule == "request.key"


def test_a_request_over_its_cap_is_refused_with_the_numbers() -> None:
    with pytest.raises(Refused) as caught:
        Spending([KEY], Clock()).reserve(KEY, 61)
    assert (caught.value.rule, caught.value.detail) == ("request.price-cap", "up to 61 micro-tokens > 60 per request")


def test_the_answers_of_one_request_share_its_cap() -> None:
    spending = Spending([KEY, OTHER], Clock())
    first, second = spending.shares(KEY, [20, 10])
    assert (first.price_cap, second.price_cap) == (40, 20)
    spending.reserve(first, 40)
    with pytest.raises(Refused, match="up to 21 micro-tokens > 20 per request"):
        spending.reserve(second, 21)
    assert spending.shares(OTHER, [10**9, 1]) == [OTHER, OTHER]


def test_a_request_whose_answers_cost_too_much_together_buys_none_of_them() -> None:
    spending = Spending([KEY], Clock())
    with pytest.raises(Refused, match=r"request\.price-cap: up to 61 micro-tokens > 60 per request"):
        spending.shares(KEY, [20, 20, 21])
    spending.reserve(KEY, 50)
    with pytest.raises(Refused, match=r"budget\.exceeded: spent 0 \+ in flight 50 \+ this 51 > 100"):
        spending.shares(KEY, [25, 26])


def test_what_is_in_flight_counts_at_its_highest_price() -> None:
    spending = Spending([KEY], Clock())
    spending.reserve(KEY, 60)
    with pytest.raises(Refused) as caught:
        spending.reserve(KEY, 41)
    assert caught.value.rule == "budget.exceeded"
    spending.settle("one", 60, 10)
    spending.reserve(KEY, 60)
    spending.reserve(KEY, 30)
    with pytest.raises(Refused):
        spending.reserve(KEY, 1)


def test_midnight_empties_the_purse_but_not_what_is_in_flight() -> None:
    clock = Clock()
    spending = Spending([KEY], clock)
    spending.reserve(KEY, 60)
    spending.settle("one", 0, 40)
    clock.now += DAY
    spending.reserve(KEY, 40)
    with pytest.raises(Refused):
        spending.reserve(KEY, 1)


def test_the_secret_is_not_shown() -> None:
    assert "sk-one" not in repr(KEY)
