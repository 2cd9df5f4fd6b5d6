"""What people and models read: every sentence the agent says is here, or in ``wording_*.py``.

Text that came from another session is shown on one line, stripped, bounded and
in quotes: it is data, and nothing here reads it as anything else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from scoord import text
from scoord.errors import ScoordError
from scoord.happenings import Kind
from scoord.text import one_line, quote
from scoord.v1.events_pb2 import Notice
from scoord.v1.locks_pb2 import Conflict, Holder, Lock, LockScope, Lost
from scoord_agent import wording_held
from scoord_agent.wording_times import NOT_KNOWN

_PLACES = ("first", "second", "third", "fourth", "fifth")
_AGAIN = "Try again in a moment; if it stays so, ask the user to run `scoord doctor`."


@dataclass(frozen=True, slots=True)
class Asker:
    """Who is refused, as far as the wording depends on it."""

    session_id: str
    by_branch: bool = False
    """Whether locks hold on a branch each where it asks: one that does not is said to."""
    reads: bool = True
    """Whether it can be told something later."""


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
        f"   {_so_long(conflict, completion)}.{_queue(conflict.place, asker)}",
        f"   Suggestion: {suggestion}",
    )
    return "\n".join(lines)


def overlap(conflict: Conflict, asker: Asker) -> str:
    """What is said to one who edits beside the holder."""
    return (
        f"{_locked(conflict, asker)}. The edit was let through without its lock,"
        " and the holder is told."
    )


def known_conflicts(found: Iterable[Conflict], asker: Asker, error: str) -> str:
    """Why an edit stays denied while nobody can be asked; each ``lock`` as it would be now."""
    lines = [
        line
        for each in found
        for line in (_locked(each, asker, is_past=True), _was_held(each.lock))
    ]
    cannot = f"So it was when last heard, and that cannot be checked now. {_sentence(error)}"
    return "\n".join([*filter(None, lines), f"   {cannot}", f"   {_AGAIN}"])


def undecided(error: ScoordError) -> str:
    """An event that could not be read or answered."""
    return "Session Coordinator: " + "\n".join(error.lines)


def unasked_denied(paths: Iterable[str], error: str) -> str:
    """Why an edit is denied when nobody can be asked."""
    return (
        f"⚠️ {names(paths)}: no lock can be taken now, so the edit is refused. {_sentence(error)}"
        f" {_AGAIN}"
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
    is_unasked = kind == Kind.UNASKED
    how = "while nobody could be asked" if is_unasked else "without the protection of a lock"
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


def place_gone(path: str, branch: str = "") -> str:
    """A place in a queue went with the session's lease, before its turn came."""
    return (
        f"You do not wait for {one_line(path)}{_on(branch)} any more: the lease of this session ran"
        " out, and its place in the queue with it. Edit it to ask again."
    )


def place_missed(path: str, branch: str = "") -> str:
    """A place in a queue is gone, and nobody saw how: its turn may have come meanwhile."""
    return (
        f"You do not wait for {one_line(path)}{_on(branch)} any more: your place in its queue is"
        " gone. Edit it to ask again."
    )


def place_given_up(path: str, branch: str = "") -> str:
    """A place in a queue was given up by a command, perhaps of another thread of the session."""
    return (
        f"You do not wait for {one_line(path)}{_on(branch)} any more: a release in this session"
        " gave up its places in the queue. Edit it to ask again."
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


def noticed(notice: Notice) -> str:
    """What lay in a session's inbox: someone edited what it holds, or held."""
    path, sender = one_line(notice.path), _who_did(notice)
    match notice.kind:
        case Kind.UNASKED:
            return (
                f"⚠️ {sender} edited {path} while nobody could be asked, and you have held or edited"
                " it since: compare before you go on."
            )
        case Kind.UNPROTECTED:
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
    thread = whose(notice.sender, Asker(notice.session_id))
    return thread[:1].upper() + thread[1:]


def _sender(sender: Holder) -> str:
    """Whose words they are: of a session, which can be answered, or of a person."""
    return who(sender) if sender.session_id else one_line(sender.person, 40) or "Someone"


def not_registered(error: str) -> str:
    """The session starts, but nobody can be told."""
    return (
        f"⚠️ Session Coordinator: this session is not registered yet. {_sentence(error)}"
        " That is tried again by itself; if it stays so, `scoord doctor` says what to do."
    )


def _said(reason: str) -> str:
    """The other's own words, as data; nothing where there are none."""
    return why(reason) if reason else ""


def _sentence(error: str) -> str:
    """A failure's line, which may begin with a path, as a sentence."""
    told = text.failure(error)
    return f"{told[:1].upper()}{told[1:].rstrip('.')}."


def _locked(conflict: Conflict, asker: Asker, *, is_past: bool = False) -> str:
    lock = conflict.lock
    path, holder = one_line(conflict.path), whose(lock.holder, asker)
    if conflict.is_claim:
        return f"⚠️ {path} is kept for {holder}, who waited first{why(lock.reason)}"
    is_odd = asker.by_branch and lock.scope == LockScope.LOCK_SCOPE_REPOSITORY
    held = wording_held.how(path, holder, lock, is_everywhere=is_odd, is_past=is_past)
    return f"⚠️ {path} {held}{why(lock.reason)}"


def _was_held(lock: Lock) -> str:
    """For how long by now, if it still is; empty where nobody has told."""
    if not lock.HasField("held_for"):
        return ""
    ends = f", and ends in {age(lock.ends_in)} at the latest" if lock.HasField("ends_in") else ""
    return f"   held {age(lock.held_for)} by now, if it still is{ends}."


def _so_long(conflict: Conflict, completion: str) -> str:
    """Since when it is in the way, and until when, as far as anybody knows."""
    lock = conflict.lock
    if conflict.is_claim:
        return f"waiting for {age(lock.held_for)}"
    if lock.HasField("ends_in"):
        return f"held {age(lock.held_for)}, ends in {age(lock.ends_in)} at the latest"
    return f"held {age(lock.held_for)}, estimated completion: {completion}"


def whose(holder: Holder, asker: Asker) -> str:
    """Who has something, as ``asker`` is told: it may be another thread of its own session."""
    if holder.session_id == asker.session_id:
        return "another thread of this session" + (
            f" (subagent {one_line(holder.agent_id, 40)})" if holder.agent_id else ""
        )
    return who(holder)


def _holding(one: Lost, asker: Asker) -> str:
    holder = whose(one.holder, asker)
    match one.how:
        case Kind.GRANTED:
            return f"{holder} has held it for {age(one.since)}"
        case Kind.UNASKED | Kind.UNPROTECTED:
            return f"{holder} edited it too, {age(one.since)} ago"
        case "broke":
            return f"{holder} broke your lock before that"
        case _:
            return f"{holder} held it meanwhile, from {age(one.since)} ago on"


def _queue(place: int, asker: Asker) -> str:
    return f" {in_queue(place, reads=asker.reads)}" if place > 0 else ""


def in_queue(place: int, path: str = "", *, reads: bool = True) -> str:
    """A place, from 1, and that it is kept; of which file, where that is not plain.

    Who ``reads`` nothing later is not promised to be told.
    """
    name = _PLACES[place - 1] if place <= len(_PLACES) else f"number {place}"
    whose = f" for {one_line(path)}" if path else ""
    told = "and will be told when it is free" if reads else "and keep your place"
    return f"You are {name} in the queue{whose} {told}."


def names(paths: Iterable[str]) -> str:
    """Five of them, and how many more: each once, however many threads have or want it."""
    shown = [*dict.fromkeys(map(one_line, paths))]
    more = len(shown) - 5
    return ", ".join(shown[:5]) + (f" and {more} more" if more > 0 else "")
