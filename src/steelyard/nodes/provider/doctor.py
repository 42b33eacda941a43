"""What may be wrong before a provider lists itself: one row per check, with the way to mend it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from steelyard.chain.rpc import RpcChain
from steelyard.engines import catalog
from steelyard.engines.base import Engine
from steelyard.market.onchain import OnchainLedger
from steelyard.nodes.provider.offers import require_sellable
from steelyard.nodes.provider.reaching import require_reachable
from steelyard.nodes.provider.settings import Settings
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.units import MICRO, MicroToken
from steelyard.verification.selftest import self_test

MOST_SKEW = 60.0  # seconds between our clock and the chain's
LEAST_DISK = 1 << 28  # = 256 MiB


@dataclass(frozen=True, slots=True)
class Finding:
    """One row."""

    check: str
    ok: bool
    detail: str
    fix: str = ""
    """What to do, where it is not ok."""


def examine(settings: Settings, ledger: OnchainLedger, engine: Engine | None = None) -> list[Finding]:
    """Runs every check. Raises nothing that a check could show."""
    loaded: list[Engine] = [engine] if engine is not None else []

    def load() -> str:
        if not loaded:
            loaded.append(catalog.load(settings.engine)[0])
        card = loaded[0].card
        return f"{card.name}, {'canonical' if card.canonical else 'float'}, context {card.context_length}"

    def registered() -> str:
        model = ledger.model(settings.registration)
        if model is None:
            raise Refused("registration.unknown", f"0x{settings.registration.hex()}")
        require_sellable(loaded[0].card, model, settings.prices, settings.limits)
        return f"{model.name}, royalty {model.registration.royalty_bps} basis points"

    def tested() -> str:
        if not loaded[0].card.canonical:
            return "a float engine is not replayed"
        wrong = self_test(loaded[0])
        if wrong is not None:
            raise Refused("engine.self-test", wrong)
        return "generated and replayed evidence agree"

    checks: tuple[tuple[str, Callable[[], str], str], ...] = (
        ("chain", lambda: f"chain {ledger.domain.chain_id}, block {ledger.chain.head().number}", "check --rpc"),
        ("contracts", lambda: _contracts(ledger), "check the deployment file"),
        ("clock", lambda: _clock(ledger), "set this machine's clock (NTP)"),
        ("disk", lambda: _disk(settings), "free some space, or move --data"),
        ("engine", load, "steelyard models pull, or check --model"),
        ("registration", registered, "register the model, or check --registration"),
        ("self-test", tested, "do not list: this machine does not agree with itself"),
        ("url", lambda: require_reachable(settings.host, settings.port, settings.public_url), "check --port and --url"),
        (
            "bond",
            lambda: _bond(settings, ledger),
            "fund the wallet: provide deposits --bond from it; or sell level open only",
        ),
    )
    return [_try(name, check, fix) for name, check, fix in checks]


def _try(name: str, check: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(name, True, check())
    except SteelyardError as error:
        return Finding(name, False, str(error), fix)
    except IndexError:
        return Finding(name, False, "not tried: no engine", fix)


def _contracts(ledger: OnchainLedger) -> str:
    deployed, chain = ledger.deployment, ledger.chain
    for name in ("token", "registry", "bonds", "escrow", "orders", "rulings"):
        if isinstance(chain, RpcChain) and not chain.code(getattr(deployed, name)):
            raise Refused("contracts.absent", f"no code at {name} {getattr(deployed, name)}")
    return f"escrow {deployed.escrow}, {len(ledger.models())} models registered"


def _clock(ledger: OnchainLedger) -> str:
    skew = ledger.now() - time.time()  # noqa: TID251  it is the clock that is examined
    if skew > MOST_SKEW:
        raise Refused("clock.skew", f"the chain's clock is {skew:.0f} s ahead of ours, at most {MOST_SKEW:.0f}")
    return f"chain {skew:+.0f} s"


def _disk(settings: Settings) -> str:
    settings.data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data).free
    if free < LEAST_DISK:
        raise Refused("disk.short", f"{free} bytes free, at least {LEAST_DISK}")
    return f"{free >> 20} MiB free"


def _bond(settings: Settings, ledger: OnchainLedger) -> str:
    free, limits = ledger.free_bond(settings.key.address) + missing_bond(settings, ledger), settings.limits
    model = ledger.model(settings.registration)
    context = model.registration.context_length if model else 0
    needed = 0
    for prices in settings.prices:
        dearest = price_of_longest(prices.price_in, prices.price_out, context, limits.max_units)
        needed += limits.max_unpaid * ledger.stake_of(prices.level, dearest)
    if free < needed:
        raise Refused("bond.short", f"free {free} < {needed} micro-tokens for {limits.max_unpaid} unclaimed answers")
    return f"{free} micro-tokens free, {needed} needed for {limits.max_unpaid} unclaimed answers of one channel"


def missing_bond(settings: Settings, ledger: OnchainLedger) -> MicroToken:
    """What a start will deposit: up to the wished bond, as far as the account's tokens go. Micro-tokens."""
    address = settings.key.address
    return MicroToken(max(0, min(settings.bond - ledger.bonds.held(address), ledger.token.balance_of(address))))


def price_of_longest(price_in: int, price_out: int, context: int, units: int) -> MicroToken:
    """Micro-tokens for the dearest answer that may be ordered."""
    return MicroToken(-(-(price_in * max(context - units, 0) + price_out * units) // MICRO))
