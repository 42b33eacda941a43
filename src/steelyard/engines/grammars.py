"""Grammars: which ids may stand at each position, so that an answer is JSON of a schema (spec/grammars.md).

A grammar is bytes that travel beside an order: the name of who compiles it, its kind, the schema. Everybody compiles it
alike from the bytes of the vocabulary alone; whatever decides a mask is a constant here, or in those bytes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, NoReturn

from steelyard.protocol.errors import Refused

COMPILER: Final = "llguidance/1.9.1"
"""Another version may allow other ids, so the version is part of the grammar."""
KINDS: Final = ("json", "text-or-json")
MAX_BYTES: Final = 1 << 15  # a jury is shown at most 64 kB in all
MAX_DEPTH: Final = 32
LAYOUT: Final = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
"""JSON on one line, spaced as models write it; free white space would let a model write it without end."""
TEXT_OR_JSON: Final = "start: text | @json\ntext: /([^{](.|\\n)*)?/\n"
"""Who begins with a brace means JSON."""
LIMITS: Final = {
    "max_items_in_row": 2_000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,  # some 14 ms a position
    "step_max_items": 50_000,
    "max_lexer_states": 20_000,  # some 40 MB
    "max_grammar_size": 100_000,
}
"""In the compiler's own units of work, never in seconds: those would frame the slower machine."""


def grammar_of(kind: str, schema: Mapping[str, Any]) -> bytes:
    """The bytes of a grammar (GRM-1). Raises Refused("order.grammar", "order.grammar-limit")."""
    written = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    grammar = f"{COMPILER}\n{kind}\n{written}".encode(errors="surrogatepass")
    read(grammar)
    return grammar


def read(grammar: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and schema (GRM-1, GRM-2). Raises Refused: `order.grammar`, `order.grammar-version`,
    `order.grammar-limit`."""
    if len(grammar) > MAX_BYTES:
        raise Refused("order.grammar-limit", f"{len(grammar)} bytes, at most {MAX_BYTES}")
    try:
        compiler, kind, written = grammar.decode().split("\n", 2)
        schema = json.loads(written, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused("order.grammar", f"no grammar: {type(error).__name__} {error!s:.100}") from error
    if compiler != COMPILER:
        raise Refused("order.grammar-version", f"compiled by {compiler[:40]!r}, known {COMPILER!r}")
    if kind not in KINDS or not isinstance(schema, dict):
        raise Refused(
            "order.grammar", f"kind {kind[:40]!r} of {KINDS}, schema a {type(schema).__name__}, not an object"
        )
    if _deeper(schema, MAX_DEPTH):
        raise Refused("order.grammar-limit", f"a schema of more than {MAX_DEPTH} levels")
    return kind, schema


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


class Grammars:
    """Compiles grammars over one vocabulary.

    Args:
        words: gives the bytes of each id, None for one that is no text; asked once, when the first grammar comes.
        vocabulary: ids are 0 … vocabulary-1; those beyond `words` are never allowed.
        ends: ids that end an answer; at least one.
    """

    def __init__(self, words: Callable[[], Sequence[bytes | None]], vocabulary: int, ends: frozenset[int]) -> None:
        self._words, self._vocabulary, self._ends = words, vocabulary, ends
        self._tokenizer: Any = None

    def start(self, grammar: bytes, first: int) -> "Masks":
        """Masks of a run whose answer begins at position `first`. Raises as `read`."""
        import llguidance  # 8 MB of machine code that most answers do not need

        kind, schema = read(grammar)
        if not self._ends:
            raise Refused("order.grammar", "this model has no id that ends an answer")
        if self._tokenizer is None:
            self._tokenizer = self._load()
        rules = {"json_schema": {**schema, "x-guidance": LAYOUT}, "name": "json"}
        grammars = [rules] if kind == "json" else [{"lark_grammar": TEXT_OR_JSON}, rules]
        limits = llguidance.LLParserLimits(**LIMITS, precompute_large_lexemes=False, verbose_errors=False)
        matcher = llguidance.LLMatcher(self._tokenizer, json.dumps({"grammars": grammars}), log_level=0, limits=limits)
        if matcher.is_error():
            raise Refused("order.grammar", f"llguidance: {matcher.get_error()!s:.300}")
        return Masks(matcher, self._vocabulary, first)

    def _load(self) -> Any:
        import llguidance

        found = f"llguidance/{version('llguidance')}"
        if found != COMPILER:
            raise Refused("order.grammar-version", f"compiled by {COMPILER!r}, installed {found!r}")
        words = _Words(self._words(), self._vocabulary, min(self._ends))
        return llguidance.LLTokenizer(words, eos_token=sorted(self._ends), slices=[])  # type: ignore[arg-type]  # all that it asks of a tokenizer


class _Words:
    """What llguidance asks of a tokenizer (its `TokenizerWrapper`): the bytes of each id, and how text splits."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, words: Sequence[bytes | None], vocabulary: int, end: int) -> None:
        self.eos_token_id = end
        self.special_token_ids = [at for at, word in enumerate(words) if word is None]
        named = [f"<{at}>".encode() if word is None else word for at, word in enumerate(words)]
        single = [bytes([byte]) for byte in range(256)]
        missing = sorted(set(single) - set(named))  # forced text must split; ids beyond the vocabulary are cut off
        self.tokens = [*named, *[b""] * (vocabulary - len(words)), *missing]
        self._ids: dict[bytes, int] = {}
        for at, word in enumerate(self.tokens):
            if word and at not in self.special_token_ids:
                self._ids.setdefault(word, at)
        self._longest = max(map(len, self._ids))

    def __call__(self, text: str | bytes) -> list[int]:
        """Text that a grammar forces, split into the longest words from the left, so that it depends on nothing but
        the vocabulary (GRM-4)."""
        raw, ids, at = text if isinstance(text, bytes) else text.encode(), [], 0
        while at < len(raw):
            sizes = range(min(self._longest, len(raw) - at), 0, -1)
            size = next(size for size in sizes if raw[at : at + size] in self._ids)
            ids.append(self._ids[raw[at : at + size]])
            at += size
        return ids


class Masks:
    """Which ids a grammar allows at each position of one run (GRM-5). Positions are asked for in ascending order."""

    def __init__(self, matcher: Any, vocabulary: int, first: int) -> None:
        self._matcher, self._vocabulary, self._taken = matcher, vocabulary, first

    def at(self, ids: Sequence[int], position: int) -> bytes:
        """One bit an id, id 0 the lowest of the first byte, after ids[first:position]; ceil(vocabulary/8) bytes. No bit
        is set after ids that the grammar does not admit, and where it is beyond a limit."""
        while self._taken < position and not self._matcher.is_error():
            self._matcher.consume_token(ids[self._taken])
            self._taken += 1
        mask = int.from_bytes(self._matcher.compute_bitmask(), "little")
        mask = 0 if self._matcher.is_error() else mask & ((1 << self._vocabulary) - 1)
        return mask.to_bytes(-(-self._vocabulary // 8), "little")

    @property
    def why(self) -> str:
        """Why a mask has no bit, for a person."""
        return str(self._matcher.get_error())[:200] or "no word of this vocabulary goes on"
