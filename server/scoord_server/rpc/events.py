"""EventService: the view's steps as a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from scoord.clock import Clock
from scoord.limits import MOST_NOTICES
from scoord.v1.events_pb2 import (
    AcknowledgeRequest,
    AcknowledgeResponse,
    Progress,
    WatchRequest,
    WatchResponse,
)
from scoord.v1.events_pb2_grpc import EventServiceServicer
from scoord_server.coordinator import Coordinator
from scoord_server.rpc import checks
from scoord_server.rpc.changes import Changes
from scoord_server.rpc.snapshots import Snapshots
from scoord_server.view import Snapshot, Step, View

Context = grpc.aio.ServicerContext[Any, Any]

COALESCE_S = 0.01

_MOST_NOTICE_ID = 2 * checks.MOST_ID
"""It is that of the command which it tells of, and the kind of that."""

PROGRESS_S = 1.0
"""A stream says that nothing has changed in its project no more often than this; the
store may be as busy with others as it likes."""


class Events(EventServiceServicer):
    """Streams changes."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._coordinator = coordinator
        self._view = view
        self._clock = clock
        self._snapshots = Snapshots(clock)
        self._changes = Changes(clock)

    async def Watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
        """First a snapshot, then every change after it, in order."""
        project, said_at = checks.any_project(request.project), float("-inf")
        # Twice as often as it may be said: the view counts from another moment than we do.
        followed = self._view.subscribe(project, PROGRESS_S / 2)
        async with aclosing(followed) as steps:
            async for step in steps:
                responses = await self._responses(step, project)
                for response in responses:
                    yield response
                # What an agent holds it believes in only while its stream is heard, and
                # the store says that it lives only while it is idle: others may keep it busy.
                if not responses and self._clock.now() >= said_at + PROGRESS_S:
                    said_at = self._clock.now()
                    yield WatchResponse(revision=step.revision, progress=Progress())
                # Nobody waits for a stream, but commands wait for this process: what
                # comes within this time goes out together, after their answers.
                await asyncio.sleep(COALESCE_S)

    async def Acknowledge(
        self, request: AcknowledgeRequest, context: Context
    ) -> AcknowledgeResponse:
        """Take note of notices."""
        notices = checks.bounded("notices", request.notice_ids, MOST_NOTICES)
        await self._coordinator.reporting.acknowledge(
            checks.project(request.project),
            checks.session_id(request.session_id),
            tuple(checks.text("notice_ids", one, _MOST_NOTICE_ID) for one in notices),
        )
        return AcknowledgeResponse()

    async def _responses(self, step: Snapshot | Step, project: str) -> list[WatchResponse]:
        """What ``step`` tells of ``project``; empty when nothing in it is about that."""
        if isinstance(step, Snapshot):
            return [await self._snapshots.message(step, project)]
        return self._changes.messages(step, project)
