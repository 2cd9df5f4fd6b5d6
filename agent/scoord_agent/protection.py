"""Under which grant each edit was allowed, to be compared once it has happened.

Between the two a lock may be broken or run out, and another be granted the path.
Then the edit was made without protection, and whoever has the path is to know.

What was heard when it had happened may be seconds old. So it is remembered until the stream
must have told of an end before it; and where that is silent, it is written down, at once or with
the next beat, and the coordinator is asked, which knows what came first.
"""

from collections.abc import Callable

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.happenings import Kind
from scoord.ids import FencingToken, ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord.v1.events_pb2 import WatchResponse
from scoord_agent.held import HeldLocks
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.remembered import Allowed, Edit, Relied
from scoord_agent.reporting import Reporting
from scoord_agent.sessions import Sessions

_WITHOUT = FencingToken(0)
"""Let through without a lock, which was said or written down when it was."""


FRESH_S = 5.0
"""A stream that was heard so lately is not silent: it tells something every 3 s at least."""

LATE_S = 25.0
"""How old what a stream tells may be: pings break off one that is held up for longer."""

_Lock = tuple[str, int]
"""The key of a path, and the token of a grant of it."""


class Protection:
    """What is known of edits from before they happen until no end can have come before them."""

    def __init__(
        self,
        *,
        held: HeldLocks,
        neighbours: Neighbours,
        sessions: Sessions,
        reporting: Reporting,
        clock: Clock,
    ) -> None:
        self._held = held
        self._neighbours = neighbours
        self._sessions = sessions
        self._reporting = reporting
        self._clock = clock

    def allow(
        self, session: LocalSession, file: FileIdentity, who: Claimant, *, asked: bool
    ) -> None:
        """An edit is about to happen; without having ``asked``, by no grant that is known."""
        right = self._held.right(file.project, file.key, who) if asked else None
        allowed = Allowed(right.token if right else _WITHOUT, self._clock.now())
        session.remembered.allowed[_edit(file, who)] = allowed

    def edited(self, session: LocalSession, file: FileIdentity, who: Claimant) -> bool:
        """An edit has happened: report it, unless its lock stood all the while.

        Whether something was noted that is to be reported.
        """
        now, edit = self._clock.now(), _edit(file, who)
        allowed = session.remembered.allowed.pop(edit, None)
        token = allowed.token if allowed else None
        if right := self._standing(file, who, token, now):
            return self._rely(session, edit, Relied(file.shown, who, right, now))
        since = self._lost_since(file, who, token)
        if since is None:
            return False
        self._take_place(session, edit, since)
        self._reporting.note(Kind.UNPROTECTED, file.project, file.shown, who, since)
        self._reporting.begin()
        return True

    def _rely(self, session: LocalSession, edit: Edit, relied: Relied) -> bool:
        is_noted = self._take_place(session, edit, relied.token)
        if self._is_silent(edit[0], relied.at):
            self._note(edit[0], relied)
            return True
        session.remembered.relied[edit] = relied
        return is_noted

    def _take_place(self, session: LocalSession, edit: Edit, token: int) -> bool:
        """Remember no more what was edited before, by the same thread: of another grant is asked.

        Of the same one, whatever ended it before that edit did so before this one, too.
        """
        before = session.remembered.relied.pop(edit, None)
        if before is None or before.token == token:
            return False
        self._note(edit[0], before)
        return True

    def look(self) -> None:
        """Write down what no stream tells of any more: this agent may not be there when it does."""
        for session in self._sessions:
            self.look_at(session)

    def look_at(self, session: LocalSession) -> None:
        """The same of one session, which may end now.

        It is remembered no more then: what the stream tells once it is back is asked for already.
        """
        now, known = self._clock.now(), session.remembered.relied
        for edit, relied in tuple(known.items()):
            if self._is_silent(edit[0], now):
                self._note(edit[0], relied)
                known.pop(edit, None)

    def _is_silent(self, project: ProjectId, now: float) -> bool:
        followed_at = self._neighbours.of(project).followed_at
        return followed_at is None or now - followed_at > FRESH_S

    def heard(self, project: ProjectId, response: WatchResponse) -> None:
        """One step of a project's stream: which edits it shows to be without protection.

        How long ago what it tells happened, it does not say: the coordinator is asked.
        """
        is_over, late_s = _ends(response), self._clock.now() - LATE_S
        is_snapshot = response.HasField("snapshot")
        for session in self._sessions:
            known = session.remembered.relied
            for edit, relied in [(at, one) for at, one in known.items() if at[0] == project]:
                lock = edit[1], relied.token
                if over := is_over(lock):
                    self._note(project, relied)
                # A snapshot may be as old as its replica's view.
                is_old = relied.at <= late_s and not is_snapshot
                # What was given back stood until then, and so when the edit happened.
                if over or is_old or _is_given_back(response, lock):
                    known.pop(edit, None)

    def _note(self, project: ProjectId, relied: Relied) -> None:
        note = self._reporting.note
        note(Kind.UNPROTECTED, project, relied.shown, relied.who, relied.token, relied_at=relied.at)
        self._reporting.begin()

    def _lost_since(
        self, file: FileIdentity, who: Claimant, token: FencingToken | None
    ) -> int | None:
        """After which revision a grant to others would have met it; None if it had no lock."""
        if token == _WITHOUT:
            return None
        if token is not None:
            return token
        # Nobody asked before it: hooks that were installed midway, or do not see this tool.
        taken = self._taken(file, who)
        return taken - 1 if taken else None

    def _standing(
        self, file: FileIdentity, who: Claimant, token: FencingToken | None, now: float
    ) -> FencingToken | None:
        """The grant that it was allowed by, if that stands as far as was heard.

        Nothing may have been heard, as of a project that is new here: that shows no end either.
        """
        right = self._held.right(file.project, file.key, who)
        if right is None or not self._held.use(file.project, file.key, who, now):
            return None
        return right.token if token in (None, right.token) else None

    def _taken(self, file: FileIdentity, who: Claimant) -> int | None:
        """The token of another that has it, as last heard or as granted here since."""
        if heard := self._neighbours.of(file.project).in_the_way(who, file.key):
            return heard.token
        here = self._held.at(file.project, file.key)
        return next((lock.token for lock in here if lock.claimant.excludes(who)), None)


def _ends(response: WatchResponse) -> Callable[[_Lock], bool]:
    """Which grants of paths a step of a stream shows to be over, but by their holders."""
    match response.WhichOneof("event"):
        case "lock_gone":
            gone, how = response.lock_gone.lock, response.lock_gone.how
            over = (path_key(gone.path), gone.token)
            is_own = gone.is_pattern or how == Kind.RELEASED
            return lambda lock: lock == over and not is_own
        case "snapshot":
            locks = response.snapshot.locks
            standing = {(path_key(it.path), it.token) for it in locks if not it.is_pattern}
            return lambda lock: lock[1] <= response.revision and lock not in standing
        case _:
            return lambda _lock: False


def _is_given_back(response: WatchResponse, lock: _Lock) -> bool:
    """Whether a step of a stream shows that its holder gave it back."""
    if not response.HasField("lock_gone") or response.lock_gone.how != Kind.RELEASED:
        return False
    gone = response.lock_gone.lock
    return (path_key(gone.path), gone.token) == lock and not gone.is_pattern


def _edit(file: FileIdentity, who: Claimant) -> Edit:
    """A file of two worktrees is edited in each; on which branch may change meanwhile."""
    root = file.worktree.root if file.worktree else None
    return file.project, file.key, who.agent, root
