"""The last step of a dispute, executed by a contract: bodies made for it, hostile bytes, every node of small models."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import Mutant
from world import Reverted, World

import tiny_llama
from bodies import REFUSED, UNFIT, bodies, mutated
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.ir import encoding
from steelyard.engines.ir.encoding import MAX_AXES, MAX_BYTES, MAX_GIVEN, word
from steelyard.engines.ir.graph import Node
from steelyard.protocol.errors import Refused

VECTORS = Path(__file__).parents[2] / "vectors" / "steps"
IDS = [int(unit) for unit in np.random.default_rng(6).integers(0, 100, 40)]
PLACE = 37
"""The position whose nodes are stepped: beyond a window of 20, no multiple of 16."""
INDICES = [*range(MAX_AXES)]


class Bare(World):
    """Step alone."""

    def _deploy(self, token: str) -> None:
        self.contract = self.deploy("Step", ())

    def step(self, raw: bytes, operands: Sequence[int], indices: Sequence[int] = (), position: int = 0) -> int:
        found: int = self.contract.step(raw, list(operands), list(indices), position)
        return found


@pytest.fixture(scope="module")
def world() -> Bare:
    return Bare()


def told(raw: bytes, operands: Sequence[int], indices: Sequence[int], position: int) -> int | str:
    """What Python answers: a word, or the rule that refuses."""
    try:
        return encoding.step(raw, operands, indices, position)
    except Refused as refusal:
        return refusal.rule


def answered(world: Bare, raw: bytes, operands: Sequence[int], indices: Sequence[int], position: int) -> int | str:
    """What the contract answers."""
    try:
        return world.step(raw, operands, indices, position)
    except Reverted as refusal:
        return str(refusal)


def words(code: int, draw: st.DrawFn) -> int:
    """An operand for a kind of register."""
    if code in (16, 32):
        return draw(st.integers(0, 2 ** (8 * code) - 1)) << (256 - 8 * code)
    return draw(st.integers(0, 2**32 - 1) | st.sampled_from([0x3F800000, 0x80000000, 0x7F800001, 0xFFC00000, 1]))


@st.composite
def arguments(draw: st.DrawFn, raw: bytes) -> tuple[list[int], list[int], int]:
    """Operands of a body, indices and a position."""
    operands = [words(code, draw) for code in raw[1 : 1 + min(raw[0], MAX_GIVEN)]] if raw else []
    return operands, draw(st.lists(st.integers(0, 2**33), max_size=MAX_AXES)), draw(st.integers(0, 2**33))


@given(st.data())
def test_gra_17_the_contract_answers_what_python_answers(world: Bare, data: st.DataObject):
    raw = data.draw(bodies())
    given_ = data.draw(arguments(raw))
    found = answered(world, raw, *given_)
    assert found == told(raw, *given_)
    assert found == "body.axis" or isinstance(found, int)


@given(st.data())
def test_gra_15_hostile_bytes_are_refused_by_the_contract_as_in_python(world: Bare, data: st.DataObject):
    raw = data.draw(mutated())
    operands, _, position = data.draw(arguments(raw))
    given_ = operands, INDICES, position  # every axis is there: one fault at a time
    expected = told(raw, *given_)
    if len(raw) > MAX_BYTES:
        expected = ""  # the ABI's own bound
    assert answered(world, raw, *given_) == expected


@pytest.mark.parametrize("how", REFUSED)
def test_gra_15_a_malformed_body_is_refused_by_the_contract(world: Bare, how: str):
    raw, rule = REFUSED[how]
    rule = "" if how in ("too-long", "too-many-given") else rule  # the ABI's own bounds
    operands = [0] * raw[0] if raw else []
    assert answered(world, raw, operands, INDICES, 0) == rule


@pytest.mark.parametrize("how", UNFIT)
def test_gra_16_operands_that_do_not_fit_are_refused_by_the_contract(world: Bare, how: str):
    raw, operands, rule = UNFIT[how]
    assert answered(world, raw, operands, [], 0) == rule


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_vector_of_a_step_gives_its_result_in_the_contract_or_is_refused_by_its_rule(world: Bare, path: Path):
    case = json.loads(path.read_text())
    told_ = case["input"]
    operands = [int(operand, 16) for operand in told_["operands"]]
    found = answered(world, bytes.fromhex(told_["body"][2:]), operands, told_["indices"], told_["position"])
    if "result" in case:
        assert found == int(case["result"], 16)
    else:
        assert found == (case["refused"] if len(operands) <= MAX_GIVEN else "")  # the ABI's own bound


# -- real models ---------------------------------------------------------------------------------------------------


MODELS = {
    "every-format": tiny_llama.MIXED,
    "llama": tiny_llama.FAMILIES["llama"],
    "gemma2": tiny_llama.FAMILIES["gemma2"],
    "gemma3": tiny_llama.FAMILIES["gemma3"],
}


@pytest.fixture(scope="module", params=MODELS)
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    folder = tmp_path_factory.mktemp("model")
    file = models.open_file(tiny_llama.write(folder / "tiny.gguf", MODELS[request.param]), folder)
    with Trace(models.load(file, 1), IDS) as made:
        yield made


def places(trace: Trace, node: Node) -> Iterator[tuple[int, int, list[int]]]:
    """Element, turn and indices: first, last and one between of both."""
    chance = np.random.default_rng(len(node.name))
    extents = node.extents(PLACE)
    space, inner = extents[: len(node.space)], extents[len(node.space) :]
    total, turns = node.elements(PLACE), node.turns(PLACE)
    for element in {0, total - 1, int(chance.integers(total))}:
        for turn in {0, turns - 1, int(chance.integers(turns))}:
            at = [*np.unravel_index(element, space), *np.unravel_index(turn, inner)]
            yield element, turn, [int(index) for index in at]


def test_every_node_of_a_model_is_stepped_by_the_contract_to_what_the_run_holds(world: Bare, trace: Trace):
    checked = {"map": 0, "fold": 0, "tree": 0}
    for node in trace.graph.nodes:
        raw, value = encoding.body(node), trace.value(PLACE, node.name)
        for element, turn, indices in places(trace, node):
            operands = [word(operand.values) for operand in trace.operands(PLACE, node.name, element, turn)]
            if node.fold:
                before, after = (trace.partial(PLACE, node.name, element, turn + i) for i in range(2))
                chain = turn % node.lanes
                operands.append(word(before[chain]))
                expected = word(after[chain])
            else:
                expected = word(value[element])
            assert world.step(raw, operands, indices, PLACE) == expected, (node.name, element, turn)
            checked["fold" if node.fold else "map"] += 1
        if node.lanes > 1:
            chains = trace.partial(PLACE, node.name, total - 1, node.turns(PLACE)) if (total := len(value)) else []
            assert world.step(encoding.tree(node), [word(chain) for chain in chains]) == word(value[-1]), node.name
            checked["tree"] += 1
    assert min(checked.values()) > 2 * trace.model.file.shape.layers, checked


# -- mutants -------------------------------------------------------------------------------------------------------


MUTANTS = {
    "the first argument of any kind": ("assert (kinds >> (a << 1)) & 3 == signature & 3", "assert True"),
    "the second argument of any kind": ("assert (kinds >> (b << 1)) & 3 == (signature >> 2) & 3", "assert True"),
    "the third argument of any kind": ("assert (kinds >> (c << 1)) & 3 == (signature >> 4) & 3", "assert True"),
    "a dot of two widths": ("assert (wide >> a) & 1 == (wide >> b) & 1", "assert True"),
    "operations cut off": ('assert at <= size, "body.length"\n        functions', "functions"),
    "more operations than 48": ('    assert at == size, "body.length"\n', ""),
    "kinds cut off": ('    assert at <= size, "body.length"\n    assert len(operands)', "    assert len(operands)"),
    "any number of operands": ('    assert len(operands) == count, "step.operands"\n', ""),
    "numbers of more than 32 bits": ('assert operand <= WORD, "step.word"', "assert True"),
    "long vectors of 16": ('assert operand << 128 == 0, "step.vector"', "assert True"),
    "any kind is a vector": ('assert kind == 32, "body.kind"', "assert True"),
    "any number of functions": ("assert functions <= operations.MAX_FUNCTIONS", "assert True"),
    "a vector as result": ('assert last != operations.KIND_VECTOR, "body.result"', "assert True"),
    "codes without operation": ("assert operation < operations.COUNT", "assert True"),
    "an axis that is not there": ('assert axis < len(indices), "body.axis"', "assert True"),
    "a NaN result as it is": ("return binary32.canonical(registers[count - 1])", "return registers[count - 1]"),
    "positions beyond 32 bits": ("result = position & WORD", "result = position"),
}  # fmt: skip
STORY = {
    **{how: (raw, [0] * (raw[0] if raw else 0), INDICES) for how, (raw, _) in REFUSED.items()},
    **{how: (raw, operands, []) for how, (raw, operands, _) in UNFIT.items()},
    "a NaN": (b"\1\1", [0xFFC00001], []),
    "a NaN made": (b"\1\2" + bytes([encoding.CODES["real"], 0]), [0xFFC00001], []),
    "bits of a NaN": (b"\1\1" + bytes([encoding.CODES["neg"], 0, encoding.CODES["neg"], 1]), [0xFFC00001], []),
    "a position": (b"\0" + bytes([encoding.CODES["position"]]), [], []),
}


def story(world: Bare) -> list[int | str]:
    return [answered(world, *arguments, 2**32 + 5) for arguments in STORY.values()]


def test_the_story_is_pythons():
    expected = [told(*arguments, 2**32 + 5) for arguments in STORY.values()]
    found = story(Bare())
    for how, there, here in zip(STORY, expected, found, strict=True):
        assert here in (there, ""), how
    assert found.count("") == 2


@pytest.mark.parametrize("how", MUTANTS)
def test_a_contract_that_is_less_strict_does_not_go_unnoticed(how: str):
    assert story(Bare(Mutant("Step", *MUTANTS[how]))) != story(Bare())
