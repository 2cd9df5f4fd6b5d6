"""A session of this machine: who it is, what it does, and what it is yet to be told.

A session is a process. The coding CLI's own session id is an attribute of it:
after ``/clear`` it changes while the process stays, so one session may have had
several.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

from scoord.bounded import BoundedDict
from scoord.ids import AgentId, LeaseId, ProjectId, SessionId
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent import wanted, wording
from scoord_agent.delivery import Delivery
from scoord_agent.held_lock import HeldLock
from scoord_agent.processes import Process
from scoord_agent.remembered import Remembered
from scoord_agent.turns import Place, Queued
from scoord_agent.wanted import Waiters, Wanted
from scoord_agent.work import Work

TERMINAL = "terminal"
"""The client of a session that is a person's shell."""

MAX_NOTICES = 100
"""A session that is told nothing for long is told the latest, and how many were before them."""

MAX_NOTICED = 200

MAX_SUBAGENTS = 100
"""For one more the one that was silent for longest counts as over."""

_MOST_ENDED = 1_000

MAIN = AgentId("")
"""The main thread, where a subagent may be named."""


@dataclass(slots=True)
class LocalSession:
    """One session of this machine. The only value here that changes in place."""

    session_id: SessionId
    client: str
    process: Process | None
    cwd: str
    client_session_ids: set[str] = field(default_factory=set)
    lease: LeaseId = LeaseId(0)
    lapsed: LeaseId = LeaseId(0)
    """The lease before, until it is known how that ended."""
    aliases: dict[ProjectId, str] = field(default_factory=dict)
    """Its short name in each project it is registered in; the first is its own."""
    unwritten: bool = False
    """Whether it has a lease, or is in a project, that nobody has waited for the disk to take."""
    home: ProjectId = ProjectId("")
    worktree: str = ""
    branch: str = ""
    intent: str = ""
    intent_is_said: bool = False
    """Whether its person said what it is to do; else its first prompt did."""
    client_version: str = ""
    terminal: str = ""
    """The terminal it runs in, as ``pts/3``; empty when there is none."""
    status: "SessionStatus.ValueType" = SessionStatus.SESSION_STATUS_UNSPECIFIED
    """What its coding CLI does; that it waits for a lock is seen from its work."""
    work: Work = field(default_factory=Work)
    remembered: Remembered = field(default_factory=Remembered)
    active: bool = True
    """Whether it did something since that was last published."""
    acted_at: float = 0.0
    """When it last did something, by the agent's clock."""
    published_at: float = 0.0
    publish_within_s: float = math.inf
    """How late what it does is published at most: the shortest ``heartbeat_interval`` of those
    by which it or a lock of its was given its time; each repository may have another."""
    inherited: set[ProjectId] = field(default_factory=set)
    """Where it was with the agent before us, and what it holds is not known yet."""
    had: Sequence[HeldLock] = ()
    """What it held when the agent before us last wrote it down, until that is confirmed."""
    had_beside: Sequence[HeldLock] = ()
    """Its shares and patterns then: of one that is confirmed, where it was asked for."""
    had_at: float = 0.0
    """When all of that was known to stand, on the machine's clock: a session does not
    outlive its boot."""
    waited: Mapping[Place, Queued] = field(default_factory=dict)
    """Where it was yet to hear of its turn when the agent before us last wrote it down."""
    owed: list[HeldLock] = field(default_factory=list)
    """What it has given back, and was not told that it is over: an agent after us goes on
    with that."""
    ended: bool = False
    """Whether it is over; one that is still being registered must then not go on."""
    notices: deque[str] = field(default_factory=deque)
    """What it is told at its next hooks, once."""
    left_out: int = 0
    """How many there were for which there was no room; that is told instead of them."""
    wanted: dict[AgentId, Waiters] = field(default_factory=dict)
    """Who waits for what each of its threads holds: told before the rest, and crowded out
    by none of it."""
    losses: deque[str] = field(default_factory=deque)
    """What it is told of locks it has lost: first, and crowded out by nothing."""
    subagents: dict[AgentId, deque[str]] = field(default_factory=dict)
    """Those that work, and what each is yet to be told of locks it has lost: first."""
    ended_subagents: BoundedDict[AgentId, None] = field(
        default_factory=lambda: BoundedDict(_MOST_ENDED)
    )
    """Those that have ended, and did nothing since: what they are granted yet is not wanted."""
    asides: dict[AgentId, deque[str]] = field(default_factory=dict)
    """What each of them is yet to be told of what it edits or has."""
    to_greet: bool = False
    """Whether it is yet to hear what the start of a session tells: it was not heard of then, or
    nobody could tell in time."""
    noticed: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NOTICED))
    """Ids of what came from its inbox, lately."""
    told_problem: str = ""
    """What it was told last to be wrong with its settings."""
    person: "Callable[[LocalSession, str], None] | None" = None
    """Tells the person in front of it; None where nobody is to be told."""
    changed: "Callable[[], None] | None" = None
    """Is called when something else than before is to be told: an agent after us tells it."""

    @property
    def root(self) -> Path | None:
        """Where its own worktree is, and so its settings."""
        return _path(self.worktree) if self.worktree else None

    @property
    def alias(self) -> str:
        """Its short name in its own project."""
        return self.aliases.get(self.home, "")

    @property
    def has_hooks(self) -> bool:
        """Whether it can be told something later: a terminal has no hook that asks."""
        return self.client != TERMINAL

    @property
    def registered(self) -> bool:
        """Whether it has a lease."""
        return self.lease != 0

    def act(self, now: float) -> None:
        """It did something."""
        self.active, self.acted_at = True, now

    def publish_within(self, interval_s: float) -> None:
        """Something that it has from now on looks idle where it is heard of less often."""
        if interval_s < self.publish_within_s:
            self.publish_within_s = interval_s
            self._change()

    def tell(self, notice: str, *, person: bool = False) -> None:
        """Keep ``notice`` for its next hook, unless that is waiting already.

        With ``person``, it is for the one in front of the session as well, and now.
        """
        if notice in self.notices:
            return
        self._keep(notice, self.notices)
        if person:
            self.tell_person(notice)

    def _keep(self, notice: str, waiting: deque[str]) -> None:
        """Where there is no room, the oldest makes way."""
        while len(waiting) >= MAX_NOTICES:
            waiting.popleft()
            self.left_out += 1
        waiting.append(notice)
        self._change()

    def tell_wanted(self, place: Place, notice: Wanted, agent: AgentId = MAIN) -> None:
        """Keep ``notice``, of who waits at ``place`` for what ``agent`` holds, for its next hook.

        Nobody is told that it waits for itself, as the main thread of one that is over may. For a
        terminal nothing is kept: its commands show who waits as long as it is so.
        """
        thread = self.thread(agent)
        waiters = self.wanted.setdefault(thread, {})
        is_own = (place.session, place.agent) == (self.session_id, thread)
        if is_own or waiters.get(place) == notice:
            return
        if self.has_hooks:
            self.left_out += wanted.add(waiters, place, notice)
            self._change()
        if place.session != self.session_id:
            self.tell_person(notice.told)

    def withdraw_wanted(self, is_over: Callable[[Place], bool]) -> None:
        """Nobody waits at these places any more: what a thread is yet to be told of them."""
        over = [(who, at) for who, places in self.wanted.items() for at in places if is_over(at)]
        for who, at in over:
            del self.wanted[who][at]
        if over:
            self._change()

    def thread(self, agent: AgentId) -> AgentId:
        """Which thread hears what concerns ``agent``: of one that is over, the main one."""
        return agent if agent in self.subagents else MAIN

    def tell_person(self, notice: str) -> None:
        """For the one in front of it alone, and now."""
        if self.person:
            self.person(self, notice)

    def tell_loss(self, notice: str, agent: AgentId = MAIN) -> None:
        """Keep ``notice``, of a lock that ``agent`` has lost, for the next hook of that.

        What concerns a subagent that is over is for the main thread, which goes on with its work.
        """
        waiting = self._losses_of(agent)
        if notice in waiting:
            return
        waiting.append(notice)
        self._change()
        self.tell_person(notice)

    def tell_editor(self, notice: str, agent: AgentId, *, person: bool = False) -> None:
        """Keep ``notice``, of what ``agent`` edits or has, for the next hook of that."""
        if agent not in self.subagents:
            self.tell(notice, person=person)
            return
        waiting = self._asides_of(agent)
        if notice not in waiting:
            self._keep(notice, waiting)
            self.tell_person(notice)

    def hear(self, agent: AgentId) -> None:
        """A subagent works: what concerns it is told at its own hooks."""
        if agent == MAIN:
            return
        self.ended_subagents.pop(agent, None)
        is_new = agent not in self.subagents
        self.subagents[agent] = self.subagents.pop(agent, deque())
        if len(self.subagents) > MAX_SUBAGENTS:
            self.subagent_over(next(iter(self.subagents)))
        if is_new:
            self._change()

    def subagent_ends(self, agent: AgentId) -> None:
        """A subagent has ended. One that is taken up again does something first."""
        self.ended_subagents[agent] = None
        self.subagent_over(agent)

    def subagent_over(self, agent: AgentId) -> None:
        """A subagent is over: what it was not told, its main thread is."""
        waiting = self.subagents.pop(agent, None)
        if waiting is not None:
            self.losses += (notice for notice in waiting if notice not in self.losses)
            self._change()
        for notice in self.asides.pop(agent, ()):
            self.tell(notice)
        for place, wants in self.wanted.pop(agent, {}).items():
            self.tell_wanted(place, wants)

    def take_notices(
        self,
        most: int = MAX_NOTICES,
        delivery: Delivery | None = None,
        is_held: Callable[[Place], bool] | None = None,
    ) -> list[str]:
        """What it has not been told yet, losses first; what there is no room for waits.

        It waits again if the ``delivery`` fails.
        """
        delivery = delivery or Delivery()
        told = self.take_losses(most, delivery=delivery)
        told += self.take_wanted(most - len(told), MAIN, delivery, is_held)
        if self.left_out and len(told) < most:
            told.append(wording.left_out(self.left_out))
            delivery.takes(partial(self._leave_out, self.left_out))
            self.left_out = 0
            self._change()
        return told + self._taken(self._notices, most - len(told), delivery)

    def take_losses(
        self, most: int, agent: AgentId = MAIN, delivery: Delivery | None = None
    ) -> list[str]:
        """The same, of losses alone; for a subagent, of what it edits or has, too."""
        delivery = delivery or Delivery()
        if agent == MAIN:
            return self._taken(partial(self._losses_of, MAIN), most, delivery)
        if agent not in self.subagents:
            return []
        told = self._taken(partial(self._losses_of, agent), most, delivery)
        return told + self._taken(partial(self._asides_of, agent), most - len(told), delivery)

    def take_wanted(
        self,
        most: int,
        agent: AgentId = MAIN,
        delivery: Delivery | None = None,
        is_held: Callable[[Place], bool] | None = None,
    ) -> list[str]:
        """The same, of who waits for what a thread holds alone; what it has not yet, waits."""
        waiting = self.wanted.get(agent)
        if not waiting:
            return []
        before = dict(waiting)
        told = wanted.take(waiting, most, is_held or (lambda _place: True))
        if told:
            taken = {place: it for place, it in before.items() if place not in waiting}
            (delivery or Delivery()).takes(partial(self._want_again, agent, taken))
            self._change()
        return told

    def _taken(self, of: Callable[[], deque[str]], most: int, delivery: Delivery) -> list[str]:
        waiting = of()
        taken = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if taken:
            delivery.takes(partial(self._put_back, tuple(taken), of))
            self._change()
        return taken

    def _put_back(self, taken: Sequence[str], of: Callable[[], deque[str]]) -> None:
        """Tell it again, before what has come since; a subagent may be over by then."""
        waiting = of()
        waiting.extendleft([notice for notice in reversed(taken) if notice not in waiting])
        self._change()

    def _want_again(self, agent: AgentId, taken: Waiters) -> None:
        """Of a subagent that is over by then its main thread is told, but of itself."""
        thread = self.thread(agent)
        me = self.session_id, thread
        again = {at: it for at, it in taken.items() if (at.session, at.agent) != me}
        self.wanted[thread] = again | self.wanted.get(thread, {})
        self._change()

    def _leave_out(self, number: int) -> None:
        self.left_out += number
        self._change()

    def _notices(self) -> deque[str]:
        return self.notices

    def _losses_of(self, agent: AgentId) -> deque[str]:
        return self.subagents.get(agent, self.losses)

    def _asides_of(self, agent: AgentId) -> deque[str]:
        return self.asides.setdefault(agent, deque()) if agent in self.subagents else self.notices

    def disown(self, lock: HeldLock) -> bool:
        """It gives ``lock`` back; False where the agent before us did not know of that grant."""
        grant = lock.name, lock.is_pattern, lock.token
        kept = [it for it in self.had if (it.name, it.is_pattern, it.token) != grant]
        is_known = len(kept) < len(self.had)
        self.had = kept
        return is_known

    def owe(self, locks: Iterable[HeldLock]) -> None:
        """It gives ``locks`` back."""
        self.owed += locks
        self._change()

    def owes_no_more(self, locks: Iterable[HeldLock]) -> None:
        """That is done. What is written down of it may be old: nothing is freed twice."""
        over = set(locks)
        self.owed = [lock for lock in self.owed if lock not in over]

    def _change(self) -> None:
        if self.changed:
            self.changed()

    def say_intent(self, intent: str) -> None:
        """Its person says what it is to do: that goes before what its prompts say."""
        self.intent, self.intent_is_said = intent, bool(intent)

    def begin_anew(self) -> None:
        """Its conversation is over and another begins; the process, and what it holds, stay."""
        if not self.intent_is_said:
            self.intent = ""
        self.status = SessionStatus.SESSION_STATUS_IDLE
        self.work.begin_anew()

    def lapse(self) -> None:
        """Its lease is over; it registers again at its next chance."""
        self.lease, self.lapsed = LeaseId(0), self.lease or self.lapsed
        self.had_beside = ()  # none of them is confirmed any more


@lru_cache(512)
def _path(worktree: str) -> Path:
    """Every hook asks: a path is taken apart anew each time that it is made."""
    return Path(worktree)


def new_session_id(host: str, process: Process | None, now: datetime) -> SessionId:
    """``Session_{hostname}_{pid}_{UTC timestamp}``; the time has microseconds."""
    pid = process.pid if process else 0
    return SessionId(f"Session_{host}_{pid}_{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")
