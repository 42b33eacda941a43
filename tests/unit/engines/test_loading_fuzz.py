"""Files that lie about themselves in ways that only their structure shows: a refusal by name, never anything else."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odd_gguf import INNER, LAYER, WIDTH, Double, File, Tensor, honest
from steelyard.engines import gguf_head, inspection
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.memory import need
from steelyard.engines.text import GgufText, byte_letters
from steelyard.protocol.errors import Malformed, Refused, SteelyardError

LIMIT = 1 << 26


def load(path: Path) -> None:
    """What a node does with a file before it may sell it."""
    words = GgufText(path)
    file = models.open_file(path, path.parent, lambda head, shape: need(head, shape, 8, 1, LIMIT // 2).require(LIMIT))
    if words.vocabulary != file.shape.vocabulary:
        raise Refused("model.vocabulary", "as `catalog.load` says")
    assert file.head.ends(file.shape.vocabulary) <= set(range(file.shape.vocabulary))
    assert words.decode(words.encode("he <s>")).endswith("he <s>")


def refusal(file: File, place: Path, cut: int = 0) -> SteelyardError | None:
    """What loading it raises; anything but a refusal fails the test."""
    try:
        load(file.write(place, cut))
    except SteelyardError as error:
        return error
    return None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "model.gguf"


def test_the_honest_file_is_taken(place: Path) -> None:
    load(honest().write(place))
    assert GgufText(place).render([{"content": "he"}])[0] == 0


numbers = st.sampled_from([0, 1, 2, 31, 32, 33, 63, 64, 2**20, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1])
scalars = st.one_of(
    numbers, st.booleans(), st.sampled_from([0.0, -1.0, 1e-30, 1e30, math.nan, math.inf]), st.text(max_size=4)
)
values = scalars | st.lists(st.just(0) | st.just(3), max_size=4) | st.just([["x"], ["y"]]) | st.just(["a", "a"])


@st.composite
def lies(draw: st.DrawFn) -> Callable[[File], int]:
    """A change to what a file says; returns bytes to cut off."""
    what = draw(
        st.sampled_from(["field", "drop field", "twin field", "tensor", "drop tensor", "twin tensor", "cut", "grow"])
    )
    at, value, number = draw(st.integers(0, 30)), draw(values), draw(numbers | st.integers(0, 400))
    part = draw(st.sampled_from(["name", "shape", "dimension", "at", "kind"]))

    def change(file: File) -> int:
        key, index = at % len(file.fields), at % max(1, len(file.tensors))
        if what == "field":
            file.fields[key] = (file.fields[key][0], value)
        elif what == "drop field":
            del file.fields[key]
        elif what == "twin field":
            file.fields.append((file.fields[key][0], value))
        elif what == "cut":
            return min(number, file.size)
        elif what == "grow":
            file.size += number % 500
        elif file.tensors:
            _change(file.tensors, index, what, part, number)
        return 0

    return change


def _change(tensors: list[Tensor], index: int, what: str, part: str, number: int) -> None:
    tensor = tensors[index]
    if what == "drop tensor":
        del tensors[index]
    elif what == "twin tensor":
        tensors.append(Tensor(tensor.name, tensor.shape, tensor.at))
    elif part == "name":
        tensor.name = tensors[number % len(tensors)].name
    elif part == "shape":
        tensor.shape = tensor.shape[:1] * (number % 7)
    elif part == "dimension" and tensor.shape:
        tensor.shape[number % len(tensor.shape)] = number
    elif part == "at":
        tensor.at = number * 32 if number < 400 else number
    else:
        tensor.kind = number % 40


@settings(max_examples=150)
@given(st.lists(lies(), min_size=1, max_size=4))
def test_no_lie_gives_anything_but_a_refusal(place: Path, changes: list[Callable[[File], int]]) -> None:
    file = honest()
    cut = sum(change(file) for change in changes)
    error = refusal(file, place, cut)
    if error is None:
        assert not inspection.inspect(place).unsupported
        return
    assert isinstance(error, Refused)
    assert error.rule.partition(".")[0] in {"gguf", "model"}
    assert 0 < len(error.detail) < 400
    try:
        found = inspection.inspect(place)
    except Malformed:
        return
    assert error.rule in {one.rule for one in found.unsupported} | {"model.memory"}


def field_is(key: str, value: object) -> Callable[[File], None]:
    def change(file: File) -> None:
        file.fields = [(name, value if name.endswith(key) else old) for name, old in file.fields]

    return change


def tensor_is(index: int, **changes: object) -> Callable[[File], None]:
    def change(file: File) -> None:
        file.tensors[index] = replace(file.tensors[index], **changes)  # type: ignore[arg-type]  # a test's own keywords

    return change


KNOWN: dict[str, tuple[Callable[[File], object], str]] = {
    "a tensor twice": (lambda f: f.tensors.append(f.tensors[1]), r"gguf\.duplicate: .*blk.0.attn_norm.weight"),
    "a field twice": (lambda f: f.fields.append(f.fields[1]), r"gguf\.duplicate: .*block_count"),
    "tensors over each other": (lambda f: setattr(f.tensors[3], "at", f.tensors[4].at), r"model\.tensor-overlap"),
    "a negative offset": (tensor_is(2, at=-32), r"gguf\.truncated: .* 1844674407370955\d+"),
    "a huge dimension": (tensor_is(0, shape=[WIDTH, 2**63]), r"gguf\.truncated: .* ends at byte \d{21}"),
    "as many layers as fit no memory": (field_is("block_count", 2**40), r"model\.dimension: .*1099511627776"),
    "a negative width": (field_is("embedding_length", -64), r"model\.dimension"),
    "a list where a number should be": (field_is("key_length", [1]), r"gguf\.field: .*key_length is \[1\]"),
    "an epsilon that is no number": (field_is("epsilon", math.nan), r"model\.dimension: .*nan"),
    "an epsilon that binary32 rounds to nothing": (field_is("epsilon", Double(1e-60)), r"model\.dimension: .*1e-60"),
    "one file of three": (lambda f: f.fields.append(("split.count", 3)), r"model\.split: one of 3 files"),
    "a token twice": (field_is("tokens", ["a", "a"]), r"gguf\.tokenizer: .*different"),
    "bytes without a token": (
        field_is(".tokens", [f"he{i}" for i in range(255)] + list("helo")),
        r"gguf\.tokenizer: 92 of 96 plain bytes",
    ),
    "kinds for other tokens": (field_is("token_type", [1]), r"gguf\.tokenizer: .* 259 numbers"),
    "merges of nothing": (field_is("merges", ["he q", "zz"]), r"gguf\.tokenizer: merge 'he' 'q'"),
    "an end outside the vocabulary": (field_is("eos_token_id", 2**31), r"gguf\.tokenizer: .*2147483648"),
    "a beginning outside the vocabulary": (
        field_is("bos_token_id", 259),
        r"gguf\.tokenizer: .*bos_token_id 259, known 0 to 258",
    ),
    "a template that is none": (field_is("chat_template", "{% for %}"), r"gguf\.template"),
}


@pytest.mark.parametrize("lie", KNOWN)
def test_a_known_lie_is_refused_by_its_name(place: Path, lie: str) -> None:
    file, (change, told) = honest(), KNOWN[lie]
    change(file)
    assert re.match(told, str(refusal(file, place)))


def test_control_tokens_may_not_be_of_any_length(place: Path) -> None:
    file = honest()
    field_is("tokens", ["x" * 4000, "yy", *byte_letters(), "he"])(file)
    assert re.match(r"gguf\.tokenizer: 2 control tokens, .* 16000004, at most 2097152", str(refusal(file, place)))


def test_more_elements_or_bytes_than_a_head_may_have_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are read: a byte in an array becomes eight."""
    monkeypatch.setattr(gguf_head, "MAX_ELEMENTS", 500)
    assert re.match(r"gguf\.count: .* 518 elements in arrays, at most 500", str(refusal(honest(), place)))
    monkeypatch.setattr(gguf_head, "MAX_BYTES", 3000)
    assert re.match(r"gguf\.count: .* before its weights, at most 3000", str(refusal(honest(), place)))


def test_what_would_not_fit_into_memory_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    """A file with a hole in it: 16 GB of zeros that take no disk."""
    file = honest()
    field_is("feed_forward_length", 2**18)(file)
    field_is("block_count", 80)(file)
    file.tensors, file.size = [t for t in file.tensors if not t.name.startswith("blk")][:2], 0
    small, file.tensors = {t.name: t.shape for t in file.tensors}, []
    for name, shape in small.items():
        file.place(name, *shape)
    for layer in range(80):
        for name, *shape in LAYER:
            file.place(f"blk.{layer}.{name}.weight", *(2**18 if n == INNER and "ffn" in name else n for n in shape))
    size, file.size = file.size, 0
    path = file.write(tmp_path / "hole.gguf")
    os.truncate(path, path.stat().st_size + size)
    with pytest.raises(Refused, match=r"model\.memory: weights 161\d{8}, .*, in all \d{11}; at most 1000000000"):
        CanonicalEngine(path, "hole", cache=tmp_path, memory=10**9)
    assert list(tmp_path.iterdir()) == [path]
