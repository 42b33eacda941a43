"""eth-account, which others use, makes the same digests, signatures and transactions as our own few lines."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from steelyard.chain.transactions import Transaction
from steelyard.protocol.eip712 import NAME, VERSION, Domain, Record, bits_of
from steelyard.protocol.keys import Key, checksum, recover
from steelyard.protocol.records import RECORDS

KEYS = st.integers(1, 2**200).map(lambda secret: Key(secret.to_bytes(32, "big")))
DATA = (b"", b"\x00", b"\x7f", b"\x80", b"x" * 55, b"x" * 56, b"x" * 70_000)
"""Around the borders of RLP."""
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: checksum("0x" + raw.hex()))


def words(kind: str) -> st.SearchStrategy[Any]:
    """Values of a Solidity type, its bounds among them."""
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32)
    if kind == "address":
        return ADDRESSES
    top = 2 ** bits_of(kind) - 1
    return st.integers(0, top) | st.sampled_from((0, top))


def records(record: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of a class."""
    fields = {name: words(kind) for name, kind in record.solidity().items()}
    if "version" in fields:
        fields["version"] = st.just(record.VERSION)
    return st.builds(record, **fields)


def typed_data(record: Record, domain: Domain) -> dict[str, Any]:
    """As a wallet gets it, over JSON-RPC: eth_signTypedData_v4."""
    described = [{"name": name, "type": kind} for name, kind in record.solidity().items()]
    about = {"name": NAME, "version": VERSION, "chainId": domain.chain_id, "verifyingContract": domain.escrow}
    kinds = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in kinds.items()],
            type(record).__name__: described,
        },
        "primaryType": type(record).__name__,
        "domain": about,
        "message": {name: getattr(record, name) for name in record.solidity()},
    }


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_records_digest_is_eth_accounts(kind: type[Record]) -> None:
    @given(records(kind), st.integers(1, 2**64), ADDRESSES, KEYS)
    def check(record: Record, chain_id: int, escrow: str, key: Key) -> None:
        domain = Domain(chain_id, checksum(escrow))
        message = encode_typed_data(full_message=typed_data(record, domain))
        digest = record.digest(domain)
        signed = Account.sign_message(message, key.secret)
        assert bytes(signed.message_hash) == digest
        assert bytes(signed.signature) == key.sign(digest)
        assert (
            Account.recover_message(message, signature=key.sign(digest))
            == key.address
            == recover(digest, key.sign(digest))
        )

    check()


@given(
    key=KEYS,
    to=ADDRESSES | st.none(),
    data=st.binary(max_size=80) | st.sampled_from(DATA),
    numbers=st.tuples(*[st.integers(0, 2**64 - 1) | st.sampled_from((0, 127, 128, 255, 256)) for _ in range(5)]),
)
def test_a_signed_transaction_is_eth_accounts(key: Key, to: Any, data: bytes, numbers: tuple[int, ...]) -> None:
    chain_id, nonce, tip, cap, gas = numbers
    chain_id, gas, cap = chain_id or 1, gas % 2**40, max(tip, cap)
    theirs: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": cap,
        "gas": gas,
        "value": 0,
        "data": data,
    }
    if to is not None:
        theirs["to"] = to
    signed = Account.sign_transaction(theirs, key.secret)
    raw, digest = Transaction(chain_id, nonce, tip, cap, gas, to, data).sign(key)
    assert raw == bytes(signed.raw_transaction)
    assert digest == bytes(signed.hash)
