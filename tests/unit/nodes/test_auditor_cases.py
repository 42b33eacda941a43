"""Stories of auditors: a ticket comes in, a verdict goes out, and where somebody cheated a jury says so."""

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from auditing import KEYS, NOW, ORDER, PROMPT, STALL, TOY, Town, package_of, serve
from claims import DOMAIN, PROVIDER, STRANGER, Stall, cancelled, run, signed_again
from steelyard.engines.alphabet import Alphabet
from steelyard.market.cases import Consent, Exhibit, Opening, Stage, Tie
from steelyard.market.toy_cases import ToyCases
from steelyard.nodes.auditor import notes, packages, sealing, tickets
from steelyard.nodes.auditor.playing import Playing
from steelyard.protocol import merkle, roots
from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import ZERO32, sha256
from steelyard.protocol.moves import BeginEarly
from steelyard.protocol.proofs import BadUnit, OtherModel, Proof, TooMany
from steelyard.protocol.records import AuditTicket, Level, Vote
from steelyard.protocol.verdicts import Outcome
from steelyard.verification.claim import Claim
from steelyard.wire.messages import AuditPackage, Message, sign_record, signature_of
from steelyard.work import generate

HONEST = STALL.sell(TOY, ORDER, PROMPT)
LIE = STALL.sell(Alphabet(lie_from=2), ORDER, PROMPT)
STEPS = run(TOY, ORDER, PROMPT)[:5]
SHORT = STALL.claim(ORDER, PROMPT, [s.id for s in STEPS], [s.leaf for s in STEPS])


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    made.tick()  # all join the pool
    yield made
    made.close()


def cases(town: Town) -> list[tuple[Stage, Outcome | None]]:
    return [(case.stage, case.outcome) for case in town.court.cases.values()]


def votes(town: Town) -> list[Vote]:
    return [vote for found in town.court.votes.values() for vote in found.values()]


def test_an_honest_answer_gets_a_signed_verdict_and_no_case(town: Town) -> None:
    serve(town, HONEST)
    town.run(3)
    verdict, detail = town.verdict()
    assert (verdict.outcome, verdict.receipt) == (Outcome.HONEST, HONEST.receipt_digest())
    assert verdict.detail == sha256(detail.encode())
    assert town.states() == [notes.CLOSED]
    assert not town.court.cases


def test_a_case_that_a_game_has_is_left_to_it(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(town, LIE)
    while not town.court.cases:
        town.run(1)
    (case,) = town.court.cases.values()
    town.court.put(replace(case, stage=Stage.PLAYING, seats=tuple(key.address for key in KEYS[1:]), reveal_until=NOW))
    settled: list[bytes] = []
    monkeypatch.setattr(ToyCases, "settle", lambda _, case: settled.append(case))
    town.run()
    assert cases(town) == [(Stage.PLAYING, None)]
    assert not settled
    (case,) = town.court.cases.values()
    town.court.put(replace(case, stage=Stage.RULED, outcome=Outcome.CHEATED))
    town.run()
    assert town.states() == [notes.CLOSED]


def test_what_may_be_appealed_against_is_settled_later(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, waits = ToyCases.settle, [3]

    def later(own: ToyCases, case: bytes) -> None:
        if waits[0] > 0:
            waits[0] -= 1
            raise Refused("rulings.appeal", "its window is not over")
        settle(own, case)

    monkeypatch.setattr(ToyCases, "settle", later)
    serve(town, LIE)
    town.run()
    assert waits == [0]
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]


def test_the_buyers_words_are_forgotten_once_the_ticket_is_closed(town: Town) -> None:
    for claim in (HONEST, LIE):
        serve(town, claim)
    town.run()
    assert town.states() == [notes.CLOSED, notes.CLOSED]
    for found in town.nodes[0].desk.journal.scan(notes.TICKET):
        assert notes.read(found, notes.TicketNote).package is None


def test_a_liar_is_challenged_convicted_by_the_jury_and_the_case_is_tied(town: Town) -> None:
    serve(town, LIE)
    town.pay(LIE)
    town.run()
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]
    assert town.court.slashed == {LIE.receipt_digest(): KEYS[0].address}
    (case,) = town.court.cases.values()
    assert case.claim == 2
    assert set(case.seats) == {key.address for key in KEYS[1:]}
    assert town.road.told[-1].case == "0x" + case.id.hex()
    verdict, detail = town.verdict()
    assert verdict.outcome == Outcome.CHEATED
    assert detail.startswith(("sampling: ", "evidence: "))
    assert town.note().ended == "ruled cheated"
    assert KEYS[0].address in town.ledgers[0].collected


def test_every_juror_says_its_own_run_keyed_by_the_case(town: Town) -> None:
    serve(town, LIE)
    town.run()
    (case,) = town.court.cases
    states = TOY.replay(generate.job_of(ORDER, PROMPT), LIE.generated).states
    assert {vote.run_digest for vote in votes(town)} == {roots.run_digest(case, states)}
    assert len({vote.salt for vote in votes(town)}) == 3
    assert all(vote.case == case and vote.evidence_root != LIE.receipt.evidence_root for vote in votes(town))


def test_a_case_is_settled_without_a_claim_once_the_provider_had_its_time(town: Town) -> None:
    serve(town, LIE)
    town.run(8)
    assert cases(town)[0][0] is Stage.OPENED
    town.run(20)
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]


def test_a_receipt_that_another_has_convicted_is_not_challenged_again(town: Town) -> None:
    town.court.slashed[LIE.receipt_digest()] = KEYS[3].address
    serve(town, LIE)
    town.run(3)
    assert town.note().ended == "convicted by another"
    assert town.verdict()[0].outcome == Outcome.CHEATED
    assert not town.court.cases


def test_two_receipts_for_one_order_convict_without_a_jury_and_repay_by_the_claim(town: Town) -> None:
    other = signed_again(HONEST, replace(HONEST.receipt, evidence_root=ZERO32))
    serve(town, HONEST)
    town.road.provider = package_of(other)
    town.run(3)
    assert not town.court.slashed  # the claim that repays the buyer is waited for
    town.pay(HONEST)
    town.run(3)
    assert set(town.court.slashed) == {HONEST.receipt_digest(), other.receipt_digest()}
    assert town.court.twins[HONEST.receipt_digest()] is not None
    assert town.verdict()[1].startswith("two-receipts: ")
    assert not town.court.cases


LONG = STALL.claim(STALL.order(PROMPT, max_units=3), PROMPT, [s.id for s in STEPS], [s.leaf for s in STEPS])
OTHER_MODEL = signed_again(HONEST, replace(HONEST.receipt, model_root=sha256(b"another model")))
GHOST = STALL.claim(ORDER, PROMPT, [STEPS[0].id, 2**31, STEPS[1].id], [ZERO32] * 3)


@pytest.mark.parametrize(("claim", "lie"), [(LONG, TooMany), (OTHER_MODEL, OtherModel), (GHOST, BadUnit)])
def test_what_records_prove_needs_no_case_gam_41_gam_42(
    town: Town, monkeypatch: pytest.MonkeyPatch, claim: Claim, lie: type[Proof]
) -> None:
    """A provider could take a case to a game, which says nothing of these lies, and win it."""
    found: list[Proof] = []
    prove = ToyCases.prove

    def hear(own: ToyCases, exhibit: Exhibit, proof: Proof, tie: Tie | None) -> None:
        found.append(proof)
        prove(own, exhibit, proof, tie)

    monkeypatch.setattr(ToyCases, "prove", hear)
    serve(town, claim)
    town.pay(claim)
    town.run(4)
    assert town.court.slashed == {claim.receipt_digest(): KEYS[0].address}
    assert not town.court.cases
    (shown,) = found
    assert type(shown) is lie
    if isinstance(shown, BadUnit):
        root, opened = claim.receipt.model_root, shown.unit
        assert merkle.verify(root, shown.leaves, 2, merkle.leaf_hash(shown.facts), shown.path)
        assert (shown.index, opened.units[4:8]) == (1, (2**31).to_bytes(4, "little"))


def test_a_prefix_that_no_run_gives_is_the_jurys_even_at_level_disputable(town: Town) -> None:
    """No claim of a game is about a unit of a prefix: the case would wait for ever."""
    stall = Stall(TOY.card.model_root, level=Level.DISPUTABLE)
    order = stall.order(PROMPT, answer_from=len(PROMPT) - 2)
    found = run(TOY, stall.order(PROMPT), PROMPT)
    claim = stall.claim(order, PROMPT, [step.id for step in found], [step.leaf for step in found])
    serve(town, claim)
    town.pay(claim)
    town.run()
    assert town.verdict()[1].startswith("prefix: ")
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]


def test_a_second_receipt_that_the_provider_did_not_sign_convicts_nobody(town: Town) -> None:
    forged = replace(HONEST.receipt, evidence_root=ZERO32)
    serve(town, HONEST)
    town.road.provider = package_of(
        replace(HONEST, receipt=forged, receipt_signature=STRANGER.sign(forged.digest(DOMAIN)))
    )
    town.run()
    assert not town.court.slashed
    assert town.verdict()[0].outcome == Outcome.HONEST


def test_a_receipt_of_another_order_in_the_providers_copy_is_no_twin(town: Town) -> None:
    other = STALL.sell(TOY, STALL.order(PROMPT, nonce=sha256(b"other")), PROMPT)
    serve(town, HONEST)
    town.road.provider = package_of(other)
    town.run()
    assert not town.court.slashed
    assert town.verdict()[0].outcome == Outcome.HONEST


BAD_PACKAGES: dict[str, AuditPackage] = {
    "another answer": package_of(LIE, answer=package_of(HONEST).answer[::-1]),
    "another prompt": package_of(LIE, prompt=[1, 2, 3]),
    "units beyond 32 bits": package_of(LIE, answer=[1 << 40]),
    "salt that is none": package_of(LIE, answer_salt="0x00"),
    "order signed by nobody": package_of(LIE, order=sign_record(ORDER, bytes(65))),
}


@pytest.mark.parametrize("name", BAD_PACKAGES)
def test_a_gateway_that_serves_a_bad_package_cannot_frame_a_provider(town: Town, name: str) -> None:
    serve(town, LIE)
    town.road.gateway = BAD_PACKAGES[name]
    town.run(4)
    verdict, detail = town.verdict()
    assert verdict.outcome == Outcome.CANNOT_TELL
    assert "not opened" in detail
    assert not town.court.cases


def drop(town: Town, claim: Claim, **ticket: object) -> notes.TicketNote:
    town.road.gateway = package_of(claim)
    document = tickets.accept(town.nodes[0].desk, town.ticket(claim, **ticket))  # type: ignore[arg-type]
    assert document is not None
    town.nodes[0].desk.journal.write(document)
    town.run(3)
    return town.note()


def test_a_ticket_that_the_channels_key_did_not_sign_is_dropped_without_a_verdict(town: Town) -> None:
    town.road.post = lambda *_: package_of(LIE)  # type: ignore[method-assign]
    note = drop(town, LIE, signer=STRANGER)
    assert note.ended.startswith("ticket.signature")
    assert not town.road.told
    assert not town.court.cases


def test_a_ticket_for_another_receipt_than_the_served_one_is_dropped(town: Town) -> None:
    town.road.post = lambda *_: package_of(LIE)  # type: ignore[method-assign]
    document = tickets.accept(town.nodes[0].desk, town.ticket(HONEST))
    assert document is not None
    town.nodes[0].desk.journal.write(document)
    town.run(3)
    assert town.note().ended.startswith("ticket.receipt")


def test_a_ticket_of_a_channel_that_the_chain_does_not_know_is_dropped(town: Town) -> None:
    claim = STALL.sell(TOY, STALL.order(PROMPT, channel=sha256(b"unknown")), PROMPT)
    assert drop(town, claim).ended.startswith("order.unknown-channel")
    assert not town.road.told


def test_a_gateway_that_never_serves_gets_cannot_tell_when_the_ticket_expires(town: Town) -> None:
    serve(town, LIE)
    town.road.gateway = None
    town.run(20)
    assert town.states() == [notes.WAITING]
    town.now += 3600
    town.run(40)
    verdict, detail = town.verdict()
    assert verdict.outcome == Outcome.CANNOT_TELL
    assert "served no package" in detail


def test_a_package_that_no_jury_could_be_shown_is_judged_and_told_but_not_challenged(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = tuple(sha256(b"%d" % i)[0] for i in range(60_000))
    claim = STALL.claim(STALL.order(prompt), prompt, [1] * 25, [ZERO32] * 25)
    monkeypatch.setattr(Playing, "proof", lambda *_: None)  # as if only a run could tell
    serve(town, claim)
    town.run(4)
    assert town.verdict()[0].outcome == Outcome.CHEATED
    assert town.note().ended.startswith("case.too-large")
    assert not town.court.cases


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_stream_cut_early_is_convicted_when_the_provider_itself_shows_no_cancel(town: Town) -> None:
    serve(town, SHORT)
    town.run()
    assert town.verdict()[1].startswith("end: 5 of 24 units")
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]


def test_a_stream_cut_early_by_a_provider_that_jurors_cannot_reach_has_to_be_explained_to_the_contract(
    town: Town,
) -> None:
    serve(town, SHORT)
    town.road.provider_speaks = False
    town.run()
    assert {vote.outcome for vote in votes(town)} == {Outcome.CANNOT_TELL}
    assert cases(town) == [(Stage.PLAYING, None)]
    assert isinstance(town.games.played[0], BeginEarly)
    assert not town.court.slashed


def test_a_buyer_that_hides_its_cancel_gets_honest(town: Town) -> None:
    serve(town, SHORT)
    town.road.provider = package_of(cancelled(SHORT, 4))
    town.run(4)
    assert town.verdict()[0].outcome == Outcome.HONEST


# -- juries ------------------------------------------------------------------------------------------------------------


def accuse(town: Town, claim: Claim, opening: Callable[[tuple[bytes, ...]], Opening] | None) -> None:
    """A challenger of its own kind takes the stand: auditor 0's account, without auditor 0."""
    desk = town.nodes[0].desk
    notice = town.ticket(claim)
    consent = Consent(AuditTicket.from_json(notice.ticket.record), signature_of(notice.ticket))
    case = desk.cases.challenge(packages.exhibit_of(claim), consent)
    town.now += 1
    desk.cases.seat(case)
    found = desk.cases.case(case)
    assert found is not None
    if opening is not None:
        desk.cases.open_case(case, opening(tuple(desk.cases.encryption_key(juror) for juror in found.seats)))
    for _ in range(80):
        town.tick(1, 2, 3)


def sealed(body: bytes) -> Callable[[tuple[bytes, ...]], Opening]:
    def opening(keys: tuple[bytes, ...]) -> Opening:
        made = sealing.seal(body, keys)
        return Opening(made.ciphertext, made.wrapped)

    return opening


OPENINGS: dict[str, Callable[[tuple[bytes, ...]], Opening]] = {
    "noise": lambda keys: Opening(bytes(1064), tuple(bytes(80) for _ in keys)),
    "no package": sealed(b"hello"),
    "a bomb": sealed(zlib.compress(bytes(16 << 20), 9)),
    "another receipt": sealed(packages.pack(package_of(LIE))),
    "other units": sealed(packages.pack(package_of(HONEST, answer=package_of(LIE).answer))),
    "unsigned offer": sealed(packages.pack(package_of(HONEST, offer=sign_record(HONEST.offer, bytes(65))))),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_an_opening_that_opens_nothing_costs_the_opener_and_not_the_provider(town: Town, name: str) -> None:
    accuse(town, HONEST, OPENINGS[name])
    assert cases(town) == [(Stage.RULED, Outcome.NOT_OPENED)]
    assert not town.court.slashed


def test_a_challenge_of_an_honest_receipt_is_acquitted(town: Town) -> None:
    accuse(town, HONEST, sealed(packages.pack(package_of(HONEST))))
    assert cases(town) == [(Stage.RULED, Outcome.HONEST)]


def test_an_opener_that_stays_silent_is_ruled_by_the_jurors(town: Town) -> None:
    accuse(town, LIE, None)
    assert cases(town) == [(Stage.RULED, Outcome.NOT_OPENED)]


def broken() -> list[Alphabet]:
    engine = Alphabet()
    engine.close()
    return [engine]


@pytest.mark.parametrize(
    "engines", [list, broken, lambda: [Alphabet(dialect=b"other")]], ids=["none", "broken", "other"]
)
def test_auditors_without_a_sound_engine_of_the_model_accuse_and_acquit_nobody(
    tmp_path: Path, engines: Callable[[], list[Alphabet]]
) -> None:
    town = Town(tmp_path, engines=dict.fromkeys(range(4), engines))  # type: ignore[dict-item]
    town.tick()
    serve(town, LIE)
    town.run(4)
    assert town.verdict()[0].outcome == Outcome.CANNOT_TELL
    accuse(town, LIE, sealed(packages.pack(package_of(LIE))))
    assert cases(town) == [(Stage.RULED, Outcome.CANNOT_TELL)]
    assert {vote.run_digest for vote in votes(town)} == {ZERO32}
    town.close()


def test_a_juror_whose_registered_key_is_another_cannot_tell_instead_of_blaming_the_opener(town: Town) -> None:
    for key in KEYS[1:]:
        _, url, stake = town.court.pool[key.address]
        town.court.pool[key.address] = (sealing.public_key(sha256(b"lost")), url, stake)
    accuse(town, LIE, sealed(packages.pack(package_of(LIE))))
    assert cases(town) == [(Stage.RULED, Outcome.CANNOT_TELL)]


def test_who_is_not_seated_does_nothing(town: Town) -> None:
    town.court.seats = 2
    serve(town, LIE)
    town.run()
    assert len(votes(town)) == 2
    assert cases(town) == [(Stage.RULED, Outcome.CHEATED)]
    ended = [notes.read(d, notes.SeatNote).ended for i in range(4) for d in town.nodes[i].desk.journal.scan(notes.SEAT)]
    assert sorted(ended) == ["not seated", "not seated", "ruled cheated", "ruled cheated"]


def test_joining_the_pool_deposits_once_and_registers_the_key_of_the_key_file(town: Town) -> None:
    for i, key in enumerate(KEYS):
        settings = town.settings(i)
        assert town.court.pool[key.address][0] == sealing.public_key(key.secret)
        assert town.ledgers[i].bonds == {key.address: settings.stake + settings.purse}
    town.restart(0)
    town.run(2)
    assert town.ledgers[0].bonds == {KEYS[0].address: town.settings(0).stake + town.settings(0).purse}


def test_one_ticket_that_breaks_an_auditor_does_not_stop_the_next(town: Town) -> None:
    serve(town, HONEST)
    document = town.nodes[0].desk.journal.scan(notes.TICKET)[0]
    town.nodes[0].desk.journal.write(replace(document, key=bytes(32), body=b'{"ticket":'))
    town.run(3)
    assert sorted(town.states()) == [notes.CLOSED, notes.WAITING]
    assert town.verdict()[0].outcome == Outcome.HONEST


@contextmanager
def hanging(town: Town, i: int) -> Iterator[None]:
    """Auditor `i` at work in its threads, and each gateway that it asks for a package never answers."""
    node, hold = town.nodes[i], threading.Event()
    ask = town.road.post

    def post(base: str, path: str, message: Message, kind: type) -> Message:
        if path == "audits":
            hold.wait(60)
        return ask(base, path, message, kind)  # type: ignore[no-any-return]

    town.road.post = post  # type: ignore[method-assign]
    loops = node.loops()
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        hold.set()
        node.stop()
        for loop in loops:
            loop.join()


def test_a_gateway_that_hangs_holds_up_no_jury(town: Town) -> None:
    for seconds in range(3):
        document = tickets.accept(town.nodes[1].desk, town.ticket(HONEST, 1, seconds=900 + seconds))
        assert document is not None
        town.nodes[1].desk.journal.write(document)
    town.road.gateway = package_of(HONEST)
    consent = town.ticket(LIE)
    cases = town.nodes[0].desk.cases
    ticket = AuditTicket.from_json(consent.ticket.record)
    case = cases.challenge(packages.exhibit_of(LIE), Consent(ticket, signature_of(consent.ticket)))
    town.now += 1
    cases.seat(case)
    keys = tuple(cases.encryption_key(juror) for juror in town.court.cases[case].seats)
    cases.open_case(case, sealed(packages.pack(package_of(LIE)))(keys))
    with hanging(town, 1):
        patience = threading.Event()
        for _ in range(600):
            if KEYS[1].address in town.court.commitments.get(case, {}):
                break
            patience.wait(0.05)
        assert town.states(1) == [notes.WAITING] * 3
    assert KEYS[1].address in town.court.commitments[case]
    assert set(town.states(1)) == {notes.CLOSED}


def test_a_packed_package_is_the_same_package_unpacked() -> None:
    package = package_of(cancelled(LIE, 3))
    assert packages.unpack(packages.pack(package)) == msgspec.structs.replace(package, provider_url=None)
    assert PROVIDER.address == LIE.offer.provider
    assert NOW > 0
