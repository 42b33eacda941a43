"""Writes contracts/formats.vy from the Python tables of a file's blocks. `--check` compares."""

import sys
from pathlib import Path

from steelyard.engines.canonical.fields import FIELD_CODES, FIELDS, blocks_per_leaf
from steelyard.engines.gguf_head import KINDS

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "contracts" / "formats.vy"
NUMBERS = {name: number for number, (name, _, _) in KINDS.items()}
"""Kind -> ggml's number."""
HEAD = '''# pragma version 0.4.3
"""
@title Formats: fields of a model file's blocks, by their codes in a node's leaf (spec/ir.md, GRA-13)
@license Apache-2.0
@notice Written by tools/formats_vy.py from src/steelyard/engines/canonical/fields.py: do not edit.
"""
'''


def constant(name: str, value: int) -> str:
    """One line."""
    return f"{name}: constant(uint256) = {value}\n"


def power(number: int) -> int:
    """Of two."""
    assert number.bit_count() == 1, number
    return number.bit_length() - 1


def row(kind: str, name: str) -> dict[str, int]:
    """What the packed tables say of a field."""
    return {
        "EACH": power(FIELDS[kind][name].each),
        "BYTES": KINDS[NUMBERS[kind]][2],
        "BLOCKS": power(blocks_per_leaf(NUMBERS[kind])),
        "REAL": int(name not in ("q", "sc")),
    }


def render() -> str:
    """The whole module."""
    rows = [row(*code) for code in FIELD_CODES]
    bits = {"EACH": 4, "BYTES": 8, "BLOCKS": 4, "REAL": 1}
    tables = {name: sum(row[name] << (width * code) for code, row in enumerate(rows)) for name, width in bits.items()}
    assert all(table < 2**256 for table in tables.values())
    assert all(row[name] < 2**width for row in rows for name, width in bits.items())
    return "\n".join(
        [
            HEAD,
            "".join(constant("_".join(filter(None, code)).upper(), number) for number, code in enumerate(FIELD_CODES))
            + constant("COUNT", len(FIELD_CODES)),
            "# By code: 4 bits, log2 of the elements in a block; 8 bits, the bytes of a block; 4 bits, log2 of the blocks in a leaf of\n"
            "# the model root; 1 bit for those whose elements are binary32 and not whole numbers\n"
            + "".join(constant(name, table) for name, table in tables.items()),
        ]
    )


def main() -> int:
    """Writes, or with --check says whether the file is fresh."""
    text = render()
    stale = not TARGET.exists() or TARGET.read_text() != text
    if "--check" not in sys.argv:
        TARGET.write_text(text)
        stale = False
    print(f"formats: {'stale, run scripts/generate' if stale else 'fresh'}")
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main())
