"""`steelyard models`: the store of model files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from steelyard.cli import place, screen
from steelyard.cli.place import HERE, Password, Place
from steelyard.engines import store
from steelyard.protocol.errors import Malformed, Refused

if TYPE_CHECKING:
    from steelyard.market.onchain import OnchainLedger

app = App(name="models", help="Pull, list and inspect model files.")


@app.command
def pull(
    model: str = store.DEFAULT,
    /,
    *,
    sha256: Annotated[str | None, Parameter(help="SHA-256 of the GGUF file; needed for a source.")] = None,
) -> None:
    """Bring a model into the store, checked by its hash. A second call finds it there.

    Parameters
    ----------
    model
        A name of `steelyard models list`; or a file, an https address or hf:org/repo/file, with its --sha256.
    """
    with screen.progress(f"pulling {model}") as report:
        file = store.pull(model, sha256, report)
    print(f"{file.stem}: {file.stat().st_size:,} bytes in {file}")


@app.command(name="list")
def list_(*, as_json: screen.Json = False) -> None:
    """List the models that have a name here."""
    rows = [
        {
            "name": m.name,
            "bytes": m.size,
            "pulled": m.pulled,
            "origin": m.origin,
            "sha256": m.sha256,
        }
        for m in store.known()
    ]
    if as_json:
        screen.show_json(rows)
    else:
        screen.show_table([{**row, "sha256": str(row["sha256"])[:12]} for row in rows], "the store is empty")


@app.command
def inspect(
    model: str = store.DEFAULT,
    /,
    *,
    context: Annotated[int | None, Parameter(help="Positions; the most that is served by default.")] = None,
    root: Annotated[bool, Parameter(negative=(), help="Also the model root, which reads the whole file.")] = False,
    as_json: screen.Json = False,
) -> None:
    """Say what a model's file holds, what it takes to run it, and why it would be refused.

    Work is in multiplications with additions for a token, memory in bytes for one run of the context's length.

    Parameters
    ----------
    model
        A name in the store, or the path of a GGUF file, also of one that is not served here.
    """
    from dataclasses import asdict

    from steelyard.engines import inspection

    file = store.find(model)
    found = asdict(inspection.inspect(file, context))
    if root and not found["unsupported"]:
        with screen.progress(f"hashing {file.name}") as report:
            found["model_root"] = "0x" + inspection.model_root(file, report).hex()
    if as_json:
        screen.show_json(found)
        return
    tensors, why = found.pop("tensors"), found.pop("unsupported")
    for part in ("macs_per_token", "memory"):
        found |= {f"{part}_{name}": number for name, number in found.pop(part).items()}
    screen.show_fields(found, as_json=False)
    screen.show_table(tensors, "no tensors")
    print("served here" if not why else "not served here:")
    for refusal in why:
        print(f"  {refusal['rule']}: {refusal['detail']}")


@app.command
def register(
    model: str,
    /,
    *,
    royalty: Annotated[str, Parameter(help="Percent of every payout that goes to you.")] = "0",
    licence: Annotated[Path | None, Parameter(help="File with the licence's text, pinned by its hash.")] = None,
    wallet: Annotated[str, Parameter(help="The author's key.")] = "author",
    where: Place = HERE,
    password_file: Password = None,
) -> None:
    """Register a model on chain, you being its author.

    A royalty on public weights is a convention that buyers choose.

    Parameters
    ----------
    model
        A name in the store, or an engine as `steelyard provide` takes it.
    """
    from steelyard.cli.nodes import engine_of

    share = place.micro(royalty) // 10_000  # percent with six digits -> basis points
    ledger = where.ledger(place.unlock(wallet, password_file))
    print("0x" + registered(ledger, engine_of(model), share, licence).hex())


def registered(ledger: "OnchainLedger", engine: str, royalty_bps: int, licence: Path | None) -> bytes:
    """Registers an engine's model for the ledger's account and returns the registration's id, 32 bytes."""
    from steelyard.engines import catalog
    from steelyard.protocol.hashing import sha256

    try:
        terms = b"Apache-2.0" if licence is None else licence.read_bytes()
    except OSError as error:
        raise Malformed("model.licence", f"{licence}: {error.strerror}") from error
    loaded, _ = catalog.load(engine)
    card = loaded.card
    loaded.close()
    about = (royalty_bps, card.context_length, card.size_bytes, 1, sha256(terms))
    ledger.registry.register_model(card.model_root, ledger.account, *about, card.name, f"store:{card.name}")
    for model in ledger.models():
        if model.registration.model_root == card.model_root and model.registration.author == ledger.account:
            return model.id
    raise Refused("registration.unknown", f"0x{card.model_root.hex()} was sent and is not there")
