"""SentencePiece vocabularies (`tokenizer.ggml.model` "llama": Llama 2, Mistral, Gemma), cut as llama.cpp cuts them.

Letters are joined pair by pair, always the pair whose joined piece has the highest score, the leftmost of equals; a
letter that is no piece becomes bytes. The BPE of `tokenizers`, into which transformers turns such vocabularies, ranks
pairs and not pieces, so where two pairs make one piece, as in a run of equal letters, it may join another than the
leftmost; hence these lines.
"""

import heapq
from collections.abc import Iterator, Sequence
from math import isnan
from typing import Final

from steelyard.engines.gguf_head import Head
from steelyard.protocol.errors import Malformed

UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6
"""`tokenizer.ggml.token_type`: what is none; written by templates only; matched as a whole in any text; one byte."""
SPACE: Final = "\u2581"
"""Stands for a space in pieces."""
MAX_WHOLE: Final = 1 << 12
"""Most tokens that are matched as a whole: each is looked for in each text."""


class SentencePieces:
    """Text to ids and ids to bytes. Raises Malformed("gguf.tokenizer")."""

    def __init__(self, head: Head, tokens: Sequence[str], kinds: Sequence[int]) -> None:
        self._tokens, self._kinds = tokens, kinds
        scores = head.fields.get("tokenizer.ggml.scores")
        if not isinstance(scores, list) or len(scores) != len(tokens) or not all(map(_is_score, scores)):
            raise Malformed("gguf.tokenizer", f"tokenizer.ggml.scores must be {len(tokens)} numbers")
        plain = [at for at, kind in enumerate(kinds) if kind not in {UNKNOWN, CONTROL, BYTE}]
        self._units = {tokens[at]: at for at in plain}
        self._scores: dict[str, float] = {tokens[at]: scores[at] for at in plain}
        bytes_of = {tokens[at]: at for at, kind in enumerate(kinds) if kind == BYTE}
        missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in bytes_of]
        if missing:
            raise Malformed("gguf.tokenizer", f"{len(missing)} of 256 bytes have no token, first {missing[0]:#04x}")
        self._of_byte = [bytes_of[f"<0x{byte:02X}>"] for byte in range(256)]
        self._byte_of = {unit: byte for byte, unit in enumerate(self._of_byte)}
        whole = [(token, at) for token, at in self._units.items() if kinds[at] == USER_DEFINED and token]
        if len(whole) > MAX_WHOLE:
            raise Malformed("gguf.tokenizer", f"{len(whole)} tokens are matched as a whole, at most {MAX_WHOLE}")
        self._whole = sorted(whole, key=lambda pair: -len(pair[0].encode()))
        self._prefix = " " if head.fields.get("tokenizer.ggml.add_space_prefix", True) is True else ""

    def ids(self, text: str) -> list[int]:
        """No control ids. Text at the beginning and behind a token that is matched as a whole gets a space in front,
        unless the file says otherwise."""
        found: list[int] = []
        for part in self._cut(text):
            found += [part] if isinstance(part, int) else self._joined((self._prefix + part).replace(" ", SPACE))
        return found

    def bytes_of(self, unit: int) -> bytes:
        """What an id adds to a text."""
        token, kind = self._tokens[unit], self._kinds[unit]
        if unit in self._byte_of:
            return bytes([self._byte_of[unit]])
        if kind == UNKNOWN:
            return b""
        return (token if kind == USER_DEFINED else token.replace(SPACE, " ")).encode()

    def _cut(self, text: str) -> list[str | int]:
        """At tokens that are matched as a whole, the longest first wherever they are."""
        parts: list[str | int] = [text] if text else []
        for token, unit in self._whole:
            if token in text:
                parts = [piece for part in parts for piece in _split(part, token, unit)]
        return parts

    def _joined(self, text: str) -> Iterator[int]:
        """Invariant: `parts`, without the empty ones, are the text; `after` and `before` skip the empty ones."""
        parts = list(text)
        end = len(parts)
        after, before = list(range(1, end + 1)), list(range(-1, end - 1))
        waiting: list[tuple[float, int, int, int]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < end:
                joined = parts[left] + parts[right]
                score = self._scores.get(joined)
                if score is not None:
                    heapq.heappush(waiting, (-score, left, right, len(joined)))

        for left in range(end - 1):
            offer(left, left + 1)
        while waiting:
            _, left, right, size = heapq.heappop(waiting)
            if not parts[left] or not parts[right] or len(parts[left]) + len(parts[right]) != size:
                continue  # one of the two was joined meanwhile
            parts[left] += parts[right]
            parts[right] = ""
            after[left] = after[right]
            if after[right] < end:
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])
        for part in filter(None, parts):
            unit = self._units.get(part)
            yield from [unit] if unit is not None else [self._of_byte[byte] for byte in part.encode()]


def _is_score(value: object) -> bool:
    return isinstance(value, float) and not isnan(value)


def _split(part: str | int, token: str, unit: int) -> Iterator[str | int]:
    if isinstance(part, int):
        yield part
        return
    first, *others = part.split(token)
    if first:
        yield first
    for other in others:
        yield unit
        if other:
            yield other
