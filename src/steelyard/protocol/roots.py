"""Salted roots over units and evidence, digests of runs, and whether a coin draws (rules P1, P2, M8, M10).

Salts keep a root from being a dictionary of short prompts. One secret salt gives a salt per leaf, so a leaf can be
opened without opening its neighbours.
"""

import hmac
from collections.abc import Sequence

from steelyard.protocol import merkle
from steelyard.protocol.errors import Malformed
from steelyard.protocol.hashing import ZERO32, prf, sha256

UNITS_PER_LEAF = 64  # x 4 bytes = 256 bytes a leaf
UNITS_LABEL, EVIDENCE_LABEL = b"steelyard/units", b"steelyard/evidence"
GRAMMAR_LABEL, LOGPROBS_LABEL = b"steelyard/grammar", b"steelyard/logprobs"
LOGPROBS = b"\x03"
RUN_LABEL, COIN_LABEL, SALT_LABEL = b"steelyard/run", b"steelyard/coin", b"steelyard/salt"


def unit_leaves(units: Sequence[int], salt: bytes) -> list[bytes]:
    """Leaf hashes over 64 units each: leaf salt (32 bytes) ‖ units as 4 bytes little-endian."""
    if units and not 0 <= min(units) <= max(units) < 1 << 32:
        raise Malformed("units.range", f"units from {min(units)} to {max(units)}, not below 2**32")
    raw = b"".join(unit.to_bytes(4, "little") for unit in units)
    size = 4 * UNITS_PER_LEAF
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    return [merkle.leaf_hash(prf(salt, UNITS_LABEL, i) + chunk) for i, chunk in enumerate(chunks)]


def open_unit(units: Sequence[int], salt: bytes, index: int) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """What opens unit `index` under `units_root`: its leaf's salt, the leaf's units as bytes (at most 256), and the
    siblings up to `units_top`. Raises as `merkle.prove`."""
    leaf = index // UNITS_PER_LEAF
    path = merkle.prove(unit_leaves(units, salt), leaf)
    some = units[leaf * UNITS_PER_LEAF : (leaf + 1) * UNITS_PER_LEAF]
    return prf(salt, UNITS_LABEL, leaf), b"".join(unit.to_bytes(4, "little") for unit in some), path


def units_top(units: Sequence[int], salt: bytes) -> bytes:
    """Root over the leaves of `units`; binds the number of leaves, not yet the number of units. 32 bytes."""
    return merkle.root(unit_leaves(units, salt))


def units_root(units: Sequence[int], salt: bytes) -> bytes:
    """Root of a prompt or an answer: SHA-256(0x02 ‖ number of units ‖ units_top), so it binds the count. 32 bytes."""
    return merkle.seal(len(units), units_top(units, salt))


def response_top(answer: Sequence[int], salt: bytes, logprobs: Sequence[Sequence[int]] = ()) -> bytes:
    """What a response root seals with the number of units: `units_top`, or where there are logprobs SHA-256(0x03 ‖
    units_top ‖ root over one leaf per row of them: leaf salt ‖ its numbers as 4 bytes little-endian each). 32 bytes."""
    top = units_top(answer, salt)
    if not logprobs:
        return top
    if not all(0 <= number < 1 << 32 for row in logprobs for number in row):
        raise Malformed("logprobs.range", f"{len(logprobs)} rows with a number that is not below 2**32")
    leaves = [
        merkle.leaf_hash(prf(salt, LOGPROBS_LABEL, i) + b"".join(number.to_bytes(4, "little") for number in row))
        for i, row in enumerate(logprobs)
    ]
    return sha256(LOGPROBS, top, merkle.root(leaves))


def response_root(answer: Sequence[int], salt: bytes, logprobs: Sequence[Sequence[int]] = ()) -> bytes:
    """Root of an answer with its logprobs (`response_top`); without them the answer's `units_root`. 32 bytes."""
    return merkle.seal(len(answer), response_top(answer, salt, logprobs))


def grammar_root(grammar: bytes, salt: bytes) -> bytes:
    """SHA-256(HMAC(salt, label) ‖ grammar) under the prompt's salt; zeros for no grammar. 32 bytes."""
    return sha256(prf(salt, GRAMMAR_LABEL, 0), grammar) if grammar else ZERO32


def evidence_salt(salt: bytes, unit: int, prefix: int = 0) -> bytes:
    """Of the evidence of generated unit `unit`, behind a delivered prefix: SHA-256(label ‖ salt of the leaf that holds
    the unit ‖ unit as 8 bytes), so that whoever opens the unit shows it, and nobody can choose another. 32 bytes."""
    return sha256(EVIDENCE_LABEL, prf(salt, UNITS_LABEL, (prefix + unit) // UNITS_PER_LEAF), unit.to_bytes(8, "big"))


def evidence_leaves(leaves: Sequence[bytes], salt: bytes, prefix: int = 0) -> list[bytes]:
    """Leaf hashes over evidence leaves (32 bytes each) of generated units, behind so many of a delivered prefix: leaf
    salt (32 bytes) ‖ leaf. `salt`: the answer's."""
    return [merkle.leaf_hash(evidence_salt(salt, i, prefix) + leaf) for i, leaf in enumerate(leaves)]


def evidence_root(leaves: Sequence[bytes], salt: bytes, prefix: int = 0) -> bytes:
    """Root over evidence leaves (32 bytes each, `engines.base.Step.leaf`), each salted. 32 bytes."""
    return merkle.root(evidence_leaves(leaves, salt, prefix))


def provider_salt(secret: bytes, order: bytes) -> bytes:
    """The provider's salt for an order: HMAC(its secret, order digest), so that a restart finds it again. 32 bytes."""
    return hmac.new(secret, SALT_LABEL + order, "sha256").digest()


def receipts_root(receipts: Sequence[bytes]) -> bytes:
    """Append-only root over receipt digests, in order of payment. 32 bytes."""
    return merkle.root([merkle.leaf_hash(receipt) for receipt in receipts])


def run_digest(case: bytes, states: bytes) -> bytes:
    """SHA-256 over the states of a run (`Replay.states`), keyed by the case: only who ran can say it. 32 bytes."""
    return sha256(RUN_LABEL, case, states)


def coin_commitment(coin: bytes) -> bytes:
    """What an order says of its coin. 32 bytes."""
    return sha256(coin)


def coin_draws(coin: bytes, receipt: bytes, rate_ppm: int) -> bool:
    """Rule M10: SHA-256(coin ‖ receipt digest) < p·2**256, with p in parts per million."""
    return int.from_bytes(sha256(coin, receipt), "big") * 1_000_000 < rate_ppm << 256
