"""What a model will take is known before it is taken, to the byte."""

from pathlib import Path

import numpy as np
import pytest

import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.canonical import memory, packing, shape
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.protocol.errors import Refused

ROOM = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama.write(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny_llama.Tiny(vocabulary=130))


@pytest.mark.parametrize("tokens", [1, 128])
def test_the_estimate_is_what_a_loaded_model_holds(file: Path, tokens: int) -> None:
    head = gguf_head.read(file)
    told = memory.need(head, shape.read(head), tokens, 3, ROOM)
    opened = models.open_file(file, file.parent)
    model = models.load(opened, 3, tokens=tokens)
    (packed,) = file.parent.glob("*.pack")
    assert told.weights == packed.stat().st_size - packing.HEADER
    assert told.keys_values == ROOM
    assert told.buffers == sum(array.nbytes for array in vars(model._memory).values() if isinstance(array, np.ndarray))
    assert told.scratch == sum(scratch.nbytes for scratch in model.pool._scratch)
    assert memory.of_positions(opened.shape, 129) == 2 * model.page_bytes
    model.close()


def test_a_model_over_its_limit_is_refused_with_the_numbers_and_nothing_is_written(file: Path, tmp_path: Path) -> None:
    head = gguf_head.read(file)
    told = memory.need(head, shape.read(head), 128, 1, ROOM)
    with pytest.raises(Refused) as refusal:
        CanonicalEngine(file, "tiny", threads=1, room=ROOM, memory=told.total - 1, cache=tmp_path)
    parts = f"weights {told.weights}, keys and values {ROOM}, buffers {told.buffers}, scratch {told.scratch} bytes"
    assert str(refusal.value) == f"model.memory: {parts}, in all {told.total}; at most {told.total - 1}"
    assert not list(tmp_path.iterdir())
    CanonicalEngine(file, "tiny", threads=1, room=ROOM, memory=told.total, cache=tmp_path).close()


def test_room_for_less_than_a_page_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"engine\.option: room 9: a page of keys and values takes 65536 bytes"):
        CanonicalEngine(file, "tiny", room=9, cache=tmp_path)


def test_what_is_available_is_the_least_of_machine_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo, group = tmp_path / "meminfo", tmp_path / "group"
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "GROUP", group)
    physical = memory.available()
    assert physical > 1 << 20
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    7000 kB\n")
    assert memory.available() == 7000 * 1024
    group.mkdir()
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("anon 1000\nfile 4000\n")
    assert memory.available() == 7000 * 1024
    (group / "memory.max").write_text("6000\n")
    assert memory.available() == 5000
    (group / "memory.current").write_text("90000\n")
    assert memory.available() == 0
