"""Attention of one token and the query heads of one key-value head, over a paged binary32 cache.

Scores: one chain over the head's numbers, then times the scale (and capped, in families that do). Weights: e^(s - max),
0 below e^-27. Their sum: 16 chains, position mod 16, and the fixed tree. Output: one chain over positions, then divided
by the sum. Scores and outputs are snapped. A layer with a window skips the positions that it does not see.
"""

from dataclasses import dataclass
from typing import Final

from llvmlite import ir

from steelyard.engines.canonical.bounds import LOWEST
from steelyard.engines.canonical.emit import F32, I64, INF, LANES, Array, Kernel, Value, lanes
from steelyard.engines.canonical.recipe import Recipe
from steelyard.engines.canonical.rowwise import (
    KEY_HEADS,
    KEYS,
    POSITIONS,
    QKV,
    QUERY_HEADS,
    STRIDE,
    VALUES,
    capped,
    number_as_float,
    page_address,
)
from steelyard.engines.canonical.scalars import exp, larger, snap

OUT, SCALE, SCRATCH, WINDOW, CAP = range(10, 15)
MAX_CHAINS: Final = 16


def attention(module: object, name: str, recipe: Recipe) -> None:
    """One chunk is (token, key-value head). SCRATCH is the numbers in one head's row of scores, WINDOW how many
    positions are seen, CAP what caps scores if the recipe says so."""
    kit = Kernel(module, name)
    heads, head = kit.number(KEY_HEADS), recipe.head_dim
    token, which = kit.chunk / heads, kit.chunk % heads
    position = kit.load(kit.pointer(POSITIONS), token << 3, I64, 8)
    window = kit.number(WINDOW)
    oldest = position.compare("<", window).choose(kit.const(I64, 0), position + 1 - window)
    place = Place(token, which, position, oldest)
    row = kit.at(kit.pointer(QKV), (token * kit.number(STRIDE) + which * (recipe.group * head)) << 2)
    out_row = token * kit.number(QUERY_HEADS) * head + which * (recipe.group * head)
    out = kit.at(kit.pointer(OUT), out_row << 2)
    greatest, totals = Array(kit, recipe.group, lanes(F32)), Array(kit, recipe.group, F32)
    _scores(kit, recipe, place, row, greatest)
    with kit.loop(0, recipe.group) as g:
        totals.set(g, _weights(kit, recipe, place, scores_of(kit, g), greatest.get(g).tree(larger)))
    at_once = max(1, MAX_CHAINS // (head // LANES))
    for begin in range(0, recipe.group, at_once):
        some = range(begin, min(begin + at_once, recipe.group))
        _mix(kit, recipe, place, totals, some, out)
    kit.finish()


@dataclass(frozen=True)
class Place:
    """Whose attention, over which positions."""

    token: Value
    which: Value
    """Key-value head."""
    position: Value
    oldest: Value
    """First position that is seen."""


def scores_of(kit: Kernel, g: Value | int) -> Value:
    """Where the scores of query head g begin."""
    return kit.at(kit.scratch, kit.number(SCRATCH) * g << 2)


def _scores(kit: Kernel, recipe: Recipe, place: Place, row: Value, greatest: Array) -> None:
    """scores[g][p] = (q_g · k_p)·scale for the positions seen, minus infinity for the others of their pages."""
    head, page = recipe.head_dim, recipe.page
    scale = number_as_float(kit, SCALE).splat()
    ramp = Value(kit, ir.Constant(lanes(I64), list(range(LANES))))
    with kit.loop(0, recipe.group) as g:
        greatest.set(g, kit.const(lanes(F32), -INF))
    with kit.loop(place.oldest / page, place.position / page + 1) as number:
        keys = kit.at(page_address(kit, place.token, number), kit.number(KEYS) + place.which * (4 * head * page))
        with kit.loop(0, recipe.group) as g:
            scores, most = scores_of(kit, g), kit.var(greatest.get(g))
            chains = [kit.var(kit.const(lanes(F32), 0.0)) for _ in range(page // LANES)]
            with kit.loop(0, head) as k:
                q = kit.load(row, (k + g * head) << 2, F32, 4).splat()
                for i, chain in enumerate(chains):
                    key = kit.load(keys, (k * page + i * LANES) << 2, lanes(F32), 4)
                    chain.set(kit.fma(q, key, chain.get()))
            for i, chain in enumerate(chains):
                first = number * page + i * LANES
                here = ramp + first.splat()
                inside = here.compare("<=", place.position.splat()) & here.compare(">=", place.oldest.splat())
                score = snap(chain.get() * scale)
                if recipe.capped:
                    score = capped(kit, score, number_as_float(kit, CAP).splat())
                score = inside.choose(score, kit.const(lanes(F32), -INF))
                kit.store(score, scores, first << 2, 4)
                most.set(larger(score, most.get()))
            greatest.set(g, most.get())


def _weights(kit: Kernel, recipe: Recipe, place: Place, scores: Value, greatest: Value) -> Value:
    """Scores become e^(s - max) in place; returns their sum. A page is a multiple of 16 positions, so that each stays
    in its chain."""
    total = kit.var(kit.const(lanes(F32), 0.0))
    with kit.loop(place.oldest / recipe.page * recipe.page, place.position + 1, LANES) as at:
        weight = exp(kit, kit.load(scores, at << 2, lanes(F32), 4) - greatest.splat(), LOWEST)
        kit.store(weight, scores, at << 2, 4)
        total.set(total.get() + weight)
    return total.get().tree(Value.__add__)


def _mix(kit: Kernel, recipe: Recipe, place: Place, totals: Array, some: range, out: Value) -> None:
    head, page = recipe.head_dim, recipe.page
    parts = head // LANES
    chains = [[kit.var(kit.const(lanes(F32), 0.0)) for _ in range(parts)] for _ in some]
    scores = [scores_of(kit, g) for g in some]
    with kit.loop(place.oldest / page * page, place.position + 1, page) as first:
        base = kit.number(VALUES) + place.which * (4 * head * page)
        values = kit.at(page_address(kit, place.token, first / page), base)
        left = place.position + 1 - first
        begin = place.oldest.compare(">", first).choose(place.oldest - first, 0)
        with kit.loop(begin, left.compare("<", page).choose(left, page)) as slot:
            here = [kit.load(values, (slot * head + i * LANES) << 2, lanes(F32), 4) for i in range(parts)]
            for weights, row in zip(scores, chains, strict=True):
                weight = kit.load(weights, (first + slot) << 2, F32, 4).splat()
                for chain, value in zip(row, here, strict=True):
                    chain.set(kit.fma(weight, value, chain.get()))
    for g, row in zip(some, chains, strict=True):
        for i, chain in enumerate(row):
            kit.store(snap(chain.get() / totals.get(g).splat()), out, (g * head + i * LANES) << 2, 4)
