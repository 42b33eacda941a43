"""A courtroom with Games in it: a receipt over a toy run, and both players' moves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from courtroom import AUTHOR, BOND, PAUL, PRICE_OUT, WATCH, Courtroom, Rules, Sale
from toy_run import (
    BEST,
    FACTS,
    GRAPH,
    LOGITS,
    MODEL,
    MODEL_ROOT,
    NODES,
    OPERANDS,
    STATE,
    VOCABULARY,
    Lie,
    Run,
    layer,
    packed,
)
from world import Contract, Mutant

from steelyard.chain.bindings.games import StoredOf
from steelyard.market.stored_games import unpacked
from steelyard.protocol import merkle, roots
from steelyard.protocol.hashing import ZERO32, prf, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import Level, Order
from steelyard.protocol.units import Address

CALLED, BEGUN, POST, POINT, SAY, PICK, STEP, OVER = range(1, 9)
EVIDENCE, RUN, NODE, LEAVES, WORDS, CHAINS, TURNS, EARLY = range(1, 9)
DEFENDERS = (BEGUN, POST, SAY)
BASE, PER_POSITION, MOVE_FEE = 1_000, 2, 10_000
NO_RIVAL = 2**32 - 1
NO_FILTER = ((NO_RIVAL, b"", ()), (NO_RIVAL, b"", ()), 0)
ONE = 0x3F800000
TEXT = tuple(range(70))
"""The prompt: two leaves of units."""
REPLY = (BEST,) * 5
PROMPT_SALT, SALT = b"\x01" * 32, b"\x02" * 32


@dataclass(frozen=True)
class Goods:
    """A sale of a canonical answer, and what its provider holds of it."""

    sale: Sale
    units: tuple[int, ...]
    """Prompt and answer."""
    new_from: int
    """Index of the first generated unit in `units`."""
    lies: frozenset[Lie]

    @property
    def exhibit(self) -> tuple[Any, ...]:
        return self.sale.exhibit

    @property
    def prefix(self) -> int:
        """Units of a delivered prefix."""
        return self.sale.order.prompt_units - self.sale.order.answer_from

    def run(self, unit: int) -> Run:
        """The provider's run up to where it chose a generated unit."""
        return Run(self.units[: self.new_from + unit], self.lies)

    def truth(self, unit: int) -> Run:
        """What it should be."""
        return replace(self.run(unit), lies=frozenset())

    def evidence(self) -> list[bytes]:
        """Of each generated unit (ARI-40)."""
        found = []
        for unit in range(len(self.units) - self.new_from):
            run = self.run(unit)
            if not run.units:
                found.append(ZERO32)  # of a unit that no position chose
                continue
            at = len(run.units) - 1
            state, logits = run.value(at, STATE), run.value(at, LOGITS)
            chosen = self.units[self.new_from + unit]
            found.append(sha256(packed(state), packed([logits[chosen % VOCABULARY]]), ZERO32))
        return found

    def opened(self, position: int) -> tuple[bytes, bytes, tuple[bytes, ...], bytes]:
        """The unit of a position: its leaf under the prompt's or the answer's root."""
        order = self.sale.order
        in_prompt = position < order.prompt_units
        units = self.units[: order.prompt_units] if in_prompt else self.sale.answer
        index = position if in_prompt else position - order.answer_from
        return unit_leaf(units, PROMPT_SALT if in_prompt else SALT, index)


def unit_leaf(units: Sequence[int], salt: bytes, index: int) -> tuple[bytes, bytes, tuple[bytes, ...], bytes]:
    """`openings.Unit`."""
    leaf = index // 64
    raw = packed(units[64 * leaf : 64 * leaf + 64])
    return prf(salt, roots.UNITS_LABEL, leaf), raw, merkle.prove(roots.unit_leaves(units, salt), leaf), ZERO32


NO_UNIT = (ZERO32, b"", (), ZERO32)


class GameRoom(Courtroom):
    """Ann buys canonical answers from Paul; whoever challenges may play."""

    def __init__(self, mutant: Mutant | None = None, rules: Rules | None = None, bond: int = BOND) -> None:
        super().__init__(mutant, rules or Rules(appeal_window=500), bond)
        self.model_id = self.registry.register_model(
            MODEL_ROOT, AUTHOR.address, 500, 2048, 10**8, 1, b"\x22" * 32, "toy", "file:toy run", by=AUTHOR
        )
        self.toy = self.offer(PAUL, self.model_id, price_out=PRICE_OUT)

    def players(self, court: Contract) -> tuple[Address, Address]:
        """Deploys Games and Proofs."""
        self.operands = self.deploy_source(OPERANDS)
        self.answers = self.deploy("Answers", (self.escrow.address, self.orders.address))
        terms = (BASE, PER_POSITION, MOVE_FEE)
        self.games = self.deploy("Games", (court.address, self.operands.address, self.answers.address, terms))
        self.proofs = self.prove(court)
        return self.games.address, self.proofs.address

    # ------------------------------------------------------------ a receipt

    def goods(
        self, *lies: Lie, answer: Sequence[int] = REPLY, level: Level = Level.AUDITED, nonce: int = 0, **changes: Any
    ) -> Goods:
        """What Paul sells: by default a true answer."""
        offer = self.toy if level is Level.AUDITED else replace(self.toy, level=int(level))
        text = changes.pop("text", TEXT)
        usual: dict[str, Any] = {"prompt_root": roots.units_root(text, PROMPT_SALT), "prompt_units": len(text)}
        usual |= {"answer_from": len(text), "max_units": len(answer), "top_p": ONE}
        model_root = changes.pop("model_root", MODEL_ROOT)
        order: Order = self.order(offer, nonce, **(usual | changes))
        prefix = order.prompt_units - order.answer_from
        units = (*text, *answer[prefix:])
        draft = self.sell(order, offer, answer)
        made = Goods(draft, units, len(text), frozenset(lies))
        evidence = roots.evidence_root(made.evidence(), SALT, prefix)
        receipt = replace(draft.receipt, model_root=model_root, evidence_root=evidence)
        signature = PAUL.sign(receipt.digest(self.domain))
        return replace(made, sale=replace(draft, receipt=receipt, receipt_signature=signature))

    def disputed(self, goods: Goods, unit: int = 4, rival: int = NO_RIVAL, by: Key = WATCH) -> "Table":
        """A case by ticket, and a game about a unit, which is known."""
        table = self.begun(goods, unit, rival, by)
        table.to(BEGUN)
        return table

    def game_of(self, case: bytes) -> dict[str, Any]:
        """What the chain keeps of a game."""
        view = unpacked(case, StoredOf(**self.games.stored_of(case)))
        assert view is not None
        return {field.name: getattr(view, field.name) for field in fields(view)}

    def begun(self, goods: Goods, unit: int = 4, rival: int = NO_RIVAL, by: Key = WATCH) -> "Table":
        """A case by ticket, and a game begun."""
        case = self.challenge(goods.sale, by)
        self.games.begin(case, goods.exhibit, (0 if rival == NO_RIVAL else unit, rival), by=by)
        return Table(self, case, goods, unit, by)


@dataclass
class Table:
    """One game, and what has been said last."""

    room: GameRoom
    case: bytes
    goods: Goods
    unit: int
    challenger: Key = WATCH
    shown: Any = None
    """Children or words."""
    moves: int = 0

    @property
    def game(self) -> dict[str, Any]:
        return self.room.game_of(self.case)

    @property
    def head(self) -> bytes:
        found: bytes = self.room.games.head_of(self.case)
        return found

    @property
    def stage(self) -> int:
        return int(self.game["stage"])

    # ------------------------------------------------------------ what the defender does

    def answer(self, run: Run | None = None, rival: int | None = None) -> dict[str, Any]:
        """The fields of an answer from the provider's run."""
        run = run or self.goods.run(self.unit)
        at = len(run.units) - 1
        nodes, logits = run.nodes(at), run.leaves(at, LOGITS)
        chosen = self.goods.units[self.goods.new_from + self.unit]
        rival = self.game["rival"] if rival is None else rival
        words = packed(run.value(at, LOGITS))
        seen = rival // 32 if rival < VOCABULARY else None
        return {
            "facts": FACTS,
            "leaves": len(MODEL),
            "path": merkle.prove(MODEL, 2),
            "run_root": merkle.root(run.positions()),
            "state": packed(run.value(at, STATE)),
            "state_path": merkle.prove(nodes, STATE),
            "position_path": merkle.prove(run.positions(), at),
            "unit": self.goods.opened(len(run.units)),
            "logit": words[128 * (chosen // 32) :][:128],
            "logit_path": merkle.prove(logits, min(chosen // 32, len(logits) - 1)),
            "logit_node_path": merkle.prove(nodes, LOGITS),
            "rival": b"" if seen is None else words[128 * seen :][:128],
            "rival_path": () if seen is None else merkle.prove(logits, seen),
            "evidence_path": merkle.prove(self.evidence_leaves(), self.unit),
            "filtered": NO_FILTER,
        }

    def evidence_leaves(self) -> list[bytes]:
        """Under the receipt's evidence root."""
        return roots.evidence_leaves(self.goods.evidence(), SALT, self.goods.prefix)

    def tree(self, run: Run, game: dict[str, Any]) -> Sequence[bytes]:
        """Leaf hashes of the tree that is narrowed, as a run has them."""
        if game["place"] == EVIDENCE:
            return self.evidence_leaves()
        if game["place"] == RUN:
            return run.positions()
        if game["place"] == NODE:
            return run.nodes(game["position"])
        return run.leaves(game["position"], game["node"])

    def below(self, run: Run, game: dict[str, Any], wide: int) -> list[bytes]:
        """What stands so many levels below the current node, as a run has it."""
        found = layer(self.tree(run, game), game["levels"] - wide)
        return found[game["base"] << wide :][: 1 << wide]

    def words(self, run: Run, game: dict[str, Any]) -> list[int]:
        """What is to be said at WORDS, CHAINS, TURNS, as a run has it."""
        position, node, element = game["position"], game["node"], game["element"]
        if game["place"] == WORDS:
            return list(run.value(position, node)[element : element + 32])
        if game["place"] == CHAINS:
            return run.chains(position, node, element)
        low, turns = game["low"], game["high"] - game["low"]
        parts = min(turns, 64)
        found = run.sums(position, node, element, game["chain"])
        return [found[low + turns * j // parts] for j in range(1, parts)]

    def defend(self, run: Run | None = None, by: Key = PAUL) -> None:
        """The defender's move, from the provider's run."""
        game, run = self.game, run or self.goods.run(self.unit)
        if game["stage"] == BEGUN:
            self.room.games.answer(self.case, self.head, tuple(self.answer(run).values()), by=by)
        elif game["stage"] == POST:
            children = self.below(run, game, wide_of(game["levels"]))
            self.room.games.post(self.case, self.head, children, by=by)
            self.shown = children
        else:
            assert game["stage"] == SAY
            words = self.words(run, game)
            self.room.games.say(self.case, self.head, packed(words), by=by)
            self.shown = words
        self.moves += 1

    # ------------------------------------------------------------ what the challenger does

    def attack(self, truth: Run | None = None, choose: Callable[[int], int] | None = None) -> None:
        """The challenger's move: the first difference from the truth, or what `choose` says of so many."""
        game, truth = self.game, truth or self.goods.truth(self.unit)
        if game["stage"] == POINT:
            mine = self.below(truth, game, game["wide"])
            index = choose(len(self.shown)) if choose else first(self.shown, mine)
            if game["place"] == EVIDENCE and not choose:
                index = self.unit >> game["levels"] - game["wide"] & (1 << game["wide"]) - 1
            self.point(game, index)
        elif game["stage"] == PICK:
            mine_said = self.words(truth, game)
            if game["place"] == TURNS:
                index = 1 + (choose(len(self.shown) + 1) if choose else first(self.shown, mine_said, len(self.shown)))
            else:
                index = choose(len(self.shown)) if choose else first(self.shown, mine_said)
            self.room.games.pick(self.case, self.head, index, packed(self.shown), by=self.challenger)
        else:
            assert game["stage"] == STEP
            self.step(game)

    def point(self, game: dict[str, Any], index: int, by: Key | None = None) -> None:
        """Points at a child."""
        path = merkle.prove(self.shown, index)
        move = (self.case, self.head, index, self.shown[index], path)
        by = by or self.challenger
        if game["place"] == NODE and game["levels"] == game["wide"]:
            node = game["base"] << game["wide"] | index
            known = node < len(NODES)
            leaf, proof = (NODES[node].leaf, merkle.prove(GRAPH, node)) if known else (b"none", ())
            self.room.games.point_node(*move, FACTS, leaf, proof, by=by)
        else:
            self.room.games.point(*move, by=by)

    def step(self, game: dict[str, Any], by: Key | None = None) -> None:
        """Opens the last step."""
        shape = NODES[game["node"]]
        unit = self.goods.opened(game["position"]) if shape.by_id else NO_UNIT
        move = (self.case, self.head, len(MODEL), shape.leaf, unit, (), ())
        self.room.games.step(*move, by=by or self.challenger)

    # ------------------------------------------------------------ whole games

    def to(self, *stages: int, place: int = 0) -> dict[str, Any]:
        """Plays until one of these stages (and that place); the game then."""
        for _ in range(60):
            game = self.game
            if game["stage"] in stages and place in (0, game["place"]):
                return game
            if game["stage"] in DEFENDERS:
                self.defend()
            else:
                self.attack()
        raise AssertionError("the game does not get there")

    def play(self) -> int:
        """To its end; the outcome."""
        self.to(OVER)
        return self.outcome

    @property
    def outcome(self) -> int:
        return int(self.room.court.case_of(self.case)["outcome"])


def wide_of(levels: int) -> int:
    """GAM-10."""
    rounds = -(-levels // 6)
    return -(-levels // rounds) if rounds else 0


def first(shown: Sequence[Any], mine: Sequence[Any], otherwise: int = 0) -> int:
    """Index of the first difference."""
    return next((i for i, (a, b) in enumerate(zip(shown, mine, strict=False)) if a != b), otherwise)
