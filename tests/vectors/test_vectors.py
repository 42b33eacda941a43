"""Replays vectors/**, one case a file: the protocol as this package has it against what is written down."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import canonical_reference as reference
from bare_kernels import Bare
from steelyard.engines.canonical import native, rope
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.grammars import Grammars
from steelyard.engines.ir import encoding, graph, leaves
from steelyard.engines.ir.scalars import OPERATIONS
from steelyard.protocol import merkle, price, roots
from steelyard.protocol.eip712 import Domain, read_hex
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import Facts
from steelyard.protocol.keys import Key, checksum, recover
from steelyard.protocol.records import RECORDS, Offer

VECTORS = Path(__file__).parents[2] / "vectors"
RECORD = {kind.__name__: kind for kind in RECORDS}


def raw(text: str) -> bytes:
    return read_hex("vector", text)


def shown(value: bytes) -> str:
    return "0x" + value.hex()


def record(told: dict[str, Any]) -> Any:
    read = RECORD[told["type"]].from_json(told["record"])
    assert read.to_json() == told["record"]
    domain = Domain(told["domain"]["chain_id"], checksum(told["domain"]["escrow"]))
    digest, key = read.digest(domain), Key(raw(told["secret"]))
    signature = key.sign(digest)
    assert recover(digest, signature) == key.address
    return {
        "type_string": read.type_string(),
        "type_hash": shown(read.type_hash()),
        "struct_hash": shown(read.struct_hash()),
        "domain_separator": shown(domain.separator()),
        "digest": shown(digest),
        "signature": shown(signature),
        "signer": key.address,
    }


def malformed(told: dict[str, Any]) -> Any:
    return RECORD[told["type"]].from_json(told["record"])


def signature(told: dict[str, Any]) -> Any:
    return {"signer": recover(raw(told["digest"]), raw(told["signature"]))}


def tree(told: dict[str, Any]) -> Any:
    leaves = [merkle.leaf_hash(raw(leaf)) for leaf in told["leaves"]]
    growing = merkle.Appending()
    for leaf in leaves:
        growing.append(leaf)
    assert growing.root() == merkle.root(leaves)
    paths = [merkle.prove(leaves, at) for at in range(len(leaves))]
    return {"root": shown(growing.root()), "paths": [[shown(step) for step in path] for path in paths]}


def proof(told: dict[str, Any]) -> Any:
    path = [raw(step) for step in told["path"]]
    if not merkle.verify(raw(told["root"]), told["count"], told["index"], raw(told["leaf_hash"]), path):
        raise Refused("merkle", "does not verify")
    return True


def root(told: dict[str, Any]) -> Any:
    match sorted(told):
        case ["salt", "units"]:
            return shown(roots.units_root(told["units"], raw(told["salt"])))
        case ["logprobs", "salt", "units"]:
            return shown(roots.response_root(told["units"], raw(told["salt"]), told["logprobs"]))
        case ["grammar", "salt"]:
            return shown(roots.grammar_root(told["grammar"].encode(), raw(told["salt"])))
        case ["evidence", "prefix", "salt"]:
            leaves = [raw(leaf) for leaf in told["evidence"]]
            return shown(roots.evidence_root(leaves, raw(told["salt"]), told["prefix"]))
        case ["receipts"]:
            return shown(roots.receipts_root([raw(receipt) for receipt in told["receipts"]]))
        case ["order", "secret"]:
            return shown(roots.provider_salt(raw(told["secret"]), raw(told["order"])))
        case ["case", "states"]:
            return shown(roots.run_digest(raw(told["case"]), raw(told["states"])))
    raise AssertionError(f"no such root: {sorted(told)}")


def coin(told: dict[str, Any]) -> Any:
    drawn = roots.coin_draws(raw(told["coin"]), raw(told["receipt"]), told["rate_ppm"])
    return {"commitment": shown(roots.coin_commitment(raw(told["coin"]))), "draws": drawn}


def cost(told: dict[str, Any]) -> Any:
    changed = {"price_in": told["price_in"], "price_out": told["price_out"]}
    plain = json.loads((VECTORS / "records" / "offer-plain.json").read_text())["input"]["record"]
    return str(price.price(Offer.from_json({**plain, **changed}), told["prompt_units"], told["new_units"]))


def masks(told: dict[str, Any]) -> Any:
    words = [None if word is None else raw(word) for word in told["words"]]
    run = Grammars(lambda: words, told["vocabulary"], frozenset(told["ends"])).start(told["grammar"].encode(), 0)
    return [shown(run.at(told["answer"], at)) for at in range(len(told["answer"]) + 1)]


def floats(words: list[str]) -> np.ndarray:
    return np.array([int(word, 16) for word in words], np.uint32).view(np.float32)


def words_of(array: np.ndarray) -> list[str]:
    array = np.where(np.isnan(array), np.float32(np.nan), array) if array.dtype == np.float32 else array
    return [f"{word:08x}" for word in np.ascontiguousarray(array).view(np.uint32).tolist()]


SLOW = {"fma": reference.fma, "exp": reference.exp, "log": reference.log}
"""Operations that the exact rational reference has too."""


def operation(told: dict[str, Any]) -> Any:
    """GRA-8, GRA-11, GRA-12; finite numbers also by exact rational arithmetic."""
    found = OPERATIONS[told["operation"]]
    columns = []
    for at, kind in enumerate(found.takes):
        column = np.array([floats(row[at] if kind == "v" else [row[at]]) for row in told["operands"]])
        columns.append((column if kind == "v" else column[:, 0]).view(np.float32 if kind == "f" else np.int32))
    with np.errstate(all="ignore"):
        result = found.do(*columns)
        if told["operation"] in SLOW:
            for *numbers, fast in zip(*columns, result, strict=True):
                if np.isfinite([*numbers, fast]).all():
                    slow = SLOW[told["operation"]](*numbers)
                    assert slow.tobytes() == fast.tobytes() or slow == fast == 0
    return words_of(result)


def block(told: dict[str, Any]) -> Any:
    """By the kernels that serve."""
    kind, row = told["format"], np.frombuffer(raw(told["row"]), np.uint8)[None]
    bare = Bare(native.load(native.recipe_here(32, 1)))
    x = floats(told["activations"])
    dot = bare.matrix(kind, row, x[None])[0]
    q, d, ds, *_ = bare.quantise(x)
    bare.close()
    if FORMATS[kind].plain:
        return {"dot": words_of(dot)}
    parts = {"x.q": q.astype(np.int32).reshape(-1), "x.d": d, "x.ds": ds, "dot": dot}
    return {name: words_of(part) for name, part in parts.items()}


def turn(told: dict[str, Any]) -> Any:
    """ARI-22."""
    base, position = float(floats([told["base"]])[0]), told["position"]
    if not told["divisors"]:
        pairs = reference.turns(base, told["head"], position)
        return {
            "cosines": words_of(np.array([c for c, _ in pairs])),
            "sines": words_of(np.array([s for _, s in pairs])),
        }
    cosines, sines = rope.tables(base, told["head"], position + 1, told["divisors"])
    return {"cosines": words_of(cosines[position]), "sines": words_of(sines[position])}


def draw(told: dict[str, Any]) -> Any:
    """By the slow reference."""
    temperature = floats([told["temperature"]])[0]
    return reference.pick(floats(told["logits"]), temperature, int(told["seed"]), int(told["position"]))


def step(told: dict[str, Any]) -> Any:
    operands = [int.from_bytes(raw(operand), "big") for operand in told["operands"]]
    return shown(encoding.step(raw(told["body"]), operands, told["indices"], told["position"]).to_bytes(4, "big"))


SOURCES: dict[str, Callable[[dict[str, Any]], leaves.Source]] = {
    "index": lambda load: leaves.NodeAt(load["index"]),
    "code": lambda load: leaves.FileAt(load["code"], load["first_leaf"]),
    "root": lambda load: leaves.TableAt(raw(load["root"])),
}


def node(told: dict[str, Any]) -> Any:
    """Bytes are read, a node is written."""
    if "leaf" in told:
        return leaves.decode(raw(told["leaf"]))
    body, views, sources = encoding.decode(raw(told["body"])), [], {}
    for number, load in enumerate(told["loads"]):
        (kind,) = SOURCES.keys() & load.keys()
        sources[str(number)] = SOURCES[kind](load)
        offset = graph.Affine(int(load["offset"][0]), load["offset"][1])
        strides, by_id = tuple(load["strides"]), load["by_id"]
        views.append(graph.View(str(number), strides, offset, load["position_axis"], by_id, load["width"]))
    space, fold = (tuple(graph.Affine(*extent) for extent in told[axes]) for axes in ("space", "fold"))
    kinds = "".join({1: "f", 2: "i"}.get(code, "v") for code in body.given[: len(views)])
    more = {"fold": fold, "lanes": max(told["chains"], 1), "start": int(told["start"], 16), "join": told["join"]}
    found = graph.Node("", told["kind"], space, tuple(views), kinds, body.instructions, **more)
    leaf = leaves.written(found, sources)
    assert leaves.decode(leaf) == leaves.Leaf(found, sources)
    return shown(leaf)


def fact(told: dict[str, Any]) -> Any:
    """Bytes are read, facts are written."""
    if "leaf" in told:
        return Facts.read(raw(told["leaf"]))
    known = Facts(**{**told, "graph_root": raw(told["graph_root"]), "ends": tuple(told["ends"])})
    assert Facts.read(known.raw()) == known
    return shown(known.raw())


REPLAY: dict[str, Callable[[dict[str, Any]], Any]] = {
    "records": record,
    "malformed": malformed,
    "signatures": signature,
    "trees": tree,
    "proofs": proof,
    "roots": root,
    "coins": coin,
    "prices": cost,
    "grammars": masks,
    "operations": operation,
    "blocks": block,
    "turns": turn,
    "draws": draw,
    "steps": step,
    "nodes": node,
    "facts": fact,
}
CASES = sorted(path for folder in REPLAY for path in (VECTORS / folder).glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_a_vector_gives_its_result_or_is_refused_by_its_rule(path: Path) -> None:
    case = json.loads(path.read_text())
    replay = REPLAY[path.parent.name]
    assert ("result" in case) != ("refused" in case)
    if "result" in case:
        assert replay(case["input"]) == case["result"]
        return
    with pytest.raises(Refused) as caught:
        replay(case["input"])
    assert caught.value.rule == case["refused"]


def test_every_record_has_vectors() -> None:
    replayed = {json.loads(path.read_text())["input"]["type"] for path in CASES if path.parent.name == "records"}
    assert replayed == set(RECORD)
