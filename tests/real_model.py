"""The real language model, for tests marked `model`: from the store, pulled on first use."""

from functools import cache
from pathlib import Path

from steelyard.engines import store


@cache
def file() -> Path:
    """The default model's GGUF file, its hash checked."""
    return store.pull(store.DEFAULT)
