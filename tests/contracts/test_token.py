"""The test token: EIP-20, EIP-2612, EIP-3009."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from world import DAY, NOBODY, START, UNITS, Reverted, World, key

ANN, BOB, EVE = key("ann"), key("bob"), key("eve")
FOREVER = 2**256 - 1


@pytest.fixture
def world() -> World:
    made = World()
    made.token.mint(ANN.address, 100 * UNITS, by=made.deployer)
    return made


def signed(world: World, primary: str, types: list[tuple[str, str]], message: dict[str, object], signer=ANN):
    """v, r, s by eth-account: somebody else's EIP-712 against ours."""
    domain = {"name": "Test dollar", "version": "1", "chainId": 1, "verifyingContract": world.token.address}
    fields = {primary: [{"name": name, "type": kind} for name, kind in types]}
    data = encode_typed_data(domain, fields, message)
    found = Account.sign_message(data, signer.secret)
    return found.v, found.r.to_bytes(32, "big"), found.s.to_bytes(32, "big")


def permit(world: World, nonce: int = 0, deadline: int = START + DAY, signer=ANN):
    types = [
        ("owner", "address"),
        ("spender", "address"),
        ("value", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
    ]
    message = {"owner": ANN.address, "spender": BOB.address, "value": 7, "nonce": nonce, "deadline": deadline}
    return (ANN.address, BOB.address, 7, deadline, *signed(world, "Permit", types, message, signer))


def authorization(world: World, kind: str = "Transfer", after: int = 0, before: int = START + DAY, signer=ANN):
    types = [("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256")]
    types += [("validBefore", "uint256"), ("nonce", "bytes32")]
    values = (ANN.address, BOB.address, 9, after, before, b"\x05" * 32)
    message = dict(zip([name for name, _ in types], values, strict=True))
    return (*values, *signed(world, f"{kind}WithAuthorization", types, message, signer))


def test_only_the_minter_makes_money(world):
    with pytest.raises(Reverted, match=r"^token\.minter$"):
        world.token.mint(EVE.address, 1, by=EVE)
    with pytest.raises(Reverted, match=r"^token\.nobody$"):
        world.token.mint(NOBODY, 1, by=world.deployer)
    assert world.token.totalSupply() == 100 * UNITS
    assert (world.token.decimals(), world.token.version()) == (6, "1")


def test_transfers_move_what_is_there_and_no_more(world):
    assert world.token.transfer(BOB.address, 30, by=ANN) is True
    assert world.told("Transfer") == {"sender": ANN.address, "receiver": BOB.address, "value": 30}
    assert world.token.balanceOf(BOB.address) == 30
    with pytest.raises(Reverted, match=r"^token\.balance$"):
        world.token.transfer(ANN.address, 31, by=BOB)
    with pytest.raises(Reverted, match=r"^token\.nobody$"):
        world.token.transfer(NOBODY, 1, by=BOB)


def test_an_allowance_is_used_up_unless_it_is_boundless(world):
    world.token.approve(BOB.address, 5, by=ANN)
    world.token.transferFrom(ANN.address, EVE.address, 4, by=BOB)
    assert world.token.allowance(ANN.address, BOB.address) == 1
    with pytest.raises(Reverted, match=r"^token\.allowance$"):
        world.token.transferFrom(ANN.address, EVE.address, 2, by=BOB)
    world.token.approve(BOB.address, FOREVER, by=ANN)
    world.token.transferFrom(ANN.address, EVE.address, 2, by=BOB)
    assert world.token.allowance(ANN.address, BOB.address) == FOREVER


def test_a_permit_by_eth_account_counts_once(world):
    world.token.permit(*permit(world), by=EVE)
    assert world.token.allowance(ANN.address, BOB.address) == 7
    assert world.token.nonces(ANN.address) == 1
    with pytest.raises(Reverted, match=r"^signature$"):
        world.token.permit(*permit(world), by=EVE)
    world.token.permit(*permit(world, nonce=1), by=EVE)


def test_a_permit_by_another_key_or_too_late_or_with_high_s_is_refused(world):
    with pytest.raises(Reverted, match=r"^signature$"):
        world.token.permit(*permit(world, signer=EVE), by=EVE)
    with pytest.raises(Reverted, match=r"^token\.permit-late$"):
        world.token.permit(*permit(world, deadline=START - 1), by=EVE)
    *rest, v, r, s = permit(world)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = (order - int.from_bytes(s, "big")).to_bytes(32, "big")
    with pytest.raises(Reverted, match=r"^signature$"):
        world.token.permit(*rest, 55 - v, r, twin, by=EVE)


def test_nobody_signs_for_the_zero_address(world):
    with pytest.raises(Reverted, match=r"^signature$"):
        world.token.permit(NOBODY, EVE.address, 7, START + DAY, 29, b"\x01" * 32, b"\x01" * 32, by=EVE)


def test_an_authorization_moves_money_once_within_its_time(world):
    with pytest.raises(Reverted, match=r"^token\.authorization-early$"):
        world.token.transferWithAuthorization(*authorization(world, after=START), by=EVE)
    with pytest.raises(Reverted, match=r"^token\.authorization-late$"):
        world.token.transferWithAuthorization(*authorization(world, before=START), by=EVE)
    world.token.transferWithAuthorization(*authorization(world), by=EVE)
    assert world.token.balanceOf(BOB.address) == 9
    assert world.token.authorizationState(ANN.address, b"\x05" * 32) is True
    with pytest.raises(Reverted, match=r"^token\.authorization-used$"):
        world.token.transferWithAuthorization(*authorization(world), by=EVE)


def test_an_authorization_to_receive_is_sent_by_its_payee_only(world):
    with pytest.raises(Reverted, match=r"^token\.payee$"):
        world.token.receiveWithAuthorization(*authorization(world, "Receive"), by=EVE)
    with pytest.raises(Reverted, match=r"^signature$"):
        world.token.receiveWithAuthorization(*authorization(world, "Transfer"), by=BOB)
    world.token.receiveWithAuthorization(*authorization(world, "Receive"), by=BOB)
    assert world.token.balanceOf(BOB.address) == 9


def test_a_cancelled_authorization_is_used(world):
    types = [("authorizer", "address"), ("nonce", "bytes32")]
    message = {"authorizer": ANN.address, "nonce": b"\x05" * 32}
    parts = (ANN.address, b"\x05" * 32, *signed(world, "CancelAuthorization", types, message))
    world.token.cancelAuthorization(*parts, by=EVE)
    with pytest.raises(Reverted, match=r"^token\.authorization-used$"):
        world.token.cancelAuthorization(*parts, by=EVE)
    with pytest.raises(Reverted, match=r"^token\.authorization-used$"):
        world.token.transferWithAuthorization(*authorization(world), by=EVE)
