"""`steelyard`: the list of commands, and how an error is said.

Every command is a line here and a function elsewhere, imported when it is called: `steelyard --help` imports none of
the slow modules (a test in tests/repo looks).
"""

import errno
import os
import sys
from collections.abc import Sequence

from cyclopts import App

from steelyard.protocol.errors import Refused, SteelyardError, Unavailable

HELP = """An open market for AI work in which nobody has to be trusted.

Start with `steelyard demo` (a market tells its story) or `steelyard up` (a market that stays up).
Every command takes `--help`; `--debug` anywhere shows where an error came from.
The contracts are not audited by a third party.
"""

COMMANDS = (
    # name, function or app, help
    ("demo", "local:demo", "Run a whole market on this machine: honest answers, liars caught, the ledger."),
    ("up", "local:up", "Start a market on this machine that stays up until Ctrl-C."),
    ("verify", "verify:verify", "Check a receipt offline, and say what it does not prove."),
    ("offers", "market:offers", "List what providers sell now."),
    ("orders", "market:orders", "List the orders of a gateway's or a provider's journal."),
    ("disputes", "disputes:app", "List and draw the games over receipts."),
    ("models", "models:app", "Pull, list and inspect model files."),
    ("wallet", "wallet:app", "Keys encrypted at rest; deposit, allocate, top up, withdraw, close."),
    ("provide", "nodes:provide", "Sell a model's answers."),
    ("doctor", "nodes:doctor", "Say what would keep this machine from selling, and how to mend it."),
    ("gateway", "nodes:gateway", "Serve OpenAI's API to your own programs, bought on the market."),
    ("audit", "nodes:audit", "Check drawn answers, sit on juries, earn from liars."),
    ("bench", "bench:app", "Measure this machine: our engine beside somebody else's."),
)
REFUSED, INTERRUPTED = 1, 130


def application() -> App:
    """The command line; nothing is imported for a command until it is asked for."""
    app = App(name="steelyard", help=HELP, version=_version)
    for at, (name, where, about) in enumerate(COMMANDS):
        app.command(f"steelyard.cli.{where}", name=name, help=about, sort_key=at)
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("steelyard")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0, or 1 with one line on stderr (`refused rule: detail`), or 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or bool(os.environ.get("STEELYARD_DEBUG"))
    try:
        application()([word for word in given if word != "--debug"])
    except SteelyardError as error:
        if debug:
            raise
        print(said(error), file=sys.stderr)
        sys.exit(REFUSED)
    except BrokenPipeError:  # `steelyard offers | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(REFUSED)
    except OSError as error:  # a disk that is full, a folder that is not ours: named like everything else
        if debug:
            raise
        print(said(_system(error)), file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _system(error: OSError) -> Unavailable:
    name = errno.errorcode.get(error.errno or 0, type(error).__name__).lower()
    where = f": {error.filename}" if error.filename is not None else ""
    return Unavailable(f"system.{name}", f"{error.strerror or error}{where}")


def said(error: SteelyardError) -> str:
    """One line: what kind of error, which rule, the numbers."""
    word = "refused" if isinstance(error, Refused) else "unavailable"
    return " ".join(f"{word} {error.rule}: {error.detail}".split())
