"""The rules of the dispute game in plain Python: what `contracts/Games.vy` is held to, move by move (spec/games.md).

One referee has all games on one receipt. It knows no arithmetic: that is handed in, as the contract has it from its
libraries. Refusals have the contract's names, and change nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

from steelyard.protocol import games, keys, merkle, moves
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import NOTHING, WORDS_PER_LEAF, Place, Post, Side, Stage, View
from steelyard.protocol.hashing import ZERO32, keccak256, sha256
from steelyard.protocol.price import generated
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.narrowing import between, is_current, over, pointed, tree
from steelyard.verification.openings import (
    Spot,
    facts_of,
    id_at,
    require,
    require_evidence,
    require_followed,
    require_operand,
    root_of,
    unit_of,
    word_of,
)
from steelyard.verification.sieving import Filters, marked, picked, require_sums, sifting, weighed


class Shape(NamedTuple):
    """What a node's leaf and a position say: see `View`."""

    elements: int
    turns: int
    lanes: int
    start: int
    join: int


class Arithmetic(Filters, Protocol):
    """What a step is, and which id is drawn. All raise Refused for what a contract would refuse."""

    def describe(self, node: bytes, position: int) -> Shape: ...

    def join(self, code: int, chains: Sequence[int]) -> int: ...

    def spots(self, node: bytes, position: int, element: int, turn: int, unit: int) -> Sequence[Spot]:
        """One a load; `unit` is the id at the position, NOTHING if it was not opened."""
        ...

    def step(
        self, node: bytes, position: int, element: int, turn: int, accumulator: int, unit: int, leaves: Sequence[bytes]
    ) -> int:
        """The word that one turn gives, from the leaf that each load takes from."""
        ...

    def prefers(self, view: View, rival_logit: int, unit: int, logit: int) -> bool:
        """True if the sampling rule would have picked `view.rival` rather than `unit`."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """As `Rulings` has it."""

    receipt: bytes
    """Digest."""
    provider: Address
    challenger: Address
    session_key: Address
    """Of the order's channel."""


@dataclass
class Referee:
    """All games on one receipt.

    Args:
        base: seconds that each side has in a game, and `each` more for each position.
    """

    domain: Domain
    arithmetic: Arithmetic
    cases: Mapping[bytes, Case]
    base: int
    each: int
    games: dict[bytes, View] = field(default_factory=dict)

    def play(self, move: moves.Move, sender: Address, now: int) -> View:
        """The game after the move; `now` in Unix seconds. Raises Refused."""
        case = self.cases[move.case]
        if isinstance(move, moves.Appeal | moves.Begin | moves.BeginEarly):
            view = self._opened(move, case, sender, now)
        elif isinstance(move, moves.Forfeit):
            view = self._forfeited(self._game(move.case), now)
        else:
            before = self._game(move.case)
            stage, rule = RULES[type(move)]
            require(before.stage == stage, "games.stage", f"{before.stage!r}, not {stage!r}")
            require(move.seen == before.head, "games.moved", f"answers 0x{move.seen.hex()}")
            self._require_mover(before, case, sender, now, anyone=stage == Stage.STEP)
            view = _moved(before, rule(self, before, move), move, now)
        self.games[move.case] = view
        return view

    def _game(self, case: bytes) -> View:
        require(case in self.games, "games.stage", "no game")
        return self.games[case]

    def _require_mover(self, view: View, case: Case, sender: Address, now: int, *, anyone: bool = False) -> None:
        """GAM-30 and GAM-32."""
        if games.to_move(view) is Side.DEFENDER:
            require(sender == case.provider, "games.not-the-defender", sender)
        else:
            require(anyone or sender == case.challenger, "games.not-the-challenger", sender)
        require(now <= view.since + _left(view), "games.late", f"{now} is after {view.since} + {_left(view)}")

    # -- how a game opens and ends -----------------------------------------------------------------------------------

    def _opened(self, move: moves.Appeal | moves.Begin | moves.BeginEarly, case: Case, sender: str, now: int) -> View:
        """GAM-1 to GAM-3, GAM-35. The challenger's clock runs from an appeal on."""
        head = sha256(self.domain.separator(), move.case)
        parties = case.provider, case.challenger, case.receipt
        before = self.games.get(move.case, View(move.case, head, Stage.CALLED, Place.NONE, *parties, since=now))
        shown, order, appeal = move.shown, move.shown.order, isinstance(move, moves.Appeal)
        if appeal:
            require(sender == case.provider, "games.not-the-provider", sender)
        else:
            require(sender == case.challenger, "games.not-the-challenger", sender)
        known = move.case in self.games
        require(before.stage == Stage.CALLED and not (known and appeal), "games.stage", "there is a game")
        require(not known or now <= before.since + before.challenger_clock, "games.late", f"at {now}")
        require_followed(shown, self.domain, case.receipt)
        units = order.prompt_units + shown.answer_units if isinstance(move, moves.Begin) else 0
        given = self.base + self.each * units
        view = replace(before, defender_clock=given, challenger_clock=given)
        if isinstance(move, moves.BeginEarly):
            new = generated(order, shown.answer_units)
            require(new < order.max_units, "games.not-early", f"{new} units of {order.max_units}")
            view = replace(view, stage=Stage.BEGUN, place=Place.EARLY)
        elif isinstance(move, moves.Begin):
            view = _claimed(view, shown, move.claim)
        return _moved(before, view, move, now)

    def _forfeited(self, view: View, now: int) -> View:
        """GAM-30 and GAM-34."""
        require(view.stage != Stage.OVER, "games.stage", "over")
        if any(other.outcome is Outcome.CHEATED for other in self.games.values()):
            return over(view, Outcome.CANNOT_TELL, "convicted")
        require(now > view.since + _left(view), "games.early", f"{now} is not after {view.since} + {_left(view)}")
        silent = games.to_move(view)
        return over(view, Outcome.CHEATED if silent is Side.DEFENDER else Outcome.HONEST, "clock")

    # -- the moves: each takes the game before and gives the one after -----------------------------------------------

    def _answer(self, view: View, move: moves.Answer) -> View:
        """GAM-4 and GAM-5. A rival that is no id of the model's is none."""
        require(view.place != Place.EARLY, "games.stage", "the game is about an early end")
        shown = move.shown
        facts = facts_of(view.model_root, shown)
        require(view.positions <= facts.positions, "games.positions", f"{view.positions} of {facts.positions}")
        unit = unit_of(view.response_root, view.answer_units, view.prefix + view.unit, shown.unit)
        require(len(shown.state) == games.WORD * facts.width, "games.opening", f"state of {len(shown.state)} bytes")
        state = merkle.leaf_hash(merkle.root(games.value_leaves(shown.state)))
        position = root_of(facts.nodes, facts.state, state, shown.state_path)
        last = view.positions - 1
        run = root_of(view.positions, last, merkle.leaf_hash(position), shown.position_path)
        logits, logit = word_of(facts.vocabulary, unit, shown.logit, shown.logit_path)
        other = root_of(facts.nodes, facts.logits, merkle.leaf_hash(logits), shown.logit_node_path)
        require((run, other) == (shown.run_root, position), "games.opening", "state and logits are not the run's")
        leaf = sha256(shown.state, logit.to_bytes(games.WORD, "little"), ZERO32)
        require_evidence(view, shown.unit, leaf, shown.evidence_path)
        view = replace(view, run_root=run, facts_hash=keccak256(shown.facts), nodes=facts.nodes)
        down = tree(view, Place.RUN, run, view.positions)
        if view.rival >= facts.vocabulary:
            return down
        other, rival = word_of(facts.vocabulary, view.rival, shown.rival, shown.rival_path)
        require(other == logits, "games.opening", "the rival's logit is not the run's")
        two = (unit, logit, view.rival, rival)
        sieve = moves.Sieve(logits, facts.vocabulary, view.temperature, *two, *[NOTHING] * 4)
        sieve, sums = marked(view, shown.filtered, sieve), shown.filtered.sums
        if sieve.lowest == sieve.greatest == NOTHING:
            return over(view, Outcome.CHEATED, "rival") if self.arithmetic.prefers(view, rival, unit, logit) else down
        if self.arithmetic.sieved(view, sieve, sums):
            return over(view, Outcome.CHEATED, "rival")
        return sifting(down, sieve, sums)

    def _show_cancel(self, view: View, move: moves.ShowCancel) -> View:
        """GAM-35."""
        require(view.place == Place.EARLY, "games.stage", "the game is about a unit")
        shown, case = move.shown, self.cases[view.case]
        require_followed(shown, self.domain, case.receipt)
        keys.require_signer(move.cancel.digest(self.domain), move.signature, case.session_key, "cancel")
        new, most = generated(shown.order, shown.answer_units), move.cancel.units + shown.offer.run_ahead
        fits = move.cancel.order == shown.receipt.order and new <= most
        require(fits, "games.cancel", f"{new} units, the cancel allows {most}")
        return over(view, Outcome.HONEST, "cancel")

    def _show_end(self, view: View, move: moves.ShowEnd) -> View:
        """GAM-35."""
        require(view.place == Place.EARLY, "games.stage", "the game is about a unit")
        shown = move.shown
        require_followed(shown, self.domain, view.receipt)
        require(generated(shown.order, shown.answer_units) > 0, "games.end", "no unit")
        unit = unit_of(shown.receipt.response_root, shown.answer_units, shown.answer_units - 1, move.unit)
        require(unit in facts_of(shown.receipt.model_root, move).ends, "games.end", f"{unit} is none")
        return over(view, Outcome.HONEST, "end")

    def _post(self, view: View, move: moves.PostChildren) -> View:
        """GAM-10. Padding is looked at: else a tree could differ in nothing that can be pointed at."""
        down, children = games.split(view.levels), move.children
        require(len(children) == 1 << down, "games.children", f"{len(children)}, not {1 << down}")
        pad = merkle.Tree([ZERO32] * (1 << view.levels - down)).layers[-1][0]
        inside = games.children_with_leaves(view)
        require(set(children[inside:]) <= {pad}, "games.children", f"other than padding behind {inside}")
        require(is_current(view, merkle.Tree(children).layers[-1][0]), "games.children", "fold to something else")
        return replace(view, stage=Stage.POINT, wide=down, posts=(*view.posts, Post(view.place, children)))

    def _point(self, view: View, move: moves.Point) -> View:
        """GAM-11."""
        view = pointed(view, move)
        if view.levels:
            return replace(view, stage=Stage.POST)
        require(view.place != Place.NODES, "games.node", "the node's own leaf is to be opened")
        if view.place == Place.EVIDENCE:
            return replace(view, stage=Stage.BEGUN, place=Place.NONE, positions=view.prompt_units + view.base, base=0)
        if view.place == Place.RUN:
            return tree(replace(view, position=view.base, position_leaf=view.at), Place.NODES, view.at, view.nodes)
        return replace(view, element=view.base * WORDS_PER_LEAF, stage=Stage.SAY, place=Place.WORDS)

    def _point_node(self, view: View, move: moves.PointNode) -> View:
        """GAM-12."""
        view = pointed(view, move)
        last = view.place == Place.NODES and view.levels == 0
        require(last, "games.node", f"{view.levels} levels above a leaf of {view.place!r}")
        require(keccak256(move.facts) == view.facts_hash, "games.facts", "others were answered")
        leaf, facts = merkle.leaf_hash(move.node), Facts.read(move.facts)
        under = merkle.verify(facts.graph_root, facts.nodes, view.base, leaf, move.node_path)
        require(under, "games.node", f"is not node {view.base}")
        elements, turns, lanes, start, join = self.arithmetic.describe(move.node, view.position)
        view = replace(view, node=view.base, node_hash=leaf, elements=elements, lanes=lanes, join=join)
        view = replace(view, high=turns, low_word=start)
        return tree(view, Place.LEAVES, view.at, games.leaves_of(elements))

    def _say(self, view: View, move: moves.Say) -> View:
        """GAM-6 and GAM-13 to GAM-15."""
        if view.place == Place.IDS:
            require_sums(view, move.words)
            return replace(view, stage=Stage.PICK, words=move.words, said=keccak256(move.words))
        words = games.words_of(move.words)
        fits = len(move.words) == games.WORD * games.words_due(view)
        require(fits, "games.words", f"{len(move.words)} bytes for {games.words_due(view)} words")
        if view.place == Place.WORDS:
            require(merkle.leaf_hash(move.words) == view.at, "games.words", "are not the leaf's")
        elif view.place == Place.CHAINS:
            found = self.arithmetic.join(view.join, words)
            require(found == view.claimed, "games.join", f"{found:08x}, not {view.claimed:08x}")
        return replace(view, stage=Stage.PICK, words=move.words, said=keccak256(move.words))

    def _pick(self, view: View, move: moves.Pick) -> View:
        """GAM-6 and GAM-13 to GAM-16."""
        require(keccak256(move.words) == view.said, "games.said", "other words were said")
        if view.place == Place.IDS:
            return picked(view, move.index, games.sums_of(move.words))
        words = games.words_of(move.words)
        if view.place == Place.TURNS:
            require(1 <= move.index <= len(words) + 1, "games.index", f"{move.index}, 1 to {len(words) + 1}")
            sums = [view.low_word, *words, view.claimed]
            after = (view.low, *games.cuts(view.low, view.high))
            low, high = after[move.index - 1], after[move.index]
            return between(view, low, high, sums[move.index - 1], sums[move.index])
        require(0 <= move.index < len(words), "games.index", f"{move.index} of {len(words)}")
        word = words[move.index]
        if view.place == Place.CHAINS:
            turns = games.chain_turns(view.high, move.index)
            return between(replace(view, chain=move.index), 0, turns, view.low_word, word)
        view = replace(view, element=view.element + move.index)
        if view.lanes > 1:
            return replace(view, stage=Stage.SAY, place=Place.CHAINS, claimed=word)
        return between(view, 0, view.high, view.low_word, word)

    def _step(self, view: View, move: moves.Step) -> View:
        """GAM-20 and GAM-21."""
        require(merkle.leaf_hash(move.node) == view.node_hash, "games.node", "is another one")
        unit = id_at(view, move.unit) if move.unit.units else NOTHING
        here = view.position, view.element, view.turn
        spots = self.arithmetic.spots(move.node, *here, unit)
        fits = len(move.uses) == len(spots) and set(move.uses) == set(range(len(move.openings)))
        require(fits, "operands.uses", f"{move.uses} of {len(move.openings)} openings, {len(spots)} loads")
        opened: dict[int, Spot] = {}
        for use, spot in zip(move.uses, spots, strict=True):
            require(opened.setdefault(use, spot) == spot, "operands.place", f"opening {use} for two places")
        for use, spot in opened.items():
            require_operand(view, spot, move.openings[use], move.leaves)
        leaves = [move.openings[use].data for use in move.uses]
        word = self.arithmetic.step(move.node, *here, view.low_word, unit, leaves)
        return over(view, Outcome.HONEST if word == view.claimed else Outcome.CHEATED, "step")

    def _weigh(self, view: View, move: moves.Weigh) -> View:
        """GAM-7."""
        return weighed(view, move, self.arithmetic)


def _left(view: View) -> int:
    return view.defender_clock if games.to_move(view) is Side.DEFENDER else view.challenger_clock


def _moved(before: View, after: View, move: moves.Move, now: int) -> View:
    """GAM-30 and GAM-31: the mover's clock, and the head."""
    spent, side = now - before.since, games.to_move(before)
    defends = side is Side.DEFENDER
    return replace(
        after,
        head=sha256(before.head, type(move).__name__.encode(), repr(move).encode()),
        moves=before.moves + defends,
        defender_clock=after.defender_clock - (spent if defends else 0),
        challenger_clock=after.challenger_clock - (0 if defends else spent),
        since=now,
    )


def _claimed(view: View, shown: moves.Shown, claim: moves.Claim) -> View:
    """GAM-2."""
    order, receipt, new = shown.order, shown.receipt, generated(shown.order, shown.answer_units)
    require(new > 0, "games.nothing", "no generated unit")
    fits = claim.unit < new and claim.rival <= NOTHING and (claim.rival < NOTHING or claim.unit == 0)
    require(fits, "games.unit", f"unit {claim.unit} of {new}, rival {claim.rival}")
    view = replace(
        view,
        model_root=receipt.model_root,
        prompt_root=order.prompt_root,
        response_root=receipt.response_root,
        evidence_root=receipt.evidence_root,
        seed=order.seed,
        temperature=order.temperature,
        top_k=order.top_k,
        top_p=order.top_p,
        prompt_units=order.prompt_units,
        answer_from=order.answer_from,
        answer_units=shown.answer_units,
        rival=claim.rival,
    )
    if claim.rival == NOTHING:
        return tree(view, Place.EVIDENCE, receipt.evidence_root, new)
    require(order.prompt_units + claim.unit > 0, "games.positions", "nothing chose the unit")
    return replace(view, stage=Stage.BEGUN, positions=order.prompt_units + claim.unit)


RULES: Final[Mapping[type[Any], tuple[Stage, Callable[..., View]]]] = {
    moves.Answer: (Stage.BEGUN, Referee._answer),
    moves.ShowCancel: (Stage.BEGUN, Referee._show_cancel),
    moves.ShowEnd: (Stage.BEGUN, Referee._show_end),
    moves.PostChildren: (Stage.POST, Referee._post),
    moves.Point: (Stage.POINT, Referee._point),
    moves.PointNode: (Stage.POINT, Referee._point_node),
    moves.Say: (Stage.SAY, Referee._say),
    moves.Pick: (Stage.PICK, Referee._pick),
    moves.Step: (Stage.STEP, Referee._step),
    moves.Weigh: (Stage.STEP, Referee._weigh),
}
"""Move -> the stage that it is for, and what it does."""
