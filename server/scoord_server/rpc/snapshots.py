"""The message of a snapshot, made once for all streams of a project that are told it.

All streams are told at once when the view has listed anew, and when agents move to another
replica. Of 5,000 locks one message takes a tenth of a second: made for each of 200 streams in
a row, they would keep heartbeats waiting for as long as holders believe in their locks.
"""

import asyncio
from typing import Final, NamedTuple

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.v1.events_pb2 import WatchResponse
from scoord_server.rpc import messages
from scoord_server.view import Snapshot

SHARED_S: Final = 1.0
"""How old a message may be that is told again: "held for" and "ends in" are of its making."""

_MOST_PROJECTS: Final = 1_000


class _Made(NamedTuple):
    message: WatchResponse
    at: float


def _made() -> BoundedDict[str, _Made]:
    """By project: whoever asks for ever new ones that are not there costs no more than these."""
    return BoundedDict(_MOST_PROJECTS)


class Snapshots:
    """The messages of the snapshot that was asked for last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._of: Snapshot | None = None
        self._made = _made()

    async def message(self, seen: Snapshot, project: str) -> WatchResponse:
        """What a stream of ``project`` is told of it. It is others', too: nobody may change it."""
        async with self._turn:
            message = self._message(seen, project)
            # Who waits for an answer comes before the next stream, however many wait here.
            await asyncio.sleep(0)
        return message

    def _message(self, seen: Snapshot, project: str) -> WatchResponse:
        if seen is not self._of:
            self._of, self._made = seen, _made()
        made, now = self._made.get(project), self._clock.now()
        if made is None or now - made.at > SHARED_S:
            made = self._made[project] = _Made(messages.snapshot(seen, project, self._clock), now)
        return made.message
