"""Releases whose answer is lost are sent again, and before their files are asked for."""

from typing import cast

import pytest

from scoord.errors import CoordinatorUnreachable, NotAllowed, ScoordError
from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import (
    RELEASE_OUTCOME_NOT_HOLDER,
    RELEASE_OUTCOME_RELEASED,
    LockRef,
    ReleaseRequest,
    ReleaseResponse,
)
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.owed import Owed
from scoord_agent.sessions import LocalSession

SHOP = ProjectId("shop")
SESSION = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
REQUEST = ReleaseRequest(
    request_id="r1", project=SHOP, session_id="Session_a", locks=[LockRef(path="Auth.py", token=7)]
)


class Scripted:
    """A client that answers releases as told, and remembers them."""

    def __init__(self) -> None:
        self.answers: list[ScoordError | ReleaseResponse] = []
        self.asked: list[str] = []

    async def release(self, request: ReleaseRequest, patience_s: float) -> ReleaseResponse:
        self.asked.append(request.request_id)
        answer = self.answers.pop(0)
        if isinstance(answer, ScoordError):
            raise answer
        return answer


@pytest.fixture
def client() -> Scripted:
    return Scripted()


@pytest.fixture
def owed(client: Scripted) -> Owed:
    return Owed(cast("CoordinatorClient", client))


def released(outcome: int = RELEASE_OUTCOME_RELEASED) -> ReleaseResponse:
    response = ReleaseResponse()
    response.outcomes.append(outcome)  # type: ignore[arg-type]  # an enum is a number
    return response


async def test_a_release_without_an_answer_is_sent_again_until_there_is_one(
    owed: Owed, client: Scripted
) -> None:
    client.answers = [CoordinatorUnreachable("away"), CoordinatorUnreachable("away"), released()]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(SESSION, REQUEST)
    with pytest.raises(CoordinatorUnreachable):
        await owed.settle()
    await owed.settle()
    await owed.settle()

    assert ["r1", "r1", "r1"] == client.asked


async def test_what_is_owed_is_settled_before_its_file_is_asked_for(
    owed: Owed, client: Scripted
) -> None:
    client.answers = [CoordinatorUnreachable("away"), released()]
    with pytest.raises(CoordinatorUnreachable):
        await owed.give_back(SESSION, REQUEST)

    await owed.settle_first(SESSION, SHOP, {"other.py"}, 0.0)
    await owed.settle_first(SESSION, ProjectId("elsewhere"), {"auth.py"}, 0.0)
    assert ["r1"] == client.asked
    await owed.settle_first(SESSION, SHOP, {"auth.py"}, 0.0)
    assert ["r1", "r1"] == client.asked


async def test_what_was_over_before_it_was_given_back_is_told(owed: Owed, client: Scripted) -> None:
    client.answers = [released(RELEASE_OUTCOME_NOT_HOLDER)]
    await owed.give_back(SESSION, REQUEST)

    (told,) = SESSION.take_notices()
    assert "Auth.py" in told


async def test_what_was_given_back_is_known_by_its_token(owed: Owed, client: Scripted) -> None:
    client.answers = [released()]
    await owed.give_back(SESSION, REQUEST)

    assert owed.is_given_back(SESSION, SHOP, "auth.py", 7)
    assert not owed.is_given_back(SESSION, SHOP, "auth.py", 8)
    assert not owed.is_given_back(SESSION, SHOP, "other.py", 7)


async def test_a_release_that_is_refused_is_not_sent_again(owed: Owed, client: Scripted) -> None:
    client.answers = [NotAllowed("held by another")]
    with pytest.raises(NotAllowed):
        await owed.give_back(SESSION, REQUEST)
    await owed.settle()

    assert ["r1"] == client.asked
