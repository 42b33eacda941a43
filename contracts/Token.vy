# pragma version 0.4.3
"""
@title Test token: 6 decimals, EIP-20, EIP-2612 permit, EIP-3009 authorizations
@license Apache-2.0
@notice For devnets and tests only: its minter makes money from nowhere. Production pays with any ERC-20.
@custom:invariant
    - totalSupply == sum of balanceOf
    - a permit nonce and an authorization nonce count once
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed

implements: IERC20
implements: IERC20Detailed

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

event AuthorizationCanceled:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIVE_TYPE: constant(bytes32) = keccak256(
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_TYPE: constant(bytes32) = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)")
DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
# = secp256k1's order // 2: a signature with a higher s is the twin of another one (EIP-2)

decimals: public(constant(uint8)) = 6
version: public(constant(String[1])) = "1"
name: public(immutable(String[32]))
symbol: public(immutable(String[8]))
minter: public(immutable(address))

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


@deploy
def __init__(name_: String[32], symbol_: String[8], minter_: address):
    # WRITE
    name = name_
    symbol = symbol_
    minter = minter_


@view
@internal
def _separator() -> bytes32:
    return keccak256(abi_encode(DOMAIN_TYPE, keccak256(name), keccak256(version), chain.id, self))


@view
@internal
def _require_signer(owner: address, struct_hash: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert convert(s, uint256) <= HALF_ORDER, "signature"
    digest: bytes32 = keccak256(concat(b"\x19\x01", self._separator(), struct_hash))
    assert owner != empty(address) and ecrecover(digest, v, r, s) == owner, "signature"


@internal
def _transfer(source: address, to: address, amount: uint256):
    # REFUSE
    assert to != empty(address), "token.nobody"
    assert self.balanceOf[source] >= amount, "token.balance"
    # WRITE
    self.balanceOf[source] -= amount
    self.balanceOf[to] += amount
    # TELL
    log Transfer(sender=source, receiver=to, value=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    # WRITE
    self.allowance[owner][spender] = amount
    # TELL
    log Approval(owner=owner, spender=spender, value=amount)


@internal
def _use(authorizer: address, nonce: bytes32, valid_after: uint256, valid_before: uint256):
    # REFUSE
    assert block.timestamp > valid_after, "token.authorization-early"
    assert block.timestamp < valid_before, "token.authorization-late"
    assert not self.authorizationState[authorizer][nonce], "token.authorization-used"
    # WRITE
    self.authorizationState[authorizer][nonce] = True
    # TELL
    log AuthorizationUsed(authorizer=authorizer, nonce=nonce)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._transfer(msg.sender, receiver, amount)
    return True


@external
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    # REFUSE
    allowed: uint256 = self.allowance[owner][msg.sender]
    assert allowed >= amount, "token.allowance"
    # WRITE
    if allowed < max_value(uint256):
        self._approve(owner, msg.sender, allowed - amount)
    self._transfer(owner, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self._approve(msg.sender, spender, amount)
    return True


@external
def mint(to: address, amount: uint256):
    """
    Money from nowhere; the minter only.
    """
    # REFUSE
    assert msg.sender == minter, "token.minter"
    assert to != empty(address), "token.nobody"
    # WRITE
    self.totalSupply += amount
    self.balanceOf[to] += amount
    # TELL
    log Transfer(sender=empty(address), receiver=to, value=amount)


@view
@external
def DOMAIN_SEPARATOR() -> bytes32:
    return self._separator()


@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    """
    EIP-2612.
    """
    # REFUSE
    assert block.timestamp <= deadline, "token.permit-late"
    nonce: uint256 = self.nonces[owner]
    self._require_signer(owner, keccak256(abi_encode(PERMIT_TYPE, owner, spender, amount, nonce, deadline)), v, r, s)
    # WRITE
    self.nonces[owner] = nonce + 1
    self._approve(owner, spender, amount)


@external
def transferWithAuthorization(source: address, to: address, amount: uint256, validAfter: uint256, validBefore: uint256, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    """
    EIP-3009. Anyone may send it.
    """
    # REFUSE
    struct_hash: bytes32 = keccak256(
        abi_encode(TRANSFER_TYPE, source, to, amount, validAfter, validBefore, nonce)
    )
    self._require_signer(source, struct_hash, v, r, s)
    # WRITE
    self._use(source, nonce, validAfter, validBefore)
    self._transfer(source, to, amount)


@external
def receiveWithAuthorization(source: address, to: address, amount: uint256, validAfter: uint256, validBefore: uint256, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    """
    EIP-3009. Only the payee may send it, so nobody can run ahead of the contract that expects the money.
    """
    # REFUSE
    assert msg.sender == to, "token.payee"
    struct_hash: bytes32 = keccak256(
        abi_encode(RECEIVE_TYPE, source, to, amount, validAfter, validBefore, nonce)
    )
    self._require_signer(source, struct_hash, v, r, s)
    # WRITE
    self._use(source, nonce, validAfter, validBefore)
    self._transfer(source, to, amount)


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    """
    EIP-3009.
    """
    # REFUSE
    assert not self.authorizationState[authorizer][nonce], "token.authorization-used"
    self._require_signer(authorizer, keccak256(abi_encode(CANCEL_TYPE, authorizer, nonce)), v, r, s)
    # WRITE
    self.authorizationState[authorizer][nonce] = True
    # TELL
    log AuthorizationCanceled(authorizer=authorizer, nonce=nonce)
