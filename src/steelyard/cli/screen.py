"""How data gets onto the screen: a table for people, JSON for programs, a bar for what takes longer than a second."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter

from steelyard.protocol.units import MICRO

Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for programs.")]

LINE_EVERY = 10.0  # seconds between lines of progress where there is no terminal


def show_json(value: object) -> None:
    """Prints JSON, indented."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def show_table(rows: Sequence[Mapping[str, object]], empty: str) -> None:
    """Prints rows as a table whose columns are the first row's keys; `empty` where there is none.

    Without a terminal a row is never cut: whoever pipes wants all of it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="right" if isinstance(value, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(table)


def show(rows: Sequence[Mapping[str, object]], as_json: bool, empty: str) -> None:
    """Rows either way."""
    if as_json:
        show_json(list(rows))
    else:
        show_table(rows, empty)


def show_fields(fields: Mapping[str, object], as_json: bool) -> None:
    """One thing with its fields, one a line."""
    if as_json:
        show_json(fields)
        return
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def tokens(micro: int) -> str:
    """Micro-tokens as tokens, exactly: 1500000 -> 1.5."""
    whole, part = divmod(abs(micro), MICRO)
    digits = f"{part:06d}".rstrip("0")
    return f"{'-' if micro < 0 else ''}{whole}{'.' + digits if digits else ''}"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call with (done, total or 0 if unknown) in bytes; draws on stderr while it is called.

    Without a terminal it prints a line every ten seconds, so that a log shows life and no more."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _lines(what: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            of = f" of {total >> 20}" if total else ""
            print(f"{what}: {done >> 20}{of} MiB", file=sys.stderr, flush=True)

    return report
