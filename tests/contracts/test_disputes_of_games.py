"""Games that were played, read off what was sent and told: rounds, clocks, money, the last step."""

from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import pytest
import test_games_filters as filters
from courtroom import PAUL, WATCH, Courtroom
from duel import DuelRoom
from gameroom import BASE, BEGUN, PER_POSITION, PICK, POINT, TEXT, GameRoom, Table
from on_anvil import OnAnvil
from sifting import challenges, defends, honest, unfiltered, worse
from sources import Mutant
from test_dispute_filters import lie, picks
from toy_run import NODES, VOCABULARY, Lie
from world import NOBODY, Contract, key

from steelyard.chain.bindings.games import StoredOf
from steelyard.chain.deploy import Deployment
from steelyard.chain.history import Sent
from steelyard.chain.port import Log
from steelyard.chain.rpc import RpcChain
from steelyard.cli.dispute_step import weighed
from steelyard.cli.dispute_svg import svg
from steelyard.cli.dispute_text import text
from steelyard.engines import alphabet_graph, sieves
from steelyard.market.disputes import Dispute
from steelyard.market.onchain_disputes import STAGES, OnchainDisputes, Reading
from steelyard.market.stored_games import unpacked
from steelyard.protocol.errors import Refused
from steelyard.protocol.games import NOTHING, Place
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import Timestamp

UNIT = 4
"""Of the answer's five: the last, so that a lie anywhere before it shows."""
HERE = len(TEXT) + UNIT - 1
"""The position that chose it."""
EVE = key("eve")


def described(leaf: bytes, _: int) -> tuple[int, int, int, int]:
    """Of a toy's node: what its leaf says is what there is, at any position."""
    shape = next(shape for shape in NODES if shape.leaf == leaf)
    return shape.elements, shape.turns, shape.lanes, shape.start


class Recording(Courtroom):
    """Keeps what was sent, as `chain.history.behind` finds it."""

    sent: list[Sent]
    games: Contract

    def call(self, sender: str, to: str, data: bytes, asks: bool = False) -> bytes:
        out = super().call(sender, to, data, asks)
        if not asks:
            logs = tuple(
                Log(checksum(log.address), tuple(bytes.fromhex(t[2:]) for t in log.topics), bytes(log.data[1]), 0, i)
                for i, log in enumerate(self.evm.result.logs)
            )
            number = len(self.sent)
            digest, at = sha256(number.to_bytes(4, "big")), Timestamp(self.now)
            self.sent.append(Sent(digest, checksum(sender), checksum(to), data, self.gas, number, at, logs))
        return out

    def moves(self, case: bytes) -> list[Sent]:
        """What `behind` gives."""
        games = self.games.address
        return [one for one in self.sent if any(log.address == games and case in log.topics for log in one.logs)]

    def read(self, case: bytes) -> Dispute:
        """What `OnchainDisputes.show` makes of it."""
        reading = Reading(case, self.games.address, self.court.address, described)
        reading.read(self.moves(case))
        view = unpacked(case, StoredOf(**self.games.stored_of(case)))
        return reading.told(STAGES[view.stage if view else 0], self.court.case_of(case)["receipt"])


class Recorded(Recording, GameRoom):
    """Games on toy runs."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        self.sent = []
        super().__init__(mutant)


class RecordedDuels(Recording, DuelRoom):
    """Games on the toy engine's."""

    def __init__(self) -> None:
        self.sent = []
        super().__init__()


@pytest.fixture(scope="module")
def room() -> Recorded:
    return Recorded()


def begun(room: Recorded, nonce: int, *lies: Lie) -> Table:
    return room.disputed(room.goods(*lies, nonce=nonce), unit=UNIT)


LIES = {
    # node, element, turn, and the places that are narrowed behind the node
    "a map": (Lie(HERE, 0, 69), ["leaf", "element"]),
    "a map by id": (Lie(HERE, 4, 99), ["leaf", "element"]),
    "one chain of 100 turns": (Lie(HERE, 1, 32, turn=77), ["leaf", "element", "turn", "turn"]),
    "sixteen chains": (Lie(HERE, 2, 1, turn=37), ["leaf", "element", "chain", "turn"]),
    "three turns": (Lie(HERE, 3, 5, turn=2), ["leaf", "element", "turn"]),
    "a chain of one turn": (Lie(HERE, 6, 1, turn=3), ["leaf", "element", "chain"]),
    "in the prompt": (Lie(3, 1, 0, turn=0), ["leaf", "element", "turn"]),
}


@pytest.mark.parametrize("how", LIES)
def test_a_played_game_is_read_down_to_the_lie(room: Recorded, how: str):
    lie, _ = LIES[how]
    table = begun(room, list(LIES).index(how), lie)
    assert table.play() == 2
    found = room.read(table.case)
    step = found.step
    assert step is not None
    assert (found.unit, found.positions) == (UNIT, HERE + 1)
    assert (step.position, step.node, step.element) == (lie.position, lie.node, lie.element)
    assert step.turn == (lie.turn if NODES[lie.node].lanes else 0)
    assert (step.claimed - step.computed) % 2**32 == lie.by
    assert step.leaf == NODES[lie.node].leaf
    assert step.unit == (table.goods.units[lie.position] if NODES[lie.node].by_id else NOTHING)
    shape = NODES[lie.node]
    chain, before = (lie.turn % 16, lie.turn // 16) if shape.lanes == 16 else (0, lie.turn)
    truth = table.goods.truth(UNIT).sums(lie.position, lie.node, lie.element, chain)
    assert step.accumulator == (truth[before] if shape.lanes else 0)
    assert step.computed == truth[before + 1 if shape.lanes else 1]


@pytest.mark.parametrize("how", LIES)
def test_rounds_go_on_where_the_one_before_ended(room: Recorded, how: str):
    lie, places = LIES[how]
    table = begun(room, 20 + list(LIES).index(how), lie)
    table.play()
    found = room.read(table.case)
    told = [one.place for one in found.rounds]
    assert told[: told.index("leaf")] == ["unit", "position", "position", "node"]
    assert told[told.index("leaf") :] == places
    for one, following in pairwise(found.rounds):
        assert one.after is not None
        assert one.named is not None
        assert one.before[0] <= one.after[0] <= one.after[1] <= one.before[1]
        assert len(one.claims) <= one.before[1] - one.before[0] + 1
        if one.place == following.place:
            assert following.before == one.after
    last = found.rounds[-1]
    assert last.after is not None
    assert last.after[0] == last.after[1]


def test_outcome_gas_clocks_and_money_are_the_chains(room: Recorded):
    table = begun(room, 40, LIES["a map"][0])
    table.to(BEGUN)
    for seconds, move in ((7, table.defend), (5, table.defend), (3, table.attack)):
        room.turn(seconds)
        move()
    table.play()
    found, sent = room.read(table.case), room.moves(table.case)
    assert (found.stage, found.outcome, found.why) == ("over", "cheated", "step")
    assert found.slashed == PAUL.address
    settled = next(event for event in room.events if event.name == "Settled")
    assert found.amount == settled.values["amount"] > 0
    assert [move.gas for move in found.moves] == [one.gas_used for one in sent]
    assert found.gas == sum(one.gas_used for one in sent)
    assert {move.by for move in found.moves} == {"provider", "challenger"}
    assert found.provider.gas + found.challenger.gas == found.gas
    assert (found.provider.address, found.challenger.address) == (PAUL.address, WATCH.address)
    assert (found.provider.used, found.challenger.used) == (12, 3)
    assert found.receipt == table.goods.sale.receipt.digest(room.domain)
    for picture in (text(found), svg(found)):
        assert "CHEATED" in picture


def test_clocks_agree_with_the_contracts(room: Recorded):
    table = begun(room, 41, LIES["sixteen chains"][0])
    for seconds in (3, 1, 4, 1, 5, 9):
        room.turn(seconds)
        table.defend() if table.game["stage"] in (BEGUN, 3, 5) else table.attack()
    found, game = room.read(table.case), table.game
    for side, clock in ((found.provider, "defender_clock"), (found.challenger, "challenger_clock")):
        assert BASE + PER_POSITION * (len(TEXT) + 5) - side.used == game[clock]


def test_a_game_that_is_going_on_is_read_as_far_as_it_has_come(room: Recorded):
    table = begun(room, 42, LIES["a map"][0])
    assert [one.place for one in room.read(table.case).rounds] in ([], ["unit"])  # as far as `disputed` goes
    table.to(POINT)
    found = room.read(table.case)
    assert found.stage == "point"
    assert found.rounds[-1].named is None
    assert found.step is None
    table.to(PICK)
    found = room.read(table.case)
    assert (found.stage, found.rounds[-1].place) == ("pick", "element")
    assert "to do: pick" in text(found)


def test_silence_is_charged_to_who_was_silent(room: Recorded):
    for nonce, stage, outcome in ((43, 3, "cheated"), (44, POINT, "honest")):
        table = begun(room, nonce, LIES["a map"][0])
        table.to(stage)
        room.turn(10_000)
        room.games.forfeit(table.case, by=EVE)
        found = room.read(table.case)
        assert (found.outcome, found.why, found.moves[-1].by) == (outcome, "clock", EVE.address)
        silent = found.provider if outcome == "cheated" else found.challenger
        assert silent.used >= 10_000
        assert found.slashed == silent.address


def test_a_rival_is_told_and_ends_without_rounds(room: Recorded):
    answer = (1, *[VOCABULARY - 1] * 4)
    table = room.disputed(room.goods(answer=answer, nonce=45), unit=0, rival=VOCABULARY - 1)
    table.defend()
    found = room.read(table.case)
    assert (found.outcome, found.why, found.rival, found.unit) == ("cheated", "rival", VOCABULARY - 1, 0)
    assert found.rounds == ()


def test_a_move_through_another_contract_cannot_be_read(room: Recorded):
    table = begun(room, 46, LIES["a map"][0])
    reading = Reading(table.case, room.games.address, room.court.address, described)
    with pytest.raises(Refused) as refusal:
        reading.read([replace(one, to=EVE.address) for one in room.moves(table.case)])
    assert refusal.value.rule == "dispute.indirect"


# -- ids -----------------------------------------------------------------------------------------------------------


def test_a_game_about_filters_is_read_down_to_the_id_that_was_weighed():
    room, sale = RecordedDuels(), unfiltered("both")
    unit = sale.claim.generated[-1]
    duel, own = filters.begun(room, sale, sale.picked)
    duel.finish(defends(own, lie(sale, (97, 110), unit)), challenges(own))
    found = room.read(duel.case)
    assert [(one.place, one.before) for one in found.rounds] == [
        ("id", (0, alphabet_graph.VOCABULARY - 1)),
        ("id", (96, 99)),
    ]
    assert [one.after for one in found.rounds] == [(96, 99), (97, 97)]
    assert [len(one.claims) for one in found.rounds] == [64, 4]
    assert (found.outcome, found.why, found.rival, found.step) == ("cheated", "sum", sale.picked, None)
    weighing = found.weighing
    assert weighing is not None
    assert (weighing.id, weighing.sieve.unit, weighing.sieve.rival) == (97, unit, sale.picked)
    logits = own.logits()
    assert weighing.logit.to_bytes(4, "little") == logits[4 * 97 : 4 * 98]
    told = weighed(weighing)
    share = sieves.share(weighing.sieve, 97, weighing.logit)
    assert (int(told.computed.bits, 16), int(told.claimed.bits, 16)) == (share, weighing.claimed)
    assert weighing.claimed == (share + (7 << 64)) % 2**256
    for picture in (text(found, told), svg(found, told)):
        assert "id 97" in picture
        assert "CHEATED" in picture


def test_a_doubt_about_the_run_goes_on_with_its_positions():
    room, sale = RecordedDuels(), honest("both")
    duel, own = filters.begun(room, sale, worse(sale))
    while duel.view.place is not Place.RUN:
        duel.turn(defends(own), challenges(own, picks(0)))
    duel.turn(defends(own), challenges(own))
    found = room.read(duel.case)
    assert [(one.place, one.named) for one in found.rounds] == [("id", None), ("position", None)]
    assert found.rounds[0].after == found.rounds[0].before
    assert found.weighing is None
    assert "the run" in text(found)


# -- on a chain ----------------------------------------------------------------------------------------------------


class OnAChain(OnAnvil, GameRoom):
    """A room on anvil."""

    def disputes(self, chain: RpcChain) -> OnchainDisputes:
        """What the command line opens."""
        contracts = (self.token, self.registry, self.bonds, self.escrow, self.orders, self.court)
        addresses = [contract.address for contract in contracts]
        court = (NOBODY, self.operands.address, self.answers.address, self.games.address, self.proofs.address)
        return OnchainDisputes(chain, Deployment(chain.chain_id, 0, *addresses, *court))


def test_games_are_found_and_read_on_a_real_chain(room: Recorded):
    there = OnAChain()
    open_, over = (
        there.disputed(there.goods(*lies, nonce=i), unit=UNIT) for i, lies in enumerate([[], [LIES["a map"][0]]])
    )
    open_.to(POINT)
    over.play()
    with closing(RpcChain(there.evm.rpc._shown)) as chain:
        disputes = there.disputes(chain)
        listed = disputes.all()
        found = disputes.show(over.case, described)
        with pytest.raises(Refused) as refusal:
            disputes.show(b"\x01" * 32, described)
    assert refusal.value.rule == "dispute.unknown"
    assert [(one.case, one.stage, one.outcome, one.why) for one in listed] == [
        (open_.case, "point", "", ""),
        (over.case, "over", "cheated", "step"),
    ]
    assert {(one.provider, one.challenger) for one in listed} == {(PAUL.address, WATCH.address)}
    same = begun(room, 47, LIES["a map"][0])
    same.play()
    expected = room.read(same.case)
    assert [(one.place, one.before, one.named, one.after) for one in found.rounds] == [
        (one.place, one.before, one.named, one.after) for one in expected.rounds
    ]
    assert found.step is not None
    assert expected.step is not None
    assert replace(found.step, gas=0) == replace(expected.step, gas=0)
    assert [move.name for move in found.moves] == [move.name for move in expected.moves]
    assert (found.outcome, found.slashed) == ("cheated", PAUL.address)
