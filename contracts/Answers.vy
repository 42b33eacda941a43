# pragma version 0.4.3
"""
@title Answers: whether what is shown in a game opens, and what it says
@license Apache-2.0
@notice The part of Games that keeps nothing. spec/games.md says the rules. Not audited by a third party.
@custom:invariant no state: every answer follows from the arguments, from Escrow's channels and from this chain's domain
"""

from interfaces import IEscrow
from interfaces import IOrders
import exhibits
import filters
import openings
import records
import trees

initializes: exhibits

# what an answer says: of the model's facts how many nodes and ids there are; whether the rival beats the unit; if a filter has a say,
# the hash of what it lets through, whose sums are claimed
struct Read:
    nodes: uint256
    vocabulary: uint256
    beaten: bool
    sieve: bytes32

AUDITED: constant(uint8) = 2
DISPUTABLE: constant(uint8) = 3
ONE: constant(uint256) = 1065353216  # 0x3F800000, 1.0
MAX_POSITIONS: constant(uint256) = 8192  # ARI-42
MAX_NODES: constant(uint256) = 2**16
MAX_CHILDREN: constant(uint256) = 64
EVIDENCE_LABEL: constant(Bytes[18]) = b"steelyard/evidence"


@deploy
def __init__(escrow: IEscrow, orders: IOrders):
    exhibits.__init__(escrow, orders)


@view
@internal
def _require_followed(shown: exhibits.Exhibit, receipt: bytes32):
    offer: bytes32 = empty(bytes32)
    order: bytes32 = empty(bytes32)
    digest: bytes32 = empty(bytes32)
    offer, order, digest = exhibits._digests(shown)
    assert digest == receipt, "games.other-receipt"
    assert shown.order.level in [AUDITED, DISPUTABLE], "games.not-lowered"
    assert shown.order.grammar == empty(bytes32) and shown.order.logprobs == 0, "games.not-lowered"


@view
@external
def followed(shown: exhibits.Exhibit, receipt: bytes32) -> uint256:
    """
    It is the receipt, and of an order that a game can follow. Returns how many units were generated.
    """
    self._require_followed(shown, receipt)
    return exhibits._new(shown)


@view
@external
def cancelled(shown: exhibits.Exhibit, receipt: bytes32, cancel: records.Cancel, signature: Bytes[65]) -> bool:
    """
    True, if the buyer had cancelled, and the answer runs ahead of that as far as the offer allows at most (rule P5).
    """
    self._require_followed(shown, receipt)
    assert cancel.version == 1 and cancel.order == shown.receipt.order, "games.cancel"
    most: uint256 = convert(cancel.units, uint256) + convert(shown.offer.run_ahead, uint256)
    assert exhibits._new(shown) <= most, "games.cancel"
    session_key: address = (staticcall exhibits.ESCROW.channel_of(shown.order.channel)).session_key
    assert session_key != empty(address), "games.cancel"
    assert session_key == records.recover(records.digest_cancel(cancel, exhibits._separator()), signature), "signature"
    return True


@view
@external
def ended(
    shown: exhibits.Exhibit,
    receipt: bytes32,
    facts: Bytes[openings.MAX_FACTS],
    leaves: uint256,
    path: DynArray[bytes32, 32],
    unit: openings.Unit,
) -> bool:
    """
    True, if the last unit, a generated one, is an end id.
    """
    self._require_followed(shown, receipt)
    assert exhibits._new(shown) > 0, "games.end"
    openings._require_facts(shown.receipt.model_root, leaves, facts, path)
    last: uint256 = openings._unit(shown.receipt.response_root, shown.answer_units, shown.answer_units - 1, unit)
    assert openings._is_end(facts, last), "games.end"
    return True


@pure
@external
def unit(root: bytes32, count: uint256, index: uint256, shown: openings.Unit) -> uint256:
    """
    Unit `index` of `count` under a prompt's or an answer's root.
    """
    return openings._unit(root, count, index, shown)


@pure
@external
def folded(children: DynArray[bytes32, MAX_CHILDREN], first: uint256, below: uint256, count: uint256) -> bytes32:
    """
    The node above these children, which stand `below` levels above the `count` leaves of their tree, the first at this index of its
    level. A child without leaves is padding and nothing else: there a difference could not be pointed at.
    """
    pad: bytes32 = empty(bytes32)
    for _: uint256 in range(below, bound=32):
        pad = trees.node(pad, pad)
    layer: bytes32[openings.MAX_LAYER] = empty(bytes32[openings.MAX_LAYER])
    for i: uint256 in range(len(children), bound=MAX_CHILDREN):
        assert (first + i) << below < count or children[i] == pad, "games.children"
        layer[i] = children[i]
    return openings._top(layer, len(children))


@pure
@internal
def _marked(logits: bytes32, vocabulary: uint256, mark: openings.Mark, says: bool) -> uint256:
    """
    The logit of an id that a filter with a say has to name; NOBODY of one without.
    """
    assert says == (mark.id != filters.NOBODY), "games.marks"
    if not says:
        return filters.NOBODY
    assert openings._value_of(vocabulary, mark.id, mark.words, mark.path) == logits, "games.opening"
    return openings._word(mark.words, mark.id % 32)


@pure
@external
def read(agreed: openings.Agreed, shown: openings.Answer) -> Read:
    """
    What the defender's answer says, if what it shows opens and gives the receipt's evidence.
    """
    openings._require_facts(agreed.model_root, shown.leaves, shown.facts, shown.path)
    facts: openings.Facts = openings._facts(shown.facts)
    assert facts.nodes <= MAX_NODES, "games.facts"
    assert agreed.positions <= min(facts.positions, MAX_POSITIONS), "games.positions"
    index: uint256 = agreed.answer_units - agreed.new + agreed.unit
    id: uint256 = openings._unit(agreed.response_root, agreed.answer_units, index, shown.unit)
    # the state and the logits stand under one position's root, and that under the run's
    value: bytes32 = openings._value(shown.state, facts.width)
    position: bytes32 = openings._rise(facts.nodes, facts.state, trees.leaf(value), shown.state_path)
    last: uint256 = agreed.positions - 1
    run: bytes32 = openings._rise(agreed.positions, last, trees.leaf(position), shown.position_path)
    assert run == shown.run_root and run != empty(bytes32), "games.opening"
    logits: bytes32 = openings._value_of(facts.vocabulary, id, shown.logit, shown.logit_path)
    under: bytes32 = openings._rise(facts.nodes, facts.logits, trees.leaf(logits), shown.logit_node_path)
    assert under == position and logits != empty(bytes32), "games.opening"
    evidence: bytes32 = sha256(concat(shown.state, slice(shown.logit, 4 * (id % 32), 4), empty(bytes32)))
    # RTS-3: nobody can choose a salt that no other run has
    salt: bytes32 = sha256(concat(EVIDENCE_LABEL, shown.unit.salt, convert(convert(agreed.unit, uint64), bytes8)))
    leaf: bytes32 = sha256(concat(x"00", salt, evidence))
    assert openings._rise(agreed.new, agreed.unit, leaf, shown.evidence_path) == agreed.evidence_root, "games.evidence"
    found: Read = Read(nodes=facts.nodes, vocabulary=facts.vocabulary, beaten=False, sieve=empty(bytes32))
    if agreed.rival >= facts.vocabulary:
        return found
    assert (
        openings._value_of(facts.vocabulary, agreed.rival, shown.rival, shown.rival_path) == logits
    ), "games.opening"
    draw: openings.Draw = agreed.draw
    top_k: bool = draw.temperature != 0 and 0 < draw.top_k and draw.top_k < facts.vocabulary
    top_p: bool = draw.temperature != 0 and draw.top_p < ONE
    sieve: filters.Sieve = filters.Sieve(
        logits=logits,
        vocabulary=facts.vocabulary,
        temperature=draw.temperature,
        unit=id,
        unit_z=openings._word(shown.logit, id % 32),
        rival=agreed.rival,
        rival_z=openings._word(shown.rival, agreed.rival % 32),
        lowest=shown.filtered.lowest.id,
        lowest_z=self._marked(logits, facts.vocabulary, shown.filtered.lowest, top_k),
        greatest=shown.filtered.greatest.id,
        greatest_z=self._marked(logits, facts.vocabulary, shown.filtered.greatest, top_p),
    )
    assert filters.fits(sieve, shown.filtered.sums, draw.top_k), "games.sums"
    found.beaten = filters.beats(sieve, shown.filtered.sums, draw.top_p, draw.seed, agreed.positions)
    if top_k or top_p:
        found.sieve = keccak256(abi_encode(sieve))
    return found


@pure
@external
def weighs(
    digest: bytes32, sieve: filters.Sieve, id: uint256, words: Bytes[128], path: DynArray[bytes32, 32], claimed: uint256
) -> bool:
    """
    True if the id's share in the sums is the claimed one.
    """
    assert keccak256(abi_encode(sieve)) == digest, "games.sieve"
    assert openings._value_of(sieve.vocabulary, id, words, path) == sieve.logits, "games.opening"
    return filters.share(sieve, id, openings._word(words, id % 32)) == claimed
