# pragma version 0.4.3
"""
@title Filters: what top-k and top-p leave of a vocabulary, by sums over its logits
@license Apache-2.0
@notice spec/sampler.md, SMP-7 to SMP-9, as spec/games.md, GAM-5, has them proved: nobody shows a contract 50,000 logits, so a sum over all
    of them is claimed, and where it is wrong it is wrong by some id's share. Ids are below 2**32 - 1, logits words of binary32.
@custom:invariant shares of less than 2**32 ids add up without one field reaching into the next
"""

import binary32
import functions
import sampling

# what an id's share in the sums follows from, with its own logit; NOBODY is the lowest if top-k keeps all, the greatest if top-p does
struct Sieve:
    logits: bytes32
    vocabulary: uint256
    temperature: uint256
    unit: uint256
    unit_z: uint256
    rival: uint256
    rival_z: uint256
    lowest: uint256
    lowest_z: uint256
    greatest: uint256
    greatest_z: uint256

NOBODY: constant(uint256) = 2**32 - 1
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1
HIDDEN: constant(uint256) = 2**23
FRACTION: constant(uint256) = 2**23 - 1
INFINITY: constant(uint256) = 2139095040  # 0x7F800000
MINUS_INFINITY: constant(uint256) = 4286578688  # 0xFF800000
# where a field of a share begins; the first one, of 32 bits as the second, counts ids before the greatest
BEFORE_LOWEST: constant(uint256) = 32
BEFORE_UNIT: constant(uint256) = 64
BEFORE_RIVAL: constant(uint256) = 128
KEPT: constant(uint256) = 192


@pure
@internal
def _stands_before(z: uint256, id: uint256, other_z: uint256, other: uint256) -> bool:
    """
    In the order of SMP-8: the greater logit first, of equal ones the lower id. A NaN counts as minus infinity.
    """
    own: uint256 = sampling._ordered(z)
    than: uint256 = sampling._ordered(other_z)
    if binary32.less(than, own):
        return True
    return id < other and not binary32.less(own, than)


@pure
@internal
def _weight(s: Sieve, z: uint256) -> uint256:
    """
    floor(e·2**32) of an e that is at most 1 (SMP-8).
    """
    e: uint256 = functions.exp(binary32.div(binary32.sub(z, s.greatest_z), s.temperature))
    if e > INFINITY:
        return 0
    return (((e & FRACTION) | HIDDEN) << 32) >> (150 - (e >> 23))


@pure
@internal
def share(s: Sieve, id: uint256, z: uint256) -> uint256:
    """
    What the id adds to the sums.
    """
    found: uint256 = 0
    kept: bool = s.lowest == NOBODY or id == s.lowest
    if s.lowest != NOBODY and self._stands_before(z, id, s.lowest_z, s.lowest):
        found = 1 << BEFORE_LOWEST
        kept = True
    if s.greatest == NOBODY:
        return found
    if self._stands_before(z, id, s.greatest_z, s.greatest):
        return found | 1
    if not kept:
        return found
    weight: uint256 = self._weight(s, z)
    found |= weight << KEPT
    if self._stands_before(z, id, s.unit_z, s.unit):
        found |= weight << BEFORE_UNIT
    if self._stands_before(z, id, s.rival_z, s.rival):
        found |= weight << BEFORE_RIVAL
    return found


@pure
@internal
def fits(s: Sieve, sums: uint256, top_k: uint256) -> bool:
    """
    True if by these sums the lowest is the last of k, and the greatest the first of all.
    """
    before_lowest: uint256 = 0 if s.lowest == NOBODY else top_k - 1
    return sums & U64 == before_lowest << BEFORE_LOWEST


@pure
@internal
def _logit(s: Sieve, id: uint256, z: uint256, before: uint256, whole: uint256, top_p: uint256) -> uint256:
    """
    The logit of an id that is kept, else minus infinity; `before`: the weight of those that stand before it, of `whole`.
    """
    if s.lowest != NOBODY and self._stands_before(s.lowest_z, s.lowest, z, id):
        return MINUS_INFINITY
    if s.greatest == NOBODY or id == s.greatest:
        return z
    # p = m·2**(e - 150); of a subnormal p that is another number, but below 2**-64 all let pass what nothing stands before, and no more
    p: uint256 = ((top_p & FRACTION) | HIDDEN) * whole
    return z if before << (150 - (top_p >> 23)) < p else MINUS_INFINITY


@pure
@internal
def beats(s: Sieve, sums: uint256, top_p: uint256, seed: uint256, position: uint256) -> bool:
    """
    True if the rule prefers the rival to the unit, what is not kept counting as minus infinity.
    """
    whole: uint256 = sums >> KEPT
    z: uint256 = self._logit(s, s.unit, s.unit_z, (sums >> BEFORE_UNIT) & U64, whole, top_p)
    rival_z: uint256 = self._logit(s, s.rival, s.rival_z, (sums >> BEFORE_RIVAL) & U64, whole, top_p)
    return sampling.beats(z, s.unit, rival_z, s.rival, s.temperature, seed, position)
