"""Planted mistakes, to prove that the simulation finds what it is for.

Each is one that somebody made once, or might: what it breaks, and how it is put in.
A mutant that no seed finds is a hole in the checks, not a proof of the product.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, SessionId
from scoord_agent import coordinator as client
from scoord_agent import lifecycle
from scoord_agent.edits import Edits
from scoord_agent.heart import Heart
from scoord_agent.held import HeldLocks
from scoord_agent.neighbours import Neighbourhood
from scoord_agent.owed import Owed
from scoord_agent.reactions import Reactions
from scoord_agent.registration import Registration
from scoord_agent.sessions import LocalSession, Sessions
from scoord_agent.strays import Strays
from scoord_agent.turns import Turn, Turns
from scoord_hooks.neutral import ALLOW, Decision
from scoord_server.coordinator import Coordinator
from scoord_server.farewells import Farewells
from scoord_server.model import conflicts, endings, reclaims, reservations, worklogs
from scoord_server.model import locks as lock_rules
from scoord_server.model.values import Pulse, Reclaimed, Standing
from scoord_server.seen import SeenWaiter
from scoord_server.store.port import Txn
from scoord_server.view import Step, View
from support.simulation.loop import HostClock

Patch = AbstractContextManager[object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted mistake."""

    name: str
    breaks: str
    plant: Callable[[], Patch]


def _method(owner: Any, name: str, body: Callable[..., Any]) -> Callable[[], Patch]:
    return lambda: patch.object(owner, name, body)


def _around(
    owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], Patch]:
    return lambda: patch.object(owner, name, wrap(getattr(owner, name)))


def _believes_for_ever(self: HeldLocks, session: Any, now: float) -> bool:
    return session in self._renewed_at


def _ends_whatever_stands(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    """As a blind delete."""

    def planned(*args: Any) -> Txn:
        return replace(plan(*args), compares=())

    return planned


def _takes_whatever_stands(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    """As a blind put: only the session is compared, not the lock."""

    def planned(*args: Any) -> Txn:
        txn = plan(*args)
        return replace(txn, compares=txn.compares[:1])

    return planned


def _renames_on_retry(ask: Callable[..., Any]) -> Callable[..., Any]:
    async def asked(self: Any, method: Any, request: Any, give_up_at: float) -> Any:
        copied = type(request)()
        copied.CopyFrom(request)
        with contextlib.suppress(AttributeError):
            copied.request_id = client.new_request_id()
        return await ask(self, method, copied, give_up_at)

    return asked


def _counts_from_the_answer(feel: Callable[..., Any]) -> Callable[..., Any]:
    def felt(self: Heart, session: Any, sent_at: float, pulses: Any) -> None:
        feel(self, session, self._clock.now(), pulses)

    return felt


def _never_dies(self: Heart, session: LocalSession, sent_at: float, pulses: Any) -> None:
    self._held.renewed(session.session_id, sent_at)


def _always_live(beat: Callable[..., Any]) -> Callable[..., Any]:
    async def beaten(self: Coordinator, beats: Any) -> Any:
        return [Pulse(live=True, remaining_s=p.remaining_s) for p in await beat(self, beats)]

    return beaten


def _tells_nobody(self: Reactions, project: Any, waiter: Any) -> None:
    """That a turn has come is not heard."""


def _allows_the_unknown(self: Edits, request: Any, error: str) -> Decision:
    return ALLOW


def _clock_without_suspend(self: HostClock) -> float:
    return self.running()


async def _keeps_what_it_released(
    self: Owed, session: LocalSession, request: Any, patience_s: float = 0.0
) -> None:
    await self._client.release(request, patience_s)


def _without_pictures(self: View, steps: Sequence[Step]) -> Step:
    return Step(steps[-1].revision, tuple(change for step in steps for change in step.changes))


def _as_if_just_come(self: Turns, session: SessionId, agent: AgentId, most: int) -> list[Turn]:
    mine = [p for p in self._untold if (p.session, p.agent) == (session, agent)][:most]
    return [replace(self._untold.pop(p), came_at=self._clock.now()) for p in mine]


def _says_nothing(self: LocalSession, notice: str) -> None:
    """A loss is not told."""


def _recalls_nothing(self: Registration, session: LocalSession) -> None:
    """What the agent before knew is not missed."""


def _forgets_to_watch(self: Reactions, project: Any, gone: Any) -> None:
    """The end of a lock is not heard."""


def _keeps_locks(self: Registration, session: LocalSession) -> None:
    session.lapse()


def _ends_nothing(self: Coordinator, lease: Any) -> Any:
    async def done() -> None:
        """The lease of an ended session is not revoked."""

    return done()


def _is_never_over(self: Neighbourhood, key: str, token: int) -> bool:
    return False


def _nobody_ahead(who: Any, room: Any) -> tuple[()]:
    return ()


def _excludes_nobody(*args: Any) -> bool:
    return False


def _shares_with_writers(self: Claimant, other: Claimant) -> bool:
    """As if one who shares were in nobody's way."""
    same = self.is_same(other) or self.passes_to(other)
    return not (same or self.shared or other.shared or self.branch != other.branch)


def _no_patterns(self: View, project: Any) -> tuple[int, tuple[()]]:
    return sys.maxsize - 1, ()


def _always_had_again(command: Any, result: Any) -> Any:
    """The token of the revision, whether or not the reclaim succeeded."""
    return Reclaimed(FencingToken(result.revision))


def _without_waiters(in_the_way: Callable[..., Any]) -> Callable[..., Any]:
    def found(command: Any, room: Any) -> Any:
        return in_the_way(command, replace(room, waiters=()))

    return found


def _never_overdue(self: SeenWaiter, now: float) -> bool:
    return False


def _nothing_in_the_way(command: Any, known: Any) -> tuple[()]:
    return ()


def _answers_standing(*args: Any) -> Any:
    return Standing(None)


async def _keeps_strays(self: Strays) -> None:
    """What nobody asked for is not given back."""


def _as_if_known(self: Sessions, now: float, load: Callable[..., None] = Sessions.load) -> None:
    load(self, now)
    for session in self:
        session.inherited = False


def _notes_without_looking(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    def planned(*args: Any) -> Txn:
        return replace(plan(*args), compares=())

    return planned


async def _looks_for_nothing(self: Farewells, project: str = "") -> list[object]:
    return []


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "belief without an end",
        "edits are allowed from memory after D",
        _method(HeldLocks, "believes", _believes_for_ever),
    ),
    Mutant(
        "unconditional release",
        "a late release frees what another has by now",
        _around(endings, "plan_end", _ends_whatever_stands),
    ),
    Mutant(
        "blind acquire",
        "a lock is put over another's",
        _around(lock_rules, "plan_acquire", _takes_whatever_stands),
    ),
    Mutant(
        "everyone may have it",
        "held by another counts as held by the asker",
        _method(conflicts, "in_the_way", _nothing_in_the_way),
    ),
    Mutant(
        "new request id on retry",
        "a repeated command does not get its first answer",
        _around(client.CoordinatorClient, "_ask_once", _renames_on_retry),
    ),
    Mutant(
        "trace not read",
        "a repeated break does not get its first answer",
        _method(endings, "over", _answers_standing),
    ),
    Mutant(
        "renewal counts from the answer",
        "what the answer took is believed in",
        _around(Heart, "_feel", _counts_from_the_answer),
    ),
    Mutant(
        "dead pulse ignored",
        "an agent believes in a lease that is over",
        _method(Heart, "_feel", _never_dies),
    ),
    Mutant(
        "always live",
        "the coordinator says of a dead session that it lives",
        _around(Coordinator, "heartbeat", _always_live),
    ),
    Mutant(
        "waiters never told",
        "who was refused does not hear that the file is free",
        _method(Reactions, "_turn", _tells_nobody),
    ),
    Mutant(
        "unknown is allowed",
        "an edit goes through unasked against the settings",
        _method(Edits, "_unasked", _allows_the_unknown),
    ),
    Mutant(
        "clock stops in suspend",
        "a machine that slept believes what it believed before",
        _method(HostClock, "now", _clock_without_suspend),
    ),
    Mutant(
        "failed release forgotten",
        "a release whose answer is lost is not sent again",
        _method(Owed, "give_back", _keeps_what_it_released),
    ),
    Mutant(
        "gap in the stream",
        "what came and went while the view listed anew is never told",
        _method(View, "_joined", _without_pictures),
    ),
    Mutant(
        "turns last for ever",
        "a session is told of a turn that is over, as if it lasted",
        _method(Turns, "take", _as_if_just_come),
    ),
    Mutant(
        "a dead agent's locks forgotten",
        "what was lost while the agent was dead is never told",
        _method(Registration, "recall", _recalls_nothing),
    ),
    Mutant(
        "losses not told",
        "a session goes on without knowing that its lock is lost",
        _method(LocalSession, "tell_loss", _says_nothing),
    ),
    Mutant(
        "end of a lock not heard",
        "an agent believes in what was broken",
        _method(Reactions, "_lock_gone", _forgets_to_watch),
    ),
    Mutant(
        "late grant taken up",
        "a grant that ended before its answer came is believed in",
        _method(Neighbourhood, "is_over", _is_never_over),
    ),
    Mutant(
        "queue jumped",
        "one who came later overtakes those who wait",
        _method(conflicts, "_ahead", _nobody_ahead),
    ),
    Mutant(
        "queue jumped by a pattern",
        "a pattern is granted over a file that others wait for",
        _around(reservations, "in_the_way", _without_waiters),
    ),
    Mutant(
        "share excludes nobody",
        "a file is written while others share it",
        _method(Claimant, "excludes", _shares_with_writers),
    ),
    Mutant(
        "patterns not looked at",
        "a file is granted beside a pattern that matches it",
        _method(View, "reservations", _no_patterns),
    ),
    Mutant(
        "pattern without files",
        "a pattern is granted beside a file that it matches",
        _method(reservations, "_meets", _excludes_nobody),
    ),
    Mutant(
        "reclaim believed",
        "a lost lock is taken for had again although another has it",
        _method(reclaims, "read_reclaim", _always_had_again),
    ),
    Mutant(
        "claim without an end",
        "one that does not use its turn keeps all others from the file",
        _method(SeenWaiter, "is_overdue", _never_overdue),
    ),
    Mutant(
        "not taken up",
        "an agent does not know what its sessions hold since before it",
        _method(Sessions, "load", _as_if_known),
    ),
    Mutant(
        "strays kept",
        "what a late try was granted is held until its session ends",
        _method(Strays, "give_back", _keeps_strays),
    ),
    Mutant(
        "session of the dead",
        "a hook that is answered after its CLI died makes a session that nothing ends",
        _method(lifecycle, "_has_gone", _excludes_nobody),
    ),
    Mutant(
        "lease not revoked",
        "a session that ended keeps its locks until the TTL",
        _method(Coordinator, "_revoke", _ends_nothing),
    ),
    Mutant(
        "locks carried to a new lease",
        "what was held on a lease that is over is believed in on the next",
        _method(Registration, "lapse", _keeps_locks),
    ),
    Mutant(
        "end noted by everyone",
        "each replica that sees a session go writes its end down",
        _around(worklogs, "plan_finish", _notes_without_looking),
    ),
    Mutant(
        "end noted as it happens only",
        "an end that no replica followed is never written down",
        _method(Farewells, "look", _looks_for_nothing),
    ),
)
"""As data, so that the list can grow; ``python -m support.simulation --mutant NAME``."""

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
