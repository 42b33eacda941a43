"""A made-up dispute: a wrong sum in a matrix of Q8_0, found in the twelfth round."""

import numpy as np

from steelyard.engines.canonical.blocks import WEIGHTS
from steelyard.engines.canonical.fields import FIELD_CODES
from steelyard.engines.ir import leaves
from steelyard.engines.ir.graph import Graph, Node, View
from steelyard.market.disputes import Dispute, LastStep, Move, Round, Side
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import checksum
from steelyard.protocol.units import MicroToken, Timestamp

ANN, PAUL = checksum("0x" + "a1" * 20), checksum("0x" + "b2" * 20)
POSITION, ELEMENT, TURN = 57, 417, 5
NO_ID = 2**32 - 1
MATRIX = "blk.3.ffn_down.weight"


def nodes() -> list[Node]:
    """A graph whose last node are 576 rows of 48 blocks of Q8_0, times what three nodes before it give."""
    g = Graph(inputs={f"{MATRIX}#q": "i", f"{MATRIX}#d": "f"})
    for number in range(9):
        g.map(f"before.{number}", [1], [], lambda b: b.real(1.0))
    g.map("x.q", [1536], [], lambda b: b.whole(1))
    g.map("x.d", [48], [], lambda b: b.real(1.0))
    g.map("x.ds", [48], [], lambda b: b.real(1.0))
    weights = [View(f"{MATRIX}#q", (1536, 32), width=32), View(f"{MATRIX}#d", (48, 1))]
    activations = [View("x.q", (0, 32), width=32), View("x.d", (0, 1)), View("x.ds", (0, 1))]
    g.fold("blk.3.ffn_down", [576], 48, [*weights, *activations], WEIGHTS["q8_0"].turn)
    return g.nodes


def matrix() -> bytes:
    """The last node's leaf."""
    codes = {name: FIELD_CODES.index(("q8_0", name)) for name in "qd"}
    files: dict[str, leaves.Source] = {f"{MATRIX}#{name}": leaves.FileAt(code, 40_000) for name, code in codes.items()}
    return leaves.written(
        nodes()[-1], files | {f"x.{name}": leaves.NodeAt(9 + i) for i, name in enumerate(("q", "d", "ds"))}
    )


def last_step() -> LastStep:
    """The provider's word is one bit off."""
    chance = np.random.default_rng(3)
    blocks = b"".join(
        np.array([0.01 + i / 1000], "<f2").tobytes() + chance.integers(-127, 128, 32, np.int8).tobytes()
        for i in range(32)
    )
    activations = chance.integers(-127, 128, 32).astype("<i4").tobytes()
    scales = (np.arange(1, 33) / 64).astype("<f4").tobytes()
    return LastStep(
        node=12,
        position=POSITION,
        element=ELEMENT,
        turn=TURN,
        leaf=matrix(),
        uses=(0, 0, 1, 2, 3),
        opened=(blocks, activations, scales, scales),
        unit=NO_ID,
        accumulator=0x3FC00000,
        claimed=0x4252BB51,
        computed=0x4252BB50,
        gas=402_118,
    )


def hashes(count: int, seed: int) -> tuple[bytes, ...]:
    """So many claims of 32 bytes."""
    return tuple(sha256(bytes([seed, i])) for i in range(count))


def words(*numbers: int) -> tuple[bytes, ...]:
    """Claims of 4 bytes."""
    return tuple(number.to_bytes(4, "big") for number in numbers)


def rounds() -> tuple[Round, ...]:
    """From 25 units to one turn of 48."""
    gas = (101_234, 64_321)
    sums = words(*(0x3F000000 + 0x300000 * i for i in range(4)), 0x3FC00000, 0x4252BB51, *range(0x42600000, 0x4260002A))
    return (
        Round("unit", (0, 24), hashes(25, 0), 20, (20, 20), gas),
        Round("position", (0, 57), hashes(58, 1), 57, (57, 57), gas),
        Round("node", (0, 1359), hashes(43, 2), 0, (0, 31), gas),
        Round("node", (0, 31), hashes(32, 3), 12, (12, 12), (92_001, 130_777)),
        Round("leaf", (0, 17), hashes(18, 4), 13, (13, 13), gas),
        Round("element", (416, 447), words(*range(0x3F800000, 0x3F800020)), 1, (417, 417), (61_002, 59_870)),
        Round("turn", (0, 47), sums, 5, (5, 5), (70_010, 66_001)),
    )


def moves() -> tuple[Move, ...]:
    """Of the rounds and around them, 30 seconds apart."""
    told = [("challenger", "begin", 312_000), ("provider", "answer", 398_220)]
    for one in rounds():
        tree = one.place in ("unit", "position", "node", "leaf")
        names = ("post", "point") if tree else ("say", "pick")
        told += [("provider", names[0], one.gas[0]), ("challenger", names[1], one.gas[1])]
    told.append(("challenger", "step", 402_118))
    return tuple(
        Move(who, name, gas, Timestamp(1_800_000_000 + 30 * i), sha256(bytes([i])))
        for i, (who, name, gas) in enumerate(told)
    )


def made_up() -> Dispute:
    """Over: the provider cheated."""
    sent = moves()
    both = [
        Side(address, 240, len(own), sum(move.gas for move in own))
        for address, who in ((PAUL, "provider"), (ANN, "challenger"))
        if (own := [move for move in sent if move.by == who])
    ]
    return Dispute(
        case=sha256(b"case"),
        receipt=sha256(b"receipt"),
        registration=sha256(b"registration"),
        model_root=sha256(b"model"),
        provider=both[0],
        challenger=both[1],
        stage="over",
        unit=20,
        positions=58,
        rival=None,
        rounds=rounds(),
        step=last_step(),
        moves=sent,
        outcome="cheated",
        why="step",
        slashed=PAUL,
        amount=MicroToken(200_000_000),
    )
