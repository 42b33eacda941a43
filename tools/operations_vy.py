"""Writes contracts/operations.vy and the codes in spec/ir.md's table from the Python operations. `--check` compares."""

import re
import sys
from pathlib import Path

import numpy as np

from steelyard.engines.canonical import picking
from steelyard.engines.ir import encoding, scalars

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "contracts" / "operations.vy"
SPEC = ROOT / "spec" / "ir.md"
LIMITS = ("MAX_GIVEN", "MAX_INSTRUCTIONS", "MAX_REGISTERS", "MAX_FUNCTIONS", "MAX_AXES", "MAX_BYTES")
NUMBERS = {
    "LOG2E": scalars.LOG2E,
    "LN2_HIGH": scalars.LN2_HIGH,
    "LN2_LOW": scalars.LN2_LOW,
    "SQRT_HALF": np.uint32(scalars.SQRT_HALF_BITS).view(scalars.F32),
}
PHILOX = {"MULTIPLIER": picking.MULTIPLIERS, "KEY_STEP": picking.KEY_STEPS}
POLYNOMIALS = ("EXP", "LOG", "TANH", "ERF", "ERFC_NEAR", "ERFC_FAR")
HEAD = '''# pragma version 0.4.3
"""
@title Operations: their codes, kinds and sizes, bounds of a body, constants of the functions and of Philox
@license Apache-2.0
@notice Written by tools/operations_vy.py from src/steelyard/engines/{ir/encoding,ir/scalars,canonical/picking}.py: do not edit.
"""
'''


def constant(name: str, value: int, told: str = "") -> str:
    """One line."""
    return f"{name}: constant(uint256) = {value}{f'  # {told}' if told else ''}\n"


def bits(number: np.float32) -> int:
    """The word of a number."""
    return int(number.view(np.uint32))


def signature(name: str) -> int:
    """Two bits for each of three arguments, lowest first, then two for the result."""
    kinds = [*encoding.takes(name).ljust(3), encoding.gives(name)]
    return sum(encoding.KINDS.get(kind, 0) << (2 * i) for i, kind in enumerate(kinds))


def function(name: str) -> int:
    """1 for what `MAX_FUNCTIONS` counts."""
    return int(name in encoding.FUNCTIONS)


def polynomial(name: str) -> str:
    """The first coefficient, and the others packed: the next in the lowest 32 bits."""
    first, *others = getattr(scalars, name)
    packed = sum(bits(number) << (32 * i) for i, number in enumerate(others))
    told = f"0x{packed:064x}"
    return (
        constant(f"{name}_FIRST", bits(first), f"0x{bits(first):08x}")
        + constant(f"{name}_OTHERS", packed, told)
        + constant(f"{name}_COUNT", len(others))
    )


def render() -> str:
    """The whole module."""
    packed = {"SIGNATURES": (signature, 8), "SIZES": (encoding.size, 4), "FUNCTIONS": (function, 1)}
    tables = {
        name: sum(of(operation) << (width * code) for operation, code in encoding.CODES.items())
        for name, (of, width) in packed.items()
    }
    assert all(table < 2**256 for table in tables.values())
    return "\n".join(
        [
            HEAD,
            "".join(constant(name.upper(), code) for name, code in encoding.CODES.items())
            + constant("COUNT", len(encoding.CODES)),
            "# By code: 8 bits each (2 for the kind of each argument, first lowest, 2 of the result), 4 bits, the bytes behind it,\n# 1 bit for those that MAX_FUNCTIONS counts\n"
            + "".join(constant(name, table) for name, table in tables.items()),
            "".join(
                constant(kind, encoding.KINDS[letter])
                for kind, letter in (("KIND_REAL", "f"), ("KIND_WHOLE", "i"), ("KIND_VECTOR", "v"))
            ),
            "".join(constant(name, getattr(encoding, name)) for name in LIMITS),
            "".join(constant(name, bits(number), f"0x{bits(number):08x}") for name, number in NUMBERS.items()),
            "# Polynomials: highest power first; others in 32 bits each, the next one lowest\n"
            + "".join(polynomial(name) for name in POLYNOMIALS),
            "".join(
                constant(f"{name}_{i}", number, f"0x{number:08X}")
                for name, numbers in PHILOX.items()
                for i, number in enumerate(numbers)
            )
            + constant("PHILOX_ROUNDS", picking.ROUNDS),
        ]
    )


def coded(text: str) -> str:
    """The specification with the codes in the last column of its table of operations."""

    def row(found: re.Match[str]) -> str:
        names = [name for name in re.findall(r"`(\w+)`", found[2]) if name in encoding.CODES]
        return f"{found[1]}{found[2]}{found[3]} {' '.join(str(encoding.CODES[name]) for name in names)} |"

    return re.sub(r"^(\| )(`[^|]*)(\|[^|]*→[^|]*\|[^|]*\|)[^|\n]*\|$", row, text, flags=re.MULTILINE)


def main() -> int:
    """Writes, or with --check says whether the files are fresh."""
    files = {TARGET: render(), SPEC: coded(SPEC.read_text())}
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv:
        for path, text in files.items():
            path.write_text(text)
        stale = []
    print(f"operations: {f'stale {stale}, run scripts/generate' if stale else 'fresh'}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
