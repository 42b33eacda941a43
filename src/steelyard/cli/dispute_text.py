"""A dispute as text: a line a round with a bar of what was shown, then the step at its end. At most 100 columns."""

from textwrap import wrap
from typing import Final

from steelyard.cli import screen
from steelyard.cli.dispute_step import Explained, Value
from steelyard.market.disputes import Dispute, Round, Side

BAR: Final = 24
AGREED, NAMED, BEHIND = "░", "█", "·"
WIDTH: Final = 96
DECIDED: Final = {
    "step": "the contract executed the step that both sides were left with",
    "start": "a fold without turns is what it starts from",
    "rival": "the sampling rule prefers the other id",
    "sum": "the contract weighed the one id that both sides were left with",
    "clock": "whoever had to move did not, in time",
    "cancel": "the buyer had cancelled",
    "end": "the last unit ends an answer",
    "convicted": "the receipt was convicted elsewhere, so nobody lost",
}
"""What `Dispute.why` means."""


def text(dispute: Dispute, told: Explained | None = None) -> str:
    """The whole picture. `told` explains `dispute.step` or `dispute.weighing`."""
    lines = [*_head(dispute), "", *_rounds(dispute)]
    if told is not None:
        lines += ["", *_step(told)]
    return "\n".join([*lines, "", *_end(dispute)]) + "\n"


def short(raw: bytes) -> str:
    """The first bytes of a hash; a word in full."""
    return raw.hex() if len(raw) <= 4 else raw[:4].hex() + "…"


def clean(name: str, most: int = 60) -> str:
    """A name out of somebody's file, fit for a terminal."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def span(ends: tuple[int, int]) -> str:
    """First and last, or the only one."""
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}…{ends[1]}"


def about(dispute: Dispute) -> str:
    """What is disputed, in a sentence."""
    if dispute.unit is None:
        return "which unit of the answer is disputed is not known yet"
    chosen = f"unit {dispute.unit} of the answer, chosen by position {dispute.positions - 1}"
    rival = "" if dispute.rival is None else f"; the challenger says: id {dispute.rival} should have been"
    return chosen + rival


def verdict(dispute: Dispute) -> str:
    """How it ended, in two words or three."""
    words = {"cheated": "the provider CHEATED", "honest": "the provider is honest"}
    return words.get(dispute.outcome, "nobody lost" if dispute.stage == "over" else f"to do: {dispute.stage}")


def _head(dispute: Dispute) -> list[str]:
    return [
        f"Dispute 0x{dispute.case.hex()}: {verdict(dispute)}",
        f"  receipt     0x{dispute.receipt.hex()}",
        f"  disputed    {about(dispute)}",
        f"  provider    {_side(dispute.provider)}",
        f"  challenger  {_side(dispute.challenger)}",
    ]


def _side(side: Side) -> str:
    return f"{side.address}  {side.moves} moves, {side.used:,} s"


def _rounds(dispute: Dispute) -> list[str]:
    if not dispute.rounds:
        return ["  no rounds"]
    head = _row("", "which", "first wrong in", "", "named", "claimed", "gas of both")
    legend = f"      {AGREED} agreed   {NAMED} the first that the challenger holds otherwise   {BEHIND} behind it"
    return [head, *(_round(number, one) for number, one in enumerate(dispute.rounds, 1)), legend]


def _round(number: int, one: Round) -> str:
    if one.named is None:
        bar, named, claim = BEHIND * min(BAR, len(one.claims)), unnamed(one), ""
    else:
        bar, claim = _bar(one.named, len(one.claims)), short(one.claims[one.named])
        named = f"{one.named + 1} of {len(one.claims)}"
    gas = " + ".join(f"{gas:,}" for gas in one.gas if gas)
    return _row(str(number), one.place, span(one.before), bar, named, claim, gas)


def unnamed(one: Round) -> str:
    """Of a round in which nothing shown was named."""
    return f"? of {len(one.claims)}" if one.after is None else "the run"


def _row(number: str, place: str, ends: str, bar: str, named: str, claim: str, gas: str) -> str:
    return f"{number:>3} {place:<8} {ends:<15} {bar:<{BAR}} {named:<8} {claim:<9} {gas:>18}".rstrip()


def _bar(named: int, count: int) -> str:
    """One cell a claim, or as many as fit."""
    cells = min(BAR, count)
    at = named * cells // count
    return AGREED * at + NAMED + BEHIND * (cells - at - 1)


def _step(told: Explained) -> list[str]:
    lines = [f"{told.what}: {clean(told.node, 40)}, {told.loops}"]
    for value in told.operands:
        lines += _value(value, value.what)
    for value in told.operations:
        lines += _value(value, f"= {value.what}")
    differ = told.computed.bits != told.claimed.bits
    return [
        *lines,
        f"  the contract computes  {told.computed.bits}  {told.computed.decimal}",
        f"  the provider claimed   {told.claimed.bits}  {told.claimed.decimal}{'   DIFFERENT' if differ else ''}",
    ]


def _value(value: Value, what: str) -> list[str]:
    """A number in one line; a vector in several."""
    if len(value.bits) <= 16:
        return [f"  {value.name:>2}  {value.bits}  {value.decimal:<14}  {clean(what)}"]
    numbers = wrap(value.decimal, WIDTH - 6)
    return [f"  {value.name:>2}  {clean(what)}", f"      {value.bits}", *(f"      {line}" for line in numbers)]


def _end(dispute: Dispute) -> list[str]:
    inside = {"post", "point", "point_node", "say", "pick"}
    others = ", ".join(f"{move.name} {move.gas:,}" for move in dispute.moves if move.name not in inside)
    lines = [f"Gas: {dispute.gas:,} in {len(dispute.moves)} moves" + (f" ({others}, the rest above)" if others else "")]
    if dispute.stage != "over":
        return lines
    lines.append(f"End: {verdict(dispute)}: {DECIDED.get(dispute.why, clean(dispute.why))}")
    if dispute.slashed is not None and dispute.amount is not None:
        lines.append(f"Slashed: {dispute.slashed} by {screen.tokens(dispute.amount)} tokens")
    return lines
