"""Text leaves the gateway only when no later unit can change it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.nodes.gateway.words import Words


class Bytes:
    """A text whose units are UTF-8 bytes; 256 and above are special and skipped."""

    vocabulary = 300

    def render(self, messages: object) -> tuple[int, ...]:
        raise NotImplementedError

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


def whole(units: Sequence[int], stops: Sequence[str] = ()) -> tuple[list[str], Words]:
    words = Words(Bytes(), stops)
    said = [words.push([unit]) for unit in units]
    return [*said, words.finish()], words


@given(st.text(), st.integers(1, 5))
def test_the_pieces_join_to_the_text_whatever_their_size(text: str, size: int) -> None:
    raw = text.encode()
    words = Words(Bytes())
    said = [words.push(raw[at : at + size]) for at in range(0, len(raw), size)]
    assert "".join(said) + words.finish() == text


def test_an_unfinished_character_is_held_back() -> None:
    said, _ = whole("é!".encode())
    assert said == ["", "é", "!", ""]


def test_bytes_that_are_no_text_are_said_in_the_end() -> None:
    said, _ = whole([0xE2, 0x82])
    assert said == ["", "", "\ufffd"]


@given(st.text(alphabet="ab", max_size=12), st.lists(st.text(alphabet="ab", min_size=1, max_size=3), max_size=3))
def test_what_is_said_ends_before_the_first_stop_string(text: str, stops: list[str]) -> None:
    said, words = whole(text.encode(), stops)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert "".join(said) == text
        assert words.stopped_at is None
        return
    assert words.stopped_at == min(ends)
    seen = text[: min(ends)]
    assert "".join(said) == seen[: min(seen.find(stop) for stop in stops if stop in seen)]


def test_a_stop_string_that_does_not_come_is_said_after_all() -> None:
    said, words = whole(b"ab<en", ["<end>"])
    assert said == ["a", "b", "", "", "", "<en"]
    assert words.stopped_at is None


def test_units_after_a_stop_string_are_not_taken() -> None:
    words = Words(Bytes(), ["."])
    assert words.push(b"a.bc") == "a"
    assert (words.stopped_at, words.push(b"d"), words.finish()) == (2, "", "")


@pytest.mark.parametrize("special", [256, 299])
def test_special_ids_say_nothing(special: int) -> None:
    said, _ = whole([97, special, 98])
    assert "".join(said) == "ab"
