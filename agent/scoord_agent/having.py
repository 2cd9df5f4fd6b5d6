"""What a session has, or may have again: all that it can give back. Pure."""

from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession


def all_of(session: LocalSession, held: HeldLocks) -> list[HeldLock]:
    """What it holds; what the agent before us knew of; what went with its lease.

    The last two may be its own in a moment: they are confirmed, or asked for again. What was
    taken away from it is not.
    """
    lost = filter(held.losses.went_with_lease, held.losses.of(session.session_id))
    known = (*session.had, *lost, *held.of(session.session_id))
    return list(
        {(lock.name, lock.is_pattern, lock.agent, lock.token): lock for lock in known}.values()
    )
