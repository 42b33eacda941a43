"""The tensor types that are computed: how each lies in a file, lies packed, and becomes numbers (ARI-11 to ARI-13).

Packing, kernels, embedding and refusals read `FORMATS`: a new type is a row here and, if its bytes lie in a way not yet
known, an unpacker. `gguf_head.KINDS` says how large its blocks are in a file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical.bounds import TINY_BITS

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
BLOCK: Final = 32
"""Activations that share a scale, hence weights in one whole-number dot."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Blocks taken apart; `...` are the dimensions in which they came."""

    quants: Bytes
    """Weights as unsigned numbers, [...][span]."""
    scales: NDArray[np.float16]
    """[...][scales]: d, and the minimum's m."""
    subs: Bytes | None = None
    """[...][span / 32][2], what `Format.subs` says."""


@dataclass(frozen=True, slots=True)
class Format:
    """One tensor type."""

    span: int
    """Weights that share binary16 scales: 32, in super-blocks 256; 1 if weights are numbers by themselves."""
    bits: int
    """Bits of a weight as packed."""
    scales: int
    """binary16 scales of a span: none for plain numbers, 2 if there is a minimum."""
    unpack: Callable[["Format", Bytes], Parts] | None = None
    """From blocks of a file [...][bytes in a block]; None for plain numbers."""
    offset: int = 0
    """What is subtracted from an unsigned weight."""
    subs: Literal["", "block", "half"] = ""
    """What the two bytes are that each 32 weights of a super-block have. block: unsigned factors of d and of the
    minimum, which is subtracted; half: signed factors of d for the first and the second 16 weights."""
    least: int = 0
    """Bits of the least magnitude that a plain number has when it is packed; below, it becomes +0 (ARI-12)."""

    @property
    def plain(self) -> bool:
        """Weights are numbers, activations are not quantised."""
        return not self.scales

    @property
    def packed(self) -> int:
        """Packed bytes of a row's span."""
        return self.span * self.bits // 8 + (self.span // BLOCK * 2 if self.subs else 0) + 2 * self.scales


def _scales(form: Format, raw: Bytes) -> NDArray[np.float16]:
    return np.ascontiguousarray(raw[..., : 2 * form.scales]).view("<f2")


def _nibbles(form: Format, blocks: Bytes) -> Parts:
    """Scales, fifth bits as a little-endian word if there are any, low nibbles of 0 … 15, high nibbles of 16 … 31."""
    low = blocks[..., -16:]
    quants = np.concatenate([low & 15, low >> 4], axis=-1)
    if form.bits == 5:
        quants |= np.unpackbits(blocks[..., -20:-16], axis=-1, bitorder="little") << 4
    return Parts(quants, _scales(form, blocks))


def _bytes(form: Format, blocks: Bytes) -> Parts:
    """Scale, signed bytes."""
    return Parts(blocks[..., 2:] ^ np.uint8(0x80), _scales(form, blocks))


def _factored(form: Format, blocks: Bytes) -> Parts:
    """d and dmin, 8 factors and 8 minima of 6 bits in 12 bytes, 32 bytes of the weights' fifth bits if there are any
    (bit i for the i-th 32 weights), then per 32 bytes 32 low and 32 high nibbles."""
    a, b, c = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    factors = np.concatenate([a & 63, (c & 15) | (a >> 6 << 4)], axis=-1)
    minima = np.concatenate([b & 63, (c >> 4) | (b >> 6 << 4)], axis=-1)
    shape = blocks.shape[:-1]
    low = blocks[..., -128:].reshape(*shape, 4, 1, 32)
    quants = np.concatenate([low & 15, low >> 4], axis=-2).reshape(*shape, 8, 32)
    if form.bits == 5:
        eighths = np.arange(8, dtype=np.uint8).reshape(8, 1)
        quants |= (blocks[..., 16:48].reshape(*shape, 1, 32) >> eighths & 1) << 4
    return Parts(quants.reshape(*shape, 256), _scales(form, blocks), np.stack([factors, minima], axis=-1))


def _q6_k(form: Format, blocks: Bytes) -> Parts:
    """Two halves of 128: 64 bytes of low and high nibbles each, 32 bytes of pairs of bits each; 16 factors; d."""
    shape = blocks.shape[:-1]
    nibbles = blocks[..., :128].reshape(*shape, 2, 1, 64)
    low = np.concatenate([nibbles & 15, nibbles >> 4], axis=-2).reshape(*shape, 2, 4, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(4, 1)
    high = blocks[..., 128:192].reshape(*shape, 2, 1, 32) >> shifts & 3
    quants = (low | high << 4).reshape(*shape, 256)
    return Parts(quants, _scales(form, blocks[..., 208:]), blocks[..., 192:208].reshape(*shape, 8, 2))


FORMATS: Final = {
    "q4_0": Format(32, 4, 1, _nibbles, offset=8),
    "q4_1": Format(32, 4, 2, _nibbles),
    "q5_0": Format(32, 5, 1, _nibbles, offset=16),
    "q5_1": Format(32, 5, 2, _nibbles),
    "q8_0": Format(32, 8, 1, _bytes, offset=128),
    "q4_k": Format(256, 4, 2, _factored, subs="block"),
    "q5_k": Format(256, 5, 2, _factored, subs="block"),
    "q6_k": Format(256, 6, 1, _q6_k, offset=32, subs="half"),
    "f32": Format(1, 32, 0, least=TINY_BITS),
    "f16": Format(1, 16, 0),
    "bf16": Format(1, 16, 0, least=TINY_BITS >> 16),
}


def dequantise(kind: str, blocks: Bytes) -> Floats:
    """Blocks [...][bytes in a block] as binary32 [...][span] (ARI-13)."""
    form = FORMATS[kind]
    if form.unpack is None:
        return _numbers(kind, blocks)
    parts = form.unpack(form, blocks)
    scales = parts.scales.astype(np.float32)
    d, m = scales[..., :1], scales[..., 1:]
    if form.subs == "block":
        assert parts.subs is not None
        d, m = (np.repeat(s * parts.subs[..., i], BLOCK, axis=-1) for i, s in enumerate((d, -m)))
    elif form.subs == "half":
        assert parts.subs is not None
        factors = parts.subs.view(np.int8).reshape(*blocks.shape[:-1], -1)
        d = np.repeat(d * factors, BLOCK // 2, axis=-1)
    values: Floats = d * (parts.quants.astype(np.float32) - np.float32(form.offset))
    return values + m if form.scales == 2 else values


def _numbers(kind: str, raw: Bytes) -> Floats:
    raw = np.ascontiguousarray(raw)
    if kind == "bf16":
        return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.view("<f4" if kind == "f32" else "<f2").astype(np.float32)
