"""`steelyard provide`, `doctor`, `gateway`, `audit`: the nodes' processes, from options to their settings."""

import contextlib
import os
import secrets
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from steelyard.cli import place, screen
from steelyard.cli.place import HERE, Password, Place
from steelyard.protocol.errors import Malformed, Refused, SteelyardError

if TYPE_CHECKING:
    from steelyard.market.onchain import OnchainLedger
    from steelyard.nodes.provider.settings import Settings as Provider
    from steelyard.protocol.keys import Key

ENGINE = (
    "A model of the store (`steelyard models list`), or an engine: alphabet, canonical:…, llamacpp:…, module:factory."
)
Data = Annotated[Path | None, Parameter(help="Directory of its own; in the user's data if not said.")]
Host = Annotated[str, Parameter(help="Address to listen at.")]
Url = Annotated[str, Parameter(help="Under which others reach it; http://host:port if not said.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Selling:
    """What a provider sells."""

    model: Annotated[str, Parameter(help=ENGINE)]
    price_in: Annotated[str, Parameter(help="Tokens per million prompt units, such as 0.20.")]
    price_out: Annotated[str, Parameter(help="Tokens per million answer units.")]
    level: Annotated[
        tuple[Literal["open", "audited", "disputable"], ...], Parameter(negative=(), help="One offer for each.")
    ] = ("audited",)
    registration: Annotated[str | None, Parameter(help="Id; the first one of the model's root if not said.")] = None
    register: Annotated[
        bool, Parameter(negative=(), help="provide: register the model if nobody has, without royalty.")
    ] = False
    bond: Annotated[str, Parameter(help="Tokens to hold as bond, topped up at start.")] = "500"
    max_units: Annotated[int, Parameter(help="Most units of an answer.")] = 1024
    case_patience: Annotated[
        float, Parameter(help="Seconds that a challenger is left to seat its jury before this node does it.")
    ] = 120.0
    wallet: Annotated[str, Parameter(help="Whose key signs.")] = "provider"
    host: Host = "127.0.0.1"
    port: int = 8710
    url: Url = ""
    data: Data = None


def provide(*, selling: Selling, where: Place = HERE, password_file: Password = None) -> None:
    """Sell a model's answers: examine this machine, list the offers, serve until Ctrl-C."""
    from steelyard.engines import catalog
    from steelyard.nodes.provider.main import run

    _log()
    key = place.unlock(selling.wallet, password_file)
    engine = catalog.load(engine_of(selling.model))[0]
    ledger = where.ledger(key)
    registration = _registration(ledger, engine.card.model_root, selling)
    settings = _provider(selling, where, key, registration)
    print(f"provider {key.address} at {settings.public_url} sells {engine.card.name}", file=sys.stderr)
    run(settings, engine=engine)


def doctor(
    *, selling: Selling, where: Place = HERE, password_file: Password = None, as_json: screen.Json = False
) -> None:
    """Say what would keep this machine from selling, and how to mend it. Exit code 1 if anything would."""
    from steelyard.engines import catalog
    from steelyard.nodes.provider.doctor import examine

    key = place.unlock(selling.wallet, password_file)
    ledger = where.ledger(key)
    engine, registration = None, bytes(32)
    with contextlib.suppress(SteelyardError):  # the checks of these names say what is wrong with them
        engine = catalog.load(engine_of(selling.model))[0]
        registration = _registration(ledger, engine.card.model_root, replace(selling, register=False))
    findings = examine(_provider(selling, where, key, registration), ledger, engine)
    rows = [{"check": f.check, "ok": f.ok, "detail": f.detail, "fix": "" if f.ok else f.fix} for f in findings]
    screen.show(rows, as_json, "nothing to check")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def gateway(
    *,
    model: Annotated[
        tuple[str, ...], Parameter(negative=(), help="Models to buy; all that are registered and here.")
    ] = (),
    channel: Annotated[tuple[str, ...], Parameter(negative=(), help="Ids; all of the session key if not said.")] = (),
    wallet: Annotated[str, Parameter(help="The session key.")] = "session",
    daily_budget: Annotated[str | None, Parameter(help="Tokens a UTC day.")] = None,
    price_cap: Annotated[str | None, Parameter(help="Tokens that one request may cost.")] = None,
    api_key_file: Annotated[
        Path | None, Parameter(env_var="STEELYARD_API_KEY_FILE", help="Or $STEELYARD_API_KEY; made at first start.")
    ] = None,
    host: Host = "127.0.0.1",
    port: int = 8080,
    allow_host: Annotated[tuple[str, ...], Parameter(negative=(), help="Host names beside the loopback's.")] = (),
    url: Annotated[str | None, Parameter(help="Where auditors reach it; http://host:port if not said.")] = None,
    data: Data = None,
    where: Place = HERE,
    password_file: Password = None,
) -> None:
    """Serve OpenAI's API to your own programs, bought on the market, until Ctrl-C."""
    from steelyard.nodes.gateway.main import Settings, run
    from steelyard.nodes.gateway.spending import ApiKey
    from steelyard.wire.http import LOOPBACK

    _log()
    key = place.unlock(wallet, password_file)
    folder = _folder(data, "gateway")
    ledger = where.ledger()
    channels = tuple(place.digest(one, "channel") for one in channel) or _channels_of(ledger, key)
    texts = {name.partition(":")[2] or name: engine_of(name) for name in model} or _texts_here(ledger)
    api_key = _api_key(api_key_file, folder)
    budget = None if daily_budget is None else place.micro(daily_budget)
    cap = None if price_cap is None else place.micro(price_cap)
    print(f"export OPENAI_BASE_URL=http://{host}:{port}/v1\nsells {', '.join(texts)}", file=sys.stderr)
    run(
        Settings(
            session_key=key.secret,
            api_keys=(ApiKey(api_key, daily_budget=budget, price_cap=cap),),
            channels=channels,
            texts=texts,
            journal=folder / "journal.sqlite",
            rpc_url=where.rpc,
            deployment=where.deployment,
            host=host,
            port=port,
            hosts=(*sorted(LOOPBACK), *allow_host),
            public_url=url,
        )
    )


def audit(
    *,
    model: Annotated[tuple[str, ...], Parameter(negative=(), help=ENGINE)],
    wallet: Annotated[str, Parameter(help="Whose key signs.")] = "auditor",
    stake: Annotated[str, Parameter(help="Tokens that weigh your seats.")] = "1000",
    purse: Annotated[str, Parameter(help="Tokens of free bond beside the stake, for challenges.")] = "200",
    public_sources_only: Annotated[bool, Parameter(negative=(), help="Fetch nothing from private addresses.")] = False,
    leave: Annotated[
        bool, Parameter(negative=(), help="Leave the jury pool, from the next epoch on, and end.")
    ] = False,
    host: Host = "127.0.0.1",
    port: int = 8720,
    url: Url = "",
    data: Data = None,
    where: Place = HERE,
    password_file: Password = None,
) -> None:
    """Check drawn answers, sit on juries, until Ctrl-C; a kill at any instant is fine."""
    from steelyard.nodes.auditor import main as auditor
    from steelyard.nodes.auditor.settings import Settings

    _log()
    key = place.unlock(wallet, password_file)
    settings = Settings(
        key=key,
        data=_folder(data, "auditor"),
        deployment=where.deployment,
        rpc_url=where.rpc,
        models=tuple(engine_of(one) for one in model),
        host=host,
        port=port,
        url=url,
        stake=place.micro(stake),
        purse=place.micro(purse),
        private_sources=not public_sources_only,
    )
    if leave:
        auditor.leave(settings)
        print(f"{key.address} leaves the pool with the next epoch")
        return
    print(f"auditor {key.address} at {settings.public_url}", file=sys.stderr)
    auditor.run(settings)


def engine_of(model: str) -> str:
    """An engine's specification: a bare name of the store runs in canonical arithmetic."""
    bare = ":" not in model and model.partition("?")[0] != "alphabet"
    return f"canonical:{model}" if bare else model


def _provider(selling: Selling, where: Place, key: "Key", registration: bytes) -> "Provider":
    from steelyard.nodes.provider.offers import Limits, Prices
    from steelyard.nodes.provider.settings import Settings
    from steelyard.protocol.records import Level

    price_in, price_out = place.micro(selling.price_in), place.micro(selling.price_out)
    return Settings(
        key=key,
        data=_folder(selling.data, "provider"),
        deployment=where.deployment,
        rpc_url=where.rpc,
        engine=engine_of(selling.model),
        registration=registration,
        prices=tuple(Prices(Level[level.upper()], price_in, price_out) for level in dict.fromkeys(selling.level)),
        limits=Limits(max_units=selling.max_units),
        host=selling.host,
        port=selling.port,
        url=selling.url,
        bond=place.micro(selling.bond),
        case_patience=selling.case_patience,
    )


def _registration(ledger: "OnchainLedger", model_root: bytes, selling: Selling) -> bytes:
    """The id to sell under. Raises Refused("registration.unknown")."""
    from steelyard.cli.models import registered

    if selling.registration is not None:
        return place.digest(selling.registration, "registration")
    found = [model.id for model in ledger.models() if model.registration.model_root == model_root]
    if found:
        return found[0]
    if not selling.register:
        root = model_root.hex()
        raise Refused("registration.unknown", f"nobody registered the model root 0x{root}: add --register")
    return registered(ledger, engine_of(selling.model), royalty_bps=0, licence=None)


def _channels_of(ledger: "OnchainLedger", key: "Key") -> tuple[bytes, ...]:
    from steelyard.market.channels import Owner

    found = [one for one in Owner(ledger).channels_of(key.address) if one.session_key == key.address and not one.closed]
    if not found:
        raise Refused(
            "channel.unknown", f"{key.address} is the session key of no open channel: steelyard wallet deposit"
        )
    return tuple(one.id for one in found)


def _texts_here(ledger: "OnchainLedger") -> dict[str, str]:
    """Every registered model whose words this machine knows."""
    from steelyard.engines import store

    here = {model.name for model in store.known() if model.pulled} | {"alphabet"}
    found = {model.name: engine_of(model.name) for model in ledger.models() if model.name in here}
    if not found:
        names = [model.name for model in ledger.models()][:10]
        raise Refused(
            "model.not-pulled", f"registered are {names}, none of them is in the store: steelyard models pull"
        )
    return found


def _api_key(file: Path | None, folder: Path) -> str:
    """Who knows it may spend: from the environment, a file, or made once and kept in a file of its owner's."""
    told = os.environ.get("STEELYARD_API_KEY")
    if told:
        return told
    kept = file or folder / "api.key"
    if not kept.exists():
        handle = os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(f"sk-steelyard-{secrets.token_urlsafe(24)}\n")
        print(f"the API key is in {kept}", file=sys.stderr)
    found = kept.read_text().strip()
    if len(found) < 16:
        raise Malformed("request.key", f"{kept}: {len(found)} characters, at least 16")
    return found


def _folder(chosen: Path | None, role: str) -> Path:
    from platformdirs import user_data_dir

    folder = chosen or Path(user_data_dir("steelyard")) / role
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _log() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
