"""Who asked for what is granted, and what came of it: some grants no session ever hears of."""

from dataclasses import dataclass, field
from typing import Any

from scoord.v1.locks_pb2 import LockMode
from scoord_hooks.neutral import EventKind, Verdict
from support.simulation.machine import Hook, asked_for, current_hook, wish_keys
from support.simulation.network import Exchange
from support.simulation.truth import Grant

TAKES = frozenset({"Acquire", "Reserve", "Reclaim"})
"""The commands that take something."""

LATE_GRANT = "late granted"
"""A grant whose answer lay unread while its machine slept: it may be over with its lease."""

CONTENDED_AFTER = 2
"""After how many grants that were over when their answers came an agent gives up."""


@dataclass
class Wishes:
    """What agents ask for, by the messages that they send and the edits that they decide."""

    wanted: set[str] = field(default_factory=set)
    """The request ids of what agents ask for since an edit or a command asks them for it."""
    edits: dict[str, Hook] = field(default_factory=dict)
    """By request id: the edit that asked for files."""
    relied: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    """By path and token of what an edit was allowed by: the threads that edited."""

    def rely(self, path: str, token: int, agent: str) -> None:
        """An edit by a thread is allowed by a grant."""
        self.relied.setdefault((path, token), set()).add(agent)

    def sent(self, exchange: Exchange) -> None:
        """A command leaves."""
        if exchange.method not in TAKES or asked_for.get().isdisjoint(_keys(exchange.request)):
            return
        request, hook = exchange.request, current_hook.get()
        self.wanted.add(request.request_id)
        # What was lost is asked for again in other ways; its session knew of it.
        is_new = exchange.method == "Acquire" and request.mode != LockMode.LOCK_MODE_SHARED
        if is_new and hook and hook.event.kind is EventKind.BEFORE_EDIT:
            self.edits.setdefault(request.request_id, hook)

    def was_in_vain(self, grant: Grant) -> bool:
        """Whether only an edit asked for it that did without, and none was ever allowed by it."""
        hook = self.edits.get(grant.request)
        did_without = hook is not None and (_is_refused(hook) or is_outrun(hook, grant.path))
        return did_without and (grant.path, grant.token) not in self.relied


def is_outrun(hook: Hook, path: str) -> bool:
    """Whether a file that it was granted was over when its answer came, or may be, and again."""
    return hook.times_granted[path] >= CONTENDED_AFTER


def _is_refused(hook: Hook) -> bool:
    return hook.decision is not None and hook.decision.verdict is Verdict.DENY


def _keys(request: Any) -> frozenset[str]:  # whatever message asks for paths or a pattern
    names = getattr(request, "paths", ()) or [getattr(request, "pattern", "") or request.lost.path]
    return wish_keys(names)
