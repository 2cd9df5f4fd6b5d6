"""Reports the edits that were made without a lock, and tells whom they met.

The coordinator tells the others; this tells the session that edited.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from scoord.bounded import Once
from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.errors import BadRequest, Broken, Refused
from scoord.happenings import Kind
from scoord.ids import ProjectId, RequestId
from scoord.v1.locks_pb2 import LockScope, ReportKind, ReportRequest, ReportResponse
from scoord_agent import wording
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_agent.held import HeldLocks
from scoord_agent.sessions import Sessions
from scoord_agent.unreported import MOST_EDITS, Unlocked, UnlockedEdit, Unreported
from scoord_agent.writing_down import IN_TIME_S, WritingDown

_log = logging.getLogger(__name__)

_KINDS: "dict[Unlocked, ReportKind.ValueType]" = {
    Kind.UNASKED: ReportKind.REPORT_KIND_UNASKED,
    Kind.UNPROTECTED: ReportKind.REPORT_KIND_UNPROTECTED,
}

_AT_LAST_S: Final = 0.1
"""How long a hook waits for a disk that has no time left to ask anybody."""


class Reporting:
    """Keeps what is to be reported, and reports it when somebody can be told."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        unreported: Unreported,
        held: HeldLocks,
        clock: Clock,
        background: Background,
        told: Callable[[], Awaitable[None]],
        edits: WritingDown,
    ) -> None:
        """``told`` waits until what sessions are to be told is written down.

        ``edits`` writes down what is ``unreported``.
        """
        self._client = client
        self._sessions = sessions
        self._unreported = unreported
        self._held = held
        self._clock = clock
        self._background = background
        self._told = told
        self._edits = edits
        self._is_running = False
        self._unsent: set[RequestId] = set()
        """The reports that were never sent: nobody has answered them by what was so then."""
        self._failed = Once[RequestId](MOST_EDITS)
        """The reports that a coordinator failed at, as was said in the log."""

    def note(
        self,
        kind: Unlocked,
        project: ProjectId,
        path: str,
        who: Claimant,
        heard_revision: int,
        *,
        relied_at: float | None = None,
    ) -> None:
        """An edit is made without a lock: to be reported, whatever happens to this agent.

        Each edit of an outage says the same of its path: one report is enough, unless it was
        sent. It may have been taken in then, and its answer stays what it was.

        One that relied on a lock then, ``relied_at``, is met only if that was over by then:
        the latest of such says most.
        """
        now, relied = self._clock.now(), relied_at is not None
        made_at = relied_at if relied_at is not None else now
        edit = UnlockedEdit(
            report_id=new_request_id(),
            kind=kind,
            session=who.session,
            agent=who.agent,
            project=project,
            path=path,
            branch=who.branch,
            heard_revision=heard_revision,
            at_unix_ms=self._clock.wall_ms() - round(1000 * (now - made_at)),
            made_at=made_at,
            relied=relied,
        )
        waiting = (known for known in self._unreported if known.report_id in self._unsent)
        known = next(filter(edit.is_like, waiting), None)
        if known is None or (relied and known.made_at < made_at):
            self._unsent.add(edit.report_id)
            self._unreported.add(edit, instead_of=known)

    async def noted(self, until: float | None = None) -> None:
        """Wait until what was noted is written down: before its edit goes on, so that it is told.

        But as long as a hook can only, which others were asked for ``until`` then.
        """
        now = asyncio.get_running_loop().time()
        left_s = IN_TIME_S if until is None else until - now
        await self._edits.in_time(max(_AT_LAST_S, min(IN_TIME_S, left_s)))

    def begin(self, *, of_all: bool = False) -> None:
        """Report what there is, without waiting for it.

        ``of_all`` is for after a beat: who has no lease then gets none until it does
        something, and its edits are reported under its bare id.
        """
        if not self._is_running and len(self._unreported):
            self._is_running = True
            self._background.start(self._report_all(lambda e: of_all or self._is_known(e)))

    async def _report_all(self, may: Callable[[UnlockedEdit], bool]) -> None:
        """One after the other. It ends with the first that nobody can be told of."""
        tried: set[RequestId] = set()
        try:
            while edit := await self._next_written(may, tried):
                tried.add(edit.report_id)
                self._unsent.discard(edit.report_id)
                await self._report(edit)
        finally:
            self._is_running = False

    async def _next_written(
        self, may: Callable[[UnlockedEdit], bool], tried: set[RequestId]
    ) -> UnlockedEdit | None:
        """Should this agent not hear the answer to its report, the one after it asks again."""
        if self._next(may, tried) is None:
            return None
        await self._edits.written()
        return self._next(may, tried)

    def _next(
        self, may: Callable[[UnlockedEdit], bool], tried: set[RequestId]
    ) -> UnlockedEdit | None:
        left = (edit for edit in self._unreported if edit.report_id not in tried)
        return next(filter(may, left), None)

    def _is_known(self, edit: UnlockedEdit) -> bool:
        """Whether others can be told whose edit it is, by more than the id of a session.

        Of one whose lease may have run out they cannot, until it is renewed or registered anew.
        """
        session = self._sessions.get(edit.session)
        return session is None or self._held.believes(session.session_id, self._clock.now())

    async def _report(self, edit: UnlockedEdit) -> None:
        try:
            response = await self._client.report(self._message(edit))
        except (BadRequest, Refused) as error:
            # It would be refused again.
            _log.warning("the edit of %s is not reported: %s", edit.path, error)
            response = ReportResponse()
        except Broken as error:
            # Another coordinator, or this one once it is mended, takes it in; the others need
            # not wait for that.
            self._say_once(edit, error)
            return
        await self._tell(edit, response)
        self._unreported.remove(edit)

    async def _tell(self, edit: UnlockedEdit, response: ReportResponse) -> None:
        """Return when that is written down: an agent that dies on the way has it told twice."""
        session = self._sessions.get(edit.session)
        if session and response.overlaps:
            asker = wording.Asker(edit.session)
            told = wording.met(edit.path, edit.kind, response.overlaps, asker)
            session.tell_editor(told, edit.agent)
            await self._told()

    def _say_once(self, edit: UnlockedEdit, error: Broken) -> None:
        if self._failed.is_new(edit.report_id):
            _log.warning("the edit of %s is not reported yet: %s", edit.path, error)

    def _message(self, edit: UnlockedEdit) -> ReportRequest:
        confined, session = bool(edit.branch), self._sessions.get(edit.session)
        # For display: others know a session by the branch that it is on.
        own = session.branch if session and session.home == edit.project else ""
        return ReportRequest(
            request_id=edit.report_id,
            project=edit.project,
            session_id=edit.session,
            agent_id=edit.agent,
            path=edit.path,
            kind=_KINDS[edit.kind],
            heard_revision=edit.heard_revision,
            ago=seconds(edit.ago_s(self._clock.now(), self._clock.wall_ms())),
            scope=LockScope.LOCK_SCOPE_BRANCH if confined else LockScope.LOCK_SCOPE_REPOSITORY,
            branch=edit.branch or own,
            relied=edit.relied,
        )
