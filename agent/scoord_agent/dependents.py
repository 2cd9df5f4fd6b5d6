"""Tells a session that its work touches what another one is changing, once for each hold.

Only what the watch stream has brought is looked at, and what is known of the repository,
so that no hook waits for it. What an edited file imports is looked up here alone and kept
with the session's work: as the edit goes on, and again when the repository is known anew.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent.activity import AreaOf
from scoord_agent.estimates import Completion
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.relations import Relations
from scoord_agent.sessions import Sessions
from scoord_agent.touching import How, Touch, belongings, in_area, named_in
from scoord_agent.wording_others import touching
from scoord_agent.work import Importer

ImportsOf = Callable[[FileIdentity], Sequence[str]]
"""The paths in its project that a file imports, as far as known. No I/O: edits ask."""

BelongingTo = Callable[[FileIdentity], Sequence[str]]
"""The keys of a file's tests, or of a test's sources, as far as known. No I/O: edits ask."""

MeantBy = Callable[[LocalSession, str], Sequence[FileIdentity]]
"""The files of a session's repository that a prompt names, as far as known. No I/O either."""

FreeIn = Callable[[ProjectId, Lock], Completion | None]
"""When a lock of a project will be free, as far as known. No I/O: prompts ask."""

_Tokens = dict[tuple[str, str], list[int]]
"""Those of all grants by which a session has a thing, by both."""

MOST_TOLD: Final = 3
"""At one hook. What there is no room for is told when it comes up again."""

_MOST_IMPORTS: Final = 200


class Dependents:
    """Looks at prompts, edits and the stream, and leaves notices for the next hooks."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        neighbours: Neighbours,
        relations: Relations,
        area_of: AreaOf,
        imports_of: ImportsOf,
        belonging_to: BelongingTo,
        meant_by: MeantBy,
        free_in: FreeIn,
        clock: Clock,
        changed: Callable[[LocalSession], None],
    ) -> None:
        """``changed`` is told of a session that may depend on others than before."""
        self._sessions = sessions
        self._neighbours = neighbours
        self._relations = relations
        self._area_of = area_of
        self._imports_of = imports_of
        self._belonging_to = belonging_to
        self._meant_by = meant_by
        self._free_in = free_in
        self._clock = clock
        self._changed = changed

    def prompted(self, session: LocalSession, prompt: str) -> None:
        """A prompt may name what another holds, or where it works, or what depends on that."""
        hood = self._neighbours.of(session.home)
        touches = named_in(prompt, hood.locks, hood.sessions.values(), session.session_id)
        for file in self._meant_by(session, prompt):
            if file.project == session.home:
                touches += self._foreseen(session, file)
        self._tell(session, session.home, touches)

    def editing(self, session: LocalSession, file: FileIdentity) -> None:
        """An edit goes on; of a file that was looked at already, its area is no news."""
        if not file.coordinated:
            return
        beside = self._beside(session, file)
        imported = self._imported(session, self._look_up(session, file))
        self._tell(session, file.project, (*beside, *imported))

    def edited(self, session: LocalSession, file: FileIdentity) -> None:
        """An edit has happened; of one that nobody was asked about before, this is the first."""
        if (file.project, file.key) not in session.work.looked_at:
            self.editing(session, file)

    def learned(self, root: Path) -> None:
        """A repository is known anew, and so what its files import, and what belongs to them."""
        for session in self._sessions:
            for before in tuple(session.work.imports.values()):
                tree = before.file.worktree
                if tree and tree.root == root:
                    self._look_up_belonging(session, before.file)
                    self._tell_imports(session, self._look_up(session, before.file))

    def heard(self, project: ProjectId, response: WatchResponse) -> None:
        """One step of a project's stream: a lock that comes or goes, a session that is over."""
        match response.WhichOneof("event"):
            case "lock":
                self._comes(project, path_key(response.lock.path))
            case "lock_gone":
                self._goes(project, path_key(response.lock_gone.lock.path))
            case "session_gone":
                self._ends(response.session_gone.session_id)
            case "snapshot":
                self._look_again(project)

    def _comes(self, project: ProjectId, key: str) -> None:
        for session in self._concerned(project, key):
            self._changed(session)
            for importer in session.work.importers(project, key):
                self._tell_imports(session, importer)

    def _goes(self, project: ProjectId, key: str) -> None:
        for session in self._concerned(project, key):
            self._changed(session)

    def _ends(self, session_id: str) -> None:
        for session in self._sessions:
            if session_id in session.work.depends:
                self._changed(session)

    def _look_again(self, project: ProjectId) -> None:
        for session in self._sessions:
            work = session.work
            if project in session.aliases and (work.imports or work.waits or work.depends):
                self._changed(session)
                for importer in tuple(session.work.imports.values()):
                    self._tell_imports(session, importer)

    def _concerned(self, project: ProjectId, key: str) -> Iterator[LocalSession]:
        """The sessions that wait for a path, or import it."""
        for session in self._sessions:
            if (project, key) in session.work.waits or session.work.importers(project, key):
                yield session

    def _beside(self, session: LocalSession, file: FileIdentity) -> Sequence[Touch]:
        """What an edit of a file touches by its name, and the first one by its area."""
        name, looked_at = (file.project, file.key), session.work.looked_at
        is_first = name not in looked_at
        keys = looked_at[name] = tuple(self._belonging_to(file)) if is_first else looked_at[name]
        belonging = self._belonging(session, file, keys)
        return (*belonging, *self._in_area(session, file)) if is_first else belonging

    def _foreseen(self, session: LocalSession, file: FileIdentity) -> Sequence[Touch]:
        """What an edit of a file would touch."""
        return (
            *self._belonging(session, file, self._belonging_to(file)),
            *self._imported(session, self._importer(file)),
            *self._in_area(session, file),
        )

    def _belonging(
        self, session: LocalSession, file: FileIdentity, keys: Iterable[str]
    ) -> Sequence[Touch]:
        held = self._neighbours.of(file.project).paths
        return belongings(file.shown, keys, held, session.session_id)

    def _in_area(self, session: LocalSession, file: FileIdentity) -> Sequence[Touch]:
        area, hood = self._area_of(file), self._neighbours.of(file.project)
        return in_area(area, file.shown, hood.in_area(area), session.session_id)

    def _importer(self, file: FileIdentity) -> Importer:
        """What a file imports, as far as that is known by now."""
        paths = self._imports_of(file)[:_MOST_IMPORTS]
        return Importer(file, {path_key(path): path for path in paths})

    def _look_up_belonging(self, session: LocalSession, file: FileIdentity) -> None:
        """Its next edit tells of what is held of that."""
        name, looked_at = (file.project, file.key), session.work.looked_at
        if name in looked_at:
            looked_at[name] = tuple(self._belonging_to(file))

    def _look_up(self, session: LocalSession, file: FileIdentity) -> Importer:
        """The same, kept with the session's work."""
        found = self._importer(file)
        before = session.work.imports.get((file.project, file.key))
        session.work.imports[file.project, file.key] = found
        if found.paths != (before.paths if before else {}):
            self._changed(session)
        return found

    def _imported(self, session: LocalSession, importer: Importer) -> list[Touch]:
        return [
            Touch(lock.holder.session_id, How.IMPORTS, path, importer.file.shown, lock)
            for path in importer.paths.values()
            for lock in self._relations.held(session, importer.file.project, path)
        ]

    def _tell_imports(self, session: LocalSession, importer: Importer) -> None:
        """Between two hooks; of files of a conversation that is over, nothing is told."""
        file = importer.file
        is_current = (file.project, file.key) in session.work.looked_at
        if is_current and len(session.notices) < MOST_TOLD:
            self._tell(session, file.project, self._imported(session, importer))

    def _tell(self, session: LocalSession, project: ProjectId, touches: Iterable[Touch]) -> None:
        """Of each thing once, of the nearest first, as far as there is room."""
        room, ordered = MOST_TOLD, sorted(touches, key=_by_weight)
        tokens = _tokens(ordered)
        for _, group in groupby(ordered, key=_by_weight):
            # All are looked at: newer grants of what it knows are known from then on.
            news = self._news(session, project, group, tokens)
            if news and room:
                self._tell_of(session, project, news, tokens)
                room -= 1

    def _news(
        self, session: LocalSession, project: ProjectId, touches: Iterable[Touch], tokens: _Tokens
    ) -> list[tuple[Touch, Session]]:
        """What it was not told of, each with whose work it touches."""
        knows = session.work.knows_and_notes
        new = [touch for touch in touches if not knows((project, *touch.on), tokens[touch.on])]
        return [(t, other) for t in new if (other := self._other(project, t.session))]

    def _tell_of(
        self,
        session: LocalSession,
        project: ProjectId,
        news: Sequence[tuple[Touch, Session]],
        tokens: _Tokens,
    ) -> None:
        """A session may be touched from two files of a prompt, or by two of its grants."""
        for touch, other in news:
            session.work.note_told((project, *touch.on), tokens[touch.on], other.areas)
        first, _ = news[0]
        free = self._free(project, first.lock) if first.lock else None
        others = {other.session_id: other for _, other in news}
        session.tell(touching(first, tuple(others.values()), free))

    def _free(self, project: ProjectId, lock: Lock) -> Completion | None:
        hood = self._neighbours.of(project)
        return self._free_in(project, hood.lock_at(lock, self._clock.now()))

    def _other(self, project: ProjectId, session_id: str) -> Session | None:
        return self._neighbours.of(project).session_at(session_id, self._clock.now())


def _tokens(touches: Iterable[Touch]) -> _Tokens:
    found: _Tokens = {}
    for touch in touches:
        found.setdefault(touch.on, []).append(touch.token)
    return found


def _by_weight(touch: Touch) -> tuple[int, str]:
    """Files before areas: they are nearer."""
    return tuple(How).index(touch.how), touch.thing
