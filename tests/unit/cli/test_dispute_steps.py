"""The last step in words: every node of small models, held against the run that it comes from."""

from collections.abc import Iterator

import numpy as np
import pytest

import tiny_llama
from steelyard.cli.dispute_step import described, explained
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS, blocks_per_leaf
from steelyard.engines.canonical.root import Covered
from steelyard.engines.canonical.trace import Operand, Trace
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir.encoding import word
from steelyard.engines.ir.graph import Node
from steelyard.engines.ir.leaves import FileAt
from steelyard.market.disputes import LastStep

IDS = [int(unit) for unit in np.random.default_rng(6).integers(0, 100, 40)]
PLACE = 37
NUMBERS = {name: number for number, (name, _, _) in KINDS.items()}


@pytest.fixture(scope="module", params=["every-format", "gemma2"])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    folder = tmp_path_factory.mktemp("model")
    shape = tiny_llama.MIXED if request.param == "every-format" else tiny_llama.FAMILIES[request.param]
    file = models.open_file(tiny_llama.write(folder / "tiny.gguf", shape), folder)
    with Trace(models.load(file, 1), IDS) as made:
        yield made


def leaf_of(trace: Trace, covered: Covered, operand: Operand) -> bytes:
    """What is opened of an operand's source."""
    source = covered.sources[operand.source]
    if isinstance(source, FileAt):
        kind, name = FIELD_CODES[source.code]
        block = operand.index // FIELDS[kind][name].each
        return covered.file_leaf(source.first_leaf + block // blocks_per_leaf(NUMBERS[kind]))
    if operand.position is None:
        size = len(covered.tables[operand.source].view(np.uint32))
    else:
        size = trace.graph.by_name[operand.source].elements(operand.position)
    first = operand.index // 32 * 32
    there = np.arange(first, min(first + 32, size))
    return trace.gather(operand.source, operand.position or 0, there).view(np.uint32).astype("<u4").tobytes()


def last_step(trace: Trace, covered: Covered, index: int, element: int, turn: int) -> LastStep:
    """As the contract would have been given it."""
    node = trace.graph.nodes[index]
    operands = trace.operands(PLACE, node.name, element, turn)
    if node.fold:
        before, after = (trace.partial(PLACE, node.name, element, turn + i) for i in range(2))
        accumulator, expected = (word(chains[turn % node.lanes]) for chains in (before, after))
    else:
        accumulator, expected = 0, word(trace.value(PLACE, node.name)[element])
    return LastStep(
        node=index,
        position=PLACE,
        element=element,
        turn=turn,
        leaf=covered.nodes[index],
        uses=tuple(range(len(operands))),
        opened=tuple(leaf_of(trace, covered, operand) for operand in operands),
        unit=IDS[PLACE],
        accumulator=accumulator,
        claimed=expected ^ 1,
        computed=expected,
        gas=0,
    )


def places(node: Node) -> Iterator[tuple[int, int]]:
    """First and last elements and turns."""
    yield from {(0, 0), (node.elements(PLACE) - 1, node.turns(PLACE) - 1)}


def test_every_node_of_a_model_is_explained_by_the_numbers_that_its_run_has(trace: Trace) -> None:
    wrong, covered = [], trace.model.file.covered()
    for index, node in enumerate(trace.graph.nodes):
        assert described(covered.nodes[index], PLACE) == (
            node.elements(PLACE),
            node.turns(PLACE),
            node.lanes if node.fold else 0,
            node.start,
        )
        for element, turn in places(node):
            step = last_step(trace, covered, index, element, turn)
            found = explained(step, trace.graph.nodes)
            assert found.node == node.name
            operands = trace.operands(PLACE, node.name, element, turn)
            for operand, value in zip(operands, found.operands, strict=False):
                assert value.what.split(" [")[0] == operand.source
                assert f"[{operand.index:,}]" in value.what
            result = [*found.operands, *found.operations][-1]
            if result.bits != found.computed.bits:
                wrong.append((node.name, element, turn))
    assert wrong == []
