"""What is compiled, and how often."""

from pathlib import Path

import pytest

from steelyard.engines.canonical import native
from steelyard.engines.canonical.formats import FORMATS

RECIPE = native.recipe_here(32, 1, ("q8_0",))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is compiled, into a cache of the test's own."""
    seen: list[str] = []
    compiled = native.compiled

    def counted(text: str, *rest: str) -> bytes:
        seen.append(text)
        return compiled(text, *rest)

    monkeypatch.setattr(native, "compiled", counted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return seen


def test_a_build_holds_the_formats_that_were_asked_for_and_no_others(tmp_path: Path) -> None:
    assert all(native.load(RECIPE, cache=tmp_path).address.values())
    (place,) = tmp_path.glob("*.o")
    assert {kind for kind in FORMATS if kind.encode() in place.read_bytes()} == {"q8_0"}


def test_what_was_begun_is_compiled_once_and_kept(built: list[str]) -> None:
    native.begin(RECIPE)
    native.begin(RECIPE)
    native.load(RECIPE)
    native.load(RECIPE)
    native.begin(RECIPE)
    assert built == [native.written(RECIPE)]


def test_a_build_that_fails_fails_where_it_is_needed(monkeypatch: pytest.MonkeyPatch, built: list[str]) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no code for this CPU")

    monkeypatch.setattr(native, "compiled", broken)
    native.begin(RECIPE)
    with pytest.raises(RuntimeError, match="no code for this CPU"):
        native.load(RECIPE)
    assert built == []
