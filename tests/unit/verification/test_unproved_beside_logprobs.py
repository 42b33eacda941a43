"""Which lies a claim's records prove, and which need a run."""

from collections.abc import Sequence

import pytest

from claims import Stall
from steelyard.engines.alphabet import Alphabet
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.proofs import BadUnit, TooMany
from steelyard.verification.holding import Holding
from steelyard.verification.proofs import proof_of

TOY = Alphabet()
STALL = Stall(TOY.card.model_root)
PROMPT = tuple(b"what is it")
GHOST = 2**31


@pytest.mark.parametrize(
    ("ids", "logprobs", "found"),
    [
        ((1, GHOST), 0, BadUnit),
        ((1, GHOST), 1, None),
        ((1, 1, 1), 0, TooMany),
        ((1, 1, 1), 1, TooMany),
        ((1, 1), 0, None),
    ],
)
def test_a_unit_beside_logprobs_is_opened_to_nobody_gam_42(
    ids: Sequence[int], logprobs: int, found: type[object] | None
) -> None:
    """The contract takes no leaf of logprobs: an accusation by such a proof would be refused for ever."""
    order = STALL.order(PROMPT, max_units=2, logprobs=logprobs)
    rows = [(0,)] * len(ids) if logprobs else ()
    claim = STALL.claim(order, PROMPT, ids, [ZERO32] * len(ids), logprobs=rows)

    def hold(positions: int) -> Holding:
        with TOY.holding(PROMPT[:positions], len(PROMPT)) as run:
            return run

    proof = proof_of(claim, TOY.card, hold)
    assert (proof is None) if found is None else type(proof) is found
