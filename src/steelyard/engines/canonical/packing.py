"""Weights as the kernels read them, made once and kept on disk, so that processes share the pages.

16 rows make a group. Per group: the quants of every block as [block][quad][row][4] bytes (low nibbles are quads 0-3,
high nibbles quads 4-7, as in the file), then the scales of every block as binary16 [block][row], minima behind them.
Signed bytes are stored plus 128. The last group is filled up with zero rows.
"""

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.engines.canonical import cached, rope
from steelyard.engines.canonical.emit import LANES
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import KINDS, Head, Tensor

Bytes = NDArray[np.uint8]
MAGIC: Final = b"steelyard/pack/1"
HEADER: Final = 128  # magic 16, model root 32, SHA-256 of the body 32, zeros
ALIGN: Final = 64
COSINES, SINES = "rope.cosines", "rope.sines"


@dataclass(frozen=True, slots=True)
class Packed:
    """What a model needs in memory."""

    root: bytes
    """Model root, 32 bytes."""
    parts: Mapping[str, Bytes]
    """Tensor name (and the two rope tables) -> its packed bytes, 64-byte aligned."""


def pack(tensor: Tensor, raw: Bytes) -> Bytes:
    """A tensor's bytes as packed bytes."""
    kind, elements, size = KINDS[tensor.kind]
    if len(tensor.shape) == 1:
        return raw
    columns, rows = tensor.shape
    groups, blocks = -(-rows // LANES), columns // elements
    table = raw.reshape(rows, blocks * size)
    if rows % LANES:
        table = np.vstack([table, np.zeros((groups * LANES - rows, blocks * size), np.uint8)])
    if kind == "f32":
        return np.ascontiguousarray(table.reshape(groups, LANES, blocks, 4).transpose(0, 2, 1, 3)).reshape(-1)
    blocked = table.reshape(groups, LANES, blocks, size)
    scale = 4 if kind == "q4_1" else 2
    quants = blocked[..., scale:].reshape(groups, LANES, blocks, -1, 4).transpose(0, 2, 3, 1, 4)
    if kind == "q8_0":
        quants = quants ^ np.uint8(0x80)
    scales = blocked[..., :scale].reshape(groups, LANES, blocks, -1, 2).transpose(0, 2, 3, 1, 4)
    both = (quants.reshape(groups, -1), scales.reshape(groups, -1))
    return np.ascontiguousarray(np.concatenate(both, axis=1)).reshape(-1)


def order(shape: Shape) -> list[str]:
    """Tensors in the order in which they lie packed: as a step reads them."""
    names = list(shape.outer())
    for layer in range(shape.layers):
        names += shape.matrices(layer)
    return names + shape.norms()


def _pieces(head: Head, shape: Shape, data: Bytes) -> Iterator[tuple[str, Bytes]]:
    tensors = {tensor.name: tensor for tensor in head.tensors}
    for name in order(shape):
        tensor = tensors[name]
        assert tensor.size is not None
        yield name, pack(tensor, data[tensor.at : tensor.at + tensor.size])
    for name, table in zip((COSINES, SINES), rope.tables(shape.rope_base, shape.head_dim, shape.context), strict=True):
        yield name, table.reshape(-1).view(np.uint8)


def sizes(head: Head, shape: Shape) -> dict[str, int]:
    """Name -> packed bytes."""
    tensors = {tensor.name: tensor for tensor in head.tensors}
    found = {}
    for name in order(shape):
        tensor = tensors[name]
        rows = tensor.shape[1] if len(tensor.shape) == 2 else 1
        assert tensor.size is not None
        found[name] = tensor.size // rows * (-(-rows // LANES) * LANES if len(tensor.shape) == 2 else 1)
    table = shape.context * shape.head_dim // 2 * 4
    return found | {COSINES: table, SINES: table}


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


def make(place: Path, head: Head, shape: Shape, data: Bytes, root: bytes) -> Packed:
    """Packs, writes the file if it can (whole or not at all), returns the result."""
    room = np.zeros(HEADER + body_size(head, shape) + ALIGN, np.uint8)
    skip = -room.ctypes.data % ALIGN
    whole = room[skip : len(room) - ALIGN + skip]
    body = whole[HEADER:]
    parts = _views(body, head, shape)
    for name, piece in _pieces(head, shape, data):
        parts[name][:] = piece
    whole[:16] = np.frombuffer(MAGIC, np.uint8)
    whole[16:48] = np.frombuffer(root, np.uint8)
    whole[48:80] = np.frombuffer(hashlib.sha256(body.data).digest(), np.uint8)
    cached.keep(place, whole.data)
    return load(place, head, shape) or Packed(root, parts)
