"""A lock that is held and believed in, for the tests of what a holder may believe."""

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock

BELIEF_S = 20.0
SHOP = ProjectId("git.example.org/team/shop")
MAIN = AgentId("")
A, B = SessionId("Session_a"), SessionId("Session_b")
LOCK = HeldLock(SHOP, "auth.py", "Auth.py", A, MAIN, FencingToken(7))


def believed() -> HeldLocks:
    """A's lock, believed in since 100."""
    locks = HeldLocks(BELIEF_S)
    locks.renewed(A, sent_at=100.0)
    locks.put(LOCK)
    return locks


def use(held: HeldLocks, now: float, session: SessionId = A, agent: AgentId = MAIN) -> bool:
    """Whether a holder may write the file, and believe so."""
    return held.use(SHOP, "auth.py", Claimant(session, agent), now)
