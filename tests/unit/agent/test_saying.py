"""What is said of a session while its coordinator cannot be asked."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scoord.errors import CoordinatorUnreachable
from scoord.v1.sessions_pb2 import UpdateRequest
from scoord_agent.doors import Doors
from scoord_agent.saying import Speaker
from support.clock import FakeClock
from support.house import settle
from support.whole import Whole, whole_agent


@pytest.fixture
async def agent(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Whole]:
    async with whole_agent(tmp_path, clock) as made:
        yield made


async def test_what_takes_effect_is_no_failure_where_others_hear_it_later_only(
    agent: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying, speaker = Doors(agent.parts).saying(), Speaker(str(agent.root), os.getpid())
    before = await saying.intent(speaker, "fix the login")
    heard: list[UpdateRequest] = []

    async def away(*_: Any) -> None:
        raise CoordinatorUnreachable("away")

    async def update(request: UpdateRequest) -> None:
        heard.append(request)

    monkeypatch.setattr(agent.coordinator, "update", away)
    answers = [
        await saying.intent(speaker, "tidy up"),
        await saying.progress(speaker, 60, "tests"),
        await saying.depends(speaker, []),
    ]
    monkeypatch.setattr(agent.coordinator, "update", update)
    agent.parts.awareness.publishing.renew()
    await settle()

    assert [before["owed"], *(answer["owed"] for answer in answers)] == [False, True, True, True]
    assert (answers[0]["intent"], answers[1]["percent"]) == ("tidy up", 60)
    assert [one.intent for one in heard] == ["tidy up"]


async def test_what_is_said_twice_is_owed_until_it_is_answered(
    agent: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying, speaker = Doors(agent.parts).saying(), Speaker(str(agent.root), os.getpid())
    await saying.intent(speaker, "fix the login")
    goes_on = asyncio.Event()

    async def stands_still(*_: Any) -> None:
        await goes_on.wait()

    monkeypatch.setattr(agent.coordinator, "update", stands_still)
    first = asyncio.create_task(saying.intent(speaker, "tidy up"))
    await settle()
    again = await saying.intent(speaker, "tidy up")
    goes_on.set()
    answers = [await first, await saying.intent(speaker, "tidy up")]

    assert [True, False, False] == [again["owed"], *(answer["owed"] for answer in answers)]
