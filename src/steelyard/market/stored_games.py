"""A game as `contracts/Games.vy` stores it, in 14 words, unpacked: the widths are those of its `Turn` and `Spot`."""

from collections.abc import Iterator
from typing import Final

from steelyard.chain.bindings.games import StoredOf
from steelyard.protocol.games import Place, Stage, View
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.keys import checksum

TURN: Final = (8, 8, 8, 8, 16, 32, 32, 40, 32, 32)
"""Stage, place, levels, wide, moves, seconds of defender and challenger, since, count, base: bits, the lowest first."""
SPOT: Final = (16, 16, 32, 32, 8, 8, 8, 32, 32, 32, 32)
"""Position, node, elements, element, chain, lanes, join, low, high, low_word, claimed."""
ORDER: Final = (32, 32, 32, 32, 32, 64, 32)
"""Answer's units, where it begins, prompt's units, positions, temperature, seed, top_k."""
CHALLENGER: Final = (32, 32, 160, 32)
"""Nodes, rival, address, top_p."""


def unpacked(case: bytes, stored: StoredOf) -> View | None:
    """All of a view that needs no events, None if there is no game. What is not known yet, or not any more, is zero."""
    stage, place, levels, wide, moves, defender, challenger, since, count, base = _cut(stored.turn, TURN)
    position, node, elements, element, chain, lanes, join, low, high, low_word, claimed = _cut(stored.spot, SPOT)
    answer_units, answer_from, prompt_units, positions, temperature, seed, top_k = _cut(stored.order, ORDER)
    nodes, rival, address, top_p = _cut(stored.challenger, CHALLENGER)
    if not stage:
        return None
    begun, over = stage <= Stage.BEGUN or place == Place.EVIDENCE, stage == Stage.OVER
    narrowed, saying = Place.LEAVES <= place < Place.EARLY, stage == Stage.PICK
    return View(
        case=case,
        head=stored.head,
        stage=Stage(stage),
        place=Place(place),
        defender=stored.defender,
        challenger=checksum(f"0x{address:040x}"),
        receipt=stored.receipt,
        model_root=stored.model_root,
        prompt_root=stored.prompt_root,
        response_root=stored.response_root,
        evidence_root=stored.root if begun else ZERO32,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        positions=positions,
        prompt_units=prompt_units,
        answer_from=answer_from,
        answer_units=answer_units,
        rival=rival,
        run_root=ZERO32 if begun or over else stored.root,
        facts_hash=ZERO32 if narrowed or over else stored.node,
        nodes=nodes,
        at=ZERO32 if saying or over else stored.at,
        said=stored.at if saying else ZERO32,
        levels=levels,
        wide=wide,
        count=count,
        base=base,
        position=position,
        position_leaf=stored.position_leaf if Place.NODES <= place < Place.EARLY else ZERO32,
        node=node,
        node_hash=stored.node if narrowed else ZERO32,
        elements=elements,
        element=element,
        lanes=lanes,
        join=join,
        chain=chain,
        low=low,
        high=high,
        low_word=low_word,
        claimed=claimed,
        sieve=stored.position_leaf if place == Place.IDS else ZERO32,
        defender_clock=defender,
        challenger_clock=challenger,
        since=since,
        moves=moves,
    )


def _cut(word: int, widths: tuple[int, ...]) -> Iterator[int]:
    for width in widths:
        yield word & (1 << width) - 1
        word >>= width
