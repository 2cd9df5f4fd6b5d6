"""Asks for the locks of an edit that is about to happen, and notes that it has.

What the answers mean for it is ``judging.py``'s to say.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.errors import BadRequest, Contended, InvalidRequest, Refused, ScoordError
from scoord.happenings import Kind
from scoord.ids import AgentId, ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator
from scoord_agent.edit_parts import (
    Edit,
    Outcome,
    Unasked,
    by_project,
    decided,
    is_locked,
    worst,
)
from scoord_agent.held import HeldLocks
from scoord_agent.judging import Judging
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import folder_of
from scoord_agent.protection import Protection
from scoord_agent.registration import Registration
from scoord_agent.reporting import Reporting
from scoord_agent.request import Request, claimant
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import Taking
from scoord_agent.unreported import Unlocked
from scoord_hooks.neutral import Decision, HookEvent, Verdict

Noted = Callable[[LocalSession, FileIdentity], None]
"""Is told of a session's edit of a file."""


class Edits:
    """Takes, checks and gives back the locks of edits."""

    def __init__(
        self,
        *,
        taking: Taking,
        registration: Registration,
        held: HeldLocks,
        neighbours: Neighbours,
        protection: Protection,
        reporting: Reporting,
        judging: Judging,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
        editing: Noted,
        edited: Noted,
    ) -> None:
        """``editing`` is told of every edit that goes on, ``edited`` of what has happened."""
        self._taking = taking
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._protection = protection
        self._reporting = reporting
        self._judging = judging
        self._locator = locator
        self._settings = settings
        self._clock = clock
        self._editing = editing
        self._edited = edited

    async def guard(self, session: LocalSession, event: HookEvent, *, until: float) -> Decision:
        """Decide about an edit that is about to happen; ``until`` then, others are asked.

        Raises InvalidPath, InvalidRequest where who asked has ended meanwhile, and
        DeadlineExceeded when git cannot say in time whose file it is.
        """
        edits = [await self._look(session, event, path) for path in event.paths]
        pairs = await self._ask_all(session, event.agent_id, edits, until)
        decision = worst([self._judging.of(*pair) for pair in pairs])
        if decision.verdict is not Verdict.DENY and self._let_through(session, edits, pairs):
            await self._reporting.noted(until)
        return decision

    async def judge_late(self, session: LocalSession, event: HookEvent, why: str) -> Decision:
        """Decide by what is known at once: there is no time left to ask anybody."""
        files = {path: self._known(path, event.cwd) for path in event.paths}
        edits = [self._edit(session, event.agent_id, file) for file in files.values() if file]
        requests = self._requests(session, event.agent_id, edits)
        pairs = [(request, Unasked(why)) for request in requests]
        unnamed = [path for path, file in files.items() if file is None]
        judged = [self._judging.of(*pair) for pair in pairs]
        decision = worst([*judged, *self._judging.by_setting(unnamed, event.cwd, why)])
        if decision.verdict is not Verdict.DENY and self._let_through(session, edits, pairs):
            await self._reporting.noted(until=0.0)
        return decision

    def judge_by_setting(self, event: HookEvent, why: str) -> Decision:
        """The same where nothing is known, not even whose edit it is."""
        return worst(self._judging.by_setting(event.paths, event.cwd, why))

    async def note_use(self, session: LocalSession, event: HookEvent) -> None:
        """An edit has happened: its locks were used, or were lost before that."""
        is_noted = False
        for path in event.paths:
            edit = await self._look(session, event, path)
            self._edited(session, edit.file)
            if edit.who:
                is_noted |= self._protection.edited(session, edit.file, edit.who)
        if is_noted:
            await self._reporting.noted()

    def _let_through(
        self,
        session: LocalSession,
        edits: Iterable[Edit],
        outcomes: Iterable[tuple[Request, Outcome]],
    ) -> bool:
        """The edit goes on: remember by what right, and what is to be reported, if anything is."""
        reported: set[tuple[ProjectId, str]] = set()
        for request, outcome in outcomes:
            self._taking.let_through(request)
            if isinstance(outcome, Unasked):
                # Where others were faster, somebody was asked: only the lock was missing.
                kind: Unlocked = Kind.UNPROTECTED if outcome.contended else Kind.UNASKED
                self._note_unlocked(request, kind)
                reported |= {(file.project, file.key) for file in request.files}
        for edit in edits:
            # After the answer: what it finds is for the next hook, and no edit waits for it.
            asyncio.get_running_loop().call_soon(self._editing, session, edit.file)
            if edit.who:
                asked = edit.name not in reported
                self._protection.allow(session, edit.file, edit.who, asked=asked)
        return bool(reported)

    def _note_unlocked(self, request: Request, kind: Unlocked) -> None:
        """It edits what is checked out now: another branch, after a switch while it was asked."""
        heard = self._neighbours.of(request.project).revision
        for file in request.files:
            head = self._locator.head(file.worktree)
            who = claimant(request.session, request.agent, request.settings, head)
            self._reporting.note(kind, request.project, file.shown, who, heard)

    async def _look(self, session: LocalSession, event: HookEvent, path: str) -> Edit:
        return self._edit(session, event.agent_id, await self._locate(path, event.cwd))

    def _edit(self, session: LocalSession, agent: AgentId, file: FileIdentity) -> Edit:
        settings = self._settings.of(file.worktree)
        if not is_locked(file, settings):
            return Edit(file, settings, None)
        if file.worktree and settings.session_coordination.scope == "branch":
            # On another branch somebody else may have it: a moment ago is not enough.
            self._locator.look_anew(file.worktree.root)
        head = self._locator.head(file.worktree)
        return Edit(file, settings, claimant(session, agent, settings, head))

    def _known(self, path: str, cwd: str) -> FileIdentity | None:
        try:
            return self._locator.locate_at_once(path, cwd)
        except ScoordError:
            return None

    async def _locate(self, path: str, cwd: str) -> FileIdentity:
        """In a thread where git has to be asked: all other hooks would wait for it."""
        known = self._locator.locate_at_once(path, cwd)
        if known is not None:
            return known
        return await asyncio.to_thread(self._locator.locate, path, cwd)

    def _requests(
        self, session: LocalSession, agent: AgentId, edits: Iterable[Edit]
    ) -> Iterable[Request]:
        """What must be asked for, a project and branch at a time; if all is held, nothing.

        Else all of these files are, so that one answer holds for them together: what is
        held when the question leaves may be lost when its answer comes.
        """
        now = self._clock.now()
        for found in by_project(edits):
            # Each that is held is used, also behind one that is not.
            mine = [self._use_if_mine(edit.file, who, now) for edit, who in found]
            if not all(mine):
                yield self._request(session, agent, [edit for edit, _ in found])

    async def _ask_all(
        self, session: LocalSession, agent: AgentId, edits: Sequence[Edit], until: float
    ) -> list[tuple[Request, Outcome]]:
        """What becomes of each request.

        While one project is asked, what is had in another may be lost: it is asked for again.
        None is asked once the edit is refused: it would take locks of no use, and where it does
        not answer, the refusal would be lost with the time that is left.
        """
        pairs, requests = list[tuple[Request, Outcome]](), [*self._requests(session, agent, edits)]
        for _ in range(2):
            with self._taking.unsettled.deciding(requests):
                for request in requests:
                    pairs += await self._outcomes(request, until)
                    if self._judging.is_refused(*pairs[-1]):
                        return pairs
            if not (lost := self._lost(edits, pairs)):
                return pairs
            requests = [self._request(session, agent, group) for group in lost]
        again = "granted and lost at once; try again"
        return [*pairs, *((request, Unasked(again, contended=True)) for request in requests)]

    def _lost(
        self, edits: Iterable[Edit], pairs: Iterable[tuple[Request, Outcome]]
    ) -> list[list[Edit]]:
        """By project, what is not had any more, and was not refused meanwhile.

        In one project alone nothing has happened since the answer.
        """
        over = {name for pair in pairs for name in decided(*pair)}
        groups, now = by_project(edits), self._clock.now()
        lost = [
            [edit for edit, who in group if not self._held.use(*edit.name, who, now)]
            for group in groups
            if len(groups) > 1
        ]
        left = ([edit for edit in group if edit.name not in over] for group in lost)
        return [group for group in left if group]

    def _request(self, session: LocalSession, agent: AgentId, edits: Sequence[Edit]) -> Request:
        """For files of one project, on one branch."""
        settings, files = edits[0].settings, tuple(edit.file for edit in edits)
        return Request(
            session,
            agent,
            files[0].project,
            files,
            settings,
            reason=session.intent,
            conflict_action=settings.session_coordination.conflict_action,
            head=self._locator.head(files[0].worktree),
        )

    def _use_if_mine(self, file: FileIdentity, who: Claimant, now: float) -> bool:
        """Whether the holder has it, and a break of it would have been heard of: it is used."""
        followed_at = self._neighbours.of(file.project).followed_at
        mine = self._held.use(file.project, file.key, who, now)
        lock = self._held.right(file.project, file.key, who)
        if mine and lock:
            commit = self._locator.head(file.worktree).commit
            self._held.renew_commit(lock, folder_of(file.worktree), commit)
        return mine and self._held.is_followed(followed_at, now)

    async def _outcomes(self, request: Request, until: float) -> list[tuple[Request, Outcome]]:
        """What becomes of it; and of its other files, where it goes on beside others' locks.

        What is held of these needs no answer.
        """
        outcome = await self._ask(request, until)
        pairs = [(request, outcome)]
        if isinstance(outcome, list) and request.conflict_action != "block":
            contested = {path_key(conflict.path) for conflict in outcome}
            free = (file for file in request.files if file.key not in contested)
            now, who = self._clock.now(), request.claimant
            if left := tuple(file for file in free if not self._use_if_mine(file, who, now)):
                pairs += await self._outcomes(replace(request, files=left), until)
        return pairs

    async def _ask(self, request: Request, until: float) -> Outcome:
        began = self._clock.now()
        try:
            async with asyncio.timeout_at(until):
                return await self._taking.acquire(request)
        except BadRequest:
            raise
        except ScoordError as failure:
            if isinstance(failure, Refused) and request.session.ended:
                # Nobody edits any more; that others could not be asked is not why.
                shown = ", ".join(request.shown)
                raise InvalidRequest(f"{shown}: its session has ended meanwhile") from failure
            return Unasked(failure.message, contended=isinstance(failure, Contended))
        except TimeoutError:
            return Unasked(self._registration.why_silent(began))
