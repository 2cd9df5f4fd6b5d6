"""Sessions of the agent before: what they hold is asked for, whatever was renewed meanwhile."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scoord.errors import CoordinatorUnreachable, LimitReached
from scoord.ids import LeaseId, ProjectId, SessionId
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import LocalSession
from scoord_agent.sessions import Sessions
from support.clock import FakeClock
from support.house import nothing

SHOP = ProjectId("example.com/shop")


class Registrations:
    """Notes who is taken up; fails as long as it is told to."""

    def __init__(self) -> None:
        self.taken_up: list[str] = []
        self.away = False
        self.refused: ProjectId | None = None

    async def say_ends(self) -> None:
        """None is unsaid."""

    async def enter(self, session: LocalSession, project: ProjectId, _settings: Any) -> None:
        if self.away:
            raise CoordinatorUnreachable("gone")
        if project == self.refused:
            raise LimitReached("there are as many as there may be")
        self.taken_up.append(session.session_id)
        session.inherited.discard(project)


def restarted(file: Path) -> Sessions:
    """The sessions of an agent that has just replaced another."""
    before = Sessions(file)
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/", home=SHOP)
    session.lease, session.aliases = LeaseId(7), {SHOP: "Session_1"}
    before.add(session)
    before.save()
    after = Sessions(file)
    after.load(now=0.0)
    return after


def lifecycle(sessions: Sessions, registration: Registrations) -> Lifecycle:
    parts: Any = SimpleNamespace(at=lambda _root: None)
    return Lifecycle(
        sessions=sessions,
        registration=cast("Any", registration),
        last_seen=parts,
        locator=parts,
        knowing=parts,
        settings=parts,
        machine=parts,
        clock=FakeClock(),
        changed=lambda: None,
        ending=lambda _session: None,
        written=nothing,
    )


async def test_a_session_of_the_agent_before_is_taken_up_once(tmp_path: Path) -> None:
    registration = Registrations()
    life = lifecycle(restarted(tmp_path / "sessions"), registration)

    await life.take_up()
    await life.take_up()

    assert registration.taken_up == ["Session_a"]


async def test_it_is_taken_up_later_when_nobody_could_be_asked(tmp_path: Path) -> None:
    registration = Registrations()
    life = lifecycle(restarted(tmp_path / "sessions"), registration)

    registration.away = True
    with pytest.raises(CoordinatorUnreachable):
        await life.take_up()
    registration.away = False
    await life.take_up()

    assert registration.taken_up == ["Session_a"]


async def test_a_project_that_refuses_it_keeps_it_from_no_other(tmp_path: Path) -> None:
    registration, sessions = Registrations(), restarted(tmp_path / "sessions")
    (session,) = sessions
    registration.refused = ProjectId("example.com/library")
    session.inherited.add(registration.refused)

    await lifecycle(sessions, registration).take_up()

    assert {registration.refused} == session.inherited
