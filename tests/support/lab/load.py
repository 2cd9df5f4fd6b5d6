"""Real hook events of several sessions that race for a few files, and their history."""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from support.lab.lab import Lab
from support.lab.team import LabSession
from support.machines import Answer, refusal

FILES = ("a.py", "b.py", "c.py")
SESSIONS_PER_MACHINE = 2
_ENDS = 0.25
"""How often a session ends after an edit, so that files change hands."""
_CONFLICTS = (" is locked by ", " is kept for ")
"""What a refusal says that names another session: it has the file, or is next."""
_ALONE = "Nobody can say whether another session holds this file"
"""What the shim says in the place of an agent that does not answer."""
_KEPT_WITHIN_S = 5.0
_PROMPTS = 0.1
"""How often its person says something before an edit."""


class Verdict(StrEnum):
    """What became of an event."""

    ALLOWED = "allowed"
    HELD = "held"
    UNKNOWN = "unknown"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Hook:
    """One event and its answer."""

    machine: str
    pid: int
    event: str
    path: str
    called: float
    answered: float
    verdict: Verdict
    unheard: bool = False
    """No answer of the agent's came, whatever it was."""

    @property
    def took_s(self) -> float:
        """How long the coding CLI stood still for it."""
        return self.answered - self.called


@dataclass(frozen=True, slots=True)
class Section:
    """An edit that was allowed, from the answer before it to the event after it."""

    pid: int
    path: str
    began: float
    ended: float


@dataclass
class History:
    """What the load saw."""

    hooks: list[Hook] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def between(self, begun: float, ended: float) -> list[Hook]:
        """The events that were answered in that time."""
        return [hook for hook in tuple(self.hooks) if begun <= hook.answered <= ended]

    def longest_s(self) -> float:
        """The longest a hook took."""
        return max((hook.took_s for hook in tuple(self.hooks)), default=0.0)


class Load:
    """Sessions on every machine, each in a thread of its own; one of each only keeps a file."""

    def __init__(self, lab: Lab, seed: int, *, shims: Sequence[str] = ("m2",)) -> None:
        self.history = History()
        self.broken: list[BaseException] = []
        self._lab = lab
        self._stop = threading.Event()
        self._kept = threading.Semaphore(0)
        self._names = itertools.count()
        self._threads = [
            threading.Thread(
                target=self._noting_errors,
                args=(work, machine, machine in shims, random.Random(f"{seed} {machine} {number}")),
                name=f"{machine}-{number}",
            )
            for machine in lab.machines
            for number, work in enumerate([*[self._work] * SESSIONS_PER_MACHINE, self._keep])
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[History]:
        """The load runs meanwhile; an error of its own is raised at the end."""
        for thread in self._threads:
            thread.start()
        try:
            yield self.history
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        if self.broken:
            raise self.broken[0]

    def wait_until_kept(self) -> None:
        """Wait until the idle session of each machine has its file."""
        for _ in self._lab.machines:
            assert self._kept.acquire(timeout=_KEPT_WITHIN_S), f"no file is kept: {self.broken}"

    def _noting_errors(self, work: Callable[..., None], *given: object) -> None:
        try:
            work(*given)
        except BaseException as error:  # noqa: BLE001 (a thread's failure is the test's)
            self.broken.append(error)

    def _work(self, machine: str, shim: bool, rng: random.Random) -> None:
        while not self._stop.is_set():
            with self._session(machine, shim=shim) as session:
                self._live(machine, session, rng)

    def _keep(self, machine: str, shim: bool, rng: random.Random) -> None:
        """One session that takes a file of its own, and has it until the end without a word."""
        with self._session(machine, shim=shim) as session:
            self._ask(machine, session, "SessionStart", source="startup")
            path = f"kept-{session.session_id}.py"
            assert self._edit(machine, session, path, rng), f"{path} is not granted"
            self._kept.release()
            self._stop.wait()
            self._ask(machine, session, "SessionEnd", reason="other")

    @contextlib.contextmanager
    def _session(self, machine: str, *, shim: bool) -> Iterator[LabSession]:
        session = self._lab.session(machine, self._name(machine), shim=shim)
        try:
            yield session
        finally:
            session.kill()

    def _live(self, machine: str, session: LabSession, rng: random.Random) -> None:
        """One session, from its start to its end."""
        self._ask(machine, session, "SessionStart", source="startup")
        while not self._stop.is_set():
            if rng.random() < _PROMPTS:
                self._ask(machine, session, "UserPromptSubmit", prompt="go on")
            path = rng.choice(FILES)
            allowed = self._edit(machine, session, path, rng)
            if allowed and rng.random() < _ENDS:
                break
            time.sleep(rng.uniform(0.02, 0.06))
        self._ask(machine, session, "SessionEnd", reason="other")

    def _edit(self, machine: str, session: LabSession, path: str, rng: random.Random) -> bool:
        hook = self._ask(machine, session, "PreToolUse", path)
        if hook.verdict is not Verdict.ALLOWED:
            return False
        time.sleep(rng.uniform(0.005, 0.04))
        over = time.monotonic()
        self.history.sections.append(Section(session.pid, path, hook.answered, over))
        self._ask(machine, session, "PostToolUse", path)
        return True

    def _ask(
        self, machine: str, session: LabSession, event: str, path: str = "", **fields: str
    ) -> Hook:
        called = time.monotonic()
        try:
            answer = session.post(event, **(_tool(path) if path else fields))
            verdict, unheard = verdict_of(answer), _ALONE in refusal(answer)
        except OSError:
            verdict, unheard = Verdict.UNANSWERED, True
        answered = time.monotonic()
        hook = Hook(machine, session.pid, event, path, called, answered, verdict, unheard)
        self.history.hooks.append(hook)
        return hook

    def _name(self, machine: str) -> str:
        return f"{machine}-{next(self._names)}-{time.time_ns()}"


def verdict_of(answer: Answer) -> Verdict:
    """What an answer means."""
    denied = refusal(answer)
    if not denied:
        return Verdict.ALLOWED
    return Verdict.HELD if any(said in denied for said in _CONFLICTS) else Verdict.UNKNOWN


def _tool(path: str) -> dict[str, object]:
    return {"tool_name": "Edit", "tool_input": {"file_path": path}, "tool_use_id": "toolu_1"}
