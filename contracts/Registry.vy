# pragma version 0.4.3
"""
@title Registry: models, providers, auditors
@license Apache-2.0
@notice Anyone registers. An auditor's stake is reserved in Bonds. A join or a leave counts from the next epoch on, so the
    pool of an epoch is frozen before it begins (rule M8). Old epochs are remembered for MEMORY epochs: deploy with
    MEMORY epochs longer than D + W + the longest case, so that every case finds its pool.
@custom:invariant
    - the checkpoints of an auditor have strictly growing epochs, so `weight_at(a, e)` never changes once e has begun
    - Bonds.reserved_by[a][registry] == stake[a] for every auditor
    - seats holds each auditor that has a weight in any remembered epoch, once
"""

from interfaces import IBonds
from interfaces import IRegistry
import records

implements: IRegistry

event ModelRegistered:
    id: indexed(bytes32)
    model_root: indexed(bytes32)
    author: indexed(address)
    payee: address
    royalty_bps: uint16
    context_length: uint32
    size_bytes: uint64
    public_weights: uint8
    terms: bytes32
    name: String[96]
    uri: String[256]

event ProviderRegistered:
    provider: indexed(address)
    url: String[256]

event AuditorJoined:
    auditor: indexed(address)
    encryption_key: bytes32
    url: String[256]
    stake: uint256
    epoch: uint64

event AuditorMoved:
    auditor: indexed(address)
    encryption_key: bytes32
    url: String[256]

event AuditorLeft:
    auditor: indexed(address)
    stake: uint256
    epoch: uint64
    expelled: bool

struct Limits:
    max_royalty_bps: uint16
    max_context: uint32
    max_size_bytes: uint64
    min_stake: uint256
    epoch_seconds: uint64
    memory_epochs: uint64

struct Checkpoint:
    epoch: uint64
    weight: uint192

MAX_AUDITORS: constant(uint256) = 64

BONDS: immutable(IBonds)
max_royalty_bps: public(immutable(uint16))
max_context: public(immutable(uint32))
max_size_bytes: public(immutable(uint64))
min_stake: public(immutable(uint256))
epoch_seconds: public(immutable(uint64))
memory_epochs: public(immutable(uint64))

model_count: public(uint256)
model_ids: public(HashMap[uint256, bytes32])
models: HashMap[bytes32, IRegistry.Model]
model_name: public(HashMap[bytes32, String[96]])
model_uri: public(HashMap[bytes32, String[256]])
provider_count: public(uint256)
provider_list: public(HashMap[uint256, address])
provider_url: public(HashMap[address, String[256]])
seats: DynArray[address, MAX_AUDITORS]
stake: public(HashMap[address, uint256])
encryption_key: public(HashMap[address, bytes32])
auditor_url: public(HashMap[address, String[256]])
checkpoints: HashMap[address, HashMap[uint256, Checkpoint]]
checkpoint_count: HashMap[address, uint256]


@deploy
def __init__(bonds: IBonds, limits: Limits):
    # REFUSE
    assert limits.epoch_seconds > 0 and limits.memory_epochs > 0 and limits.min_stake > 0, "registry.limits"
    assert limits.max_royalty_bps <= 10_000, "registry.limits"
    # WRITE
    BONDS = bonds
    max_royalty_bps = limits.max_royalty_bps
    max_context = limits.max_context
    max_size_bytes = limits.max_size_bytes
    min_stake = limits.min_stake
    epoch_seconds = limits.epoch_seconds
    memory_epochs = limits.memory_epochs


@view
@internal
def _epoch() -> uint64:
    return convert(block.timestamp, uint64) // epoch_seconds


@view
@external
def epoch() -> uint64:
    return self._epoch()


@external
def register_model(
    model_root: bytes32,
    payee: address,
    royalty_bps: uint16,
    context_length: uint32,
    size_bytes: uint64,
    public_weights: uint8,
    terms: bytes32,
    name: String[96],
    uri: String[256],
) -> bytes32:
    """
    The sender is the author. Returns the registration's id: the struct hash of its record.
    """
    # REFUSE
    assert payee != empty(address), "registry.nobody"
    assert royalty_bps <= max_royalty_bps, "registry.royalty"
    assert context_length > 0 and context_length <= max_context, "registry.context"
    assert size_bytes <= max_size_bytes, "registry.size"
    assert public_weights <= 1, "registry.public-weights"
    id: bytes32 = records.hash_registration(
        records.Registration(
            version=1,
            model_root=model_root,
            author=msg.sender,
            payee=payee,
            royalty_bps=royalty_bps,
            context_length=context_length,
            size_bytes=size_bytes,
            public_weights=public_weights,
            terms=terms,
        )
    )
    assert self.models[id].author == empty(address), "registry.registered"
    # WRITE
    self.models[id] = IRegistry.Model(
        model_root=model_root,
        author=msg.sender,
        payee=payee,
        royalty_bps=royalty_bps,
        context_length=context_length,
        size_bytes=size_bytes,
        public_weights=public_weights,
        terms=terms,
    )
    self.model_name[id] = name
    self.model_uri[id] = uri
    self.model_ids[self.model_count] = id
    self.model_count += 1
    # TELL
    log ModelRegistered(
        id=id,
        model_root=model_root,
        author=msg.sender,
        payee=payee,
        royalty_bps=royalty_bps,
        context_length=context_length,
        size_bytes=size_bytes,
        public_weights=public_weights,
        terms=terms,
        name=name,
        uri=uri,
    )
    return id


@view
@external
def model(id: bytes32) -> IRegistry.Model:
    return self.models[id]


@external
def register_provider(url: String[256]):
    """
    Says where the sender serves; again to move.
    """
    # REFUSE
    assert len(url) > 0, "registry.url"
    # WRITE
    if len(self.provider_url[msg.sender]) == 0:
        self.provider_list[self.provider_count] = msg.sender
        self.provider_count += 1
    self.provider_url[msg.sender] = url
    # TELL
    log ProviderRegistered(provider=msg.sender, url=url)


@internal
def _checkpoint(auditor: address, epoch: uint64, weight: uint256):
    last: uint256 = self.checkpoint_count[auditor]
    # epochs stay strictly growing: a second change before the same epoch replaces the first
    if last > 0 and self.checkpoints[auditor][last - 1].epoch == epoch:
        last -= 1
    self.checkpoints[auditor][last] = Checkpoint(epoch=epoch, weight=convert(weight, uint192))
    self.checkpoint_count[auditor] = last + 1


@internal
def _sit(auditor: address):
    """
    Gives an auditor a place in the list, if need be that of one whose last weight is forgotten.
    """
    current: uint64 = self._epoch()
    vacant: uint256 = MAX_AUDITORS
    for i: uint256 in range(MAX_AUDITORS):
        if i >= len(self.seats):
            break
        seated: address = self.seats[i]
        if seated == auditor:
            return
        if self.stake[seated] == 0 and vacant == MAX_AUDITORS:
            left: Checkpoint = self.checkpoints[seated][self.checkpoint_count[seated] - 1]
            if left.epoch + memory_epochs < current:
                vacant = i
    if vacant < MAX_AUDITORS:
        self.seats[vacant] = auditor
    else:
        assert len(self.seats) < MAX_AUDITORS, "registry.full"
        self.seats.append(auditor)


@external
def join(encryption_key: bytes32, url: String[256], stake: uint256):
    """
    Reserves `stake` of the sender's free bond; it counts from the next epoch on.
    """
    # REFUSE
    assert encryption_key != empty(bytes32), "registry.encryption-key"
    assert len(url) > 0, "registry.url"
    assert stake >= min_stake, "registry.stake"
    assert self.stake[msg.sender] == 0, "registry.member"
    # WRITE
    epoch: uint64 = self._epoch() + 1
    self._sit(msg.sender)
    self.stake[msg.sender] = stake
    self.encryption_key[msg.sender] = encryption_key
    self.auditor_url[msg.sender] = url
    self._checkpoint(msg.sender, epoch, stake)
    # TELL
    log AuditorJoined(auditor=msg.sender, encryption_key=encryption_key, url=url, stake=stake, epoch=epoch)
    extcall BONDS.reserve(msg.sender, stake)


@external
def move(encryption_key: bytes32, url: String[256]):
    """
    A member's new key and address; keep the old key for as long as cases are open.
    """
    # REFUSE
    assert self.stake[msg.sender] > 0, "registry.no-member"
    assert encryption_key != empty(bytes32), "registry.encryption-key"
    assert len(url) > 0, "registry.url"
    # WRITE
    self.encryption_key[msg.sender] = encryption_key
    self.auditor_url[msg.sender] = url
    # TELL
    log AuditorMoved(auditor=msg.sender, encryption_key=encryption_key, url=url)


@internal
def _leave(auditor: address, expelled: bool):
    # REFUSE
    stake: uint256 = self.stake[auditor]
    assert stake > 0, "registry.no-member"
    # WRITE
    epoch: uint64 = self._epoch() + 1
    self.stake[auditor] = 0
    self._checkpoint(auditor, epoch, 0)
    # TELL
    log AuditorLeft(auditor=auditor, stake=stake, epoch=epoch, expelled=expelled)
    extcall BONDS.release(auditor, stake)


@external
def leave():
    """
    Counts from the next epoch on. The stake is free at once but leaves Bonds only after its delay, slashable until then.
    """
    self._leave(msg.sender, False)


@external
def expel(auditor: address):
    """
    Anyone may end the membership of an auditor whose bond was slashed below what it reserved.
    """
    # REFUSE
    assert staticcall BONDS.held(auditor) < staticcall BONDS.reserved(auditor), "registry.bond-enough"
    # WRITE
    self._leave(auditor, True)


@view
@internal
def _weight_at(auditor: address, epoch: uint64) -> uint256:
    """
    Weight of the last checkpoint at or before `epoch`.
    """
    low: uint256 = 0
    high: uint256 = self.checkpoint_count[auditor]
    # invariant: checkpoints below `low` are at or before `epoch`, those from `high` on are after it
    for _: uint256 in range(64):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if self.checkpoints[auditor][middle].epoch <= epoch:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return 0
    return convert(self.checkpoints[auditor][low - 1].weight, uint256)


@view
@external
def weight_at(auditor: address, epoch: uint64) -> uint256:
    return self._weight_at(auditor, epoch)


@view
@internal
def _pool(epoch: uint64) -> IRegistry.Pool:
    # REFUSE
    current: uint64 = self._epoch()
    assert epoch <= current, "registry.epoch-open"
    assert epoch + memory_epochs >= current, "registry.epoch-forgotten"
    # COMPUTE
    auditors: DynArray[address, MAX_AUDITORS] = []
    weights: DynArray[uint256, MAX_AUDITORS] = []
    for auditor: address in self.seats:
        weight: uint256 = self._weight_at(auditor, epoch)
        if weight > 0:
            auditors.append(auditor)
            weights.append(weight)
    return IRegistry.Pool(auditors=auditors, weights=weights)


@view
@external
def pool(epoch: uint64) -> IRegistry.Pool:
    return self._pool(epoch)


@view
@external
def draw(
    epoch: uint64, seed: bytes32, seats: uint256, excluded: DynArray[address, 8]
) -> DynArray[address, MAX_AUDITORS]:
    """
    Seat i goes to the auditor at offset keccak256(seed, i) mod (weight left) along the pool, which then leaves the pool.
    """
    # REFUSE
    assert seats <= MAX_AUDITORS, "registry.seats"
    # COMPUTE
    pool: IRegistry.Pool = self._pool(epoch)
    left: uint256 = 0
    for i: uint256 in range(len(pool.auditors), bound=MAX_AUDITORS):
        if pool.auditors[i] in excluded:
            pool.weights[i] = 0
        left += pool.weights[i]
    drawn: DynArray[address, MAX_AUDITORS] = []
    for seat: uint256 in range(seats, bound=MAX_AUDITORS):
        if left == 0:
            break
        at: uint256 = convert(keccak256(abi_encode(seed, seat)), uint256) % left
        # invariant: `at` is below the sum of the weights from i on, so the loop ends with a seat
        for i: uint256 in range(len(pool.auditors), bound=MAX_AUDITORS):
            if at < pool.weights[i]:
                drawn.append(pool.auditors[i])
                left -= pool.weights[i]
                pool.weights[i] = 0
                break
            at -= pool.weights[i]
    return drawn
