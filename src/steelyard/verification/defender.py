"""What an honest defender moves: it shows its run, in whatever part the game asks for (spec/games.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.engines.ir.facts import Facts
from steelyard.protocol import merkle
from steelyard.protocol.records import Cancel
from steelyard.verification.game import (
    NOTHING,
    WORDS_PER_LEAF,
    Place,
    Side,
    Stage,
    View,
    cut_value,
    cuts,
    said_words,
    to_move,
    value_leaves,
    words_of,
)
from steelyard.verification.holding import Holding, Ids
from steelyard.verification.moves import Answer, Move, PostChildren, Say, ShowCancel, ShowEnd
from steelyard.verification.ways import below


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The cancel by which an answer ended early."""

    cancel: Cancel
    signature: bytes
    """65 bytes."""


def defender_move(view: View, holding: Holding, ids: Ids, obeyed: Obeyed | None = None) -> Move | None:
    """What to send, or None: it is not the defender's turn, or the game is over.

    Args:
        holding: one's run of the view's `positions`; not asked in a game about an early end, but for the facts.
        ids: prompt and answer, with both salts.
        obeyed: the cancel by which the answer ended early, if one did.
    """
    if to_move(view) is not Side.DEFENDER:
        return None
    if view.stage == Stage.BEGUN and view.early:
        return _end(view, holding, ids, obeyed)
    if view.stage == Stage.BEGUN:
        return _answer(view, holding, ids)
    if view.stage == Stage.POST:
        return PostChildren(view.case, view.head, below(own_leaves(view, holding), view))
    return Say(view.case, view.head, said_words(own_words(view, holding)))


def own_leaves(view: View, holding: Holding) -> Sequence[bytes]:
    """Leaf hashes of the tree that is gone down, in one's own run."""
    if view.place == Place.RUN:
        return holding.positions()
    if view.place == Place.NODES:
        return holding.nodes(view.position)
    return value_leaves(holding.value(view.position, view.node))


def own_words(view: View, holding: Holding) -> list[int]:
    """What one's own run says where words are narrowed: of a leaf, of the chains, or of the sums between."""
    at = view.position, view.node
    if view.place == Place.WORDS:
        raw = cut_value(holding.value(*at))[view.leaf]
    elif view.place == Place.CHAINS:
        raw = holding.chains(*at, view.element)
    else:
        return list(holding.sums(*at, view.element, view.chain, cuts(view.low, view.high)[:-1]))
    return words_of(raw)


def _answer(view: View, holding: Holding, ids: Ids) -> Answer:
    raw, last = holding.facts(), view.positions - 1
    facts, positions, nodes = Facts.read(raw), holding.positions(), holding.nodes(last)
    logits = holding.value(last, facts.logits)
    logit, logit_path = _word(logits, ids.at(view.positions))
    rival, rival_path = _word(logits, view.rival)
    return Answer(
        case=view.case,
        seen=view.head,
        facts=raw,
        leaves=holding.model_leaves(),
        path=holding.facts_path(),
        run_root=holding.root(),
        state=holding.value(last, facts.state),
        state_path=merkle.prove(nodes, facts.state),
        position_path=merkle.prove(positions, last),
        unit=ids.open_answer(view.positions - view.answer_from),
        logit=logit,
        logit_path=logit_path,
        logit_node_path=merkle.prove(nodes, facts.logits),
        rival=rival,
        rival_path=rival_path,
    )


def _word(value: bytes, index: int) -> tuple[bytes, tuple[bytes, ...]]:
    """The leaf of a value that holds an element, and its path; nothing if there is no such element."""
    leaves, leaf = cut_value(value), index // WORDS_PER_LEAF
    if index == NOTHING or 4 * index >= len(value):
        return b"", ()
    return leaves[leaf], merkle.prove([merkle.leaf_hash(each) for each in leaves], leaf)


def _end(view: View, holding: Holding, ids: Ids, obeyed: Obeyed | None) -> Move | None:
    """None where neither was the reason: then silence loses."""
    if obeyed is not None:
        return ShowCancel(view.case, view.head, obeyed.cancel, obeyed.signature)
    if not ids.answer or ids.answer[-1] not in Facts.read(holding.facts()).ends:
        return None
    unit = ids.open_answer(len(ids.answer) - 1)
    return ShowEnd(view.case, view.head, holding.facts(), holding.model_leaves(), holding.facts_path(), unit)
