"""Hours of steady work on one machine: memory, descriptors and threads must not grow.

``make soak MINUTES=30`` runs it, half as long again to warm up, and says every minute
where it stands. Sessions start, edit a few files that others want too, and end; streams
are opened and given up all the while. What each program takes is sampled, and a line is
laid through the samples. The exit code is 1 where that line rises by more than what a
run of that length may show by chance.

The time before is not judged but shown beside it: caches and pools fill then, which
levels off; a leak goes on rising. So that etcd's memory can be judged
too, what it keeps has its bounds within minutes: few lines of history, as many logs of
finished sessions from the beginning as there may be, few edits without a lock (the trace of
one lasts 4 hours), compaction as often as may be, and a raft log of few entries (its default
of 100,000 would grow all the while).

Memory is what a program has for itself (``RssAnon``): what is mapped of files the kernel takes
back at will. Of etcd that is its database, which grows to its largest and stays so; by how
much is shown, and has a limit of its own.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import grpc
import psutil

from scoord.clock import SystemClock
from scoord.v1.events_pb2 import WatchRequest
from scoord.v1.events_pb2_grpc import EventServiceStub
from scoord.v1.records_pb2 import ArchiveRecord, HoldRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.main import DATABASE
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.port import Put, Txn
from scoord_server.trimming import MOST_LOGS
from support.etcd import Etcd
from support.machines import Machine, machines, refusal, repository
from support.processes import CoordinatorProcess, coordinator, end_on_signals

PROJECT = "git.example.org/soak"
SESSIONS = 4
FILES = tuple(f"f{number}.py" for number in range(12))
EDITS_PER_SESSION = 25
PACE_S = 0.2
"""One edit of each session in that time, however long its answers take: what etcd keeps of the
last minutes follows the pace, and that of a busy machine would change."""
ALL_THE_SAME = 0.005
"""How many refused edits, as a share, are made all the same; each leaves a trace for hours."""
STREAMS_AT_ONCE = 5
STREAMS_S = 2.0
"""Between rounds of streams. gRPC 1.85 keeps some 30 bytes of a stream that was given up, also
on a server without a line of ours: what a real team never notices would drown what is ours."""

LITTLE_KEPT = ("--history-lines", "2000", "--compaction-interval", "60")
FEW_ENTRIES = ("--snapshot-count=2000",)
SMALL_TEETH = {"GOGC": "25"}
"""What etcd takes rises by that many % between two collections, not by 100: less to see past."""

LOGS_AT_ONCE = 100
AS_LONG_AS_OTHERS = 260
"""With so much text a log is as large as those that take its place."""

WARMING = 0.5
"""How long caches and pools have to fill, as a share of the time that is judged."""

SAMPLE_S = 2.0
SAY_S = 60.0

MIB = 1024 * 1024

Job = Callable[[], Counter[str]]
"""A piece of work; what it did, counted."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a line may rise within a run: so much, and a share of where it stands."""

    least: float
    share: float = 0.0

    def allowed(self, level: float) -> float:
        """The rise that chance may show."""
        return self.least + self.share * level


LIMITS = {
    "memory MiB": Limit(1.0, 0.01),
    "mapped MiB": Limit(4.0),
    "descriptors": Limit(4),
    "threads": Limit(3),
}


@dataclass(frozen=True, slots=True)
class Rise:
    """What one program took of one thing, and how much more at the end than at first."""

    program: str
    what: str
    level: float
    warming: float
    rise: float

    @property
    def is_flat(self) -> bool:
        """Whether it rose by no more than chance may show."""
        return self.rise <= LIMITS[self.what].allowed(self.level)

    def cells(self, minutes: float) -> tuple[str, ...]:
        """It as a row of the table."""
        said = "yes" if self.is_flat else "NO"
        hourly = self.rise / minutes * 60
        rises = (f"{self.warming:+.2f}", f"{self.rise:+.2f}", f"{hourly:+.1f}")
        return (self.program, self.what, f"{self.level:.1f}", *rises, said)


@dataclass
class Watched:
    """One program and what it took, sample by sample."""

    name: str
    pid: int
    samples: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {name: [] for name in LIMITS}
    )

    def sample(self, now: float) -> None:
        """Look at it once."""
        process = psutil.Process(self.pid)
        with process.oneshot():
            memory = process.memory_info()
            own, mapped = (memory.rss - memory.shared) / MIB, memory.shared / MIB
            found = (own, mapped, process.num_fds(), process.num_threads())
        for name, value in zip(LIMITS, found, strict=True):
            self.samples[name].append((now, float(value)))

    def now(self) -> str:
        """What it took when it was last looked at."""
        own, mapped, descriptors, threads = (values[-1][1] for values in self.samples.values())
        memory = f"{own:.1f} MiB and {mapped:.1f} mapped"
        return f"{self.name} {memory} {descriptors:.0f} fd {threads:.0f} threads"

    def rises(self) -> Iterator[Rise]:
        """What it took, thing by thing."""
        for name, samples in self.samples.items():
            warm = round(len(samples) * WARMING / (1 + WARMING))
            level = statistics.fmean(value for _, value in samples[warm:])
            yield Rise(self.name, name, level, _rise(samples[:warm]), _rise(samples[warm:]))


def _rise(samples: Sequence[tuple[float, float]]) -> float:
    """How far a line through the samples rises from the first to the last."""
    times, values = zip(*samples, strict=True)
    return statistics.linear_regression(times, values).slope * float(times[-1] - times[0])


class Work:
    """The load: threads that go on until told to stop. What breaks them is raised."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.done: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [threading.Thread(target=self._repeat, args=(job,)) for job in jobs]

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """The load runs meanwhile."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        self.check()

    def check(self) -> None:
        """Raise what broke a thread."""
        if self._broken:
            raise self._broken[0]

    def counts(self) -> str:
        """What was done so far."""
        return ", ".join(f"{number:,} {what}" for what, number in sorted(self.done.items()))

    def _repeat(self, job: Job) -> None:
        try:
            while not self._stop.is_set():
                found = job()
                with self._counting:
                    self.done += found
        except BaseException as error:  # noqa: BLE001 (raised where the threads are awaited)
            self._broken.append(error)


def one_session(machine: Machine, clone: Path) -> Counter[str]:
    """A session from its start to its end."""
    done = Counter(sessions=1, edits=0, refusals=0)
    session = machine.session(clone)
    try:
        session.start()
        due_at = time.monotonic()
        for _ in range(EDITS_PER_SESSION):
            file = random.choice(FILES)
            refused = bool(refusal(session.edit(file)))
            done["refusals" if refused else "edits"] += 1
            if not refused or random.random() < ALL_THE_SAME:
                session.edited(file)
            due_at += PACE_S
            time.sleep(max(0.0, due_at - time.monotonic()))
        session.end()
    finally:
        session.kill()
        machine.forget(session)
    return done


def some_streams(address: str) -> Counter[str]:
    """Open streams, read a little, and give them up, each in another way."""
    with grpc.insecure_channel(address) as channel:
        streams = [EventServiceStub(channel).Watch(WatchRequest()) for _ in range(STREAMS_AT_ONCE)]
        for number, stream in enumerate(streams):
            next(iter(stream))
            if number % 2:
                stream.cancel()  # type: ignore[no-untyped-call]  # grpc's stubs leave it out
    time.sleep(STREAMS_S)
    return Counter(streams=STREAMS_AT_ONCE)


async def opened(file: Path) -> EmbeddedStore:
    """The embedded store, before the coordinator opens it."""
    return EmbeddedStore.open(file, SystemClock())


async def fill_with_logs(opening: Awaitable[EtcdStore | EmbeddedStore]) -> None:
    """Keep as many logs as a project may have: with each that comes, one goes."""
    store, now_ms = await opening, SystemClock().wall_ms()
    for first in range(0, MOST_LOGS, LOGS_AT_ONCE):
        times = range(now_ms - MOST_LOGS + first, now_ms - MOST_LOGS + first + LOGS_AT_ONCE)
        await store.txn(Txn((), tuple(log_of_one_that_ended(at_ms) for at_ms in times)))
    await store.close()


def log_of_one_that_ended(at_ms: int) -> Put:
    """The log of a session that had every file once."""
    name = f"Session_before_{at_ms}"
    about = "x" * AS_LONG_AS_OTHERS
    session = Session(session_id=name, project=PROJECT, person="alice", intent=about)
    holds = [HoldRecord(path=file, grants=1) for file in FILES]
    record = ArchiveRecord(session=session, how="ended", ended_unix_ms=at_ms, holds=holds)
    return Put(keys.archive(PROJECT, at_ms, name), record.SerializeToString())


@contextlib.contextmanager
def programs(folder: Path, *, embedded: bool) -> Iterator[tuple[Machine, str, list[Watched]]]:
    """Everything that is watched, running."""
    with contextlib.ExitStack() as stack:
        watched: list[Watched] = []
        store: tuple[str, ...] = ("--embedded", "--data", str(folder / "store"))
        if not embedded:
            etcd = Etcd(folder / "etcd")
            stack.callback(etcd.stop)
            etcd.member.flags = FEW_ENTRIES
            with patch.dict(os.environ, SMALL_TEETH):
                etcd.start()
            asyncio.run(fill_with_logs(EtcdStore.connect(etcd.options())))
            assert etcd.member.process is not None
            watched.append(Watched("etcd", etcd.member.process.pid))
            store = ("--etcd", etcd.member.endpoint)
        else:
            (folder / "store").mkdir(mode=0o700)
            asyncio.run(fill_with_logs(opened(folder / "store" / DATABASE)))
        running: CoordinatorProcess = stack.enter_context(coordinator(folder, *store, *LITTLE_KEPT))
        machine = Machine(folder / "home", "alice", running.address)
        stack.enter_context(machines(machine))
        assert machine.agent is not None
        watched += [Watched("coordinator", running.pid), Watched("agent", machine.agent.pid)]
        yield machine, running.address, watched


def soak(minutes: float, *, embedded: bool) -> bool:
    """Run it; print what was found. Whether all is flat."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clone = repository(root / "shop", dict.fromkeys(FILES, ""), f"https://{PROJECT}")
        with programs(root, embedded=embedded) as (machine, address, watched):
            jobs = [lambda: one_session(machine, clone)] * SESSIONS
            work = Work([*jobs, lambda: some_streams(address)])
            with work.going_on():
                _sample(work, watched, minutes * (1 + WARMING) * 60)
    print(f"{work.counts()} in {minutes:g} min, and {minutes * WARMING:g} min before")
    return _report(watched, minutes)


def _sample(work: Work, watched: Sequence[Watched], seconds: float) -> None:
    begun = time.monotonic()
    say_at = begun + SAY_S
    while (now := time.monotonic()) < begun + seconds:
        for program in watched:
            program.sample(now)
        work.check()
        if now >= say_at:
            say_at += SAY_S
            _say(f"{(now - begun) / 60:3.0f} min: {work.counts()}", watched)
        time.sleep(SAMPLE_S)


def _say(what: str, watched: Sequence[Watched]) -> None:
    print("; ".join((what, *(program.now() for program in watched))), flush=True)


def _report(watched: Sequence[Watched], minutes: float) -> bool:
    rises = [rise for program in watched for rise in program.rises()]
    print("| program | what | level | rise, warming up | rise | per hour | flat |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for rise in rises:
        print(f"| {' | '.join(rise.cells(minutes))} |")
    return all(rise.is_flat for rise in rises)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--embedded", action="store_true", help="without etcd")
    said = parser.parse_args()
    end_on_signals()
    sys.exit(0 if soak(said.minutes, embedded=said.embedded) else 1)
