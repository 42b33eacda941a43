"""Control tokens in text: where a template put them they are ids, where a user wrote them they stay text.

The usual way is to render a template to one text and to parse control tokens out of that, so that "<|im_end|>" in a
message ends the user's turn. Here a mark is put into messages wherever a control token begins (or could be completed by
what follows), the template is rendered, control tokens are cut out of the result, and the marks are taken out of the
remaining text: only the template's own tokens are ever whole. The mark is a private-use character that occurs in none
of the messages; a message without control tokens is not touched at all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from steelyard.protocol.errors import Malformed, Refused

MAX_WEIGHT: Final = 1 << 21
"""Bounds the memory for beginnings of control tokens, which grows with the squares of their lengths."""
MARKS: Final = range(0xF0000, 0xFFFFE)


class Controls:
    """The control tokens of a vocabulary.

    Args:
        units: token -> id.

    Raises Malformed("gguf.tokenizer")."""

    def __init__(self, units: Mapping[str, int]) -> None:
        weight = sum(len(token) ** 2 for token in units)
        if weight > MAX_WEIGHT:
            told = f"{len(units)} control tokens, the squares of whose lengths add up to {weight}, at most {MAX_WEIGHT}"
            raise Malformed("gguf.tokenizer", told)
        self._units = units
        self._lengths = sorted({len(token) for token in units}, reverse=True)
        self._beginnings = frozenset(token[:size] for token in units for size in range(1, len(token)))
        letters = "".join(re.escape(letter) for letter in sorted({token[0] for token in units}))
        self._first = re.compile(f"[{letters}]" if letters else r"(?!)")

    def cut(self, text: str) -> Iterator[str | int]:
        """The text in pieces: what is no control token, and ids of those that are, the longest at each place."""
        at = 0
        for found in self._first.finditer(text):
            begin = found.start()
            token = self._at(text, begin) if begin >= at else None
            if token is not None:
                if begin > at:
                    yield text[at:begin]
                yield self._units[token]
                at = begin + len(token)
        if at < len(text):
            yield text[at:]

    def marked(self, value: object, mark: str) -> object:
        """The same value with the mark behind the first letter of each control token in its texts, and of each that
        the end of a text cuts short."""
        if isinstance(value, str):
            return self._first.sub(lambda found: found.group() + mark * self._begins(value, found.start()), value)
        if isinstance(value, Mapping):
            return {key: self.marked(item, mark) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self.marked(item, mark) for item in value]
        return value

    def _at(self, text: str, begin: int) -> str | None:
        pieces = (text[begin : begin + length] for length in self._lengths)
        return next((piece for piece in pieces if piece in self._units), None)

    def _begins(self, text: str, begin: int) -> bool:
        if self._at(text, begin) is not None:
            return True
        return len(text) - begin < self._lengths[0] and text[begin:] in self._beginnings


def mark(value: object) -> str:
    """The first private-use character that occurs in none of the texts. Raises Refused("request.messages")."""
    used = {letter for text in _texts(value) for letter in text}
    found = next((chr(point) for point in MARKS if chr(point) not in used), None)
    if found is None:
        raise Refused("request.messages", f"messages: all of {len(MARKS)} private-use characters occur")
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for item in value:
            yield from _texts(item)
