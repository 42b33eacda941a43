"""The model as a list of kernel calls, and the memory that they work in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import attention, matmul, rowwise
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.formats import BLOCK, FORMATS
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.lowering import Call, Lowering
from steelyard.engines.canonical.native import Native
from steelyard.engines.canonical.packing import Packed
from steelyard.engines.canonical.recipe import TILE, Recipe
from steelyard.engines.canonical.rope import TABLES
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.ir.graph import float_bits

Floats = NDArray[np.float32]
CHUNKS_PER_OPERATION: Final = 16
LOGIT_ALIGN: Final = 64
ALL_POSITIONS: Final = 2**31
"""A window that hides none."""


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
    less32: NDArray[np.int32]
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
        less32=aligned((2 * pairs[0],), np.int32),
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
    ends: list[int] = field(default_factory=list)
    """Per call: how many operations there are when it is done."""

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
    """Writes calls as operations."""

    shape: Shape
    recipe: Recipe
    packed: Packed
    kinds: Mapping[str, str]
    memory: Buffers
    scratch: int
    grain: int
    program: Program

    def place(self, name: str) -> Floats:
        """A buffer by its field's name."""
        found: Floats = getattr(self.memory, name)
        return found

    def quantised(self, length: int) -> dict[int, int]:
        m = self.memory
        arrays: tuple[NDArray[Any], ...] = (m.quants, m.scales, m.sums, m.less8, m.less128, m.less32)
        return {slot: address(array) for slot, array in enumerate(arrays)} | {rowwise.LENGTH: length}

    def norm(self, call: Call) -> None:
        arguments = self.quantised(self.shape.width) | {
            rowwise.X: address(self.place(call.reads)),
            rowwise.Y: address(self.place(call.writes)),
            rowwise.ROWS: address(self.memory.wanted if call.wanted else self.memory.rows),
        }
        self.program.add("norm", arguments | self._norming(call.tensors[0]), 0, 1, call.wanted)

    def dot(self, call: Call) -> None:
        """One matrix, or several whose rows follow each other in `writes`."""
        source, out, at = self.place(call.reads), self.place(call.writes), 0
        columns = source.shape[1]
        for run in self._runs(call.tensors):
            kind = self.kinds[run[0]]
            counts = [self._rows(name, columns) for name in run]
            groups = sum(counts) // LANES
            grain = self.grain or max(1, groups // CHUNKS_PER_OPERATION)
            m = self.memory
            arrays: tuple[NDArray[Any], ...] = (m.quants, m.scales, m.sums, m.less8, m.less128, m.less32)
            slots = (matmul.QUANTS, matmul.SCALES, matmul.SUMS, matmul.LESS8, matmul.LESS128, matmul.LESS32)
            arguments = dict(zip(slots, map(address, arrays), strict=True)) | {
                matmul.WEIGHTS: address(self.packed.parts[run[0]]),
                matmul.BLOCKS: columns // BLOCK,
                matmul.OUT: address(out) + 4 * at,
                matmul.STRIDE: out.shape[1],
                matmul.GROUPS: groups,
                matmul.GRAIN: grain,
                matmul.RESIDUAL: int(call.residual),
            }
            if FORMATS[kind].plain:
                arguments[matmul.QUANTS] = address(source)
            self.program.add(kind, arguments, -(-groups // grain), 0, call.wanted)
            at += sum(counts)

    def _rows(self, name: str, columns: int) -> int:
        form = FORMATS[self.kinds[name]]
        return self.packed.parts[name].size // (columns // form.span * form.packed)

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

    def quantise(self, call: Call) -> None:
        x = self.place(call.reads)
        self.program.add("quantise", self.quantised(x.shape[1]) | {rowwise.X: address(x)}, 0, 1)

    def silu(self, call: Call) -> None:
        places = {rowwise.X: address(self.place(call.reads)), rowwise.Y: address(self.place(call.writes))}
        self.program.add(call.kernel, self.quantised(self.shape.inner) | places, 0, 1)

    gelu = silu

    def post(self, call: Call) -> None:
        arguments = {
            rowwise.X: address(self.place(call.reads)),
            rowwise.Y: address(self.place(call.writes)),
            rowwise.LENGTH: self.shape.width,
        }
        self.program.add("post", arguments | self._norming(call.tensors[0]), 0, 1)

    def bias(self, call: Call) -> None:
        row, at = self.place(call.writes), 0
        for name in call.tensors:
            part = self.packed.parts[name]
            arguments = self._in_place(row, at) | {rowwise.WEIGHT: address(part), rowwise.LENGTH: part.size // 4}
            self.program.add("bias", arguments, 0, 1)
            at += part.size // 4

    def head_norm(self, call: Call) -> None:
        row, at = self.place(call.writes), 0
        for name, heads in zip(call.tensors, (self.shape.heads, self.shape.key_heads), strict=True):
            arguments = self._in_place(row, at) | self._norming(name) | {rowwise.HEADS: heads}
            self.program.add("head_norm", arguments, 0, 1)
            at += heads * self.shape.head_dim

    def cap(self, call: Call) -> None:
        row = self.place(call.writes)
        more = {rowwise.LENGTH: row.shape[1], rowwise.CAP: float_bits(self.shape.logit_cap)}
        self.program.add("cap", self._in_place(row, 0) | more, 0, 1, call.wanted)

    def _in_place(self, row: Floats, at: int) -> dict[int, int]:
        return {rowwise.X: address(row) + 4 * at, rowwise.WIDE: row.shape[1]}

    def _norming(self, weight: str) -> dict[int, int]:
        return {
            rowwise.WEIGHT: address(self.packed.parts[weight]),
            rowwise.EPSILON: float_bits(self.shape.epsilon),
        }

    def rotate(self, call: Call) -> None:
        self.program.add("rotate", self._cached(call.layer), 0, 1)

    def attention(self, call: Call) -> None:
        s = self.shape
        more = {
            attention.OUT: address(self.place(call.writes)),
            attention.SCALE: float_bits(s.scale),
            attention.SCRATCH: self.scratch,
            attention.WINDOW: s.window if s.local(call.layer) else ALL_POSITIONS,
            attention.CAP: float_bits(s.score_cap),
        }
        self.program.add("attention", self._cached(call.layer) | more, 0, s.key_heads)

    def _cached(self, layer: int) -> dict[int, int]:
        """Arguments of kernels that read queries, keys and values, and a layer's part of the pages."""
        s, m = self.shape, self.memory
        keys = layer * page_bytes(s, self.recipe) // s.layers
        cosines, sines = TABLES[s.turn(layer)]
        return {
            rowwise.QKV: address(m.qkv),
            rowwise.STRIDE: m.qkv.shape[1],
            rowwise.POSITIONS: address(m.positions),
            rowwise.TABLES: address(m.tables),
            rowwise.COSINES: address(self.packed.parts[cosines]),
            rowwise.SINES: address(self.packed.parts[sines]),
            rowwise.KEYS: keys,
            rowwise.VALUES: keys + page_bytes(s, self.recipe) // s.layers // 2,
            rowwise.QUERY_HEADS: s.heads,
            rowwise.KEY_HEADS: s.key_heads,
        }


def page_bytes(shape: Shape, recipe: Recipe) -> int:
    """Keys and values of one page of positions in all layers."""
    return shape.layers * 2 * shape.key_width * recipe.page * 4


def scratch_row(shape: Shape, recipe: Recipe) -> int:
    """Numbers in one head's row of scores: the context up to a whole page."""
    return -(-shape.context // recipe.page) * recipe.page


def program(lowered: Lowering, recipe: Recipe, packed: Packed, native: Native, memory: Buffers, grain: int) -> Program:
    """The whole model. `grain` groups of rows make a chunk; 0 lets each matrix choose."""
    shape = lowered.shape
    assert memory.x.shape[0] % TILE == 0
    made = Program(native)
    builder = Builder(shape, recipe, packed, lowered.kinds, memory, scratch_row(shape, recipe), grain, made)
    for call in lowered.calls:
        getattr(builder, call.kernel)(call)
        made.ends.append(len(made.rows))
    made.seal()
    return made
