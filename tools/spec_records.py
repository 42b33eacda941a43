"""Writes the tables of fields in spec/records.md from the records and their docstrings. `--check` compares."""

import ast
import sys
from pathlib import Path

from steelyard.protocol.records import RECORDS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "steelyard" / "protocol" / "records.py"
TARGET = ROOT / "spec" / "records.md"
BEGIN = "<!-- fields: written by tools/spec_records.py from the records' own docstrings -->\n"
END = "<!-- end of fields -->\n"
DEFAULTS = {"version": "1.", "channel": "Id of the channel.", "model_root": "Rule P4; the same as the registration's."}
DEFAULTS |= {"kind": "Kind of work: 1 ids from ids, 2 UTF-8 bytes from bytes.", "receipt": "Digest of the receipt."}
DEFAULTS |= {
    "level": "1 open, 2 audited, 3 disputable, 4 quorum, 5 attested, 6 proved, 7 sealed; 1 to 3 are sold so far."
}
DEFAULTS |= {"provider": "Who sells, is paid and signs.", "case": "Id of the case.", "juror": "Who votes."}
DEFAULTS |= {"order": "Digest of the order.", "offer": "Digest of the offer.", "auditor": "Who may audit, or did."}
DEFAULTS |= {"owner": "Whose tokens are deposited.", "nonce": "Any 32 bytes, once: the channel's id is made of it."}


def documented() -> dict[str, dict[str, str]]:
    """Record -> field -> its docstring in one line."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(SOURCE.read_text()).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            last = ""
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    last = statement.target.id
                elif last and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    fields[last] = " ".join(str(statement.value.value).split())
                    last = ""
    return found


def tables() -> str:
    """One table a record."""
    told, parts = documented(), []
    for record in RECORDS:
        parts.append(f"\n**{record.__name__}**\n\n| field | type | meaning |\n|---|---|---|\n")
        for name, kind in record.solidity().items():
            meaning = told[record.__name__].get(name) or DEFAULTS.get(name)
            if meaning is None:
                raise SystemExit(f"{record.__name__}.{name} has no docstring, and tools/spec_records.py no word for it")
            parts.append(f"| {name} | {kind} | {meaning.replace('|', '¦')} |\n")
    return "".join(parts) + "\n"


def main() -> int:
    """Writes, or compares with --check."""
    text = TARGET.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    wanted = head + BEGIN + tables() + END + tail
    if "--check" not in sys.argv:
        TARGET.write_text(wanted)
    fresh = "--check" not in sys.argv or wanted == text
    print(f"spec/records.md: {'fresh' if fresh else 'stale, run scripts/generate'}")
    return 0 if fresh else 1


if __name__ == "__main__":
    raise SystemExit(main())
