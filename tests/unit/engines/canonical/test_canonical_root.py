"""What a model root covers, of every format and family: nodes as bytes, where their operands are, the facts."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_llama
from steelyard.engines.canonical import fields, root
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.model import File
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import leaves
from steelyard.protocol import merkle
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.facts import FACTS, Facts

SPEC = Path(__file__).parents[4] / "spec" / "arithmetic.md"
SIZES = {kind: (elements, size) for kind, elements, size in KINDS.values()}


@pytest.fixture(scope="module", params=["mixed", *sorted(FORMATS), *tiny_llama.FAMILIES, *tiny_llama.VARIANTS])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> File:
    name: str = request.param
    tiny = {"mixed": tiny_llama.MIXED, **tiny_llama.FAMILIES, **tiny_llama.VARIANTS}.get(name)
    if tiny is None:
        wide = tiny_llama.Tiny(width=256, heads=8, key_heads=4, inner=512)
        tiny = wide.but(kind=name, outer=name)
    folder = tmp_path_factory.mktemp("model")
    return models.open_file(tiny_llama.write(folder / "tiny.gguf", tiny), folder)


def test_gra_13_each_node_is_read_back_from_its_leaf(file: File) -> None:
    covered, graph = file.covered(), file.lowered.graph
    assert len(covered.nodes) == len(graph.nodes)
    for index, (node, raw) in enumerate(zip(graph.nodes, covered.nodes, strict=True)):
        leaf = leaves.decode(raw)
        views = tuple(replace(view, source=str(number)) for number, view in enumerate(node.loads))
        assert leaf.node == replace(node, name="", loads=views)
        assert [leaf.sources[str(number)] for number in range(len(views))] == [
            covered.sources[view.source] for view in node.loads
        ]
        assert all(source.index < index for source in leaf.sources.values() if isinstance(source, leaves.NodeAt))
        assert leaves.written(leaf.node, leaf.sources) == raw


def test_ari_46_elements_are_where_a_node_leaf_says(file: File) -> None:
    """From code, first leaf and index alone, by leaves that are opened under the model root."""
    covered, model_root = file.covered(), file.packed.root
    assert covered.root() == model_root == covered.tree.root
    tensors = {tensor.name: tensor for tensor in file.head.tensors}
    seen = 0
    for source, place in covered.sources.items():
        if not isinstance(place, leaves.FileAt):
            continue
        name, _, part = source.partition("#")
        kind, field = FIELD_CODES[place.code]
        assert (kind, field) == (KINDS[tensors[name].kind][0], part)
        elements, size = SIZES[kind]
        blocks = 1024 // size if elements == 1 else 1024 // elements
        total = (tensors[name].size or 0) // size * FIELDS[kind][field].each
        for index in {0, total // 2, total - 1}:
            block, within = divmod(index, FIELDS[kind][field].each)
            leaf = place.first_leaf + block // blocks
            raw = covered.file_leaf(leaf)
            path = covered.tree.prove(leaf)
            assert merkle.verify(model_root, covered.tree.count, leaf, merkle.leaf_hash(raw), path)
            at = np.array([block % blocks * size])
            found = FIELDS[kind][field].read(np.frombuffer(raw, np.uint8), at, np.array([within]))
            expected = fields.read(file.data, tensors[name].at, kind, size, part, np.array([index]))
            assert found.tobytes() == expected.tobytes()
            seen += 1
    assert seen > 10


def test_ari_46_the_specifications_table_of_codes_is_the_codes() -> None:
    row = re.compile(r"^\| ([\d ]+) \| (\w+) \| ([^|]+) \| ([\d ]+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
    found = []
    for codes, kind, names, each, size, blocks in row.findall(SPEC.read_text()):
        elements, bytes_of_a_block = SIZES[kind.lower()]
        assert (int(size), int(blocks)) == (bytes_of_a_block, 1024 // (elements if elements > 1 else bytes_of_a_block))
        fields_of = FIELDS[kind.lower()]
        assert re.findall(r"`(\w+)`", names) == [name for name in fields_of if name]
        assert [int(many) for many in each.split()] == [field.each for field in fields_of.values()]
        found += [(int(code), (kind.lower(), name)) for code, name in zip(codes.split(), fields_of, strict=True)]
    assert found == list(enumerate(FIELD_CODES))


def test_gra_13_a_table_is_committed_word_by_word(file: File) -> None:
    covered = file.covered()
    tables = {name: place for name, place in covered.sources.items() if isinstance(place, leaves.TableAt)}
    assert len(tables) == 2 * len(file.shape.turns)
    for name, place in tables.items():
        words = file.packed.parts[name].view("<f4")
        assert len(words) == file.shape.context * file.shape.head_dim // 2
        rows = [merkle.leaf_hash(words[at : at + 32].tobytes()) for at in range(0, len(words), 32)]
        assert place.root == merkle.root(rows)


def test_gra_18_the_facts_are_the_graphs(file: File) -> None:
    covered, nodes = file.covered(), file.lowered.graph.nodes
    known = Facts.read(covered.facts.raw())
    assert known.graph_root == merkle.root([merkle.leaf_hash(node) for node in covered.nodes])
    assert (nodes[known.state].name, nodes[known.logits].name) == ("output_norm", "logits")
    last = known.positions - 1
    assert [nodes[at].elements(last) for at in (known.state, known.logits)] == [known.width, known.vocabulary]
    assert (known.nodes, known.vocabulary, known.ends) == (len(nodes), 100, (2,))
    assert list(covered.leaves())[FACTS] == merkle.leaf_hash(known.raw())


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return tiny_llama.write(tmp_path / "tiny.gguf", tiny_llama.Tiny())


def test_a_leaf_outside_of_the_file_is_refused(one: Path) -> None:
    covered = models.open_file(one, one.parent).covered()
    for index in (0, 3, covered.tree.count, 2**40):
        with pytest.raises(Refused, match=r"^merkle\.index"):
            covered.file_leaf(index)
    whole = b"".join(covered.file_leaf(index) for index in range(4, covered.tree.count))
    assert whole == one.read_bytes()


def test_ari_41_all_that_the_root_covers_changes_it(one: Path) -> None:
    file = models.open_file(one, one.parent)
    covered = file.covered()
    tables = {name: file.packed.parts[name].copy() for name in ("rope.cosines", "rope.sines")}
    assert replace(covered, tables=tables).root() == file.packed.root
    tables["rope.sines"][-1] ^= 1
    others = [replace(covered, tables=tables)]
    for key, value in (("tokenizer.ggml.eos_token_id", 3), ("tokenizer.chat_template", "{{ message }}")):
        others.append(replace(covered, head=replace(file.head, fields={**file.head.fields, key: value})))
    data = bytearray(one.read_bytes())
    data[-1] ^= 1
    others.append(replace(covered, data=memoryview(data)))
    assert len({other.root() for other in [*others, covered]}) == 5


def test_an_end_outside_of_the_vocabulary_is_refused_with_the_facts(one: Path) -> None:
    file = models.open_file(one, one.parent)
    wrong = replace(file.head, fields={**file.head.fields, "tokenizer.ggml.eot_token_id": 100})
    with pytest.raises(Malformed, match=r"^gguf\.tokenizer"):
        replace(file.covered(), head=wrong).root()


def test_a_packed_file_is_found_by_everything_but_the_roots_own_cost(
    one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = models.open_file(one, one.parent).packed.root

    def never(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(leaves, "written", never)
    monkeypatch.setattr(root.Covered, "root", never)
    assert models.open_file(one, one.parent).packed.root == found
