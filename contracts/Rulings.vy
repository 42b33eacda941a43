# pragma version 0.4.3
"""
@title Rulings: challenges, juries, slashes
@license Apache-2.0
@notice Whoever may read an answer (or drew it) challenges its receipt; a jury of auditors replays it, commits, reveals; two
    thirds of the seats with one outcome and one run digest rule. Two receipts for one order convict at once.
    spec/rulings.md says the rules (RUL-1 ...). Not audited by a third party.
@custom:invariant
    - a provider is slashed only for a receipt in `convicted`, and once for each
    - a case that is RULED holds no reservation and no claim
    - of a slash at most half is paid out (Bonds), so nobody gains by convicting himself
    - an acquittal binds nobody but its challenger: another may challenge the same receipt (rule M7)
"""

from interfaces import IBonds
from interfaces import IEscrow
from interfaces import IOrders
from interfaces import IRegistry
import records
import trees

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

event ConvictedTwice:
    order: indexed(bytes32)
    provider: indexed(address)
    receipt: bytes32
    other: bytes32
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

struct Tie:
    claim: uint256
    index: uint256
    path: DynArray[bytes32, 32]

# what a challenger shows of a receipt; the roots stay closed
struct Exhibit:
    offer: records.Offer
    order: records.Order
    receipt: records.Receipt
    answer_units: uint256
    answer_top: bytes32

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
RULED: constant(uint8) = 4

HONEST: constant(uint8) = 1
CHEATED: constant(uint8) = 2
CANNOT_TELL: constant(uint8) = 3
NOT_OPENED: constant(uint8) = 4
PAID: constant(uint8) = 3  # a claim's state

BONDS: immutable(IBonds)
ESCROW: immutable(IEscrow)
ORDERS: immutable(IOrders)
REGISTRY: immutable(IRegistry)
seats: public(immutable(uint256))
stake: public(immutable(uint256))
juror_fee: public(immutable(uint256))
repay_times: public(immutable(uint256))
open_window: public(immutable(uint64))
commit_window: public(immutable(uint64))
reveal_window: public(immutable(uint64))
appeal_window: public(immutable(uint64))

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
    ESCROW = escrow
    ORDERS = orders
    REGISTRY = registry
    seats = terms.seats
    stake = terms.stake
    juror_fee = terms.juror_fee
    repay_times = terms.repay_times
    open_window = terms.open_window
    commit_window = terms.commit_window
    reveal_window = terms.reveal_window
    appeal_window = terms.appeal_window


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
def _now() -> uint64:
    return convert(block.timestamp, uint64)


# ------------------------------------------------------------------ challenging


@view
@internal
def _check(exhibit: Exhibit, order_signature: Bytes[65], receipt_signature: Bytes[65]) -> (bytes32, bytes32, bytes32, address, address):
    """
    Digests of offer, order and receipt, the buyer and its session key, if all of them fit together.
    """
    assert exhibit.offer.version == 1 and exhibit.order.version == 2 and exhibit.receipt.version == 1, "record.version"
    domain: bytes32 = staticcall ESCROW.separator()
    offer: bytes32 = records.digest_offer(exhibit.offer, domain)
    order: bytes32 = records.digest_order(exhibit.order, domain)
    receipt: bytes32 = records.digest_receipt(exhibit.receipt, domain)
    assert exhibit.order.offer == offer and exhibit.receipt.offer == offer, "rulings.other-offer"
    assert exhibit.order.level == exhibit.offer.level, "rulings.other-offer"
    assert exhibit.order.registration == exhibit.offer.registration, "rulings.other-offer"
    assert exhibit.receipt.order == order, "rulings.other-order"
    assert exhibit.receipt.response_root == trees.seal(exhibit.answer_units, exhibit.answer_top), "rulings.answer-root"
    assert exhibit.offer.provider == records.recover(receipt, receipt_signature), "signature"
    buyer: address = empty(address)
    session_key: address = empty(address)
    if convert(exhibit.order.channel, uint256) < 2**160:
        # placed on chain, where the channel is the buyer's address: the transaction is its signature
        buyer = (staticcall ORDERS.order_of(order)).buyer
        assert buyer != empty(address), "rulings.unknown-order"
    else:
        channel: IEscrow.Channel = staticcall ESCROW.channel_of(exhibit.order.channel)
        assert channel.owner != empty(address), "rulings.unknown-channel"
        assert channel.session_key == records.recover(order, order_signature), "signature"
        buyer = channel.owner
        session_key = channel.session_key
    return offer, order, receipt, buyer, session_key


@pure
@internal
def _claimed_channel(channel: bytes32) -> bytes32:
    """
    What the escrow's claim says: nothing for an order that was placed on chain.
    """
    if convert(channel, uint256) < 2**160:
        return empty(bytes32)
    return channel


@pure
@internal
def _price(exhibit: Exhibit) -> uint256:
    """
    ceil((price_in * prompt + price_out * new) / 10**6), a continued prefix not paid twice (rule P6).
    """
    assert exhibit.order.prompt_units >= exhibit.order.answer_from, "rulings.answer-count"
    prefix: uint256 = convert(exhibit.order.prompt_units - exhibit.order.answer_from, uint256)
    assert exhibit.answer_units >= prefix, "rulings.answer-count"
    cost: uint256 = convert(exhibit.offer.price_in, uint256) * convert(exhibit.order.prompt_units, uint256)
    cost += convert(exhibit.offer.price_out, uint256) * (exhibit.answer_units - prefix)
    return (cost + MICRO - 1) // MICRO


@view
@internal
def _draws(coin: bytes32, receipt: bytes32) -> bool:
    """
    Rule M10: SHA-256(coin || receipt) * 10**6 < p * 2**256, both sides divided by 2**128 so that they fit in a word.
    """
    roll: uint256 = convert(sha256(concat(coin, receipt)), uint256)
    scaled: uint256 = (roll >> 128) * MICRO + (((roll & (2**128 - 1)) * MICRO) >> 128)
    return scaled < (staticcall ESCROW.rate_ppm()) << 128


@view
@internal
def _may(
    basis: uint8,
    exhibit: Exhibit,
    receipt: bytes32,
    buyer: address,
    session_key: address,
    ticket: records.AuditTicket,
    signature: Bytes[65],
    coin: bytes32,
):
    """
    Rule M9: consent, or a draw, or an answer that is public anyway.
    """
    if basis == BUYER:
        assert msg.sender in [buyer, session_key], "rulings.not-the-buyer"
    elif basis == TICKET:
        assert ticket.receipt == receipt and ticket.auditor == msg.sender, "rulings.ticket"
        assert ticket.expiry >= self._now(), "rulings.ticket-expired"
        signer: address = records.recover(records.digest_audit_ticket(ticket, staticcall ESCROW.separator()), signature)
        assert signer == session_key and signer != empty(address), "signature"
    elif basis == DRAWN:
        assert sha256(coin) == exhibit.order.coin_commitment, "rulings.coin"
        assert self._draws(coin, receipt), "rulings.not-drawn"
        seed: bytes32 = sha256(concat(coin, receipt, x"01"))
        drawn: DynArray[address, 64] = staticcall REGISTRY.draw(
            exhibit.order.jury_epoch, seed, 1, [exhibit.offer.provider, buyer, session_key]
        )
        assert len(drawn) == 1 and drawn[0] == msg.sender, "rulings.not-drawn"
    else:
        assert basis == ON_CHAIN and session_key == empty(address), "rulings.basis"
        assert staticcall REGISTRY.weight_at(msg.sender, exhibit.order.jury_epoch) > 0, "rulings.not-an-auditor"


@external
def challenge(
    exhibit: Exhibit,
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
    offer: bytes32 = empty(bytes32)
    order: bytes32 = empty(bytes32)
    receipt: bytes32 = empty(bytes32)
    buyer: address = empty(address)
    session_key: address = empty(address)
    offer, order, receipt, buyer, session_key = self._check(exhibit, order_signature, receipt_signature)
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    assert not self.convicted[receipt] and not self.convicted_order[order], "rulings.convicted"
    window: uint256 = convert(staticcall ESCROW.challenge_window(), uint256)
    assert block.timestamp <= convert(exhibit.order.deadline, uint256) + window, "rulings.too-late"
    assert msg.sender != exhibit.offer.provider, "rulings.own-receipt"
    before: bytes32 = self.latest[receipt][msg.sender]
    assert before == empty(bytes32) or self.cases[before].stage == RULED, "rulings.open-case"
    self._may(basis, exhibit, receipt, buyer, session_key, ticket, ticket_signature, coin)
    # reverts unless the epoch has begun (its pool is frozen) and is remembered (a jury can be drawn)
    frozen: IRegistry.Pool = staticcall REGISTRY.pool(exhibit.order.jury_epoch)
    # WRITE
    price: uint256 = self._price(exhibit)
    self.case_count += 1
    case: bytes32 = keccak256(abi_encode(chain.id, self, self.case_count))
    opener: address = msg.sender
    if basis == DRAWN:
        opener = exhibit.offer.provider
    due: uint256 = staticcall ESCROW.stake_of(exhibit.order.level, price)
    reserved: uint256 = min(due, staticcall BONDS.free(exhibit.offer.provider))
    self.cases[case] = Case(
        receipt=receipt,
        channel=self._claimed_channel(exhibit.order.channel),
        offer=offer,
        provider=exhibit.offer.provider,
        challenger=msg.sender,
        opener=opener,
        buyer=buyer,
        session_key=session_key,
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
    c: Case = self.cases[case]
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
    c: Case = self.cases[case]
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
def _require_under(channel: bytes32, offer: bytes32, receipt: bytes32, shown: Tie) -> uint8:
    """
    The receipt is one that the claim pays for. Returns the claim's state.
    """
    claim: IEscrow.Claim = staticcall ESCROW.claim_of(shown.claim)
    assert claim.state != 0 and claim.channel == channel and claim.offer == offer, "rulings.other-claim"
    assert shown.index >= convert(claim.first, uint256), "rulings.other-claim"
    count: uint256 = convert(claim.count, uint256)
    assert trees.verify(claim.receipts_root, count, shown.index, trees.leaf(receipt), shown.path), "rulings.path"
    return claim.state


@external
def tie(case: bytes32, shown: Tie):
    """
    By anyone: shows that the receipt is under a claimed root. The claim waits for the case, unless it is paid already; a
    conviction repays the buyer.
    """
    # REFUSE
    c: Case = self.cases[case]
    assert c.stage in [CHALLENGED, SEATED, OPENED], "rulings.stage"
    assert c.claim == 0, "rulings.tied"
    state: uint8 = self._require_under(c.channel, c.offer, c.receipt, shown)
    # WRITE
    self.cases[case].claim = shown.claim
    if state != PAID:
        self.cases[case].held = True
        extcall ESCROW.hold(shown.claim)
    # TELL
    log Tied(case=case, claim=shown.claim)


# ------------------------------------------------------------------ voting


@external
def commit(case: bytes32, vote: bytes32):
    """
    A juror commits to the struct hash of its vote.
    """
    # REFUSE
    c: Case = self.cases[case]
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
    c: Case = self.cases[vote.case]
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
    The flat fee for each juror of the majority, out of at most `left`; and what remains of it.
    """
    payouts: DynArray[IBonds.Payout, 64] = []
    rest: uint256 = left
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
def _fine(who: address, case: bytes32, majority: bytes32, from_reserved: uint256) -> uint256:
    """
    The stake of who lost: half of it may pay the jury, the rest burns.
    """
    payouts: DynArray[IBonds.Payout, 64] = []
    rest: uint256 = 0
    payouts, rest = self._payouts(case, majority, stake // 2)
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
        extcall ESCROW.unhold(c.claim)
    if c.stage == OPENED:
        for juror: address in self.jury[case]:
            if self.voted[case][juror] == 0:
                silent: uint256 = extcall BONDS.slash(juror, juror_fee, 0, [])


@external
def settle(case: bytes32):
    """
    Rules, by anyone: once all seats have revealed or the time is over, or once the opener has stayed silent. A case that
    nobody seated lapses.
    """
    # REFUSE
    c: Case = self.cases[case]
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
        if outcome == CHEATED and appeal_window > 0:
            assert self._now() > c.reveal_until + appeal_window, "rulings.appeal"
    # WRITE
    self.cases[case].stage = RULED
    self.cases[case].outcome = outcome
    loser: address = empty(address)
    amount: uint256 = 0
    if outcome == CHEATED and not self.convicted[c.receipt]:
        loser = c.provider
        amount = self._convict(case, c, majority)
    elif outcome == HONEST:
        loser = c.challenger
        amount = self._fine(loser, case, majority, stake)
    elif outcome == NOT_OPENED:
        loser = c.opener
        from_reserved: uint256 = 0
        if loser == c.challenger:
            from_reserved = stake
        amount = self._fine(loser, case, majority, from_reserved)
    self._close(case, c, outcome, loser)
    # TELL
    log Settled(case=case, receipt=c.receipt, outcome=outcome, slashed=loser, amount=amount)


@external
def convict_twice(
    exhibit: Exhibit,
    order_signature: Bytes[65],
    receipt_signature: Bytes[65],
    other: records.Receipt,
    other_signature: Bytes[65],
    shown: Tie,
):
    """
    Two receipts with different digests by one provider for one order (rule M6). `shown.claim` is 0 if the receipt is not
    under a claimed root: then the buyer paid nothing and is repaid nothing.
    """
    # REFUSE
    offer: bytes32 = empty(bytes32)
    order: bytes32 = empty(bytes32)
    receipt: bytes32 = empty(bytes32)
    buyer: address = empty(address)
    session_key: address = empty(address)
    offer, order, receipt, buyer, session_key = self._check(exhibit, order_signature, receipt_signature)
    assert other.version == 1, "record.version"
    twin: bytes32 = records.digest_receipt(other, staticcall ESCROW.separator())
    assert other.order == order and twin != receipt, "rulings.no-twins"
    assert records.recover(twin, other_signature) == exhibit.offer.provider, "signature"
    assert not self.convicted_order[order], "rulings.convicted"
    assert not self.convicted[receipt] and not self.convicted[twin], "rulings.convicted"
    # WRITE
    self.convicted_order[order] = True
    self.convicted[receipt] = True
    self.convicted[twin] = True
    price: uint256 = self._price(exhibit)
    # a lie that proves itself costs the same at level open
    due: uint256 = staticcall ESCROW.stake_of(max(exhibit.order.level, AUDITED), price)
    left: uint256 = due // 2
    payouts: DynArray[IBonds.Payout, 64] = []
    if shown.claim != 0:
        state: uint8 = self._require_under(self._claimed_channel(exhibit.order.channel), offer, receipt, shown)
        repaid: uint256 = min(repay_times * price, left)
        left -= repaid
        payouts.append(IBonds.Payout(to=buyer, amount=repaid))
    payouts.append(IBonds.Payout(to=msg.sender, amount=left))
    amount: uint256 = extcall BONDS.slash(exhibit.offer.provider, due, 0, payouts)
    # TELL
    log ConvictedTwice(order=order, provider=exhibit.offer.provider, receipt=receipt, other=twin, amount=amount)
