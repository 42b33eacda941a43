"""The house: sizes, rooms, names, what may not be written. STYLE in one file that a machine reads."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "steelyard"
GENERATED = PACKAGE / "chain" / "bindings"
MODULE_LINES, FUNCTION_LINES = 400, 60
TEST_LINES = 1000  # one file a contract, whatever its length
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def committed() -> list[Path]:
    """Files that git knows; without git, those that are there."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]


@pytest.mark.parametrize("path", [*MODULES, *TESTS, *sorted((ROOT / "tools").glob("*.py"))], ids=named)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    if GENERATED not in path.parents:
        lines = len(path.read_text().splitlines())
        assert lines <= (TEST_LINES if path in TESTS else MODULE_LINES)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno is not None}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=named)
def test_a_room_holds_its_docstring_and_nothing_else(path: Path) -> None:
    if path.parent == PACKAGE / "sdk":  # the one door that re-exports; test_public_names looks at it
        return
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "core", "manager"}
    assert [named(path) for path in [*MODULES, *TESTS] if path.stem in vague] == []


def uses(path: Path, *wanted: str) -> list[int]:
    """Lines where `module.name` of `wanted` is used, however it was imported, unless the line says why it may."""
    text = path.read_text()
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            hit = f"{node.value.id}.{node.attr}" in wanted
        elif isinstance(node, ast.ImportFrom):
            hit = any(f"{node.module}.{alias.name}" in wanted for alias in node.names)
        else:
            continue
        if hit and "noqa: TID251" not in lines[node.lineno - 1]:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_time_and_chance_are_handed_in(path: Path) -> None:
    assert uses(path, "time.time", "random.random", "random.choice", "random.randint") == []


def test_the_ban_on_clocks_sees_every_spelling(tmp_path: Path) -> None:
    for text in ("import time\ntime.time()", "from time import time", "import time\nx = time.time"):
        (tmp_path / "m.py").write_text(text)
        assert uses(tmp_path / "m.py", "time.time")


PINS = re.compile(r"^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$")


def test_constraints_pin_versions_and_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#") and not PINS.match(line)] == []


FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+|mnt|opt)/[\w.]"),
    "an index to install from": re.compile(r"--(?:extra-)?index-url|(?i:find-links)|pypi\.org/simple|registry\.npmjs"),
    "a secret of OpenAI": re.compile(r"sk-(?:proj-)?[A-Za-z0-9]{20,}"),
    "a note to oneself": re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b"),
    "a word of hype": re.compile(
        r"(?i)\b(?:blazing(?:ly)?|revolutionary|cutting-edge|seamless(?:ly)?|game-chang\w+)\b"
    ),
}
READ = {".py", ".md", ".toml", ".txt", ".vy", ".vyi", ".json", ".yml", ".yaml", "", ".sh", ".html"}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_holds(what: str) -> None:
    found = []
    for path in committed():
        if path.suffix in READ and path != Path(__file__) and path.name != "LICENSE":
            text = path.read_text(errors="replace")
            found += [f"{named(path)}: {hit.group(0)}" for hit in FORBIDDEN[what].finditer(text)]
    assert found == []


def test_no_committed_file_is_large() -> None:
    assert [named(path) for path in committed() if path.stat().st_size > 1 << 20] == []


def test_scripts_can_be_run() -> None:
    scripts = [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci" / "run"]
    assert {path.name for path in scripts} >= {"demo", "test", "check", "generate", "setup", "run"}
    for path in scripts:
        assert path.stat().st_mode & 0o111, named(path)
        assert path.read_text().startswith("#!/usr/bin/env bash\n")
        subprocess.run(["bash", "-n", path], check=True)


def test_every_writer_of_generated_files_can_check() -> None:
    for tool in sorted((ROOT / "tools").glob("*.py")):
        assert "--check" in tool.read_text(), named(tool)


def test_names_of_test_modules_are_unique() -> None:
    names = [path.name for path in TESTS]
    assert {name for name in names if names.count(name) > 1} == set()


def test_names_of_tests_are_sentences() -> None:
    short = [
        f"{path.name}:{function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_") and function.name.count("_") < 2
    ]
    assert short == []
