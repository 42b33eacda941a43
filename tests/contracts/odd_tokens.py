"""Tokens that pay in odd ways: no return value, a fee on transfers, a blocked payee, a `no` instead of a revert."""

ODD_TOKEN = """
# pragma version 0.4.3
minter: address
fee: public(uint256)
answer: public(bool)
blocked: public(address)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
@deploy
def __init__(minter: address):
    self.minter = minter
    self.answer = True
@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount
@external
def approve(spender: address, amount: uint256){RETURNS}:
    self.allowance[msg.sender][spender] = amount
    {RETURN}
@external
def set_fee(fee: uint256):
    self.fee = fee
@external
def set_answer(answer: bool):
    self.answer = answer
@external
def block(account: address):
    self.blocked = account
@internal
def _move(source: address, to: address, amount: uint256):
    assert to != self.blocked, "blocked"
    self.balanceOf[source] -= amount
    self.balanceOf[to] += amount - self.fee
@external
def transfer(to: address, amount: uint256){RETURNS}:
    self._move(msg.sender, to, amount)
    {RETURN}
@external
def transferFrom(source: address, to: address, amount: uint256){RETURNS}:
    self.allowance[source][msg.sender] -= amount
    self._move(source, to, amount)
    {RETURN}
"""
SILENT = ODD_TOKEN.replace("{RETURNS}", "").replace("{RETURN}", "pass")
SPEAKING = ODD_TOKEN.replace("{RETURNS}", " -> bool").replace("{RETURN}", "return self.answer")
