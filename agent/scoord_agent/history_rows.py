"""What the agent tells of the past, as plain dictionaries. Pure."""

from scoord.v1.history_pb2 import HistoryEvent, WorkLog
from scoord.v1.sessions_pb2 import Session, SweepResponse
from scoord_agent.rows import IsLocal, Row, holder_row, lock_row, seconds_of


def event_row(event: HistoryEvent, is_local: IsLocal) -> Row:
    """One line of history."""
    return {
        "event_id": event.event_id,
        "revision": event.revision,
        "project": event.project,
        "kind": event.kind,
        **holder_row(event.session),
        "local": is_local(event.session.session_id),
        "paths": list(event.paths),
        "tokens": list(event.tokens),
        "by": event.by,
        "reason": event.reason,
        "others": [holder_row(other) for other in event.others],
        "ago_s": seconds_of(event.ago),
        "at_unix_ms": event.at_unix_ms,
        "request_id": event.request_id,
    }


def log_row(log: WorkLog) -> Row:
    """The log of one finished session."""
    session = log.session
    return {
        **_who(session),
        "client": session.client,
        "worktree": session.worktree,
        "how": log.how,
        "why": log.why,
        "lasted_s": seconds_of(log.lasted),
        "ended_ago_s": seconds_of(log.ended_ago),
        "summary": _summary(session),
        "edits": session.edits,
        "files": list(session.edited_files),
        "commits": session.commits,
        "refusals": log.refusals,
        "waited_s": seconds_of(log.waited),
        "holds": [
            {"path": hold.path, "grants": hold.grants, "held_s": seconds_of(hold.held_for)}
            for hold in log.holds
        ],
        "partial": log.partial,
    }


def sweep_row(done: SweepResponse, is_local: IsLocal) -> Row:
    """What a sweep did, and what there is after it."""
    return {
        "idle": [_who(session) for session in done.idle],
        "expired": [_who(session) for session in done.expired],
        "locks": [{**lock_row(one.lock, is_local), "swept": one.how} for one in done.locks],
        "turns": done.turns,
        "sessions": done.sessions,
        "held": done.held,
        "waiting": done.waiting,
        "revision": done.revision,
        "last_change": done.last_change,
        "view_revision": done.view_revision,
        "view_age_s": seconds_of(done.view_age),
    }


def _summary(session: Session) -> str:
    """What it was about, and how far it got, in its own words."""
    progress = session.progress
    far = f"{progress.percent} %" if progress.percent else ""
    if progress.total:
        far = f"{progress.done} of {progress.total}"
    return "; ".join(filter(None, (session.intent, far, progress.step)))


def _who(session: Session) -> Row:
    return {
        "session_id": session.session_id,
        "alias": session.alias,
        "person": session.person,
        "host": session.host,
        "branch": session.branch,
        "idle_s": seconds_of(session.idle_for),
    }
