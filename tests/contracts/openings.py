"""Steps of a short run with everything that a contract must be shown of them, straight from the run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from world import Reverted, World

import tiny_llama
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS, blocks_per_leaf
from steelyard.engines.canonical.trace import Operand, Trace
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir.encoding import word
from steelyard.engines.ir.leaves import FileAt, NodeAt, TableAt, cut
from steelyard.protocol import merkle

NUMBERS = {name: number for number, (name, _, _) in KINDS.items()}
NO_ID = 2**32 - 1


@dataclass(frozen=True)
class Run:
    """`IOperands.Run`."""

    model_root: bytes
    model_leaves: int
    run_root: bytes
    positions: int
    position: int
    position_leaf: bytes
    nodes: int
    node: int
    id: int


@dataclass(frozen=True)
class Opening:
    """`IOperands.Opening`."""

    data: bytes
    count: int
    path: tuple[bytes, ...]
    node_path: tuple[bytes, ...] = ()
    position_path: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Step:
    """The arguments of `Operands.compute`, and the word that the run says is right."""

    run: Run
    node: bytes
    element: int
    turn: int
    accumulator: int
    uses: tuple[int, ...]
    openings: tuple[Opening, ...]
    expected: int

    def arguments(self) -> tuple[Any, ...]:
        """As the ABI wants them."""
        run, openings = tuple(vars(self.run).values()), [tuple(vars(opening).values()) for opening in self.openings]
        return run, self.node, self.element, self.turn, self.accumulator, list(self.uses), openings

    def but(self, **changes: Any) -> Self:
        """Changed; what is not a field of it is one of its run."""
        own = {name: value for name, value in changes.items() if name in vars(self)}
        rest = {name: value for name, value in changes.items() if name not in own}
        return replace(self, **({"run": replace(self.run, **rest)} | own if rest else own))

    def opening(self, which: int, **changes: Any) -> Self:
        """One opening changed."""
        openings = list(self.openings)
        openings[which] = replace(openings[which], **changes)
        return replace(self, openings=tuple(openings))


@dataclass(frozen=True)
class Value:
    """A node's or a table's."""

    leaves: list[bytes]
    tree: merkle.Tree

    @classmethod
    def of(cls, raw: bytes) -> Self:
        leaves = cut(raw)
        return cls(leaves, tree(leaves))


def tree(leaves: Sequence[bytes]) -> merkle.Tree:
    """Over data."""
    return merkle.Tree([merkle.leaf_hash(leaf) for leaf in leaves])


class Opened:
    """All values of a run."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.covered = trace, trace.model.file.covered()
        self.nodes = trace.graph.nodes
        self.tables = {name: Value.of(table.tobytes()) for name, table in self.covered.tables.items()}
        self.values = [
            [Value.of(trace.value(position, node.name).tobytes()) for node in self.nodes]
            for position in range(len(trace.ids))
        ]
        self.positions = [tree([value.tree.root for value in values]) for values in self.values]
        self.run = tree([position.root for position in self.positions])

    def step(self, position: int, index: int, element: int, turn: int) -> Step:
        """One turn of one node, honestly opened."""
        node, trace = self.nodes[index], self.trace
        places: dict[tuple[Any, ...], Opening] = {}
        uses = []
        for operand in trace.operands(position, node.name, element, turn):
            place = self.place(operand)
            places.setdefault(place, self.open(*place, here=position))
            uses.append(list(places).index(place))
        if node.fold:
            before, after = (trace.partial(position, node.name, element, turn + i) for i in range(2))
            accumulator, expected = (word(chains[turn % node.lanes]) for chains in (before, after))
        else:
            accumulator, expected = 0, word(trace.value(position, node.name)[element])
        by_id = any(view.by_id for view in node.loads)
        run = Run(
            model_root=self.covered.tree.root,
            model_leaves=self.covered.tree.count,
            run_root=self.run.root,
            positions=self.run.count,
            position=position,
            position_leaf=merkle.leaf_hash(self.positions[position].root),
            nodes=len(self.nodes),
            node=index,
            id=trace.ids[position] if by_id else NO_ID,
        )
        leaf = self.covered.nodes[index]
        return Step(run, leaf, element, turn, accumulator, tuple(uses), tuple(places.values()), expected)

    def place(self, operand: Operand) -> tuple[Any, ...]:
        """Position, node and leaf; name and leaf of a table; the leaf of the model root."""
        match self.covered.sources[operand.source]:
            case NodeAt(index):
                return operand.position, index, operand.index // 32
            case FileAt(code, first_leaf):
                kind, field = FIELD_CODES[code]
                block = operand.index // FIELDS[kind][field].each
                return (first_leaf + block // blocks_per_leaf(NUMBERS[kind]),)
            case TableAt():
                return operand.source, operand.index // 32

    def open(self, *place: Any, here: int) -> Opening:
        """A leaf at a place, for a step at position `here`."""
        if len(place) == 1:
            return Opening(self.covered.file_leaf(place[0]), 0, self.covered.tree.prove(place[0]))
        if len(place) == 2:
            table = self.tables[place[0]]
            return Opening(table.leaves[place[1]], table.tree.count, table.tree.prove(place[1]))
        position, node, leaf = place
        value = self.values[position][node]
        return Opening(
            data=value.leaves[leaf],
            count=value.tree.count,
            path=value.tree.prove(leaf),
            node_path=self.positions[position].prove(node),
            position_path=() if position == here else self.run.prove(position),
        )

    def some(self, position: int, seed: int) -> "list[Step]":
        """A step of every node, of any element and turn."""
        chance, found = np.random.default_rng(seed), []
        for index, node in enumerate(self.nodes):
            element, turn = (int(chance.integers(n)) for n in (node.elements(position), node.turns(position)))
            found.append(self.step(position, index, element, turn))
        return found


class Bare(World):
    """Step and Operands alone."""

    def _deploy(self, token: str) -> None:
        self.contract = self.deploy("Operands", (self.deploy("Step", ()).address,))

    def answer(self, step: Step) -> int | str:
        """A word, or the rule that refuses."""
        return self.asked(self.contract.compute, *step.arguments())

    def asked(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call gives, or the rule that refuses."""
        try:
            return call(*arguments)
        except Reverted as refusal:
            return str(refusal)


IDS = [int(unit) for unit in np.random.default_rng(6).integers(0, 100, 23)]
PLACE = 20
STEPS = {
    "a row of the embedding": ("embedding", 100, 0),
    "a matrix": ("blk.1.ffn_down", 70, 2),
    "other positions": ("blk.1.attn.mixed", 40, 7),
    "a dot with this position": ("blk.1.attn.dots", 4 * PLACE, 9),
    "this position of all": ("blk.1.attn.mixed", 40, PLACE),
    "tables": ("blk.1.q.turned", 77, 0),
    "a bias": ("blk.0.k.biased", 5, 0),
    "a sum in 16 chains": ("blk.1.ffn_norm.squares", 0, 37),
}


def made(run: Opened, name: str) -> Step:
    """One of STEPS."""
    node, element, turn = STEPS[name]
    return run.step(PLACE, [one.name for one in run.nodes].index(node), element, turn)


@contextmanager
def opened(tiny: tiny_llama.Tiny, folder: Path) -> Iterator[Opened]:
    """A model's run."""
    file = models.open_file(tiny_llama.write(folder / "tiny.gguf", tiny), folder)
    with Trace(models.load(file, 1), IDS) as trace:
        yield Opened(trace)
