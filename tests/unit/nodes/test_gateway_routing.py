"""Who is tried first."""

import random
from typing import Any

import msgspec
import pytest

from steelyard.nodes.gateway.routing import Health, Listed, Need, micro, ranked, usable
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level, Offer
from steelyard.wire.messages import Signed
from steelyard.wire.openai import Preferences

KEYS = [Key(bytes([n]) * 32) for n in range(1, 5)]
SIGNED = Signed(record={}, signature="0x")
NOW = 1_000.0


def listed(n: int, price: int = 1_000_000, **changes: Any) -> Listed:
    fields: dict[str, Any] = {
        "version": 1,
        "provider": KEYS[n].address,
        "registration": bytes(32),
        "kind": 1,
        "level": int(Level.AUDITED),
        "price_in": price,
        "price_out": price,
        "price_cached": price,
        "context_length": 100,
        "max_units": 50,
        "max_unpaid": 1,
        "run_ahead": 8,
        "valid_until": 2_000,
        "nonce": 0,
    }
    own = {name: changes.pop(name) for name in ("quantization", "bond", "model") if name in changes}
    offer = Offer(**(fields | changes))
    url = f"http://127.0.0.1:{9000 + n}"
    return Listed(offer, bytes([n]) * 32, SIGNED, url, own.pop("model", "toy"), bytes(32), **own)


def need(level: Level = Level.AUDITED, prompt: int = 10, answer: int = 10, bond: int = 0, **prefer: Any) -> Need:
    return Need("toy", level, prompt, answer, bond, msgspec.convert(prefer, Preferences))


def order(offers: list[Listed], wanted: Need, health: dict[bytes, Health] | None = None, seed: int = 0) -> list[int]:
    found = ranked(usable(offers, wanted, NOW), wanted, health or {}, NOW, random.Random(seed).random)
    return [offer.digest[0] for offer in found]


THREE = [listed(0, 3_000_000), listed(1, 1_000_000), listed(2, 2_000_000)]


def test_sort_by_price_is_by_price() -> None:
    assert order(THREE, need(sort="price")) == [1, 2, 0]
    assert order(THREE, need(sort={"by": "price"})) == [1, 2, 0]


def test_sort_by_latency_and_throughput_are_by_what_was_seen_and_the_unseen_goes_last() -> None:
    seen = {bytes([0]) * 32: Health(latency=0.1, throughput=5.0), bytes([2]) * 32: Health(latency=0.2, throughput=50.0)}
    assert order(THREE, need(sort="latency"), seen) == [0, 2, 1]
    assert order(THREE, need(sort="throughput"), seen) == [2, 0, 1]


def test_the_balance_gives_the_cheap_their_share_by_the_square_of_the_price() -> None:
    firsts = [order([listed(0, 2_000_000), listed(1, 1_000_000)], need(), seed=seed)[0] for seed in range(2_000)]
    assert 1_500 < firsts.count(1) < 1_700  # 4/5 = 1,600


def test_who_failed_lately_goes_last_whatever_the_price() -> None:
    assert order(THREE, need(sort="price"), {bytes([1]) * 32: Health(bad_until=NOW + 1)}) == [2, 0, 1]
    assert order(THREE, need(sort="price"), {bytes([1]) * 32: Health(bad_until=NOW - 1)}) == [1, 2, 0]


def test_a_named_order_comes_first_and_alone_without_fallbacks() -> None:
    names = [KEYS[0].address.lower(), "http://127.0.0.1:9002"]
    assert order(THREE, need(order=names)) == [0, 2, 1]
    assert order(THREE, need(order=names, allow_fallbacks=False)) == [0, 2]
    assert order(THREE, need(sort="price", allow_fallbacks=False)) == [1]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (need(sort="price", only=[KEYS[0].address]), [0]),
        (need(sort="price", ignore=[KEYS[1].address]), [2, 0]),
        (need(sort="price", max_price={"prompt": "2", "completion": 2.5}), [1, 2]),
        (need(sort="price", max_price={"completion": "1"}), [1]),
        (need(sort="price", quantizations=["q4_1"]), []),
        (need(level=Level.OPEN), []),
        (need(bond=1), []),
    ],
)
def test_filters_exclude(wanted: Need, left: list[int]) -> None:
    if left:
        assert order(THREE, wanted) == left
        return
    with pytest.raises(Unavailable) as caught:
        order(THREE, wanted)
    assert caught.value.rule == "provider.none"
    assert "3 " in caught.value.detail


def test_a_bond_and_a_quantization_that_suffice_are_enough() -> None:
    offers = [listed(0, bond=5), listed(1, quantization="q4_1")]
    assert order(offers, need(bond=5)) == [0]
    assert order(offers, need(quantizations=["q4_1"])) == [1]


def test_expired_offers_are_not_used() -> None:
    with pytest.raises(Unavailable):
        order([listed(0, valid_until=1_000)], need())


def test_a_prompt_too_long_for_everybody_is_the_clients_to_shorten() -> None:
    with pytest.raises(Refused) as caught:
        order(THREE, need(prompt=100, answer=1))
    assert caught.value.rule == "request.context-too-long"
    assert "100" in caught.value.detail


OTHERS = [listed(3, level=int(Level.OPEN), context_length=999), listed(3, bond=5, valid_until=1)]


def test_one_longer_offer_of_another_level_does_not_hide_that_the_prompt_is_too_long() -> None:
    with pytest.raises(Refused) as caught:
        order(THREE + OTHERS, need(prompt=100, answer=1))
    assert caught.value.rule == "request.context-too-long"
    assert "100 prompt tokens + 1 of an answer; the longest context offered is 100," in caught.value.detail
    with pytest.raises(Refused, match="the longest answer 50"):
        order(THREE + OTHERS, need(answer=51))


def test_a_cap_under_every_price_is_refused_with_the_prices() -> None:
    with pytest.raises(Refused) as caught:
        order(THREE + OTHERS, need(max_price={"prompt": "0.5"}))
    assert caught.value.rule == "request.price-cap"
    assert caught.value.detail.startswith("3 offers over provider.max_price")
    assert "from 1 for prompt, from 1 for completion" in caught.value.detail


def test_a_named_order_that_nobody_is_in_says_so() -> None:
    with pytest.raises(Unavailable, match=r"provider\.none: toy: 3 offers, none by whom provider\.order names"):
        order(THREE, need(order=["nobody"], allow_fallbacks=False))


@pytest.mark.parametrize("bad", ["a lot", "-1", "NaN", "Infinity", ""])
def test_a_price_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(Refused) as caught:
        micro("prompt", bad)
    assert caught.value.rule == "request.value"
