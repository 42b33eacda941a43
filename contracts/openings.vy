# pragma version 0.4.3
"""
@title Openings: facts of a model, units of a text, words of a value, each by its place under a root
@license Apache-2.0
@notice A module of Games and Proofs. Whatever does not open is refused by name.
"""

import trees

struct Facts:
    graph_root: bytes32
    nodes: uint256
    state: uint256
    logits: uint256
    width: uint256
    vocabulary: uint256
    positions: uint256

# one leaf of a prompt's or an answer's units (RTS-1); `beside`: of logprobs, which no order of a game has, so zero
struct Unit:
    salt: bytes32
    units: Bytes[256]
    path: DynArray[bytes32, 32]
    beside: bytes32

# what an answer is held to: the claimed unit of `new` generated ones, the last of `answer_units`
struct Agreed:
    model_root: bytes32
    response_root: bytes32
    evidence_root: bytes32
    answer_units: uint256
    new: uint256
    unit: uint256
    positions: uint256
    rival: uint256
    draw: Draw

# how an id is drawn (rule P3): words of binary32, and whole numbers
struct Draw:
    temperature: uint256
    top_k: uint256
    top_p: uint256
    seed: uint256

# opens the logit of an id
struct Mark:
    id: uint256
    words: Bytes[128]
    path: DynArray[bytes32, 32]

# what top-k and top-p leave, as the defender says (GAM-5)
struct Filtered:
    lowest: Mark
    greatest: Mark
    sums: uint256

# what the defender opens under its run root at the position that chose the claimed unit; `evidence_path` is of the receipt's
# evidence root, `path` of the model root, which has `leaves`
struct Answer:
    facts: Bytes[MAX_FACTS]
    leaves: uint256
    path: DynArray[bytes32, 32]
    run_root: bytes32
    state: Bytes[MAX_STATE]
    state_path: DynArray[bytes32, 32]
    position_path: DynArray[bytes32, 32]
    unit: Unit
    logit: Bytes[128]
    logit_path: DynArray[bytes32, 32]
    logit_node_path: DynArray[bytes32, 32]
    rival: Bytes[128]
    rival_path: DynArray[bytes32, 32]
    evidence_path: DynArray[bytes32, 32]
    filtered: Filtered

MAX_ENDS: constant(uint256) = 32
MAX_FACTS: constant(uint256) = 57 + 4 * MAX_ENDS  # = 185
MAX_STATE: constant(uint256) = 16_384  # = 4,096 numbers
MAX_WORDS: constant(uint256) = 2_080  # = 65 sums of 32 bytes, the longest that is said
MAX_LAYER: constant(uint256) = 128
FACTS_LEAF: constant(uint256) = 2  # of the model root


@pure
@internal
def _leaf(data: Bytes[256]) -> bytes32:
    return sha256(concat(x"00", data))


@pure
@internal
def _rise(count: uint256, index: uint256, leaf_hash: bytes32, path: DynArray[bytes32, 32]) -> bytes32:
    """
    The root over `count` leaves under which the leaf hash stands at `index` by this path; zero, which is no root, if there is none.
    """
    if not trees.fits(count, index, len(path)):
        return empty(bytes32)
    return trees.climb(count, index, leaf_hash, path)


@pure
@internal
def _word(words: Bytes[MAX_WORDS], index: uint256) -> uint256:
    """
    Number `index` of 32 bits, little-endian.
    """
    w: uint256 = convert(slice(words, 4 * index, 4), uint256)
    return (w & 255) << 24 | (w & 65280) << 8 | (w >> 8) & 65280 | w >> 24


@pure
@internal
def _number(facts: Bytes[MAX_FACTS], at: uint256) -> uint256:
    return convert(slice(facts, at, 4), uint256)


@pure
@internal
def _require_facts(model_root: bytes32, leaves: uint256, facts: Bytes[MAX_FACTS], path: DynArray[bytes32, 32]):
    """
    The facts are the model root's, which has so many leaves.
    """
    assert len(facts) >= 57, "games.facts"
    assert self._rise(leaves, FACTS_LEAF, self._leaf(facts), path) == model_root, "games.facts"
    assert len(facts) == 57 + 4 * convert(slice(facts, 56, 1), uint256), "games.facts"


@pure
@internal
def _facts(raw: Bytes[MAX_FACTS]) -> Facts:
    return Facts(
        graph_root=convert(slice(raw, 0, 32), bytes32),
        nodes=self._number(raw, 32),
        state=self._number(raw, 36),
        logits=self._number(raw, 40),
        width=self._number(raw, 44),
        vocabulary=self._number(raw, 48),
        positions=self._number(raw, 52),
    )


@pure
@internal
def _is_end(facts: Bytes[MAX_FACTS], id: uint256) -> bool:
    """
    True if the id ends an answer.
    """
    for i: uint256 in range((len(facts) - 57) // 4, bound=MAX_ENDS):
        if self._number(facts, 57 + 4 * i) == id:
            return True
    return False


@pure
@internal
def _unit(root: bytes32, count: uint256, index: uint256, shown: Unit) -> uint256:
    """
    Unit `index` of the `count` units under a prompt's or an answer's root (RTS-1, RTS-2).
    """
    assert index < count and shown.beside == empty(bytes32), "games.unit"
    leaf: uint256 = index // 64
    assert len(shown.units) == 4 * min(64, count - 64 * leaf), "games.unit"
    hash: bytes32 = sha256(concat(x"00", shown.salt, shown.units))
    assert trees.seal(count, self._rise((count + 63) // 64, leaf, hash, shown.path)) == root, "games.unit"
    return self._word(shown.units, index % 64)


@pure
@internal
def _top(leaves: bytes32[MAX_LAYER], width: uint256) -> bytes32:
    """
    The top of a tree whose bottom is the first `width` hashes, a power of two.
    """
    layer: bytes32[MAX_LAYER] = leaves
    left: uint256 = width
    # invariant: layer[:left] is a complete layer of the tree
    for _: uint256 in range(7):
        if left == 1:
            break
        left >>= 1
        at: uint256 = 0
        for i: uint256 in range(left, bound=64):
            # as trees.node, here since a call of it is a fourth of the price of a hash
            layer[i] = sha256(concat(x"01", layer[at], layer[unsafe_add(at, 1)]))
            at = unsafe_add(at, 2)
    return layer[0]


@pure
@internal
def _value(words: Bytes[MAX_STATE], count: uint256) -> bytes32:
    """
    The root of a node's value of `count` elements, all of which are shown (GRA-14).
    """
    assert 0 < count and len(words) == 4 * count, "games.opening"
    number: uint256 = (count + 31) // 32
    layer: bytes32[MAX_LAYER] = empty(bytes32[MAX_LAYER])
    for i: uint256 in range(number, bound=MAX_LAYER):
        layer[i] = sha256(concat(x"00", slice(words, 128 * i, min(128, len(words) - 128 * i))))
    return trees.seal(number, self._top(layer, 1 << trees.depth(number)))


@pure
@internal
def _value_of(count: uint256, element: uint256, words: Bytes[128], path: DynArray[bytes32, 32]) -> bytes32:
    """
    The root of a node's value of `count` elements by the leaf that holds one of them; zero if there is none.
    """
    assert element < count, "games.opening"
    leaf: uint256 = element // 32
    assert len(words) == 4 * min(32, count - 32 * leaf), "games.opening"
    return self._rise((count + 31) // 32, leaf, self._leaf(words), path)
