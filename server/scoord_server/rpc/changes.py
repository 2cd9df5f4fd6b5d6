"""The messages of changes, each made once for all streams of its project that are told it.

What others did in a project goes to each of its agents, and to nobody else: a stream pays
nothing for what happens elsewhere.
"""

from typing import Final, NamedTuple

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.v1.events_pb2 import WatchResponse
from scoord_server.rpc import messages
from scoord_server.rpc.snapshots import SHARED_S
from scoord_server.seen import Change, project_of
from scoord_server.view import Step

_MOST: Final = 1_000


class _Made(NamedTuple):
    message: WatchResponse
    change: Change
    """It is told from others by where it lies, which nothing else does while it is kept."""
    at: float


class Changes:
    """The messages of the latest changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made = BoundedDict[tuple[int, int], _Made](_MOST)

    def messages(self, step: Step, project: str) -> list[WatchResponse]:
        """What a stream of ``project`` (empty: of all) is told of a step; others' messages, too."""
        about = (change for change in step.changes if project in ("", project_of(change)))
        return [self._message(step.revision, change) for change in about]

    def _message(self, revision: int, change: Change) -> WatchResponse:
        place, now = (revision, id(change)), self._clock.now()
        made = self._made.get(place)
        if made is None or now - made.at > SHARED_S:
            message = messages.change(revision, change, self._clock)
            made = self._made[place] = _Made(message, change, now)
        return made.message
