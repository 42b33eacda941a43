# pragma version 0.4.3
"""
@title Escrow: channels, vouchers, vesting claims, pull payouts
@license Apache-2.0
@notice A buyer's deposit is allocated to providers. A provider turns vouchers into claims; a claim reserves bond, vests, and
    is then split. There is no owner: the deployer names Orders and Rulings once, and can do nothing afterwards.
    spec/escrow.md says the rules (ESC-1 ...). Not audited by a third party.
@custom:invariant
    - token balance == owed + pool_balance + sum over channels of (deposit - claimed, 0 once closed) + sum of unpaid claims
    - claimed <= allocated <= min(deposit, cap) for every channel, and spent <= allocation for each of its providers
    - a claim above level open is VESTING only while its whole reserve is reserved in Bonds; pay releases exactly that
    - amount and count of a voucher that was claimed grow strictly, per channel and offer
"""

from interfaces import IBonds
from interfaces import IEscrow
from interfaces import IRegistry
import money
import records
import trees

implements: IEscrow
initializes: money
exports: (money.token, money.credit, money.owed, money.collect, money.collect_for)

interface Wallet:
    def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> bytes4: view

event Bound:
    orders: indexed(address)
    rulings: indexed(address)

event Opened:
    channel: indexed(bytes32)
    owner: indexed(address)
    session_key: indexed(address)
    cap: uint128
    expiry: uint64
    deposit: uint256

event Allocated:
    channel: indexed(bytes32)
    provider: indexed(address)
    amount: uint256

event ToppedUp:
    channel: indexed(bytes32)
    amount: uint256
    cap: uint128

event CloseRequested:
    channel: indexed(bytes32)
    closes_at: uint64

event Refunded:
    channel: indexed(bytes32)
    owner: indexed(address)
    amount: uint256

event Claimed:
    claim: indexed(uint256)
    channel: indexed(bytes32)
    provider: indexed(address)
    offer: bytes32
    amount: uint256
    first: uint64
    count: uint64
    receipts_root: bytes32

event Started:
    claim: indexed(uint256)
    reserve: uint256
    vests_at: uint64

event Held:
    claim: indexed(uint256)
    holds: uint16

event Paid:
    claim: indexed(uint256)
    provider: indexed(address)
    to_provider: uint256
    royalty: uint256
    pool: uint256
    burned: uint256

event PoolShared:
    epoch: indexed(uint64)
    amount: uint256

struct Allocation:
    provider: address
    amount: uint256

struct Terms:
    longest_order: uint64
    challenge_window: uint64
    close_window: uint64
    rate_ppm: uint256
    power_ppm: uint256
    colluding_ppm: uint256
    multiple: uint256
    flat: uint256
    pool_bps: uint256
    burn_bps: uint256

# what is stored of a claim: six words, since a claim is written for each claimed voucher
struct Packed:
    channel: bytes32
    offer: bytes32
    registration: bytes32
    receipts_root: bytes32
    who: uint256  # provider << 96 | vests_at << 32 | holds << 16 | level << 8 | state
    what: uint256  # amount << 128 | first << 64 | count

MAX_ALLOCATIONS: constant(uint256) = 32
OPEN: constant(uint8) = 1
AUDITED: constant(uint8) = 2
DISPUTABLE: constant(uint8) = 3
WAITING: constant(uint8) = 1
VESTING: constant(uint8) = 2
PAID: constant(uint8) = 3
PPM: constant(uint256) = 1_000_000
BPS: constant(uint256) = 10_000
IS_VALID: constant(bytes4) = 0x1626ba7e  # EIP-1271
U64: constant(uint256) = 2**64 - 1

BONDS: immutable(IBonds)
REGISTRY: immutable(IRegistry)
DEPLOYER: immutable(address)
longest_order: public(immutable(uint64))
challenge_window: public(immutable(uint64))
close_window: public(immutable(uint64))
rate_ppm: public(immutable(uint256))
detection_ppm: public(immutable(uint256))
multiple: public(immutable(uint256))
flat: public(immutable(uint256))
pool_bps: public(immutable(uint256))
burn_bps: public(immutable(uint256))

orders: public(address)
rulings: public(address)
channels: HashMap[bytes32, IEscrow.Channel]
allocation: public(HashMap[bytes32, HashMap[address, uint256]])
spent: public(HashMap[bytes32, HashMap[address, uint256]])
vouched: HashMap[bytes32, HashMap[bytes32, uint256]]  # amount << 64 | count
claims: HashMap[uint256, Packed]
claim_count: public(uint256)
pool_balance: public(uint256)
pool_shared_in: public(uint64)


@deploy
def __init__(token: address, bonds: IBonds, registry: IRegistry, terms: Terms):
    """
    @param terms spans in seconds, rates in parts per million, shares in basis points, `flat` (F) in micro-tokens
    """
    # REFUSE
    # a channel closes no sooner than the longest order can end
    assert terms.close_window >= terms.longest_order, "escrow.terms"
    assert terms.rate_ppm <= PPM and terms.power_ppm <= PPM and terms.colluding_ppm < PPM, "escrow.terms"
    # half of a slash is burned, and m * half must be at least 2 (rule M5)
    assert terms.multiple >= 4 and terms.flat > 0, "escrow.terms"
    shares: uint256 = terms.pool_bps + terms.burn_bps + convert(staticcall registry.max_royalty_bps(), uint256)
    assert shares <= BPS, "escrow.terms"
    q: uint256 = terms.rate_ppm * terms.power_ppm * (PPM - terms.colluding_ppm) // PPM // PPM
    assert q > 0, "escrow.terms"
    # WRITE
    money.__init__(token)
    BONDS = bonds
    REGISTRY = registry
    DEPLOYER = msg.sender
    longest_order = terms.longest_order
    challenge_window = terms.challenge_window
    close_window = terms.close_window
    rate_ppm = terms.rate_ppm
    detection_ppm = q
    multiple = terms.multiple
    flat = terms.flat
    pool_bps = terms.pool_bps
    burn_bps = terms.burn_bps


@external
def bind(orders: address, rulings: address):
    """
    Names the contracts that bring orders and hold claims, once.
    """
    # REFUSE
    assert msg.sender == DEPLOYER, "escrow.deployer"
    assert self.orders == empty(address), "escrow.bound"
    assert empty(address) not in [orders, rulings], "escrow.nobody"
    # WRITE
    self.orders = orders
    self.rulings = rulings
    # TELL
    log Bound(orders=orders, rulings=rulings)


# ------------------------------------------------------------------ channels


@view
@external
def separator() -> bytes32:
    return records.separator(self)


@view
@internal
def _channel_id(owner: address, nonce: bytes32) -> bytes32:
    return keccak256(abi_encode(chain.id, self, owner, nonce))


@view
@external
def channel_id(owner: address, nonce: bytes32) -> bytes32:
    """
    keccak256 of four words: chain id, this contract, owner, nonce.
    """
    return self._channel_id(owner, nonce)


@view
@external
def channel_of(id: bytes32) -> IEscrow.Channel:
    return self.channels[id]


@internal
def _allocate(channel: bytes32, provider: address, amount: uint256):
    # REFUSE
    assert provider != empty(address) and amount > 0, "escrow.allocation"
    # WRITE
    self.allocation[channel][provider] += amount
    # TELL
    log Allocated(channel=channel, provider=provider, amount=amount)


@internal
def _open(grant: records.ChannelGrant, allocations: DynArray[Allocation, MAX_ALLOCATIONS]) -> bytes32:
    # REFUSE
    assert grant.version == 1, "record.version"
    assert grant.session_key != empty(address), "escrow.nobody"
    assert convert(grant.expiry, uint256) > block.timestamp, "escrow.expiry"
    channel: bytes32 = self._channel_id(grant.owner, grant.nonce)
    assert self.channels[channel].owner == empty(address), "escrow.channel-exists"
    allocated: uint256 = 0
    for allocation: Allocation in allocations:
        allocated += allocation.amount
    assert allocated <= convert(min(grant.deposit, grant.cap), uint256), "escrow.allocation"
    # WRITE
    deposit: uint256 = convert(grant.deposit, uint256)
    self.channels[channel] = IEscrow.Channel(
        owner=grant.owner,
        session_key=grant.session_key,
        cap=grant.cap,
        expiry=grant.expiry,
        deposit=deposit,
        allocated=allocated,
        claimed=0,
        closes_at=0,
        closed=False,
    )
    # TELL
    log Opened(
        channel=channel,
        owner=grant.owner,
        session_key=grant.session_key,
        cap=grant.cap,
        expiry=grant.expiry,
        deposit=deposit,
    )
    for allocation: Allocation in allocations:
        self._allocate(channel, allocation.provider, allocation.amount)
    if deposit > 0:
        money._pull(grant.owner, deposit)
    return channel


@external
@nonreentrant
def open(
    session_key: address,
    cap: uint128,
    expiry: uint64,
    deposit: uint128,
    allocations: DynArray[Allocation, MAX_ALLOCATIONS],
    nonce: bytes32,
) -> bytes32:
    """
    The sender owns the channel and pays the deposit. Returns the channel's id.
    """
    grant: records.ChannelGrant = records.ChannelGrant(
        version=1,
        owner=msg.sender,
        session_key=session_key,
        cap=cap,
        expiry=expiry,
        deposit=deposit,
        allocations=empty(bytes32),
        nonce=nonce,
    )
    return self._open(grant, allocations)


@external
@nonreentrant
def open_for(
    grant: records.ChannelGrant, allocations: DynArray[Allocation, MAX_ALLOCATIONS], signature: Bytes[1024]
) -> bytes32:
    """
    Anyone sends what the owner signed; the owner pays, by an allowance. A contract owner signs by EIP-1271.
    """
    # REFUSE
    # the encoding of the array is offset, length, then the pairs: only the pairs are hashed
    pairs: Bytes[2112] = slice(abi_encode(allocations), 64, 64 * len(allocations))
    assert keccak256(pairs) == grant.allocations, "escrow.allocation"
    digest: bytes32 = records.digest_channel_grant(grant, records.separator(self))
    if grant.owner.is_contract:
        assert staticcall Wallet(grant.owner).isValidSignature(digest, signature) == IS_VALID, "signature"
    else:
        assert len(signature) == 65, "signature"
        assert grant.owner == records.recover(digest, slice(signature, 0, 65)), "signature"
    # WRITE
    return self._open(grant, allocations)


@view
@internal
def _require_usable(channel: bytes32):
    assert self.channels[channel].owner != empty(address), "escrow.no-channel"
    assert self.channels[channel].closes_at == 0, "escrow.closing"


@external
@nonreentrant
def top_up(channel: bytes32, amount: uint256):
    """
    Anyone adds to a channel's deposit. If the owner pays, the cap grows with it.
    """
    # REFUSE
    self._require_usable(channel)
    assert amount > 0, "escrow.nothing"
    # WRITE
    self.channels[channel].deposit += amount
    if msg.sender == self.channels[channel].owner:
        self.channels[channel].cap += convert(amount, uint128)
    # TELL
    log ToppedUp(channel=channel, amount=amount, cap=self.channels[channel].cap)
    money._pull(msg.sender, amount)


@external
def allocate(channel: bytes32, provider: address, amount: uint256):
    """
    The owner gives a provider `amount` more of what is not allocated. An allocation is never taken back, since the
    provider serves on it; closing is the way out.
    """
    # REFUSE
    self._require_usable(channel)
    assert msg.sender == self.channels[channel].owner, "escrow.owner"
    allocated: uint256 = self.channels[channel].allocated + amount
    limit: uint256 = min(self.channels[channel].deposit, convert(self.channels[channel].cap, uint256))
    assert allocated <= limit, "escrow.allocation"
    # WRITE
    self.channels[channel].allocated = allocated
    self._allocate(channel, provider, amount)


@external
def request_close(channel: bytes32):
    """
    By the owner at any time; by anyone once the session key has expired. Providers claim within the window.
    """
    # REFUSE
    self._require_usable(channel)
    expired: bool = block.timestamp > convert(self.channels[channel].expiry, uint256)
    assert expired or msg.sender == self.channels[channel].owner, "escrow.owner"
    # WRITE
    closes_at: uint64 = convert(block.timestamp, uint64) + close_window
    self.channels[channel].closes_at = closes_at
    # TELL
    log CloseRequested(channel=channel, closes_at=closes_at)


@external
def refund(channel: bytes32):
    """
    By anyone after the window: all that was not claimed is credited to the owner. No voucher counts from then on.
    """
    # REFUSE
    closes_at: uint64 = self.channels[channel].closes_at
    assert closes_at > 0, "escrow.not-closing"
    assert block.timestamp >= convert(closes_at, uint256), "escrow.early"
    assert not self.channels[channel].closed, "escrow.closed"
    # WRITE
    owner: address = self.channels[channel].owner
    amount: uint256 = self.channels[channel].deposit - self.channels[channel].claimed
    self.channels[channel].closed = True
    money._credit(owner, amount)
    # TELL
    log Refunded(channel=channel, owner=owner, amount=amount)


# ------------------------------------------------------------------ claims


@view
@internal
def _reserve_of(level: uint8, count: uint256, amount: uint256) -> uint256:
    """
    count * F + m * amount / q: at least the sum of `_stake_of` over any `count` receipts that cost `amount` together.
    """
    if level == OPEN:
        return 0
    return count * flat + self._scaled(amount)


@view
@internal
def _scaled(amount: uint256) -> uint256:
    return (multiple * amount * PPM + detection_ppm - 1) // detection_ppm


@view
@external
def reserve_of(level: uint8, count: uint256, amount: uint256) -> uint256:
    """
    Bond that a claim of `count` receipts reserves until it is paid, micro-tokens.
    """
    return self._reserve_of(level, count, amount)


@view
@external
def stake_of(level: uint8, price: uint256) -> uint256:
    if level == OPEN:
        return 0
    return max(flat, self._scaled(price))


@view
@internal
def _unpack(id: uint256) -> IEscrow.Claim:
    packed: Packed = self.claims[id]
    level: uint8 = convert((packed.who >> 8) & 255, uint8)
    amount: uint256 = packed.what >> 128
    first: uint256 = (packed.what >> 64) & U64
    count: uint256 = packed.what & U64
    return IEscrow.Claim(
        channel=packed.channel,
        offer=packed.offer,
        provider=convert(packed.who >> 96, address),
        registration=packed.registration,
        level=level,
        state=convert(packed.who & 255, uint8),
        holds=convert((packed.who >> 16) & 65535, uint16),
        amount=amount,
        reserve=self._reserve_of(level, count - first, amount),
        vests_at=convert((packed.who >> 32) & U64, uint64),
        first=convert(first, uint64),
        count=convert(count, uint64),
        receipts_root=packed.receipts_root,
    )


@internal
def _write_who(id: uint256, claim: IEscrow.Claim):
    who: uint256 = convert(claim.provider, uint256) << 96 | convert(claim.vests_at, uint256) << 32
    flags: uint256 = convert(claim.holds, uint256) << 16 | convert(claim.level, uint256) << 8
    self.claims[id].who = who | flags | convert(claim.state, uint256)


@view
@external
def claim_of(id: uint256) -> IEscrow.Claim:
    return self._unpack(id)


@view
@external
def vouched_of(channel: bytes32, offer: bytes32) -> (uint256, uint64):
    """
    Amount (micro-tokens) and count of the highest voucher that was claimed.
    """
    vouched: uint256 = self.vouched[channel][offer]
    return vouched >> 64, convert(vouched & U64, uint64)


@internal
def _start(id: uint256, claim: IEscrow.Claim) -> bool:
    """
    Reserves the provider's bond and lets the claim vest; False if the bond is short. At level open there is nothing to
    reserve and nobody to wait for, so the claim vests at once.
    """
    # REFUSE
    if claim.reserve > staticcall BONDS.free(claim.provider):
        return False
    # WRITE
    started: IEscrow.Claim = claim
    started.state = VESTING
    started.vests_at = convert(block.timestamp, uint64)
    if claim.level != OPEN:
        started.vests_at += longest_order + challenge_window
    self._write_who(id, started)
    # TELL
    log Started(claim=id, reserve=claim.reserve, vests_at=started.vests_at)
    if claim.reserve > 0:
        extcall BONDS.reserve(claim.provider, claim.reserve)
    return True


@internal
def _claim(claim: IEscrow.Claim) -> uint256:
    # WRITE
    id: uint256 = self.claim_count + 1
    self.claim_count = id
    span: uint256 = convert(claim.first, uint256) << 64 | convert(claim.count, uint256)
    self.claims[id] = Packed(
        channel=claim.channel,
        offer=claim.offer,
        registration=claim.registration,
        receipts_root=claim.receipts_root,
        who=0,
        what=convert(convert(claim.amount, uint128), uint256) << 128 | span,
    )
    # TELL
    log Claimed(
        claim=id,
        channel=claim.channel,
        provider=claim.provider,
        offer=claim.offer,
        amount=claim.amount,
        first=claim.first,
        count=claim.count,
        receipts_root=claim.receipts_root,
    )
    if not self._start(id, claim):
        self._write_who(id, claim)
    return id


@external
def claim(
    channel: bytes32,
    offer: records.Offer,
    amount: uint128,
    count: uint64,
    receipts_root: bytes32,
    signature: Bytes[65],
) -> uint256:
    """
    The provider turns its highest voucher into a claim of what the last one did not pay. Returns the claim's number.
    The provider alone may: a voucher with a huge count would bind its bond, so nobody posts one against its will.
    """
    # REFUSE
    owner: address = self.channels[channel].owner
    assert owner != empty(address), "escrow.no-channel"
    assert not self.channels[channel].closed, "escrow.closed"
    assert msg.sender == offer.provider, "escrow.provider"
    assert offer.version == 1, "record.version"
    assert OPEN <= offer.level and offer.level <= DISPUTABLE, "escrow.level"
    separator: bytes32 = records.separator(self)
    offer_digest: bytes32 = records.digest_offer(offer, separator)
    voucher: records.Voucher = records.Voucher(
        version=1, channel=channel, offer=offer_digest, amount=amount, count=count, receipts_root=receipts_root
    )
    signer: address = records.recover(records.digest_voucher(voucher, separator), signature)
    assert signer == self.channels[channel].session_key, "signature"
    before: uint256 = self.vouched[channel][offer_digest]
    paid: uint256 = before >> 64
    first: uint256 = before & U64
    assert convert(amount, uint256) > paid and convert(count, uint256) > first, "escrow.stale-voucher"
    due: uint256 = convert(amount, uint256) - paid
    spent: uint256 = self.spent[channel][offer.provider] + due
    assert spent <= self.allocation[channel][offer.provider], "escrow.over-allocation"
    claimed: uint256 = self.channels[channel].claimed + due
    assert claimed <= convert(self.channels[channel].cap, uint256), "escrow.over-cap"
    # WRITE
    self.vouched[channel][offer_digest] = convert(amount, uint256) << 64 | convert(count, uint256)
    self.spent[channel][offer.provider] = spent
    self.channels[channel].claimed = claimed
    return self._claim(
        IEscrow.Claim(
            channel=channel,
            offer=offer_digest,
            provider=offer.provider,
            registration=offer.registration,
            level=offer.level,
            state=WAITING,
            holds=0,
            amount=due,
            reserve=self._reserve_of(offer.level, convert(count, uint256) - first, due),
            vests_at=0,
            first=convert(first, uint64),
            count=count,
            receipts_root=receipts_root,
        )
    )


@external
def claim_order(
    order: bytes32,
    offer: bytes32,
    provider: address,
    registration: bytes32,
    level: uint8,
    amount: uint256,
    receipt: bytes32,
) -> uint256:
    # REFUSE
    assert msg.sender == self.orders, "escrow.authority"
    # WRITE
    return self._claim(
        IEscrow.Claim(
            channel=empty(bytes32),
            offer=offer,
            provider=provider,
            registration=registration,
            level=level,
            state=WAITING,
            holds=0,
            amount=amount,
            reserve=self._reserve_of(level, 1, amount),
            vests_at=0,
            first=0,
            count=1,
            receipts_root=trees.seal(1, trees.leaf(receipt)),
        )
    )


@external
def start(id: uint256):
    """
    By anyone: tries again to reserve the bond of a WAITING claim.
    """
    # REFUSE
    claim: IEscrow.Claim = self._unpack(id)
    assert claim.state == WAITING, "escrow.claim-state"
    # WRITE
    assert self._start(id, claim), "bonds.short"


@external
def hold(claim: uint256):
    # REFUSE
    assert msg.sender == self.rulings, "escrow.authority"
    held: IEscrow.Claim = self._unpack(claim)
    assert held.state == WAITING or held.state == VESTING, "escrow.claim-state"
    # WRITE
    held.holds += 1
    self._write_who(claim, held)
    # TELL
    log Held(claim=claim, holds=held.holds)


@external
def unhold(claim: uint256):
    # REFUSE
    assert msg.sender == self.rulings, "escrow.authority"
    held: IEscrow.Claim = self._unpack(claim)
    assert held.holds > 0, "escrow.claim-state"
    # WRITE
    held.holds -= 1
    self._write_who(claim, held)
    # TELL
    log Held(claim=claim, holds=held.holds)


@external
def pay(id: uint256):
    """
    By anyone, once the claim has vested and no case holds it: credits all payees and frees the bond.
    """
    # REFUSE
    claim: IEscrow.Claim = self._unpack(id)
    assert claim.state == VESTING, "escrow.claim-state"
    assert block.timestamp >= convert(claim.vests_at, uint256), "escrow.early"
    assert claim.holds == 0, "escrow.held"
    # COMPUTE
    model: IRegistry.Model = staticcall REGISTRY.model(claim.registration)
    royalty: uint256 = claim.amount * convert(model.royalty_bps, uint256) // BPS
    pool: uint256 = claim.amount * pool_bps // BPS
    burned: uint256 = claim.amount * burn_bps // BPS
    to_provider: uint256 = claim.amount - royalty - pool - burned
    # WRITE
    claim.state = PAID
    self._write_who(id, claim)
    self.pool_balance += pool
    money._credit(claim.provider, to_provider)
    money._credit(model.payee, royalty)
    money._credit(money.DEAD, burned)
    # TELL
    log Paid(
        claim=id, provider=claim.provider, to_provider=to_provider, royalty=royalty, pool=pool, burned=burned
    )
    if claim.reserve > 0:
        extcall BONDS.release(claim.provider, claim.reserve)


@external
def share_pool():
    """
    By anyone, once an epoch: what the pool holds goes to the auditors of the current epoch by stake, the remainder to
    the last of them. So that checking pays when nobody cheats.
    """
    # REFUSE
    epoch: uint64 = staticcall REGISTRY.epoch()
    assert epoch > self.pool_shared_in, "escrow.pool-shared"
    amount: uint256 = self.pool_balance
    assert amount > 0, "escrow.nothing"
    pool: IRegistry.Pool = staticcall REGISTRY.pool(epoch)
    assert len(pool.auditors) > 0, "escrow.no-auditors"
    # WRITE
    self.pool_shared_in = epoch
    self.pool_balance = 0
    weight: uint256 = 0
    for part: uint256 in pool.weights:
        weight += part
    left: uint256 = amount
    last: uint256 = len(pool.auditors) - 1
    for i: uint256 in range(last, bound=64):
        share: uint256 = amount * pool.weights[i] // weight
        left -= share
        money._credit(pool.auditors[i], share)
    money._credit(pool.auditors[last], left)
    # TELL
    log PoolShared(epoch=epoch, amount=amount)
