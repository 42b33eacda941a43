"""What a model takes in memory, known from its head before anything is allocated."""

import os
from dataclasses import dataclass
from pathlib import Path

from steelyard.engines.canonical import packing
from steelyard.engines.canonical.program import buffers, page_bytes, scratch_row
from steelyard.engines.canonical.recipe import TILE, Recipe
from steelyard.engines.canonical.shape import Shape
from steelyard.engines.gguf_head import Head
from steelyard.protocol.errors import Refused

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes. The file itself is not counted: it is read once, and its pages can be dropped at any time."""

    weights: int
    """Packed, with the tables of rotations."""
    keys_values: int
    """Of all runs together."""
    buffers: int
    """What a step works in."""
    scratch: int
    """Scores of attention, for each thread."""

    @property
    def total(self) -> int:
        return self.weights + self.keys_values + self.buffers + self.scratch

    def require(self, limit: int) -> None:
        """Raises Refused("model.memory")."""
        if self.total > limit:
            parts = f"weights {self.weights}, keys and values {self.keys_values}"
            told = f"{parts}, buffers {self.buffers}, scratch {self.scratch} bytes, in all {self.total}"
            raise Refused("model.memory", f"{told}; at most {limit}")


def need(head: Head, shape: Shape, tokens: int, threads: int, room: int) -> Need:
    """For a file that `shape.read` takes; `tokens` in a step, `room` bytes of keys and values."""
    tile = buffers(shape, TILE)  # every buffer has a row for each token
    step = sum(array.nbytes for array in vars(tile).values()) // TILE * (-(-tokens // TILE) * TILE)
    recipe = Recipe(shape.head_dim, shape.heads // shape.key_heads)
    scratch = scratch_row(shape, recipe) * recipe.group * 4
    return Need(packing.body_size(head, shape), room, step, threads * scratch)


def of_positions(shape: Shape, positions: int) -> int:
    """Bytes of one run's keys and values, whole pages."""
    recipe = Recipe(shape.head_dim, shape.heads // shape.key_heads)
    return -(-positions // recipe.page) * page_bytes(shape, recipe)


def available() -> int:
    """Bytes that this process could take now: what the kernel calls available, within the limit of its control group;
    half of the physical memory where there is neither."""
    found = [_meminfo(), _group()]
    known = [size for size in found if size is not None]
    return min(known) if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _meminfo() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _group() -> int | None:
    """What a container's limit leaves (control groups, version 2); file pages can be dropped, so they do not count."""
    try:
        most, used = (GROUP / "memory.max").read_text().strip(), int((GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if most == "max" else max(0, int(most) - used + int(stat.get("file", 0)))
