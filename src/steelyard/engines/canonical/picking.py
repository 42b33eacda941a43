"""Kernels of rule P3: the draw (Philox, Gumbel, argmax), the weights for top-p, a logarithm (spec/sampler.md)."""

from typing import Final

from llvmlite import ir

from steelyard.engines.canonical.emit import F32, I32, I64, INF, LANES, Kernel, Kit, Value, Variable, lanes
from steelyard.engines.canonical.recipe import Recipe
from steelyard.engines.canonical.scalars import SQRT_HALF_BITS, exp, log, log1p_core
from steelyard.engines.draws import KEY_STEPS, MULTIPLIERS, ROUNDS

AT_ONCE: Final = 4 * LANES  # ids in one pass: four words of each of 16 counters

# pick: one chunk is a row of logits; DRAWS holds per row four i64: T's bits, seed, position, 0
LOGITS, STRIDE, COUNT, DRAWS, PICKS = range(5)
# weigh: OUT[i] = e^((z_i - MAX)/T); COUNT a multiple of 16
OUT, MAXIMUM, TEMPERATURE = 5, 6, 7


def philox(counter: list[Value], key: list[Value]) -> list[Value]:
    """Four words for each counter of four words; every word a vector of 16 × 32 bits."""
    for index in range(ROUNDS):
        if index:
            key = [k + step for k, step in zip(key, KEY_STEPS, strict=True)]
        low, high = [], []
        for word, multiplier in zip((counter[0], counter[2]), MULTIPLIERS, strict=True):
            product = word.zext(lanes(I64)) * multiplier
            low.append(product.trunc(lanes(I32)))
            high.append((product >> 32).trunc(lanes(I32)))
        counter = [high[1] ^ counter[1] ^ key[0], low[1], high[0] ^ counter[3] ^ key[1], low[0]]
    return counter


def gumbel(kit: Kit, word: Value) -> Value:
    """-ln(-ln u) with u = 1 - (word + ½)/2³², through ln(1 - a) where a < ¼ and ln u elsewhere."""
    small = word.compare("<", 1 << 30)
    part = small.choose(word, word ^ 0xFFFFFFFF)
    a = Value(kit, kit.builder.uitofp(part.raw, lanes(F32))) * 2.0**-32 + 2.0**-33
    offset = a.bits(lanes(I32)) - SQRT_HALF_BITS
    exponent = Value(kit, kit.builder.ashr(offset.raw, kit.const(lanes(I32), 23).raw))
    mantissa = (a.bits(lanes(I32)) - (exponent << 23)).bits(lanes(F32))
    f = small.choose(kit.const(lanes(F32), 0.0) - a, mantissa - 1.0)
    e = small.choose(kit.const(lanes(F32), 0.0), exponent.to_float())
    waiting = kit.const(lanes(F32), 0.0) - log1p_core(kit, f, e)
    return kit.const(lanes(F32), 0.0) - log(kit, waiting)


def pick(module: object, name: str, _: Recipe) -> None:
    """PICKS[row] = the argmax of z (T = 0) or of z/T + Gumbel; the lowest id on ties; NaN never wins."""
    kit = Kernel(module, name)
    draw = kit.at(kit.pointer(DRAWS), kit.chunk << 5)
    temperature = kit.load(draw, 0, I64, 8).trunc(I32).bits(F32)
    seed, position = kit.load(draw, 8, I64, 8), kit.load(draw, 16, I64, 8)
    row = kit.at(kit.pointer(LOGITS), (kit.chunk * kit.number(STRIDE)) << 2)
    best = kit.var(kit.const(lanes(F32), -INF)), kit.var(kit.const(lanes(I32), 0))
    plain = temperature.compare("==", 0.0)
    with kit.builder.if_else(plain.raw) as (then, otherwise):
        with then:
            _scan(kit, row, best, None)
        with otherwise:
            key = [seed.trunc(I32).splat(), (seed >> 32).trunc(I32).splat()]
            _scan(kit, row, best, (temperature.splat(), key, position.trunc(I32).splat()))
    value, index = best[0].get(), best[1].get()
    width = LANES
    while width > 1:
        width //= 2
        values = value.shuffle(range(width)), value.shuffle(range(width, 2 * width))
        ids = index.shuffle(range(width)), index.shuffle(range(width, 2 * width))
        tie = values[0].compare("==", values[1]) & ids[1].compare("<", ids[0])
        later = values[1].compare(">", values[0]) | tie
        value, index = later.choose(values[1], values[0]), later.choose(ids[1], ids[0])
    kit.store(index.lane(0).zext(I64), kit.pointer(PICKS), kit.chunk << 3, 8)
    kit.finish()


def _scan(
    kit: Kernel, row: Value, best: tuple[Variable, Variable], draw: tuple[Value, list[Value], Value] | None
) -> None:
    """Keeps each lane's greatest score and its id; ids rise within a lane, so a tie keeps the lowest."""
    count = kit.number(COUNT)
    limit = count.trunc(I32).splat()
    ramp = Value(kit, ir.Constant(lanes(I32), list(range(LANES))))
    zero = kit.const(lanes(I32), 0)
    with kit.loop(0, count, AT_ONCE) as first:
        counters = ramp + (first >> 2).trunc(I32).splat()
        words = philox([counters, draw[2], zero, zero], draw[1]) if draw else []
        logits = kit.load(row, first << 2, lanes(F32, AT_ONCE), 4)
        for w in range(4):
            score = logits.shuffle(range(w, AT_ONCE, 4))
            if draw:
                score = score / draw[0] + gumbel(kit, words[w])
            ids = (counters << 2) + w
            wins = score.compare(">", best[0].get()) & ids.compare("<", limit)
            best[0].set(wins.choose(score, best[0].get()))
            best[1].set(wins.choose(ids, best[1].get()))


def weigh(module: object, name: str, _: Recipe) -> None:
    """e^((z - max)/T), binary32, for every logit."""
    kit = Kernel(module, name)
    greatest = kit.number(MAXIMUM).trunc(I32).bits(F32).splat()
    temperature = kit.number(TEMPERATURE).trunc(I32).bits(F32).splat()
    with kit.loop(0, kit.number(COUNT), LANES) as at:
        z = kit.load(kit.pointer(LOGITS), at << 2, lanes(F32), 4)
        kit.store(exp(kit, (z - greatest) / temperature), kit.pointer(OUT), at << 2, 4)
    kit.finish()


def logarithm(module: object, name: str, _: Recipe) -> None:
    """OUT[i] = ln z_i for 16 normal numbers above 0."""
    kit = Kernel(module, name)
    kit.store(log(kit, kit.load(kit.pointer(LOGITS), 0, lanes(F32), 4)), kit.pointer(OUT), 0, 4)
    kit.finish()
