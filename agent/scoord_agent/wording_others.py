"""What a session reads of the others: when it starts, and where its work touches theirs.

As in ``wording``, text of other sessions is one bounded line, in quotes: it is data.
A welcome is at most 20 lines, however many sessions there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from scoord import text
from scoord.sections import SessionCoordination
from scoord.text import one_line, quote
from scoord.v1.locks_pb2 import Holder
from scoord.v1.sessions_pb2 import Session, SessionStatus
from scoord_agent.estimates import Completion, Like, percent_of
from scoord_agent.local_session import TERMINAL
from scoord_agent.missed import Meanwhile, Missed
from scoord_agent.touching import How, Touch
from scoord_agent.wording import names, who
from scoord_agent.wording_times import completed

MAX_LINES: Final = 20

FREE: Final = "Free areas (nobody else works in them or holds a file there)"
"""What areas are named under that are free, with what that means."""

_MOST_LINE: Final = 450
_MOST_MISSED: Final = 4
_CONFLICTS: Final = {
    "block": "is refused",
    "warn": "goes through, and both are told",
    "proceed": "goes through",
}


@dataclass(frozen=True, slots=True)
class Other:
    """Another session, and what it holds."""

    session: Session
    holds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a session is told of when it starts."""

    alias: str
    project: str
    others: Sequence[Other] = ()
    """The most relevant first."""
    settings: SessionCoordination | None = None
    """Without, as the defaults are."""
    suggested: str = ""
    """What it may do next, which is kept for it."""
    free: Sequence[str] = ()
    """Other areas in which nobody else works or holds a file."""
    missed: Meanwhile = field(default_factory=Meanwhile)
    """What others did since somebody last worked here."""
    away_s: float = 0.0
    """How long ago that was."""
    kept: Sequence[str] = ()
    """What the session itself still holds, after ``/clear``."""


def welcome(scene: Scene) -> str:
    """What a session is told when it starts."""
    count = len(scene.others)
    noun = "session is" if count == 1 else "sessions are"
    head = [
        f"Session Coordinator: this session is {scene.alias} in {one_line(scene.project)}.",
        _rules(scene.settings or SessionCoordination()),
        f"{count or 'No'} other {noun} active{_times_known(scene.others)}{':' if count else '.'}",
    ]
    tail = [
        *([scene.suggested] if scene.suggested else []),
        *([f"{FREE}: {names(scene.free)}."] if scene.free else []),
        *_missed(scene),
        *([kept(scene.kept)] if scene.kept else []),
    ]
    neighbours = _neighbours(scene.others, MAX_LINES - len(head) - len(tail))
    return "\n".join(_bounded(line) for line in (*head, *neighbours, *tail))


def kept(paths: Sequence[str]) -> str:
    """What a session still holds after ``/clear``."""
    return f"You still hold {names(paths)}."


def doing(session: Session) -> str:
    """What another session does, and how far it is, as far as anybody knows; or nothing."""
    intent = quote(one_line(session.intent, 120)) if session.intent else ""
    told = ", ".join(filter(None, (intent, progress(session))))
    return f": {told}" if told else ""


def progress(session: Session) -> str:
    """``3 of 5 steps done, now "write tests", about 9 min left``; or nothing."""
    told = []
    if session.HasField("progress"):
        far = session.progress
        steps = f"{far.done} of {far.total} steps" if far.total else f"{far.percent} %"
        told.append(f"{steps} done")
        if far.step:
            told.append(f"now {quote(one_line(far.step, 80))}")
    if session.HasField("estimate"):
        told.append(_left(session))
    return ", ".join(told)


def touching(touch: Touch, others: Sequence[Session], free: Completion | None = None) -> str:
    """That work touches what others are changing, when that is done, and what to do about it.

    ``free`` tells when its lock will be, where the first of them does not say itself.
    """
    name, path = one_line(touch.thing), one_line(touch.path)
    match touch.how:
        case How.NAMED:
            begin = f"{name}, which the prompt names, is held by"
        case How.BELONGS:
            begin = f"{name}, which belongs to {path}, is held by"
        case How.IMPORTS:
            begin = f"{name}, which {path} imports, is held by"
        case How.AREA:
            area = f"the area of {path}" if path else "which the prompt names"
            begin = f"{name}, {area}, is also worked on by"
    first, more = others[0], len(others) - 1
    rest = f", and by {more} more" if more else ""
    return _bounded(f"{begin} {_named(first)}{doing(first)}{rest}. {_advice(first, free)}")


def _left(session: Session) -> str:
    left = text.remaining(session.estimate.left.ToMilliseconds() / 1000)
    return f"{left} left" if left.startswith("about") else f"done {left}"


def _advice(session: Session, free: Completion | None) -> str:
    left = ""
    if session.HasField("estimate"):
        left = text.remaining(session.estimate.left.ToMilliseconds() / 1000)
    elif free is not None and free.like is not Like.PROGRESS:
        left = completed(replace(free, percent=0, total=0))  # how far it is has been said
    if not left:
        return f"{_when(session)}: the part that does not depend on it can be done first."
    wait = f"wait {left}" if left.startswith("about") else "wait for it"
    return f"What depends on that can {wait}; what does not can be done first."


def _when(session: Session) -> str:
    """When it is done, of one of which nobody can tell how long it will take."""
    if _is_all_done(session):
        return "It says that all is done, so that may be over any moment"
    return "When that is done is not known"


def _is_all_done(session: Session) -> bool:
    return percent_of(session.progress) >= 100


def _named(session: Session) -> str:
    holder = Holder(
        alias=session.alias, person=session.person, host=session.host, branch=session.branch
    )
    return who(holder)


def _times_known(others: Sequence[Other]) -> str:
    """Once for all: a line for each would be longer for what it does not say."""
    timeless = any(
        not (other.session.HasField("estimate") or _is_all_done(other.session)) for other in others
    )
    return " (time left: not known, if not said)" if timeless else ""


def _rules(settings: SessionCoordination) -> str:
    """What becomes of an edit here."""
    if not settings.enable_file_locks:
        return "No file is locked here: sessions only see each other."
    become = _CONFLICTS[settings.conflict_action]
    return f"Editing a file takes its lock; an edit of one that another session holds {become}."


def _neighbours(others: Sequence[Other], room: int) -> list[str]:
    """A line for each, as far as there is room; the last one is for the rest."""
    if len(others) <= room:
        return [_neighbour(other) for other in others]
    shown, rest = others[: room - 1], others[room - 1 :]
    held = sum(len(other.holds) for other in rest)
    holding = f", who hold {held} file{'' if held == 1 else 's'} and patterns" if held else ""
    return [
        *(_neighbour(other) for other in shown),
        f"- and {len(rest)} more{holding}: see `scoord status`",
    ]


def _neighbour(other: Other) -> str:
    session = other.session
    state = {
        SessionStatus.SESSION_STATUS_IDLE: ", idle",
        SessionStatus.SESSION_STATUS_WAITING: ", waiting for a lock",
    }.get(session.status, "")
    state = ", a terminal" if session.client == TERMINAL else state
    works = f"; works on {names(session.areas)}" if session.areas else ""
    holds = f"; holds {names(other.holds)}" if other.holds else ""
    return f"- {_named(session)}{state}{doing(session)}{works}{holds}"


def _missed(scene: Scene) -> list[str]:
    missed = scene.missed
    since = f"Since this worktree was last worked in, {text.age(scene.away_s)} ago"
    if not missed.sessions:
        much = f"{since}, more happened than is shown here: see `scoord history`."
        return [] if missed.is_all else [much]
    shown = missed.sessions[:_MOST_MISSED]
    rest = _rest(len(missed.sessions) - len(shown), is_all=missed.is_all)
    return [f"{since}:", *map(_was_here, shown), *rest]


def _rest(more: int, *, is_all: bool) -> list[str]:
    """How many sessions are not shown: of what is not all, as many as are known of."""
    if is_all and not more:
        return []
    how_many = f"{'' if is_all else 'at least '}{more} more" if more else "maybe more"
    return [f"- and {how_many} session{'' if more == 1 else 's'}: see `scoord history`"]


def _was_here(missed: Missed) -> str:
    held = f" had {names(missed.paths)}" if missed.paths else " was here"
    over = ", and has ended" if missed.ended else ""
    return f"- {who(missed.holder)}{held}, last {text.age(missed.ago_s)} ago{over}"


def _bounded(line: str) -> str:
    """Each part of it is bounded already; all of them together are so here."""
    return line if len(line) <= _MOST_LINE else f"{line[: _MOST_LINE - 1]}…"
