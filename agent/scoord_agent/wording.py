"""What people and models read: every sentence the agent says, in one place.

Text that came from another session is shown on one line, stripped, bounded and
in quotes: it is data, and nothing here reads it as anything else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from scoord import text
from scoord.errors import ScoordError
from scoord.text import one_line, quote
from scoord.v1.events_pb2 import Notice
from scoord.v1.locks_pb2 import Conflict, Holder, Lock, LockMode, Lost
from scoord_agent.wording_times import NOT_KNOWN

_AGAIN = "Read the file again before you edit it."
_PLACES = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who is refused, as far as the wording depends on it."""

    session_id: str


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


def turn(path: str) -> str:
    """A file that was waited for is free, and kept for the session for a while."""
    return f"{one_line(path)} is free now, and you are next: edit it soon, or it goes to others."


def turn_over(path: str, ago_s: float) -> str:
    """A file that was waited for was free, and its turn was over before it could be told."""
    return (
        f"{one_line(path)} was free {text.age(ago_s)} ago, and your turn at it is over:"
        " edit it to ask again."
    )


def wanted(path: str, waiter: Holder, reason: str) -> str:
    """Someone waits for a file of ours."""
    return f"{who(waiter)} waits for {one_line(path)}, which you hold{_said(reason)}."


def overlapped(path: str, waiter: Holder, reason: str) -> str:
    """Someone edits a file of ours without its lock."""
    return f"⚠️ {who(waiter)} edits {one_line(path)} too, which you hold{_said(reason)}."


def crossing(path: str, branch: str, other: Lock) -> str:
    """A file of ours is locked on another branch too."""
    return (
        f"⚠️ {who(other.holder)} edits {one_line(path)} too, on another branch than yours"
        f" ({one_line(branch, 60)}){why(other.reason)}. A merge conflict is coming: agree on who"
        " changes what."
    )


def switched(paths: Sequence[str], before: str, now: str) -> str:
    """The worktree is on another branch than its locks were for."""
    return (
        f"The branch is {one_line(now, 60)} now: your locks on {names(paths)}, which were for"
        f" {one_line(before, 60)} only, are given back."
    )


def broken(path: str, by: str, reason: str) -> str:
    """Our lock was taken away by a person."""
    return (
        f"⚠️ Your lock on {one_line(path)} was broken by {one_line(by) or 'someone'}{why(reason)}."
    )


def idle(path: str) -> str:
    """Our lock was taken away because it was unused."""
    return f"Your lock on {one_line(path)} was unused for too long and is given up."


def lasted(path: str) -> str:
    """Our lock has had its time."""
    return f"Your lock on {one_line(path)} has ended: the time it was taken for is over."


def noticed(notice: Notice) -> str:
    """What lay in a session's inbox: someone edited what it holds, or held."""
    path, sender = one_line(notice.path), who(notice.sender)
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
        case "message":
            return f"{one_line(notice.sender.person, 40) or 'Someone'} says: {quote(notice.text)}"
        case _:
            return overlapped(notice.path, notice.sender, notice.text)


def ended(path: str, how: str) -> str:
    """Our lock was ended while nothing could be heard; empty when we gave it back ourselves."""
    match how:
        case "broken":
            return f"{broken(path, '', '')} {_AGAIN}"
        case "idle":
            return f"{idle(path)} {_AGAIN}"
        case "lasted":
            return lasted(path)
        case _:
            return ""


def lost_to(path: str, last: Lost, asker: Asker) -> str:
    """Our lock went with its lease, and somebody else was granted it since, or is next."""
    return (
        f"⚠️ Your lock on {one_line(path)} was lost; {_since(last, asker)}: read the file again"
        " before you edit it."
    )


def shared_again(path: str) -> str:
    """Our share went with its lease, and is ours again."""
    return (
        f"Your share of {one_line(path)} was lost for a while and is yours again: the file may"
        f" have been edited meanwhile. {_AGAIN}"
    )


def had_again(path: str) -> str:
    """Our lock was lost and is ours again, and nobody knows whose it was meanwhile."""
    return (
        f"Your lock on {one_line(path)} was lost for a while and is yours again: the file may"
        f" have been edited meanwhile. {_AGAIN}"
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


def lost(paths: Sequence[str]) -> str:
    """Our lease ran out."""
    return (
        f"⚠️ Your locks on {names(paths)} are lost: the lease ran out while the coordinator"
        " could not be reached. Read the files again before you edit them."
    )


def not_registered(error: str) -> str:
    """The session starts, but nobody can be told."""
    return (
        f"⚠️ Session Coordinator: this session is not registered yet. {_sentence(error)}"
        " That is tried again by itself; if it stays so, `scoord doctor` says what to do."
    )


def problem(error: str) -> str:
    """Settings that do not load."""
    return f"⚠️ Settings are not in force, the last good ones are: {_lines(error)}"


def mending(error: str) -> str:
    """What is said of an edit of the settings that name the project, while they do not load."""
    told = _lines(error)
    return f"⚠️ Let through without a lock, and nothing else here is until it is mended: {told}"


def _said(reason: str) -> str:
    """The other's own words, as data; nothing where there are none."""
    return why(reason) if reason else ""


def _sentence(error: str) -> str:
    """A failure's line, which may begin with a path, as a sentence."""
    told = text.failure(error)
    return f"{told[:1].upper()}{told[1:].rstrip('.')}."


def _lines(error: str) -> str:
    """What is wrong with settings, a line each."""
    return "\n".join(map(text.failure, error.splitlines()))


def _locked(conflict: Conflict, asker: Asker) -> str:
    lock = conflict.lock
    path, holder = one_line(conflict.path), _holder(lock.holder, asker)
    if conflict.is_claim:
        return f"⚠️ {path} is kept for {holder}, who waited first{why(lock.reason)}"
    return f"⚠️ {path} {_has(path, holder, lock)}{why(lock.reason)}"


def _has(path: str, holder: str, lock: Lock) -> str:
    """How it is held: by itself or by a pattern, alone or shared."""
    shared, pattern = lock.mode == LockMode.LOCK_MODE_SHARED, one_line(lock.path)
    if lock.is_pattern and pattern != path:
        if shared:
            return f"lies in {pattern}, which {holder} shares, relying on its not changing"
        return f"lies in {pattern}, which {holder} holds"
    if shared:
        return f"is shared by {holder}, who relies on its not changing"
    return f"is locked by {holder}"


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


def _since(last: Lost, asker: Asker) -> str:
    """Who was granted a path after us, and when; or for whom it is kept."""
    if not last.how:
        return "nobody knows who has had it since"
    holder, ago = _holder(last.holder, asker), age(last.since)
    match last.how:
        case "granted":
            return f"{holder} has had it for {ago}"
        case "waiting":
            return f"it is kept for {holder}, who has waited for {ago}"
        case _:
            return f"{holder} had it {ago} ago"


def _holding(one: Lost, asker: Asker) -> str:
    holder = _holder(one.holder, asker)
    match one.how:
        case "granted":
            return f"{holder} has held it for {age(one.since)}"
        case "unasked" | "unprotected":
            return f"{holder} edited it too, {age(one.since)} ago"
        case _:
            return f"{holder} held it meanwhile, from {age(one.since)} ago on"


def _queue(place: int) -> str:
    if place < 1:
        return ""
    name = _PLACES[place - 1] if place <= len(_PLACES) else f"number {place}"
    return f" You are {name} in the queue and will be told when it is free."


def names(paths: Iterable[str]) -> str:
    """Five of them, and how many more."""
    shown = [one_line(path) for path in paths]
    more = len(shown) - 5
    return ", ".join(shown[:5]) + (f" and {more} more" if more > 0 else "")
