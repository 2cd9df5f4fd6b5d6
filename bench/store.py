"""How much room a project takes whose history is full: in etcd, and in an embedded store.

    .venv/bin/python bench/store.py [--share 1.0] [--json]

As many lines of history and work logs as a project may have, or that share of them, and a
tenth of the lines more, are written to a real etcd, and to an embedded store; then what is
too much is trimmed, as coordinators do. Of etcd: the database as it is then, what of it is
in use once it is compacted, and the database after it is defragmented. Of the
embedded store: its file, its journal, and how much more memory this program has.
"""

import asyncio
import json
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from scoord.clock import SystemClock  # noqa: E402 (found only now)
from scoord.happenings import Kind  # noqa: E402
from scoord.ids import LeaseId  # noqa: E402
from scoord.v1.locks_pb2 import Holder  # noqa: E402
from scoord.v1.records_pb2 import ArchiveRecord, HoldRecord  # noqa: E402
from scoord.v1.sessions_pb2 import Session  # noqa: E402
from scoord_server.model.history import Journal  # noqa: E402
from scoord_server.store import keys  # noqa: E402
from scoord_server.store.embedded import EmbeddedStore  # noqa: E402
from scoord_server.store.etcd import EtcdStore  # noqa: E402
from scoord_server.store.port import Put, Store, Txn  # noqa: E402
from scoord_server.trimming import MOST_LINES, MOST_LOGS, Trimming  # noqa: E402
from support.etcd import Etcd, Member  # noqa: E402

PROJECT = "git.example.org/team/shop"
LEASE = LeaseId(7)
WEEK_S = 7 * 86_400
AT_ONCE = 100
SETTLED_S = 2.0
"""etcd writes its pages, and drops what is compacted, in the background."""
HELD = 10
"""Files that a session's log names."""


def main() -> int:
    """Fill both, and print."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines, logs = (max(1, int(most * options.share)) for most in (MOST_LINES, MOST_LOGS))
    with tempfile.TemporaryDirectory() as directory:
        found = {
            "lines": lines,
            "logs": logs,
            "etcd": asyncio.run(in_etcd(Path(directory) / "etcd", lines, logs)),
            "embedded": asyncio.run(embedded(Path(directory), lines, logs)),
        }
    print(json.dumps(found, indent=None if options.json else 2))
    return 0


async def in_etcd(folder: Path, lines: int, logs: int) -> dict[str, float]:
    """Megabytes of etcd's database, as it goes through compaction and defragmentation."""
    etcd = Etcd(folder)
    try:
        etcd.start()
        store = await EtcdStore.connect(etcd.options(deadline_s=30.0))
        revision = await fill(store, lines, logs)
        await asyncio.sleep(SETTLED_S)
        written, _ = _sizes(etcd.member)
        await store.compact(revision)
        await store.close()
        await asyncio.sleep(SETTLED_S)
        _, in_use = _sizes(etcd.member)
        etcd.member.post("/v3/maintenance/defragment", {})
        defragmented, _ = _sizes(etcd.member)
    finally:
        etcd.stop()
    return {
        "written_mb": written,
        "in_use_when_compacted_mb": in_use,
        "defragmented_mb": defragmented,
    }


async def embedded(folder: Path, lines: int, logs: int) -> dict[str, float]:
    """Megabytes of the file and its journal, and of memory."""
    process, file = psutil.Process(), folder / "store.db"
    before = process.memory_info().rss
    store = EmbeddedStore.open(file, SystemClock())
    revision = await fill(store, lines, logs)
    await store.compact(revision)
    memory = process.memory_info().rss - before
    await store.close()
    return {"on_disk_mb": _mb(_on_disk(folder)), "memory_mb": _mb(memory)}


def _on_disk(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.glob("store.db*"))


async def fill(store: Store, lines: int, logs: int) -> int:
    """Write them, and trim what is too much; the revision then."""
    await store.grant(LEASE, WEEK_S)
    now_ms = SystemClock().wall_ms()
    puts = chain(_lines(lines + lines // 10, now_ms), _logs(logs, now_ms))
    while some := tuple(islice(puts, AT_ONCE)):
        await store.txn(Txn((), some))
    while await Trimming(store, SystemClock(), lines).trim():
        pass
    return (await store.range(keys.event_prefix(PROJECT), b"", limit=1)).revision


def _lines(count: int, now_ms: int) -> Iterator[Put]:
    """What a coordinator writes of grants and releases."""
    for number in range(count):
        who = Holder(
            session_id=f"Session_box_{number // 50}_20260101T120000.000000Z",
            alias=f"Session_{number // 50 % 20}",
            person="alice",
            host="box.example.org",
            branch="feature/login",
        )
        journal = Journal(LEASE, LEASE, now_ms - count + number, WEEK_S * 1000)
        path = f"packages/shop/src/part_{number % 97}/file_{number % 1013}.tsx"
        kind = (Kind.GRANTED, Kind.RELEASED)[number % 2]
        yield journal.line(
            PROJECT, kind, who, f"{number:032x}", paths=[path], tokens=[number + 1],
            reason="Refactor authentication logic",
        )  # fmt: skip


def _logs(count: int, now_ms: int) -> Iterator[Put]:
    for number in range(count):
        name = f"Session_box_{number}_20260101T120000.000000Z"
        session = Session(
            session_id=name, project=PROJECT, person="alice", host="box.example.org",
            branch="feature/login", intent="Refactor authentication logic",
        )  # fmt: skip
        holds = [
            HoldRecord(path=f"packages/shop/src/part_{n}/file_{number}.tsx", grants=1)
            for n in range(HELD)
        ]
        at_ms = now_ms - count + number
        record = ArchiveRecord(session=session, how="ended", ended_unix_ms=at_ms, holds=holds)
        yield Put(keys.archive(PROJECT, at_ms, name), record.SerializeToString(), LEASE)


def _sizes(member: Member) -> tuple[float, float]:
    """The database, and what of it is in use."""
    status = member.post("/v3/maintenance/status", {})
    return _mb(int(status["dbSize"])), _mb(int(status.get("dbSizeInUse", status["dbSize"])))


def _mb(size: int) -> float:
    return round(size / 1e6, 1)


if __name__ == "__main__":
    sys.exit(main())
