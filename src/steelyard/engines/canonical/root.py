"""The model root (rule P4): a Merkle tree over everything that decides an answer's bits.

Leaves, in order: arithmetic version; key-value cache type; the facts, with the graph's root; chat template; then the
file from its first byte to its last. A leaf of the file is 1,024 weights of one tensor's blocks, or 1,024 bytes of
plain numbers or of what lies outside tensors (the last of each may be shorter), so no leaf splits a block.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from steelyard.engines.canonical.fields import BYTES_PER_LEAF, FIELD_CODES, FIELDS, blocks_per_leaf
from steelyard.engines.canonical.lowering import LOGITS, STATE, Lowering
from steelyard.engines.canonical.packing import Bytes
from steelyard.engines.gguf_head import KINDS, Head, Tensor
from steelyard.engines.ir import leaves as ir
from steelyard.engines.ir.facts import Facts
from steelyard.protocol import merkle
from steelyard.protocol.errors import Malformed, Refused

ARITHMETIC: Final = "steelyard/arithmetic/3"
KEY_VALUES: Final = "kv/f32"
TEMPLATE: Final = "tokenizer.chat_template"
BEFORE_FILE: Final = 4
"""Leaves before the file's."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the file that are cut alike."""

    tensor: Tensor | None
    """None outside of tensors."""
    begin: int
    end: int
    most: int
    """Bytes of a leaf."""
    first_leaf: int
    """In the model root's tree."""

    @property
    def leaves(self) -> int:
        return -(-(self.end - self.begin) // self.most)


def stretches(head: Head) -> Iterator[Stretch]:
    """The whole file, in order. Raises Malformed("model.tensor-overlap")."""
    at, leaf = 0, BEFORE_FILE
    for tensor in sorted(head.tensors, key=lambda t: t.at):
        if tensor.at < at or tensor.size is None:
            raise Malformed("model.tensor-overlap", f"{tensor.name[:60]} begins at {tensor.at}, before {at}")
        between = Stretch(None, at, tensor.at, BYTES_PER_LEAF, leaf)
        at, leaf = tensor.at + tensor.size, leaf + between.leaves
        inside = Stretch(tensor, tensor.at, at, blocks_per_leaf(tensor.kind) * KINDS[tensor.kind][2], leaf)
        leaf += inside.leaves
        yield from (between, inside)
    yield Stretch(None, at, head.file_size, BYTES_PER_LEAF, leaf)


def spans(head: Head) -> Iterator[tuple[int, int]]:
    """(first byte, end) of every leaf of the file, in order. Raises as `stretches`."""
    for stretch in stretches(head):
        for at in range(stretch.begin, stretch.end, stretch.most):
            yield at, min(at + stretch.most, stretch.end)


@dataclass(frozen=True)
class Covered:
    """What a model root covers, to be hashed or opened. What is computed once is kept."""

    head: Head
    lowered: Lowering
    tables: Mapping[str, Bytes]
    """Name -> the words of each table of rotation (`packing.Packed.parts` has them)."""
    data: memoryview
    """The whole file."""

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """Of the file. Raises as the function."""
        return tuple(stretches(self.head))

    @cached_property
    def sources(self) -> Mapping[str, ir.Source]:
        """Where every source of the graph's views is committed."""
        graph = self.lowered.graph
        found: dict[str, ir.Source] = {node.name: ir.NodeAt(index) for index, node in enumerate(graph.nodes)}
        tensors = {part.tensor.name: part for part in self.stretches if part.tensor}
        for source in graph.inputs:
            name, _, field = source.partition("#")
            if name in tensors:
                code = FIELD_CODES.index((self.lowered.kinds[name], field))
                found[source] = ir.FileAt(code, tensors[name].first_leaf)
            else:
                words = [merkle.leaf_hash(leaf) for leaf in ir.cut(self.tables[name].tobytes())]
                found[source] = ir.TableAt(merkle.root(words))
        return found

    @cached_property
    def nodes(self) -> tuple[bytes, ...]:
        """The graph: one leaf a node (GRA-13). Raises Refused as `leaves.written`."""
        return tuple(ir.written(node, self.sources) for node in self.lowered.graph.nodes)

    @cached_property
    def graph(self) -> merkle.Tree:
        """Over the nodes' leaves."""
        return merkle.Tree([merkle.leaf_hash(node) for node in self.nodes])

    @cached_property
    def facts(self) -> Facts:
        """What is asked of the model without its graph (GRA-18). Raises Malformed("gguf.tokenizer")."""
        s, names = self.lowered.shape, list(self.lowered.graph.by_name)
        ends = tuple(sorted(self.head.ends(s.vocabulary)))
        places = len(names), names.index(STATE), names.index(LOGITS)
        return Facts(self.graph.root, *places, s.width, s.vocabulary, s.context, ends)

    def leaves(self) -> Iterator[bytes]:
        """Leaf hashes of the model root's tree, 32 bytes each."""
        template = str(self.head.fields.get(TEMPLATE, ""))
        for part in (ARITHMETIC.encode(), KEY_VALUES.encode(), self.facts.raw(), template.encode()):
            yield merkle.leaf_hash(part)
        for begin, end in spans(self.head):
            yield merkle.leaf_hash(bytes(self.data[begin:end]))

    def root(self) -> bytes:
        """The model root, 32 bytes: reads the whole file."""
        return merkle.root(list(self.leaves()))

    @cached_property
    def tree(self) -> merkle.Tree:
        """Over `leaves`: reads the whole file, and keeps some 130 bytes a leaf."""
        return merkle.Tree(list(self.leaves()))

    def leaf_of(self, field: ir.FileAt, element: int) -> int:
        """Index, in the model root's tree, of the leaf with an element of a field of the file."""
        kind, name = FIELD_CODES[field.code]
        inside = next(part.tensor for part in self.stretches if part.tensor and part.first_leaf == field.first_leaf)
        return field.first_leaf + element // FIELDS[kind][name].each // blocks_per_leaf(inside.kind)

    def file_leaf(self, index: int) -> bytes:
        """A leaf of the file by its index in the model root's tree, at most 1,024 weights. Raises
        Refused("merkle.index")."""
        end = self.stretches[-1].first_leaf + self.stretches[-1].leaves
        if not BEFORE_FILE <= index < end:
            raise Refused("merkle.index", f"leaf {index}, the file's are {BEFORE_FILE} to {end - 1}")
        part = self.stretches[bisect_right(self.stretches, index, key=lambda s: s.first_leaf) - 1]
        at = part.begin + (index - part.first_leaf) * part.most
        return bytes(self.data[at : min(at + part.most, part.end)])


def text(lowered: Lowering) -> str:
    """All that is computed, for people, and to know it again: one line of what the tables are made of, one a node."""
    s = lowered.shape
    head = f"{ARITHMETIC} {ir.VERSION}: {s.context} positions, {s.vocabulary} ids, heads of {s.head_dim}, {s.turns}"
    return "\n".join([head, *map(str, lowered.graph.nodes)])
