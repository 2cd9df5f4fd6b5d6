"""What happens in a project, by the name that its line of history has."""

from typing import Final

KINDS: Final = (
    "granted",
    "reserved",
    "timed",
    "explained",
    "waiting",
    "refused",
    "released",
    "broken",
    "idle",
    "lasted",
    "orphaned",
    "reclaimed",
    "lost",
    "unasked",
    "unprotected",
    "overlap",
    "left",
    "unused",
    "registered",
    "intent",
    "branch",
    "status",
    "progress",
    "areas",
    "depends",
    "told",
    "ended",
    "expired",
    "task_added",
    "task_done",
    "task_removed",
    "offered",
    "withdrawn",
    "noted",
    "forgotten",
)
"""As ``EventRecord.kind`` explains them, in its order. What newer programs write may be more."""

DETAILS: Final = ("branch", "status", "progress", "areas", "depends", "offered", "withdrawn")
"""Left out where nobody asks for them: most lines, and what people look for is not in them."""
