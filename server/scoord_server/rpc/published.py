"""What a session publishes of its work, made safe and bounded before it is stored.

It comes from anywhere: texts become one line, numbers stay in their range, lists end.
"""

from collections.abc import Iterable
from itertools import accumulate

from google.protobuf.duration_pb2 import Duration

from scoord.limits import MOST_AREA, MOST_DEPENDENCIES, MOST_EDITED_FILES
from scoord.names import MOST_PATH_BYTES
from scoord.text import one_line
from scoord.v1.sessions_pb2 import Dependency, Estimate, Session, UpdateRequest, WorkProgress

MOST_AREAS = 20
MOST_EDITED_BYTES = 8 * 1024

_MOST_COUNT = 1_000_000
_MOST_LEFT_MS = 366 * 86_400_000
_SESSION_TEXTS = (
    "alias",
    "host",
    "person",
    "client",
    "client_version",
    "branch",
    "intent",
    "terminal",
)


def checked_session(session: Session) -> Session:
    """Return a copy of what a session registers with, safe to show."""
    checked = Session()
    checked.CopyFrom(session)
    for name in _SESSION_TEXTS:
        setattr(checked, name, one_line(getattr(session, name)))
    checked.worktree = one_line(session.worktree, MOST_PATH_BYTES)
    _bound_counts(checked)
    if checked.HasField("progress"):
        _bound_progress(checked.progress)
    if checked.HasField("estimate"):
        _bound_estimate(checked.estimate)
    checked.areas[:] = _areas(session.areas)
    checked.edited_files[:] = _edited(session.edited_files)
    del checked.depends_on[:]
    checked.depends_on.extend(_dependencies(session.depends_on))
    return checked


def check_update(change: UpdateRequest) -> None:
    """Make what a session publishes safe to show, in its place."""
    for name in ("intent", "branch"):
        if change.HasField(name):
            setattr(change, name, one_line(getattr(change, name)))
    _bound_counts(change)
    if change.HasField("progress"):
        _bound_progress(change.progress)
    if change.HasField("estimate"):
        _bound_estimate(change.estimate)
    if change.HasField("areas"):
        change.areas.names[:] = _areas(change.areas.names)
    if change.HasField("edited_files"):
        change.edited_files.paths[:] = _edited(change.edited_files.paths)
    if change.HasField("depends_on"):
        kept = _dependencies(change.depends_on.on)
        del change.depends_on.on[:]
        change.depends_on.on.extend(kept)


def _bound_counts(values: Session | UpdateRequest) -> None:
    for name in ("edits", "commits"):
        if isinstance(values, Session) or values.HasField(name):
            setattr(values, name, _within(getattr(values, name), _MOST_COUNT))


def _bound_progress(progress: WorkProgress) -> None:
    progress.total = _within(progress.total, _MOST_COUNT)
    progress.done = _within(progress.done, progress.total)
    progress.percent = _within(progress.percent, 100)
    progress.step, progress.source = one_line(progress.step), one_line(progress.source, 20)


def _bound_estimate(estimate: Estimate) -> None:
    for name in ("left", "low", "high"):
        if estimate.HasField(name):
            _bound_duration(getattr(estimate, name))
    estimate.basis = one_line(estimate.basis, 20)
    estimate.samples = _within(estimate.samples, _MOST_COUNT)


def _bound_duration(left: Duration) -> None:
    left.FromMilliseconds(_within(left.ToMilliseconds(), _MOST_LEFT_MS))


def _within(value: int, most: int) -> int:
    return min(max(0, value), most)


def _areas(names: Iterable[str]) -> list[str]:
    return [one_line(name, MOST_AREA) for name in list(names)[:MOST_AREAS] if name]


def _edited(paths: Iterable[str]) -> list[str]:
    """As many as are kept with a session: they are stored again with each of its updates."""
    shown = [one_line(path, MOST_PATH_BYTES) for path in list(paths)[:MOST_EDITED_FILES] if path]
    sizes = accumulate(len(path.encode()) for path in shown)
    return [path for path, size in zip(shown, sizes, strict=True) if size <= MOST_EDITED_BYTES]


def _dependencies(found: Iterable[Dependency]) -> list[Dependency]:
    return [
        Dependency(
            session_id=one_line(each.session_id),
            alias=one_line(each.alias, 60),
            why=one_line(each.why, 20),
            path=one_line(each.path),
        )
        for each in list(found)[:MOST_DEPENDENCIES]
    ]
