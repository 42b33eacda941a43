"""The chain room on a real node: a deployment, a voucher claimed, a receipt challenged; nothing sent twice."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, replace

import pytest

from claims import PROVIDER, SESSION, STRANGER, Stall
from steelyard.chain.bindings.bonds import Bonds
from steelyard.chain.bindings.escrow import Claimed, Escrow
from steelyard.chain.bindings.registry import Registry
from steelyard.chain.bindings.rulings import EVENTS, Challenged, Rulings
from steelyard.chain.bindings.token import Token
from steelyard.chain.deploy import DEVNET, Deployment, deploy
from steelyard.chain.following import follow
from steelyard.chain.rpc import RpcChain
from steelyard.devnet.anvil import DEPLOYER, Anvil
from steelyard.devnet.processes import Processes
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.keys import Key
from steelyard.protocol.records import AuditTicket, Voucher
from steelyard.protocol.roots import receipts_root, units_top
from steelyard.protocol.units import MICRO

pytestmark = pytest.mark.slow
OWNER, AUDITOR = Key(sha256(b"an owner")), Key(sha256(b"an auditor"))


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    processes = Processes(tmp_path_factory.mktemp("logs"))
    made = Anvil(processes)
    yield made
    made.rpc.close()
    processes.stop()


@pytest.fixture(scope="module")
def deployment(anvil: Anvil) -> Deployment:
    with closing(RpcChain(anvil.url, DEPLOYER)) as chain:
        return deploy(chain, DEVNET)


def test_a_voucher_is_claimed_and_a_receipt_challenged_through_the_bindings(
    anvil: Anvil, deployment: Deployment
) -> None:
    people = (PROVIDER, SESSION, STRANGER, OWNER, AUDITOR)
    chains = {key: RpcChain(anvil.url, key) for key in people}
    minter = RpcChain(anvil.url, DEPLOYER)
    for key in people:
        anvil.fund(key.address)
        Token(minter, deployment.token).mint(key.address, 1_000 * MICRO)
        Token(chains[key], deployment.token).approve(deployment.bonds, 1_000 * MICRO)
    stall = Stall(b"\x11" * 32, domain=deployment.domain)
    r = stall.registration
    about = (r.model_root, r.payee, r.royalty_bps, r.context_length, r.size_bytes, r.public_weights, r.terms)
    Registry(chains[STRANGER], deployment.registry).register_model(*about, "toy", "")
    assert Registry(minter, deployment.registry).model_ids(0) == r.struct_hash()
    for key in (PROVIDER, AUDITOR):
        Bonds(chains[key], deployment.bonds).deposit(200 * MICRO)
    escrow = Escrow(chains[OWNER], deployment.escrow)
    Token(chains[OWNER], deployment.token).approve(deployment.escrow, 10 * MICRO)
    allocations = ((PROVIDER.address, 10 * MICRO),)
    escrow.open(SESSION.address, 10 * MICRO, 2**40, 10 * MICRO, allocations, ZERO32)
    channel = escrow.channel_id(OWNER.address, ZERO32)

    order = stall.order([1, 2], channel=channel, deadline=minter.head().timestamp + 100, jury_epoch=0)
    order = replace(order, jury_epoch=Registry(minter, deployment.registry).epoch())
    sold = stall.claim(order, [1, 2], [3, 4], [ZERO32, ZERO32])
    digest = sold.receipt_digest()
    voucher = Voucher(1, channel, order.offer, 1_000, 1, receipts_root([digest]))
    shown = (channel, astuple(stall.offer), 1_000, 1, voucher.receipts_root)
    signed = SESSION.sign(voucher.digest(deployment.domain))
    with pytest.raises(Refused, match=r"^signature"):
        Escrow(chains[PROVIDER], deployment.escrow).claim(*shown, PROVIDER.sign(digest))
    mined = Escrow(chains[PROVIDER], deployment.escrow).claim(*shown, signed)
    claimed = next(Claimed.read(log) for log in mined.logs if log.topics[0] == Claimed.TOPIC)
    assert (claimed.provider, claimed.amount, claimed.count) == (PROVIDER.address, 1_000, 1)
    assert escrow.claim_of(claimed.claim).reserve == escrow.reserve_of(2, 1, 1_000)
    with pytest.raises(Refused, match=r"^escrow\.stale-voucher"):
        Escrow(chains[PROVIDER], deployment.escrow).claim(*shown, signed)

    ticket = AuditTicket(1, digest, AUDITOR.address, 2**63)
    consent = (astuple(ticket), SESSION.sign(ticket.digest(deployment.domain)))
    top = units_top(sold.answer, sold.answer_salt)
    exhibit = (astuple(stall.offer), astuple(order), astuple(sold.receipt), len(sold.answer), top)
    court = Rulings(chains[AUDITOR], deployment.rulings)
    mined = court.challenge(exhibit, sold.order_signature, sold.receipt_signature, 2, *consent, ZERO32)
    told = next(Challenged.read(log) for log in mined.logs if log.topics[0] == Challenged.TOPIC)
    assert (told.receipt, told.challenger, told.provider) == (digest, AUDITOR.address, PROVIDER.address)
    assert court.case_of(told.case).price == 1  # ceil of 2 units at 0.1 and 2 at 0.4 micro-tokens
    court.tie(told.case, (claimed.claim, 0, ()))
    with pytest.raises(Refused, match=r"^rulings\.tied"):
        court.tie(told.case, (claimed.claim, 0, ()))

    followed = [log for batch in follow(minter, [deployment.rulings], deployment.block) for log in batch.logs]
    assert [EVENTS[log.topics[0]].__name__ for log in followed] == ["Bound", "Challenged", "Tied"]
    for chain in (minter, *chains.values()):
        chain.close()


def test_many_threads_and_chains_send_for_one_account(anvil: Anvil, deployment: Deployment) -> None:
    anvil.fund(OWNER.address)
    chains = [RpcChain(anvil.url, OWNER) for _ in range(3)]
    spenders = [Key(sha256(bytes([i]))).address for i in range(12)]
    threads = [
        threading.Thread(target=Token(chains[i % 3], deployment.token).approve, args=(spender, i + 1))
        for i, spender in enumerate(spenders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = Token(chains[0], deployment.token)
    assert [token.allowance(OWNER.address, spender) for spender in spenders] == list(range(1, 13))
    for chain in chains:
        chain.close()


SENDER = """
import sys
from steelyard.chain.bindings.bonds import Bonds
from steelyard.chain.rpc import RpcChain
from steelyard.protocol.keys import Key
url, bonds, secret = sys.argv[1:]
chain = RpcChain(url, Key(bytes.fromhex(secret)))
print("sending", flush=True)
Bonds(chain, bonds).deposit(5)
"""


def test_a_sender_killed_before_its_receipt_finds_what_it_did(anvil: Anvil, deployment: Deployment) -> None:
    """A deposit counts twice if sent twice: only a true look at the chain after the restart prevents it."""
    anvil.fund(OWNER.address)
    with closing(RpcChain(anvil.url, DEPLOYER)) as minter:
        Token(minter, deployment.token).mint(OWNER.address, 100)
    with closing(RpcChain(anvil.url, OWNER)) as chain:
        Token(chain, deployment.token).approve(deployment.bonds, 100)
    anvil.rpc("evm_setAutomine", False)
    try:
        command = [sys.executable, "-c", SENDER, anvil.url, deployment.bonds, OWNER.secret.hex()]
        sender = subprocess.Popen(command, stdout=subprocess.PIPE)
        while int(anvil.rpc("txpool_status")["pending"], 16) == 0:
            assert sender.poll() is None
            time.sleep(0.02)
        sender.kill()
        sender.communicate()
        threading.Timer(0.5, anvil.rpc, ("evm_mine",)).start()
        with closing(RpcChain(anvil.url, OWNER)) as chain:  # waits for the block
            assert Bonds(chain, deployment.bonds).held(OWNER.address) == 5
    finally:
        anvil.rpc("evm_setAutomine", True)


def test_the_same_call_after_a_lost_answer_is_the_same_transaction(
    anvil: Anvil, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is lost between the sending and the answer; whoever calls again gets the first one's result."""
    anvil.fund(OWNER.address)
    with closing(RpcChain(anvil.url, DEPLOYER)) as minter:
        Token(minter, deployment.token).mint(OWNER.address, 100)
    with closing(RpcChain(anvil.url, OWNER)) as chain:
        Token(chain, deployment.token).approve(deployment.bonds, 100)
        bonds, whole = Bonds(chain, deployment.bonds), chain.rpc
        before = bonds.held(OWNER.address)
        for lost in ("eth_sendRawTransaction", "eth_getTransactionReceipt"):

            def broken(method: str, *params: object, lost: str = lost) -> object:
                answer = whole(method, *params)
                if method == lost:
                    raise Unavailable("chain.unreachable", "the cable was cut")
                return answer

            monkeypatch.setattr(chain, "rpc", broken)
            with pytest.raises(Unavailable):
                bonds.deposit(7)
            monkeypatch.setattr(chain, "rpc", whole)
            bonds.deposit(7)
        assert bonds.held(OWNER.address) == before + 14
        bonds.deposit(7)  # a third wish is a third deposit
        assert bonds.held(OWNER.address) == before + 21


def test_a_contract_that_is_not_there_is_trouble_not_a_refusal(anvil: Anvil) -> None:
    with closing(RpcChain(anvil.url)) as chain, pytest.raises(Unavailable, match=r"chain\.decode"):
        Bonds(chain, OWNER.address).held(OWNER.address)
