"""A buyer on the devnet: the official openai client, and the gateway's receipts."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steelyard.devnet.market import Market, Seller

TEMPERATURE = 0.7
TOP_P = 0.95


@dataclass(frozen=True, slots=True)
class Bought:
    """An answer as the client saw it."""

    id: str
    text: str
    units: int
    """Generated, as the receipt's document has them."""
    document: dict[str, Any] = field(repr=False)
    """What `steelyard verify` reads."""


@dataclass(frozen=True, slots=True)
class NotBought:
    """What the client was told instead of an answer."""

    rule: str
    message: str


class Shop:
    """Buys from a market with the official client."""

    def __init__(self, market: Market) -> None:
        import openai

        self.market = market
        self._openai = openai
        self._client = openai.OpenAI(base_url=market.base_url, api_key=market.api_key, max_retries=0)

    def close(self) -> None:
        """Closes the client's connections."""
        self._client.close()

    def ask(
        self,
        seller: Seller | None,
        question: str,
        units: int,
        level: str = "audited",
        audit_rate: float = 0.0,
        hear: Callable[[str], None] = lambda _: None,
    ) -> Bought | NotBought:
        """Streams an answer from one provider, or from whom the gateway picks; `hear` gets the pieces."""
        provider: dict[str, Any] = {"assurance": {"level": level, "audit_rate": audit_rate}}
        if seller is not None:
            provider |= {"only": [seller.address], "allow_fallbacks": False}
        pieces: list[str] = []
        answer_id, document = "", None
        try:
            stream = self._client.chat.completions.create(
                model=self.market.card.name,
                messages=[{"role": "user", "content": question}],
                max_tokens=units,
                stream=True,
                extra_body={"provider": provider},
                temperature=TEMPERATURE,
                top_p=TOP_P,
            )
            for chunk in stream:
                answer_id = chunk.id
                document = (chunk.model_extra or {}).get("receipt", document)
                piece = chunk.choices[0].delta.content if chunk.choices else None
                if piece:
                    pieces.append(piece)
                    hear(piece)
        except self._openai.APIError as error:
            rule, _, detail = str(error.message).partition(": ")
            return NotBought(str(error.code or rule), detail or str(error.message))
        if document is None:
            return NotBought("receipt.missing", "the stream ended without a receipt")
        return Bought(answer_id, "".join(pieces), len(document["answer"]), document)

    def receipt(self, answer: str) -> dict[str, Any]:
        """What the gateway knows of an answer: state, voucher, audits."""
        request = urllib.request.Request(  # noqa: S310  our own gateway
            f"{self.market.base_url}/receipts/{answer}", headers={"authorization": f"Bearer {self.market.api_key}"}
        )
        with urllib.request.urlopen(request, timeout=10) as found:  # noqa: S310
            body: dict[str, Any] = json.load(found)
            return body
