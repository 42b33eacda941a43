"""The whole story on real processes and a real chain, with the toy engine; and names that say the opposite."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from steelyard.devnet import market as markets
from steelyard.devnet.demo import run
from steelyard.devnet.liars import SHOWN
from steelyard.devnet.shop import Bought
from steelyard.devnet.story import Story

pytestmark = pytest.mark.slow


def test_the_demo_catches_every_liar_repays_the_buyer_and_conserves_money(tmp_path: Path) -> None:
    assert run("alphabet", tmp_path / "demo.json")
    figures = json.loads((tmp_path / "demo.json").read_text())
    fates = {(fate["name"], fate["level"]): fate for fate in figures["liars"]}
    assert {name for name, _ in fates} == set(SHOWN)
    assert all(fate["caught"] == (level != "open") for (_, level), fate in fates.items())
    slashed = {name for (name, _), fate in fates.items() if fate["slashed"]}
    assert slashed == {"lower-bits", "prompt-swapped", "canned", "flipped-bit", "two-receipts"}
    assert figures["conserved"]
    assert figures["refunded"] > 0
    assert figures["royalties"] > 0
    assert figures["slashed"] == sum(fate["slashed"] for fate in figures["liars"])


@pytest.fixture
def misnamed(tmp_path: Path) -> Iterator[markets.Market]:
    """An honest provider that is called like a liar; a liar that is called provider-4."""
    market = markets.up(markets.ALPHABET, ["canned"], tmp_path, honest=["inflated-count"])
    yield market
    market.down()


def test_a_name_neither_convicts_nor_protects(misnamed: markets.Market) -> None:
    with closing(Story(misnamed)) as story:
        _names_do_nothing(misnamed, story)


def _names_do_nothing(misnamed: markets.Market, story: Story) -> None:
    honest, liar = misnamed.sellers
    bought = story.shop.ask(honest, "hello", 24, audit_rate=1.0)
    assert isinstance(bought, Bought)
    verdict = story.verdict(bought)
    assert verdict is not None
    assert verdict["outcome"] == "honest"
    fate = story.fate(liar, story.ask_liar(liar))
    assert fate.caught
    assert fate.slashed > 0
    assert misnamed.ledger.bonds.held(honest.address) == markets.BOND
