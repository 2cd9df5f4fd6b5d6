"""Mistakes as code: what ``mutants.py`` plants in the product, one at a time."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.ids import AgentId, FencingToken, LeaseId, SessionId
from scoord_agent import coordinator as client
from scoord_agent.delivery import Delivery
from scoord_agent.edits import Edits
from scoord_agent.handing_back import HandingBack
from scoord_agent.heart import Heart
from scoord_agent.held import HeldLocks
from scoord_agent.judging import Judging
from scoord_agent.local_session import LocalSession
from scoord_agent.owed import Owed
from scoord_agent.reactions import Reactions
from scoord_agent.registration import Registration
from scoord_agent.relay import Relay
from scoord_agent.sessions import Sessions
from scoord_agent.strays import Strays
from scoord_agent.turns import Place, Turn, Turns
from scoord_hooks.neutral import ALLOW, Decision, Verdict
from scoord_server.coordinator import Coordinator
from scoord_server.farewells import Farewells
from scoord_server.ground import Ground
from scoord_server.locking import Locking
from scoord_server.model import queues
from scoord_server.model.answers import Ended, Pulse, Reclaimed, Standing
from scoord_server.model.commands import PlaceRef
from scoord_server.model.facts import SessionFact
from scoord_server.picture import Picture
from scoord_server.reporting import Reporting as ServerReporting
from scoord_server.seen import SeenLock, SeenWaiter
from scoord_server.store.port import Delete, Put, Txn
from scoord_server.view import Step, View
from support.simulation.loop import HostClock


def believes_for_ever(self: HeldLocks, session: Any, now: float) -> bool:
    return session in self._renewed_at


def ends_whatever_stands(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    """As a blind delete: that it is the grant is not compared."""

    def planned(*args: Any) -> Txn:
        txn = plan(*args)
        return replace(txn, compares=txn.compares[1:])

    return planned


def takes_whatever_stands(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    """As a blind put: only the session is compared, not the lock."""

    def planned(*args: Any) -> Txn:
        txn = plan(*args)
        return replace(txn, compares=txn.compares[:1])

    return planned


def renames_on_retry(ask: Callable[..., Any]) -> Callable[..., Any]:
    async def asked(self: Any, method: Any, request: Any, give_up_at: float) -> Any:
        copied = type(request)()
        copied.CopyFrom(request)
        with contextlib.suppress(AttributeError):
            copied.request_id = client.new_request_id()
        return await ask(self, method, copied, give_up_at)

    return asked


def counts_from_the_answer(feel: Callable[..., Any]) -> Callable[..., Any]:
    def felt(self: Heart, session: Any, sent_at: float, pulses: Any) -> None:
        feel(self, session, self._clock.now(), pulses)

    return felt


def never_dies(self: Heart, session: LocalSession, sent_at: float, pulses: Any) -> None:
    self._held.renewed(session.session_id, sent_at)


def always_live(beat: Callable[..., Any]) -> Callable[..., Any]:
    async def beaten(self: Coordinator, beats: Any) -> Any:
        return [Pulse(live=True, remaining_s=p.remaining_s) for p in await beat(self, beats)]

    return beaten


def tells_nobody(self: Reactions, project: Any, waiter: Any) -> None:
    """That a turn has come is not heard."""


def allows_the_unknown(self: Judging, request: Any, error: str) -> Decision:
    return ALLOW


def clock_without_suspend(self: HostClock) -> float:
    return self.running()


def forgets_what_failed(send: Callable[..., Any]) -> Callable[..., Any]:
    """It is known as given back, and if that was not answered it is not sent again."""

    async def sent(self: Owed, *args: Any, **options: Any) -> None:
        try:
            await send(self, *args, **options)
        finally:
            self._requests.clear()

    return sent


def without_pictures(self: View, steps: Sequence[Step]) -> Sequence[Step]:
    return [Step(steps[-1].revision, tuple(change for step in steps for change in step.changes))]


def misses_no_place(self: Turns, session: SessionId) -> list[Place]:
    return []


def as_if_just_come(
    self: Turns, session: SessionId, agent: AgentId, most: int, *_: object
) -> list[Turn]:
    mine = [p for p in self._untold if (p.session, p.agent) == (session, agent)][:most]
    return [replace(self._untold.pop(p), came_at=self._clock.now()) for p in mine]


def keeps_nothing(self: Delivery) -> None:
    """What an answer took along is told, whatever became of the answer."""


def says_nothing(self: LocalSession, notice: str, agent: AgentId) -> None:
    """A loss is not told."""


def knows_no_subagents(self: LocalSession, agent: AgentId) -> None:
    """Their main thread is told instead of them."""


def recalls_nothing(self: Registration, session: LocalSession, project: Any) -> None:
    """What the agent before knew is not missed."""


def forgets_to_watch(self: Reactions, project: Any, gone: Any) -> None:
    """The end of a lock is not heard."""


def keeps_locks(self: Registration, session: LocalSession) -> None:
    session.lapse()


def ends_nothing(self: Ground, lease: Any) -> Any:
    async def done() -> None:
        """The lease of an ended session is not revoked."""

    return done()


def is_never_over(*_: object, **__: object) -> bool:
    return False


def nobody_ahead(who: Any, room: Any) -> tuple[()]:
    return ()


def idle_at_once(overdue: Callable[..., Kind | None]) -> Callable[..., Kind | None]:
    def said(self: SeenLock, now: float) -> Kind | None:
        is_idle = self.fact.record.lock_timeout_ms and now - self.used_at > 3.0
        return Kind.IDLE if is_idle else overdue(self, now)

    return said


def never_lasted(overdue: Callable[..., Kind | None]) -> Callable[..., Kind | None]:
    def said(self: SeenLock, now: float) -> Kind | None:
        how = overdue(self, now)
        return None if how == Kind.LASTED else how

    return said


def answers_only(how: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As if what ends so were over already, by this very command."""

    def wrap(end: Callable[..., Any]) -> Callable[..., Any]:
        async def ended(self: Locking, grant: Any, ending: Any, **options: Any) -> Any:
            if ending.how == how:
                return Ended()
            return await end(self, grant, ending, **options)

        return ended

    return wrap


def breaks_whatever_stands(end: Callable[..., Any]) -> Callable[..., Any]:
    """Not the grant that was named, but the first that is there."""

    async def ended(self: Locking, grant: Any, ending: Any, **options: Any) -> Any:
        found = await self._find(grant) if ending.how == "broken" else None
        if found and found.facts:
            grant = replace(grant, token=found.facts[0].token)
        return await end(self, grant, ending, **options)

    return ended


def puts_without_a_lease(put: Callable[..., Put]) -> Callable[..., Put]:
    def placed(*args: Any) -> Put:
        return replace(put(*args), lease=LeaseId(0))

    return placed


def gives_up_its_place(acquire: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever asks takes a new place, also where it has one."""

    async def acquired(self: Locking, command: Any) -> Any:
        places = (PlaceRef(name, branch=command.claimant.branch) for name in command.names)
        gone = (Delete(queues.place_key(command.asker, place)) for place in places)
        await self._ground.store.txn(Txn((), tuple(gone)))
        return await acquire(self, command)

    return acquired


def knows_no_conflict(self: Judging, request: Any, key: str) -> None:
    """What was heard of others is forgotten."""


def refuses_what_is_held(guard: Callable[..., Any]) -> Callable[..., Any]:
    async def guarded(self: Edits, session: LocalSession, event: Any, *, until: float) -> Decision:
        decision: Decision = await guard(self, session, event, until=until)
        return Decision(Verdict.DENY, reason="no") if decision == ALLOW else decision

    return guarded


def excludes_all_others(self: Claimant, other: Claimant) -> bool:
    return not (self.is_same(other) or self.passes_to(other))


def excludes_nobody(*args: Any) -> bool:
    return False


def shares_with_writers(self: Claimant, other: Claimant) -> bool:
    """As if one who shares were in nobody's way."""
    same = self.is_same(other) or self.passes_to(other)
    return not (same or self.shared or other.shared or self.branch != other.branch)


def no_patterns(self: View, project: Any) -> tuple[int, tuple[()]]:
    return sys.maxsize - 1, ()


def always_had_again(command: Any, result: Any) -> Any:
    """The token of the revision, whether or not the reclaim succeeded."""
    return Reclaimed(FencingToken(result.revision))


def without_waiters(in_the_way: Callable[..., Any]) -> Callable[..., Any]:
    def found(command: Any, room: Any) -> Any:
        return in_the_way(command, replace(room, waiters=()))

    return found


def asks_nobody(self: Reactions, *args: Any) -> None:
    """Holders are not told who waits."""


def knows_main_threads_only(self: LocalSession, agent: AgentId) -> AgentId:
    return AgentId("")


def asked_at_new_places_only(self: Picture) -> tuple[()]:
    """Who is granted what others wait for is not told of them."""
    self._granted.clear()
    return ()


def never_overdue(self: SeenWaiter, now: float) -> bool:
    return False


def nothing_in_the_way(command: Any, known: Any) -> tuple[()]:
    return ()


def answers_standing(*args: Any) -> Any:
    return Standing(None)


async def broke_nothing(*args: Any) -> bool:
    return False


async def keeps_strays(self: Strays) -> None:
    """What nobody asked for is not given back."""


def as_if_known(self: Sessions, now: float, load: Callable[..., None] = Sessions.load) -> None:
    load(self, now)
    for session in self:
        session.inherited.clear()


def notes_without_looking(plan: Callable[..., Txn]) -> Callable[..., Txn]:
    def planned(*args: Any) -> Txn:
        return replace(plan(*args), compares=())

    return planned


def gives_nothing_back(self: HandingBack | Relay, session: LocalSession) -> None:
    """What its session holds stays with it."""


async def gives_nothing_back_yet(self: HandingBack, session: LocalSession) -> None:
    """The same, for what is awaited."""


def keeps_what_a_subagent_had(self: Relay, session: LocalSession, agent: AgentId) -> None:
    session.subagent_ends(agent)


async def looks_for_nothing(self: Farewells, *args: Any) -> list[object]:
    return []


def says_nothing_of_edits(*args: Any) -> str:
    return ""


def notes_nothing(self: Any, *args: Any, **options: Any) -> bool:
    """An edit without a lock is not written down."""
    return False


async def tells_no_holder(self: ServerReporting, *args: Any) -> list[SessionFact]:
    """Whom an edit met is not told."""
    return []


def is_always_followed(self: HeldLocks, followed_at: float | None, now: float) -> bool:
    return followed_at is not None
