"""Tells a session that its work touches what another one is changing, once for each thing.

Only what the watch stream has brought is looked at, so that no hook waits for it.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord.paths import FileIdentity
from scoord.v1.sessions_pb2 import Session
from scoord_agent.activity import AreaOf, ImportsOf
from scoord_agent.neighbours import Neighbours
from scoord_agent.relations import Relations
from scoord_agent.sessions import LocalSession
from scoord_agent.touching import How, Touch, named_in, touched_by
from scoord_agent.wording_others import touching

MOST_TOLD: Final = 3
"""At one hook. What there is no room for is told when it comes up again."""


class Dependents:
    """Looks at prompts and edits, and leaves a notice for the hook that is answered."""

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        relations: Relations,
        area_of: AreaOf,
        imports_of: ImportsOf,
        clock: Clock,
    ) -> None:
        self._neighbours = neighbours
        self._relations = relations
        self._area_of = area_of
        self._imports_of = imports_of
        self._clock = clock

    def prompted(self, session: LocalSession, prompt: str) -> None:
        """A prompt may name what another holds, or where it works."""
        hood = self._neighbours.of(session.home)
        touches = named_in(prompt, hood.locks, hood.sessions.values(), session.session_id)
        self._tell(session, session.home, "", touches)

    def editing(self, session: LocalSession, file: FileIdentity) -> None:
        """An edit goes on; of a file that was looked at already, nothing new is said."""
        name = file.project, file.key
        if name in session.work.looked_at or not file.coordinated:
            return
        session.work.looked_at[name] = None
        hood, own = self._neighbours.of(file.project), session.session_id
        area = self._area_of(file)
        touches = touched_by(file.shown, area, hood.paths, hood.in_area(area), own)
        imported = self._imported(session, file, self._imports_of(file))
        self._tell(session, file.project, file.shown, (*touches, *imported))

    def imports(self, session: LocalSession, file: FileIdentity) -> None:
        """What a file imports is known now."""
        paths = session.work.imports.get((file.project, file.key), ())
        self._tell(session, file.project, file.shown, self._imported(session, file, paths))

    def _imported(
        self, session: LocalSession, file: FileIdentity, paths: Iterable[str]
    ) -> list[Touch]:
        return [
            Touch(holder.session_id, How.IMPORTS, path)
            for path in paths
            for holder in self._relations.imports_held(session, file.project, path)
        ]

    def _tell(
        self, session: LocalSession, project: ProjectId, path: str, touches: Iterable[Touch]
    ) -> None:
        room = MOST_TOLD
        for (how, thing), group in groupby(sorted(touches, key=_by_weight), key=_thing):
            news = [t.session for t in group if (t.session, thing) not in session.work.told]
            others = list(filter(None, (self._other(project, name) for name in news)))
            if not others or not room:
                continue
            for other in others:
                session.work.is_told(other.session_id, (thing, *other.areas))
            session.tell(touching(how, thing, path, others))
            room -= 1

    def _other(self, project: ProjectId, session_id: str) -> Session | None:
        return self._neighbours.of(project).session_at(session_id, self._clock.now())


def _thing(touch: Touch) -> tuple[How, str]:
    return touch.how, touch.thing


def _by_weight(touch: Touch) -> tuple[int, str]:
    """Files before areas: they are nearer."""
    return tuple(How).index(touch.how), touch.thing
