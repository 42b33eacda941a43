# pragma version 0.4.3
"""
@title Money: how the contracts take in and pay out one ERC-20
@license Apache-2.0
@notice A module of Bonds, Escrow and Orders. Nothing is ever pushed to a payee: it is credited here and collected, so a
    payee whose transfers fail blocks nobody but itself (rule M3). A burn is a credit of 0x…dEaD, since production
    tokens do not let everyone burn.
@custom:invariant owed == sum of credit; the contract that uses this module holds at least `owed`
"""

from ethereum.ercs import IERC20

DEAD: constant(address) = 0x000000000000000000000000000000000000dEaD

event Credited:
    account: indexed(address)
    amount: uint256

event Collected:
    account: indexed(address)
    amount: uint256

token: public(immutable(address))
credit: public(HashMap[address, uint256])
owed: public(uint256)


@deploy
def __init__(token_: address):
    # REFUSE
    assert token_.is_contract, "money.token"
    # WRITE
    token = token_


@internal
def _credit(account: address, amount: uint256):
    # REFUSE
    if amount == 0:
        return
    assert account != empty(address), "money.nobody"
    # WRITE
    self.credit[account] += amount
    self.owed += amount
    # TELL
    log Credited(account=account, amount=amount)


@internal
def _pull(source: address, amount: uint256):
    """
    Takes tokens in. A token that keeps a fee on transfers is refused: what arrives is what was said.
    """
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(source, self, amount, default_return_value=True), "money.transfer"
    assert staticcall IERC20(token).balanceOf(self) == before + amount, "money.short-transfer"


@internal
def _push(to: address, amount: uint256):
    assert extcall IERC20(token).transfer(to, amount, default_return_value=True), "money.transfer"


@internal
def _collect(account: address) -> uint256:
    # REFUSE
    amount: uint256 = self.credit[account]
    assert amount > 0, "money.no-credit"
    # WRITE
    self.credit[account] = 0
    self.owed -= amount
    # TELL
    log Collected(account=account, amount=amount)
    self._push(account, amount)
    return amount


@external
@nonreentrant
def collect() -> uint256:
    """
    Pays the sender's credit to the sender.
    """
    return self._collect(msg.sender)


@external
@nonreentrant
def collect_for(account: address) -> uint256:
    """
    Pays an account's credit to that account; anyone may send this.
    """
    return self._collect(account)
