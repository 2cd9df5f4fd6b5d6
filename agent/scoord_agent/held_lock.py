"""A lock as its holder knows it, and what two of one path mean for each other."""

from dataclasses import dataclass, field, replace

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.patterns import matches

LockPath = tuple[ProjectId, str, bool]
"""A file of a project, or a pattern, as it is compared: that may be written like a file."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """One grant, as its holder knows it."""

    project: ProjectId
    key: str
    shown: str
    session: SessionId
    agent: AgentId
    token: FencingToken
    used: bool = False
    """Whether it was used since its use was last published."""
    shared: bool = False
    branch: str = ""
    """The branch it is confined to; empty when it holds on every branch."""
    is_pattern: bool = False
    commit: str = ""
    """What was checked out when it was granted, or last used."""
    worktree: str = ""
    """Root of the worktree it was asked for in; empty where there is none, or nobody knows it."""
    in_several: bool = False
    """Whether it was used in another worktree, too: no commit in one of them has all of it."""
    reason: str = ""
    """Why, as somebody said; empty where it is what its session is at, or not known."""
    ends_at: float = 0.0
    """When the time is over that it was taken for, on the agent's clock, which outlives the
    agent; 0 is with its session."""
    passed: bool = field(default=False, compare=False)
    """Whether its main thread had it, until this subagent edited the file."""

    @property
    def claimant(self) -> Claimant:
        """Who has it, and how far."""
        return Claimant(self.session, self.agent, shared=self.shared, branch=self.branch)

    @property
    def name(self) -> tuple[ProjectId, str]:
        """What it is a lock of."""
        return self.project, self.key

    @property
    def path(self) -> LockPath:
        """Where it stands, among the grants that it ends or is ended by."""
        return self.project, self.key, self.is_pattern

    def used_in(self, worktree: str, commit: str) -> "HeldLock":
        """The same, used there: in its own worktree no commit before that ends it."""
        if self.worktree not in ("", worktree):
            return replace(self, in_several=True)
        return replace(self, worktree=worktree, commit=commit)

    def covers(self, project: ProjectId, key: str) -> bool:
        """Whether it holds a path, by itself or by its pattern."""
        same = matches(self.key, key) if self.is_pattern else self.key == key
        return same and self.project == project

    def has_had_its_time(self, now: float) -> bool:
        """Whether the time is over that it was taken for."""
        return 0 < self.ends_at <= now

    def left_s(self, now: float) -> float:
        """What remains of the time that it was taken for; 0 is as long as its session."""
        # Nothing at all would be for ever.
        return max(0.001, self.ends_at - now) if self.ends_at else 0.0

    def granted_anew(self, token: FencingToken) -> "HeldLock":
        """The same, as another grant."""
        return replace(self, token=token, used=False)

    def is_before(self, other: "HeldLock") -> bool:
        """Whether ``other`` came after it on the path.

        A subagent that takes over from its main thread does so under the same token.
        """
        if self.token == other.token:
            return (self.session, self.agent) != (other.session, other.agent)
        return self.token < other.token


def is_same(one: HeldLock, other: HeldLock) -> bool:
    """Whether two grants are of one holder."""
    return one.claimant.is_same(other.claimant)


def stand_together(one: HeldLock, other: HeldLock) -> bool:
    """Whether two grants of a path can be held at once.

    A holder has one on each branch; what it is granted for every branch ends the others,
    but of patterns, where it is one more. Had the first been enough still, it would have
    been kept.
    """
    if not is_same(one, other):
        return not (one.claimant.excludes(other.claimant) or is_taken_over(one, other))
    first, later = sorted((one, other), key=lambda lock: lock.token)
    if first.claimant.covers(later.claimant) and (later.shared or not first.shared):
        return False
    if one.is_pattern:
        return one.branch != other.branch
    return not later.claimant.covers(first.claimant)


def is_taken_over(lock: HeldLock, later: HeldLock) -> bool:
    """Whether a subagent has it by a grant of its own, on more branches than its main thread."""
    passes = lock.claimant.passes_to(later.claimant) and not later.is_pattern
    return passes and lock.token < later.token and lock.claimant.gives_way_to(later.claimant)


def is_let_in(lock: HeldLock, later: HeldLock) -> bool:
    """Whether a subagent's later grant stands beside what its main thread has.

    A main thread's share or pattern keeps none of them out, and only of a file that both
    write does one have it.
    """
    passes = lock.claimant.passes_to(later.claimant) and lock.token < later.token
    write = not any(it.shared or it.is_pattern for it in (lock, later))
    return passes and not write


def is_more(now: HeldLock, before: HeldLock) -> bool:
    """Whether its holder may do with the later grant what the one before did not allow."""
    is_later = now.token > before.token and now.claimant.covers(before.claimant)
    return is_later and (now.branch != before.branch or before.shared > now.shared)


def is_in_place_of(now: HeldLock, before: HeldLock) -> bool:
    """Whether ``before`` may have become ``now``: its holder's, or a subagent's, on more branches.

    On as many a subagent would have it under its token.
    """
    if is_same(now, before):
        return is_more(now, before)
    return now.branch != before.branch and is_taken_over(before, now)


def is_ended_by(lock: HeldLock, other: HeldLock) -> bool:
    """Whether ``other`` is over, as the later ``lock`` shows."""
    return other.token < lock.token and not stand_together(other, lock)


def as_asked(lock: HeldLock, before: HeldLock) -> HeldLock:
    """A grant that goes on as ``before``, with the end and the reason that were asked for last.

    Who asks for none leaves them as they are. Asked for in two worktrees, it is used in both.
    """
    ends_at, reason = lock.ends_at or before.ends_at, lock.reason or before.reason
    apart = lock.worktree != before.worktree and all((lock.worktree, before.worktree))
    in_several = lock.in_several or before.in_several or apart
    return replace(lock, ends_at=ends_at, reason=reason, in_several=in_several)


def has_passed(before: HeldLock, lock: HeldLock) -> bool:
    """Whether ``lock``, which goes on with the grant ``before``, was its main thread's."""
    return before.passed or before.claimant.passes_to(lock.claimant)


def as_it_is(lock: HeldLock, before: HeldLock) -> HeldLock:
    """A grant that is told of once more, as its record is."""
    passed = lock.passed or has_passed(before, lock)
    lock = replace(as_asked(lock, before), passed=passed)
    if before.worktree not in ("", lock.worktree):
        # It stays where it was asked for first.
        lock = replace(lock, worktree=before.worktree, commit=before.commit)
    # Taken while no branch was checked out, it holds on every one, whoever goes on with it.
    lock = replace(lock, branch=before.branch and lock.branch)
    # Who asks to share what it has alone is answered with what it has.
    return lock if before.shared else replace(lock, shared=False)
