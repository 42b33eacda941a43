"""The head of a GGUF file: its metadata and where its tensors lie, in some 60 ms (gguf-py's reader takes two seconds).

Layout (github.com/ggml-org/ggml, docs/gguf.md, versions 2 and 3, little-endian): magic, version, counts; key-value
pairs; one record per tensor; padding; data. The file is somebody else's, so every length is checked before it is used.
"""

import mmap
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from steelyard.protocol.errors import Malformed

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_COUNT: Final = 2**20
"""Most tensors, and most key-value pairs."""
MAX_ELEMENTS: Final = 2**23
"""Most elements of all arrays together: a million tokens with types, scores and merges."""
MAX_BYTES: Final = 2**28
"""Most bytes before the weights."""
MAX_DIMENSIONS: Final = 4
MAX_DEPTH: Final = 3
"""Arrays of arrays, at most this deep."""
END_FIELDS: Final = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")

SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

KINDS: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    30: ("bf16", 1, 2),
}
"""ggml's number of a tensor type: its name, elements in a block, bytes in a block."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies."""

    name: str
    kind: int
    """ggml's number; `KINDS` names the common ones."""
    shape: tuple[int, ...]
    """ggml's order: the contiguous dimension first."""
    at: int
    """First byte, counted from the beginning of the file."""
    size: int | None
    """Bytes; None for a type that is not in `KINDS`."""


def kind_of(tensor: Tensor) -> str:
    """A type's name, also of one that is not in `KINDS`."""
    return KINDS[tensor.kind][0] if tensor.kind in KINDS else f"ggml type {tensor.kind}"


@dataclass(frozen=True, slots=True)
class Head:
    """What a GGUF file says before its weights."""

    fields: Mapping[str, object] = field(repr=False)
    """Key -> int, float, bool, str or list."""
    places: Mapping[str, int] = field(repr=False)
    """Key -> first byte of its value, counted from the beginning of the file."""
    tensors: tuple[Tensor, ...] = field(repr=False)
    fields_end: int
    """First byte after the last key-value pair."""
    alignment: int
    """Tensors begin at multiples of it, counted from the first."""
    file_size: int

    def text(self, key: str) -> str:
        """A string field. Raises Malformed("gguf.field")."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise Malformed("gguf.field", f"{key} is {value!r:.60}, must be a text")
        return value

    def integer(self, key: str) -> int:
        """A whole-number field. Raises Malformed("gguf.field")."""
        value = self.fields.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Malformed("gguf.field", f"{key} is {value!r:.60}, must be a whole number")
        return value

    def ends(self, vocabulary: int) -> frozenset[int]:
        """Ids that end an answer: the end of sequence and, if the file names one, the end of a turn.

        Raises Malformed("gguf.tokenizer") for one outside the vocabulary."""
        values = [self.fields.get(key) for key in END_FIELDS]
        found = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        if found and not 0 <= min(found) <= max(found) < vocabulary:
            raise Malformed("gguf.tokenizer", f"ids that end an answer: {found}, known 0 to {vocabulary - 1}")
        return frozenset(found)

    def quantization(self) -> str:
        """The block type that holds most bytes, as an offer says it (`q4_1`, `q8_0`, `fp16`)."""
        bytes_of = Counter[str]()
        for tensor in self.tensors:
            bytes_of[KINDS[tensor.kind][0] if tensor.kind in KINDS else "unknown"] += tensor.size or 0
        name = bytes_of.most_common(1)[0][0] if bytes_of else "unknown"
        return {"f32": "fp32", "f16": "fp16"}.get(name, name)


class _Cursor:
    """Reads forward; a read beyond the end is a truncated file."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0
        self.elements = 0

    def take(self, count: int) -> int:
        """Reserves `count` bytes, returns the first one's place."""
        begin, end = self.at, self.at + count
        if end > len(self.data):
            raise Malformed("gguf.truncated", f"{self.path.name}: needs byte {end}, has {len(self.data)}")
        if end > MAX_BYTES:
            raise Malformed("gguf.count", f"{self.path.name}: needs byte {end} before its weights, at most {MAX_BYTES}")
        self.at = end
        return begin

    def scalar(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack_from("<" + code, self.data, self.take(struct.calcsize("<" + code)))[0]
        return value

    def number(self, code: str) -> int:
        return int(self.scalar(code))

    def string(self) -> str:
        size = self.number("Q")
        begin = self.take(size)
        try:
            return self.data[begin : begin + size].decode()
        except UnicodeDecodeError as error:
            raise Malformed("gguf.text", f"{self.path.name}: no UTF-8 at byte {begin + error.start}") from error

    def value(self, kind: int, depth: int = 0) -> object:
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY or depth == MAX_DEPTH:
            raise Malformed("gguf.value", f"{self.path.name}: type {kind} at byte {self.at}, depth {depth}")
        inner, count = self.number("I"), self.number("Q")
        if count > len(self.data):  # each element takes at least one byte
            raise Malformed("gguf.truncated", f"{self.path.name}: {count} elements, has {len(self.data)} bytes")
        self.elements += count
        if self.elements > MAX_ELEMENTS:
            raise Malformed(
                "gguf.count", f"{self.path.name}: {self.elements} elements in arrays, at most {MAX_ELEMENTS}"
            )
        if inner in SCALARS:
            code = SCALARS[inner]
            begin = self.take(count * struct.calcsize("<" + code))
            return list(struct.unpack_from(f"<{count}{code}", self.data, begin))
        return [self.value(inner, depth + 1) for _ in range(count)]


def read(path: Path) -> Head:
    """The head of the file at `path`; its weights are not touched.

    Raises Malformed: `gguf.magic`, `gguf.version`, `gguf.truncated`, `gguf.text`, `gguf.value`, `gguf.count`,
    `gguf.duplicate`, `gguf.tensor`. OSError is the caller's."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise Malformed("gguf.magic", f"{path.name} does not begin with {MAGIC!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _head(_Cursor(data, path))


def _head(cursor: _Cursor) -> Head:
    cursor.take(len(MAGIC))
    version, tensors, pairs = cursor.number("I"), cursor.number("Q"), cursor.number("Q")
    if version not in VERSIONS:
        swapped = " (a file for big-endian machines)" if version >> 24 in VERSIONS else ""
        raise Malformed("gguf.version", f"{cursor.path.name}: version {version}{swapped}, known {VERSIONS}")
    if max(tensors, pairs) > MAX_COUNT:
        raise Malformed("gguf.count", f"{cursor.path.name}: {tensors} tensors, {pairs} fields, at most {MAX_COUNT}")
    fields: dict[str, object] = {}
    places: dict[str, int] = {}
    for _ in range(pairs):
        key, kind = cursor.string(), cursor.number("I")
        if key in fields:  # readers differ in which one they take
            raise Malformed("gguf.duplicate", f"{cursor.path.name}: {key[:60]} is there twice")
        places[key] = cursor.at
        fields[key] = cursor.value(kind)
    fields_end = cursor.at
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 2**16 or alignment & (alignment - 1):
        raise Malformed("gguf.value", f"{cursor.path.name}: alignment {alignment!r:.40}")
    listed = [_tensor(cursor) for _ in range(tensors)]
    names = Counter(tensor.name for tensor in listed)
    if len(names) != len(listed):
        raise Malformed("gguf.duplicate", f"{cursor.path.name}: {names.most_common(1)[0][0][:60]} is there twice")
    data_at = padded(cursor.at, alignment)
    placed = tuple(_placed(tensor, data_at, alignment, cursor) for tensor in listed)
    return Head(fields, places, placed, fields_end, alignment, len(cursor.data))


def padded(size: int, alignment: int) -> int:
    """The next multiple of `alignment` from `size` on."""
    return -(-size // alignment) * alignment


def _tensor(cursor: _Cursor) -> Tensor:
    name, dimensions = cursor.string(), cursor.number("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise Malformed("gguf.tensor", f"{name[:60]}: {dimensions} dimensions, 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.number("Q") for _ in range(dimensions))
    return Tensor(name, cursor.number("I"), shape, cursor.number("Q"), None)


def _placed(tensor: Tensor, data_at: int, alignment: int, cursor: _Cursor) -> Tensor:
    """The tensor with its absolute place and size, both inside the file."""
    at, size = data_at + tensor.at, None
    if tensor.at % alignment or min(tensor.shape) < 1:
        raise Malformed("gguf.tensor", f"{tensor.name[:60]}: offset {tensor.at}, shape {tensor.shape}")
    if tensor.kind in KINDS:
        _, block, block_bytes = KINDS[tensor.kind]
        if tensor.shape[0] % block:
            raise Malformed("gguf.tensor", f"{tensor.name[:60]}: rows of {tensor.shape[0]}, blocks of {block}")
        size = block_bytes * (tensor.shape[0] // block)
        for dimension in tensor.shape[1:]:
            size *= dimension
    if at + (size or 0) > len(cursor.data):
        told = f"{cursor.path.name}: {tensor.name[:60]} ends at byte {at + (size or 0)}, has {len(cursor.data)}"
        raise Malformed("gguf.truncated", told)
    return Tensor(tensor.name, tensor.kind, tensor.shape, at, size)
