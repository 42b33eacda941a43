"""Files that can be made again: kernels' object code, packed weights."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def keep(place: Path, *parts: bytes | memoryview) -> None:
    """Writes the parts to `place`, whole or not at all. A disk that is full or read-only costs time later, no more."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part)
            os.replace(name, place)
        except OSError:
            os.unlink(name)
            raise
