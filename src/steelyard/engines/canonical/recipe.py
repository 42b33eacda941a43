"""What may differ between two builds of the kernels without changing a bit of their results."""

from dataclasses import dataclass
from typing import Final, Literal

TILE: Final = 8
"""Tokens that share one pass over the weights; also the layout of quantised activations."""

Dot = Literal["vnni512", "vnni256", "plain"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How kernels are built for one CPU and one shape of model. None of it may change a result's bits."""

    head_dim: int
    """Numbers in an attention head, a multiple of 16."""
    group: int
    """Query heads that share a key-value head."""
    dot: Dot = "plain"
    """Instruction for integer dots."""
    half: bool = True
    """The CPU converts binary16 in hardware."""
    tiles: tuple[int, ...] = (1, 2, 4, 8)
    """Token tile widths that the matrix kernels have, ascending, none above `TILE`, the last one `TILE`."""
    page: int = 128
    """Positions in a page of the key-value cache, a multiple of 16."""
    kinds: tuple[str, ...] = ()
    """Formats of matrices that get a kernel, ascending; all if empty. Each takes a tenth of a second to compile."""
    reassociated: bool = False
    """Tests only: adds a row's blocks in two interleaved chains, which is NOT the canonical order."""
