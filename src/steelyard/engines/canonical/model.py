"""A loaded model: ids in, states and logits out. One thread at a time."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from steelyard.engines import gguf_head
from steelyard.engines.canonical import formats, lowering, matmul, native, packing, root, shape
from steelyard.engines.canonical.interpreter import ARGS
from steelyard.engines.canonical.lowering import Call, Lowering
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.packing import Packed
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.canonical.program import Floats, address, buffers, page_bytes, program, scratch_row
from steelyard.engines.canonical.recipe import TILE, Recipe
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head
from steelyard.protocol.errors import Malformed

Bytes = NDArray[np.uint8]
TOKENS: Final = 128
"""Most tokens in one step."""


@dataclass(frozen=True)
class File:
    """A model's file, checked and packed."""

    head: Head
    lowered: Lowering
    data: Bytes
    """The whole file, mapped."""
    sha256: bytes
    packed: Packed
    size: int

    @property
    def shape(self) -> Shape:
        return self.lowered.shape

    def covered(self) -> root.Covered:
        """What the model root covers."""
        return root.Covered(self.head, self.lowered, self.packed.parts, self.data.data)


def open_file(path: Path, cache: Path | None = None, fits: Callable[[Head, Shape], None] | None = None) -> File:
    """Reads, refuses, hashes and packs (or finds the packed file in `cache`). `fits` may refuse a model before memory
    is taken for it.

    Raises what `gguf_head.read`, `shape.read`, `root.Covered` and `fits` do; OSError is the caller's."""
    head = gguf_head.read(path)
    size = shape.read(head)
    if fits is not None:
        fits(head, size)
    native.begin(recipe_of(head, size))
    graph = lowered(head, size)
    data: Bytes = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))  # a plain array is indexed in less time
    if len(data) != head.file_size:
        raise Malformed("model.truncated", f"{path.name}: {len(data)} bytes, {head.file_size} when it was opened")
    with path.open("rb") as file:  # read, not mapped: pages that were only hashed need not stay in memory
        digest = hashlib.file_digest(file, "sha256").digest()
    folder = platformdirs.user_cache_path("steelyard") / "packed" if cache is None else cache
    version = hashlib.sha256(root.text(graph).encode()).hexdigest()[:8]
    place = folder / f"{digest.hex()[:32]}-{version}.pack"
    packed = packing.load(place, head, size)
    if packed is None:
        turns = packing.tables(head, size, data)
        found = root.Covered(head, graph, turns, data.data).root()
        packed = packing.make(place, head, size, data, turns, found)
    return File(head, graph, data, digest, packed, os.stat(path).st_size)


def lowered(head: Head, size: Shape) -> Lowering:
    """Graph and calls of a file's model."""
    return lowering.lower(size, {tensor.name: KINDS[tensor.kind][0] for tensor in head.tensors})


@dataclass
class Feed:
    """What one step computes, one entry per token."""

    ids: list[int]
    positions: list[int]
    tables: list[int]
    """Address of the sequence's table of page addresses."""
    wanted: list[int]
    """Indices into `ids` whose successor's logits are wanted, ascending."""


class Model:
    """The program over the file's weights, with its threads."""

    def __init__(self, file: File, recipe: Recipe, kernels: Native, threads: int, tokens: int = TOKENS, grain: int = 0):
        self.file, self.recipe, self.native = file, recipe, kernels
        self.tokens = -(-tokens // TILE) * TILE
        self.page_bytes = page_bytes(file.shape, recipe)
        self._memory = buffers(file.shape, self.tokens)
        self._program = program(file.lowered, recipe, file.packed, kernels, self._memory, grain)
        scratch = scratch_row(file.shape, recipe) * recipe.group * 4
        self.pool = Pool(kernels, threads, len(self._program.code), scratch)
        self.pool.run(self._program.code[:0])  # nothing to do but to refuse a thread that flushes subnormals
        self._embedding = next(t for t in file.head.tensors if t.name == "token_embd.weight")

    def step(self, feed: Feed) -> tuple[Floats, Floats]:
        """(states [wanted][width], logits [wanted][vocabulary and padding]): views that the next step overwrites."""
        self._set(feed)
        self.pool.run(self._program.code)
        m, wanted = self._memory, len(feed.wanted)
        return m.states[:wanted], m.logits[:wanted]

    def observe(self, feed: Feed, see: Callable[[Call, Floats], None]) -> None:
        """A step whose tokens are all wanted, one call at a time; `see` is shown the rows that each call has written,
        one a token, and for one that adds to its rows first what it adds."""
        count = len(feed.ids)
        assert len(feed.wanted) == count
        self._set(feed)
        code, begin = self._program.code, 0
        for call, end in zip(self.file.lowered.calls, self._program.ends, strict=True):
            rows: Floats = getattr(self._memory, call.writes)[:count]
            if call.residual:
                before = rows.copy()
                alone = code[begin:end].copy()
                alone[:, ARGS + matmul.RESIDUAL] = 0
                self.pool.run(alone)
                see(call, rows)
                with np.errstate(all="ignore"):
                    rows += before
            else:
                self.pool.run(code[begin:end])
                see(call, rows)
            begin = end

    def _set(self, feed: Feed) -> None:
        """Makes memory and program those of a step."""
        count, wanted = len(feed.ids), len(feed.wanted)
        assert 0 < count <= self.tokens
        m = self._memory
        with np.errstate(all="ignore"):  # numbers of a hostile file may be infinite
            m.x[:count] = embed(self.file.data, self._embedding, np.array(feed.ids, np.int64))
            if self.file.shape.family.gemma:
                m.x[:count] *= np.float32(sqrt(self.file.shape.width))
        m.positions[:count] = feed.positions
        m.tables[:count] = feed.tables
        m.wanted[:wanted] = feed.wanted
        self._program.set(count, wanted)

    def close(self) -> None:
        self.pool.close()


def embed(data: Bytes, tensor: gguf_head.Tensor, ids: NDArray[np.int64]) -> Floats:
    """Rows of the embedding as binary32 (ARI-13)."""
    kind, elements, size = KINDS[tensor.kind]
    columns, rows = tensor.shape
    table = data[tensor.at : tensor.at + rows * (columns // elements) * size].reshape(rows, -1, size)
    return formats.dequantise(kind, table[ids]).reshape(len(ids), columns)


def recipe_of(head: Head, size: Shape) -> Recipe:
    """The fastest recipe for this CPU, with the kernels that the model's calls need and no others: known before the
    calls are, so that LLVM is at work while they are written."""
    family = size.family
    rows = {"norm", "quantise", "rotate", "gelu" if family.gemma else "silu"}
    more = {"bias": size.biased, "head_norm": family.head_norms, "post": family.post_norms, "cap": bool(size.logit_cap)}
    rows |= {name for name, needed in more.items() if needed}
    kinds = {KINDS[tensor.kind][0] for tensor in head.tensors if len(tensor.shape) == 2}
    here = native.recipe_here(size.head_dim, size.heads // size.key_heads, tuple(sorted(kinds)))
    return replace(here, halves=family.halves, capped=bool(size.score_cap), rows=tuple(sorted(rows)))


def load(file: File, threads: int, recipe: Recipe | None = None, tokens: int = TOKENS, grain: int = 0) -> Model:
    """A model with the fastest kernels for this CPU, or with those of `recipe`."""
    made = recipe or recipe_of(file.head, file.shape)
    return Model(file, made, native.load(made), threads, tokens, grain)


__all__ = ["TOKENS", "Feed", "File", "Model", "address", "embed", "load", "open_file"]
