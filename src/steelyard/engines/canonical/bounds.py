"""What counts as 0, so that no term and no partial sum of a chain is subnormal: such numbers cost some processors a
hundred times as much (spec/arithmetic.md, ARI-6, ARI-32).

A number from 2^-40 on is a multiple of 2^-63, so a product of two is a multiple of 2^-126, and so is any sum of such.
"""

from typing import Final

TINY: Final = 2.0**-40
"""Numbers of lesser magnitude, where they enter a chain of products."""
TINY_BITS: Final = 0x2B800000
LOWEST: Final = -27.0
"""A position whose score is farther below the greatest has no weight. e^-27 is above 2^-39."""
