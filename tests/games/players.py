"""Named players of a dispute game: each defender sells an answer and then plays, each challenger plays against it.

A liar either holds another run and plays it as an honest side would, or holds whatever and plays otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from counting import NODES, Counting, honest
from playing import Player, Sale, checked, plays, sell

from steelyard.engines.ir.encoding import CODES
from steelyard.protocol import games, merkle, roots
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import Place, Stage, View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.moves import Answer, Move, Pick, Point, PointNode, PostChildren, Say, Step
from steelyard.verification.challenger import challenger_move
from steelyard.verification.transcript import Transcript

PROMPT, UNITS = (3, 4, 5), 3
LAST = len(PROMPT) + UNITS - 2
"""The position that chooses the last unit."""


@dataclass(frozen=True)
class Defender:
    """Sells an answer; plays."""

    sale: Sale
    play: Player
    liar: bool
    rationale: str


@dataclass(frozen=True)
class Challenger:
    """Plays against any sale."""

    of: Callable[[Sale], Player]
    liar: bool
    rationale: str


def lie_at(position: int, node: int, element: int, turn: int) -> Callable[[int, int, int, int, int], int]:
    """One turn's word has another bit; all that follows is computed from it."""
    there = (position, node, element, turn)
    return lambda *at: at[4] ^ 4 if at[:4] == there else at[4]


def sold(position: int, name: str, element: int, turn: int) -> Sale:
    at = position, NODES[name]
    return sell(PROMPT, UNITS, lie_at(*at, element, turn), at)


HONEST = sell(PROMPT, UNITS)
EVERYWHERE = sell(PROMPT, UNITS, lambda *at: at[4] ^ 1)
CHAINED = sold(3, "chained", 1, 20)
MIDDLE = sold(3, "dotted", 0, 70)


def otherwise(player: Player, change: Callable[[View, Move], Move | None]) -> Player:
    """Plays what `change` makes of a player's moves."""

    def play(view: View) -> Move | None:
        move = player(view)
        return None if move is None else change(view, move)

    return play


def silent_at(stage: Stage, place: Place) -> Callable[[View, Move], Move | None]:
    return lambda view, move: None if (view.stage, view.place) == (stage, place) else move


def noise(*parts: bytes) -> bytes:
    return sha256(b"noise", *parts)


def garbage(view: View, move: Move) -> Move:
    """Hashes and words of nothing."""
    match move:
        case PostChildren(children=children):
            return replace(move, children=tuple(noise(child) for child in children))
        case Say(words=words):
            return replace(move, words=b"".join(noise(words[:1], bytes([i])) for i in range(8))[: len(words)])
        case Answer(shown=shown):
            return replace(move, shown=replace(shown, run_root=noise(shown.run_root)))
    return move


def from_another_run(view: View, move: Move) -> Move | None:
    """From the nodes on it shows the honest run, which is not under the root that it answered."""
    return plays(HONEST, MIDDLE.hold)[0](view) if view.place < Place.NODES else plays(MIDDLE, _honest_hold)[0](view)


def _honest_hold(positions: int) -> Counting:
    return honest(MIDDLE.ids[:positions])


def honest_sums(view: View, move: Move) -> Move:
    """The element is the lie's, the sums before it are not."""
    if view.place != Place.TURNS:
        return move
    sums = _honest_hold(view.positions).sums(
        view.position, view.node, view.element, view.chain, games.cuts(view.low, view.high)[:-1]
    )
    return replace(move, words=games.said_words(sums)) if isinstance(move, Say) else move


def honest_chains(view: View, move: Move) -> Move:
    """They do not join to the element that was claimed."""
    if view.place != Place.CHAINS or not isinstance(move, Say):
        return move
    return replace(move, words=_honest_hold(view.positions).chains(view.position, view.node, view.element))


class Padded(Counting):
    """Its positions' trees are padded with something else than zeros: nothing that can be pointed at differs."""

    def nodes(self, position: int) -> list[bytes]:
        leaves = super().nodes(position)
        return leaves + [noise(bytes([i])) for i in range(len(leaves), 1 << merkle.depth_of(len(leaves)))]

    def positions(self) -> list[bytes]:
        tops = [merkle.Tree(self.nodes(position)).layers[-1][0] for position in range(len(self.ids))]
        return [merkle.leaf_hash(merkle.seal(len(NODES), top)) for top in tops]


def badly_padded_positions() -> Defender:
    held = {positions: Padded(EVERYWHERE.ids[:positions]) for positions in range(1, LAST + 2)}
    # the evidence is a lie too, so that there is a game
    sale = sell(PROMPT, UNITS, lie_at(LAST, NODES["logits"], 0, 0), (LAST, NODES["logits"]))
    held = {positions: Padded(sale.ids[:positions], None) for positions in held}
    return Defender(sale, plays(sale, lambda positions: held[positions])[0], True, "a tree has one padding")


def badly_padded_evidence() -> Defender:
    """Every leaf is right, the root is not."""
    leaves = HONEST.script.evidence_leaves()
    tree = merkle.Tree([*leaves, noise(b"padding")])
    claim = HONEST.claim
    receipt = replace(claim.receipt, evidence_root=merkle.seal(len(leaves), tree.layers[-1][0]))
    sale = replace(HONEST, claim=replace(claim, receipt=receipt))

    def play(view: View) -> Move | None:
        if view.place == Place.EVIDENCE and view.stage == Stage.POST:
            return PostChildren(view.case, view.head, tuple(tree.layers[0]))
        return plays(sale)[0](view)

    return Defender(sale, play, True, "a tree has one padding")


def signed_evidence(evidence: Sequence[bytes], rationale: str) -> Defender:
    """The run is honest, what was signed of it is not."""
    claim = HONEST.claim
    receipt = replace(claim.receipt, evidence_root=roots.evidence_root(evidence, claim.answer_salt, len(claim.prefix)))
    claim = replace(claim, receipt=receipt)
    sale = Sale(claim, Transcript.of(claim, evidence), HONEST.run)
    return Defender(sale, plays(sale)[0], True, rationale)


def other_logits(value: bytes, leaf: bytes, at: int) -> tuple[bytes, tuple[bytes, ...]]:
    """A value with another leaf in it, and the path of that."""
    leaves = games.cut_value(value)
    leaves[at] = leaf
    return leaf, merkle.prove([merkle.leaf_hash(one) for one in leaves], at)


def logits_of_nothing() -> Defender:
    """It signs another logit for each id, and opens that under no run."""
    prompt, held = len(PROMPT), HONEST.hold(LAST + 1)
    evidence = []
    for unit, one in enumerate(HONEST.claim.generated):
        at = prompt + unit - 1
        logit = held.value(at, NODES["logits"])[4 * one : 4 * one + 3] + b"\x7f"
        evidence.append(sha256(held.value(at, NODES["state"]), logit, bytes(32)))

    def change(view: View, move: Move) -> Move:
        if not isinstance(move, Answer):
            return move
        one = HONEST.ids[view.positions]
        at, leaf = 4 * (one % 32), move.shown.logit
        value = held.value(view.positions - 1, NODES["logits"])
        logit, path = other_logits(value, leaf[: at + 3] + b"\x7f" + leaf[at + 4 :], one // 32)
        return replace(move, shown=replace(move.shown, logit=logit, logit_path=path))

    found = signed_evidence(evidence, "a logit is under the run's root, as the state is")
    return replace(found, play=otherwise(found.play, change))


def other_facts(view: View, move: Move) -> Move:
    """Of a model with another graph."""
    if not isinstance(move, Answer):
        return move
    facts = replace(Facts.read(move.shown.facts), graph_root=noise()).raw()
    return replace(move, shown=replace(move.shown, facts=facts))


def no_rival(view: View, move: Move) -> Move:
    """The rival's logit is opened as the least there is."""
    if not isinstance(move, Answer):
        return move
    value = HONEST.hold(LAST + 1).value(view.positions - 1, NODES["logits"])
    leaf, path = other_logits(value, bytes([0, 0, 0, 0x80]) * (len(move.shown.rival) // 4), view.rival // 32)
    return replace(move, shown=replace(move.shown, rival=leaf, rival_path=path))


def plain(sale: Sale, rationale: str, *, liar: bool = True) -> Defender:
    return Defender(sale, plays(sale)[0], liar, rationale)


def changed(sale: Sale, change: Callable[[View, Move], Move | None], rationale: str) -> Defender:
    return Defender(sale, otherwise(plays(sale)[0], change), True, rationale)


WRONG_ID = sell(PROMPT, UNITS, wrong_id=1)
RIVAL_TOO = sell(PROMPT, UNITS, lie_at(LAST, NODES["logits"], HONEST.ids[-1], 0), (LAST, NODES["logits"]))

DEFENDERS: dict[str, Defender] = {
    "honest": plain(HONEST, "its run is the run", liar=False),
    "lies at step 0": plain(sold(0, "embed", 0, 0), "a word of the first node is not what it loads"),
    "lies at the last step": plain(RIVAL_TOO, "the answered logit is not what its operands give"),
    "lies everywhere": plain(EVERYWHERE, "the first of its lies is enough"),
    "lies in a fold": plain(MIDDLE, "one turn gives something else"),
    "lies in a chain": plain(CHAINED, "chains join to the element, so one of them is wrong"),
    "lies in a chain without a turn": plain(sold(1, "short", 1, 9), "such a chain is its start"),
    "lies where nothing looks": plain(sold(2, "dotted", 1, 100), "a run is wrong even if its answer is right"),
    "lies about the past": plain(sold(3, "seen", 2, 2), "an operand of an earlier position is agreed"),
    "says honest sums": changed(MIDDLE, honest_sums, "then the last turn does not give the claimed word"),
    "says honest chains": changed(CHAINED, honest_chains, "they join to another element than the claimed one"),
    "says a word too few": changed(
        MIDDLE,
        lambda _, move: replace(move, words=move.words[:-4]) if isinstance(move, Say) else move,
        "a leaf is whole",
    ),
    "says a sum too few": changed(
        MIDDLE,
        lambda view, move: (
            replace(move, words=move.words[4:]) if view.place == Place.TURNS and isinstance(move, Say) else move
        ),
        "all sums between are said",
    ),
    "signs a wrong id": plain(WRONG_ID, "its own logits say that a rival is greater"),
    "answers other facts": changed(MIDDLE, other_facts, "facts are under the model root"),
    "opens another rival": changed(WRONG_ID, no_rival, "the rival's logit is under the same root"),
    "opens logits of nothing": logits_of_nothing(),
    "signs evidence of nothing": signed_evidence([noise(b"%d" % i) for i in range(UNITS)], "it opens no state"),
    "signs reordered evidence": signed_evidence(HONEST.script.evidence[::-1], "a leaf has its place"),
    "signs too few leaves": signed_evidence(HONEST.script.evidence[:-1], "the root binds how many there are"),
    "signs badly padded evidence": badly_padded_evidence(),
    "pads its positions badly": badly_padded_positions(),
    "is silent about its evidence": changed(MIDDLE, silent_at(Stage.POST, Place.EVIDENCE), "silence loses"),
    "is silent when it has to answer": changed(MIDDLE, silent_at(Stage.BEGUN, Place.NONE), "silence loses"),
    "is silent at a leaf": changed(MIDDLE, silent_at(Stage.SAY, Place.WORDS), "silence loses"),
    "is silent at a sum": changed(MIDDLE, silent_at(Stage.SAY, Place.TURNS), "silence loses"),
    "shows garbage": changed(MIDDLE, garbage, "garbage is under no root"),
    "changes its story": changed(MIDDLE, from_another_run, "what it showed first binds it"),
    "answers an old head": changed(MIDDLE, lambda _, move: replace(move, seen=noise()), "a move counts once"),
}


def honest_challenger(sale: Sale) -> Player:
    own = checked(sale)
    return lambda view: challenger_move(view, own.hold, own.script)


def a_challenger(
    change: Callable[[View, Move], Move | None], base: Callable[[Sale], Player] | None = None
) -> Callable[[Sale], Player]:
    """A challenger that plays otherwise than `base`: if none, than an honest one, which points at the first child where
    nothing differs."""

    def of(sale: Sale) -> Player:
        player, own = (base or honest_challenger)(sale), checked(sale)

        def play(view: View) -> Move | None:
            move = player(view) or anywhere(view, own)
            return None if move is None else change(view, move)

        return play

    return of


def anywhere(view: View, own: Sale) -> Move | None:
    """Points at the first there is, though nothing differs."""
    if view.stage == Stage.POINT:
        return at_child(view, own, 0)
    if view.stage == Stage.PICK:
        return Pick(view.case, view.head, 0, view.words)
    return None


def at_child(view: View, own: Sale, index: int) -> Move:
    children = view.posts[-1].children
    pointed = view.case, view.head, index, children[index], merkle.prove(children, index)
    if view.place != Place.NODES or view.levels > view.wide:
        return Point(*pointed)
    node, held = (view.base << view.wide) + index, own.hold(view.positions)
    known = min(node, len(NODES) - 1)
    return PointNode(*pointed, held.facts(), held.node_leaf(known), held.node_path(known))


def at_the_last(sale: Sale) -> Player:
    """Points at the last of whatever is shown."""
    own, player = checked(sale), honest_challenger(sale)

    def play(view: View) -> Move | None:
        if view.stage == Stage.POINT:
            return at_child(view, own, games.children_with_leaves(view) - 1)
        if view.stage == Stage.PICK:
            last = len(view.words) // 4 - (view.place != Place.TURNS)
            return Pick(view.case, view.head, last, view.words)
        return player(view)

    return play


def behind_the_end(sale: Sale) -> Player:
    own = checked(sale)
    return lambda view: at_child(view, own, len(view.posts[-1].children) - 1) if view.stage == Stage.POINT else None


def loses_a_pick(view: View, move: Move) -> Move:
    """Goes down honestly, and then takes a right element for the wrong one."""
    if isinstance(move, Pick) and view.place == Place.WORDS:
        return replace(move, index=(move.index + 1) % (len(view.words) // 4))
    return move


def opens_wrongly(view: View, move: Move) -> Move:
    if isinstance(move, Step):
        first = replace(move.openings[0], data=noise(move.openings[0].data)[:4] + move.openings[0].data[4:])
        return replace(move, openings=(first, *move.openings[1:]))
    return move


def names_another_node(view: View, move: Move) -> Move:
    if isinstance(move, PointNode):
        return replace(move, node=honest(()).node_leaf(0) + b"\0")
    return move


def names_another_graph(view: View, move: Move) -> Move:
    """Facts of its own, with a graph in which all nodes are the first."""
    if not isinstance(move, PointNode):
        return move
    nodes = [honest(()).node_leaf(0)] * len(NODES)
    tree = merkle.Tree([merkle.leaf_hash(node) for node in nodes])
    facts = replace(Facts.read(move.facts), graph_root=tree.root).raw()
    return replace(move, facts=facts, node=nodes[0], node_path=tree.prove((view.base << view.wide) + move.index))


def puts_words_in_its_mouth(view: View, move: Move) -> Move:
    return replace(move, words=b"\0" * len(view.words)) if isinstance(move, Pick) else move


def steps_another_node(view: View, move: Move) -> Move:
    """One that loads the same and multiplies where this one adds."""
    if not isinstance(move, Step):
        return move
    kept, body = move.node[:-3], move.node[-3:]
    return replace(move, node=kept + bytes([CODES["imul"]]) + body[1:]) if body[0] == CODES["iadd"] else move


def steps_from_one_opening(view: View, move: Move) -> Move:
    """All that the step loads is said to be in the first leaf."""
    if isinstance(move, Step):
        return replace(move, uses=(0,) * len(move.uses), openings=move.openings[:1])
    return move


def steps_another_id(view: View, move: Move) -> Move:
    if isinstance(move, Step) and move.unit.units:
        return replace(move, unit=replace(move.unit, units=bytes([4, 0, 0, 0]) * (len(move.unit.units) // 4)))
    return move


def picks_behind_the_end(view: View, move: Move) -> Move:
    return replace(move, index=64) if isinstance(move, Pick) else move


def names_another_child(view: View, move: Move) -> Move:
    return replace(move, child=noise(move.child)) if isinstance(move, Point) else move


CHALLENGERS: dict[str, Challenger] = {
    "honest": Challenger(honest_challenger, False, "goes to the first difference"),
    "points at the first": Challenger(a_challenger(lambda _, move: move), True, "a right step ends the game"),
    "points at the last": Challenger(at_the_last, True, "a right step ends the game"),
    "points behind the end": Challenger(behind_the_end, True, "there is no such leaf"),
    "is silent": Challenger(lambda _: lambda _: None, True, "silence loses"),
    "goes silent before the step": Challenger(
        a_challenger(lambda view, move: None if view.stage == Stage.STEP else move), True, "silence loses"
    ),
    "loses on purpose": Challenger(a_challenger(loses_a_pick), True, "a lost game binds only who lost it"),
    "opens wrongly": Challenger(a_challenger(opens_wrongly, at_the_last), True, "operands are under agreed roots"),
    "steps another node": Challenger(a_challenger(steps_another_node, at_the_last), True, "the game knows which node"),
    "steps from one opening": Challenger(
        a_challenger(steps_from_one_opening, at_the_last), True, "a place is not another"
    ),
    "steps another id": Challenger(
        a_challenger(steps_another_id), True, "ids are under the order's and receipt's roots"
    ),
    "picks behind the end": Challenger(a_challenger(picks_behind_the_end), True, "there is no such word"),
    "names another child": Challenger(a_challenger(names_another_child), True, "a child is under its parent"),
    "names another node": Challenger(a_challenger(names_another_node), True, "the graph's root has its nodes"),
    "names another graph": Challenger(
        a_challenger(names_another_graph, at_the_last), True, "the game knows the model's facts"
    ),
    "puts words in its mouth": Challenger(a_challenger(puts_words_in_its_mouth), True, "the game knows what was said"),
    "answers an old head": Challenger(
        a_challenger(lambda _, move: replace(move, seen=noise())), True, "a move counts once"
    ),
}
