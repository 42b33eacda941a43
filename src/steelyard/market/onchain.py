"""`market.ledger.Ledger` over the generated bindings: the real chain."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from steelyard.chain.bindings.bonds import Bonds
from steelyard.chain.bindings.escrow import Claimed, ClaimOf, Escrow
from steelyard.chain.bindings.registry import Registry
from steelyard.chain.bindings.token import Token
from steelyard.chain.deploy import Deployment
from steelyard.chain.following import DEEP, follow
from steelyard.chain.port import Chain
from steelyard.chain.rpc import RpcChain
from steelyard.market.ledger import Auditor, Channel, Claim, Model, Terms
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.errors import Refused
from steelyard.protocol.keys import ZERO_ADDRESS, Key
from steelyard.protocol.records import Offer, Registration, Voucher
from steelyard.protocol.units import Address, MicroToken, Seconds, Timestamp

CLAIM_STATES = ("none", "waiting", "vesting", "paid")


class OnchainLedger:
    """Reads and writes of one market, sent by the chain's account."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        """Raises Refused("chain.id") if chain and deployment differ."""
        if chain.chain_id != deployment.chain_id:
            raise Refused("chain.id", f"endpoint serves {chain.chain_id}, the market is on {deployment.chain_id}")
        self.chain, self.deployment = chain, deployment
        self.escrow = Escrow(chain, deployment.escrow)
        self.registry = Registry(chain, deployment.registry)
        self.bonds = Bonds(chain, deployment.bonds)
        self.token = Token(chain, deployment.token)
        self._terms: Terms | None = None
        self._models: dict[bytes, Model] = {}
        self._claims: dict[int, Claimed] = {}
        self._paid: dict[int, Claim] = {}
        self._next_block = deployment.block

    def close(self) -> None:
        """Closes the connections."""
        if isinstance(self.chain, RpcChain):
            self.chain.close()

    @property
    def domain(self) -> Domain:
        """EIP-712 domain of the market."""
        return self.deployment.domain

    @property
    def account(self) -> Address:
        """Who sends. Raises Refused("chain.no-key") for a reader."""
        if self.chain.account is None:
            raise Refused("chain.no-key", "this node reads only")
        return self.chain.account

    @property
    def terms(self) -> Terms:
        """Read once."""
        if self._terms is None:
            longest, window = Seconds(self.escrow.longest_order()), Seconds(self.escrow.challenge_window())
            self._terms = Terms(self.escrow.rate_ppm(), longest, window)
        return self._terms

    def now(self) -> Timestamp:
        """Timestamp of the latest block."""
        return self.chain.head().timestamp

    def epoch(self) -> int:
        """The current epoch."""
        return self.registry.epoch()

    def channel(self, key: bytes) -> Channel | None:
        """See the port."""
        c = self.escrow.channel_of(key)
        if c.owner == ZERO_ADDRESS:
            return None
        amounts = (MicroToken(c.deposit), MicroToken(c.allocated), MicroToken(c.claimed))
        times = (Timestamp(c.closes_at), c.closed)
        return Channel(key, c.owner, c.session_key, MicroToken(c.cap), Timestamp(c.expiry), *amounts, *times)

    def allocation(self, channel: bytes, provider: Address) -> MicroToken:
        """See the port."""
        return MicroToken(self.escrow.allocation(channel, provider))

    def claimed(self, channel: bytes, offer: bytes) -> tuple[MicroToken, int]:
        """See the port."""
        amount, count = self.escrow.vouched_of(channel, offer)
        return MicroToken(amount), count

    def model(self, key: bytes) -> Model | None:
        """See the port. A registration never changes, so it is read once."""
        if key not in self._models:
            m = self.registry.model(key)
            if m.author == ZERO_ADDRESS:
                return None
            sizes = (m.royalty_bps, m.context_length, m.size_bytes, m.public_weights, m.terms)
            registration = Registration(1, m.model_root, m.author, m.payee, *sizes)
            self._models[key] = Model(key, registration, self.registry.model_name(key), self.registry.model_uri(key))
        return self._models[key]

    def models(self) -> Sequence[Model]:
        """See the port."""
        found = (self.model(self.registry.model_ids(i)) for i in range(self.registry.model_count()))
        return [model for model in found if model is not None]

    def providers(self) -> Sequence[tuple[Address, str]]:
        """See the port."""
        everyone = [self.registry.provider_list(i) for i in range(self.registry.provider_count())]
        return [(who, self.registry.provider_url(who)) for who in everyone]

    def auditors(self) -> Sequence[Auditor]:
        """See the port."""
        pool = self.registry.pool(self.epoch())
        return [
            Auditor(who, self.registry.auditor_url(who), self.registry.encryption_key(who), MicroToken(weight))
            for who, weight in zip(pool.auditors, pool.weights, strict=True)
        ]

    def free_bond(self, account: Address) -> MicroToken:
        """See the port."""
        return MicroToken(self.bonds.free(account))

    def stake_of(self, level: int, price: MicroToken) -> MicroToken:
        """See the port."""
        return MicroToken(self.escrow.stake_of(level, price))

    def claims(self, provider: Address) -> Sequence[Claim]:
        """See the port: from the escrow's events, each looked up as it stands now. Any thread may ask."""
        begin = max(self.deployment.block, self._next_block - DEEP)
        for batch in follow(self.chain, [self.deployment.escrow], begin):
            for log in batch.logs:
                if log.topics[0] == Claimed.TOPIC:
                    event = Claimed.read(log)
                    self._claims[event.claim] = event
            self._next_block = batch.next_block
        mine = sorted(number for number, event in list(self._claims.items()) if event.provider == provider)
        return [self._claim(number) for number in mine]

    def _claim(self, number: int) -> Claim:
        """A paid claim never changes again, so it is read once."""
        if number not in self._paid:
            claim = read_claim(number, self.escrow.claim_of(number))
            if claim.state != "paid":
                return claim
            self._paid[number] = claim
        return self._paid[number]

    def credit(self, account: Address) -> MicroToken:
        """See the port: credits in the escrow and in the bonds contract together."""
        return MicroToken(self.escrow.credit(account) + self.bonds.credit(account))

    # -- writes --------------------------------------------------------------------------------------------------

    def register_provider(self, url: str) -> None:
        """See the port. Nothing is sent if the URL stands there already."""
        if self.registry.provider_url(self.account) != url:
            self.registry.register_provider(url)

    def deposit_bond(self, amount: MicroToken) -> None:
        """See the port."""
        self.approve(self.deployment.bonds, amount)
        self.bonds.deposit(amount)

    def approve(self, spender: Address, amount: MicroToken) -> None:
        """Allows a contract to take `amount`."""
        self.token.approve(spender, amount)

    def claim(self, offer: Offer, voucher: Voucher, signature: bytes) -> None:
        """See the port."""
        about = (voucher.amount, voucher.count, voucher.receipts_root)
        self.escrow.claim(voucher.channel, astuple(offer), *about, signature)

    def start(self, claim: int) -> None:
        """See the port."""
        self.escrow.start(claim)

    def pay(self, claim: int) -> None:
        """See the port."""
        self.escrow.pay(claim)

    def collect(self) -> None:
        """See the port. Nothing is sent where nothing is owed."""
        for contract in self._creditors():
            contract.collect()

    def _creditors(self) -> Iterator[Escrow | Bonds]:
        for contract in (self.escrow, self.bonds):
            if contract.credit(self.account):
                yield contract


def read_claim(number: int, c: ClaimOf) -> Claim:
    """The contract's claim as the port shows it."""
    return Claim(
        number,
        c.channel,
        c.offer,
        c.provider,
        c.registration,
        CLAIM_STATES[c.state],
        c.holds,
        MicroToken(c.amount),
        MicroToken(c.reserve),
        Timestamp(c.vests_at),
        c.first,
        c.count,
        c.receipts_root,
    )


def connect(url: str, deployment: Deployment, key: Key | None = None) -> OnchainLedger:
    """Opens the market at a JSON-RPC endpoint; with a key it can send. Raises Unavailable("chain.unreachable")."""
    return OnchainLedger(RpcChain(url, key, deployment.chain_id), deployment)
