# pragma version 0.4.3
"""
@title Sampling: which of two ids the rule of the draw prefers
@license Apache-2.0
@notice The specification's, step by step: spec/sampler.md, SMP-1 to SMP-5. What filters leave is for `filters`. Ids and
    positions are below 2**32, seeds below 2**64, logits and temperatures words of binary32, a temperature one that SMP-10 lets pass.
@custom:invariant an id is the rule's choice if and only if no other id beats it
"""

import binary32
import functions
import operations

SIGN: constant(uint256) = 2**31
MAGNITUDE: constant(uint256) = 2**31 - 1
WORD: constant(uint256) = 2**32 - 1
INFINITY: constant(uint256) = 2139095040  # 0x7F800000
MINUS_INFINITY: constant(uint256) = 4286578688  # 0xFF800000
HALF: constant(uint256) = 788529152  # 2**-33 = half of the unit of a word that counts 2**-32
QUARTER: constant(uint256) = 2**30  # words below it are less than 1/4


@pure
@internal
def random(seed: uint256, position: uint256, id: uint256) -> uint256:
    """
    Philox4x32-10's word for an id (SMP-3).
    """
    key: uint256 = seed & WORD
    other_key: uint256 = seed >> 32
    w0: uint256 = id >> 2
    w1: uint256 = position
    w2: uint256 = 0
    w3: uint256 = 0
    for _: uint256 in range(operations.PHILOX_ROUNDS):
        a: uint256 = unsafe_mul(operations.MULTIPLIER_0, w0)
        b: uint256 = unsafe_mul(operations.MULTIPLIER_1, w2)
        w0 = (b >> 32) ^ w1 ^ key
        w1 = b & WORD
        w2 = (a >> 32) ^ w3 ^ other_key
        w3 = a & WORD
        key = unsafe_add(key, operations.KEY_STEP_0) & WORD
        other_key = unsafe_add(other_key, operations.KEY_STEP_1) & WORD
    if id & 2 == 0:
        return w0 if id & 1 == 0 else w1
    return w2 if id & 1 == 0 else w3


@pure
@internal
def gumbel(word: uint256) -> uint256:
    """
    -ln(-ln u) with u = 1 - (word + 1/2)/2**32: through ln(1 - a) where a < 1/4, and through ln a with a = u elsewhere (SMP-4).
    """
    waiting: uint256 = 0
    if word < QUARTER:
        a: uint256 = binary32.add(binary32.from_natural(word, 32), HALF)
        waiting = functions.logarithm_of(a ^ SIGN, 0)
    else:
        waiting = functions.logarithm(binary32.add(binary32.from_natural(unsafe_sub(WORD, word), 32), HALF))
    return functions.logarithm(waiting ^ SIGN) ^ SIGN


@pure
@internal
def score(z: uint256, id: uint256, temperature: uint256, seed: uint256, position: uint256) -> uint256:
    """
    What the rule compares: the logit itself at T = 0 (SMP-1), z/T + G above (SMP-4).
    """
    if temperature == 0:
        return z
    return binary32.add(binary32.div(z, temperature), self.gumbel(self.random(seed, position, id)))


@pure
@internal
def beats(
    z: uint256, id: uint256, rival_z: uint256, rival: uint256, temperature: uint256, seed: uint256, position: uint256
) -> bool:
    """
    True if the rule prefers the rival to the id: a greater score, or an equal one and a lower id (SMP-1, SMP-5). A NaN counts as
    minus infinity: so it beats nothing above, and id 0 beats any other if neither has a score (SMP-2).
    """
    own: uint256 = self._ordered(self.score(z, id, temperature, seed, position))
    other: uint256 = self._ordered(self.score(rival_z, rival, temperature, seed, position))
    if binary32.less(own, other):
        return True
    return rival < id and not binary32.less(other, own)


@pure
@internal
def _ordered(a: uint256) -> uint256:
    """
    The word itself; of any NaN minus infinity's.
    """
    if a & MAGNITUDE > INFINITY:
        return MINUS_INFINITY
    return a
