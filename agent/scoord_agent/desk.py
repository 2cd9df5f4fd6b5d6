"""What people and scripts ask the agent for: to lock, to wait, to give back."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from scoord.clock import Clock
from scoord.errors import InvalidRequest, Unknown
from scoord.ids import FencingToken
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator
from scoord.text import one_line
from scoord.v1.locks_pb2 import Conflict, LockRef
from scoord_agent import turned_away, unguarded
from scoord_agent.all_or_none import AllOrNone, Named, Refusal, names_of
from scoord_agent.arguments import Meaning, identify, meanings, sorted_out, together
from scoord_agent.background import Background
from scoord_agent.giving_up import GivingUp
from scoord_agent.having import all_of
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.hold_times import HoldTimes
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import root_of
from scoord_agent.queueing import Queueing
from scoord_agent.request import Request, confined_to
from scoord_agent.rows import (
    conflict_row,
    granted_row,
)
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.suggest import Instead
from scoord_agent.taking import Taking
from scoord_agent.turns import Turns
from scoord_agent.wishes import Wish
from scoord_agent.within import all_within
from scoord_agent.wording_times import completed

Answer = dict[str, Any]
Saying = Callable[[Request, Conflict, str], str]
"""What is said of a request's conflict, with when it will be over in words."""


FATES: Final = ("released", "owed", "left", "not_held")
"""Freed; not held any more, but nobody could be asked; a place in its queue given up; nothing."""


class Desk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        lifecycle: Lifecycle,
        taking: Taking,
        giving_up: GivingUp,
        held: HeldLocks,
        turns: Turns,
        queueing: Queueing,
        neighbours: Neighbours,
        hold_times: HoldTimes,
        instead: Instead,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
        background: Background,
    ) -> None:
        self._sessions = sessions
        self._lifecycle = lifecycle
        self._taking = taking
        self._giving_up = giving_up
        self._all_or_none = AllOrNone(taking, held, turns, background)
        self._held = held
        self._queueing = queueing
        self._neighbours = neighbours
        self._hold_times = hold_times
        self._instead = instead
        self._locator = locator
        self._settings = settings
        self._clock = clock

    async def acquire(self, wish: Wish) -> Answer:
        """Take all of it for the session above, or nothing."""
        session = await self._asker(wish)
        requests = await self._guarded(session, wish)
        asked = [replace(request, queues=session.has_hooks) for request in requests]
        typed = wish.paths if wish.lasting else ()
        say = partial(turned_away.refused, self._instead, typed)
        return await self._take(session, asked, say=say)

    async def wait(self, wish: Wish, within_s: float) -> Answer:
        """As ``acquire``; wait for up to ``within_s`` seconds for the turn, if it is held.

        The places in the queues stay: who calls again goes on waiting.
        """
        session = await self._asker(wish)
        say = partial(turned_away.awaited, self._instead)
        ask = partial(self._awaited, session, wish)
        take = partial(self._take, session, say=say)
        return await self._queueing.wait(ask, take, within_s, wish.refused)

    async def leave(self, wish: Wish) -> Answer:
        """Give up the places in the queues where nothing else of the session waits.

        What is new by a command that is not wanted any more is given back. What it still has
        a place for is named.
        """
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        own = [lock for lock in self._held.of(session.session_id) if not lock.agent]
        with contextlib.suppress(Unknown):  # they are owed then
            new = [lock for lock in own if (lock.project, lock.key) in wish.new]
            await self._taking.release(session, new)
        requests = await self._requests(session, wish)
        await self._queueing.leave(requests)
        return {"kept": [(at.project, at.key) for at in self._queueing.kept(requests)]}

    async def _asker(self, wish: Wish) -> LocalSession:
        return await self._lifecycle.terminal_session(wish.pid, wish.cwd, lasting=wish.lasting)

    def close(self) -> None:
        """The agent ends, and may be replaced: who waits keeps its place."""
        self._queueing.close()

    async def release(self, cwd: str, paths: Sequence[str], pid: int) -> Answer:
        """Give back what the session above ``pid`` holds of ``paths``, and its places there.

        What nobody could be asked to free is owed: it is not held from now on.
        """
        session = await self._lifecycle.terminal_session(pid, cwd)
        may_be = await asyncio.to_thread(self._may_be, paths, cwd)
        files, patterns = sorted_out([self._meant(session, each) for each in may_be])
        own = all_of(session, self._held)
        mine = self._there(own, files, patterns)
        self._taking.unsettled.forgo(session, partial(self._is_asked_for, files))
        with contextlib.suppress(Unknown):  # they are owed then
            await self._taking.release(session, [*dict.fromkeys(chain(*mine.values()))])
        owed = self._there(session.owed, files, patterns)
        given = {named for named in mine if mine[named] or owed[named]}
        left = {*await self._giving_up.of(session, files, given)}
        fates = {n: _fate(mine[n], owed[n], is_left=n in left) for n in mine}
        others = [file for file in files if fates[file] == "not_held"]
        patterns_held = ((lock.project, lock.shown) for lock in own if lock.is_pattern)
        return {
            **{fate: [n.shown for n in mine if fates[n] == fate] for fate in FATES},
            "within": all_within(others, patterns_held, cwd),
        }

    def _may_be(self, paths: Sequence[str], cwd: str) -> list[list[Meaning]]:
        return [meanings(self._locator, path, cwd) for path in paths]

    def _meant(self, session: LocalSession, may_be: Sequence[Meaning]) -> Meaning:
        """What it has of what a name may mean. Raises InvalidPath for a folder alone."""
        for meant in may_be:
            if self._is_any(session, meant):
                return meant
        if refusal := may_be[0].refusal:
            raise refusal
        return may_be[0]

    def _is_any(self, session: LocalSession, meant: Meaning) -> bool:
        """Whether the session has a lock of it, or waits for it."""
        what, is_pattern = meant.what, meant.is_pattern
        locks = (*all_of(session, self._held), *session.owed)
        held = (lock for lock in locks if lock.is_pattern == is_pattern)
        is_held = any(self._is_there(lock, what) for lock in held)
        return is_held or (not is_pattern and self._giving_up.waits(session, what))

    def _there(
        self,
        locks: Sequence[HeldLock],
        files: Iterable[FileIdentity],
        patterns: Iterable[FileIdentity],
    ) -> dict[FileIdentity, list[HeldLock]]:
        """Which of ``locks`` each of these names."""
        single = [lock for lock in locks if not lock.is_pattern]
        whole = [lock for lock in locks if lock.is_pattern]
        of_files = {file: [k for k in single if self._is_there(k, file)] for file in files}
        return of_files | {p: [k for k in whole if self._is_there(k, p)] for p in patterns}

    def _is_asked_for(self, files: Iterable[FileIdentity], request: Request, key: str) -> bool:
        """Whether a request is for one of ``files``, as it would be granted."""
        branch, root = request.claimant.branch, _root(request.files[0])
        named = (file for file in files if (file.project, file.key) == (request.project, key))
        return any(self._holds_in(file, branch, root) for file in named)

    def _is_there(self, lock: HeldLock, named: FileIdentity) -> bool:
        """Whether it is of that name, and holds in that worktree or was taken there."""
        is_same = lock.name == (named.project, named.key)
        return is_same and self._holds_in(named, lock.branch, root_of(lock))

    def _holds_in(self, named: FileIdentity, branch: str, root: Path | None) -> bool:
        """Whether what is confined to ``branch``, if any, and was asked for in ``root`` does.

        What an agent before us was granted last, nobody knows where, may be of any worktree: it
        would else be given back by nothing once another branch is checked out in its own.
        """
        here = one_line(self._locator.head(named.worktree).branch)
        return branch in ("", here) or root in (None, _root(named))

    async def _take(
        self,
        session: LocalSession,
        requests: Sequence[Request],
        last: Collection[Named] = (),
        *,
        say: Saying,
    ) -> Answer:
        """All of it, or nothing; ``last`` was refused before."""
        had = await self._all_or_none.had(session, requests)
        outcome = await self._all_or_none.take(session, requests, last)
        if isinstance(outcome, Refusal):
            request = outcome.request
            at = {"project": request.project}
            rows = (
                {"asked": outcome.asked(one), **self._conflict_row(request, one, say)}
                for one in outcome.conflicts
            )
            # Who waits hears of its turn at its next hook, if it has any.
            return {"held": [at | row for row in rows], "reads": session.has_hooks}
        named = ((request, name) for request in requests for name in names_of(request))
        granted = [
            {**self._granted_row(request, outcome[name]), "new": name not in had}
            for request, name in named
        ]
        return {"granted": granted}

    def _granted_row(self, request: Request, ref: LockRef) -> Answer:
        key, token = path_key(ref.path), FencingToken(ref.token)
        lock = self._held.grant(request.project, key, token, is_pattern=ref.is_pattern)
        return granted_row(request, ref, lock, self._clock.now())

    def _conflict_row(self, request: Request, conflict: Conflict, say: Saying) -> Answer:
        left = self._hold_times.completion(request.project, conflict.lock, self._neighbours)
        said = say(request, conflict, completed(left))
        return conflict_row(conflict, said, self._sessions.is_here, left)

    async def _guarded(self, session: LocalSession, wish: Wish) -> list[Request]:
        """As below. Raises where what is wanted is coordinated by nobody."""
        requests = await self._requests(session, wish)
        unguarded.check(requests)
        return requests

    async def _awaited(self, session: LocalSession, wish: Wish) -> list[Request]:
        """The same, by a command that waits."""
        return [replace(request, waits=True) for request in await self._guarded(session, wish)]

    async def _requests(self, session: LocalSession, wish: Wish) -> list[Request]:
        files, patterns = await asyncio.to_thread(identify, self._locator, wish.paths, wish.cwd)
        for each in (*files, *patterns):
            if not each.coordinated:
                raise InvalidRequest(f"{each.shown!r}: files inside .git cannot be locked")
        groups = together(files, self._confined_to)
        of_files = [self._request(session, group, wish) for group in groups]
        once = {(pattern.project, pattern.key): pattern for pattern in patterns}
        alone = (self._request(session, (pattern,), wish) for pattern in once.values())
        return of_files + [replace(request, is_pattern=True) for request in alone]

    def _confined_to(self, file: FileIdentity) -> str:
        return confined_to(self._settings.now(file.worktree), self._locator.head(file.worktree))

    def _request(
        self, session: LocalSession, files: tuple[FileIdentity, ...], wish: Wish
    ) -> Request:
        worktree, given = files[0].worktree, one_line(wish.reason)
        return Request(
            session,
            MAIN,
            files[0].project,
            files,
            settings=self._settings.now(worktree),
            reason=given or session.intent,
            reason_given=bool(given),
            conflict_action="block",
            head=self._locator.head(files[0].worktree),
            shared=wish.shared,
            lasts_s=wish.lasts_s,
        )


def _fate(mine: Sequence[HeldLock], owed: Sequence[HeldLock], *, is_left: bool) -> str:
    """What became of a name that was to be given back: one of ``FATES``."""
    if owed:
        return "owed"
    if mine:
        return "released"
    return "left" if is_left else "not_held"


def _root(named: FileIdentity) -> Path | None:
    return named.worktree.root if named.worktree else None
