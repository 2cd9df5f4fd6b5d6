"""What happens in a project, by the name that its line of history has."""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """As ``EventRecord.kind`` explains them, in its order; newer programs may write others."""

    GRANTED = "granted"
    RESERVED = "reserved"
    TIMED = "timed"
    EXPLAINED = "explained"
    WAITING = "waiting"
    REFUSED = "refused"
    RELEASED = "released"
    BROKEN = "broken"
    IDLE = "idle"
    LASTED = "lasted"
    ORPHANED = "orphaned"
    RECLAIMED = "reclaimed"
    LOST = "lost"
    UNASKED = "unasked"
    UNPROTECTED = "unprotected"
    OVERLAP = "overlap"
    LEFT = "left"
    UNUSED = "unused"
    REGISTERED = "registered"
    INTENT = "intent"
    BRANCH = "branch"
    STATUS = "status"
    PROGRESS = "progress"
    AREAS = "areas"
    DEPENDS = "depends"
    TOLD = "told"
    ENDED = "ended"
    EXPIRED = "expired"
    TASK_ADDED = "task_added"
    TASK_DONE = "task_done"
    TASK_REMOVED = "task_removed"
    OFFERED = "offered"
    WITHDRAWN = "withdrawn"
    NOTED = "noted"
    FORGOTTEN = "forgotten"


KINDS: Final[tuple[str, ...]] = tuple(kind.value for kind in Kind)
"""What a person may ask for."""

DETAILS: Final = (
    Kind.BRANCH,
    Kind.STATUS,
    Kind.PROGRESS,
    Kind.AREAS,
    Kind.DEPENDS,
    Kind.OFFERED,
    Kind.WITHDRAWN,
)
"""Left out where nobody asks for them: most lines, and what people look for is not in them."""
