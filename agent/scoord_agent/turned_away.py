"""What a command is told that was not given what it asked for: who has it, and what to do."""

from collections.abc import Sequence

from scoord.v1.locks_pb2 import Conflict
from scoord_agent import wording
from scoord_agent.request import Request
from scoord_agent.suggest import Instead, wait_for


def refused(
    instead: Instead, paths: Sequence[str], request: Request, conflict: Conflict, completion: str
) -> str:
    """Why it was not taken. Who has no place in the queue may wait by a command for ``paths``.

    There are none where no command asked: a tool waits in its own way.
    """
    waits = not paths or conflict.place > 0 or request.shared or request.lasts_s > 0
    do = instead.of(request, conflict.path) if waits else wait_for(paths)
    return wording.refusal(conflict, asker_of(request), do, completion)


def awaited(instead: Instead, request: Request, conflict: Conflict, completion: str) -> str:
    """Why it has still to wait: the command is there to be woken, nobody else is told."""
    placeless = Conflict()
    placeless.CopyFrom(conflict)
    placeless.place = 0
    do = instead.of(request, conflict.path)
    return wording.refusal(placeless, asker_of(request), do, completion)


def asker_of(request: Request) -> wording.Asker:
    """Who is refused, for the words."""
    session = request.session
    return wording.Asker(session.session_id, request.by_branch, reads=session.has_hooks)
