"""JSON of a schema with logprobs, bought on real processes and a real chain: an auditor replays, a court convicts."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from steelyard.devnet import market as markets
from steelyard.devnet.market import Market, Seller
from steelyard.devnet.shop import Bought
from steelyard.devnet.story import Story

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 9}},
    "required": ["word"],
    "additionalProperties": False,
}


def bought(market: Market, seller: Seller) -> Bought:
    """JSON of the schema from this seller, drawn for an audit."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "word", "schema": SCHEMA, "strict": True}}
    only = {"only": [seller.address], "allow_fallbacks": False, "assurance": {"level": "audited", "audit_rate": 1.0}}
    with openai.OpenAI(base_url=market.base_url, api_key=market.api_key, max_retries=0) as client:
        answer = client.chat.completions.create(
            model=market.card.name,
            messages=[{"role": "user", "content": "Say a word, as JSON."}],
            response_format=form,
            logprobs=True,
            top_logprobs=5,
            max_tokens=60,
            extra_body={"provider": only},
        )
    text = answer.choices[0].message.content or ""
    assert set(json.loads(text)) == {"word"}
    document = answer.receipt  # type: ignore[attr-defined]  # ours
    assert len(document["logprobs"]) == len(document["answer"])
    return Bought(answer.id, text, len(document["answer"]), document)


def test_an_answer_with_a_form_is_acquitted_or_convicted_as_any_other(tmp_path: Path) -> None:
    market = markets.up(markets.ALPHABET, ["prompt-swapped"], tmp_path, honest=["ada"])
    try:
        honest, liar = market.sellers
        with closing(Story(market)) as story:
            verdict = story.verdict(bought(market, honest))
            assert verdict is not None
            assert verdict["outcome"] == "honest"
            fate = story.fate(liar, bought(market, liar))
        assert fate.caught
        assert fate.slashed > 0
        assert market.ledger.bonds.held(honest.address) == markets.BOND
    finally:
        market.down()
