"""A step of a matrix in a model as large as SmolLM2-135M (155,000 leaves, 1,360 nodes), with numbers of no meaning."""

import numpy as np
from openings import NO_ID, Opening, Run, Step, Value, tree

from steelyard.engines.canonical.blocks import WEIGHTS
from steelyard.engines.canonical.fields import FIELD_CODES
from steelyard.engines.canonical.formats import BLOCK
from steelyard.engines.gguf_head import KINDS
from steelyard.engines.ir import leaves
from steelyard.engines.ir.graph import Affine, Graph, View
from steelyard.engines.ir.leaves import FileAt, NodeAt
from steelyard.protocol import merkle
from steelyard.protocol.hashing import sha256

ROWS, COLUMNS, NODES, LEAVES, FIRST_LEAF = 576, 1536, 1360, 155_000, 99_000
NODE, INPUTS = 1301, {"x.q": 1290, "x.d": 1289, "x.ds": 1292}


def matrix(kind: str) -> bytes:
    """The leaf of a matrix of 576 rows and 1,536 columns in a format, as lowering writes it."""
    g, blocks, views, activations = Graph(), COLUMNS // BLOCK, [], []
    places: dict[str, leaves.Source] = {name: NodeAt(index) for name, index in INPUTS.items()}
    g.inputs |= {"x.q": "i", "x.d": "f", "x.ds": "f"}
    for part in WEIGHTS[kind].parts:
        source = f"w#{part.field}"
        g.inputs[source] = "i" if part.field in ("q", "sc") else "f"
        places[source] = FileAt(FIELD_CODES.index((kind, part.field)), FIRST_LEAF)
        views.append(View(source, (blocks * part.each, part.each), Affine(part.first), width=part.width))
        if part.width > 1:
            activations.append(View("x.q", (0, BLOCK), Affine(part.first), width=part.width))
    views += [*activations, View("x.d", (0, 1)), View("x.ds", (0, 1))]
    g.fold("y", [ROWS], blocks, views, WEIGHTS[kind].turn)
    return leaves.written(g.nodes[0], places)


def climb(count: int, index: int, leaf: bytes, path: tuple[bytes, ...]) -> bytes:
    """The root to which a path leads."""
    for level, sibling in enumerate(path):
        leaf = sha256(b"\1", sibling, leaf) if index >> level & 1 else sha256(b"\1", leaf, sibling)
    return merkle.seal(count, leaf)


def large_step(kind: str, row: int = 500, turn: int = 40) -> Step:
    """One turn of it, opened; what is right of it is not said."""
    chance = np.random.default_rng(9)
    values = {
        "x.q": Value.of(chance.integers(-127, 128, COLUMNS, np.int32).tobytes()),
        "x.d": Value.of(chance.random(COLUMNS // BLOCK, np.float32).tobytes()),
        "x.ds": Value.of(chance.random(COLUMNS // BLOCK, np.float32).tobytes()),
    }
    roots = [chance.bytes(32) for _ in range(NODES)]
    for name, index in INPUTS.items():
        roots[index] = values[name].tree.root
    position = tree(roots)
    elements, size = next((each, size) for name, each, size in KINDS.values() if name == kind)
    at = FIRST_LEAF + (row * COLUMNS + turn * BLOCK) // 1024
    path = tuple(chance.bytes(32) for _ in range(merkle.depth_of(LEAVES)))
    weights = Opening(chance.bytes(1024 // elements * size), 0, path)
    openings = [weights]
    for name, index in INPUTS.items():
        leaf = turn if name == "x.q" else turn // 32
        value = values[name]
        proof = value.tree.prove(leaf)
        openings.append(Opening(value.leaves[leaf], value.tree.count, proof, position.prove(index)))
    loads = leaves.decode(matrix(kind)).sources
    first = {name: number for number, name in enumerate(["w", *INPUTS])}
    names = {index: name for name, index in INPUTS.items()}
    uses = tuple(first[names[s.index]] if isinstance(s, NodeAt) else 0 for s in loads.values())
    run = Run(
        model_root=climb(LEAVES, at, merkle.leaf_hash(weights.data), path),
        model_leaves=LEAVES,
        run_root=bytes(32),
        positions=200,
        position=100,
        position_leaf=merkle.leaf_hash(position.root),
        nodes=NODES,
        node=NODE,
        id=NO_ID,
    )
    return Step(run, matrix(kind), row, turn, 0x3F800000, uses, tuple(openings), 0)
