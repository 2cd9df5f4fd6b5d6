"""What one agent knows of its grants, by the messages that it sent and got."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scoord.claimant import Claimant
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Holder, Lock, LockMode, LockRef, LockScope
from support.simulation.oracle import excludes
from support.simulation.truth import Grant

Place = tuple[str, str, str, str]
"""The key of a path or pattern, a session and subagent that may have it, and on which branch."""


@dataclass(frozen=True, slots=True)
class Known:
    """A grant as its holder's agent knows it."""

    path: str
    token: int
    who: Claimant
    is_pattern: bool = False

    @property
    def place(self) -> Place:
        """What it is kept by."""
        return self.path, self.who.session, self.who.agent, self.who.branch

    def covers(self, path: str) -> bool:
        """Whether it is a grant of ``path``, by name or by pattern."""
        return matches(self.path, path) if self.is_pattern else self.path == path

    def allows(self, seen: "Known") -> bool:
        """Whether its agent may believe in ``seen``: that it is, or it is more.

        What was granted may wait for what else is asked for, and the share before is seen, or
        what it had on its branch alone.
        """
        is_it = (self.place, self.token) == (seen.place, seen.token)
        is_less = _is_less(seen, self) or _is_part(seen, self)
        return is_it or (self.path == seen.path and is_less)

    def is_of(self, grant: Grant) -> bool:
        """Whether it is what the store granted, as it was then or as it has passed on since."""
        how_far = {(who.shared, who.branch) for who in (grant.first, grant.who)}
        return self.who.session == grant.session and (self.who.shared, self.who.branch) in how_far

    def writes(self, who: Claimant) -> bool:
        """Whether it lets ``who`` edit."""
        return (
            self.who.is_same(who)
            and not (self.who.shared or self.is_pattern)
            and self.who.branch in ("", who.branch)
        )

    def keeps(self, path: str, who: Claimant) -> bool:
        """Whether it is a pattern that keeps all but the session of ``who`` from a path."""
        is_own = self.is_pattern and self.who.session == who.session and not self.who.shared
        return is_own and self.covers(path) and self.who.branch in ("", who.branch)


@dataclass(frozen=True, slots=True)
class Heard:
    """A lock that stands, whosoever it is, as an agent has heard."""

    path: str
    token: int
    who: Claimant
    is_pattern: bool
    at_s: float

    def keeps(self, path: str, who: Iterable[Claimant]) -> bool:
        """Whether it is in the way of an edit of a path, by whichever of ``who`` that is."""
        covers = matches(self.path, path) if self.is_pattern else self.path == path
        return covers and all(excludes(self.who, one) for one in who)


@dataclass
class Mind:
    """What one agent process knows."""

    renewed: dict[str, float] = field(default_factory=dict)
    """When the last renewal that was answered was sent, by the machine's clock."""
    leases: dict[str, int] = field(default_factory=dict)
    locks: dict[Place, Known] = field(default_factory=dict)
    over: set[tuple[str, int]] = field(default_factory=set)
    """Paths and tokens that were given back or are known to be over."""
    followed_at: float = float("-inf")
    """When its stream last told what is new, by the machine's clock."""
    revision: int = 0
    whole_to: int = 0
    """The last revision of which its stream has told everything."""
    listed_at: int = 0
    """The revision of the newest picture that a stream of its began with."""
    listed: frozenset[tuple[str, int]] = frozenset()
    """Paths and tokens of what stood then: an older grant that is not among it is over."""
    heard: dict[tuple[str, int], Heard] = field(default_factory=dict)
    """By path and token: the locks of all that stand as its stream has told."""

    def hear(self, response: Any, now_s: float) -> None:
        """A stream's message about who has what."""
        match response.WhichOneof("event"):
            case "snapshot":
                before, self.heard = self.heard, {}
                for lock in response.snapshot.locks:
                    self._heard(lock, now_s)
                self.heard |= {key: before[key] for key in before.keys() & self.heard.keys()}
            case "lock":
                self._heard(response.lock, now_s)
            case "lock_gone":
                lock = response.lock_gone.lock
                self.heard.pop((path_key(lock.path), lock.token), None)

    def _heard(self, lock: Lock, now_s: float) -> None:
        path, who = path_key(lock.path), Claimant.of(lock.holder, lock.mode, lock.scope)
        self.heard[path, lock.token] = Heard(path, lock.token, who, lock.is_pattern, now_s)

    def known_conflict(self, path: str, who: Sequence[Claimant], since_s: float) -> Heard | None:
        """What was heard by ``since_s`` to be in the way of an edit, and stands as far as heard."""
        stands = (it for at, it in self.heard.items() if at not in self.over)
        found = (it for it in stands if it.at_s < since_s and it.keeps(path, who))
        return next(found, None)

    def lapse(self, session: str) -> None:
        """All that the session held is over."""
        self.renewed.pop(session, None)
        for known in [known for known in self.locks.values() if known.who.session == session]:
            del self.locks[known.place]

    def leave(self, session: str) -> None:
        """A session ends; without any there is nobody for whom the project would be followed."""
        self.lapse(session)
        self.leases[session] = 0
        if not any(self.leases.values()):
            self.heard.clear()

    def end(self, path: str, token: int) -> None:
        """One grant is over."""
        self.over.add((path, token))
        for known in self.of_grant(path, token):
            del self.locks[known.place]

    def see_all(self, standing: Iterable[tuple[str, int]], revision: int) -> None:
        """All that stood at a revision: another grant is over, also where its answer comes yet."""
        if revision < self.listed_at:
            return  # of a coordinator that is behind: what is known to be over stays so
        self.listed, self.listed_at = frozenset(standing), revision
        for known in list(self.locks.values()):
            if self._is_unlisted(known):
                self.end(known.path, known.token)

    def _is_unlisted(self, known: Known) -> bool:
        return known.token <= self.listed_at and (known.path, known.token) not in self.listed

    def of_grant(self, path: str, token: int) -> list[Known]:
        """What is known of one grant."""
        return [
            known for known in self.locks.values() if (known.path, known.token) == (path, token)
        ]

    def right_of(self, path: str, who: Sequence[Claimant]) -> Known | None:
        """The latest grant of a path by which any of ``who`` may edit it, believed in or not."""
        known = (k for k in self.locks.values() if k.path == path and any(map(k.writes, who)))
        return max(known, key=lambda k: k.token, default=None)

    def adopt(self, new: Known) -> None:
        """A grant: what it cannot stand beside on its path is over, or was taken over."""
        if (new.path, new.token) in self.over or self._is_unlisted(new):
            return
        at = [known for known in self.locks.values() if known.path == new.path]
        if any(_is_late(new, known) for known in at):
            return
        for known in at:
            made_way = excludes(known.who, new.who) or _is_over(known, new)
            if known.token == new.token or (made_way and known.token < new.token):
                del self.locks[known.place]
            if known.token == new.token and not known.who.branch:
                # Of every branch, it is so for the subagent too that takes it over.
                new = replace(new, who=replace(new.who, branch=""))
        self.locks[new.place] = new


def _is_over(known: Known, new: Known) -> bool:
    """Whether its holder has another in place of it: of patterns, on the same branch.

    Or a subagent has of a file, on every branch, what its main thread wrote on one.
    """
    branches = {known.who.branch} if new.is_pattern else {"", known.who.branch}
    passes = known.who.passes_to(new.who) and not (known.who.shared or new.who.shared)
    if passes and not new.is_pattern:
        return not new.who.branch
    return known.who.is_same(new.who) and new.who.branch in branches


def _is_late(new: Known, known: Known) -> bool:
    """Whether its answer comes after that of what it is a part of, became, or made way for."""
    made_way = excludes(known.who, new.who) and not _lets_in(new, known)
    is_late = new.token < known.token and (made_way or _is_over(new, known))
    return is_late or _is_less(new, known) or _was_passed_on(new, known)


def _lets_in(known: Known, later: Known) -> bool:
    """Whether a subagent's later grant stands beside it, as one of them does not write."""
    write = not any(it.who.shared or it.is_pattern for it in (known, later))
    return known.who.passes_to(later.who) and not write


def _was_passed_on(new: Known, known: Known) -> bool:
    """Whether it is a late answer: a subagent has taken over what it grants."""
    return new.token == known.token and new.who.passes_to(known.who)


def _is_less(new: Known, known: Known) -> bool:
    """Whether it is a share of what its holder has: by the same grant, or to write by a later."""
    is_wider = known.who.is_same(new.who) and known.who.branch in {"", new.who.branch}
    if not (new.who.shared and is_wider) or new.token > known.token:
        return False
    return new.token == known.token or not known.who.shared


def _is_part(seen: Known, known: Known) -> bool:
    """Whether it is what its holder had on one branch, and has on every one by a later grant."""
    is_wider = known.who.is_same(seen.who) and not known.who.branch and seen.who.branch
    return bool(is_wider) and seen.token < known.token and seen.who.shared == known.who.shared


def asker_of(request: Any) -> Claimant:  # whatever message asks for a path or pattern
    """Who asks, and how far."""
    holder = Holder(session_id=request.session_id, agent_id=request.agent_id, branch=request.branch)
    mode = getattr(request, "mode", LockMode.LOCK_MODE_EXCLUSIVE)
    return Claimant.of(holder, mode, request.scope)


def granted_as(request: Any, ref: LockRef) -> Claimant:  # as above
    """As what the asker has what it was granted: it may have had more already."""
    who, on_every = asker_of(request), ref.scope == LockScope.LOCK_SCOPE_REPOSITORY
    shared = ref.mode == LockMode.LOCK_MODE_SHARED
    return replace(who, shared=shared, branch="" if on_every else who.branch)
