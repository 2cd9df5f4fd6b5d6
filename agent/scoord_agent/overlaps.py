"""Edits beside a holder, by ``conflict_action``: which of them it is news of.

With ``warn`` the question tells the holder, with ``proceed`` a report does; either is a line
of history, once for each grant that a session goes beside, not at every edit.
"""

from collections.abc import Iterable

from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.text import one_line
from scoord.v1.locks_pb2 import Conflict, ReportKind, ReportRequest
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.neighbours import Neighbours
from scoord_agent.request import Request


class Overlaps:
    """The grants that this machine's sessions edit beside."""

    def __init__(
        self, client: CoordinatorClient, neighbours: Neighbours, background: Background
    ) -> None:
        self._client = client
        self._neighbours = neighbours
        self._background = background

    def are_to_be_told(self, request: Request) -> bool:
        """Whether a holder of these files, if there is one, was not told yet."""
        beside = request.session.remembered.beside
        known = ((request.project, key) in beside for key in request.keys)
        return request.conflict_action == "warn" and not all(known)

    def note(self, request: Request, conflicts: Iterable[Conflict], *, told: bool) -> bool:
        """Remember what an edit goes beside; False when its holder has still to be ``told``."""
        if request.conflict_action == "block":
            return True  # it does not go on
        beside = request.session.remembered.beside
        new = [one for one in conflicts if beside.get(_file(request, one)) != one.lock.token]
        if request.conflict_action == "warn" and new and not told:
            for conflict in new:
                beside.pop(_file(request, conflict), None)
            return False
        for conflict in new:
            beside[_file(request, conflict)] = conflict.lock.token
            if request.conflict_action == "proceed":
                self._background.start(self._record(request, conflict))
        return True

    async def _record(self, request: Request, conflict: Conflict) -> None:
        """What is not answered is recorded at the next edit; one that is under way is no news."""
        try:
            await self._report(request, conflict.path)
        except ScoordError:
            beside, file = request.session.remembered.beside, _file(request, conflict)
            if beside.get(file) == conflict.lock.token:
                beside.pop(file, None)
            raise

    async def _report(self, request: Request, path: str) -> None:
        await self._client.report(
            ReportRequest(
                request_id=new_request_id(),
                project=request.project,
                session_id=request.session.session_id,
                agent_id=request.agent,
                path=path,
                kind=ReportKind.REPORT_KIND_OVERLAP,
                heard_revision=self._neighbours.of(request.project).revision,
                scope=request.claimant.scope,
                branch=one_line(request.head.branch),
                reason=request.reason,
            )
        )


def _file(request: Request, conflict: Conflict) -> tuple[ProjectId, str]:
    return request.project, path_key(conflict.path)
