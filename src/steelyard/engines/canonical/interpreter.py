"""The loop that runs a program of kernels on however many threads turn up.

An operation is 24 i64: the kernel's address, its number of chunks, 22 arguments. A thread takes an operation's chunks
one by one from a shared counter; the operation is over when all its chunks are done, whoever did them. So nobody waits
for a thread that has not turned up (two processes on two cores are normal), only for chunks that are being worked on.
"""

from typing import Final

from llvmlite import ir

from steelyard.engines.canonical.emit import F32, I32, I64, PTR, Kit, Value

OP_SLOTS: Final = 24
KERNEL, CHUNKS, ARGS = 0, 1, 2
LINE: Final = 8  # i64 slots in a cache line
GATE, INSIDE, YIELD, PROBE, COUNTERS = (LINE * line for line in range(5))
CODE, COUNT = YIELD + 1, YIELD + 2
"""Slots of the shared state. CODE and COUNT: the program, read only behind the open gate.
COUNTERS begins two lines per operation: chunks taken, chunks done."""
PROBES: Final = (2.0**-126, 0.5, 1.0, 2.0**-24, 2.0**-23, 2.0, 2.0**-12 + 2.0**-35, 2.0**-12 - 2.0**-35)
"""The product of the last two is 2^-24 - 2^-70, and 1 + 2^-23 plus that is just below a tie. Where the CPU cannot fuse,
LLVM calls the C library's fmaf; one that adds in binary64 and rounds once more takes it for the tie."""
SPINS: Final = 400  # pauses, some 20 µs in all: several chunks' time; then the thread offers its core to others
BAD_FLOATS: Final = 1
FUNCTION: Final = ir.FunctionType(I32, [])
KERNEL_TYPE: Final = ir.FunctionType(ir.VoidType(), [PTR, I64, PTR])


def interpreter(module: object, name: str, pause: str | None) -> None:
    """i64 run(ptr state, ptr scratch, i64 helper): 0, or BAD_FLOATS."""
    kit = Kit(module, name, I64, [PTR, PTR, I64])
    state, scratch, helper = kit.takes
    result = kit.var(kit.const(I64, 0))
    helping = helper.compare("!=", 0)
    with kit.when(helping):
        _add(kit, state, INSIDE, 1)
    enters = _watch(kit, state, GATE).compare("!=", 0) | helper.compare("==", 0)
    with kit.when(enters):
        sound = _sound(kit, state)
        result.set(sound.choose(kit.const(I64, 0), BAD_FLOATS))
        with kit.when(sound):
            operations = Value(kit, kit.builder.inttoptr(kit.load(state, 8 * CODE, I64, 8).raw, PTR))
            with kit.loop(0, kit.load(state, 8 * COUNT, I64, 8)) as index:
                _operate(kit, state, kit.at(operations, index * (8 * OP_SLOTS)), index, scratch, pause)
    with kit.builder.if_else(helping.raw) as (then, otherwise):
        with then:
            _add(kit, state, INSIDE, -1)
        with otherwise:
            kit.builder.atomic_rmw("xchg", _slot(kit, state, GATE).raw, kit.const(I64, 0).raw, "seq_cst")
            _wait(kit, state, kit.const(I64, INSIDE), kit.const(I64, 0), pause)
    kit.builder.ret(result.get().raw)


def _operate(kit: Kit, state: Value, operation: Value, index: Value, scratch: Value, pause: str | None) -> None:
    chunks = kit.load(operation, 8 * CHUNKS, I64, 8)
    taken = index * (2 * LINE) + COUNTERS
    done = taken + LINE
    kernel = kit.builder.inttoptr(kit.load(operation, 8 * KERNEL, I64, 8).raw, KERNEL_TYPE.as_pointer())
    chunk = kit.var(_add(kit, state, taken, 1))
    head, body, over = (kit.function.append_basic_block() for _ in range(3))
    kit.builder.branch(head)
    kit.builder.position_at_end(head)
    kit.builder.cbranch(chunk.get().compare("<", chunks).raw, body, over)
    kit.builder.position_at_end(body)
    kit.builder.call(kernel, [kit.at(operation, 8 * ARGS).raw, chunk.get().raw, scratch.raw])
    _add(kit, state, done, 1)
    chunk.set(_add(kit, state, taken, 1))
    kit.builder.branch(head)
    kit.builder.position_at_end(over)
    _wait(kit, state, done, chunks, pause)


def _slot(kit: Kit, state: Value, slot: Value | int) -> Value:
    return kit.at(state, slot, I64)


def _add(kit: Kit, state: Value, slot: Value | int, number: int) -> Value:
    """Adds, returns what stood there before."""
    place = _slot(kit, state, slot)
    return Value(kit, kit.builder.atomic_rmw("add", place.raw, kit.const(I64, number).raw, "seq_cst"))


def _watch(kit: Kit, state: Value, slot: Value | int) -> Value:
    return Value(kit, kit.builder.load_atomic(_slot(kit, state, slot).raw, "seq_cst", 8, typ=I64))


def _wait(kit: Kit, state: Value, slot: Value, expected: Value, pause: str | None) -> None:
    """Until the slot holds `expected`: spins briefly, then lets other threads have the core."""
    spins = kit.var(kit.const(I64, 0))
    head, body, over = (kit.function.append_basic_block() for _ in range(3))
    kit.builder.branch(head)
    kit.builder.position_at_end(head)
    kit.builder.cbranch(_watch(kit, state, slot).compare("==", expected).raw, over, body)
    kit.builder.position_at_end(body)
    if pause is not None:
        kit.builder.call(_declared(kit, pause), [])
    spins.set(spins.get() + 1)
    with kit.when(spins.get().compare(">", SPINS)):
        give_way = kit.builder.inttoptr(kit.load(state, 8 * YIELD, I64, 8).raw, FUNCTION.as_pointer())
        kit.builder.call(give_way, [])
    kit.builder.branch(head)
    kit.builder.position_at_end(over)


def _declared(kit: Kit, name: str) -> object:
    found = kit.module.globals.get(name)
    return ir.Function(kit.module, ir.FunctionType(ir.VoidType(), []), name) if found is None else found


def _sound(kit: Kit, state: Value) -> Value:
    """True if this thread keeps subnormals, rounds to nearest even and fuses exactly. PROBE holds `PROBES`."""
    probes = [kit.load(state, 8 * PROBE + 4 * i, F32, 4) for i in range(len(PROBES))]
    least, half, one, below, step, two, a, b = probes
    subnormal = least * half
    kept = subnormal.bits(I32).compare("==", 1 << 22) & (subnormal * two).bits(I32).compare("==", 1 << 23)
    even = (one + below).bits(I32).compare("==", 0x3F800000) & ((one + step) + below).bits(I32).compare(
        "==", 0x3F800002
    )
    fused = kit.fma(a, b, one + step).bits(I32).compare("==", 0x3F800001)
    return kept & even & fused
