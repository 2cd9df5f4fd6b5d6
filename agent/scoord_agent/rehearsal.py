"""Whether the coordinator can take something in now: tried for real, and taken back.

An answer to a question proves nothing of that: lists come from memory, and a store
whose disk is full still reads. What is tried is a session, in a project where nobody
is: its end leaves nothing behind, and if that fails, its lease does the same.
"""

from datetime import UTC, datetime
from typing import Final

from scoord.ids import LeaseId
from scoord.v1.sessions_pb2 import EndRequest, RegisterRequest, Session
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_agent.local_session import new_session_id
from scoord_agent.registration import Machine

TTL_S: Final = 10.0
"""How long it may be seen if nobody can end it."""


async def rehearse(client: CoordinatorClient, machine: Machine) -> None:
    """Register a session and end it. Raises what the coordinator says."""
    session = Session(
        session_id=new_session_id(machine.host, None, datetime.now(UTC)),
        project=f"machine:{machine.machine_id}:rehearsal",
        machine_id=machine.machine_id,
        host=machine.host,
        person=machine.person,
    )
    request_id = new_request_id()
    registered = await client.register(
        RegisterRequest(request_id=request_id, session=session, lease_ttl=seconds(TTL_S))
    )
    await client.end(_farewell(session, LeaseId(registered.lease_id)))


def _farewell(session: Session, lease: LeaseId) -> EndRequest:
    return EndRequest(
        request_id=new_request_id(),
        project=session.project,
        session_id=session.session_id,
        lease_id=lease,
        why="it was a rehearsal",
    )
