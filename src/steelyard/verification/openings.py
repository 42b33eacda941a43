"""What an opening shows: of units, facts, words, and the operands of a step (spec/games.md). The referee's hashing."""

from typing import NamedTuple

from steelyard.protocol import games, merkle, moves
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.facts import FACTS, Facts
from steelyard.protocol.games import WORDS_PER_LEAF, View
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.records import Level
from steelyard.protocol.roots import EVIDENCE_LABEL, LOGPROBS, UNITS_PER_LEAF


class Spot(NamedTuple):
    """Where an operand is committed: see `holding.Load`."""

    tag: int
    position: int
    node: int
    leaf: int
    root: bytes


def require(holds: bool, rule: str, detail: str) -> None:
    """Raises Refused(rule) unless it holds."""
    if not holds:
        raise Refused(rule, detail)


def require_followed(shown: moves.Shown, domain: Domain, receipt: bytes) -> None:
    """GAM-1: it is the case's receipt, by digest, and of an order that a game can follow."""
    offer, order = shown.offer, shown.order
    digests = offer.digest(domain), order.digest(domain), shown.receipt.digest(domain)
    linked = digests == (order.offer, shown.receipt.order, receipt) and shown.receipt.offer == order.offer
    sealed = merkle.seal(shown.answer_units, shown.answer_top) == shown.receipt.response_root
    require(linked and sealed, "games.other-receipt", f"0x{digests[2].hex()}")
    level = order.level in (Level.AUDITED, Level.DISPUTABLE)
    plain = order.grammar == ZERO32 and order.logprobs == 0
    require(level and plain, "games.not-lowered", f"level {order.level}, logprobs {order.logprobs}, or a grammar")


def root_of(count: int, index: int, leaf: bytes, path: tuple[bytes, ...], rule: str = "games.opening") -> bytes:
    """The sealed root that a leaf hash and its path give. Raises Refused(rule)."""
    fits = 0 <= index < count and len(path) == merkle.depth_of(count)
    require(fits, rule, f"leaf {index} of {count}, {len(path)} siblings")
    return merkle.seal(count, merkle.climb(index, leaf, path))


def require_evidence(view: View, unit: moves.Unit, evidence: bytes, path: tuple[bytes, ...]) -> None:
    """GAM-4: the evidence of the claimed unit, salted as the opened unit says (RTS-3), stands under the receipt's."""
    salt = sha256(EVIDENCE_LABEL, unit.salt, view.unit.to_bytes(8, "big"))
    found = root_of(view.generated, view.unit, merkle.leaf_hash(salt + evidence), path, "games.evidence")
    require(found == view.evidence_root, "games.evidence", f"unit {view.unit} is another")


def facts_of(model_root: bytes, shown: moves.Answered | moves.ShowEnd) -> Facts:
    """GAM-4: the model's facts."""
    under = merkle.verify(model_root, shown.leaves, FACTS, merkle.leaf_hash(shown.facts), shown.path)
    require(under, "games.facts", "are not the model's")
    return Facts.read(shown.facts)


def unit_of(root: bytes, count: int, index: int, opened: moves.Unit) -> int:
    """Unit `index` of the `count` under a prompt or response root (RTS-1, RTS-2, RTS-7)."""
    leaf, at = divmod(index, UNITS_PER_LEAF)
    here = min(UNITS_PER_LEAF, count - leaf * UNITS_PER_LEAF)
    whole = 0 <= index < count and len(opened.units) == 4 * here
    require(whole, "games.unit", f"{len(opened.units)} bytes, for unit {index} of {count}")
    leaves, hashed = -(-count // UNITS_PER_LEAF), merkle.leaf_hash(opened.salt + opened.units)
    top = root_of(leaves, leaf, hashed, opened.path, "games.unit")
    top = sha256(LOGPROBS, top, opened.beside) if any(opened.beside) else top
    require(merkle.seal(count, top) == root, "games.unit", f"unit {index} is another")
    return games.words_of(opened.units)[at]


def id_at(view: View, opened: moves.Unit) -> int:
    """GAM-20: the id at the position that is stepped."""
    if view.position < view.prompt_units:
        return unit_of(view.prompt_root, view.prompt_units, view.position, opened)
    return unit_of(view.response_root, view.answer_units, view.position - view.answer_from, opened)


def word_of(elements: int, index: int, data: bytes, path: tuple[bytes, ...]) -> tuple[bytes, int]:
    """The root of a value of so many elements, and element `index`, from the leaf that holds it."""
    leaf, at = divmod(index, WORDS_PER_LEAF)
    here = min(WORDS_PER_LEAF, elements - leaf * WORDS_PER_LEAF)
    require(len(data) == games.WORD * here, "games.opening", f"{len(data)} bytes for {here} words")
    return root_of(games.leaves_of(elements), leaf, merkle.leaf_hash(data), path), games.words_of(data)[at]


def require_operand(view: View, spot: Spot, opening: moves.Opening, leaves: int) -> None:
    """GAM-20: an opening is of the place that a load takes from, under the roots that are agreed."""
    leaf, bound = merkle.leaf_hash(opening.data), not (opening.node_path or opening.position_path)
    if spot.tag == 1:
        found, expected = root_of(leaves, spot.leaf, leaf, opening.path, "operands.path"), view.model_root
    elif spot.tag == 2:
        found, expected = root_of(opening.count, spot.leaf, leaf, opening.path, "operands.path"), spot.root
    else:
        before = spot.position < view.position or (spot.position == view.position and spot.node < view.node)
        require(before, "operands.order", f"node {spot.node} at {spot.position}")
        value = root_of(opening.count, spot.leaf, leaf, opening.path, "operands.path")
        top = root_of(view.nodes, spot.node, merkle.leaf_hash(value), opening.node_path, "operands.path")
        found, expected, bound = merkle.leaf_hash(top), view.position_leaf, not opening.position_path
        if spot.position < view.position:
            found = root_of(view.positions, spot.position, found, opening.position_path, "operands.path")
            expected, bound = view.run_root, True
    require(bound and found == expected, "operands.path", f"no leaf {spot.leaf} of {spot}")
