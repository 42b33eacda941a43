"""A loaded model: ids in, states and logits out. One thread at a time."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from steelyard.engines import gguf_head
from steelyard.engines.canonical import native, packing, root, shape
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
    shape: Shape
    data: Bytes
    """The whole file, mapped."""
    sha256: bytes
    packed: Packed
    size: int


def open_file(path: Path, cache: Path | None = None, fits: Callable[[Head, Shape], None] | None = None) -> File:
    """Reads, refuses, hashes and packs (or finds the packed file in `cache`). `fits` may refuse a model before memory
    is taken for it.

    Raises what `gguf_head.read`, `shape.read`, `root.spans` and `fits` do; OSError is the caller's."""
    head = gguf_head.read(path)
    size = shape.read(head)
    if fits is not None:
        fits(head, size)
    data: Bytes = np.memmap(path, dtype=np.uint8, mode="r")
    if len(data) != head.file_size:
        raise Malformed("model.truncated", f"{path.name}: {len(data)} bytes, {head.file_size} when it was opened")
    digest = hashlib.sha256(data.data).digest()
    folder = platformdirs.user_cache_path("steelyard") / "packed" if cache is None else cache
    version = hashlib.sha256((root.graph(size) + root.ARITHMETIC).encode()).hexdigest()[:8]
    place = folder / f"{digest.hex()[:32]}-{version}.pack"
    packed = packing.load(place, head, size)
    if packed is None:
        packed = packing.make(place, head, size, data, root.model_root(head, size, data.data))
    return File(head, size, data, digest, packed, os.stat(path).st_size)


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
        self._program = program(file.head, file.shape, recipe, file.packed, kernels, self._memory, grain)
        scratch = scratch_row(file.shape, recipe) * recipe.group * 4
        self.pool = Pool(kernels, threads, len(self._program.code), scratch)
        self.pool.run(self._program.code[:0])  # nothing to do but to refuse a thread that flushes subnormals
        self._embedding = next(t for t in file.head.tensors if t.name == "token_embd.weight")

    def step(self, feed: Feed) -> tuple[Floats, Floats]:
        """(states [wanted][width], logits [wanted][vocabulary and padding]): views that the next step overwrites."""
        count, wanted = len(feed.ids), len(feed.wanted)
        assert 0 < count <= self.tokens
        m = self._memory
        m.x[:count] = embed(self.file.data, self._embedding, np.array(feed.ids, np.int64))
        m.positions[:count] = feed.positions
        m.tables[:count] = feed.tables
        m.wanted[:wanted] = feed.wanted
        self._program.set(count, wanted)
        self.pool.run(self._program.code)
        return m.states[:wanted], m.logits[:wanted]

    def close(self) -> None:
        self.pool.close()


def embed(data: Bytes, tensor: gguf_head.Tensor, ids: NDArray[np.int64]) -> Floats:
    """Rows of the embedding as binary32: d·q, for Q4_1 d·q rounded, then plus m (ARI-13)."""
    kind, elements, size = KINDS[tensor.kind]
    columns, rows = tensor.shape
    blocks = columns // elements
    table = data[tensor.at : tensor.at + rows * blocks * size].reshape(rows, blocks, size)[ids]
    if kind == "f32":
        return np.ascontiguousarray(table).view(np.float32).reshape(len(ids), columns)
    scales = np.ascontiguousarray(table[..., : 4 if kind == "q4_1" else 2]).view(np.float16).astype(np.float32)
    raw = table[..., 4 if kind == "q4_1" else 2 :]
    if kind == "q8_0":
        numbers = raw.view(np.int8).astype(np.float32)
    else:
        numbers = np.concatenate([raw & 15, raw >> 4], axis=2).astype(np.float32) - np.float32(8 * (kind == "q4_0"))
    values = scales[..., :1] * numbers
    if kind == "q4_1":
        values += scales[..., 1:]
    return values.reshape(len(ids), columns)


def load(file: File, threads: int, recipe: Recipe | None = None, tokens: int = TOKENS, grain: int = 0) -> Model:
    """A model with the fastest kernels for this CPU, or with those of `recipe`."""
    made = recipe or native.recipe_here(file.shape.head_dim, file.shape.heads // file.shape.key_heads)
    return Model(file, made, native.load(made), threads, tokens, grain)


__all__ = ["TOKENS", "Feed", "File", "Model", "address", "embed", "load", "open_file"]
