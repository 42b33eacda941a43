"""Grammars (spec/grammars.md): each MUST by its id, on a vocabulary of bytes and a few words."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.engines import grammars
from steelyard.engines.grammars import COMPILER, MAX_BYTES, MAX_DEPTH, Grammars, grammar_of
from steelyard.protocol.errors import Refused

WORDS: list[bytes | None] = [
    None,
    *(bytes([byte]) for byte in range(256) if byte != 0xF1),
    b'{"',
    b'name"',
    b"na",
    None,
]
END, VOCABULARY = len(WORDS) - 1, len(WORDS) + 3
ID = {word: at for at, word in enumerate(WORDS)}
ALL = Grammars(lambda: WORDS, VOCABULARY, frozenset({END}))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "size": {"enum": [1, 20]}},
    "required": ["name", "size"],
    "additionalProperties": False,
}


def allowed(mask: bytes) -> list[int]:
    return [at for at in range(8 * len(mask)) if mask[at >> 3] >> (at & 7) & 1]


def spelled(text: str) -> list[int]:
    return [ID[bytes([byte])] for byte in text.encode()]


def masks(grammar: bytes, ids: Sequence[int]) -> list[list[int]]:
    """What is allowed at each position of an answer, and after it."""
    run = ALL.start(grammar, 0)
    return [allowed(run.at(ids, position)) for position in range(len(ids) + 1)]


def walk(grammar: bytes, pick: Callable[[list[int]], int], most: int = 400) -> list[int]:
    """An answer of ids that are allowed, up to an end id."""
    run, ids = ALL.start(grammar, 0), []
    while len(ids) < most and END not in ids and (some := allowed(run.at(ids, len(ids)))):
        ids.append(pick(some))
    return ids


@contextlib.contextmanager
def only_grammar_refusals() -> Iterator[None]:
    """Goes on after a refusal by one of the grammar's rules; anything else comes through."""
    try:
        yield
    except Refused as refusal:
        if not refusal.rule.startswith("order.grammar"):
            raise


def said(ids: Sequence[int]) -> str:
    return b"".join(WORDS[unit] or b"" for unit in ids).decode()


def test_grm_1_a_grammar_is_two_lines_and_a_schema_in_its_own_order() -> None:
    grammar = grammar_of("json", {"b": 1, "a": "ü"})
    assert grammar == COMPILER.encode() + '\njson\n{"b":1,"a":"ü"}'.encode()
    assert grammars.read(grammar) == ("json", {"b": 1, "a": "ü"})
    reordered = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
    assert said(walk(grammar_of("json", reordered), min)).startswith('{"size": ')


@pytest.mark.parametrize(
    ("grammar", "rule"),
    [
        (b"", "order.grammar"),
        (COMPILER.encode() + b"\njson", "order.grammar"),
        (COMPILER.encode() + b"\njson\n{", "order.grammar"),
        (COMPILER.encode() + b"\njson\n[]", "order.grammar"),
        (COMPILER.encode() + b'\njson\n{"a":NaN}', "order.grammar"),
        (COMPILER.encode() + b'\njson\n{"a":"\xff"}', "order.grammar"),
        (COMPILER.encode() + b"\nlark\n{}", "order.grammar"),
        (COMPILER.encode() + b"\njson\n" + b"[" * 30_000, "order.grammar"),
        (b"llguidance/1.9.0\njson\n{}", "order.grammar-version"),
        (b"x" * (MAX_BYTES + 1), "order.grammar-limit"),
    ],
)
def test_grm_1_to_3_anything_else_is_refused_by_name(grammar: bytes, rule: str) -> None:
    """GRM-1 to GRM-3."""
    with pytest.raises(Refused) as refusal:
        ALL.start(grammar, 0)
    assert refusal.value.rule == rule


def test_grm_2_another_installed_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammars, "version", lambda _: "1.9.0")
    with pytest.raises(
        Refused, match=r"^order\.grammar-version: compiled by 'llguidance/1\.9\.1', installed .*1\.9\.0"
    ):
        Grammars(lambda: WORDS, VOCABULARY, frozenset({END})).start(grammar_of("json", SCHEMA), 0)


def test_grm_3_a_schema_has_at_most_32_levels() -> None:
    schema: dict[str, Any] = {}
    for _ in range(MAX_DEPTH - 2):
        schema = {"items": schema}
    ALL.start(grammar_of("json", {"items": schema}), 0)
    with pytest.raises(Refused, match=r"^order\.grammar-limit: a schema of more than 32 levels"):
        grammar_of("json", {"items": {"items": schema}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"not": {}},
        {"pattern": "("},
        {"anyOf": []},
        {"minItems": "many"},
        {"type": "string", "pattern": "(" * 5000 + "a" + ")" * 5000},
    ],
    ids=str,
)
def test_grm_3_what_the_compiler_refuses_is_refused_in_its_words(schema: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"^order\.grammar: llguidance: "):
        ALL.start(grammar_of("json", schema), 0)


def test_a_model_without_an_end_has_no_grammars() -> None:
    with pytest.raises(Refused, match=r"^order\.grammar: this model has no id that ends an answer"):
        Grammars(lambda: WORDS, VOCABULARY, frozenset()).start(grammar_of("json", SCHEMA), 0)


def test_grm_4_forced_text_takes_the_longest_words() -> None:
    found = masks(grammar_of("json", SCHEMA), [ID[b'{"'], ID[b'name"'], *spelled(': "')])
    assert found[:5] == [[ID[b'{"']], [ID[b'name"']], *([unit] for unit in spelled(': "'))]
    assert ID[b'"'] in found[5]
    assert ID[None] not in found[5]
    assert said(walk(grammar_of("json", SCHEMA), min)) == '{"name": "     ", "size": 1}'


def test_grm_4_free_white_space_is_not_allowed() -> None:
    for ids in (spelled("{ "), spelled('{"name" '), spelled('{"name":"')):
        assert masks(grammar_of("json", SCHEMA), ids)[-1] == []


def test_grm_5_a_mask_is_bits_over_the_vocabulary_and_no_more() -> None:
    run = ALL.start(grammar_of("json", {"const": "\U00051234"}), 0)  # begins with a byte that no id spells
    first = run.at([], 0)
    assert len(first) == -(-VOCABULARY // 8)
    assert allowed(first) == [ID[b'"']]
    assert allowed(run.at([ID[b'"']], 1)) == []


def test_grm_5_a_mask_follows_from_the_answer_alone() -> None:
    grammar = grammar_of("json", SCHEMA)
    ids = walk(grammar, random.Random(5).choice)
    whole, later = ALL.start(grammar, 0), ALL.start(grammar, 2)
    assert [whole.at(ids, at) for at in range(len(ids))] == [later.at([1, 2, *ids], 2 + at) for at in range(len(ids))]


def test_grm_6_nothing_is_allowed_after_an_id_outside_of_the_grammar() -> None:
    grammar, good = grammar_of("json", SCHEMA), spelled('{"na')
    for bad in (ID[b"x"], ID[None], VOCABULARY - 1):
        assert masks(grammar, [*good, bad, *good])[len(good) + 1 :] == [[]] * (len(good) + 1)


def test_grm_6_nothing_is_allowed_beyond_a_limit_of_work() -> None:
    exploding = grammar_of("json", {"type": "string", "pattern": "^(.*a.{200}|.*b.{201}|.*c.{202}|.*d.{203})+$"})
    chance = random.Random(1)
    ids = walk(exploding, lambda some: chance.choice([unit for unit in some if unit in spelled("abcd")] or some))
    run = ALL.start(exploding, 0)
    assert [run.at(ids, at) for at in range(len(ids) + 1)][-1] == bytes(-(-VOCABULARY // 8))
    assert END not in ids
    assert run.why


def test_grm_7_an_end_is_allowed_exactly_where_the_grammar_is_complete() -> None:
    ids = walk(grammar_of("json", SCHEMA), random.Random(3).choice)
    assert ids[-1] == END
    found = masks(grammar_of("json", SCHEMA), ids[:-1])
    assert [END in some for some in found] == [False] * (len(ids) - 1) + [True]
    assert found[-1] == [END]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_allowed_makes_an_instance_of_the_schema(seed: int) -> None:
    told = json.loads(said(walk(grammar_of("json", SCHEMA), random.Random(seed).choice)))
    assert list(told) == ["name", "size"]
    assert len(told["name"]) <= 5
    assert told["size"] in (1, 20)


def test_text_or_json_is_one_or_the_other() -> None:
    grammar = grammar_of("text-or-json", SCHEMA)
    assert ID[b"{"] in masks(grammar, [])[0]
    assert END in masks(grammar, [])[0]
    for text in ("H", "Hello {x}", "\n{", "ä"):
        assert {END, ID[b"{"], ID[b"a"]} <= set(masks(grammar, spelled(text))[-1])
    assert masks(grammar, [ID[b"{"]])[-1] == [ID[b'"']]


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda raw: COMPILER.encode() + b"\njson\n" + raw))
def test_bytes_of_any_kind_are_read_or_refused_by_name(raw: bytes) -> None:
    with only_grammar_refusals():
        ALL.start(raw, 0)


KEYWORDS = st.sampled_from(
    [
        "type",
        "items",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "oneOf",
        "not",
        "minimum",
        "maxLength",
        "pattern",
        "format",
        "properties",
        "required",
        "additionalProperties",
        "$ref",
        "$defs",
        "minItems",
        "prefixItems",
        "multipleOf",
        "a",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["object", "array", "string", "integer", "#", "#/$defs/a", "[a-c]{2,9}", "date", "(", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYWORDS, VALUES, max_size=5), st.sampled_from(grammars.KINDS), st.integers(0, 2**32))
def test_a_schema_of_any_kind_is_compiled_or_refused_by_name(schema: dict[str, Any], kind: str, seed: int) -> None:
    """What is compiled gives masks to its end, and the same ones twice."""
    with only_grammar_refusals():
        grammar = grammar_of(kind, schema)
        ids = walk(grammar, random.Random(seed).choice, most=12)
        assert walk(grammar, random.Random(seed).choice, most=12) == ids
