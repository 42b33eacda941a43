"""What the owner of money does with it: open a channel, allocate, top up, close, take back (rules M2, M3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from steelyard.chain.bindings.escrow import Opened
from steelyard.chain.following import follow
from steelyard.market.ledger import Channel
from steelyard.market.onchain import OnchainLedger
from steelyard.protocol.errors import Refused
from steelyard.protocol.units import Address, MicroToken, Timestamp


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has, in micro-tokens."""

    wallet: MicroToken
    credit: MicroToken
    """What `collect` would pay out."""
    bond: MicroToken
    """Held as bond, reserved part included."""


class Owner:
    """The ledger's account as an owner of channels. Every write returns once it is mined."""

    def __init__(self, ledger: OnchainLedger) -> None:
        self.ledger, self.escrow = ledger, ledger.escrow

    def balance(self, account: Address) -> Balance:
        """Of any account."""
        bond = MicroToken(self.ledger.bonds.held(account))
        return Balance(MicroToken(self.ledger.token.balance_of(account)), self.ledger.credit(account), bond)

    def open(
        self,
        session_key: Address,
        deposit: MicroToken,
        expiry: Timestamp,
        allocations: Mapping[Address, MicroToken],
        entropy: Callable[[int], bytes],
    ) -> bytes:
        """Deposits and allocates in one transaction (after the token's approval); the channel's id, 32 bytes.

        Raises Refused: `wallet.short`, `channel.allocation`, and what the contract refuses."""
        # REFUSE
        held, promised = self.ledger.token.balance_of(self.ledger.account), sum(allocations.values())
        if held < deposit:
            raise Refused("wallet.short", f"deposit {deposit} > held {held} micro-tokens")
        if promised > deposit:
            raise Refused("channel.allocation", f"allocations {promised} > deposit {deposit} micro-tokens")
        if session_key == self.ledger.account:
            raise Refused("channel.keys", "the session key is the owner's own: a gateway holds it, so make another one")
        # WRITE
        nonce = entropy(32)
        self.ledger.approve(self.ledger.deployment.escrow, deposit)
        self.escrow.open(session_key, deposit, expiry, deposit, tuple(allocations.items()), nonce)
        return self.escrow.channel_id(self.ledger.account, nonce)

    def top_up(self, channel: bytes, amount: MicroToken) -> None:
        """Adds to a channel; its cap grows by as much."""
        held = self.ledger.token.balance_of(self.ledger.account)
        if held < amount:
            raise Refused("wallet.short", f"top-up {amount} > held {held} micro-tokens")
        self.ledger.approve(self.ledger.deployment.escrow, amount)
        self.escrow.top_up(channel, amount)

    def allocate(self, channel: bytes, provider: Address, amount: MicroToken) -> None:
        """Gives a provider `amount` more of what is not allocated yet. Raises Refused("escrow.allocation")."""
        found = self._channel(channel)
        most = min(found.deposit, found.cap)
        free = most - found.allocated
        if not 0 < amount <= free:
            numbers = f"wanted {amount}, free {free} micro-tokens: {found.allocated} of {most} allocated"
            raise Refused("escrow.allocation", numbers)
        self.escrow.allocate(channel, provider, amount)

    def close(self, channel: bytes) -> Timestamp | None:
        """First call: requests closing. Once the window is over: takes back all that no claim waits for.

        Returns when the window ends, or None where the money is back (as credit)."""
        found = self._channel(channel)
        if found.closed:
            return None
        if not found.closes_at:
            self.escrow.request_close(channel)
            found = self._channel(channel)
        if self.ledger.now() < found.closes_at:
            return found.closes_at
        self.escrow.refund(channel)
        return None

    def _channel(self, key: bytes) -> Channel:
        found = self.ledger.channel(key)
        if found is None:
            raise Refused("channel.unknown", f"0x{key.hex()} is not on this chain")
        return found

    def channels_of(self, account: Address) -> list[Channel]:
        """Every channel that the account owns or whose session key it is, oldest first."""
        deployment = self.ledger.deployment
        batches = follow(self.ledger.chain, [deployment.escrow], deployment.block)
        opened = [Opened.read(log) for batch in batches for log in batch.logs if log.topics[0] == Opened.TOPIC]
        found = [event.channel for event in opened if account in (event.owner, event.session_key)]
        return [channel for key in found if (channel := self.ledger.channel(key)) is not None]
