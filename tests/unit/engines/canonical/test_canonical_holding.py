"""One side's run of a dispute, of models of every family and format: its trees are those of slow code, and whatever it
opens opens under the model root and the run root."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import real_model
import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.canonical import fields
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.ir import encoding, evaluate, leaves
from steelyard.engines.ir.holding import GraphHolding, Load, hashed
from steelyard.engines.ir.leaves import FileAt, TableAt
from steelyard.engines.ir.patched import Patched
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import FACTS, Facts

IDS = [int(unit) for unit in np.random.default_rng(8).integers(0, 100, 23)]
"""More than a window of 20."""
LAST = len(IDS) - 1


@dataclass
class Held:
    trace: Trace
    holding: GraphHolding
    root: bytes
    """The model's, as the engine's card has it."""

    def index(self, name: str) -> int:
        return list(self.trace.graph.by_name).index(name)


@pytest.fixture(scope="module", params=[*tiny_llama.FAMILIES, "mixed"])
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("model")
    tiny = tiny_llama.MIXED if request.param == "mixed" else tiny_llama.FAMILIES[request.param]
    file = models.open_file(tiny_llama.write(folder / "tiny.gguf", tiny), folder)
    with Trace(models.load(file, 1, tokens=16), IDS) as trace:
        yield Held(trace, GraphHolding(trace, file.covered()), file.packed.root)


def words(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, "<u4")


def slow(held: Held, position: int, node: int) -> bytes:
    """Leaf hash of a node by the evaluator."""
    value = evaluate.value(held.trace.graph.nodes[node], position, held.trace)
    return merkle.leaf_hash(merkle.root(hashed(value.view(np.uint32).astype("<u4").tobytes())))


def test_gra_14_trees_are_those_of_slow_code(held: Held) -> None:
    """Two steps of 16 tokens, and the window's edge."""
    for position in (0, 1, 14, 15, 16, 19, 20, LAST):
        expected = [slow(held, position, node) for node in range(len(held.trace.graph.nodes))]
        assert held.holding.nodes(position) == expected
        assert held.holding.positions()[position] == merkle.leaf_hash(merkle.root(expected))
    assert held.holding.root() == merkle.root(held.holding.positions())


def test_the_graph_opens_under_the_model_root(held: Held) -> None:
    h = held.holding
    assert merkle.verify(held.root, h.model_leaves(), FACTS, merkle.leaf_hash(h.facts()), h.facts_path())
    facts = Facts.read(h.facts())
    for node in range(facts.nodes):
        leaf = merkle.leaf_hash(h.node_leaf(node))
        assert merkle.verify(facts.graph_root, facts.nodes, node, leaf, h.node_path(node))
    assert len(words(h.value(LAST, facts.state))) == facts.width
    assert len(words(h.value(LAST, facts.logits))) == facts.vocabulary


def taken(load: Load, source: leaves.Source, operand: np.ndarray, index: int) -> np.ndarray:
    """What a step takes from an opening, by what the node's leaf says of it. `index`: its first element."""
    width = len(operand)
    if not isinstance(source, FileAt):
        return words(load.data)[index % 32 : index % 32 + width].view(operand.dtype)
    kind, name = fields.FIELD_CODES[source.code]
    number, size = next((n, size) for n, (known, _, size) in gguf_head.KINDS.items() if known == kind)
    each = fields.FIELDS[kind][name].each
    assert load.leaf == source.first_leaf + index // each // fields.blocks_per_leaf(number)
    within = index - (load.leaf - source.first_leaf) * fields.blocks_per_leaf(number) * each
    return fields.read(np.frombuffer(load.data, np.uint8), 0, kind, size, name, within + np.arange(width))


def opens(held: Held, position: int, node: int, load: Load, source: leaves.Source) -> None:
    """Up to a root that is known without the load."""
    h, leaf = held.holding, merkle.leaf_hash(load.data)
    if load.tag == 0:
        assert (load.position, load.node) <= (position, node)
        root = merkle.root(hashed(h.value(load.position, load.node)))
        assert h.nodes(load.position)[load.node] == merkle.leaf_hash(root)
        assert merkle.verify(root, load.count, load.leaf, leaf, load.path)
    elif load.tag == 1:
        assert merkle.verify(held.root, h.model_leaves(), load.leaf, leaf, load.path)
    else:
        assert isinstance(source, TableAt)
        assert load.root == source.root
        assert merkle.verify(load.root, load.count, load.leaf, leaf, load.path)


def test_one_step_from_what_is_opened_gives_what_is_said_next(held: Held) -> None:
    """Of every node one turn of one element, as a game ends."""
    chance = np.random.default_rng(3)
    for index, node in enumerate(held.trace.graph.nodes):
        decoded = leaves.decode(held.holding.node_leaf(index))
        element, turn = (int(chance.integers(count)) for count in (node.elements(LAST), node.turns(LAST)))
        loads = held.holding.loads(LAST, index, element, turn)
        operands = held.trace.operands(LAST, node.name, element, turn)
        given = []
        for number, (load, operand) in enumerate(zip(loads, operands, strict=True)):
            source = decoded.sources[str(number)]
            opens(held, LAST, index, load, source)
            found = taken(load, source, operand.values, operand.index)
            assert found.tobytes() == operand.values.tobytes(), (node.name, number)
            assert load.by_id == (node.loads[number].by_id != 0)
            assert load.position == (operand.position or 0)
            given.append(encoding.word(found))
        said = int(words(held.holding.value(LAST, index))[element])
        if node.fold:
            chain, before = turn % node.lanes, turn // node.lanes
            last, said = held.holding.sums(LAST, index, element, chain, [before, before + 1])
            given.append(last)
        axes = [int(axis[0]) for axis in evaluate.indices(node, LAST, element, turn)]
        assert encoding.step(encoding.body(decoded.node), given, axes, LAST) == said, node.name


@pytest.mark.parametrize("name", ["blk.1.attn.total", "blk.0.attn_norm.squares", "blk.1.attn.mixed", "blk.0.ffn_down"])
def test_sums_lead_from_the_start_to_the_word_that_is_said(held: Held, name: str) -> None:
    h, index = held.holding, held.index(name)
    node = held.trace.graph.by_name[name]
    element = node.elements(LAST) - 1
    said = words(h.value(LAST, index))[element]
    chains = words(h.chains(LAST, index, element))
    assert len(chains) == node.lanes
    for chain in range(node.lanes):
        turns = h.chain_turns(LAST, index, chain)
        sums = h.sums(LAST, index, element, chain, range(turns + 1))
        assert (sums[0], sums[-1]) == (node.start, chains[chain])
    while len(chains) > 1:
        half = len(chains) // 2
        pair = (part.view(np.float32) for part in (chains[:half], chains[half:]))
        chains = OPERATIONS[node.join].do(*pair).view(np.uint32)
    assert chains[0] == said
    assert sum(h.chain_turns(LAST, index, chain) for chain in range(node.lanes)) == node.turns(LAST)


def test_the_run_of_the_first_positions_is_the_one_that_was_computed_for_them(held: Held) -> None:
    few = held.holding.first(5)
    held.trace.ids, ids = IDS[:5], held.trace.ids
    alone = GraphHolding(held.trace, held.trace.model.file.covered())
    held.trace.ids = ids
    assert few.root() == alone.root() == merkle.root(held.holding.positions()[:5])
    with pytest.raises(Refused, match=r"trace\.position: position 5 of 5"):
        few.value(5, 0)
    with pytest.raises(Refused, match=r"trace\.node: node 10000"):
        few.value(4, 10000)


def test_a_liars_trees_agree_with_what_it_says_and_with_the_run_before(held: Held) -> None:
    h, scores, squares = held.holding, held.index("blk.1.attn.scores"), held.index("output_norm.squares")
    lie = Patched(h, {(9, scores, 29): 1, (9, scores, 0): 2, (LAST, squares, 0): 3}, {(LAST, squares, 0, 7, 2): 4})
    for position in range(len(IDS)):
        changed = {9: {scores}, LAST: {squares}}.get(position, set())
        mine, theirs = h.nodes(position), lie.nodes(position)
        assert {node for node in range(len(mine)) if mine[node] != theirs[node]} == changed
        assert lie.positions()[position] == merkle.leaf_hash(merkle.root(theirs))
        for node in changed:
            assert theirs[node] == merkle.leaf_hash(merkle.root(hashed(lie.value(position, node))))
    assert lie.root() == merkle.root(lie.positions()) != h.root()
    assert words(lie.value(9, scores))[[0, 1, 29]].tolist() == [2, words(h.value(9, scores))[1], 1]
    load = lie.loads(LAST, squares + 1, 0)[0]
    assert (load.data, load.node) == (bytes([3, 0, 0, 0]), squares)
    turns = h.chain_turns(LAST, squares, 7)
    assert lie.sums(LAST, squares, 0, 7, [1, 2])[1] == 4
    assert (words(lie.chains(LAST, squares, 0))[7] == 4) == (turns == 2)
    assert lie.facts() == h.facts()


def test_an_engine_holds_the_run_of_its_ids(tmp_path: Path) -> None:
    path = tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.FAMILIES["llama"])
    engine = CanonicalEngine(path, "tiny", threads=1, cache=tmp_path)
    with engine.holding(IDS, 1) as holding, Trace(models.load(models.open_file(path, tmp_path), 1), IDS) as trace:
        assert holding.positions()[LAST] == merkle.leaf_hash(trace.position_root(LAST))
        assert merkle.verify(
            engine.card.model_root,
            holding.model_leaves(),
            FACTS,
            merkle.leaf_hash(holding.facts()),
            holding.facts_path(),
        )
    with pytest.raises(Refused, match=r"order\.unit-out-of-range"), engine.holding([100], 1):
        pass
    engine.close()


@pytest.mark.model
def test_the_real_models_trees_are_those_of_slow_code(tmp_path: Path) -> None:
    """Some nodes of each position, of every form among them."""
    file = models.open_file(real_model.file())
    ids = [int(unit) for unit in np.random.default_rng(9).integers(0, file.shape.vocabulary, 29)]
    with Trace(models.load(file, 1), ids) as trace:
        held = Held(trace, GraphHolding(trace, file.covered()), file.packed.root)
        nodes = [node for node in range(len(trace.graph.nodes)) if trace.graph.nodes[node].name != "logits"]
        for position in range(len(ids)):
            for node in nodes[position % 29 :: 29]:
                assert held.holding.nodes(position)[node] == slow(held, position, node), (position, node)
