"""protocol/eip712 and protocol/records against spec/records.md, REC-1 to REC-7, and against eth-account."""

import json
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import DOMAINS, records, sample
from steelyard.protocol.eip712 import Domain, Record, bits_of, read_hex
from steelyard.protocol.errors import Malformed
from steelyard.protocol.keys import checksum
from steelyard.protocol.records import RECORDS, SIGNED, Cancel, Offer, Order, Receipt, Registration, Vote, Voucher

ESCROW = checksum("0x" + "5e" * 20)
BY_NAME = {record.__name__: record for record in RECORDS}


def typed_data(record: Record, domain: Domain) -> dict[str, Any]:
    """The record as every wallet gets it."""
    kinds = type(record).solidity()
    names = ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in names],
            type(record).__name__: [{"name": name, "type": kind} for name, kind in kinds.items()],
        },
        "primaryType": type(record).__name__,
        "domain": {
            "name": "Steelyard",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.escrow,
        },
        "message": {name: getattr(record, name) for name in kinds},
    }


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_the_digest_is_the_one_that_eth_account_signs(kind: type[Record]) -> None:
    """REC-3, REC-4."""

    @settings(max_examples=10)
    @given(records(kind), DOMAINS)
    def check(record: Record, domain: Domain) -> None:
        signable = encode_typed_data(full_message=typed_data(record, domain))
        assert signable.header == domain.separator()
        assert signable.body == record.struct_hash()
        assert keccak(b"\x19\x01" + signable.header + signable.body) == record.digest(domain)

    check()


def test_the_type_string_is_written_as_eip_712_says() -> None:
    """REC-3."""
    assert Cancel.type_string() == "Cancel(uint16 version,bytes32 order,uint32 units)"


@given(records(*SIGNED))
def test_a_digest_counts_on_one_chain_and_in_one_market(record: Record) -> None:
    """REC-4."""
    other = checksum("0x" + "5f" * 20)
    domains = [Domain(1, ESCROW), Domain(2, ESCROW), Domain(1, other)]
    assert len({record.digest(domain) for domain in domains}) == 3
    assert len({type(record)(**_values(record)).digest(domains[0]) for _ in range(2)}) == 1


@given(records(), st.data())
def test_every_field_is_in_the_hash(record: Record, data: st.DataObject) -> None:
    """REC-3."""
    name = data.draw(st.sampled_from([name for name in record.solidity() if name != "version"]))
    other = data.draw(records(type(record)).filter(lambda r: getattr(r, name) != getattr(record, name)))
    changed = type(record)(**{**_values(record), name: getattr(other, name)})
    assert changed.struct_hash() != record.struct_hash()


def _values(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.solidity()}


def test_two_records_with_the_same_fields_are_not_the_same_thing() -> None:
    """REC-3: the name is in the type."""
    assert len({kind.type_hash() for kind in RECORDS}) == len(RECORDS)


def test_records_name_each_other_by_digest() -> None:
    """REC-5: no record holds another, and whatever names one has 32 bytes."""
    for kind in RECORDS:
        for name, solidity in kind.solidity().items():
            if name in ("order", "offer", "receipt", "registration", "channel", "case"):
                assert solidity == "bytes32"
    assert Registration not in SIGNED
    assert Vote not in SIGNED


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_record_begins_with_its_version(kind: type[Record]) -> None:
    """REC-2."""
    assert next(iter(kind.solidity().items())) == ("version", "uint16")
    for version in (0, kind.VERSION + 1, 65535):
        with pytest.raises(
            Malformed, match=rf"record\.version: {kind.__name__} version {version}, known {kind.VERSION}"
        ):
            sample(kind, version=version)


def beyond(solidity: str) -> list[tuple[object, str]]:
    """Values that a field of this type must not take, and the rule."""
    if solidity == "bytes32":
        return [(value, "record.bytes32") for value in (b"", bytes(31), bytes(33), "0x" + "00" * 32, None, 7)]
    if solidity == "address":
        lower = "0x" + "ab" * 20
        return [(lower, "record.address"), (b"\x00" * 20, "record.address"), (None, "record.address")]
    top = 1 << bits_of(solidity)
    return [(value, "record.range") for value in (-1, top, top + 1, 1.0, "1", None, True, 10**5000)]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_field_holds_its_type_and_nothing_else(kind: type[Record]) -> None:
    """REC-1: a record that exists is encodable."""
    for name, solidity in kind.solidity().items():
        for value, rule in beyond(solidity):
            with pytest.raises(Malformed) as caught:
                sample(kind, **{name: value})
            assert caught.value.rule == rule
            assert caught.value.detail.startswith(f"{kind.__name__}.{name} ")
            assert len(caught.value.detail) < 250


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_json_gives_back_the_record(kind: type[Record]) -> None:
    """REC-6."""

    @given(records(kind))
    def check(record: Record) -> None:
        text = json.dumps(record.to_json())
        back = kind.from_json(json.loads(text))
        assert back == record
        assert back.to_json() == record.to_json()

    check()


def test_json_is_spelled_one_way() -> None:
    """REC-6."""
    order = sample(Order, max_price=10**30, seed=2**53 + 1, nonce=b"\xab" * 32).to_json()
    assert order["max_price"] == "1" + "0" * 30
    assert order["seed"] == "9007199254740993"
    assert order["nonce"] == "0x" + "ab" * 32
    assert order["top_k"] == 13
    assert sample(Offer).to_json()["provider"] == checksum("0x" + "02" * 20)


RESPELLED = [
    ("seed", 7, "record.value"),  # wider than 32 bits: not a number
    ("seed", "07", "record.value"),
    ("seed", "+7", "record.value"),
    ("seed", " 7", "record.value"),
    ("seed", "7\n", "record.value"),
    ("seed", "٧", "record.value"),  # a digit, but not ours
    ("seed", "", "record.value"),
    ("seed", "18446744073709551616", "record.range"),
    ("seed", "9" * 5000, "record.value"),
    ("top_k", "7", "record.value"),
    ("top_k", 7.0, "record.value"),
    ("top_k", True, "record.value"),
    ("top_k", None, "record.value"),
    ("top_k", 10**5000, "record.range"),
    ("top_k", [[7]], "record.value"),
    ("nonce", "0x" + "AB" * 32, "record.hex"),
    ("nonce", "0X" + "ab" * 32, "record.hex"),
    ("nonce", "ab" * 32, "record.hex"),
    ("nonce", "0x" + "ab" * 31, "record.hex"),
    ("nonce", "0x" + "ab" * 33, "record.hex"),
    ("nonce", "0x " + "ab" * 31 + " ", "record.hex"),
    ("nonce", "0x" + "é" * 64, "record.hex"),
    ("nonce", 7, "record.hex"),
    ("nonce", None, "record.hex"),
]


@pytest.mark.parametrize(("name", "value", "rule"), RESPELLED, ids=map(str, range(len(RESPELLED))))
def test_any_other_spelling_is_refused(name: str, value: object, rule: str) -> None:
    """REC-6."""
    with pytest.raises(Malformed) as caught:
        Order.from_json({**sample(Order).to_json(), name: value})
    assert caught.value.rule == rule
    assert len(caught.value.detail) < 250


@pytest.mark.parametrize("address", ["0x" + "02" * 19, "0x" + "AB" * 20, "0x" + "ab" * 20, "", None, 2, ["0x"]])
def test_an_address_has_one_spelling(address: object) -> None:
    """REC-6."""
    with pytest.raises(Malformed):
        Offer.from_json({**sample(Offer).to_json(), "provider": address})


@given(records(), st.data())
def test_a_field_too_few_or_too_many_is_refused(record: Record, data: st.DataObject) -> None:
    """REC-6."""
    told = record.to_json()
    gone = data.draw(st.sampled_from(sorted(told)))
    for wrong in ({k: v for k, v in told.items() if k != gone}, {**told, "note": 1}, {**told, gone + " ": told[gone]}):
        with pytest.raises(Malformed) as caught:
            type(record).from_json(wrong)
        assert caught.value.rule == "record.fields"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(RECORDS), JSON)
def test_whatever_comes_is_refused_by_name(kind: type[Record], value: Any) -> None:
    """REC-7."""
    with pytest.raises(Malformed):
        kind.from_json(value)


@given(records(), st.data())
def test_a_record_with_one_strange_value_is_read_or_refused_by_name(record: Record, data: st.DataObject) -> None:
    """REC-7: and what is read is spelled as it came."""
    told = record.to_json()
    told[data.draw(st.sampled_from(sorted(told)))] = data.draw(JSON)
    try:
        read = type(record).from_json(told)
    except Malformed:
        return
    assert read.to_json() == told


@pytest.mark.parametrize("value", [None, [], "{}", 7, b"{}", ()])
def test_what_is_no_object_is_no_record(value: object) -> None:
    """REC-7."""
    with pytest.raises(Malformed, match=r"record\.shape"):
        Receipt.from_json(value)


@given(st.binary(max_size=80))
def test_hex_of_any_size_is_read_back(raw: bytes) -> None:
    """REC-6."""
    assert read_hex("x", "0x" + raw.hex()) == raw
    with pytest.raises(Malformed):
        read_hex("x", "0x" + raw.hex(), len(raw) + 1)


def test_a_record_cannot_be_changed() -> None:
    voucher = sample(Voucher)
    with pytest.raises(AttributeError):
        voucher.amount = 9  # type: ignore[attr-defined]
