"""What every program reads alike in the message of a session."""

import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.sessions import count_down, status_name
from scoord.v1.sessions_pb2 import Estimate, Session, SessionStatus


def _session(left_s: int) -> Session:
    left, low, high = (Duration(seconds=each) for each in (left_s, left_s // 2, left_s * 2))
    return Session(estimate=Estimate(left=left, low=low, high=high))


@pytest.mark.parametrize(
    ("gone_ms", "left"), [(-5000, (90, 45, 180)), (0, (90, 45, 180)), (60_000, (30, 0, 120))]
)
def test_an_estimate_counts_down_and_never_up(gone_ms: int, left: tuple[int, int, int]) -> None:
    session = _session(90)

    count_down(session, gone_ms)

    said = session.estimate
    assert left == (said.left.seconds, said.low.seconds, said.high.seconds)


def test_an_estimate_that_is_overdue_tells_nothing() -> None:
    session = _session(90)

    count_down(session, 90_000)

    assert not session.HasField("estimate")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (SessionStatus.SESSION_STATUS_WORKING, "working"),
        (SessionStatus.SESSION_STATUS_UNSPECIFIED, ""),
        (99, ""),
    ],
)
def test_a_status_has_a_name_once_it_is_said(status: "SessionStatus.ValueType", name: str) -> None:
    assert name == status_name(Session(status=status))
