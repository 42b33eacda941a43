"""Numbers out of a file's blocks, one at a time: what the graph's inputs `tensor` and `tensor#field` mean (ARI-11).

Slow and plain, beside `packing` and the kernels. Layouts are ggml's (github.com/ggml-org/ggml, ggml-quants.c).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.gguf_head import KINDS

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]
WEIGHTS_PER_LEAF: Final = 1024
BYTES_PER_LEAF: Final = 1024
"""Of plain numbers, and of what is no tensor's (ARI-41)."""
Read = Callable[[Bytes, Whole, Whole], Any]
"""(the file, first byte of each block, number of the element within it) -> float32 or int32."""


@dataclass(frozen=True, slots=True)
class Field:
    """Elements of one kind that a block holds."""

    each: int
    """How many."""
    read: Read


def _half(skip: int) -> Read:
    def read(data: Bytes, at: Whole, _: Whole) -> Array:
        raw = data[at + skip].astype(np.uint16) | data[at + skip + 1].astype(np.uint16) << 8
        found: Array = raw.view(np.float16).astype(np.float32)
        return found

    return read


def _nibble(data: Bytes, at: Whole, lane: Whole) -> Array:
    """Low halves of 16 bytes, then their high halves."""
    found: Array = (data[at + lane % 16].astype(np.int32) >> (lane // 16 * 4).astype(np.int32)) & 15
    return found


def _four(skip: int, less: int) -> Read:
    return lambda data, at, lane: _nibble(data, at + skip, lane) - np.int32(less)


def _five(high: int, less: int) -> Read:
    """Fifth bits in four bytes at `high`, nibbles behind them."""

    def read(data: Bytes, at: Whole, lane: Whole) -> Array:
        bit = (data[at + high + lane // 8].astype(np.int32) >> (lane % 8).astype(np.int32)) & 1
        found: Array = (_nibble(data, at + high + 4, lane) | bit << 4) - np.int32(less)
        return found

    return read


def _byte(skip: int) -> Read:
    return lambda data, at, lane: data[at + skip + lane].view(np.int8).astype(np.int32)


def _plain(kind: str) -> Read:
    size = np.dtype(kind).itemsize

    def read(data: Bytes, at: Whole, _: Whole) -> Array:
        raw = np.stack([data[at + i] for i in range(size)], axis=-1)
        found: Array = raw.view(kind)[..., 0].astype(np.float32)
        return found

    return read


def _brain(data: Bytes, at: Whole, _: Whole) -> Array:
    raw = data[at].astype(np.uint32) << 16 | data[at + 1].astype(np.uint32) << 24
    found: Array = raw.view(np.float32)
    return found


def _six_bits(minimum: bool) -> Read:
    """Q4_K's scale or minimum of sub-block `lane`, times the super-block's binary16 factor: exact in binary32."""
    factor = _half(2 if minimum else 0)

    def read(data: Bytes, at: Whole, lane: Whole) -> Array:
        low = data[at + 4 + lane % 4 + 4 * minimum].astype(np.int32)
        mixed = data[at + 12 + lane % 4].astype(np.int32)
        late = (mixed >> (4 * minimum)) & 15 | (low >> 6) << 4
        found: Array = factor(data, at, lane) * np.where(lane < 4, low & 63, late).astype(np.float32)
        return found

    return read


def _q5_k(data: Bytes, at: Whole, lane: Whole) -> Array:
    """As Q4_K, with fifth bits before the nibbles: bit j of byte i belongs to element i of sub-block j."""
    bit = (data[at + 16 + lane % 32].astype(np.int32) >> (lane // 32).astype(np.int32)) & 1
    found: Array = _q4_k(data, at + 32, lane) | bit << 4
    return found


def _q4_k(data: Bytes, at: Whole, lane: Whole) -> Array:
    pair, within = lane // 64, lane % 64
    found: Array = (
        data[at + 16 + 32 * pair + within % 32].astype(np.int32) >> (within // 32 * 4).astype(np.int32)
    ) & 15
    return found


def _q6_k(data: Bytes, at: Whole, lane: Whole) -> Array:
    half, quarter, within = lane // 128, lane % 128 // 32, lane % 32
    low = data[at + 64 * half + quarter % 2 * 32 + within].astype(np.int32) >> (quarter // 2 * 4).astype(np.int32)
    high = data[at + 128 + 32 * half + within].astype(np.int32) >> (2 * quarter).astype(np.int32)
    found: Array = (low & 15 | (high & 3) << 4) - np.int32(32)
    return found


FIELDS: Final[Mapping[str, Mapping[str, Field]]] = {
    "f32": {"": Field(1, _plain("<f4"))},
    "f16": {"": Field(1, _plain("<f2"))},
    "bf16": {"": Field(1, _brain)},
    "q4_0": {"q": Field(32, _four(2, 8)), "d": Field(1, _half(0))},
    "q4_1": {"q": Field(32, _four(4, 0)), "d": Field(1, _half(0)), "m": Field(1, _half(2))},
    "q5_0": {"q": Field(32, _five(2, 16)), "d": Field(1, _half(0))},
    "q5_1": {"q": Field(32, _five(4, 0)), "d": Field(1, _half(0)), "m": Field(1, _half(2))},
    "q8_0": {"q": Field(32, _byte(2)), "d": Field(1, _half(0))},
    "q4_k": {"q": Field(256, _q4_k), "e": Field(8, _six_bits(False)), "g": Field(8, _six_bits(True))},
    "q5_k": {"q": Field(256, _q5_k), "e": Field(8, _six_bits(False)), "g": Field(8, _six_bits(True))},
    "q6_k": {"q": Field(256, _q6_k), "sc": Field(16, _byte(192)), "d": Field(8, _half(208))},
}
"""Kind -> field -> how to read it. `d` and `m` as binary32, `q` as it multiplies activations (its offset taken off),
`e` and `g` a sub-block's scale and minimum, `sc` Q6_K's scales of 16, whose `d` counts once for each 32."""

FIELD_CODES: Final = tuple((kind, name) for kind, names in FIELDS.items() for name in names)
"""Kind and field of each code in a node's leaf (ARI-46)."""


def blocks_per_leaf(number: int) -> int:
    """Blocks of a tensor type, by ggml's number, in a leaf of the model root: none is split."""
    _, elements, size = KINDS[number]
    return BYTES_PER_LEAF // size if elements == 1 else WEIGHTS_PER_LEAF // elements


def read(data: Bytes, at: int, kind: str, size: int, name: str, index: Whole) -> Array:
    """Elements `index` of a tensor's field, of the same shape. `at`: the tensor's first byte; `size`: a block's."""
    field = FIELDS[kind][name]
    found: Array = field.read(data, at + index // field.each * size, index % field.each)
    return found
