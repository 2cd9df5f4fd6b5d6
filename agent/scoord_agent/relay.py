"""Answers hook events: finds the session behind one, and does what its kind asks for."""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable
from functools import partial

from scoord.clock import Clock
from scoord.config import CONFIG_FILE, PATTERNS_FILE, Settings
from scoord.errors import InternalError, InvalidConfig, ScoordError
from scoord.ids import AgentId
from scoord.text import one_line
from scoord_agent import wording, wording_losses, wording_settings
from scoord_agent.activity import Activity
from scoord_agent.background import Background
from scoord_agent.delivery import Delivery
from scoord_agent.dependents import Dependents
from scoord_agent.edits import Edits
from scoord_agent.handing_back import HandingBack
from scoord_agent.having import all_of
from scoord_agent.held import HeldLocks
from scoord_agent.lifecycle import MAX_INTENT, STARTS_ANEW, Lifecycle, Origin
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.publishing import Publishing
from scoord_agent.pursuits import Pursuits
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import Taking
from scoord_agent.turns import Place, Turn, Turns
from scoord_agent.welcoming import Welcoming
from scoord_agent.wording_others import MAX_LINES
from scoord_hooks.neutral import ALLOW, Decision, EventKind, HookEvent, Verdict

MAX_NOTICES = 5

AT_REST = (EventKind.PROMPT, EventKind.PROGRESS, EventKind.TURN_END)
"""No edit waits for these, so that they may cost a look at the disk."""

_GREETED_LATE = (EventKind.PROMPT, EventKind.AFTER_EDIT)
"""What a session was not told at its start, it is told with the first of these.

Not before an edit: what allows one may be over by the time that others have been listed.
"""

Handler = Callable[[LocalSession, HookEvent], Awaitable[Decision]]


class Relay:
    """One event in, one decision out."""

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        welcoming: Welcoming,
        edits: Edits,
        taking: Taking,
        held: HeldLocks,
        handing_back: HandingBack,
        activity: Activity,
        publishing: Publishing,
        dependents: Dependents,
        pursuits: Pursuits,
        settings: SettingsFor,
        background: Background,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._lifecycle = lifecycle
        self._welcoming = welcoming
        self._edits = edits
        self._taking = taking
        self._held = held
        self._handing_back = handing_back
        self._activity = activity
        self._publishing = publishing
        self._dependents = dependents
        self._pursuits = pursuits
        self._settings = settings
        self._background = background
        self._turns = turns
        self._clock = clock
        self._handlers: dict[EventKind, Handler] = {
            EventKind.SESSION_END: self._session_end,
            EventKind.PROMPT: self._prompt,
            EventKind.AFTER_EDIT: self._after_edit,
            EventKind.TURN_END: self._turn_end,
            EventKind.SUBAGENT_END: self._subagent_end,
            EventKind.PROGRESS: self._progress,
        }

    async def decide(
        self, event: HookEvent, origin: Origin, until: float, delivery: Delivery
    ) -> Decision:
        """Answer ``event``; ``until`` then, by the loop's clock, others are asked about an edit.

        What the answer tells waits again if its ``delivery`` fails. Raises InvalidPath,
        InvalidConfig, and DeadlineExceeded for git.
        """
        handler = self._handler(event, until, delivery)
        if handler is None:
            return ALLOW
        try:
            session = await self._lifecycle.session_of(event, origin)
            if session and event.kind is not EventKind.SUBAGENT_END:
                session.hear(event.agent_id)
            decision = await self._handle(handler, session, event) if session else ALLOW
            if session and session.to_greet and event.kind in _GREETED_LATE:
                decision = await self._greeted(session, event, decision, until, delivery)
        except InvalidConfig as error:
            return _without_project(event, error)
        return self._with_notices(session, event, decision, delivery) if session else decision

    async def undecided(self, event: HookEvent, origin: Origin, error: ScoordError) -> Decision:
        """Answer ``event``, which ``decide`` failed at or took too long for: all but at once."""
        if event.kind is not EventKind.BEFORE_EDIT:
            told = wording.undecided(error)
            return Decision(context=told, notice=told)
        # What went wrong in a way nobody foresaw would do so again.
        foreseen = not isinstance(error, InternalError)
        session = self._lifecycle.named(event, origin) if foreseen else None
        if session is None:
            return self._edits.judge_by_setting(event, error.message)
        return await self._edits.judge_late(session, event, error.message)

    async def _greeted(
        self,
        session: LocalSession,
        event: HookEvent,
        decision: Decision,
        until: float,
        delivery: Delivery,
    ) -> Decision:
        """Tell a session first what it was not told at its start."""
        left_s = until - asyncio.get_running_loop().time()
        told = await self._welcoming.late(session, event, delivery, left_s)
        return _joined(decision, [told], "") if told else decision

    def _handler(self, event: HookEvent, until: float, delivery: Delivery) -> Handler | None:
        if event.kind is EventKind.SESSION_START:
            return partial(self._session_start, delivery=delivery)
        if event.kind is EventKind.BEFORE_EDIT:
            return partial(self._before_edit, until=until)
        return self._handlers.get(event.kind)

    async def _handle(self, handler: Handler, session: LocalSession, event: HookEvent) -> Decision:
        if event.kind in AT_REST:
            self._handing_back.look_anew(session)
        if not self._handing_back.look(session):
            return await handler(session, event)
        await self.follow_branches(session)
        decision = await handler(session, event)
        if self._handing_back.after_commit(session):
            # Let it begin: who waits for what is given back is no news any more.
            await asyncio.sleep(0)
        return decision

    async def follow_branches(self, session: LocalSession) -> None:
        """What was held, or waited for, on a branch that is not checked out any more is over."""
        if self._handing_back.take_up_branch(session):
            self._publishing.note(session)
        await self._handing_back.leave_queues(session)
        await self._handing_back.after_switch(session)

    async def _session_start(
        self, session: LocalSession, event: HookEvent, delivery: Delivery
    ) -> Decision:
        decision = await self._welcoming.at_start(session, event, delivery)
        if event.reason in STARTS_ANEW:
            self._publishing.note(session)
        return decision

    async def _session_end(self, session: LocalSession, event: HookEvent) -> Decision:
        await self._lifecycle.session_end(session, event)
        return ALLOW

    async def _prompt(self, session: LocalSession, event: HookEvent) -> Decision:
        settings = self._settings_of(session)
        if not session.intent and settings.session_coordination.share_prompts:
            session.intent = one_line(event.prompt.strip().partition("\n")[0], MAX_INTENT)
        session.remembered.turn_begins(MAIN)
        self._activity.prompted(session)
        self._dependents.prompted(session, event.prompt)
        self._pursuits.prompted(session, event.prompt)
        return ALLOW

    async def _before_edit(self, session: LocalSession, event: HookEvent, until: float) -> Decision:
        decision = await self._edits.guard(session, event, until=until)
        # Afterwards: while the coordinator is away, what fails behind an edit leaves it less time.
        self._activity.acted(session, event)
        return decision

    async def _after_edit(self, session: LocalSession, event: HookEvent) -> Decision:
        await self._edits.note_use(session, event)
        return ALLOW

    async def _progress(self, session: LocalSession, event: HookEvent) -> Decision:
        self._activity.progressed(session, event)
        return ALLOW

    async def _turn_end(self, session: LocalSession, event: HookEvent) -> Decision:
        self._activity.rested(session)
        self._lifecycle.worked(session)
        self._handing_back.after_turn(session)
        if event.is_alone:
            self._end_all_subagents(session)
        return ALLOW

    def _end_all_subagents(self, session: LocalSession) -> None:
        """Nobody is told the end of one that was killed, or for which no agent was there."""
        known = (*session.subagents, *(lock.agent for lock in all_of(session, self._held)))
        for agent in dict.fromkeys(known):
            self._end_subagent(session, agent)

    async def _subagent_end(self, session: LocalSession, event: HookEvent) -> Decision:
        self._end_subagent(session, event.agent_id)
        return ALLOW

    def _end_subagent(self, session: LocalSession, agent: AgentId) -> None:
        """What a subagent held, or waited for, is free for its siblings and its main thread."""
        if agent == MAIN:
            return
        session.subagent_ends(agent)
        self._taking.unsettled.done(session, agent)
        done = [lock for lock in all_of(session, self._held) if lock.agent == agent]
        # What went with its lease is told of as that.
        passed = (k for k in done if k.passed and not self._held.losses.went_with_lease(k))
        if gone := [lock.shown for lock in passed]:
            session.tell_loss(wording_losses.went_with_subagent(gone))
        self._background.start(self._taking.release(session, done))
        self._background.start(self._taking.leaving.all_of(session, agent))

    def _settings_of(self, session: LocalSession) -> Settings:
        return self._settings.at(session.root)

    def _problem_of(self, session: LocalSession, delivery: Delivery) -> str:
        """What is wrong with its settings, once; again when that changes."""
        problem = self._settings.problem(session.root) if self._settings.problems() else ""
        before, session.told_problem = session.told_problem, problem
        if problem == before:
            return ""
        delivery.takes(partial(setattr, session, "told_problem", before))
        return problem

    def _with_notices(
        self, session: LocalSession, event: HookEvent, decision: Decision, delivery: Delivery
    ) -> Decision:
        """Add what the session has not been told yet, where the CLI passes it on."""
        if event.kind in (EventKind.SESSION_END, EventKind.TURN_END, EventKind.SUBAGENT_END):
            return decision
        problem = self._problem_of(session, delivery)
        told = self._news(session, event.agent_id, _room(event, decision), delivery)
        if not told and not problem:
            return decision
        return _joined(decision, told, wording_settings.problem(problem) if problem else "")

    def _news(
        self, session: LocalSession, agent: AgentId, most: int, delivery: Delivery
    ) -> list[str]:
        """What it has not been told yet. A turn passes: only losses come before it.

        A subagent is told of its own locks, edits and turns, and who waits for what it holds;
        all else is its main thread's, which need not hear of those.
        """
        told = session.take_losses(most, agent, delivery)
        told += self._come(session, agent, most - len(told), delivery)
        # Most of the time nobody waits, and a look at all locks would be for nothing.
        is_held = self._is_held_by(session, agent) if session.wanted.get(agent) else None
        if agent:
            return told + session.take_wanted(most - len(told), agent, delivery, is_held)
        return told + session.take_notices(most - len(told), delivery, is_held)

    def _come(
        self, session: LocalSession, agent: AgentId, most: int, delivery: Delivery
    ) -> list[str]:
        """The turns that have come; of one that is over by now, that it is."""
        self._see_missed(session)
        turns = self._turns.take(session.session_id, agent, most, delivery)
        if not turns:
            return []
        now = self._clock.now()
        # Of one that the agent before us did not write down, its session's settings say it.
        usual_s = self._settings_of(session).session_coordination.claim_timeout
        return [_of_turn(turn, now - turn.came_at, usual_s) for turn in turns]

    def _see_missed(self, session: LocalSession) -> None:
        """Places that went unheard, with the agent or its stream away, are to be told.

        Not before it is known what the session has there, and not while the answer is on its way
        that tells of a grant or another place, or that it is given up: only now, not when
        they were missed.
        """
        for place in self._turns.missed(session.session_id):
            if place.project in session.inherited:
                continue
            if self._held.right(place.project, place.key, place.claimant):
                self._turns.had(place)
            elif not self._taking.is_open(place):
                self._turns.used(place)

    def _is_held_by(self, session: LocalSession, agent: AgentId) -> Callable[[Place], bool]:
        """Whether a thread has what is waited for at a place: else that is no news to it.

        That is looked at now. It may have been given back a moment ago; or it was granted, and
        the answer is on its way, or it may go back with a commit: then it is told at a later
        hook. What the agent before us had is not known to be over until it is asked for.
        """
        known = (*self._held.of(session.session_id), *session.had)
        stays = (lock for lock in known if not self._handing_back.may_go_back(session, lock))
        held = [lock for lock in stays if session.thread(lock.agent) == session.thread(agent)]
        return lambda place: any(
            lock.covers(place.project, place.key) and lock.claimant.meets(place.claimant)
            for lock in held
        )


def _of_turn(turn: Turn, age_s: float, usual_s: float) -> str:
    if turn.never_came:
        return wording.place_gone(turn.path, turn.branch)
    if turn.is_unseen:
        return wording.place_missed(turn.path, turn.branch)
    if turn.is_over or age_s >= (turn.asked.claim_s or usual_s):
        return wording.turn_over(turn.path, age_s, turn.branch, shared=turn.shared)
    return wording.turn(turn.path, turn.branch, shared=turn.shared)


def _without_project(event: HookEvent, error: InvalidConfig) -> Decision:
    """The settings that name the project do not load: only they can be edited, to mend them."""
    if event.kind is EventKind.AFTER_EDIT:
        return ALLOW
    names = {posixpath.basename(path) for path in event.paths}
    if event.kind is EventKind.BEFORE_EDIT and names <= {CONFIG_FILE, PATTERNS_FILE}:
        told = wording_settings.mending(error.message)
        return Decision(context=told, notice=told)
    raise error


def _room(event: HookEvent, decision: Decision) -> int:
    """How many notices may be told now; the others wait for the next hook."""
    if event.kind is not EventKind.SESSION_START:
        return MAX_NOTICES
    return min(MAX_NOTICES, MAX_LINES - len(decision.context.splitlines()))


def _joined(decision: Decision, told: list[str], problem: str) -> Decision:
    notice = "\n".join(filter(None, (decision.notice, problem)))
    if decision.verdict is Verdict.DENY:
        reason = "\n".join((decision.reason, *told))
        return Decision(Verdict.DENY, reason=reason, notice=notice)
    context = "\n".join(filter(None, (decision.context, *told)))
    return Decision(context=context, notice=notice)
