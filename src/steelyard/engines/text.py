"""Words to ids and back for a GGUF file: its tokenizer, and its chat template in Jinja's sandbox.

What a user writes never becomes a control id (`control_tokens`). `encode` never yields control ids either, but for the
beginning of a text where the file says so; who wants them in `/v1/completions` sends ids.

Loading the default model takes some 0.2 seconds, so nothing is cached.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from steelyard.engines import gguf_head
from steelyard.engines.chat_template import ChatTemplate
from steelyard.engines.control_tokens import Controls, mark
from steelyard.engines.gguf_head import Head
from steelyard.engines.sentence_pieces import CONTROL, USER_DEFINED, SentencePieces
from steelyard.protocol.errors import Malformed, Refused


@dataclass(frozen=True, slots=True)
class Splitting:
    """What a file's `tokenizer.ggml.pre` means beside its merges (llama.cpp, llama-vocab.cpp)."""

    words: str = ""
    """The expression that cuts a text into words, within which pairs are joined; GPT-2's if empty."""
    digits: bool = False
    """Digits stand alone before that."""
    begins: bool = False
    """Texts begin with the beginning-of-sequence id unless the file says otherwise."""
    whole: bool = False
    """A word that is a token is not joined from pairs."""


_WORDS: Final = (
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2, _DIGITS, _QWEN = Splitting(), Splitting(digits=True), Splitting(_WORDS % "")
_LLAMA = Splitting(_WORDS % "{1,3}", begins=True, whole=True)
PRE: Final[Mapping[str, Splitting]] = {
    "gpt-2": _GPT2,
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), _DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), _QWEN),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LLAMA),
}


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
        self._pieces, begins = _pieces(head, self._tokens, self._kinds)
        named = enumerate(zip(self._tokens, self._kinds, strict=True))
        self._controls = Controls({token: at for at, (token, kind) in named if _is_control(token, kind)})
        self._begin: tuple[int, ...] = ()
        if head.fields.get("tokenizer.ggml.add_bos_token", begins) is True:
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
        sign = mark([messages, self._template.source])
        said = self._template.render([self._controls.marked(message, sign) for message in messages])
        ids: list[int] = []
        for part in self._controls.cut(said):
            ids += [part] if isinstance(part, int) else self._plain(part.replace(sign, ""))
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
        return b"" if self._kinds[unit] == CONTROL else self._pieces.bytes_of(unit)

    def _plain(self, text: str) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Malformed("request.text", f"half a surrogate pair at {error.start} of {len(text)}") from error
        return self._pieces.ids(text)


class Pieces(Protocol):
    """A tokenizer without control tokens."""

    def ids(self, text: str) -> list[int]: ...

    def bytes_of(self, unit: int) -> bytes:
        """What an id, which is no control token's, adds to a text."""
        ...


PLAIN_BYTES: Final = frozenset({0x0A, *range(0x20, 0x7F)})
BYTES: Final = {letter: byte for byte, letter in enumerate(byte_letters())}


def words(head: Head) -> list[bytes | None]:
    """The bytes of each id, None for a control id: what a grammar needs of a vocabulary. Raises as `GgufText`."""
    tokens, kinds = _vocabulary(head)
    pieces, _ = _pieces(head, tokens, kinds)
    return [None if kind == CONTROL else pieces.bytes_of(unit) for unit, kind in enumerate(kinds)]


def _pieces(head: Head, tokens: list[str], kinds: list[int]) -> tuple[Pieces, bool]:
    """The tokenizer, and whether texts begin with an id of their own unless the file says otherwise."""
    model = head.text("tokenizer.ggml.model")
    if model == "llama":
        return SentencePieces(head, tokens, kinds), True
    if model != "gpt2":
        known = "'gpt2' (byte-level BPE), 'llama' (SentencePiece)"
        raise Refused("model.tokenizer", f"tokenizer.ggml.model {model[:40]!r}, known {known}")
    splitting = _splitting(head)
    return BytePairs(head, splitting, tokens, kinds), splitting.begins


def _vocabulary(head: Head) -> tuple[list[str], list[int]]:
    """Tokens and their kinds, checked. Raises as `GgufText`."""
    tokens, kinds = head.fields.get("tokenizer.ggml.tokens"), head.fields.get("tokenizer.ggml.token_type")
    if not _all_are(tokens, str) or not isinstance(tokens, list) or len(set(tokens)) != len(tokens):
        raise Malformed("gguf.tokenizer", "tokenizer.ggml.tokens is no list of different texts")
    if kinds is None:
        kinds = [1] * len(tokens)
    if not isinstance(kinds, list) or not _all_are(kinds, int) or len(kinds) != len(tokens):
        raise Malformed("gguf.tokenizer", f"tokenizer.ggml.token_type must be {len(tokens)} numbers")
    return tokens, kinds


def _all_are(values: object, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _is_control(token: str, kind: int) -> bool:
    return kind == CONTROL and len(token) > 1


class BytePairs:
    """Byte-level BPE; control tokens are not among what it looks for, tokens that a user may write whole are.

    Raises Malformed("gguf.tokenizer")."""

    def __init__(self, head: Head, splitting: Splitting, tokens: list[str], kinds: list[int]) -> None:
        self._tokens, self._kinds = tokens, kinds
        _check_letters(tokens, kinds)
        controls = {token for token, kind in zip(tokens, kinds, strict=True) if _is_control(token, kind)}
        numbers = {token: at for at, token in enumerate(tokens)}
        merges = head.fields.get("tokenizer.ggml.merges")
        if not isinstance(merges, list) or not _all_are(merges, str):
            raise Malformed("gguf.tokenizer", "tokenizer.ggml.merges is no list of texts")
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
        for left, right in pairs:
            if left not in numbers or right not in numbers or left + right not in numbers:
                raise Malformed("gguf.tokenizer", f"merge {left[:20]!r} {right[:20]!r} is outside the vocabulary")
        pairs = [pair for pair in pairs if controls.isdisjoint((*pair, "".join(pair)))]
        numbers = {token: at for token, at in numbers.items() if token not in controls}
        self._tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=pairs, ignore_merges=splitting.whole))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(_splitters(splitting)))
        whole = [token for token, kind in zip(tokens, kinds, strict=True) if kind == USER_DEFINED and token]
        self._tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in whole])

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def bytes_of(self, unit: int) -> bytes:
        token = self._tokens[unit]
        return token.encode() if self._kinds[unit] == USER_DEFINED else bytes(BYTES[letter] for letter in token)


def _check_letters(tokens: list[str], kinds: list[int]) -> None:
    letters, present = set(BYTES), set(tokens)
    missing = [byte for letter, byte in BYTES.items() if byte in PLAIN_BYTES and letter not in present]
    if missing:  # they would vanish from prompts; rarer ones do, in real models too
        raise Malformed("gguf.tokenizer", f"{len(missing)} of {len(PLAIN_BYTES)} plain bytes have no token")
    for token, kind in zip(tokens, kinds, strict=True):
        if kind not in {CONTROL, USER_DEFINED} and not letters.issuperset(token):
            raise Malformed("gguf.tokenizer", f"{token[:40]!r} is not made of byte letters")


def _splitting(head: Head) -> Splitting:
    pre = head.text("tokenizer.ggml.pre")
    if pre not in PRE:
        raise Refused("model.tokenizer", f"tokenizer.ggml.pre {pre[:40]!r}, known {', '.join(PRE)}")
    return PRE[pre]


def _splitters(splitting: Splitting) -> Iterator[pre_tokenizers.PreTokenizer]:
    if splitting.digits:
        yield pre_tokenizers.Digits(individual_digits=True)
    if splitting.words:
        yield pre_tokenizers.Split(Regex(splitting.words), "isolated")
    yield pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not splitting.words)


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
