"""Every MUST of spec/ has an id, every id is named by a test, and no test names an id that is not there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFINED = re.compile(r"^- \*\*([A-Z]{3}-\d+)\*\*", re.MULTILINE)
SPECS = sorted((ROOT / "spec").glob("*.md"))
TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.parent != Path(__file__).parent]


def ids() -> dict[str, str]:
    """Id -> the specification that defines it."""
    return {found: path.name for path in SPECS for found in DEFINED.findall(path.read_text())}


def mentioned(text: str, prefixes: set[str]) -> set[str]:
    """Ids in a text; `ESC-1 to ESC-3` means all three, `test_..._esc_1` is how a test's own name says it."""
    found = set(re.findall(rf"\b(?:{'|'.join(sorted(prefixes))})-\d+\b", text))
    for name in re.findall(r"^ *def (test_\w+)", text, re.MULTILINE):
        for prefix, number in re.findall(r"_([a-z]{3})_(\d+)(?=_|$)", name):
            if prefix.upper() in prefixes:
                found.add(f"{prefix.upper()}-{number}")
    for prefix, first, other, last in re.findall(r"\b([A-Z]{3})-(\d+) (?:to|through) ([A-Z]{3})-(\d+)\b", text):
        if prefix == other and prefix in prefixes:
            found |= {f"{prefix}-{number}" for number in range(int(first), int(last) + 1)}
    return found


def named_by_tests() -> set[str]:
    """Ids in tests, those of a module's own docstring aside: that says what the file is about, not what it shows."""
    prefixes = {name.partition("-")[0] for name in ids()}
    found: set[str] = set()
    for path in TESTS:
        text = path.read_text()
        body = re.sub(r'\A"""[\s\S]*?"""', "", text, count=1)
        found |= mentioned(body, prefixes)
    return found


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_id_of_a_specification_is_named_by_a_test(path: Path) -> None:
    unnamed = [name for name, where in ids().items() if where == path.name and name not in named_by_tests()]
    assert unnamed == []


def test_no_test_names_an_id_that_is_not_there() -> None:
    assert named_by_tests() - set(ids()) == set()


def test_an_id_is_defined_once() -> None:
    listed = [found for path in SPECS for found in DEFINED.findall(path.read_text())]
    assert sorted({name for name in listed if listed.count(name) > 1}) == []


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_must_of_a_list_has_an_id(path: Path) -> None:
    """A MUST stands in a paragraph that begins with an id, or in one that only explains the words."""
    loose = [
        line[:100]
        for line in path.read_text().splitlines()
        if re.search(r"\bMUST\b", line) and line.startswith("- ") and not DEFINED.match(line)
    ]
    assert loose == []
