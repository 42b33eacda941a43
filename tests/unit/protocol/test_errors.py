"""protocol/errors: the tree of what is raised on purpose."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steelyard.protocol.errors import Malformed, Refused, SteelyardError, Unavailable

KINDS = (SteelyardError, Refused, Malformed, Unavailable)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_its_rule(kind: type[SteelyardError]) -> None:
    for error in (kind("voucher.stale", "amount 9 <= accepted 12"), kind(rule="voucher.stale", detail="9 <= 12")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), back.rule, back.detail) == (kind, error.rule, error.detail)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_hashable_and_passes_a_context_manager(kind: type[SteelyardError]) -> None:
    @contextmanager
    def room() -> Iterator[None]:
        yield

    error = kind("a.rule", "1 > 0")
    assert {error: 1}[error] == 1
    with pytest.raises(kind) as caught, room():
        raise error
    assert caught.value is error


def test_an_error_says_its_rule_and_its_numbers() -> None:
    assert str(Refused("escrow.short", "fee 9 > held 7")) == "escrow.short: fee 9 > held 7"


def test_what_is_unavailable_is_no_refusal() -> None:
    assert issubclass(Malformed, Refused)
    assert not issubclass(Unavailable, Refused)
