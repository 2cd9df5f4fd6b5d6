"""How long files were held lately, kept at hand so that a refusal asks nobody for it.

It is asked for in the background, at most once a minute, and only while somebody else
holds something: what that brought last is good enough for an estimate.
"""

import contextlib
from collections.abc import Sequence

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.history_pb2 import ListHoldTimesRequest, ListHoldTimesResponse
from scoord.v1.locks_pb2 import Lock
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.estimates import Completion, PastHold, completion
from scoord_agent.neighbours import Neighbours
from scoord_agent.sessions import Sessions

AGAIN_S = 60.0
"""How often they are asked for, at most."""

_MOST_PROJECTS = 200


class HoldTimes:
    """The latest holds of each project, and what they say of one that goes on."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        clock: Clock,
        background: Background,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._clock = clock
        self._background = background
        self._holds = BoundedDict[str, tuple[PastHold, ...]](_MOST_PROJECTS)
        self._asked_at = BoundedDict[str, float](_MOST_PROJECTS)

    def heard(self, project: ProjectId, response: WatchResponse) -> None:
        """The stream says that somebody holds something: it may soon be asked until when."""
        match response.WhichOneof("event"):
            case "lock":
                others = self._is_of_others(response.lock)
            case "snapshot":
                others = any(map(self._is_of_others, response.snapshot.locks))
            case _:
                others = False
        if others and self._is_due(project):
            self._background.start(self.ask(project))

    def completion(self, project: str, lock: Lock, neighbours: Neighbours) -> Completion | None:
        """When ``lock`` will be free, as far as is known here; waits for nothing."""
        known = neighbours.of(ProjectId(project))
        holder = known.session_at(lock.holder.session_id, self._clock.now())
        if self._is_due(project):
            self._background.start(self.ask(project))
        return completion(lock, holder, self._holds.get(project, ()))

    async def completions(
        self, project: str, locks: Sequence[Lock], neighbours: Neighbours
    ) -> list[Completion | None]:
        """The same of each of ``locks``; what it rests on is waited for, if it can be had."""
        with contextlib.suppress(ScoordError):
            await self.ask(project)
        return [self.completion(project, lock, neighbours) for lock in locks]

    async def ask(self, project: str) -> None:
        """Ask for them now, if that is due. Raises what the coordinator says."""
        if not self._is_due(project):
            return
        self._asked_at[project] = self._clock.now()
        request = ListHoldTimesRequest(project=project)
        response: ListHoldTimesResponse = await self._client.ask(
            lambda e: e.history.ListHoldTimes, request
        )
        holds = (
            PastHold(path_key(hold.path), hold.held_for.ToMilliseconds() / 1000)
            for hold in response.holds
        )
        self._holds[project] = tuple(holds)

    def _is_due(self, project: str) -> bool:
        asked_at = self._asked_at.get(project)
        return asked_at is None or self._clock.now() - asked_at >= AGAIN_S

    def _is_of_others(self, lock: Lock) -> bool:
        return self._sessions.get(lock.holder.session_id) is None
