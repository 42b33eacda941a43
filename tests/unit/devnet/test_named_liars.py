"""The named liars do what their names say, and nothing more harmless."""

from pathlib import Path

import pytest

from counter import Counter, run
from steelyard.devnet.liars import LIARS
from steelyard.engines.alphabet import Alphabet
from steelyard.protocol.roots import units_root
from steelyard.work import generate


@pytest.mark.parametrize(("odds", "made", "delivered"), [(0, 12, 6), (1, 1, 0)])  # that the toy ends here
def test_the_inflated_count_signs_for_more_than_it_delivers(
    tmp_path: Path, odds: int, made: int, delivered: int
) -> None:
    counter = Counter(tmp_path, Alphabet(odds=odds), kind=LIARS["inflated-count"].desk)

    async def story() -> None:
        bought = await counter.buy(counter.request(counter.order(max_units=12)))
        job = generate.job_of(bought.order, bought.request.prompt)
        whole = [step.id for step in Alphabet(odds=odds).generate(job)]
        assert (bought.units, len(whole)) == (whole[:delivered], made)
        assert bought.last.salt is not None
        assert bought.receipt.response_root == units_root(whole, bytes.fromhex(bought.last.salt[2:]))

    run(story)
