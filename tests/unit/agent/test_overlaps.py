"""What an edit beside a holder is news of."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from scoord.config import Settings, load
from scoord.errors import CoordinatorUnreachable
from scoord.ids import AgentId, ProjectId, SessionId
from scoord.names import path_key
from scoord.paths import FileIdentity, Head
from scoord.v1.locks_pb2 import Conflict, Lock, LockScope, ReportKind, ReportRequest
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood, Neighbours
from scoord_agent.overlaps import Overlaps
from scoord_agent.request import Request

SHOP = ProjectId("shop")


@dataclass
class Client:
    """Keeps what is reported."""

    reports: list[ReportRequest] = field(default_factory=list)
    is_away: bool = False

    async def report(self, request: ReportRequest) -> None:
        if self.is_away:
            raise CoordinatorUnreachable("away")
        self.reports.append(request)

    def of(self, _project: ProjectId) -> Neighbourhood:
        """What is known of the project."""
        return Neighbourhood(revision=42)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(None, tmp_path, {})


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def overlaps(client: Client) -> Overlaps:
    neighbours = cast("Neighbours", client)
    return Overlaps(cast("CoordinatorClient", client), neighbours, Background())


@pytest.fixture
def a() -> LocalSession:
    return LocalSession(SessionId("Session_a"), "claude-code", None, "/")


@pytest.fixture
def b() -> LocalSession:
    return LocalSession(SessionId("Session_b"), "claude-code", None, "/")


def edit(session: LocalSession, settings: Settings, action: str, *files: str) -> Request:
    found = tuple(FileIdentity(SHOP, file, path_key(file), None) for file in files or ("a.py",))
    return Request(session, AgentId(""), SHOP, found, settings, "why", action)


def beside(token: int, path: str = "a.py") -> Conflict:
    return Conflict(path=path, lock=Lock(path=path, token=token))


def test_a_holder_is_to_be_told_once_for_each_grant(
    overlaps: Overlaps, a: LocalSession, settings: Settings
) -> None:
    warned = edit(a, settings, "warn")
    assert overlaps.are_to_be_told(warned)
    assert overlaps.note(warned, [beside(7)], told=True)

    assert not overlaps.are_to_be_told(warned)
    assert overlaps.note(warned, [beside(7)], told=False)

    assert not overlaps.note(warned, [beside(8)], told=False), "another grant: ask again"
    assert overlaps.are_to_be_told(warned)
    assert overlaps.note(warned, [beside(8)], told=True)
    assert not overlaps.are_to_be_told(warned)


def test_each_session_and_each_file_is_news(
    overlaps: Overlaps, a: LocalSession, b: LocalSession, settings: Settings
) -> None:
    overlaps.note(edit(a, settings, "warn"), [beside(7)], told=True)

    assert overlaps.are_to_be_told(edit(b, settings, "warn"))
    assert overlaps.are_to_be_told(edit(a, settings, "warn", "a.py", "b.py"))
    assert not overlaps.are_to_be_told(edit(a, settings, "warn", "A.py"))


@pytest.mark.parametrize("action", ["block", "proceed"])
def test_only_who_goes_on_with_a_warning_tells(
    overlaps: Overlaps, a: LocalSession, settings: Settings, action: str
) -> None:
    assert not overlaps.are_to_be_told(edit(a, settings, action))


async def test_who_proceeds_is_recorded_once_for_each_grant(
    overlaps: Overlaps, a: LocalSession, settings: Settings, client: Client
) -> None:
    on_topic = replace(edit(a, settings, "proceed"), head=Head("topic"))
    for token in (7, 7, 8):
        assert overlaps.note(on_topic, [beside(token)], told=False)
    await asyncio.sleep(0.01)

    assert 2 == len(client.reports)
    (report, _) = client.reports
    assert (report.path, report.session_id, report.heard_revision) == ("a.py", "Session_a", 42)
    assert report.kind == ReportKind.REPORT_KIND_OVERLAP
    assert (report.branch, report.reason) == ("topic", "why"), (
        "as the holder is told with a warning"
    )
    assert report.scope == LockScope.LOCK_SCOPE_REPOSITORY


async def test_what_could_not_be_recorded_is_recorded_at_the_next_edit(
    overlaps: Overlaps, a: LocalSession, settings: Settings, client: Client
) -> None:
    client.is_away = True
    overlaps.note(edit(a, settings, "proceed"), [beside(7)], told=False)
    await asyncio.sleep(0.01)
    client.is_away = False
    for _ in range(2):
        overlaps.note(edit(a, settings, "proceed"), [beside(7)], told=False)
        await asyncio.sleep(0.01)

    assert 1 == len(client.reports)


async def test_a_refused_edit_is_not_recorded(
    overlaps: Overlaps, a: LocalSession, settings: Settings, client: Client
) -> None:
    assert overlaps.note(edit(a, settings, "block"), [beside(7)], told=False)
    await asyncio.sleep(0.01)

    assert [] == client.reports


async def test_what_was_refused_is_news_to_the_holder_once_it_goes_on(
    overlaps: Overlaps, a: LocalSession, settings: Settings
) -> None:
    overlaps.note(edit(a, settings, "block"), [beside(7)], told=False)

    assert overlaps.are_to_be_told(edit(a, settings, "warn"))
