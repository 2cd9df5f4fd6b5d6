"""HistoryService: read the request, ask the coordinator, build the reply."""

from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from typing import Any

import grpc

from scoord.clock import Clock
from scoord.errors import InvalidRequest
from scoord.limits import MOST_KINDS
from scoord.names import check_characters, path_key
from scoord.v1 import history_pb2 as pb
from scoord.v1.history_pb2_grpc import HistoryServiceServicer
from scoord.v1.records_pb2 import ArchiveRecord, HoldRecord
from scoord_server.model.recall import Line, Wanted
from scoord_server.recalling import Recalling
from scoord_server.rpc import checks, messages

MOST_AT_ONCE = 1_000
AT_ONCE = 100

_MOST_CURSOR = 1_000  # characters
_MOST_PERSON = 500
"""Characters of a person at a host, as both are shown."""

Context = grpc.aio.ServicerContext[Any, Any]


class History(HistoryServiceServicer):
    """Reads what was written down."""

    def __init__(self, recalling: Recalling, clock: Clock) -> None:
        self._recalling = recalling
        self._clock = clock

    async def ReadHistory(
        self, request: pb.ReadHistoryRequest, context: Context
    ) -> pb.ReadHistoryResponse:
        """One page of lines, newest first."""
        project, limit = checks.project(request.project), _limit(request.limit)
        wanted = _wanted(request.filter)
        page = await self._recalling.read(project, wanted, limit, _cursor(request.before))
        events = (self._event(project, line) for line in page.lines)
        return pb.ReadHistoryResponse(events=events, before=page.before, revision=page.revision)

    async def FollowHistory(
        self, request: pb.FollowHistoryRequest, context: Context
    ) -> AsyncIterator[pb.FollowHistoryResponse]:
        """Every line from now on."""
        project, wanted = checks.project(request.project), _wanted(request.filter, since=False)
        after = checks.revision("after_revision", request.after_revision)
        lines = self._recalling.follow(project, wanted, after)
        async with aclosing(lines):
            async for line in lines:
                yield pb.FollowHistoryResponse(event=self._event(project, line))

    async def ListArchive(
        self, request: pb.ListArchiveRequest, context: Context
    ) -> pb.ListArchiveResponse:
        """One page of work logs, newest first."""
        project, limit = checks.project(request.project), _limit(request.limit)
        since_ms = messages.milliseconds("since", request.since)
        session, person = _who(request)
        wanted = Wanted(session=session, person=person, since_ms=since_ms)
        logs = await self._recalling.logs(project, wanted, limit, _cursor(request.before))
        found = (self._work_log(record) for record in logs.records)
        return pb.ListArchiveResponse(logs=found, before=logs.before)

    async def ListHoldTimes(
        self, request: pb.ListHoldTimesRequest, context: Context
    ) -> pb.ListHoldTimesResponse:
        """The latest holds that are over."""
        holds = await self._recalling.hold_times(checks.project(request.project))
        times = (pb.HoldTime(path=h.path, held_for=messages.duration(h.held_ms)) for h in holds)
        return pb.ListHoldTimesResponse(holds=times)

    def _event(self, project: str, line: Line) -> pb.HistoryEvent:
        record = line.record
        return pb.HistoryEvent(
            event_id=line.event_id,
            project=project,
            kind=record.kind,
            session=record.session,
            paths=record.paths,
            tokens=line.tokens,
            by=record.by,
            reason=record.reason,
            others=record.others,
            ago=messages.duration(self._clock.wall_ms() - record.at_unix_ms),
            at_unix_ms=record.at_unix_ms,
            request_id=record.request_id,
            revision=line.revision,
        )

    def _work_log(self, record: ArchiveRecord) -> pb.WorkLog:
        return pb.WorkLog(
            session=record.session,
            how=record.how,
            why=record.why,
            lasted=messages.duration(record.ended_unix_ms - record.registered_unix_ms),
            ended_ago=messages.duration(self._clock.wall_ms() - record.ended_unix_ms),
            holds=map(_hold, record.holds),
            refusals=record.refusals,
            waited=messages.duration(record.waited_ms),
            partial=record.partial,
        )


def _hold(record: HoldRecord) -> pb.Hold:
    held_for = messages.duration(record.held_ms)
    return pb.Hold(path=record.path, grants=record.grants, held_for=held_for)


def _limit(asked: int) -> int:
    if not 0 <= asked <= MOST_AT_ONCE:
        raise InvalidRequest(f"limit is {asked}; 1 to {MOST_AT_ONCE} are allowed, 0 is {AT_ONCE}")
    return asked or AT_ONCE


def _cursor(before: str) -> str:
    if len(before) > _MOST_CURSOR:
        raise InvalidRequest("before is not where a page of ours ended")
    return before


def _wanted(asked: pb.HistoryFilter, *, since: bool = True) -> Wanted:
    session, person = _who(asked)
    path = asked.path.rstrip("/")
    if path:
        check_characters(path)
    return Wanted(
        session=session,
        path=path_key(path) if path else "",
        person=person,
        kinds=_kinds("kinds", asked.kinds),
        without=_kinds("without_kinds", asked.without_kinds),
        since_ms=messages.milliseconds("filter.since", asked.since) if since else 0,
    )


def _who(asked: pb.HistoryFilter | pb.ListArchiveRequest) -> tuple[str, str]:
    """The session and the person who are asked for."""
    session = checks.text("session", asked.session, checks.MOST_ID)
    return session, checks.text("person", asked.person, _MOST_PERSON)


def _kinds(field: str, kinds: Collection[str]) -> frozenset[str]:
    checks.up_to(field, kinds, MOST_KINDS)
    return frozenset(checks.text(field, kind, checks.MOST_ID) for kind in kinds)
