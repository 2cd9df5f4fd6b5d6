"""Releases whose answer did not come: sent again until one does.

From the first try on the locks are not held. One whose answer is lost may have
freed them, so they are not believed in again; one that is late on its way may still
free them, so no new grant is asked for before it is answered: the store would give
the same token again, and the late release would end it.
"""

from dataclasses import dataclass

from scoord.errors import BadRequest, Refused
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.v1.locks_pb2 import ReleaseOutcome, ReleaseRequest
from scoord_agent import wording
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.sessions import LocalSession

_MOST_PATHS = 4096
"""Remembered; what matters was given back within the last seconds."""


@dataclass(frozen=True, slots=True)
class _Owing:
    """One release, and whether its session is told of what it did not hold any more."""

    session: LocalSession
    request: ReleaseRequest
    tells: bool


class Owed:
    """What this machine has given back, and was not told that it is over."""

    def __init__(self, client: CoordinatorClient) -> None:
        self._client = client
        self._requests: dict[str, _Owing] = {}
        self._given_back: dict[tuple[str, str, str], int] = {}
        """The last token that a session gave back, by project and path key."""

    async def give_back(
        self,
        session: LocalSession,
        request: ReleaseRequest,
        patience_s: float = 0.0,
        *,
        tells: bool = True,
    ) -> None:
        """Send ``request``. Raises what the coordinator says; it is owed then.

        With ``tells`` the session hears of what it did not hold any more.
        """
        self._requests[request.request_id] = _Owing(session, request, tells)
        self._remember(request)
        await self._send(self._requests[request.request_id], patience_s)

    async def _send(self, owing: _Owing, patience_s: float = 0.0) -> None:
        request = owing.request
        try:
            response = await self._client.release(request, patience_s)
        except (BadRequest, Refused):
            self._requests.pop(request.request_id, None)
            raise
        if self._requests.pop(request.request_id, None) and owing.tells:
            over = ReleaseOutcome.RELEASE_OUTCOME_NOT_HOLDER
            pairs = zip(request.locks, response.outcomes, strict=True)
            if lost := [ref.path for ref, outcome in pairs if outcome == over]:
                owing.session.tell_loss(wording.lost(lost))

    def is_given_back(
        self, session: LocalSession, project: ProjectId, key: str, token: int
    ) -> bool:
        """Whether a grant was given back: an acquire that was under way may still name it."""
        return token <= self._given_back.get((session.session_id, project, key), 0)

    async def settle(self) -> None:
        """Send again all that is owed. Raises as ``give_back``."""
        for owing in tuple(self._requests.values()):
            await self._send(owing)

    async def settle_first(
        self, asker: LocalSession, project: ProjectId, keys: set[str], patience_s: float
    ) -> None:
        """Send again what ``asker`` owes of ``keys``, before it asks for them. Raises as above."""
        for owing in tuple(self._requests.values()):
            its = owing.session is asker and owing.request.project == project
            if its and keys & {path_key(ref.path) for ref in owing.request.locks}:
                await self._send(owing, patience_s)

    def _remember(self, request: ReleaseRequest) -> None:
        if len(self._given_back) >= _MOST_PATHS:
            self._given_back.clear()
        for ref in request.locks:
            place = (request.session_id, request.project, path_key(ref.path))
            self._given_back[place] = ref.token
