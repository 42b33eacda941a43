"""Bonds: what can be lost, and how it leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import DAY, DEAD, NOBODY, Reverted, World, key

ANN, BOB, EVE = key("ann"), key("bob"), key("eve")
REGISTRY, ESCROW = key("registry"), key("escrow")


def make() -> World:
    """A world whose bonds are bound to plain keys, which can be made to say anything."""
    made = World()
    made.bonds = made.deploy("Bonds", (made.token.address, DAY))
    made.bonds.bind(REGISTRY.address, ESCROW.address, made.rulings.address, by=made.deployer)
    return made


@pytest.fixture
def world() -> World:
    made = make()
    made.bonded(ANN, 100)
    return made


def state(world: World, who=ANN) -> tuple[int, int, int, int]:
    bonds = world.bonds
    return tuple(read(who.address) for read in (bonds.held, bonds.reserved, bonds.leaving, bonds.free))


def test_a_deposit_is_held_and_free(world):
    assert state(world) == (100, 0, 0, 100)
    world.rich(BOB, 5)
    world.bonds.deposit_for(ANN.address, 5, by=BOB)
    assert world.told("Deposited") == {"account": ANN.address, "amount": 5}
    assert state(world) == (105, 0, 0, 105)
    assert state(world, BOB) == (0, 0, 0, 0)


def test_nothing_is_refused_and_so_is_a_deposit_for_nobody(world):
    for call, args in ((world.bonds.deposit, (0,)), (world.bonds.request_withdrawal, (0,))):
        with pytest.raises(Reverted, match=r"^bonds\.nothing$"):
            call(*args, by=ANN)
    with pytest.raises(Reverted, match=r"^bonds\.nobody$"):
        world.bonds.deposit_for(NOBODY, 1, by=ANN)
    for call in (world.bonds.withdraw, world.bonds.cancel_withdrawal):
        with pytest.raises(Reverted, match=r"^bonds\.nothing$"):
            call(by=ANN)


def test_only_what_is_free_leaves_and_only_after_the_delay_bon_2_bon_3(world):
    world.bonds.reserve(ANN.address, 70, by=world.rulings)
    with pytest.raises(Reverted, match=r"^bonds\.short$"):
        world.bonds.request_withdrawal(31, by=ANN)
    world.bonds.request_withdrawal(30, by=ANN)
    assert world.told("WithdrawalRequested")["leaves_at"] == world.now + DAY
    assert state(world) == (100, 70, 30, 0)
    world.turn(DAY - 1)
    with pytest.raises(Reverted, match=r"^bonds\.early$"):
        world.bonds.withdraw(by=ANN)
    world.turn(1)
    assert world.bonds.withdraw(by=ANN) == 30
    assert world.token.balanceOf(ANN.address) == 30
    assert state(world) == (70, 70, 0, 0)


def test_a_second_request_starts_the_delay_again(world):
    world.bonds.request_withdrawal(30, by=ANN)
    world.turn(DAY - 1)
    world.bonds.request_withdrawal(1, by=ANN)
    world.turn(2)
    with pytest.raises(Reverted, match=r"^bonds\.early$"):
        world.bonds.withdraw(by=ANN)


def test_what_is_leaving_cannot_be_reserved_until_that_is_cancelled(world):
    world.bonds.request_withdrawal(60, by=ANN)
    with pytest.raises(Reverted, match=r"^bonds\.short$"):
        world.bonds.reserve(ANN.address, 41, by=world.rulings)
    world.bonds.cancel_withdrawal(by=ANN)
    world.bonds.reserve(ANN.address, 100, by=world.rulings)
    assert state(world) == (100, 100, 0, 0)


def test_strangers_neither_reserve_nor_release_nor_slash(world):
    for call in (
        lambda by: world.bonds.reserve(ANN.address, 1, by=by),
        lambda by: world.bonds.release(ANN.address, 1, by=by),
        lambda by: world.bonds.slash(ANN.address, 1, 0, [], by=by),
    ):
        for stranger in (EVE, ANN, world.deployer):
            with pytest.raises(Reverted, match=r"^bonds\.authority$"):
                call(stranger)
    for authority in (ESCROW, REGISTRY):
        with pytest.raises(Reverted, match=r"^bonds\.authority$"):
            world.bonds.slash(ANN.address, 1, 0, [], by=authority)


def test_one_contract_cannot_release_what_another_reserved_bon_1(world):
    world.bonds.reserve(ANN.address, 10, by=ESCROW)
    world.bonds.reserve(ANN.address, 10, by=world.rulings)
    with pytest.raises(Reverted, match=r"^bonds\.release$"):
        world.bonds.release(ANN.address, 11, by=world.rulings)
    world.bonds.release(ANN.address, 10, by=world.rulings)
    assert world.bonds.reserved_by(ANN.address, ESCROW.address) == 10


def test_a_slash_takes_leaving_bond_too_bon_3(world):
    world.bonds.request_withdrawal(100, by=ANN)
    world.bonds.slash(ANN.address, 80, 0, [(BOB.address, 40)], by=world.rulings)
    assert world.told("Slashed") == {"account": ANN.address, "amount": 80, "paid_out": 40, "burned": 40}
    assert state(world) == (20, 0, 20, 0)
    world.turn(DAY)
    assert world.bonds.withdraw(by=ANN) == 20
    assert world.bonds.collect_for(BOB.address, by=EVE) == 40
    assert world.token.balanceOf(BOB.address) == 40
    assert world.bonds.credit(DEAD) == 40


def test_a_slash_pays_out_at_most_half(world):
    with pytest.raises(Reverted, match=r"^bonds\.payouts$"):
        world.bonds.slash(ANN.address, 81, 0, [(BOB.address, 20), (EVE.address, 21)], by=world.rulings)
    world.bonds.slash(ANN.address, 81, 0, [(BOB.address, 20), (EVE.address, 20)], by=world.rulings)
    assert world.bonds.credit(DEAD) == 41


def test_nobody_is_paid_a_part_of_a_slash(world):
    with pytest.raises(Reverted, match=r"^money\.nobody$"):
        world.bonds.slash(ANN.address, 80, 0, [(NOBODY, 1)], by=world.rulings)


def test_a_slash_of_the_callers_own_reservation_frees_it(world):
    world.bonds.reserve(ANN.address, 30, by=world.rulings)
    with pytest.raises(Reverted, match=r"^bonds\.release$"):
        world.bonds.slash(ANN.address, 10, 31, [], by=world.rulings)
    world.bonds.slash(ANN.address, 10, 30, [], by=world.rulings)
    assert state(world) == (90, 0, 0, 90)


def test_after_a_slash_reserved_bond_stays_and_nothing_new_is_reserved_bon_5(world):
    world.bonds.request_withdrawal(40, by=ANN)
    world.bonds.reserve(ANN.address, 60, by=ESCROW)
    world.bonds.slash(ANN.address, 50, 0, [], by=world.rulings)
    assert state(world) == (50, 60, 40, 0)
    world.turn(DAY)
    with pytest.raises(Reverted, match=r"^bonds\.nothing$"):
        world.bonds.withdraw(by=ANN)
    with pytest.raises(Reverted, match=r"^bonds\.short$"):
        world.bonds.reserve(ANN.address, 1, by=world.rulings)
    world.bonds.release(ANN.address, 60, by=ESCROW)
    assert world.bonds.withdraw(by=ANN) == 40
    assert state(world) == (10, 0, 0, 10)


@given(
    held=st.integers(1, 10**30),
    amount=st.integers(0, 10**30),
    parts=st.lists(st.integers(0, 10**30), max_size=5),
)
def test_a_slash_conserves_money_and_burns_at_least_half_bon_4_esc_4(held, amount, parts):
    world = make()
    world.bonded(ANN, held)
    scale = max(2 * sum(parts), 1)
    payouts = [(key(str(i)).address, part * amount // scale) for i, part in enumerate(parts)]
    taken = world.bonds.slash(ANN.address, amount, 0, payouts, by=world.rulings)
    assert taken == min(amount, held)
    credited = [world.bonds.credit(who) for who, _ in payouts]
    assert 2 * sum(credited) <= taken
    assert sum(credited) + world.bonds.credit(DEAD) == taken
    assert world.bonds.held(ANN.address) == held - taken
    assert world.token.balanceOf(world.bonds.address) == held
    assert world.bonds.owed() == taken


def test_bonds_are_bound_once_by_the_deployer(world):
    with pytest.raises(Reverted, match=r"^bonds\.bound$"):
        world.bonds.bind(EVE.address, EVE.address, EVE.address, by=world.deployer)
    fresh = world.deploy("Bonds", (world.token.address, DAY))
    with pytest.raises(Reverted, match=r"^bonds\.deployer$"):
        fresh.bind(EVE.address, EVE.address, EVE.address, by=EVE)
    with pytest.raises(Reverted, match=r"^bonds\.nobody$"):
        fresh.bind(EVE.address, NOBODY, EVE.address, by=world.deployer)


def test_a_credit_is_collected_once(world):
    world.bonds.slash(ANN.address, 10, 0, [(BOB.address, 5)], by=world.rulings)
    assert world.bonds.collect(by=BOB) == 5
    with pytest.raises(Reverted, match=r"^money\.no-credit$"):
        world.bonds.collect(by=BOB)


def test_a_bond_in_something_that_is_no_contract_is_refused(world):
    with pytest.raises(Reverted, match=r"^money\.token$"):
        world.deploy("Bonds", (EVE.address, DAY))
