"""Games: a dispute narrowed to one step (spec/games.md, GAM-1 to GAM-35)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from courtroom import (
    ANN,
    BOND,
    BUYER,
    CHEATED,
    COIN,
    DRAWN,
    EVE,
    HONEST,
    NO_TIE,
    PAUL,
    PLAYING,
    RULED,
    SESSION,
    WATCH,
    Rules,
)
from draws import philox, scores
from gameroom import (
    BASE,
    BEGUN,
    CALLED,
    CHAINS,
    EARLY,
    EVIDENCE,
    LEAVES,
    MOVE_FEE,
    NO_RIVAL,
    NO_UNIT,
    NODE,
    ONE,
    OVER,
    PER_POSITION,
    PICK,
    POINT,
    POST,
    REPLY,
    RUN,
    SALT,
    SAY,
    STEP,
    TEXT,
    TURNS,
    WORDS,
    GameRoom,
    Goods,
    Table,
    unit_leaf,
    wide_of,
)
from test_rulings import OTHER, drawn_auditor, refused
from toy_run import BEST, FACTS, GRAPH, LOGITS, MODEL, NODES, STATE, VOCABULARY, Lie, Run, layer, packed, value
from world import DEAD, UNITS, compiled

from steelyard.protocol import merkle, roots
from steelyard.protocol.hashing import ZERO32, keccak256
from steelyard.protocol.records import Cancel, Level

STAKE = Rules().stake
P = len(TEXT) + 4
"""Positions of a game on the last unit."""
DEEP = Lie(60, 1, 20, turn=77)
"""In a fold of 100 turns: five rounds of trees, then words, then two rounds of turns."""


@pytest.fixture
def room() -> GameRoom:
    return GameRoom()


@pytest.mark.parametrize("name", ["Games", "Answers", "Proofs"])
def test_the_code_fits_into_a_contract(name):
    assert len(compiled(name).runtime) <= 24_576  # EIP-170


def test_clocks_that_no_word_holds_are_refused(room):
    court, operands, answers = room.court.address, room.operands.address, room.answers.address
    for terms in ((0, 1, 1), (2**32, 0, 0), (1, 2**32 // 8192, 0)):
        with refused("games.terms"):
            room.deploy("Games", (court, operands, answers, terms))


# ------------------------------------------------------------------ the claim


def begin(room: GameRoom, goods: Goods, unit: int = 0, rival: int = NO_RIVAL, **shown: Any) -> bytes:
    """A game on what is shown of a receipt; the case."""
    case = room.challenge(goods.sale)
    room.games.begin(case, replace(goods.sale, **shown).exhibit, (unit, rival), by=WATCH)
    return case


def test_the_challenger_takes_its_case_from_the_jury_gam_1(room):
    goods = room.goods()
    case = room.challenge(goods.sale)
    for who in (EVE, PAUL, OTHER):
        with refused("games.not-the-challenger"):
            room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=who)
    room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
    assert room.told("Begun") == {
        "case": case,
        "defender": PAUL.address,
        "challenger": WATCH.address,
        "unit": 0,
        "positions": 0,
        "rival": NO_RIVAL,
    }
    assert room.court.case_of(case)["stage"] == PLAYING
    game = room.game_of(case)
    assert (game["stage"], game["defender"], game["challenger"]) == (POST, PAUL.address, WATCH.address)
    assert (game["positions"], game["prompt_units"], game["answer_from"], game["answer_units"]) == (0, 70, 70, 5)
    assert (game["place"], game["count"], game["levels"]) == (EVIDENCE, 5, 3)
    assert game["evidence_root"] == goods.sale.receipt.evidence_root
    with refused("games.stage"):
        room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
    with refused("rulings.stage"):
        room.games.begin(b"\x01" * 32, goods.exhibit, (0, NO_RIVAL), by=WATCH)


def test_whoever_could_challenge_can_begin_gam_1(room):
    goods = room.goods()
    case = room.challenge(goods.sale, ANN, BUYER)
    room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=ANN)
    drawn = next(g for n in range(1, 200) if draws(room, g := room.goods(nonce=n)))
    auditor = drawn_auditor(room, drawn.sale)
    case = room.challenge(drawn.sale, auditor, DRAWN, coin=COIN)
    room.games.begin(case, drawn.exhibit, (0, NO_RIVAL), by=auditor)


def draws(room: GameRoom, goods: Goods) -> bool:
    return bool(roots.coin_draws(COIN, goods.sale.digest, room.terms.rate_ppm))


def test_another_receipt_is_not_what_was_challenged_gam_1(room):
    goods, other = room.goods(), room.goods(nonce=1)
    case = room.challenge(goods.sale)
    with refused("games.other-receipt"):
        room.games.begin(case, other.exhibit, (0, NO_RIVAL), by=WATCH)
    with refused("rulings.answer-root"):
        room.games.begin(case, replace(goods.sale, answer=REPLY[:4]).exhibit, (0, NO_RIVAL), by=WATCH)
    with refused("rulings.other-order"):
        order = replace(goods.sale.order, max_units=99)
        room.games.begin(case, replace(goods.sale, order=order).exhibit, (0, NO_RIVAL), by=WATCH)


NOT_LOWERED: dict[str, dict[str, Any]] = {
    "a grammar": {"grammar": b"\x01" * 32},
    "logprobs": {"logprobs": 1},
    "another level": {"level": Level.QUORUM},
}


@pytest.mark.parametrize("what", NOT_LOWERED)
def test_what_a_game_cannot_follow_is_the_jurys_gam_1(room, what):
    goods = room.goods(max_units=9, **NOT_LOWERED[what])
    case = room.challenge(goods.sale)
    for move in (
        lambda: room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH),
        lambda: room.games.begin_early(case, goods.exhibit, by=WATCH),
        lambda: room.games.appeal(case, goods.exhibit, by=PAUL),
    ):
        with refused("games.not-lowered"):
            move()


@pytest.mark.parametrize(("unit", "rival"), [(5, 0), (2**32, 0), (0, 2**32), (1, NO_RIVAL)])
def test_a_claim_names_a_generated_unit_gam_2(room, unit, rival):
    with refused("games.unit"):
        begin(room, room.goods(), unit, rival)


def test_a_position_before_the_first_chose_nothing_gam_2(room):
    goods = room.goods(text=())
    with refused("games.unit"):
        begin(room, goods, 0, BEST)
    with refused("games.unit"):
        begin(room, room.goods(text=(), nonce=1))


def test_the_provider_appeals_and_the_challenger_begins_gam_3(room):
    goods = room.goods(DEEP)
    case = room.opened(goods.sale)
    votes = [room.vote(case, juror, CHEATED) for juror in room.jury(case)]
    room.commit(*votes)
    room.reveal(*votes)
    for who in (EVE, WATCH):
        with refused("games.not-the-provider"):
            room.games.appeal(case, goods.exhibit, by=who)
    with refused("games.other-receipt"):
        room.games.appeal(case, room.goods(nonce=1).exhibit, by=PAUL)
    room.games.appeal(case, goods.exhibit, by=PAUL)
    assert room.told("Called")["challenger"] == WATCH.address
    with refused("rulings.stage"):
        room.court.settle(case)
    with refused("games.stage"):
        room.games.appeal(case, goods.exhibit, by=PAUL)
    game = room.game_of(case)
    assert (game["stage"], game["challenger_clock"]) == (CALLED, BASE)
    with refused("games.not-the-challenger"):
        room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=EVE)
    room.turn(BASE)
    room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
    clock = BASE + PER_POSITION * (P + 1)
    game = room.game_of(case)
    assert (game["defender_clock"], game["challenger_clock"]) == (clock, clock - BASE)
    assert Table(room, case, goods, 4).play() == CHEATED


def test_a_challenger_that_does_not_answer_an_appeal_loses_gam_3(room):
    goods = room.goods()
    case = room.challenge(goods.sale)
    room.games.appeal(case, goods.exhibit, by=PAUL)
    room.turn(BASE)
    with refused("games.early"):
        room.games.forfeit(case, by=EVE)
    room.turn(1)
    with refused("games.late"):
        room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
    room.games.forfeit(case, by=EVE)
    assert room.court.case_of(case)["outcome"] == HONEST
    assert room.held(WATCH) == 100 * UNITS - STAKE


def test_a_drawn_auditor_without_a_text_is_not_appealed_against_gam_3(room):
    for level, allowed in ((Level.AUDITED, False), (Level.DISPUTABLE, True)):
        drawn = next(g for n in range(200) if draws(room, g := room.goods(nonce=n, level=level)))
        case = room.challenge(drawn.sale, drawn_auditor(room, drawn.sale), DRAWN, coin=COIN)
        if allowed:
            room.games.appeal(case, drawn.exhibit, by=PAUL)
            continue
        with refused("games.drawn"):
            room.games.appeal(case, drawn.exhibit, by=PAUL)


# ------------------------------------------------------------------ the answer


def answered(table: Table, **changes: Any) -> None:
    """An answer with something changed."""
    fields = table.answer() | changes
    table.room.games.answer(table.case, table.head, tuple(fields.values()), by=PAUL)


def test_an_answer_opens_its_evidence_under_the_run_root_gam_4(room):
    table = room.disputed(room.goods())
    table.defend()
    assert room.told("Answered")["run_root"] == table.answer()["run_root"]
    game = table.game
    assert (game["stage"], game["place"], game["count"], game["levels"]) == (POST, RUN, P, 7)
    assert (game["run_root"], game["at"]) == (table.answer()["run_root"],) * 2
    assert (game["nodes"], game["facts_hash"]) == (len(NODES), keccak256(FACTS))


def flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


WRONG_ANSWERS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "other facts": ("facts", lambda a: {"facts": flipped(a["facts"])}),
    "facts cut off": ("facts", lambda a: {"facts": a["facts"][:56]}),
    "another leaf of the model": ("facts", lambda a: {"facts": b"template" * 8}),
    "another number of leaves": ("facts", lambda a: {"leaves": 6}),
    "another unit": ("unit", lambda a: {"unit": unit_leaf((*REPLY[:4], 3), SALT, 4)}),
    "a unit cut off": ("unit", lambda a: {"unit": (a["unit"][0], a["unit"][1][:-4], *a["unit"][2:])}),
    "logprobs beside the units": ("unit", lambda a: {"unit": (*a["unit"][:3], b"\x01" * 32)}),
    "another run": ("opening", lambda a: {"run_root": flipped(a["run_root"])}),
    "no run": ("opening", lambda a: {"run_root": ZERO32, "position_path": ()}),
    "another state": ("opening", lambda a: {"state": flipped(a["state"])}),
    "a state cut off": ("opening", lambda a: {"state": a["state"][:-4]}),
    "the state of another node": ("opening", lambda a: {"state_path": a["logit_node_path"]}),
    "another logit": ("opening", lambda a: {"logit": flipped(a["logit"])}),
    "a logit cut off": ("opening", lambda a: {"logit": a["logit"][:-4]}),
    "logits of another node": ("opening", lambda a: {"logit_node_path": a["state_path"]}),
    "another position": ("opening", lambda a: {"position_path": a["position_path"][::-1]}),
    "another salt": ("unit", lambda a: {"unit": (flipped(a["unit"][0]), *a["unit"][1:])}),
    "evidence of another unit": ("evidence", lambda a: {"evidence_path": a["evidence_path"][::-1]}),
}


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_what_does_not_open_is_no_answer_gam_4(room, what):
    rule, change = WRONG_ANSWERS[what]
    table = room.disputed(room.goods())
    with refused(f"games.{rule}"):
        answered(table, **change(table.answer()))
    answered(table)


def test_a_run_whose_evidence_is_not_the_receipts_is_no_answer_gam_4(room):
    table = room.disputed(room.goods(Lie(P - 1, STATE, 3)))
    with refused("games.evidence"):
        answered(table, **table.answer(table.goods.truth(4)))
    table.room.turn(BASE + PER_POSITION * (P + 1) + 1)
    room.games.forfeit(table.case, by=EVE)  # so whoever changed its evidence loses
    assert table.outcome == CHEATED


def test_facts_with_more_nodes_than_a_game_counts_are_refused_gam_4(room):
    refuse_facts(room, FACTS[:32] + (2**16 + 1).to_bytes(4, "big") + FACTS[36:], "games.facts")


def test_facts_say_how_many_ends_there_are_gam_4(room):
    refuse_facts(room, FACTS[:-4], "games.facts")


def test_a_state_has_as_many_numbers_as_the_facts_say_gam_4(room):
    refuse_facts(room, FACTS[:47] + b"\x29" + FACTS[48:], "games.opening")  # 41, whose leaves are as many as of 40


def refuse_facts(room: GameRoom, facts: bytes, rule: str) -> None:
    """A model root of such facts is answered from in vain."""
    model = [*MODEL[:2], merkle.leaf_hash(facts), *MODEL[3:]]
    table = room.disputed(room.goods(model_root=merkle.root(model)))
    with refused(rule):
        answered(table, facts=facts)


def test_more_positions_than_the_model_has_are_not_answered_gam_4(room):
    refuse_facts(room, FACTS[:52] + (P - 1).to_bytes(4, "big") + FACTS[56:], "games.positions")


def test_a_preferred_rival_convicts_at_once_gam_4(room):
    goods = room.goods(answer=(BEST, BEST, 40, BEST, BEST))
    table = room.disputed(goods, 2, BEST)
    table.defend()
    assert (table.stage, table.outcome) == (OVER, CHEATED)
    assert room.told("Ended")["why"] == "rival"


@pytest.mark.parametrize("rival", [0, 40, 98, BEST, BEST + 1, 2**32 - 2])
def test_no_rival_beats_the_best_gam_4(room, rival):
    table = room.disputed(room.goods(), 2, rival)
    table.defend()
    assert table.stage == POST


def test_a_rivals_logit_is_opened_too_gam_4(room):
    table = room.disputed(room.goods(answer=(40,) * 5), 0, BEST)
    fields = table.answer()
    other = packed(value(69, LOGITS, 69, frozenset())[:32])
    for wrong in ({"rival": flipped(fields["rival"])}, {"rival": b""}, {"rival": other}, {"rival_path": ()}):
        with refused("games.opening"):
            answered(table, **wrong)


def test_at_a_temperature_the_noise_of_the_order_decides_gam_4(room):
    """All logits are tiny here, so at T = 1 the id is the one with the greatest noise, which is Python's."""
    order = {"temperature": ONE, "seed": 7}
    n = len(TEXT)
    logits = np.array(value(n - 1, LOGITS, TEXT[-1], frozenset()), np.uint32)

    def picked(seed: int, position: int) -> int:
        words = np.array([philox(seed, position, id_) for id_ in range(VOCABULARY)], np.uint32)
        return int(scores(logits, words, np.full(VOCABULARY, ONE, np.uint32)).view(np.float32).argmax())

    best, others = picked(7, n), (picked(7, n - 1), picked(7, n + 1), picked(0, n), 0)
    assert best not in others
    for nonce, other in enumerate(others):
        table = room.disputed(room.goods(answer=(best,) * 5, nonce=nonce, **order), 0, other)
        table.defend()
        assert table.stage == POST
        table = room.disputed(room.goods(answer=(other,) * 5, nonce=nonce, **order), 0, best)
        table.defend()
        assert table.outcome == CHEATED


# ------------------------------------------------------------------ narrowing


@pytest.mark.parametrize("levels", range(33))
def test_levels_are_divided_evenly_over_the_fewest_rounds_gam_10(levels):
    rounds, left = [], levels
    while left:
        rounds.append(wide_of(left))
        left -= rounds[-1]
    assert len(rounds) == -(-levels // 6)
    assert max(rounds, default=0) - min(rounds, default=0) <= 1


def test_children_fold_to_what_they_stand_under_gam_10(room):
    table = room.disputed(room.goods(DEEP))
    table.to(POST)
    children = table.below(table.goods.run(4), table.game, 4)
    top = merkle.Tree(children).layers[-1][0]
    swapped = [children[1], children[0], *children[2:]]
    for wrong in (children[:8], children[:-1], [*children[:-1], ZERO32], children[::-1], swapped, [top], []):
        with refused("games.children"):
            room.games.post(table.case, table.head, wrong, by=PAUL)
    room.games.post(table.case, table.head, children, by=PAUL)
    assert room.told("Posted") == {"case": table.case, "children": children}
    assert (table.game["wide"], table.stage) == (4, POINT)


def filled(leaves: Sequence[bytes]) -> list[bytes]:
    """A tree's leaf layer with something else than padding behind its leaves."""
    return [*leaves, *([b"\xee" * 32] * ((1 << merkle.depth_of(len(leaves))) - len(leaves)))]


def test_evidence_has_nothing_behind_its_leaves_gam_10(room):
    """Else a root could differ from an honest one where a challenger has nothing to point at."""
    goods = room.goods(DEEP)
    leaves = filled(roots.evidence_leaves(goods.evidence(), SALT, 0))
    receipt = replace(goods.sale.receipt, evidence_root=merkle.seal(5, merkle.Tree(leaves).layers[-1][0]))
    sale = replace(goods.sale, receipt=receipt, receipt_signature=PAUL.sign(receipt.digest(room.domain)))
    case = room.challenge(sale)
    room.games.begin(case, sale.exhibit, (0, NO_RIVAL), by=WATCH)
    with refused("games.children"):
        room.games.post(case, room.games.head_of(case), leaves, by=PAUL)


def test_a_run_has_nothing_behind_its_positions_gam_10(room):
    table = room.disputed(room.goods(DEEP))
    leaves = filled(table.goods.run(4).positions())
    tree = merkle.Tree(leaves)
    made = {"run_root": merkle.seal(P, tree.layers[-1][0]), "position_path": merkle.prove(leaves, P - 1)}
    room.games.answer(table.case, table.head, tuple((table.answer() | made).values()), by=PAUL)
    with refused("games.children"):
        room.games.post(table.case, table.head, list(tree.layers[3]), by=PAUL)


def test_a_tree_of_one_leaf_is_one_child_gam_10(room):
    goods = room.goods(Lie(0, 5, 1), text=(4,), answer=(BEST,))
    table = room.disputed(goods, 0)
    game = table.to(POST)
    assert (game["count"], game["levels"]) == (1, 0)
    assert table.play() == CHEATED


def test_a_point_names_a_child_with_its_path_gam_11(room):
    table = room.disputed(room.goods(DEEP))
    game = table.to(POINT)
    children = table.shown
    path = merkle.prove(children, 7)
    for rule, index, child, siblings in (
        ("path", 7, flipped(children[7]), path),
        ("path", 6, children[7], path),
        ("path", 7, children[7], path[:-1]),
        ("path", 7, children[7], (*path, ZERO32)),
        ("path", 7, children[7], path[::-1]),
        ("index", 16, children[7], path),
        ("index", 7 + 16, children[7], path),
        ("index", 10, children[10], merkle.prove(children, 10)),  # behind the last of 74 positions
    ):
        with refused(f"games.{rule}"):
            room.games.point(table.case, table.head, index, child, siblings, by=WATCH)
    room.games.point(table.case, table.head, 7, children[7], path, by=WATCH)
    assert room.told("Pointed") == {"case": table.case, "place": RUN, "index": 7}
    after = table.game
    assert (after["stage"], after["base"], after["levels"], after["at"]) == (POST, 7, game["levels"] - 4, children[7])


def test_a_child_is_none_of_the_next_node_gam_11(room):
    table = room.disputed(room.goods(Lie(52, 1, 20, turn=77)))
    while (game := table.to(POINT, place=RUN))["base"] == 0:
        table.attack()
    assert (game["base"], game["wide"]) == (6, 3)
    children = table.shown
    with refused("games.index"):  # leaf 4 of node 6 is not leaf 4 of node 7, whose path is as good
        room.games.point(table.case, table.head, 8 + 4, children[4], merkle.prove(children, 4), by=WATCH)


def test_a_path_is_as_long_as_the_round_gam_11(room):
    """Else a node above the children could be pointed at as if it was one."""
    table = room.disputed(room.goods(DEEP))
    table.to(POINT)
    above = layer(table.shown, 1)
    with refused("games.path"):
        room.games.point(table.case, table.head, 3, above[3], merkle.prove(above, 3), by=WATCH)


def test_the_last_point_among_nodes_says_what_the_node_is_gam_12(room):
    table = room.disputed(room.goods(DEEP))
    game = table.to(POINT, place=NODE)
    assert (game["count"], game["levels"], game["wide"]) == (7, 3, 3)
    child, path = table.shown[1], merkle.prove(table.shown, 1)
    move = (table.case, table.head, 1, child, path)
    with refused("games.node"):
        room.games.point(*move, by=WATCH)
    proof = merkle.prove(GRAPH, 1)
    for rule, facts, leaf, node_path in (
        ("facts", flipped(FACTS), NODES[1].leaf, proof),
        ("node", FACTS, NODES[2].leaf, proof),
        ("node", FACTS, NODES[2].leaf, merkle.prove(GRAPH, 2)),
        ("node", FACTS, NODES[1].leaf, proof[:-1]),
    ):
        with refused(f"games.{rule}"):
            room.games.point_node(*move, facts, leaf, node_path, by=WATCH)
    room.games.point_node(*move, FACTS, NODES[1].leaf, proof, by=WATCH)
    after = table.game
    assert (after["node"], after["node_hash"]) == (1, GRAPH[1])
    assert (after["elements"], after["high"], after["lanes"], after["low_word"]) == (33, 100, 1, 5)
    assert (after["place"], after["count"], after["position"]) == (LEAVES, 2, 60)


def test_another_point_names_no_node_gam_12(room):
    table = room.disputed(room.goods(text=TEXT[: len(NODES) - 4]))  # a run of as many positions as there are nodes
    game = table.to(POINT)
    assert (game["place"], game["count"], game["levels"]) == (RUN, len(NODES), game["wide"])
    move = (table.case, table.head, 0, table.shown[0], merkle.prove(table.shown, 0))
    with refused("games.node"):
        room.games.point_node(*move, FACTS, NODES[0].leaf, merkle.prove(GRAPH, 0), by=WATCH)


@pytest.mark.parametrize(("element", "number"), [(5, 32), (32, 1)])
def test_a_leaf_is_said_as_a_whole_gam_13(room, element, number):
    table = room.disputed(room.goods(Lie(60, 1, element, turn=50)))
    game = table.to(SAY, place=WORDS)
    words = table.words(table.goods.run(4), game)
    assert len(words) == number
    for wrong in ([*words, 0], words[:-1], [words[0] ^ 1, *words[1:]], []):
        with refused("games.words"):
            room.games.say(table.case, table.head, packed(wrong), by=PAUL)
    table.defend()
    assert room.told("Said") == {"case": table.case, "place": WORDS, "words": packed(words)}
    assert table.game["said"] == keccak256(packed(words))
    with refused("games.index"):
        room.games.pick(table.case, table.head, number, packed(words), by=WATCH)
    index = element % 32
    room.games.pick(table.case, table.head, index, packed(words), by=WATCH)
    after = table.game
    assert (after["element"], after["claimed"], after["place"]) == (element, words[index], TURNS)


def test_a_map_goes_to_its_step_gam_14(room):
    table = room.disputed(room.goods(Lie(3, 0, 69)))
    game = table.to(STEP)
    assert (game["place"], game["element"], game["lanes"]) == (WORDS, 69, 0)
    assert table.play() == CHEATED


def test_chains_join_to_the_claimed_word_gam_14(room):
    table = room.disputed(room.goods(Lie(3, 2, 1, turn=23)))
    game = table.to(SAY, place=CHAINS)
    chains = table.goods.run(4).chains(3, 2, 1)
    with refused("games.join"):
        room.games.say(table.case, table.head, packed([*chains[:-1], chains[-1] ^ 1]), by=PAUL)
    with refused("games.words"):
        room.games.say(table.case, table.head, packed(chains[:15]), by=PAUL)
    table.defend()
    with refused("games.index"):
        room.games.pick(table.case, table.head, 16, packed(chains), by=WATCH)
    table.attack()
    after = table.game
    assert (after["chain"], after["claimed"], after["place"]) == (7, chains[7], TURNS)
    assert (after["low"], after["high"], after["low_word"]) == (0, 3, 6)
    assert game["high"] == 40
    assert table.play() == CHEATED


@pytest.mark.parametrize(("chain", "turns"), [(0, 3), (7, 3), (8, 2), (15, 2)])
def test_a_chain_has_its_own_turns_gam_14(room, chain, turns):
    table = room.disputed(room.goods(Lie(3, 2, 1, turn=chain + 16)))
    table.to(PICK, place=CHAINS)
    table.attack(choose=lambda _: chain)
    assert table.game["high"] == turns


@pytest.mark.parametrize(("node", "lie"), [(5, True), (6, True), (5, False), (6, False)])
def test_what_has_no_turns_is_its_start_gam_14(room, node, lie):
    """Node 5 is a fold without turns; of node 6, chains 5 to 15 have none."""
    goods = room.goods(*[Lie(3, node, 1, turn=-1)] * lie)
    table = room.disputed(goods)
    if lie:
        assert table.play() == CHEATED
    else:
        aim(table, 3, node, 1, 9)
        assert table.outcome == HONEST
    assert room.told("Ended")["why"] == "start"


def aim(table: Table, position: int, node: int, element: int, chain: int = 0, part: int = 0) -> None:
    """A challenger without a case goes to one place, as far as there is a choice."""
    for _ in range(60):
        game = table.game
        stage, place = game["stage"], game["place"]
        if stage in (OVER, STEP):
            return
        if stage in (BEGUN, POST, SAY):
            table.defend()
            continue
        goal = {RUN: position, NODE: node, LEAVES: element // 32, WORDS: element % 32, CHAINS: chain, TURNS: part}
        index = goal[place]
        if stage == POINT:
            index = (index >> (game["levels"] - game["wide"])) - (game["base"] << game["wide"])
        table.attack(choose=lambda number, i=index: min(i, number - 1))  # type: ignore[misc]


def test_turns_are_parted_into_64_gam_15(room):
    table = room.disputed(room.goods(DEEP))
    game = table.to(SAY, place=TURNS)
    assert (game["low"], game["high"], game["low_word"]) == (0, 100, 5)
    sums = table.goods.run(4).sums(60, 1, 20)
    said = [sums[100 * j // 64] for j in range(1, 64)]
    for wrong in (said[:-1], []):
        with refused("games.words"):
            room.games.say(table.case, table.head, packed(wrong), by=PAUL)
    room.games.say(table.case, table.head, packed(said), by=PAUL)
    for index in (0, 65):
        with refused("games.index"):
            room.games.pick(table.case, table.head, index, packed(said), by=WATCH)
    room.games.pick(table.case, table.head, 50, packed(said), by=WATCH)  # turns 76 to 78; the lie is told in turn 77
    after = table.game
    assert (after["low"], after["high"]) == (76, 78)
    assert (after["low_word"], after["claimed"]) == (sums[76], sums[78])
    assert after["stage"] == SAY


@pytest.mark.parametrize(("part", "low", "high"), [(0, 0, 1), (1, 1, 3), (63, 98, 100)])
def test_the_first_and_the_last_part_end_at_what_was_known_gam_15(room, part, low, high):
    table = room.disputed(room.goods())
    table.to(POST)
    for _ in range(40):
        if table.game["stage"] == PICK and table.game["place"] == TURNS:
            break
        game = table.game
        if game["stage"] in (POST, SAY):
            table.defend()
            continue
        goal = {RUN: 60, NODE: 1, LEAVES: 0, WORDS: 20}[game["place"]]
        if game["stage"] == POINT:
            goal = (goal >> (game["levels"] - game["wide"])) - (game["base"] << game["wide"])
        table.attack(choose=lambda _, i=goal: i)  # type: ignore[misc]
    table.attack(choose=lambda _: part)
    sums = table.goods.run(4).sums(60, 1, 20)
    after = table.game
    assert (after["low"], after["high"]) == (low, high)
    assert (after["low_word"], after["claimed"]) == (sums[low], sums[high])
    assert after["stage"] == (STEP if high == low + 1 else SAY)


@pytest.mark.parametrize("place", [WORDS, CHAINS, TURNS])
def test_a_pick_repeats_what_was_said_gam_16(room, place):
    table = room.disputed(room.goods(Lie(3, 2, 1, turn=23)))
    table.to(PICK, place=place)
    for wrong in (packed([*table.shown[:-1], table.shown[-1] ^ 1]), b"", packed(table.shown) + b"\x00"):
        with refused("games.said"):
            room.games.pick(table.case, table.head, 1, wrong, by=WATCH)
    table.attack()


# ------------------------------------------------------------------ the step


def test_anyone_steps_while_the_clock_runs_gam_20(room):
    table = room.disputed(room.goods(DEEP))
    game = table.to(STEP)
    assert (game["low"], game["high"], game["place"]) == (77, 78, TURNS)
    table.step(game, by=EVE)
    assert (table.stage, table.outcome) == (OVER, CHEATED)


def test_a_step_is_of_the_node_that_was_pointed_at_gam_20(room):
    table = room.disputed(room.goods(DEEP))
    table.to(STEP)
    with refused("games.node"):
        room.games.step(table.case, table.head, 5, NODES[2].leaf, NO_UNIT, (), (), by=WATCH)


@pytest.mark.parametrize("position", [3, 66, 70, 73])
def test_a_step_opens_the_id_of_its_position_gam_20(room, position):
    goods = room.goods(Lie(position, LOGITS, 0))
    table = room.disputed(goods)
    game = table.to(STEP)
    move = (table.case, table.head, 5, NODES[LOGITS].leaf)
    with refused("operands.id"):
        room.games.step(*move, NO_UNIT, (), (), by=WATCH)
    right = goods.opened(position)
    elsewhere = goods.opened(70 if position < 70 else 3)
    for wrong in (elsewhere, (right[0], flipped(right[1]), *right[2:]), (flipped(right[0]), *right[1:])):
        with refused("games.unit"):
            room.games.step(*move, wrong, (), (), by=WATCH)
    table.step(game)
    assert (table.outcome, room.told("Ended")["why"]) == (CHEATED, "step")


def test_a_continued_prefix_counts_as_prompt_gam_20(room):
    """Of 70 units of prompt the last 3 are the answer's first: position 70 has the answer's fourth."""
    sold = {"answer": (*TEXT[67:], *REPLY), "answer_from": 67, "max_units": 5}
    for lies, outcome in (((), HONEST), ((Lie(71, LOGITS, 0),), CHEATED)):
        table = room.disputed(room.goods(*lies, nonce=len(lies), **sold))
        assert table.goods.units == (*TEXT, *REPLY)
        aim(table, 71, LOGITS, 0)
        assert table.play() == outcome


@pytest.mark.parametrize("node", range(5))
def test_an_equal_word_ends_the_game_against_its_challenger_alone_gam_21(room, node):
    table = room.disputed(room.goods())
    aim(table, 3, node, 1, 2)
    table.to(STEP)
    table.attack()
    told = room.told("Stepped")
    assert told["word"] == told["claimed"]
    assert table.outcome == HONEST
    assert (room.held(PAUL), room.held(WATCH)) == (BOND, 100 * UNITS - STAKE)
    assert not room.court.convicted(table.goods.sale.digest)
    again = room.disputed(table.goods, by=OTHER)  # rule M7
    assert again.stage == BEGUN


LIES = {
    "a map": Lie(10, 0, 33),
    "the first turn": Lie(73, 1, 32, turn=0),
    "the last turn": Lie(0, 1, 0, turn=99),
    "a chain": Lie(40, 2, 2, turn=39),
    "a state": Lie(20, STATE, 39, turn=2),
    "a logit": Lie(20, LOGITS, 99),
    "a start": Lie(5, 5, 0, turn=-1),
    "the last state": Lie(P - 1, STATE, 0),
}


@pytest.mark.parametrize("what", LIES)
def test_whatever_the_lie_another_word_convicts_gam_21(room, what):
    goods = room.goods(LIES[what])
    claim = room.paid(goods.sale)
    table = room.disputed(goods)
    room.court.tie(table.case, room.tie_of(claim, 0, goods.sale), by=EVE)
    assert table.play() == CHEATED
    assert room.held(PAUL) == BOND - room.stake(goods.sale)
    assert room.gained(ANN) == goods.sale.price
    assert room.gained(WATCH) == room.stake(goods.sale) // 2 - goods.sale.price
    assert room.court.convicted(goods.sale.digest)
    room.check_nothing_left(table.case)


# ------------------------------------------------------------------ clocks, moves, ends


def test_each_side_has_its_own_clock_gam_30(room):
    table = room.disputed(room.goods(DEEP))
    clock = BASE + PER_POSITION * (P + 1)
    assert (table.game["defender_clock"], table.game["challenger_clock"]) == (clock, clock)
    room.turn(100)
    table.defend()
    room.turn(10)
    table.defend()
    room.turn(7)
    table.attack()
    game = table.game
    assert (game["defender_clock"], game["challenger_clock"]) == (clock - 110, clock - 7)
    assert game["since"] == room.now


@pytest.mark.parametrize("stage", [BEGUN, POST, POINT, SAY, PICK, STEP])
def test_who_is_silent_loses_gam_30(room, stage):
    table = room.disputed(room.goods(DEEP))
    game = table.to(stage)
    defends = stage in (BEGUN, POST, SAY)
    clock = game["defender_clock" if defends else "challenger_clock"]
    with refused("games.early"):
        room.games.forfeit(table.case, by=EVE)
    room.turn(clock)
    with refused("games.early"):
        room.games.forfeit(table.case, by=EVE)
    before = room.evm.snapshot()
    table.defend() if defends else table.attack()
    room.evm.revert(before)
    room.turn(1)
    with refused("games.late"):
        table.defend() if defends else table.attack()
    room.games.forfeit(table.case, by=EVE)
    assert room.told("Ended") == {"case": table.case, "outcome": CHEATED if defends else HONEST, "why": "clock"}
    assert table.outcome == (CHEATED if defends else HONEST)
    with refused("games.stage"):
        room.games.forfeit(table.case, by=EVE)
    room.check_nothing_left(table.case)


def test_an_absurd_number_of_positions_gives_no_endless_clock_gam_30(room):
    goods = room.goods(prompt_units=2**32 - 9, answer_from=2**32 - 9)
    table = Table(room, begin(room, goods), goods, 4)
    assert table.game["defender_clock"] == BASE + PER_POSITION * 8_192


def test_a_move_names_the_head_that_it_answers_gam_31(room):
    tables = [room.disputed(room.goods(DEEP)), room.disputed(room.goods(DEEP, nonce=1))]
    heads = [tables[0].head, tables[1].head]
    assert heads[0] != heads[1]  # of two cases
    table = tables[0]
    old = table.head
    for head in (ZERO32, flipped(old), heads[1]):
        with refused("games.moved"):
            room.games.answer(table.case, head, tuple(table.answer().values()), by=PAUL)
    seen = {old}
    while table.stage != OVER:
        before = table.head
        table.defend() if table.stage in (BEGUN, POST, SAY) else table.attack()
        if table.stage != OVER:
            assert table.head not in seen
            seen.add(table.head)
            assert before != table.head
    assert len(seen) > 10


def test_the_head_begins_with_chain_contract_and_case_gam_31(room):
    goods = room.goods()
    case = room.challenge(goods.sale)
    assert room.games.head_of(case) == ZERO32
    word = lambda number: number.to_bytes(32, "big")  # noqa: E731
    first = keccak256(word(1) + bytes(12) + bytes.fromhex(room.games.address[2:]) + case)
    room.games.appeal(case, goods.exhibit, by=PAUL)
    called = keccak256(first + word(CALLED) + word(0) + ZERO32)
    assert room.games.head_of(case) == called
    room.games.begin(case, goods.exhibit, (0, NO_RIVAL), by=WATCH)
    move = keccak256(word(0) + word(NO_RIVAL))
    assert room.games.head_of(case) == keccak256(called + word(POST) + word(EVIDENCE) + move)


@pytest.mark.parametrize("stage", [BEGUN, POST, POINT, SAY, PICK, STEP])
def test_only_who_is_to_move_moves_and_only_so_gam_32(room, stage):
    table = room.disputed(room.goods(DEEP))
    table.to(stage)
    case, head, games = table.case, table.head, room.games
    fields = tuple(table.answer().values())
    unit = table.goods.opened(3)
    moves: dict[int, Callable[[Any], Any]] = {
        BEGUN: lambda by: games.answer(case, head, fields, by=by),
        POST: lambda by: games.post(case, head, [ZERO32], by=by),
        POINT: lambda by: games.point(case, head, 0, ZERO32, (), by=by),
        SAY: lambda by: games.say(case, head, b"", by=by),
        PICK: lambda by: games.pick(case, head, 0, b"", by=by),
        STEP: lambda by: games.step(case, head, 5, NODES[0].leaf, unit, (), (), by=by),
    }
    for other, move in moves.items():
        defends = other in (BEGUN, POST, SAY)
        right, wrong = (PAUL, WATCH) if defends else (WATCH, PAUL)
        if other != stage:
            with refused("games.stage"):
                move(right)
        elif other != STEP:
            for who in (wrong, EVE):
                with refused("games.not-the-defender" if defends else "games.not-the-challenger"):
                    move(who)
    if stage != POINT:
        with refused("games.stage"):
            games.point_node(case, head, 0, ZERO32, (), FACTS, NODES[0].leaf, (), by=WATCH)


def test_a_lost_game_pays_its_defender_for_each_move_gam_33(room):
    table = room.disputed(room.goods())
    aim(table, 3, 1, 1)
    table.to(STEP)
    table.attack()
    assert table.moves >= 7
    paid = table.moves * MOVE_FEE
    assert table.game["moves"] == table.moves
    assert room.gained(PAUL) == paid <= STAKE // 2
    assert room.bonds.credit(DEAD) == STAKE - paid
    assert room.told("Ended") == {"case": table.case, "outcome": HONEST, "why": "step"}
    assert room.court.case_of(table.case)["stage"] == RULED


def test_a_conviction_ends_every_other_game_on_the_receipt_gam_34(room):
    goods = room.goods(DEEP)
    guilty, other = room.disputed(goods), room.disputed(goods, by=OTHER)
    other.to(STEP)
    assert guilty.play() == CHEATED
    room.games.forfeit(other.case, by=EVE)  # at any time
    assert room.told("Ended") == {"case": other.case, "outcome": 0, "why": "convicted"}
    assert room.held(OTHER) == 100 * UNITS
    assert room.held(PAUL) == BOND - room.stake(goods.sale)
    room.check_nothing_left(other.case)
    with refused("rulings.convicted"):
        room.challenge(goods.sale, OTHER)


@pytest.mark.parametrize("honest", [False, True])
def test_who_plays_on_after_a_conviction_loses_nothing_gam_34(room, honest):
    """Twins convict while two play; the game's own end costs nobody anything more."""
    table = room.disputed(room.goods(*[DEEP] * (not honest)))
    aim(table, 60, 1, 20, 0, 49)
    table.to(STEP)
    twin = replace(table.goods.sale.receipt, evidence_root=b"\x09" * 32)
    sale = table.goods.sale
    signatures = (sale.order_signature, sale.receipt_signature)
    room.proofs.convict_twice(sale.exhibit, *signatures, twin, PAUL.sign(twin.digest(room.domain)), NO_TIE, by=EVE)
    after = room.held(PAUL)
    table.attack()
    assert room.told("Ended")["outcome"] == 0
    assert (room.held(PAUL), room.held(WATCH)) == (after, 100 * UNITS)
    room.check_nothing_left(table.case)


# ------------------------------------------------------------------ early ends


def early(room: GameRoom, *, answer: tuple[int, ...] = REPLY, **changes: Any) -> Table:
    """A game on an answer that ended before its order's max_units."""
    goods = room.goods(answer=answer, max_units=64, **changes)
    case = room.challenge(goods.sale)
    room.games.begin_early(case, goods.exhibit, by=WATCH)
    return Table(room, case, goods, 0)


def cancelled(table: Table, units: int, signer: Any = SESSION, **changes: Any) -> None:
    """The defender shows a cancel."""
    cancel = replace(Cancel(1, table.goods.sale.receipt.order, units), **changes)
    signature = signer.sign(cancel.digest(table.room.domain))
    table.room.games.show_cancel(table.case, table.head, table.goods.exhibit, cancel, signature, by=PAUL)


def ended(table: Table, **changes: Any) -> None:
    """The defender shows that the last unit is an end id."""
    last = len(table.goods.units) - 1
    usual = {"facts": FACTS, "leaves": len(MODEL), "path": merkle.prove(MODEL, 2), "unit": table.goods.opened(last)}
    shown = tuple((usual | changes).values())
    table.room.games.show_end(table.case, table.head, table.goods.exhibit, *shown, by=PAUL)


def test_a_full_answer_did_not_end_early_gam_35(room):
    goods = room.goods()
    case = room.challenge(goods.sale)
    with refused("games.not-early"):
        room.games.begin_early(case, goods.exhibit, by=WATCH)
    with refused("games.not-the-challenger"):
        room.games.begin_early(case, goods.exhibit, by=EVE)


def test_an_early_end_without_a_reason_convicts_by_silence_gam_35(room):
    table = early(room)
    assert room.told("BegunEarly")["challenger"] == WATCH.address
    assert (table.stage, table.game["place"], table.game["defender_clock"]) == (BEGUN, EARLY, BASE)
    with refused("games.stage"):
        room.games.answer(table.case, table.head, tuple(table.answer(table.goods.run(1)).values()), by=PAUL)
    with refused("games.end"):
        ended(table)
    room.turn(BASE + 1)
    with refused("games.late"):
        cancelled(table, 5)
    room.games.forfeit(table.case, by=EVE)
    assert table.outcome == CHEATED


@pytest.mark.parametrize("end", [7, 50])
def test_an_end_id_ends_an_answer_gam_35(room, end):
    table = early(room, answer=(*REPLY[:3], end))
    with refused("games.unit"):
        ended(table, unit=unit_leaf((*REPLY[:3], 7 + 50 - end), SALT, 3))
    with refused("games.facts"):
        ended(table, leaves=4)
    ended(table)
    assert (table.outcome, room.told("Ended")["why"]) == (HONEST, "end")
    assert room.gained(PAUL) == MOVE_FEE
    room.check_nothing_left(table.case)


def test_an_end_id_of_a_prefix_ends_nothing_gam_35(room):
    table = early(room, answer=(50,), text=(*TEXT[:-1], 50), answer_from=69)
    with refused("games.end"):
        ended(table)


@pytest.mark.parametrize("units", [0, 5, 99])
def test_a_cancel_within_the_run_ahead_ends_an_answer_gam_35(room, units):
    table = early(room)
    cancelled(table, units)
    assert table.outcome == HONEST
    assert room.told("Ended")["why"] == "cancel"


def test_a_cancel_that_does_not_fit_ends_nothing_gam_35(room):
    table = early(room, answer=(BEST,) * 20)
    with refused("games.cancel"):
        cancelled(table, 3)  # 16 ahead: 19
    with refused("games.cancel"):
        cancelled(table, 20, order=b"\x01" * 32)
    with refused("signature"):
        cancelled(table, 20, PAUL)
    sale = room.goods(nonce=1).sale
    cancel = Cancel(1, table.goods.sale.receipt.order, 20)
    signature = SESSION.sign(cancel.digest(room.domain))
    with refused("games.other-receipt"):
        room.games.show_cancel(table.case, table.head, sale.exhibit, cancel, signature, by=PAUL)
    cancelled(table, 4)


def test_a_game_on_a_unit_is_not_answered_by_an_end_gam_35(room):
    table = room.disputed(room.goods(answer=(*REPLY[:4], 7)))
    with refused("games.stage"):
        ended(table)
    with refused("games.stage"):
        cancelled(table, 5)


def test_the_truth_of_a_run_is_what_the_contract_steps(room):
    """The toy's sums in Python and in its contract are the same, or nothing above would mean anything."""
    run = Run(TEXT)
    for node, shape in enumerate(NODES[:4]):
        sums = run.sums(3, node, 1)
        word = room.operands.compute((ZERO32, 5, ZERO32, 70, 3, ZERO32, 7, node, 0), shape.leaf, 1, 0, sums[0], (), ())
        assert word == sums[1]
