"""Gives up places in queues, as they were last asked for.

One that was asked for again since, by another thread, stays: the coordinator compares.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from scoord.ids import AgentId, ProjectId, SessionId
from scoord.limits import MOST_PATHS
from scoord.v1.locks_pb2 import LeaveRequest
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.local_session import LocalSession
from scoord_agent.request import Request
from scoord_agent.turns import Place, Queued, Turns
from scoord_agent.waits import Waits


class Leaving:
    """Leaves the queues in which sessions of this machine wait."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        turns: Turns,
        waits: Waits,
        is_open: Callable[[Place], bool],
    ) -> None:
        """``is_open`` tells whether a place is asked for just now."""
        self._client = client
        self._turns = turns
        self._waits = waits
        self._is_open = is_open
        self._left = Counter[Place]()
        """Those that are being given up, and by how many requests."""

    async def leave(self, request: Request) -> None:
        """Give up the places in the queues of files. Raises what the coordinator says."""
        revision, places = self._turns.revision, request.places.items()
        left = {at: replace(queued, revision=revision(at)) for at, queued in places}
        await self.places(request.session, left)

    async def places(self, session: LocalSession, left: Mapping[Place, Queued]) -> None:
        """Give these up, as they were last asked for. Raises as above: the rest are kept."""
        for project, agent in sorted({(place.project, place.agent) for place in left}):
            its = {at: it for at, it in left.items() if (at.project, at.agent) == (project, agent)}
            await self._leave_as_meant(session, project, agent, its)

    def is_leaving(self, place: Place) -> bool:
        """Whether it is given up just now: that it is gone is no news."""
        return place in self._left

    async def all_of(self, session: LocalSession, agent: AgentId) -> None:
        """Give up all places that a holder has, which has ended. Raises as above."""
        await self._leave_those(session, lambda place: place.agent == agent)

    def confined(self, session: LocalSession) -> dict[Place, str]:
        """The places of a session that go by what is checked out in a worktree, and which."""
        return self._turns.confined(session.session_id)

    def promised(self, places: Collection[Place]) -> list[str]:
        """The paths at which a session is to be told of its turn at these."""
        return self._turns.promised(places)

    async def those(self, session: LocalSession, places: Collection[Place]) -> None:
        """Give up these, for branches that are not checked out any more. Raises as above."""
        await self._leave_those(session, lambda place: place in places)

    async def _leave_those(self, session: LocalSession, is_left: Callable[[Place], bool]) -> None:
        """Nothing is wanted there any more, whatever becomes of the requests."""
        session_id = session.session_id
        places = self._turns.leave(lambda place: place.session == session_id and is_left(place))
        self._wait_no_more(session, places)
        await self.places(session, places)

    async def _leave_as_meant(
        self,
        session: LocalSession,
        project: ProjectId,
        agent: AgentId,
        places: Mapping[Place, Queued],
    ) -> None:
        """Those of one holder: what is known of them here stays until that is answered."""
        asked = {at for at in places if self._is_open(at)}
        # Of what is asked for just now, the revision is not known.
        left = {at: replace(it, revision=0) if at in asked else it for at, it in places.items()}
        until = {at: it.revision or self._turns.revision(at) for at, it in left.items()}
        with self._leaving(left):
            await self._leave(project, (session.session_id, agent), [*left.values()])
        self._forget({at: it for at, it in until.items() if at in asked or not self._has_come(at)})
        self._wait_no_more(session, left)

    @contextmanager
    def _leaving(self, places: Iterable[Place]) -> Iterator[None]:
        """Around giving these up: the stream may tell that they are gone before the answer."""
        left = Counter([*places])
        self._left += left
        try:
            yield
        finally:
            self._left -= left

    def _has_come(self, place: Place) -> bool:
        """Whether it is asked for just now, and its turn has come since: that is news."""
        return self._is_open(place) and self._turns.has_come(place)

    def _forget(self, until: Mapping[Place, int]) -> None:
        """Expect no turn at these, but where one was asked for again since: after a revision."""
        for place, revision in until.items():
            if self._turns.revision(place) <= revision:
                self._turns.had(place)

    def _wait_no_more(self, session: LocalSession, left: Iterable[Place]) -> None:
        """Nobody sees it wait at these, unless it has another place there."""
        for at in left:
            if not self._turns.waits(at.project, at.key, session.session_id):
                self._waits.over(session, at.project, [at.key])

    async def _leave(
        self, project: ProjectId, who: tuple[SessionId, AgentId], left: Sequence[Queued]
    ) -> None:
        session_id, agent_id = who
        for start in range(0, len(left), MOST_PATHS):
            part = left[start : start + MOST_PATHS]
            request = LeaveRequest(
                request_id=new_request_id(),
                project=project,
                session_id=session_id,
                agent_id=agent_id,
                paths=(queued.path for queued in part),
                place_revisions=(queued.revision for queued in part),
                place_branches=(queued.branch for queued in part),
            )
            await self._client.leave(request)
