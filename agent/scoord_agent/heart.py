"""Keeps the sessions' leases alive.

One heartbeat for all sessions of the machine, every H seconds, jittered so that
many agents do not beat together. A renewal counts from the moment the beat was
*sent*: what the answer took is not believed in. Clocks: the agent's own, which
counts suspend; the coordinator sends only durations.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from scoord.clock import Clock
from scoord.ids import ProjectId, SessionId
from scoord.limits import MOST_BEATS, MOST_USES
from scoord.v1.sessions_pb2 import HeartbeatRequest, SessionBeat, SessionPulse
from scoord_agent.asking import ref_of
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.moves import MOST_AT_ONCE, Moves
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor, publish_interval_s

_log = logging.getLogger(__name__)

_JITTER = 0.2

MOST_TOLD: Final = MOST_USES - MOST_AT_ONCE
"""Locks whose use goes with one heartbeat; what moved has room beside them."""


def next_beat_s(interval_s: float, rng: random.Random) -> float:
    """Seconds to the next beat: never later than the interval, up to a fifth sooner."""
    return interval_s * (1 - _JITTER * rng.random())


class Heart:
    """Beats for all sessions of this machine."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        held: HeldLocks,
        settings: SettingsFor,
        clock: Clock,
        machine_id: str,
        lapse: Callable[[LocalSession], None],
        moved: Callable[[Iterable[LocalSession]], Moves],
        rng: random.Random | None = None,
    ) -> None:
        """``moved`` tells which locks say otherwise than what is checked out."""
        self._client = client
        self._sessions = sessions
        self._held = held
        self._settings = settings
        self._clock = clock
        self._machine_id = machine_id
        self._lapse = lapse
        self._moved = moved
        self._rng = rng or random.Random()  # noqa: S311 (jitter)
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Beat at once: something says that a session may be gone."""
        self._hurry.set()

    async def wait(self, interval_s: float) -> None:
        """Wait for the next beat's time."""
        try:
            async with asyncio.timeout(next_beat_s(interval_s, self._rng)):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def beat(self) -> None:
        """Renew all leases once. Raises what the coordinator says."""
        sessions = [session for session in self._sessions if session.registered]
        leases = {session.session_id: session.lease for session in sessions}
        due = [session for session in sessions if self._is_due(session)]
        used = [lock for session in due for lock in self._held.used(session.session_id)]
        told, left = used[:MOST_TOLD], {lock.session for lock in used[MOST_TOLD:]}
        beats = [b for session in sessions for b in _beats_of(session, told, due=session in due)]
        moved = self._moved(sessions)
        for beat in beats:
            beat.moved.extend(moved.get((SessionId(beat.session_id), ProjectId(beat.project)), ()))
        sent_at = self._clock.now()
        pulses = await self._pulses_of(beats)
        for session in due:
            if session.session_id not in left:  # else it is due again at once
                self._published(session, sent_at)
        self._held.published(told)
        for session in sessions:
            # Registered anew while the beat was on its way: this pulse is not its.
            if session.lease == leases[session.session_id]:
                self._feel(session, sent_at, pulses)

    async def _pulses_of(self, beats: Sequence[SessionBeat]) -> list[SessionPulse]:
        """Send all beats, in as many requests as it takes: one goes where there are none."""
        pulses = list[SessionPulse]()
        for start in range(0, len(beats) or 1, MOST_BEATS):
            part = beats[start : start + MOST_BEATS]
            request = HeartbeatRequest(machine_id=self._machine_id, beats=part)
            pulses += (await self._client.heartbeat(request)).pulses
        return pulses

    def _feel(self, session: LocalSession, sent_at: float, pulses: Iterable[SessionPulse]) -> None:
        own = [bool(pulse.live) for pulse in pulses if pulse.session_id == session.session_id]
        if own and all(own):
            self._held.renewed(session.session_id, sent_at)
        elif own:
            _log.warning("%s is not live any more", session.session_id)
            self._lapse(session)

    def _published(self, session: LocalSession, sent_at: float) -> None:
        """What the session did is known now; not before, or a lost beat would hide it."""
        session.active, session.published_at = session.acted_at > sent_at, sent_at

    def _is_due(self, session: LocalSession) -> bool:
        """Activity is published at the pace of ``heartbeat_interval``, not of the leases."""
        interval_s = publish_interval_s(self._settings, session)
        return bool(self._clock.now() - session.published_at >= interval_s)


def _beats_of(
    session: LocalSession, told: Iterable[HeldLock], *, due: bool
) -> Iterator[SessionBeat]:
    own = [lock for lock in told if lock.session == session.session_id]
    for project in session.aliases:
        touched = (lock for lock in own if lock.project == project)
        yield SessionBeat(
            project=project,
            session_id=session.session_id,
            lease_id=session.lease,
            active=due and session.active,
            touched=map(ref_of, touched),
        )
