# pragma version 0.4.3
"""
@title Rulings: challenges, juries, slashes
@license Apache-2.0
@notice Whoever may read an answer (or drew it) challenges its receipt; a jury of auditors replays it, commits, reveals; two
    thirds of the seats with one outcome and one run digest rule. Games may take a case out of the jury's hands and brings its
    outcome back; Proofs brings lies that records prove. Nobody else slashes a provider.
    spec/rulings.md says the rules (RUL-1 ...). Not audited by a third party.
@custom:invariant
    - a provider is slashed only for a receipt in `convicted`, and once for each
    - a case that is RULED holds no reservation and no claim
    - of a slash at most half is paid out (Bonds), so nobody gains by convicting himself
    - an acquittal binds nobody but its challenger: another may challenge the same receipt (rule M7)
    - a case that is PLAYING is ruled by Games only, any other by its jury only
"""

from interfaces import IBonds
from interfaces import IEscrow
from interfaces import IOrders
from interfaces import IRegistry
from interfaces import IRulings
import exhibits
import records
import trees

implements: IRulings

initializes: exhibits

event Challenged:
    case: indexed(bytes32)
    receipt: indexed(bytes32)
    challenger: indexed(address)
    provider: address
    basis: uint8
    stake: uint256

event Seated:
    case: indexed(bytes32)
    seats: DynArray[address, MAX_SEATS]
    open_until: uint64

event CaseOpened:
    case: indexed(bytes32)
    ciphertext: Bytes[MAX_CIPHERTEXT]
    wrapped: DynArray[Bytes[MAX_WRAPPED], MAX_SEATS]
    commit_until: uint64
    reveal_until: uint64

event Committed:
    case: indexed(bytes32)
    juror: indexed(address)
    vote: bytes32

event Revealed:
    case: indexed(bytes32)
    juror: indexed(address)
    outcome: uint8
    evidence_root: bytes32
    run_digest: bytes32

event Tied:
    case: indexed(bytes32)
    claim: indexed(uint256)

event Settled:
    case: indexed(bytes32)
    receipt: indexed(bytes32)
    outcome: uint8
    slashed: address
    amount: uint256

event Bound:
    games: address
    proofs: address

event Taken:
    case: indexed(bytes32)

event Punished:
    order: indexed(bytes32)
    provider: indexed(address)
    receipt: bytes32
    twin: bytes32
    amount: uint256

struct Terms:
    seats: uint256
    stake: uint256
    juror_fee: uint256
    repay_times: uint256
    open_window: uint64
    commit_window: uint64
    reveal_window: uint64
    appeal_window: uint64

struct Case:
    receipt: bytes32
    channel: bytes32
    offer: bytes32
    provider: address
    challenger: address
    opener: address
    buyer: address
    session_key: address
    epoch: uint64
    born: uint256
    stage: uint8
    outcome: uint8
    price: uint256
    stake: uint256
    reserved: uint256
    open_until: uint64
    commit_until: uint64
    reveal_until: uint64
    committed: uint256
    revealed: uint256
    claim: uint256
    held: bool

MAX_SEATS: constant(uint256) = 31
MAX_CIPHERTEXT: constant(uint256) = 65_536  # 16,000 units and the records about them
MAX_WRAPPED: constant(uint256) = 128
MICRO: constant(uint256) = 1_000_000
SCHEDULE: constant(uint256) = 256  # blocks whose hash the chain remembers

OPEN_LEVEL: constant(uint8) = 1
AUDITED: constant(uint8) = 2

BUYER: constant(uint8) = 1
TICKET: constant(uint8) = 2
DRAWN: constant(uint8) = 3
ON_CHAIN: constant(uint8) = 4

CHALLENGED: constant(uint8) = 1
SEATED: constant(uint8) = 2
OPENED: constant(uint8) = 3
PLAYING: constant(uint8) = 4  # Games has it
RULED: constant(uint8) = 5

HONEST: constant(uint8) = 1
CHEATED: constant(uint8) = 2
CANNOT_TELL: constant(uint8) = 3
NOT_OPENED: constant(uint8) = 4
PAID: constant(uint8) = 3  # a claim's state

BONDS: immutable(IBonds)
REGISTRY: immutable(IRegistry)
DEPLOYER: immutable(address)
seats: public(immutable(uint256))
stake: public(immutable(uint256))
juror_fee: public(immutable(uint256))
repay_times: public(immutable(uint256))
open_window: public(immutable(uint64))
commit_window: public(immutable(uint64))
reveal_window: public(immutable(uint64))
appeal_window: public(immutable(uint64))

games: public(address)
proofs: public(address)
case_count: public(uint256)
cases: HashMap[bytes32, Case]
jury: HashMap[bytes32, DynArray[address, MAX_SEATS]]
commitment: public(HashMap[bytes32, HashMap[address, bytes32]])
voted: public(HashMap[bytes32, HashMap[address, uint8]])
group: HashMap[bytes32, HashMap[address, bytes32]]
convicted: public(HashMap[bytes32, bool])
convicted_order: public(HashMap[bytes32, bool])
latest: public(HashMap[bytes32, HashMap[address, bytes32]])  # receipt -> challenger -> case


@deploy
def __init__(bonds: IBonds, escrow: IEscrow, orders: IOrders, registry: IRegistry, terms: Terms, flat: uint256):
    """
    @param terms spans in seconds, amounts in micro-tokens
    @param flat F of the escrow: half of it has to cover the jury twice, so that a bounty is left
    """
    # REFUSE
    assert 0 < terms.seats and terms.seats <= MAX_SEATS, "rulings.terms"
    assert min(min(terms.open_window, terms.commit_window), terms.reveal_window) > 0, "rulings.terms"
    assert terms.stake // 2 >= terms.seats * terms.juror_fee, "rulings.terms"
    assert flat // 4 >= terms.seats * terms.juror_fee, "rulings.terms"
    # WRITE
    BONDS = bonds
    exhibits.__init__(escrow, orders)
    REGISTRY = registry
    DEPLOYER = msg.sender
    seats = terms.seats
    stake = terms.stake
    juror_fee = terms.juror_fee
    repay_times = terms.repay_times
    open_window = terms.open_window
    commit_window = terms.commit_window
    reveal_window = terms.reveal_window
    appeal_window = terms.appeal_window


@external
def bind(games: address, proofs: address):
    """
    Names the contracts that take cases and bring lies, once.
    """
    # REFUSE
    assert msg.sender == DEPLOYER, "rulings.deployer"
    assert self.games == empty(address), "rulings.bound"
    assert empty(address) not in [games, proofs], "rulings.nobody"
    # WRITE
    self.games = games
    self.proofs = proofs
    # TELL
    log Bound(games=games, proofs=proofs)


# ------------------------------------------------------------------ reading


@view
@external
def case_of(case: bytes32) -> Case:
    """
    A case; stage 0 if there is none.
    """
    return self.cases[case]


@view
@external
def seats_of(case: bytes32) -> DynArray[address, MAX_SEATS]:
    """
    The jurors, in the order in which keys are wrapped.
    """
    return self.jury[case]


@view
@internal
def _case(case: bytes32) -> Case:
    # here only, since each copy of two dozen words is 300 bytes of code
    return self.cases[case]


@view
@internal
def _now() -> uint64:
    return convert(block.timestamp, uint64)


# ------------------------------------------------------------------ challenging


@view
@internal
def _draws(coin: bytes32, receipt: bytes32) -> bool:
    """
    Rule M10: SHA-256(coin || receipt) * 10**6 < p * 2**256, both sides divided by 2**128 so that they fit in a word.
    """
    roll: uint256 = convert(sha256(concat(coin, receipt)), uint256)
    scaled: uint256 = (roll >> 128) * MICRO + (((roll & (2**128 - 1)) * MICRO) >> 128)
    return scaled < (staticcall exhibits.ESCROW.rate_ppm()) << 128


@view
@internal
def _may(
    basis: uint8,
    exhibit: exhibits.Exhibit,
    found: exhibits.Parties,
    ticket: records.AuditTicket,
    signature: Bytes[65],
    coin: bytes32,
):
    """
    Rule M9: consent, or a draw, or an answer that is public anyway.
    """
    if basis == BUYER:
        assert msg.sender in [found.buyer, found.session_key], "rulings.not-the-buyer"
    elif basis == TICKET:
        assert ticket.receipt == found.receipt and ticket.auditor == msg.sender, "rulings.ticket"
        assert ticket.expiry >= self._now(), "rulings.ticket-expired"
        signer: address = records.recover(records.digest_audit_ticket(ticket, exhibits._separator()), signature)
        assert signer == found.session_key and signer != empty(address), "signature"
    elif basis == DRAWN:
        assert sha256(coin) == exhibit.order.coin_commitment, "rulings.coin"
        assert self._draws(coin, found.receipt), "rulings.not-drawn"
        seed: bytes32 = sha256(concat(coin, found.receipt, x"01"))
        drawn: DynArray[address, 64] = staticcall REGISTRY.draw(
            exhibit.order.jury_epoch, seed, 1, [exhibit.offer.provider, found.buyer, found.session_key]
        )
        assert len(drawn) == 1 and drawn[0] == msg.sender, "rulings.not-drawn"
    else:
        assert basis == ON_CHAIN and found.session_key == empty(address), "rulings.basis"
        assert staticcall REGISTRY.weight_at(msg.sender, exhibit.order.jury_epoch) > 0, "rulings.not-an-auditor"


@external
def challenge(
    exhibit: exhibits.Exhibit,
    order_signature: Bytes[65],
    receipt_signature: Bytes[65],
    basis: uint8,
    ticket: records.AuditTicket,
    ticket_signature: Bytes[65],
    coin: bytes32,
) -> bytes32:
    """
    Opens a case. Unused parts of the basis are empty. An order placed on chain has an empty order signature.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    receipt: bytes32 = found.receipt
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    assert not self.convicted[receipt] and not self.convicted_order[found.order], "rulings.convicted"
    window: uint256 = convert(staticcall exhibits.ESCROW.challenge_window(), uint256)
    assert block.timestamp <= convert(exhibit.order.deadline, uint256) + window, "rulings.too-late"
    assert msg.sender != exhibit.offer.provider, "rulings.own-receipt"
    before: bytes32 = self.latest[receipt][msg.sender]
    assert before == empty(bytes32) or self.cases[before].stage == RULED, "rulings.open-case"
    self._may(basis, exhibit, found, ticket, ticket_signature, coin)
    # reverts unless the epoch has begun (its pool is frozen) and is remembered (a jury can be drawn)
    frozen: IRegistry.Pool = staticcall REGISTRY.pool(exhibit.order.jury_epoch)
    # WRITE
    price: uint256 = exhibits._price(exhibit)
    self.case_count += 1
    case: bytes32 = keccak256(abi_encode(chain.id, self, self.case_count))
    opener: address = msg.sender
    if basis == DRAWN:
        opener = exhibit.offer.provider
    due: uint256 = staticcall exhibits.ESCROW.stake_of(exhibit.order.level, price)
    reserved: uint256 = min(due, staticcall BONDS.free(exhibit.offer.provider))
    self.cases[case] = Case(
        receipt=receipt,
        channel=exhibits._claimed_channel(exhibit.order.channel),
        offer=found.offer,
        provider=exhibit.offer.provider,
        challenger=msg.sender,
        opener=opener,
        buyer=found.buyer,
        session_key=found.session_key,
        epoch=exhibit.order.jury_epoch,
        born=block.number,
        stage=CHALLENGED,
        outcome=0,
        price=price,
        stake=due,
        reserved=reserved,
        # until it is seated: when it lapses
        open_until=self._now() + open_window + commit_window + reveal_window,
        commit_until=0,
        reveal_until=0,
        committed=0,
        revealed=0,
        claim=0,
        held=False,
    )
    self.latest[receipt][msg.sender] = case
    extcall BONDS.reserve(msg.sender, stake)
    if reserved > 0:
        extcall BONDS.reserve(exhibit.offer.provider, reserved)
    # TELL
    log Challenged(
        case=case, receipt=receipt, challenger=msg.sender, provider=exhibit.offer.provider, basis=basis, stake=due
    )
    return case


@external
def seat(case: bytes32):
    """
    Draws the jury by the hash of the block after the challenge; once that is forgotten, by that of the next scheduled one.
    """
    # REFUSE
    c: Case = self._case(case)
    assert c.stage == CHALLENGED, "rulings.stage"
    assert self._now() <= c.open_until, "rulings.too-late"
    assert block.number > c.born + 1, "rulings.seed"
    target: uint256 = c.born + 1 + SCHEDULE * ((block.number - c.born - 2) // SCHEDULE)
    seed: bytes32 = keccak256(abi_encode(blockhash(target), case))
    # WRITE
    excluded: DynArray[address, 8] = [c.provider, c.challenger, c.buyer, c.session_key]
    drawn: DynArray[address, 64] = staticcall REGISTRY.draw(c.epoch, seed, seats, excluded)
    jury: DynArray[address, MAX_SEATS] = []
    for juror: address in drawn:
        jury.append(juror)
    self.jury[case] = jury
    self.cases[case].stage = SEATED
    until: uint64 = self._now() + open_window
    self.cases[case].open_until = until
    # TELL
    log Seated(case=case, seats=jury, open_until=until)


@external
def open_case(case: bytes32, ciphertext: Bytes[MAX_CIPHERTEXT], wrapped: DynArray[Bytes[MAX_WRAPPED], MAX_SEATS]):
    """
    The opener posts the units, encrypted, and the key, wrapped for each seat in order (rule M9). The event carries them.
    """
    # REFUSE
    c: Case = self._case(case)
    assert c.stage == SEATED, "rulings.stage"
    assert msg.sender == c.opener, "rulings.not-the-opener"
    assert self._now() <= c.open_until, "rulings.too-late"
    assert len(wrapped) == len(self.jury[case]), "rulings.keys"
    # WRITE
    self.cases[case].stage = OPENED
    commit_until: uint64 = self._now() + commit_window
    self.cases[case].commit_until = commit_until
    self.cases[case].reveal_until = commit_until + reveal_window
    # TELL
    log CaseOpened(
        case=case,
        ciphertext=ciphertext,
        wrapped=wrapped,
        commit_until=commit_until,
        reveal_until=commit_until + reveal_window,
    )


@view
@internal
def _require_under(channel: bytes32, offer: bytes32, receipt: bytes32, shown: IRulings.Tie) -> uint8:
    """
    The receipt is one that the claim pays for. Returns the claim's state.
    """
    claim: IEscrow.Claim = staticcall exhibits.ESCROW.claim_of(shown.claim)
    assert claim.state != 0 and claim.channel == channel and claim.offer == offer, "rulings.other-claim"
    assert shown.index >= convert(claim.first, uint256), "rulings.other-claim"
    count: uint256 = convert(claim.count, uint256)
    assert trees.verify(claim.receipts_root, count, shown.index, trees.leaf(receipt), shown.path), "rulings.path"
    return claim.state


@external
def tie(case: bytes32, shown: IRulings.Tie):
    """
    By anyone: shows that the receipt is under a claimed root. The claim waits for the case, unless it is paid already; a
    conviction repays the buyer.
    """
    # REFUSE
    c: Case = self._case(case)
    assert c.stage in [CHALLENGED, SEATED, OPENED, PLAYING], "rulings.stage"
    assert c.claim == 0, "rulings.tied"
    state: uint8 = self._require_under(c.channel, c.offer, c.receipt, shown)
    # WRITE
    self.cases[case].claim = shown.claim
    if state != PAID:
        self.cases[case].held = True
        extcall exhibits.ESCROW.hold(shown.claim)
    # TELL
    log Tied(case=case, claim=shown.claim)


# ------------------------------------------------------------------ voting


@external
def commit(case: bytes32, vote: bytes32):
    """
    A juror commits to the struct hash of its vote.
    """
    # REFUSE
    c: Case = self._case(case)
    assert c.stage == OPENED, "rulings.stage"
    assert self._now() <= c.commit_until, "rulings.too-late"
    assert msg.sender in self.jury[case], "rulings.not-a-juror"
    assert self.commitment[case][msg.sender] == empty(bytes32), "rulings.committed"
    assert vote != empty(bytes32), "rulings.vote"
    # WRITE
    self.commitment[case][msg.sender] = vote
    self.cases[case].committed = c.committed + 1
    # TELL
    log Committed(case=case, juror=msg.sender, vote=vote)


@external
def reveal(vote: records.Vote):
    """
    A juror reveals, once all have committed or the time for that is over.
    """
    # REFUSE
    c: Case = self._case(vote.case)
    assert c.stage == OPENED, "rulings.stage"
    assert c.committed == len(self.jury[vote.case]) or self._now() > c.commit_until, "rulings.too-early"
    assert self._now() <= c.reveal_until, "rulings.too-late"
    assert vote.juror == msg.sender, "rulings.not-a-juror"
    assert self.commitment[vote.case][msg.sender] == records.hash_vote(vote), "rulings.vote"
    assert self.voted[vote.case][msg.sender] == 0, "rulings.revealed"
    assert vote.outcome in [HONEST, CHEATED, CANNOT_TELL, NOT_OPENED], "rulings.vote"
    # WRITE
    said: bytes32 = empty(bytes32)
    if vote.outcome in [HONEST, CHEATED]:
        # who agrees without having run says another digest (rule M8)
        said = vote.run_digest
    self.voted[vote.case][msg.sender] = vote.outcome
    self.group[vote.case][msg.sender] = keccak256(abi_encode(vote.outcome, said))
    self.cases[vote.case].revealed = c.revealed + 1
    if c.revealed + 1 == len(self.jury[vote.case]):
        # all have spoken: whoever appeals need not wait for the rest of the window
        self.cases[vote.case].reveal_until = self._now()
    # TELL
    log Revealed(
        case=vote.case,
        juror=msg.sender,
        outcome=vote.outcome,
        evidence_root=vote.evidence_root,
        run_digest=vote.run_digest,
    )


@view
@internal
def _count(case: bytes32) -> (uint8, bytes32):
    """
    The outcome that two thirds of the seats (of all, not only of those who spoke) gave with one digest; 0 if none.
    """
    for juror: address in self.jury[case]:
        if self.voted[case][juror] == 0:
            continue
        alike: uint256 = 0
        for other: address in self.jury[case]:
            if self.group[case][other] == self.group[case][juror]:
                alike += 1
        if alike * 3 >= seats * 2:
            return self.voted[case][juror], self.group[case][juror]
    return 0, empty(bytes32)


# ------------------------------------------------------------------ settling


@view
@internal
def _payouts(case: bytes32, majority: bytes32, left: uint256) -> (DynArray[IBonds.Payout, 64], uint256):
    """
    The flat fee for each juror of the majority (none without one), out of at most `left`; and what remains of it.
    """
    payouts: DynArray[IBonds.Payout, 64] = []
    rest: uint256 = left
    if majority == empty(bytes32):
        return payouts, rest
    for juror: address in self.jury[case]:
        if self.group[case][juror] == majority and self.voted[case][juror] != 0 and rest >= juror_fee:
            payouts.append(IBonds.Payout(to=juror, amount=juror_fee))
            rest -= juror_fee
    return payouts, rest


@internal
def _convict(case: bytes32, c: Case, majority: bytes32) -> uint256:
    self.convicted[c.receipt] = True
    left: uint256 = c.stake // 2
    repaid: uint256 = 0
    if c.claim != 0:
        repaid = min(repay_times * c.price, left)
    payouts: DynArray[IBonds.Payout, 64] = []
    rest: uint256 = 0
    payouts, rest = self._payouts(case, majority, left - repaid)
    payouts.append(IBonds.Payout(to=c.buyer, amount=repaid))
    payouts.append(IBonds.Payout(to=c.challenger, amount=rest))
    taken: uint256 = extcall BONDS.slash(c.provider, c.stake, c.reserved, payouts)
    return taken


@internal
def _fine(who: address, case: bytes32, majority: bytes32, from_reserved: uint256, provider: address, fees: uint256) -> uint256:
    """
    The stake of who lost: half of it may pay the jury, or the provider's moves in a game; the rest burns.
    """
    payouts: DynArray[IBonds.Payout, 64] = []
    rest: uint256 = 0
    payouts, rest = self._payouts(case, majority, stake // 2)
    payouts.append(IBonds.Payout(to=provider, amount=min(fees, rest)))
    taken: uint256 = extcall BONDS.slash(who, stake, from_reserved, payouts)
    return taken


@internal
def _close(case: bytes32, c: Case, outcome: uint8, loser: address):
    """
    Frees what the case reserved and held, except what a slash has released already.
    """
    if loser != c.challenger:
        extcall BONDS.release(c.challenger, stake)
    if c.reserved > 0 and not (outcome == CHEATED and loser == c.provider):
        extcall BONDS.release(c.provider, c.reserved)
    if c.held:
        extcall exhibits.ESCROW.unhold(c.claim)
    if c.stage == OPENED:
        for juror: address in self.jury[case]:
            if self.voted[case][juror] == 0:
                silent: uint256 = extcall BONDS.slash(juror, juror_fee, 0, [])


@internal
def _rule(case: bytes32, c: Case, outcome: uint8, majority: bytes32, fees: uint256):
    self.cases[case].stage = RULED
    self.cases[case].outcome = outcome
    loser: address = empty(address)
    amount: uint256 = 0
    if outcome == CHEATED and not self.convicted[c.receipt]:
        loser = c.provider
        amount = self._convict(case, c, majority)
    elif outcome in [HONEST, NOT_OPENED]:
        loser = c.challenger if outcome == HONEST else c.opener
        from_reserved: uint256 = stake if loser == c.challenger else 0
        amount = self._fine(loser, case, majority, from_reserved, c.provider, fees)
    self._close(case, c, outcome, loser)
    # TELL
    log Settled(case=case, receipt=c.receipt, outcome=outcome, slashed=loser, amount=amount)


@external
def settle(case: bytes32):
    """
    Rules, by anyone: once all seats have revealed or the time is over, or once the opener has stayed silent. A case that
    nobody seated lapses.
    """
    # REFUSE
    c: Case = self._case(case)
    assert c.stage in [CHALLENGED, SEATED, OPENED], "rulings.stage"
    outcome: uint8 = 0
    majority: bytes32 = empty(bytes32)
    if c.stage == CHALLENGED:
        assert self._now() > c.open_until, "rulings.too-early"
    elif c.stage == SEATED:
        assert self._now() > c.open_until, "rulings.too-early"
        if len(self.jury[case]) > 0:
            outcome = NOT_OPENED
    else:
        assert c.revealed == len(self.jury[case]) or self._now() > c.reveal_until, "rulings.too-early"
        outcome, majority = self._count(case)
        if outcome in [HONEST, CHEATED] and appeal_window > 0:
            assert self._now() > c.reveal_until + appeal_window, "rulings.appeal"
    # WRITE
    self._rule(case, c, outcome, majority, 0)


# ------------------------------------------------------------------ games and proofs


@external
def take(case: bytes32) -> IRulings.Taken:
    """
    A case goes from the jury to Games: until it lapses, while its opener has time, or until the appeal window is over.
    """
    # REFUSE
    c: Case = self._case(case)
    assert msg.sender == self.games, "rulings.not-games"
    assert c.stage in [CHALLENGED, SEATED, OPENED], "rulings.stage"
    until: uint64 = c.open_until
    if c.stage == OPENED:
        until = c.reveal_until + appeal_window
    assert self._now() <= until, "rulings.too-late"
    assert not self.convicted[c.receipt], "rulings.convicted"
    # WRITE
    self.cases[case].stage = PLAYING
    # TELL
    log Taken(case=case)
    return IRulings.Taken(receipt=c.receipt, provider=c.provider, challenger=c.challenger, opener=c.opener)


@external
def finish(case: bytes32, outcome: uint8, fees: uint256) -> uint8:
    """
    What a game ended with. Jurors are neither paid nor fined. Nobody loses once the receipt is convicted.
    """
    # REFUSE
    c: Case = self._case(case)
    assert msg.sender == self.games, "rulings.not-games"
    assert c.stage == PLAYING, "rulings.stage"
    ruled: uint8 = outcome
    if self.convicted[c.receipt]:
        ruled = 0
    # WRITE
    self._rule(case, c, ruled, empty(bytes32), fees)
    return ruled


@external
def punish(lie: IRulings.Lie, shown: IRulings.Tie) -> uint256:
    """
    A lie that records prove. `shown.claim` is 0 if the receipt is not under a claimed root: then the buyer paid nothing and is
    repaid nothing.
    """
    # REFUSE
    assert msg.sender == self.proofs, "rulings.not-proofs"
    assert not self.convicted_order[lie.order], "rulings.convicted"
    assert not self.convicted[lie.receipt] and not self.convicted[lie.twin], "rulings.convicted"
    # WRITE
    self.convicted[lie.receipt] = True
    if lie.twin != empty(bytes32):
        self.convicted_order[lie.order] = True
        self.convicted[lie.twin] = True
    # a lie that proves itself costs the same at level open
    due: uint256 = staticcall exhibits.ESCROW.stake_of(max(lie.level, AUDITED), lie.price)
    left: uint256 = due // 2
    payouts: DynArray[IBonds.Payout, 64] = []
    if shown.claim != 0:
        state: uint8 = self._require_under(lie.channel, lie.offer, lie.receipt, shown)
        repaid: uint256 = min(repay_times * lie.price, left)
        left -= repaid
        payouts.append(IBonds.Payout(to=lie.buyer, amount=repaid))
    payouts.append(IBonds.Payout(to=lie.reporter, amount=left))
    amount: uint256 = extcall BONDS.slash(lie.provider, due, 0, payouts)
    # TELL
    log Punished(order=lie.order, provider=lie.provider, receipt=lie.receipt, twin=lie.twin, amount=amount)
    return amount
