"""What the start of a session tells: then, or where that failed, later."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scoord.errors import CoordinatorUnreachable
from scoord.ids import AgentId, ProjectId, SessionId
from scoord_agent.background import Background
from scoord_agent.delivery import Delivery
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.welcoming import Welcoming
from scoord_hooks.neutral import EventKind, HookEvent
from support.clock import FakeClock
from support.hooks import Hooks
from support.house import editing_house, settle

SHOP = ProjectId("shop")


class Place:
    """A coordinator that may be away, and all else that a welcome asks."""

    is_known_silent, away = False, False

    def __init__(self) -> None:
        self.noted = 0

    async def enter(self, *_: object) -> None:
        if self.away:
            raise CoordinatorUnreachable("gone")

    async def words(self, *_: object, **_named: object) -> str:
        return "this session is Session_1"

    def why_silent(self, _since: float) -> str:
        return ""

    def note(self, _session: LocalSession, *, save: bool = False) -> None:
        self.noted += save

    @property
    def welcoming(self) -> Welcoming:
        me, nothing = cast("Any", self), cast("Any", lambda *_: None)
        locator = cast("Any", SimpleNamespace(worktree_of=nothing, project_of=lambda _: SHOP))
        settings = cast("Any", SimpleNamespace(of=nothing, at=nothing))
        return Welcoming(
            sessions=cast("Any", SimpleNamespace(save=lambda: None)),
            registration=me,
            greeting=me,
            last_seen=me,
            locator=locator,
            settings=settings,
            clock=FakeClock(),
            changed=lambda: None,
        )


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def session() -> LocalSession:
    return LocalSession(SessionId("Session_a"), "claude-code", None, "/", home=SHOP)


def event(kind: EventKind, agent: AgentId = MAIN) -> HookEvent:
    return HookEvent("claude-code", kind, kind, "c1", "/", agent_id=agent, reason="startup")


async def start(place: Place, session: LocalSession, delivery: Delivery | None = None) -> str:
    begun = event(EventKind.SESSION_START)
    return (await place.welcoming.at_start(session, begun, delivery or Delivery())).context


async def late(place: Place, session: LocalSession, agent: AgentId = MAIN) -> str:
    prompt = event(EventKind.PROMPT, agent)
    return await place.welcoming.late(session, prompt, Delivery(), 1.0)


async def test_a_session_that_nobody_could_greet_is_greeted_later(
    place: Place, session: LocalSession
) -> None:
    place.away = True
    assert "not registered yet" in await start(place, session)
    assert session.to_greet
    assert place.noted == 0, "what it misses meanwhile is told, too"
    assert await late(place, session) == ""

    place.away = False
    assert await late(place, session) == "this session is Session_1"
    assert not session.to_greet
    assert place.noted == 1


async def test_nobody_waits_for_a_coordinator_that_is_known_to_be_silent(
    place: Place, session: LocalSession
) -> None:
    place.is_known_silent = True
    assert await late(place, session) == ""


async def test_a_subagent_is_not_greeted_in_place_of_its_main_thread(
    place: Place, session: LocalSession
) -> None:
    assert await late(place, session, AgentId("agent-1")) == ""


async def test_a_greeting_that_does_not_arrive_is_told_again(
    place: Place, session: LocalSession
) -> None:
    delivery = Delivery()
    assert await start(place, session, delivery) == "this session is Session_1"
    assert not session.to_greet

    delivery.failed()
    assert session.to_greet


async def test_an_edit_that_is_allowed_waits_for_no_greeting(tmp_path: Path) -> None:
    async with editing_house(tmp_path, FakeClock()) as house:
        background = Background()
        hooks, house.session.to_greet = Hooks(house, background), True

        assert hooks.greeting not in (await hooks.send(EventKind.BEFORE_EDIT)).context
        assert hooks.greeting in (await hooks.send(EventKind.AFTER_EDIT)).context
        await settle()
        await background.close()
