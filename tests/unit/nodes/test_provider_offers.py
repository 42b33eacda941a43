"""What a provider lists: one offer per level, the same after a restart, renewed before it runs out."""

from dataclasses import replace
from pathlib import Path

import pytest

from counter import DOMAIN, PROVIDER, Counter, run
from steelyard.market.ledger import Model
from steelyard.nodes.provider.main import salt_secret
from steelyard.nodes.provider.offers import (
    RENEW_BEFORE,
    VALID_FOR,
    Limits,
    Listing,
    Prices,
    known_offers,
    list_offers,
    require_sellable,
)
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level, Offer
from steelyard.wire.messages import open_signed


def relisted(counter: Counter, price: int) -> list[Listing]:
    """What the same provider lists now."""
    prices = [Prices(level, price, price) for level in counter.levels]
    about = (counter.engine.card, counter.model, prices, counter.limits, counter.journal)
    return list_offers(PROVIDER, DOMAIN, *about, lambda: counter.time)


def test_offers_are_signed_one_per_level_and_say_what_is_sold(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    for listing, level in zip(counter.listings, counter.levels, strict=True):
        assert open_signed(listing.signed, Offer, DOMAIN, PROVIDER.address) == listing.offer
        assert listing.offer.level == level
        assert listing.offer.registration == counter.model.id
        assert listing.offer.price_cached == listing.offer.price_in == counter.price
        assert listing.offer.valid_until == counter.time + VALID_FOR


def test_the_same_offers_stand_after_a_restart_and_new_ones_after_a_change(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    before = counter.listings
    counter.time += 1000
    counter.restart()
    assert counter.listings == before
    counter.price += 1
    counter.restart()
    assert not {listing.digest for listing in before} & {listing.digest for listing in counter.listings}
    counter.price -= 1
    counter.restart()
    assert counter.listings == before, "the old price again: the old offer is still good"
    assert {o.digest for o in known_offers(PROVIDER, DOMAIN, counter.journal)} >= {o.digest for o in before}


def test_an_offer_is_renewed_a_day_before_it_runs_out(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    before = counter.listings
    counter.time += VALID_FOR - RENEW_BEFORE - 1
    assert relisted(counter, counter.price) == before
    counter.time += 1
    after = relisted(counter, counter.price)
    assert all(new.offer.valid_until > old.offer.valid_until for new, old in zip(after, before, strict=True))


def test_what_is_relisted_is_sold_and_what_was_sold_is_still_known(tmp_path: Path) -> None:
    counter = Counter(tmp_path)

    async def story() -> None:
        old = await counter.buy()
        counter.time += 1
        counter.provider.relist(relisted(counter, counter.price * 2))
        with pytest.raises(Refused, match=r"order\.offer: 0x.* is no longer sold"):
            await counter.buy()
        await counter.pay(old)
        assert (await counter.buy(old.request)).last == old.last
        counter.listings = list(counter.provider.listings.values())
        await counter.buy()

    run(story)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"model_root": bytes(32)}, r"offer\.model-root: alphabet: engine [0-9a-f]+, registration 00"),
        ({"public_weights": 0}, r"offer\.level: audited needs a canonical engine and public weights"),
    ],
)
def test_a_registration_that_does_not_fit_is_not_sold(tmp_path: Path, change: dict[str, int], rule: str) -> None:
    counter = Counter(tmp_path)
    other = replace(counter.registration, **change)  # type: ignore[arg-type]
    model = Model(other.struct_hash(), other, "alphabet", "")
    with pytest.raises(Refused, match=rule):
        require_sellable(counter.engine.card, model, [Prices(Level.AUDITED, 1, 1)], Limits())


def test_levels_that_nobody_can_check_yet_are_not_sold(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    for level in (Level.QUORUM, Level.ATTESTED, Level.PROVED, Level.SEALED):
        with pytest.raises(Refused, match=rf"offer\.level: {level.name.lower()} is not sold yet"):
            require_sellable(counter.engine.card, counter.model, [Prices(level, 1, 1)], Limits())


def test_a_float_engine_sells_level_open_and_nothing_more(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    card = replace(counter.engine.card, canonical=False)
    require_sellable(card, counter.model, [Prices(Level.OPEN, 1, 1)], Limits())
    with pytest.raises(Refused, match=r"offer\.level: audited needs a canonical engine"):
        require_sellable(card, counter.model, [Prices(Level.AUDITED, 1, 1)], Limits())


def test_what_no_game_could_open_is_sold_at_level_open_only(tmp_path: Path) -> None:
    """GAM-4: anyone with a ticket could begin a game that an honest provider cannot answer."""
    counter = Counter(tmp_path)
    for width, levels in ((4_096, (Level.OPEN, Level.AUDITED, Level.DISPUTABLE)), (4_097, (Level.OPEN,))):
        card = replace(counter.engine.card, state_width=width)
        for level in (Level.OPEN, Level.AUDITED, Level.DISPUTABLE):
            if level in levels:
                require_sellable(card, counter.model, [Prices(level, 1, 1)], Limits())
                continue
            with pytest.raises(Refused, match=r"offer\.level: .* a state of 4097 numbers, a game opens 4096"):
                require_sellable(card, counter.model, [Prices(level, 1, 1)], Limits())


def test_the_context_is_the_smaller_of_engine_and_registration(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.registration = replace(counter.registration, context_length=100)
    counter.model = counter.town.register(counter.registration, "alphabet")
    counter.restart()
    assert counter.listing.offer.context_length == 100


def test_the_secret_of_the_salts_follows_from_the_key_and_shows_nothing_of_it() -> None:
    assert salt_secret(PROVIDER) == salt_secret(Key(PROVIDER.secret))
    assert salt_secret(PROVIDER) not in (PROVIDER.secret, salt_secret(Key(bytes(31) + b"\x01")))
