"""`steelyard disputes`: the games over receipts, and the picture of one."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from steelyard.cli import screen
from steelyard.cli.place import HERE, Place, digest
from steelyard.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.cli.dispute_step import Explained
    from steelyard.engines.ir.graph import Node
    from steelyard.market.disputes import Dispute
    from steelyard.market.onchain import OnchainLedger
    from steelyard.market.onchain_disputes import OnchainDisputes

app = App(name="disputes", help="Games over receipts: who narrowed what, the step that was executed, who lost.")


@app.command(name="list")
def list_(*, where: Place = HERE, as_json: screen.Json = False) -> None:
    """List the games of this market, the oldest first."""
    games = _disputes(where.ledger()).all()
    rows: list[dict[str, Any]] = [{**asdict(one), "case": "0x" + one.case.hex()} for one in games]
    screen.show(rows, as_json, "no disputes")


@app.command
def show(
    case: str,
    /,
    *,
    svg: Annotated[Path | None, Parameter(help="Write the picture to this file.")] = None,
    model: Annotated[
        str | None, Parameter(help="The model whose parts are named, a file or a name; the registered one if not said.")
    ] = None,
    where: Place = HERE,
    as_json: screen.Json = False,
) -> None:
    """Show a dispute round by round, and the step that the contract executed.

    Nodes and tensors have their names if the model is in the store, else numbers.

    Parameters
    ----------
    case
        As `steelyard disputes list` shows it.
    """
    from steelyard.cli import dispute_svg, dispute_text

    dispute, told = read(where.ledger(), digest(case, "case"), model)
    if svg is not None:
        svg.write_text(dispute_svg.svg(dispute, told))
    if as_json:
        screen.show_json(plain({"dispute": asdict(dispute), "step": None if told is None else asdict(told)}))
    else:
        print(dispute_text.text(dispute, told), end="")


def read(ledger: "OnchainLedger", case: bytes, model: str | None = None) -> "tuple[Dispute, Explained | None]":
    """A game as it stands, and its last step in words, once there is one."""
    from steelyard.cli.dispute_step import described, explained, weighed

    dispute = _disputes(ledger).show(case, described)
    if dispute.weighing is not None:
        return dispute, weighed(dispute.weighing)
    if dispute.step is None:
        return dispute, None
    return dispute, explained(dispute.step, _nodes(ledger, dispute, model))


def drawn(ledger: "OnchainLedger", case: bytes) -> str:
    """The picture as text."""
    from steelyard.cli import dispute_text

    return dispute_text.text(*read(ledger, case))


def plain(value: Any) -> Any:
    """What JSON can hold: bytes as 0x-hex."""
    match value:
        case bytes():
            return "0x" + value.hex()
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return value


def _disputes(ledger: "OnchainLedger") -> "OnchainDisputes":
    from steelyard.chain.rpc import RpcChain
    from steelyard.market.onchain_disputes import OnchainDisputes

    assert isinstance(ledger.chain, RpcChain)
    return OnchainDisputes(ledger.chain, ledger.deployment)


def _nodes(ledger: "OnchainLedger", dispute: "Dispute", told: str | None) -> "Sequence[Node]":
    """The graph's, of the model that was told, or of the registered name if a file of that name is in the store."""
    from steelyard.engines import gguf_head, store
    from steelyard.engines.canonical import model, shape

    if told is None:
        registered = ledger.model(dispute.registration)
        try:
            file = store.path(registered.name if registered else "")
        except Refused:
            return ()  # not here: numbers will do
    else:
        file = store.find(told)
    head = gguf_head.read(file)
    return model.lowered(head, shape.read(head)).graph.nodes
