"""C9, of edits that were allowed by a lock: which of them happened when that was over.

Its end may not have been heard of then. Once it is, the edit is reported all the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from scoord.names import path_key
from support.simulation.loop import Process
from support.simulation.machine import Hook
from support.simulation.record import Record
from support.simulation.truth import Grant, Truth

SURE_S = 2.0
"""What ended later before an edit was done may have ended after it, by what its agent and
the coordinator could know."""

OWN = frozenset({"released", "replaced"})
"""Ends that are the holder's own doing."""

_Edit = tuple[str, str, str, str]
"""Whose it is: session and subagent; of which file, and where its CLI works."""


@dataclass(frozen=True, slots=True)
class _Allowed:
    """An edit that goes on by a grant."""

    process: Process
    token: int
    noted_s: float
    """When its agent may have written it down as unasked; endless where it was not."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """An edit that was done when what it was allowed by was over."""

    path: str
    session: str
    at_s: float
    since_s: float
    """From when on its report may come: of one that went on unasked, as soon as it goes on."""
    grant: Grant
    process: Process
    """The agent that knows of it."""


@dataclass
class Reliance:
    """Follows edits from the answer that allows them until they have happened."""

    record: Record
    truth: Truth
    overtaken: list[Overtaken] = field(default_factory=list)
    _allowed: dict[_Edit, _Allowed] = field(default_factory=dict)

    def allowed(self, process: Process, session: str, hook: Hook, path: str, token: int) -> None:
        """An edit goes on by a grant."""
        noted_s = hook.answered_s if hook.unasked else inf
        self._allowed[_edit(session, hook, path)] = _Allowed(process, token, noted_s)

    def without(self, session: str, hook: Hook, path: str) -> None:
        """It goes on by none: that is judged by itself."""
        self._allowed.pop(_edit(session, hook, path), None)

    def done(self, process: Process, session: str, hook: Hook) -> None:
        """An edit has happened, and its agent was told."""
        for path in map(path_key, hook.event.paths):
            allowed = self._allowed.pop(_edit(session, hook, path), None)
            if allowed is None or allowed.process is not process:
                continue  # the agent after the one that allowed it does not know by what
            at_s = hook.called_s
            since_s = min(at_s, allowed.noted_s)
            for grant in self._over(session, path, allowed.token, at_s):
                self.record.counts["edits done without their lock"] += 1
                self.overtaken.append(Overtaken(path, session, at_s, since_s, grant, process))

    def _over(self, session: str, path: str, token: int, by_s: float) -> Iterable[Grant]:
        for grant in self.truth.grants.get(token, ()):
            is_it = (grant.path, grant.session) == (path, session)
            if is_it and grant.until_s + SURE_S < by_s and grant.how not in OWN:
                yield grant


def _edit(session: str, hook: Hook, path: str) -> _Edit:
    return session, hook.event.agent_id, path, hook.event.cwd
