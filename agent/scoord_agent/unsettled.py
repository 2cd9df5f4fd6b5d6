"""Acquires whose outcome was not heard, until it is known.

One that was cut off may have been granted. Then the store has a lock that this
agent does not know: nobody uses it, and everybody else is refused until its session
ends. So the same request is sent again, under its own id, which gives the outcome
that it had; or has it now, if it never arrived. Where the edit was refused meanwhile
it only asks, and takes nothing: what is taken would be given back, and with it the
place in the queue that it was taken for.

So it is with a grant that was heard, on a lease which may have run out by then, where
nobody answered who was asked again. Where its edit goes on it is held, and believed in
once its lease is renewed; what asked again for it has no more to find out.

Whoever gives back what it has of a file wants no more of it: what an acquire is granted of
that, which is cut off by then, is given back, and the other files of its edit are held. One
that is still asked, and cut off later, is of an edit that goes on after that.
"""

import asyncio
import contextlib
import copy
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from scoord.clock import Clock
from scoord.errors import ScoordError, Unknown
from scoord.ids import AgentId, ProjectId, SessionId
from scoord.v1.locks_pb2 import AcquireRequest, AcquireResponse, Granted, ReserveRequest
from scoord_agent.background import Background
from scoord_agent.connection import State
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.registration import Registration
from scoord_agent.request import Request
from scoord_agent.turns import Place

_log = logging.getLogger(__name__)

SETTLE_WITHIN_S = 60.0
"""When it is given up. Without an answer for a lease's TTL, the grant is over anyway."""

_AGAIN_S = 0.5
_SOON_S = 0.05
"""While an acquire is under way, which ends within the time that a hook has."""

_Holder = tuple[ProjectId, SessionId, AgentId, str]

Message = AcquireRequest | ReserveRequest
"""What takes something: paths, or a pattern."""


async def send(
    client: CoordinatorClient, message: Message, patience_s: float = 0.0
) -> AcquireResponse:
    """Ask for what ``message`` names; a pattern's answer is as that of one path.

    Raises what the coordinator says.
    """
    if isinstance(message, AcquireRequest):
        return await client.acquire(message, patience_s)
    response = await client.reserve(message, patience_s)
    if response.WhichOneof("outcome") == "held":
        return AcquireResponse(held=response.held)
    return AcquireResponse(granted=Granted(locks=[response.reserved]))


@dataclass(slots=True, eq=False)
class Cut:
    """One acquire that was cut off. It changes in place, as more is known."""

    request: Request
    message: Message
    open: set[str] = field(default_factory=set)
    """The keys of which nothing was heard since."""
    told: dict[str, float] = field(default_factory=dict)
    """Of the others, up to which token a grant is known of."""
    granted: Sequence[HeldLock] = ()
    """What it was granted by an answer that was heard, and could not be believed in."""
    wanted: set[str] = field(default_factory=set)
    """The keys whose edit goes on, and so wants its lock."""
    giving_back: bool = False
    """Whether what is not wanted of its grant is being given back."""
    task: asyncio.Task[None] | None = None
    """What sees it through."""

    @property
    def holder(self) -> _Holder:
        """Who asked, in which project, and for which branch."""
        return _holder(self.request)

    def serves(self, request: Request) -> set[str]:
        """The keys of a request that it asked for, too: for the same holder, and as much.

        What is judged late asks anew, and so does who edits the file once more: its reason,
        what is checked out and the other files may have changed since.
        """
        asked, how = self.request, (request.shared, request.is_pattern)
        is_alike = self.holder == _holder(request) and (asked.shared, asked.is_pattern) == how
        return asked.keys & request.keys if is_alike else set()

    @property
    def takes(self) -> bool:
        """Whether anything is wanted of which nothing was heard."""
        return bool(self.wanted & self.open)

    @property
    def stands(self) -> bool:
        """Whether a grant would still be one, and nothing else has told of it."""
        return bool(self.open) and self.is_live

    def tells_of(self, lock: HeldLock) -> bool:
        """Whether nothing that was heard since tells of its grant.

        A refusal may be faster than what is sent again, which is granted when that lock is free.
        """
        is_later = not lock.shared and lock.token > self.told.get(lock.key, inf)
        return is_later or lock.key in self.open

    def note(self, told: Mapping[str, float]) -> None:
        """Something was heard since."""
        self.open -= told.keys()
        for key, token in told.items():
            self.told[key] = max(token, self.told.get(key, 0))

    @property
    def is_live(self) -> bool:
        """Whether a grant would still be one: it lives on the lease it was asked with."""
        session = self.request.session
        return not session.ended and session.lease == self.message.lease_id


class Unsettled:
    """Keeps what was cut off, and sees it through.

    ``heard`` is called with each outcome that was found out, at once; ``settled`` when
    nothing else is under way that may tell of the same grant.
    """

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        clock: Clock,
        background: Background,
        registration: Registration,
        heard: Callable[[Cut, AcquireResponse], None],
        settled: Callable[[Cut, AcquireResponse], Awaitable[None]],
    ) -> None:
        self._client = client
        self._clock = clock
        self._background = background
        self._registration = registration
        self._heard = heard
        self._settled = settled
        self._cuts: list[Cut] = []
        self._asking: list[Request] = []
        self._undecided: list[Request] = []

    @contextmanager
    def asking(self, request: Request, message: Message) -> Iterator[dict[str, float]]:
        """Around sending ``message``: if no outcome comes of it, it is found out later.

        An outcome also settles what was cut off before: it was the same holder's. Whoever
        sends puts in what it tells of, up to which token: a refusal is of some keys only.
        """
        before = [cut for cut in self._cuts if cut.holder == _holder(request)]
        self._asking.append(request)
        told = dict[str, float]()
        try:
            yield told
        except (Unknown, asyncio.CancelledError):
            self._add(Cut(request, message, request.keys))
            raise
        finally:
            self._asking.remove(request)
        for cut in before:
            cut.note(told)

    @contextmanager
    def asking_again(self, heard: Cut | None) -> Iterator[None]:
        """Around asking anew for what was ``heard`` to be granted, if anything, and may be over.

        Where that fails it may stand all the same: it is found out later, too. Where it fails
        since the lease is over, nothing stands, and nothing is found out.
        """
        try:
            yield
        except (ScoordError, asyncio.CancelledError):
            if heard is not None:
                self._add(heard)
            raise

    @contextmanager
    def deciding(self, requests: Sequence[Request]) -> Iterator[None]:
        """Around asking about an edit, one project after the other.

        Only after the last of them is it known whether what was cut off is wanted: its own is
        not found out until then, and of what was cut off before nothing is given back.
        """
        self._undecided += requests
        try:
            yield
        finally:
            for request in requests:
                self._undecided.remove(request)

    async def make_way(self, request: Request) -> None:
        """Wait for what is being given back: asked for now, it would be granted and then go."""
        own = (cut for cut in self._cuts if cut.giving_back and cut.holder == _holder(request))
        tasks = [cut.task for cut in own if cut.task and (cut.open - cut.wanted) & request.keys]
        if tasks:
            await asyncio.wait(tasks)

    def let_through(self, request: Request) -> list[Cut]:
        """The edit goes on without an outcome: what is granted yet is to be held.

        What was cut off of it, and may stand.
        """
        own = [cut for cut in self._cuts if cut.serves(request)]
        for cut in own:
            cut.wanted |= cut.serves(request)
        return [cut for cut in own if cut.is_live]

    def turn_over(self, session: LocalSession) -> None:
        """Its main thread's turn is over: where that ends its locks, it is granted none yet."""
        self._drop(
            lambda request, _key: (
                request.session is session
                and request.agent == MAIN
                and request.settings.session_coordination.release_on == "stop"
            )
        )

    def done(self, session: LocalSession, agent: AgentId) -> None:
        """A holder has ended: what it may yet be granted, it wants no more."""
        self._drop(lambda it, _key: it.session is session and it.agent == agent)

    def give_back(self, lock: HeldLock) -> None:
        """Its holder has no use for it any more, nor for what it asked for there before."""
        self._drop(lambda it, key: _holder(it) == _holder_of(lock) and key == lock.key)

    def forgo(self, session: LocalSession, is_meant: Callable[[Request, str], bool]) -> None:
        """What it may yet be granted of these, it wants no more."""
        self._drop(lambda it, key: it.session is session and is_meant(it, key))

    def _drop(self, is_over: Callable[[Request, str], bool]) -> None:
        """Who asked for these keys is done: what is granted yet is to be given back."""
        for cut in self._cuts:
            cut.wanted -= {key for key in cut.wanted if is_over(cut.request, key)}

    def is_asked_for(self, request: Request, key: str) -> bool:
        """Whether the same holder asks for ``key`` at this moment."""
        same = (asked for asked in self._asking if _holder(asked) == _holder(request))
        return any(key in asked.keys for asked in same)

    def is_open(self, one: HeldLock | Place) -> bool:
        """Whether its holder asks for it now, or has asked and does not know the outcome."""
        holder = _holder_of(one)
        asked = any(_holder(it) == holder and one.key in it.keys for it in self._asking)
        return asked or any(cut.holder == holder and one.key in cut.open for cut in self._cuts)

    def _is_asked_again(self, cut: Cut) -> bool:
        asked = any(self.is_asked_for(cut.request, key) for key in cut.request.keys)
        return cut.is_live and (asked or any(map(cut.serves, self._undecided)))

    def _is_undecided(self, cut: Cut) -> bool:
        """Whether its very edit is: another may ask for just the same."""
        return any(request is cut.request for request in self._undecided)

    def _add(self, cut: Cut) -> None:
        self._cuts.append(cut)
        cut.task = self._background.start(self._see_through(cut))

    async def _see_through(self, cut: Cut) -> None:
        try:
            with self._registration.noticing(cut.request.session):
                outcome = await self._find_out(cut)
            if outcome is not None and cut.is_live:
                self._heard(cut, outcome)
            while outcome is not None and self._is_asked_again(cut):  # noqa: ASYNC110 (several may ask)
                # It may tell of the same grant, or be refused for another file.
                await asyncio.sleep(_SOON_S)
            if outcome is not None and cut.is_live:
                await self._settled(cut, outcome)
        finally:
            self._cuts.remove(cut)

    async def _find_out(self, cut: Cut) -> AcquireResponse | None:
        """Send it again until there is an answer. Raises what the coordinator refuses it for."""
        give_up_at = self._clock.now() + SETTLE_WITHIN_S
        while cut.stands:
            if self._is_connected() and not self._is_undecided(cut):
                with contextlib.suppress(Unknown):
                    return await self._send_again(cut)
            if self._clock.now() >= give_up_at:
                _log.warning("what became of the locks on %s is not known", cut.request.shown)
                return None
            await asyncio.sleep(_AGAIN_S)
        return None

    async def _send_again(self, cut: Cut) -> AcquireResponse:
        if not cut.takes:
            outcome = await send(self._client, _taking_nothing(cut.message))
            # The edit may go on meanwhile, with the answer of other files: then what was not
            # granted is asked for.
            if not cut.takes or outcome.WhichOneof("outcome") == "granted":
                return outcome
        return await send(self._client, cut.message)

    def _is_connected(self) -> bool:
        """While nobody answers heartbeats, nobody answers this; they find out first."""
        return self._client.connection.look(self._clock.now()) is State.CONNECTED


def _taking_nothing(message: Message) -> Message:
    """The same request, which only asks what became of it."""
    asking = copy.copy(message)
    asking.takes_nothing = True
    return asking


def _holder(request: Request) -> _Holder:
    session_id, branch = request.session.session_id, request.claimant.branch
    return request.project, session_id, request.agent, branch


def _holder_of(one: HeldLock | Place) -> _Holder:
    return one.project, one.session, one.agent, one.branch
