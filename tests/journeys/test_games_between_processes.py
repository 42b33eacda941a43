"""Dispute games between processes on anvil: liars convicted by the contract without a jury, an honest provider that
defends itself; in spite of kills, a reorganisation, crowds."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import openai
import pytest

from steelyard.chain.deploy import DEVNET
from steelyard.chain.rpc import RpcChain
from steelyard.devnet import market as markets
from steelyard.devnet.shop import Bought, Shop
from steelyard.engines import catalog
from steelyard.engines.base import Engine, Replay
from steelyard.engines.draws import bits
from steelyard.market.cases import Case, Consent, Opening, Stage
from steelyard.market.onchain import OnchainLedger
from steelyard.market.onchain_cases import OnchainCases
from steelyard.market.onchain_games import OnchainGames
from steelyard.nodes.auditor import packages
from steelyard.protocol import games as game
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.games import Place, Side, View
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.moves import Begin
from steelyard.protocol.records import AuditTicket, Level, Vote
from steelyard.protocol.units import MicroToken
from steelyard.protocol.verdicts import Outcome
from steelyard.sdk.receipts import read as read_document
from steelyard.verification.challenger import challenger_move, first_move
from steelyard.verification.claim import Claim
from steelyard.verification.holding import Hold
from steelyard.verification.receipts import claim_of
from steelyard.verification.transcript import Transcript
from steelyard.work import generate
from steelyard.work.disputes import Runs

pytestmark = pytest.mark.slow

LIARS = ("flipped-bit", "lower-bits")
UNFILTERED = "unfiltered"
UNITS = 12
TEMPERATURE, TOP_P, TOP_K = 0.8, 0.9, 40
LIES_BY = 3  # the unit from which `markets.ALPHABET.cheap` speaks another language
CROWD = 20
WITHIN = 90.0
AT_ONCE = 8
STAKE = DEVNET.stake
PATIENCE = 20  # seconds, of a devnet's providers


@dataclass
class Hall:
    """The market, its shop, and what a test reads of its games."""

    market: markets.Market
    shop: Shop
    cases: OnchainCases
    games: OnchainGames
    asked: int = 0

    def buy(self, name: str, audit_rate: float = 1.0) -> Bought:
        """An answer at level `disputable`, of so many units that the liars have lied by then."""
        while True:
            self.asked += 1
            seller = self.market.seller(name)
            answer = self.shop.ask(seller, f"question {self.asked}", UNITS, "disputable", audit_rate=audit_rate)
            assert isinstance(answer, Bought), answer
            if answer.units > LIES_BY:
                return answer

    def sift(self, client: openai.OpenAI, name: str) -> Bought:
        """The same under filters, from anybody's own code."""
        self.asked += 1
        assurance = {"level": "disputable", "audit_rate": 1.0}
        only = {"only": [self.market.seller(name).address], "allow_fallbacks": False, "assurance": assurance}
        answer = client.chat.completions.create(
            model=self.market.card.name,
            messages=[{"role": "user", "content": f"question {self.asked}"}],
            max_tokens=UNITS,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            extra_body={"top_k": TOP_K, "provider": only},
        )
        document = answer.receipt  # type: ignore[attr-defined]  # ours
        return Bought(answer.id, answer.choices[0].message.content or "", len(document["answer"]), document)

    def audited(self, answer: Bought) -> str:
        """What the auditor found, waited for."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [audit["outcome"] for audit in self.shop.receipt(answer.id)["audits"] if audit.get("outcome")]
            return bool(found)

        wait(look)
        return found[0]

    def case_of(self, answer: Bought) -> bytes:
        """Of the audit that accused, waited for."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [audit["case"] for audit in self.shop.receipt(answer.id)["audits"] if audit.get("case")]
            return bool(found)

        wait(look)
        return bytes.fromhex(found[0][2:])

    def case(self, case: bytes) -> Case:
        """As it stands."""
        found = self.cases.case(case)
        assert found is not None
        return found

    def view(self, case: bytes) -> View | None:
        """As it stands; None as long as it is no game, or while it cannot be read."""
        try:
            return self.games.view(case)
        except SteelyardError:
            return None

    def reaches(self, case: bytes, place: Place) -> bool:
        """True once the game has narrowed so far."""
        view = self.view(case)
        return view is not None and view.place >= place

    def ends(self, *cases: bytes) -> list[Outcome | None]:
        """How the cases were ruled, waited for."""
        wait(lambda: all(self.case(case).stage is Stage.RULED for case in cases))
        return [self.case(case).outcome for case in cases]

    def auditor(self, address: str) -> str:
        """Its name."""
        return next(name for name, key, _ in self.market.auditors if key.address == address)


def wait(what: Callable[[], bool], seconds: float = WITHIN) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """One honest provider, three liars, three auditors: too few for a jury, whose four are not needed."""
    folder = tmp_path_factory.mktemp("games")
    market = markets.up(markets.ALPHABET, (*LIARS, UNFILTERED), folder, honest=["ada"], auditors=3)
    try:
        with closing(Shop(market)) as shop:
            yield Hall(
                market,
                shop,
                OnchainCases(market.chain, market.deployment),
                OnchainGames(market.chain, market.deployment),
            )
    finally:
        market.down()


@pytest.fixture(autouse=True)
def honest_is_whole(hall: Hall) -> Iterator[None]:
    """Whatever a test does, the honest provider loses none of its bond."""
    yield
    assert hall.market.ledger.bonds.held(hall.market.seller("ada").address) == markets.BOND


# -- liars -------------------------------------------------------------------------------------------------------------


def test_liars_are_convicted_by_the_contract_without_a_jury_and_the_buyer_is_repaid(hall: Hall) -> None:
    answers = [hall.buy(name) for name in LIARS]
    cases = [hall.case_of(answer) for answer in answers]
    assert hall.ends(*cases) == [Outcome.CHEATED, Outcome.CHEATED]
    ledger = hall.market.ledger
    for answer, case in zip(answers, cases, strict=True):
        found, view = hall.case(case), hall.view(case)
        assert view is not None
        assert (view.outcome, view.why) == (Outcome.CHEATED, "step")
        assert found.seats == ()  # no jury was drawn
        assert found.claim > 0  # tied: the buyer is repaid
        assert hall.shop.receipt(answer.id)["standing"] == "challenged"
        wait(lambda who=found.challenger: ledger.token.balance_of(who) > 0)  # type: ignore[misc]  # its bounty, collected
    held = [ledger.bonds.held(hall.market.seller(name).address) for name in LIARS]
    assert max(held) <= markets.BOND - DEVNET.flat
    prices = [hall.shop.receipt(answer.id)["price_micro"] for answer in answers]
    assert ledger.bonds.credit(hall.market.owner.address) >= sum(prices)


def test_a_game_goes_on_after_kills_of_both_sides(hall: Hall) -> None:
    case = hall.case_of(hall.buy("flipped-bit"))
    wait(lambda: hall.reaches(case, Place.RUN))
    challenger = hall.auditor(hall.case(case).challenger)
    names = [hall.market.seller("flipped-bit").name, challenger]
    for name in names:
        hall.market.processes.nodes[name].kill()
    stopped = hall.view(case)
    assert stopped is not None
    assert stopped.stage != game.Stage.OVER
    for name in names:
        hall.market.processes.nodes[name].start()
    hall.market.processes.wait_healthy(names, WITHIN)
    assert hall.ends(case) == [Outcome.CHEATED]
    view = hall.view(case)
    assert view is not None
    assert view.why == "step"
    assert view.posts[: len(stopped.posts) - 1] == stopped.posts[:-1]


def test_a_game_goes_on_after_a_reorganisation(hall: Hall) -> None:
    case = hall.case_of(hall.buy("flipped-bit"))
    wait(lambda: hall.reaches(case, Place.NODES))
    before = hall.view(case)
    hall.market.anvil.rpc("anvil_reorg", 3, [])  # three others, with nothing in them
    after = hall.view(case)
    assert before is not None
    assert after is None or len(after.posts) < len(before.posts)
    assert hall.ends(case) == [Outcome.CHEATED]


# -- filters -----------------------------------------------------------------------------------------------------------


def test_an_answer_under_top_k_and_top_p_is_bought_and_who_draws_without_them_is_convicted_at_once(hall: Hall) -> None:
    engine, _ = catalog.load(markets.ALPHABET.engine)
    market = hall.market

    def as_ordered(answer: Bought) -> bool:
        document = read_document(json.dumps(answer.document).encode())
        order = document.order
        assert (order.temperature, order.top_p, order.top_k) == (bits(TEMPERATURE), bits(TOP_P), TOP_K)
        assert order.level == Level.DISPUTABLE
        return engine.replay(generate.job_of(order, document.prompt), document.answer).expected == document.answer

    with closing(engine), openai.OpenAI(base_url=market.base_url, api_key=market.api_key, max_retries=0) as client:
        honest = hall.sift(client, "ada")
        assert as_ordered(honest)
        answers = (hall.sift(client, UNFILTERED) for _ in range(20))
        lie = next(answer for answer in answers if not as_ordered(answer))  # it drew what the filters leave out
    case = hall.case_of(lie)
    assert hall.ends(case) == [Outcome.CHEATED]
    view = hall.view(case)
    assert view is not None
    assert (view.why, view.posts) == ("rival", ())  # by the answer's own sums: nothing was narrowed
    assert hall.case(case).seats == ()
    assert market.ledger.bonds.held(market.seller(UNFILTERED).address) <= markets.BOND - DEVNET.flat
    assert hall.audited(honest) == "honest"


# -- the honest --------------------------------------------------------------------------------------------------------


class Accuser:
    """A challenger with an account of its own, whose run is another one than the model's."""

    def __init__(self, hall: Hall, engine: Engine, stakes: int) -> None:
        self.hall, self.engine, self.key = hall, engine, Key.new()
        market = hall.market
        hall.market.anvil.fund(self.key.address)
        market.ledger.token.mint(self.key.address, stakes * STAKE)
        self.chain = RpcChain(market.anvil.url, self.key)
        self.cases = OnchainCases(self.chain, market.deployment)
        self.games = OnchainGames(self.chain, market.deployment)
        self.ledger = OnchainLedger(self.chain, market.deployment)
        self.ledger.deposit_bond(MicroToken(stakes * STAKE))
        settings = json.loads((market.directory / "gateway" / "settings.json").read_text())
        self.session = Key(bytes.fromhex(settings["key"]))
        self.runs = Runs(engine, CROWD)
        self._kept: dict[bytes, tuple[Hold, Transcript]] = {}

    def close(self) -> None:
        """Lets go of runs and chain."""
        self.runs.close()
        self.chain.close()

    def challenge(self, answer: Bought) -> bytes:
        """Challenges an answer, and no more; the case."""
        claim = self.claim(answer)
        expiry = claim.order.deadline + 300
        ticket = AuditTicket(AuditTicket.VERSION, claim.receipt_digest(), self.key.address, expiry)
        consent = Consent(ticket, self.session.sign(ticket.digest(claim.domain)))
        return self.cases.challenge(packages.exhibit_of(claim), consent)

    def begin(self, case: bytes, answer: Bought) -> None:
        """Begins the game."""
        claim = self.claim(answer)
        begin = first_move(case, claim, self.engine.card, self._replay(claim))
        assert isinstance(begin, Begin)
        self.games.play(begin)

    def accuse(self, answer: Bought) -> bytes:
        """Challenges an answer and begins the game; the case."""
        case = self.challenge(answer)
        self.begin(case, answer)
        return case

    def play(self, games: Mapping[bytes, Bought]) -> None:
        """Plays games, by case, to their end."""
        left = dict(games)

        def over() -> bool:
            moved = list(pool.map(self._move, left.keys(), left.values()))
            for case in [case for case, done in zip(left, moved, strict=True) if done]:
                del left[case]
            return not left

        with ThreadPoolExecutor(AT_ONCE) as pool:
            wait(over)

    def _move(self, case: bytes, answer: Bought) -> bool:
        """Makes a move if it is its turn; True once the game is over."""
        view = self.games.view(case)
        assert view is not None
        if game.to_move(view) is Side.CHALLENGER:
            move = challenger_move(view, *self._run(case, answer))
            assert move is not None
            self.games.play(move)
        return view.stage == game.Stage.OVER

    def claim(self, answer: Bought) -> Claim:
        """What it was shown."""
        document = read_document(json.dumps(answer.document).encode())
        return claim_of(document, self.session.address, self.engine.card.model_root)

    def _replay(self, claim: Claim) -> Replay:
        return self.engine.replay(generate.job_of(claim.order, claim.prompt), claim.generated)

    def _run(self, case: bytes, answer: Bought) -> tuple[Hold, Transcript]:
        if case not in self._kept:
            claim = self.claim(answer)
            hold = self.runs.hold((*claim.prompt, *claim.generated), claim.order.answer_from)
            self._kept[case] = hold, Transcript.of(claim, self._replay(claim).leaves)
        return self._kept[case]


@pytest.fixture(scope="module")
def accuser(hall: Hall) -> Iterator[Accuser]:
    """Runs other weights."""
    engine, _ = catalog.load(markets.ALPHABET.cheap)
    with closing(Accuser(hall, engine, 2 * CROWD)) as made:
        yield made


def test_of_crowds_of_games_each_convicts_a_liar_and_none_an_honest_provider(hall: Hall, accuser: Accuser) -> None:
    lies = [hall.buy("lower-bits") for _ in range(CROWD)]
    ada, bonds = hall.market.seller("ada").address, hall.market.ledger.bonds
    answers = [hall.buy("ada", audit_rate=0) for _ in range(CROWD)]
    staked = bonds.held(accuser.key.address)
    with ThreadPoolExecutor(CROWD) as pool:
        cases = list(pool.map(accuser.accuse, answers))
    accuser.play(dict(zip(cases, answers, strict=True)))
    assert hall.ends(*cases) == [Outcome.HONEST] * CROWD
    assert bonds.held(accuser.key.address) == staked - CROWD * STAKE
    views = [hall.games.view(case) for case in cases]
    assert {view.why for view in views if view} == {"step"}
    moves = [view.moves for view in views if view]
    fees = sum(min(each * DEVNET.move_fee, STAKE // 2) for each in moves)
    wait(lambda: hall.market.ledger.token.balance_of(ada) == fees)
    assert hall.ends(*map(hall.case_of, lies)) == [Outcome.CHEATED] * CROWD
    again = accuser.accuse(answers[0])  # rule M7: who lost binds nobody
    assert hall.case(again).stage is Stage.PLAYING


def test_a_challenger_that_does_nothing_more_holds_an_honest_provider_for_a_while_only(
    hall: Hall, accuser: Accuser
) -> None:
    staked = hall.market.ledger.bonds.held(accuser.key.address)
    case = accuser.challenge(hall.buy("ada", audit_rate=0))
    hall.market.processes.nodes["ada"].kill()
    hall.market.processes.nodes["ada"].start()
    hall.market.processes.wait_healthy(["ada"], WITHIN)
    assert hall.case(case).stage is Stage.CHALLENGED
    hall.market.turn(PATIENCE)
    wait(lambda: hall.case(case).stage is Stage.SEATED)
    assert set(hall.case(case).seats) == {key.address for _, key, _ in hall.market.auditors}
    hall.market.turn(DEVNET.open_window)
    assert hall.ends(case) == [Outcome.NOT_OPENED]
    assert hall.market.ledger.bonds.held(accuser.key.address) == staked - STAKE


# -- a jury that is wrong ----------------------------------------------------------------------------------------------


class Bench:
    """The market's auditors as three jurors who agree, whatever was done: their nodes are down meanwhile."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.names = [name for name, _, _ in hall.market.auditors]
        for name in self.names:
            hall.market.processes.nodes[name].kill()
        self.keys = [key for _, key, _ in hall.market.auditors]
        self.chains = [RpcChain(hall.market.anvil.url, key) for key in self.keys]
        self.cases = [OnchainCases(chain, hall.market.deployment) for chain in self.chains]

    def close(self) -> None:
        """The nodes are up again."""
        for chain in self.chains:
            chain.close()
        for name in self.names:
            self.hall.market.processes.nodes[name].start()
        self.hall.market.processes.wait_healthy(self.names, WITHIN)

    def convict(self, case: bytes) -> None:
        """All say CHEATED, of one run."""
        wrong = [Vote(Vote.VERSION, case, key.address, Outcome.CHEATED, *[sha256(b"wrong")] * 3) for key in self.keys]
        with ThreadPoolExecutor(len(wrong)) as pool:
            list(pool.map(lambda cases, vote: cases.commit(case, vote.struct_hash()), self.cases, wrong))
            list(pool.map(lambda cases, vote: cases.reveal(vote), self.cases, wrong))


def test_an_honest_provider_that_a_jury_convicts_appeals_and_wins_and_no_juror_is_paid_for_it(
    hall: Hall, accuser: Accuser
) -> None:
    answer, ada = hall.buy("ada", audit_rate=0), hall.market.seller("ada").address
    ledger, bonds = hall.market.ledger, hall.market.ledger.bonds
    jurors = [key.address for _, key, _ in hall.market.auditors]

    def paid() -> list[int]:
        return [bonds.held(who) + bonds.credit(who) + ledger.token.balance_of(who) for who in jurors]

    with closing(Bench(hall)) as bench:
        staked, before, owned = bonds.held(accuser.key.address), paid(), ledger.token.balance_of(ada)
        case = accuser.challenge(answer)
        wait(lambda: seat(accuser, case))
        accuser.cases.open_case(case, Opening(b"nothing that opens", tuple([bytes(80)] * len(jurors))))
        bench.convict(case)
        wait(lambda: hall.case(case).stage is Stage.PLAYING)  # within an appeal window of 6 s
        view = hall.games.view(case)
        assert view is not None
        assert view.stage == game.Stage.CALLED
        accuser.begin(case, answer)
        accuser.play({case: answer})
        assert hall.ends(case) == [Outcome.HONEST]
        view = hall.games.view(case)
        assert view is not None
        assert view.why == "step"
        assert bonds.held(accuser.key.address) == staked - STAKE
        fees = min(view.moves * DEVNET.move_fee, STAKE // 2)
        wait(lambda: ledger.token.balance_of(ada) >= owned + fees)
        assert ledger.token.balance_of(ada) < owned + fees + DEVNET.move_fee  # and what answers may have paid meanwhile
        assert paid() == before
        assert not hall.cases.convicted(hall.case(case).receipt)


def seat(accuser: Accuser, case: bytes) -> bool:
    """True once the jury's block was there."""
    try:
        accuser.cases.seat(case)
    except Refused:
        return False
    return True
