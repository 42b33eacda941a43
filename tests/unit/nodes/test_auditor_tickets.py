"""Tickets over HTTP: what is not for us, not signed, not in time or not an address is refused by name, and
garbage never brings a traceback."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from auditing import GATEWAY, KEYS, ORDER, PROMPT, STALL, TOY, Town, package_of
from claims import SESSION
from steelyard.nodes.auditor import notes, road
from steelyard.nodes.auditor.app import app
from steelyard.protocol.errors import Refused, Unavailable
from steelyard.protocol.records import AuditTicket
from steelyard.wire.messages import PATHS, TicketNotice, sign_record

HONEST = STALL.sell(TOY, ORDER, PROMPT)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(town: Town) -> TestClient:
    return TestClient(app(town.nodes[0]), raise_server_exceptions=False)


def told(notice: TicketNotice) -> dict[str, Any]:
    return {"ticket": {"record": notice.ticket.record, "signature": notice.ticket.signature}, "source": notice.source}


def post(client: TestClient, body: object) -> tuple[int, dict[str, Any]]:
    answer = client.post(PATHS["tickets"], content=json.dumps(body).encode())
    return answer.status_code, answer.json()


def test_a_ticket_is_durable_before_it_is_answered_and_is_taken_once(town: Town, client: TestClient) -> None:
    for _ in range(3):
        assert post(client, told(town.ticket(HONEST))) == (200, {})
    assert town.states() == [notes.WAITING]
    assert town.nodes[0].wake.is_set()
    town.road.gateway = package_of(HONEST)
    town.run(2)
    assert post(client, told(town.ticket(HONEST, seconds=3598))) == (200, {})  # the same ticket, two seconds later
    town.run(2)
    assert town.states() == [notes.CLOSED]
    assert len(town.road.told) == 1


REFUSED: dict[str, tuple[Callable[[Town], dict[str, Any]], int, str]] = {
    "for another auditor": (lambda town: told(town.ticket(HONEST, auditor=1)), 400, "ticket.auditor"),
    "expired": (lambda town: told(town.ticket(HONEST, seconds=0)), 400, "ticket.expired"),
    "no source": (lambda town: told(town.ticket(HONEST)) | {"source": None}, 400, "ticket.source"),
    "a file": (lambda town: told(town.ticket(HONEST)) | {"source": "file:///etc/passwd"}, 400, "source.url"),
    "user and password": (lambda town: told(town.ticket(HONEST)) | {"source": "http://a:b@c"}, 400, "source.url"),
    "a query": (lambda town: told(town.ticket(HONEST)) | {"source": "http://a/?b"}, 400, "source.url"),
    "no host": (lambda town: told(town.ticket(HONEST)) | {"source": "http://"}, 400, "source.url"),
    "a port beyond ports": (lambda town: told(town.ticket(HONEST)) | {"source": "http://a:99999"}, 400, "source.url"),
    "a line break": (lambda town: told(town.ticket(HONEST)) | {"source": "http://a\r\nb"}, 400, "source.url"),
    "a long URL": (lambda town: told(town.ticket(HONEST)) | {"source": "http://" + "a" * 300}, 400, "source.url"),
    "no signature": (
        lambda town: told(town.ticket(HONEST)) | {"ticket": told(town.ticket(HONEST))["ticket"] | {"signature": "0x"}},
        400,
        "record.hex",
    ),
    "a signature of zeros": (
        lambda town: (
            told(town.ticket(HONEST))
            | {"ticket": told(town.ticket(HONEST))["ticket"] | {"signature": "0x" + "00" * 65}}
        ),
        401,
        "signature",
    ),
    "another record": (
        lambda town: {"ticket": told(town.ticket(HONEST))["ticket"] | {"record": {"version": 1}}},
        400,
        "record.fields",
    ),
    "an unknown field": (lambda town: told(town.ticket(HONEST)) | {"more": 1}, 400, "wire.body"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_ticket_is_refused_by_name(town: Town, client: TestClient, name: str) -> None:
    make, status, rule = REFUSED[name]
    code, answer = post(client, make(town))
    assert (code, answer["error"]) == (status, rule)
    assert town.states() == []


def test_no_more_tickets_wait_than_the_bound(town: Town, client: TestClient) -> None:
    for seconds in range(town.settings(0).max_waiting):
        assert post(client, told(town.ticket(HONEST, seconds=100 + seconds)))[0] == 200
    code, answer = post(client, told(town.ticket(HONEST, seconds=99)))
    assert (code, answer["error"], answer["detail"]) == (503, "auditor.busy", "8 tickets wait, at most 8")


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post(PATHS["tickets"], content=b" " * (17 << 10))
    assert (answer.status_code, answer.json()["error"]) == (413, "wire.too-large")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
RECORD = sign_record(AuditTicket(1, bytes(32), KEYS[0].address, 5), SESSION.sign(bytes(32))).record
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {
            "ticket": st.fixed_dictionaries(
                {
                    "record": JSON | st.fixed_dictionaries(dict.fromkeys(RECORD, JSON)),
                    "signature": st.just("0x" + "11" * 65) | st.text(max_size=9),
                }
            ),
            "source": st.just(GATEWAY) | JSON,
        }
    ).map(lambda value: json.dumps(value).encode())
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_garbage_is_refused_by_name_and_kept_nowhere(town: Town, client: TestClient, body: bytes) -> None:
    answer = client.post(PATHS["tickets"], content=body)
    assert answer.status_code in (400, 401)
    assert set(answer.json()) == {"error", "detail"}
    assert town.states() == []


def test_health_names_the_models_and_metrics_count_what_the_journal_holds(town: Town, client: TestClient) -> None:
    town.tick()
    health = client.get("/health").json()
    assert health == {"auditor": KEYS[0].address, "models": ["alphabet"], "ok": True, "in_pool": True}
    post(client, told(town.ticket(HONEST)))
    town.road.gateway = package_of(HONEST)
    town.run(2)
    text = client.get("/metrics").text
    assert 'steelyard_auditor_tickets{state="closed"} 1.0' in text
    assert 'steelyard_auditor_verdicts{outcome="honest"} 1.0' in text


NOTICE = TicketNotice(ticket=sign_record(AuditTicket(1, bytes(32), KEYS[0].address, 5), bytes(65)))

# -- the road ----------------------------------------------------------------------------------------------------------


PRIVATE = ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_auditor_that_is_told_so_asks_no_private_address(address: str) -> None:
    with pytest.raises(Refused, match=r"source\.private"):
        road.require_public("name.test", lambda _: ["93.184.216.34", address])
    road.require_public("name.test", lambda _: ["93.184.216.34", "2606:2800:220:1::1"])


def test_the_road_refuses_private_addresses_before_it_connects() -> None:
    made = road.PeerRoad(private=False)
    try:
        for base in ("http://127.0.0.1:1", "http://localhost:1"):
            with pytest.raises(Refused, match=r"source\.private"):
                made.post(base, "verdicts", NOTICE, TicketNotice)
    finally:
        made.close()


def test_a_peer_that_is_not_there_is_unavailable_to_a_thread() -> None:
    made = road.PeerRoad()
    try:
        with pytest.raises(Unavailable, match=r"peer\.unreachable"):
            made.post("http://127.0.0.1:1", "verdicts", NOTICE, TicketNotice)
    finally:
        made.close()
