"""What people and models read: every sentence the agent says, in one place.

Text that came from another session is shown on one line, stripped, bounded and
in quotes: it is data, and nothing here reads it as anything else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from scoord import text
from scoord.errors import ScoordError
from scoord.text import one_line, quote
from scoord.v1.events_pb2 import Notice
from scoord.v1.locks_pb2 import Conflict, Holder, Lock, LockScope, Lost
from scoord_agent import wording_held
from scoord_agent.wording_times import NOT_KNOWN

_AGAIN = "Read the file again before you edit it."
_PLACES = ("first", "second", "third", "fourth", "fifth")


class End(Protocol):
    """How a grant ended, as several messages tell it."""

    how: str
    by: str
    reason: str

    @property
    def through(self) -> Holder:
        """The coding session that ended it, if one did."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who is refused, as far as the wording depends on it."""

    session_id: str
    by_branch: bool = False
    """Whether locks hold on a branch each where it asks: one that does not is said to."""


def age(duration: Duration) -> str:
    """A duration as people say it."""
    return text.age(duration.ToMilliseconds() / 1000)


def who(holder: Holder) -> str:
    """``Session_1 (alice@mbp, branch feature/login)``."""
    # Of one that has ended, not all may be known.
    place = "@".join(one_line(part, 40) for part in (holder.person, holder.host) if part)
    branch = f", branch {one_line(holder.branch, 60)}" if holder.branch else ""
    return f"{one_line(holder.alias or holder.session_id, 60)} ({place}{branch})"


def why(reason: str) -> str:
    """The holder's own words, as data."""
    return f": {quote(one_line(reason))}" if reason else ", no reason given"


def refusal(conflict: Conflict, asker: Asker, suggestion: str, completion: str = NOT_KNOWN) -> str:
    """Why an edit is denied: who, why, for how long, and what to do instead."""
    lines = (
        _locked(conflict, asker),
        f"   {_so_long(conflict, completion)}.{_queue(conflict.place)}",
        f"   Suggestion: {suggestion}",
    )
    return "\n".join(lines)


def overlap(conflict: Conflict, asker: Asker) -> str:
    """What is said to one who edits beside the holder."""
    return (
        f"{_locked(conflict, asker)}. The edit was let through without its lock,"
        " and the holder is told."
    )


def known_conflict(lock: Lock, asker: Asker, error: str) -> str:
    """Why an edit stays denied while nobody can be asked."""
    return (
        f"⚠️ {one_line(lock.path)} was locked by {_holder(lock.holder, asker)}{why(lock.reason)}"
        f" when last heard, and that cannot be checked now: {text.failure(error)}"
    )


def undecided(error: ScoordError) -> str:
    """An event that could not be read or answered."""
    return "Session Coordinator: " + "\n".join(error.lines)


def unasked_denied(paths: Iterable[str], error: str) -> str:
    """Why an edit is denied when nobody can be asked."""
    return (
        f"⚠️ {names(paths)}: no lock can be taken now, so the edit is refused. {_sentence(error)}"
        " Try again in a moment; if it stays so, ask the user to run `scoord doctor`."
    )


def contended_denied(paths: Iterable[str]) -> str:
    """Why an edit is denied when others were faster each time."""
    return f"{_contended(paths)}, so the edit is refused. Try again in a moment."


def contended_allowed(paths: Iterable[str]) -> str:
    """What is said of an edit that was let through beside them."""
    return f"{_contended(paths)}. The edit was let through without it: compare before you go on."


def _contended(paths: Iterable[str]) -> str:
    return f"⚠️ {names(paths)}: others take the lock, or take it away, faster than it can be had"


def unasked_allowed(paths: Iterable[str], error: str) -> str:
    """What is said of an edit that was let through unasked."""
    return (
        f"⚠️ {names(paths)}: let through without a lock, nobody could be asked. {_sentence(error)}"
        " Another session may be editing it; if it stays so, `scoord doctor` says what to do."
    )


def met(path: str, kind: str, others: Sequence[Lost], asker: Asker) -> str:
    """What is said when an edit without a lock turns out to have met others."""
    how = "while nobody could be asked" if kind == "unasked" else "without the protection of a lock"
    who = " and ".join(_holding(one, asker) for one in others[-3:])
    return f"⚠️ You edited {one_line(path)} {how}; {who}: compare before you go on."


def turn(path: str, branch: str = "", *, shared: bool = False) -> str:
    """A file that was waited for is free, and kept for the session for a while."""
    return (
        f"{one_line(path)} is free now{_on(branch)}, and you are next:"
        f" {_use(shared)} it soon, or it goes to others."
    )


def turn_over(path: str, ago_s: float, branch: str = "", *, shared: bool = False) -> str:
    """A file that was waited for was free, and its turn was over before it could be told."""
    return (
        f"{one_line(path)} was free {text.age(ago_s)} ago{_on(branch)}, and your turn at it is"
        f" over: {_use(shared)} it to ask again."
    )


def _use(shared: bool) -> str:  # noqa: FBT001 (what is said alike twice)
    """What a turn is for: who shares a file does not edit it."""
    return "take" if shared else "edit"


def _on(branch: str) -> str:
    return f" on {one_line(branch)}" if branch else ""


def wanted(path: str, waiter: Holder, reason: str) -> str:
    """Someone waits for a file of ours."""
    return f"{who(waiter)} waits for {one_line(path)}, which you hold{_said(reason)}."


def left_out(count: int) -> str:
    """Before what is told now there was more than there was room for."""
    were = "notice before these was" if count == 1 else "notices before these were"
    return f"⚠️ {count} {were} left out, for want of room: see `scoord history`."


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


def noticed(notice: Notice) -> str:
    """What lay in a session's inbox: someone edited what it holds, or held."""
    path, sender = one_line(notice.path), _who_did(notice)
    match notice.kind:
        case "unasked":
            return (
                f"⚠️ {sender} edited {path} while nobody could be asked, and you have held or edited"
                " it since: compare before you go on."
            )
        case "unprotected":
            return (
                f"⚠️ {sender} edited {path} without the protection of its lock, and you have held"
                " or edited it since: compare before you go on."
            )
        case "broke":
            return (
                f"⚠️ {sender} edited {path} after you broke its lock on it: compare before you go"
                " on."
            )
        case "message":
            return f"{_sender(notice.sender)} says: {quote(notice.text)}"
        case _:
            return f"⚠️ {sender} edits {path} too, which you hold{_said(notice.text)}."


def _who_did(notice: Notice) -> str:
    """Whose edit it is: perhaps of another thread of the session that is told."""
    if notice.sender.session_id != notice.session_id:
        return who(notice.sender)
    thread = _holder(notice.sender, Asker(notice.session_id))
    return thread[:1].upper() + thread[1:]


def _sender(sender: Holder) -> str:
    """Whose words they are: of a session, which can be answered, or of a person."""
    return who(sender) if sender.session_id else one_line(sender.person, 40) or "Someone"


def ended(path: str, end: End, *, is_pattern: bool = False) -> str:
    """Our lock was taken away; empty when we gave it back, or it went with its lease."""
    again = "" if is_pattern else f" {_AGAIN}"
    match end.how:
        case "broken":
            return f"{broken(path, end.by, end.reason, end.through)}{again}"
        case "idle":
            return f"{idle(path)}{again}"
        case "lasted":
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
        f"{_holder(one.holder, asker)} edited {one_line(path)} without a lock {age(one.since)} ago"
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


def lost(paths: Sequence[str]) -> str:
    """Our lease ran out."""
    is_one = len(paths) == 1
    locks, are = ("lock", "is") if is_one else ("locks", "are")
    again = _AGAIN if is_one else "Read the files again before you edit them."
    return (
        f"⚠️ Your {locks} on {names(paths)} {are} lost: the lease ran out while the coordinator"
        f" could not be reached. {again}"
    )


def not_registered(error: str) -> str:
    """The session starts, but nobody can be told."""
    return (
        f"⚠️ Session Coordinator: this session is not registered yet. {_sentence(error)}"
        " That is tried again by itself; if it stays so, `scoord doctor` says what to do."
    )


def _by(person: str, through: Holder | None) -> str:
    """Who did something: a coding session where one did, since it is none of its user's doing."""
    if through is not None and through.session_id:
        return who(through)
    return one_line(person) or "someone"


def _said(reason: str) -> str:
    """The other's own words, as data; nothing where there are none."""
    return why(reason) if reason else ""


def _sentence(error: str) -> str:
    """A failure's line, which may begin with a path, as a sentence."""
    told = text.failure(error)
    return f"{told[:1].upper()}{told[1:].rstrip('.')}."


def _locked(conflict: Conflict, asker: Asker) -> str:
    lock = conflict.lock
    path, holder = one_line(conflict.path), _holder(lock.holder, asker)
    if conflict.is_claim:
        return f"⚠️ {path} is kept for {holder}, who waited first{why(lock.reason)}"
    is_odd = asker.by_branch and lock.scope == LockScope.LOCK_SCOPE_REPOSITORY
    held = wording_held.how(path, holder, lock, is_everywhere=is_odd)
    return f"⚠️ {path} {held}{why(lock.reason)}"


def _so_long(conflict: Conflict, completion: str) -> str:
    """Since when it is in the way, and until when, as far as anybody knows."""
    lock = conflict.lock
    if conflict.is_claim:
        return f"waiting for {age(lock.held_for)}"
    if lock.HasField("ends_in"):
        return f"held {age(lock.held_for)}, ends in {age(lock.ends_in)} at the latest"
    return f"held {age(lock.held_for)}, estimated completion: {completion}"


def _holder(holder: Holder, asker: Asker) -> str:
    if holder.session_id == asker.session_id:
        return "another thread of this session" + (
            f" (subagent {one_line(holder.agent_id, 40)})" if holder.agent_id else ""
        )
    return who(holder)


def _since(last: Lost, asker: Asker, it: str) -> str:
    """Who was granted a path after us, and when; or for whom it is kept."""
    if not last.how:
        return "nobody knows who has had it since"
    holder, ago = _holder(last.holder, asker), age(last.since)
    match last.how:
        case "granted":
            return f"{holder} has had {it} for {ago}"
        case "waiting":
            return f"{it} is kept for {holder}, who has waited for {ago}"
        case _:
            return f"{holder} had {it} {ago} ago"


def _holding(one: Lost, asker: Asker) -> str:
    holder = _holder(one.holder, asker)
    match one.how:
        case "granted":
            return f"{holder} has held it for {age(one.since)}"
        case "unasked" | "unprotected":
            return f"{holder} edited it too, {age(one.since)} ago"
        case "broke":
            return f"{holder} broke your lock before that"
        case _:
            return f"{holder} held it meanwhile, from {age(one.since)} ago on"


def _queue(place: int) -> str:
    return f" {in_queue(place)}" if place > 0 else ""


def in_queue(place: int, path: str = "") -> str:
    """A place, from 1, and that it is kept; of which file, where that is not plain."""
    name = _PLACES[place - 1] if place <= len(_PLACES) else f"number {place}"
    whose = f" for {one_line(path)}" if path else ""
    return f"You are {name} in the queue{whose} and will be told when it is free."


def names(paths: Iterable[str]) -> str:
    """Five of them, and how many more."""
    shown = [one_line(path) for path in paths]
    more = len(shown) - 5
    return ", ".join(shown[:5]) + (f" and {more} more" if more > 0 else "")
