"""Hours of steady work on one machine: memory, descriptors and threads must not grow.

``make soak MINUTES=30`` runs it, and says every minute where it stands. Sessions
start, edit a few files that others want too, and end; streams are opened and given
up all the while. What each program takes is sampled, and a line is laid through the
samples of the second half. The exit code is 1 where that line rises by more than
what a run of that length may show by chance.

The first half is not judged but shown beside it: caches and pools fill then,
which levels off; a leak rises in both halves alike.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from scoord.v1.events_pb2 import WatchRequest
from scoord.v1.events_pb2_grpc import EventServiceStub
from support.etcd import Etcd
from support.machines import Machine, machines, refusal, repository
from support.processes import CoordinatorProcess, coordinator, end_on_signals

SESSIONS = 4
FILES = tuple(f"f{number}.py" for number in range(12))
EDITS_PER_SESSION = 25
PAUSE_S = 0.08
STREAMS_AT_ONCE = 5
STREAMS_S = 2.0
"""Between rounds of streams. gRPC 1.85 keeps some 30 bytes of a stream that was given up, also
on a server without a line of ours: what a real team never notices would drown what is ours."""

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


MEMORY = "RSS MiB"
LIMITS = {MEMORY: Limit(1.0, 0.01), "descriptors": Limit(4), "threads": Limit(3)}


@dataclass(frozen=True, slots=True)
class Rise:
    """What one program took of one thing, and how much more at the end of each half."""

    program: str
    what: str
    level: float
    first: float
    second: float
    judged: bool

    @property
    def is_flat(self) -> bool:
        """Whether the second half shows no more than chance may."""
        return not self.judged or self.second <= LIMITS[self.what].allowed(self.level)

    def cells(self, minutes: float) -> tuple[str, ...]:
        """It as a row of the table."""
        said = ("yes" if self.is_flat else "NO") if self.judged else "not judged"
        hourly = self.second / (minutes / 2) * 60
        rises = (f"{self.first:+.2f}", f"{self.second:+.2f}", f"{hourly:+.1f}")
        return (self.program, self.what, f"{self.level:.1f}", *rises, said)


@dataclass
class Watched:
    """One program and what it took, sample by sample."""

    name: str
    pid: int
    keeps: bool = False
    """Whether it is there to keep what comes: etcd's memory follows its data, as history does."""
    samples: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {name: [] for name in LIMITS}
    )

    def sample(self, now: float) -> None:
        """Look at it once."""
        process = psutil.Process(self.pid)
        with process.oneshot():
            found = (process.memory_info().rss / MIB, process.num_fds(), process.num_threads())
        for name, value in zip(LIMITS, found, strict=True):
            self.samples[name].append((now, float(value)))

    def now(self) -> str:
        """What it took when it was last looked at."""
        memory, descriptors, threads = (values[-1][1] for values in self.samples.values())
        return f"{self.name} {memory:.1f} MiB {descriptors:.0f} fd {threads:.0f} threads"

    def rises(self) -> Iterator[Rise]:
        """What it took, thing by thing."""
        for name, samples in self.samples.items():
            half = len(samples) // 2
            level = statistics.fmean(value for _, value in samples[half:])
            halves = (_rise(samples[:half]), _rise(samples[half:]))
            yield Rise(self.name, name, level, *halves, not (self.keeps and name == MEMORY))


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
        for _ in range(EDITS_PER_SESSION):
            refused = bool(refusal(session.edit(random.choice(FILES))))
            done["refusals" if refused else "edits"] += 1
            session.post("PostToolUse", tool_name="Edit", tool_input={"file_path": FILES[0]})
            time.sleep(PAUSE_S)
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


@contextlib.contextmanager
def programs(folder: Path, *, embedded: bool) -> Iterator[tuple[Machine, str, list[Watched]]]:
    """Everything that is watched, running."""
    with contextlib.ExitStack() as stack:
        watched: list[Watched] = []
        store: tuple[str, ...] = ("--embedded", "--data", str(folder / "store"))
        if not embedded:
            etcd = Etcd(folder / "etcd")
            stack.callback(etcd.stop)
            etcd.start()
            assert etcd.member.process is not None
            watched.append(Watched("etcd", etcd.member.process.pid, keeps=True))
            store = ("--etcd", etcd.member.endpoint)
        running: CoordinatorProcess = stack.enter_context(coordinator(folder, *store))
        machine = Machine(folder / "home", "alice", running.address)
        stack.enter_context(machines(machine))
        assert machine.agent is not None
        watched += [Watched("coordinator", running.pid), Watched("agent", machine.agent.pid)]
        yield machine, running.address, watched


def soak(minutes: float, *, embedded: bool) -> bool:
    """Run it; print what was found. Whether all is flat."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clone = repository(root / "shop", dict.fromkeys(FILES, ""), "https://git.example.org/soak")
        with programs(root, embedded=embedded) as (machine, address, watched):
            jobs = [lambda: one_session(machine, clone)] * SESSIONS
            work = Work([*jobs, lambda: some_streams(address)])
            with work.going_on():
                _sample(work, watched, minutes * 60)
    print(f"{work.counts()} in {minutes:g} min")
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
    print("| program | what | level | rise, first half | second half | per hour | flat |")
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
