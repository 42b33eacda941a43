"""`steelyard bench`: our parts measured beside somebody else's, on this machine."""

from dataclasses import asdict, replace
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from steelyard.cli import screen
from steelyard.protocol.errors import Refused

app = App(name="bench", help="Measure this machine: our engine beside somebody else's.")
MANY = Parameter(consume_multiple=True, negative=(), show_default=False)
Words = Annotated[tuple[str, ...], MANY]
Numbers = Annotated[tuple[int, ...], MANY]


@app.command
def engine(
    *,
    json: Annotated[Path | None, Parameter(help="Write the rows to this file.")] = None,
    model: Annotated[Words, Parameter(help="Names or GGUF files; all of the store's own if not said.")] = (),
    threads: Annotated[Numbers, Parameter(help="How many compute; 1 and 2 if not said.")] = (1, 2),
    phase: Annotated[Words, Parameter(help="Some of the phases; all if not said.")] = (),
    rounds: Annotated[int | None, Parameter(help="Of each phase; 5 if not said.")] = None,
    fast: Annotated[bool, Parameter(negative=(), help="One short round: that it runs, not how fast.")] = False,
) -> None:
    """Compare the canonical engine with llama.cpp (extra `llamacpp`): the same file and threads, in turns.

    Rows hold model, threads, phase, ours, peer, ratio (ours/peer, median of the rounds) and its spread. What is missing
    here (a model that was not pulled, llama.cpp) is named and left out. llama.cpp's threads sleep between operations;
    with OMP_WAIT_POLICY=active they spin, which is faster where nobody else wants the cores.
    """
    if json is not None and not json.parent.is_dir():
        raise Refused("bench.file", f"{json}: no such folder")
    from rich.console import Console

    from steelyard.devnet.bench.engine import FAST, PHASES, Size, measure
    from steelyard.engines import store

    size = FAST if fast else Size()
    size = size if rounds is None else replace(size, rounds=rounds)
    console = Console(stderr=True, highlight=False, markup=False)
    say = partial(console.print, soft_wrap=True)
    rows = []
    with console.status("") as status:
        found = measure(model or tuple(store.MODELS), threads, phase or tuple(PHASES), size, status.update, say)
        for row in found:
            beside = "" if row.peer is None else f", peer {row.peer}"
            what = f"{row.phase} ({PHASES[row.phase].about})"
            say(f"{row.model}, threads {row.threads}, {what}: {row.ours} {row.unit}{beside}")
            rows.append(asdict(row))
            if json is not None:
                json.write_text(dumps(rows, indent=1) + "\n", encoding="utf-8")
    shown = [{**row, "spread": "{} to {}".format(*row["spread"]) if row["spread"] else None} for row in rows]
    screen.show_table(shown, "nothing could be measured")


@app.command
def dispute(
    *,
    json: Annotated[Path | None, Parameter(help="Write the rows to this file.")] = None,
    model: Annotated[str, Parameter(help="A name or GGUF file, or alphabet.")] = "smollm2-135m-instruct-q4_1",
    tokens: Annotated[int, Parameter(help="Of the answer.")] = 64,
    games: Annotated[int, Parameter(help="With lies at places drawn by the seed; four about chosen ids besides.")] = 6,
    seed: Annotated[int, Parameter(help="Of the places.")] = 0,
) -> None:
    """Play dispute games on a chain of this machine (extra `devnet`), and count what they cost.

    Rows hold model, tokens, where (the lie), rounds, transactions, gas (of all transactions, the challenge included),
    last_step_gas (of the transaction that decides), seconds (both sides' runs included), greatest_gas of a transaction.
    """
    if json is not None and not json.parent.is_dir():
        raise Refused("bench.file", f"{json}: no such folder")
    from rich.console import Console

    from steelyard.cli.dispute_step import described
    from steelyard.devnet.bench.dispute import measure

    console = Console(stderr=True, highlight=False, markup=False)
    rows = []
    with console.status("an answer, a chain, a first game"):
        for row in measure(model, tokens, games, seed, described):
            counts = f"{row.rounds} rounds, {row.transactions} transactions, {row.gas:,} gas, {row.seconds} s"
            console.print(f"{row.where}: {counts}", soft_wrap=True)
            rows.append(asdict(row))
            if json is not None:
                json.write_text(dumps(rows, indent=1) + "\n", encoding="utf-8")
    screen.show_table(rows, "nothing was played")
