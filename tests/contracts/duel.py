"""The real contracts of a game in pyrevm, and the referee beside them: the toy engine's answers are sold in a courtroom
and disputed at both tables at once, which must agree after every move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

import pytest
from courtroom import PAUL, SESSION, WATCH, Courtroom, Rules, Sale
from game_arithmetic import GraphArithmetic, drawn
from gameroom import BASE, MOVE_FEE, PER_POSITION
from sifting import PROMPT as TEXT
from world import Contract, Event, Mutant, Reverted, key

from claims import ANSWER_SALT, ONE, PROMPT_SALT
from steelyard.chain.bindings.games import StoredOf
from steelyard.engines.alphabet import Alphabet
from steelyard.engines.alphabet_graph import GRAPH, LOGITS, STATE
from steelyard.engines.base import Job
from steelyard.engines.draws import bits, real
from steelyard.engines.ir.holding import GraphHolding
from steelyard.engines.ir.patched import Patched
from steelyard.market import onchain_games
from steelyard.market.onchain_games import FUNCTIONS, KINDS, arguments
from steelyard.market.stored_games import unpacked
from steelyard.protocol import games, moves, roots
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import NOTHING, Place, Side, Stage, View, words_of
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.moves import Begin, Forfeit, Move
from steelyard.protocol.units import Address
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import challenger_move, first_move, shown
from steelyard.verification.claim import Claim
from steelyard.verification.defender import defender_move
from steelyard.verification.holding import Hold, Holding
from steelyard.verification.referee import Case, Referee
from steelyard.verification.transcript import Transcript
from steelyard.work.generate import receipt_of

HONEST = Alphabet()
NODES = {name: index for index, name in enumerate(GRAPH.by_name)}
UNITS, SEED = 6, 3
POSITIONS = len(TEXT) + UNITS - 1
"""Of a game on the last unit."""
FOREVER = 100_000
"""Seconds; no clock has so many."""
ARITHMETIC = GraphArithmetic(drawn)
BY_NAME = {kind.__name__: kind for kind in KINDS}
Player = Callable[[View], Move | None]


# ------------------------------------------------------------------ what a liar says


@dataclass(frozen=True)
class Lie:
    """Where the first wrong word is: `turn` of the whole fold, of a map 0 (`View.turn`)."""

    position: int
    node: str
    element: int = 0
    turn: int = 0

    @property
    def at(self) -> tuple[int, int, int]:
        return self.position, NODES[self.node], self.element

    @property
    def place(self) -> tuple[int, int, int, int]:
        """As a view says it."""
        return (*self.at, self.turn)


def told(honest: GraphHolding, lie: Lie | None) -> Holding:
    """The run with a lie in it, if it is as long as that; all that follows from the lie within its element agrees."""
    if lie is None or lie.position >= len(honest.positions()):
        return honest
    node = GRAPH.nodes[NODES[lie.node]]
    if not node.fold:
        return Patched(honest, {lie.at: words_of(honest.value(*lie.at[:2]))[lie.element] ^ 1})
    own, chain = divmod(lie.turn, node.lanes)
    turns = honest.chain_turns(*lie.at[:2], chain)
    after = list(range(own + 1, turns + 1)) or [turns]
    other = one_more if node.lanes > 1 else lambda word: word ^ 1
    sums = [other(word) for word in honest.sums(*lie.at, chain, after)]
    said = {(*lie.at, chain, turn): word for turn, word in zip(after, sums, strict=True)}
    chains = words_of(honest.chains(*lie.at))
    chains[chain] = sums[-1]
    return Patched(
        honest, {lie.at: ARITHMETIC.join(NODE_JOINS[lie.node], chains) if node.lanes > 1 else sums[-1]}, said
    )


NODE_JOINS = {name: ARITHMETIC.describe(HONEST.language.nodes[index], 0).join for name, index in NODES.items()}


def one_more(word: int) -> int:
    """Of a sum of whole numbers, as all sums in 16 chains here are."""
    return bits(real(word) + 1.0)


@cache
def run_of(engine: Alphabet, generated: tuple[int, ...]) -> GraphHolding:
    """An engine's run over the text and these ids, in the trees of the honest one's model."""
    job = Job(TEXT, len(TEXT), max(len(generated), 1), ONE, ONE, 0, SEED)
    return GraphHolding(engine.trace(job, generated), HONEST.language)


def evidence_of(run: Holding, generated: Sequence[int]) -> list[bytes]:
    """One leaf a unit (ARI-40)."""
    found = []
    for at, unit in enumerate(generated, len(TEXT) - 1):
        logit = run.value(at, NODES[LOGITS])[4 * unit : 4 * unit + 4]
        found.append(sha256(run.value(at, NODES[STATE]), logit, ZERO32))
    return found


@cache
def spoken(engine: Alphabet = HONEST, units: int = UNITS, seed: int = SEED, temperature: int = ONE) -> tuple[int, ...]:
    """What an engine answers."""
    return tuple(step.id for step in engine.generate(Job(TEXT, len(TEXT), units, temperature, ONE, 0, seed)))


# ------------------------------------------------------------------ what is sold


@dataclass(frozen=True)
class Deal:
    """An answer that was sold, and what its provider holds and signed of it."""

    claim: Claim
    sale: Sale
    script: Transcript
    hold: Hold

    def checked(self, lie: Lie | None = None) -> "Deal":
        """As a challenger has it: with a run of its own, an honest one unless it lies to itself."""
        full = run_of(HONEST, self.claim.generated)
        script = replace(self.script, evidence=tuple(evidence_of(told(full, lie), self.claim.generated)))
        return replace(self, script=script, hold=lambda positions: told(full.first(positions), lie))


class DuelRoom(Courtroom):
    """Ann buys the toy's answers from Paul, at a level that promises a game; nothing here stands for anything else."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        super().__init__(mutant, Rules(appeal_window=500))
        self.heard: list[Event] = []
        self.spent: list[int] = []
        """Gas of each move."""
        terms = (HONEST.card.model_root, key("author").address, 500, 4096, 10**8, 1, b"\x22" * 32)
        self.toy = self.offer(PAUL, self.registry.register_model(*terms, "toy", "file:toy", by=key("author")))

    def players(self, court: Contract) -> tuple[Address, Address]:
        """Deploys Games and all that it asks, and Proofs."""
        self.operands = self.deploy("Operands", (self.deploy("Step", ()).address,))
        self.answers = self.deploy("Answers", (self.escrow.address, self.orders.address))
        terms = (BASE, PER_POSITION, MOVE_FEE)
        self.games = self.deploy("Games", (court.address, self.operands.address, self.answers.address, terms))
        self.proofs = self.prove(court)
        return self.games.address, self.proofs.address

    def deal(
        self,
        lie: Lie | None = None,
        engine: Alphabet = HONEST,
        generated: Sequence[int] | None = None,
        evidence: Sequence[bytes] | None = None,
        nonce: int = 0,
        **changes: Any,
    ) -> Deal:
        """What Paul signs: `generated` or what the engine says, and of its run, with the lie in it, the evidence."""
        ids = spoken(engine) if generated is None else tuple(generated)
        full = run_of(engine, ids)
        leaves = tuple(evidence_of(told(full, lie), ids) if evidence is None else evidence)
        usual = {"prompt_root": roots.units_root(TEXT, PROMPT_SALT), "prompt_units": len(TEXT)}
        usual |= {"answer_from": len(TEXT), "max_units": UNITS, "top_p": ONE, "temperature": ONE, "seed": SEED}
        order = self.order(self.toy, nonce, **(usual | changes))
        receipt = receipt_of(order.digest(self.domain), order.offer, HONEST.card.model_root, ids, leaves, ANSWER_SALT)
        return self.signed(
            Deal(self._claim(order, receipt, ids), None, None, lambda n: told(full.first(n), lie)), leaves
        )  # type: ignore[arg-type]

    def _claim(self, order: Any, receipt: Any, ids: tuple[int, ...]) -> Claim:
        return Claim(
            domain=self.domain,
            session_key=SESSION.address,
            model_root=HONEST.card.model_root,
            offer=self.toy,
            offer_signature=PAUL.sign(self.toy.digest(self.domain)),
            order=order,
            order_signature=SESSION.sign(order.digest(self.domain)),
            receipt=receipt,
            receipt_signature=PAUL.sign(receipt.digest(self.domain)),
            prompt=TEXT,
            prompt_salt=PROMPT_SALT,
            answer=ids,
            answer_salt=ANSWER_SALT,
        )

    def signed(self, deal: Deal, evidence: Sequence[bytes], **changes: Any) -> Deal:
        """The deal with another receipt, over this evidence unless `changes` say otherwise."""
        root = {"evidence_root": roots.evidence_root(evidence, ANSWER_SALT)}
        receipt = replace(deal.claim.receipt, **(root | changes))
        claim = replace(deal.claim, receipt=receipt, receipt_signature=PAUL.sign(receipt.digest(self.domain)))
        signatures = claim.order_signature, receipt, claim.receipt_signature
        sale = Sale(claim.offer, claim.order, *signatures, claim.answer, claim.answer_salt, self.domain)
        return replace(deal, claim=claim, sale=sale, script=Transcript.of(claim, evidence))

    def call(self, sender: str, to: str, data: bytes, asks: bool = False) -> bytes:
        """Remembers what Games tells, as a chain's log does."""
        out = super().call(sender, to, data, asks)
        if not asks and hasattr(self, "heard"):
            self.heard += [event for event in self.events if event.contract == self.games.address]
        return out

    def mark(self) -> tuple[Any, ...]:
        """A block that one can go back to, once, and not after an earlier one."""
        return self.evm.snapshot(), len(self.heard), self.now, self.block

    def back(self, mark: tuple[Any, ...]) -> None:
        """A reorganisation: what was mined after that block is undone."""
        snapshot, heard, self.now, self.block = mark
        self.evm.revert(snapshot)
        del self.heard[heard:]
        self.set_clock()


class OnPyrevm:
    """`market.games.Games` over a room, for one account."""

    def __init__(self, room: DuelRoom, by: Key) -> None:
        self.room, self.by = room, by

    def view(self, case: bytes) -> View | None:
        """See the port."""
        view = unpacked(case, StoredOf(**self.room.games.stored_of(case)))
        told_of = [event for event in self.room.heard if event.values["case"] == case]
        events = [BY_NAME[event.name](**{name: flat(v) for name, v in event.values.items()}) for event in told_of]
        return None if view is None else onchain_games.told(view, events)

    def play(self, move: Move) -> None:
        """See the port."""
        try:
            getattr(self.room.games, FUNCTIONS[type(move)])(*arguments(move), by=self.by)
        except Reverted as reverted:
            raise Refused(str(reverted) or "no name", "reverted") from reverted
        self.room.spent.append(self.room.gas)


def flat(value: Any) -> Any:
    """Bindings decode arrays to tuples."""
    return tuple(value) if isinstance(value, list) else value


# ------------------------------------------------------------------ both tables


KEPT_AT_THE_END = ("case", "stage", "defender", "challenger", "receipt", "model_root", "prompt_root", "response_root")
KEPT_AT_THE_END += ("position", "node", "element", "elements", "lanes", "join", "chain", "low", "high", "low_word")
KEPT_AT_THE_END += ("claimed", "positions", "answer_units", "moves", "words", "outcome", "why", "top_k", "top_p")
NAMES = [named.name for named in fields(View)]


def expected(other: View, seen: View) -> View:
    """What a contract shows of the referee's view: heads are hashed otherwise, and storage is used twice, so that
    what is needed no more reads as zero, or is what `seen` has."""
    if other.stage == Stage.OVER:  # no event says what was posted last, unless it was pointed at
        posts = tuple(post if post.index is not None else replace(post, place=Place.NONE) for post in other.posts)
        return replace(seen, posts=posts, **{name: getattr(other, name) for name in KEPT_AT_THE_END})
    begun = other.stage <= Stage.BEGUN or other.place == Place.EVIDENCE
    narrowed = Place.LEAVES <= other.place <= Place.TURNS
    leaf = (other.stage, other.place) in ((Stage.SAY, Place.WORDS), (Stage.BEGUN, Place.NONE))
    shows = (
        other.stage in (Stage.POST, Stage.POINT)
        or (leaf and other.rival == NOTHING)
        or (leaf and other.place == Place.WORDS)
    )
    if other.place == Place.IDS:  # where the run's tree waits, of which nothing is said yet
        shows = False
    return replace(
        other,
        head=seen.head,
        rival=seen.rival if other.stage == Stage.CALLED else other.rival,
        evidence_root=other.evidence_root if begun else ZERO32,
        facts_hash=ZERO32 if narrowed else other.facts_hash,
        at=other.at if shows else seen.at,
        said=other.said if other.stage == Stage.PICK else ZERO32,
    )


def rule_of(call: Callable[[], Any]) -> str:
    """By which rule it is refused; empty: it is not."""
    try:
        call()
    except Refused as refused:
        return refused.rule
    return ""


@dataclass
class Duel:
    """One game at both tables. Invariant: after each move the contract's view is the referee's."""

    room: DuelRoom
    deal: Deal
    challenger: Key = WATCH
    views: list[View] = field(default_factory=list)
    """The contract's, after each move that counted."""
    moves: list[tuple[Key, Move]] = field(default_factory=list)
    refused: list[tuple[Side, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.case = self.room.challenge(self.deal.sale, self.challenger)
        parties = PAUL.address, self.challenger.address, SESSION.address
        cases = {self.case: Case(self.deal.claim.receipt_digest(), *parties)}
        self.referee = Referee(self.room.domain, ARITHMETIC, cases, BASE, PER_POSITION)

    @property
    def view(self) -> View:
        return self.views[-1]

    def play(self, move: Move, by: Key, seconds: int = 1) -> View:
        """A move, so many seconds later, in a block of its own. Raises Refused, if both tables do."""
        self.room.turn(seconds)
        rule = rule_of(lambda: OnPyrevm(self.room, by).play(move))
        other = rule_of(lambda: self.referee.play(self._beside(move), by.address, self.room.now))
        assert rule == other, f"{type(move).__name__}: {rule or 'taken'} on chain, {other or 'taken'} by the referee"
        if rule:
            raise Refused(rule, "at both tables")
        self.views.append(self.seen())
        self.moves.append((by, move))
        return self.view

    def seen(self) -> View:
        """What the contract shows, which is what the referee does."""
        view = OnPyrevm(self.room, self.challenger).view(self.case)
        assert view is not None
        other = expected(self.referee.games[self.case], view)
        assert [name for name in NAMES if getattr(view, name) != getattr(other, name)] == []
        return view

    def _beside(self, move: Move) -> Move:
        """The same move at the referee's table: what answers this game's head answers it there, too."""
        if not hasattr(move, "seen") or not self.views or move.seen != self.view.head:
            return move
        return replace(move, seen=self.referee.games[self.case].head)

    # ------------------------------------------------------------ whole games

    def begin(self) -> View:
        """As an honest challenger would; where it would not, with an id as a rival that no rule prefers."""
        claim, own = self.deal.claim, HONEST.replay(job_of(self.deal), self.deal.claim.generated)
        move = first_move(self.case, claim, HONEST.card, own)
        never = moves.Claim(len(claim.generated) - 1, 0)
        return self.play(move or Begin(self.case, shown(claim), never), self.challenger)

    def turn(self, defends: Player, challenges: Player) -> None:
        """Whoever is to move does. Who has nothing to say, or says what is refused, is silent until it has lost."""
        side = games.to_move(self.view)
        assert side is not None
        player, by = (defends, PAUL) if side is Side.DEFENDER else (challenges, self.challenger)
        move = player(self.view)
        assert move == player(replace(self.referee.games[self.case], head=self.view.head))
        try:
            if move is not None:
                self.play(move, by)
                return
        except Refused as refused:
            self.refused.append((side, refused.rule))
        with pytest.raises(Refused, match=r"games\.early"):
            self.play(Forfeit(self.case), key("eve"))
        self.play(Forfeit(self.case), key("eve"), FOREVER)

    def finish(self, defends: Player | None = None, challenges: Player | None = None) -> View:
        """Plays to the end, honestly unless told otherwise."""
        while self.view.stage != Stage.OVER:
            self.turn(defends or defender(self.deal), challenges or challenger(self.deal))
        return self.view

    @property
    def rounds(self) -> int:
        """How often the defender showed something of its run."""
        return sum(isinstance(move, moves.PostChildren | moves.Say) for _, move in self.moves)


def job_of(deal: Deal) -> Job:
    """The run that was ordered."""
    order = deal.claim.order
    return Job(TEXT, len(TEXT), order.max_units, order.temperature, order.top_p, order.top_k, order.seed)


def defender(deal: Deal) -> Player:
    """Shows what it holds."""
    return lambda view: defender_move(view, deal.hold, deal.script)


def challenger(deal: Deal, lie: Lie | None = None) -> Player:
    """Compares with its own run."""
    own = deal.checked(lie)
    return lambda view: challenger_move(view, own.hold, own.script)


def where(view: View) -> tuple[int, int, int, int]:
    """Where a game ended."""
    return view.position, view.node, view.element, view.turn


def ends(duel: Duel) -> tuple[Outcome | None, str, Place]:
    """How a game ended, and what was narrowed when it did."""
    return duel.view.outcome, duel.view.why, duel.views[-2].place
