# pragma version 0.4.3
"""
@title Games: a receipt's dispute, narrowed to one arithmetic step that is executed here
@license Apache-2.0
@notice The receipt's provider, the defender, posts a tree of its run, level by level; whoever challenged points at the first child
    that it holds otherwise, until one turn of one node is left. spec/games.md says the rules (GAM-1 ...). Not audited by a third party.
@custom:invariant
    - a game ends: every move narrows, and the side to move loses once its clock is over
    - a defender is convicted only by a step that gives another word, by an id that a rival beats, by sums that are not its logits', or by
      its own silence
    - a challenger loses only its own stake; nobody else is bound by that (rule M7)
    - every move names the head that it answers, so it counts in one game, once, on one chain
    - this contract holds no money: Rulings does what the outcome says, once a receipt
"""

from interfaces import IOperands
from interfaces import IRulings
import Answers
import exhibits
import filters
import openings
import records
import trees

event Called:
    case: indexed(bytes32)
    defender: indexed(address)
    challenger: indexed(address)

event Begun:
    case: indexed(bytes32)
    defender: indexed(address)
    challenger: indexed(address)
    unit: uint256
    positions: uint256
    rival: uint256

event BegunEarly:
    case: indexed(bytes32)
    defender: indexed(address)
    challenger: indexed(address)

event Answered:
    case: indexed(bytes32)
    run_root: bytes32

event Filtered:
    case: indexed(bytes32)
    lowest: uint256
    greatest: uint256
    sums: uint256

event Posted:
    case: indexed(bytes32)
    children: DynArray[bytes32, MAX_CHILDREN]

event Pointed:
    case: indexed(bytes32)
    place: uint256
    index: uint256

event Said:
    case: indexed(bytes32)
    place: uint256
    words: Bytes[MAX_SAID]

event Picked:
    case: indexed(bytes32)
    place: uint256
    index: uint256

event Stepped:
    case: indexed(bytes32)
    word: uint256
    claimed: uint256

event Weighed:
    case: indexed(bytes32)
    right: bool

event Ended:
    case: indexed(bytes32)
    outcome: uint8
    why: String[16]

struct Terms:
    base: uint256
    per_position: uint256
    move_fee: uint256

struct Claim:
    unit: uint256
    rival: uint256

# what is stored of a game: 14 words, most of them written once
struct Stored:
    turn: uint256
    head: bytes32
    receipt: bytes32
    defender: address
    challenger: uint256  # top_p << 224 | address << 64 | rival << 32 | nodes
    order: uint256  # top_k << 224 | seed << 160 | temperature << 128 | positions << 96 | prompt_units << 64 | answer_from << 32 | answer_units
    model_root: bytes32
    prompt_root: bytes32
    response_root: bytes32
    root: bytes32  # BEGUN: the receipt's evidence root; then the run root
    at: bytes32  # PICK: hash of what was said; else of the current node, at IDS of the two sums between which ids are left
    node: bytes32  # until the node is pointed at: hash of the facts; then its leaf hash
    position_leaf: bytes32  # at IDS the sieve's hash
    spot: uint256

# whose turn it is
struct Turn:
    stage: uint256
    place: uint256
    levels: uint256
    wide: uint256
    moves: uint256
    defender: uint256  # seconds left
    challenger: uint256
    since: uint256  # Unix seconds
    count: uint256
    base: uint256

# what is narrowed within a position
struct Spot:
    position: uint256
    node: uint256
    elements: uint256
    element: uint256
    chain: uint256
    lanes: uint256
    join: uint256
    low: uint256
    high: uint256
    low_word: uint256
    claimed: uint256

MAX_CHILDREN: constant(uint256) = 64
MAX_ROUND: constant(uint256) = 6  # levels
MAX_SAID: constant(uint256) = openings.MAX_WORDS  # = 65 sums; or 63 words
MAX_NODE: constant(uint256) = 1024
MAX_POSITIONS: constant(uint256) = 8192  # ARI-42
NOBODY: constant(uint256) = 2**32 - 1
U16: constant(uint256) = 2**16 - 1
U32: constant(uint256) = 2**32 - 1
U40: constant(uint256) = 2**40 - 1
U64: constant(uint256) = 2**64 - 1
U160: constant(uint256) = 2**160 - 1

CALLED: constant(uint256) = 1
BEGUN: constant(uint256) = 2
POST: constant(uint256) = 3
POINT: constant(uint256) = 4
SAY: constant(uint256) = 5
PICK: constant(uint256) = 6
STEP: constant(uint256) = 7
OVER: constant(uint256) = 8
DEFENDERS: constant(uint256) = 2**BEGUN + 2**POST + 2**SAY

EVIDENCE: constant(uint256) = 1
RUN: constant(uint256) = 2
NODES: constant(uint256) = 3
LEAVES: constant(uint256) = 4
WORDS: constant(uint256) = 5
CHAINS: constant(uint256) = 6
TURNS: constant(uint256) = 7
EARLY: constant(uint256) = 8  # BEGUN: the end of the answer is disputed, not a unit
IDS: constant(uint256) = 9

DISPUTABLE: constant(uint8) = 3
HONEST: constant(uint8) = 1
CHEATED: constant(uint8) = 2

RULINGS: immutable(IRulings)
OPERANDS: immutable(IOperands)
ANSWERS: immutable(Answers.__interface__)
BASE: immutable(uint256)
PER_POSITION: immutable(uint256)
MOVE_FEE: immutable(uint256)

games: HashMap[bytes32, Stored]


@deploy
def __init__(rulings: IRulings, operands: IOperands, answers: Answers.__interface__, terms: Terms):
    """
    @param terms seconds that each side has in all: base + per_position a position; micro-tokens a move of a defender that wins
    """
    # REFUSE
    assert terms.base > 0 and terms.base + MAX_POSITIONS * terms.per_position <= U32, "games.terms"
    # WRITE
    RULINGS = rulings
    OPERANDS = operands
    ANSWERS = answers
    BASE = terms.base
    PER_POSITION = terms.per_position
    MOVE_FEE = terms.move_fee


# ------------------------------------------------------------------ reading and writing words


@view
@internal
def _turn(case: bytes32) -> Turn:
    w: uint256 = self.games[case].turn
    return Turn(
        stage=w & 255,
        place=(w >> 8) & 255,
        levels=(w >> 16) & 255,
        wide=(w >> 24) & 255,
        moves=(w >> 32) & U16,
        defender=(w >> 48) & U32,
        challenger=(w >> 80) & U32,
        since=(w >> 112) & U40,
        count=(w >> 152) & U32,
        base=w >> 184,
    )


@view
@internal
def _spot(case: bytes32) -> Spot:
    w: uint256 = self.games[case].spot
    return Spot(
        position=w & U16,
        node=(w >> 16) & U16,
        elements=(w >> 32) & U32,
        element=(w >> 64) & U32,
        chain=(w >> 96) & 255,
        lanes=(w >> 104) & 255,
        join=(w >> 112) & 255,
        low=(w >> 120) & U32,
        high=(w >> 152) & U32,
        low_word=(w >> 184) & U32,
        claimed=w >> 216,
    )


@internal
def _keep(case: bytes32, s: Spot):
    self.games[case].spot = (
        s.position
        | (s.node << 16)
        | (s.elements << 32)
        | (s.element << 64)
        | (s.chain << 96)
        | (s.lanes << 104)
        | (s.join << 112)
        | (s.low << 120)
        | (s.high << 152)
        | (s.low_word << 184)
        | (s.claimed << 216)
    )


@view
@internal
def _challenger(case: bytes32) -> address:
    return convert(convert((self.games[case].challenger >> 64) & U160, uint160), address)


@view
@external
def head_of(case: bytes32) -> bytes32:
    """
    What the next move has to name; zero if there is no game.
    """
    return self.games[case].head


@view
@external
def stored_of(case: bytes32) -> Stored:
    """
    A game, as it is stored; all zero if there is none.
    """
    return self.games[case]


# ------------------------------------------------------------------ whose turn


@pure
@internal
def _is_defenders(stage: uint256) -> bool:
    return (DEFENDERS >> stage) & 1 == 1


@view
@internal
def _enter(case: bytes32, seen: bytes32, stage: uint256, early: bool) -> Turn:
    """
    The turn, if the sender may move now at this stage, of a game about an early end or not, and has seen all moves before. The time
    since the last one is taken from the clock of the side to move.
    """
    t: Turn = self._turn(case)
    assert t.stage == stage and (t.place == EARLY) == early, "games.stage"
    assert self.games[case].head == seen, "games.moved"
    used: uint256 = block.timestamp - t.since
    left: uint256 = t.challenger
    if self._is_defenders(stage):
        assert msg.sender == self.games[case].defender, "games.not-the-defender"
        left = t.defender
        t.defender -= min(used, left)
        t.moves += 1
    else:
        if stage != STEP:
            assert msg.sender == self._challenger(case), "games.not-the-challenger"
        t.challenger -= min(used, left)
    assert used <= left, "games.late"
    t.since = block.timestamp
    return t


@internal
def _leave(case: bytes32, t: Turn, seen: bytes32, move: bytes32):
    """
    The turn is over: what it was becomes part of the head.
    """
    word: uint256 = t.stage | (t.place << 8) | (t.levels << 16) | (t.wide << 24) | (t.moves << 32) | (t.defender << 48)
    self.games[case].turn = word | (t.challenger << 80) | (t.since << 112) | (t.count << 152) | (t.base << 184)
    self.games[case].head = keccak256(abi_encode(seen, t.stage, t.place, move))


@internal
def _end(case: bytes32, moves: uint256, outcome: uint8, why: String[16]):
    # WRITE
    self.games[case].turn = OVER | (moves << 32)
    ruled: uint8 = extcall RULINGS.finish(case, outcome, moves * MOVE_FEE)
    # TELL
    log Ended(case=case, outcome=ruled, why=why)


@external
def forfeit(case: bytes32):
    """
    By anyone: who had to move and did not has lost. Nobody has, if the receipt was convicted elsewhere.
    """
    # REFUSE
    t: Turn = self._turn(case)
    assert t.stage != 0 and t.stage != OVER, "games.stage"
    if staticcall RULINGS.convicted(self.games[case].receipt):
        self._end(case, t.moves, 0, "convicted")
        return
    defends: bool = self._is_defenders(t.stage)
    assert block.timestamp - t.since > (t.defender if defends else t.challenger), "games.early"
    # WRITE
    self._end(case, t.moves, CHEATED if defends else HONEST, "clock")


# ------------------------------------------------------------------ the claim


@external
def appeal(case: bytes32, shown: exhibits.Exhibit):
    """
    The provider takes its case from the jury; the challenger has to begin.
    """
    # REFUSE
    assert self.games[case].turn == 0, "games.stage"
    taken: IRulings.Taken = extcall RULINGS.take(case)
    assert msg.sender == taken.provider, "games.not-the-provider"
    new: uint256 = staticcall ANSWERS.followed(shown, taken.receipt)
    # a drawn auditor was shown no text: only at a level that promises a game may it be asked for one
    assert taken.opener != taken.provider or shown.order.level == DISPUTABLE, "games.drawn"
    # WRITE
    self.games[case].receipt = taken.receipt
    self.games[case].defender = taken.provider
    self.games[case].challenger = convert(taken.challenger, uint256) << 64
    t: Turn = empty(Turn)
    t.stage = CALLED
    t.defender = BASE
    t.challenger = BASE
    t.since = block.timestamp
    self._leave(case, t, keccak256(abi_encode(chain.id, self, case)), empty(bytes32))
    # TELL
    log Called(case=case, defender=taken.provider, challenger=taken.challenger)


@internal
def _begin(case: bytes32, shown: exhibits.Exhibit, place: uint256, positions: uint256, claim: Claim) -> uint256:
    """
    Takes the case, unless an appeal has; how many units were generated. Clocks are for so many `positions`.
    """
    # REFUSE
    t: Turn = self._turn(case)
    assert t.stage == 0 or t.stage == CALLED, "games.stage"
    challenger: address = convert(convert(self.games[case].challenger >> 64, uint160), address)
    receipt: bytes32 = self.games[case].receipt
    head: bytes32 = self.games[case].head
    used: uint256 = 0
    if t.stage == 0:
        taken: IRulings.Taken = extcall RULINGS.take(case)
        challenger = taken.challenger
        receipt = taken.receipt
        head = keccak256(abi_encode(chain.id, self, case))
        self.games[case].receipt = taken.receipt
        self.games[case].defender = taken.provider
    else:
        used = block.timestamp - t.since
        assert used <= t.challenger, "games.late"
    assert msg.sender == challenger, "games.not-the-challenger"
    new: uint256 = staticcall ANSWERS.followed(shown, receipt)
    # WRITE
    self.games[case].challenger = (convert(challenger, uint256) << 64) | (claim.rival << 32)
    clock: uint256 = BASE + PER_POSITION * min(positions, MAX_POSITIONS)
    t.stage = BEGUN
    t.place = place
    if place == EVIDENCE:
        t.stage = POST
        t.count = new
        t.levels = trees.depth(new)
    t.defender = clock
    t.challenger = clock - used
    t.since = block.timestamp
    self._leave(case, t, head, keccak256(abi_encode(claim)))
    return new


@external
def begin(case: bytes32, shown: exhibits.Exhibit, claim: Claim):
    """
    The challenger disputes the evidence root, whose tree is then narrowed to a unit; or it names a unit and an id that the sampling
    rule would have preferred there.
    """
    # REFUSE
    prompt: uint256 = convert(shown.order.prompt_units, uint256)
    sampled: bool = claim.rival < NOBODY
    positions: uint256 = prompt + claim.unit if sampled else 0
    fits: bool = max(max(positions, prompt + shown.answer_units), claim.rival) <= U32
    assert fits and 0 < prompt and (sampled or claim.unit == 0), "games.unit"
    # WRITE
    place: uint256 = 0 if sampled else EVIDENCE
    new: uint256 = self._begin(case, shown, place, prompt + shown.answer_units, claim)
    assert new > 0, "games.nothing"
    assert claim.unit < new, "games.unit"
    drawn: uint256 = (convert(shown.order.seed, uint256) << 32) | convert(shown.order.temperature, uint256)
    drawn |= convert(shown.order.top_k, uint256) << 96
    text: uint256 = (prompt << 64) | (convert(shown.order.answer_from, uint256) << 32) | shown.answer_units
    self.games[case].challenger |= convert(shown.order.top_p, uint256) << 224
    self.games[case].order = (drawn << 128) | (positions << 96) | text
    self.games[case].model_root = shown.receipt.model_root
    self.games[case].prompt_root = shown.order.prompt_root
    self.games[case].response_root = shown.receipt.response_root
    self.games[case].root = shown.receipt.evidence_root
    self.games[case].at = shown.receipt.evidence_root
    # TELL
    log Begun(
        case=case,
        defender=shown.offer.provider,
        challenger=msg.sender,
        unit=claim.unit,
        positions=positions,
        rival=claim.rival,
    )


@external
def begin_early(case: bytes32, shown: exhibits.Exhibit):
    """
    The challenger disputes that the answer was over.
    """
    # WRITE
    new: uint256 = self._begin(case, shown, EARLY, 0, Claim(unit=0, rival=NOBODY))
    assert new < convert(shown.order.max_units, uint256), "games.not-early"
    # TELL
    log BegunEarly(case=case, defender=shown.offer.provider, challenger=msg.sender)


@external
def show_cancel(
    case: bytes32, seen: bytes32, shown: exhibits.Exhibit, cancel: records.Cancel, signature: Bytes[65]
):
    """
    The answer was over since the buyer had cancelled, and runs ahead of that as far as the offer allows at most (rule P5).
    """
    # REFUSE
    t: Turn = self._enter(case, seen, BEGUN, True)
    assert staticcall ANSWERS.cancelled(shown, self.games[case].receipt, cancel, signature)
    # WRITE
    self._end(case, t.moves, HONEST, "cancel")


@external
def show_end(
    case: bytes32,
    seen: bytes32,
    shown: exhibits.Exhibit,
    facts: Bytes[openings.MAX_FACTS],
    leaves: uint256,
    path: DynArray[bytes32, 32],
    unit: openings.Unit,
):
    """
    The answer was over since its last unit, a generated one, is an end id.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, BEGUN, True)
    assert staticcall ANSWERS.ended(shown, self.games[case].receipt, facts, leaves, path, unit)
    # WRITE
    self._end(case, t.moves, HONEST, "end")


@external
def answer(case: bytes32, seen: bytes32, shown: openings.Answer):
    """
    The defender names its run, and opens under it what the receipt's evidence says of the claimed unit. A rival that the sampling
    rule prefers convicts at once.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, BEGUN, False)
    order: uint256 = self.games[case].order
    positions: uint256 = (order >> 96) & U32
    prompt: uint256 = (order >> 64) & U32
    found: Answers.Read = staticcall ANSWERS.read(
        openings.Agreed(
            model_root=self.games[case].model_root,
            response_root=self.games[case].response_root,
            evidence_root=self.games[case].root,
            answer_units=order & U32,
            new=(order & U32) + ((order >> 32) & U32) - prompt,
            unit=positions - prompt,
            positions=positions,
            rival=(self.games[case].challenger >> 32) & U32,
            draw=openings.Draw(
                temperature=(order >> 128) & U32,
                top_k=order >> 224,
                top_p=self.games[case].challenger >> 224,
                seed=(order >> 160) & U64,
            ),
        ),
        shown,
    )
    log Answered(case=case, run_root=shown.run_root)
    if found.beaten:
        self._end(case, t.moves, CHEATED, "rival")
        return
    # WRITE
    self.games[case].root = shown.run_root
    self.games[case].at = shown.run_root
    self.games[case].node = keccak256(shown.facts)
    self.games[case].challenger |= found.nodes
    t.stage = POST
    t.place = RUN
    t.count = positions
    t.levels = trees.depth(positions)
    if found.sieve != empty(bytes32):
        # the run waits until the sums are agreed to be its own
        sums: uint256 = shown.filtered.sums
        self.games[case].position_leaf = found.sieve
        self.games[case].at = keccak256(abi_encode(empty(uint256), sums))
        spot: Spot = empty(Spot)
        spot.elements = found.vocabulary
        spot.high = found.vocabulary
        self._keep(case, spot)
        t.stage = SAY
        t.place = IDS
        log Filtered(case=case, lowest=shown.filtered.lowest.id, greatest=shown.filtered.greatest.id, sums=sums)
    self._leave(case, t, seen, shown.run_root)


# ------------------------------------------------------------------ narrowing: trees


@pure
@internal
def _wide(levels: uint256) -> uint256:
    """
    Levels of the next round: as few rounds as there can be, all about as wide.
    """
    if levels == 0:
        return 0
    rounds: uint256 = (levels + MAX_ROUND - 1) // MAX_ROUND
    return (levels + rounds - 1) // rounds


@pure
@internal
def _sealed(t: Turn, top: bytes32) -> bytes32:
    """
    What is known of a node: its hash, or at the top of a tree the root's (of evidence or the run) or the root's leaf hash (of others).
    """
    if t.levels != trees.depth(t.count):
        return top
    root: bytes32 = trees.seal(t.count, top)
    return root if t.place in [EVIDENCE, RUN] else trees.leaf(root)


@external
def post(case: bytes32, seen: bytes32, children: DynArray[bytes32, MAX_CHILDREN]):
    """
    The nodes below the current one, as far down as one round goes.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, POST, False)
    t.wide = self._wide(t.levels)
    assert len(children) == 1 << t.wide, "games.children"
    top: bytes32 = staticcall ANSWERS.folded(children, t.base << t.wide, t.levels - t.wide, t.count)
    assert self._sealed(t, top) == self.games[case].at, "games.children"
    # WRITE
    t.stage = POINT
    self._leave(case, t, seen, self.games[case].at)  # which binds the children
    # TELL
    log Posted(case=case, children=children)


@internal
def _point(case: bytes32, turn: Turn, index: uint256, child: bytes32, path: DynArray[bytes32, MAX_ROUND]) -> Turn:
    """
    The turn with the child as the current node.
    """
    # REFUSE
    t: Turn = turn
    below: uint256 = t.levels - t.wide
    leaf: uint256 = (t.base << t.wide) | index
    assert index < 1 << t.wide and leaf << below < t.count, "games.index"
    top: bytes32 = child
    at: uint256 = index
    for sibling: bytes32 in path:
        top = trees.node(sibling, top) if at & 1 == 1 else trees.node(top, sibling)
        at >>= 1
    assert len(path) == t.wide and self._sealed(t, top) == self.games[case].at, "games.path"
    # WRITE
    self.games[case].at = child
    t.base = leaf
    t.levels = below
    t.stage = POST
    # TELL
    log Pointed(case=case, place=t.place, index=index)
    return t


@external
def point(case: bytes32, seen: bytes32, index: uint256, child: bytes32, path: DynArray[bytes32, MAX_ROUND]):
    """
    The first child that the challenger holds otherwise: all before it are agreed.
    """
    # REFUSE
    t: Turn = self._point(case, self._enter(case, seen, POINT, False), index, child, path)
    assert t.place != NODES or t.levels > 0, "games.node"
    # WRITE
    if t.levels == 0 and t.place == EVIDENCE:
        # the run that is disputed ends at the position that chose this unit
        order: uint256 = self.games[case].order
        self.games[case].order = order | (((order >> 64) & U32) + t.base) << 96
        t.stage = BEGUN
        t.place = 0
        t.base = 0
    elif t.levels == 0 and t.place == RUN:
        spot: Spot = empty(Spot)
        spot.position = t.base
        self._keep(case, spot)
        self.games[case].position_leaf = child
        t.place = NODES
        t.count = self.games[case].challenger & U32
        t.levels = trees.depth(t.count)
        t.base = 0
    elif t.levels == 0:
        spot: Spot = self._spot(case)
        spot.element = 32 * t.base
        self._keep(case, spot)
        t.place = WORDS
        t.stage = SAY
    self._leave(case, t, seen, keccak256(abi_encode(index, child)))


@external
def point_node(
    case: bytes32,
    seen: bytes32,
    index: uint256,
    child: bytes32,
    path: DynArray[bytes32, MAX_ROUND],
    facts: Bytes[openings.MAX_FACTS],
    node: Bytes[MAX_NODE],
    node_path: DynArray[bytes32, 32],
):
    """
    The last point among a position's nodes: it says also what the node is.
    """
    # REFUSE
    t: Turn = self._point(case, self._enter(case, seen, POINT, False), index, child, path)
    assert t.place == NODES and t.levels == 0, "games.node"
    assert keccak256(facts) == self.games[case].node, "games.facts"
    leaf: bytes32 = sha256(concat(x"00", node))
    graph_root: bytes32 = openings._rise(t.count, t.base, leaf, node_path)
    assert graph_root == convert(slice(facts, 0, 32), bytes32), "games.node"
    spot: Spot = self._spot(case)
    spot.node = t.base
    spot.elements, spot.high, spot.lanes, spot.low_word, spot.join = staticcall OPERANDS.describe(node, spot.position)
    assert max(spot.elements, spot.high) <= U32, "games.node"
    # WRITE
    self.games[case].node = leaf
    self._keep(case, spot)
    t.place = LEAVES
    t.count = (spot.elements + 31) // 32
    t.levels = trees.depth(t.count)
    t.base = 0
    self._leave(case, t, seen, keccak256(abi_encode(index, child, leaf)))


# ------------------------------------------------------------------ narrowing: words


@external
def say(case: bytes32, seen: bytes32, words: Bytes[MAX_SAID]):
    """
    The words of the leaf; or the 16 chains of the element; or partial sums between two turns, or over ids with those at both ends.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, SAY, False)
    s: Spot = self._spot(case)
    number: uint256 = 16
    fits: bool = True
    if t.place == WORDS:
        number = min(32, s.elements - s.element)
        fits = sha256(concat(x"00", words)) == self.games[case].at
    elif t.place == TURNS:
        number = min(s.high - s.low, 64) - 1
    elif t.place == IDS:
        number = 8 * (min(s.high - s.low, 64) + 1)
    assert fits and len(words) == 4 * number, "games.words"
    if t.place == IDS:
        ends: Bytes[64] = concat(slice(words, 0, 32), slice(words, len(words) - 32, 32))
        assert keccak256(ends) == self.games[case].at, "games.words"
    elif t.place == CHAINS:
        assert staticcall OPERANDS.join(s.join, slice(words, 0, 64)) == s.claimed, "games.join"
    # WRITE
    said: bytes32 = keccak256(words)
    self.games[case].at = said
    t.stage = PICK
    self._leave(case, t, seen, said)
    # TELL
    log Said(case=case, place=t.place, words=words)


@external
def pick(case: bytes32, seen: bytes32, index: uint256, words: Bytes[MAX_SAID]):
    """
    The first of what was said that the challenger holds otherwise; among partial sums counted from 1, the claimed one last. None of
    the sums over all ids: the run is wrong.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, PICK, False)
    assert keccak256(words) == self.games[case].at, "games.said"
    s: Spot = self._spot(case)
    place: uint256 = t.place
    t.stage = SAY
    if place == IDS and index == 0 and s.high - s.low == s.elements:
        s = empty(Spot)
        self.games[case].at = self.games[case].root
        t.stage = POST
        t.place = RUN
    elif place in [TURNS, IDS]:
        turns: uint256 = s.high - s.low
        parts: uint256 = min(turns, 64)
        assert 0 < index and index <= parts, "games.index"
        s.high = s.low + turns * index // parts
        s.low += turns * (index - 1) // parts
        if place == IDS:
            self.games[case].at = keccak256(slice(words, 32 * (index - 1), 64))
        else:
            if index > 1:
                s.low_word = openings._word(words, index - 2)
            if index < parts:
                s.claimed = openings._word(words, index - 1)
    else:
        assert index < len(words) // 4, "games.index"
        s.claimed = openings._word(words, index)
        t.place = TURNS
        if place == CHAINS:
            s.chain = index
            s.high = (s.high + 15 - index) // 16  # of all turns, those of this chain
        else:
            s.element += index
            if s.lanes != 1:
                t.place = CHAINS if s.lanes == 16 else WORDS
    # WRITE
    if t.place == WORDS or (t.place in [TURNS, IDS] and s.high == s.low + 1):
        t.stage = STEP
    self._keep(case, s)
    self._leave(case, t, seen, keccak256(abi_encode(index, words)))
    # TELL
    log Picked(case=case, place=place, index=index)
    if t.place == TURNS and s.high == s.low:
        # a fold without turns is its start
        self._end(case, t.moves, CHEATED if s.claimed != s.low_word else HONEST, "start")


@external
def step(
    case: bytes32,
    seen: bytes32,
    leaves: uint256,
    node: Bytes[MAX_NODE],
    unit: openings.Unit,
    uses: DynArray[uint8, 16],
    openings_: DynArray[IOperands.Opening, 16],
):
    """
    By anyone, while the challenger's clock runs: one turn, computed from operands that are opened. `unit` has no units if no load
    is by id.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, STEP, False)
    assert sha256(concat(x"00", node)) == self.games[case].node, "games.node"
    s: Spot = self._spot(case)
    order: uint256 = self.games[case].order
    prompt: uint256 = (order >> 64) & U32
    id: uint256 = NOBODY
    if len(unit.units) > 0:
        root: bytes32 = self.games[case].prompt_root
        count: uint256 = prompt
        index: uint256 = s.position
        if index >= prompt:
            root = self.games[case].response_root
            count = order & U32
            index -= (order >> 32) & U32
        id = staticcall ANSWERS.unit(root, count, index, unit)
    run: IOperands.Run = IOperands.Run(
        model_root=self.games[case].model_root,
        model_leaves=leaves,
        run_root=self.games[case].root,
        positions=(order >> 96) & U32,
        position=s.position,
        position_leaf=self.games[case].position_leaf,
        nodes=self.games[case].challenger & U32,
        node=s.node,
        id=id,
    )
    turn: uint256 = s.low
    if s.lanes == 16:
        turn = s.chain + 16 * s.low
    word: uint256 = staticcall OPERANDS.compute(run, node, s.element, turn, s.low_word, uses, openings_)
    # TELL
    log Stepped(case=case, word=word, claimed=s.claimed)
    # WRITE
    self._end(case, t.moves, CHEATED if word != s.claimed else HONEST, "step")


@external
def weigh(
    case: bytes32,
    seen: bytes32,
    sieve: filters.Sieve,
    words: Bytes[128],
    path: DynArray[bytes32, 32],
    before: uint256,
    after: uint256,
):
    """
    By anyone, while the challenger's clock runs: what one id adds to the sums, from its logit.
    """
    # REFUSE
    t: Turn = self._enter(case, seen, STEP, False)
    id: uint256 = self._spot(case).low
    added: uint256 = unsafe_sub(after, before)
    right: bool = staticcall ANSWERS.weighs(self.games[case].position_leaf, sieve, id, words, path, added)
    assert keccak256(abi_encode(before, after)) == self.games[case].at, "games.said"
    # TELL
    log Weighed(case=case, right=right)
    # WRITE
    self._end(case, t.moves, HONEST if right else CHEATED, "sum")
