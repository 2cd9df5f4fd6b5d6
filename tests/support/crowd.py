"""Many sessions of other machines, each with a lock, an intent and progress."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration

from scoord.clock import SystemClock
from scoord.v1.locks_pb2 import AcquireRequest
from scoord.v1.sessions_pb2 import (
    Estimate,
    RegisterRequest,
    Session,
    SessionStatus,
    WorkProgress,
)
from scoord_agent.client_options import ClientOptions
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient, new_request_id

TTL_S = 600
FILES = 3
"""That each of them holds."""


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[CoordinatorClient]:
    """A client of the coordinator at ``address``."""
    options = ClientOptions(addresses=(address,), rpc_timeout_s=10.0, machine="m9", person="crowd")
    client = CoordinatorClient(options, Connection(belief_s=20.0), SystemClock())
    try:
        yield client
    finally:
        await client.close()


async def gather_crowd(address: str, project: str, count: int) -> None:
    """Make ``count`` sessions live in ``project``; they outlive the test that asked for them."""
    async with connected(address) as client:
        gate = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            async with gate:
                await _join(client, project, number)

        await asyncio.gather(*(one(number) for number in range(count)))


async def _join(client: CoordinatorClient, project: str, number: int) -> None:
    session = Session(
        session_id=f"Session_box_{number}_x",
        project=project,
        machine_id="m9",
        host="box",
        person="crowd",
        client="claude-code",
        branch=f"feature/{number % 7}",
        intent=f"rewrite part {number} of the shop, with all that depends on it",
        status=SessionStatus.SESSION_STATUS_WORKING,
        areas=[f"area{number % 11}"],
        progress=WorkProgress(
            done=number % 5, total=5, percent=20 * (number % 5), step="write tests", source="tasks"
        ),
        estimate=Estimate(left=Duration(seconds=60 + number), basis="progress", samples=3),
    )
    registered = await client.register(
        RegisterRequest(
            request_id=new_request_id(), session=session, lease_ttl=Duration(seconds=TTL_S)
        )
    )
    await client.acquire(
        AcquireRequest(
            request_id=new_request_id(),
            project=project,
            session_id=session.session_id,
            lease_id=registered.lease_id,
            paths=[f"area{number % 11}/file{number}_{n}.py" for n in range(FILES)],
            reason=session.intent,
        )
    )
