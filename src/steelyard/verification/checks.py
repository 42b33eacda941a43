"""The checks, each pure and each with its reason: `Cheated` if it finds something, None if it does not.

They come in two sorts. What the signed records and opened units say by themselves: `model_root`, `repeats_prefix`,
`known_units`, `overrun`, `early`. What only a run can say: `prefix`, `sampling`, `evidence`. All of them take a claim
without defect (`claim.defect`): then every id is bound by a root that the provider, or the buyer, signed.
"""

from collections.abc import Sequence
from itertools import zip_longest

from steelyard.engines.base import Card, Replay
from steelyard.protocol import keys, roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.records import Receipt
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest, Verdict
from steelyard.verification.claim import Claim, new_units


def model_root(claim: Claim) -> Cheated | None:
    """The receipt's root must be that of the registration which offer and order name. The provider chose to sign
    another, so no run is needed."""
    if claim.receipt.model_root == claim.model_root:
        return None
    signed, registered = claim.receipt.model_root.hex(), claim.model_root.hex()
    return Cheated("model-root", f"receipt says 0x{signed}, the order's registration 0x{registered}")


def repeats_prefix(claim: Claim) -> Cheated | None:
    """The receipt of a continuation covers the whole answer (rule P6), so the answer begins with the prefix that the
    buyer signed into the prompt."""
    prefix = claim.prefix
    if claim.answer[: len(prefix)] == prefix:
        return None
    at = _first_difference(claim.answer, prefix)
    return Cheated("prefix", f"the answer leaves the delivered prefix of {len(prefix)} units at unit {at}")


def known_units(claim: Claim, card: Card) -> Cheated | None:
    """An id outside the vocabulary can be sampled by nobody. (In the prompt proper it is the buyer's: see `judge`.)"""
    for position, unit in enumerate(claim.generated):
        if unit >= card.vocabulary:
            return Cheated("sampling", f"unit {unit} is none of {card.vocabulary} ids", position)
    for index, unit in enumerate(claim.prefix):
        if unit >= card.vocabulary:
            return Cheated("prefix", f"prefix unit {index} is {unit}, none of {card.vocabulary} ids")
    return None


def overrun(claim: Claim, ends: frozenset[int]) -> Cheated | None:
    """Rule P5: nothing follows an end id, and nothing exceeds `max_units`. Ids and order are signed, so no run and no
    word of the other side is needed."""
    new = new_units(claim)
    for position, unit in enumerate(claim.generated[:-1]):
        if unit in ends:
            return Cheated("end", f"end id {unit} at unit {position}, then {new - 1 - position} units more", position)
    if new > claim.order.max_units:
        return Cheated("end", f"{new} units, ordered at most {claim.order.max_units}", claim.order.max_units)
    return None


def early(claim: Claim, ends: frozenset[int]) -> Cheated | CannotTell | None:
    """Rule P5: an answer that reaches neither an end id nor `max_units` ends within the run-ahead of a cancel.

    The buyer signs all cancels, so whoever shows the claim could leave out the one that the provider obeyed, or swap
    it for another. It takes the provider's own answer to "which cancel?" to make an early end evidence; without that
    nobody can tell. A cancel that names more units than were generated is the buyer's word alone: no lower bound."""
    new = new_units(claim)
    if new >= claim.order.max_units or (claim.generated and claim.generated[-1] in ends):
        return None
    if claim.cancel is not None and new <= claim.cancel.units + claim.offer.run_ahead:
        return None
    named = "no cancel" if claim.cancel is None else f"cancel at {claim.cancel.units} + {claim.offer.run_ahead}"
    what = f"{new} of {claim.order.max_units} units, no end id, {named}"
    return Cheated("end", what, new) if claim.provider_asked else CannotTell(f"end: {what}, provider not heard")


def prefix(claim: Claim, run: Replay) -> Cheated | None:
    """A provider that continues an answer checks the prefix while it prefills (rule P6): its receipt vouches for it."""
    if run.prefix_mismatch is None:
        return None
    at = run.prefix_mismatch - claim.order.answer_from
    return Cheated("prefix", f"prefix unit {at} of {len(claim.prefix)} is not what the rule samples")


def sampling(claim: Claim, run: Replay) -> Cheated | None:
    """Rule P3: each answered id is the one that the sampling rule picks, given the ids before it. The first difference
    is where the answer left the ordered run; what follows is judged on the answer's own ids."""
    at = _first_difference(claim.generated, run.expected)
    if at is None:
        return None
    picked = f"samples {run.expected[at]}" if run.expected[at] >= 0 else "has no id that the grammar allows"
    return Cheated("sampling", f"answered {claim.generated[at]}, the rule {picked}", at)


def evidence(claim: Claim, run: Replay) -> Cheated | None:
    """Rule P2: the same ids by another model, precision or prompt leave other evidence. One root covers all leaves, so
    which leaf differs cannot be said from it."""
    own = own_evidence_root(claim, run)
    if own == claim.receipt.evidence_root:
        return None
    count = len(run.leaves)
    return Cheated("evidence", f"own run of {count} units 0x{own.hex()}, receipt 0x{claim.receipt.evidence_root.hex()}")


def logprobs(claim: Claim, run: Replay) -> Cheated | None:
    """Rule P1: what else was delivered is signed as the ids are, and follows from the run to the last bit."""
    if claim.logprobs == run.logprobs:
        return None
    pairs = enumerate(zip_longest(claim.logprobs, run.logprobs, fillvalue=()))
    at, signed, own = next((at, signed, own) for at, (signed, own) in pairs if signed != own)
    shown = [" ".join(f"{number:08x}" for number in row[:3]) for row in (signed, own)]
    return Cheated("logprobs", f"signed {len(signed)} numbers {shown[0]}, own run {len(own)} numbers {shown[1]}", at)


def own_evidence_root(claim: Claim, run: Replay) -> bytes:
    """What the receipt's evidence root would be if this run had made it. 32 bytes."""
    return roots.evidence_root(run.leaves, claim.answer_salt, len(claim.prefix))


def two_receipts(
    domain: Domain, provider: Address, one: tuple[Receipt, bytes], other: tuple[Receipt, bytes]
) -> Verdict:
    """Rule M6: two receipts with different digests for one order, both signed by `provider`, convict by themselves.
    Each pair is (receipt, signature of 65 bytes)."""
    (first, first_signature), (second, second_signature) = one, other
    if first.order != second.order:
        return CannotTell("two-receipts: of different orders")
    try:
        keys.require_signer(first.digest(domain), first_signature, provider, "receipt")
        keys.require_signer(second.digest(domain), second_signature, provider, "receipt")
    except Refused as refused:
        return CannotTell(f"two-receipts: {refused}")
    a, b = first.digest(domain), second.digest(domain)
    return Honest() if a == b else Cheated("two-receipts", f"0x{a.hex()} and 0x{b.hex()}")


def _first_difference(answered: Sequence[int], expected: Sequence[int]) -> int | None:
    for at, (left, right) in enumerate(zip(answered, expected, strict=False)):
        if left != right:
            return at
    return None if len(answered) >= len(expected) else len(answered)
