"""kill -9 at bad moments: nothing lost, nothing paid twice, no honest node slashed (rule M12)."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from steelyard.devnet import market as markets
from steelyard.devnet import money
from steelyard.devnet.shop import Bought, Shop
from steelyard.devnet.story import Story

pytestmark = pytest.mark.slow

SLOW = markets.Wares("alphabet?pause=0.05", "alphabet?lie_from=3")
UNITS = 60
LONG = "tell me everything, and do not stop"


@pytest.fixture
def market(tmp_path: Path) -> Iterator[markets.Market]:
    """Two honest providers whose answers take seconds, one liar, four auditors."""
    up = markets.up(SLOW, ["canned"], tmp_path, honest=["ada", "grace"], auditors=4)
    yield up
    up.down()


@pytest.fixture
def shop(market: markets.Market) -> Iterator[Shop]:
    """The official client at the market's gateway."""
    with closing(Shop(market)) as opened:
        yield opened


def wait(what: Callable[[], bool], seconds: float = 40.0) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def restart(market: markets.Market, name: str) -> None:
    """kill -9, then the same command line again."""
    node = market.processes.nodes[name]
    node.kill()
    node.start()
    market.processes.wait_healthy([name], 30)


def honest_are_whole(market: markets.Market) -> bool:
    """Nobody honest lost a unit of bond."""
    held = [market.ledger.bonds.held(seller.address) for seller in market.sellers if not seller.liar]
    return all(bond == markets.BOND for bond in held)


def test_a_provider_killed_in_mid_answer_loses_the_answer_to_the_next_one(market: markets.Market, shop: Shop) -> None:
    heard: list[str] = []
    victim = market.processes.nodes["ada"]

    def hear(piece: str) -> None:
        heard.append(piece)
        if len(heard) == 3:
            victim.kill()

    for attempt in range(40):
        heard.clear()
        provider = {"order": [s.address for s in market.sellers[:2]], "allow_fallbacks": False}
        bought = _ask_in_order(shop, provider, f"{LONG} {attempt}", hear)
        if not victim.alive():
            break
    assert "".join(heard) == bought.text
    assert len(heard) > 3
    assert bought.document["offer"]["record"]["provider"] == market.sellers[1].address
    victim.start()
    market.processes.wait_healthy(["ada"], 30)
    wait(lambda: bool(market.ledger.claims(market.sellers[1].address)))
    assert honest_are_whole(market)


def _ask_in_order(shop: Shop, provider: dict[str, object], question: str, hear: Callable[[str], None]) -> Bought:
    stream = shop._client.chat.completions.create(
        model=shop.market.card.name,
        messages=[{"role": "user", "content": question}],
        max_tokens=UNITS,
        stream=True,
        temperature=0.7,
        extra_body={"provider": provider},
    )
    pieces, document, answer = [], None, ""
    for chunk in stream:
        answer = chunk.id
        document = (chunk.model_extra or {}).get("receipt", document)
        piece = chunk.choices[0].delta.content if chunk.choices else None
        if piece:
            pieces.append(piece)
            hear(piece)
    assert document is not None
    return Bought(answer, "".join(pieces), len(document["answer"]), document)


def test_a_gateway_killed_between_answers_pays_each_receipt_once(market: markets.Market, shop: Shop) -> None:
    prices = []
    for at in range(4):
        bought = shop.ask(market.sellers[0], f"question {at}", 12)
        assert isinstance(bought, Bought), bought
        prices.append(shop.receipt(bought.id)["price_micro"])
        restart(market, "gateway")
    address = market.sellers[0].address

    def claimed() -> int:
        return sum(claim.amount for claim in market.ledger.claims(address))

    wait(lambda: claimed() == sum(prices))
    time.sleep(3 * 2.0)  # three more rounds of the claimer
    assert claimed() == sum(prices)
    assert honest_are_whole(market)


def test_a_case_survives_the_kill_of_its_challenger_and_of_its_jurors(market: markets.Market) -> None:
    liar = market.sellers[-1]
    with closing(Story(market)) as story:
        _case_survives(market, liar, story)


def _case_survives(market: markets.Market, liar: markets.Seller, story: Story) -> None:
    answer = story.ask_liar(liar)
    assert isinstance(answer, Bought)
    names = [name for name, _, _ in market.auditors]
    for name in names:
        time.sleep(0.7)  # another moment of the case for each
        restart(market, name)
    fate = story.fate(liar, answer)
    assert fate.caught, fate
    assert fate.slashed > 0
    assert honest_are_whole(market)
    table = money.rows(market)
    assert money.conservation(market, table).conserved
