"""Every named liar against the judge, on the toy engine: convicted by the check that its rationale names, or, where the
rationale says that nobody can tell, never convicted. And honest runs never are."""

from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from liars import HONEST, LIARS, STALL, Scene, scene

from claims import DOMAIN, ONE, PROVIDER, SESSION, cancelled, signed_again
from steelyard.engines.alphabet import END, Alphabet
from steelyard.protocol import roots
from steelyard.protocol.verdicts import CannotTell, Cheated, Honest
from steelyard.verification import checks
from steelyard.work.generate import judge

SCENES = st.builds(
    scene,
    prompt=st.binary(min_size=1, max_size=12),
    seed=st.integers(0, 2**64 - 1),
    temperature=st.just(ONE),
    max_units=st.integers(1, 24),
    k=st.integers(0, 23),
)
ANY_TEMPERATURE = st.builds(
    scene,
    prompt=st.binary(min_size=1, max_size=12),
    seed=st.integers(0, 2**64 - 1),
    temperature=st.sampled_from([0, ONE]),
    max_units=st.integers(1, 24),
    k=st.integers(0, 23),
)


@pytest.mark.parametrize("name", LIARS)
@given(game=SCENES)
def test_each_liar_is_convicted_by_the_check_of_its_rationale(name: str, game: Scene) -> None:
    liar = LIARS[name]
    claim = liar.play(game)
    assume(claim is not None)
    assert claim is not None
    verdict = judge(replace(claim, provider_asked=liar.heard), HONEST).verdict
    if liar.checks:
        assert isinstance(verdict, Cheated)
        assert verdict.check in liar.checks
    else:
        assert isinstance(verdict, CannotTell)


@given(game=ANY_TEMPERATURE, heard=st.booleans())
@example(game=scene(b"a", 1, 0, 1, 0), heard=False)
def test_an_honest_run_is_never_convicted(game: Scene, heard: bool) -> None:
    claim = replace(STALL.sell(Alphabet(), game.order, game.prompt), provider_asked=heard)
    assert judge(claim, HONEST).verdict == Honest()


@given(game=SCENES, taken=st.integers(0, 24), ahead=st.integers(0, 4))
def test_who_obeys_a_cancel_is_honest_up_to_the_run_ahead(game: Scene, taken: int, ahead: int) -> None:
    taken = min(taken, len(game.ids))
    count = min(taken + ahead, len(game.ids))
    claim = cancelled(game.sign(game.ids[:count], game.leaves[:count]), taken)
    assert judge(claim, HONEST).verdict == Honest()


@given(game=SCENES, shown=st.integers(0, 30), heard=st.booleans())
def test_no_cancel_that_a_buyer_makes_up_convicts_an_honest_provider(game: Scene, shown: int, heard: bool) -> None:
    """The buyer cancelled at k; later it shows another cancel, or none, to a jury. Asked, the provider shows the one
    that it obeyed."""
    claim = game.sign(game.ids[: game.k], game.leaves[: game.k])
    framed = claim if shown > 24 else cancelled(claim, shown)
    assert not isinstance(judge(framed, HONEST).verdict, Cheated)
    assert judge(cancelled(claim, game.k, asked=True), HONEST).verdict == Honest()
    assert heard in (True, False)


@given(game=SCENES)
def test_running_far_past_a_cancel_convicts_if_the_provider_shows_that_cancel(game: Scene) -> None:
    assume(len(game.ids) > 6)
    claim = game.sign(game.ids[:6], game.leaves[:6])
    assert judge(cancelled(claim, 1, asked=True), HONEST).verdict == Cheated(
        "end", f"6 of {game.order.max_units} units, no end id, cancel at 1 + 4", 6
    )


@given(game=ANY_TEMPERATURE)
def test_a_continuation_is_honest_and_a_continuation_of_a_lie_is_the_continuers(game: Scene) -> None:
    """Rule P6: who continues vouches for the prefix."""
    assume(game.k >= 1 and game.ids[game.k - 1] != END)
    prefix = game.ids[: game.k]
    for delivered, expected in ((prefix, Honest), ([*prefix[:-1], prefix[-1] ^ 1], Cheated)):
        prompt = (*game.prompt, *delivered)
        order = replace(
            STALL.order(prompt, game.order.max_units, seed=game.order.seed, temperature=game.order.temperature),
            answer_from=len(game.prompt),
        )
        if expected is Honest:
            claim = STALL.sell(HONEST, order, prompt)
        else:
            claim = STALL.claim(order, prompt, game.ids[game.k :], game.leaves[game.k :])
        verdict = judge(claim, HONEST).verdict
        assert isinstance(verdict, expected)
        assert not isinstance(verdict, Cheated) or verdict.check == "prefix"


@given(game=SCENES)
def test_the_position_is_where_the_first_wrong_token_stands(game: Scene) -> None:
    claim = LIARS["wrong token, honest evidence"].play(game)
    assert claim is not None
    verdict = judge(claim, HONEST).verdict
    assert isinstance(verdict, Cheated)
    assert verdict.position == game.k


@given(game=SCENES)
def test_two_receipts_for_one_order_convict_and_one_receipt_twice_does_not(game: Scene) -> None:
    honest = game.sign(game.ids, game.leaves)
    other = signed_again(honest, replace(honest.receipt, evidence_root=roots.evidence_root([], b"")))
    one, two = ((c.receipt, c.receipt_signature) for c in (honest, other))
    verdict = checks.two_receipts(DOMAIN, PROVIDER.address, one, two)
    assert isinstance(verdict, Cheated)
    assert verdict.check == "two-receipts"
    assert checks.two_receipts(DOMAIN, PROVIDER.address, one, one) == Honest()
    forged = (other.receipt, SESSION.sign(other.receipt_digest()))
    assert isinstance(checks.two_receipts(DOMAIN, PROVIDER.address, one, forged), CannotTell)
    elsewhere = replace(other.receipt, order=bytes(32))
    signed = (elsewhere, PROVIDER.sign(elsewhere.digest(DOMAIN)))
    assert isinstance(checks.two_receipts(DOMAIN, PROVIDER.address, one, signed), CannotTell)


def test_every_liar_has_a_rationale_and_most_draws_let_it_lie() -> None:
    games = [scene(b"prompt %d" % i, i, ONE, 1 + i % 20, i) for i in range(60)]
    for name, liar in LIARS.items():
        assert len(liar.rationale) > 20, name
        assert sum(liar.play(game) is not None for game in games) >= 10, name
