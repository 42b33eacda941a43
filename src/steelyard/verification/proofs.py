"""Which lie the records of a claim prove by themselves, in the form that a contract takes (GAM-41, GAM-42)."""

from collections.abc import Sequence

from steelyard.engines.base import Card
from steelyard.protocol import roots
from steelyard.protocol.moves import Unit
from steelyard.protocol.proofs import BadUnit, OtherModel, OtherPrefix, Proof, TooMany
from steelyard.verification.claim import Claim, new_units
from steelyard.verification.holding import Hold


def proof_of(claim: Claim, card: Card, hold: Hold) -> Proof | None:
    """The proof, or None: it takes a run to tell.

    Args:
        claim: without defect.
        card: of the model that was ordered.
        hold: a run of it, for what it says of the model.
    """
    if claim.receipt.model_root != claim.model_root:
        return OtherModel()
    if new_units(claim) > claim.order.max_units:
        return TooMany()
    if claim.logprobs:
        return None  # beside logprobs no unit can be opened to the contract
    differs = (index for index, pair in enumerate(zip(claim.answer, claim.prefix, strict=False)) if pair[0] != pair[1])
    index = next(differs, None)
    if index is not None:
        ordered = _opened(claim.prompt, claim.prompt_salt, claim.order.answer_from + index)
        return OtherPrefix(index, _opened(claim.answer, claim.answer_salt, index), ordered)
    at = _first_bad(claim, card)
    if at is None:
        return None
    model, index = hold(1), len(claim.prefix) + at
    opened = _opened(claim.answer, claim.answer_salt, index)
    return BadUnit(model.facts(), model.model_leaves(), model.facts_path(), index, opened)


def _first_bad(claim: Claim, card: Card) -> int | None:
    last = len(claim.generated) - 1
    for at, unit in enumerate(claim.generated):
        if unit >= card.vocabulary or (unit in card.ends and at < last):
            return at
    return None


def _opened(units: Sequence[int], salt: bytes, index: int) -> Unit:
    return Unit(*roots.open_unit(units, salt, index))
