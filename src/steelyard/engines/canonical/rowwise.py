"""Kernels that take one token's row: norm, quantisation of activations, gate, rotation (spec/arithmetic.md)."""

from collections.abc import Callable, Iterator
from typing import Final

from steelyard.engines.canonical.bounds import TINY_BITS
from steelyard.engines.canonical.emit import F32, I8, I32, I64, LANES, PTR, Kernel, Value, lanes
from steelyard.engines.canonical.formats import BLOCK
from steelyard.engines.canonical.recipe import TILE, Recipe
from steelyard.engines.canonical.scalars import exp, magnitude, round_even, snap, tanh

INFINITY_BITS: Final = 0x7F800000
NAN_BITS: Final = 0x7FC00000
GELU_CUBIC: Final = float.fromhex("0x1.6e4e26p-5")  # 0.044715 as binary32
GELU_SLOPE: Final = float.fromhex("0x1.988454p-1")  # √(2/π) as binary32

# slots shared by every kernel that quantises; LENGTH numbers in a row
QUANTS, SCALES, SUMS, LESS8, LESS128, LESS32, LENGTH = range(7)
# norm: Y[i] = norm of X[ROWS[i]]
X, Y, WEIGHT, EPSILON, ROWS = range(7, 12)
# the gate's Y is SiLU (or GELU) of the first half of X's row times the second half
# kernels that change LENGTH numbers of a row in place, where rows are WIDE numbers apart
WIDE, CAP, HEADS = range(12, 15)
# rotate
QKV, STRIDE, POSITIONS, TABLES, COSINES, SINES, KEYS, VALUES, QUERY_HEADS, KEY_HEADS = range(10)


def number_as_float(kit: Kernel, slot: int) -> Value:
    """An argument that holds binary32 bits."""
    return kit.number(slot).trunc(I32).bits(F32)


def _quantise_row(kit: Kernel, row: Value, token: Value, numbers: Value) -> None:
    """Blocks of 32 of `row` (an address) into the tiled layout that `matmul` reads."""
    blocks = numbers / BLOCK
    base = (token / TILE) * blocks * TILE + token % TILE
    with kit.loop(0, blocks) as block:
        pair = block * TILE + base
        halves = [kit.load(row, (block * BLOCK + h * LANES) << 2, lanes(F32), 4) for h in range(2)]
        bits = [magnitude(half).bits(lanes(I32)) for half in halves]
        top = _larger(bits[0], bits[1]).tree(_larger)
        usable = top.compare("<", INFINITY_BITS) & top.compare(">=", TINY_BITS)
        greatest = top.bits(F32)
        inverse = (kit.const(F32, 127.0) / greatest).splat()
        zeros = kit.const(lanes(I32), 0)
        keep = usable.splat()
        rounded = [keep.choose(round_even(half * inverse), zeros) for half in halves]
        for h in range(2):
            kit.store(rounded[h].trunc(lanes(I8)), kit.pointer(QUANTS), pair * BLOCK + h * LANES)
        parts = [half.tree(Value.__add__) for half in rounded]
        total = parts[0] + parts[1]
        bad = top.compare(">=", INFINITY_BITS).choose(kit.const(I32, NAN_BITS), 0).bits(F32)
        d = usable.choose(greatest / 127.0, bad)
        kit.store(d, kit.pointer(SCALES), pair << 2, 4)
        kit.store(d * total.to_float(), kit.pointer(SUMS), pair << 2, 4)
        kit.store(total * -8, kit.pointer(LESS8), pair << 2, 4)
        kit.store(total * -128, kit.pointer(LESS128), pair << 2, 4)
        for h, part in enumerate(parts):
            kit.store(part * -32, kit.pointer(LESS32), (pair * 2 + h) << 2, 4)


def _larger(a: Value, b: Value) -> Value:
    return a.compare(">", b).choose(a, b)


def quantise(module: object, name: str, _: Recipe) -> None:
    """Rows of X, one chunk a row."""
    kit = Kernel(module, name)
    numbers = kit.number(LENGTH)
    _quantise_row(kit, kit.at(kit.pointer(X), (kit.chunk * numbers) << 2), kit.chunk, numbers)
    kit.finish()


def norm(module: object, name: str, _: Recipe) -> None:
    """Y's row = norm of X's row ROWS[chunk], quantised."""
    kit = Kernel(module, name)
    numbers = kit.number(LENGTH)
    row = kit.load(kit.pointer(ROWS), kit.chunk << 3, I64, 8)
    y = kit.at(kit.pointer(Y), (kit.chunk * numbers) << 2)
    for at, number in _normed(kit, kit.at(kit.pointer(X), (row * numbers) << 2), numbers):
        kit.store(number, y, at << 2, 4)
    _quantise_row(kit, y, kit.chunk, numbers)
    kit.finish()


def post(module: object, name: str, _: Recipe) -> None:
    """Y's row += norm of X's row."""
    kit = Kernel(module, name)
    numbers = kit.number(LENGTH)
    y = kit.at(kit.pointer(Y), (kit.chunk * numbers) << 2)
    for at, number in _normed(kit, kit.at(kit.pointer(X), (kit.chunk * numbers) << 2), numbers):
        kit.store(kit.load(y, at << 2, lanes(F32), 4) + number, y, at << 2, 4)
    kit.finish()


def head_norm(module: object, name: str, recipe: Recipe) -> None:
    """Each of HEADS heads of a row is normed in place, with the same weights."""
    kit = Kernel(module, name)
    row = kit.at(kit.pointer(X), (kit.chunk * kit.number(WIDE)) << 2)
    with kit.loop(0, kit.number(HEADS)) as which:
        head = kit.at(row, (which * recipe.head_dim) << 2)
        for at, number in _normed(kit, head, kit.const(I64, recipe.head_dim)):
            kit.store(number, head, at << 2, 4)
    kit.finish()


def _normed(kit: Kernel, x: Value, numbers: Value) -> Iterator[tuple[Value, Value]]:
    """ARI-30: y = snap((x·r)·w) with r = 1 / √(Σx²/n + ε); Σx² in 16 interleaved chains and the fixed tree. Yields
    once, inside a loop: where 16 of the results belong, and these."""
    chains = kit.var(kit.const(lanes(F32), 0.0))
    with kit.loop(0, numbers, LANES) as at:
        here = kit.load(x, at << 2, lanes(F32), 4)
        chains.set(kit.fma(here, here, chains.get()))
    total = chains.get().tree(Value.__add__)
    mean = total / numbers.trunc(I32).to_float()
    r = (kit.const(F32, 1.0) / kit.root(mean + number_as_float(kit, EPSILON))).splat()
    with kit.loop(0, numbers, LANES) as at:
        scaled = kit.load(x, at << 2, lanes(F32), 4) * r
        yield at, snap(scaled * kit.load(kit.pointer(WEIGHT), at << 2, lanes(F32), 4))


def bias(module: object, name: str, _: Recipe) -> None:
    """A row += WEIGHT."""
    kit = Kernel(module, name)
    row = kit.at(kit.pointer(X), (kit.chunk * kit.number(WIDE)) << 2)
    with kit.loop(0, kit.number(LENGTH), LANES) as at:
        here = kit.load(row, at << 2, lanes(F32), 4)
        kit.store(here + kit.load(kit.pointer(WEIGHT), at << 2, lanes(F32), 4), row, at << 2, 4)
    kit.finish()


def capped(kit: Kernel, x: Value, cap: Value) -> Value:
    """cap·tanh(snap(x / cap))."""
    return tanh(kit, snap(x / cap)) * cap


def cap(module: object, name: str, _: Recipe) -> None:
    """A row of LENGTH numbers (a multiple of 16), each capped."""
    kit = Kernel(module, name)
    row = kit.at(kit.pointer(X), (kit.chunk * kit.number(WIDE)) << 2)
    most = number_as_float(kit, CAP).splat()
    with kit.loop(0, kit.number(LENGTH), LANES) as at:
        kit.store(capped(kit, kit.load(row, at << 2, lanes(F32), 4), most), row, at << 2, 4)
    kit.finish()


def _silu(kit: Kernel, g: Value) -> Value:
    minus = (g.bits(lanes(I32)) ^ 0x80000000).bits(lanes(F32))
    return g / (exp(kit, minus) + 1.0)


def _gelu(kit: Kernel, g: Value) -> Value:
    cubic = kit.fma(g * g, kit.const(lanes(F32), GELU_CUBIC), kit.const(lanes(F32), 1.0))
    return (g * 0.5) * (tanh(kit, (g * GELU_SLOPE) * cubic) + 1.0)


def _gate(activation: Callable[[Kernel, Value], Value]) -> Callable[[object, str, Recipe], None]:
    def gate(module: object, name: str, _: Recipe) -> None:
        """y = snap(activation(g)·u) for the halves g and u of a row of X."""
        kit = Kernel(module, name)
        numbers = kit.number(LENGTH)
        x = kit.at(kit.pointer(X), (kit.chunk * numbers) << 3)
        y = kit.at(kit.pointer(Y), (kit.chunk * numbers) << 2)
        with kit.loop(0, numbers, LANES) as at:
            g = kit.load(x, at << 2, lanes(F32), 4)
            u = kit.load(x, (at + numbers) << 2, lanes(F32), 4)
            kit.store(snap(activation(kit, g) * u), y, at << 2, 4)
        _quantise_row(kit, y, kit.chunk, numbers)
        kit.finish()

    return gate


def rotate(module: object, name: str, recipe: Recipe) -> None:
    """Turns each pair of queries and keys by its angle and snaps all, then files key and value in the token's page."""
    kit = Kernel(module, name)
    head, half = recipe.head_dim, recipe.head_dim // 2
    row = kit.at(kit.pointer(QKV), (kit.chunk * kit.number(STRIDE)) << 2)
    position = kit.load(kit.pointer(POSITIONS), kit.chunk << 3, I64, 8)
    cosines, sines = (kit.at(kit.pointer(slot), (position * half) << 2) for slot in (COSINES, SINES))
    with kit.loop(0, kit.number(QUERY_HEADS) + kit.number(KEY_HEADS)) as which:
        begin = kit.at(row, (which * head) << 2)
        (_turn_halves if recipe.halves else _turn_neighbours)(kit, recipe, begin, cosines, sines)
    _file(kit, recipe, row, position)
    kit.finish()


def _turn_halves(kit: Kernel, recipe: Recipe, head: Value, cosines: Value, sines: Value) -> None:
    """Pairs (i, i + half)."""
    half = recipe.head_dim // 2
    with kit.loop(0, half, LANES) as at:
        c, s = (kit.load(table, at << 2, lanes(F32), 4) for table in (cosines, sines))
        a, b = (kit.load(head, (at + skip) << 2, lanes(F32), 4) for skip in (0, half))
        minus = (s.bits(lanes(I32)) ^ 0x80000000).bits(lanes(F32))
        kit.store(snap(kit.fma(a, c, b * minus)), head, at << 2, 4)
        kit.store(snap(kit.fma(b, c, a * s)), head, (at + half) << 2, 4)


def _turn_neighbours(kit: Kernel, recipe: Recipe, head: Value, cosines: Value, sines: Value) -> None:
    """Pairs (2i, 2i+1)."""
    twice = [i // 2 for i in range(LANES)]
    swapped = [i ^ 1 for i in range(LANES)]
    signs = kit.const(lanes(I32), 0)
    for i in range(0, LANES, 2):
        index = kit.const(I32, i)
        signs = Value(kit, kit.builder.insert_element(signs.raw, kit.const(I32, 0x80000000).raw, index.raw))
    with kit.loop(0, recipe.head_dim, LANES) as at:
        c = kit.load(cosines, at << 1, lanes(F32, LANES // 2), 4).shuffle(twice)
        s = kit.load(sines, at << 1, lanes(F32, LANES // 2), 4).shuffle(twice)
        pairs = kit.load(head, at << 2, lanes(F32), 4)
        turned = pairs.shuffle(swapped) * (s.bits(lanes(I32)) ^ signs).bits(lanes(F32))
        kit.store(snap(kit.fma(pairs, c, turned)), head, at << 2, 4)


def _file(kit: Kernel, recipe: Recipe, row: Value, position: Value) -> None:
    """Key into [head][number][position], value into [head][position][number] of the page."""
    head, page = recipe.head_dim, recipe.page
    queries, keys = kit.number(QUERY_HEADS), kit.number(KEY_HEADS)
    at = page_address(kit, kit.chunk, position / page)
    slot = position % page
    key, value = kit.at(at, kit.number(KEYS)), kit.at(at, kit.number(VALUES))
    with kit.loop(0, keys * head) as i:
        kit.store(kit.load(row, (queries * head + i) << 2, F32, 4), key, (i * page + slot) << 2, 4)
    with kit.loop(0, keys) as which, kit.loop(0, head, LANES) as i:
        place = ((queries + keys + which) * head + i) << 2
        here = snap(kit.load(row, place, lanes(F32), 4))
        kit.store(here, row, place, 4)
        kit.store(here, value, ((which * page + slot) * head + i) << 2, 4)


def page_address(kit: Kernel, token: Value, index: Value) -> Value:
    """Address of the token's page number `index`; TABLES holds one address of a table of addresses per token."""
    table = kit.load(kit.pointer(TABLES), token << 3, I64, 8)
    entry = Value(kit, kit.builder.inttoptr(table.raw, PTR))
    return Value(kit, kit.builder.inttoptr(kit.load(entry, index << 3, I64, 8).raw, PTR))


ROWWISE: Final[dict[str, Callable[[object, str, Recipe], None]]] = {
    "quantise": quantise,
    "norm": norm,
    "post": post,
    "head_norm": head_norm,
    "bias": bias,
    "cap": cap,
    "silu": _gate(_silu),
    "gelu": _gate(_gelu),
    "rotate": rotate,
}
