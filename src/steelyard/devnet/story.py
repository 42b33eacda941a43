"""The story that `steelyard demo` tells, as plain steps with plain results: no screen in here (the face tells it).

An honest answer, checked offline; every liar, caught or shown as uncatchable at its level; vouchers claimed and vested;
the ledger at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steelyard.chain.bindings.rulings import Punished, Settled
from steelyard.devnet import money
from steelyard.devnet.liars import LIARS
from steelyard.devnet.market import Market, Seller
from steelyard.devnet.shop import Bought, NotBought, Shop
from steelyard.protocol.verdicts import Outcome

QUESTION = "In one sentence: why does a market need honest scales?"
LIAR_QUESTION = "Name three things that can be weighed, and the unit for each of them."
ANSWER_UNITS = 48
LIAR_UNITS = 24
RULING_SECONDS = 45.0
GAME_SECONDS = 180.0
POLL = 0.25


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a liar."""

    name: str
    story: str
    level: str
    caught: bool
    check: str
    """Which check caught it, or why nothing can at this level."""
    detail: str
    slashed: int = 0
    """Micro-tokens."""
    case: bytes | None = None
    """Of the dispute game that decided, if one did."""


@dataclass
class Figures:
    """What `demo --json` writes."""

    answers: int = 0
    tokens: int = 0
    liars: list[Fate] = field(default_factory=list)
    slashed: int = 0
    refunded: int = 0
    royalties: int = 0
    conserved: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The keys of the demo's JSON. Amounts in micro-tokens."""
        liars = [
            {"name": f.name, "level": f.level, "caught": f.caught, "check": f.check, "slashed": f.slashed}
            for f in self.liars
        ]
        plain = ("answers", "tokens", "slashed", "refunded", "royalties", "conserved")
        return {name: getattr(self, name) for name in plain} | {"liars": liars, "seconds": round(self.seconds, 1)}


class Story:
    """Steps that share a shop and figures."""

    def __init__(self, market: Market) -> None:
        self.market, self.shop, self.figures = market, Shop(market), Figures()

    def close(self) -> None:
        """Closes the shop."""
        self.shop.close()

    def honest(self, hear: Callable[[str], None]) -> Bought:
        """An answer from whom the gateway picks among the honest, streamed."""
        bought = self.shop.ask(self.market.seller("ada"), QUESTION, ANSWER_UNITS, audit_rate=1.0, hear=hear)
        assert isinstance(bought, Bought), bought
        self._count(bought)
        return bought

    def _count(self, bought: Bought) -> None:
        self.figures.answers += 1
        self.figures.tokens += bought.units

    def ask_liar(self, liar: Seller, level: str = "audited") -> Bought | NotBought:
        """Buys from a liar, with an audit of every answer."""
        answer = self.shop.ask(liar, LIAR_QUESTION, LIAR_UNITS, level, audit_rate=1.0)
        if isinstance(answer, Bought):
            self._count(answer)
        return answer

    def fate(self, liar: Seller, answer: Bought | NotBought, level: str = "audited") -> Fate:
        """Waits for what becomes of the answer."""
        story = LIARS[liar.liar].story
        if isinstance(answer, NotBought):
            fate = Fate(liar.liar, story, level, True, "unpaid", f"{answer.rule}: {answer.message}")
        elif level == "open":
            why = "level open promises nothing that could be checked"
            fate = Fate(liar.liar, story, level, False, "none", why)
        else:
            fate = self._ruling(liar, answer, story, level)
        self.figures.liars.append(fate)
        return fate

    def _ruling(self, liar: Seller, answer: Bought, story: str, level: str) -> Fate:
        within = GAME_SECONDS if level == "disputable" else RULING_SECONDS
        deadline = time.monotonic() + within
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            found = self.shop.receipt(answer.id)
            for audit in found["audits"]:
                check, _, detail = str(audit.get("detail", "")).partition(": ")
                slashed = self._slashed(found["id"]) if audit.get("outcome") == "cheated" else 0
                if slashed:
                    case = bytes.fromhex(audit["case"][2:]) if level == "disputable" else None
                    return Fate(liar.liar, story, level, True, check, detail, slashed, case)
            time.sleep(POLL)
        return Fate(liar.liar, story, level, False, "none", f"no ruling within {within:.0f} s: {found}")

    def _slashed(self, receipt: str) -> int:
        digest = bytes.fromhex(receipt[2:])
        for event in money.events(self.market):
            match event:
                case Settled() if event.receipt == digest and event.outcome == Outcome.CHEATED:
                    return event.amount
                case Punished() if digest in (event.receipt, event.twin):
                    return event.amount
                case _:
                    continue
        return 0

    def verdict(self, answer: Bought) -> dict[str, Any] | None:
        """The first answered audit of an answer, waited for."""
        deadline = time.monotonic() + RULING_SECONDS
        while time.monotonic() < deadline:
            audits: list[dict[str, Any]] = self.shop.receipt(answer.id)["audits"]
            for audit in audits:
                if audit.get("outcome"):
                    return audit
            time.sleep(POLL)
        return None

    def vest(self) -> int:
        """Turns the clock past every claim's vesting and waits until all are paid; says how many were."""
        p = self.market.parameters
        self.market.turn(p.longest_order + p.challenge_window + 1)
        ledger, deadline = self.market.ledger, time.monotonic() + RULING_SECONDS
        while time.monotonic() < deadline:
            claims = [claim for seller in self.market.sellers for claim in ledger.claims(seller.address)]
            if all(claim.state == "paid" for claim in claims):
                return len(claims)
            time.sleep(POLL)
        return sum(claim.state == "paid" for claim in claims)

    def ledger(self) -> tuple[list[money.Row], money.Sum]:
        """Who holds what now, and the sum."""
        table = money.rows(self.market)
        total, happened = money.conservation(self.market, table), money.totals(self.market)
        self.figures.slashed, self.figures.refunded = happened.slashed, happened.refunded
        self.figures.royalties, self.figures.conserved = happened.royalties, total.conserved
        return table, total
