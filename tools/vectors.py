"""Writes vectors/**: cases that any other implementation could run. `--check` compares.

One file is one case: `about`, `input`, and `result`, or `refused` (the rule's name) where the input must be refused.
Bytes are 0x-hex, integers wider than 32 bits decimal strings. The keys are published, so never use them for money.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from steelyard.engines.grammars import COMPILER, Grammars, grammar_of
from steelyard.protocol import merkle, price, roots
from steelyard.protocol.eip712 import Domain, Record, bits_of
from steelyard.protocol.hashing import keccak256, sha256
from steelyard.protocol.keys import HALF_ORDER, Key, checksum
from steelyard.protocol.records import RECORDS, Offer, Order

OUT = Path(__file__).parent.parent / "vectors"
SECRET = sha256(b"steelyard published test key: never use it for money")
KEY = Key(SECRET)
DOMAIN = Domain(31337, checksum("0x" + "5e" * 20))
SALT = sha256(b"steelyard published test salt")
Case = tuple[str, dict[str, Any]]
"""Path under vectors/ without its ending, and the file's content."""


def hexed(raw: bytes) -> str:
    """0x-hex."""
    return "0x" + raw.hex()


def sample(kind: type[Record], how: str) -> Record:
    """`plain`: every field another value; `least`: all zeros; `most`: every field at its upper end."""
    values: dict[str, Any] = {}
    for at, (name, solidity) in enumerate(kind.solidity().items(), start=1):
        byte = {"plain": at, "least": 0, "most": 255}[how]
        if solidity == "bytes32":
            values[name] = bytes([byte]) * 32
        elif solidity == "address":
            values[name] = checksum("0x" + f"{byte:02x}" * 20)
        else:
            values[name] = {"plain": at, "least": 0, "most": 2 ** bits_of(solidity) - 1}[how]
    return kind(**{**values, "version": kind.VERSION})


def records() -> Iterator[Case]:
    """Record -> type string, hashes, digest, signature."""
    domain = {"chain_id": DOMAIN.chain_id, "escrow": DOMAIN.escrow}
    for kind in RECORDS:
        for how in ("plain", "least", "most"):
            record = sample(kind, how)
            digest = record.digest(DOMAIN)
            result = {"type_string": kind.type_string(), "type_hash": hexed(kind.type_hash())}
            result |= {"struct_hash": hexed(record.struct_hash()), "domain_separator": hexed(DOMAIN.separator())}
            result |= {"digest": hexed(digest), "signature": hexed(KEY.sign(digest)), "signer": KEY.address}
            told = {"type": kind.__name__, "record": record.to_json(), "domain": domain, "secret": hexed(SECRET)}
            yield (
                f"records/{kind.__name__.lower()}-{how}",
                {
                    "about": f"A {kind.__name__}, {how} values: its EIP-712 hashes and the signature of a published key.",
                    "input": told,
                    "result": result,
                },
            )


def malformed() -> Iterator[Case]:
    """Records that must be refused."""
    good = sample(Order, "plain").to_json()
    offer = sample(Offer, "plain").to_json()
    wrong: list[tuple[str, str, dict[str, object] | list[object], str]] = [
        ("version-1", "record.version", {**good, "version": 1}, "Order"),
        ("field-missing", "record.fields", {k: v for k, v in good.items() if k != "seed"}, "Order"),
        ("field-unknown", "record.fields", {**good, "note": 1}, "Order"),
        ("not-an-object", "record.shape", [1], "Order"),
        ("number-too-big", "record.range", {**good, "top_k": 2**32}, "Order"),
        ("number-negative", "record.range", {**good, "top_k": -1}, "Order"),
        ("number-as-text", "record.value", {**good, "top_k": "7"}, "Order"),
        ("number-with-point", "record.value", {**good, "top_k": 7.0}, "Order"),
        ("number-true", "record.value", {**good, "top_k": True}, "Order"),
        ("wide-as-number", "record.value", {**good, "seed": 7}, "Order"),
        ("wide-leading-zero", "record.value", {**good, "seed": "07"}, "Order"),
        ("wide-signed", "record.value", {**good, "seed": "-7"}, "Order"),
        ("wide-too-big", "record.range", {**good, "seed": str(2**64)}, "Order"),
        ("hex-upper-case", "record.hex", {**good, "nonce": "0x" + "AB" * 32}, "Order"),
        ("hex-short", "record.hex", {**good, "nonce": "0x" + "ab" * 31}, "Order"),
        ("hex-bare", "record.hex", {**good, "nonce": "ab" * 32}, "Order"),
        ("address-lower-case", "record.address", {**offer, "provider": "0x" + "ab" * 20}, "Offer"),
        ("address-short", "address", {**offer, "provider": "0x" + "02" * 19}, "Offer"),
    ]
    for name, rule, record, kind in wrong:
        yield (
            f"malformed/{name}",
            {
                "about": f"{kind}: {name.replace('-', ' ')}.",
                "input": {"type": kind, "record": record},
                "refused": rule,
            },
        )


def signatures() -> Iterator[Case]:
    """Digest and signature -> signer."""
    digest = keccak256(b"a digest")
    good = KEY.sign(digest)
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    twin = r + (2 * HALF_ORDER + 1 - s).to_bytes(32, "big") + bytes([55 - v])
    cases = {"good": good, "high-s": twin, "v-0": good[:64] + bytes([v - 27]), "v-29": good[:64] + b"\x1d"}
    cases |= {"64-bytes": good[:64], "66-bytes": good + b"\x00", "r-zero": bytes(32) + good[32:]}
    for name, signature in cases.items():
        told = {"digest": hexed(digest), "signature": hexed(signature)}
        end: dict[str, Any] = {"result": {"signer": KEY.address}} if name == "good" else {"refused": "signature"}
        yield f"signatures/{name}", {"about": f"A signature: {name.replace('-', ' ')}.", "input": told, **end}


def trees() -> Iterator[Case]:
    """Leaves -> root and every path; and proofs that must not verify."""
    for count in (0, 1, 2, 3, 5, 8, 13):
        data = [bytes([at]) * (at + 1) for at in range(count)]
        leaves = [merkle.leaf_hash(item) for item in data]
        paths = [[hexed(step) for step in merkle.prove(leaves, at)] for at in range(count)]
        yield (
            f"trees/leaves-{count:02}",
            {
                "about": f"A tree of {count} leaves: data of each leaf -> root and every path, leaf upwards.",
                "input": {"leaves": [hexed(item) for item in data]},
                "result": {"root": hexed(merkle.root(leaves)), "paths": paths},
            },
        )
    leaves = [merkle.leaf_hash(bytes([at])) for at in range(5)]
    root, path = merkle.root(leaves), merkle.prove(leaves, 2)
    last = merkle.prove(leaves, 4)
    node = sha256(b"\x01", leaves[2], leaves[3])
    wrong: dict[str, tuple[int, int, bytes, tuple[bytes, ...]]] = {
        "index-wraps-round": (5, 2 + 8, leaves[2], path),
        "index-of-the-neighbour": (5, 3, leaves[2], path),
        "index-beyond-the-count": (5, 5, bytes(32), (leaves[4], *last[1:])),
        "count-one-more": (6, 2, leaves[2], path),
        "count-one-less": (4, 2, leaves[2], path[:2]),
        "path-too-long": (5, 2, leaves[2], (*path, bytes(32))),
        "path-too-short": (5, 2, leaves[2], path[:-1]),
        "node-as-a-leaf": (5, 1, node, path[1:]),
        "other-leaf": (5, 2, leaves[1], path),
    }
    for name, (count, index, leaf, steps) in {"good": (5, 2, leaves[2], path), **wrong}.items():
        told = {"root": hexed(root), "count": count, "index": index, "leaf_hash": hexed(leaf)}
        told["path"] = [hexed(step) for step in steps]
        end = {"result": True} if name == "good" else {"refused": "merkle"}
        yield f"proofs/{name}", {"about": f"A path in a tree of five: {name.replace('-', ' ')}.", "input": told, **end}


def texts() -> Iterator[Case]:
    """Roots over units, evidence and receipts; salts and digests of runs."""
    for count in (0, 1, 64, 65, 130):
        units = [(at * 2_654_435_761) % 2**32 for at in range(count)]
        yield (
            f"roots/units-{count:03}",
            {
                "about": f"The root of a text of {count} units.",
                "input": {"units": units, "salt": hexed(SALT)},
                "result": hexed(roots.units_root(units, SALT)),
            },
        )
        hashes = [sha256(bytes([at])) for at in range(count % 7)]
        shown = [hexed(item) for item in hashes]
        yield (
            f"roots/evidence-{len(hashes)}",
            {
                "about": f"The root over {len(hashes)} evidence leaves, behind a delivered prefix of {count} units.",
                "input": {"evidence": shown, "prefix": count, "salt": hexed(SALT)},
                "result": hexed(roots.evidence_root(hashes, SALT, count)),
            },
        )
        yield (
            f"roots/receipts-{len(hashes)}",
            {
                "about": f"The root over {len(hashes)} receipt digests, in order of payment.",
                "input": {"receipts": shown},
                "result": hexed(roots.receipts_root(hashes)),
            },
        )
    rows = [[0, 7, 0x80000000], [0xBF800000, 2**32 - 1, 0]]
    yield (
        "roots/response-logprobs",
        {
            "about": "The root of a response of two units with log-probabilities: the own bits, then id and bits.",
            "input": {"units": [7, 9], "logprobs": rows, "salt": hexed(SALT)},
            "result": hexed(roots.response_root([7, 9], SALT, rows)),
        },
    )
    yield (
        "roots/grammar",
        {
            "about": "The hash of a grammar under the prompt's salt.",
            "input": {"grammar": '{"kind":"json"}', "salt": hexed(SALT)},
            "result": hexed(roots.grammar_root(b'{"kind":"json"}', SALT)),
        },
    )
    yield (
        "roots/units-out-of-range",
        {
            "about": "A unit of 33 bits.",
            "input": {"units": [1, 2**32], "salt": hexed(SALT)},
            "refused": "units.range",
        },
    )
    order = sha256(b"an order")
    yield (
        "roots/provider-salt",
        {
            "about": "A provider's salt for an order.",
            "input": {"secret": hexed(SECRET), "order": hexed(order)},
            "result": hexed(roots.provider_salt(SECRET, order)),
        },
    )
    yield (
        "roots/run-digest",
        {
            "about": "The digest of a run, keyed by the case.",
            "input": {"case": hexed(order), "states": hexed(b"states of a run")},
            "result": hexed(roots.run_digest(order, b"states of a run")),
        },
    )


def coins() -> Iterator[Case]:
    """Coin, receipt and rate -> drawn or not."""
    receipt = sha256(b"a receipt")
    found = {drawn: _coin(receipt, drawn) for drawn in (True, False)}
    for name, coin, rate in (
        ("drawn", found[True], 20_000),
        ("not-drawn", found[False], 20_000),
        ("rate-zero", found[True], 0),
        ("rate-full", found[False], 1_000_000),
    ):
        yield (
            f"coins/{name}",
            {
                "about": f"A coin at a rate of {rate} parts per million.",
                "input": {"coin": hexed(coin), "receipt": hexed(receipt), "rate_ppm": rate},
                "result": {
                    "commitment": hexed(roots.coin_commitment(coin)),
                    "draws": roots.coin_draws(coin, receipt, rate),
                },
            },
        )


def _coin(receipt: bytes, drawn: bool) -> bytes:
    coins_ = (sha256(b"coin", at.to_bytes(4, "big")) for at in range(100_000))
    return next(coin for coin in coins_ if roots.coin_draws(coin, receipt, 20_000) == drawn)


def prices() -> Iterator[Case]:
    """Prices and counts -> micro-tokens."""
    rows = {
        "nothing": (0, 0, 1000, 1000),
        "a-started-micro-token": (1, 0, 1, 0),
        "an-exact-micro-token": (1, 0, 1_000_000, 0),
        "one-unit-more": (1, 0, 1_000_001, 0),
        "rounded-once": (500_000, 500_000, 1, 1),
        "usual": (200_000, 600_000, 10, 24),
        "beyond-64-bits": (2**64 - 1, 2**64 - 1, 2**32 - 1, 2**32 - 1),
    }
    for name, (price_in, price_out, prompt, new) in rows.items():
        offer = Offer.from_json(
            {**sample(Offer, "plain").to_json(), "price_in": str(price_in), "price_out": str(price_out)}
        )
        yield (
            f"prices/{name}",
            {
                "about": "Micro-tokens per million units and units -> micro-tokens.",
                "input": {
                    "price_in": str(price_in),
                    "price_out": str(price_out),
                    "prompt_units": prompt,
                    "new_units": new,
                },
                "result": str(price.price(offer, prompt, new)),
            },
        )


def grammars() -> Iterator[Case]:
    """A grammar, a vocabulary, an answer's ids -> the mask of each position and of the next."""
    words = [*(bytes([byte]) for byte in range(256) if byte != 0xF1), b'{"', b'name"', b"na", b"true", None]
    end = len(words) - 1
    ids = {word: at for at, word in enumerate(words)}
    person = {"type": "object", "properties": {"name": {"enum": ["na", "nb"]}}, "required": ["name"]}
    closed = {**person, "additionalProperties": False}
    good = [ids[b'{"'], ids[b'name"'], *(ids[bytes([byte])] for byte in b': "nb"}'), end]
    rows: dict[str, tuple[str, dict[str, Any], list[int]]] = {
        "an-object": ("json", closed, good),
        "an-open-object": ("json", person, good[:-2]),
        "outside-of-the-grammar": ("json", closed, [*good[:4], ids[b"x"], *good[4:6]]),
        "text": ("text-or-json", closed, [ids[b"n"], ids[b"{"], end]),
        "a-call": ("text-or-json", closed, good[:3]),
        "a-byte-that-no-id-spells": ("json", {"const": "\U00051234"}, [ids[b'"']]),
        "true": ("json", {"type": "boolean"}, [ids[b"true"], end]),
    }
    for name, (kind, schema, answer) in rows.items():
        grammar = grammar_of(kind, schema)
        masks = Grammars(lambda: words, len(words) + 2, frozenset({end})).start(grammar, 0)
        told = {"grammar": grammar.decode(), "words": [word and hexed(word) for word in words], "ends": [end]}
        told |= {"vocabulary": len(words) + 2, "answer": answer}
        about = (
            f"The masks of an answer and of what would follow it: {name.replace('-', ' ')}. A word of null is no text."
        )
        result = [hexed(masks.at(answer, at)) for at in range(len(answer) + 1)]
        yield f"grammars/{name}", {"about": about, "input": told, "result": result}
    for name, rule, grammar in (
        ("another-version", "order.grammar-version", "llguidance/1.9.0\njson\n{}"),
        ("another-kind", "order.grammar", f"{COMPILER}\nlark\n{{}}"),
        ("too-deep", "order.grammar-limit", f"{COMPILER}\njson\n" + '{"a":' * 33 + "0" + "}" * 33),
        ("an-unknown-keyword", "order.grammar", f"{COMPILER}\njson\n" + '{"not":{}}'),
    ):
        told = {"grammar": grammar, "words": [word and hexed(word) for word in words], "ends": [end]}
        told |= {"vocabulary": len(words) + 2, "answer": []}
        yield f"grammars/{name}", {"about": "A grammar that must be refused.", "input": told, "refused": rule}


def write(about: str, *sources: Callable[[], Iterator[Case]]) -> int:
    """Writes the cases, and removes others from their folders; compares with --check. 0 if all is well."""
    check = "--check" in sys.argv
    wanted = {
        OUT / f"{name}.json": json.dumps(content, indent=1) + "\n" for make in sources for name, content in make()
    }
    folders = {path.parent for path in wanted}
    there = {path: path.read_text() for folder in folders for path in folder.glob("*.json")}
    stale = sorted(path.name for path in {*wanted, *there} if wanted.get(path) != there.get(path))
    if not check:
        for path in there.keys() - wanted.keys():
            path.unlink()
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    fresh = not check or not stale
    print(f"{about}: {len(wanted)} cases, {'fresh' if fresh else f'stale {stale[:5]}, run scripts/generate'}")
    return 0 if fresh else 1


if __name__ == "__main__":
    raise SystemExit(write("vectors", records, malformed, signatures, trees, texts, coins, prices, grammars))
