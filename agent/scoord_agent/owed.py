"""Releases whose answer did not come: sent again until one does.

From the first try on the locks are not held. One whose answer is lost may have
freed them, so they are not believed in again; one that is late on its way may still
free them, so no new grant is asked for before it is answered: the store would give
the same token again, and the late release would end it. It outlives the agent, for the
same reason: the agent after us goes on with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from scoord.errors import BadRequest, Refused
from scoord.ids import LeaseId, ProjectId
from scoord.limits import MOST_PATHS
from scoord.names import path_key
from scoord.v1.locks_pb2 import ReleaseOutcome, ReleaseRequest
from scoord_agent import wording_losses
from scoord_agent.asking import ref_of
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession


@dataclass(frozen=True, slots=True)
class Owing:
    """One release, and whether its session is told of what it did not hold any more."""

    session: LocalSession
    request: ReleaseRequest
    locks: Sequence[HeldLock]
    tells: bool
    lease: LeaseId
    """Under which they were held: what goes with that while it is owed is no loss."""
    stood: bool
    """Whether they were believed in when they were given back: then they had not gone with it."""

    def is_loss(self, outcome: "ReleaseOutcome.ValueType") -> bool:
        """Whether the session is to hear that it did not hold one any more."""
        if not self.tells or self.session.lease != self.lease:
            return False
        is_over = outcome == ReleaseOutcome.RELEASE_OUTCOME_LEASE_OVER and not self.stood
        return is_over or outcome == ReleaseOutcome.RELEASE_OUTCOME_NOT_HOLDER


class Owed:
    """What this machine has given back, and was not told that it is over."""

    def __init__(self, client: CoordinatorClient, lapse: Callable[[LocalSession], None]) -> None:
        """``lapse`` is told of a session whose lease is over."""
        self._client = client
        self._lapse = lapse
        self._requests: dict[str, Owing] = {}

    async def give_back(
        self,
        session: LocalSession,
        project: ProjectId,
        locks: Sequence[HeldLock],
        patience_s: float = 0.0,
        *,
        tells: bool = True,
    ) -> None:
        """Release ``locks``. Raises what the coordinator says; they are owed then.

        With ``tells`` the session hears of what it did not hold any more, unless its lease
        has run out since.
        """
        await self.send(self.owe(session, project, locks, tells=tells), patience_s)

    def owe(
        self,
        session: LocalSession,
        project: ProjectId,
        locks: Sequence[HeldLock],
        *,
        tells: bool = True,
        stood: bool = False,
    ) -> Owing:
        """The first half of ``give_back``, at once: from now on they are owed.

        ``stood`` says that they are believed in.
        """
        session.owe(locks)
        return self._owe(session, project, locks, tells=tells, stood=stood)

    def take_over(self, session: LocalSession) -> None:
        """Owe what the agent before us had given back, and was perhaps not told that it is over."""
        for project, locks in batches(session.owed):
            self._owe(session, project, locks, tells=False)

    def _owe(
        self,
        session: LocalSession,
        project: ProjectId,
        locks: Sequence[HeldLock],
        *,
        tells: bool,
        stood: bool = False,
    ) -> Owing:
        request = _release_message(session, project, locks)
        owing = Owing(session, request, locks, tells, session.lease, stood)
        self._requests[request.request_id] = owing
        _remember(session, locks)
        return owing

    async def send(self, owing: Owing, patience_s: float = 0.0) -> None:
        """The second half of ``give_back``."""
        request = owing.request
        try:
            response = await self._client.release(request, patience_s)
        except (BadRequest, Refused):
            self._settle(owing)
            raise
        if self._settle(owing):
            pairs = zip(owing.locks, response.outcomes, strict=True)
            lost = [lock for lock, outcome in pairs if owing.is_loss(outcome)]
            _tell_lost(owing.session, lost)
            is_over = ReleaseOutcome.RELEASE_OUTCOME_LEASE_OVER in response.outcomes
            if is_over and owing.lease and owing.session.lease == owing.lease:
                self._lapse(owing.session)

    def _settle(self, owing: Owing) -> bool:
        """It is answered; False when it was before."""
        owing.session.owes_no_more(owing.locks)
        return self._requests.pop(owing.request.request_id, None) is not None

    async def settle(self) -> None:
        """Send again all that is owed. Raises as ``give_back``."""
        for owing in tuple(self._requests.values()):
            await self.send(owing)

    async def settle_first(
        self, asker: LocalSession, project: ProjectId, keys: set[str], patience_s: float
    ) -> None:
        """Send again what ``asker`` owes of ``keys``, before it asks for them. Raises as above."""
        for owing in tuple(self._requests.values()):
            its = owing.session is asker and owing.request.project == project
            if its and keys & {path_key(ref.path) for ref in owing.request.locks}:
                await self.send(owing, patience_s)


def is_given_back(session: LocalSession, lock: HeldLock) -> bool:
    """Whether its ``session`` gave a grant back: an acquire under way may still name it.

    By whoever of its session had it: it may pass from one to another. Its own holder's later
    grants as far as its branch end it, too: any other may stand beside it.
    """
    file, known = (lock.project, lock.key), session.remembered
    last = (known.last_given_back.get((file, lock.agent, at), 0) for at in ("", lock.branch))
    return known.has_given_back(lock) or lock.token <= max(last)


def _tell_lost(session: LocalSession, lost: Sequence[HeldLock]) -> None:
    """Tell each thread of what was its own."""
    for agent in dict.fromkeys(lock.agent for lock in lost):
        paths = [lock.shown for lock in lost if lock.agent == agent]
        session.tell_loss(wording_losses.lost_before(paths), agent)


def _remember(session: LocalSession, locks: Sequence[HeldLock]) -> None:
    for lock in locks:
        file = (lock.project, lock.key)
        session.remembered.given_back[file, lock.token] = None
        session.remembered.last_given_back[file, lock.agent, lock.branch] = lock.token


def batches(locks: Sequence[HeldLock]) -> Iterator[tuple[ProjectId, Sequence[HeldLock]]]:
    """``locks`` as they go into commands: each of one project, and not too long."""
    by_project = sorted(locks, key=lambda lock: lock.project)
    for project, group in groupby(by_project, key=lambda lock: lock.project):
        part = tuple(group)
        for start in range(0, len(part), MOST_PATHS):
            yield project, part[start : start + MOST_PATHS]


def _release_message(
    session: LocalSession, project: ProjectId, locks: Sequence[HeldLock]
) -> ReleaseRequest:
    return ReleaseRequest(
        request_id=new_request_id(),
        project=project,
        session_id=session.session_id,
        locks=map(ref_of, locks),
        lease_id=session.lease,
    )
