"""`market.cases.Cases` over the generated bindings: the real chain."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace

from steelyard.chain.bindings.proofs import Proofs
from steelyard.chain.bindings.registry import Registry
from steelyard.chain.bindings.rulings import (
    CaseOf,
    CaseOpened,
    Challenged,
    Committed,
    Punished,
    Revealed,
    Rulings,
    Seated,
    Settled,
    Taken,
    Tied,
)
from steelyard.chain.deploy import Deployment
from steelyard.chain.following import DEEP, follow, stands
from steelyard.chain.port import Chain, Log
from steelyard.market.cases import NEVER, Case, Consent, Exhibit, Opening, Stage, Tie
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.proofs import BadUnit, OtherModel, OtherPrefix, Proof, TooMany
from steelyard.protocol.records import Receipt, Vote
from steelyard.protocol.units import Address, MicroToken, Timestamp
from steelyard.protocol.verdicts import Outcome

TICKET = 2  # basis of contracts/Rulings.vy
NO_TIE = (0, 0, ())
OF_A_CASE = frozenset(
    kind.TOPIC for kind in (Challenged, Seated, CaseOpened, Committed, Revealed, Tied, Taken, Settled)
)  # each has the case as its first indexed field


@dataclass(frozen=True, slots=True)
class _Terms:
    """Of the contract; spans in seconds."""

    seats: int
    opening: int
    """Until a seated case has to be opened."""
    lapse: int
    """Until a challenge has to be seated."""
    appeal: int


class OnchainCases:
    """Reads and writes of one court, sent by the chain's account."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment = chain, deployment
        self.rulings = Rulings(chain, deployment.rulings)
        self.registry = Registry(chain, deployment.registry)
        self.proofs = Proofs(chain, deployment.proofs)
        self._constants: _Terms | None = None

    @property
    def account(self) -> Address:
        """Who sends. Raises Refused("chain.no-key") for a reader."""
        if self.chain.account is None:
            raise Refused("chain.no-key", "this node reads only")
        return self.chain.account

    # -- reading ---------------------------------------------------------------------------------------------------

    def find(self, receipt: bytes) -> bytes | None:
        """See the port."""
        case = self.rulings.latest(receipt, self.account)
        return None if case == ZERO32 else case

    def case(self, case: bytes) -> Case | None:
        """See the port."""
        c = self.rulings.case_of(case)
        if c.stage == 0:
            return None
        seats = self.rulings.seats_of(case) if c.stage > Stage.CHALLENGED else ()
        seated = self.account in seats
        commitment = self.rulings.commitment(case, self.account) if seated and c.committed else ZERO32
        votes = {seat: self.rulings.voted(case, seat) for seat in seats} if c.revealed else {}
        found = read_case(case, c, seats, commitment, votes.get(self.account, 0))
        guilty = sum(vote == Outcome.CHEATED for vote in votes.values())
        terms = self._terms()
        settles_at = Timestamp(c.reveal_until + terms.appeal if c.stage == Stage.OPENED else 0)
        takes = {Stage.CHALLENGED: terms.lapse, Stage.SEATED: terms.opening}
        since = Timestamp(c.open_until - takes[found.stage]) if found.stage in takes else NEVER
        return replace(found, guilty=guilty, jury=terms.seats, since=since, settles_at=settles_at)

    def _terms(self) -> _Terms:
        """They never change."""
        if self._constants is None:
            court = self.rulings
            opening = court.open_window()
            lapse = opening + court.commit_window() + court.reveal_window()
            self._constants = _Terms(court.seats(), opening, lapse, court.appeal_window())
        return self._constants

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        """See the port. The cursor is a block."""
        first = max(self.deployment.block, cursor)
        cases: dict[bytes, None] = {}
        then = first
        for batch in follow(self.chain, [self.deployment.rulings], first):
            cases |= {log.topics[1]: None for log in batch.logs if log.topics[0] in OF_A_CASE}
            then = batch.next_block
        return list(cases), max(first, then - DEEP)  # a reorganisation that is not deeper hides no case

    def opening(self, case: bytes) -> Opening | None:
        """See the port: from the event, which carries the bytes."""
        for batch in follow(self.chain, [self.deployment.rulings], self.rulings.case_of(case).born):
            for log in batch.logs:
                if log.topics[:2] == (CaseOpened.TOPIC, case):
                    event = CaseOpened.read(log)
                    return Opening(event.ciphertext, event.wrapped)
        return None

    def convicted(self, receipt: bytes) -> bool:
        """See the port."""
        return self.rulings.convicted(receipt)

    def ruling_stands(self, case: bytes) -> bool:
        """See the port."""
        c = self.rulings.case_of(case)
        return c.stage == Stage.RULED and self._stands(c.born, lambda log: log.topics[:2] == (Settled.TOPIC, case))

    def conviction_stands(self, receipt: bytes) -> bool:
        """See the port."""

        def told(log: Log) -> bool:
            if log.topics[0] == Settled.TOPIC:
                ruled = Settled.read(log)
                return ruled.receipt == receipt and ruled.outcome == Outcome.CHEATED
            if log.topics[0] == Punished.TOPIC:
                punished = Punished.read(log)
                return receipt in (punished.receipt, punished.twin)
            return False

        return self.convicted(receipt) and self._stands(self.deployment.block, told)

    def _stands(self, since: int, told: Callable[[Log], bool]) -> bool:
        return stands(self.chain, [self.deployment.rulings], since, told)

    def challenge_stake(self) -> MicroToken:
        """See the port."""
        return MicroToken(self.rulings.stake())

    def joined(self) -> bool:
        """See the port."""
        return self.registry.stake(self.account) > 0

    def encryption_key(self, auditor: Address) -> bytes:
        """See the port."""
        return self.registry.encryption_key(auditor)

    # -- writing ---------------------------------------------------------------------------------------------------

    def challenge(self, exhibit: Exhibit, consent: Consent) -> bytes:
        """See the port."""
        self.rulings.challenge(
            _shown(exhibit),
            exhibit.order_signature,
            exhibit.receipt_signature,
            TICKET,
            astuple(consent.ticket),
            consent.signature,
            ZERO32,
        )
        case = self.find(consent.ticket.receipt)
        if case is None:
            raise Unavailable("chain.behind", "a mined challenge is not there yet")
        return case

    def seat(self, case: bytes) -> None:
        """See the port."""
        self.rulings.seat(case)

    def open_case(self, case: bytes, opening: Opening) -> None:
        """See the port."""
        self.rulings.open_case(case, opening.ciphertext, opening.wrapped)

    def tie(self, case: bytes, tie: Tie) -> None:
        """See the port."""
        self.rulings.tie(case, astuple(tie))

    def commit(self, case: bytes, vote: bytes) -> None:
        """See the port."""
        self.rulings.commit(case, vote)

    def reveal(self, vote: Vote) -> None:
        """See the port."""
        self.rulings.reveal(astuple(vote))

    def settle(self, case: bytes) -> None:
        """See the port."""
        self.rulings.settle(case)

    def convict_twice(self, exhibit: Exhibit, other: Receipt, signature: bytes, tie: Tie | None) -> None:
        """See the port."""
        self.proofs.convict_twice(
            _shown(exhibit),
            exhibit.order_signature,
            exhibit.receipt_signature,
            astuple(other),
            signature,
            NO_TIE if tie is None else astuple(tie),
        )

    def prove(self, exhibit: Exhibit, proof: Proof, tie: Tie | None) -> None:
        """See the port."""
        convicts: dict[type[Proof], Callable[..., object]] = {
            OtherModel: self.proofs.convict_model,
            TooMany: self.proofs.convict_count,
            BadUnit: self.proofs.convict_end,
            OtherPrefix: self.proofs.convict_prefix,
        }
        shown = (_shown(exhibit), exhibit.order_signature, exhibit.receipt_signature)
        convicts[type(proof)](*shown, *astuple(proof), NO_TIE if tie is None else astuple(tie))

    def join(self, encryption_key: bytes, url: str, stake: MicroToken) -> None:
        """See the port. Once in the pool, only a changed key or URL is sent."""
        if not self.joined():
            self.registry.join(encryption_key, url, stake)
        elif (self.registry.encryption_key(self.account), self.registry.auditor_url(self.account)) != (
            encryption_key,
            url,
        ):
            self.registry.move(encryption_key, url)

    def leave(self) -> None:
        """See the port."""
        self.registry.leave()


def read_case(case: bytes, c: CaseOf, seats: tuple[Address, ...], commitment: bytes, voted: int) -> Case:
    """The contract's case as the port shows it; commitment and vote are the reader's own."""
    return Case(
        id=case,
        receipt=c.receipt,
        provider=c.provider,
        challenger=c.challenger,
        opener=c.opener,
        stage=Stage(c.stage),
        seats=seats,
        open_until=Timestamp(c.open_until),
        commit_until=Timestamp(c.commit_until),
        reveal_until=Timestamp(c.reveal_until),
        committed=c.committed,
        revealed=c.revealed,
        own_commitment=b"" if commitment == ZERO32 else commitment,
        own_vote=Outcome(voted) if voted else None,
        claim=c.claim,
        outcome=Outcome(c.outcome) if c.outcome else None,
    )


def _shown(exhibit: Exhibit) -> tuple[object, ...]:
    records = (astuple(exhibit.offer), astuple(exhibit.order), astuple(exhibit.receipt))
    return (*records, exhibit.answer_units, exhibit.answer_top)
