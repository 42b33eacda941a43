"""Games as the chain shows them: the contract's game and its events must agree, and a reorganisation leaves nothing."""

from collections.abc import Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.chain.bindings.games import Ended, Filtered, Picked, Pointed, Posted, Said, StoredOf
from steelyard.chain.following import DEEP
from steelyard.chain.port import Block, Log
from steelyard.market.onchain_games import OnchainGames, told
from steelyard.market.stored_games import unpacked
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.games import NOTHING, Place, Post, Stage, View, said_sums
from steelyard.protocol.hashing import ZERO32, keccak256, sha256
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.units import Timestamp
from steelyard.protocol.verdicts import Outcome

CASE, OTHER, HEAD = sha256(b"case"), sha256(b"other"), sha256(b"head")
TWO = (sha256(b"left"), sha256(b"right"))
WORDS = b"\1\0\0\0"


def stored(stage: int, place: Place = Place.RUN, at: bytes = ZERO32, head: bytes = HEAD, **others: Any) -> StoredOf:
    kinds = {int: 0, bytes: ZERO32}
    blank = {field.name: kinds.get(field.type, ZERO_ADDRESS) for field in fields(StoredOf)}  # type: ignore[call-overload]
    raw: Any = blank | {"turn": stage | place << 8, "at": at, "head": head}
    return StoredOf(**raw | others)


def shown(stage: Stage, *events: Any, said: bytes = ZERO32, place: Place = Place.RUN, **others: Any) -> View:
    view = unpacked(CASE, stored(stage, place, said, **others))
    assert view is not None
    return told(view, events)


def test_posts_have_the_place_and_the_child_that_was_pointed_at() -> None:
    view = shown(Stage.POINT, Posted(CASE, TWO), Pointed(CASE, int(Place.EVIDENCE), 1), Posted(CASE, TWO[::-1]))
    assert view.posts == (Post(Place.EVIDENCE, TWO, 1), Post(Place.RUN, TWO[::-1]))
    assert (view.case, view.head, view.stage, view.place) == (CASE, HEAD, Stage.POINT, Place.RUN)


def test_words_are_those_said_last() -> None:
    events = Said(CASE, 5, b"\0\0\0\0"), Picked(CASE, 5, 0), Said(CASE, 7, WORDS)
    assert shown(Stage.PICK, *events, said=keccak256(WORDS)).words == WORDS


def test_what_is_stored_is_unpacked_where_it_stands() -> None:
    """Each number another, as wide as it may be."""
    spot = sum(number << at for number, at in ((11, 0), (12, 16), (2**32 - 13, 32), (14, 64), (15, 96), (16, 104)))
    spot |= sum(number << at for number, at in ((19, 112), (17, 120), (18, 152), (2**32 - 20, 184), (2**32 - 21, 216)))
    turn = Stage.PICK | Place.TURNS << 8 | 3 << 16 | 2 << 24 | 9 << 32 | 1000 << 48 | 2000 << 80 | 10**10 << 112
    order = (2**31 - 1) << 224 | (2**64 - 5) << 160 | 4 << 128 | 5 << 96 | 6 << 64 | 7 << 32 | 8
    sides = 1 << 224 | int("0x" + "ab" * 20, 16) << 64 | 31 << 32 | 32
    view = shown(
        Stage.PICK,
        Said(CASE, 7, WORDS),
        said=keccak256(WORDS),
        turn=turn | 40 << 152 | 41 << 184,
        spot=spot,
        order=order,
        challenger=sides,
        root=TWO[0],
        node=TWO[1],
        position_leaf=OTHER,
    )
    assert (view.position, view.node, view.elements, view.element) == (11, 12, 2**32 - 13, 14)
    assert (view.chain, view.lanes, view.join, view.low, view.high) == (15, 16, 19, 17, 18)
    assert (view.low_word, view.claimed) == (2**32 - 20, 2**32 - 21)
    assert (view.levels, view.wide, view.moves, view.count, view.base) == (3, 2, 9, 40, 41)
    assert (view.defender_clock, view.challenger_clock, view.since) == (1000, 2000, 10**10)
    assert (view.top_k, view.seed, view.temperature, view.positions) == (2**31 - 1, 2**64 - 5, 4, 5)
    assert (view.prompt_units, view.answer_from, view.answer_units) == (6, 7, 8)
    assert (view.top_p, view.challenger.lower(), view.rival, view.nodes) == (1, "0x" + "ab" * 20, 31, 32)
    assert (view.run_root, view.node_hash, view.position_leaf, view.evidence_root) == (*TWO, OTHER, ZERO32)


def test_sums_are_those_between_which_an_id_was_picked() -> None:
    sums = said_sums([0, 5, 2**256 - 1, 9])
    at = {"place": Place.IDS, "position_leaf": OTHER}
    begun = Filtered(CASE, 3, 4, 9)
    view = shown(Stage.SAY, begun, **at)
    assert (view.lowest, view.greatest, view.before, view.after, view.position_leaf) == (3, 4, 0, 9, ZERO32)
    view = shown(Stage.SAY, begun, Said(CASE, Place.IDS, sums), Picked(CASE, Place.IDS, 2), **at)
    assert (view.before, view.after) == (5, 2**256 - 1)
    view = shown(Stage.POST, begun, Said(CASE, Place.IDS, sums), Picked(CASE, Place.IDS, 0))
    assert (view.lowest, view.greatest, view.before, view.after) == (NOTHING, NOTHING, 0, 0)


@pytest.mark.parametrize(("outcome", "expected"), [(2, Outcome.CHEATED), (1, Outcome.HONEST), (0, Outcome.CANNOT_TELL)])
def test_an_end_says_who_lost_or_that_nobody_did(outcome: int, expected: Outcome) -> None:
    view = shown(Stage.OVER, Ended(CASE, outcome, "step"))
    assert (view.outcome, view.why) == (expected, "step")


def test_ids_without_their_events_are_not_shown() -> None:
    """Marks and sums are told by events alone."""
    begun, said = Filtered(CASE, 3, 4, 9), Said(CASE, Place.IDS, said_sums([0, 5, 9]))
    for events in ([], [said], [begun, Picked(CASE, Place.IDS, 2)], [begun, said, Picked(CASE, Place.IDS, 3)]):
        with pytest.raises(Unavailable, match=r"chain\.behind"):
            shown(Stage.SAY, *events, place=Place.IDS)
    assert shown(Stage.SAY, begun, place=Place.IDS, position_leaf=OTHER).sieve == OTHER


def test_a_game_that_is_over_shows_no_roots() -> None:
    view = shown(Stage.OVER, Ended(CASE, 2, "step"), said=OTHER, place=Place.NONE, root=TWO[0], node=TWO[1])
    assert {view.evidence_root, view.run_root, view.facts_hash, view.node_hash, view.at} == {ZERO32}


BEHIND: dict[str, tuple[Stage, list[Any]]] = {
    "no post to point at": (Stage.POINT, []),
    "the last post was pointed at": (Stage.POINT, [Posted(CASE, TWO), Pointed(CASE, 1, 0)]),
    "a point at no post": (Stage.POST, [Pointed(CASE, 1, 0)]),
    "nothing said": (Stage.PICK, []),
    "other words said": (Stage.PICK, [Said(CASE, 5, WORDS[::-1])]),
    "no end": (Stage.OVER, [Posted(CASE, TWO)]),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_game_whose_events_are_not_all_there_is_not_shown(name: str) -> None:
    stage, events = BEHIND[name]
    with pytest.raises(Unavailable, match=r"chain\.behind"):
        shown(stage, *events, said=keccak256(WORDS))


# -- what was heard ----------------------------------------------------------------------------------------------------


class Blocks:
    """A chain of logs, and a contract that says what `heads` say."""

    chain_id, account = 1, None

    def __init__(self) -> None:
        self.number, self.found = 100, [log(CASE, 95), log(OTHER, 40), log(CASE, 99)]
        self.asked: list[int] = []

    def head(self) -> Block:
        return Block(self.number, Timestamp(0))

    def logs(self, addresses: Sequence[str], first: int, last: int) -> list[Log]:
        self.asked.append(first)
        found = [each for each in self.found if first <= each.block <= last]
        return sorted(found, key=lambda each: each.block)


def log(case: bytes, block: int, children: Sequence[bytes] = TWO) -> Log:
    """Of a post."""
    data = b"".join(n.to_bytes(32, "big") for n in (32, len(children))) + b"".join(children)
    return Log(ZERO_ADDRESS, (Posted.TOPIC, case), data, block, 0)


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


def heard_by(blocks: Blocks) -> OnchainGames:
    there: Any = SimpleNamespace(games=ZERO_ADDRESS, block=10)
    chain: Any = blocks
    return OnchainGames(chain, there)


def test_events_are_read_once_but_for_the_last_blocks(blocks: Blocks) -> None:
    games = heard_by(blocks)
    assert [each.block for each, _ in games.events(CASE)] == [95, 99]
    blocks.number += 1
    blocks.found.append(log(CASE, 101))
    assert [each.block for each, _ in games.events(CASE)] == [95, 99, 101]
    assert [each.block for each, _ in games.events(OTHER)] == [40]
    assert blocks.asked == [10, 101 - DEEP, 102 - DEEP]


def test_events_of_blocks_that_are_others_now_are_forgotten(blocks: Blocks) -> None:
    games = heard_by(blocks)
    assert len(games.events(CASE)) == 2
    blocks.found = [log(CASE, 95), log(CASE, 98, TWO[::-1])]
    blocks.number = 98  # a shorter chain, for now
    (_, first), (_, second) = games.events(CASE)
    assert [event.children for event in (first, second) if isinstance(event, Posted)] == [TWO, TWO[::-1]]


def test_news_are_the_cases_with_an_event_since(blocks: Blocks) -> None:
    games = heard_by(blocks)
    assert set(games.news(0)[0]) == {CASE, OTHER}
    cases, cursor = games.news(50)
    assert (list(cases), cursor) == ([CASE], 101 - DEEP)


def test_a_game_that_moves_while_it_is_read_is_read_again_and_not_for_ever(blocks: Blocks) -> None:
    games, heads = heard_by(blocks), [b"1", b"2", b"2", b"2", *(bytes([n]) for n in range(9))]
    contract: Any = SimpleNamespace(
        head_of=lambda _: heads.pop(0), stored_of=lambda _: stored(Stage.SAY, head=heads.pop(0))
    )
    games.contract = contract
    view = games.view(CASE)
    assert view is not None
    assert view.head == b"2"
    with pytest.raises(Unavailable, match="moved 3 times"):
        games.view(CASE)


def test_no_game_is_none(blocks: Blocks) -> None:
    games = heard_by(blocks)
    contract: Any = SimpleNamespace(head_of=lambda _: ZERO32, stored_of=lambda _: stored(0, head=ZERO32))
    games.contract = contract
    assert games.view(CASE) is None
