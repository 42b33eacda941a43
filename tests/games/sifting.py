"""Sales under top-k and top-p on the toy engine, and liars about what these filters leave: in a mark, in a share, in a
logit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from game_arithmetic import drawn
from liars import HONEST, STALL
from playing import Played, Player, Table, case_of, game_between

from claims import ONE, run
from steelyard.engines import draws, sieves
from steelyard.engines.alphabet_graph import GRAPH, VOCABULARY
from steelyard.engines.base import leaf
from steelyard.engines.draws import Draw, bits
from steelyard.engines.ir.holding import GraphHolding
from steelyard.engines.ir.patched import Patched
from steelyard.protocol import games
from steelyard.protocol.games import NOTHING, Place, Stage, View
from steelyard.protocol.moves import Answer, Begin, Mark, Move, Say, Sieve
from steelyard.protocol.moves import Claim as Disputed
from steelyard.verification.challenger import challenger_move, first_move, shown
from steelyard.verification.claim import Claim
from steelyard.verification.defender import defender_move
from steelyard.verification.holding import Holding
from steelyard.verification.transcript import Transcript
from steelyard.verification.weighing import opened
from steelyard.work.generate import job_of

STATE, LOGITS = ([node.name for node in GRAPH.nodes].index(name) for name in ("state", "logits"))
PROMPT = tuple(b"a toy duel of twenty")
FILTERS = {
    "top-k": {"top_k": 4, "top_p": ONE},
    "top-p": {"top_k": 0, "top_p": bits(0.5)},
    "both": {"top_k": 6, "top_p": bits(0.6)},
}
SILENT = {
    "none": {"top_k": 0, "top_p": ONE},
    "as many as there are": {"top_k": VOCABULARY, "top_p": ONE},
    "more than there are": {"top_k": VOCABULARY + 1, "top_p": ONE},
}
"""Filters without a say (GAM-5)."""
LENIENT = {
    "all but one": {"top_k": VOCABULARY - 1, "top_p": ONE},
    "nearly all": {"top_k": 0, "top_p": ONE - 1},
}
"""Filters that just have one."""


@dataclass(frozen=True)
class Sifted:
    """An answer under filters, of whose last unit one may be another than the rule picks."""

    claim: Claim
    evidence: tuple[bytes, ...]
    """As it was signed."""
    patch: Mapping[int, int] = field(default_factory=dict)
    """Logits at the last position that the provider has otherwise, as words."""

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.claim.prompt, *self.claim.generated)

    @property
    def last(self) -> int:
        """The position that chose the last unit."""
        return len(self.ids) - 2

    @property
    def unit(self) -> int:
        return len(self.claim.generated) - 1

    @property
    def draw(self) -> Draw:
        order = self.claim.order
        return Draw(order.temperature, order.top_p, order.top_k, order.seed)

    def honest(self, positions: int) -> GraphHolding:
        return _whole(self.claim.order, self.ids).first(positions)

    def hold(self, positions: int) -> Holding:
        held = self.honest(positions)
        words = {(self.last, LOGITS, one): word for one, word in self.patch.items()}
        return Patched(held, words) if words and positions == self.last + 1 else held

    def logits(self) -> bytes:
        """The provider's, that the last unit is drawn from."""
        return self.hold(self.last + 1).value(self.last, LOGITS)

    @property
    def picked(self) -> int:
        """What the rule picks from the honest logits."""
        honest = self.honest(self.last + 1).value(self.last, LOGITS)
        return draws.pick(np.frombuffer(honest, "<f4"), self.draw, self.last + 1)


@cache
def _whole(order: object, ids: tuple[int, ...]) -> GraphHolding:
    job = job_of(order, PROMPT)  # type: ignore[arg-type]
    return GraphHolding(HONEST.trace(job, ids[len(PROMPT) :]), HONEST.language)


@cache
def honest(filters: str, units: int = 3, seed: int = 5, temperature: int = ONE) -> Sifted:
    """An honest answer of so many units."""
    asked = (FILTERS | SILENT | LENIENT)[filters]
    order = STALL.order(PROMPT, units, seed=seed, temperature=temperature, **asked)
    steps = run(HONEST, order, PROMPT)
    leaves = tuple(step.leaf for step in steps)
    return Sifted(STALL.claim(order, PROMPT, [step.id for step in steps], leaves), leaves)


def wrong(sale: Sifted, unit: int, patch: Mapping[int, int] | None = None) -> Sifted:
    """Its last unit is another one, with evidence that fits."""
    ids = [*sale.claim.generated[:-1], unit]
    own = replace(sale, patch=patch or {})
    state = own.honest(own.last + 1).value(own.last, STATE)
    logit = np.frombuffer(own.logits(), "<f4")[unit]
    evidence = (*sale.evidence[:-1], leaf(state, float(logit)))
    claim = STALL.claim(sale.claim.order, PROMPT, ids, evidence)
    return Sifted(claim, evidence, patch or {})


@cache
def unfiltered(filters: str) -> Sifted:
    """Sold by one that draws without filters: its last unit is one that they leave out."""
    for seed in range(200):
        sale = honest(filters, seed=seed)
        row = np.frombuffer(sale.logits(), "<f4")
        free = draws.pick(row, replace(sale.draw, top_k=0, top_p=ONE), sale.last + 1)
        if len(sale.claim.generated) == 3 and free not in draws.keep(row, sale.draw):
            return wrong(sale, free)
    raise AssertionError(filters)


def worse(sale: Sifted) -> int:
    """An id that is kept, and not picked."""
    kept = draws.keep(np.frombuffer(sale.logits(), "<f4"), sale.draw)
    return next(int(one) for one in kept if one != sale.picked)


def false_logit(sale: Sifted) -> Sifted:
    """Sold by one that has another logit for what the rule picks, and draws from that."""
    patch = {sale.picked: bits(-64.0)}
    row = np.frombuffer(replace(sale, patch=patch).logits(), "<f4")
    return wrong(sale, draws.pick(row, sale.draw, sale.last + 1), patch)


@dataclass(frozen=True)
class Sums:
    """What a defender says of the ids: whom it names, and of some ids shares that are not theirs."""

    lowest: int | None = None
    """None: the right one."""
    greatest: int | None = None
    shares: Mapping[int, int] = field(default_factory=dict)
    """Id -> what its share is more than by the book."""

    def named(self, view: View, logits: bytes) -> tuple[int, int]:
        lowest, greatest = sieves.marks(logits, view.temperature, view.top_k, view.top_p)
        return lowest if self.lowest is None else self.lowest, greatest if self.greatest is None else self.greatest

    def sieve(self, view: View, logits: bytes, unit: int) -> Sieve:
        return sieves.sieve_of(logits, view.temperature, unit, view.rival, *self.named(view, logits))

    def tallies(self, logits: bytes, sieve: Sieve, after: tuple[int, ...]) -> list[int]:
        honest = sieves.tallies(logits, sieve, after)
        lies = [sum(more for one, more in self.shares.items() if one < at) for at in after]
        return [(one + lie) % 2**256 for one, lie in zip(honest, lies, strict=True)]


def defends(sale: Sifted, sums: Sums | None = None) -> Player:
    """An honest defender of what was sold, but for its sums."""
    script = Transcript.of(sale.claim, sale.evidence)

    def play(view: View) -> Move | None:
        move = defender_move(view, sale.hold, script)
        if sums is None:
            return move
        logits, unit = sale.logits(), script.id(view.positions) if view.positions else 0
        if isinstance(move, Answer):
            sieve, filtered = sums.sieve(view, logits, unit), move.shown.filtered
            for name, one in (("lowest", sieve.lowest), ("greatest", sieve.greatest)):
                if one != NOTHING:
                    filtered = replace(filtered, **{name: Mark(one, *opened(logits, one))})
            filtered = replace(filtered, sums=sums.tallies(logits, sieve, (len(logits) // 4,))[0])
            return replace(move, shown=replace(move.shown, filtered=filtered))
        if isinstance(move, Say) and view.place == Place.IDS:
            after = (view.low, *games.cuts(view.low, view.high))
            said = sums.tallies(logits, sums.sieve(view, logits, unit), after)
            return replace(move, words=games.said_sums(said))
        return move

    return play


def challenges(sale: Sifted, change: Callable[[View, Move | None], Move | None] = lambda _, move: move) -> Player:
    """An honest challenger, but for what `change` makes of its moves."""
    run = HONEST.replay(job_of(sale.claim.order, PROMPT), sale.claim.generated)
    script = Transcript.of(sale.claim, run.leaves)
    return lambda view: change(view, challenger_move(view, sale.honest, script))


def reason(sale: Sifted) -> Move | None:
    run = HONEST.replay(job_of(sale.claim.order, PROMPT), sale.claim.generated)
    return first_move(case_of(), sale.claim, HONEST.card, run)


def claims(sale: Sifted, rival: int, unit: int | None = None) -> Begin:
    """A rival, whether or not there is a reason."""
    return Begin(case_of(), shown(sale.claim), Disputed(sale.unit if unit is None else unit, rival))


def table(sale: Sifted) -> Table:
    return Table(sale, prefers=drawn)


def play(sale: Sifted, begin: Move, sums: Sums | None = None, challenger: Player | None = None) -> Played:
    return game_between(table(sale), defends(sale, sums), challenger or challenges(sale), begin)


def until(sale: Sifted, begin: Move, stage: Stage, sums: Sums | None = None) -> tuple[Table, View]:
    """The game, played honestly but for the sums, as it first comes to a stage at IDS."""
    at = table(sale)
    view = at.play(begin, games.Side.CHALLENGER)
    players = {games.Side.DEFENDER: defends(sale, sums), games.Side.CHALLENGER: challenges(sale)}
    while (view.stage, view.place) != (stage, Place.IDS):
        side = games.to_move(view)
        assert side is not None
        move = players[side](view)
        assert move is not None
        view = at.play(move, side)
    return at, view
