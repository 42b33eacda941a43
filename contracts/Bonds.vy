# pragma version 0.4.3
"""
@title Bonds: what providers, auditors and challengers can lose
@license Apache-2.0
@notice There is no owner: the deployer names the three contracts that may reserve once, and can do nothing afterwards.
    Reservations are kept per contract, so that none can free what another one needs.
@custom:invariant
    - token balance == total + owed, and total == sum of held
    - reserved[a] == sum over the three contracts of reserved_by[a][contract]
    - leaving[a] <= held[a]; only `slash`, which only Rulings may call, lowers `held` without paying it out
    - held[a] >= reserved[a] + leaving[a] unless a was slashed; then nothing new is reserved and no more than
      held - reserved leaves
"""

from interfaces import IBonds
import money

implements: IBonds
initializes: money
exports: (money.token, money.credit, money.owed, money.collect, money.collect_for)

event Bound:
    registry: indexed(address)
    escrow: indexed(address)
    rulings: indexed(address)

event Deposited:
    account: indexed(address)
    amount: uint256

event WithdrawalRequested:
    account: indexed(address)
    amount: uint256
    leaves_at: uint64

event WithdrawalCancelled:
    account: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    amount: uint256

event Reserved:
    account: indexed(address)
    authority: indexed(address)
    amount: uint256

event Released:
    account: indexed(address)
    authority: indexed(address)
    amount: uint256

event Slashed:
    account: indexed(address)
    amount: uint256
    paid_out: uint256
    burned: uint256

withdrawal_delay: public(immutable(uint64))
DEPLOYER: immutable(address)

registry: public(address)
escrow: public(address)
rulings: public(address)
total: public(uint256)
held: public(HashMap[address, uint256])
reserved: public(HashMap[address, uint256])
reserved_by: public(HashMap[address, HashMap[address, uint256]])
leaving: public(HashMap[address, uint256])
leaves_at: public(HashMap[address, uint64])


@deploy
def __init__(token: address, withdrawal_delay_: uint64):
    """
    @param withdrawal_delay_ seconds; longer than an epoch + D + W + the longest case (rule M4)
    """
    # WRITE
    money.__init__(token)
    withdrawal_delay = withdrawal_delay_
    DEPLOYER = msg.sender


@external
def bind(registry: address, escrow: address, rulings: address):
    """
    Names the contracts that may reserve, once.
    """
    # REFUSE
    assert msg.sender == DEPLOYER, "bonds.deployer"
    assert self.registry == empty(address), "bonds.bound"
    assert empty(address) not in [registry, escrow, rulings], "bonds.nobody"
    # WRITE
    self.registry = registry
    self.escrow = escrow
    self.rulings = rulings
    # TELL
    log Bound(registry=registry, escrow=escrow, rulings=rulings)


@view
@internal
def _is_authority(sender: address) -> bool:
    return sender == self.escrow or sender == self.rulings or sender == self.registry


@view
@internal
def _unreserved(account: address) -> uint256:
    held: uint256 = self.held[account]
    return held - min(held, self.reserved[account])


@view
@internal
def _free(account: address) -> uint256:
    unreserved: uint256 = self._unreserved(account)
    return unreserved - min(unreserved, self.leaving[account])


@view
@external
def free(account: address) -> uint256:
    return self._free(account)


@internal
def _deposit(account: address, amount: uint256):
    # REFUSE
    assert amount > 0, "bonds.nothing"
    assert account != empty(address), "bonds.nobody"
    # WRITE
    self.held[account] += amount
    self.total += amount
    # TELL
    log Deposited(account=account, amount=amount)
    money._pull(msg.sender, amount)


@external
@nonreentrant
def deposit(amount: uint256):
    self._deposit(msg.sender, amount)


@external
@nonreentrant
def deposit_for(account: address, amount: uint256):
    """
    The sender pays, the account holds.
    """
    self._deposit(account, amount)


@external
def request_withdrawal(amount: uint256):
    """
    Free bond leaves after the delay. A further request adds to the first and starts its delay again.
    """
    # REFUSE
    assert amount > 0, "bonds.nothing"
    assert amount <= self._free(msg.sender), "bonds.short"
    # WRITE
    leaves_at: uint64 = convert(block.timestamp, uint64) + withdrawal_delay
    self.leaving[msg.sender] += amount
    self.leaves_at[msg.sender] = leaves_at
    # TELL
    log WithdrawalRequested(account=msg.sender, amount=amount, leaves_at=leaves_at)


@external
def cancel_withdrawal():
    # REFUSE
    amount: uint256 = self.leaving[msg.sender]
    assert amount > 0, "bonds.nothing"
    # WRITE
    self.leaving[msg.sender] = 0
    # TELL
    log WithdrawalCancelled(account=msg.sender, amount=amount)


@external
@nonreentrant
def withdraw() -> uint256:
    """
    Pays what asked to leave and may: after a slash, no more than what is not reserved; the rest stays as free bond.
    """
    # REFUSE
    amount: uint256 = min(self.leaving[msg.sender], self._unreserved(msg.sender))
    assert amount > 0, "bonds.nothing"
    assert block.timestamp >= convert(self.leaves_at[msg.sender], uint256), "bonds.early"
    # WRITE
    self.leaving[msg.sender] = 0
    self.held[msg.sender] -= amount
    self.total -= amount
    # TELL
    log Withdrawn(account=msg.sender, amount=amount)
    money._push(msg.sender, amount)
    return amount


@external
def reserve(account: address, amount: uint256):
    # REFUSE
    assert self._is_authority(msg.sender), "bonds.authority"
    assert amount <= self._free(account), "bonds.short"
    # WRITE
    self.reserved[account] += amount
    self.reserved_by[account][msg.sender] += amount
    # TELL
    log Reserved(account=account, authority=msg.sender, amount=amount)


@internal
def _release(account: address, amount: uint256):
    # REFUSE
    assert amount <= self.reserved_by[account][msg.sender], "bonds.release"
    # WRITE
    self.reserved[account] -= amount
    self.reserved_by[account][msg.sender] -= amount
    # TELL
    log Released(account=account, authority=msg.sender, amount=amount)


@external
def release(account: address, amount: uint256):
    # REFUSE
    assert self._is_authority(msg.sender), "bonds.authority"
    # WRITE
    self._release(account, amount)


@external
def slash(
    account: address, amount: uint256, from_reserved: uint256, payouts: DynArray[IBonds.Payout, 64]
) -> uint256:
    # REFUSE
    assert msg.sender == self.rulings, "bonds.authority"
    promised: uint256 = 0
    for payout: IBonds.Payout in payouts:
        promised += payout.amount
    assert promised <= amount // 2, "bonds.payouts"
    # WRITE
    if from_reserved > 0:
        self._release(account, from_reserved)
    taken: uint256 = min(amount, self.held[account])
    if taken == 0:
        log Slashed(account=account, amount=0, paid_out=0, burned=0)
        return 0
    self.held[account] -= taken
    self.total -= taken
    self.leaving[account] = min(self.leaving[account], self.held[account])
    paid_out: uint256 = 0
    for payout: IBonds.Payout in payouts:
        share: uint256 = payout.amount * taken // amount
        paid_out += share
        money._credit(payout.to, share)
    money._credit(money.DEAD, taken - paid_out)
    # TELL
    log Slashed(account=account, amount=taken, paid_out=paid_out, burned=taken - paid_out)
    return taken
