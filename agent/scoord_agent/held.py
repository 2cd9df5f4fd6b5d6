"""The locks this machine's sessions hold, and until when that may be believed.

A session believes in its locks for D seconds after *sending* the last renewal
that succeeded, on a clock that counts suspend. The store keeps them for T > D,
so a holder that cannot renew stops believing before anyone else is let in.
Clock skew does not matter; clock rates may differ by up to T/D.

A renewal says that the session lives, not that each of its locks stands: one may
have been broken. Only the project's stream tells, so that has to be heard as well.

What was lost with its lease is kept apart: it is to be asked for again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.patterns import matches

QUIET_S = 10.0
"""How much longer than a renewal the stream is believed in. It tells something every 3 s
at least; one that broke off with the renewals must not end belief before they do."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """One grant, as its holder knows it."""

    project: ProjectId
    key: str
    shown: str
    session: SessionId
    agent: AgentId
    token: FencingToken
    used: bool = False
    """Whether it was used since its use was last published."""
    shared: bool = False
    branch: str = ""
    """The branch it is confined to; empty when it holds on every branch."""
    is_pattern: bool = False
    commit: str = ""
    """What was checked out when it was granted, or last used."""
    worktree: str = ""
    """Root of the worktree it was asked for in; empty when this agent did not ask for it."""
    lasts_s: float = 0.0
    """How long it was to last; 0 is as long as its session."""

    @property
    def claimant(self) -> Claimant:
        """Who has it, and how far."""
        return Claimant(self.session, self.agent, shared=self.shared, branch=self.branch)

    def granted_anew(self, token: FencingToken) -> "HeldLock":
        """The same, as another grant."""
        return replace(self, token=token, used=False)

    def is_before(self, other: "HeldLock") -> bool:
        """Whether ``other`` came after it on the path.

        A subagent that takes over from its main thread does so under the same token.
        """
        if self.token == other.token:
            return (self.session, self.agent) != (other.session, other.agent)
        return self.token < other.token


_Path = tuple[ProjectId, str, bool]
_Who = tuple[SessionId, AgentId]


class HeldLocks:
    """Locks by path and holder; deadlines by session."""

    def __init__(self, belief_s: float) -> None:
        self._belief_s = belief_s
        self._paths: dict[_Path, dict[_Who, HeldLock]] = {}
        self._patterns: dict[_Path, None] = {}
        """Those of the paths that are patterns."""
        self._renewed_at: dict[SessionId, float] = {}
        self._overtaken: dict[tuple[_Path, _Who, FencingToken], HeldLock] = {}
        """Grants that are over, as a later one on the same path shows, before anything
        told of their end: their sessions are still to hear of it."""
        self._lost: dict[HeldLock, float] = {}
        """With when its session's lease was last renewed."""

    def renewed(self, session: SessionId, sent_at: float) -> None:
        """A renewal sent at ``sent_at`` succeeded. An older answer changes nothing."""
        self._renewed_at[session] = max(sent_at, self._renewed_at.get(session, sent_at))

    def believes(self, session: SessionId, now: float) -> bool:
        """Whether the session's locks may be believed in at ``now``."""
        renewed_at = self._renewed_at.get(session)
        return renewed_at is not None and now < renewed_at + self._belief_s

    def is_followed(self, followed_at: float | None, now: float) -> bool:
        """Whether a stream that was last heard then would have told of a broken lock."""
        return followed_at is not None and now < followed_at + self._belief_s + QUIET_S

    def put(self, lock: HeldLock) -> None:
        """Remember a grant. Others that it cannot stand beside have ended, or were taken over."""
        same = self.find_same(lock)
        if same and lock.shared and not same.shared:
            # Who asks to share what it has alone is answered with what it has.
            lock = replace(lock, shared=False)
        path = self._paths.setdefault(_path(lock), {})
        for who, other in tuple(path.items()):
            replaced = who == (lock.session, lock.agent) or other.claimant.excludes(lock.claimant)
            if other.token == lock.token or replaced:
                del path[who]
            if other.token != lock.token and replaced:
                self._overtaken[_grant(other)] = other
        path[lock.session, lock.agent] = lock
        if lock.is_pattern:
            self._patterns[_path(lock)] = None
        else:
            self._use_patterns(lock)

    def use(self, project: ProjectId, key: str, who: Claimant, now: float) -> bool:
        """Whether exactly this holder may write it and believe so; then it counts as used."""
        lock = self.right(project, key, who)
        if lock is None or not self.believes(who.session, now):
            return False
        if not lock.used:
            self._replace(replace(lock, used=True))
            self._use_patterns(lock)
        return True

    def right(self, project: ProjectId, key: str, who: Claimant) -> HeldLock | None:
        """The grant by which exactly this holder may write a path, while its lease stands."""
        lock = self.find(project, key, who.session, who.agent)
        if lock is None or lock.shared or lock.branch not in ("", who.branch):
            return None
        return lock

    def renew_commit(self, lock: HeldLock, commit: str) -> None:
        """It is used again, after a commit: that one does not end it any more."""
        now = self.find_same(lock)
        if now is not None and now.commit != commit:
            self._replace(replace(now, commit=commit))

    def find(
        self,
        project: ProjectId,
        key: str,
        session: SessionId,
        agent: AgentId,
        *,
        is_pattern: bool = False,
    ) -> HeldLock | None:
        """The grant of a path, or of a pattern, that this holder has."""
        return self._paths.get((project, key, is_pattern), {}).get((session, agent))

    def find_same(self, lock: HeldLock) -> HeldLock | None:
        """The grant that ``lock`` was seen as, as it is now; None when it is not held any more."""
        found = self._paths.get(_path(lock), {}).get((lock.session, lock.agent))
        return found if found and found.token == lock.token else None

    def at(self, project: ProjectId, key: str) -> list[HeldLock]:
        """The grants of a path, whoever of this machine has them."""
        return list(self._paths.get((project, key, False), {}).values())

    def grant(
        self, project: ProjectId, key: str, token: FencingToken, *, is_pattern: bool = False
    ) -> HeldLock | None:
        """The grant that ``token`` names, whoever of this machine has it."""
        place = (project, key, is_pattern)
        over = (lock for lock in self._overtaken.values() if _path(lock) == place)
        found = (*self._paths.get(place, {}).values(), *over)
        return next((lock for lock in found if lock.token == token), None)

    def of(self, session: SessionId) -> list[HeldLock]:
        """All grants of a session, its subagents' too."""
        return [lock for lock in self if lock.session == session]

    def drop(self, lock: HeldLock) -> HeldLock | None:
        """Forget one grant; None when exactly that one was not held."""
        found = self.find_same(lock)
        if found is None:
            return self._overtaken.pop(_grant(lock), None)
        path = self._paths[_path(lock)]
        del path[lock.session, lock.agent]
        if not path:
            del self._paths[_path(lock)]
            self._patterns.pop(_path(lock), None)
        return found

    def forget(self, session: SessionId) -> None:
        """Forget everything of a session, which has ended."""
        self.lapse(session)
        for lock in self.lost(session):
            self.settled(lock)

    def lapse(self, session: SessionId) -> None:
        """The lease of a session is over, and with it all it held is lost."""
        overtaken = [lock for lock in self._overtaken.values() if lock.session == session]
        for lock in (*overtaken, *self.of(session)):
            self.lose(lock)
        self._renewed_at.pop(session, None)

    def overtaken(self) -> list[HeldLock]:
        """The grants that are over, and whose sessions have not heard of it."""
        return list(self._overtaken.values())

    def lose(self, lock: HeldLock) -> None:
        """It is not held any more, and is to be asked for again, unless its holder has more."""
        found = self.drop(lock)
        if found is not None and not self.has_more(found):
            self._lost[found] = self._renewed_at.get(found.session, 0.0)

    def missing(self, lock: HeldLock, stood_at: float) -> None:
        """The agent before us knew that it stood then, and nobody confirms it: so it is lost."""
        stands = self.grant(lock.project, lock.key, lock.token, is_pattern=lock.is_pattern)
        # Under the same token a subagent may have taken it over meanwhile.
        if stands is None and not self.has_more(lock):
            self._lost[lock] = stood_at

    def stood_at(self, session: SessionId) -> float:
        """When all that a session has or has lost was last known to stand; 0 when it never was."""
        lost = (at for lock, at in self._lost.items() if lock.session == session)
        return min((self._renewed_at.get(session, 0.0), *lost))

    def known(self, session: SessionId) -> list[HeldLock]:
        """What a session has, or has lost without knowing yet to whom."""
        return [*self.of(session), *self.lost(session)]

    def has_more(self, lock: HeldLock) -> bool:
        """Whether a later grant of the path is its holder's: who shared it may write it now.

        Who could write it already, as far as now, had it taken away in between.
        """
        now = self.find(
            lock.project, lock.key, lock.session, lock.agent, is_pattern=lock.is_pattern
        )
        if now is None or lock.token >= now.token or lock.shared < now.shared:
            return False
        return lock.shared or lock.branch != now.branch

    def lost(self, session: SessionId) -> list[HeldLock]:
        """What a session has lost, and nobody knows yet what became of."""
        return [lock for lock in self._lost if lock.session == session]

    def away_s(self, lock: HeldLock, now: float) -> float:
        """How long ago the lease of a lost lock was known to stand."""
        return now - self._lost.get(lock, now)

    def settled(self, lock: HeldLock) -> bool:
        """It is known what became of a lost lock; False when it was known before."""
        known = lock not in self._lost
        self._lost.pop(lock, None)
        return not known

    def used(self, session: SessionId) -> list[HeldLock]:
        """The grants used since their use was last published."""
        return [lock for lock in self.of(session) if lock.used]

    def published(self, locks: Iterable[HeldLock]) -> None:
        """The use of these grants is published; those that are over are left alone."""
        for lock in locks:
            if self._paths.get(_path(lock), {}).get((lock.session, lock.agent)) == lock:
                self._replace(replace(lock, used=False))

    def __iter__(self) -> Iterator[HeldLock]:
        return iter([lock for path in self._paths.values() for lock in path.values()])

    def _use_patterns(self, file: HeldLock) -> None:
        """Whoever works on a file uses the patterns of its session that it is in."""
        for at in self._patterns:
            for lock in tuple(self._paths[at].values()):
                is_own = (lock.project, lock.session) == (file.project, file.session)
                if is_own and not lock.used and matches(lock.key, file.key):
                    self._replace(replace(lock, used=True))

    def _replace(self, lock: HeldLock) -> None:
        self._paths[_path(lock)][lock.session, lock.agent] = lock


def _path(lock: HeldLock) -> _Path:
    return lock.project, lock.key, lock.is_pattern


def _grant(lock: HeldLock) -> tuple[_Path, _Who, FencingToken]:
    return _path(lock), (lock.session, lock.agent), lock.token
