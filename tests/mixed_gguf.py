"""A model's file with its matrices in other types, by llama.cpp's quantisers: gguf-py cannot write Q4_K and Q6_K."""

import ctypes
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from steelyard.engines import gguf_head, llama_c

KIND_OF = {name: (kind, elements, size) for kind, (name, elements, size) in gguf_head.KINDS.items()}


def write(source: Path, target: Path, kinds: Mapping[int, tuple[str, ...]]) -> Path:
    """Writes `source` with its matrices in the types that `kinds` gives for rows of so many numbers, taking turns."""
    head, data = gguf_head.read(source), np.memmap(source, np.uint8, "r")
    records, body = bytearray(), bytearray()
    turns = dict.fromkeys(kinds, 0)
    for tensor in head.tensors:
        kind, raw = tensor.kind, data[tensor.at : tensor.at + (tensor.size or 0)].tobytes()
        if len(tensor.shape) == 2:
            columns = tensor.shape[0]
            name = kinds[columns][turns[columns] % len(kinds[columns])]
            turns[columns] += 1
            kind, raw = KIND_OF[name][0], _quantise(tensor, raw, name)
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        records += struct.pack("<Q", len(tensor.name)) + tensor.name.encode() + shape
        records += struct.pack("<IQ", kind, len(body))
        body += raw + bytes(-len(raw) % head.alignment)
    front = data[: head.fields_end].tobytes() + records
    target.write_bytes(front + bytes(-len(front) % head.alignment) + body)
    return target


def _quantise(tensor: gguf_head.Tensor, raw: bytes, name: str) -> bytes:
    columns, rows = tensor.shape
    values = dequantize(np.frombuffer(raw, np.uint8).reshape(rows, -1), GGMLQuantizationType(tensor.kind))
    kind, elements, size = KIND_OF[name]
    out = ctypes.create_string_buffer(rows * columns // elements * size)
    function = llama_c.library().ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p)
    values = np.ascontiguousarray(values, np.float32)
    assert function(kind, values.ctypes.data, out, 0, rows, columns, None) == len(out)
    return out.raw
