"""Disputes off the chain: a game's events say what was narrowed, its transactions' arguments what was opened."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from steelyard.chain.bindings import rulings as rulings_
from steelyard.chain.bindings.games import EVENTS, Begun, BegunEarly, Called, Ended, Filtered, Games, Stepped
from steelyard.chain.bindings.rulings import Rulings
from steelyard.chain.deploy import Deployment
from steelyard.chain.following import follow
from steelyard.chain.history import Sent, behind, read_call
from steelyard.chain.rpc import RpcChain
from steelyard.market.disputes import CHALLENGER, PROVIDER, Dispute, LastStep, Move, Round, Side, Weighing
from steelyard.market.stored_games import unpacked
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import CHAINS, NOTHING, SUM, WORD, WORDS_PER_LEAF, sums_of, words_of
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.moves import Sieve
from steelyard.protocol.roots import UNITS_PER_LEAF
from steelyard.protocol.units import Address, MicroToken
from steelyard.protocol.verdicts import Outcome

STAGES: Final = ("", "begin", "answer", "post", "point", "say", "pick", "step", "over")
"""What is to be done, by the game's stage."""
PROVIDERS: Final = frozenset({"appeal", "answer", "post", "say", "show_cancel", "show_end"})
"""Functions that the provider calls; `forfeit` anybody, all others the challenger (or anybody, who steps or weighs)."""
Describe = Callable[[bytes, int], tuple[int, int, int, int]]
"""(a node's leaf, position) -> elements, turns of a fold, lanes (0 for a map), the word that its chains start from."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A game in a list."""

    case: bytes
    provider: Address
    challenger: Address
    stage: str
    outcome: str
    why: str


class OnchainDisputes:
    """The games of one market, read only."""

    def __init__(self, chain: RpcChain, deployment: Deployment) -> None:
        self.chain, self.deployment = chain, deployment
        self.games = Games(chain, deployment.games)
        self.rulings = Rulings(chain, deployment.rulings)

    def all(self) -> list[Listed]:
        """In the order in which they were begun. Raises Unavailable."""
        found: dict[bytes, Listed] = {}
        for batch in follow(self.chain, [self.deployment.games], self.deployment.block):
            for log in batch.logs:
                event = EVENTS[log.topics[0]].read(log) if log.topics[0] in EVENTS else None
                match event:
                    case Called() | Begun() | BegunEarly():
                        found[event.case] = Listed(event.case, event.defender, event.challenger, "", "", "")
                    case Ended():
                        began = found[event.case]
                        found[event.case] = replace(began, outcome=_outcome(event.outcome), why=event.why)
        return [replace(one, stage=STAGES[self._stage(one.case)]) for one in found.values()]

    def _stage(self, case: bytes) -> int:
        view = unpacked(case, self.games.stored_of(case))
        return view.stage if view else 0

    def show(self, case: bytes, describe: Describe) -> Dispute:
        """One game, as far as it has come. Raises Refused: `dispute.unknown`, `dispute.indirect`; Unavailable."""
        stage = self._stage(case)
        if stage == 0:
            raise Refused("dispute.unknown", f"0x{case.hex()} was never a game at {self.deployment.games}")
        about = self.rulings.case_of(case)
        sent = behind(self.chain.rpc, self.games.address, case, about.born, self.chain.head().number)
        reading = Reading(case, self.deployment.games, self.deployment.rulings, describe)
        reading.read(sent)
        return reading.told(STAGES[stage], about.receipt)


@dataclass
class Reading:
    """A game that is read from its beginning, move by move."""

    case: bytes
    games: Address
    rulings: Address
    describe: Describe

    def __post_init__(self) -> None:
        self.provider = self.challenger = ZERO_ADDRESS
        self.registration = self.model_root = ZERO32
        self.rounds: list[Round] = []
        self.moves: list[Move] = []
        self.step: LastStep | None = None
        self.weighing: Weighing | None = None
        self.filtered = False
        self.ended: Ended | None = None
        self.settled: rulings_.Settled | None = None
        self.unit: int | None = None
        self.rival: int | None = None
        self.units = self.prompt = self.answer_from = self.nodes = 0
        self.place = ""
        self.count = self.levels = self.base = 0  # of the tree that is gone down
        self.position = self.node = self.element = self.chain = 0
        self.leaf = b""
        self.turns = self.lanes = self.start = 0
        self.low = self.high = self.low_word = self.claimed = 0

    def read(self, sent: Iterable[Sent]) -> None:
        """All moves of the game in order. Raises Refused("dispute.indirect") for one that another contract made."""
        for one in sent:
            events = [
                EVENTS[log.topics[0]].read(log)
                for log in one.logs
                if log.address == self.games and log.topics[0] in EVENTS and log.topics[1] == self.case
            ]
            if one.to != self.games:
                told = f"transaction 0x{one.hash.hex()} went to {one.to}: what was opened in it is not to be seen"
                raise Refused("dispute.indirect", told)
            call = read_call("Games", one.data)
            self._meet(events)
            by = {self.provider: PROVIDER, self.challenger: CHALLENGER}.get(one.sender, one.sender)
            self.moves.append(Move(by, call.name, one.gas_used, one.at, one.hash))
            if (move := getattr(self, f"_{call.name}", None)) is not None:
                move(call.arguments, one.gas_used)
            self._close(one, events)

    def told(self, stage: str, receipt: bytes) -> Dispute:
        """The dispute."""
        settled = self.settled
        return Dispute(
            case=self.case,
            receipt=receipt,
            registration=self.registration,
            model_root=self.model_root,
            provider=self._side(PROVIDER, self.provider),
            challenger=self._side(CHALLENGER, self.challenger),
            stage=stage,
            unit=self.unit,
            positions=0 if self.unit is None else self.prompt + self.unit,
            rival=self.rival,
            rounds=tuple(self.rounds),
            step=self.step,
            moves=tuple(self.moves),
            outcome=_outcome(self.ended.outcome) if self.ended else "",
            why=self.ended.why if self.ended else "",
            weighing=self.weighing,
            slashed=settled.slashed if settled and settled.amount else None,
            amount=MicroToken(settled.amount) if settled and settled.amount else None,
        )

    def _side(self, who: str, address: Address) -> Side:
        """Its clock: the time before every move that it had to make, but for the first, with which clocks begin."""
        own = [move for move in self.moves if move.by == who]
        used = sum(move.at - before.at for before, move in pairwise(self.moves) if self._charged(move) == who)
        return Side(address, used, len(own), sum(move.gas for move in own))

    def _charged(self, move: Move) -> str:
        """Whose clock ran until this move."""
        if move.name != "forfeit":
            return PROVIDER if move.name in PROVIDERS else CHALLENGER
        return PROVIDER if self.ended is not None and self.ended.outcome == Outcome.CHEATED else CHALLENGER

    def _meet(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Called | Begun | BegunEarly):
                self.provider, self.challenger = event.defender, event.challenger
            self.filtered |= isinstance(event, Filtered)

    def _close(self, sent: Sent, events: Sequence[object]) -> None:
        self.ended = next((event for event in events if isinstance(event, Ended)), self.ended)
        stepped = next((event for event in events if isinstance(event, Stepped)), None)
        if stepped is not None and self.step is not None:
            self.step = replace(self.step, computed=stepped.word, claimed=stepped.claimed)
        for log in sent.logs:
            if log.address == self.rulings and log.topics[:2] == (rulings_.Settled.TOPIC, self.case):
                self.settled = rulings_.Settled.read(log)

    # -- moves: (arguments, gas). What a contract refused was never mined, so nothing is checked again -----------------

    def _begin(self, told: Any, _: int) -> None:
        shown = told["shown"]
        order, self.registration = shown["order"], shown["order"]["registration"]
        self.model_root = shown["receipt"]["model_root"]
        self.prompt, self.answer_from = order["prompt_units"], order["answer_from"]
        self.units = self.prompt + shown["answer_units"]
        if told["claim"]["rival"] == NOTHING:
            self._go_down("unit", shown["answer_units"] - (self.prompt - self.answer_from))
        else:
            self.unit, self.rival = told["claim"]["unit"], told["claim"]["rival"]

    def _answer(self, told: Any, _: int) -> None:
        facts = Facts.read(told["shown"]["facts"])
        self.nodes = facts.nodes
        self._go_down("position", self.prompt + (self.unit or 0))
        if self.filtered:
            self.place, self.low, self.high = "id", 0, facts.vocabulary

    def _post(self, told: Any, gas: int) -> None:
        below = self.levels - (len(told["children"]).bit_length() - 1)
        there = -(-(self._ends()[1] + 1 - (self.base << self.levels)) // (1 << below))  # what follows is padding
        self._show(self._ends(), told["children"][:there], gas)
        self.levels = below

    def _point(self, told: Any, gas: int) -> None:
        self.base = (self.base << len(told["path"])) + told["index"]
        self._name(told["index"], self._ends(), gas)
        if self.levels:
            return
        match self.place:
            case "unit":
                self.unit = self.base
            case "position":
                self.position = self.base
                self._go_down("node", self.nodes)
            case "leaf":
                self.element = WORDS_PER_LEAF * self.base
                self.place = "element"

    def _point_node(self, told: Any, gas: int) -> None:
        self._point(told, gas)
        self.node, self.leaf = self.base, told["node"]
        elements, self.turns, self.lanes, self.start = self.describe(self.leaf, self.position)
        self._go_down("leaf", -(-elements // WORDS_PER_LEAF))

    def _say(self, told: Any, gas: int) -> None:
        words = _words(told["words"])
        match self.place:
            case "id":
                self._show((self.low, self.high - 1), [one.to_bytes(SUM) for one in sums_of(told["words"])[1:]], gas)
            case "element":
                self._show((self.element, self.element + len(words) - 1), words, gas)
            case "chain":
                self._show((0, CHAINS - 1), words, gas)
            case _:
                self._show((self.low, self.high - 1), [*words, self.claimed.to_bytes(WORD, "big")], gas)

    def _pick(self, told: Any, gas: int) -> None:
        if self.place == "id":
            self._pick_id(told["index"], gas)
            return
        index = told["index"] - (self.place == "turn")  # turns are counted from 1
        claims = self.rounds[-1].claims
        self.claimed = int.from_bytes(claims[index], "big")
        match self.place:
            case "element":
                self.element += index
                self._name(index, (self.element, self.element), gas)
                self.high, self.low_word = self.turns, self.start
                self.place = {0: "", CHAINS: "chain"}.get(self.lanes, "turn")
            case "chain":
                self.chain = index
                self._name(index, (index, index), gas)
                self.high = (self.turns + CHAINS - 1 - index) // CHAINS
                self.place = "turn"
            case _:
                turns, parts = self.high - self.low, len(claims)
                if index:
                    self.low_word = int.from_bytes(claims[index - 1], "big")
                self.low, self.high = self.low + turns * index // parts, self.low + turns * (index + 1) // parts
                self._name(index, (self.low, self.high - 1), gas)

    def _pick_id(self, index: int, gas: int) -> None:
        """From 1 on; 0 doubts the run."""
        last, ids = self.rounds[-1], self.high - self.low
        if index == 0:
            self.rounds[-1] = replace(last, after=last.before, gas=(last.gas[0], gas))
            self.place, self.low, self.high = "position", 0, 0
            return
        parts = len(last.claims)
        self.low, self.high = self.low + ids * (index - 1) // parts, self.low + ids * index // parts
        self._name(index - 1, (self.low, self.high - 1), gas)

    def _weigh(self, told: Any, gas: int) -> None:
        logit = words_of(told["words"])[self.low % WORDS_PER_LEAF]
        claimed = (told["after"] - told["before"]) % 2 ** (8 * SUM)
        self.weighing = Weighing(self.low, logit, Sieve(**told["sieve"]), claimed, gas)

    def _step(self, told: Any, gas: int) -> None:
        turn = self.chain + CHAINS * self.low if self.lanes == CHAINS else self.low
        self.step = LastStep(
            node=self.node,
            position=self.position,
            element=self.element,
            turn=turn if self.lanes else 0,
            leaf=told["node"],
            uses=tuple(told["uses"]),
            opened=tuple(one["data"] for one in told["openings_"]),
            unit=self._id(told["unit"]["units"]),
            accumulator=self.low_word if self.lanes else 0,
            claimed=self.claimed,
            computed=0,
            gas=gas,
        )

    def _id(self, units: bytes) -> int:
        """The unit at the position, if it was opened."""
        if not units:
            return NOTHING
        first = 0 if self.position < self.prompt else self.answer_from
        at = (self.position - first) % UNITS_PER_LEAF * WORD
        return int.from_bytes(units[at : at + WORD], "little")

    # -- what is narrowed ----------------------------------------------------------------------------------------------

    def _go_down(self, place: str, count: int) -> None:
        self.place, self.count, self.levels, self.base = place, count, (count - 1).bit_length(), 0

    def _ends(self) -> tuple[int, int]:
        """First and last leaf below the current node."""
        return self.base << self.levels, min((self.base + 1) << self.levels, self.count) - 1

    def _show(self, before: tuple[int, int], claims: Sequence[bytes], gas: int) -> None:
        self.rounds.append(Round(self.place, before, tuple(claims), gas=(gas, 0)))

    def _name(self, index: int, after: tuple[int, int], gas: int) -> None:
        last = self.rounds[-1]
        self.rounds[-1] = replace(last, named=index, after=after, gas=(last.gas[0], gas))


def _words(raw: bytes) -> list[bytes]:
    """Words of 4 bytes, big-endian, of little-endian ones."""
    return [raw[at : at + WORD][::-1] for at in range(0, len(raw), WORD)]


def _outcome(number: int) -> str:
    return Outcome(number).name.lower() if number else ""
