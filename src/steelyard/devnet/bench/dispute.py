"""`steelyard bench dispute`: games over answers of a real model with lies planted in them, on a chain of one second.

Each game has an order, a receipt and a case of its own. Both sides hold their runs in full and move as nodes do; what
is counted is what a chain counts. Lies (`lies`) stand at places drawn from a seed: in one word of a node's value, in a
partial sum and all behind it; and in the choice of an id, greedy and under top-k and top-p.
"""

import random
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final

from steelyard.chain.bindings.rulings import Challenged, Rulings
from steelyard.chain.deploy import DEVNET, deploy
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import BLOCK_SECONDS, DEPLOYER, Anvil
from steelyard.devnet.bench import lies
from steelyard.devnet.bench.lies import Planted, Sold
from steelyard.devnet.market import DEPOSIT, PRICE_IN, PRICE_OUT, open_channel, register
from steelyard.devnet.processes import Processes
from steelyard.engines import catalog, gguf_head, store
from steelyard.engines.alphabet_graph import GRAPH
from steelyard.engines.base import Engine, Job, leaf
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical import shape
from steelyard.engines.ir.patched import Patched
from steelyard.market.onchain import OnchainLedger
from steelyard.market.onchain_disputes import Describe, OnchainDisputes
from steelyard.market.onchain_games import OnchainGames
from steelyard.protocol import games, moves, roots
from steelyard.protocol.facts import Facts
from steelyard.protocol.games import Side, Stage
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.price import price
from steelyard.protocol.records import AuditTicket, Kind, Level, Offer, Order, Receipt
from steelyard.protocol.units import MICRO, MicroToken
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.challenger import challenger_move
from steelyard.verification.defender import defender_move, own_logits
from steelyard.verification.holding import Hold, Holding
from steelyard.verification.transcript import Transcript
from steelyard.work import generate

TICKET: Final = 2  # basis of contracts/Rulings.vy
BOND: Final = 2_000 * MICRO
QUESTION: Final = "Tell me a long story about a merchant, her two sons and a pair of scales."
"""Whose answer does not end by itself before 64 units."""


@dataclass(frozen=True, slots=True)
class Row:
    """One game; JSON of `--json` is a list of these."""

    model: str
    tokens: int
    """Of the answer."""
    where: str
    """What the lie is, and where it stands."""
    rounds: int
    transactions: int
    """The challenge's among them."""
    gas: int
    """Of all of them."""
    last_step_gas: int
    """Of the transaction that decided."""
    seconds: float
    """From the challenge to the slash, both sides' runs for it included."""
    greatest_gas: int
    """Of one transaction."""
    outcome: str


class Bench:
    """A chain, and a market of one seller whose answers are disputed."""

    def __init__(self, engine: Engine, prompt: Sequence[int], describe: Describe, stack: ExitStack) -> None:
        self.engine, self.describe = engine, describe
        processes = Processes(Path(tempfile.mkdtemp(prefix="steelyard-bench-")))
        stack.callback(processes.stop)
        self.anvil = Anvil(processes)
        self.chain = RpcChain(self.anvil.url, DEPLOYER)
        self.deployment = deploy(self.chain, DEVNET)
        self.ledger = OnchainLedger(self.chain, self.deployment)
        self.author, self.owner, self.session, self.provider, self.auditor = (Key.new() for _ in range(5))
        for key in (self.author, self.owner, self.provider, self.auditor):
            self.anvil.fund(key.address)
            self.ledger.token.mint(key.address, BOND + DEPOSIT)
        self.seats = {key.address: RpcChain(self.anvil.url, key) for key in (self.provider, self.auditor)}
        for chain in self.seats.values():
            OnchainLedger(chain, self.deployment).deposit_bond(MicroToken(BOND))
        self.registration = register(RpcChain(self.anvil.url, self.author), self.deployment, engine.card, "Apache-2.0")
        owner = RpcChain(self.anvil.url, self.owner)
        self.channel = open_channel(owner, self.deployment, self.session, [self.provider.address], self.ledger.now())
        self.prompt = tuple(prompt)
        self.anvil.turn(DEVNET.epoch_seconds)
        self.anvil.interval(BLOCK_SECONDS)

    # -- what is sold ----------------------------------------------------------------------------------------------

    def sale(self, lie: Planted, number: int) -> tuple[moves.Shown, Transcript, tuple[bytes, bytes]]:
        """What the provider signed, its own transcript, and both signatures."""
        job, answer, evidence = lie.answer.job, list(lie.answer.ids), list(lie.answer.leaves)
        if lie.wrong_id is not None:
            answer[-1] = lie.wrong_id
        with self.held(lie.answer, lie) as holding:
            facts, last = Facts.read(holding.facts()), lie.answer.last
            state, logits = holding.value(last, facts.state), holding.value(last, facts.logits)
        evidence[-1] = leaf(state, struct.unpack_from("<f", logits, 4 * answer[-1])[0])
        domain, now = self.deployment.domain, self.ledger.now()
        offer = Offer(
            1, self.provider.address, self.registration, int(Kind.GENERATE), int(Level.DISPUTABLE),
            PRICE_IN, PRICE_OUT, PRICE_IN, 2048, 512, 4, 8, now + 10**6, number,
        )  # fmt: skip
        salt, answer_salt = sha256(b"prompt", bytes([number])), sha256(b"answer", bytes([number]))
        order = Order(
            version=Order.VERSION, channel=self.channel, offer=offer.digest(domain), registration=self.registration,
            kind=offer.kind, level=offer.level, prompt_root=roots.units_root(self.prompt, salt),
            prompt_units=len(self.prompt), answer_from=len(self.prompt), max_units=len(answer),
            temperature=job.temperature, top_p=job.top_p, top_k=job.top_k, seed=job.seed, grammar=ZERO32, logprobs=0,
            max_price=price(offer, len(self.prompt), len(answer)), deadline=now + 100, coin_commitment=ZERO32,
            jury_epoch=self.ledger.epoch(), nonce=sha256(bytes([number])),
        )  # fmt: skip
        root = self.engine.card.model_root
        receipt: Receipt = generate.receipt_of(
            order.digest(domain), offer.digest(domain), root, answer, evidence, answer_salt
        )
        shown = moves.Shown(offer, order, receipt, len(answer), roots.response_top(answer, answer_salt))
        script = Transcript(self.prompt, salt, tuple(answer), answer_salt, len(self.prompt), tuple(evidence))
        signed = self.session.sign(order.digest(domain)), self.provider.sign(receipt.digest(domain))
        return shown, script, signed

    @contextmanager
    def held(self, answer: Sold, lie: Planted | None = None) -> Iterator[Holding]:
        """A run of the positions that chose all of its ids; with a lie, that of who tells it."""
        ids = (*answer.job.prompt, *answer.ids)[: answer.last + 1]
        with self.engine.holding(ids, len(self.prompt)) as honest:  # type: ignore[attr-defined]  # canonical engines have it
            yield Patched(honest, lie.words, lie.said) if lie is not None and lie.words else honest

    # -- one game --------------------------------------------------------------------------------------------------

    def play(self, lie: Planted, number: int) -> Row:
        """From the challenge to the slash."""
        shown, script, signed = self.sale(lie, number)
        rulings = Rulings(self.seats[self.auditor.address], self.deployment.rulings)
        domain = self.deployment.domain
        ticket = AuditTicket(1, shown.receipt.digest(domain), self.auditor.address, self.ledger.now() + 1000)
        consent = self.session.sign(ticket.digest(domain))
        began = time.monotonic()
        with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(lambda which: stack.enter_context(self.held(lie.answer, which)), w) for w in (lie, None)
            ]
            mined = rulings.challenge(astuple(shown), *signed, TICKET, astuple(ticket), consent, ZERO32)
            case = next(Challenged.read(log).case for log in mined.logs if log.topics[0] == Challenged.TOPIC)
            claim = moves.Claim() if lie.wrong_id is None else moves.Claim(len(lie.answer.ids) - 1, lie.answer.ids[-1])
            holds: dict[Side, Hold] = {
                Side.DEFENDER: lambda _: runs[0].result(),
                Side.CHALLENGER: lambda _: runs[1].result(),
            }
            own = replace(script, evidence=self.engine.replay(lie.answer.job, script.answer).leaves)
            self._moves(lie, moves.Begin(case, shown, claim), holds, {Side.DEFENDER: script, Side.CHALLENGER: own})
        seconds = time.monotonic() - began
        return self._row(lie, case, mined.gas_used, seconds)

    def _moves(
        self, lie: Planted, begin: moves.Begin, holds: dict[Side, Hold], scripts: dict[Side, Transcript]
    ) -> None:
        players = {
            Side.DEFENDER: OnchainGames(self.seats[self.provider.address], self.deployment),
            Side.CHALLENGER: OnchainGames(self.seats[self.auditor.address], self.deployment),
        }
        players[Side.CHALLENGER].play(begin)
        while True:
            view = players[Side.CHALLENGER].view(begin.case)
            assert view is not None
            side = games.to_move(view)
            if side is None:
                assert view.stage is Stage.OVER
                return
            mover: Callable[..., Any] = defender_move if side is Side.DEFENDER else challenger_move
            move = mover(view, holds[side], scripts[side])
            assert move is not None, f"{side.name} has nothing to say at {view.stage.name}"
            if lie.sums is not None and side is Side.DEFENDER:
                logits = own_logits(view, holds[side](view.positions))
                move = lie.sums.instead(view, move, logits, scripts[side].id(view.positions))
            players[side].play(move)

    def _row(self, lie: Planted, case: bytes, challenge_gas: int, seconds: float) -> Row:
        told = OnchainDisputes(self.chain, self.deployment).show(case, self.describe)
        gas = [challenge_gas, *(move.gas for move in told.moves)]
        return Row(
            model=self.engine.card.name,
            tokens=len(lie.answer.ids),
            where=lie.where,
            rounds=len(told.rounds),
            transactions=len(gas),
            gas=sum(gas),
            last_step_gas=told.moves[-1].gas,
            seconds=round(seconds, 1),
            greatest_gas=max(gas),
            outcome=told.outcome,
        )


def measure(model: str, tokens: int, count: int, seed: int, describe: Describe) -> Iterator[Row]:
    """Plays `count` games with lies drawn from `seed`, one of sampling and three about filters; yields a row each.
    `model`: a name in the store, a file, or `alphabet`."""
    spec = model if model == "alphabet" else f"canonical:{model}?threads=1"
    engine, text = catalog.load(spec)
    prompt = text.render([{"role": "user", "content": QUESTION}])
    with ExitStack() as stack:
        stack.callback(engine.close)
        bench = Bench(engine, prompt, describe, stack)
        chance = random.Random(seed)  # noqa: S311  places of lies, no secret
        for number, lie in enumerate(plant(bench, tokens, names_of(model), chance, count)):
            row = bench.play(lie, number)
            assert row.outcome == Outcome.CHEATED.name.lower(), row
            yield row


def plant(bench: Bench, tokens: int, names: Sequence[str], chance: random.Random, count: int) -> list[Planted]:
    """All lies, in the answer at T = 0 and in one under filters."""
    greedy = Job(bench.prompt, len(bench.prompt), tokens, 0, generate.ONE_BITS, 0, 0)
    answer = lies.answered(bench.engine, greedy)
    with bench.held(answer) as honest:
        found = list(lies.in_the_run(honest, answer, names, chance, count))
    answer, free = lies.under_filters(bench.engine, bench.prompt, tokens)
    with bench.held(answer) as honest:
        return [*found, *lies.about_filters(honest, answer, free)]


def names_of(model: str) -> list[str]:
    """Of the graph's nodes, in order."""
    if model == "alphabet":
        return [node.name for node in GRAPH.nodes]
    head = gguf_head.read(store.find(model))
    return [node.name for node in models.lowered(head, shape.read(head)).graph.nodes]
