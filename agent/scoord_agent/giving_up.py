"""The places in queues that a command gives up together with what it gives back."""

from collections.abc import Container, Iterable, Mapping, Sequence

from scoord.errors import Unknown
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator
from scoord.text import one_line
from scoord.v1.locks_pb2 import Waiter
from scoord_agent import wording
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.reactions import waits_at
from scoord_agent.taking import Taking
from scoord_agent.turns import Place, Queued, Turns


class GivingUp:
    """Finds them, and gives them up: the coordinator knows those of before this agent too."""

    def __init__(
        self, *, client: CoordinatorClient, taking: Taking, turns: Turns, locator: Locator
    ) -> None:
        self._client = client
        self._taking = taking
        self._turns = turns
        self._locator = locator

    async def of(
        self,
        session: LocalSession,
        files: Iterable[FileIdentity],
        given_back: Container[FileIdentity],
    ) -> list[FileIdentity]:
        """Wait for none of ``files`` any more; those that it waited for.

        A subagent goes on waiting for what its session has ``given_back``. Raises what the
        coordinator says, and Unknown only where there is something to give up.
        """
        mine = [file for file in files if file.project in session.aliases]
        asked = [f for f in mine if f not in given_back or self.waits(session, f)]
        left = list[FileIdentity]()
        for project in dict.fromkeys(file.project for file in asked):
            there = [file for file in asked if file.project == project]
            waiters = await self._waiters(session, project, there)
            for file in there:
                if places := self._places(file, waiters, all_agents=file not in given_back):
                    await self._taking.leaving.places(session, places)
                    _tell(session, places)
                    left.append(file)
        return left

    async def _waiters(
        self, session: LocalSession, project: ProjectId, files: Sequence[FileIdentity]
    ) -> list[Waiter]:
        try:
            waiters = (await self._client.list_locks(project)).waiters
        except Unknown:
            if any(self.waits(session, file) for file in files):
                raise
            return []
        return [waiter for waiter in waiters if waiter.holder.session_id == session.session_id]

    def waits(self, session: LocalSession, file: FileIdentity) -> bool:
        """Whether it is known here to wait for the file."""
        return self._turns.waits(file.project, file.key, session.session_id)

    def _places(
        self, file: FileIdentity, waiters: Iterable[Waiter], *, all_agents: bool
    ) -> Mapping[Place, Queued]:
        """Those of a file, as they stand: a late message may have asked for one again."""
        branch = one_line(self._locator.head(file.worktree).branch)
        of_file = (waiter for waiter in waiters if path_key(waiter.path) == file.key)
        places = {waits_at(file.project, waiter): waiter for waiter in of_file}
        return {
            place: Queued(waiter.path, waiter.revision, place.branch)
            for place, waiter in places.items()
            if place.branch in ("", branch) and (all_agents or place.agent == MAIN)
        }


def _tell(session: LocalSession, places: Mapping[Place, Queued]) -> None:
    """Which thread gave them up, nobody knows: where not only the main one waited, each is told."""
    if any(place.agent != MAIN for place in places):
        for place, queued in places.items():
            session.tell_editor(wording.place_given_up(queued.path, place.branch), place.agent)
