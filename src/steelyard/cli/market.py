"""`steelyard offers` and `steelyard orders`: what is sold, what was bought."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from steelyard.cli import screen
from steelyard.cli.place import HERE, Place
from steelyard.protocol.errors import Refused, SteelyardError, Unavailable

if TYPE_CHECKING:
    from steelyard.market.journal import Document
    from steelyard.market.onchain import OnchainLedger
    from steelyard.protocol.units import Address
    from steelyard.wire.messages import Offers


def offers(
    *,
    model: Annotated[str | None, Parameter(help="Of this model only.")] = None,
    where: Place = HERE,
    as_json: screen.Json = False,
) -> None:
    """List what every registered provider sells now, its signature checked. Prices are tokens per million units."""
    ledger = where.ledger()
    told = asyncio.run(_ask(ledger))
    rows: list[dict[str, Any]] = []
    silent: list[dict[str, str]] = []
    for provider, url, answer in told:
        if isinstance(answer, SteelyardError):
            silent.append({"provider": provider, "url": url, "error": str(answer)})
        else:
            rows += _rows(ledger, provider, url, answer)
    rows = [row for row in rows if model in (None, row["model"])]
    rows.sort(key=lambda row: (row["model"], row["level"], row["price_out_micro"]))
    if as_json:
        screen.show_json({"offers": rows, "silent": silent})
        return
    hidden = {"offer", "price_in_micro", "price_out_micro", "registration"}
    screen.show_table([{k: v for k, v in row.items() if k not in hidden} for row in rows], "nothing is sold here now")
    for one in silent:
        print(f"{one['provider']} at {one['url']}: {one['error']}")


async def _ask(ledger: "OnchainLedger") -> "list[tuple[Address, str, Offers | SteelyardError]]":
    from steelyard.wire.messages import Offers
    from steelyard.wire.peer import Peers

    async with Peers() as peers:

        async def one(url: str) -> Offers | SteelyardError:
            try:
                return await peers.get(url, "offers", Offers)
            except SteelyardError as error:
                return error

        providers = ledger.providers()
        answers = await asyncio.gather(*(one(url) for _, url in providers))
        return [(who, url, answer) for (who, url), answer in zip(providers, answers, strict=True)]


def _rows(ledger: "OnchainLedger", provider: "Address", url: str, told: "Offers") -> list[dict[str, Any]]:
    from steelyard.protocol.records import Level, Offer
    from steelyard.wire.messages import open_signed

    rows = []
    bond = screen.tokens(ledger.free_bond(provider))
    for signed in told.offers:
        try:
            offer = open_signed(signed, Offer, ledger.domain, provider)
        except Refused:
            continue  # not signed by who is registered: nobody's offer
        registered = ledger.model(offer.registration)
        rows.append(
            {
                "model": registered.name if registered else "unknown",
                "level": Level(offer.level).name.lower() if offer.level in set(Level) else str(offer.level),
                "price_in": screen.tokens(offer.price_in),
                "price_out": screen.tokens(offer.price_out),
                "price_in_micro": offer.price_in,
                "price_out_micro": offer.price_out,
                "context": offer.context_length,
                "most_units": offer.max_units,
                "free_bond": bond,
                "provider": provider,
                "url": url,
                "offer": "0x" + offer.digest(ledger.domain).hex(),
                "registration": "0x" + offer.registration.hex(),
            }
        )
    return rows


def orders(
    journal: Path,
    /,
    *,
    state: Annotated[str | None, Parameter(help="Such as delivered, settled, expired.")] = None,
    last: Annotated[int, Parameter(help="How many, the newest.")] = 50,
    as_json: screen.Json = False,
) -> None:
    """List the orders of a gateway's or a provider's journal, the oldest first; it may be running.

    Parameters
    ----------
    journal
        journal.sqlite in the node's directory, or that directory.
    """
    from steelyard.market.journal import Journal
    from steelyard.market.lifecycle import State

    file = journal / "journal.sqlite" if journal.is_dir() else journal
    if not file.is_file():
        raise Refused("journal.unknown", f"no file at {file}")
    if state is not None and state not in set(State):
        raise Refused("order.state", f"{state[:40]!r} is none of {[str(one) for one in State]}")
    opened = Journal(file)
    try:
        found = [d for d in opened.scan("order") if state in (None, d.state)]
        rows = [_order(opened.get("order-receipt", d.key), opened, d) for d in found[-last:]]
    finally:
        opened.close()
    if not as_json:
        rows = [{**row, "order": row["order"][:18] + "…"} for row in rows]
    screen.show(rows, as_json, "no orders")


def _order(receipt: "Document | None", journal: Any, document: "Document") -> dict[str, Any]:
    try:
        body = json.loads(document.body)
        record = body["order"]["record"] if "order" in body else body["request"]["order"]["record"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable("journal.document", f"order 0x{document.key.hex()}: {error!r}") from error
    paid = None if receipt is None else journal.get("receipt", receipt.body)
    price = body.get("price") if paid is None else json.loads(paid.body)["price"]  # a provider keeps it in the order
    fault = journal.get("fault", document.key)
    return {
        "order": "0x" + document.key.hex(),
        "state": document.state,
        "model": body.get("model"),
        "prompt_units": record["prompt_units"],
        "max_units": record["max_units"],
        "max_price": screen.tokens(int(record["max_price"])),
        "price": None if price is None else screen.tokens(price),
        "fault": None if fault is None else fault.state,
    }
