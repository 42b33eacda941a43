"""Writes docs/look-up/: the commands from the command line itself, the errors from the table over HTTP. `--check` compares."""

import sys
from pathlib import Path

from steelyard.cli.main import application
from steelyard.wire.status import ROOMS, RULES, Answer

OUT = Path(__file__).parent.parent / "docs" / "look-up"
MADE = "<!-- written by tools/look_up.py: do not edit -->\n"


def commands() -> str:
    """Every command with its options."""
    text = application().generate_docs(output_format="markdown", include_hidden=False, heading_level=1)
    lines = [line.rstrip() for line in text.replace("# steelyard\n", "# Commands\n", 1).splitlines()]
    return MADE + "\n".join(lines).rstrip() + "\n"


def row(rule: str, answer: Answer) -> str:
    """One line of the table."""
    return f"| `{rule}` | {answer.status} | `{answer.code or rule}` | {answer.type} |\n"


def errors() -> str:
    """Every rule that has a row of its own."""
    head = """# Errors

A refusal has a rule's name and the numbers behind it, the same everywhere: `refused budget.exceeded: …` from the command line (exit code 1), `error.rule` and `error.message` from
the gateway, `Failure` between nodes, the revert string of a contract. `unavailable …` means that something we depend on did not answer; it is never evidence against anybody.

Over HTTP a rule becomes a status and OpenAI's `code` and `type`. A rule without a row of its own takes its room's (the word before the dot); without that either, a refusal is 400 and what is
unavailable 503. After an order has left, the answer carries `x-should-retry: false`, so that the official client does not pay twice.

| rule | status | `code` | `type` |
|---|---|---|---|
"""
    rules = "".join(row(rule, RULES[rule]) for rule in sorted(RULES))
    rooms = "".join(row(f"{room}.…", ROOMS[room]) for room in sorted(ROOMS))
    return MADE + head + rules + rooms


def main() -> int:
    """Writes, or compares with --check."""
    files = {OUT / "commands.md": commands(), OUT / "errors.md": errors()}
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv:
        OUT.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text)
        stale = []
    print(f"docs/look-up: {f'stale {stale}, run scripts/generate' if stale else 'fresh'}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
