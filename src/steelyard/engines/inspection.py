"""What a model's file holds and costs, also one that is not served here, and why it is not."""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from steelyard.engines import gguf_head
from steelyard.engines.canonical import fields, memory, packing, root, shape
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.shape import MAX_CONTEXT, Shape
from steelyard.engines.gguf_head import Head, Tensor, kind_of
from steelyard.engines.sources import Progress
from steelyard.engines.text import GgufText
from steelyard.protocol import merkle
from steelyard.protocol.errors import Refused

THREADS: Final = 2
LOOKED_UP: Final = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
"""Tensors of which a token reads one row."""
LEAVES_BETWEEN_REPORTS: Final = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """All tensors of one type."""

    type: str
    tensors: int
    parameters: int
    bytes: int | None
    """None for a type whose size is not known here."""
    computed: bool
    """True if this type's matrices are computed here."""


@dataclass(frozen=True, slots=True)
class Work:
    """Multiplications with additions for one token."""

    decode: int
    """Of an answer, at the last position of the context."""
    prefill: int
    """Of a prompt as long as the context, on average; without logits."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, for one run of the context's length on two threads."""

    weights: int
    """As they are packed here; as they lie in the file, if this file is not served."""
    keys_values: int
    """In binary32, for every layer."""
    buffers: int | None
    scratch: int | None
    """Attention's scores. None, as buffers, for a file that is not served."""
    available: int
    """What this machine has now."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Why the file is not served here."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """One file. None where the file does not say."""

    file: str
    bytes: int
    architecture: str
    quantization: str
    licence: str | None
    context_length: int | None
    """The file's own."""
    context: int
    """For which work and memory are given."""
    layers: int | None
    width: int | None
    heads: int | None
    key_heads: int | None
    vocabulary: int | None
    """Rows of the embedding."""
    tokenizer: str | None
    chat_template: bool
    parameters: int
    tensors: tuple[Kind, ...]
    macs_per_token: Work
    memory: Memory
    unsupported: tuple[Unsupported, ...]


def inspect(path: Path, context: int | None = None) -> Inspection:
    """Reads the head only. `context` is in positions; what is served at most by default.

    Raises Malformed: `gguf.…` for a file that is no model; Refused("model.context"); OSError is the caller's."""
    head = gguf_head.read(path)
    architecture = head.text("general.architecture")
    own = _number(head, "context_length")
    positions = min(own or MAX_CONTEXT, MAX_CONTEXT) if context is None else context
    if not 0 < positions < 2**31:
        raise Refused("model.context", f"{positions} positions, must be 1 to {2**31 - 1}")
    embedding = next((t for t in head.tensors if t.name == "token_embd.weight" and len(t.shape) == 2), None)
    vocabulary = embedding.shape[1] if embedding else None
    served, why = _refusals(path, head, vocabulary)
    needed = _memory(head, served, positions)
    total = needed.weights + needed.keys_values + (needed.buffers or 0) + (needed.scratch or 0)
    if total > needed.available:
        told = f"{total} bytes for one run of {positions} positions, available {needed.available}"
        why.append(Unsupported("model.memory", told))
    return Inspection(
        file=str(path),
        bytes=head.file_size,
        architecture=architecture,
        quantization=head.quantization(),
        licence=_words(head, "general.license"),
        context_length=own,
        context=positions,
        layers=_number(head, "block_count"),
        width=_number(head, "embedding_length"),
        heads=_number(head, "attention.head_count"),
        key_heads=_key_heads(head),
        vocabulary=vocabulary,
        tokenizer=_words(head, "tokenizer.ggml.pre") or _words(head, "tokenizer.ggml.model"),
        chat_template=isinstance(head.fields.get(root.TEMPLATE), str),
        parameters=sum(prod(tensor.shape) for tensor in head.tensors),
        tensors=_kinds(head),
        macs_per_token=_work(head, positions),
        memory=needed,
        unsupported=tuple(why),
    )


def model_root(path: Path, report: Progress) -> bytes:
    """The model root (rule P4), 32 bytes: reads the whole file. Raises as loading does."""
    head = gguf_head.read(path)
    size = shape.read(head)
    lowered = models.lowered(head, size)
    leaves: list[bytes] = []
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        turns = packing.tables(head, size, np.frombuffer(view, np.uint8))
        for leaf in root.Covered(head, lowered, turns, view).leaves():
            leaves.append(leaf)
            if len(leaves) % LEAVES_BETWEEN_REPORTS == 0:
                report(min(len(leaves) * fields.BYTES_PER_LEAF, head.file_size), head.file_size)
    return merkle.root(leaves)


def _number(head: Head, key: str) -> int | None:
    value = head.fields.get(f"{head.text('general.architecture')}.{key}")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(head: Head, key: str) -> str | None:
    value = head.fields.get(key)
    return value if isinstance(value, str) else None


def _key_heads(head: Head) -> int | None:
    return _number(head, "attention.head_count_kv") or _number(head, "attention.head_count")


def _kinds(head: Head) -> tuple[Kind, ...]:
    """Tensor types, the one with most parameters first."""
    found: dict[str, list[Tensor]] = {}
    for tensor in head.tensors:
        found.setdefault(kind_of(tensor), []).append(tensor)
    kinds = []
    for name, tensors in found.items():
        sizes = [tensor.size for tensor in tensors if tensor.size is not None]
        known = sum(sizes) if len(sizes) == len(tensors) else None
        parameters = sum(prod(tensor.shape) for tensor in tensors)
        kinds.append(Kind(name, len(tensors), parameters, known, name in FORMATS))
    return tuple(sorted(kinds, key=lambda kind: -kind.parameters))


def _head_lengths(head: Head) -> tuple[int, int]:
    """Numbers in a key's and in a value's head."""
    width, heads = _number(head, "embedding_length") or 0, _number(head, "attention.head_count") or 0
    usual = width // heads if heads > 0 else 0
    return _number(head, "attention.key_length") or usual, _number(head, "attention.value_length") or usual


def _work(head: Head, positions: int) -> Work:
    names = {tensor.name for tensor in head.tensors}
    tied = "output.weight" not in names
    output = matrices = 0
    experts, used = _number(head, "expert_count") or 0, _number(head, "expert_used_count") or 0
    for tensor in head.tensors:
        count = prod(tensor.shape)
        if tensor.name == ("token_embd.weight" if tied else "output.weight"):
            output = count
        elif len(tensor.shape) > 1 and tensor.name not in LOOKED_UP:
            matrices += count * used // experts if "_exps" in tensor.name and experts > 0 else count
    each = (_number(head, "block_count") or 0) * (_number(head, "attention.head_count") or 0) * sum(_head_lengths(head))
    return Work(matrices + output + each * positions, matrices + each * (positions + 1) // 2)


def _memory(head: Head, served: Shape | None, positions: int) -> Memory:
    available = memory.available()
    if served is not None:
        need = memory.need(head, served, models.TOKENS, THREADS, memory.of_positions(served, positions))
        return Memory(need.weights, need.keys_values, need.buffers, need.scratch, available)
    numbers = (_number(head, "block_count") or 0) * (_key_heads(head) or 0) * sum(_head_lengths(head))
    return Memory(sum(t.size or 0 for t in head.tensors), numbers * positions * 4, None, None, available)


def _refusals(path: Path, head: Head, vocabulary: int | None) -> tuple[Shape | None, list[Unsupported]]:
    """The shape, unless the graph is refused, and everything that speaks against the file."""
    served, refusals = shape.survey(head)
    found = [Unsupported(refusal.rule, refusal.detail) for refusal in refusals]

    def tried(look: Callable[[], object]) -> None:
        try:
            look()
        except Refused as refusal:
            found.append(Unsupported(refusal.rule, refusal.detail))

    found += _overlaps(head)
    words: list[GgufText] = []
    tried(lambda: words.append(GgufText(path)))
    if words and vocabulary is not None and words[0].vocabulary != vocabulary:
        told = f"{vocabulary} ids in the weights, {words[0].vocabulary} in the tokenizer"
        found.append(Unsupported("model.vocabulary", told))
    tried(lambda: head.ends(vocabulary or 0))
    return served, found


def _overlaps(head: Head) -> Iterator[Unsupported]:
    placed = sorted(head.tensors, key=lambda tensor: tensor.at)
    for before, after in pairwise(placed):
        end = before.at + (before.size or 0)
        if after.at < end:
            told = f"{after.name[:60]} begins at {after.at}, before {end}"
            yield Unsupported("model.tensor-overlap", told)
