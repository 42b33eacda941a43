"""Named liars: each is given an honest engine and an order, and signs something else than the honest answer.

None instead of a claim: this draw has no room for the lie (nothing comes after an end that was not reached), so the
game is not counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from claims import Stall, run, signed_again
from steelyard.engines.alphabet import END, Alphabet
from steelyard.engines.base import Step
from steelyard.protocol.hashing import sha256
from steelyard.protocol.records import Order
from steelyard.verification.claim import Claim
from steelyard.work.generate import job_of

HONEST = Alphabet()
STALL = Stall(HONEST.card.model_root)


@dataclass(frozen=True)
class Scene:
    """What a buyer ordered, and what an honest run gives."""

    order: Order
    prompt: tuple[int, ...]
    steps: tuple[Step, ...]
    k: int
    """Where to lie: a position of the honest answer."""

    @property
    def ids(self) -> list[int]:
        return [step.id for step in self.steps]

    @property
    def leaves(self) -> list[bytes]:
        return [step.leaf for step in self.steps]

    def sign(self, ids: Sequence[int], leaves: Sequence[bytes]) -> Claim:
        return STALL.claim(self.order, self.prompt, ids, leaves)


def scene(prompt: bytes, seed: int, temperature: int, max_units: int, k: int) -> Scene:
    order = STALL.order(tuple(prompt), max_units, seed=seed, temperature=temperature)
    steps = tuple(run(HONEST, order, tuple(prompt)))
    return Scene(order, tuple(prompt), steps, k % len(steps))


Play = Callable[[Scene], Claim | None]


@dataclass(frozen=True)
class Liar:
    """A way to cheat, and why a judge can or cannot see it."""

    play: Play
    checks: frozenset[str]
    """Any of these may be named; empty: nobody can tell, on purpose."""
    rationale: str
    heard: bool = False
    """True if the provider has to be asked first which cancel it obeyed."""


def other_weights_from(game: Scene) -> Claim | None:
    steps = run(Alphabet(lie_from=game.k), game.order, game.prompt)
    return game.sign([s.id for s in steps], [s.leaf for s in steps])


def other_model(game: Scene) -> Claim | None:
    steps = run(Alphabet(dialect=b"cheap"), game.order, game.prompt)
    return game.sign([s.id for s in steps], [s.leaf for s in steps])


def own_up_to_another_model(game: Scene) -> Claim | None:
    claim = other_model(game)
    assert claim is not None
    return signed_again(claim, replace(claim.receipt, model_root=Alphabet(dialect=b"cheap").card.model_root))


def wrong_evidence_from(game: Scene) -> Claim | None:
    return game.sign(game.ids, game.leaves[: game.k] + [sha256(leaf) for leaf in game.leaves[game.k :]])


def wrong_token(game: Scene) -> Claim | None:
    ids = game.ids
    ids[game.k] = ord("x") if ids[game.k] != ord("x") else ord("y")
    return game.sign(ids, game.leaves)


def unknown_token(game: Scene) -> Claim | None:
    ids = game.ids
    ids[game.k] = 257 + game.k
    return game.sign(ids, game.leaves)


def cut_early(game: Scene) -> Claim | None:
    return game.sign(game.ids[: game.k], game.leaves[: game.k])


def claim_a_stop(game: Scene) -> Claim | None:
    if game.ids[game.k] == END:
        return None
    state = HONEST.replay(_job(game), [*game.ids[: game.k], END])
    return game.sign([*game.ids[: game.k], END], state.leaves)


def run_past_an_end(game: Scene) -> Claim | None:
    if game.ids[-1] != END or len(game.ids) == game.order.max_units:
        return None
    ids = [*game.ids, *b"more"]
    return game.sign(ids, HONEST.replay(_job(game), ids).leaves)


def run_past_the_order(game: Scene) -> Claim | None:
    if game.ids[-1] == END:
        return None
    ids = [*game.ids, *b"more"]
    return game.sign(ids, HONEST.replay(_job(game), ids).leaves)


def inflated_count(game: Scene) -> Claim | None:
    return game.sign(game.ids * 2, game.leaves * 2)


def other_prompt(game: Scene) -> Claim | None:
    prompt = (*game.prompt[:-1], game.prompt[-1] ^ 1)
    steps = run(HONEST, game.order, prompt)
    return game.sign([s.id for s in steps], [s.leaf for s in steps])


def other_seed(game: Scene) -> Claim | None:
    steps = run(HONEST, replace(game.order, seed=game.order.seed ^ 1), game.prompt)
    return None if [s.id for s in steps] == game.ids else game.sign([s.id for s in steps], [s.leaf for s in steps])


def lower_temperature(game: Scene) -> Claim | None:
    steps = run(HONEST, replace(game.order, temperature=0), game.prompt)
    return None if [s.id for s in steps] == game.ids else game.sign([s.id for s in steps], [s.leaf for s in steps])


def copied_evidence(game: Scene) -> Claim | None:
    """Of an honest answer to somebody else's prompt, for the units of this one."""
    other = run(HONEST, STALL.order((*game.prompt, 7), game.order.max_units), (*game.prompt, 7))
    leaves = [step.leaf for step in other] * len(game.ids)
    return game.sign(game.ids, leaves[: len(game.ids)])


def canned_answer(game: Scene) -> Claim | None:
    ids = [*b"certainly. "][: game.order.max_units]
    ids = ids if len(ids) == game.order.max_units else [*ids, END][: game.order.max_units]
    return None if ids == game.ids else game.sign(ids, [sha256(b"%d" % i) for i in range(len(ids))])


def empty_answer(game: Scene) -> Claim | None:
    return game.sign([], [])


def garbage_evidence(game: Scene) -> Claim | None:
    claim = game.sign(game.ids, game.leaves)
    return signed_again(claim, replace(claim.receipt, evidence_root=sha256(b"garbage")))


def garbage_answer_root(game: Scene) -> Claim | None:
    claim = game.sign(game.ids, game.leaves)
    return signed_again(claim, replace(claim.receipt, response_root=sha256(b"garbage")))


def reordered_evidence(game: Scene) -> Claim | None:
    return None if len(game.leaves) < 2 else game.sign(game.ids, game.leaves[::-1])


def missing_evidence(game: Scene) -> Claim | None:
    return game.sign(game.ids, game.leaves[:-1])


def _job(game: Scene):

    return replace(job_of(game.order, game.prompt), max_units=4 * game.order.max_units)


RUN = frozenset({"sampling", "evidence"})
LIARS: dict[str, Liar] = {
    "other weights from position k": Liar(other_weights_from, RUN, "the states differ from k on, tokens soon or never"),
    "other model under this root": Liar(other_model, RUN, "its evidence is of other states"),
    "own up to another model": Liar(
        own_up_to_another_model, frozenset({"model-root"}), "the order's registration names one root; it signed another"
    ),
    "wrong evidence from position k": Liar(wrong_evidence_from, frozenset({"evidence"}), "one root covers every leaf"),
    "wrong token, honest evidence": Liar(wrong_token, frozenset({"sampling"}), "the rule picks one id"),
    "token that does not exist": Liar(unknown_token, frozenset({"sampling"}), "no rule picks an id that is none"),
    "claim a stop": Liar(claim_a_stop, frozenset({"sampling"}), "the end id was not what the rule picks"),
    "cut early, provider heard": Liar(cut_early, frozenset({"end"}), "no end, no length, no cancel of its own", True),
    "cut early, provider not heard": Liar(
        cut_early, frozenset(), "it may have obeyed a cancel that the buyer does not show: nobody is slashed for that"
    ),
    "empty answer, provider heard": Liar(empty_answer, frozenset({"end"}), "an order asks for one unit at least", True),
    "run past an end": Liar(run_past_an_end, frozenset({"end"}), "nothing follows an end id"),
    "run past the order": Liar(run_past_the_order, frozenset({"end"}), "nobody ordered more than max_units"),
    "inflated count": Liar(inflated_count, RUN | {"end"}, "the repeated units are not what follows"),
    "other prompt": Liar(other_prompt, RUN, "states are of the prompt that was run"),
    "other seed": Liar(other_seed, frozenset({"sampling"}), "the seed is the buyer's; states alone would not show it"),
    "lower temperature": Liar(lower_temperature, frozenset({"sampling"}), "likelier tokens than the rule picks"),
    "copied evidence": Liar(copied_evidence, frozenset({"evidence"}), "evidence is of one prompt and one answer"),
    "canned answer": Liar(canned_answer, RUN, "no run gives these ids"),
    "garbage evidence root": Liar(garbage_evidence, frozenset({"evidence"}), "the provider signed the root"),
    "reordered evidence": Liar(reordered_evidence, frozenset({"evidence"}), "a leaf has its place in the tree"),
    "missing evidence": Liar(missing_evidence, frozenset({"evidence"}), "the root binds how many leaves there are"),
    "garbage answer root": Liar(
        garbage_answer_root,
        frozenset(),
        "units that do not open a root prove nothing against who signed the root: the buyer does not pay instead",
    ),
}
