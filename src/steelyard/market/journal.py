"""The journal that every node keeps: documents in SQLite, durable before anything is said (rule M12).

One writer thread owns the connection and commits in groups: writes that wait together share one fsync. A document is
(kind, key, state, body); several go into one atomic write. Reads use a connection of their own and see committed ones.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from steelyard.protocol.errors import Refused, SteelyardError, Unavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    state TEXT NOT NULL,
    body BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_state ON documents (kind, state, sequence);
"""
GROUP = 256  # writes that share a commit at most: bounds how long the first of them waits


@dataclass(frozen=True, slots=True)
class Document:
    """One row. Writing it again replaces state and body."""

    kind: str
    """`order`, `receipt`, `voucher`, `ticket`, `case`, …"""
    key: bytes
    """Digest or id, unique in its kind."""
    state: str
    """Where it is in its life (`lifecycle`); "" for documents without one."""
    body: bytes = b""
    """JSON."""
    expect: str | None = None
    """When writing: the state that must stand there now ("absent" for no row), else Refused("journal.state")."""


class Journal:
    """A node's documents. Thread-safe; `commit` is for the event loop, `write` for threads."""

    def __init__(self, path: Path | str) -> None:
        """Opens or creates the file. Raises Unavailable("journal.disk")."""
        self._path = str(path)
        self._queue: queue.SimpleQueue[tuple[tuple[Document, ...], Future[None]] | None] = queue.SimpleQueue()
        self._reads = threading.local()
        self._closed = False
        self._closing = threading.Lock()
        try:
            if self._path != ":memory:":  # prompts are in it: its owner's only, as are SQLite's files beside it
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = self._connect()
            connection.executescript(SCHEMA)
            row = connection.execute("SELECT coalesce(max(sequence), 0) FROM documents").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise Unavailable("journal.disk", f"{self._path}: {error}") from error
        self._sequence: int = row[0]
        self._writer = threading.Thread(target=self._run, args=(connection,), name="journal", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    # -- writing ---------------------------------------------------------------------------------------------------

    def submit(self, *documents: Document) -> Future[None]:
        """Queues one atomic write; the future ends after its commit. It fails with Refused("journal.state") or
        Unavailable("journal.disk"), and then nothing of it was written."""
        future: Future[None] = Future()
        with self._closing:
            if self._closed:
                raise Unavailable("journal.closed", self._path)
            self._queue.put((documents, future))
        return future

    def write(self, *documents: Document) -> None:
        """`submit`, and wait. Not for the event loop."""
        self.submit(*documents).result()

    async def commit(self, *documents: Document) -> None:
        """`submit`, and wait without blocking the event loop. Who is cancelled while it waits does not know whether it
        was written: the write goes on."""
        await asyncio.shield(asyncio.wrap_future(self.submit(*documents)))

    def _run(self, connection: sqlite3.Connection) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            last = False
            while len(group) < GROUP and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    last = True
                    break
                group.append(item)
            self._commit(connection, group)
            if last:
                break
        connection.close()

    def _commit(self, connection: sqlite3.Connection, group: list[tuple[tuple[Document, ...], Future[None]]]) -> None:
        results: list[tuple[Future[None], SteelyardError | None]] = []
        group = [item for item in group if item[1].set_running_or_notify_cancel()]  # from here on nobody can cancel it
        try:
            connection.execute("BEGIN IMMEDIATE")
            for documents, future in group:
                results.append((future, self._apply(connection, documents)))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = Unavailable("journal.disk", f"{self._path}: {error}; {len(group)} writes not made")
            results = [(future, failure) for _, future in group]
        for future, refusal in results:
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(refusal)

    def _apply(self, connection: sqlite3.Connection, documents: tuple[Document, ...]) -> Refused | None:
        connection.execute("SAVEPOINT one")
        for document in documents:
            if document.expect is not None:
                row = connection.execute(
                    "SELECT state FROM documents WHERE kind = ? AND key = ?", (document.kind, document.key)
                ).fetchone()
                stands = "absent" if row is None else row[0]
                if stands != document.expect:
                    connection.execute("ROLLBACK TO one")
                    connection.execute("RELEASE one")
                    what = f"{document.kind} 0x{document.key.hex()} is {stands!r}, not {document.expect!r}"
                    return Refused("journal.state", what)
            self._sequence += 1
            connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET"
                " state = excluded.state, body = excluded.body, sequence = excluded.sequence",
                (document.kind, document.key, document.state, document.body, self._sequence),
            )
        connection.execute("RELEASE one")
        return None

    # -- reading ---------------------------------------------------------------------------------------------------

    def _reader(self) -> sqlite3.Connection:
        if not hasattr(self._reads, "connection"):
            self._reads.connection = self._connect()
        connection: sqlite3.Connection = self._reads.connection
        return connection

    def _select(self, where: str, values: Iterable[object]) -> list[Document]:
        try:
            rows = self._reader().execute(f"SELECT kind, key, state, body FROM documents {where}", tuple(values))  # noqa: S608  `where` is a literal of ours
            return [Document(*row) for row in rows]
        except sqlite3.Error as error:
            raise Unavailable("journal.disk", f"{self._path}: {error}") from error

    def get(self, kind: str, key: bytes) -> Document | None:
        """One document as last committed."""
        found = self._select("WHERE kind = ? AND key = ?", (kind, key))
        return found[0] if found else None

    def scan(self, kind: str, state: str | None = None) -> list[Document]:
        """All of a kind (in a state), in the order of their last write."""
        if state is None:
            return self._select("WHERE kind = ? ORDER BY sequence", (kind,))
        return self._select("WHERE kind = ? AND state = ? ORDER BY sequence", (kind, state))

    def close(self) -> None:
        """Commits what is queued, then ends the writer."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._writer.join()
