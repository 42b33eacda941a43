"""Each invariant of the money machine can fail: a contract with one piece of its source replaced is caught by it.

`story` is one fixed run through all that moves money, with the machine's invariants checked after every move; it passes
on the contracts as they are and must fail on every mutant.
"""

import pytest
from ledger import BONDS, ESCROW, ORDERS
from moves import AUTHOR, NAMES, Moves
from sources import Mutant
from world import DEAD, Reverted

AMY, BOB, PAT, PIA, WAT = range(5)


def story(moves: Moves) -> None:
    """Two channels, claims that wait, vest, are held and paid, slashes full and short, orders delivered and not, a pool
    shared in unequal parts, a payee that cannot be paid."""
    steps = [
        ("deposit", PAT, 3_000), ("deposit", PIA, 3_000), ("deposit", WAT, 500), ("deposit", BOB, 1_000),
        ("join", WAT, 70), ("join", BOB, 50),
        ("stranger_slashes", PAT, 10),
        ("open", AMY, 200, 150, [(PAT, 61), (PIA, 60)]), ("open", BOB, 30, 30, [(PAT, 10)]),
        ("allocate", 0, PIA, 30), ("allocate", 0, PIA, 29),
        ("top_up", 0, AMY, 40), ("top_up", 0, BOB, 5), ("allocate", 0, PIA, 1),
        ("claim", 0, PAT, 0, True, 13, 2), ("claim", 0, PAT, 0, True, 13, 2), ("claim", 0, PAT, 0, True, 14, 2),
        ("claim", 0, PAT, 0, True, 13, 3), ("claim", 0, PAT, 0, True, 20, 3), ("claim", 0, PAT, 0, False, 17, 4),
        ("claim", 0, PAT, 1, True, 25, 1), ("claim", 0, PAT, 1, True, 24, 1), ("claim", 1, PAT, 0, False, 10, 1),
        ("pay", 0), ("pay", 0), ("pay", 2), ("pay", 1), ("hold", 2), ("hold", 2),
        ("reserve", PIA, 2_900), ("claim", 0, PIA, 0, False, 11, 3), ("start", 5), ("pay", 5),
        ("request_close", 0), ("claim", 0, PIA, 0, True, 7, 1), ("refund", 0), ("turn", 20),
        ("pay", 2), ("unhold", 2), ("pay", 2), ("unhold", 2), ("pay", 2), ("unhold", 2),
        ("refund", 0), ("refund", 0), ("claim", 0, PIA, 0, True, 9, 2),
        ("release", PIA, 2_901), ("release", PIA, 2_000), ("start", 5), ("turn", 19),
        ("pay", 5), ("turn", 1), ("pay", 5),
        ("share_pool",), ("turn", 7), ("share_pool",), ("pay", 4), ("share_pool",), ("turn", 7), ("share_pool",),
        ("request_withdrawal", PAT, 2_000), ("withdraw", PAT), ("turn", 60), ("withdraw", PAT), ("withdraw", PAT),
        ("request_withdrawal", PIA, 1_000), ("slash", PIA, 401, 100, [100, 55, 44]), ("slash", PIA, 2_000, 0, [100]),
        ("turn", 60), ("withdraw", PIA), ("release", PIA, 800), ("withdraw", PIA),
        ("deposit", PIA, 77), ("slash", PIA, 10_000, 0, [333, 334, 335]), ("slash", PIA, 11, 0, [5]),
        ("slash", PAT, 10, 0, [6]),
        ("slash", WAT, 401, 0, [0, 200]), ("slash", WAT, 50, 0, []), ("expel", BOB), ("expel", WAT), ("leave", BOB),
        ("deposit", PIA, 2_000), ("request_withdrawal", PIA, 2_000), ("slash", PIA, 500, 0, []),
        ("place", AMY, 9), ("place", BOB, 0), ("place", AMY, 3),
        ("deliver", 0, 20), ("deliver", 0, 20), ("refund_order", 1), ("deliver", 1, 7), ("turn", 11), ("deliver", 2, 1),
        ("refund_order", 2), ("refund_order", 2), ("refund_order", 0),
        ("block", PAT), ("collect", ESCROW, NAMES[PAT]), ("collect", ESCROW, AUTHOR.address),
        ("collect", BONDS, NAMES[AMY]), ("collect", BONDS, NAMES[AMY]), ("collect", ORDERS, NAMES[AMY]),
        ("collect", ESCROW, DEAD),
    ]  # fmt: skip
    for name, *arguments in steps:
        getattr(moves, name)(*arguments)
        moves.check_conserved()
        moves.check_same()
        moves.check_slashes()
    moves.everyone_leaves()


def test_the_story_holds_on_the_contracts_as_they_are():
    moves = Moves()
    story(moves)
    assert len(moves.ledger.claims) == 9
    assert moves.ledger.wallet[DEAD] > 0


@pytest.mark.slow
def test_the_story_holds_on_anvil_too():
    from on_anvil import AnvilTown

    story(Moves(town=AnvilTown()))


MUTANTS = {
    "anyone may slash": Mutant("Bonds", 'assert msg.sender == self.rulings, "bonds.authority"', "pass"),
    "a slash pays out more than half": Mutant("Bonds", "promised <= amount // 2", "promised <= amount"),
    "a short slash loses its scale": Mutant("Bonds", "payout.amount * taken // amount", "payout.amount"),
    "a slash burns what it promised only": Mutant("Bonds", "DEAD, taken - paid_out)", "DEAD, taken - promised)"),
    "a slash takes what is not there": Mutant("Bonds", "min(amount, self.held[account])", "amount"),
    "a slash leaves leaving bond above held": Mutant(
        "Bonds", "self.leaving[account] = min(self.leaving[account], self.held[account])", "pass"
    ),
    "reserved bond leaves": Mutant("Bonds", "min(held, self.reserved[account])", "0"),
    "leaving bond is reserved": Mutant("Bonds", "min(unreserved, self.leaving[account])", "0"),
    "a withdrawal counts twice": Mutant(
        "Bonds", "self.leaving[msg.sender] = 0\n    self.held[msg.sender] -= amount", "self.held[msg.sender] -= amount"
    ),
    "a withdrawal is forgotten": Mutant("Bonds", "self.held[msg.sender] -= amount", "pass"),
    "bond leaves at once": Mutant("Bonds", ">= convert(self.leaves_at[msg.sender], uint256)", ">= 0"),
    "what is released stays reserved": Mutant("Bonds", "self.reserved[account] -= amount", "pass"),
    "a leaving auditor's stake stays": Mutant("Registry", "extcall BONDS.release(auditor, stake)", "pass"),
    "a refund forgets claims": Mutant(
        "Escrow", "self.channels[channel].deposit - self.channels[channel].claimed", "self.channels[channel].deposit"
    ),
    "a refund counts twice": Mutant("Escrow", 'assert not self.channels[channel].closed, "escrow.closed"', "pass"),
    "a refund comes early": Mutant("Escrow", ">= convert(closes_at, uint256)", ">= 0"),
    "a voucher counts with the same count": Mutant("Escrow", "convert(count, uint256) > first", "True"),
    "a voucher is replayed": Mutant(
        "Escrow",
        "self.vouched[channel][offer_digest] = convert(amount, uint256) << 64 | convert(count, uint256)",
        "pass",
    ),
    "a claim is worth the whole voucher": Mutant(
        "Escrow", "convert(amount, uint256) - paid", "convert(amount, uint256)"
    ),
    "a claim exceeds its allocation": Mutant("Escrow", "spent <= self.allocation[channel][offer.provider]", "True"),
    "allocations exceed the deposit": Mutant("Escrow", "assert allocated <= limit", "assert True"),
    "a claim starts without bond": Mutant("Escrow", "claim.reserve > staticcall BONDS.free(claim.provider)", "False"),
    "a claim reserves nothing": Mutant("Escrow", "extcall BONDS.reserve(claim.provider, claim.reserve)", "pass"),
    "a claim vests early": Mutant("Escrow", "longest_order + challenge_window", "longest_order"),
    "a claim is paid while held": Mutant("Escrow", "claim.holds == 0", "True"),
    "one hold ends all": Mutant("Escrow", "held.holds -= 1", "held.holds = 0"),
    "a claim is paid twice": Mutant("Escrow", "    claim.state = PAID\n    self._write_who(id, claim)", "    pass"),
    "the remainder of a split is lost": Mutant(
        "Escrow", "claim.amount - royalty - pool - burned", "claim.amount * (BPS - 500 - pool_bps - burn_bps) // BPS"
    ),
    "a paid claim keeps its bond": Mutant("Escrow", "extcall BONDS.release(claim.provider, claim.reserve)", "pass"),
    "the remainder of the pool is lost": Mutant(
        "Escrow", "auditors[last], left)", "auditors[last], amount * pool.weights[last] // weight)"
    ),
    "the pool is shared again": Mutant("Escrow", "self.pool_balance = 0", "pass"),
    "payees are paid in passing": Mutant(
        "money", "self.credit[account] += amount\n    self.owed += amount", "self._push(account, amount)"
    ),
    "a credit is collected twice": Mutant("money", "self.credit[account] = 0", "pass"),
    "whoever collects gets it": Mutant(
        "money", "self._push(account, amount)\n    return", "self._push(msg.sender, amount)\n    return"
    ),
    "a delivery keeps the rest": Mutant("Orders", "money._credit(placed.buyer, placed.max_price - price)", "pass"),
    "a delivery pays the cap": Mutant(
        "Orders", "money._push(ESCROW.address, price)", "money._push(ESCROW.address, placed.max_price)"
    ),
    "an order is refunded twice": Mutant("Orders", "self.orders[order].state = REFUNDED", "pass"),
    "an order is refunded after delivery": Mutant(
        "Orders", 'assert self.orders[order].state == PLACED, "orders.state"', "pass"
    ),
    "an order is refunded early": Mutant(
        "Orders", "block.timestamp > convert(self.orders[order].deadline", "0 < convert(self.orders[order].deadline"
    ),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_a_mutant_is_caught(what):
    with pytest.raises((AssertionError, Reverted, pytest.fail.Exception)):
        story(Moves(MUTANTS[what]))
