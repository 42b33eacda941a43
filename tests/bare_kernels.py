"""Single kernels of the canonical engine on arrays, for tests."""

import numpy as np

from steelyard.engines import gguf_head
from steelyard.engines.canonical import matmul, native, packing, rowwise
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL, OP_SLOTS
from steelyard.engines.canonical.pool import Pool
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.canonical.recipe import TILE

KIND_OF = {name: kind for kind, (name, _, _) in gguf_head.KINDS.items()}


class Bare:
    """Kernels of one build, each called alone, on one thread."""

    def __init__(self, kernels: native.Native) -> None:
        self._native, self._pool = kernels, Pool(kernels, 1, 1, 64)

    def close(self) -> None:
        self._pool.close()

    def call(self, kernel: str, arguments: dict[int, int], chunks: int) -> None:
        code = aligned((1, OP_SLOTS), np.int64)
        code[0, KERNEL], code[0, CHUNKS] = self._native.address[kernel], chunks
        for slot, value in arguments.items():
            code[0, ARGS + slot] = value
        self._pool.run(code)

    def _quantise(self, rows: np.ndarray) -> list[np.ndarray]:
        """Tiles of quants, scales, d·S, -8·S, -128·S and -32·S of both halves, of [tokens][numbers]."""
        tokens, numbers = rows.shape
        tiles, blocks = -(-tokens // TILE), numbers // 32
        x = aligned(rows.shape, np.float32)
        x[:] = rows
        shapes = [(32,), (), (), (), (), (2,)]
        kinds = (np.int8, np.float32, np.float32, np.int32, np.int32, np.int32)
        outs = [aligned((tiles, blocks, TILE, *s), kind) for s, kind in zip(shapes, kinds, strict=True)]
        slots = (rowwise.QUANTS, rowwise.SCALES, rowwise.SUMS, rowwise.LESS8, rowwise.LESS128, rowwise.LESS32)
        arguments = dict(zip(slots, map(address, outs), strict=True))
        self.call("quantise", arguments | {rowwise.LENGTH: numbers, rowwise.X: address(x)}, tokens)
        return outs

    def quantise(self, row: np.ndarray) -> list[np.ndarray]:
        """Quants [block][32], then scales, d·S, -8·S, -128·S, and -32·S of both halves, per block, of one row."""
        return [out[0, :, 0] for out in self._quantise(row[None])]

    def matrix(self, kind: str, raw: np.ndarray, x: np.ndarray, grain: int = 1) -> np.ndarray:
        """[tokens][rows]: the file's rows, [rows][bytes], times the activations [tokens][columns]."""
        tokens, columns = x.shape
        tensor = gguf_head.Tensor("m", KIND_OF[kind], (columns, len(raw)), 0, raw.size)
        packed = packing.pack(tensor, raw.reshape(-1))
        weights = aligned(packed.shape, np.uint8)
        weights[:] = packed
        inputs = self._quantise(x)
        numbers = aligned(x.shape, np.float32)
        numbers[:] = x
        groups = -(-len(raw) // 16)
        out = aligned((tokens, groups * 16), np.float32)
        slots = (matmul.QUANTS, matmul.SCALES, matmul.SUMS, matmul.LESS8, matmul.LESS128, matmul.LESS32)
        arguments = dict(zip(slots, map(address, inputs), strict=True)) | {
            matmul.WEIGHTS: address(weights),
            matmul.BLOCKS: columns // 32,
            matmul.OUT: address(out),
            matmul.STRIDE: groups * 16,
            matmul.TOKENS: tokens,
            matmul.GROUPS: groups,
            matmul.GRAIN: grain,
        }
        if FORMATS[kind].plain:
            arguments[matmul.QUANTS] = address(numbers)
        self.call(kind, arguments, -(-groups // grain))
        return out[:, : len(raw)].copy()
