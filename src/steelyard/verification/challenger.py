"""What an honest challenger moves: it opens the game where a receipt differs from its own run, and goes down to the
first difference, as the defender shows more of its own (spec/games.md)."""

from collections.abc import Sequence

from steelyard.engines.base import Card, Replay
from steelyard.protocol import merkle, roots
from steelyard.protocol.errors import Refused
from steelyard.verification import checks
from steelyard.verification.claim import Claim as Receipted
from steelyard.verification.defender import own_leaves, own_words
from steelyard.verification.game import (
    NOTHING,
    Place,
    Side,
    Stage,
    View,
    children_with_leaves,
    split,
    to_move,
    words_of,
)
from steelyard.verification.holding import Holding, Ids, Load
from steelyard.verification.moves import (
    Begin,
    BeginEarly,
    Claim,
    Move,
    Opening,
    Pick,
    Point,
    PointNode,
    Shown,
    Step,
    Unit,
)
from steelyard.verification.ways import Way, below


def first_move(
    case: bytes, claim: Receipted, card: Card, leaves: Sequence[bytes], run: Replay | None
) -> Begin | BeginEarly | None:
    """How to open the game against a receipt, or None: one's own run gives no reason to.

    Args:
        claim: without defect.
        leaves: what the receipt's evidence root is over, one leaf (32 bytes) a generated unit, as it was delivered.
        run: one's own, over the answer's ids; None if there is an id among them that is none of the model's.

    Other lies need no game: `checks.model_root`, `checks.overrun` (GAM-40 to GAM-42).
    Raises Refused("games.evidence"): other leaves cannot be opened."""
    if (
        len(leaves) != len(claim.generated)
        or roots.evidence_root(leaves, claim.answer_salt) != claim.receipt.evidence_root
    ):
        told = f"{len(leaves)} leaves for {len(claim.generated)} units are not under the receipt's evidence root"
        raise Refused("games.evidence", told)
    unit, rival = _disputed(claim, card, leaves, run)
    if unit is not None:
        salt, path = roots.open_evidence(leaves, claim.answer_salt, unit)
        return Begin(case, shown(claim), Claim(unit, leaves[unit], salt, path, rival))
    if checks.early(claim, card.ends) is not None:
        return BeginEarly(case, shown(claim))
    return None


def shown(claim: Receipted) -> Shown:
    """What a case's receipt is, to the contract."""
    top = roots.response_top(claim.answer, claim.answer_salt, claim.logprobs)
    return Shown(claim.offer, claim.order, claim.receipt, len(claim.answer), top)


def _disputed(claim: Receipted, card: Card, leaves: Sequence[bytes], run: Replay | None) -> tuple[int | None, int]:
    """The unit, and the rival of its id. An id that is none of the model's first: nobody can run past it, and its
    provider cannot open a logit of it. Then evidence: with it wrong, what was sampled from it says nothing."""
    unknown = next((unit for unit, one in enumerate(claim.generated) if one >= card.vocabulary), None)
    if unknown is not None or run is None:
        return unknown, NOTHING
    pairs = enumerate(zip(leaves, run.leaves, strict=True))
    other = next((unit for unit, (theirs, own) in pairs if theirs != own), None)
    if other is not None:
        return other, NOTHING
    ids = enumerate(zip(claim.generated, run.expected, strict=True))
    return next(((unit, picked) for unit, (one, picked) in ids if one != picked), (None, NOTHING))


def challenger_move(view: View, holding: Holding, ids: Ids, begin: Move | None = None) -> Move | None:
    """What to send, or None: it is not the challenger's turn, the game is over, or nothing differs from one's own run.

    Args:
        holding: one's run of the view's `positions`.
        ids: prompt and answer, with both salts.
        begin: one's `first_move`, for a provider that appeals before it was made.
    """
    if to_move(view) is not Side.CHALLENGER:
        return None
    if view.stage == Stage.CALLED:
        return begin
    if view.stage == Stage.POINT:
        return _point(view, holding)
    if view.stage == Stage.PICK:
        return _pick(view, holding)
    return _step(view, holding, ids)


def _point(view: View, holding: Holding) -> Move | None:
    """Invariant: all leaves before the node are one's own as well, and some leaf below it is not."""
    children = view.posts[-1].children
    own = below(own_leaves(view, holding), view)
    index = _first_difference(children[: children_with_leaves(view)], own)
    if index is None:
        return None
    child, path = children[index], merkle.prove(children, index)
    if view.place != Place.NODES or view.levels > split(view.levels):
        return Point(view.case, view.head, index, child, path)
    node = (view.base << split(view.levels)) + index
    opened = holding.facts(), holding.node_leaf(node), holding.node_path(node)
    return PointNode(view.case, view.head, index, child, path, *opened)


def _pick(view: View, holding: Holding) -> Move | None:
    """Where turns are narrowed, the end that is claimed is wrong if all that was said before it is right."""
    said = words_of(view.said)
    index = _first_difference(said, own_words(view, holding))
    if view.place == Place.TURNS:
        index = len(said) + 1 if index is None else index + 1
    return None if index is None else Pick(view.case, view.head, index, view.said)


def _first_difference(theirs: Sequence[object], own: Sequence[object]) -> int | None:
    return next((i for i, (one, other) in enumerate(zip(theirs, own, strict=False)) if one != other), None)


def _step(view: View, holding: Holding, ids: Ids) -> Step:
    """Loads that take from one leaf share its opening, so that a contract hashes it once."""
    turn = view.chain + view.low * max(view.lanes, 1)
    loads = holding.loads(view.position, view.node, view.element, turn)
    opened = {_place(load): load for load in loads}
    return Step(
        case=view.case,
        seen=view.head,
        leaves=holding.model_leaves(),
        node=holding.node_leaf(view.node),
        unit=ids.open(view.position) if any(load.by_id for load in loads) else Unit(),
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
