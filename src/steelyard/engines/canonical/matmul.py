"""Block-quantised matrix times activations: exact integer dots of 32, then the format's fixed float sequence.

Weights lie as `packing` describes. Activations lie in tiles of 8 tokens: [tile][block][token][32] int8, and per
[tile][block][token] the scale d, the product s = d·Σq and what takes an offset from unsigned weights: -8·Σq, -128·Σq
and, over either half of the block, -32·Σq. One token's numbers never meet another's.
"""

from collections.abc import Callable, Sequence
from typing import Final

from llvmlite import ir

from steelyard.engines.canonical.emit import (
    F16,
    F32,
    I8,
    I16,
    I32,
    LANES,
    Kernel,
    Kit,
    Value,
    lanes,
)
from steelyard.engines.canonical.formats import BLOCK, FORMATS, Format
from steelyard.engines.canonical.recipe import TILE, Recipe

QUADS: Final = BLOCK // 4
ROW_BYTES: Final = 4 * LANES  # four weights of each of 16 rows: one 512-bit register
CACHE_LINE: Final = 64
AHEAD: Final = 16384
"""Bytes by which weights are asked for before they are used: hardware alone does not look far enough past the work on a
block. 8 to 24 KiB measure the same (bench/LOG.md)."""

# slots of the arguments
WEIGHTS, BLOCKS, QUANTS, SCALES, SUMS, LESS8, LESS128, LESS32, OUT, STRIDE, TOKENS, GROUPS, GRAIN, RESIDUAL = range(14)


def matrix(module: object, name: str, kind: str, recipe: Recipe) -> None:
    """out[t][r] = Σ over blocks (plus what stands there, if RESIDUAL is set). One chunk is GRAIN groups of 16 rows."""
    kit = Kernel(module, name)
    begin = kit.chunk * kit.number(GRAIN)
    end = begin + kit.number(GRAIN)
    groups = kit.number(GROUPS)
    end = (end.compare("<", groups)).choose(end, groups)
    tokens = kit.number(TOKENS)
    with kit.loop(begin, end) as group, kit.loop(0, tokens, TILE) as first:
        left = tokens - first
        below = 0
        for width in recipe.tiles:
            fits = left.compare("<=", width) if width < TILE else left.compare(">", below)
            with kit.when(fits & left.compare(">", below)):
                _tile(kit, kind, recipe, group, first, width)
            below = width
    kit.finish()


def _tile(kit: Kernel, kind: str, recipe: Recipe, group: Value, first: Value, width: int) -> None:
    if FORMATS[kind].plain:
        sums = _plain_chains(kit, kind, recipe, group, first, width)
    else:
        sums = _block_chains(kit, FORMATS[kind], recipe, group, first, width)
    out, stride = kit.pointer(OUT), kit.number(STRIDE)
    tokens, residual = kit.number(TOKENS), kit.number(RESIDUAL)
    for t, total in enumerate(sums):
        with kit.when((first + t).compare("<", tokens)):
            place = ((first + t) * stride + group * LANES) << 2
            found = kit.var(total)
            with kit.when(residual.compare("!=", 0)):
                found.set(kit.load(out, place, lanes(F32), 4) + total)
            kit.store(found.get(), out, place, 4)


def _plain_chains(kit: Kernel, kind: str, recipe: Recipe, group: Value, first: Value, width: int) -> list[Value]:
    """Weights that are numbers: one chain over k. Activations are rows of 32·blocks binary32 numbers at QUANTS."""
    weights, inputs = kit.pointer(WEIGHTS), kit.pointer(QUANTS)
    length = kit.number(BLOCKS) * BLOCK
    chains = [kit.var(kit.const(lanes(F32), 0.0)) for _ in range(width)]
    last = kit.number(TOKENS) - 1
    rows = [(first + t).compare("<", last).choose(first + t, last) * length for t in range(width)]
    with kit.loop(0, length) as k:
        place = (group * length + k) * (FORMATS[kind].packed * LANES)
        with kit.when(first.compare("==", 0)):
            kit.prefetch(weights, place + AHEAD)
        w = _numbers(kit, kind, recipe, kit.at(weights, place))
        for chain, row in zip(chains, rows, strict=True):
            chain.set(kit.fma(w, kit.load(inputs, (row + k) << 2, F32, 4).splat(), chain.get()))
    return [chain.get() for chain in chains]


def _block_chains(kit: Kernel, form: Format, recipe: Recipe, group: Value, first: Value, width: int) -> list[Value]:
    blocks = kit.number(BLOCKS)
    each = form.span // BLOCK
    packed = kit.at(kit.pointer(WEIGHTS), group * (blocks / each) * (form.packed * LANES))
    subs = kit.at(packed, blocks * (form.bits * ROW_BYTES))
    scales = kit.at(subs, blocks * (2 * LANES)) if form.subs else subs
    tile = (first / TILE) * blocks * TILE  # index of the tile's first (block, token) pair
    quants = kit.at(kit.pointer(QUANTS), tile * BLOCK)
    factors, sums = (kit.at(kit.pointer(slot), tile << 2) for slot in (SCALES, SUMS))
    chains = [kit.var(kit.const(lanes(F32), 0.0)) for _ in range(width)]
    others = [kit.var(kit.const(lanes(F32), 0.0)) for _ in range(width)] if recipe.reassociated else []
    with kit.loop(0, blocks) as block:
        weights = _unpack(kit, kit.at(packed, block * (form.bits * ROW_BYTES)), form)
        place = kit.at(scales, block / each * (2 * LANES * form.scales))
        d, *minimum = (_half(kit, kit.at(place, 2 * LANES * i), recipe) for i in range(form.scales))
        two = [kit.load(subs, (block * 2 + i) * LANES, lanes(I8), 16) for i in range(2)] if form.subs else []
        if form.subs == "block":
            d, m = (scale * sub.zext(lanes(I32)).to_float() for scale, sub in zip((d, *minimum), two, strict=True))
            minimum = [(m.bits(lanes(I32)) ^ 0x80000000).bits(lanes(F32))]
        for t in range(width):
            pair = block * TILE + t
            dot = _dot(kit, form, recipe, weights, two, tile + pair, kit.at(quants, pair * BLOCK))
            factor = d * kit.load(factors, pair << 2, F32, 4).splat()
            total = kit.fma(factor, dot.to_float(), chains[t].get())
            for m in minimum:
                total = kit.fma(m, kit.load(sums, pair << 2, F32, 4).splat(), total)
            chains[t].set(total)
            if others:
                chains[t].set(others[t].get())
                others[t].set(total)
        with kit.when(first.compare("==", 0)):  # later tiles find the group in the cache
            whole = LANES * form.packed * BLOCK // form.span
            for line in range(0, whole, CACHE_LINE):
                kit.prefetch(packed, block * whole + (AHEAD + line))
    if others:
        return [a.get() + b.get() for a, b in zip(chains, others, strict=True)]
    return [chain.get() for chain in chains]


def _dot(
    kit: Kernel, form: Format, recipe: Recipe, weights: list[Value], factors: list[Value], pair: Value, quants: Value
) -> Value:
    """P of ARI-12: the products of a block with number `pair` of the activations', which lie at `quants`."""
    dot = DOTS[recipe.dot]
    if form.subs == "half":
        assert form.offset == 32  # which LESS32 is for
        halves = []
        for h in range(2):
            start = kit.load(kit.pointer(LESS32), (pair * 2 + h) << 2, I32, 4).splat()
            half = dot(kit, start, weights[4 * h : 4 * h + 4], kit.at(quants, h * BLOCK // 2))
            halves.append(half * factors[h].sext(lanes(I32)))
        return halves[0] + halves[1]
    if not form.offset:
        return dot(kit, kit.const(lanes(I32), 0), weights, quants)
    slot, times = {8: (LESS8, 1), 16: (LESS8, 2), 128: (LESS128, 1)}[form.offset]
    return dot(kit, kit.load(kit.pointer(slot), pair << 2, I32, 4).splat() * times, weights, quants)


def _unpack(kit: Kit, packed: Value, form: Format) -> list[Value]:
    """Eight registers of unsigned bytes, [row][k…k+3] each."""
    loaded = [kit.load(packed, at * ROW_BYTES, lanes(I8, 64), 32) for at in range(form.bits)]
    if form.bits == 8:
        return loaded
    wide = [value.bits(lanes(I32)) for value in loaded]
    nibbles = [value & 0x0F0F0F0F for value in wide[:4]] + [value >> 4 & 0x0F0F0F0F for value in wide[:4]]
    more = form.bits - 4  # a weight's bits above the nibble; a register of them serves 8 // more quads
    if more:
        for quad in range(QUADS):
            word, shift = wide[4 + quad // (8 // more)], quad % (8 // more) * more - 4
            above = word >> shift if shift > 0 else word << -shift
            nibbles[quad] |= above & 0x10101010 * ((1 << more) - 1)
    return [value.bits(lanes(I8, 64)) for value in nibbles]


def _numbers(kit: Kit, kind: str, recipe: Recipe, place: Value) -> Value:
    """16 plain weights as binary32, exactly."""
    if kind == "f32":
        return kit.load(place, 0, lanes(F32), 4)
    if kind == "f16":
        return _half(kit, place, recipe)
    return (kit.load(place, 0, lanes(I16), 2).zext(lanes(I32)) << 16).bits(lanes(F32))


def _half(kit: Kit, place: Value, recipe: Recipe) -> Value:
    """16 binary16 numbers as binary32, exactly."""
    if recipe.half:
        return kit.load(place, 0, lanes(F16), 2).widen()
    raw = kit.load(place, 0, lanes(I16), 2).zext(lanes(I32))
    sign, body = (raw & 0x8000) << 16, raw & 0x7FFF
    number = ((body << 13).bits(lanes(F32)) * 2.0**112).bits(lanes(I32))
    special = (body << 13) | 0x7F800000  # infinity and NaN keep their payload
    return (body.compare(">=", 0x7C00).choose(special, number) | sign).bits(lanes(F32))


def _vnni512(kit: Kit, start: Value, weights: Sequence[Value], quants: Value) -> Value:
    total = start
    for q, weight in enumerate(weights):
        four = kit.load(quants, 4 * q, I32, 4).splat()
        total = kit.intrinsic("llvm.x86.avx512.vpdpbusd.512", lanes(I32), [total, weight.bits(lanes(I32)), four])
    return total


def _vnni256(kit: Kit, start: Value, weights: Sequence[Value], quants: Value) -> Value:
    halves = [start.shuffle(range(8)), start.shuffle(range(8, 16))]
    for q, weight in enumerate(weights):
        four = kit.load(quants, 4 * q, I32, 4).splat(8)
        words = weight.bits(lanes(I32))
        for h in range(2):
            part = words.shuffle(range(8 * h, 8 * h + 8))
            halves[h] = kit.intrinsic("llvm.x86.avx512.vpdpbusd.256", lanes(I32, 8), [halves[h], part, four])
    both = kit.builder.shuffle_vector(halves[0].raw, halves[1].raw, _mask(range(16)))
    return Value(kit, both)


def _mask(picks: Sequence[int]) -> object:
    return ir.Constant(lanes(I32, len(picks)), list(picks))


def _plain(kit: Kit, start: Value, weights: Sequence[Value], quants: Value) -> Value:
    """Widen to 16 bits, multiply, add neighbours: LLVM selects pairwise multiply-add where the CPU has it."""
    total = kit.const(lanes(I32, 32), 0)
    for q, weight in enumerate(weights):
        four = kit.load(quants, 4 * q, lanes(I8, 4), 4).shuffle([0, 1, 2, 3] * LANES)
        a = weight.zext(lanes(I16, 64)).sext(lanes(I32, 64))
        products = a * four.sext(lanes(I16, 64)).sext(lanes(I32, 64))
        total = total + products.shuffle(range(0, 64, 2)) + products.shuffle(range(1, 64, 2))
    return start + total.shuffle(range(0, 32, 2)) + total.shuffle(range(1, 32, 2))


DOTS: Final[dict[str, Callable[[Kit, Value, Sequence[Value], Value], Value]]] = {
    "vnni512": _vnni512,
    "vnni256": _vnni256,
    "plain": _plain,
}
