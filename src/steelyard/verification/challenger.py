"""What an honest challenger moves: it opens the game where a receipt differs from its own run, and goes down to the
first difference, as the defender shows more of its own (spec/games.md)."""

from collections.abc import Sequence

from steelyard.engines.base import Card, Replay
from steelyard.protocol import games, merkle, moves, roots
from steelyard.protocol.games import Place, Side, Stage, View
from steelyard.protocol.moves import Begin, BeginEarly, Move, Opening, Pick, Point, PointNode, Shown, Step, Unit
from steelyard.verification import checks
from steelyard.verification.claim import Claim
from steelyard.verification.defender import own_leaves, own_logits, own_words
from steelyard.verification.holding import Hold, Holding, Load
from steelyard.verification.transcript import Transcript
from steelyard.verification.ways import Way, below
from steelyard.verification.weighing import weigh


def first_move(case: bytes, claim: Claim, card: Card, run: Replay) -> Begin | BeginEarly | None:
    """How to open the game against a receipt, or None: one's own run gives no reason to.

    Evidence first: with it wrong, nobody can say what should have been sampled from it. With it right the first wrong
    id is one that the defender's own logits refute.

    Args:
        claim: without defect, and without a lie that needs no game: `checks.model_root`, `checks.known_units`,
            `checks.overrun` (GAM-40 to GAM-42).
        run: one's own, over the answer's ids.
    """
    if claim.generated and checks.own_evidence_root(claim, run) != claim.receipt.evidence_root:
        return Begin(case, shown(claim), moves.Claim())
    ids = enumerate(zip(claim.generated, run.expected, strict=True))
    wrong = next((moves.Claim(unit, picked) for unit, (one, picked) in ids if one != picked), None)
    if wrong is not None:
        return Begin(case, shown(claim), wrong)
    return BeginEarly(case, shown(claim)) if checks.early(claim, card.ends) else None


def shown(claim: Claim) -> Shown:
    """What a case's receipt is, to the contract."""
    top = roots.response_top(claim.answer, claim.answer_salt, claim.logprobs)
    return Shown(claim.offer, claim.order, claim.receipt, len(claim.answer), top)


def challenger_move(view: View, hold: Hold, script: Transcript, begin: Move | None = None) -> Move | None:
    """What to send, or None: it is not the challenger's turn, the game is over, or nothing differs from one's own run.

    Args:
        hold: one's run; not asked before the game knows of how many positions.
        script: prompt and answer, with the evidence of one's own run.
        begin: one's `first_move`, for a provider that appeals before it was made.
    """
    if games.to_move(view) is not Side.CHALLENGER:
        return None
    if view.stage == Stage.CALLED:
        return begin
    if view.stage == Stage.POINT:
        return _point(view, hold, script)
    if view.stage == Stage.PICK:
        return _pick(view, hold, script)
    if view.place == Place.IDS:
        return weigh(view, own_logits(view, hold(view.positions)), script.id(view.positions))
    return _step(view, hold(view.positions), script)


def _point(view: View, hold: Hold, script: Transcript) -> Move | None:
    """Invariant: all leaves before the node are one's own as well, and some leaf below it is not."""
    children = view.posts[-1].children
    inside = children[: games.children_with_leaves(view)]
    index = _first_difference(inside, below(own_leaves(view, hold, script), view))
    if index is None:
        return None
    child, path = children[index], merkle.prove(children, index)
    if view.place != Place.NODES or view.levels > view.wide:
        return Point(view.case, view.head, index, child, path)
    holding, node = hold(view.positions), (view.base << view.wide) + index
    opened = holding.facts(), holding.node_leaf(node), holding.node_path(node)
    return PointNode(view.case, view.head, index, child, path, *opened)


def _pick(view: View, hold: Hold, script: Transcript) -> Move | None:
    """Where turns are narrowed, the claimed sum is the wrong one if all that were said before it are right. Sums over
    ids are looked at only if the run is one's own: else the logits need not be."""
    if view.place == Place.IDS:
        wrong = view.run_root != hold(view.positions).root()
        over_ids = None if wrong else _first_difference(games.sums_of(view.words), own_words(view, hold, script))
        found = 0 if wrong else over_ids
        return None if found is None else Pick(view.case, view.head, found, view.words)
    said = games.words_of(view.words)
    index = _first_difference(said, own_words(view, hold, script))
    if view.place == Place.TURNS:
        index = len(said) + 1 if index is None else index + 1
    return None if index is None else Pick(view.case, view.head, index, view.words)


def _first_difference(theirs: Sequence[object], own: Sequence[object]) -> int | None:
    return next((i for i, (one, other) in enumerate(zip(theirs, own, strict=False)) if one != other), None)


def _step(view: View, holding: Holding, script: Transcript) -> Step:
    """Loads that take from one leaf share its opening, so that a contract hashes it once."""
    loads = holding.loads(view.position, view.node, view.element, view.turn)
    opened = {_place(load): load for load in loads}
    return Step(
        case=view.case,
        seen=view.head,
        leaves=holding.model_leaves(),
        node=holding.node_leaf(view.node),
        unit=script.open(view.position) if any(load.by_id for load in loads) else Unit(),
        uses=tuple(list(opened).index(_place(load)) for load in loads),
        openings=tuple(_opening(view, holding, load) for load in opened.values()),
    )


def _place(load: Load) -> tuple[object, ...]:
    return load.tag, load.position, load.node, load.root, load.leaf


def _opening(view: View, holding: Holding, load: Load) -> Opening:
    """Under the defender's trees: its values before the first difference are one's own, its trees over them are not."""
    if load.tag != 0:
        return Opening(load.data, load.count if load.tag == 2 else 0, load.path)
    nodes = holding.nodes(load.position)
    if load.position == view.position:
        node_path = Way.down(view, Place.NODES, len(nodes)).path(nodes, load.node)
        return Opening(load.data, load.count, load.path, node_path)
    run = Way.down(view, Place.RUN, view.positions).path(holding.positions(), load.position)
    return Opening(load.data, load.count, load.path, merkle.prove(nodes, load.node), run)
