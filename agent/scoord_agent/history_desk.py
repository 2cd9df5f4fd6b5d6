"""What people and scripts ask the agent about the past, and to have what is stale swept away."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from scoord.clock import Clock
from scoord.errors import Unknown
from scoord.happenings import DETAILS
from scoord.ids import ProjectId
from scoord.paths import Locator
from scoord.v1.history_pb2 import (
    FollowHistoryRequest,
    FollowHistoryResponse,
    HistoryEvent,
    HistoryFilter,
    ListArchiveRequest,
    ListArchiveResponse,
    ReadHistoryResponse,
)
from scoord.v1.sessions_pb2 import SweepRequest, SweepResponse
from scoord_agent.arguments import is_rooted
from scoord_agent.coordinator import CoordinatorClient, seconds
from scoord_agent.history_pages import add_page
from scoord_agent.history_rows import event_row, log_row, sweep_row
from scoord_agent.places import project_of
from scoord_agent.rows import IsLocal

_log = logging.getLogger(__name__)

Answer = dict[str, Any]

READ_WITHIN_S = 6.0
"""A filter that lets little through may need many pages; who asks waits ten seconds."""

PAGE = 200

FOLLOW_PATIENCE_S = 60.0
"""How long a coordinator may be away while somebody follows."""

_RETRY_S = 0.5

_ANY = "-"
"""Only files have places in a project: a folder's is that of any file in it."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which part of the past a command in ``cwd`` asks for; what is empty selects all."""

    cwd: str
    session: str = ""
    file: str = ""
    person: str = ""
    kinds: tuple[str, ...] = ()
    details_too: bool = False
    """Whether lines of every kind are wanted, where none are named."""
    since_s: float = 0.0
    limit: int = 50


class _Reached:
    """How far a history was followed: up to a revision, and which lines are known after it."""

    def __init__(self, revision: int, known: set[str]) -> None:
        self.revision = revision
        self._known = known

    def take(self, event: HistoryEvent) -> bool:
        """Go on to a line; False when it is known already."""
        if event.event_id in self._known:
            return False
        # Of one revision there may be several: it is asked for again.
        is_next = event.revision - 1 > self.revision
        self._known = {event.event_id} if is_next else self._known | {event.event_id}
        self.revision = event.revision - 1
        return True


class HistoryDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self, *, client: CoordinatorClient, locator: Locator, clock: Clock, is_local: IsLocal
    ) -> None:
        self._client = client
        self._locator = locator
        self._clock = clock
        self._is_local = is_local

    async def read(self, question: Question) -> Answer:
        """The latest lines that are wanted, newest first."""
        project, wanted = await self._wanted(question)
        page = await self._read(project, wanted, question.limit)
        return {
            "project": project,
            "events": [event_row(event, self._is_local) for event in page.events],
            "complete": not page.before,
        }

    async def logs(self, question: Question) -> Answer:
        """Logs of finished sessions, newest first."""
        project, wanted = await self._wanted(question)
        request = ListArchiveRequest(
            project=project,
            session=wanted.session,
            person=wanted.person,
            since=wanted.since,
            limit=question.limit,
        )
        found: ListArchiveResponse = await self._client.ask(
            lambda e: e.history.ListArchive, request
        )
        return {
            "project": project,
            "logs": [log_row(log) for log in found.logs],
            "complete": not found.before,
        }

    async def follow(self, question: Question) -> AsyncGenerator[Answer, None]:
        """The latest lines, oldest first, then every one that comes, each once.

        Raises Unknown when no coordinator can be asked for too long.
        """
        project, wanted = await self._wanted(question)
        page = await self._read(project, wanted, question.limit)
        for event in reversed(page.events):
            yield event_row(event, self._is_local)
        reached = _Reached(page.revision, {event.event_id for event in page.events})
        lines = self._from(project, wanted, reached)
        async with contextlib.aclosing(lines):
            async for event in lines:
                yield event_row(event, self._is_local)

    async def refresh(self, cwd: str, *, everything: bool) -> Answer:
        """Have the coordinator read its store anew, and end what is stale."""
        project = "" if everything else await project_of(self._locator, cwd)
        done: SweepResponse = await self._client.ask(
            lambda e: e.sessions.Sweep, SweepRequest(project=project)
        )
        return {"project": project, **sweep_row(done, self._is_local)}

    async def _read(self, project: str, wanted: HistoryFilter, limit: int) -> ReadHistoryResponse:
        """As many pages as it takes for ``limit`` lines, or as time allows."""
        found, until = ReadHistoryResponse(), self._clock.now() + READ_WITHIN_S
        while await add_page(
            self._client, project, wanted, min(limit - len(found.events), PAGE), found
        ):
            if len(found.events) >= limit or self._clock.now() > until:
                break
        return found

    async def _from(
        self, project: str, wanted: HistoryFilter, reached: _Reached
    ) -> AsyncGenerator[HistoryEvent, None]:
        """Every line that is not reached yet, over breaks of the stream."""
        heard_at = self._clock.now()
        while True:
            stream = self._stream(project, wanted, reached.revision)
            try:
                async with contextlib.aclosing(stream) as responses:
                    async for response in responses:
                        heard_at = self._clock.now()
                        if reached.take(response.event):
                            yield response.event
            except Unknown as error:
                if self._clock.now() - heard_at > FOLLOW_PATIENCE_S:
                    raise
                _log.info("history is followed anew: %s", error)
                heard_at = max(heard_at, self._connected_at())
            await asyncio.sleep(_RETRY_S)

    def _stream(
        self, project: str, wanted: HistoryFilter, revision: int
    ) -> AsyncGenerator[FollowHistoryResponse, None]:
        """What comes after ``revision``, until the stream breaks."""
        request = FollowHistoryRequest(project=project, filter=wanted, after_revision=revision)
        return self._client.stream(lambda e: e.history.FollowHistory, request)

    def _connected_at(self) -> float:
        """When the coordinator last answered anything: a quiet history is no broken one."""
        return self._client.connection.heard_at or 0.0

    async def _wanted(self, question: Question) -> tuple[ProjectId, HistoryFilter]:
        project, path = await project_of(self._locator, question.cwd), ""
        if question.file:
            project, path = await asyncio.to_thread(self._locate, question.file, question.cwd)
        return project, HistoryFilter(
            session=question.session,
            path=path,
            person=question.person,
            kinds=question.kinds,
            without_kinds=() if question.kinds or question.details_too else DETAILS,
            since=seconds(question.since_s),
        )

    def _locate(self, name: str, cwd: str) -> tuple[ProjectId, str]:
        """The project of a file or folder, and its path in it; the root's is empty."""
        worktree = self._locator.worktree_of(cwd)
        if worktree and is_rooted(name, worktree.root):
            return worktree.project, name
        if not os.path.isdir(os.path.join(cwd, name)):  # noqa: PTH112, PTH118 (as arguments.py)
            file = self._locator.locate(name.rstrip("/"), cwd)
            return file.project, file.shown
        inside = self._locator.locate(f"{name}/{_ANY}", cwd)
        return inside.project, inside.shown.removesuffix(_ANY).rstrip("/")
