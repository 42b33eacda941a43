"""A court in memory, for tests and demonstrations without a chain: the rules of `cases`, no signatures checked.

One `Court` is shared; `Court.of(account)` is the port that an auditor holds.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from steelyard.market.cases import Case, Consent, Exhibit, Opening, Stage
from steelyard.protocol import merkle
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256
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
    votes: dict[bytes, dict[Address, Vote]] = field(default_factory=dict)
    slashed: dict[bytes, Address] = field(default_factory=dict)
    """Receipt -> who was paid the bounty."""
    events: list[bytes] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def of(self, account: Address) -> "ToyCases":
        """The port of one account."""
        return ToyCases(self, account)

    def put(self, case: Case) -> None:
        """Stores a case and tells."""
        self.cases[case.id] = case
        self.events.append(case.id)

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
        return self.court.cases.get(case)

    def news(self, cursor: int) -> tuple[Sequence[bytes], int]:
        with self.court.lock:
            return list(dict.fromkeys(self.court.events[cursor:])), len(self.court.events)

    def opening(self, case: bytes) -> Opening | None:
        return self.court.openings.get(case)

    def convicted(self, receipt: bytes) -> bool:
        return receipt in self.court.slashed

    def challenge(self, exhibit: Exhibit, consent: Consent) -> bytes:
        receipt = exhibit.receipt.digest(self.court.domain)
        with self.court.lock:
            if consent.ticket.receipt != receipt or consent.ticket.auditor != self.account:
                raise Refused("rulings.ticket", "of another receipt or auditor")
            if self.find(receipt) is not None:
                raise Refused("rulings.challenged", f"0x{receipt.hex()} by {self.account}")
            case = sha256(receipt, self.account.encode())
            opened = Case(case, receipt, exhibit.offer.provider, self.account, self.account, Stage.CHALLENGED)
            self.court.put(opened)
            return case

    def seat(self, case: bytes) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.CHALLENGED)
            parties = {found.challenger, found.provider, found.opener}
            drawn = sorted(set(self.court.pool) - parties, key=lambda a: sha256(case, a.encode()))[: self.court.seats]
            until = Timestamp(self.court.clock() + self.court.window)
            self.court.put(replace(found, stage=Stage.SEATED, seats=tuple(drawn), open_until=until))

    def open_case(self, case: bytes, opening: Opening) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.SEATED)
            if self.account != found.opener or len(opening.wrapped) != len(found.seats):
                raise Refused("rulings.opener", f"{self.account}, {len(opening.wrapped)} keys")
            self._require_before(found.open_until)
            self.court.openings[case] = opening
            commit = Timestamp(self.court.clock() + self.court.window)
            reveal = Timestamp(commit + self.court.window)
            self.court.put(replace(found, stage=Stage.OPENED, commit_until=commit, reveal_until=reveal))

    def tie(self, case: bytes, claim: int, index: int, path: Sequence[bytes]) -> None:
        with self.court.lock:
            root, count = self.court.claims[claim]
            found = self.court.cases[case]
            if not merkle.verify(root, count, index, merkle.leaf_hash(found.receipt), path):
                raise Refused("rulings.path", f"not leaf {index} of {count}")
            self.court.put(replace(found, claim=claim))

    def commit(self, case: bytes, vote: bytes) -> None:
        with self.court.lock:
            found = self.court.at(case, Stage.OPENED)
            self._require_before(found.commit_until)
            if self.account not in found.seats or self.account in found.commitments:
                raise Refused("rulings.juror", f"{self.account}")
            self.court.put(replace(found, commitments={**found.commitments, self.account: vote}))

    def reveal(self, vote: Vote) -> None:
        with self.court.lock:
            found = self.court.at(vote.case, Stage.OPENED)
            self._require_before(found.reveal_until)
            early = self.court.clock() < found.commit_until and len(found.commitments) < len(found.seats)
            if early or found.commitments.get(self.account) != vote.struct_hash() or vote.juror != self.account:
                raise Refused("rulings.reveal", f"{self.account}, early: {early}")
            self.court.votes.setdefault(vote.case, {})[self.account] = vote
            self.court.put(replace(found, revealed={**found.revealed, self.account: Outcome(vote.outcome)}))

    def settle(self, case: bytes) -> None:
        with self.court.lock:
            found = self.court.cases[case]
            late = self.court.clock() >= found.reveal_until
            silent = found.stage == Stage.SEATED and self.court.clock() >= found.open_until
            if silent:
                self.court.put(replace(found, stage=Stage.RULED, outcome=Outcome.NOT_OPENED))
                return
            self.court.at(case, Stage.OPENED)
            if not late and len(found.revealed) < len(found.seats):
                raise Refused("rulings.window", f"{len(found.revealed)} of {len(found.seats)} seats revealed")
            ballots = Counter((v.outcome, v.run_digest) for v in self.court.votes.get(case, {}).values())
            (top, votes), *_ = [*ballots.most_common(1), ((0, b""), 0)]
            outcome = Outcome(top[0]) if votes * 3 >= 2 * len(found.seats) and votes else None
            if outcome is Outcome.CHEATED:
                self.court.slashed.setdefault(found.receipt, found.challenger)
            self.court.put(replace(found, stage=Stage.RULED, outcome=outcome))

    def convict_twice(self, exhibit: Exhibit, other: Receipt, signature: bytes) -> None:
        del signature  # no signatures are checked here
        with self.court.lock:
            one, two = exhibit.receipt.digest(self.court.domain), other.digest(self.court.domain)
            if one == two or exhibit.receipt.order != other.order:
                raise Refused("rulings.same-receipt", f"0x{one.hex()}")
            if one in self.court.slashed:
                raise Refused("rulings.slashed", f"0x{one.hex()}")
            self.court.slashed[one] = self.account

    def joined(self) -> bool:
        return self.account in self.court.pool

    def join(self, encryption_key: bytes, url: str, stake: MicroToken) -> None:
        self.court.pool[self.account] = (encryption_key, url, stake)

    def leave(self) -> None:
        self.court.pool.pop(self.account, None)

    def encryption_key(self, auditor: Address) -> bytes:
        return self.court.pool[auditor][0] if auditor in self.court.pool else bytes(32)

    def _require_before(self, until: Timestamp) -> None:
        if self.court.clock() >= until:
            raise Refused("rulings.window", f"{self.court.clock()} >= {until}")
