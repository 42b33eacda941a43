"""Weights as the kernels read them, made once and kept on disk, so that processes share the pages.

16 rows make a group. Per group, numbers of a plain type lie as [k][row]. Of other types, first the weights of every 32
as unsigned numbers, [block][register][row][4] bytes: a register is a quad of k for 8 bits; else four registers hold the
nibbles (low ones quads 0-3, high ones quads 4-7), the next one or two the bits above them. Then, for super-blocks, the
two bytes that each block has, [block][2][row]; then the binary16 scales [span][scale][row]. The last group is filled
up with zero rows. That is as many bytes as in the file, but for the factors of 6 bits in Q4_K and Q5_K, which become
bytes (4.625 and 5.625 bits a weight instead of 4.5 and 5.5): one token is bound by memory, so nothing else is widened.
"""

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import cached, rope
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.formats import BLOCK, FORMATS, Format
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head, Tensor
from steelyard.protocol.errors import Refused

Bytes = NDArray[np.uint8]
MAGIC: Final = b"steelyard/pack/1"
HEADER: Final = 128  # magic 16, model root 32, SHA-256 of the body 32, zeros
ALIGN: Final = 64
MAX_DIVISOR: Final = 2**20
GROUPS_AT_ONCE: Final = 64
"""Bounds the memory that packing takes beside its result."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What a model needs in memory."""

    root: bytes
    """Model root, 32 bytes."""
    parts: Mapping[str, Bytes]
    """Tensor name (and the rope tables) -> its packed bytes, 64-byte aligned."""


def pack(tensor: Tensor, raw: Bytes) -> Bytes:
    """A tensor's bytes as packed bytes."""
    kind, elements, size = KINDS[tensor.kind]
    if len(tensor.shape) == 1:
        return raw
    columns, rows = tensor.shape
    form, spans = FORMATS[kind], columns // elements
    table = raw.reshape(rows, spans, size)
    packed = np.zeros((-(-rows // LANES), LANES * spans * form.packed), np.uint8)
    for first in range(0, len(packed), GROUPS_AT_ONCE):
        some = table[first * LANES : (first + GROUPS_AT_ONCE) * LANES]
        if len(some) % LANES:
            some = np.concatenate([some, np.zeros((-len(some) % LANES, spans, size), np.uint8)])
        packed[first : first + GROUPS_AT_ONCE] = _pack(form, some)
    return packed.reshape(-1)


def _pack(form: Format, table: Bytes) -> Bytes:
    """Whole groups of rows, [rows][spans][bytes in a block], as [group][packed bytes]."""
    groups, spans = len(table) // LANES, table.shape[1]
    if form.unpack is None:
        table = _snapped(form, table)
        return table.reshape(groups, LANES, spans, form.packed).transpose(0, 2, 1, 3).reshape(groups, -1)
    parts = form.unpack(form, table)
    blocks = spans * form.span // BLOCK
    quads = parts.quants.reshape(groups, LANES, blocks, -1, 4).transpose(0, 2, 3, 1, 4)
    pieces = [_squeeze(form.bits, quads)]
    if parts.subs is not None:
        pieces.append(parts.subs.reshape(groups, LANES, blocks, 2).transpose(0, 2, 3, 1))
    scales = parts.scales.reshape(groups, LANES, spans, -1).transpose(0, 2, 3, 1)
    pieces.append(np.ascontiguousarray(scales).view(np.uint8))
    return np.concatenate([piece.reshape(groups, -1) for piece in pieces], axis=1)


def _snapped(form: Format, table: Bytes) -> Bytes:
    """Plain numbers without those that count as 0 (ARI-12)."""
    if not form.least:
        return table
    words = np.ascontiguousarray(table).view(f"<u{form.packed}")
    magnitudes = words & words.dtype.type(2 ** (form.bits - 1) - 1)
    return np.where(magnitudes < form.least, words.dtype.type(0), words).view(np.uint8)


def _squeeze(bits: int, quads: Bytes) -> Bytes:
    """Unsigned weights [group][block][quad][row][4] as `bits` registers, [group][block][register][row][4]."""
    if bits == 8:
        return quads
    registers = [quads[:, :, :4] & 15 | quads[:, :, 4:] << 4]
    each = 8 // (bits - 4) if bits > 4 else 0
    for first in range(0, 8, each) if each else ():
        above = [quads[:, :, first + i : first + i + 1] >> 4 << i * (bits - 4) for i in range(each)]
        registers.append(np.bitwise_or.reduce(above))
    return np.concatenate(registers, axis=2)


def order(shape: Shape) -> list[str]:
    """Tensors in the order in which they lie packed: as a step reads them."""
    names = list(shape.outer())
    for layer in range(shape.layers):
        names += shape.matrices(layer)
    return names + list(shape.vectors())


def _pieces(head: Head, shape: Shape, data: Bytes) -> Iterator[tuple[str, Bytes]]:
    tensors = {tensor.name: tensor for tensor in head.tensors}
    for name in order(shape):
        tensor = tensors[name]
        assert tensor.size is not None
        yield name, pack(tensor, data[tensor.at : tensor.at + tensor.size])


def tables(head: Head, shape: Shape, data: Bytes) -> dict[str, Bytes]:
    """Rotation's tables: name -> binary32 numbers. Raises Refused("model.rope-scaling") for the file's divisors."""
    tensors, found = {tensor.name: tensor for tensor in head.tensors}, {}
    for turn, pair in zip(shape.turns, rope.TABLES, strict=False):
        divisors = [turn.factor] * (shape.head_dim // 2)
        if turn.factors:
            at = tensors[turn.factors].at
            numbers = data[at : at + 4 * len(divisors)].view("<f4")
            if not (numbers >= 1).all() or not (numbers <= MAX_DIVISOR).all():
                told = f"{turn.factors}: {numbers.min()} to {numbers.max()}, must be 1 to {MAX_DIVISOR}"
                raise Refused("model.rope-scaling", told)
            divisors = [turn.factor * float(number) for number in numbers]
        for name, table in zip(pair, rope.tables(turn.base, shape.head_dim, shape.context, divisors), strict=True):
            found[name] = table.reshape(-1).view(np.uint8)
    return found


def sizes(head: Head, shape: Shape) -> dict[str, int]:
    """Name -> packed bytes."""
    tensors = {tensor.name: tensor for tensor in head.tensors}
    found = {}
    for name in order(shape):
        tensor = tensors[name]
        assert tensor.size is not None
        found[name] = tensor.size if len(tensor.shape) == 1 else packed_size(tensor)
    table = shape.context * shape.head_dim // 2 * 4
    return found | {name: table for pair in rope.TABLES[: len(shape.turns)] for name in pair}


def packed_size(tensor: Tensor) -> int:
    """Bytes of a packed matrix."""
    kind, elements, _ = KINDS[tensor.kind]
    columns, rows = tensor.shape
    return -(-rows // LANES) * LANES * (columns // elements) * FORMATS[kind].packed


def _views(body: Bytes, head: Head, shape: Shape) -> dict[str, Bytes]:
    parts, at = {}, 0
    for name, size in sizes(head, shape).items():
        parts[name] = body[at : at + size]
        at += -(-size // ALIGN) * ALIGN
    return parts


def body_size(head: Head, shape: Shape) -> int:
    """Bytes of all parts, each padded to 64."""
    return sum(-(-size // ALIGN) * ALIGN for size in sizes(head, shape).values())


def load(place: Path, head: Head, shape: Shape) -> Packed | None:
    """The packed file at `place`, mapped, or None if it is not there, not whole or not what its hash says."""
    try:
        with place.open("rb") as file:
            header = file.read(HEADER)
            digest = hashlib.file_digest(file, "sha256").digest()  # read: a step maps the pages that it needs
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    if len(data) != HEADER + body_size(head, shape) or header[:16] != MAGIC or header[48:80] != digest:
        return None
    body = np.frombuffer(data, dtype=np.uint8, offset=HEADER)
    return Packed(header[16:48], _views(body, head, shape))


def make(place: Path, head: Head, shape: Shape, data: Bytes, turns: Mapping[str, Bytes], root: bytes) -> Packed:
    """Packs, writes the file if it can (whole or not at all), returns the result. `turns`: `tables`."""
    room = np.zeros(HEADER + body_size(head, shape) + ALIGN, np.uint8)
    skip = -room.ctypes.data % ALIGN
    whole = room[skip : len(room) - ALIGN + skip]
    body = whole[HEADER:]
    parts = _views(body, head, shape)
    for name, piece in chain(_pieces(head, shape, data), turns.items()):
        parts[name][:] = piece
    whole[:16] = np.frombuffer(MAGIC, np.uint8)
    whole[16:48] = np.frombuffer(root, np.uint8)
    whole[48:80] = np.frombuffer(hashlib.sha256(body.data).digest(), np.uint8)
    cached.keep(place, whole.data)
    return load(place, head, shape) or Packed(root, parts)
