"""Registry: models, providers, and pools of auditors that are frozen before their epoch begins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import DAY, NOBODY, UNITS, Reverted, World, key

from steelyard.protocol.records import Registration

ANN, EVE = key("ann"), key("eve")
AUDITORS = [key(f"auditor {i}") for i in range(70)]
SECRET = b"\x77" * 32
MODEL = (b"\x11" * 32, ANN.address, 500, 2048, 10**8, 1, b"\x22" * 32)
SPAN = 300


@pytest.fixture
def world() -> World:
    return World()


def joined(world: World, who, stake: int = UNITS) -> None:
    world.bonded(who, stake)
    world.registry.join(SECRET, "http://auditor", stake, by=who)


def test_a_models_id_is_the_struct_hash_of_its_registration_reg_1(world):
    found = world.registry.register_model(*MODEL, "toy", "file:toy", by=ANN)
    root, payee, bps, context, size, public, terms = MODEL
    assert found == Registration(1, root, ANN.address, payee, bps, context, size, public, terms).struct_hash()
    assert world.told("ModelRegistered")["name"] == "toy"
    assert world.registry.model(found)["author"] == ANN.address
    assert (world.registry.model_name(found), world.registry.model_uri(found)) == ("toy", "file:toy")
    assert (world.registry.model_count(), world.registry.model_ids(0)) == (1, found)
    assert world.registry.model(b"\x00" * 32)["author"] == NOBODY


def test_one_root_may_have_several_authors_but_a_registration_is_made_once(world):
    first = world.registry.register_model(*MODEL, "toy", "", by=ANN)
    with pytest.raises(Reverted, match=r"^registry\.registered$"):
        world.registry.register_model(*MODEL, "other name", "", by=ANN)
    assert world.registry.register_model(*MODEL, "toy", "", by=EVE) != first


@pytest.mark.parametrize(
    ("at", "value", "rule"),
    [
        (1, NOBODY, "registry.nobody"),
        (2, 1_001, "registry.royalty"),
        (3, 0, "registry.context"),
        (3, (1 << 20) + 1, "registry.context"),
        (4, (1 << 40) + 1, "registry.size"),
        (5, 2, "registry.public-weights"),
    ],
)
def test_a_registration_out_of_bounds_is_refused(world, at, value, rule):
    fields = list(MODEL)
    fields[at] = value
    with pytest.raises(Reverted, match=f"^{rule}$"):
        world.registry.register_model(*fields, "toy", "", by=ANN)


def test_a_provider_says_where_it_serves_and_may_move(world):
    with pytest.raises(Reverted, match=r"^registry\.url$"):
        world.registry.register_provider("", by=ANN)
    world.registry.register_provider("http://one", by=ANN)
    world.registry.register_provider("http://two", by=ANN)
    assert world.told("ProviderRegistered") == {"provider": ANN.address, "url": "http://two"}
    assert (world.registry.provider_count(), world.registry.provider_list(0)) == (1, ANN.address)
    assert world.registry.provider_url(ANN.address) == "http://two"


def test_a_join_counts_from_the_next_epoch_on(world):
    epoch = world.registry.epoch()
    assert epoch == world.now // SPAN
    joined(world, ANN, 5 * UNITS)
    assert world.bonds.reserved_by(ANN.address, world.registry.address) == 5 * UNITS
    assert world.registry.pool(epoch) == {"auditors": [], "weights": []}
    assert world.registry.weight_at(ANN.address, epoch) == 0
    world.turn(SPAN)
    assert world.registry.pool(epoch + 1) == {"auditors": [ANN.address], "weights": [5 * UNITS]}
    assert world.registry.pool(epoch) == {"auditors": [], "weights": []}
    assert world.registry.encryption_key(ANN.address) == SECRET
    assert world.registry.auditor_url(ANN.address) == "http://auditor"


def test_a_leave_counts_from_the_next_epoch_on_and_frees_the_stake(world):
    joined(world, ANN)
    world.turn(SPAN)
    epoch = world.registry.epoch()
    world.registry.leave(by=ANN)
    assert world.told("AuditorLeft")["expelled"] is False
    assert world.bonds.free(ANN.address) == UNITS
    assert world.registry.pool(epoch)["auditors"] == [ANN.address]
    world.turn(SPAN)
    assert world.registry.pool(epoch + 1)["auditors"] == []
    assert world.registry.pool(epoch)["auditors"] == [ANN.address]
    with pytest.raises(Reverted, match=r"^registry\.no-member$"):
        world.registry.leave(by=ANN)


def test_a_join_and_a_leave_before_the_same_epoch_leave_no_trace_in_it(world):
    joined(world, ANN)
    world.registry.leave(by=ANN)
    world.registry.join(SECRET, "http://auditor", UNITS, by=ANN)
    world.registry.leave(by=ANN)
    world.turn(SPAN)
    assert world.registry.pool(world.registry.epoch())["auditors"] == []


def test_a_join_without_stake_key_url_or_twice_is_refused(world):
    world.bonded(ANN, 3 * UNITS)
    for rule, args in (
        ("registry.encryption-key", (b"\x00" * 32, "http://a", UNITS)),
        ("registry.url", (SECRET, "", UNITS)),
        ("registry.stake", (SECRET, "http://a", UNITS - 1)),
        ("bonds.short", (SECRET, "http://a", 3 * UNITS + 1)),
    ):
        with pytest.raises(Reverted, match=f"^{rule}$"):
            world.registry.join(*args, by=ANN)
    world.registry.join(SECRET, "http://a", UNITS, by=ANN)
    with pytest.raises(Reverted, match=r"^registry\.member$"):
        world.registry.join(SECRET, "http://a", UNITS, by=ANN)


def test_a_member_may_move_and_a_stranger_not(world):
    joined(world, ANN)
    world.registry.move(b"\x78" * 32, "http://b", by=ANN)
    assert world.registry.encryption_key(ANN.address) == b"\x78" * 32
    for rule, who, args in (
        ("registry.no-member", EVE, (SECRET, "http://c")),
        ("registry.encryption-key", ANN, (b"\x00" * 32, "http://c")),
        ("registry.url", ANN, (SECRET, "")),
    ):
        with pytest.raises(Reverted, match=f"^{rule}$"):
            world.registry.move(*args, by=who)


def test_an_auditor_whose_bond_was_slashed_below_its_stake_may_be_expelled(world):
    joined(world, ANN)
    with pytest.raises(Reverted, match=r"^registry\.bond-enough$"):
        world.registry.expel(ANN.address, by=EVE)
    world.bonds.slash(ANN.address, 1, 0, [], by=world.rulings)
    world.registry.expel(ANN.address, by=EVE)
    assert world.told("AuditorLeft")["expelled"] is True
    assert world.bonds.free(ANN.address) == UNITS - 1


def test_an_epoch_that_has_not_begun_or_is_forgotten_has_no_pool_reg_3(world):
    epoch = world.registry.epoch()
    for call in (lambda e: world.registry.pool(e), lambda e: world.registry.draw(e, SECRET, 1, [])):
        with pytest.raises(Reverted, match=r"^registry\.epoch-open$"):
            call(epoch + 1)
        with pytest.raises(Reverted, match=r"^registry\.epoch-forgotten$"):
            call(epoch - 101)
        call(epoch - 100)


def test_a_draw_is_without_replacement_and_without_the_excluded(world):
    for who in AUDITORS[:5]:
        joined(world, who)
    world.turn(SPAN)
    epoch = world.registry.epoch()
    names = {who.address for who in AUDITORS[:5]}
    drawn = world.registry.draw(epoch, SECRET, 64, [])
    assert set(drawn) == names
    assert len(drawn) == 5
    for seed in range(20):
        three = world.registry.draw(epoch, bytes([seed]) * 32, 3, [AUDITORS[0].address])
        assert len(set(three)) == 3
        assert set(three) <= names - {AUDITORS[0].address}
    assert world.registry.draw(epoch, SECRET, 2, []) == drawn[:2]
    with pytest.raises(Reverted, match=r"^registry\.seats$"):
        world.registry.draw(epoch, SECRET, 65, [])


def test_a_draw_is_weighted_by_stake_reg_4(world):
    for who, stake in zip(AUDITORS[:3], (1, 2, 7), strict=False):
        joined(world, who, stake * UNITS)
    world.turn(SPAN)
    epoch = world.registry.epoch()
    first = [world.registry.draw(epoch, i.to_bytes(32, "big"), 1, [])[0] for i in range(1_000)]
    shares = [first.count(who.address) for who in AUDITORS[:3]]
    # five standard deviations of a binomial around 100, 200, 700: the seeds are fixed, so this never flickers
    assert all(
        abs(found - mean) < 5 * (mean * (1 - mean / 1000)) ** 0.5
        for found, mean in zip(shares, (100, 200, 700), strict=True)
    )


def test_at_most_64_sit_and_a_seat_is_given_again_only_when_its_epochs_are_forgotten(world):
    for who in AUDITORS[:64]:
        joined(world, who)
    world.turn(SPAN)
    assert len(world.registry.pool(world.registry.epoch())["auditors"]) == 64
    late = world.bonded(AUDITORS[64], UNITS)
    with pytest.raises(Reverted, match=r"^registry\.full$"):
        world.registry.join(SECRET, "http://a", UNITS, by=late)
    world.registry.leave(by=AUDITORS[3])
    left = world.registry.epoch() + 1
    world.turn(101 * SPAN)
    with pytest.raises(Reverted, match=r"^registry\.full$"):
        world.registry.join(SECRET, "http://a", UNITS, by=late)
    assert AUDITORS[3].address not in world.registry.pool(left)["auditors"]
    world.turn(SPAN)
    world.registry.join(SECRET, "http://a", UNITS, by=late)
    world.turn(SPAN)
    found = world.registry.pool(world.registry.epoch())["auditors"]
    assert late.address in found
    assert len(found) == len(set(found)) == 64


MOVES = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "wait"]), st.integers(0, 2), st.integers(1, 9)), max_size=25
)


@settings(max_examples=40, deadline=None)
@given(MOVES)
def test_the_pool_of_an_epoch_never_changes_once_it_has_begun_reg_2(moves):
    world = World()
    for who in AUDITORS[:3]:
        world.bonded(who, 100 * UNITS)
    frozen: dict[int, dict[str, list[object]]] = {}
    for what, who, much in moves:
        epoch = world.registry.epoch()
        frozen.setdefault(epoch, world.registry.pool(epoch))
        member = world.registry.stake(AUDITORS[who].address) > 0
        if what == "join" and not member:
            world.registry.join(SECRET, "http://a", much * UNITS, by=AUDITORS[who])
        elif what == "leave" and member:
            world.registry.leave(by=AUDITORS[who])
        elif what == "wait":
            world.turn(much * SPAN // 3)
        for old, pool in frozen.items():
            if old + 100 >= world.registry.epoch():
                assert world.registry.pool(old) == pool
        for auditor in AUDITORS[:3]:
            reserved = world.bonds.reserved_by(auditor.address, world.registry.address)
            assert reserved == world.registry.stake(auditor.address)


def test_limits_that_make_no_sense_are_refused(world):
    for bounds in ((10_001, 1, 1, 1, 1, 1), (0, 1, 1, 0, 1, 1), (0, 1, 1, 1, 0, 1), (0, 1, 1, 1, 1, 0)):
        with pytest.raises(Reverted, match=r"^registry\.limits$"):
            world.deploy("Registry", (world.bonds.address, bounds))
    assert world.bonds.withdrawal_delay() == DAY
