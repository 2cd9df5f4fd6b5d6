"""What every program reads alike in the message of a session."""

from typing import Final

from scoord.v1.sessions_pb2 import Session, SessionStatus

_STATUS_NAMES: Final = {
    number: name.removeprefix("SESSION_STATUS_").lower()
    for name, number in SessionStatus.items()
    if number != SessionStatus.SESSION_STATUS_UNSPECIFIED
}


def status_name(session: Session) -> str:
    """``idle``, ``working`` or ``waiting``; empty when it has not said.

    One that only a newer program knows of is as one that was not said.
    """
    return _STATUS_NAMES.get(session.status, "")


def count_down(session: Session, gone_ms: int) -> None:
    """Leave of its estimate what is left ``gone_ms`` after it was said.

    One that is overdue tells nothing, and goes. A clock that was set back adds nothing.
    """
    estimate = session.estimate
    if estimate.left.ToMilliseconds() <= gone_ms:
        session.ClearField("estimate")
        return
    for left in (estimate.left, estimate.low, estimate.high):
        left.FromMilliseconds(max(0, left.ToMilliseconds() - max(0, gone_ms)))
