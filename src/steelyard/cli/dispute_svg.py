"""A dispute as a picture: a bar a round, each the part that the one above was narrowed to; the last step in a table.

Plain SVG without fonts, scripts or links of its own. It brings its background, light or dark as the reader's page is.
"""

from textwrap import wrap
from typing import Final
from xml.sax.saxutils import escape

from steelyard.cli import screen
from steelyard.cli.dispute_step import Explained, Value
from steelyard.cli.dispute_text import DECIDED, about, clean, short, span, unnamed, verdict
from steelyard.market.disputes import Dispute, Round

WIDTH: Final = 960
LEFT, BAR, HEIGHT, PITCH = 190, 560, 20, 58
"""Where bars begin, how wide and high they are, from one to the next."""
LINE, CHARACTER = 19, 8
"""Height of a line of text, width of a character."""
STYLE: Final = """
  svg { font: 13px ui-monospace, Menlo, Consolas, monospace; }
  .page { fill: #ffffff; stroke: #d0d4da; } .ink { fill: #1d232b; } .dim { fill: #5d6775; } .big { font-size: 16px; }
  .agreed { fill: #b9d7c4; } .named { fill: #d2463c; } .behind { fill: #dfe3e8; } .cut { stroke: #ffffff; }
  .zoom { fill: #d2463c; opacity: 0.12; } .bad { fill: #b3261e; } .good { fill: #1c7a43; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181d; stroke: #343b44; } .ink { fill: #e6eaef; } .dim { fill: #98a3b0; }
    .agreed { fill: #2f5c42; } .named { fill: #ef6a5f; } .behind { fill: #2b323a; } .cut { stroke: #14181d; }
    .zoom { fill: #ef6a5f; opacity: 0.16; } .bad { fill: #ff8a80; } .good { fill: #6fd197; }
  }
"""


def svg(dispute: Dispute, told: Explained | None = None) -> str:
    """The whole picture. `told` explains `dispute.step` or `dispute.weighing`."""
    parts = [
        _text(24, 36, f"Dispute 0x{dispute.case.hex()[:16]}…", "ink big"),
        _text(24, 58, about(dispute), "dim"),
        _text(24, 78, f"provider {dispute.provider.address}", "dim"),
        _text(24, 98, f"challenger {dispute.challenger.address}", "dim"),
        *_legend(560, 88),
    ]
    at = 128
    for number, one in enumerate(dispute.rounds, 1):
        parts += _round(number, one, at, last=number == len(dispute.rounds))
        at += PITCH
    if told is not None:
        lines, at = _step(told, at + 10)
        parts += lines
    ends, at = _end(dispute, at + 14)
    return _page("\n".join([*parts, *ends]), at)


def _page(inside: str, height: int) -> str:
    frame = f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'{head} role="img">\n<style>{STYLE}</style>\n{frame}\n{inside}\n</svg>\n'


def _legend(x: int, y: int) -> list[str]:
    told = (("agreed", "agreed"), ("named", "first that differs"), ("behind", "behind it"))
    parts = []
    for kind, words in told:
        parts += [f'<rect x="{x}" y="{y}" width="12" height="12" class="{kind}"/>', _text(x + 18, y + 11, words, "dim")]
        x += 36 + 8 * len(words)
    return parts


def _text(x: float, y: float, words: str, kind: str = "ink") -> str:
    shown = escape(clean(words, int(WIDTH - 16 - x) // CHARACTER))
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}" xml:space="preserve">{shown}</text>'


def _rect(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{HEIGHT}" class="{kind}"/>'


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _round(number: int, one: Round, y: int, last: bool) -> list[str]:
    """A bar of what was shown: agreed, named, behind it; and the part that the next bar is."""
    count = len(one.claims)
    cell = BAR / count
    words = [_text(24, y + 14, f"{number:>2} {one.place}"), _text(24, y + 31, f"   {span(one.before)}", "dim")]
    right = LEFT + BAR + 12
    gas = " + ".join(f"{gas:,}" for gas in one.gas if gas)
    words.append(_text(right, y + 31, f"{gas} gas", "dim"))
    if one.named is None:
        return [*words, _rect(LEFT, y, BAR, "behind"), _text(right, y + 14, unnamed(one), "dim")]
    named = LEFT + cell * one.named
    bars = [_rect(LEFT, y, BAR, "behind"), _rect(LEFT, y, named - LEFT, "agreed"), _rect(named, y, cell, "named")]
    cuts = "".join(f"M{_n(LEFT + cell * i)} {y}v{HEIGHT}" for i in range(1, count))
    bars.append(f'<path class="cut" d="{cuts}"/>' if cuts else "")
    if not last:
        low = y + PITCH
        corners = f"{_n(named)},{y + HEIGHT} {_n(named + cell)},{y + HEIGHT} {LEFT + BAR},{low} {LEFT},{low}"
        bars.append(f'<polygon class="zoom" points="{corners}"/>')
    words.append(_text(right, y + 14, f"{one.named + 1} of {count}: {short(one.claims[one.named])}"))
    return [*words, *filter(None, bars)]


def _step(told: Explained, y: int) -> tuple[list[str], int]:
    """The last step's lines, and where the next begins."""
    parts = [_text(24, y, told.node, "ink big"), _text(24, y + 20, told.loops, "dim")]
    y += 48
    rows = [(value, value.what) for value in told.operands] + [(v, f"= {v.what}") for v in told.operations]
    for value, what in rows:
        lines = _row(value, what)
        parts += [_text(x, y + LINE * i, words, kind) for i, line in enumerate(lines) for x, words, kind in line]
        y += LINE * len(lines)
    differ = told.computed.bits != told.claimed.bits
    y += 8
    for who, value, kind in (
        ("the contract computes", told.computed, "good" if differ else "ink"),
        ("the provider claimed", told.claimed, "bad" if differ else "ink"),
    ):
        parts += [_text(24, y, who, "dim"), _text(LEFT + 20, y, f"{value.bits}  {value.decimal}", kind)]
        y += LINE
    return parts, y


def _row(value: Value, what: str) -> list[list[tuple[int, str, str]]]:
    """Lines of (x, words, class)."""
    if len(value.bits) <= 8:
        bits, decimal = (56, value.bits, "ink"), (140, value.decimal, "ink")
        return [[(24, value.name, "ink"), bits, decimal, (280, what, "dim")]]
    rest = [value.bits, *wrap(value.decimal, 100)]
    return [[(24, value.name, "ink"), (56, what, "dim")], *([(56, line, "ink")] for line in rest)]


def _end(dispute: Dispute, y: int) -> tuple[list[str], int]:
    kind = {"cheated": "bad big", "honest": "good big"}.get(dispute.outcome, "ink big")
    lines = [(verdict(dispute), kind)]
    if dispute.stage == "over":
        lines.append((DECIDED.get(dispute.why, dispute.why), "dim"))
    if dispute.slashed is not None and dispute.amount is not None:
        lines.append((f"{dispute.slashed} is slashed by {screen.tokens(dispute.amount)} tokens", "ink"))
    sides = (("provider", dispute.provider), ("challenger", dispute.challenger))
    clocks = ", ".join(f"{who} {side.used:,} s" for who, side in sides)
    lines.append((f"{len(dispute.moves)} moves, {dispute.gas:,} gas; clocks: {clocks}", "dim"))
    parts = [_text(24, y + 10 + 22 * i, words, how) for i, (words, how) in enumerate(lines)]
    return parts, y + 22 * len(lines) + 14
