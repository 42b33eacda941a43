"""What may differ between two builds of the kernels without changing a bit of their results."""

from dataclasses import dataclass
from typing import Final, Literal

from steelyard.engines.canonical.formats import FORMATS

TILE: Final = 8
"""Tokens that share one pass over the weights; also the layout of quantised activations."""

Dot = Literal["vnni512", "vnni256", "plain"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How kernels are built for one CPU and one shape of model. What is not its shape may not change a bit."""

    head_dim: int
    """Numbers in an attention head, a multiple of 16."""
    group: int
    """Query heads that share a key-value head."""
    halves: bool = False
    """Rotation pairs number i of a head with i + half of it, not 2i with 2i + 1."""
    capped: bool = False
    """Scores are capped by a tanh."""
    dot: Dot = "plain"
    """Instruction for integer dots."""
    half: bool = True
    """The CPU converts binary16 in hardware."""
    tiles: tuple[int, ...] = (1, 2, 4, 8)
    """Token tile widths that the matrix kernels have, ascending, none above `TILE`, the last one `TILE`."""
    page: int = 128
    """Positions in a page of the key-value cache, a multiple of 16."""
    kinds: tuple[str, ...] = tuple(FORMATS)
    """Tensor types that get kernels: a model's own suffice."""
    rows: tuple[str, ...] | None = None
    """Kernels of `rowwise` that are built: those of a model's calls suffice; all if None."""
    reassociated: bool = False
    """Tests only: adds a row's blocks in two interleaved chains, which is NOT the canonical order."""
