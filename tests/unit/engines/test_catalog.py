"""A line of configuration becomes an engine and its text, ours or anybody's."""

import sys
from pathlib import Path

import pytest

import tiny_gguf
from steelyard.engines import catalog
from steelyard.engines.alphabet import NAME, Alphabet, AlphabetText
from steelyard.engines.base import Job
from steelyard.engines.text import GgufText
from steelyard.protocol.errors import Refused

JOB = Job((1, 2), 2, 30, 0, 0x3F800000, 0, 0)
STRANGER = """
from steelyard.engines.alphabet import Alphabet, AlphabetText

def pair(query=None):
    return Alphabet(name=str(query)), AlphabetText()

def alone():
    return Alphabet()

def nameless():
    return Alphabet(name="nobody-knows")

def text():
    return AlphabetText()

def nothing():
    return 7

def badly():
    return Alphabet(), 7

def breaks():
    raise ValueError("no licence key")
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody else's in the current directory, which is not on Python's path."""
    name = f"stranger_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(STRANGER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    return name


def rule_of(spec: str) -> str:
    with pytest.raises(Refused) as refusal:
        catalog.load(spec)
    return refusal.value.rule


def test_the_toy_takes_its_options() -> None:
    engine, text = catalog.load("alphabet?name=b&dialect=x&lie_from=2&pause=0.0")
    expected = Alphabet(name="b", dialect=b"x", lie_from=2)
    assert isinstance(text, AlphabetText)
    assert engine.card == expected.card
    assert list(engine.generate(JOB)) == list(expected.generate(JOB)) != list(Alphabet().generate(JOB))
    assert catalog.load("alphabet")[0].card == Alphabet().card


def test_somebody_elses_factory_hears_what_follows_the_question_mark(stranger: str) -> None:
    assert catalog.load(f"{stranger}:pair?a=1&b")[0].card.name == "a=1&b"
    assert catalog.load(f"{stranger}:pair?")[0].card.name == ""
    assert catalog.load(f"{stranger}:pair")[0].card.name == "None"


def test_an_engine_alone_gets_the_text_of_the_model_it_names(
    stranger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_MODELS", str(tmp_path))
    engine, text = catalog.load(f"{stranger}:alone")
    assert (engine.card.name, type(text)) == (NAME, AlphabetText)
    assert rule_of(f"{stranger}:nameless") == "model.unknown"
    tiny_gguf.write(tmp_path / "nobody-knows.gguf")
    assert isinstance(catalog.load(f"{stranger}:nameless")[1], GgufText)


def test_a_text_needs_no_weights(stranger: str, tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    assert isinstance(catalog.load_text("alphabet?lie_from=1"), AlphabetText)
    assert isinstance(catalog.load_text(f"{stranger}:text"), AlphabetText)
    assert isinstance(catalog.load_text(f"{stranger}:pair"), AlphabetText)
    for kind in ("canonical", "llamacpp"):
        assert catalog.load_text(f"{kind}:{file}?threads=2").vocabulary == len(tiny_gguf.tokens())


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ("", "engine.unknown"),
        ("nonsense", "engine.unknown"),
        ("canonical", "engine.unknown"),
        ("alphabet:x", "engine.unknown"),
        ("no_such_module_1:make", "engine.unknown"),
        ("os:no_such_factory", "engine.unknown"),
        ("os;x:y", "engine.unknown"),
        ("canonical:/no/such/file.gguf", "model.unknown"),
        ("canonical:nobody", "model.unknown"),
        ("alphabet?volume=11", "engine.option"),
        ("alphabet?lie_from=soon", "engine.option"),
        ("llamacpp:x?wings=2", "engine.option"),
        ("canonical:x?prefix_cache=maybe", "engine.option"),
        ("canonical:x?memory=0", "engine.option"),
        ("canonical:x?memory=1e9", "engine.option"),
    ],
)
def test_what_is_no_engine_is_refused_by_name(spec: str, rule: str) -> None:
    assert rule_of(spec) == rule


def test_a_factory_or_module_that_breaks_is_refused_with_what_it_raised(stranger: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"engine\.factory: .*:breaks' raised ValueError: no licence key"):
        catalog.load(f"{stranger}:breaks")
    (tmp_path / f"{stranger}_unread.py").write_text("def make(:")
    with pytest.raises(Refused, match=r"engine\.factory: .* raised SyntaxError"):
        catalog.load(f"{stranger}_unread:make")


def test_a_canonical_model_hears_its_memory_and_whether_it_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And weights for other ids than the tokenizer's are refused."""
    heard: list[dict[str, object]] = []

    def engine(_: Path, name: str, **options: object) -> Alphabet:
        heard.append(options)
        return Alphabet(name=name)

    monkeypatch.setattr("steelyard.engines.canonical.engine.CanonicalEngine", engine)
    monkeypatch.setattr("steelyard.engines.canonical.memory.available", lambda: 17)
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    assert rule_of(f"canonical:{file}") == "model.vocabulary"  # the toy has 256 ids, the file 265
    assert rule_of(f"canonical:{file}?memory=9&room=8&prefix_cache=off&threads=1") == "model.vocabulary"
    assert heard == [{"memory": 17}, {"memory": 9, "room": 8, "prefix_cache": False, "threads": 1}]


def test_a_factory_that_makes_no_engine_is_refused(stranger: str) -> None:
    assert rule_of(f"{stranger}:nothing") == rule_of(f"{stranger}:badly") == "engine.unknown"
