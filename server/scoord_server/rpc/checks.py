"""What is checked of every request before it is asked of the coordinator, in one way for all.

Each check returns what it was given; it raises InvalidRequest, naming the field.
"""

from collections.abc import Sized
from typing import Final, TypeVar

from scoord.errors import InvalidRequest
from scoord.ids import ProjectId, RequestId, SessionId

_Items = TypeVar("_Items", bound=Sized)

MOST_ID: Final = 200
"""Characters of what a program names a thing by; those of ours are far below it."""


def request_id(value: str) -> RequestId:
    """The name of a command, by which it is known when it comes again."""
    if not value:
        raise InvalidRequest("request_id is empty; every command carries one")
    return RequestId(identifier("request_id", value))


def project(value: str, field: str = "project") -> ProjectId:
    """The project that a request is about."""
    return ProjectId(filled(field, value))


def session_id(value: str, field: str = "session_id") -> SessionId:
    """The session that a request is of, or about."""
    return SessionId(last_in_key(field, value))


def filled(field: str, value: str) -> str:
    """A text that must be there."""
    if not value:
        raise InvalidRequest(f"{field} is empty")
    if "\0" in value:
        raise InvalidRequest(f"{field} has a character that is not allowed")
    return value


def identifier(field: str, value: str) -> str:
    """What others know one thing by: it is never cut. It may be empty."""
    if len(value) > MOST_ID or not value.isprintable():
        raise InvalidRequest(f"{field} must be at most {MOST_ID} printable characters")
    return value


def last_in_key(field: str, value: str) -> str:
    """An identifier that stands in a key as it is, so that a slash would make another key."""
    if "/" in value:
        raise InvalidRequest(f"{field} has a character that is not allowed")
    return identifier(field, filled(field, value))


def bounded(what: str, items: _Items, most: int) -> _Items:
    """A list of things that one command is about: not none, and not too many."""
    if not 1 <= len(items) <= most:
        raise InvalidRequest(f"{len(items)} {what} in one command; 1 to {most} are allowed")
    return items
