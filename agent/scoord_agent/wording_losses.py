"""What people and models read of locks that they do not have any more, or have again."""

from collections.abc import Sequence
from typing import Protocol

from scoord.happenings import Kind
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder, Lost
from scoord_agent.wording import Asker, age, names, who, whose, why

_AGAIN = "Read the file again before you edit it."


class End(Protocol):
    """How a grant ended, as several messages tell it."""

    how: str
    by: str
    reason: str

    @property
    def through(self) -> Holder:
        """The coding session that ended it, if one did."""


def broken(path: str, by: str, reason: str, through: Holder | None = None) -> str:
    """Our lock was taken away by a person, or by a session of theirs."""
    return f"⚠️ Your lock on {one_line(path)} was broken by {_by(by, through)}{why(reason)}."


def taken(path: str) -> str:
    """Our lock was taken away, and nobody could write down how."""
    return (
        f"⚠️ Your lock on {one_line(path)} was taken away. By whom and why is not known: it was"
        " not written down, as when the store is full."
    )


def idle(path: str) -> str:
    """Our lock was taken away because it was unused."""
    return f"Your lock on {one_line(path)} was unused for too long and is given up."


def lasted(path: str) -> str:
    """Our lock has had its time."""
    return f"Your lock on {one_line(path)} has ended: the time it was taken for is over."


def ended(path: str, end: End, *, is_pattern: bool = False) -> str:
    """Our lock was taken away; empty when we gave it back, or it went with its lease."""
    again = "" if is_pattern else f" {_AGAIN}"
    match end.how:
        case Kind.BROKEN:
            return f"{broken(path, end.by, end.reason, end.through)}{again}"
        case Kind.IDLE:
            return f"{idle(path)}{again}"
        case Kind.LASTED:
            return lasted(path)
        case "taken":
            return taken(path)
        case _:
            return ""


def lost_to(path: str, last: Lost, asker: Asker, part: str = "") -> str:
    """Our lock went with its lease, and somebody else was granted it since, or is next.

    Of a pattern perhaps a ``part`` only.
    """
    since = _since(last, asker, f"{one_line(part)}, which it meets," if part else "it")
    return (
        f"⚠️ Your lock on {one_line(path)} was lost; {since}: read the file again before you edit"
        " it."
    )


def shared_again(path: str) -> str:
    """Our share went with its lease, and is ours again."""
    return _again(f"share of {one_line(path)}")


def had_again(path: str) -> str:
    """Our lock was lost and is ours again, and nobody knows whose it was meanwhile."""
    return _again(f"lock on {one_line(path)}")


def had_again_edited(path: str, edits: Sequence[Lost], asker: Asker) -> str:
    """Our lock was lost and is ours again, and others edited the file without one."""
    who = " and ".join(
        f"{whose(one.holder, asker)} edited {one_line(path)} without a lock {age(one.since)} ago"
        for one in edits[-3:]
    )
    return (
        f"⚠️ Your lock on {one_line(path)} was lost for a while and is yours again; {who}. {_AGAIN}"
    )


def _again(what: str) -> str:
    return (
        f"Your {what} was lost for a while and is yours again: the file may have been edited"
        f" meanwhile. {_AGAIN}"
    )


def had_meanwhile(path: str) -> str:
    """Our lock was lost, and nobody knows who else had it."""
    return f"⚠️ Your lock on {one_line(path)} was lost, and others may have had it since. {_AGAIN}"


def perhaps_lost(path: str) -> str:
    """Our lock became a later grant, which was given back, or was taken away before that."""
    return (
        f"⚠️ Your lock on {one_line(path)} may have been lost before it was given back, and others"
        f" may have had it since. {_AGAIN}"
    )


def reserved_again(pattern: str) -> str:
    """Our pattern went with its lease, and is ours again."""
    return (
        f"Your lock on {one_line(pattern)} was lost for a while and is yours again: what it"
        " matches may have been edited meanwhile."
    )


def unused(why: str) -> str:
    """Our session was ended, and goes on."""
    return (
        f"⚠️ This session was ended as unused, and goes on now: {one_line(why)}. What others took"
        " meanwhile is told; the rest of its locks is its own again."
    )


def lost_resting(paths: Sequence[str]) -> str:
    """Our session did nothing for so long that it may have been ended, and its lease is over."""
    is_one = len(paths) == 1
    locks, are, them = ("lock", "is", "it") if is_one else ("locks", "are", "them")
    return (
        f"⚠️ Your {locks} on {names(paths)} {are} lost: this session did nothing for long, and its"
        f" lease is over. Others can have {them}; what nobody takes is yours again once this"
        f" session goes on. {_read_again(paths)}"
    )


def lost(path: str) -> str:
    """Our lease is over: why, and who had the lock since, is not asked."""
    return (
        f"⚠️ Your lock on {one_line(path)} is lost: it went with the lease of this session, and"
        f" others may have had it since. {_AGAIN}"
    )


def went_with_subagent(paths: Sequence[str], *, has_ended: bool = True) -> str:
    """Our subagent took our locks over with its edits, and has ended, or was refused these."""
    over = "and has ended" if has_ended else "which was refused"
    is_one = len(paths) == 1
    locks, them = ("lock", "it") if is_one else ("locks", "them")
    return (
        f"⚠️ Your {locks} on {names(paths)} went with the subagent that took {them} over by its"
        f" edit {over}; others may have had {them} since. {_read_again(paths)}"
    )


def lost_before(paths: Sequence[str]) -> str:
    """Our locks were over before we gave them back: our lease ran out, or they were taken away."""
    is_one = len(paths) == 1
    locks, were, they = ("lock", "was", "it was") if is_one else ("locks", "were", "they were")
    again = _read_again(paths)
    return f"⚠️ Your {locks} on {names(paths)} {were} lost before {they} given back. {again}"


def _read_again(paths: Sequence[str]) -> str:
    return _AGAIN if len(paths) == 1 else "Read the files again before you edit them."


def _by(person: str, through: Holder | None) -> str:
    """Who did something: a coding session where one did, since it is none of its user's doing."""
    if through is not None and through.session_id:
        return who(through)
    return one_line(person) or "someone"


def _since(last: Lost, asker: Asker, it: str) -> str:
    """Who was granted a path after us, and when; or for whom it is kept."""
    if not last.how:
        return "nobody knows who has had it since"
    holder, ago = whose(last.holder, asker), age(last.since)
    match last.how:
        case Kind.GRANTED:
            return f"{holder} has had {it} for {ago}"
        case Kind.WAITING:
            return f"{it} is kept for {holder}, who has waited for {ago}"
        case _:
            return f"{holder} had {it} {ago} ago"
