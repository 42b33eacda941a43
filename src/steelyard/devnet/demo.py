"""`steelyard demo`: the devnet's story on a terminal."""

import json
import re
import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from steelyard.devnet import market as markets
from steelyard.devnet.liars import LIARS
from steelyard.devnet.money import Row, Sum
from steelyard.devnet.shop import Bought
from steelyard.devnet.story import LIAR_QUESTION, QUESTION, Fate, Story
from steelyard.market.onchain import OnchainLedger
from steelyard.protocol.units import MICRO
from steelyard.sdk.receipts import check
from steelyard.verification.receipts import Finding, Status

WARES = {"smollm2": markets.SMOLLM2, "alphabet": markets.ALPHABET}
MARKS = {Status.OK: "[green]✓[/]", Status.FAILED: "[red]✗[/]", Status.NOT_CHECKED: "[dim]–[/]"}

WIDTH = 140  # columns where there is no terminal


Draw = Callable[[OnchainLedger, bytes], str]
"""A dispute, by its case, as lines of text: drawing is the face's."""


def run(
    model: str = "smollm2",
    json_file: Path | None = None,
    console: Console | None = None,
    draw: Draw = lambda _ledger, case: f"case 0x{case.hex()}",
) -> bool:
    """Tells the story, writes the figures; says whether it went as it should: every catchable liar caught, money
    conserved. Raises what the market raises."""
    console = console or terminal()
    began = time.monotonic()
    console.rule("[bold]Steelyard: a market in which nobody has to be trusted")
    with console.status("starting a market") as status:
        market = markets.up(WARES[model], tell=lambda what: status.update(f"{what} …"))
    try:
        with closing(Story(market)) as story:
            _tell(story, console, draw)
    finally:
        with console.status("stopping every process"):
            market.down()
    figures = story.figures
    figures.seconds = time.monotonic() - began
    good = figures.conserved and all(fate.caught or fate.level == "open" for fate in figures.liars)
    console.print(f"\n{figures.seconds:.0f} seconds. [dim]The contracts were not audited by a third party.[/]")
    if json_file is not None:
        json_file.write_text(json.dumps(figures.to_json(), indent=1) + "\n")
    return good


def terminal() -> Console:
    """Standard output: as wide as the terminal, or as wide as the ledger where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def line(console: Console, text: str) -> None:
    """One line: cut to fit a terminal, whole where there is none (a log, a pipe)."""
    if console.is_terminal:
        console.print(text, no_wrap=True, overflow="ellipsis")
    else:
        console.print(text, soft_wrap=True)


def _tell(story: Story, console: Console, draw: Draw) -> None:
    market = story.market
    honest = len(market.sellers) - sum(1 for seller in market.sellers if seller.liar)
    contracts, processes = len(market.deployment.contracts), len(market.processes.nodes)
    console.print(
        f"anvil, {contracts} contracts, {len(market.sellers)} providers ({honest} honest), "
        f"{len(market.auditors)} auditors, a gateway: {processes} processes.\n"
        f"Model: [bold]{market.card.name}[/], root 0x{market.card.model_root.hex()[:16]}…\n"
    )
    console.print("[bold]1. An honest answer[/], streamed by the official openai client")
    console.print(f"   [cyan]buyer[/]  {QUESTION}\n   [cyan]model[/]  ", end="")
    bought = story.honest(lambda piece: console.print(piece, end="", markup=False))
    console.print()
    _receipt(bought, console)
    _liars(story, console, draw)
    _verdict(story, bought, console)
    _money(story, console)


def _receipt(bought: Bought, console: Console) -> None:
    findings: list[Finding] = check(json.dumps(bought.document).encode())
    good = sum(finding.status is Status.OK for finding in findings)
    console.print(f"\n   Its receipt, checked offline: {good} of {len(findings)} hold; the rest need chain or model")
    for finding in findings:
        line(console, f"   {MARKS[finding.status]} {finding.check:<17} [dim]{short(finding.sentence)}[/]")


def _verdict(story: Story, bought: Bought, console: Console) -> None:
    with console.status("waiting for the honest answer's audit"):
        verdict = story.verdict(bought)
    said = "no verdict yet" if verdict is None else verdict.get("detail") or verdict["outcome"]
    good = verdict is not None and verdict["outcome"] == "honest"
    mark, style = ("[green]✓[/]", "green") if good else ("[red]✗[/]", "red")
    console.print(f"   {mark} The honest answer was audited too. Auditor's signed verdict: [{style}]{said}[/]\n")


def _liars(story: Story, console: Console, draw: Draw) -> None:
    console.print(f"\n[bold]2. The liars[/], asked: {LIAR_QUESTION}")
    lying = [seller for seller in story.market.sellers if seller.liar]
    answers = []
    for seller in lying:
        with console.status(f"buying from {seller.name}"):
            level = LIARS[seller.liar].level
            answers.append((seller, level, story.ask_liar(seller, level)))
        if seller.liar == "lower-bits":
            with console.status(f"buying from {seller.name} at level open"):
                answers.append((seller, "open", story.ask_liar(seller, "open")))
    for seller, level, answer in answers:
        how = "dispute game" if level == "disputable" else "jury"
        with console.status(f"{seller.name}: audit, challenge, {how}, ruling"):
            fate = story.fate(seller, answer, level)
        _fate(fate, console)
        if fate.case is not None:
            console.print("\n   How the contract knew: `steelyard disputes show`\n")
            console.print(textwrap.indent(draw(story.market.ledger, fate.case), "   "), markup=False)


def _fate(fate: Fate, console: Console) -> None:
    mark = "[red]caught[/]" if fate.caught else "[yellow]not caught[/]"
    console.print(f"   {mark}  [bold]{fate.name}[/]: {fate.story} [dim](level {fate.level})[/]")
    cost = f"[red]its bond lost {tokens(fate.slashed)}[/]; " if fate.slashed else ""
    line(console, f"      {cost}{fate.check}: [dim]{short(fate.detail)}[/]")


def _money(story: Story, console: Console) -> None:
    console.print("[bold]3. The money[/]")
    with console.status("turning the clock past the challenge window; claims are paid"):
        paid = story.vest()
        table, total = story.ledger()
    figures = story.figures
    console.print(
        f"   {paid} claims paid; slashed {tokens(figures.slashed)}, repaid to the buyer {tokens(figures.refunded)}, "
        f"author's royalties {tokens(figures.royalties)}"
    )
    console.print(_ledger(table))
    console.print(Panel(_sum(total), title="Was a unit made or lost?", expand=False))


def _ledger(rows: list[Row]) -> Table:
    table = Table("who", "wallet", "bond", "credit", "total", title="Ledger, in tokens")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.name, *(plain(n) for n in (row.wallet, row.bond, row.credit, row.total)))
    return table


def _sum(total: Sum) -> str:
    parts = f"wallets {plain(total.wallets)} + bonds {plain(total.bonds)} + escrow {plain(total.escrow)}"
    answer = "[green]no: it adds up to the last unit[/]" if total.conserved else "[red]YES[/]"
    return f"{parts} + orders {plain(total.orders)} = minted {plain(total.minted)}   {answer}"


def short(sentence: str) -> str:
    """Long hashes and addresses as their first digits, addresses of this machine left out."""
    sentence = re.sub(r"http://127\.0\.0\.1:\d+\S*: ", "", sentence)
    sentence = re.sub(r"\d+ tried: 0x[0-9a-fA-F]{40} ", "", sentence)
    return re.sub(r"0x([0-9a-fA-F]{8})[0-9a-fA-F]{24,}", r"0x\1…", sentence)


def plain(amount: int) -> str:
    """Micro-tokens as tokens."""
    return f"{amount // MICRO:,}.{amount % MICRO:06d}"


def tokens(amount: int) -> str:
    """With the word."""
    return f"{plain(amount)} tokens"
