"""What is checked of every request before it is asked of the coordinator, in one way for all.

Each check returns what it was given; it raises InvalidRequest, naming the field.
"""

from collections.abc import Sized
from typing import Final, TypeVar

from scoord.errors import InvalidPath, InvalidRequest
from scoord.ids import ProjectId, RequestId, SessionId
from scoord.names import MOST_PROJECT_BYTES, check_characters

_Items = TypeVar("_Items", bound=Sized)

MOST_ID: Final = 200
"""Characters of what a program names a thing by; those of ours are far below it."""

_MOST_REVISION: Final = 2**63 - 2
"""One more is compared with, and has to be a number that the store takes."""


def request_id(value: str) -> RequestId:
    """The name of a command, by which it is known when it comes again."""
    if not value:
        raise InvalidRequest("request_id is empty; every command carries one")
    return RequestId(identifier("request_id", value))


def project(value: str, field: str = "project") -> ProjectId:
    """The project that a request is about."""
    try:
        return ProjectId(check_characters(filled(field, value), MOST_PROJECT_BYTES))
    except InvalidPath as error:
        raise InvalidRequest(f"{field}: {error.message}") from error


def any_project(value: str) -> str:
    """The project that a list is of; empty is all of them."""
    return project(value) if value else value


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


def revision(field: str, value: int) -> int:
    """A revision of the store, or the token of a grant, which is one. 0 is none."""
    if not 0 <= value <= _MOST_REVISION:
        raise InvalidRequest(f"{field} is {value}; 0 to {_MOST_REVISION} are allowed")
    return value


def text(field: str, value: str, most: int) -> str:
    """What something is looked for by; it is compared with very many, and may be empty."""
    if len(value) > most:
        raise InvalidRequest(f"{field} has {len(value)} characters; at most {most} are allowed")
    return value


def up_to(what: str, items: _Items, most: int) -> _Items:
    """A list of things that may be empty, but has not too many."""
    return bounded(what, items, most) if items else items


def bounded(what: str, items: _Items, most: int) -> _Items:
    """A list of things that one command is about: not none, and not too many."""
    if not 1 <= len(items) <= most:
        raise InvalidRequest(f"{len(items)} {what} in one command; 1 to {most} are allowed")
    return items
