"""spec/arithmetic.md and spec/sampler.md once more, slowly: a number at a time, no kernel, no packing.

binary32 numbers are numpy scalars, whose + - * / are IEEE operations; a fused multiply-add is exact rational arithmetic
rounded once. Nothing here is imported from the engine.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import gguf
import numpy as np

F = np.float32
ZERO, ONE = F(0), F(1)


def single(exact: Fraction) -> np.float32:
    """The nearest binary32 number, ties to even."""
    near = F(float(exact))
    if Fraction(float(near)) == exact:
        return near
    around = [np.nextafter(near, F(-np.inf)), near, np.nextafter(near, F(np.inf))]
    return min(filter(np.isfinite, around), key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.uint32)) & 1))


def fma(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    product = float(a) * float(b)  # exact: 24 + 24 bits
    if not math.isfinite(product) or abs(product) < 2.0**-300:
        return single(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
    return single(Fraction(product) + Fraction(float(c)))


def snap(x: np.float32) -> np.float32:
    return ZERO if abs(x) < F(2.0**-40) else x


def chain(a: list[np.float32], b: list[np.float32]) -> np.float32:
    """The products of two rows, added in order."""
    total = ZERO
    for x, y in zip(a, b, strict=True):
        total = fma(x, y, total)
    return total


def tree(sums: list[np.float32]) -> np.float32:
    """16 numbers: i with i+8, then i+4, i+2, i+1."""
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[i] + sums[i + half] for i in range(half)]
    return sums[0]


def hexes(*texts: str) -> list[np.float32]:
    return [F(float.fromhex(text)) for text in texts]


LOG2E, LN2_HIGH, LN2_LOW = hexes("0x1.715476p+0", "0x1.62e4p-1", "0x1.7f7d1cp-20")
EXP = [F(Fraction(1, math.factorial(k)).__float__()) for k in range(7, -1, -1)]
LOG = hexes(
    "0x1.2043760p-4",
    "-0x1.d7a3700p-4",
    "0x1.de4a340p-4",
    "-0x1.fcba9e0p-4",
    "0x1.23d37e0p-3",
    "-0x1.555ca00p-3",
    "0x1.999d580p-3",
    "-0x1.fffff80p-3",
    "0x1.5555540p-2",
)


def exp(x: np.float32) -> np.float32:
    if x < -87:
        return ZERO
    x = min(x, F(88))
    n = F(np.rint(x * LOG2E))
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    p = EXP[0]
    for coefficient in EXP[1:]:
        p = fma(p, r, coefficient)
    return p * F(2.0 ** int(n))


def log_of(f: np.float32, e: int) -> np.float32:
    """ln(2^e (1+f))."""
    p = LOG[0]
    for coefficient in LOG[1:]:
        p = fma(p, f, coefficient)
    square = f * f
    y = fma(F(e), LN2_LOW, (f * square) * p)
    return fma(F(e), LN2_HIGH, f + fma(square, F(-0.5), y))


def split(x: np.float32) -> tuple[np.float32, int]:
    """x = 2^e·m, m from √½ (as binary32 rounds it) up to twice that."""
    m, e = math.frexp(float(x))  # m in [½, 1)
    root = float(np.uint32(0x3F3504F3).view(np.float32))
    return (F(m), e) if m >= root else (F(2 * m), e - 1)


def log(x: np.float32) -> np.float32:
    m, e = split(x)
    return log_of(m - ONE, e)


def philox(seed: int, position: int, index: int) -> int:
    """Word index mod 4 of Philox4x32-10 at counter (index div 4, position, 0, 0)."""
    counter, key = [index // 4, position, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
    return rounds(counter, key)[index % 4]


def rounds(counter: list[int], key: list[int]) -> list[int]:
    mask = 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [b >> 32 ^ counter[1] ^ key[0], b & mask, a >> 32 ^ counter[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def gumbel(word: int) -> np.float32:
    small = word < 2**30
    a = F(word if small else 2**32 - 1 - word) * F(2.0**-32) + F(2.0**-33)
    return -log(-(log_of(-a, 0) if small else log(a)))


def pick(logits: np.ndarray, temperature: np.float32, seed: int, position: int) -> int:
    """The argmax of z/T + Gumbel over logits that are not minus infinity."""
    best, found = F(-np.inf), 0
    for index, z in enumerate(logits):
        if z == -np.inf:
            continue
        score = z if temperature == 0 else z / temperature + gumbel(philox(seed, position, index))
        if score > best:
            best, found = score, index
    return found


def half(raw: bytes) -> np.float32:
    return F(np.frombuffer(raw, "<f2")[0])


def fives(raw: bytes) -> list[int]:
    """32 numbers of 4 bits, or of 5 whose highest lie in front."""
    low = [b & 15 for b in raw[-16:]] + [b >> 4 for b in raw[-16:]]
    high = int.from_bytes(raw[:-16], "little")
    return [q + 16 * (high >> i & 1) for i, q in enumerate(low)]


def factored(raw: bytes) -> list[tuple[np.float32, np.float32, list[int]]]:
    """Q4_K and Q5_K, eight sub-blocks: fl(d·sc), -fl(dmin·mn), 32 weights."""
    found = []
    s = raw[4:16]
    for i in range(8):
        if i < 4:
            factor, minimum = s[i] % 64, s[4 + i] % 64
        else:
            factor, minimum = s[4 + i] % 16 + s[i - 4] // 64 * 16, s[4 + i] // 16 + s[i] // 64 * 16
        low, high = raw[len(raw) - 128 + i // 2 * 32 :][:32], raw[16:48] if len(raw) == 176 else bytes(32)
        weights = [(b // 16 if i % 2 else b % 16) + 16 * (h >> i & 1) for b, h in zip(low, high, strict=True)]
        found.append((half(raw[:2]) * F(factor), -(half(raw[2:4]) * F(minimum)), weights))
    return found


def q6_k(raw: bytes) -> list[tuple[np.float32, list[int], list[int]]]:
    """Eight times 32 weights: d, the factors of their halves, the weights."""
    weights = []
    for i in range(256):
        part, quarter, place = i // 128, i % 128 // 32, i % 32
        low = raw[part * 64 + quarter % 2 * 32 + place]
        high = raw[128 + part * 32 + place] >> 2 * quarter & 3
        weights.append((low // 16 if quarter > 1 else low % 16) + 16 * high - 32)
    factors = [b - 256 * (b > 127) for b in raw[192:208]]
    return [(half(raw[208:]), factors[2 * i : 2 * i + 2], weights[32 * i : 32 * i + 32]) for i in range(8)]


SIZES = {"q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34, "q4_k": 144, "q5_k": 176, "q6_k": 210}


class Matrix:
    """A tensor's rows: numbers, or lists of 32 weights with (d, what is added, the factors of their halves)."""

    def __init__(self, tensor: gguf.ReaderTensor) -> None:
        self.kind = tensor.tensor_type.name.lower()
        rows, raw = int(tensor.shape[1]), np.array(tensor.data).tobytes()
        size = len(raw) // rows
        cut = [raw[i * size : (i + 1) * size] for i in range(rows)]
        self.rows: list[list[np.float32]] = []
        self.blocks: list[list[tuple[np.float32, np.float32 | None, list[int], list[int]]]] = []
        if self.kind == "bf16":
            self.rows = [list((np.frombuffer(row, "<u2").astype("<u4") * 2**16).view(F)) for row in cut]
        elif self.kind in ("f16", "f32"):
            self.rows = [list(np.frombuffer(row, "<f" + str(int(self.kind[1:]) // 8)).astype(F)) for row in cut]
        else:
            step = SIZES[self.kind]
            self.blocks = [[b for i in range(0, size, step) for b in self._block(row[i : i + step])] for row in cut]

    def _block(self, raw: bytes) -> list[tuple[np.float32, np.float32 | None, list[int], list[int]]]:
        one = [1, 1]
        if self.kind in ("q4_k", "q5_k"):
            return [(d, m, one, weights) for d, m, weights in factored(raw)]
        if self.kind == "q6_k":
            return [(d, None, factors, weights) for d, factors, weights in q6_k(raw)]
        if self.kind == "q8_0":
            return [(half(raw[:2]), None, one, [int(q) for q in np.frombuffer(raw[2:], np.int8)])]
        if self.kind in ("q4_1", "q5_1"):
            return [(half(raw[:2]), half(raw[2:4]), one, fives(raw[4:]))]
        less = {"q4_0": 8, "q5_0": 16}[self.kind]
        return [(half(raw[:2]), None, one, [q - less for q in fives(raw[2:])])]

    def embed(self, row: int) -> list[np.float32]:
        if self.rows:
            return self.rows[row]
        found = []
        for d, m, factors, weights in self.blocks[row]:
            numbers = [d * F(factors[i // 16]) * F(q) for i, q in enumerate(weights)]
            found += numbers if m is None else [number + m for number in numbers]
        return found

    def dot(self, x: list[np.float32]) -> list[np.float32]:
        if self.rows:
            return [chain([snap(w) for w in row], x) for row in self.rows]
        quantised = [quantise(x[i : i + 32]) for i in range(0, len(x), 32)]
        return [self._sum(row, quantised) for row in self.blocks]

    def _sum(self, row: list, quantised: list[tuple[np.float32, list[int]]]) -> np.float32:
        terms = []
        for (d, m, factors, weights), (dx, numbers) in zip(row, quantised, strict=True):
            dot = sum(factors[i // 16] * w * q for i, (w, q) in enumerate(zip(weights, numbers, strict=True)))
            terms.append((d * dx, F(dot)))
            if m is not None:
                terms.append((m, dx * F(sum(numbers))))
        return chain(*map(list, zip(*terms, strict=True)))


def quantise(block: list[np.float32]) -> tuple[np.float32, list[int]]:
    greatest = max(abs(x) for x in block)
    if greatest < F(2.0**-40):
        return ZERO, [0] * 32
    inverse = F(127) / greatest
    return greatest / F(127), [int(np.rint(x * inverse)) for x in block]


def norm(x: list[np.float32], weight: list[np.float32], epsilon: np.float32) -> list[np.float32]:
    sums = [ZERO] * 16
    for i, number in enumerate(x):
        sums[i % 16] = fma(number, number, sums[i % 16])
    r = ONE / np.sqrt(tree(sums) / F(len(x)) + epsilon)
    return [snap(number * r * w) for number, w in zip(x, weight, strict=True)]


def turns(base: float, head: int, position: int) -> list[tuple[np.float32, np.float32]]:
    """(cosine, sine) of each pair at `position`, by the addition theorem in whole numbers."""
    found = []
    for i in range(head // 2):
        with localcontext(prec=60):
            angle = (Decimal(base).ln() * Decimal(-2 * i) / Decimal(head)).exp()
            steps = []
            for power in range(2):
                term, total = (angle if power else Decimal(1)), Decimal(0)
                for k in range(power, power + 60, 2):
                    total, term = total + term, -term * angle * angle / ((k + 1) * (k + 2))
                steps.append(int((total * 2**64).to_integral_value("ROUND_FLOOR")))
        c, s = 2**64, 0
        for _ in range(position):
            c, s = (c * steps[0] - s * steps[1]) >> 64, (s * steps[0] + c * steps[1]) >> 64
        found.append((F(float(c) / 2**64), F(float(s) / 2**64)))
    return found


class Model:
    """Teacher-forced states and logits."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)

        def number(key: str) -> float:
            return reader.fields["llama." + key].contents()

        self.layers, self.heads, self.keys = (
            int(number(k)) for k in ("block_count", "attention.head_count", "attention.head_count_kv")
        )
        self.head = int(number("embedding_length")) // self.heads
        self.base, self.epsilon = float(number("rope.freq_base")), F(number("attention.layer_norm_rms_epsilon"))
        self.tensors = {t.name: Matrix(t) if len(t.shape) == 2 else list(np.array(t.data)) for t in reader.tensors}

    def run(self, ids: list[int]) -> list[tuple[list[np.float32], list[np.float32]]]:
        """(final-norm output, logits) per position."""
        cache: list[list[tuple[list[np.float32], list[np.float32]]]] = [[] for _ in range(self.layers)]
        return [self._token(position, unit, cache) for position, unit in enumerate(ids)]

    def _token(self, position: int, unit: int, cache: list) -> tuple[list[np.float32], list[np.float32]]:
        t = self.tensors
        x = t["token_embd.weight"].embed(unit)
        turn = turns(self.base, self.head, position)
        for layer in range(self.layers):
            at = f"blk.{layer}."
            y = norm(x, t[at + "attn_norm.weight"], self.epsilon)
            q, k, v = (t[f"{at}attn_{n}.weight"].dot(y) for n in "qkv")
            cache[layer].append((self._rotate(k, turn), [snap(number) for number in v]))
            mixed = self._attend(self._rotate(q, turn), cache[layer])
            x = [a + b for a, b in zip(x, t[at + "attn_output.weight"].dot(mixed), strict=True)]
            y = norm(x, t[at + "ffn_norm.weight"], self.epsilon)
            g, u = (t[f"{at}ffn_{n}.weight"].dot(y) for n in ("gate", "up"))
            inner = [snap(a / (exp(-a) + ONE) * b) for a, b in zip(g, u, strict=True)]
            x = [a + b for a, b in zip(x, t[at + "ffn_down.weight"].dot(inner), strict=True)]
        state = norm(x, t["output_norm.weight"], self.epsilon)
        return state, t.get("output.weight", t["token_embd.weight"]).dot(state)

    def _rotate(self, x: list[np.float32], turn: list) -> list[np.float32]:
        out = []
        for i in range(0, len(x), 2):
            c, s = turn[i // 2 % (self.head // 2)]
            out += [snap(fma(x[i], c, x[i + 1] * -s)), snap(fma(x[i + 1], c, x[i] * s))]
        return out

    def _attend(self, q: list[np.float32], cache: list) -> list[np.float32]:
        out = []
        scale = F(1 / math.sqrt(self.head))
        for h in range(self.heads):
            first = h * self.keys // self.heads * self.head
            turned = q[h * self.head : (h + 1) * self.head]
            scores = [snap(chain(turned, key[first : first + self.head]) * scale) for key, _ in cache]
            weights = [ZERO if s - max(scores) < -27 else exp(s - max(scores)) for s in scores]
            sums = [ZERO] * 16
            for p, w in enumerate(weights):
                sums[p % 16] = sums[p % 16] + w
            for d in range(self.head):
                total = chain(weights, [value[first + d] for _, value in cache])
                out.append(snap(total / tree(sums)))
        return out
