"""Games as the chain shows them: the contract's game and its events must agree, and a reorganisation leaves nothing."""

from collections.abc import Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.chain.bindings.games import Ended, GameOf, Picked, Pointed, Posted, Said
from steelyard.chain.port import Block, Log
from steelyard.market.onchain_games import AGAIN, OnchainGames, view_of
from steelyard.protocol.errors import Unavailable
from steelyard.protocol.games import Place, Post, Stage, View
from steelyard.protocol.hashing import ZERO32, keccak256, sha256
from steelyard.protocol.keys import ZERO_ADDRESS
from steelyard.protocol.units import Timestamp
from steelyard.protocol.verdicts import Outcome

CASE, OTHER, HEAD = sha256(b"case"), sha256(b"other"), sha256(b"head")
TWO = (sha256(b"left"), sha256(b"right"))
WORDS = b"\1\0\0\0"


def game(stage: Stage, place: Place = Place.RUN, said: bytes = ZERO32) -> GameOf:
    blank = {field.name: {"bytes": ZERO32}.get(str(field.type), 0) for field in fields(GameOf)}
    raw: Any = blank | {"stage": int(stage), "place": int(place), "said": said}
    return GameOf(**raw)


def shown(stage: Stage, *events: Any, said: bytes = ZERO32) -> View:
    return view_of(CASE, HEAD, game(stage, said=said), events)


def test_posts_have_the_place_and_the_child_that_was_pointed_at() -> None:
    view = shown(Stage.POINT, Posted(CASE, TWO), Pointed(CASE, int(Place.EVIDENCE), 1), Posted(CASE, TWO[::-1]))
    assert view.posts == (Post(Place.EVIDENCE, TWO, 1), Post(Place.RUN, TWO[::-1]))
    assert (view.case, view.head, view.stage, view.place) == (CASE, HEAD, Stage.POINT, Place.RUN)


def test_words_are_those_said_last() -> None:
    events = Said(CASE, 5, b"\0\0\0\0"), Picked(CASE, 5, 0), Said(CASE, 7, WORDS)
    assert shown(Stage.PICK, *events, said=keccak256(WORDS)).words == WORDS


@pytest.mark.parametrize(("outcome", "told"), [(2, Outcome.CHEATED), (1, Outcome.HONEST), (0, Outcome.CANNOT_TELL)])
def test_an_end_says_who_lost_or_that_nobody_did(outcome: int, told: Outcome) -> None:
    view = shown(Stage.OVER, Ended(CASE, outcome, "step"))
    assert (view.outcome, view.why) == (told, "step")


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
    assert blocks.asked == [10, 101 - AGAIN, 102 - AGAIN]


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
    assert (list(cases), cursor) == ([CASE], 101 - AGAIN)


def test_a_game_that_moves_while_it_is_read_is_read_again_and_not_for_ever(blocks: Blocks) -> None:
    games, heads = heard_by(blocks), [b"1", b"2", b"2", b"2", *(bytes([n]) for n in range(9))]
    contract: Any = SimpleNamespace(head_of=lambda _: heads.pop(0), game_of=lambda _: game(Stage.POINT))
    games.contract = contract
    view = games.view(CASE)
    assert view is not None
    assert view.head == b"2"
    with pytest.raises(Unavailable, match="moved 3 times"):
        games.view(CASE)


def test_no_game_is_none(blocks: Blocks) -> None:
    games = heard_by(blocks)
    nothing = replace(game(Stage.OVER), stage=0)
    contract: Any = SimpleNamespace(head_of=lambda _: ZERO32, game_of=lambda _: nothing)
    games.contract = contract
    assert games.view(CASE) is None
