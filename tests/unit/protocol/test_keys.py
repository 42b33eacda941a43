"""protocol/keys against spec/records.md, KEY-1 to KEY-4."""

import contextlib
import pickle

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import HALF_ORDER, ZERO_ADDRESS, Key, checksum, recover, require_signer

ORDER_OF_CURVE = 2 * HALF_ORDER + 1
SECRET = bytes(range(1, 33))
DIGEST = keccak256(b"a digest")
SECRETS = st.integers(1, ORDER_OF_CURVE - 1).map(lambda n: n.to_bytes(32, "big"))


@given(SECRETS, st.binary(min_size=32, max_size=32))
def test_who_signed_is_recovered_and_eth_account_signs_the_same_bytes(secret: bytes, digest: bytes) -> None:
    """KEY-1, KEY-2."""
    key = Key(secret)
    signature = key.sign(digest)
    assert recover(digest, signature) == key.address
    theirs = Account.from_key(secret)
    assert theirs.address == key.address
    assert bytes(theirs.unsafe_sign_hash(digest).signature) == signature


@given(SECRETS, st.binary(min_size=32, max_size=32))
def test_a_signature_has_low_s_and_v_27_or_28(secret: bytes, digest: bytes) -> None:
    """KEY-1."""
    signature = Key(secret).sign(digest)
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER


def spoiled() -> dict[str, bytes]:
    signature = Key(SECRET).sign(DIGEST)
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    return {
        "high-s": r + (ORDER_OF_CURVE - s).to_bytes(32, "big") + bytes([55 - v]),
        "v-0": signature[:64] + bytes([v - 27]),
        "v-29": signature[:64] + bytes([29]),
        "v-255": signature[:64] + bytes([255]),
        "64-bytes": signature[:64],
        "66-bytes": signature + b"\x00",
        "empty": b"",
        "r-zero": bytes(32) + signature[32:],
        "s-zero": r + bytes(32) + signature[64:],
        "r-beyond-the-order": b"\xff" * 32 + signature[32:],
    }


@pytest.mark.parametrize("how", spoiled())
def test_a_signature_of_another_form_is_refused(how: str) -> None:
    """KEY-1: one record, one key, one signature."""
    with pytest.raises(Refused) as caught:
        recover(DIGEST, spoiled()[how])
    assert caught.value.rule == "signature"


@pytest.mark.parametrize("v", [29, 30])
def test_no_key_is_recovered_from_a_v_of_29_or_30(v: int) -> None:
    """KEY-1: with a small r these would recover keys, beside those of v = 27 and 28."""
    for r in range(1, 40):
        with pytest.raises(Refused):
            recover(DIGEST, r.to_bytes(32, "big") + (1).to_bytes(32, "big") + bytes([v]))


@given(st.binary(max_size=70))
def test_no_bytes_crash_recovery(signature: bytes) -> None:
    """KEY-1."""
    with contextlib.suppress(Refused):
        recover(DIGEST, signature)


def test_somebody_elses_signature_is_refused_with_both_names() -> None:
    """KEY-3."""
    key, other = Key(SECRET), Key(b"\x07" * 32)
    require_signer(DIGEST, key.sign(DIGEST), key.address, "voucher")
    with pytest.raises(Refused, match=f"voucher signed by {other.address}, not by {key.address}"):
        require_signer(DIGEST, other.sign(DIGEST), key.address, "voucher")


def test_a_key_never_shows_its_secret() -> None:
    """KEY-4."""
    key = Key(SECRET)
    for shown in (repr(key), str(key), f"{key}", repr([key]), f"{key!r:>80}"):
        assert SECRET.hex() not in shown
        assert key.address in shown
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("secret", "rule"),
    [
        (b"", "key.length"),
        (SECRET[:31], "key.length"),
        (SECRET + b"\x01", "key.length"),
        (bytes(32), "key.range"),
        (ORDER_OF_CURVE.to_bytes(32, "big"), "key.range"),
        (b"\xff" * 32, "key.range"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: bytes, rule: str) -> None:
    """KEY-4."""
    with pytest.raises(Malformed) as caught:
        Key(secret)
    assert caught.value.rule == rule
    assert secret.hex() not in str(caught.value) or not secret


def test_new_keys_differ() -> None:
    assert len({Key.new().address for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ZERO_ADDRESS,
    ],
)
def test_addresses_are_spelled_as_eip_55_says(address: str) -> None:
    """The vectors of EIP-55."""
    assert checksum(address) == checksum(address.lower()) == checksum("0x" + address[2:].upper()) == address


@given(st.text(max_size=44))
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        checksum(text)
    assert caught.value.rule == "address"
