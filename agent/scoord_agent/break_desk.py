"""What people and scripts take away from others: locks, by the grant that was seen."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scoord.errors import ScoordError
from scoord.paths import FileIdentity, Locator
from scoord.text import one_line
from scoord.v1.locks_pb2 import BreakRequest, Lock, LockRef
from scoord_agent.actors import Actors
from scoord_agent.arguments import Meaning, meanings
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.request import confined_to
from scoord_agent.rows import lock_row, waiter_row
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.standing import Spot
from scoord_agent.taking import PATIENCE_S
from scoord_agent.wishes import Breaking
from scoord_agent.within import all_within

Answer = dict[str, Any]

_NOTHING: Final[Mapping[str, Any]] = {"current": None, "others": (), "elsewhere": ()}


class BreakDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        actors: Actors,
        locator: Locator,
        settings: SettingsFor,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._actors = actors
        self._locator = locator
        self._settings = settings

    async def break_lock(self, wanted: Breaking) -> Answer:
        """Take a lock away, while the grant that its token names stands; say what is there then.

        Of a name that several hold each is told, and for whom it is kept once it is free; apart
        from them those on other branches, which are in nobody's way where it is said.
        Raises InvalidPath for a folder of whose name nothing is locked.
        """
        may_be = await asyncio.to_thread(meanings, self._locator, wanted.path, wanted.cwd)
        answers = list[Answer]()
        for meant in may_be:
            answers.append(await self._broken(wanted, meant))
            if answers[-1]["broken"] or answers[-1]["current"]:
                return answers[-1]
        elsewhere = [answer for answer in answers if answer["elsewhere"]]
        if not elsewhere and (refusal := may_be[0].refusal):
            raise refusal
        return (elsewhere or answers)[0]

    async def _broken(self, wanted: Breaking, meant: Meaning) -> Answer:
        named = meant.what
        spot = self._spot(named, wanted.pid, is_pattern=meant.is_pattern)
        request = BreakRequest(
            request_id=new_request_id(),
            project=named.project,
            lock=LockRef(path=named.shown, token=wanted.token, is_pattern=spot.is_pattern),
            by=one_line(wanted.by),
            reason=one_line(wanted.reason),
            through=self._actors.above(wanted.pid, named.project).through,
            branch=one_line(self._locator.head(named.worktree).branch),
        )
        response = await self._client.break_lock(request, PATIENCE_S)
        if response.WhichOneof("outcome") == "broken":
            unrecorded, kept = response.broken.unrecorded, await self._kept(spot)
            return {"broken": True, "unrecorded": unrecorded, "kept": kept}
        stands = response.not_broken.HasField("current")
        locks = await self._standing(spot, response.not_broken.current) if stands else _NOTHING
        files = [] if meant.is_pattern or locks["current"] else [named]
        return {"broken": False, **locks, "within": await self._within(files, wanted.cwd)}

    def _spot(self, named: FileIdentity, pid: int, *, is_pattern: bool) -> Spot:
        session, settings = self._sessions.above(pid), self._settings.now(named.worktree)
        branch = confined_to(settings, self._locator.head(named.worktree))
        return Spot(named, is_pattern, branch, session.session_id if session else "")

    async def _standing(self, spot: Spot, current: Lock) -> Answer:
        """What stands, as the store has it, and what else does, by the list."""
        listed = await self._client.list_locks(spot.named.project)
        here, elsewhere = (
            [{**lock_row(lock, self._sessions.is_here), "own": spot.is_own(lock)} for lock in locks]
            for locks in spot.parted([current, *spot.beside(current, listed.locks)])
        )
        first = here[0] if here else None
        return {"current": first, "others": here[1:], "elsewhere": elsewhere}

    async def _kept(self, spot: Spot) -> Answer | None:
        """For whom it is kept now, and for how long at most, if it is."""
        with contextlib.suppress(ScoordError):  # that it is broken is true all the same
            listed = await self._client.list_locks(spot.named.project)
            if waiter := spot.next(listed.waiters):
                settings = self._settings.now(spot.named.worktree).session_coordination
                row = waiter_row(waiter, self._sessions.is_here)
                return {**row, "kept_s": settings.claim_timeout}
        return None

    async def _within(self, files: Sequence[FileIdentity], cwd: str) -> list[Answer]:
        """The patterns that anybody holds, in which ``files`` lie."""
        if not files:
            return []
        locks = (await self._client.list_locks(files[0].project)).locks
        held = ((lock.project, lock.path) for lock in locks if lock.is_pattern)
        return all_within(files, held, cwd)
