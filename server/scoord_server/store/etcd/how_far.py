"""How far the cluster has come, by what it answered.

A member that does not get the changes, since its disk hangs or the way to it is slow, serves its
watches all the same, and says on them that it lives. An answer to a call is of the present,
whichever member gives it: by those that came lately it is seen who is of the past.
"""

from collections import deque

from scoord_server.store.etcd.member import now

LATE_S = 2.0
"""Who lacks what was answered so long ago is left behind. All lack it for milliseconds."""


class HowFar:
    """The revisions of what calls were answered lately, and the highest of those before."""

    def __init__(self) -> None:
        self._lately: deque[tuple[float, int]] = deque()
        self._before = 0

    def hear(self, revision: int) -> None:
        """Take in that a call was answered as of ``revision``."""
        self._pass_on()
        self._lately.append((now(), revision))

    def is_known(self) -> bool:
        """Whether any call was answered lately."""
        self._pass_on()
        return bool(self._lately)

    def is_late(self, revision: int) -> bool:
        """Whether who is at ``revision`` lacks what was answered before."""
        self._pass_on()
        return revision < self._before

    def forget(self) -> None:
        """Know nothing: what was answered was of another store."""
        self._lately.clear()
        self._before = 0

    def _pass_on(self) -> None:
        while self._lately and self._lately[0][0] <= now() - LATE_S:
            self._before = max(self._before, self._lately.popleft()[1])
