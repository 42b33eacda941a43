"""The journal: what was said to be written is there after a kill, and what could not be written is refused."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counter import limit_disk
from steelyard.market.journal import Document, Journal
from steelyard.protocol.errors import Refused, Unavailable


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_what_was_written_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.write(Document("order", b"a", "assigned", b"{}"), Document("receipt", b"b", ""))
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    assert again.get("order", b"a") == Document("order", b"a", "assigned", b"{}")
    assert again.get("receipt", b"b") == Document("receipt", b"b", "")
    assert again.get("order", b"b") is None
    again.close()


def test_only_its_owner_can_read_it(journal: Journal, tmp_path: Path) -> None:
    journal.write(Document("order", b"a", "assigned", b"{}"))
    files = sorted(tmp_path.glob("journal.sqlite*"))
    assert len(files) == 3
    assert [file.stat().st_mode & 0o077 for file in files] == [0, 0, 0]


def test_a_scan_gives_documents_in_the_order_of_their_last_write(journal: Journal) -> None:
    for key, state in ((b"1", "new"), (b"2", "new"), (b"3", "old"), (b"1", "old")):
        journal.write(Document("order", key, state))
    assert [document.key for document in journal.scan("order")] == [b"2", b"3", b"1"]
    assert [document.key for document in journal.scan("order", "old")] == [b"3", b"1"]
    assert journal.scan("voucher") == []


def test_the_order_of_writes_goes_on_after_a_restart(tmp_path: Path) -> None:
    for key in (b"z", b"a"):
        journal = Journal(tmp_path / "journal.sqlite")
        journal.write(Document("order", key, ""))
        journal.close()
    journal = Journal(tmp_path / "journal.sqlite")
    assert [document.key for document in journal.scan("order")] == [b"z", b"a"]
    journal.close()


def test_a_write_that_expects_another_state_is_refused_whole(journal: Journal) -> None:
    journal.write(Document("order", b"a", "committed"))
    with pytest.raises(Refused, match=r"journal\.state: order 0x61 is 'committed', not 'assigned'"):
        journal.write(Document("voucher", b"v", "held"), Document("order", b"a", "settled", expect="assigned"))
    assert journal.get("voucher", b"v") is None
    journal.write(Document("order", b"a", "settled", expect="committed"), Document("order", b"n", "", expect="absent"))
    with pytest.raises(Refused, match="not 'absent'"):
        journal.write(Document("order", b"n", "", expect="absent"))


def test_one_of_many_racing_writers_gets_the_only_place(journal: Journal) -> None:
    refused: list[Refused] = []

    def race(body: bytes) -> None:
        try:
            journal.write(Document("paid", b"receipt", "", body, expect="absent"))
        except Refused as error:
            refused.append(error)

    threads = [threading.Thread(target=race, args=(b"%d" % at,)) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 11


def test_waiting_writes_share_a_commit_and_a_refused_one_spoils_no_other(journal: Journal) -> None:
    futures = [journal.submit(Document("order", b"%d" % at, "", expect="absent")) for at in (*range(50), 7)]
    assert [future.exception() is None for future in futures] == [True] * 50 + [False]
    assert len(journal.scan("order")) == 50


def test_a_waiter_that_is_cancelled_stops_nobody_else_and_its_write_goes_on(journal: Journal) -> None:
    async def story() -> None:
        waiters = [asyncio.create_task(journal.commit(Document("order", b"%d" % at, ""))) for at in range(9)]
        await asyncio.sleep(0)
        for waiter in waiters[::2]:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        async with asyncio.timeout(5):
            await journal.commit(Document("order", b"last", ""))

    asyncio.run(story())
    assert len(journal.scan("order")) == 10


def test_a_future_cancelled_before_its_turn_is_not_written_and_ends_no_writer(journal: Journal) -> None:
    futures = [journal.submit(Document("order", b"%d" % at, "")) for at in range(200)]
    cancelled = sum(future.cancel() for future in futures)
    journal.write(Document("order", b"last", ""))
    assert len(journal.scan("order")) == 201 - cancelled


def test_a_full_disk_is_a_named_refusal_with_numbers_and_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    limit_disk(journal, pages=8)
    documents = [Document("order", b"%d" % at, "assigned", bytes(3000)) for at in range(20)]
    errors = [future.exception() for future in [journal.submit(document) for document in documents]]
    assert all(isinstance(error, Unavailable) and "writes not made" in str(error) for error in errors if error)
    kept = errors.count(None)
    assert len(journal.scan("order")) == kept < 20
    for _ in range(3):  # it goes on refusing, it does not hang and does not half-write
        with pytest.raises(Unavailable, match=r"journal\.disk"):
            journal.write(Document("order", b"more", "", bytes(50_000)), Document("receipt", b"r", ""))
    assert len(journal.scan("order")) == kept
    assert journal.get("receipt", b"r") is None
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")  # room again
    assert len(again.scan("order")) == kept
    again.write(Document("order", b"more", "", bytes(50_000)))
    again.close()


def test_a_path_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"journal\.disk"):
        Journal(tmp_path / "nowhere" / "journal.sqlite")
    (tmp_path / "garbage.sqlite").write_bytes(b"this is no database, but it is long enough to be looked at" * 100)
    with pytest.raises(Unavailable, match=r"journal\.disk: .*not a database"):
        Journal(tmp_path / "garbage.sqlite")


def test_after_its_end_a_journal_refuses(journal: Journal) -> None:
    journal.close()
    with pytest.raises(Unavailable, match=r"journal\.closed"):
        journal.write(Document("order", b"a", ""))
    journal.close()


KILLED = """
import os, sys
from steelyard.market.journal import Document, Journal
journal = Journal(sys.argv[1])
for at in range(10_000):
    journal.write(Document("order", b"%d" % at, "assigned"), Document("twin", b"%d" % at, ""))
    os.write(1, b"%d\\n" % at)
"""


def test_whatever_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    child.kill()
    rest = child.stdout.read()
    child.stdout.close()
    child.wait()
    acknowledged = 20 + rest.count(b"\n")
    journal = Journal(path)
    orders, twins = journal.scan("order"), journal.scan("twin")
    assert len(orders) >= acknowledged
    assert [order.key for order in orders] == [twin.key for twin in twins], "both of a write, or none"
    journal.close()


def test_every_commit_is_flushed_to_the_disk(journal: Journal) -> None:
    connection = journal._connect()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


@given(st.lists(st.tuples(st.binary(max_size=3), st.text(max_size=3), st.binary(max_size=9)), max_size=12))
def test_a_journal_is_a_dictionary_that_remembers(writes: list[object]) -> None:
    journal = Journal(Path(tempfile.mkdtemp()) / "journal.sqlite")
    model: dict[bytes, Document] = {}
    for key, state, body in writes:  # type: ignore[misc]
        document = Document("kind", key, state, body)
        journal.write(document)
        model.pop(key, None)
        model[key] = document
    assert journal.scan("kind") == list(model.values())
    journal.close()


def test_the_file_is_the_only_thing_on_disk_besides_its_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.write(Document("order", b"a", ""))
    journal.close()
    assert {name.partition("-")[0] for name in os.listdir(tmp_path)} == {"journal.sqlite"}
