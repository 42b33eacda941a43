"""ARI-6: no product and no partial sum of a chain is subnormal, whatever the weights of a file: counted in the slow
reference, and seen in the flags that an x86 processor raises when a kernel takes or makes such a number."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import canonical_reference as slow
import tiny_llama
from steelyard.engines import gguf_head
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.interpreter import ARGS, CHUNKS, KERNEL
from steelyard.engines.canonical.model import Feed, Model
from steelyard.engines.canonical.program import address, aligned

IDS = [5, 39, 0]
SMALL = tiny_llama.Tiny(inner=32, vocabulary=40)
NORMAL = 2.0**-126
PLACES = 200
"""Positions that attention looks back on."""


def _hostile(chance: np.random.Generator, count: int) -> np.ndarray:
    """About 2^-40, in all directions: subnormal ones, zeros, both sides of the bound and the bound itself, one in ten
    ordinary."""
    sizes = chance.uniform(0.5, 1, count) * 2.0 ** chance.choice([-140, -43, -40, -39, -38, -35, 0], count)
    sizes[::7], sizes[1::11] = 0, 2.0**-40
    return (sizes * chance.choice([-1, 1], count)).astype(np.float32)


def _spoiled(path: Path, tiny: tiny_llama.Tiny) -> Path:
    """A model whose norms' weights are hostile in the first layer, and whose plain matrices are in the second."""
    head = gguf_head.read(tiny_llama.write(path, tiny))
    raw, chance = bytearray(path.read_bytes()), np.random.default_rng(8)
    for tensor in head.tensors:
        kind = gguf_head.KINDS[tensor.kind][0]
        norm = tensor.name.startswith("blk.0.") and tensor.name.endswith("norm.weight")
        if norm or (tensor.name.startswith("blk.1.") and len(tensor.shape) == 2 and kind in ("f32", "bf16")):
            size = {"f32": 4, "bf16": 2}[kind]
            numbers = _hostile(chance, (tensor.size or 0) // size).view(np.uint32) >> (32 - 8 * size)
            raw[tensor.at : tensor.at + (tensor.size or 0)] = numbers.astype(f"<u{size}").tobytes()
    path.write_bytes(raw)
    return path


MODELS = {
    "f32": SMALL.but(kind="f32", outer="f32"),
    "bf16": SMALL.but(kind="bf16", outer="f16"),
    "least scales": SMALL.but(kind="q4_1", size=3e-7),
    "steep": SMALL.but(kind="q8_0", size=0.9),
}


@pytest.fixture(scope="module", params=MODELS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _spoiled(tmp_path_factory.mktemp("model") / "tiny.gguf", MODELS[request.param])


class Counting:
    """The reference's chains, and how many of their products and partial sums are subnormal."""

    def __init__(self) -> None:
        self.least, self.bad = 1.0, 0

    def chain(self, a: list[np.float32], b: list[np.float32]) -> np.float32:
        total = np.float32(0)
        for x, y in zip(a, b, strict=True):
            product = float(x) * float(y)  # exact
            total = slow.fma(x, y, total)
            self.least = min(self.least, abs(product) or 1.0)
            self.bad += any(0 < abs(number) < NORMAL for number in (x, y, product, total))
        return total


def _counted(monkeypatch: pytest.MonkeyPatch, file: Path) -> tuple[Counting, list[Any]]:
    counting = Counting()
    monkeypatch.setattr(slow, "chain", counting.chain)
    return counting, slow.Model(file).run(IDS)


def test_ari_6_no_product_of_a_chain_is_subnormal_and_kernels_give_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    counting, expected = _counted(monkeypatch, file)
    assert counting.bad == 0
    assert counting.least >= 2.0**-80
    model = models.load(models.open_file(file, tmp_path), 1)
    pages = aligned((model.page_bytes,), np.uint8)
    table = np.array([address(pages)], np.int64)
    places = list(range(len(IDS)))
    states, logits = model.step(Feed(IDS, places, [address(table)] * len(IDS), places))
    for position, (state, row) in enumerate(expected):
        assert states[position].tobytes() == np.array(state, np.float32).tobytes(), position
        assert logits[position, : len(row)].tobytes() == np.array(row, np.float32).tobytes(), position
    model.close()


def test_without_the_rule_plain_matrices_and_attention_have_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise the count above would prove nothing."""
    monkeypatch.setattr(slow, "snap", lambda x: x)
    counting, _ = _counted(monkeypatch, _spoiled(tmp_path / "tiny.gguf", MODELS["f32"]))
    assert counting.bad > 1000


# -- kernels -------------------------------------------------------------------------------------------------------


class Bench:
    """A model, and its operations one at a time on memory that a test has filled."""

    def __init__(self, path: Path, tiny: tiny_llama.Tiny) -> None:
        self.model: Model = models.load(models.open_file(tiny_llama.write(path, tiny), path.parent), 1)
        self.memory, self.native = self.model._memory, self.model.native
        count = PLACES // self.model.recipe.page + 1
        self.pages = [aligned((self.model.page_bytes // 4,), np.float32) for _ in range(count)]
        self.table = aligned((count,), np.int64)
        self.table[:] = [address(page) for page in self.pages]
        self.model.step(Feed([5], [PLACES], [address(self.table)], [0]))

    def rows(self, kernel: str) -> np.ndarray:
        code: np.ndarray = self.model._program.code
        return code[code[:, KERNEL] == self.native.address[kernel]]

    def call(self, kernel: str) -> None:
        """All chunks of the kernel's first operation, in this thread, with nothing between them."""
        row = np.ascontiguousarray(self.rows(kernel)[0])
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(self.native.address[kernel])
        for chunk in range(int(row[CHUNKS])):
            run(address(row[ARGS:]), chunk, address(self.model.pool._scratch[0]))


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Of plain weights; both ways to turn and both gates, with and without caps."""
    tiny = tiny_llama.FAMILIES[request.param].but(kind="f32", outer="f16")
    made = Bench(tmp_path_factory.mktemp("model") / "tiny.gguf", tiny)
    yield made
    made.model.close()


def test_ari_6_what_chains_take_is_zero_or_not_tiny(bench: Bench) -> None:
    """ARI-10, ARI-30 to ARI-33: what each kernel leaves, of hostile numbers."""
    chance, m = np.random.default_rng(9), bench.memory
    gate = "gelu" if bench.model.file.shape.family.gemma else "silu"
    for kernel, left in (
        ("norm", [m.normed[0]]),
        (gate, [m.inner[0]]),
        ("rotate", [m.qkv[0], bench.pages[-1]]),
        ("attention", [m.mixed[0]]),
        ("quantise", [m.scales]),
    ):
        for array in (m.x, m.qkv, m.mixed, m.gated):
            array[:] = _hostile(chance, array.size).reshape(array.shape)
        bench.call(kernel)
        least = 2.0**-47 if kernel == "quantise" else 2.0**-40
        for numbers in map(abs, left):
            assert ((numbers == 0) | (numbers >= least)).all(), kernel
            assert numbers.any(), kernel


def test_ari_32_a_position_has_no_weight_beyond_27_below_the_greatest_score(tmp_path: Path) -> None:
    """One position far below all others, whose values alone are not 0."""
    tiny = tiny_llama.FAMILIES["llama"]
    bench = Bench(tmp_path / "tiny.gguf", tiny)
    shape, page = bench.model.file.shape, bench.model.recipe.page
    bench.pages[-1][:] = 0
    keys, values = bench.pages[0].reshape(shape.layers, 2, -1)[0]
    values.reshape(shape.key_heads, page, -1)[:, 7] = 2.0**100
    bench.memory.qkv[:] = 1
    seen = set()
    for number in np.float32(-27 / shape.scale) + np.arange(-9, 10, dtype=np.float32) * np.float32(2.0**-16):
        keys.reshape(shape.key_heads, -1, page)[:, 0, 7] = number
        bench.call("attention")
        near = number * np.float32(shape.scale) >= -27
        assert (bench.memory.mixed[0] > 0).all() if near else not bench.memory.mixed[0].any(), number
        seen.add(near)
    assert len(seen) == 2
    bench.model.close()


FLAGS = """
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare void @llvm.x86.sse.stmxcsr(ptr)
define i32 @exchange(i32 %value) {
    %new = alloca i32
    %old = alloca i32
    store i32 %value, ptr %new
    call void @llvm.x86.sse.stmxcsr(ptr %old)
    call void @llvm.x86.sse.ldmxcsr(ptr %new)
    %found = load i32, ptr %old
    ret i32 %found
}
"""
MASKED = 0x1F80
DENORMAL, UNDERFLOW = 1 << 1, 1 << 4  # sticky: an operand was subnormal, a result was (Intel SDM, volume 1, 10.2.3)
Raised = Callable[[Callable[[], object]], int]


@pytest.fixture(scope="module")
def raised() -> Iterator[Raised]:
    """Which of the two flags a call raises."""
    if platform.machine() != "x86_64":
        pytest.skip("MXCSR is a register of x86-64")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(FLAGS), target)
    engine.finalize_object()
    exchange = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(engine.get_function_address("exchange"))

    def flags(call: Callable[[], object]) -> int:
        before = exchange(MASKED)
        call()
        return exchange(before) & (DENORMAL | UNDERFLOW)

    yield flags
    engine.close()


@pytest.mark.parametrize("kernel", ["attention", "f32", "f16"])
def test_a_chains_kernel_meets_no_subnormal_number_at_the_bound_and_does_below(
    bench: Bench, raised: Raised, kernel: str
) -> None:
    """Of both signs, so that some of it cancels."""
    chance, m = np.random.default_rng(10), bench.memory

    def fill(exponent: int, keys: int) -> None:
        for array in (m.x, m.normed, m.mixed, m.inner, m.states, m.qkv, *bench.pages):
            sizes = chance.uniform(1, 2, array.size) * chance.choice([-1, 1], array.size) * 2.0**exponent
            array[:] = sizes.astype(np.float32).reshape(array.shape)
        for page in (m.qkv, *(page.reshape(bench.model.file.shape.layers, 2, -1)[:, 0] for page in bench.pages)):
            page *= np.float32(2.0 ** (keys - exponent))

    for keys in (-40, 0, 3, 5):  # then scores lie ever farther below the greatest
        fill(-40, keys)
        assert raised(lambda: bench.call(kernel)) == 0, keys
    fill(-127, -127)
    assert raised(lambda: bench.call(kernel))


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if FORMATS[kind].plain])
def test_ari_12_plain_weights_are_packed_without_tiny_ones(tmp_path: Path, kind: str) -> None:
    """And the others as they are, NaN and infinities included."""
    size = 4 if kind == "f32" else 2
    edge = np.array([0x2B7FFFFF, 0x2B800000, 0xAB7FFFFF, 0xAB800000, 1, 0x80000001, 0x80000000], np.uint32)
    odd = np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC10000, 0x3F800000], np.uint32)
    words = np.resize(np.concatenate([edge, odd]), 64 * 16) >> (32 - 8 * size)
    raw = words.astype(f"<u{size}")
    kinds = {name: number for number, (name, _, _) in gguf_head.KINDS.items()}
    tensor = gguf_head.Tensor("m", kinds[kind], (64, 16), 0, raw.nbytes)
    packed = models.packing.pack(tensor, raw.view(np.uint8)).view(raw.dtype).reshape(64, 16).T.reshape(-1)
    numbers = models.formats.dequantise(kind, raw.view(np.uint8).reshape(-1, size)).reshape(-1)
    tiny = (abs(numbers) < 2.0**-40) & (kind != "f16")
    assert tiny.any() == (kind != "f16")
    assert (packed == np.where(tiny, 0, raw)).all()
