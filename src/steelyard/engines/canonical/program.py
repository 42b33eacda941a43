"""The model as a list of kernel calls, and the memory that they work in."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import attention, matmul, rowwise
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.matmul import BLOCK
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.packing import COSINES, SINES, Packed
from steelyard.engines.canonical.recipe import TILE, Recipe
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head

Floats = NDArray[np.float32]
CHUNKS_PER_OPERATION: Final = 16
LOGIT_ALIGN: Final = 64


def aligned(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes. All that kernels read or write, weights apart, is made here."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.zeros(size + 64, np.uint8)
    skip = -room.ctypes.data % 64
    found: NDArray[Any] = room[skip : skip + size].view(kind).reshape(shape)
    return found


def address(array: NDArray[Any]) -> int:
    """Where its first byte lies."""
    where: int = array.ctypes.data
    return where


@dataclass
class Buffers:
    """Memory of one step. T = tokens at once, K = the widest row that is quantised."""

    x: Floats
    """Residual stream, [T][width]."""
    normed: Floats
    """[T][width]."""
    qkv: Floats
    """[T][query + 2 key widths]."""
    mixed: Floats
    """Attention's output, [T][query width]."""
    gated: Floats
    """Gate and up, [T][2 inner]."""
    inner: Floats
    """[T][inner]."""
    states: Floats
    """Final-norm outputs of the wanted rows, [T][width]."""
    logits: Floats
    """Of the wanted rows, [T][vocabulary up to a multiple of 64]."""
    quants: NDArray[np.int8]
    scales: Floats
    sums: Floats
    less8: NDArray[np.int32]
    less128: NDArray[np.int32]
    positions: NDArray[np.int64]
    tables: NDArray[np.int64]
    """Address of each token's table of pages."""
    rows: NDArray[np.int64]
    """0 … T-1."""
    wanted: NDArray[np.int64]
    """Rows of x whose logits are wanted."""


def buffers(shape: Shape, tokens: int) -> Buffers:
    """`tokens` is a multiple of TILE."""
    widest = max(shape.width, shape.inner, shape.query_width)
    padded = -(-shape.vocabulary // LOGIT_ALIGN) * LOGIT_ALIGN
    f32, i64 = np.float32, np.int64
    pairs = (tokens * widest // BLOCK,)
    rows = aligned((tokens,), i64)
    rows[:] = range(tokens)
    return Buffers(
        x=aligned((tokens, shape.width), f32),
        normed=aligned((tokens, shape.width), f32),
        qkv=aligned((tokens, shape.query_width + 2 * shape.key_width), f32),
        mixed=aligned((tokens, shape.query_width), f32),
        gated=aligned((tokens, 2 * shape.inner), f32),
        inner=aligned((tokens, shape.inner), f32),
        states=aligned((tokens, shape.width), f32),
        logits=aligned((tokens, padded), f32),
        quants=aligned((tokens * widest,), np.int8),
        scales=aligned(pairs, f32),
        sums=aligned(pairs, f32),
        less8=aligned(pairs, np.int32),
        less128=aligned(pairs, np.int32),
        positions=aligned((tokens,), i64),
        tables=aligned((tokens,), i64),
        rows=rows,
        wanted=aligned((tokens,), i64),
    )


@dataclass
class Program:
    """Operations as the interpreter reads them; `set` makes them those of one step."""

    native: Native
    rows: list[list[int]] = field(default_factory=list)
    counted: list[tuple[int, int, bool]] = field(default_factory=list)
    """Per operation: chunks if the count is fixed, chunks per token, and whether tokens are the wanted ones."""
    code: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, OP_SLOTS), np.int64))

    def add(self, kernel: str, arguments: Mapping[int, int], fixed: int, each: int, wanted: bool = False) -> None:
        row = [0] * OP_SLOTS
        row[KERNEL] = self.native.address[kernel]
        for slot, value in arguments.items():
            row[ARGS + slot] = value
        self.rows.append(row)
        self.counted.append((fixed, each, wanted))

    def seal(self) -> None:
        self.code = aligned((len(self.rows), OP_SLOTS), np.int64)
        self.code[:] = self.rows
        self._fixed, self._each = (np.array([c[i] for c in self.counted], np.int64) for i in range(2))
        self._wanted = np.array([c[2] for c in self.counted])
        self._matrices = np.array([each == 0 for _, each, _ in self.counted])

    def set(self, tokens: int, wanted: int) -> None:
        """Chunk and token counts of a step over `tokens` rows, `wanted` of which get logits."""
        count = np.where(self._wanted, wanted, tokens)
        chunks = np.where(self._matrices, np.where(count > 0, self._fixed, 0), self._each * count)
        self.code[:, CHUNKS] = chunks
        self.code[self._matrices, ARGS + matmul.TOKENS] = count[self._matrices]


@dataclass(frozen=True)
class Builder:
    """Writes the llama graph as operations."""

    shape: Shape
    recipe: Recipe
    packed: Packed
    kinds: Mapping[str, str]
    memory: Buffers
    scratch: int
    grain: int
    program: Program

    def quantised(self, length: int) -> dict[int, int]:
        m = self.memory
        arrays: tuple[NDArray[Any], ...] = (m.quants, m.scales, m.sums, m.less8, m.less128)
        return {slot: address(array) for slot, array in enumerate(arrays)} | {rowwise.LENGTH: length}

    def norm(self, name: str, out: Floats, rows: NDArray[np.int64], wanted: bool = False) -> None:
        arguments = self.quantised(self.shape.width) | {
            rowwise.X: address(self.memory.x),
            rowwise.Y: address(out),
            rowwise.WEIGHT: address(self.packed.parts[name]),
            rowwise.EPSILON: bits(self.shape.epsilon),
            rowwise.ROWS: address(rows),
        }
        self.program.add("norm", arguments, 0, 1, wanted)

    def dot(
        self, names: Sequence[str], size: tuple[int, int], source: Floats, out: Floats, residual: bool, wanted: bool
    ) -> None:
        """One matrix, or several whose rows follow each other in `out`; `size` is (columns, all rows)."""
        columns, rows = size
        at = 0
        for run in self._runs(names):
            kind = self.kinds[run[0]]
            counts = [self._rows(name, columns) for name in run]
            groups = sum(counts) // LANES
            grain = self.grain or max(1, groups // CHUNKS_PER_OPERATION)
            m = self.memory
            arrays: tuple[NDArray[Any], ...] = (m.quants, m.scales, m.sums, m.less8, m.less128)
            slots = (matmul.QUANTS, matmul.SCALES, matmul.SUMS, matmul.LESS8, matmul.LESS128)
            arguments = dict(zip(slots, map(address, arrays), strict=True)) | {
                matmul.WEIGHTS: address(self.packed.parts[run[0]]),
                matmul.BLOCKS: columns // BLOCK,
                matmul.OUT: address(out) + 4 * at,
                matmul.STRIDE: out.shape[1],
                matmul.GROUPS: groups,
                matmul.GRAIN: grain,
                matmul.RESIDUAL: int(residual),
            }
            if kind == "f32":
                arguments[matmul.QUANTS] = address(source)
            self.program.add(kind, arguments, -(-groups // grain), 0, wanted)
            at += sum(counts)
        assert rows <= at < rows + LANES

    def _rows(self, name: str, columns: int) -> int:
        per_16 = columns * 4 * LANES
        if self.kinds[name] != "f32":
            form = matmul.FORMATS[self.kinds[name]]
            per_16 = columns // BLOCK * (form.quants + form.scales)
        return self.packed.parts[name].size // per_16 * LANES

    def _runs(self, names: Sequence[str]) -> list[list[str]]:
        """Neighbours in memory of one kind count as one matrix."""
        runs: list[list[str]] = []
        for name in names:
            part = self.packed.parts[name]
            if runs:
                last = runs[-1][-1]
                before = self.packed.parts[last]
                if self.kinds[last] == self.kinds[name] and address(before) + before.size == address(part):
                    runs[-1].append(name)
                    continue
            runs.append([name])
        return runs

    def layer(self, index: int) -> None:
        s, m, at = self.shape, self.memory, f"blk.{index}."
        self.norm(f"{at}attn_norm.weight", m.normed, m.rows)
        names = [f"{at}attn_{n}.weight" for n in "qkv"]
        self.dot(names, (s.width, m.qkv.shape[1]), m.normed, m.qkv, False, False)
        self._attention(index)
        self.program.add("quantise", self.quantised(s.query_width) | {rowwise.X: address(m.mixed)}, 0, 1)
        self.dot([f"{at}attn_output.weight"], (s.query_width, s.width), m.mixed, m.x, True, False)
        self.norm(f"{at}ffn_norm.weight", m.normed, m.rows)
        names = [f"{at}ffn_{n}.weight" for n in ("gate", "up")]
        self.dot(names, (s.width, 2 * s.inner), m.normed, m.gated, False, False)
        gate = self.quantised(s.inner) | {rowwise.X: address(m.gated), rowwise.Y: address(m.inner)}
        self.program.add("gate", gate, 0, 1)
        self.dot([f"{at}ffn_down.weight"], (s.inner, s.width), m.inner, m.x, True, False)

    def _attention(self, index: int) -> None:
        s, m = self.shape, self.memory
        keys = index * page_bytes(s, self.recipe) // s.layers
        common = {
            rowwise.QKV: address(m.qkv),
            rowwise.STRIDE: m.qkv.shape[1],
            rowwise.POSITIONS: address(m.positions),
            rowwise.TABLES: address(m.tables),
            rowwise.COSINES: address(self.packed.parts[COSINES]),
            rowwise.SINES: address(self.packed.parts[SINES]),
            rowwise.KEYS: keys,
            rowwise.VALUES: keys + page_bytes(s, self.recipe) // s.layers // 2,
            rowwise.QUERY_HEADS: s.heads,
            rowwise.KEY_HEADS: s.key_heads,
        }
        self.program.add("rotate", common, 0, 1)
        more = {
            attention.OUT: address(m.mixed),
            attention.SCALE: bits(1.0 / sqrt(s.head_dim)),
            attention.SCRATCH: self.scratch,
        }
        self.program.add("attention", common | more, 0, s.key_heads)


def page_bytes(shape: Shape, recipe: Recipe) -> int:
    """Keys and values of one page of positions in all layers."""
    return shape.layers * 2 * shape.key_width * recipe.page * 4


def bits(number: float) -> int:
    """binary32 bits of the nearest binary32 number."""
    found: int = struct.unpack("<I", struct.pack("<f", number))[0]
    return found


def scratch_row(shape: Shape, recipe: Recipe) -> int:
    """Numbers in one head's row of scores: the context up to a whole page."""
    return -(-shape.context // recipe.page) * recipe.page


def program(
    head: Head, shape: Shape, recipe: Recipe, packed: Packed, native: Native, memory: Buffers, grain: int
) -> Program:
    """The whole model. `grain` groups of rows make a chunk; 0 lets each matrix choose."""
    assert memory.x.shape[0] % TILE == 0
    kinds = {tensor.name: KINDS[tensor.kind][0] for tensor in head.tensors}
    made = Program(native)
    builder = Builder(shape, recipe, packed, kinds, memory, scratch_row(shape, recipe), grain, made)
    for index in range(shape.layers):
        builder.layer(index)
    builder.norm("output_norm.weight", memory.states, memory.wanted, wanted=True)
    output = "token_embd.weight" if shape.tied else "output.weight"
    builder.dot([output], (shape.width, shape.vocabulary), memory.states, memory.logits, False, True)
    made.seal()
    return made
