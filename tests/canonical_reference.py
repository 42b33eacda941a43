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
    return min(around, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.uint32)) & 1))


def fma(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    product = float(a) * float(b)  # exact: 24 + 24 bits
    if not math.isfinite(product) or abs(product) < 2.0**-300:
        return single(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
    return single(Fraction(product) + Fraction(float(c)))


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


class Matrix:
    """A tensor's rows as lists of blocks (d, m, weights)."""

    def __init__(self, tensor: gguf.ReaderTensor) -> None:
        self.kind = tensor.tensor_type.name.lower()
        self.columns = int(tensor.shape[0])
        if self.kind == "f32":
            self.rows = np.array(tensor.data).reshape(-1, self.columns)
            return
        size = {"q4_0": 18, "q4_1": 20, "q8_0": 34}[self.kind]
        raw = np.array(tensor.data).view(np.uint8).reshape(-1, self.columns // 32, size)
        self.blocks = [[self._block(block.tobytes()) for block in row] for row in raw]

    def _block(self, raw: bytes) -> tuple[np.float32, np.float32, list[int]]:
        d = F(np.frombuffer(raw[:2], np.float16)[0])
        if self.kind == "q8_0":
            return d, ZERO, [int(q) for q in np.frombuffer(raw[2:], np.int8)]
        skip = 4 if self.kind == "q4_1" else 2
        m = F(np.frombuffer(raw[2:4], np.float16)[0]) if self.kind == "q4_1" else ZERO
        less = 8 if self.kind == "q4_0" else 0
        return d, m, [(b & 15) - less for b in raw[skip:]] + [(b >> 4) - less for b in raw[skip:]]

    def embed(self, row: int) -> list[np.float32]:
        if self.kind == "f32":
            return list(self.rows[row])
        return [d * F(q) + m if self.kind == "q4_1" else d * F(q) for d, m, w in self.blocks[row] for q in w]

    def dot(self, x: list[np.float32]) -> list[np.float32]:
        if self.kind == "f32":
            return [self._chain(row, x) for row in self.rows]
        quantised = [quantise(x[i : i + 32]) for i in range(0, len(x), 32)]
        return [self._sum(row, quantised) for row in self.blocks]

    @staticmethod
    def _chain(row: np.ndarray, x: list[np.float32]) -> np.float32:
        total = ZERO
        for w, number in zip(row, x, strict=True):
            total = fma(w, number, total)
        return total

    def _sum(self, row: list, quantised: list[tuple[np.float32, list[int]]]) -> np.float32:
        total = ZERO
        for (d, m, weights), (dx, numbers) in zip(row, quantised, strict=True):
            dot = sum(w * q for w, q in zip(weights, numbers, strict=True))
            total = fma(d * dx, F(dot), total)
            if self.kind == "q4_1":
                total = fma(m, dx * F(sum(numbers)), total)
        return total


def quantise(block: list[np.float32]) -> tuple[np.float32, list[int]]:
    greatest = max(abs(x) for x in block)
    if greatest < F(2.0**-100):
        return ZERO, [0] * 32
    inverse = F(127) / greatest
    return greatest / F(127), [int(np.rint(x * inverse)) for x in block]


def norm(x: list[np.float32], weight: list[np.float32], epsilon: np.float32) -> list[np.float32]:
    sums = [ZERO] * 16
    for i, number in enumerate(x):
        sums[i % 16] = fma(number, number, sums[i % 16])
    r = ONE / np.sqrt(tree(sums) / F(len(x)) + epsilon)
    return [number * r * w for number, w in zip(x, weight, strict=True)]


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
            cache[layer].append((self._rotate(k, turn), v))
            mixed = self._attend(self._rotate(q, turn), cache[layer])
            x = [a + b for a, b in zip(x, t[at + "attn_output.weight"].dot(mixed), strict=True)]
            y = norm(x, t[at + "ffn_norm.weight"], self.epsilon)
            g, u = (t[f"{at}ffn_{n}.weight"].dot(y) for n in ("gate", "up"))
            inner = [a / (exp(-a) + ONE) * b for a, b in zip(g, u, strict=True)]
            x = [a + b for a, b in zip(x, t[at + "ffn_down.weight"].dot(inner), strict=True)]
        state = norm(x, t["output_norm.weight"], self.epsilon)
        return state, t.get("output.weight", t["token_embd.weight"]).dot(state)

    def _rotate(self, x: list[np.float32], turn: list) -> list[np.float32]:
        out = []
        for i in range(0, len(x), 2):
            c, s = turn[i // 2 % (self.head // 2)]
            out += [fma(x[i], c, x[i + 1] * -s), fma(x[i + 1], c, x[i] * s)]
        return out

    def _attend(self, q: list[np.float32], cache: list) -> list[np.float32]:
        out = []
        scale = F(1 / math.sqrt(self.head))
        for h in range(self.heads):
            first = h * self.keys // self.heads * self.head
            scores = []
            for key, _ in cache:
                total = ZERO
                for d in range(self.head):
                    total = fma(q[h * self.head + d], key[first + d], total)
                scores.append(total * scale)
            weights = [exp(s - max(scores)) for s in scores]
            sums = [ZERO] * 16
            for p, w in enumerate(weights):
                sums[p % 16] = sums[p % 16] + w
            for d in range(self.head):
                total = ZERO
                for w, (_, value) in zip(weights, cache, strict=True):
                    total = fma(w, value[first + d], total)
                out.append(total / tree(sums))
        return out
