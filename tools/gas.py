"""Writes bench/gas.json: gas by named action on anvil, and the contracts' sizes. `--check` compares.

Gas is that of one transaction as a Prague chain counts it: 21,000 and calldata included, refunds taken off. `first` means
that storage is written for the first time, `again` that it was not zero before.
"""

import json
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
from eth_abi import encode

ROOT = Path(__file__).parent.parent
SNAPSHOT = ROOT / "bench" / "gas.json"
CONTRACTS = (
    "Token",
    "Bonds",
    "Registry",
    "Escrow",
    "Orders",
    "Rulings",
    "Games",
    "Answers",
    "Proofs",
    "Operands",
    "Step",
)

sys.path[:0] = [str(ROOT / "tests" / "contracts"), str(ROOT / "tests")]

import draws  # noqa: E402
from courtroom import CHEATED, HONEST, NO_TIE, WATCH  # noqa: E402
from desk import ANN, ANSWER, AUTHOR, EVE, PAUL, PROMPT, packed  # noqa: E402
from gameroom import BEGUN, DEFENDERS, OVER, PICK, POINT, POST, SAY, STEP, WORDS  # noqa: E402
from large_step import large_step  # noqa: E402
from on_anvil import AnvilCourtroom, AnvilDesk, AnvilGameRoom, AnvilWorld  # noqa: E402
from sources import compiled  # noqa: E402
from toy_run import Lie  # noqa: E402
from world import NOBODY, UNITS, key  # noqa: E402

from steelyard.engines import sieves  # noqa: E402
from steelyard.engines.canonical.blocks import WEIGHTS  # noqa: E402
from steelyard.engines.ir.encoding import CODES, VECTOR, body, takes, tree, word  # noqa: E402
from steelyard.engines.ir.graph import Graph, Node, View  # noqa: E402
from steelyard.protocol.hashing import keccak256  # noqa: E402
from steelyard.verification.weighing import opened  # noqa: E402

SESSION, RIVAL, WATCHER = key("session"), key("rival"), key("watcher")


def deployment() -> dict[str, int]:
    """Gas to deploy each contract."""
    room = AnvilGameRoom()
    room.deploy("Operands", (room.deploy("Step", ()).address,))
    del room.deployed["source"]
    return dict(room.deployed)


def of_token(gas: dict[str, int]) -> None:
    """Transfers."""
    world = AnvilWorld()
    world.rich(ANN)
    world.token.transfer(EVE.address, 5, by=ANN)
    gas["token.transfer first"] = world.gas
    world.token.transfer(EVE.address, 5, by=ANN)
    gas["token.transfer again"] = world.gas


def of_bonds(gas: dict[str, int]) -> None:
    """A bond's way in and out."""
    world = AnvilWorld()
    world.rich(PAUL)
    world.bonds.deposit(100, by=PAUL)
    gas["bonds.deposit first"] = world.gas
    world.bonds.deposit(100, by=PAUL)
    gas["bonds.deposit again"] = world.gas
    world.bonds.reserve(PAUL.address, 50, by=world.rulings)
    gas["bonds.reserve"] = world.gas
    payouts = [(key(f"juror {i}").address, 1) for i in range(5)]
    world.bonds.slash(PAUL.address, 50, 50, payouts, by=world.rulings)
    gas["bonds.slash to 5 payees"] = world.gas
    world.bonds.request_withdrawal(10, by=PAUL)
    gas["bonds.request_withdrawal"] = world.gas
    world.turn(world.terms.withdrawal_delay)
    world.bonds.withdraw(by=PAUL)
    gas["bonds.withdraw"] = world.gas


def of_registry(gas: dict[str, int]) -> None:
    """Registrations, and a draw from a full pool."""
    world = AnvilWorld()
    world.model(AUTHOR)
    gas["registry.register_model"] = world.gas
    world.registry.register_provider("http://127.0.0.1:8000", by=PAUL)
    gas["registry.register_provider"] = world.gas
    for i in range(64):
        world.bonded(key(f"auditor {i}"), UNITS)
        world.registry.join(b"\x01" * 32, "http://127.0.0.1:8000", UNITS, by=key(f"auditor {i}"))
        gas.setdefault("registry.join first of 64", world.gas)
    gas["registry.join last of 64"] = world.gas
    world.turn(world.terms.epoch_seconds)
    epoch = world.registry.epoch()
    for seats in (3, 15):
        data = world.registry.calldata("draw", (epoch, b"\x01" * 32, seats, []))
        world.call(EVE.address, world.registry.address, data)
        gas[f"registry.draw {seats} of 64, in a transaction"] = world.gas
    world.registry.leave(by=key("auditor 0"))
    gas["registry.leave"] = world.gas


def of_escrow(gas: dict[str, int]) -> None:
    """A channel from opening to refund."""
    desk = AnvilDesk()
    desk.bonded(RIVAL, 1_000 * UNITS)
    channel = desk.open(ANN, SESSION, 100 * UNITS, [(PAUL, 30 * UNITS), (RIVAL, 30 * UNITS)])
    gas["escrow.open for 2 providers"] = desk.gas
    shares = [(PAUL, UNITS)]
    grant = desk.grant(ANN, SESSION, UNITS, shares)
    signature = ANN.sign(grant.digest(desk.domain))
    desk.escrow.open_for(grant, [(PAUL.address, UNITS)], signature, by=EVE)
    gas["escrow.open_for 1 provider"] = desk.gas
    desk.escrow.top_up(channel, UNITS, by=ANN)
    gas["escrow.top_up"] = desk.gas
    desk.escrow.allocate(channel, PAUL.address, UNITS, by=ANN)
    gas["escrow.allocate"] = desk.gas
    first = desk.claim(SESSION, PAUL, desk.sold, desk.voucher(channel, desk.sold, UNITS, 2))
    gas["escrow.claim first"] = desk.gas
    second = desk.claim(SESSION, PAUL, desk.sold, desk.voucher(channel, desk.sold, 2 * UNITS, 9))
    gas["escrow.claim again"] = desk.gas
    desk.escrow.hold(second, by=desk.rulings)
    gas["escrow.hold"] = desk.gas
    desk.escrow.unhold(second, by=desk.rulings)
    gas["escrow.unhold"] = desk.gas
    desk.bonded(WATCHER, UNITS)
    desk.registry.join(b"\x01" * 32, "http://127.0.0.1:8000", UNITS, by=WATCHER)
    desk.turn(1_200)
    desk.escrow.pay(first, by=EVE)
    gas["escrow.pay first"] = desk.gas
    desk.escrow.pay(second, by=EVE)
    gas["escrow.pay again"] = desk.gas
    desk.escrow.share_pool(by=EVE)
    gas["escrow.share_pool to 1 auditor"] = desk.gas
    desk.escrow.collect(by=PAUL)
    gas["escrow.collect"] = desk.gas
    desk.escrow.request_close(channel, by=ANN)
    gas["escrow.request_close"] = desk.gas
    desk.turn(1_200)
    desk.escrow.refund(channel, by=EVE)
    gas["escrow.refund"] = desk.gas


def of_orders(gas: dict[str, int]) -> None:
    """Orders that contracts place."""
    desk = AnvilDesk()
    order, late = desk.order(), desk.order(seed=2)
    desk.place(order)
    gas[f"orders.place {len(PROMPT)} units"] = desk.gas
    desk.place(late)
    desk.deliver(order)
    gas[f"orders.deliver {len(ANSWER)} units"] = desk.gas
    long = tuple(range(1_000))
    order = desk.order(prompt=long, max_units=500, max_price=10**6)
    desk.orders.place(desk.sold, order, packed(long), NOBODY, by=ANN)
    gas["orders.place 1,000 units"] = desk.gas
    desk.deliver(order, answer=tuple(range(500)))
    gas["orders.deliver 500 units"] = desk.gas
    desk.turn(601)
    desk.orders.refund(late.digest(desk.domain), by=EVE)
    gas["orders.refund"] = desk.gas


def of_rulings(gas: dict[str, int]) -> None:
    """A challenge by ticket, three jurors of six auditors; a conviction, an acquittal, two receipts for one order."""
    room = AnvilCourtroom()
    guilty, innocent, twice = (room.sell(nonce=nonce) for nonce in range(3))
    claim = room.paid(guilty)
    case = room.challenge(guilty)
    gas["rulings.challenge"] = room.gas
    room.court.tie(case, room.tie_of(claim, 0, guilty))
    gas["rulings.tie"] = room.gas
    room.seat(case)
    gas["rulings.seat 3 of 6"] = room.gas
    room.court.open_case(case, bytes(range(1, 251)) * 16, [b"k" * 80] * 3, by=WATCH)
    gas["rulings.open_case, 4,000 bytes"] = room.gas
    votes = [room.vote(case, juror, CHEATED) for juror in room.jury(case)]
    room.commit(*votes)
    gas["rulings.commit"] = room.gas
    room.reveal(*votes)
    gas["rulings.reveal"] = room.gas
    room.court.settle(case, by=EVE)
    gas["rulings.settle a conviction"] = room.gas
    case = room.opened(innocent)
    votes = [room.vote(case, juror, HONEST) for juror in room.jury(case)]
    room.commit(*votes)
    room.reveal(*votes)
    room.court.settle(case, by=EVE)
    gas["rulings.settle an acquittal"] = room.gas
    room.proofs.convict_twice(*room.twins(twice), NO_TIE, by=EVE)
    gas["proofs.convict_twice"] = room.gas


def of_games(gas: dict[str, int]) -> None:
    """A game on the toy run, over 60 positions (so 64 children at first), about one of 100 turns of a fold; its step is a stub's, so
    that `step.…` and the operands come on top. The dearest of each kind of move."""
    room = AnvilGameRoom()
    goods = room.goods(Lie(50, 1, 20, turn=77), text=tuple(range(56)))
    table = room.begun(goods)
    whole = gas["game.begin"] = room.gas
    names = {BEGUN: "answer", POST: "post", POINT: "point", SAY: "say", PICK: "pick", STEP: "step"}
    while table.stage != OVER:
        game = table.game
        table.defend() if game["stage"] in DEFENDERS else table.attack()
        ended = "words" if game["place"] == WORDS else "sums" if game["stage"] in (SAY, PICK) else ""
        name = " ".join(filter(None, ("game." + names[game["stage"]], ended)))
        gas[name] = max(gas.get(name, 0), room.gas)
        whole += room.gas
    gas["game.all moves"] = whole
    silent = room.disputed(room.goods(nonce=1))
    room.turn(10_000)
    room.games.forfeit(silent.case, by=EVE)
    gas["game.forfeit"] = room.gas
    appealed = room.goods(nonce=2)
    room.games.appeal(room.challenge(appealed.sale), appealed.exhibit, by=PAUL)
    gas["game.appeal"] = room.gas


def of_step(gas: dict[str, int]) -> None:
    """A body of nothing (what a transaction and its loading cost), single operations, turns of real nodes."""
    world = AnvilWorld()
    contract = world.deploy("Step", ())
    numbers = [word(np.array([number], np.float32)) for number in (1.1, -2.3, 0.7)]
    vectors = {width: word(np.arange(-9, width - 9, dtype=np.int32) * 5) for width in VECTOR}

    def step(name: str, raw: bytes, operands: list[int]) -> None:
        world.call(EVE.address, contract.address, contract.calldata("step", (raw, operands, [], 0)))
        gas[f"step.{name}"] = world.gas

    step("nothing", bytes([3, 1, 1, 1]), numbers)
    for name in ("add", "mul", "div", "fma", "sqrt", "exp", "log", "tanh", "erf"):
        count = len(takes(name))
        step(name, bytes([count, *[1] * count, CODES[name], *range(count)]), numbers[:count])
    step("dot of 32", bytes([2, 32, 32, CODES["dot"], 0, 1]), [vectors[32]] * 2)
    for name, node in turns().items():
        operands = [vectors[view.width] if view.width > 1 else numbers[i % 3] for i, view in enumerate(node.loads)]
        step(f"a turn of {name}", body(node), operands + numbers[:1] * bool(node.fold))
    step("the tree of 16 chains", tree(turns()["squares"]), [numbers[0]] * 16)


def of_sampling(gas: dict[str, int]) -> None:
    """Two ids compared by the rule of the draw, in a contract that does nothing else; the pick at T = 0 beside it."""
    world = AnvilWorld()
    contract = world.deploy_source(draws.SOURCE)
    own, rival = (word(np.array([number], np.float32)) for number in (11.5, 12.25))
    for name, temperature in (("the greatest logit", 0.0), ("the draw", 0.7)):
        case = (own, 31_000, rival, 42_001, word(np.array([temperature], np.float32)), 2**63 + 5, 100)
        world.call(EVE.address, contract.address, contract.calldata("beats", (case,)))
        gas[f"sampling.beats by {name}"] = world.gas


def of_filters(gas: dict[str, int]) -> None:
    """One id's share in the sums over a vocabulary of SmolLM2's size, its logit opened."""
    world = AnvilWorld()
    contract = world.deploy("Answers", (NOBODY, NOBODY))
    logits = np.linspace(12, -12, 49_152).astype("<f4").tobytes()
    sieve = sieves.sieve_of(logits, word(np.array([0.8], np.float32)), 900, 7, 39, 0)
    digest = keccak256(encode(["uint256"] * 11, [int.from_bytes(sieve.logits), *astuple(sieve)[1:]]))
    shares = ((21, "that top-k keeps"), (31_000, "that it leaves out"))
    for one, name in shares:
        claimed = sieves.share(sieve, one, int(np.frombuffer(logits, "<u4")[one]))
        weighed = (digest, astuple(sieve), one, *opened(logits, one), claimed)
        world.call(EVE.address, contract.address, contract.calldata("weighs", weighed))
        gas[f"answers.weighs an id {name}"] = world.gas


def of_operands(gas: dict[str, int]) -> None:
    """A step of a matrix of a model of SmolLM2's size with all that is opened for it; what a node's leaf says."""
    world = AnvilWorld()
    contract = world.deploy("Operands", (world.deploy("Step", ()).address,))
    for kind in ("q8_0", "q4_1", "q6_k"):
        step = large_step(kind)
        world.call(EVE.address, contract.address, contract.calldata("compute", step.arguments()))
        gas[f"operands.compute a turn of {kind}"] = world.gas
    world.call(EVE.address, contract.address, contract.calldata("describe", (step.node, step.run.position)))
    gas["operands.describe a matrix of q6_k"] = world.gas
    world.call(EVE.address, contract.address, contract.calldata("join", (CODES["add"], bytes([0, 0, 128, 63]) * 16)))
    gas["operands.join"] = world.gas


def turns() -> dict[str, Node]:
    """Nodes of the graphs that models are lowered to: matrices of three formats, attention, a gate, squares."""
    g = Graph(inputs={"f": "f", "i": "i"})
    one = View("f", (0, 0))
    for kind in ("q8_0", "q4_1", "q6_k"):
        parts = WEIGHTS[kind].parts
        views = [View("i" if part.field in ("q", "sc") else "f", (0, 0), width=part.width) for part in parts]
        views += [View("i", (0, 0), width=part.width) for part in parts if part.width > 1]
        g.fold(kind, [1], 1, [*views, one, one], WEIGHTS[kind].turn)
    g.fold("attention dots", [1], 1, [one, one], lambda b, acc, q, k: b.do("fma", q, k, acc))
    g.map("attention weights", [1, 1], [one, one], lambda b, a, most: b.do("exp", a - most))
    g.map("gate", [1, 1], [one, one], lambda b, a, up: a / (b.do("exp", b.do("neg", a)) + 1.0) * up)
    g.fold("squares", [1], 1, [one], lambda b, acc, a: b.do("fma", a, a, acc), lanes=16)
    return g.by_name


def measure() -> dict[str, dict[str, int]]:
    """The whole snapshot."""
    gas: dict[str, int] = {}
    for part in (
        of_token,
        of_bonds,
        of_registry,
        of_escrow,
        of_orders,
        of_rulings,
        of_games,
        of_step,
        of_operands,
        of_sampling,
        of_filters,
    ):
        part(gas)
    sizes = {name: len(compiled(name).runtime) for name in CONTRACTS}
    return {"runtime bytes, at most 24,576": sizes, "gas to deploy": deployment(), "gas": gas}


def main() -> int:
    """Writes, or with --check compares."""
    found = json.dumps(measure(), indent=1) + "\n"
    if "--check" not in sys.argv:
        SNAPSHOT.write_text(found)
        return 0
    if SNAPSHOT.read_text() == found:
        return 0
    print("bench/gas.json is stale: run tools/gas.py and look at the difference")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
