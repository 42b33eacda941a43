"""protocol/roots against spec/records.md, RTS-1 to RTS-6 and COI-1, COI-2, written down plainly with hashlib."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.protocol import merkle, roots
from steelyard.protocol.errors import Malformed

SALT = b"\x05" * 32
UNITS = st.lists(st.integers(0, 2**32 - 1), max_size=200)
BYTES32 = st.binary(min_size=32, max_size=32)


def leaf_salt(label: bytes, index: int) -> bytes:
    return hmac.new(SALT, label + index.to_bytes(8, "big"), hashlib.sha256).digest()


@given(UNITS)
def test_a_text_is_cut_into_salted_leaves_of_64_units(units: list[int]) -> None:
    """RTS-1, RTS-2."""
    leaves = []
    for index, at in enumerate(range(0, len(units), 64)):
        data = b"".join(unit.to_bytes(4, "little") for unit in units[at : at + 64])
        leaves.append(hashlib.sha256(b"\x00" + leaf_salt(b"steelyard/units", index) + data).digest())
    top = merkle.root(leaves)
    assert roots.unit_leaves(units, SALT) == leaves
    assert roots.units_top(units, SALT) == top
    assert roots.units_root(units, SALT) == hashlib.sha256(b"\x02" + len(units).to_bytes(8, "big") + top).digest()


@given(UNITS, UNITS)
def test_texts_that_differ_have_roots_that_differ(one: list[int], other: list[int]) -> None:
    """RTS-2."""
    assert (roots.units_root(one, SALT) == roots.units_root(other, SALT)) == (one == other)


def test_a_root_binds_the_number_of_units_and_not_of_leaves_only() -> None:
    """RTS-2: a count of 65 to 128 units has two leaves."""
    assert merkle.seal(65, roots.units_top([1] * 66, SALT)) != roots.units_root([1] * 66, SALT)
    assert len({roots.units_root([0] * count, SALT) for count in range(130)}) == 130


def test_without_the_salt_a_short_prompt_cannot_be_guessed() -> None:
    """RTS-1."""
    assert roots.units_root([7], SALT) != roots.units_root([7], b"\x06" * 32)
    same = roots.unit_leaves([7] * 128, SALT)
    assert same[0] != same[1]


@pytest.mark.parametrize("unit", [-1, 2**32, 2**64])
def test_a_unit_beyond_32_bits_is_refused(unit: int) -> None:
    """RTS-1."""
    with pytest.raises(Malformed, match=r"units\.range"):
        roots.units_root([1, unit, 2], SALT)


@given(st.lists(BYTES32, max_size=80), st.integers(0, 130))
def test_evidence_is_salted_by_what_opens_the_unit(leaves: list[bytes], prefix: int) -> None:
    """RTS-3."""

    def salt(index: int) -> bytes:
        of_units = leaf_salt(b"steelyard/units", (prefix + index) // 64)
        return hashlib.sha256(b"steelyard/evidence" + of_units + index.to_bytes(8, "big")).digest()

    hashed = [hashlib.sha256(b"\x00" + salt(index) + leaf).digest() for index, leaf in enumerate(leaves)]
    assert roots.evidence_root(leaves, SALT, prefix) == merkle.root(hashed)


def test_a_response_with_logprobs_has_a_root_of_its_own() -> None:
    """RTS-7."""
    units, rows = [5, 6], [(1, 7, 2**32 - 1), (3, 9, 4)]
    leaves = [
        hashlib.sha256(b"\x00" + leaf_salt(b"steelyard/logprobs", at) + struct.pack("<3I", *row)).digest()
        for at, row in enumerate(rows)
    ]
    top = hashlib.sha256(b"\x03" + roots.units_top(units, SALT) + merkle.root(leaves)).digest()
    assert roots.response_top(units, SALT, rows) == top
    assert roots.response_root(units, SALT, rows) == merkle.seal(2, top)
    assert roots.response_root(units, SALT) == roots.units_root(units, SALT)
    others = (rows[:1], [*rows, (1,)], [rows[0], (3, 9, 5)], rows[::-1])
    assert len({roots.response_root(units, SALT, some) for some in ([], rows, *others)}) == 6


def test_a_grammar_is_hashed_under_the_prompts_salt() -> None:
    """RTS-8."""
    salted = leaf_salt(b"steelyard/grammar", 0)
    assert roots.grammar_root(b"{}", SALT) == hashlib.sha256(salted + b"{}").digest()
    assert roots.grammar_root(b"{}", SALT) != roots.grammar_root(b"{}", b"\x06" * 32)
    assert roots.grammar_root(b"", SALT) == bytes(32)


@given(st.lists(BYTES32, max_size=70))
def test_receipts_are_appended_in_order_of_payment(receipts: list[bytes]) -> None:
    """RTS-4."""
    tree = merkle.Appending()
    for receipt in receipts:
        tree.append(hashlib.sha256(b"\x00" + receipt).digest())
    assert roots.receipts_root(receipts) == tree.root()


def test_a_providers_salt_depends_on_its_secret_and_on_the_order() -> None:
    """RTS-5."""
    order = b"\x09" * 32
    assert roots.provider_salt(SALT, order) == hmac.new(SALT, b"steelyard/salt" + order, hashlib.sha256).digest()
    salts = {roots.provider_salt(secret, it) for secret in (SALT, order) for it in (SALT, order)}
    assert len(salts) == 4


def test_a_run_digest_is_of_one_case() -> None:
    """RTS-6."""
    assert roots.run_digest(SALT, b"states") == hashlib.sha256(b"steelyard/run" + SALT + b"states").digest()
    assert roots.run_digest(SALT, b"states") != roots.run_digest(b"\x06" * 32, b"states")


@given(BYTES32)
def test_a_coin_is_committed_by_its_hash(coin: bytes) -> None:
    """COI-1."""
    assert roots.coin_commitment(coin) == hashlib.sha256(coin).digest()


@given(BYTES32, BYTES32, st.integers(0, 1_000_000))
def test_a_coin_draws_by_comparison_of_integers(coin: bytes, receipt: bytes, rate: int) -> None:
    """COI-2."""
    value = int(hashlib.sha256(coin + receipt).hexdigest(), 16)
    assert roots.coin_draws(coin, receipt, rate) == (value * 10**6 < rate * 2**256)


@given(BYTES32, BYTES32)
def test_a_rate_of_zero_draws_nothing_and_a_full_rate_everything(coin: bytes, receipt: bytes) -> None:
    """COI-2."""
    assert not roots.coin_draws(coin, receipt, 0)
    assert roots.coin_draws(coin, receipt, 1_000_000)


def test_two_percent_draw_about_two_percent() -> None:
    """COI-2: counted over fixed coins, so it is the same on every run."""
    drawn = sum(roots.coin_draws(i.to_bytes(32, "big"), SALT, 20_000) for i in range(10_000))
    assert 160 < drawn < 240
