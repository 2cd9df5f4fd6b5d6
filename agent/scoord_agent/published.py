"""What a session publishes of its work, as the contract's messages. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scoord.ids import ProjectId
from scoord.limits import MOST_EDITED_FILES
from scoord.text import one_line
from scoord.v1.sessions_pb2 import (
    Areas,
    Dependencies,
    Dependency,
    EditedFiles,
    Estimate,
    Session,
    SessionStatus,
    UpdateRequest,
    WorkProgress,
)
from scoord_agent.coordinator import new_request_id, seconds
from scoord_agent.local_session import LocalSession
from scoord_agent.work import TASKS, On, Work

MOST_STEP: Final = 120

_EXACT: Final = 0.1
"""Part of what is left by which an estimate may be wrong before it is said anew."""


def status_of(session: LocalSession) -> "SessionStatus.ValueType":
    """What others see it do: one that works and has a place in a queue waits."""
    resting = session.status == SessionStatus.SESSION_STATUS_IDLE
    return (
        SessionStatus.SESSION_STATUS_WAITING
        if session.work.waits and not resting
        else (session.status)
    )


def add_work(
    session: Session, work: Work, depends: Iterable[Dependency], now: float, *, share_steps: bool
) -> None:
    """Add to the message of a session what is known of its work."""
    if progress := _progress(work, share_steps=share_steps):
        session.progress.CopyFrom(progress)
    estimate = _estimate(work, now)
    if estimate.HasField("left"):
        session.estimate.CopyFrom(estimate)
    session.areas[:] = _areas(work)
    session.edited_files[:] = _edited(work, session.project)
    session.depends_on.extend(depends)
    session.edits, session.commits = work.edits, work.commits


def update_of(
    session: LocalSession,
    project: ProjectId,
    depends: Iterable[Dependency],
    now: float,
    *,
    share_steps: bool,
    passive: bool = False,
) -> UpdateRequest:
    """All that a session publishes, as it is now; ``passive`` where it has done nothing since."""
    work = session.work
    return UpdateRequest(
        request_id=new_request_id(),
        project=project,
        session_id=session.session_id,
        intent=session.intent,
        branch=session.branch,
        status=status_of(session),
        progress=_progress(work, share_steps=share_steps) or WorkProgress(),
        estimate=_estimate(work, now),
        areas=Areas(names=_areas(work)),
        depends_on=Dependencies(on=depends),
        edits=work.edits,
        commits=work.commits,
        edited_files=EditedFiles(paths=_edited(work, project)),
        passive=passive,
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What a session has published, and when."""

    update: UpdateRequest
    at: float
    acted_at: float
    """When it had last done something by then."""

    def covers(self, other: "Said") -> bool:
        """Whether all that a later one says is known from this one."""
        counted_down_s = max(0.0, _left_s(self.update) - (other.at - self.at))
        now_s = _left_s(other.update)
        is_as_expected = abs(now_s - counted_down_s) <= max(1.0, _EXACT * now_s)
        return is_as_expected and _lasting(self.update) == _lasting(other.update)


def _left_s(update: UpdateRequest) -> float:
    return update.estimate.left.ToMilliseconds() / 1000


def _lasting(update: UpdateRequest) -> UpdateRequest:
    """What an update says, but for its own id and occasion, and times that all count down."""
    kept = UpdateRequest()
    kept.CopyFrom(update)
    for own in ("request_id", "passive"):
        kept.ClearField(own)
    for time in ("left", "low", "high"):
        kept.estimate.ClearField(time)
    return kept


def dependency(on: On, why: str) -> Dependency:
    """A dependency, as others see it."""
    return Dependency(session_id=on.session, alias=on.alias, why=why, path=on.path)


def _progress(work: Work, *, share_steps: bool) -> WorkProgress | None:
    """How far it is. A model's steps may repeat its prompt, so they are as private as that."""
    progress = work.progress
    if progress is None:
        return None
    shared = share_steps or progress.source != TASKS
    return WorkProgress(
        done=progress.done,
        total=progress.total,
        percent=progress.percent,
        step=one_line(progress.step, MOST_STEP) if shared else "",
        source=progress.source,
    )


def _estimate(work: Work, now: float) -> Estimate:
    """When it will be done; without "left" when that cannot be told."""
    left = work.left(now)
    if left is None:
        return Estimate()
    return Estimate(
        left=seconds(left.middle_s),
        low=seconds(left.low_s),
        high=seconds(left.high_s),
        basis="progress",
        samples=left.samples,
    )


def _areas(work: Work) -> list[str]:
    return list(reversed(work.areas))


def _edited(work: Work, project: str) -> list[str]:
    """Its latest files there; sorted, so that no order alone is news."""
    there = [shown for (in_project, _), shown in work.edited.items() if in_project == project]
    return sorted(there[-MOST_EDITED_FILES:])
