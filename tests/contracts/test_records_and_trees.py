"""contracts/records.vy and contracts/trees.vy say the same bytes as the Python records and trees."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import Contract, Reverted, World

from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain, Record, bits_of
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import HALF_ORDER, Key, checksum
from steelyard.protocol.records import (
    AuditTicket,
    ChannelGrant,
    Offer,
    Order,
    Receipt,
    Registration,
    VerdictRecord,
    Vote,
    Voucher,
)

ROOT = Path(__file__).parents[2]
ORDER_OF_CURVE = 2 * HALF_ORDER + 1
SIGNED = {
    "offer": Offer,
    "order": Order,
    "receipt": Receipt,
    "voucher": Voucher,
    "audit_ticket": AuditTicket,
    "channel_grant": ChannelGrant,
    "verdict_record": VerdictRecord,
}
HASHED = {"registration": Registration, "vote": Vote}


def _source() -> str:
    parts = ["# pragma version 0.4.3\nimport records\nimport trees\n"]
    for noun, record in SIGNED.items():
        parts.append(
            f"@external\n@view\ndef digest_{noun}(r: records.{record.__name__}, escrow: address) -> bytes32:\n"
            f"    return records.digest_{noun}(r, records.separator(escrow))\n"
        )
    for noun, record in HASHED.items():
        parts.append(
            f"@external\n@pure\ndef hash_{noun}(r: records.{record.__name__}) -> bytes32:\n"
            f"    return records.hash_{noun}(r)\n"
        )
    parts.append(
        "@external\n@pure\ndef recover(digest: bytes32, signature: Bytes[65]) -> address:\n"
        "    return records.recover(digest, signature)\n"
        "@external\n@pure\ndef leaf(data: bytes32) -> bytes32:\n    return trees.leaf(data)\n"
        "@external\n@pure\ndef verify(root: bytes32, count: uint256, index: uint256, leaf: bytes32,"
        " path: DynArray[bytes32, 32]) -> bool:\n    return trees.verify(root, count, index, leaf, path)\n"
    )
    return "\n".join(parts)


class Bare(World):
    """One contract that shows what the modules do, without a market around it."""

    def _deploy(self, token: str) -> None:
        self.shown = self.deploy_source(_source())


@pytest.fixture(scope="module")
def shown() -> Contract:
    return Bare().shown


def words(kind: str) -> st.SearchStrategy[object]:
    """Values of a Solidity type."""
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: checksum("0x" + raw.hex()))
    return st.integers(0, 2 ** bits_of(kind) - 1)


def records(record: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of a class."""
    fields = {name: words(kind) for name, kind in record.solidity().items()}
    return st.builds(record, **{**fields, "version": st.just(record.VERSION)})


@pytest.mark.parametrize("noun", SIGNED)
def test_a_digest_in_vyper_is_the_digest_in_python(shown: Contract, noun: str) -> None:
    @given(records(SIGNED[noun]), words("address"))
    def check(record: Record, escrow: str) -> None:
        assert getattr(shown, f"digest_{noun}")(record, escrow) == record.digest(Domain(1, checksum(escrow)))

    check()


@pytest.mark.parametrize("noun", HASHED)
def test_a_struct_hash_in_vyper_is_the_struct_hash_in_python(shown: Contract, noun: str) -> None:
    @given(records(HASHED[noun]))
    def check(record: Record) -> None:
        assert getattr(shown, f"hash_{noun}")(record) == record.struct_hash()

    check()


@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**128))
def test_vyper_recovers_who_signed(shown: Contract, digest: bytes, secret: int) -> None:
    key = Key(secret.to_bytes(32, "big"))
    assert shown.recover(digest, key.sign(digest)) == key.address


def _spoiled(signature: bytes) -> dict[str, bytes]:
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    return {
        "high-s": r + (ORDER_OF_CURVE - s).to_bytes(32, "big") + bytes([55 - v]),
        "v-of-0": signature[:64] + bytes([v - 27]),
        "v-of-29": signature[:64] + bytes([29]),
        "short": signature[:64],
        "empty": b"",
        "no-key": bytes(32) + signature[32:],
    }


@pytest.mark.parametrize("how", _spoiled(bytes(64) + b"\x1b"))
def test_vyper_refuses_what_python_refuses_of_a_signature(shown: Contract, how: str) -> None:
    digest = keccak256(b"anything")
    with pytest.raises(Reverted, match=r"^signature$"):
        shown.recover(digest, _spoiled(Key(b"\x07" * 32).sign(digest))[how])


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_vyper_verifies_the_paths_that_python_makes(shown: Contract, data: list[bytes], draw: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(item) for item in data]
    index = draw.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle.root(leaves), merkle.prove(leaves, index)
    assert shown.verify(root, len(leaves), index, leaves[index], path)
    depth = len(path)
    wrong = draw.draw(st.integers(0, len(leaves) - 1).filter(lambda other: leaves[other] != leaves[index]) | st.none())
    lies: list[tuple[int, int, bytes, tuple[bytes, ...]]] = [
        (len(leaves), index + (1 << depth), leaves[index], path),  # the index wraps round
        (len(leaves) + 1, index, leaves[index], path),  # another count under the same top
        (len(leaves), index, leaves[index], (*path, bytes(32))),
        (len(leaves), index, leaves[index], path[:-1]) if path else (0, 0, leaves[0], path),
        (2**32 + 1, index, leaves[index], path),
        (2**256 - 1, index, leaves[index], path),
    ]
    if path:  # an inner node is no leaf
        pair = (path[0], leaves[index]) if index & 1 else (leaves[index], path[0])
        lies.append((len(leaves), index >> 1, merkle.sha256(merkle.NODE, *pair), path[1:]))
    if wrong is not None:
        lies.append((len(leaves), index, leaves[wrong], path))
    for count, at, leaf, siblings in lies:
        assert not shown.verify(root, count, at, leaf, siblings)
        assert not (count < 2**63 and merkle.verify(root, count, at, leaf, siblings))


def test_no_tree_has_more_than_two_to_the_32_leaves(shown: Contract) -> None:
    leaf, path = bytes(32), (bytes(32),) * 32
    top = leaf
    for sibling in path:
        top = merkle.sha256(merkle.NODE, top, sibling)
    assert shown.verify(merkle.seal(2**32, top), 2**32, 0, leaf, path)
    assert not shown.verify(merkle.seal(2**32 + 1, top), 2**32 + 1, 0, leaf, path)


def test_a_leaf_in_vyper_is_a_leaf_in_python(shown: Contract) -> None:
    assert shown.leaf(b"\x05" * 32) == merkle.leaf_hash(b"\x05" * 32)


def test_the_padding_is_no_leaf(shown: Contract) -> None:
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(3)]
    padded = merkle.root(leaves)
    path = (leaves[2], merkle.sha256(merkle.NODE, leaves[0], leaves[1]))
    assert not shown.verify(padded, 3, 3, bytes(32), path)


def test_records_vy_is_fresh() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "records_vy.py", "--check"], check=True)
