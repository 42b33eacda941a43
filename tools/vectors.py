"""Writes vectors/**: cases that any other implementation could run. `--check` compares.

One file is one case: `about`, `input`, and `result`, or `refused` (the rule's name) where the input must be refused.
Bytes are 0x-hex, integers wider than 32 bits decimal strings. The keys are published, so never use them for money.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from steelyard.engines.ir.encoding import CODES, KINDS, step, takes
from steelyard.engines.ir.scalars import OPERATIONS
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
        ("version-2", "record.version", {**good, "version": 2}, "Order"),
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
                "about": f"The root over {len(hashes)} evidence leaves.",
                "input": {"evidence": shown, "salt": hexed(SALT)},
                "result": hexed(roots.evidence_root(hashes, SALT)),
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


FMA, ADD, MUL, DIV = (
    bytes([len(takes(name)), *[1] * len(takes(name)), CODES[name], *range(len(takes(name)))])
    for name in ("fma", "add", "mul", "div")
)
SQRT, ROUND, EXP = (bytes([1, 1, CODES[name], 0]) for name in ("sqrt", "round", "exp"))
Q8_0 = bytes([6, 32, 1, 32, 1, 1, 1, CODES["mul"], 1, 3, CODES["dot"], 0, 2, CODES["float"], 7, CODES["fma"], 6, 8, 5])
VECTOR = int.from_bytes(bytes([*range(240, 256), *range(16)]), "big")
USUAL = {"f": (0xC0133333, 0x3F99999A, 0x3F000000), "i": (2**31 + 5, 7, 3), "v": (VECTOR, VECTOR)}
"""Operands of the cases of one operation each: -2.3, 1.2, ½; a negative number, 7, 3; whole numbers from -16 to 15."""
STEPS: dict[str, tuple[str, bytes, list[int]]] = {
    "fma-rounds-once": ("A product whose last bits alone are left.", FMA, [0x3F800001, 0x3F800001, 0xBF800002]),
    "fma-a-tie-and-a-little": ("A tie that a far addend decides.", FMA, [0x3F800001, 0x3FC00000, 1]),
    "fma-a-great-product": ("A product beyond the greatest number.", FMA, [0x7F7FFFFF, 0x40000000, 0xFF7FFFFF]),
    "fma-of-nothing": ("Infinity times zero.", FMA, [0x7F800000, 0, 0x3F800000]),
    "add-cancels": ("A sum of zero is +0.", ADD, [0x80000001, 1]),
    "add-minus-zeros": ("-0 and -0.", ADD, [0x80000000, 0x80000000]),
    "add-infinities": ("Opposite infinities.", ADD, [0x7F800000, 0xFF800000]),
    "mul-to-even": ("Half of the least number.", MUL, [1, 0x3F000000]),
    "mul-beyond": ("Beyond the greatest number.", MUL, [0x7F7FFFFF, 0x7F7FFFFF]),
    "div-by-minus-zero": ("A number by -0.", DIV, [0x3F800000, 0x80000000]),
    "sqrt-of-less": ("The root of -1.", SQRT, [0xBF800000]),
    "round-to-even": ("2.5 as a whole number.", ROUND, [0x40200000]),
    "exp-of-infinity": ("All above 88 count as 88.", EXP, [0x7F800000]),
    "a-nan": ("An element that is NaN is 0x7FC00000.", b"\1\1", [0xFFC12345]),
    "q8-0": ("A turn of a matrix in Q8_0.", Q8_0, [VECTOR, 0x3C23D70A, VECTOR, 0x3C000000, 0, 0xC2280000]),
}
NO_STEPS: dict[str, tuple[str, bytes, list[int]]] = {
    "body.length": ("An operation without its last argument.", ADD[:-1], [0, 0]),
    "body.given": ("17 registers given.", bytes([17, *[1] * 17]), [0] * 17),
    "body.kind": ("A register of kind 3.", b"\1\3", [0]),
    "body.operation": ("A code that is no operation's.", bytes([1, 1, len(CODES)]), [0]),
    "body.argument": ("A register that is not written yet.", bytes([1, 1, CODES["add"], 0, 1]), [0]),
    "body.axis": ("An axis that there is not.", bytes([0, CODES["axis"], 0]), []),
    "body.functions": ("Five functions.", bytes([1, 1, *[CODES["exp"], 0] * 5]), [0]),
    "body.result": ("A vector as result.", b"\1\x20", [0]),
    "step.operands": ("One operand for two registers.", ADD, [0]),
    "step.word": ("A number of 33 bits.", ADD, [0, 2**32]),
    "step.vector": ("A 17th element.", bytes([2, 16, 16, CODES["dot"], 0, 1]), [0, 1]),
}


def steps() -> Iterator[Case]:
    """A body, its operands, indices and position -> the word that it gives."""
    for name, operation in OPERATIONS.items():
        given = [32 if kind == "v" else KINDS[kind] for kind in operation.takes]
        operands = [USUAL[kind][at] for at, kind in enumerate(operation.takes)] if name != "log" else [0x3F000000]
        raw = bytes([len(given), *given, CODES[name], *range(len(given))])
        yield _step(name, f"The operation {name} alone.", raw, operands)
    for name, (about, raw, operands) in STEPS.items():
        yield _step(name, about, raw, operands)
    raw = bytes([0, CODES["axis"], 1, CODES["position"], CODES["iadd"], 0, 1])
    yield _step("axis-and-position", "The index along axis 1, and the position.", raw, [], [3, 8], 5)
    for rule, (about, raw, operands) in NO_STEPS.items():
        yield _step(f"refused-{rule.replace('.', '-')}", about, raw, operands, refused=rule)


def _step(
    name: str, about: str, raw: bytes, operands: list[int], indices: Sequence[int] = (), at: int = 0, refused: str = ""
) -> Case:
    words = [hexed(operand.to_bytes(32, "big")) for operand in operands]
    told = {"body": hexed(raw), "operands": words, "indices": [*indices], "position": at}
    result = {"refused": refused} if refused else {"result": hexed(step(raw, operands, indices, at).to_bytes(4, "big"))}
    return f"steps/{name}", {"about": about, "input": told, **result}


def main() -> int:
    """Writes, or compares with --check."""
    check = "--check" in sys.argv
    wanted = {}
    for source in (records, malformed, signatures, trees, texts, coins, prices, steps):
        for name, content in source():
            wanted[OUT / f"{name}.json"] = json.dumps(content, indent=1) + "\n"
    there = {path: path.read_text() for path in OUT.rglob("*.json")}
    made_here = {path.parent for path in wanted}
    there = {path: text for path, text in there.items() if path.parent in made_here}
    stale = sorted(path.name for path in {*wanted, *there} if wanted.get(path) != there.get(path))
    if not check:
        for path in there.keys() - wanted.keys():
            path.unlink()
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    fresh = not check or not stale
    print(f"vectors: {len(wanted)} cases, {'fresh' if fresh else f'stale {stale[:5]}, run scripts/generate'}")
    return 0 if fresh else 1


if __name__ == "__main__":
    raise SystemExit(main())
