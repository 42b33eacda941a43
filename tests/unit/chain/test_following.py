"""Logs are followed in spans, under confirmations, with a cursor; deployments are checked and kept in a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.chain.deploy import DEVNET, Deployment, Parameters
from steelyard.chain.following import DEEP, SPAN, follow, stands
from steelyard.chain.port import Block, Log, Mined
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.units import Address, Timestamp


class Blocks:
    """A chain of which only the numbers of blocks with an event are known."""

    chain_id, account = 1, None

    def __init__(self, head: int, *events: int) -> None:
        self.number, self.events = head, events
        self.asked: list[tuple[int, int]] = []

    def head(self) -> Block:
        return Block(self.number, Timestamp(0))

    def call(self, to: Address, data: bytes) -> bytes:
        raise NotImplementedError

    def send(self, to: Address | None, data: bytes) -> Mined:
        raise NotImplementedError

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> list[Log]:
        self.asked.append((first, last))
        return [Log(addresses[0], (), b"", block, 0) for block in self.events if first <= block <= last]


def test_every_block_is_asked_for_once_in_spans() -> None:
    chain = Blocks(2 * SPAN + 5, 3, SPAN, SPAN + 3, 2 * SPAN + 5)
    batches = list(follow(chain, [ZERO_ADDRESS], 3))
    assert chain.asked == [(3, SPAN + 2), (SPAN + 3, 2 * SPAN + 2), (2 * SPAN + 3, 2 * SPAN + 5)]
    assert [[log.block for log in batch.logs] for batch in batches] == [[3, SPAN], [SPAN + 3], [2 * SPAN + 5]]
    assert batches[-1].next_block == 2 * SPAN + 6
    assert not list(follow(chain, [ZERO_ADDRESS], batches[-1].next_block))


def test_a_block_is_read_only_once_enough_blocks_stand_on_it() -> None:
    chain = Blocks(10, 8, 9)
    (batch,) = follow(chain, [ZERO_ADDRESS], 1, confirmations=2)
    assert ([log.block for log in batch.logs], batch.next_block) == ([8], 9)
    assert not list(follow(chain, [ZERO_ADDRESS], 9, confirmations=2))
    chain.number = 11
    (batch,) = follow(chain, [ZERO_ADDRESS], 9, confirmations=2)
    assert [log.block for log in batch.logs] == [9]


def test_a_chain_shorter_than_its_confirmations_has_no_news() -> None:
    assert not list(follow(Blocks(1, 0), [ZERO_ADDRESS], 0, confirmations=5))


def test_what_happened_stands_once_so_many_blocks_do_on_it_and_what_is_gone_does_not() -> None:
    chain = Blocks(SPAN, 3, 50)
    chain.number = 50 + DEEP - 1
    assert not stands(chain, [ZERO_ADDRESS], 2, lambda _: True)
    chain.number += 1
    assert stands(chain, [ZERO_ADDRESS], 2, lambda _: True)
    assert stands(chain, [ZERO_ADDRESS], 2, lambda log: log.block < 50)
    assert not stands(chain, [ZERO_ADDRESS], 4, lambda log: log.block < 50)  # before the case was


def test_what_happened_lately_is_found_in_one_request_and_what_happened_long_ago_in_spans() -> None:
    chain = Blocks(3 * SPAN, 7, 3 * SPAN - 1)
    assert not stands(chain, [ZERO_ADDRESS], 5, lambda _: True)
    assert chain.asked == [(2 * SPAN + 1, 3 * SPAN)]
    chain.events = (7,)
    assert stands(chain, [ZERO_ADDRESS], 5, lambda _: True)
    assert chain.asked[1:] == [(2 * SPAN + 1, 3 * SPAN), (SPAN + 1, 2 * SPAN), (5, SPAN)]


def test_windows_that_let_bond_or_memory_run_out_are_refused_with_the_numbers() -> None:
    Parameters().check()
    DEVNET.check()
    exposed = DEVNET.epoch_seconds + DEVNET.longest_order + DEVNET.challenge_window + DEVNET.longest_case()
    replace(DEVNET, withdrawal_delay=exposed + 1).check()
    with pytest.raises(Refused, match=rf"deploy\.windows: .*{exposed} s"):
        replace(DEVNET, withdrawal_delay=exposed).check()
    with pytest.raises(Refused, match=r"deploy\.windows: pools are remembered for 3600 s"):
        replace(DEVNET, memory_epochs=1).check()


def test_a_deployment_comes_back_from_its_file(tmp_path: Path) -> None:
    made = Deployment(31337, 7, *[ZERO_ADDRESS] * 11)
    made.save(tmp_path / "market.json")
    assert Deployment.load(tmp_path / "market.json") == made
    assert made.domain.escrow == ZERO_ADDRESS


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"chain_id": 1, "block": 0, "token": "0x12"}'])
def test_a_file_that_is_no_deployment_is_malformed(tmp_path: Path, text: str) -> None:
    (tmp_path / "market.json").write_text(text)
    with pytest.raises(Malformed, match=r"deployment|address"):
        Deployment.load(tmp_path / "market.json")
    with pytest.raises(Malformed, match="deployment"):
        Deployment.load(tmp_path / "missing.json")
