"""What the embedded store keeps on disk: one SQLite file, locked while it is open.

Only the present is kept: keys, leases with their TTL, and the revision. So the
file does not grow with time. Each change is one SQLite transaction, flushed to
disk (WAL, ``synchronous=FULL``) before ``record`` returns.

A file that is there but is not a sound ledger is never taken for an empty one: a
new ledger is built aside and gets its name only when it is whole.
"""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scoord.errors import ScoordError, StoreDamaged, StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.keyspace import Change, Saved
from scoord_server.store.port import Event, KeyValue

_SCHEMA = """
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE present (revision INTEGER NOT NULL);
CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL);
CREATE TABLE keys (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL
);
INSERT INTO present VALUES (1);
PRAGMA application_id = 0x53434F44;
PRAGMA user_version = 1;
COMMIT;
"""

_APPLICATION_ID = 0x53434F44
"""Marks the file as ours: "SCOD" (https://sqlite.org/pragma.html#pragma_application_id)."""

_SCHEMA_VERSION = 1

_PUT = "REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)"
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Ledger:
    """An open ledger. No other process can open the same file meanwhile."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Open or create the file. Raises StoreUnavailable, StoreDamaged."""
        with _explained(path):
            if not path.exists():
                _create(path)
            connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            with _explained(path):
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                _check(path, connection)
                _lock(connection)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    def load(self) -> Saved:
        """Read all there is. Raises StoreDamaged."""
        with _explained(self._path):
            rows = self._connection.execute("SELECT revision FROM present").fetchall()
            leases = self._connection.execute("SELECT id, ttl_s FROM leases").fetchall()
            kvs = [KeyValue(*row) for row in self._connection.execute("SELECT * FROM keys")]
        if len(rows) != 1:
            raise _damaged(self._path, "its revision is not there")
        saved = Saved(rows[0][0], tuple(kvs), tuple(leases))
        self._check_coherent(saved)
        return saved

    def record(self, change: Change) -> None:
        """Write one change down. Raises StoreUnavailable, and then it was not done."""
        with _explained(self._path), _transaction(self._connection):
            for event in change.events:
                self._record_event(event)
            if change.granted:
                self._connection.execute("INSERT INTO leases VALUES (?, ?)", change.granted)
            if change.ended:
                self._connection.execute("DELETE FROM leases WHERE id = ?", (change.ended,))
            self._connection.execute("UPDATE present SET revision = ?", (change.revision,))

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _record_event(self, event: Event) -> None:
        kv = event.kv
        if event.deleted:
            self._connection.execute("DELETE FROM keys WHERE key = ?", (kv.key,))
            return
        row = (kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
        self._connection.execute(_PUT, row)

    def _check_coherent(self, saved: Saved) -> None:
        leases = {LeaseId(0), *(lease for lease, _ in saved.leases)}
        for kv in saved.kvs:
            if kv.mod_revision > saved.revision or kv.lease not in leases:
                raise _damaged(self._path, f"key {kv.key!r} does not fit the rest")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself has rolled back after some errors (a full disk), not after others.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _lock(connection: sqlite3.Connection) -> None:
    """Take the file for this process: in exclusive mode SQLite keeps its locks."""
    connection.execute("PRAGMA synchronous = FULL")
    with _transaction(connection):
        pass


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """See that the file is ours and sound, before anything is written to it."""
    kind = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    fault = _pragma(connection, "quick_check")
    if kind != _APPLICATION_ID:
        raise _damaged(path, "it is not a store of this program")
    if version != _SCHEMA_VERSION:
        detail = f"its schema is version {version}, this program knows {_SCHEMA_VERSION}"
        raise _damaged(path, detail)
    if fault != "ok":
        raise _damaged(path, f"{fault}".splitlines()[0])


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    value: object = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _create(path: Path) -> None:
    """Build a whole ledger aside, then give it its name, unless another was faster."""
    if path.with_name(f"{path.name}-wal").exists():
        raise _damaged(path, "it is gone, but its write-ahead log (-wal) is there")
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    try:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        _flush_folder(path.parent)
    finally:
        Path(name).unlink()


def _flush_folder(folder: Path) -> None:
    """Make a new name in ``folder`` outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one clear line."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: sqlite3.Error | OSError) -> ScoordError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _IN_USE:
        return StoreUnavailable(f"{path} is in use by another process; stop that one first")
    if code in _DAMAGE or code == sqlite3.SQLITE_ERROR:
        return _damaged(path, str(error))
    return StoreUnavailable(
        f"{path} cannot be used: {error}; see that its folder exists, may be written and has space"
    )


def _damaged(path: Path, detail: str) -> StoreDamaged:
    return StoreDamaged(
        f"{path} is damaged: {detail}; restore it, or move it and its -wal away to start empty"
    )
