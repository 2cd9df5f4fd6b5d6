"""What each agent may believe, worked out from what it sent and what reached it.

Independent of the agent's own books: only messages on the wire and the machines'
clocks are looked at. A session may believe in a lock from the grant's answer on,
until D after it sent the last renewal that was answered, or until it gave the lock
back, or was told that it is over, whichever comes first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.ids import SessionId
from scoord.names import path_key
from scoord.v1.locks_pb2 import LockMode
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import EventKind, Verdict
from support.simulation import outcomes
from support.simulation.loop import Process
from support.simulation.machine import Hook, Machine, current_hook, hands_back
from support.simulation.minds import Known, Mind, asker_of, granted_as
from support.simulation.network import Exchange
from support.simulation.oracle import excludes
from support.simulation.projects import project_of
from support.simulation.record import Record
from support.simulation.slips import Denied, Slips
from support.simulation.truth import Grant, Truth
from support.simulation.turns import SLOWEST
from support.simulation.wishes import TAKES, Wishes, is_outrun

BY_DECREE = frozenset({"broken", "idle", "lasted", "idle session"})
"""Ends that the coordinator decides, whatever the holder believes: it is told, as C4
checks, but it may have gone on until then."""

QUIET_S = 10.0
"""How much longer than a renewal a stream is believed in that tells nothing."""

LATE_S = 20.0
"""How old what a stream tells may be when it comes: what takes longer breaks it off."""

SPARE_S = 1.0
"""For how much longer at least what is surely had is believed in."""

AT_ONCE_S = 0.5
"""A hook that is answered so soon has waited for nothing."""

WRITTEN_S = 5.0
"""Longer than an agent takes to write down what it holds, by the slowest clock."""

_OVER = frozenset({"SESSION_ENDED", "SESSION_NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A grant that was answered, for the order of tokens."""

    asked_s: float
    answered_s: float
    path: str
    branch: str
    token: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A grant that its holder's agent knew, and that ended without its doing."""

    grant: Grant
    process: Process
    who: Claimant
    """Who had it by what that agent knew: a command that came late may have passed it on
    to a subagent, unheard."""
    died: bool = False
    """Whether that agent had died by then, and left it to the next one to find out."""


@dataclass
class Beliefs:
    """C1: who may believe what, checked whenever an edit is allowed or a grant ends."""

    record: Record
    truth: Truth
    settings: Settings
    slips: Slips
    minds: dict[Process, Mind] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    given_back: set[tuple[str, int]] = field(default_factory=set)
    """Paths and tokens of what was given back: no agent may believe in it from then on, also
    not one that was started since."""
    wishes: Wishes = field(default_factory=Wishes)

    def __post_init__(self) -> None:
        self._learns: dict[str, Callable[[Exchange], None]] = {
            "Register": self._registered,
            "Heartbeat": self._beaten,
            "Acquire": self._acquired,
            "Reserve": self._reserved,
            "Reclaim": self._reclaimed,
            "Break": self._broken,
            "Report": self._reported,
        }

    def mind(self, process: Process) -> Mind:
        """What that agent process knows."""
        return self.minds.setdefault(process, Mind())

    def believed(self, process: Process) -> Iterable[Known]:
        """What this agent may believe in now."""
        mind = self.minds.get(process)
        if mind is None or process.dead:
            return
        limit_s = process.clock.now() - self.settings.leases.belief
        for known in mind.locks.values():
            renewed = mind.renewed.get(known.who.session)
            if renewed is not None and limit_s < renewed:
                yield known

    # -- what passes on the wire --------------------------------------------------

    def sent(self, exchange: Exchange) -> None:
        """A command leaves; one that gives something up ends belief at once."""
        mind = self.mind(exchange.process)
        self.wishes.sent(exchange)
        if exchange.method == "Release":
            # One that leaves beside the end of its session may be after that.
            is_over = mind.leases.get(exchange.request.session_id) == 0
            for ref in exchange.request.locks:
                self._given_back(mind, path_key(ref.path), ref.token, is_over=is_over)
        elif exchange.method == "Report" and not exchange.request.heard_revision:
            self.slips.by_clock.add(exchange.request.request_id)
        elif exchange.method == "End":
            self._left(mind, exchange.request.session_id, exchange.request.project)

    def _given_back(self, mind: Mind, path: str, token: int, *, is_over: bool) -> None:
        """C4: what a session has since the agent before is not given back unknown to this one.

        Unless it does not want it any more.
        """
        had = [other for other in self.minds.values() if other.of_grant(path, token)]
        stands = any(grant.path == path for grant in self.truth.of(token))
        is_stray = not (is_over or hands_back.get())
        if had and mind not in had and stands and is_stray:
            self.record.violate("C4", f"{path} with {token} was given back, and its holder knew")
        self.given_back.add((path, token))
        for other in (mind, *had):
            other.end(path, token)

    def _left(self, mind: Mind, session: str, named: str) -> None:
        """A session ends, in all its projects.

        An agent that was started since has them from the one before, and follows them also where
        nothing that it asked for the session was answered.
        """
        known = (project for other in self.minds.values() for project in other.of_session(session))
        for project in (named, *known):
            mind.enter(session, project)
        mind.leave(session)

    def answered(self, exchange: Exchange) -> None:
        """An answer arrives."""
        if (hook := current_hook.get()) is not None:
            outcomes.note(hook, exchange, self.settings.leases.belief)
        if exchange.response is None:
            self._failed(exchange)
            return
        if learn := self._learns.get(exchange.method):
            learn(exchange)

    def streamed(self, process: Process, project: str, response: Any) -> None:
        """A stream's message arrives."""
        mind = self.mind(process)
        mind.stream(project).hear(response, self.record.loop.true_s, process.clock.now())
        match response.WhichOneof("event"):
            case "lock_gone":
                lock = response.lock_gone.lock
                mind.end(path_key(lock.path), lock.token)
            case "snapshot":
                locks = response.snapshot.locks
                standing = ((path_key(lock.path), lock.token) for lock in locks)
                mind.see_all(project, standing, response.revision)

    def _failed(self, exchange: Exchange) -> None:
        if exchange.method not in {"Register", *TAKES} or exchange.code not in _OVER:
            return
        mind, request = self.mind(exchange.process), exchange.request
        session = request.session_id if exchange.method in TAKES else request.session.session_id
        if request.lease_id == mind.leases.get(session):
            mind.lapse(session)

    def _registered(self, exchange: Exchange) -> None:
        mind, response = self.mind(exchange.process), exchange.response
        session, project = exchange.request.session.session_id, exchange.request.session.project
        if mind.leases.get(session, response.lease_id) != response.lease_id:
            mind.enter_anew(session, project)
        mind.enter(session, project)
        if mind.leases.get(session) != response.lease_id:
            mind.lapse(session)
        mind.leases[session] = response.lease_id
        self._renewed(mind, session, exchange.sent_at)
        for lock in sorted(response.locks, key=lambda lock: lock.token):
            who = Claimant.of(lock.holder, lock.mode, lock.scope)
            if (path_key(lock.path), lock.token) not in self.given_back:
                mind.adopt(Known(path_key(lock.path), lock.token, who, lock.is_pattern))

    def _beaten(self, exchange: Exchange) -> None:
        mind = self.mind(exchange.process)
        leases = {beat.session_id: beat.lease_id for beat in exchange.request.beats}
        dead = {pulse.session_id for pulse in exchange.response.pulses if not pulse.live}
        for session, lease in leases.items():
            if mind.leases.setdefault(session, lease) != lease:
                continue
            for beat in exchange.request.beats:
                if beat.session_id == session:
                    mind.enter(session, beat.project)
            if session in dead:
                mind.lapse(session)
            else:
                self._renewed(mind, session, exchange.sent_at)

    def _renewed(self, mind: Mind, session: str, sent_at: float) -> None:
        mind.renewed[session] = max(sent_at, mind.renewed.get(session, sent_at))

    def _acquired(self, exchange: Exchange) -> None:
        request, now = exchange.request, self.record.loop.true_s
        if exchange.response.WhichOneof("outcome") != "granted":
            self.record.counts["contended"] += 1
            return
        who = asker_of(request)
        for ref in exchange.response.granted.locks:
            path = path_key(ref.path)
            if request.mode != LockMode.LOCK_MODE_SHARED:
                self.answers.append(Answer(exchange.sent_true_s, now, path, who.branch, ref.token))
            self._granted(exchange, Known(path, ref.token, granted_as(request, ref)))

    def _reserved(self, exchange: Exchange) -> None:
        request = exchange.request
        if exchange.response.WhichOneof("outcome") != "reserved":
            self.record.counts["contended"] += 1
            return
        ref = exchange.response.reserved
        known = Known(path_key(ref.path), ref.token, granted_as(request, ref), is_pattern=True)
        self._granted(exchange, known)

    def _reclaimed(self, exchange: Exchange) -> None:
        if exchange.response.WhichOneof("outcome") == "reclaimed":
            ref, who = exchange.response.reclaimed, asker_of(exchange.request)
            self.record.counts["reclaims"] += 1
            self._granted(exchange, Known(path_key(ref.path), ref.token, who))

    def _granted(self, exchange: Exchange, known: Known) -> None:
        """C3: what is answered is what the store did."""
        done = [g for g in self.truth.grants.get(known.token, []) if g.path == known.path]
        if not any(map(known.is_of, done)):
            self.record.violate("C3", f"{known} was answered: {done}")
        # A restarted agent knows its sessions' leases from its file.
        mind, request = self.mind(exchange.process), exchange.request
        if request.lease_id == mind.leases.setdefault(request.session_id, request.lease_id):
            mind.enter(request.session_id, request.project)
            mind.adopt(known)

    def _reported(self, exchange: Exchange) -> None:
        request, now_s = exchange.request, self.record.loop.true_s
        if request.relied and not exchange.response.overlaps:
            denied = Denied(request.session_id, path_key(request.path), now_s)
            self.slips.denied[request.request_id] = denied

    def _broken(self, exchange: Exchange) -> None:
        """C3: a repeated break gets its first answer."""
        request = exchange.request
        if exchange.response.WhichOneof("outcome") == "broken":
            return
        for grant in self.truth.grants.get(request.lock.token, []):
            if (grant.how, grant.by) != ("broken", request.by):
                continue
            self.record.violate("C3", f"{request.by} broke {grant}, and was told: no")

    # -- what must hold -----------------------------------------------------------

    def decided(self, machine: Machine, hook: Hook) -> None:
        """What an answer means for an edit: it goes on or not, or is known to be done."""
        if hook.decision is None:
            return
        session = self.session_of(machine, hook)
        if not session:
            return  # its CLI has ended meanwhile, and edits nothing
        assert machine.agent is not None
        process = machine.agent.process
        if hook.event.kind is EventKind.BEFORE_EDIT:
            self._before_edit(machine, process, session, hook)
        elif hook.event.kind is EventKind.AFTER_EDIT and not hook.undecided:
            self.slips.reliance.done(process, session, hook)

    def _before_edit(self, machine: Machine, process: Process, session: str, hook: Hook) -> None:
        assert hook.decision is not None
        if hook.decision.verdict is Verdict.ALLOW:
            self._goes_on(machine, process, session, hook)
        else:
            self._check_denied(machine, process, session, hook)

    def _goes_on(self, machine: Machine, process: Process, session: str, hook: Hook) -> None:
        """C1: an edit that is allowed has its lock, or the settings let it through without."""
        mind, believed = self.mind(process), list(self.believed(process))
        for path in map(path_key, hook.event.paths):
            who, *before = self._claimants(machine, session, hook, path)
            known = mind.right_of(path, (who, *before))
            # A fresh grant allows this one edit, even if nothing was renewed of late; and that
            # the file is another's by an answer, says that what it had is over.
            is_held = known in believed and path not in hook.contested
            if known and (is_held or path in hook.granted):
                self.record.counts["allowed by lock"] += 1
                self.wishes.rely(path, known.token, who.agent)
                self.slips.reliance.allowed(process, session, hook, path, known.token)
                self._check_alone(known)
            elif path in hook.granted and mind.has_passed(path, who):
                self.record.counts["passed on at once"] += 1  # two threads of one session
            elif self._is_kept(machine, hook, path, (who, *before)):
                self.record.violate("C1", f"{who} edits {path}, which is known to be another's")
            elif self._is_excused(hook, path, in_pattern=any(k.keeps(path, who) for k in believed)):
                self.record.counts["allowed without a lock"] += 1
                self.slips.reliance.without(session, hook, path)
                self._let_through(machine, hook, path, who)
            else:
                self.record.violate("C1", f"{who} edits {path} by {known}: {hook.asked}")

    def _check_denied(self, machine: Machine, process: Process, session: str, hook: Hook) -> None:
        """C5: nobody is refused at once, without a question, what it has beyond doubt."""
        if hook.asked or hook.answered_s - hook.called_s >= AT_ONCE_S:
            return
        mine = list[Known | None]()
        for path in map(path_key, hook.event.paths):
            who = self._claimants(machine, session, hook, path)
            mine.append(self._surely_has(process, path, who))
        if all(mine):
            self.record.violate("C5", f"{session} has {mine}, and is refused: {hook.decision}")

    def _surely_has(self, process: Process, path: str, who: Sequence[Claimant]) -> Known | None:
        """What it may edit a path by for a while yet, whichever of ``who`` it is taken for."""
        mind, now = self.mind(process), process.clock.now()
        known, limit_s = mind.right_of(path, who), self.settings.leases.belief - SPARE_S
        if known is None or not all(map(known.writes, who)):
            return None
        stands = any(grant.path == path for grant in self.truth.of(known.token))
        renewed = mind.renewed.get(known.who.session, float("-inf"))
        followed_at = mind.stream_of(path).followed_at
        is_sure = now - renewed < limit_s and now - followed_at < limit_s
        return known if stands and is_sure else None

    def _is_kept(self, machine: Machine, hook: Hook, path: str, who: Sequence[Claimant]) -> bool:
        """Whether a conflict is known, which stays one while nobody can be asked."""
        if self.settings.session_coordination.conflict_action != "block":
            return False
        assert machine.agent is not None
        mind = self.mind(machine.agent.process)
        heard = mind.known_conflict(path, who, hook.called_s)
        is_known = bool(heard) and self._is_whose_known(machine, hook, who[0])
        return path in hook.contested or is_known

    def _let_through(self, machine: Machine, hook: Hook, path: str, who: Claimant) -> None:
        """Its agent writes it down, unless its holder is told, or it does not know whose it is."""
        if path not in hook.contested and self._is_whose_known(machine, hook, who):
            self.slips.let_through(path, who)

    def _is_whose_known(self, machine: Machine, hook: Hook, who: Claimant) -> bool:
        """Whether its agent knows whose edit it is."""
        assert machine.agent is not None
        sessions = machine.agent.parts.sessions
        named = sessions.all_by_client_id(hook.event.client, hook.event.client_session_id)
        return not hook.undecided or any(one.session_id == who.session for one in named)

    def _claimants(self, machine: Machine, session: str, hook: Hook, path: str) -> list[Claimant]:
        """Who edits: by the branch that is checked out now, and by those since it began."""
        checkout, branches = machine.checkout_of(path, hook.event.cwd), [""]
        if self.settings.session_coordination.scope == "branch":
            branches = [checkout.branch, *sorted(checkout.since(hook.called_s))]
        agent, session_id = hook.event.agent_id, SessionId(session)
        return [Claimant(session_id, agent, branch=branch) for branch in branches]

    def audit(self, machine: Machine) -> None:
        """C1: what the agent would allow from memory now is what it may believe."""
        agent, now = machine.agent, machine.clock.now()
        if agent is None or agent.process.frozen:
            return
        held, mind = agent.parts.held, self.mind(agent.process)
        believed = list(self.believed(agent.process))
        for lock in held:
            seen = Known(lock.key, lock.token, lock.claimant, lock.is_pattern)
            right = any(known.allows(seen) for known in believed)
            believes = held.believes(lock.session, now)
            if believes and not right:
                self.record.violate("C1", f"the agent believes in {lock} without right")
            followed_at = agent.parts.neighbours.of(lock.project).followed_at
            if believes and held.is_followed(followed_at, now):
                self._check_followed(machine, lock, mind, now)
            self._check_heard(machine, lock, mind.stream(lock.project).whole_to)

    def _check_followed(self, machine: Machine, lock: HeldLock, mind: Mind, now: float) -> None:
        """C1: nobody relies on a lock whose end its stream could not have told for so long."""
        followed_at = mind.stream(lock.project).followed_at
        if now - followed_at >= self.settings.leases.belief + QUIET_S:
            self.record.violate("C1", f"{machine.name} relies on {lock}, and hears nothing")
        for grant in self.truth.grants.get(lock.token, []):
            if grant.path == lock.key and self._is_long_over(grant):
                self.record.violate("C1", f"{machine.name} relies on {grant}")

    def _check_heard(self, machine: Machine, lock: HeldLock, whole_to: int) -> None:
        """C5: nobody holds what its stream should have told the end of."""
        for grant in self.truth.grants.get(lock.token, []):
            if grant.path == lock.key and grant.until_revision <= whole_to:
                self.record.violate("C5", f"{machine.name} did not hear of the end of {grant}")

    def _check_alone(self, known: Known) -> None:
        """No other holder, by name or pattern, believes in what excludes this edit."""
        for process in self.minds:
            for other in self.believed(process):
                if not other.covers(known.path) or not excludes(other.who, known.who):
                    continue
                if not (self._may_not_know(known) or self._may_not_know(other)):
                    self.record.violate("C1", f"{known} and {other} are both believed in")

    def _may_not_know(self, known: Known) -> bool:
        """Whether its grant ended by decree, and so lately that its stream need not have told.

        Or what that became by a command whose answer need not have come.
        """
        at = (g for g in self.truth.grants.get(known.token, []) if g.path == known.path)
        done = map(self.truth.became, at)
        return any(grant.how in BY_DECREE and not self._is_long_over(grant) for grant in done)

    def _is_long_over(self, grant: Grant) -> bool:
        longest_s = (self.settings.leases.belief + QUIET_S) / SLOWEST + LATE_S
        return self.record.loop.true_s - grant.until_s > longest_s

    def ended(self, grant: Grant) -> None:
        """C1: no grant ends while its holder believes in it, but by decree."""
        if grant.how == "replaced":
            return
        holders = [
            (process, known.who)
            for process, mind in self.minds.items()
            for known in mind.of_grant(grant.path, grant.token)[:1]
        ]
        # The agent after a dead one may have passed it on since, and knows whom to tell.
        is_taken_up = any(not process.dead for process, _ in holders)
        for process, who in holders:
            if process.dead:
                if not is_taken_up:
                    self._note_orphan(grant, process, who)
                continue
            self.losses.append(Loss(grant, process, who))
            believed = [known.token for known in self.believed(process) if known.path == grant.path]
            if grant.how not in BY_DECREE and grant.token in believed:
                what = f"{grant.session} believes in {grant.path}, which ended: {grant}"
                self.record.violate("C1", what)

    def _note_orphan(self, grant: Grant, process: Process, who: Claimant) -> None:
        """C4: what an agent had time to write down is lost to be told by the next one."""
        loss = Loss(grant, process, who, died=True)
        if was_written(loss):
            self.losses.append(loss)

    def check_order(self) -> None:
        """C2: a grant that was answered before another was asked for has the smaller token."""
        by_path: dict[tuple[str, str], list[Answer]] = {}
        for answer in self.answers:
            by_path.setdefault((answer.path, answer.branch), []).append(answer)
        for answers in by_path.values():
            _check_rising(self.record, answers)

    def _is_excused(self, hook: Hook, path: str, *, in_pattern: bool) -> bool:
        """Whether the settings let an edit of a file through after what its commands came to."""
        coordination = self.settings.session_coordination
        if coordination.conflict_action != "block" and _met_others(hook, path):
            return True
        may_pass = coordination.unreachable_action != "block" or in_pattern
        return may_pass and hook.is_unasked_in(project_of(path))

    def session_of(self, machine: Machine, hook: Hook) -> str:
        """The session that a hook is of, as its agent knows it; empty when it is gone."""
        if hook.session:
            return hook.session
        assert machine.agent is not None
        known = list(machine.agent.parts.sessions)
        found = [s for s in known if s.process and s.process.pid == hook.pid]
        found += [s for s in known if hook.event.client_session_id in s.client_session_ids]
        return found[0].session_id if found else ""


def was_written(loss: Loss) -> bool:
    """Whether an agent that has died had time to write down what is lost."""
    grant, known_s = loss.grant, loss.process.died_s - loss.grant.since_s
    return known_s > WRITTEN_S and not (grant.who.shared or grant.is_pattern)


def _met_others(hook: Hook, path: str) -> bool:
    """Whether a file was another's, or taken away from it at once, and then again."""
    return path in hook.contested or is_outrun(hook, path)


def _check_rising(record: Record, answers: list[Answer]) -> None:
    """Sweep over the times of asking; remember the highest token answered before."""
    asked = sorted(answers, key=lambda a: a.asked_s)
    answered = sorted(answers, key=lambda a: a.answered_s)
    highest, index = 0, 0
    for answer in asked:
        while index < len(answered) and answered[index].answered_s < answer.asked_s:
            highest, index = max(highest, answered[index].token), index + 1
        if answer.token < highest:
            record.violate("C2", f"{answer} came after token {highest}")
