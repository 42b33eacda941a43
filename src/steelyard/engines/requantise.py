"""Siblings of a model file: the same weights in another block format.

Deterministic, so that a sibling's sha256 can be pinned: gguf-py's reference (de)quantisers are plain IEEE arithmetic,
one numpy operation after the other. The metadata is copied byte for byte, but for `general.file_type`, which names the
block format. Tensors of one dimension and those in another format than the source's stay as they are.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from steelyard.engines import gguf_head
from steelyard.engines.gguf_head import KINDS, Head, Tensor
from steelyard.protocol.errors import Malformed

FILE_TYPES: Final = {"q4_0": 2, "q4_1": 3, "q8_0": 7}
"""llama.cpp's `LLAMA_FTYPE_MOSTLY_…` of each block format that can be derived."""


def derive(
    source: Path, source_format: str, to_format: str, out: BinaryIO, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Writes `source` to `out` with its tensors of `source_format` in `to_format` (both keys of `FILE_TYPES`);
    `progress` hears how many bytes are written.

    Raises Malformed as `gguf_head.read`, and `gguf.field` if the file does not say its type."""
    head = gguf_head.read(source)
    kinds = {name: kind for kind, (name, _, _) in KINDS.items()}
    old, new = kinds[source_format], kinds[to_format]
    if head.integer("general.file_type") != FILE_TYPES[source_format]:
        raise Malformed("gguf.field", f"general.file_type {head.fields['general.file_type']}, not {source_format}")
    data = np.memmap(source, np.uint8, "r")

    first = bytearray(data[: head.fields_end].tobytes())
    struct.pack_into("<I", first, head.places["general.file_type"], FILE_TYPES[to_format])
    out.write(first)
    out.write(_records(head, {old: new}))
    _pad(out, head.alignment)
    for tensor in head.tensors:
        assert tensor.size is not None  # every kind of a file that can be a source is known
        raw = data[tensor.at : tensor.at + tensor.size]
        if tensor.kind == old:
            rows = raw.reshape(-1, _row_bytes(tensor, old))
            values = dequantize(rows, GGMLQuantizationType(old))
            raw = quantize(values, GGMLQuantizationType(new))
        out.write(raw.tobytes())
        _pad(out, head.alignment)
        progress(out.tell())


def _records(head: Head, changed: dict[int, int]) -> bytes:
    """The tensor list with new types and places."""
    out, at = bytearray(), 0
    for tensor in head.tensors:
        kind = changed.get(tensor.kind, tensor.kind)
        name = tensor.name.encode()
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        out += struct.pack("<Q", len(name)) + name + shape + struct.pack("<IQ", kind, at)
        rows = 1
        for dimension in tensor.shape[1:]:
            rows *= dimension
        at += gguf_head.padded(rows * _row_bytes(tensor, kind), head.alignment)
    return bytes(out)


def _row_bytes(tensor: Tensor, kind: int) -> int:
    _, block, block_bytes = KINDS[kind]
    return tensor.shape[0] // block * block_bytes


def _pad(out: BinaryIO, alignment: int) -> None:
    at = out.tell()
    out.write(bytes(gguf_head.padded(at, alignment) - at))
