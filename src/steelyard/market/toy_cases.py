"""A court in memory, for tests and demonstrations without a chain: the rules of `cases`, no signatures checked.

One `Court` is shared; `Court.of(account)` is the port that a node holds. Each second is a block.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from steelyard.chain.following import DEEP
from steelyard.market.cases import NEVER, Case, Consent, Exhibit, Opening, Stage, Tie
from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256
from steelyard.protocol.proofs import Proof
from steelyard.protocol.records import Receipt, Vote
from steelyard.protocol.units import Address, MicroToken, Timestamp
from steelyard.protocol.verdicts import Outcome


@dataclass
class Court:
    """All cases. Invariant: every change of a case appends its id to `events`."""

    domain: Domain
    clock: Callable[[], int]
    """Unix seconds."""
    seats: int = 3
    window: int = 60
    """Seconds for opening, committing, revealing, each."""
    claims: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    """Claim id -> (receipts root, count)."""
    pool: dict[Address, tuple[bytes, str, int]] = field(default_factory=dict)
    """Auditor -> (encryption key, URL, stake)."""
    cases: dict[bytes, Case] = field(default_factory=dict)
    openings: dict[bytes, Opening] = field(default_factory=dict)
    commitments: dict[bytes, dict[Address, bytes]] = field(default_factory=dict)
    votes: dict[bytes, dict[Address, Vote]] = field(default_factory=dict)
    slashed: dict[bytes, Address] = field(default_factory=dict)
    """Receipt -> who was paid the bounty."""
    born: dict[bytes, int] = field(default_factory=dict)
    """Case -> second of its challenge; seats are drawn later than that."""
    twins: dict[bytes, Tie | None] = field(default_factory=dict)
    """Receipts that a twin convicted, and where they were tied."""
    proofs: dict[bytes, Proof] = field(default_factory=dict)
    """Receipts that records convicted, and by what."""
    ruled_at: dict[bytes, int] = field(default_factory=dict)
    """Case -> second of its ruling."""
    slashed_at: dict[bytes, int] = field(default_factory=dict)
    """Receipt -> second of its conviction; long ago if it is not there."""
    events: list[bytes] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def of(self, account: Address) -> "ToyCases":
        """The port of one account."""
        return ToyCases(self, account)

    def put(self, case: Case) -> None:
        """Stores a case and tells."""
        self.cases[case.id] = case
        self.events.append(case.id)
        if case.stage is Stage.RULED:
            self.ruled_at.setdefault(case.id, self.clock())
        else:
            self.ruled_at.pop(case.id, None)

    def slash(self, receipt: bytes, to: Address) -> None:
        """Once a receipt."""
        if receipt not in self.slashed:
            self.slashed[receipt], self.slashed_at[receipt] = to, self.clock()

    def at(self, case: bytes, stage: Stage) -> Case:
        """The case, if it is at that stage. Raises Refused."""
        found = self.cases.get(case)
        if found is None:
            raise Refused("rulings.case-unknown", f"0x{case.hex()}")
        if found.stage != stage:
            raise Refused("rulings.case-state", f"{found.stage.name}, not {stage.name}")
        return found


class ToyCases:
    """`cases.Cases` over a `Court`."""

    def __init__(self, court: Court, account: Address) -> None:
        self.court, self.account = court, account

    def find(self, receipt: bytes) -> bytes | None:
        own = [c.id for c in self.court.cases.values() if c.receipt == receipt and c.challenger == self.account]
        return own[-1] if own else None

    def case(self, case: bytes) -> Case | None:
        with self.court.lock:
            found = self.court.cases.get(case)
            vote = self.court.votes.get(case, {}).get(self.account)
            own = self.court.commitments.get(case, {}).get(self.account, b"")
            guilty = sum(each.outcome == Outcome.CHEATED for each in self.court.votes.get(case, {}).values())
            if found is None:
                return None
            found = replace(found, guilty=guilty, jury=self.court.seats, own_commitment=own)
            return replace(found, own_vote=Outcome(vote.outcome) if vote else None)

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        with self.court.lock:
            return list(dict.fromkeys(self.court.events[cursor:])), len(self.court.events)

    def opening(self, case: bytes) -> Opening | None:
        return self.court.openings.get(case)

    def convicted(self, receipt: bytes) -> bool:
        return receipt in self.court.slashed

    def ruling_stands(self, case: bytes) -> bool:
        at = self.court.ruled_at.get(case)
        return at is not None and self.court.clock() - at >= DEEP

    def conviction_stands(self, receipt: bytes) -> bool:
        return receipt in self.court.slashed and self.court.clock() - self.court.slashed_at.get(receipt, 0) >= DEEP

    def challenge(self, exhibit: Exhibit, consent: Consent) -> bytes:
        receipt = exhibit.receipt.digest(self.court.domain)
        with self.court.lock:
            if consent.ticket.receipt != receipt or consent.ticket.auditor != self.account:
                raise Refused("rulings.ticket", "of another receipt or auditor")
            before = self.find(receipt)
            if before is not None and self.court.cases[before].stage != Stage.RULED:
                raise Refused("rulings.open-case", f"0x{receipt.hex()} by {self.account}")
            if receipt in self.court.slashed:
                raise Refused("rulings.convicted", f"0x{receipt.hex()}")
            case = sha256(receipt, self.account.encode(), bytes([len(self.court.cases)]))
            opened = Case(case, receipt, exhibit.offer.provider, self.account, self.account, Stage.CHALLENGED)
            self.court.born[case] = now = self.court.clock()
            lapses = Timestamp(now + 3 * self.court.window)
            self.court.put(replace(opened, since=Timestamp(now), open_until=lapses))
            return case

    def seat(self, case: bytes) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.CHALLENGED)
            self._require_until(found.open_until)
            if self.court.clock() <= self.court.born[case]:
                raise Refused("rulings.seed", "its block is not there yet")
            parties = {found.challenger, found.provider, found.opener}
            drawn = sorted(set(self.court.pool) - parties, key=lambda a: sha256(case, a.encode()))[: self.court.seats]
            now = Timestamp(self.court.clock())
            until = Timestamp(now + self.court.window)
            self.court.put(replace(found, stage=Stage.SEATED, seats=tuple(drawn), since=now, open_until=until))

    def open_case(self, case: bytes, opening: Opening) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.SEATED)
            if self.account != found.opener or len(opening.wrapped) != len(found.seats):
                raise Refused("rulings.opener", f"{self.account}, {len(opening.wrapped)} keys")
            self._require_until(found.open_until)
            self.court.openings[case] = opening
            commit = Timestamp(self.court.clock() + self.court.window)
            reveal = Timestamp(commit + self.court.window)
            opened = replace(found, stage=Stage.OPENED, since=NEVER, commit_until=commit, reveal_until=reveal)
            self.court.put(opened)

    def tie(self, case: bytes, tie: Tie) -> None:
        with self.court.lock:
            found = self.court.cases[case]
            if found.stage is Stage.RULED or found.claim:
                raise Refused("rulings.tied", f"{found.stage.name}, claim {found.claim}")
            self._check(found.receipt, tie)
            self.court.put(replace(found, claim=tie.claim))

    def commit(self, case: bytes, vote: bytes) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.OPENED)
            self._require_until(found.commit_until)
            commitments = self.court.commitments.setdefault(case, {})
            if self.account not in found.seats or self.account in commitments:
                raise Refused("rulings.not-a-juror", f"{self.account}")
            commitments[self.account] = vote
            self.court.put(replace(found, committed=len(commitments)))

    def reveal(self, vote: Vote) -> None:
        with self.court.lock:
            found = self.court.at(vote.case, Stage.OPENED)
            self._require_until(found.reveal_until)
            if self.court.clock() <= found.commit_until and found.committed < len(found.seats):
                raise Refused("rulings.too-early", f"{found.committed} of {len(found.seats)}")
            if self.court.commitments[vote.case].get(self.account) != vote.struct_hash() or vote.juror != self.account:
                raise Refused("rulings.vote", f"{self.account}")
            votes = self.court.votes.setdefault(vote.case, {})
            votes[self.account] = vote
            self.court.put(replace(found, revealed=len(votes)))

    def settle(self, case: bytes) -> None:
        with self.court.lock:
            found = self.court.cases[case]
            if found.stage in (Stage.CHALLENGED, Stage.SEATED) and self.court.clock() > found.open_until:
                self.court.put(replace(found, stage=Stage.RULED, outcome=Outcome.NOT_OPENED if found.seats else None))
                return
            self.court.at(case, Stage.OPENED)
            if self.court.clock() <= found.reveal_until and found.revealed < len(found.seats):
                raise Refused("rulings.too-early", f"{found.revealed} of {len(found.seats)} seats revealed")
            ballots = Counter((v.outcome, v.run_digest) for v in self.court.votes.get(case, {}).values())
            (top, votes), *_ = [*ballots.most_common(1), ((0, b""), 0)]
            outcome = Outcome(top[0]) if votes * 3 >= 2 * self.court.seats else None
            if outcome is Outcome.CHEATED:
                self.court.slash(found.receipt, found.challenger)
            self.court.put(replace(found, stage=Stage.RULED, outcome=outcome))

    def convict_twice(self, exhibit: Exhibit, other: Receipt, signature: bytes, tie: Tie | None) -> None:
        del signature  # no signatures are checked here
        with self.court.lock:
            one, two = exhibit.receipt.digest(self.court.domain), other.digest(self.court.domain)
            if one == two or exhibit.receipt.order != other.order:
                raise Refused("rulings.no-twins", f"0x{one.hex()}")
            if one in self.court.slashed:
                raise Refused("rulings.convicted", f"0x{one.hex()}")
            if tie is not None:
                self._check(one, tie)
            self.court.twins[one] = tie
            self.court.slash(one, self.account)
            self.court.slash(two, self.account)

    def prove(self, exhibit: Exhibit, proof: Proof, tie: Tie | None) -> None:
        with self.court.lock:
            receipt = exhibit.receipt.digest(self.court.domain)
            if receipt in self.court.slashed:
                raise Refused("rulings.convicted", f"0x{receipt.hex()}")
            self.court.proofs[receipt] = proof
            self.court.twins[receipt] = tie
            self.court.slash(receipt, self.account)

    def joined(self) -> bool:
        return self.account in self.court.pool

    def join(self, encryption_key: bytes, url: str, stake: MicroToken) -> None:
        self.court.pool[self.account] = (encryption_key, url, stake)

    def leave(self) -> None:
        self.court.pool.pop(self.account, None)

    def encryption_key(self, auditor: Address) -> bytes:
        return self.court.pool[auditor][0] if auditor in self.court.pool else bytes(32)

    def challenge_stake(self) -> MicroToken:
        return MicroToken(10)

    def _check(self, receipt: bytes, tie: Tie) -> None:
        root, count = self.court.claims[tie.claim]
        if not merkle.verify(root, count, tie.index, merkle.leaf_hash(receipt), tie.path):
            raise Refused("rulings.path", f"not leaf {tie.index} of {count}")

    def _require_until(self, until: Timestamp) -> None:
        if self.court.clock() > until:
            raise Refused("rulings.too-late", f"{self.court.clock()} > {until}")
