"""The embedded store's memory of past revisions, for watches."""

from scoord.errors import InvalidRequest
from scoord_server.store.port import Compacted, Event


class Revisions:
    """The events of every revision from ``oldest`` to the present, within bounds.

    ``limit`` is the number of revisions kept; the oldest half is forgotten when it
    is passed, so that forgetting costs little on average.
    """

    def __init__(self, revision: int, oldest: int, limit: int) -> None:
        self.revision = revision
        self.oldest = oldest
        self._limit = limit
        # One for each from ``oldest`` on: that of the empty store is there too, and empty.
        self._steps: list[tuple[Event, ...]] = [()] * (revision + 1 - oldest)

    def append(self, events: tuple[Event, ...]) -> None:
        """Add the next revision."""
        self._steps.append(events)
        self.revision += 1
        if len(self._steps) > self._limit:
            self.forget_before(self.revision - self._limit // 2)

    def since(self, revision: int, most: int) -> list[tuple[Event, ...]]:
        """Read at most ``most`` revisions from ``revision`` on. Raises Compacted."""
        if revision < self.oldest:
            raise Compacted(self.oldest)
        start = revision - self.oldest
        return self._steps[start : start + most]

    def forget_before(self, revision: int) -> None:
        """Compact, as etcd does. Raises InvalidRequest for a revision yet to come."""
        if revision > self.revision:
            raise InvalidRequest(f"revision {revision} is yet to come; now is {self.revision}")
        if revision <= self.oldest:
            return
        del self._steps[: revision - self.oldest]
        self.oldest = revision
