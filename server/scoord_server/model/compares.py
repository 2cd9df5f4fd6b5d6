"""The comparisons that guard every plan."""

from scoord_server.model.commands import Asker
from scoord_server.store import keys
from scoord_server.store.port import Compare, Relation, Target, prefix_end


def absent(key: bytes) -> Compare:
    """``key`` is not there."""
    return Compare(key, Target.CREATE, Relation.EQUAL, 0)


def present(key: bytes) -> Compare:
    """``key`` is there."""
    return Compare(key, Target.CREATE, Relation.GREATER, 0)


def is_grant(key: bytes, token: int) -> Compare:
    """``key`` is the grant that ``token`` names; with 0, it is not there."""
    return Compare(key, Target.CREATE, Relation.EQUAL, token)


def unchanged(key: bytes, mod_revision: int) -> Compare:
    """``key`` is as it was at ``mod_revision``; with 0, it is not there."""
    return Compare(key, Target.MOD, Relation.EQUAL, mod_revision)


def not_put_since(key: bytes, revision: int) -> Compare:
    """``key`` was not put after ``revision``; that it was deleted does not count."""
    return Compare(key, Target.MOD, Relation.LESS, revision + 1)


def none_put_since(prefix: bytes, revision: int) -> Compare:
    """Nothing under ``prefix`` was put after ``revision``; what was deleted does not count."""
    return Compare(prefix, Target.MOD, Relation.LESS, revision + 1, prefix_end(prefix))


def none_created_since(prefix: bytes, revision: int) -> Compare:
    """Nothing under ``prefix`` is new since ``revision``."""
    return Compare(prefix, Target.CREATE, Relation.LESS, revision + 1, prefix_end(prefix))


def none_came_since(project: str, path_key: str, revision: int) -> tuple[Compare, ...]:
    """Nothing has come to a path or over it, or changed there, and left what tells of it."""
    prefixes = (
        keys.trace_prefix(project, path_key),
        keys.pattern_traces_prefix(project),
        keys.reservation_prefix(project),
        keys.room(project, path_key),
    )
    room = (none_put_since(prefix, revision) for prefix in prefixes)
    return (not_put_since(keys.lock(project, path_key), revision), *room)


def lives_on(asker: Asker) -> Compare:
    """The asker's session is registered on the very lease that it asks with.

    A command may arrive when its session is over and has begun anew; what it puts would go
    with the old lease, which may outlast the session by its TTL.
    """
    key = keys.session(asker.project, asker.session)
    return Compare(key, Target.LEASE, Relation.EQUAL, asker.lease)


def lives(project: str, session: str) -> Compare:
    """The session is registered, so its lease stood a moment ago."""
    return present(keys.session(project, session))
