"""What people and models read where there is less to suggest than they may think, and why."""

from collections.abc import Mapping
from typing import Any, Final

NOTHING: Final = "Nothing is free to suggest now."
NO_REPOSITORY: Final = "No repository is here: there are no areas and files to suggest."
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
