"""Every failure that crosses a boundary, in one catalogue.

::

    ScoordError
    ├── BadRequest            asked wrongly; asking again changes nothing
    │   ├── InvalidPath
    │   ├── InvalidRequest
    │   └── InvalidConfig
    ├── Refused               asked rightly, not possible as things are
    │   ├── SessionNotFound
    │   ├── SessionEnded
    │   ├── TaskNotFound
    │   ├── LimitReached
    │   └── NotAllowed
    ├── Unknown               the outcome is not known; never shown as granted
    │   ├── StoreUnavailable
    │   ├── StoreFull
    │   ├── CoordinatorUnreachable
    │   ├── DeadlineExceeded
    │   ├── Contended
    │   └── Lagging
    └── Broken                ours to mend
        ├── StoreDamaged
        └── InternalError

"Held by another" is not here: it is an answer, not a failure.
``scoord.status`` maps each leaf to a gRPC status, and a test proves both complete.
"""

from dataclasses import dataclass
from typing import ClassVar

from scoord import text


class ScoordError(Exception):
    """A failure with one clear line: what is wrong, where, what to do."""

    code: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as it is shown; it may quote what was asked, and that may be anything."""
        return (text.failure(self.message),)


class BadRequest(ScoordError):  # noqa: N818 (names say what happened)
    """Asked wrongly; asking again changes nothing."""


class InvalidPath(BadRequest):
    """A path that cannot name a file of the project."""

    code = "INVALID_PATH"


class InvalidRequest(BadRequest):
    """A command or event that does not have the right form."""

    code = "INVALID_REQUEST"


class InvalidConfig(BadRequest):
    """Settings that are unknown, wrong, or impossible with others: a line for each."""

    code = "INVALID_CONFIG"

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as it is shown: a line for each thing that is wrong."""
        return tuple(map(text.failure, self.message.splitlines()))


class Refused(ScoordError):  # noqa: N818 (names say what happened)
    """Asked rightly, but not possible as things are."""


class SessionNotFound(Refused):
    """No live session has this id."""

    code = "SESSION_NOT_FOUND"


class SessionEnded(Refused):
    """The session's lease is over, and with it everything it held."""

    code = "SESSION_ENDED"


class TaskNotFound(Refused):
    """The project has no such task."""

    code = "TASK_NOT_FOUND"


class LimitReached(Refused):
    """There is as much of it as there may be."""

    code = "LIMIT_REACHED"


class NotAllowed(Refused):
    """The caller may not do this."""

    code = "NOT_ALLOWED"


class Unknown(ScoordError):  # noqa: N818 (names say what happened)
    """The outcome is not known. Never shown as granted."""


class StoreUnavailable(Unknown):
    """The store cannot be asked now."""

    code = "STORE_UNAVAILABLE"


class StoreFull(Unknown):
    """The store takes nothing more, and did nothing; it still deletes, revokes and renews.

    Neither another try nor another coordinator changes that.
    """

    code = "STORE_FULL"


class CoordinatorUnreachable(Unknown):
    """No coordinator can be asked now."""

    code = "COORDINATOR_UNREACHABLE"


class DeadlineExceeded(Unknown):
    """No answer in time; it may still have been done. Ask again with the same request id."""

    code = "DEADLINE_EXCEEDED"


class Contended(Unknown):
    """Lost too many races in a row. Try the whole step again."""

    code = "CONTENDED"


class Lagging(Unknown):
    """A subscriber fell too far behind. Start over from a snapshot."""

    code = "LAGGING"


class Broken(ScoordError):  # noqa: N818 (names say what happened)
    """Ours to mend."""


class StoreDamaged(Broken):
    """What the store holds cannot be read."""

    code = "STORE_DAMAGED"


class InternalError(Broken):
    """Anything not foreseen. Details are in the log, not in the message."""

    code = "INTERNAL"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """What a user can do about one kind of failure."""

    error: type[ScoordError]
    advice: str


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(InvalidPath, "use a path inside the project, without control characters"),
    CatalogueEntry(InvalidRequest, "correct the request; it was not carried out"),
    CatalogueEntry(InvalidConfig, "correct the setting that is named"),
    CatalogueEntry(SessionNotFound, "start the session again, or register it"),
    CatalogueEntry(SessionEnded, "the session registers again at its next hook"),
    CatalogueEntry(TaskNotFound, "see `scoord task list` for those there are"),
    CatalogueEntry(LimitReached, "finish or remove some first"),
    CatalogueEntry(NotAllowed, "ask someone who may"),
    CatalogueEntry(StoreUnavailable, "check the store (etcd, or the embedded store's disk)"),
    CatalogueEntry(StoreFull, "make room in the store: compact and defragment etcd"),
    CatalogueEntry(CoordinatorUnreachable, "check `scoord status` and the coordinator's address"),
    CatalogueEntry(DeadlineExceeded, "try again; the coordinator or its store is slow"),
    CatalogueEntry(Contended, "try again"),
    CatalogueEntry(Lagging, "nothing; the stream starts over by itself"),
    CatalogueEntry(StoreDamaged, "restore the store's file, or move it away to start empty"),
    CatalogueEntry(InternalError, "see the log of the program that said so"),
)

BY_CODE: dict[str, CatalogueEntry] = {entry.error.code: entry for entry in CATALOGUE}
