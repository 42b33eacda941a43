"""Named players of a duel, as `tests/games/players.py` has them of its own model: here on the toy engine, on chain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from duel import (
    HONEST,
    NODES,
    POSITIONS,
    TEXT,
    UNITS,
    Deal,
    DuelRoom,
    Lie,
    Player,
    challenger,
    defender,
    evidence_of,
    run_of,
    spoken,
)
from players import (
    garbage,
    loses_a_pick,
    names_another_child,
    noise,
    opens_wrongly,
    other_facts,
    other_logits,
    otherwise,
    picks_behind_the_end,
    puts_words_in_its_mouth,
    silent_at,
    steps_another_id,
    steps_another_node,
    steps_from_one_opening,
)

from steelyard.engines.alphabet import END, Alphabet
from steelyard.engines.alphabet_graph import LOGITS, STATE
from steelyard.engines.ir.patched import Patched
from steelyard.protocol import games, merkle
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import Place, Stage, View
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.moves import Answer, Move, Pick, Point, PointNode, PostChildren, Say, ShowEnd, Step
from steelyard.verification.challenger import shown
from steelyard.verification.defender import Ended, defender_move
from steelyard.verification.holding import Holding

LAST = POSITIONS - 1
ANSWER = spoken()
ODD = next(unit for unit in range(ord("a"), ord("z")) if unit != ANSWER[-1])
"""A letter that is not the last."""
Change = Callable[[View, Move], Move | None]
Sells = Callable[[DuelRoom], Deal]


@dataclass(frozen=True)
class Defender:
    """Sells an answer and plays; loses so."""

    sells: Sells
    why: str
    place: Place
    """What is narrowed when it loses."""
    refused: str = ""
    """The rule that refuses its last move; empty: it has none, or is silent."""
    plays: Callable[[Deal], Player] = defender


@dataclass(frozen=True)
class Challenger:
    """Plays against a sale, an honest one as a rule, and loses so."""

    why: str
    place: Place
    refused: str
    plays: Callable[[Deal], Player]
    sells: Sells = DuelRoom.deal


def selling(lie: Lie) -> Sells:
    """A run with that lie in it."""
    return lambda room: room.deal(lie)


FOLD = Lie(22, "digest", 40, 10)
"""One chain, 23 turns."""
CHAIN = Lie(22, "mixed", 7, 19)
"""Its fourth chain has two turns: the second is the lie."""


# ------------------------------------------------------------------ defenders


def changed(change: Change) -> Callable[[Deal], Player]:
    """An honest player of its sale, but for the change."""
    return lambda deal: otherwise(defender(deal), change)


def honestly(deal: Deal, view: View, lie: Move) -> Move:
    """What an honest run would show instead."""
    move = defender(deal.checked())(view)
    assert type(move) is type(lie)
    return move


def at(place: Place) -> Callable[[Deal], Player]:
    """Shows the honest run where this is narrowed, and the lie's elsewhere."""
    return lambda deal: otherwise(
        defender(deal), lambda view, move: honestly(deal, view, move) if view.place == place else move
    )


def shorter(place: Place) -> Change:
    """A word too few."""
    return lambda view, move: (
        replace(move, words=move.words[:-4]) if isinstance(move, Say) and view.place == place else move
    )


def signed(leaves: Sequence[bytes]) -> Sells:
    """The run is honest, what was signed of it is not."""
    return lambda room: room.deal(evidence=leaves)


TRUE = evidence_of(run_of(HONEST, ANSWER), ANSWER)


def odd_logit(run: Holding, position: int, unit: int) -> bytes:
    """A logit with another exponent."""
    return run.value(position, NODES[LOGITS])[4 * unit : 4 * unit + 3] + b"\x7f"


def logits_of_nothing(room: DuelRoom) -> Deal:
    """Signs another logit for each id, which is under no run."""
    run, found = run_of(HONEST, ANSWER), []
    for position, unit in enumerate(ANSWER, len(TEXT) - 1):
        found.append(sha256(run.value(position, NODES[STATE]), odd_logit(run, position, unit), ZERO32))
    return room.deal(evidence=found)


def opens_logits_of_nothing(deal: Deal) -> Player:
    def change(view: View, move: Move) -> Move:
        if not isinstance(move, Answer):
            return move
        run, unit = deal.hold(view.positions), deal.claim.generated[view.unit]
        word, first = odd_logit(run, view.positions - 1, unit), 4 * (unit % 32)
        leaf = move.shown.logit[:first] + word + move.shown.logit[first + 4 :]
        leaf, path = other_logits(run.value(view.positions - 1, NODES[LOGITS]), leaf, unit // 32)
        return replace(move, shown=replace(move.shown, logit=leaf, logit_path=path))

    return otherwise(defender(deal), change)


def opens_another_rival(deal: Deal) -> Player:
    """All that stands beside the rival is the least there is."""

    def change(view: View, move: Move) -> Move:
        if not isinstance(move, Answer):
            return move
        value = deal.hold(view.positions).value(view.positions - 1, NODES[LOGITS])
        leaf, path = other_logits(value, b"\x00\x00\x80\xc2" * (len(move.shown.rival) // 4), view.rival // 32)
        return replace(move, shown=replace(move.shown, rival=leaf, rival_path=path))

    return otherwise(defender(deal), change)


def badly_padded_evidence() -> tuple[Sells, Callable[[Deal], Player]]:
    """Every leaf is right, the root is not."""

    def tree(deal: Deal) -> merkle.Tree:
        return merkle.Tree([*deal.script.evidence_leaves(), noise(b"padding")])

    def sells(room: DuelRoom) -> Deal:
        deal = room.deal()
        root = merkle.seal(UNITS, tree(deal).layers[-1][0])
        return room.signed(deal, deal.script.evidence, evidence_root=root)

    def plays(deal: Deal) -> Player:
        def change(view: View, move: Move) -> Move:
            shows = view.place == Place.EVIDENCE and isinstance(move, PostChildren)
            return replace(move, children=tuple(tree(deal).layers[0])) if shows else move  # type: ignore[call-arg]

        return otherwise(defender(deal), change)

    return sells, plays


class Padded(Patched):
    """Its positions' trees are padded with something else than zeros."""

    def __init__(self, deal: Deal, positions: int) -> None:
        super().__init__(deal.hold(positions), {})  # type: ignore[arg-type]
        tops = [merkle.Tree(self.nodes(position)).layers[-1][0] for position in range(positions)]
        self._positions = [merkle.leaf_hash(merkle.seal(len(NODES), top)) for top in tops]

    def nodes(self, position: int) -> list[bytes]:
        leaves = list(super().nodes(position))
        return leaves + [noise(bytes([i])) for i in range(len(leaves), 1 << merkle.depth_of(len(leaves)))]


def pads_badly(deal: Deal) -> Player:
    return defender(replace(deal, hold=lambda positions: Padded(deal, positions)))


def shows_an_end(deal: Deal) -> Player:
    """Of an answer that did not end."""

    def play(view: View) -> Move | None:
        ended = Ended(shown(deal.claim))
        move = defender_move(view, deal.hold, deal.script, ended)
        assert move is None or isinstance(move, ShowEnd)
        return move

    return play


def early(room: DuelRoom) -> Deal:
    """It stops where nothing ends."""
    return room.deal(max_units=UNITS + 2)


PADDED_EVIDENCE, PADS_EVIDENCE = badly_padded_evidence()
DEFENDERS: dict[str, Defender] = {
    "lies at step 0": Defender(selling(Lie(0, "embedding")), "step", Place.WORDS),
    "lies at the last step": Defender(selling(Lie(LAST, LOGITS, ANSWER[-1])), "step", Place.WORDS),
    "lies in the last word": Defender(selling(Lie(LAST, LOGITS, 256)), "step", Place.WORDS),
    "lies in the last state": Defender(selling(Lie(LAST, STATE, 63)), "step", Place.WORDS),
    "lies in a partial sum": Defender(selling(FOLD), "step", Place.TURNS),
    "lies in the first turn": Defender(selling(Lie(22, "digest", 0, 0)), "step", Place.TURNS),
    "lies in the last turn": Defender(selling(Lie(22, "digest", 63, 22)), "step", Place.TURNS),
    "lies in a fold of one turn": Defender(selling(Lie(0, "greatest")), "step", Place.TURNS),
    "lies in a chain": Defender(selling(CHAIN), "step", Place.TURNS),
    "lies in a chain of blocks": Defender(selling(Lie(5, "norm", 0, 63)), "step", Place.TURNS),
    "lies in a chain without a turn": Defender(selling(Lie(9, "total", 0, 12)), "start", Place.CHAINS),
    "lies in a dot": Defender(selling(Lie(20, "raised", 200, 1)), "step", Place.TURNS),
    "lies in a prompt's id": Defender(selling(Lie(3, "embedding", 31)), "step", Place.WORDS),
    "lies in an answered id": Defender(selling(Lie(21, "embedding", 5)), "step", Place.WORDS),
    "lies about the past": Defender(selling(Lie(23, "digest", 9, 2)), "step", Place.TURNS),
    "lies about a past dot": Defender(selling(Lie(23, "score", 4)), "step", Place.WORDS),
    "lies everywhere": Defender(lambda room: room.deal(engine=Alphabet(dialect=b"cheap")), "step", Place.WORDS),
    "lies from a unit on": Defender(lambda room: room.deal(engine=Alphabet(lie_from=3)), "step", Place.WORDS),
    "signs a wrong id": Defender(lambda room: room.deal(generated=(*ANSWER[:-1], ODD)), "rival", Place.NONE),
    "claims a stop": Defender(lambda room: room.deal(generated=(*ANSWER[:3], END)), "rival", Place.NONE),
    "stops early": Defender(early, "clock", Place.EARLY),
    "stops early and shows an end": Defender(early, "clock", Place.EARLY, "games.end", shows_an_end),
    "says honest sums": Defender(selling(FOLD), "step", Place.TURNS, "", at(Place.TURNS)),
    "says honest chains": Defender(selling(CHAIN), "clock", Place.CHAINS, "games.join", at(Place.CHAINS)),
    "says honest words": Defender(selling(FOLD), "clock", Place.WORDS, "games.words", at(Place.WORDS)),
    "says a word too few": Defender(selling(FOLD), "clock", Place.WORDS, "games.words", changed(shorter(Place.WORDS))),
    "says a chain too few": Defender(
        selling(CHAIN), "clock", Place.CHAINS, "games.words", changed(shorter(Place.CHAINS))
    ),
    "says a sum too few": Defender(selling(FOLD), "clock", Place.TURNS, "games.words", changed(shorter(Place.TURNS))),
    "answers other facts": Defender(selling(FOLD), "clock", Place.NONE, "games.facts", changed(other_facts)),
    "opens another rival": Defender(
        lambda room: room.deal(generated=(*ANSWER[:-1], ODD)),
        "clock",
        Place.NONE,
        "games.opening",
        opens_another_rival,
    ),
    "opens logits of nothing": Defender(
        logits_of_nothing, "clock", Place.NONE, "games.opening", opens_logits_of_nothing
    ),
    "signs evidence of nothing": Defender(
        signed([noise(b"%d" % i) for i in range(UNITS)]), "clock", Place.NONE, "games.evidence"
    ),
    "signs reordered evidence": Defender(signed(TRUE[::-1]), "clock", Place.NONE, "games.evidence"),
    "signs too few leaves": Defender(signed(TRUE[:-1]), "clock", Place.EVIDENCE, "games.children"),
    "signs badly padded evidence": Defender(PADDED_EVIDENCE, "clock", Place.EVIDENCE, "games.children", PADS_EVIDENCE),
    "pads its positions badly": Defender(DuelRoom.deal, "clock", Place.NODES, "games.children", pads_badly),
    "is silent about its evidence": Defender(
        signed(TRUE[::-1]), "clock", Place.EVIDENCE, "", changed(silent_at(Stage.POST, Place.EVIDENCE))
    ),
    "is silent when it has to answer": Defender(
        selling(FOLD), "clock", Place.NONE, "", changed(silent_at(Stage.BEGUN, Place.NONE))
    ),
    "is silent at a leaf": Defender(
        selling(FOLD), "clock", Place.WORDS, "", changed(silent_at(Stage.SAY, Place.WORDS))
    ),
    "is silent at a chain": Defender(
        selling(CHAIN), "clock", Place.CHAINS, "", changed(silent_at(Stage.SAY, Place.CHAINS))
    ),
    "is silent at a sum": Defender(selling(FOLD), "clock", Place.TURNS, "", changed(silent_at(Stage.SAY, Place.TURNS))),
    "shows garbage": Defender(selling(FOLD), "clock", Place.NONE, "games.opening", changed(garbage)),
    "changes its story": Defender(selling(FOLD), "clock", Place.NODES, "games.children", at(Place.NODES)),
    "answers an old head": Defender(
        selling(FOLD), "clock", Place.NONE, "games.moved", changed(lambda _, move: replace(move, seen=noise()))
    ),
}


# ------------------------------------------------------------------ challengers: against an honest run


def towards(lie: Lie) -> Callable[[Deal], Player]:
    """Goes to a place where nothing is wrong: its own run is."""
    return lambda deal: challenger(deal, lie)


def changes(change: Change, lie: Lie = FOLD) -> Callable[[Deal], Player]:
    """On the way there it plays otherwise."""
    return lambda deal: otherwise(challenger(deal, lie), change)


def at_the(last: bool) -> Callable[[Deal], Player]:
    """Points at the first or the last of whatever is shown."""

    def plays(deal: Deal) -> Player:
        own = deal.checked()

        def play(view: View) -> Move | None:
            if view.stage == Stage.POINT:
                return at_child(view, own, (games.children_with_leaves(view) - 1) * last)
            if view.stage == Stage.PICK:
                index = (len(view.words) // 4 - 1) * last + (view.place == Place.TURNS)
                return Pick(view.case, view.head, index, view.words)
            return challenger(deal)(view)

        return play

    return plays


def at_child(view: View, own: Deal, index: int) -> Move:
    children = view.posts[-1].children
    pointed = view.case, view.head, index, children[index], merkle.prove(children, index)
    if view.place != Place.NODES or view.levels > view.wide:
        return Point(*pointed)
    node, held = (view.base << view.wide) + index, own.hold(view.positions)
    return PointNode(*pointed, held.facts(), held.node_leaf(node), held.node_path(node))


def behind_the_end(deal: Deal) -> Player:
    return lambda view: at_child(view, deal, len(view.posts[-1].children) - 1) if view.stage == Stage.POINT else None


def names_another_node(_: View, move: Move) -> Move:
    return replace(move, node=move.node + b"\0") if isinstance(move, PointNode) else move


def names_another_graph(view: View, move: Move) -> Move:
    """Facts of its own, with a graph in which all nodes are one."""
    if not isinstance(move, PointNode):
        return move
    tree = merkle.Tree([merkle.leaf_hash(move.node)] * len(NODES))
    facts = replace(Facts.read(move.facts), graph_root=tree.root).raw()
    return replace(move, facts=facts, node_path=tree.prove((view.base << view.wide) + move.index))


def opens_another_operand(deal: Deal) -> Player:
    """The opening is right, but of what an element of another leaf takes."""

    def change(view: View, move: Move) -> Move:
        if not isinstance(move, Step):
            return move
        found = challenger(deal)(replace(view, element=view.element - 32))
        assert isinstance(found, Step)
        return replace(move, openings=found.openings)

    return otherwise(challenger(deal, FOLD), change)


def opens_another_position(deal: Deal) -> Player:
    """The right node and element, of the position before."""

    def change(view: View, move: Move) -> Move:
        if not isinstance(move, Step):
            return move
        found = challenger(deal)(replace(view, low=view.low - 1))
        assert isinstance(found, Step)
        return replace(move, openings=found.openings)

    return otherwise(challenger(deal, FOLD), change)


def turns_openings(_: View, move: Move) -> Move:
    """All that is opened is right, and said to be each other."""
    return replace(move, openings=move.openings[::-1]) if isinstance(move, Step) else move


def one_opening_more(_: View, move: Move) -> Move:
    return replace(move, openings=(*move.openings, move.openings[0])) if isinstance(move, Step) else move


def cuts_a_path(_: View, move: Move) -> Move:
    if not isinstance(move, Step):
        return move
    first = replace(move.openings[0], position_path=move.openings[0].position_path[:-1])
    return replace(move, openings=(first, *move.openings[1:]))


def opens_no_id(_: View, move: Move) -> Move:
    return replace(move, unit=replace(move.unit, units=b"")) if isinstance(move, Step) else move


def silent_stage(stage: Stage) -> Change:
    return lambda view, move: None if view.stage == stage else move


ID = Lie(21, "embedding", 5)
SUM = Lie(7, "logits", 3)
CHALLENGERS: dict[str, Challenger] = {
    "points at the first": Challenger("step", Place.WORDS, "", at_the(False)),
    "points at the last": Challenger("step", Place.WORDS, "", at_the(True)),
    "points at a partial sum": Challenger("step", Place.TURNS, "", towards(FOLD)),
    "points at a chain": Challenger("step", Place.TURNS, "", towards(CHAIN)),
    "points at a chain without a turn": Challenger("start", Place.CHAINS, "", towards(Lie(9, "total", 0, 12))),
    "points at an id": Challenger("step", Place.WORDS, "", towards(ID)),
    "points at the past": Challenger("step", Place.TURNS, "", towards(Lie(23, "digest", 9, 2))),
    "points at the answer": Challenger("step", Place.WORDS, "", towards(Lie(LAST, LOGITS, ANSWER[-1]))),
    "points behind the end": Challenger("clock", Place.RUN, "games.index", behind_the_end),
    "is silent": Challenger("clock", Place.RUN, "", challenger),
    "goes silent before the step": Challenger("clock", Place.TURNS, "", changes(silent_stage(Stage.STEP))),
    "loses on purpose": Challenger(
        "step", Place.TURNS, "", lambda deal: otherwise(challenger(deal), loses_a_pick), selling(FOLD)
    ),
    "opens wrongly": Challenger("clock", Place.TURNS, "operands.path", changes(opens_wrongly)),
    "opens another operand": Challenger("clock", Place.TURNS, "operands.path", opens_another_operand),
    "opens another position": Challenger("clock", Place.TURNS, "operands.path", opens_another_position),
    "turns its openings": Challenger("clock", Place.WORDS, "operands.path", changes(turns_openings, SUM)),
    "opens more than is loaded": Challenger("clock", Place.TURNS, "operands.uses", changes(one_opening_more)),
    "cuts a path": Challenger("clock", Place.TURNS, "operands.path", changes(cuts_a_path)),
    "steps another node": Challenger("clock", Place.TURNS, "games.node", changes(steps_another_node)),
    "steps from one opening": Challenger("clock", Place.WORDS, "operands.place", changes(steps_from_one_opening, SUM)),
    "steps another id": Challenger("clock", Place.WORDS, "games.unit", changes(steps_another_id, ID)),
    "opens no id": Challenger("clock", Place.WORDS, "operands.id", changes(opens_no_id, ID)),
    "picks behind the end": Challenger("clock", Place.WORDS, "games.index", changes(picks_behind_the_end)),
    "names another child": Challenger("clock", Place.RUN, "games.path", changes(names_another_child)),
    "names another node": Challenger("clock", Place.NODES, "games.node", changes(names_another_node)),
    "names another graph": Challenger("clock", Place.NODES, "games.facts", changes(names_another_graph)),
    "puts words in its mouth": Challenger("clock", Place.WORDS, "games.said", changes(puts_words_in_its_mouth)),
    "answers an old head": Challenger(
        "clock", Place.RUN, "games.moved", changes(lambda _, move: replace(move, seen=noise()))
    ),
}
