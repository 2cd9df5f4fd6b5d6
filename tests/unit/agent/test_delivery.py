"""What an answer tells that its hook did not get: it waits again, in its order."""

import asyncio
import socket
from dataclasses import replace
from typing import Any, cast

import pytest

from scoord.ids import AgentId, ProjectId, SessionId
from scoord_agent.delivery import Delivery
from scoord_agent.listener import Listener
from scoord_agent.local_session import MAX_NOTICES, LocalSession
from scoord_agent.relay import Relay
from scoord_agent.turns import Place, Turns
from scoord_agent.wanted import Wanted
from scoord_hooks.neutral import ALLOW, Decision
from support.clock import FakeClock
from support.ports import free_port

A1 = AgentId("a1")
MAIN = AgentId("")
PLACE = Place(ProjectId("shop"), "a.py", SessionId("Session_far"), MAIN)


@pytest.fixture
def session() -> LocalSession:
    return LocalSession(SessionId("Session_a"), "claude-code", None, "/")


def test_what_was_not_delivered_is_told_before_what_came_since(session: LocalSession) -> None:
    session.tell_wanted(PLACE, Wanted("bob waits"))
    for number in range(MAX_NOTICES + 1):
        session.tell(f"{number}")
    session.tell_loss("lost")
    delivery = Delivery()
    told = session.take_notices(4, delivery)
    session.tell_loss("lost since")

    delivery.failed()

    assert session.take_notices(5) == ["lost", "lost since", *told[1:]]
    assert session.take_notices(1) == ["2"]


def test_what_is_told_anew_meanwhile_is_told_once(session: LocalSession) -> None:
    session.tell_loss("lost")
    delivery = Delivery()
    session.take_notices(5, delivery)
    session.tell_loss("lost")

    delivery.failed()
    delivery.failed()

    assert ["lost"] == session.take_notices()


@pytest.mark.parametrize("is_over", [False, True])
def test_what_a_subagent_was_not_told_it_is_told_or_its_main_thread(
    session: LocalSession, *, is_over: bool
) -> None:
    session.hear(A1)
    session.tell_loss("lost", A1)
    session.tell_editor("edited", A1)
    delivery = Delivery()
    told = session.take_losses(5, A1, delivery)
    if is_over:
        session.subagent_over(A1)

    delivery.failed()

    assert told == ["lost", "edited"]
    assert told == (session.take_notices() if is_over else session.take_losses(5, A1))


@pytest.mark.parametrize("is_over", [False, True])
def test_who_waits_for_what_a_subagent_holds_is_told_again(
    session: LocalSession, *, is_over: bool
) -> None:
    own = replace(PLACE, session=session.session_id)
    session.hear(A1)
    session.tell_wanted(PLACE, Wanted("bob waits"), A1)
    session.tell_wanted(replace(own, key="b.py"), Wanted("your main thread waits"), A1)
    delivery = Delivery()
    told = session.take_wanted(5, A1, delivery)
    if is_over:
        session.subagent_over(A1)

    delivery.failed()

    assert told == ["bob waits", "your main thread waits"]
    assert told[: 1 if is_over else 2] == session.take_wanted(5, MAIN if is_over else A1)


def test_an_agent_after_us_tells_what_was_not_delivered(session: LocalSession) -> None:
    written = list[list[str]]()
    session.changed = lambda: written.append([*session.losses])
    session.tell_loss("lost")
    delivery = Delivery()
    session.take_losses(1, delivery=delivery)

    delivery.failed()

    assert [["lost"], [], ["lost"]] == written


def test_a_turn_that_was_not_delivered_is_told_again_as_old_as_it_is() -> None:
    clock = FakeClock()
    turns, delivery = Turns(clock), Delivery()
    turns.keep(PLACE, "a.py")
    (turn,) = turns.take(PLACE.session, MAIN, 1, delivery)
    clock.advance(5)

    delivery.failed()

    assert [turn] == turns.take(PLACE.session, MAIN, 1)


class _Closing:
    """A relay that tells a loss to a hook whose end nobody has seen yet."""

    def __init__(self, session: LocalSession, hook: socket.socket) -> None:
        self._session = session
        self._hook = hook

    async def decide(self, *args: Any) -> Decision:
        (told,) = self._session.take_losses(1, delivery=args[-1])
        self._hook.close()
        return Decision(context=told) if told else ALLOW


async def test_an_answer_is_not_written_to_one_whose_end_is_there_to_be_read(
    session: LocalSession,
) -> None:
    session.tell_loss("lost")
    hook, port, back = socket.socket(), free_port(), asyncio.Event()
    session.changed = lambda: back.set() if session.losses else None
    listener = Listener(cast("Relay", _Closing(session, hook)), "token", port)
    await listener.start()
    hook.connect(("127.0.0.1", port))
    body = b'{"session_id": "s", "cwd": "/", "hook_event_name": "UserPromptSubmit", "prompt": "x"}'
    head = (
        "POST /v1/hooks/claude-code/UserPromptSubmit HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Authorization: Bearer token",
        f"Content-Length: {len(body)}",
    )

    hook.sendall("\r\n".join((*head, "", "")).encode() + body)
    try:
        async with asyncio.timeout(5):
            await back.wait()
    finally:
        await listener.close()

    assert ["lost"] == session.take_notices()


def test_who_waits_for_what_is_not_known_to_be_granted_yet_is_told_later(
    session: LocalSession,
) -> None:
    session.tell_wanted(PLACE, Wanted("bob waits"))
    session.tell_wanted(replace(PLACE, key="b.py"), Wanted("carol waits"))

    assert session.take_notices(is_held=lambda place: place.key == "b.py") == ["carol waits"]
    assert session.take_notices() == ["bob waits"]
