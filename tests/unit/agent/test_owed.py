"""Releases whose answer is lost are sent again, and before their files are asked for."""

from dataclasses import replace
from typing import cast

import pytest

from scoord.errors import CoordinatorUnreachable, NotAllowed, ScoordError
from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, SessionId
from scoord.v1.locks_pb2 import (
    RELEASE_OUTCOME_LEASE_OVER,
    RELEASE_OUTCOME_NOT_HOLDER,
    RELEASE_OUTCOME_RELEASED,
    ReleaseRequest,
    ReleaseResponse,
)
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.owed import Owed, is_given_back

MAIN, SUBAGENT = AgentId(""), AgentId("agent-1")
SHOP = ProjectId("shop")
A = SessionId("Session_a")
LOCK = HeldLock(SHOP, "auth.py", "Auth.py", A, MAIN, FencingToken(7))


class Scripted:
    """A client that answers releases as told, and remembers them."""

    def __init__(self) -> None:
        self.answers: list[ScoordError | ReleaseResponse] = []
        self.asked: list[ReleaseRequest] = []

    async def release(self, request: ReleaseRequest, patience_s: float) -> ReleaseResponse:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, ScoordError):
            raise answer
        return answer


@pytest.fixture
def client() -> Scripted:
    return Scripted()


@pytest.fixture
def session() -> LocalSession:
    return LocalSession(A, "claude-code", None, "/")


@pytest.fixture
def owed(client: Scripted) -> Owed:
    return Owed(cast("CoordinatorClient", client), LocalSession.lapse)


def released(outcome: int = RELEASE_OUTCOME_RELEASED) -> ReleaseResponse:
    response = ReleaseResponse()
    response.outcomes.append(outcome)  # type: ignore[arg-type]  # an enum is a number
    return response


async def test_a_release_without_an_answer_is_sent_again_until_there_is_one(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [CoordinatorUnreachable("away"), CoordinatorUnreachable("away"), released()]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(session, SHOP, [LOCK])
    with pytest.raises(CoordinatorUnreachable):
        await owed.settle()
    await owed.settle()
    await owed.settle()

    first, *again = client.asked
    assert [first, first] == again


async def test_what_is_owed_is_settled_before_its_file_is_asked_for(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [CoordinatorUnreachable("away"), released()]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(session, SHOP, [LOCK])

    await owed.settle_first(session, SHOP, {"other.py"}, 0.0)
    await owed.settle_first(session, ProjectId("elsewhere"), {"auth.py"}, 0.0)
    assert len(client.asked) == 1
    await owed.settle_first(session, SHOP, {"auth.py"}, 0.0)
    first, second = client.asked
    assert first == second


async def test_what_was_over_before_it_was_given_back_is_told(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [released(RELEASE_OUTCOME_NOT_HOLDER)]
    await owed.give_back(session, SHOP, [LOCK])

    (told,) = session.take_notices()
    assert "Auth.py" in told


@pytest.mark.parametrize("stood", [False, True])
async def test_of_what_is_over_with_its_lease_it_is_told_unless_it_stood_when_it_was_given_back(
    owed: Owed, client: Scripted, session: LocalSession, *, stood: bool
) -> None:
    client.answers = [CoordinatorUnreachable("away"), released(RELEASE_OUTCOME_LEASE_OVER)]
    session.lease = LeaseId(7)
    owing = owed.owe(session, SHOP, [LOCK], stood=stood)
    with pytest.raises(CoordinatorUnreachable):
        await owed.send(owing)
    await owed.settle()

    assert stood is not bool(session.take_notices())
    assert [7, 7] == [request.lease_id for request in client.asked]
    assert not session.registered, "nobody believes in its other locks"


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_goes_with_its_lease_while_it_is_owed_is_not_told(
    owed: Owed, client: Scripted, session: LocalSession, *, is_over: bool
) -> None:
    client.answers = [CoordinatorUnreachable("away"), released(RELEASE_OUTCOME_NOT_HOLDER)]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(session, SHOP, [LOCK])
    session.lease = LeaseId(2 if is_over else session.lease)
    await owed.settle()

    assert is_over is not bool(session.take_notices())
    assert [] == session.owed


async def test_what_was_given_back_is_known_whoever_of_its_session_had_it(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [released()]
    await owed.give_back(session, SHOP, [LOCK])

    assert is_given_back(session, LOCK)
    assert is_given_back(session, replace(LOCK, agent=SUBAGENT))
    assert not is_given_back(session, LOCK.granted_anew(FencingToken(8)))
    assert not is_given_back(session, replace(LOCK, key="other.py"))
    other = LocalSession(SessionId("Session_b"), "claude-code", None, "/")
    assert not is_given_back(other, replace(LOCK, session=other.session_id))


async def test_what_its_holder_had_before_is_over_too_and_nothing_of_others(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [released()]
    await owed.give_back(session, SHOP, [LOCK])
    before = LOCK.granted_anew(FencingToken(6))

    assert is_given_back(session, before)
    assert not is_given_back(session, replace(before, agent=SUBAGENT))


async def test_what_its_holder_had_before_on_another_branch_is_not_over(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [released(), released()]
    await owed.give_back(session, SHOP, [replace(LOCK, branch="feature")])
    before = LOCK.granted_anew(FencingToken(6))

    assert is_given_back(session, replace(before, branch="feature"))
    assert not is_given_back(session, replace(before, branch="main"))

    await owed.give_back(session, SHOP, [LOCK])
    assert is_given_back(session, replace(before, branch="main"))


async def test_a_release_that_is_refused_is_not_sent_again(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [NotAllowed("held by another")]
    with pytest.raises(NotAllowed):
        await owed.give_back(session, SHOP, [LOCK])
    await owed.settle()

    assert len(client.asked) == 1


async def test_what_is_not_answered_is_for_the_agent_after_us_to_give_back(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [CoordinatorUnreachable("away"), released()]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(session, SHOP, [LOCK])
    assert [LOCK] == session.owed

    await owed.settle()
    assert [] == session.owed


async def test_what_is_refused_is_not_left_to_the_agent_after_us(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    client.answers = [NotAllowed("held by another")]
    with pytest.raises(NotAllowed):
        await owed.give_back(session, SHOP, [LOCK])

    assert [] == session.owed


async def test_what_the_agent_before_was_giving_back_is_given_back(
    owed: Owed, client: Scripted, session: LocalSession
) -> None:
    elsewhere = replace(LOCK, project=ProjectId("elsewhere"))
    pattern = replace(LOCK, key="src/**", shown="src/**", is_pattern=True)
    session.owed = [LOCK, elsewhere, pattern]
    client.answers = [released(RELEASE_OUTCOME_NOT_HOLDER), released()]

    owed.take_over(session)
    assert all(map(session.remembered.has_given_back, session.owed))
    assert not session.remembered.has_given_back(LOCK.granted_anew(FencingToken(6)))
    client.answers[1].outcomes.append(RELEASE_OUTCOME_RELEASED)  # type: ignore[union-attr]
    await owed.settle()

    first, second = client.asked
    assert ["Auth.py"] == [ref.path for ref in first.locks]
    assert [(False, 7), (True, 7)] == [(ref.is_pattern, ref.token) for ref in second.locks]
    assert [] == session.owed
    assert [] == session.take_notices(), "it may be over since before"
