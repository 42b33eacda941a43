"""Many Merkle trees of `protocol.merkle` at once: SHA-256 of 16 messages of one length side by side.

Python's hashlib spends more time on its calls than on hashing, and a position of a model has 40,000 hashes. Here a hash
is eight words of a row, the first byte the highest of the first word.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from steelyard.engines.canonical import native
from steelyard.engines.canonical.emit import I32, I64, LANES, PTR, Kit, Value, Variable, lanes
from steelyard.engines.canonical.program import address, aligned
from steelyard.engines.ir.leaves import WORDS_PER_LEAF
from steelyard.protocol.merkle import LEAF, NODE, ROOT

Words = NDArray[np.uint32]
PRIMES: Final = [n for n in range(2, 312) if all(n % d for d in range(2, isqrt(n) + 1))]
FIRST: Final = [isqrt(prime << 64) & 0xFFFFFFFF for prime in PRIMES[:8]]
"""FIPS 180-4, 5.3.3: fractions of square roots."""
ROUNDS: Final = np.array([int(prime ** (1 / 3) % 1 * 2**32) for prime in PRIMES], np.uint32)
"""FIPS 180-4, 4.2.2: fractions of cube roots."""
BLOCK: Final = 16
MOST_BLOCKS: Final = 4
MOST_WORDS: Final = 61  # 1 + 4 · 61 + 9 bytes fit into four blocks
VECTOR: Final = 4 * LANES
KIND: Final = lanes(I32)


def digests(prefix: bytes, messages: Words) -> Words:
    """SHA-256 of the prefix, one byte, followed by each row of [messages][words]: [messages][8]."""
    count, words = messages.shape
    assert words <= MOST_WORDS
    padded = -(-count // LANES) * LANES
    given, found = aligned((words, padded), np.uint32), aligned((8, padded), np.uint32)
    given[:, :count] = messages.T
    _digest()[1](address(given), address(found), padded, words, prefix[0], address(ROUNDS))
    return np.ascontiguousarray(found[:, :count].T)


def roots(leaves: Words, counts: Sequence[int]) -> Words:
    """Merkle roots of trees, [trees][8]: the first over the first counts[0] leaf hashes, and so on; none is empty."""
    numbers = np.array(counts, np.int64)
    widths, layer, open_trees = numbers, leaves, np.arange(len(numbers))
    tops = np.zeros((len(numbers), 8), np.uint32)
    pad = np.zeros((1, 8), np.uint32)
    while len(open_trees):
        # `layer` holds one level of each tree that is still open, without the padding behind it
        starts = np.cumsum(widths) - widths
        done = widths == 1
        tops[open_trees[done]] = layer[starts[done]]
        layer, open_trees, widths = layer[~np.repeat(done, widths)], open_trees[~done], widths[~done]
        even = widths + widths % 2
        skipped = np.cumsum(even - widths) - (even - widths)
        both = np.repeat(pad, even.sum(), axis=0)
        both[np.arange(len(layer)) + np.repeat(skipped, widths)] = layer
        layer, pad, widths = digests(NODE, both.reshape(-1, 16)), digests(NODE, np.tile(pad, 2)), even // 2
    return digests(ROOT, np.column_stack([numbers >> 32, numbers & 0xFFFFFFFF, tops]).astype(np.uint32))


def value_roots(values: Sequence[NDArray[Any]]) -> Words:
    """GRA-14: the root of each value, an array of 32-bit words in order. [values][8]."""
    sizes = np.array([len(value) for value in values])
    words = np.concatenate([value.view(np.uint32) for value in values]).byteswap()
    counts = -(-sizes // WORDS_PER_LEAF)
    first = np.repeat(np.cumsum(sizes) - sizes, counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    first += WORDS_PER_LEAF * within
    lengths = np.minimum(WORDS_PER_LEAF, np.repeat(sizes, counts) - WORDS_PER_LEAF * within)
    leaves = np.empty((len(first), 8), np.uint32)
    for length in np.unique(lengths):
        some = np.flatnonzero(lengths == length)
        leaves[some] = digests(LEAF, words[first[some][:, None] + np.arange(length)])
    return roots(leaves, counts.tolist())


def raw(hashes: Words) -> list[bytes]:
    """32 bytes each."""
    joined = hashes.astype(">u4").tobytes()
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


@lru_cache(maxsize=1)
def _digest() -> tuple[native.Code, Any]:
    module = ir.Module("forest")
    _written(module)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)
    code = native.functions(str(module), ("digest",))
    return code, kind(code.address["digest"])


def _written(module: Any) -> None:
    """void digest(ptr messages [words][count], ptr found [8][count], i64 count, i64 words, i64 prefix, ptr rounds)."""
    kit = Kit(module, "digest", ir.VoidType(), [PTR, PTR, I64, I64, I64, PTR])
    messages, found, count, words, prefix, rounds = kit.takes
    with kit.builder.goto_entry_block():
        message = Value(kit, kit.builder.alloca(KIND, size=ir.Constant(I32, MOST_BLOCKS * BLOCK)))
    blocks = (words * 4 + (1 + 8 + 63)) / 64
    with kit.loop(0, count, LANES) as at:
        before = kit.var(prefix.trunc(I32).splat())
        with kit.loop(0, words) as index:
            here = kit.load(messages, (index * count + at) << 2, KIND, 4)
            _put(kit, message, index, _spliced(kit, before.get(), here))
            before.set(here)
        _put(kit, message, words, _spliced(kit, before.get(), kit.const(KIND, 0x80000000)))
        with kit.loop(words + 1, blocks * BLOCK) as index:
            _put(kit, message, index, kit.const(KIND, 0))
        _put(kit, message, blocks * BLOCK - 1, (words * 32 + 8).trunc(I32).splat())
        state = [kit.var(kit.const(KIND, word)) for word in FIRST]
        with kit.loop(0, blocks) as block:
            _block(kit, kit.at(message, block * (BLOCK * VECTOR)), rounds, state)
        for number, variable in enumerate(state):
            kit.store(variable.get(), found, (count * number + at) << 2, 4)
    kit.finish()


def _spliced(kit: Kit, before: Value, here: Value) -> Value:
    """The word that begins with the last byte of the one before."""
    return kit.intrinsic("llvm.fshr.v16i32", KIND, [before, here, kit.const(KIND, 8)])


def _put(kit: Kit, message: Value, index: Value, word: Value) -> None:
    kit.store(word, message, index * VECTOR)


def _block(kit: Kit, block: Value, rounds: Value, state: list[Variable]) -> None:
    """FIPS 180-4, 6.2.2. Invariant: slot i of `words` is the schedule's next word that is i modulo 16."""
    words = [kit.var(kit.load(block, index * VECTOR, KIND)) for index in range(BLOCK)]
    now = [kit.var(word.get()) for word in state]
    with kit.loop(0, 4) as quarter:
        a, b, c, d, e, f, g, h = (variable.get() for variable in now)
        for index in range(BLOCK):
            word = words[index].get()
            constant = kit.load(rounds, (quarter * BLOCK + index) << 2, I32, 4).splat()
            one = h + _mixed(e, 6, 11, 25) + (g ^ (e & (f ^ g))) + constant + word
            two = _mixed(a, 2, 13, 22) + ((a & b) | (c & (a | b)))
            a, b, c, d, e, f, g, h = one + two, a, b, c, d + one, e, f, g
            near, seventh, far = (words[(index + skip) % BLOCK].get() for skip in (1, 9, 14))
            small, large = _mixed(near, 7, 18) ^ (near >> 3), _mixed(far, 17, 19) ^ (far >> 10)
            words[index].set(word + small + seventh + large)
        for variable, value in zip(now, (a, b, c, d, e, f, g, h), strict=True):
            variable.set(value)
    for before, variable in zip(state, now, strict=True):
        before.set(before.get() + variable.get())


def _mixed(x: Value, *turns: int) -> Value:
    """x rotated right by each of `turns`, all xored."""
    kit = x.kit
    first, *rest = [kit.intrinsic("llvm.fshr.v16i32", KIND, [x, x, kit.const(KIND, turn)]) for turn in turns]
    for other in rest:
        first = first ^ other
    return first
