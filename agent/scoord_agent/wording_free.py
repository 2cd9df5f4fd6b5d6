"""What people and models read where there is less to suggest than they may think, and why."""

from collections.abc import Mapping
from typing import Any, Final

from scoord.text import one_line

NOTHING: Final = "Nothing is free to suggest now."
NO_REPOSITORY: Final = "No repository is here: there are no areas and files to suggest."
_MOST: Final = 3
"""Of what is left out."""
BEING_READ: Final = "The repository is still being read: ask again in a moment for areas and files."
STILL_READ: Final = "The repository is still being read: ask again in a moment for its areas."
ALL_KEPT: Final = "All there is to do is kept for others at the moment: ask again in a few minutes."


def missing(answer: Mapping[str, Any]) -> str:
    """What an answer with suggestions does not tell of; empty where nothing is missing.

    An agent of another version may not say all of it.
    """
    if not answer.get("in_repository", True):
        return NO_REPOSITORY
    if not answer.get("known", True):
        return BEING_READ
    if answer.get("suggestions"):
        return ""
    return ALL_KEPT if answer.get("kept_for_others") else NOTHING


def left_out(answer: Mapping[str, Any]) -> str:
    """What is not suggested as others are in the way of it, and who; one line, or nothing."""
    rows = answer.get("left_out", ())
    shown = [f"{_named(row)} ({one_line(str(row.get('why', '')), 120)})" for row in rows[:_MOST]]
    more = [f"and {len(rows) - _MOST} more"] if len(rows) > _MOST else []
    return f"left out: {', '.join((*shown, *more))}" if shown else ""


def _named(row: Mapping[str, Any]) -> str:
    return f"{one_line(str(row.get('kind', '')), 20)} {one_line(str(row.get('name', '')), 60)}"
