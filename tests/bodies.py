"""Bodies as bytes, random, spoiled and malformed on purpose, for tests of what reads them."""

from hypothesis import strategies as st

from steelyard.engines.ir.encoding import (
    CODES,
    FUNCTIONS,
    KINDS,
    MAX_AXES,
    MAX_BYTES,
    MAX_FUNCTIONS,
    MAX_GIVEN,
    MAX_INSTRUCTIONS,
    gives,
    takes,
)

KIND_OF = {KINDS["f"]: "f", KINDS["i"]: "i", 16: "v16", 32: "v32"}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body that is accepted. At least one number is given."""
    given = [*draw(st.lists(st.sampled_from(list(KIND_OF)), max_size=MAX_GIVEN - 1)), draw(st.sampled_from([1, 2]))]
    kinds = [KIND_OF[code] for code in given]
    raw = bytes([len(given), *given])
    dear = 0
    for _ in range(draw(st.integers(0, MAX_INSTRUCTIONS))):
        width = draw(st.sampled_from(["v16", "v32"]))
        there = {kind[0]: [i for i, k in enumerate(kinds) if k == kind] for kind in ("f", "i", width)}
        name = draw(st.sampled_from([name for name in CODES if all(there[kind] for kind in takes(name))]))
        if name in FUNCTIONS and (dear := dear + 1) > MAX_FUNCTIONS:
            continue
        raw += bytes([CODES[name], *(draw(st.sampled_from(there[kind])) for kind in takes(name))])
        if name in ("const", "whole"):
            raw += draw(st.binary(min_size=4, max_size=4))
        if name == "axis":
            raw += bytes([draw(st.integers(0, MAX_AXES - 1))])
        kinds.append(gives(name))
    return raw


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A body with bytes changed, left out or put in; or any bytes at all."""
    raw = bytearray(draw(bodies() | st.binary(max_size=60)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(raw)


def do(name: str, *rest: int) -> bytes:
    """An instruction."""
    return bytes([CODES[name], *rest])


REFUSED = {
    "empty": (b"", "body.length"),
    "no-register": (b"\0", "body.result"),
    "kinds-cut-off": (b"\3\1\1", "body.length"),
    "too-many-given": (bytes([17] + [1] * 17), "body.given"),
    "kind-0": (b"\1\0", "body.kind"),
    "kind-3": (b"\1\3", "body.kind"),
    "a-vector-as-result": (b"\1\x20", "body.result"),
    "no-such-operation": (b"\1\1" + bytes([len(CODES)]), "body.operation"),
    "argument-cut-off": (b"\1\1" + do("add", 0), "body.length"),
    "constant-cut-off": (b"\0" + do("const", 1, 2, 3), "body.length"),
    "register-not-written": (b"\1\1" + do("add", 0, 1), "body.argument"),
    "register-of-the-future": (b"\1\1" + do("neg", 2) + do("neg", 0), "body.argument"),
    "register-255": (b"\1\1" + do("neg", 255), "body.argument"),
    "wrong-kind": (b"\2\1\2" + do("add", 0, 1), "body.argument"),
    "third-of-wrong-kind": (b"\2\1\2" + do("fma", 0, 0, 1), "body.argument"),
    "dot-of-numbers": (b"\2\2\2" + do("dot", 0, 1), "body.argument"),
    "dot-of-two-widths": (b"\2\x10\x20" + do("dot", 0, 1), "body.argument"),
    "axis-8": (b"\0" + do("axis", 8), "body.axis"),
    "49-operations": (b"\1\1" + do("neg", 0) * 49, "body.length"),
    "5-functions": (b"\1\1" + b"".join(do(name, 0) for name in ("exp", "log", "tanh", "erf", "exp")), "body.functions"),
    "too-long": (bytes(MAX_BYTES + 1), "body.length"),
}
"""Name -> a body, and the rule that refuses it."""
UNFIT: dict[str, tuple[bytes, list[int], str]] = {
    "none-of-one": (b"\1\1", [], "step.operands"),
    "two-of-one": (b"\1\1", [1, 1], "step.operands"),
    "a-number-of-33-bits": (b"\1\1", [2**32], "step.word"),
    "a-whole-number-of-33-bits": (b"\1\2", [2**32], "step.word"),
    "a-17th-element": (b"\2\x10\x10" + do("dot", 0, 1), [1 << 128, 1 << 127], "step.vector"),
    "no-such-axis": (b"\0" + do("axis", 0), [], "body.axis"),
}
"""Name -> a body, operands without indices, and the rule that refuses them."""
