"""What one command asks for: all of it is granted, or what its session had stays as it was.

The coordinator takes the files of a project in one step; a pattern, and the files of each
other project, go in a step of their own. So what may be refused is asked for before what
the session has already, and what is new is given back where a later step fails.
"""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.paths import FileIdentity
from scoord.v1.locks_pb2 import Conflict, Granted, LockRef
from scoord_agent import wording_held
from scoord_agent.background import Background
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.request import Request
from scoord_agent.taking import Taking
from scoord_agent.turns import Turns

Name = tuple[ProjectId, str, bool, str]
"""A path or a pattern, as it is compared, and on which branch; with True it is a pattern."""

Named = tuple[str, str]
"""A project, and a path or a pattern of it as it is compared."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not granted, and what is in its way."""

    request: Request
    conflicts: Sequence[Conflict]

    def asked(self, conflict: Conflict) -> str:
        """What was asked for, that it is in the way of: of a pattern it may be one file."""
        return self.request.shown[0] if self.request.is_pattern else conflict.path


class AllOrNone:
    """Takes what the commands of this machine's sessions ask for."""

    def __init__(
        self, taking: Taking, held: HeldLocks, turns: Turns, background: Background
    ) -> None:
        self._taking = taking
        self._held = held
        self._turns = turns
        self._background = background

    async def take(
        self, session: LocalSession, requests: Iterable[Request], last: Collection[Named] = ()
    ) -> Mapping[Name, LockRef] | Refusal:
        """Ask for all ``requests``, one after the other. Raises what the coordinator says.

        ``last`` is what was refused when the same command asked before.
        """
        requests = tuple(requests)
        had, parts = await self.had(session, requests), self._in_order(requests, last)
        more = {name for part in parts for name in self._more(part)}
        taken = dict[Name, LockRef]()
        undo = partial(self._undo, session, taken, had, more)
        try:
            refusal = await self._ask_for(parts, taken)
        except asyncio.CancelledError:
            # Its command was interrupted: nobody would give back what it has by now.
            self._background.start(undo())
            raise
        except ScoordError:
            await self._seen_through(undo())
            raise
        if refusal:
            await self._seen_through(undo())
        return refusal or taken

    async def had(self, session: LocalSession, requests: Iterable[Request]) -> set[Name]:
        """What it has, or has lost and may have again: nothing of that is new.

        What it had with the agent before is known once it is registered where it asks. Raises
        what the coordinator says.
        """
        for request in requests:
            await self._taking.enter(request)
        return set(map(name_of, self._own(session)))

    async def _ask_for(
        self, parts: Iterable[Request], taken: dict[Name, LockRef]
    ) -> Refusal | None:
        """Ask for one after the other, and put into ``taken`` what is granted."""
        for request in parts:
            outcome = await self._taking.acquire(request)
            if not isinstance(outcome, Granted):
                return Refusal(request, outcome)
            taken |= zip(names_of(request), outcome.locks, strict=True)
        return None

    async def _seen_through(self, undoing: Coroutine[Any, Any, None]) -> None:
        """Wait for it; it goes on where the command is interrupted now."""
        await asyncio.shield(self._background.start(undoing))

    async def _undo(
        self, session: LocalSession, taken: Mapping[Name, LockRef], had: set[Name], more: set[Name]
    ) -> None:
        """Give back what is new; what is more than before stays, and is told."""
        if left := [ref.path for name, ref in taken.items() if name in more]:
            session.tell(wording_held.more_than_before(left), person=True)
        await self._give_back(session, taken.keys() - had - more)

    async def _give_back(self, session: LocalSession, new: Iterable[Name]) -> None:
        """What cannot be given back now is owed; what went wrong before it is what is told."""
        names = set(new)
        locks = [k for k in self._held.of(session.session_id) if name_of(k) in names]
        with contextlib.suppress(ScoordError):
            await self._taking.release(session, [lock for lock in locks if not lock.agent])

    def _in_order(self, requests: Iterable[Request], last: Collection[Named]) -> list[Request]:
        """First what it waits for, then patterns: nothing is taken and given back meanwhile.

        A pattern has no queue, and is asked for again and again: that of several which was
        refused ``last`` before the others. Of what it has more is wanted
        last, unless its turn there has not come, so that it is refused.
        """
        parts = [part for request in requests for part in self._parts(request)]
        return sorted(parts, key=partial(self._rank, last))

    def _rank(self, last: Collection[Named], part: Request) -> int:
        if self._has(part, part.files[0]):
            return 4
        if self._more(part):
            return 0 if any(map(self._turns.is_queued, part.places)) else 3
        if any((part.project, key) in last for key in part.keys):
            return 0
        if part.is_pattern:
            return 1
        own = part.session.session_id
        return 0 if any(self._turns.waits(part.project, key, own) for key in part.keys) else 2

    def _parts(self, request: Request) -> Iterator[Request]:
        """What may be refused, and what its session has already: the one or the other, or both."""
        had = {file.key for file in request.files if self._has(request, file)}
        for has in (False, True):
            if files := tuple(file for file in request.files if (file.key in had) is has):
                yield replace(request, files=files)

    def _has(self, request: Request, file: FileIdentity) -> bool:
        """Whether its asker has a file as it wants it: only its end is new, if it has one."""
        own = self._held.of(request.session.session_id)
        return any(_is_enough(lock, request) for lock in own if _is_of(lock, request, file))

    def _more(self, request: Request) -> list[Name]:
        """What its asker has already, or has lost, but not as it wants it."""
        own, who = self._own(request.session), request.claimant
        return [
            name
            for file, name in zip(request.files, names_of(request), strict=True)
            if not self._has(request, file)
            and any(_is_of(k, request, file) and k.claimant.gives_way_to(who) for k in own)
        ]

    def _own(self, session: LocalSession) -> list[HeldLock]:
        """What it has, or has lost and may have again."""
        own = session.session_id
        return [*self._held.of(own), *self._held.losses.of(own)]


def name_of(lock: HeldLock) -> Name:
    """What it is a lock of."""
    return lock.project, lock.key, lock.is_pattern, lock.branch


def names_of(request: Request) -> list[Name]:
    """What is asked for, in its order."""
    branch = request.claimant.branch
    return [(request.project, file.key, request.is_pattern, branch) for file in request.files]


def _is_of(lock: HeldLock, request: Request, file: FileIdentity) -> bool:
    """Whether it is the asker's own of that name."""
    name = request.project, file.key, request.is_pattern
    return lock.agent == request.agent and (lock.project, lock.key, lock.is_pattern) == name


def _is_enough(lock: HeldLock, request: Request) -> bool:
    is_mode = request.shared or not lock.shared
    return is_mode and lock.branch in ("", request.claimant.branch)
