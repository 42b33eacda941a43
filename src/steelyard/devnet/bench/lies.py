"""Lies that `steelyard bench dispute` plants in an honest answer: in a word of a run, in a partial sum, in the choice
of the last id, in what filters are said to leave."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from steelyard.engines import draws, sieves
from steelyard.engines.base import Engine, Job
from steelyard.engines.draws import Draw, bits
from steelyard.engines.ir import encoding, leaves
from steelyard.engines.ir.graph import Node
from steelyard.protocol import games
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import Place, View
from steelyard.protocol.moves import Answer, Mark, Move, Say
from steelyard.verification.holding import Holding
from steelyard.verification.weighing import opened
from steelyard.work import generate

FLIP: Final = 1 << 20
LOW: Final = bits(-64.0)
"""A logit with which no filter keeps an id."""
TEMPERATURE, TOP_K, TOP_P = bits(0.8), 40, bits(0.9)
"""Of the answer under filters."""
MODULUS: Final = 2 ** (8 * games.SUM)

Where = tuple[int, int, int]
"""Position, node, element."""


@dataclass(frozen=True, slots=True)
class Sold:
    """An honest answer."""

    job: Job
    ids: tuple[int, ...]
    leaves: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """The position that chose the last id."""
        return len(self.job.prompt) + len(self.ids) - 2

    @property
    def draw(self) -> Draw:
        """How its ids are chosen."""
        return Draw(self.job.temperature, self.job.top_p, self.job.top_k, self.job.seed)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the ids that keep one which the filters leave out (GAM-5): what is missing is in one id's share."""

    lowest: int
    """Whom top-k is said to keep last."""
    at: int
    """The id whose share is wrong."""
    more: int
    """By so much, modulo 2**256."""

    def instead(self, view: View, move: Move, logits: bytes, unit: int) -> Move:
        """What is moved where the honest move is `move`."""
        if isinstance(move, Say) and view.place == Place.IDS:
            after = (view.low, *games.cuts(view.low, view.high))
            said = zip(games.sums_of(move.words), after, strict=True)
            return replace(move, words=games.said_sums(self._wrong(one, ids) for one, ids in said))
        if not isinstance(move, Answer):
            return move
        greatest, vocabulary = move.shown.filtered.greatest, len(logits) // games.WORD
        sieve = sieves.sieve_of(logits, view.temperature, unit, view.rival, self.lowest, greatest.id)
        (honest,) = sieves.tallies(logits, sieve, [vocabulary])
        lowest = Mark(self.lowest, *opened(logits, self.lowest))
        told = replace(move.shown.filtered, lowest=lowest, sums=self._wrong(honest, vocabulary))
        return replace(move, shown=replace(move.shown, filtered=told))

    def _wrong(self, honest: int, below: int) -> int:
        """The sum over the ids below so many."""
        return (honest + self.more) % MODULUS if self.at < below else honest


@dataclass(frozen=True, slots=True)
class Planted:
    """A lie."""

    where: str
    answer: Sold
    """In which it is planted."""
    words: dict[Where, int] = field(default_factory=dict)
    said: dict[tuple[int, int, int, int, int], int] = field(default_factory=dict)
    """By place, chain, turns of the chain."""
    wrong_id: int | None = None
    """The last unit is this id, and not what the rule samples."""
    sums: Sums | None = None


def answered(engine: Engine, job: Job) -> Sold:
    """What the engine says."""
    steps = list(engine.generate(job))
    return Sold(job, tuple(step.id for step in steps), tuple(step.leaf for step in steps))


# -- in a run ----------------------------------------------------------------------------------------------------------


def in_the_run(
    honest: Holding, answer: Sold, names: Sequence[str], chance: random.Random, count: int
) -> Iterator[Planted]:
    """So many words and partial sums at places drawn by `chance`, each with another state for the last unit's evidence;
    and one wrong choice of an id."""
    facts, positions = Facts.read(honest.facts()), answer.last + 1
    state = (answer.last, facts.state, 0)
    for number in range(count):
        position, node = chance.randrange(positions), chance.randrange(facts.nodes)
        place = (position, node, chance.randrange(len(honest.value(position, node)) // 4))
        shape = leaves.decode(honest.node_leaf(node)).node
        turns = shape.turns(position) if shape.fold else 0
        lie = Planted(f"{names[node]} at {position}, element {place[2]}", answer)
        if shape.lanes > 1:
            lie = in_a_chain(lie, honest, place, shape)
        elif number % 2 and turns > 1:
            lie = in_a_sum(lie, honest, place, chance.randrange(1, turns), turns)
        else:
            lie = replace(lie, words={place: word_at(honest, place) ^ FLIP})
        yield replace(lie, words={state: word_at(honest, state) ^ FLIP} | lie.words)
    logits = struct.unpack(f"<{facts.vocabulary}f", honest.value(answer.last, facts.logits))
    second = max((z, -id_) for id_, z in enumerate(logits) if id_ != answer.ids[-1])
    yield Planted(f"sampling: id {-second[1]} for {answer.ids[-1]}", answer, wrong_id=-second[1])


def in_a_sum(lie: Planted, held: Holding, place: Where, first: int, turns: int) -> Planted:
    """A fold's sums are other ones from a turn on, and so is its word."""
    behind = range(first, turns + 1)
    sums = held.sums(*place, 0, behind)
    said = {(*place, 0, turn): word ^ FLIP for turn, word in zip(behind, sums, strict=True)}
    where = f"{lie.where}, sums from turn {first} of {turns}"
    return replace(lie, where=where, words={place: word_at(held, place) ^ FLIP}, said=said)


def in_a_chain(lie: Planted, held: Holding, place: Where, shape: Node) -> Planted:
    """The greatest of 16 chains ends with another sum; the word is what they join to."""
    chains = list(struct.unpack("<16I", held.chains(*place)))
    chain = max(range(16), key=lambda number: chains[number] & 0x7FFFFFFF)
    chains[chain] ^= FLIP
    turns = -(-(shape.turns(place[0]) - chain) // shape.lanes)
    word = encoding.step(encoding.tree(shape), chains)
    where, said = f"{lie.where}, chain {chain}", {(*place, chain, turns): chains[chain]}
    return replace(lie, where=where, words={place: word}, said=said)


def word_at(held: Holding, place: Where) -> int:
    """The word of an element."""
    position, node, element = place
    found: int = struct.unpack_from("<I", held.value(position, node), 4 * element)[0]
    return found


# -- about filters -----------------------------------------------------------------------------------------------------


def under_filters(engine: Engine, prompt: Sequence[int], tokens: int) -> tuple[Sold, int]:
    """An answer of the first seed whose last id is another one without top-k and top-p; and that other one, which they
    therefore leave out: the greatest score of all is not the greatest of those that they keep."""
    seed = 0
    while True:
        job = Job(tuple(prompt), len(prompt), tokens, TEMPERATURE, TOP_P, TOP_K, seed)
        answer = answered(engine, job)
        before = (*job.prompt, *answer.ids[:-1])
        free = replace(job, prompt=before, answer_from=len(before), max_units=1, top_p=generate.ONE_BITS, top_k=0)
        (other,) = (step.id for step in engine.generate(free))
        if len(answer.ids) == tokens and other != answer.ids[-1]:
            return answer, other
        seed += 1


def about_filters(honest: Holding, answer: Sold, free: int) -> Iterator[Planted]:
    """Who draws without filters; who lies about its sums as well; whose run has another logit."""
    picked, facts = answer.ids[-1], Facts.read(honest.facts())
    yield Planted(f"filters: id {free}, left out, for {picked}", answer, wrong_id=free)
    logits = honest.value(answer.last, facts.logits)
    sums = keeping(logits, answer.draw, free, picked)
    yield Planted(f"sums: id {free} for {picked}, share of id {sums.at}", answer, wrong_id=free, sums=sums)
    row = np.frombuffer(logits, "<f4").copy()
    row.view("<u4")[picked] = LOW
    other = draws.pick(row, answer.draw, answer.last + 1)
    where = f"logits: id {other} for {picked}, logit of {picked} at {answer.last}"
    yield Planted(where, answer, words={(answer.last, facts.logits, picked): LOW}, wrong_id=other)


def keeping(logits: bytes, draw: Draw, unit: int, rival: int) -> Sums:
    """Sums that fit (GAM-5) and keep the unit: no weight stands before it, and if top-k leaves it out it is the lowest
    itself. What is missing is in the share of the id in the middle."""
    lowest, greatest = sieves.marks(logits, draw.temperature, draw.top_k, draw.top_p)
    if unit not in draws.keep_top_k(np.frombuffer(logits, "<f4"), draw.top_k):
        lowest = unit
    sieve = sieves.sieve_of(logits, draw.temperature, unit, rival, lowest, greatest)
    (right,) = sieves.tallies(logits, sieve, [sieve.vocabulary])
    wanted = (right >> sieves.BEFORE_RIVAL << sieves.BEFORE_RIVAL) + ((draw.top_k - 1) << sieves.BEFORE_LOWEST)
    return Sums(lowest, sieve.vocabulary // 2, (wanted - right) % MODULUS)
