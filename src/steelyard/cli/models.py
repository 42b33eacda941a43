"""`steelyard models`: the store of model files."""

from typing import Annotated

from cyclopts import App, Parameter

from steelyard.cli import screen
from steelyard.engines import gguf_head, store

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
