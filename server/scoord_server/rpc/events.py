"""EventService: the view's steps as a stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from math import inf
from typing import Any

import grpc

from scoord.clock import Clock
from scoord.errors import InvalidRequest
from scoord.ids import ProjectId, SessionId
from scoord.v1.events_pb2 import (
    AcknowledgeRequest,
    AcknowledgeResponse,
    Progress,
    WatchRequest,
    WatchResponse,
)
from scoord.v1.events_pb2_grpc import EventServiceServicer
from scoord_server.coordinator import Coordinator
from scoord_server.rpc import messages
from scoord_server.view import Snapshot, Step, View

Context = grpc.aio.ServicerContext[Any, Any]

COALESCE_S = 0.01
PROGRESS_S = 1.0
"""How often a stream is told at most that changes of the store were none of its own. Much
less than what its agent believes in a lock for without hearing from it."""

MAX_NOTICES = 100


class Events(EventServiceServicer):
    """Streams changes."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._coordinator = coordinator
        self._view = view
        self._clock = clock

    async def Watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
        """First a snapshot, then every change after it, in order."""
        told_at = -inf
        async with aclosing(self._view.subscribe()) as steps:
            async for step in steps:
                for response in self._responses(step, request.project, told_at):
                    told_at = told_at if response.HasField("snapshot") else self._clock.now()
                    yield response
                # Nobody waits for a stream, but commands wait for this process: what
                # comes within this time goes out together, after their answers.
                await asyncio.sleep(COALESCE_S)

    async def Acknowledge(
        self, request: AcknowledgeRequest, context: Context
    ) -> AcknowledgeResponse:
        """Take note of notices."""
        if not 1 <= len(request.notice_ids) <= MAX_NOTICES:
            raise InvalidRequest(f"1 to {MAX_NOTICES} notices can be acknowledged at once")
        await self._coordinator.reporting.acknowledge(
            ProjectId(request.project), SessionId(request.session_id), tuple(request.notice_ids)
        )
        return AcknowledgeResponse()

    def _responses(
        self, step: Snapshot | Step, project: str, told_at: float
    ) -> Iterator[WatchResponse]:
        if isinstance(step, Snapshot):
            yield messages.snapshot(step, project, self._clock)
            return
        changes = (messages.change(step.revision, c, project, self._clock) for c in step.changes)
        own = tuple(filter(None, changes))
        yield from own
        # Where others are busy, a project that is not must hear that nothing was missed:
        # its locks are believed in no longer than its stream is heard.
        if not own and (not step.changes or self._clock.now() - told_at >= PROGRESS_S):
            yield WatchResponse(revision=step.revision, progress=Progress())
