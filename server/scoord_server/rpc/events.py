"""EventService: the view's steps as a stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
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

COALESCE_S = 0.01
MAX_NOTICES = 100


class Events(EventServiceServicer):
    """Streams changes."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._coordinator = coordinator
        self._view = view
        self._clock = clock

    async def Watch(
        self, request: WatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WatchResponse]:
        """First a snapshot, then every change after it, in order."""
        async with aclosing(self._view.subscribe()) as steps:
            async for step in steps:
                for response in self._responses(step, request.project):
                    yield response
                # Nobody waits for a stream, but commands wait for this process: what
                # comes within this time goes out together, after their answers.
                await asyncio.sleep(COALESCE_S)

    async def Acknowledge(
        self, request: AcknowledgeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AcknowledgeResponse:
        """Take note of notices."""
        if not 1 <= len(request.notice_ids) <= MAX_NOTICES:
            raise InvalidRequest(f"1 to {MAX_NOTICES} notices can be acknowledged at once")
        await self._coordinator.reporting.acknowledge(
            ProjectId(request.project), SessionId(request.session_id), tuple(request.notice_ids)
        )
        return AcknowledgeResponse()

    def _responses(self, step: Snapshot | Step, project: str) -> Iterator[WatchResponse]:
        if isinstance(step, Snapshot):
            yield messages.snapshot(step, project, self._clock)
            return
        changes = (messages.change(step.revision, c, project, self._clock) for c in step.changes)
        yield from filter(None, changes)
        if not step.changes:
            yield WatchResponse(revision=step.revision, progress=Progress())
