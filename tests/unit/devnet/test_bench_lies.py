"""What `bench dispute` plants about filters: a unit that they leave out, and sums by which they would not."""

import numpy as np
import pytest

from steelyard.devnet.bench import lies
from steelyard.engines import draws, sieves
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.draws import ONE_BITS, Draw
from steelyard.protocol.facts import Facts
from steelyard.protocol.moves import Sieve

PROMPT = tuple(b"three scales and a merchant")


@pytest.fixture(scope="module")
def told() -> tuple[lies.Sold, int, bytes]:
    """An answer, the id drawn without filters, the logits that both were drawn from."""
    engine = Alphabet()
    answer, free = lies.under_filters(engine, PROMPT, 6)
    with engine.holding((*PROMPT, *answer.ids[:-1]), len(PROMPT)) as honest:
        return answer, free, honest.value(answer.last, Facts.read(honest.facts()).logits)


def claims(logits: bytes, draw: Draw, unit: int, rival: int) -> tuple[Sieve, int]:
    """The sieve and the total that the liar claims."""
    sums = lies.keeping(logits, draw, unit, rival)
    _, greatest = sieves.marks(logits, draw.temperature, draw.top_k, draw.top_p)
    sieve = sieves.sieve_of(logits, draw.temperature, unit, rival, sums.lowest, greatest)
    (honest,) = sieves.tallies(logits, sieve, [sieve.vocabulary])
    return sieve, (honest + sums.more) % lies.MODULUS


def test_the_id_that_is_sold_is_one_that_the_filters_leave_out(told: tuple[lies.Sold, int, bytes]) -> None:
    answer, free, logits = told
    row, draw = np.frombuffer(logits, "<f4"), answer.draw
    assert free not in draws.keep(row, draw)
    assert draws.pick(row, draw, answer.last + 1) == answer.ids[-1]
    free_draw = Draw(draw.temperature, ONE_BITS, 0, draw.seed)
    assert draws.pick(row, free_draw, answer.last + 1) == free


def test_false_sums_fit_and_keep_a_unit_that_top_k_or_top_p_leaves_out(told: tuple[lies.Sold, int, bytes]) -> None:
    """GAM-5: so only an id's share can refute them."""
    answer, free, logits = told
    draw, rival, row = answer.draw, answer.ids[-1], np.frombuffer(logits, "<f4")
    by_k = int(row.argmin())
    by_p = next(int(one) for one in draws.keep_top_k(row, draw.top_k) if one not in draws.keep(row, draw))
    for unit in (free, by_k, by_p):
        sieve, claimed = claims(logits, draw, unit, rival)
        assert sieves.fits(sieve, claimed, draw.top_k)
        assert sieves.keeps(sieve, claimed, draw.top_p)[0]
    assert not sieves.beaten(*claims(logits, draw, free, rival), draw.top_p, draw.seed, answer.last + 1)
