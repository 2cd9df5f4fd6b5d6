"""Edits beside a holder, by ``conflict_action``: which of them it is news of.

With ``warn`` the holder is told, with ``proceed`` it is recorded; each once for each
grant that a session goes beside, not at every edit.
"""

from collections.abc import Iterable

from scoord.bounded import BoundedDict
from scoord.ids import ProjectId, SessionId
from scoord.names import path_key
from scoord.v1.locks_pb2 import Conflict, ReportKind, ReportRequest
from scoord_agent.asking import scope_of
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.neighbours import Neighbours
from scoord_agent.request import Request

_MOST = 10_000

_Beside = tuple[SessionId, ProjectId, str]


class Overlaps:
    """The grants that this machine's sessions edit beside."""

    def __init__(
        self, client: CoordinatorClient, neighbours: Neighbours, background: Background
    ) -> None:
        self._client = client
        self._neighbours = neighbours
        self._background = background
        self._tokens = BoundedDict[_Beside, int](_MOST)

    def are_to_be_told(self, request: Request) -> bool:
        """Whether a holder of these files, if there is one, was not told yet."""
        known = (_beside(request, key) in self._tokens for key in request.keys)
        return request.conflict_action == "warn" and not all(known)

    def note(self, request: Request, conflicts: Iterable[Conflict], *, told: bool) -> bool:
        """Remember what an edit goes beside; False when its holder has still to be ``told``."""
        new = [conflict for conflict in conflicts if self._is_news(request, conflict)]
        if request.conflict_action == "warn" and new and not told:
            for conflict in new:
                self._tokens.pop(_beside(request, path_key(conflict.path)), None)
            return False
        for conflict in new:
            self._tokens[_beside(request, path_key(conflict.path))] = conflict.lock.token
            if request.conflict_action == "proceed":
                self._background.start(self._report(request, conflict.path))
        return True

    def _is_news(self, request: Request, conflict: Conflict) -> bool:
        known = self._tokens.get(_beside(request, path_key(conflict.path)))
        return known != conflict.lock.token

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
                scope=scope_of(request),
                branch=request.claimant.branch,
            )
        )


def _beside(request: Request, key: str) -> _Beside:
    return request.session.session_id, request.project, key
