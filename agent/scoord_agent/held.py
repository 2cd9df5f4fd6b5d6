"""The locks this machine's sessions hold, and until when that may be believed.

A session believes in its locks for D seconds after *sending* the last renewal
that succeeded, on a clock that counts suspend. The store keeps them for T > D,
so a holder that cannot renew stops believing before anyone else is let in.
Clock skew does not matter; clock rates may differ by up to T/D.

A renewal says that the session lives, not that each of its locks stands: one may
have been broken. Only the project's stream tells, so that has to be heard as well.

What was lost with its lease is kept apart: it is to be asked for again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.patterns import matches
from scoord_agent.grants import Grants
from scoord_agent.held_lock import (
    HeldLock,
    LockPath,
    as_asked,
    as_it_is,
    has_passed,
    is_ended_by,
    is_in_place_of,
    is_let_in,
    is_same,
    is_taken_over,
)
from scoord_agent.losses import Losses

QUIET_S = 10.0
"""How much longer than a renewal the stream is believed in. It tells something every 3 s
at least; one that broke off with the renewals must not end belief before they do."""


_Grant = tuple[LockPath, SessionId, AgentId, FencingToken]


class HeldLocks:
    """Locks by path and holder; deadlines by session."""

    def __init__(self, belief_s: float) -> None:
        self._belief_s = belief_s
        self._grants = Grants()
        self._renewed_at: dict[SessionId, float] = {}
        self._overtaken: dict[_Grant, HeldLock] = {}
        """Grants that are over, as a later one on the same path shows, before anything
        told of their end: their sessions are still to hear of it. And what has passed on
        under its token, while it is not settled whether who has it now keeps it."""
        self._replaced: dict[_Grant, HeldLock] = {}
        """Grants in place of which their holders have more, before anything told of their
        end. They became that, or were taken away before, and others may have had the file."""
        self._unsettled: dict[_Grant, HeldLock] = {}
        """Grants that passed on, while it is not settled whether they are kept. Either way what
        they took from others is over, also where the answer that grants it comes yet."""
        self.losses = Losses()

    def renewed(self, session: SessionId, sent_at: float) -> None:
        """A renewal sent at ``sent_at`` succeeded. An older answer changes nothing."""
        self._renewed_at[session] = max(sent_at, self._renewed_at.get(session, sent_at))

    def believes(self, session: SessionId, now: float) -> bool:
        """Whether the session's locks may be believed in at ``now``."""
        renewed_at = self._renewed_at.get(session)
        return renewed_at is not None and now < renewed_at + self._belief_s

    def is_timely(self, asked_at: float, now: float) -> bool:
        """Whether a grant that was asked for then may be believed in by its answer alone.

        An answer that lay unread while the machine slept may have outlived its session's lease.
        """
        return now < asked_at + self._belief_s

    def is_followed(self, followed_at: float | None, now: float) -> bool:
        """Whether a stream that was last heard then would have told of a broken lock."""
        return followed_at is not None and now < followed_at + self._belief_s + QUIET_S

    def put(self, lock: HeldLock) -> None:
        """Remember a grant. Others that it cannot stand beside have ended, or were taken over.

        One whose answer comes after that of a later grant is such another itself.
        """
        if self._is_overtaken(lock):
            self._note_overtaken([lock])
        else:
            self._put(lock)

    def pass_on(self, lock: HeldLock) -> None:
        """It is granted, and not settled whether it is kept: others have no more what it took.

        What its own holder had of the path is a part of it, and stays until then.
        """
        if not self.find_same(lock):
            self._unsettled[_grant(lock)] = lock
        for other in self._grants.at(lock.path):
            is_over = other.token == lock.token or is_ended_by(lock, other)
            if is_over and not is_same(other, lock):
                self.drop(other)
                self._overtaken[_grant(other)] = other
        self._find_passed(lock)

    def _find_passed(self, lock: HeldLock) -> None:
        """What its main thread lost is not lost: it has gone on with it, under its token."""
        for lost in self.losses.at(lock.path):
            if _goes_on_as(lost, lock):
                self.losses.settle(lost)

    def turn_down(self, lock: HeldLock) -> bool:
        """A grant that is given back at once: what ended by it is over, and its holder misses it.

        Other than by ``put``, nobody has more now. Whether its main thread had it before.
        """
        self._settle(lock)
        before = self._take_passed(lock)
        for other in self._grants.at(lock.path):
            if other.token == lock.token:
                self.drop(other)
                before.append(other)
            elif is_ended_by(lock, other):
                self.drop(other)
                self._overtaken[_grant(other)] = other
        return any(has_passed(other, lock) for other in before)

    def _settle(self, lock: HeldLock) -> None:
        """It is known what becomes of it, and so of what its holder was granted there before."""
        for other in tuple(self._unsettled.values()):
            if other.path == lock.path and is_same(other, lock) and other.token <= lock.token:
                del self._unsettled[_grant(other)]

    def _take_passed(self, lock: HeldLock) -> list[HeldLock]:
        """What passed on to its holder before it was settled, and is settled now."""
        return [self._overtaken.pop(_grant(other)) for other in self._passed(lock)]

    def _passed(self, lock: HeldLock) -> list[HeldLock]:
        return [other for other in self._overtaken.values() if _goes_on_as(other, lock)]

    def _put(self, lock: HeldLock) -> None:
        self._settle(lock)
        lock, others = self._gone_on(lock), self._grants.at(lock.path)
        over = [other for other in others if is_ended_by(lock, other)]
        same = [other for other in others if other.token == lock.token]
        self._grants.put(lock, instead_of=(*over, *same))
        self._find_passed(lock)
        self._note_overtaken(over)
        perhaps = self.losses.perhaps_replaced(lock.path)
        wanted_no_more = [lost for lost in perhaps if self.has_more(lost)]
        for lost in wanted_no_more:
            self.losses.note_replaced(lost)
        self._go_on(wanted_no_more)
        if not lock.is_pattern:
            self._use_patterns(lock)

    def _gone_on(self, lock: HeldLock) -> HeldLock:
        """The grant, with what is known of it, and of its main thread's that it goes on with."""
        for before in (*self._grants.at(lock.path), *self._take_passed(lock)):
            if before.token == lock.token:
                lock = as_it_is(lock, before)
            elif is_taken_over(before, lock) and before.branch != lock.branch:
                lock = replace(lock, passed=True)
        return lock

    def use(self, project: ProjectId, key: str, who: Claimant, now: float) -> bool:
        """Whether exactly this holder may write it and believe so; then it counts as used."""
        lock = self.right(project, key, who)
        if lock is None or not self.believes(who.session, now):
            return False
        if not lock.used:
            self._grants.update(replace(lock, used=True))
            self._use_patterns(lock)
        return True

    def right(self, project: ProjectId, key: str, who: Claimant) -> HeldLock | None:
        """The grant by which exactly this holder may write a path, while its lease stands."""
        lock = self.find(project, key, who)
        return None if lock is None or lock.shared else lock

    def covers(self, project: ProjectId, key: str, who: Claimant, now: float) -> bool:
        """Whether a pattern of its session, which it has alone, keeps all others from a path."""
        held = self._grants.patterns()
        own = (lock for lock in held if lock.session == who.session and not lock.shared)
        found = any(it.covers(project, key) and it.branch in ("", who.branch) for it in own)
        return found and self.believes(who.session, now)

    def renew_commit(self, lock: HeldLock, worktree: str, commit: str) -> None:
        """It is used again in a worktree, after a commit: that one does not end it any more."""
        now = self.find_same(lock)
        if now is not None:
            self._grants.update(now.used_in(worktree, commit))

    def find(
        self, project: ProjectId, key: str, who: Claimant, *, is_pattern: bool = False
    ) -> HeldLock | None:
        """The grant of a path, or of a pattern, that this holder has on its branch."""
        path = (project, key, is_pattern)
        confined = self._grants.get(path, (who.session, who.agent, who.branch))
        return confined or self._grants.get(path, (who.session, who.agent, ""))

    def find_same(self, lock: HeldLock) -> HeldLock | None:
        """The grant that ``lock`` was seen as, as it is now; None when it is not held any more."""
        return next((own for own in self._own(lock) if own.token == lock.token), None)

    def has_passed(self, lock: HeldLock) -> bool:
        """Whether its holder has exactly this grant, or a later one in place of it."""
        own = self._own(lock)
        return any(one.token == lock.token or is_ended_by(one, lock) for one in own)

    def is_renewed_by(self, lock: HeldLock) -> bool:
        """Whether its holder has an older grant of the path, which ``lock`` shows to be over."""
        return any(is_ended_by(lock, one) for one in self._own(lock))

    def _own(self, lock: HeldLock) -> list[HeldLock]:
        """What the holder of ``lock`` has of its path, on whatever branches."""
        return [own for own in self._grants.at(lock.path) if is_same(own, lock)]

    def passes_on(self, lock: HeldLock) -> bool:
        """Whether somebody of this machine has exactly this grant, or had until it passed on."""
        here = self.at(lock.project, lock.key)
        return any(one.token == lock.token for one in (*here, *self._passed(lock)))

    def at(self, project: ProjectId, key: str) -> list[HeldLock]:
        """The grants of a path, whoever of this machine has them."""
        return self._grants.at((project, key, False))

    def _note_overtaken(self, over: Iterable[HeldLock]) -> None:
        for other in over:
            kept = self._replaced if self.has_more(other) else self._overtaken
            kept[_grant(other)] = other
        self._go_on(over)

    def _go_on(self, over: Iterable[HeldLock]) -> None:
        """What is had in place of these ends when they were to: of several ends the last counts.

        One that is as much was granted when they were over. Patterns do that under their token.
        """
        files = (lock for lock in over if not lock.is_pattern)
        for before in sorted(files, key=lambda lock: lock.ends_at, reverse=True):
            for now in self._in_place_of(before):
                if now.claimant != before.claimant:
                    self._grants.update(as_asked(now, before))

    def void(self, lock: HeldLock) -> None:
        """It was taken away, so what its holder has more did not come of it, nor has its end."""
        for now in self._in_place_of(lock):
            ends_at = 0.0 if now.ends_at == lock.ends_at else now.ends_at
            self._grants.update(replace(now, ends_at=ends_at, passed=False))

    def _in_place_of(self, lock: HeldLock) -> list[HeldLock]:
        return [now for now in self._grants.at(lock.path) if is_in_place_of(now, lock)]

    def _is_overtaken(self, lock: HeldLock) -> bool:
        """Whether its answer comes after that of a later grant, beside which it cannot stand."""
        return any(is_ended_by(other, lock) for other in self._grants.at(lock.path))

    def is_later_anothers(self, lock: HeldLock) -> bool:
        """Whether another of this machine has a later grant, beside which ``lock`` cannot stand.

        A subagent that took it over from its main thread has it under the same token.
        """
        known = (*self._near(lock), *self._unsettled.values())
        later = (k for k in known if lock.is_before(k) and not is_let_in(lock, k))
        others = [k for k in later if k.claimant.excludes(lock.claimant)]
        return any(k.covers(*lock.name) or lock.covers(*k.name) for k in others)

    def _near(self, lock: HeldLock) -> Iterable[HeldLock]:
        """What may be of the same path: each grant of a file asks, and there may be thousands."""
        if lock.is_pattern:
            return self._grants
        return [*self._grants.at(lock.path), *self._grants.patterns()]

    def grant(
        self, project: ProjectId, key: str, token: FencingToken, *, is_pattern: bool = False
    ) -> HeldLock | None:
        """The grant that ``token`` names, whoever of this machine has it."""
        path = (project, key, is_pattern)
        over = (lock for lock in self.overtaken() if lock.path == path)
        found = (*self._grants.at(path), *over)
        return next((lock for lock in found if lock.token == token), None)

    def holds(self, grant: HeldLock) -> bool:
        """Whether somebody of this machine has it, by what was heard last."""
        return any(lock.token == grant.token for lock in self._grants.at(grant.path))

    def of(self, session: SessionId) -> list[HeldLock]:
        """All grants of a session, its subagents' too."""
        return self._grants.of(session)

    def drop(self, lock: HeldLock) -> HeldLock | None:
        """Forget one grant; None when exactly that one was not held."""
        found = self.find_same(lock)
        if found is None:
            over = self._overtaken.pop(_grant(lock), None)
            return over or self._replaced.pop(_grant(lock), None)
        self._grants.remove(found)
        return found

    def forget(self, session: SessionId) -> None:
        """Forget everything of a session, which has ended."""
        self.lapse(session)
        for lock in self.losses.of(session):
            self.losses.settle(lock)

    def lapse(self, session: SessionId) -> None:
        """The lease of a session is over, and with it all it held is lost."""
        overtaken = [lock for lock in self.overtaken() if lock.session == session]
        for lock in (*overtaken, *self.of(session)):
            self.lose(lock)
        for lock in [lock for lock in self._unsettled.values() if lock.session == session]:
            del self._unsettled[_grant(lock)]
        self.losses.note_lapse(session)
        self._renewed_at.pop(session, None)

    def overtaken(self) -> list[HeldLock]:
        """The grants that are over, and whose sessions have not heard of it."""
        return [*self._overtaken.values(), *self._replaced.values()]

    def lose(self, lock: HeldLock) -> None:
        """It is not held any more, and what became of it is to be asked."""
        was_replaced = _grant(lock) in self._replaced
        found = self.drop(lock)
        if found is not None:
            stood_at = self._renewed_at.get(found.session, 0.0)
            self.losses.note(found, stood_at, replaced=was_replaced or self.has_more(found))

    def end(self, lock: HeldLock) -> None:
        """It is over, and nobody took it away: lost, where it did not become more."""
        if self._replaced.pop(_grant(lock), None) is None:
            self.lose(lock)

    def missing(self, lock: HeldLock, stood_at: float) -> None:
        """It is known to have stood then, and that it does not now, or nobody confirms it."""
        stands = self.grant(lock.project, lock.key, lock.token, is_pattern=lock.is_pattern)
        known = any(_grant(lost) == _grant(lock) for lost in self.losses.at(lock.path))
        # Under the same token a subagent may have taken it over meanwhile.
        if stands is None and not known:
            self.losses.note(lock, stood_at, replaced=self.has_more(lock))

    def stood_at(self, session: SessionId) -> float:
        """When all that a session has or has lost was last known to stand; 0 when it never was."""
        return min((self._renewed_at.get(session, 0.0), *self.losses.stood_at(session)))

    def known(self, session: SessionId) -> list[HeldLock]:
        """What a session has, or has lost without knowing yet to whom or how."""
        over = (lock for lock in self.overtaken() if lock.session == session)
        return [*self.of(session), *self.losses.of(session), *over]

    def has_more(self, lock: HeldLock) -> bool:
        """Whether a later grant of the path is its holder's: who shared it may write it now.

        Who could write it already, as far as now, had it taken away in between. What its
        subagent took over, on more branches, did not end in another way: on as many it would
        have passed on under its token.
        """
        return bool(self._in_place_of(lock))

    def used(self, session: SessionId) -> list[HeldLock]:
        """The grants used since their use was last published."""
        return [lock for lock in self.of(session) if lock.used]

    def published(self, locks: Iterable[HeldLock]) -> None:
        """The use of these grants is published; those that are over are left alone."""
        for lock in locks:
            if self.find_same(lock) == lock:
                self._grants.update(replace(lock, used=False))

    def __iter__(self) -> Iterator[HeldLock]:
        return iter(self._grants)

    def _use_patterns(self, file: HeldLock) -> None:
        """Whoever works on a file uses the patterns of its session that it is in."""
        for lock in self._grants.patterns():
            is_own = (lock.project, lock.session) == (file.project, file.session)
            if is_own and not lock.used and matches(lock.key, file.key):
                self._grants.update(replace(lock, used=True))


def _goes_on_as(before: HeldLock, lock: HeldLock) -> bool:
    """Whether a main thread's grant has passed on, under its token, and is ``lock`` now."""
    is_one = before.token == lock.token and before.path == lock.path
    return is_one and before.claimant.passes_to(lock.claimant)


def _grant(lock: HeldLock) -> _Grant:
    return lock.path, lock.session, lock.agent, lock.token
