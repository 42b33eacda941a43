"""What an honest defender moves: it shows its run, in whatever part the game asks for (spec/games.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.protocol import games, merkle
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import WORDS_PER_LEAF, Place, Side, Stage, View
from steelyard.protocol.moves import Answer, Answered, Move, PostChildren, Say, ShowCancel, ShowEnd, Shown
from steelyard.protocol.records import Cancel
from steelyard.verification.holding import Hold, Holding
from steelyard.verification.transcript import Transcript
from steelyard.verification.ways import below
from steelyard.verification.weighing import filtered, opened, own_sums


@dataclass(frozen=True, slots=True)
class Ended:
    """Why an answer ended before `max_units`."""

    shown: Shown
    cancel: Cancel | None = None
    """The cancel that was obeyed; None: the last unit is an end id."""
    signature: bytes = b""
    """The cancel's, 65 bytes."""


def defender_move(view: View, hold: Hold, script: Transcript, ended: Ended | None = None) -> Move | None:
    """What to send, or None: it is not the defender's turn, the game is over, or there is nothing to show.

    Args:
        hold: one's run; not asked before the game knows of how many positions.
        script: prompt and answer, with the evidence that was signed.
        ended: for a game about an early end.
    """
    if games.to_move(view) is not Side.DEFENDER:
        return None
    if view.place == Place.EARLY:
        return _end(view, hold, script, ended)
    if view.stage == Stage.BEGUN:
        return Answer(view.case, view.head, _answered(view, hold(view.positions), script))
    if view.stage == Stage.POST:
        return PostChildren(view.case, view.head, below(own_leaves(view, hold, script), view))
    said = games.said_sums if view.place == Place.IDS else games.said_words
    return Say(view.case, view.head, said(own_words(view, hold, script)))


def own_leaves(view: View, hold: Hold, script: Transcript) -> Sequence[bytes]:
    """Leaf hashes of the tree that is gone down, in one's own run."""
    if view.place == Place.EVIDENCE:
        return script.evidence_leaves()
    holding = hold(view.positions)
    if view.place == Place.RUN:
        return holding.positions()
    if view.place == Place.NODES:
        return holding.nodes(view.position)
    return games.value_leaves(holding.value(view.position, view.node))


def own_words(view: View, hold: Hold, script: Transcript) -> Sequence[int]:
    """What one's own run says where words are narrowed: of a leaf, of the chains, or of the sums between; sums over
    ids with those at both ends."""
    holding, at = hold(view.positions), (view.position, view.node)
    if view.place == Place.IDS:
        return own_sums(view, own_logits(view, holding), script.id(view.positions))
    if view.place == Place.WORDS:
        return games.words_of(games.cut_value(holding.value(*at))[view.element // WORDS_PER_LEAF])
    if view.place == Place.CHAINS:
        return games.words_of(holding.chains(*at, view.element))
    return holding.sums(*at, view.element, view.chain, games.cuts(view.low, view.high)[:-1])


def own_logits(view: View, holding: Holding) -> bytes:
    """Those that the unit was drawn from, 4 bytes each."""
    return holding.value(view.positions - 1, Facts.read(holding.facts()).logits)


def _answered(view: View, holding: Holding, script: Transcript) -> Answered:
    raw, last = holding.facts(), view.positions - 1
    facts, nodes = Facts.read(raw), merkle.Tree(holding.nodes(last))
    logits = holding.value(last, facts.logits)
    unit = script.id(view.positions)
    logit, logit_path = opened(logits, unit)
    rival, rival_path = opened(logits, view.rival)
    return Answered(
        facts=raw,
        leaves=holding.model_leaves(),
        path=holding.facts_path(),
        run_root=holding.root(),
        state=holding.value(last, facts.state),
        state_path=nodes.prove(facts.state),
        position_path=merkle.prove(holding.positions(), last),
        unit=script.open_answer(view.prefix + view.unit),
        logit=logit,
        logit_path=logit_path,
        logit_node_path=nodes.prove(facts.logits),
        rival=rival,
        rival_path=rival_path,
        evidence_path=merkle.prove(script.evidence_leaves(), view.unit),
        filtered=filtered(view, logits, unit),
    )


def _end(view: View, hold: Hold, script: Transcript, ended: Ended | None) -> Move | None:
    """Whose answer ended for no reason has nothing to show: its silence loses."""
    if ended is None:
        return None
    if ended.cancel is not None:
        return ShowCancel(view.case, view.head, ended.shown, ended.cancel, ended.signature)
    holding, unit = hold(len(script.prompt)), script.open_answer(len(script.answer) - 1)
    model = holding.facts(), holding.model_leaves(), holding.facts_path()
    return ShowEnd(view.case, view.head, ended.shown, *model, unit)
