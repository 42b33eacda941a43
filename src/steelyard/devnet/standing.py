"""`steelyard up`: a market that stays until it is told to go."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from steelyard.devnet import market as markets
from steelyard.devnet.demo import WARES
from steelyard.devnet.liars import LIARS, SHOWN


class Stop(BaseException):
    """SIGTERM or SIGINT came. No `except Exception` may swallow it."""


class Signals:
    """The signals that end a market: each is raised where it comes, and kept, since it may come where Python ignores
    what is raised (a finaliser, a library's callback)."""

    def __init__(self) -> None:
        self.came: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        usual = sys.unraisablehook
        sys.unraisablehook = lambda told: None if isinstance(told.exc_value, Stop) else usual(told)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.came = signal.Signals(number).name
        raise Stop(self.came)

    def check(self) -> None:
        """Raises Stop if one came."""
        if self.came is not None:
            raise Stop(self.came)


def stand(model: str, port: int, liars: bool, directory: Path | None) -> None:
    """Starts the market, says where it is, restarts nothing, and stops every process at the end."""
    console = Console(highlight=False)
    signals = Signals()
    market = None
    try:
        with console.status("starting a market") as status:
            names = SHOWN if liars else ()

            def tell(what: str) -> None:
                signals.check()
                status.update(f"{what} …")

            market = markets.up(WARES[model], names, directory, tell, port=port)
        _say(market, console)
        dead: set[str] = set()
        while True:
            signals.check()
            time.sleep(1.0)
            for name, node in market.processes.nodes.items():
                if name not in dead and not node.alive():
                    dead.add(name)
                    console.print(f"[red]{name} ended[/]; its log: {node.log}")
    except Stop as signalled:
        console.print(f"\n{signalled}: stopping every process")
    finally:
        if market is not None:
            market.down()


def _say(market: markets.Market, console: Console) -> None:
    console.print(f"A market of {len(market.processes.nodes)} processes sells [bold]{market.card.name}[/].\n")
    console.print(f"export OPENAI_BASE_URL={market.base_url}", soft_wrap=True)
    console.print(f"export OPENAI_API_KEY={market.api_key}\n", soft_wrap=True)
    for seller in market.sellers:
        what = f"[yellow]{LIARS[seller.liar].story}[/]" if seller.liar else "honest"
        console.print(f"  {seller.name:<12} {seller.address}  {what}", soft_wrap=True)
    console.print("\nTo sell, buy or audit here yourself, with money from `steelyard wallet fund`:\n")
    console.print(f"export STEELYARD_RPC={market.anvil.url}", soft_wrap=True)
    console.print(f"export STEELYARD_DEPLOYMENT={market.directory / markets.DEPLOYMENT}\n", soft_wrap=True)
    console.print(f"Files in {market.directory}. Ctrl-C stops everything.", soft_wrap=True)
    console.print(
        "[dim]The contracts were not audited by a third party; the money here is made of nothing.[/]", soft_wrap=True
    )
