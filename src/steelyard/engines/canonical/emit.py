"""A small notation over llvmlite's builder, so that a kernel reads like its formula.

A `Value` is a scalar or a vector of 16 lanes; `+ - * /` are IEEE operations (no contraction, no reassociation), `fma`
is the only fused one. Kernels share one shape: void kernel(i64 *args, i64 chunk, ptr scratch).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from llvmlite import ir

LANES: Final = 16
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
I1 = ir.IntType(1)
F16, F32 = ir.HalfType(), ir.FloatType()
PTR = ir.PointerType()
INF = float("inf")


def lanes(element: Any, count: int = LANES) -> Any:
    """The type of `count` lanes of `element`."""
    return ir.VectorType(element, count)


@cache
def _constant(kind: Any, number: float, _: str) -> Any:
    """Made once and hence written once: kernels have thousands. The text tells 0.0 from -0.0 and from 0."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


@cache
def _picks(lanes_of: tuple[int, ...]) -> Any:
    return ir.Constant(lanes(I32, len(lanes_of)), list(lanes_of))


def element(kind: Any) -> Any:
    """A vector's element type, a scalar's own."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def is_float(kind: Any) -> bool:
    """True for binary32 and binary16, scalar or vector."""
    return element(kind) in (F32, F16)


@dataclass(frozen=True, eq=False)
class Value:
    """An SSA value with operators. A Python number on either side is a constant of the same type."""

    kit: "Kit"
    raw: Any

    @property
    def kind(self) -> Any:
        return self.raw.type

    def like(self, other: "Value | float") -> "Value":
        """`other` as a value of this type."""
        return other if isinstance(other, Value) else self.kit.const(self.kind, other)

    def _both(self, other: "Value | float", whole: str, real: str) -> "Value":
        name = real if is_float(self.kind) else whole
        return Value(self.kit, getattr(self.kit.builder, name)(self.raw, self.like(other).raw))

    def __add__(self, other: "Value | float") -> "Value":
        return self._both(other, "add", "fadd")

    def __sub__(self, other: "Value | float") -> "Value":
        return self._both(other, "sub", "fsub")

    def __mul__(self, other: "Value | float") -> "Value":
        return self._both(other, "mul", "fmul")

    def __truediv__(self, other: "Value | float") -> "Value":
        return self._both(other, "udiv", "fdiv")

    def __mod__(self, other: "Value | float") -> "Value":
        return self._both(other, "urem", "frem")

    def __and__(self, other: "Value | float") -> "Value":
        return self._both(other, "and_", "and_")

    def __or__(self, other: "Value | float") -> "Value":
        return self._both(other, "or_", "or_")

    def __xor__(self, other: "Value | float") -> "Value":
        return self._both(other, "xor", "xor")

    def __lshift__(self, other: "Value | float") -> "Value":
        return self._both(other, "shl", "shl")

    def __rshift__(self, other: "Value | float") -> "Value":
        """Logical shift."""
        return self._both(other, "lshr", "lshr")

    def compare(self, sign: str, other: "Value | float") -> "Value":
        """Unsigned for whole numbers, ordered for floats (false if either is NaN)."""
        builder = self.kit.builder
        compare = builder.fcmp_ordered if is_float(self.kind) else builder.icmp_unsigned
        return Value(self.kit, compare(sign, self.raw, self.like(other).raw))

    def choose(self, yes: "Value", no: "Value | float") -> "Value":
        """Where this (bits) is true `yes`, else `no`."""
        return Value(self.kit, self.kit.builder.select(self.raw, yes.raw, yes.like(no).raw))

    def bits(self, kind: Any) -> "Value":
        """The same bits as another type."""
        return Value(self.kit, self.kit.builder.bitcast(self.raw, kind))

    def zext(self, kind: Any) -> "Value":
        return Value(self.kit, self.kit.builder.zext(self.raw, kind))

    def trunc(self, kind: Any) -> "Value":
        return Value(self.kit, self.kit.builder.trunc(self.raw, kind))

    def sext(self, kind: Any) -> "Value":
        return Value(self.kit, self.kit.builder.sext(self.raw, kind))

    def to_float(self) -> "Value":
        """Signed whole number to binary32, nearest even."""
        return Value(self.kit, self.kit.builder.sitofp(self.raw, self._with(F32)))

    def widen(self) -> "Value":
        """binary16 to binary32, exact."""
        return Value(self.kit, self.kit.builder.fpext(self.raw, self._with(F32)))

    def _with(self, kind: Any) -> Any:
        return lanes(kind, self.kind.count) if isinstance(self.kind, ir.VectorType) else kind

    def splat(self, count: int = LANES) -> "Value":
        """A scalar in every lane."""
        kind = lanes(self.kind, count)
        builder = self.kit.builder
        first = builder.insert_element(ir.Constant(kind, ir.Undefined), self.raw, ir.Constant(I32, 0))
        return Value(self.kit, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), _picks((0,) * count)))

    def shuffle(self, picks: Sequence[int]) -> "Value":
        """Lanes by index."""
        mask, nothing = _picks(tuple(picks)), ir.Constant(self.kind, ir.Undefined)
        return Value(self.kit, self.kit.builder.shuffle_vector(self.raw, nothing, mask))

    def lane(self, index: int) -> "Value":
        return Value(self.kit, self.kit.builder.extract_element(self.raw, ir.Constant(I32, index)))

    def tree(self, join: Callable[["Value", "Value"], "Value"]) -> "Value":
        """The fixed tree over 16 lanes: l with l+8, then l+4, l+2, l+1. A scalar."""
        value, width = self, self.kind.count
        while width > 1:
            width //= 2
            value = join(value.shuffle(range(width)), value.shuffle(range(width, 2 * width)))
        return value.lane(0)


class Variable:
    """A mutable local (a stack slot that the optimiser turns into registers)."""

    def __init__(self, kit: "Kit", first: Value) -> None:
        self._kit = kit
        with kit.builder.goto_entry_block():
            self._slot = kit.builder.alloca(first.kind)
        self._kind = first.kind
        self.set(first)

    def get(self) -> Value:
        return Value(self._kit, self._kit.builder.load(self._slot, typ=self._kind))

    def set(self, value: Value) -> None:
        self._kit.builder.store(value.raw, self._slot)


class Array:
    """Mutable locals of one type, chosen by an index that is known only when the kernel runs."""

    def __init__(self, kit: "Kit", count: int, kind: Any) -> None:
        self._kit, self._kind = kit, kind
        with kit.builder.goto_entry_block():
            self._slot = kit.builder.alloca(kind, count)

    def _place(self, index: Value | int) -> Any:
        return self._kit.at(Value(self._kit, self._slot), index, self._kind).raw

    def get(self, index: Value | int) -> Value:
        return Value(self._kit, self._kit.builder.load(self._place(index), typ=self._kind))

    def set(self, index: Value | int, value: Value) -> None:
        self._kit.builder.store(value.raw, self._place(index))


class Kit:
    """One function being written."""

    def __init__(self, module: Any, name: str, returns: Any, takes: Sequence[Any]) -> None:
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(returns, list(takes)), name)
        self.builder: Any = ir.IRBuilder(self.function.append_basic_block())
        self.takes = [Value(self, raw) for raw in self.function.args]

    def const(self, kind: Any, number: float) -> Value:
        """A constant, the same in every lane."""
        return Value(self, _constant(kind, number, repr(number)))

    def var(self, first: Value) -> Variable:
        return Variable(self, first)

    @contextmanager
    def loop(self, begin: Value | int, end: Value | int, step: int = 1) -> Iterator[Value]:
        """Counts i64 from `begin` while below `end`."""
        begin, end = (v if isinstance(v, Value) else self.const(I64, v) for v in (begin, end))
        index, function = self.var(begin), self.function
        head, body, done = (function.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        here = index.get()
        self.builder.cbranch(here.compare("<", end).raw, body, done)
        self.builder.position_at_end(body)
        yield here
        index.set(here + step)
        self.builder.branch(head)
        self.builder.position_at_end(done)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        with self.builder.if_then(condition.raw):
            yield

    def at(self, base: Value, index: Value | int, kind: Any = I8) -> Value:
        """Address of element `index` of `kind`s from `base` (a pointer) on."""
        place = index if isinstance(index, Value) else self.const(I64, index)
        return Value(self, self.builder.gep(base.raw, [place.raw], source_etype=kind))

    def load(self, base: Value, index: Value | int, kind: Any, align: int = 1) -> Value:
        """`kind` at byte `index` from `base` on."""
        return Value(self, self.builder.load(self.at(base, index).raw, align=align, typ=kind))

    def store(self, value: Value, base: Value, index: Value | int, align: int = 1) -> None:
        """Stores at byte `index` from `base` on."""
        self.builder.store(value.raw, self.at(base, index).raw, align=align)

    def prefetch(self, base: Value, index: Value) -> None:
        """Asks for the cache line of byte `index` from `base` on, which need not exist."""
        read, keep, data = (self.const(I32, number) for number in (0, 3, 1))
        self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [self.at(base, index), read, keep, data])

    def intrinsic(self, name: str, returns: Any, values: Sequence[Value]) -> Value:
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(returns, [v.kind for v in values]), name)
        return Value(self, self.builder.call(function, [v.raw for v in values]))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a·b + c with one rounding."""
        suffix = f"v{a.kind.count}f32" if isinstance(a.kind, ir.VectorType) else "f32"
        return self.intrinsic(f"llvm.fma.{suffix}", a.kind, [a, b, c])

    def root(self, a: Value) -> Value:
        """Correctly rounded square root."""
        return self.intrinsic("llvm.sqrt.f32", F32, [a])

    def finish(self) -> None:
        self.builder.ret_void()


class Kernel(Kit):
    """void kernel(i64 *args, i64 chunk, ptr scratch): `args[i]` by `number` or, as an address, by `pointer`."""

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name, ir.VoidType(), [PTR, I64, PTR])
        self.args, self.chunk, self.scratch = self.takes

    def number(self, slot: int) -> Value:
        return self.load(self.args, 8 * slot, I64, 8)

    def pointer(self, slot: int) -> Value:
        return Value(self, self.builder.inttoptr(self.number(slot).raw, PTR))
