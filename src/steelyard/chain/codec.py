"""ABI encoding for the generated bindings: bytes in, Python values out. Addresses leave checksummed."""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError

from steelyard.chain.port import Log
from steelyard.protocol.errors import Malformed, Unavailable
from steelyard.protocol.keys import checksum


def encode(selector: bytes, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Calldata. Raises Malformed("chain.encode")."""
    try:
        return selector + abi_encode(types, values)
    except (EncodingError, TypeError, OverflowError) as error:
        raise Malformed("chain.encode", f"{error!s:.200}") from error


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return values. Raises Unavailable("chain.decode"): the endpoint, or the address, is not what we think."""
    try:
        return tuple(_clean(kind, value) for kind, value in zip(types, abi_decode(types, data), strict=True))
    except (DecodingError, OverflowError) as error:
        raise Unavailable("chain.decode", f"{error!s:.200}") from error


def decode_event(types: Sequence[tuple[str, bool]], log: Log) -> tuple[Any, ...]:
    """Fields of an event in order of declaration; `types` is (ABI type, indexed)."""
    topics = iter(log.topics[1:])
    plain = iter(decode([kind for kind, indexed in types if not indexed], log.data))
    return tuple(decode([kind], next(topics))[0] if indexed else next(plain) for kind, indexed in types)


def _clean(kind: str, value: Any) -> Any:
    if kind == "address":
        return checksum(value)
    if kind.endswith("[]"):
        return tuple(_clean(kind[:-2], item) for item in value)
    if kind.startswith("("):
        return tuple(_clean(inner, item) for inner, item in zip(split(kind[1:-1]), value, strict=True))
    return value


def abi_type(item: Mapping[str, Any]) -> str:
    """The canonical type of an ABI's input or output, tuples spelled out."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(map(abi_type, item["components"])) + ")" + kind.removeprefix("tuple")


def split(inner: str) -> list[str]:
    """Top-level members of a tuple type's inside: "uint8,(address,bytes32)[]" -> two."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(inner):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(inner[start:at])
            start = at + 1
    return [*parts, inner[start:]] if inner else parts
