"""`python -m steelyard.devnet.child ROLE FILE`: one node of a devnet in a process of its own.

FILE is JSON, readable by its owner only, since it holds the node's key; nothing secret is on the command line.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level


def provider(told: dict[str, Any]) -> None:
    """An honest provider, or the liar that `told["liar"]` names."""
    from steelyard.devnet.liars import LIARS
    from steelyard.engines import catalog
    from steelyard.nodes.provider.main import run
    from steelyard.nodes.provider.offers import Limits, Prices
    from steelyard.nodes.provider.settings import Settings

    settings = Settings(
        key=Key(bytes.fromhex(told["key"])),
        data=Path(told["data"]),
        deployment=Path(told["deployment"]),
        rpc_url=told["rpc_url"],
        engine=told["engine"],
        registration=bytes.fromhex(told["registration"]),
        prices=tuple(Prices(Level(level), price_in, price_out) for level, price_in, price_out in told["prices"]),
        limits=Limits(max_units=512),
        port=told["port"],
        claim_seconds=told["claim_seconds"],
        case_patience=20.0,
    )
    engine, text = catalog.load(settings.engine)
    if not told["liar"]:
        run(settings, engine=engine)
        return
    liar = LIARS[told["liar"]]
    cheap = catalog.load(told["cheap"])[0] if liar.needs_cheap else None
    run(settings, kind=liar.desk, engine=Examined(engine, liar.engine(engine, text, cheap)))


class Examined:
    """A liar passes its own self-test: it is examined on the honest engine and runs the other one."""

    def __init__(self, honest: Any, lying: Any) -> None:
        self.card, self.lying, self._honest, self._asked = honest.card, lying, honest, 0
        self.close, self.replay, self.holding = honest.close, honest.replay, lying.holding

    def generate(self, job: Any) -> Any:
        """The first runs are the doctor's."""
        self._asked += 1
        return (self._honest if self._asked <= SELF_TEST_RUNS else self.lying).generate(job)


SELF_TEST_RUNS = 2  # verification.selftest: at T = 0 and at T = 1


def auditor(told: dict[str, Any]) -> None:
    """An auditor."""
    from steelyard.nodes.auditor.main import run
    from steelyard.nodes.auditor.settings import Settings
    from steelyard.protocol.units import MICRO, MicroToken

    run(
        Settings(
            key=Key(bytes.fromhex(told["key"])),
            data=Path(told["data"]),
            deployment=Path(told["deployment"]),
            rpc_url=told["rpc_url"],
            models=(told["engine"],),
            port=told["port"],
            stake=MicroToken(told["stake"]),
            purse=MicroToken(100 * MICRO),
            poll=0.5,
            tie_patience=10.0,
            settle_patience=4.0,
        )
    )


def gateway(told: dict[str, Any]) -> None:
    """The gateway."""
    from steelyard.nodes.gateway.main import Settings, run
    from steelyard.nodes.gateway.spending import ApiKey

    run(
        Settings(
            session_key=bytes.fromhex(told["key"]),
            api_keys=(ApiKey(told["api_key"], daily_budget=told["daily_budget"]),),
            channels=(bytes.fromhex(told["channel"]),),
            texts=told["texts"],
            journal=Path(told["data"]) / "journal.sqlite",
            rpc_url=told["rpc_url"],
            deployment=Path(told["deployment"]),
            port=told["port"],
            refresh_seconds=2.0,
        )
    )


ROLES = {"provider": provider, "auditor": auditor, "gateway": gateway}


def main() -> None:
    """Runs the node until it is told to end. Exit code 1, and a line on stderr, if it refuses to begin."""
    role, file = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    told = json.loads(Path(file).read_text())
    Path(told["data"]).mkdir(parents=True, exist_ok=True)
    try:
        ROLES[role](told)
    except SteelyardError as error:  # the market quotes the end of this log: one line of it, as the command line has it
        sys.exit(f"{'refused' if isinstance(error, Refused) else 'unavailable'} {error}")


if __name__ == "__main__":
    main()
