"""Words to ids and back for a GGUF file: its byte-level BPE tokenizer, and its chat template in Jinja's sandbox.

What a user writes never becomes a control id. The usual way is to render the template to one text and to parse control
tokens out of that, so that "<|im_end|>" in a message ends the user's turn. Here a mark is put into messages wherever a
control token begins (or could be completed by what follows), the template is rendered, control tokens are cut out of
the result, and the marks are taken out of the remaining text: only the template's own tokens are ever whole. The mark
is a private-use character that occurs in none of the messages; a message without control tokens is not touched at all.
`encode` never yields control ids either; who wants them in `/v1/completions` sends ids.

Loading the default model takes some 0.2 seconds, so nothing is cached.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from steelyard.engines import gguf_head
from steelyard.engines.chat_template import ChatTemplate
from steelyard.engines.gguf_head import Head
from steelyard.protocol.errors import Malformed, Refused

CONTROL, USER_DEFINED = 3, 4
"""`tokenizer.ggml.token_type`: written by templates only; matched as a whole in any text."""
DIGIT_WISE: Final = ("smollm", "starcoder", "refact", "codeshell")
"""`tokenizer.ggml.pre` whose digits are split one by one before GPT-2's expression (llama.cpp, llama-vocab.cpp)."""
PLAIN: Final = ("gpt-2", "gpt2")
"""`tokenizer.ggml.pre` that is GPT-2's expression alone."""
MAX_CONTROL_WEIGHT: Final = 1 << 21
"""Bounds the expression that finds control tokens cut short, which grows with the squares of their lengths."""
MARKS: Final = range(0xF0000, 0xFFFFE)


def byte_letters() -> list[str]:
    """The letter that stands for each of the 256 bytes in a byte-level vocabulary (GPT-2's table): a printable byte
    stands for itself, the others for U+0100 and on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(shifted)) for byte in range(256)]


class GgufText:
    """`engines.base.Text` of a GGUF file. Methods may be called by several threads at once.

    Raises Refused: `model.tokenizer` for a tokenizer that is not built here; Malformed: `gguf.…`."""

    def __init__(self, path: Path) -> None:
        head = gguf_head.read(path)
        self._tokens, self._kinds = _vocabulary(head)
        self._tokenizer = _tokenizer(head, self._tokens, self._kinds)
        self._controls = {
            token: at
            for at, (token, kind) in enumerate(zip(self._tokens, self._kinds, strict=True))
            if kind == CONTROL and len(token) > 1
        }
        weight = sum(len(token) ** 2 for token in self._controls)
        if weight > MAX_CONTROL_WEIGHT:
            told = f"{len(self._controls)} control tokens, the squares of whose lengths add up to {weight}"
            raise Malformed("gguf.tokenizer", f"{told}, at most {MAX_CONTROL_WEIGHT}")
        self._begin: tuple[int, ...] = ()
        if head.fields.get("tokenizer.ggml.add_bos_token") is True:
            begin = head.integer("tokenizer.ggml.bos_token_id")
            if not 0 <= begin < len(self._tokens):
                told = f"tokenizer.ggml.bos_token_id {begin}, known 0 to {len(self._tokens) - 1}"
                raise Malformed("gguf.tokenizer", told)
            self._begin = (begin,)
        self._template = _template(head, self._tokens)

    @property
    def vocabulary(self) -> int:
        """See `Text.vocabulary`."""
        return len(self._tokens)

    def render(self, messages: Sequence[Mapping[str, object]]) -> tuple[int, ...]:
        """See `Text.render`."""
        if self._template is None:
            raise Refused("request.messages", "messages: this model has no chat template; complete a text instead")
        mark = _mark([messages, self._template.source])
        said = self._template.render([_marked(message, self._dangers, mark) for message in messages])
        ids: list[int] = []
        at = 0
        for found in self._control.finditer(said):
            ids += self._plain(said[at : found.start()].replace(mark, ""))
            ids.append(self._controls[found.group()])
            at = found.end()
        ids += self._plain(said[at:].replace(mark, ""))
        return tuple(ids)

    def encode(self, text: str) -> tuple[int, ...]:
        """See `Text.encode`. Raises Malformed("request.text") on half a surrogate pair."""
        return (*self._begin, *self._plain(text))

    def decode(self, ids: Sequence[int]) -> str:
        """See `Text.decode`. Raises Refused("order.unit-out-of-range")."""
        if ids and not 0 <= min(ids) <= max(ids) < len(self._tokens):
            told = f"{min(ids)} to {max(ids)}, known 0 to {len(self._tokens) - 1}"
            raise Refused("order.unit-out-of-range", told)
        return b"".join(map(self._bytes, ids)).decode(errors="replace")

    def _bytes(self, unit: int) -> bytes:
        return _word(self._tokens[unit], self._kinds[unit]) or b""

    def _plain(self, text: str) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Malformed("request.text", f"half a surrogate pair at {error.start} of {len(text)}") from error
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def _control(self) -> re.Pattern[str]:
        """Finds control tokens, the longest first."""
        return re.compile("|".join(map(re.escape, sorted(self._controls, key=len, reverse=True))) or r"(?!)")

    @cached_property
    def _dangers(self) -> re.Pattern[str]:
        """Finds the first character of each whole control token, and of one that the end of the text cuts."""
        if not self._controls:
            return re.compile(r"(?!)")
        first = "".join(re.escape(letter) for letter in sorted({token[0] for token in self._controls}))
        whole = "|".join(map(re.escape, self._controls))
        cut = "|".join(re.escape(token[:size]) for token in self._controls for size in range(1, len(token)))
        return re.compile(rf"(?=(?:{whole})|(?:{cut})\Z)[{first}]")


PLAIN_BYTES: Final = frozenset({0x0A, *range(0x20, 0x7F)})
BYTES: Final = {letter: byte for byte, letter in enumerate(byte_letters())}


def words(head: Head) -> list[bytes | None]:
    """The bytes of each id, None for a control id: what a grammar needs of a vocabulary. Raises as `GgufText`."""
    return [_word(token, kind) for token, kind in zip(*_vocabulary(head), strict=True)]


def _word(token: str, kind: int) -> bytes | None:
    if kind == CONTROL:
        return None
    return token.encode() if kind == USER_DEFINED else bytes(BYTES[letter] for letter in token)


def _vocabulary(head: Head) -> tuple[list[str], list[int]]:
    """Tokens and their kinds, checked. Raises as `GgufText`."""
    model = head.text("tokenizer.ggml.model")
    if model != "gpt2":
        raise Refused("model.tokenizer", f"tokenizer.ggml.model {model[:40]!r}, known 'gpt2' (byte-level BPE)")
    tokens, kinds = head.fields.get("tokenizer.ggml.tokens"), head.fields.get("tokenizer.ggml.token_type")
    if not _all_are(tokens, str) or not isinstance(tokens, list) or len(set(tokens)) != len(tokens):
        raise Malformed("gguf.tokenizer", "tokenizer.ggml.tokens is no list of different texts")
    if kinds is None:
        kinds = [1] * len(tokens)
    if not isinstance(kinds, list) or not _all_are(kinds, int) or len(kinds) != len(tokens):
        raise Malformed("gguf.tokenizer", f"tokenizer.ggml.token_type must be {len(tokens)} numbers")
    letters, present = set(BYTES), set(tokens)
    missing = [byte for letter, byte in BYTES.items() if byte in PLAIN_BYTES and letter not in present]
    if missing:  # they would vanish from prompts; rarer ones do, in real models too
        raise Malformed("gguf.tokenizer", f"{len(missing)} of {len(PLAIN_BYTES)} plain bytes have no token")
    for token, kind in zip(tokens, kinds, strict=True):
        if kind not in {CONTROL, USER_DEFINED} and not letters.issuperset(token):
            raise Malformed("gguf.tokenizer", f"{token[:40]!r} is not made of byte letters")
    return tokens, kinds


def _all_are(values: object, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _tokenizer(head: Head, tokens: list[str], kinds: list[int]) -> Tokenizer:
    """Byte-level BPE; control tokens are not among what it looks for, tokens that a user may write whole are."""
    numbers = {token: at for at, token in enumerate(tokens)}
    merges = head.fields.get("tokenizer.ggml.merges")
    if not isinstance(merges, list) or not _all_are(merges, str):
        raise Malformed("gguf.tokenizer", "tokenizer.ggml.merges is no list of texts")
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    for left, right in pairs:
        if left not in numbers or right not in numbers or left + right not in numbers:
            raise Malformed("gguf.tokenizer", f"merge {left[:20]!r} {right[:20]!r} is outside the vocabulary")
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(_splitters(head.text("tokenizer.ggml.pre"))))
    tokenizer.decoder = decoders.ByteLevel()
    whole = [token for token, kind in zip(tokens, kinds, strict=True) if kind == USER_DEFINED and token]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in whole])
    return tokenizer


def _splitters(pre: str) -> Iterator[pre_tokenizers.PreTokenizer]:
    if pre not in DIGIT_WISE + PLAIN:
        raise Refused("model.tokenizer", f"tokenizer.ggml.pre {pre[:40]!r}, known {DIGIT_WISE + PLAIN}")
    if pre in DIGIT_WISE:
        yield pre_tokenizers.Digits(individual_digits=True)
    yield pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _template(head: Head, tokens: list[str]) -> ChatTemplate | None:
    source = head.fields.get("tokenizer.chat_template")
    if not isinstance(source, str):
        return None
    names = {}
    for name in ("bos", "eos", "unk", "pad"):
        field = {"unk": "unknown", "pad": "padding"}.get(name, name)
        at = head.fields.get(f"tokenizer.ggml.{field}_token_id")
        names[f"{name}_token"] = tokens[at] if isinstance(at, int) and 0 <= at < len(tokens) else ""
    return ChatTemplate(source, names)


def _mark(value: object) -> str:
    """The first private-use character that occurs in none of the texts."""
    used = {letter for text in _texts(value) for letter in text}
    mark = next((chr(point) for point in MARKS if chr(point) not in used), None)
    if mark is None:
        raise Refused("request.messages", f"messages: all of {len(MARKS)} private-use characters occur")
    return mark


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


def _marked(value: object, dangers: re.Pattern[str], mark: str) -> object:
    """The same value with the mark after every dangerous character of its texts."""
    if isinstance(value, str):
        return dangers.sub(lambda found: found.group() + mark, value)
    if isinstance(value, Mapping):
        return {key: _marked(item, dangers, mark) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_marked(item, dangers, mark) for item in value]
    return value
