"""The head of a GGUF file: equal to gguf-py's reading, and no damaged file gets through or costs more than its size."""

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

import tiny_gguf
from steelyard.engines import gguf_head
from steelyard.protocol.errors import Malformed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("head") / "tiny.gguf")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "damaged.gguf"


def test_fields_and_tensors_are_those_that_gguf_py_reads(tiny: Path) -> None:
    head, reader = gguf_head.read(tiny), GGUFReader(tiny)
    assert head.fields == {key: value.contents() for key, value in reader.fields.items() if not key.startswith("GGUF.")}
    assert [(t.name, t.kind, t.shape, t.at, t.size) for t in head.tensors] == [
        (t.name, t.tensor_type, tuple(t.shape), t.data_offset, t.n_bytes) for t in reader.tensors
    ]
    assert (head.quantization(), head.file_size) == ("q8_0", tiny.stat().st_size)


def test_a_field_is_where_its_place_says(tiny: Path) -> None:
    head = gguf_head.read(tiny)
    assert struct.unpack_from("<I", tiny.read_bytes(), head.places["general.file_type"]) == (3,)


def test_a_file_cut_anywhere_is_refused(tiny: Path, damaged: Path) -> None:
    whole = tiny.read_bytes()
    for size in [*range(0, 4000, 7), *range(4000, len(whole) - 32, 997), len(whole) - 33]:
        damaged.write_bytes(whole[:size])
        with pytest.raises(Malformed):
            gguf_head.read(damaged)


@given(st.data())
def test_damage_is_refused_by_name_or_harmless(tiny: Path, damaged: Path, data: st.DataObject) -> None:
    raw = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 300) | st.integers(0, len(raw) - 9))
        raw[at : at + 8] = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8))
    damaged.write_bytes(raw)
    head = None
    with suppress(Malformed):
        head = gguf_head.read(damaged)
    assert head is None or all(tensor.at + (tensor.size or 0) <= len(raw) for tensor in head.tensors)


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "gguf.magic"),
        (b"PK\x03\x04 and so on", "gguf.magic"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "gguf.version"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "gguf.count"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60), "gguf.truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 2**61), "gguf.truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 2**61), "gguf.truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 77), "gguf.value"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"\xff", 4), "gguf.text"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sI", 1, b"t", 9), "gguf.tensor"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sIQIQ", 1, b"t", 1, 33, 8, 0), "gguf.tensor"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q1sIQIQ", 1, b"t", 1, 2**50, 0, 0), "gguf.truncated"),
    ],
)
def test_a_file_that_lies_about_itself_is_refused(damaged: Path, raw: bytes, rule: str) -> None:
    damaged.write_bytes(raw)
    with pytest.raises(Malformed) as refusal:
        gguf_head.read(damaged)
    assert refusal.value.rule == rule
