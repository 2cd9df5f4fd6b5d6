"""Which of the other sessions matter most to one. Pure."""

from collections.abc import Iterable

from scoord.v1.sessions_pb2 import Session, SessionStatus
from scoord_agent.local_session import TERMINAL
from scoord_agent.touching import words_of
from scoord_agent.wording_others import Other


def by_relevance(others: Iterable[Other], itself: Session) -> list[Other]:
    """Those in the same area first, then on the same branch, then who holds locks, then works."""
    areas = {area.casefold() for area in itself.areas} | words_of(itself.intent)
    return sorted(others, key=lambda other: _distance(other, itself, areas))


def is_worth_telling(other: Other) -> bool:
    """Whether a session says anything by being there.

    A terminal does where it holds or waits for something, or somebody said what is done in it.
    """
    session = other.session
    waits = any(on.why == "waits" for on in session.depends_on)
    says = bool(session.intent) or session.HasField("progress")
    return session.client != TERMINAL or bool(other.holds) or waits or says


def _distance(other: Other, itself: Session, areas: set[str]) -> tuple[float, ...]:
    session = other.session
    return (
        areas.isdisjoint(area.casefold() for area in session.areas),
        not itself.branch or session.branch != itself.branch,
        not other.holds,
        session.status == SessionStatus.SESSION_STATUS_IDLE,
        session.idle_for.ToMilliseconds(),
    )
