"""JSON that others send: read in one place, and never deeper than `MAX_DEPTH`.

The depth is ours to bound: parsers recurse on the C stack and trust Python's recursion limit, which any imported
package may raise for the whole process (one of ours does, to 100,000), and then 100 kB of `[` is a crash.
"""

import re
from typing import Final, TypeVar

import msgspec

from steelyard.protocol.errors import Malformed

T = TypeVar("T")

MAX_DEPTH: Final = 64  # nested arrays and objects; our deepest message has 5
TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def depth(raw: bytes) -> int:
    """How deep the brackets outside of strings nest, up to the first depth over MAX_DEPTH."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0  # cannot be deeper: most bodies end here
    now = most = 0
    for token in TOKEN.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            now += 1
            most = max(most, now)
            if most > MAX_DEPTH:
                break
        elif first in b"]}":
            now -= 1
    return most


def read_json(raw: bytes, kind: type[T], rule: str) -> T:
    """Decodes JSON as `kind` (`dict` or a struct). Raises Malformed(rule) with the reason."""
    if depth(raw) > MAX_DEPTH:
        raise Malformed(rule, f"nested deeper than {MAX_DEPTH}")
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as error:
        raise Malformed(rule, f"{error}"[:300]) from error
