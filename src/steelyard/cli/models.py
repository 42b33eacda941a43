"""`steelyard models`: the store of model files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from steelyard.cli import place, screen
from steelyard.cli.place import HERE, Password, Place
from steelyard.engines import gguf_head, store
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
def inspect(model: str = store.DEFAULT, /, *, as_json: screen.Json = False) -> None:
    """Say what a model's file says of itself.

    Parameters
    ----------
    model
        A name in the store, or the path of a GGUF file.
    """
    file = store.find(model)
    head = gguf_head.read(file)
    architecture = head.text("general.architecture")
    kinds: dict[str, int] = {}
    for tensor in head.tensors:
        name = gguf_head.KINDS[tensor.kind][0] if tensor.kind in gguf_head.KINDS else f"ggml type {tensor.kind}"
        kinds[name] = kinds.get(name, 0) + 1
    told: dict[str, object] = {
        "file": str(file),
        "bytes": head.file_size,
        "architecture": architecture,
        "quantization": head.quantization(),
        "context_length": head.fields.get(f"{architecture}.context_length"),
        "layers": head.fields.get(f"{architecture}.block_count"),
        "tensors": ", ".join(f"{count} {name}" for name, count in sorted(kinds.items(), key=lambda item: -item[1])),
        "licence": head.fields.get("general.license"),
    }
    screen.show_fields(told, as_json)


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
