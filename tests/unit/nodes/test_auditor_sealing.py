"""A package sealed to a jury."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.nodes.auditor import sealing
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256

SECRETS = [sha256(b"juror %d" % i) for i in range(3)]
KEYS = [sealing.public_key(secret) for secret in SECRETS]


def test_each_juror_reads_it_and_nobody_else_does() -> None:
    sealed = sealing.seal(b"a prompt", KEYS)
    for secret, wrapped in zip(SECRETS, sealed.wrapped, strict=True):
        assert sealing.unseal(sealed.ciphertext, wrapped, secret) == b"a prompt"
    with pytest.raises(Refused, match=r"case\.not-opened"):
        sealing.unseal(sealed.ciphertext, sealed.wrapped[0], SECRETS[1])
    assert b"a prompt" not in sealed.ciphertext


def test_two_seals_of_one_body_share_no_bytes() -> None:
    one, other = sealing.seal(b"same", KEYS), sealing.seal(b"same", KEYS)
    assert one.ciphertext != other.ciphertext
    assert not set(one.wrapped) & set(other.wrapped)


@pytest.mark.parametrize("key", [bytes(32), b"", b"\x01" + bytes(31), b"x" * 31], ids=["zero", "empty", "low", "short"])
def test_a_juror_with_a_key_that_is_none_stops_nobody(key: bytes) -> None:
    sealed = sealing.seal(b"body", [key, KEYS[1]])
    assert [len(wrapped) for wrapped in sealed.wrapped] == [sealing.WRAPPED] * 2
    assert sealing.unseal(sealed.ciphertext, sealed.wrapped[1], SECRETS[1]) == b"body"


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_changed_byte_does_not_open(at: int) -> None:
    sealed = sealing.seal(b"body", KEYS)
    changed = bytearray(sealed.ciphertext)
    changed[at] ^= 1
    with pytest.raises(Refused, match=r"case\.not-opened"):
        sealing.unseal(bytes(changed), sealed.wrapped[0], SECRETS[0])


@given(st.binary(max_size=64), st.binary(max_size=100))
def test_garbage_does_not_open(ciphertext: bytes, wrapped: bytes) -> None:
    with pytest.raises(Refused, match=r"case\.not-opened"):
        sealing.unseal(ciphertext, wrapped, SECRETS[0])


@given(st.integers(0, 4 * sealing.MAX_SEALED))
def test_padding_comes_off_and_shows_three_bits_of_the_length(size: int) -> None:
    padded = sealing.pad(b"z" * size)
    assert sealing.unpad(padded) == b"z" * size
    length = len(padded)
    full = sealing.MAX_SEALED - sealing.OVERHEAD
    assert length % (1 << length.bit_length() - 4) == 0 or full <= length <= max(full, size + 4)
    assert length <= max(sealing.SMALLEST, (size + 4) * 9 / 8)


def test_a_body_that_just_fits_is_sealed() -> None:
    sealed = sealing.seal(b"z" * (sealing.MAX_SEALED - sealing.OVERHEAD - 4), KEYS)
    assert len(sealed.ciphertext) == sealing.MAX_SEALED


def test_a_body_over_the_limit_is_refused_with_the_numbers() -> None:
    with pytest.raises(Refused, match=r"case\.too-large: \d+ bytes sealed, at most 65536"):
        sealing.seal(b"z" * sealing.MAX_SEALED, KEYS)
