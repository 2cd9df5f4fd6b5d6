"""What one agent knows of its grants, by the messages that it sent and got."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scoord.claimant import Claimant
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Holder, LockMode, LockRef, LockScope
from support.simulation.oracle import excludes
from support.simulation.projects import project_of
from support.simulation.streams import Heard, Stream
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
        what it had on its branch alone, or what it had under a token before.
        """
        is_it = self.place == seen.place and self.token >= seen.token
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


@dataclass
class Mind:
    """What one agent process knows."""

    renewed: dict[str, float] = field(default_factory=dict)
    """When the last renewal that was answered was sent, by the machine's clock."""
    leases: dict[str, int] = field(default_factory=dict)
    locks: dict[Place, Known] = field(default_factory=dict)
    over: set[tuple[str, int]] = field(default_factory=set)
    """Paths and tokens that were given back or are known to be over."""
    streams: dict[str, Stream] = field(default_factory=dict)
    """What it has heard of each project."""
    projects: dict[str, dict[str, None]] = field(default_factory=dict)
    """Those that each session is in; without any there, a project is not followed."""

    def stream(self, project: str) -> Stream:
        """What it has heard of a project."""
        return self.streams.setdefault(project, Stream())

    def stream_of(self, name: str) -> Stream:
        """What it has heard of the project of a file or pattern."""
        return self.stream(project_of(name))

    def of_session(self, session: str) -> tuple[str, ...]:
        """The projects that a session is in."""
        return tuple(self.projects.get(session, ()))

    def enter(self, session: str, project: str) -> None:
        """A session is in a project."""
        self.projects.setdefault(session, {})[project] = None

    def enter_anew(self, session: str, project: str) -> None:
        """A session is in this project, and in no other any more: it is on another lease."""
        before = self.projects.get(session, {})
        self.projects[session] = {project: None}
        self._leave(it for it in before if it != project)

    def _leave(self, projects: Iterable[str]) -> None:
        followed = {project for known in self.projects.values() for project in known}
        for project in projects:
            if project not in followed:
                self.stream(project).leave()

    def known_conflict(self, path: str, who: Sequence[Claimant], since_s: float) -> Heard | None:
        """What was heard by ``since_s`` to be in the way of an edit, and stands as far as heard."""
        heard = self.stream_of(path).heard
        stands = (it for at, it in heard.items() if at not in self.over)
        found = (it for it in stands if it.at_s < since_s and it.keeps(path, who))
        return next(found, None)

    def has_passed(self, path: str, who: Claimant) -> bool:
        """Whether another thread of its session has a path now."""
        return any(k.path == path and k.who.session == who.session for k in self.locks.values())

    def lapse(self, session: str) -> None:
        """All that the session held is over."""
        self.renewed.pop(session, None)
        for known in [known for known in self.locks.values() if known.who.session == session]:
            del self.locks[known.place]

    def leave(self, session: str) -> None:
        """A session ends, in all its projects."""
        self.lapse(session)
        self.leases[session] = 0
        self._leave(self.projects.pop(session, {}))

    def end(self, path: str, token: int) -> None:
        """One grant is over."""
        self.over.add((path, token))
        for known in self.of_grant(path, token):
            del self.locks[known.place]

    def see_all(self, project: str, standing: Iterable[tuple[str, int]], revision: int) -> None:
        """All that stood at a revision: another grant is over, also where its answer comes yet."""
        if not self.stream(project).list(standing, revision):
            return
        for known in list(self.locks.values()):
            if project_of(known.path) == project and self._is_unlisted(known):
                self.end(known.path, known.token)

    def _is_unlisted(self, known: Known) -> bool:
        return self.stream_of(known.path).lists_no(known.path, known.token)

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
