"""The states that a session publishes: each change of one is a line of history.

What it counts (edits, commits, which files), when it will be done and when it was last
active are no states: they change with every edit or beat, and the log of its work has what
they came to. Nor is it on whom it depends by the locks of others: these come and go with
lines of their own, and every session that imports a file would have one more for each.
"""

from collections.abc import Callable, Iterator
from typing import Final

from scoord.happenings import Kind
from scoord.ids import RequestId
from scoord.sessions import status_name
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder
from scoord.v1.sessions_pb2 import Dependency, Session
from scoord_server.model.history import Journal, holder_of
from scoord_server.store.port import Put

NONE: Final = "none"
"""What a line says of a state that is gone."""


def plan_lines(
    before: Session, now: Session, request: RequestId, journal: Journal
) -> tuple[Put, ...]:
    """Say which states of a session are not as they were ``before``, and how each is now."""
    whom = _whom(before, now)
    return tuple(
        journal.line(
            now.project,
            kind,
            holder_of(now),
            request,
            reason=one_line(said(now)),
            others=whom if kind == Kind.DEPENDS else (),
        )
        for kind, said in _SAID.items()
        if said(before) != said(now)
    )


def _intent(session: Session) -> str:
    return session.intent or NONE


def _branch(session: Session) -> str:
    return session.branch or NONE


def _status(session: Session) -> str:
    return status_name(session) or "idle"


def _progress(session: Session) -> str:
    if not session.HasField("progress"):
        return NONE
    far = session.progress
    done = f"{far.done} of {far.total} steps" if far.total else f"{far.percent} %"
    return f"{done}: {far.step}" if far.step else done


def _areas(session: Session) -> str:
    """In one order: which of them it worked in last says nothing new."""
    return ", ".join(sorted(session.areas)) or NONE


def _depends(session: Session) -> str:
    return ", ".join(sorted({on.alias or on.session_id for on in _said(session)})) or NONE


def _said(session: Session) -> Iterator[Dependency]:
    """On whom it depends because a person said so."""
    return (on for on in session.depends_on if on.why == "said")


_SAID: Final[dict[Kind, Callable[[Session], str]]] = {
    Kind.INTENT: _intent,
    Kind.BRANCH: _branch,
    Kind.STATUS: _status,
    Kind.PROGRESS: _progress,
    Kind.AREAS: _areas,
    Kind.DEPENDS: _depends,
}
"""How a state reads, by the kind of its line. What reads the same has not changed."""


def _whom(before: Session, now: Session) -> list[Holder]:
    """On whom it is said to depend, or was: the history of each of these has the line."""
    return [
        Holder(session_id=on.session_id, alias=on.alias)
        for session in (now, before)
        for on in _said(session)
    ]
