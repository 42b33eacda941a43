"""Deep JSON is refused before a parser recurses, whatever the process's recursion limit is."""

import json
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.protocol.errors import Malformed
from steelyard.wire.messages import Done, decode
from steelyard.wire.openai import read_chat
from steelyard.wire.reading import MAX_DEPTH, depth, read_json
from steelyard.wire.receipts import from_json


@pytest.fixture
def reckless() -> Iterator[None]:
    """What importing some packages does to a process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("read", [lambda raw: decode(Done, raw), read_chat, from_json])
@pytest.mark.parametrize("raw", [b"[" * 1_000_000, b'{"a":' * 200_000, b'["\\"[", ' * 100_000])
@pytest.mark.usefixtures("reckless")
def test_deep_json_is_refused_even_where_the_recursion_limit_was_raised(read, raw) -> None:
    with pytest.raises(Malformed, match="deeper than 64"):
        read(raw)


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_json_writes_is_never_thought_too_deep(value) -> None:
    raw = json.dumps([value]).encode()
    assert read_json(raw, list, "x") == [value]


def test_brackets_in_texts_do_not_count() -> None:
    raw = json.dumps({"prompt": "[{" * 10_000 + '"' + "\\" * 3}).encode()
    assert depth(raw) == 1
    nested = b"[" * MAX_DEPTH + b'"' + b"[" * 100 + b'"' + b"]" * MAX_DEPTH
    assert depth(nested) == MAX_DEPTH
