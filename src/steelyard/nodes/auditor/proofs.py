"""Lies that signed records prove: neither jury nor game is asked, since a liar would win a game about them.

A game is played under the receipt's own model root and about the ids that it has (GAM-41, GAM-42)."""

from collections.abc import Callable
from functools import partial

from steelyard.market.cases import Lie, Tie, WrongUnit
from steelyard.nodes.auditor import packages
from steelyard.nodes.auditor.desk import Desk
from steelyard.nodes.auditor.notes import TicketNote
from steelyard.protocol.records import Receipt
from steelyard.verification import checks
from steelyard.verification.claim import Claim, new_units
from steelyard.verification.transcript import Transcript
from steelyard.wire.messages import signature_of

PROVABLE = frozenset({"model-root", "end", "sampling"})
"""Checks that may have found such a lie."""


def conviction(desk: Desk, note: TicketNote, claim: Claim) -> Callable[[Tie | None], None] | None:
    """What convicts without a case; None if records alone do not. Raises Unavailable, Refused."""
    exhibit = packages.exhibit_of(claim)
    if note.twin is not None:
        twin, signature = Receipt.from_json(note.twin.record), signature_of(note.twin)
        return lambda tie: desk.cases.convict_twice(exhibit, twin, signature, tie)
    lie = proved(desk, packages.known(claim, desk.ledger)) if note.check in PROVABLE else None
    return None if lie is None else partial(desk.cases.convict, exhibit, lie)


def proved(desk: Desk, claim: Claim) -> Lie | None:
    """The lie that a claim's own records show, if there is one."""
    if checks.model_root(claim) is not None:
        return "model"
    if new_units(claim) > claim.order.max_units:
        return "count"
    card, last = desk.bench.card(claim), len(claim.generated) - 1
    ids = enumerate(claim.generated)
    wrong = (at for at, one in ids if one >= card.vocabulary or (one in card.ends and at < last))
    unit = next(wrong, None)
    if unit is None or claim.logprobs or not desk.bench.holds(claim.model_root):
        return None
    run, index = desk.bench.hold(claim)(1), len(claim.prefix) + unit
    opened = Transcript.of(claim, ()).open_answer(index)
    return WrongUnit(run.facts(), run.model_leaves(), run.facts_path(), index, opened)
