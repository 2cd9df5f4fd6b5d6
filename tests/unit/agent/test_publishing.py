"""Changes are gathered: the first goes out at once, the last value wins, none is lost."""

import asyncio
import os
from pathlib import Path
from typing import cast

import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.config import SettingsCache, load
from scoord.errors import CoordinatorUnreachable
from scoord.ids import LeaseId, ProjectId, SessionId
from scoord.limits import MOST_EDITED_FILES
from scoord.paths import FileIdentity, NamedBy, Worktree
from scoord.v1.sessions_pb2 import Estimate, Session, UpdateRequest
from scoord_agent import publishing as module
from scoord_agent.activity import Activity, top_folder
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.lifecycle import Origin
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood, Neighbours
from scoord_agent.published import Said
from scoord_agent.publishing import Publishing
from scoord_agent.relations import Relations
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.house import settle
from support.whole import whole_agent

SHOP = ProjectId("example.org/shop")
TREE = Worktree(Path("/shop"), SHOP, shared=True, named_by=NamedBy.ORIGIN)
PAUSE_S = 0.05
INTERVAL_S = 300.0
"""The heartbeat_interval, by default."""


class _Client:
    """Keeps what is published; cannot be reached while ``away``."""

    def __init__(self) -> None:
        self.updates: list[UpdateRequest] = []
        self.away = False

    async def update(self, request: UpdateRequest) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise CoordinatorUnreachable("away")
        self.updates.append(request)


class _Empty:
    def of(self, _project: ProjectId) -> Neighbourhood:
        return Neighbourhood()


class _Bench:
    def __init__(self, directory: Path) -> None:
        self.client, self.clock = _Client(), FakeClock()
        self.background = Background()
        self.sessions = Sessions(directory / "sessions.jsonl")
        self.session = LocalSession(SessionId("a"), "claude-code", None, "/")
        self.session.lease, self.session.aliases = LeaseId(1), {SHOP: "Session_1"}
        self.sessions.add(self.session)
        settings = SettingsFor(SettingsCache(directory, {}), load(None, directory, {}))
        self.publishing = Publishing(
            client=cast("CoordinatorClient", self.client),
            sessions=self.sessions,
            settings=settings,
            relations=Relations(cast("Neighbours", _Empty())),
            background=self.background,
            clock=self.clock,
        )

    def does(self, intent: str) -> None:
        self.session.intent = intent
        self.publishing.note(self.session)

    @property
    def told(self) -> list[str]:
        return [update.intent for update in self.client.updates]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Bench:
    monkeypatch.setattr(module, "PAUSE_S", PAUSE_S)
    return _Bench(tmp_path)


async def test_the_first_change_is_published_at_once_and_the_last_of_many_wins(
    bench: _Bench,
) -> None:
    bench.does("0")
    await asyncio.sleep(PAUSE_S / 5)
    assert ["0"] == bench.told

    for n in range(1, 50):
        bench.does(str(n))
    await asyncio.sleep(PAUSE_S * 3)
    assert ["0", "49"] == bench.told


async def test_what_says_nothing_new_is_not_published(bench: _Bench) -> None:
    activity = Activity(publishing=bench.publishing, clock=bench.clock, area_of=top_folder)
    login = FileIdentity(SHOP, "web/login.py", "web/login.py", TREE)
    for _ in range(5):
        activity.edited(bench.session, login)
        bench.publishing.note(bench.session)
        await asyncio.sleep(PAUSE_S * 1.5)
    assert [1] == [update.edits for update in bench.client.updates]

    activity.edited(bench.session, FileIdentity(SHOP, "b.py", "b.py", TREE))
    await asyncio.sleep(PAUSE_S * 1.5)
    assert [1, 2] == [update.edits for update in bench.client.updates]
    assert ["b.py", "web/login.py"] == list(bench.client.updates[-1].edited_files.paths)


async def test_the_latest_hundred_files_of_a_project_are_published(bench: _Bench) -> None:
    for number in range(MOST_EDITED_FILES + 5):
        bench.session.work.edit(SHOP, f"src/{number:03d}.py", "src")
    bench.session.work.edit(ProjectId("elsewhere"), "other.py", "")
    await bench.publishing.publish(bench.session)

    files = list(bench.client.updates[-1].edited_files.paths)
    assert (MOST_EDITED_FILES, "src/005.py") == (len(files), files[0])


async def test_what_is_not_published_holds_nothing_up(bench: _Bench) -> None:
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    bench.does("on")
    await asyncio.sleep(PAUSE_S / 5)
    bench.does("off")
    await asyncio.sleep(PAUSE_S / 5)
    assert ["on", "off"] == bench.told


async def test_one_that_acts_is_published_now_and_then_whatever_it_says(bench: _Bench) -> None:
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    bench.clock.advance(INTERVAL_S - 1)
    bench.session.act(bench.clock.now())
    bench.does("on")
    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S * 2)
    assert ["on"] == bench.told

    bench.clock.advance(1)
    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S * 2)
    assert ["on", "on"] == bench.told


async def test_what_others_bring_about_is_said_to_be_nothing_that_the_session_did(
    bench: _Bench,
) -> None:
    for branch, acts in (("a", True), ("b", False), ("c", False), ("d", True), ("e", False)):
        bench.clock.advance(10)
        if acts:
            bench.session.act(bench.clock.now())
        bench.session.branch = branch
        await bench.publishing.publish(bench.session)

    assert "abcde" == "".join(update.branch for update in bench.client.updates)
    assert [False, True, True, False, True] == [update.passive for update in bench.client.updates]


async def test_that_a_session_acts_is_not_forgotten_with_an_update_that_was_lost(
    bench: _Bench,
) -> None:
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    bench.client.away = True
    bench.clock.advance(10)
    bench.session.act(bench.clock.now())
    bench.does("off")
    await asyncio.sleep(PAUSE_S / 5)
    bench.client.away = False
    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S * 2)

    assert [("on", False), ("off", False)] == [(u.intent, u.passive) for u in bench.client.updates]


async def test_what_others_bring_about_is_no_deed_where_it_did_not_get_through_at_first(
    bench: _Bench,
) -> None:
    bench.session.act(bench.clock.now())
    await bench.publishing.publish(bench.session)
    bench.clock.advance(INTERVAL_S)
    bench.session.branch = "topic"
    bench.client.away = True
    with pytest.raises(CoordinatorUnreachable):
        await bench.publishing.publish(bench.session)

    bench.client.away = False
    await bench.publishing.publish(bench.session)

    assert [False, True] == [update.passive for update in bench.client.updates]


async def test_one_that_edits_where_less_time_is_given_is_published_in_that(
    bench: _Bench,
) -> None:
    bench.session.publish_within(60.0)
    bench.session.publish_within(INTERVAL_S)
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    bench.clock.advance(60)
    bench.session.act(bench.clock.now())
    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S * 2)

    assert ["on", "on"] == bench.told


async def test_what_may_not_be_known_is_published_again_though_it_is_the_same(
    bench: _Bench,
) -> None:
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    bench.publishing.describe(Session(project=SHOP), bench.session)
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    assert ["on", "on"] == bench.told

    bench.client.away = True
    bench.does("off")
    await asyncio.sleep(PAUSE_S * 2)
    bench.client.away = False
    bench.does("on")
    await asyncio.sleep(PAUSE_S * 2)
    assert ["on", "on", "on"] == bench.told


@pytest.mark.parametrize(
    ("left_s", "later_s", "then_s", "is_covered"),
    [
        (300, 60, 240, True),
        (300, 60, 250, True),
        (300, 60, 290, False),
        (300, 60, 0, False),
        (0, 60, 0, True),
        (20, 60, 0, True),
        (20, 60, 20, False),
    ],
)
def test_an_estimate_is_said_anew_where_it_is_not_what_was_left_of_the_last(
    left_s: int, later_s: int, then_s: int, *, is_covered: bool
) -> None:
    def said(request: str, left: int, at: float) -> Said:
        update = UpdateRequest(request_id=request, intent="on")
        update.estimate.CopyFrom(Estimate(samples=3, left=Duration(seconds=left)))
        return Said(update, at, at)

    assert is_covered == said("1", left_s, 0.0).covers(said("2", then_s, later_s))


async def test_what_did_not_get_through_is_published_by_a_later_beat(bench: _Bench) -> None:
    bench.client.away = True
    bench.does("lost")
    await asyncio.sleep(PAUSE_S / 5)
    bench.client.away = False
    await asyncio.sleep(PAUSE_S * 2)
    assert [] == bench.told

    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S / 5)
    assert ["lost"] == bench.told


async def test_one_that_is_not_registered_yet_is_published_when_it_is(bench: _Bench) -> None:
    bench.session.lapse()
    bench.does("early")
    await asyncio.sleep(PAUSE_S * 2)
    assert [] == bench.told

    bench.session.lease = LeaseId(2)
    bench.publishing.renew()
    await asyncio.sleep(PAUSE_S / 5)
    assert ["early"] == bench.told


async def test_an_idle_session_is_not_kept_alive_by_being_published(bench: _Bench) -> None:
    bench.does("once")
    await asyncio.sleep(PAUSE_S * 3)
    for _ in range(5):
        bench.publishing.renew()
        await asyncio.sleep(PAUSE_S)

    assert ["once"] == bench.told


async def test_what_was_done_is_known_to_the_agent_that_comes_after(
    bench: _Bench, tmp_path: Path
) -> None:
    bench.session.work.said_percent(40, "half way", 0.0)
    bench.does("on")
    bench.publishing.save()
    again = Sessions(tmp_path / "sessions.jsonl")
    again.load(0.0)
    session = again.get("a")

    assert session is not None
    assert session.work.progress == bench.session.work.progress


async def test_a_session_that_ends_takes_along_what_is_not_published_yet(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Published is one change a second at most."""
    own = Origin(pid=os.getpid())
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.PROMPT, own)
        await settle()
        for name in ("a.py", "b.py"):
            await agent.hear(EventKind.BEFORE_EDIT, own, paths=(name,))
            await agent.hear(EventKind.AFTER_EDIT, own, paths=(name,))
        await agent.hear(EventKind.SESSION_END, own)

        ((last,),) = (request.last for request in agent.coordinator.ended)
        assert (2, ["a.py", "b.py"]) == (last.edits, list(last.edited_files.paths))
        assert "example.com/shop" == last.project


async def test_one_that_nobody_told_through_this_agent_takes_nothing_along(bench: _Bench) -> None:
    """What the agent before us told last, it had not written down before it died."""
    assert [] == bench.publishing.last_of(bench.session)

    bench.does("on")
    assert ["on"] == [last.intent for last in bench.publishing.last_of(bench.session)]
    await asyncio.sleep(PAUSE_S / 5)
    assert ["on"] == [last.intent for last in bench.publishing.last_of(bench.session)]
