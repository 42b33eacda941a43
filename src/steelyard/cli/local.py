"""`steelyard demo` and `steelyard up`: a whole market on this machine."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Wares = Annotated[
    Literal["smollm2", "alphabet"], Parameter(help="smollm2, a real language model, or alphabet, a toy in no time.")
]


def demo(
    *,
    model: Wares = "smollm2",
    json: Annotated[Path | None, Parameter(help="Write the figures to this file.")] = None,
) -> None:
    """Run a whole market on this machine and tell its story; exit code 1 if a catchable liar got away."""
    from steelyard.devnet.demo import run

    sys.exit(0 if run(model=model, json_file=json) else 1)


def up(
    *,
    model: Wares = "smollm2",
    port: Annotated[int, Parameter(help="Of the gateway.")] = 8080,
    liars: Annotated[bool, Parameter(help="Named liars among the providers.")] = True,
    directory: Annotated[Path | None, Parameter(help="Of the nodes' journals; a temporary one if not said.")] = None,
) -> None:
    """Start a market on this machine that stays up; print its base URL and key; Ctrl-C leaves no process behind."""
    from steelyard.devnet.standing import stand

    stand(model, port, liars, directory)
